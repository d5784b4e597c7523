"""Write the report of a finished or unfinished study: python scripts/report.py results/mini"""

import sys
from pathlib import Path

from smdl.report.make import make
from smdl.runtime.errors import StudyError, refused
from smdl.runtime.progress import enter

if __name__ == "__main__":
    try:
        study = Path(sys.argv[1])
        for path in make(enter(study)):
            sys.stdout.write(f"{study / path.name}  {path.stat().st_size / 1e6:.1f} MB\n")
    except StudyError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {refused(error)}")
