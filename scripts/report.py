"""Write the report of a finished or unfinished study: python scripts/report.py results/mini"""

import os
import sys
from pathlib import Path

from smdl.errors import StudyError
from smdl.report.make import make

if __name__ == "__main__":
    try:
        for path in make(Path(os.path.relpath(sys.argv[1]))):
            sys.stdout.write(f"{path}  {path.stat().st_size / 1e6:.1f} MB\n")
    except StudyError as error:
        sys.exit(f"error: {error}")
