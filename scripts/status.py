"""Tell how far a running or stopped study is: python scripts/status.py results/mini"""

import argparse
import os
import sys
from pathlib import Path

from smdl.errors import StudyError
from smdl.progress import progress, told

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("study", type=Path, help="the study's folder of results")
    arguments.add_argument("--jobs", type=int, help="jobs at a time from now on (default: as many as run now)")
    given = arguments.parse_args()
    try:
        sys.stdout.write(told(progress(Path(os.path.relpath(given.study))), given.jobs) + "\n")
    except StudyError as error:
        sys.exit(f"error: {error}")
