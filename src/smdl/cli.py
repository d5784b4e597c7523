"""The command line: smdl init, check, plan, status, report, paper, crate, summary, bits, doctor, gpu-check, docs.

COMMAND --help says more.

Exit status 0 where all is well, 1 with one line per problem where something is wrong, 2 where the command is not
understood or lacks something.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from smdl.foundation.errors import Mistakes, StudyError, WrongUsage, refused

PROFILES = "profiles"
INTERRUPTED = 130
EXITS = "Exit status: 0 all is well, 1 something is wrong (a line per problem), 2 the command is not understood."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    given = _parser().parse_args(arguments)
    try:
        return given.run(given) or 0
    except WrongUsage as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 2
    except Mistakes as problems:
        sys.stderr.writelines(f"error: {line}\n" for line in problems.lines)
    except StudyError as problem:
        sys.stderr.write(f"error: {problem}\n")
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        sys.stderr.write(f"error: {refused(error)}\n")
    return 1


def _parser() -> argparse.ArgumentParser:
    about = "How far a language model compresses, and its local learning coefficient (LLC)."
    parser = argparse.ArgumentParser(prog="smdl", description=about, epilog=EXITS)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")

    def command(run, help_: str) -> argparse.ArgumentParser:
        name = run.__name__.lstrip("_").replace("_", "-")
        added = commands.add_parser(name, help=help_, description=run.__doc__, epilog=EXITS)
        added.set_defaults(run=run)
        return added

    _options_of_init(command(_init, "write the config of a first study of a model"))
    checked = command(_check, "is a config right? every mistake on a line")
    checked.add_argument(
        "configs", type=Path, nargs="+", metavar="CONFIG", help="a config file; of several each lies over those before"
    )
    planned = command(_plan, "what a study would run and cost: a dry run, offline")
    planned.add_argument(
        "--configfile", type=Path, default=Path("config.yaml"), metavar="CONFIG", help="default: config.yaml"
    )
    planned.add_argument("--profile", type=Path, metavar="FOLDER", help="default: profiles/local of the workflow")
    for run, help_ in (
        (_status, "how far a study is, what runs, what failed, and how long the rest will take"),
        (_report, "one HTML file and a zip of a study, finished or not"),
        (_paper, "a PDF and LaTeX tables of a finished study"),
        (_crate, "a study's files and the runs that made them, as an RO-Crate"),
        (_summary, "what a finished study found"),
    ):
        command(run, help_).add_argument(
            "study", type=Path, metavar="STUDY", help="the study's folder of results, as in results/mini"
        )
    commands.choices["status"].add_argument(
        "--jobs", type=int, metavar="N", help="jobs at a time from now on (default: as many as run now)"
    )
    commands.choices["status"].add_argument(
        "--watch", action="store_true", help="one screen, drawn again and again until the study is finished or Ctrl-C"
    )
    commands.choices["status"].add_argument(
        "--interval", type=_seconds, default=10.0, metavar="SECONDS", help="from one drawing to the next (default: 10)"
    )
    crated = commands.choices["crate"]
    crated.add_argument(
        "--agent", metavar="NAME", help="who ran the study (default: the account that the files are of)"
    )
    crated.add_argument(
        "--license", metavar="LICENSE", help="of the results, best as its address (default: none stated)"
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
    asked = command(_doctor, "can this cluster run the study?")
    profile = Path("profiles/slurm/config.yaml")
    asked.add_argument(
        "profile", nargs="?", type=Path, default=profile, metavar="PROFILE", help=f"the profile's file ({profile})"
    )
    command(_gpu_check, "does a GPU compute what a CPU does, as fast and in as little memory as planned?").add_argument(
        "--output", type=Path, default=Path("results/gpu-check"), metavar="FOLDER", help="default: results/gpu-check"
    )
    command(_docs, "write the references that follow from the code into docs/")
    return parser


def _options_of_init(parser: argparse.ArgumentParser) -> None:
    from smdl.start.questions import steps

    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where config.yaml goes; the study takes its name")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--repo", metavar="OWNER/NAME", help="a model on a hub (HF_ENDPOINT and HF_TOKEN say which)")
    place.add_argument(
        "--path", metavar="FOLDER", help="a checkpoint on disk, in Hugging Face format; several with {step} in it"
    )
    parser.add_argument(
        "--revision", metavar="PATTERN", help="the hub's branch of a checkpoint (default: step{step} or the like)"
    )
    parser.add_argument("--steps", type=steps, metavar="N,N,...", help="steps of the checkpoints (default: all)")
    parser.add_argument("--text", metavar="TEXT", help="kjv (King James Bible), factbook (CIA), or a folder of texts")
    parser.add_argument(
        "--tokenizer", metavar="TOKENIZER", help="bytes, a tokenizer.json, or OWNER/NAME (default: the model's own)"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no time: give seconds, above 0")
    return seconds


def _init(given: argparse.Namespace) -> None:
    """Write FOLDER/config.yaml, a small study of a model with a word on every section, and print what it would run.

    The model is looked at, and no weights are fetched. What is missing is asked for on a terminal; what is there is
    never overwritten.
    """
    from smdl.runtime.installed import workflow_folder
    from smdl.start.init import Wanted, init

    begun = init(Wanted(**{name: value for name, value in vars(given).items() if name != "run"}), workflow_folder())
    sys.stdout.write(f"wrote {begun.config}\n{begun.model}\n\n")
    sys.stdout.flush()
    sys.stdout.write(f"{_planned(begun.config, None)}\n\nnext:\n  {begun.run}\n  {begun.report}\n")


def _check(given: argparse.Namespace) -> None:
    """Check a config as Snakemake would; of several files each is laid over those before it. Nothing is run."""
    from smdl.settings.config import settings
    from smdl.settings.configfile import load_over
    from smdl.study.study import Study

    models = settings(load_over(given.configs), Study).models.values()
    names = ", ".join(map(str, given.configs))
    checkpoints = _counted(sum(len(model.steps) for model in models), "checkpoint")
    sys.stdout.write(f"{names}: no mistakes; {_counted(len(models), 'model')}, {checkpoints}\n")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _status(given: argparse.Namespace) -> None:
    """Tell how far a running or stopped study is."""
    from smdl.runtime.progress import enter, progress, told

    asked_from = Path.cwd()
    if given.watch:
        from smdl.runtime.watch import watch

        # Logs hold signs that not every terminal knows.
        sys.stdout.reconfigure(errors="replace")
        watch(enter(given.study), given.interval, given.jobs, sys.stdout)
        return
    sys.stdout.write(told(progress(enter(given.study)), given.jobs) + "\n")
    if Path.cwd() != asked_from:
        sys.stdout.write(f"\nPaths are those seen from {Path.cwd()}.\n")


def _report(given: argparse.Namespace) -> None:
    """Write report.html and report.zip of a finished or unfinished study into its folder."""
    from smdl.report.make import make
    from smdl.runtime.progress import enter

    for path in make(enter(given.study)):
        sys.stdout.write(f"{given.study / path.name}  {path.stat().st_size / 1e6:.1f} MB\n")


def _paper(given: argparse.Namespace) -> None:
    """Write paper/paper.pdf and its tables in LaTeX into a finished study's folder, every number from its tables."""
    from smdl.paper.make import make
    from smdl.runtime.progress import enter

    for path in make(enter(given.study)):
        sys.stdout.write(f"{given.study / path.parent.name / path.name}\n")


