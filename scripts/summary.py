"""Print what a finished study found: python scripts/summary.py results/mini"""

import sys
from pathlib import Path

from smdl.report.summary import summary
from smdl.tables import read_table

if __name__ == "__main__":
    study = Path(sys.argv[1])
    tables = {name: read_table(study / f"tables/{name}.parquet") for name in ("checkpoints", "llc", "regressions")}
    sys.stdout.write(summary(**tables) + f"\n\nFigures: {study}/figures/    Tables: {study}/tables/\n")
