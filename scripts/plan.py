"""make plan: what a study would run, from a dry run: jobs, GPU hours, disk peak and bytes to download. Offline.

python scripts/plan.py [--configfile FILE] [--profile FOLDER]
"""

import argparse
import subprocess
import sys
from pathlib import Path

from smdl.runtime.dry_run import planned
from smdl.runtime.errors import StudyError
from smdl.runtime.plan import plan, summary
from smdl.runtime.progress import reason
from smdl.settings.config import validated
from smdl.settings.configfile import load

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configfile", default="config.yaml")
    parser.add_argument("--profile", default=str(ROOT / "profiles" / "local"))
    arguments = parser.parse_args()
    try:
        config = validated(load(arguments.configfile))
    except StudyError as problem:
        sys.exit(str(problem))
    command = ["-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--dry-run", "--nolock", "--nocolor"]
    command += ["--profile", arguments.profile, "--configfile", arguments.configfile]
    dry = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    if dry.returncode:
        sys.exit(reason(dry.stdout, dry.stderr))
    table = plan(config, planned(dry.stdout + dry.stderr), Path("results") / config["study"])
    print(table.to_string(index=False))
    print("\n" + summary(table))


if __name__ == "__main__":
    main()