def _crate(given: argparse.Namespace) -> None:
    """Write ro-crate-metadata.json into a study's folder: its files and the runs that made them, as they are now.

    It is a Provenance Run Crate (https://w3id.org/ro/wfrun/provenance), which others' tools read.
    """
    from smdl.crate.make import make
    from smdl.runtime.progress import enter

    path = make(enter(given.study), given.agent, given.license)
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
    """Print what a study would run by rule and model: jobs, hours, memory, disk peak, bytes to download. Offline."""
    sys.stdout.write(f"{_planned(given.configfile, given.profile)}\n")


def _planned(configfile: Path, profile: Path | None) -> str:
    from smdl.runtime.installed import workflow_folder
    from smdl.runtime.plan import plan, plan_of_rules, planned_jobs, summary
    from smdl.settings.config import settings
    from smdl.settings.configfile import load
    from smdl.study.study import Study

    study = settings(load(configfile), Study)
    jobs = planned_jobs(configfile, profile or workflow_folder() / PROFILES / "local")
    table = plan(study, jobs, Path("results") / study.study)
    rules = plan_of_rules(jobs)
    return f"{rules.to_string(index=False)}\n\n{table.to_string(index=False)}\n\n{summary(table)}"


def _doctor(given: argparse.Namespace) -> int:
    """Look on one page whether this cluster can run the study; sends one job of a minute."""
    from smdl.runtime.cluster.doctor import main as examine

    return examine(str(given.profile))


def _gpu_check(given: argparse.Namespace) -> int:
    """Compare this machine's GPU with its CPU, and with what config.yaml plans for it; minutes.

    Writes gpu.md and gpu.json into the output folder. Exit status 1 where something does not hold.
    """
    from smdl.gpu.check import check
    from smdl.runtime.installed import workflow_folder
    from smdl.settings.config import settings
    from smdl.settings.configfile import load
    from smdl.study.study import Study

    def tell(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    well = check(settings(load(workflow_folder() / "config.yaml"), Study), given.output, tell)
    tell(f"{'all holds' if well else 'not all holds'}: {given.output}/gpu.md")
    return 0 if well else 1


def _docs(given: argparse.Namespace) -> None:
    """Write the references that follow from the code: the configuration, its JSON Schema, and the outputs."""
    from smdl.reference_docs import PAGES
    from smdl.runtime.installed import workflow_folder

    for name, text in PAGES.items():
        (workflow_folder() / "docs" / name).write_text(text())


if __name__ == "__main__":
    sys.exit(main())
