"""Tell how far a running or stopped study is: python scripts/status.py results/mini"""

import argparse
import sys
from pathlib import Path

from smdl.runtime.errors import StudyError, refused
from smdl.runtime.progress import enter, progress, told

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("study", type=Path, help="the study's folder of results")
    arguments.add_argument("--jobs", type=int, help="jobs at a time from now on (default: as many as run now)")
    given = arguments.parse_args()
    try:
        asked_from = Path.cwd()
        sys.stdout.write(told(progress(enter(given.study)), given.jobs) + "\n")
        if Path.cwd() != asked_from:
            sys.stdout.write(f"\nPaths are those seen from {Path.cwd()}.\n")
    except StudyError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {refused(error)}")
