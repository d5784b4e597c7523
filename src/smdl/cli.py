"""The command line: smdl status, report, summary, bits, plan, doctor, docs; smdl COMMAND --help says more of each.

Exit status 0 where all is well, 1 with one line where something is wrong, 2 where the command is not understood.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from smdl.foundation.errors import StudyError, refused

PROFILES = "profiles"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    given = _parser().parse_args(arguments)
    try:
        return given.run(given) or 0
    except StudyError as problem:
        sys.stderr.write(f"error: {problem}\n")
    except OSError as error:
        sys.stderr.write(f"error: {refused(error)}\n")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="smdl", description="How far a language model compresses, and its LLC.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run, help_: str) -> argparse.ArgumentParser:
        added = commands.add_parser(run.__name__.lstrip("_"), help=help_, description=run.__doc__)
        added.set_defaults(run=run)
        return added

    for run, help_ in (
        (_status, "how far a study is, what runs, what failed, and how long the rest will take"),
        (_report, "one HTML file and a zip of a study, finished or not"),
        (_summary, "what a finished study found"),
    ):
        command(run, help_).add_argument("study", type=Path, help="the study's folder of results, as in results/mini")
    commands.choices["status"].add_argument(
        "--jobs", type=int, help="jobs at a time from now on (default: as many as run now)"
    )
    exported = command(_bits, "an allocation of bits, in a form that a quantization program reads")
    exported.add_argument("study", type=Path, help="the study's folder of results, as in results/allocation")
    exported.add_argument("--model", required=True)
    exported.add_argument("--step", type=int, help="default: the model's last")
    exported.add_argument("--budget", type=float, required=True, help="effective bits a weight, one of the config's")
    exported.add_argument("--score", default="measured_kl", help="default: measured_kl")
    exported.add_argument("--quantizer", default="gptq", help="default: gptq")
    exported.add_argument("--group", type=int, default=0, help="inputs that share a scale; default: 0, all of a row")
    exported.add_argument("--format", default="gptqmodel", help="gptqmodel (default) or llama.cpp")
    planned = command(_plan, "what a study would run and cost: a dry run, offline")
    planned.add_argument("--configfile", type=Path, default=Path("config.yaml"), help="default: config.yaml")
    planned.add_argument("--profile", type=Path, help="default: profiles/local of the workflow")
    asked = command(_doctor, "can this cluster run the study?")
    asked.add_argument("profile", nargs="?", type=Path, default=Path("profiles/slurm/config.yaml"))
    command(_docs, "write the references that follow from the code into docs/")
    return parser


def _status(given: argparse.Namespace) -> None:
    """Tell how far a running or stopped study is."""
    from smdl.runtime.progress import enter, progress, told

    asked_from = Path.cwd()
    sys.stdout.write(told(progress(enter(given.study)), given.jobs) + "\n")
    if Path.cwd() != asked_from:
        sys.stdout.write(f"\nPaths are those seen from {Path.cwd()}.\n")


def _report(given: argparse.Namespace) -> None:
    """Write report.html and report.zip of a finished or unfinished study into its folder."""
    from smdl.report.make import make
    from smdl.runtime.progress import enter

    for path in make(enter(given.study)):
        sys.stdout.write(f"{given.study / path.name}  {path.stat().st_size / 1e6:.1f} MB\n")


def _summary(given: argparse.Namespace) -> None:
    """Print what a finished study found."""
    from smdl.report.summary import summary
    from smdl.tables import read_table

    names = ("checkpoints", "llc", "regressions")
    tables = {name: read_table(given.study / f"tables/{name}.parquet") for name in names}
    if (expected := given.study / "tables/expectations.parquet").is_file():
        tables["expectations"] = read_table(expected)
    sys.stdout.write(summary(**tables) + f"\n\nFigures: {given.study}/figures/    Tables: {given.study}/tables/\n")


def _bits(given: argparse.Namespace) -> None:
    """Print an allocation of a finished study: the value of dynamic of GPTQModel's QuantizeConfig, or a file for
    --tensor-type-file of llama.cpp's llama-quantize."""
    from smdl.allocation.export import chosen, exported
    from smdl.tables import read_table

    rows = read_table(given.study / "tables/allocations.parquet")
    own = chosen(rows, given.model, given.step, given.quantizer, given.score, given.budget)
    sys.stdout.write(exported(own, given.format, given.group))


def _plan(given: argparse.Namespace) -> None:
    """Print what a study would run: jobs, GPU hours, disk peak and bytes to download, model by model. Offline."""
    from smdl.runtime.plan import plan, planned_jobs, summary
    from smdl.runtime.progress import ROOT
    from smdl.settings.config import settings
    from smdl.settings.configfile import load
    from smdl.study.study import Study

    study = settings(load(given.configfile), Study)
    profile = given.profile or ROOT / PROFILES / "local"
    table = plan(study, planned_jobs(given.configfile, profile), Path("results") / study.study)
    sys.stdout.write(f"{table.to_string(index=False)}\n\n{summary(table)}\n")


def _doctor(given: argparse.Namespace) -> int:
    """Look on one page whether this cluster can run the study; sends one job of a minute."""
    from smdl.runtime.cluster.doctor import main as examine

    return examine(str(given.profile))


def _docs(given: argparse.Namespace) -> None:
    """Write the references that follow from the code: the configuration, its JSON Schema, and the outputs."""
    from smdl.reference_docs import PAGES
    from smdl.runtime.progress import ROOT

    for name, text in PAGES.items():
        (ROOT / "docs" / name).write_text(text())


if __name__ == "__main__":
    sys.exit(main())
