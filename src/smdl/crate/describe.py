"""A study as the entities of a Provenance Run Crate: files, the workflow and its steps, and the runs of each.

Profiles: https://w3id.org/ro/wfrun/process/0.5 (a run), .../workflow/0.5 (the whole), .../provenance/0.5 (the steps).
"""

import hashlib
import json
import mimetypes
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rocrate.model import ContextEntity
from rocrate.rocrate import ROCrate

from smdl.runtime.records import Run
from smdl.study.tables import declared
from smdl.tables import read_provenance

VERSION = "1.1"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
# Terms that RO-Crate 1.1 has no word for, from the profiles' own vocabulary.
TERMS = {name: f"https://w3id.org/ro/terms/workflow-run#{name}" for name in ("sha256", "resourceUsage")}
BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
COMPLETED = "http://schema.org/CompletedActionStatus"
PARQUET = "application/vnd.apache.parquet"
# What of a job's record is a parameter of its run, and what the run used, with the unit's code of UN/CEFACT.
PARAMETERS = {"settings": "Text", "seed": "Integer", "stage_version": "Integer"}
USED = {"wall_seconds": "SEC", "peak_memory_mb": "4L", "peak_device_memory_mb": "4L"}
CHUNK = 2**20


def describe(study: Path, files: Iterable[Path], runs: list[Run], agent: str, license_: str) -> ROCrate:
    """The crate of the folder ``study`` with the result ``files`` below it, which the jobs ``runs`` made."""
    crate = ROCrate(version=VERSION)
    crate.metadata.extra_terms.update(TERMS)
    own = _Described(crate, study, agent)
    records = {run: _record(run) for run in runs}
    own.add_files(files)
    own.add_folders(runs)
    own.add_workflow(runs, records)
    for number, run in enumerate(runs, 1):
        own.add_run(number, run, records[run])
    own.add_whole(runs)
    root = crate.root_dataset
    root["name"] = f"Study {study.name}: compressibility of language models and their local learning coefficient"
    root["description"] = (
        f"Results of the study {study.name} of the workflow smdl, with the runs that made them. Beside each Parquet"
        " table lies its CSV twin; the meaning of every column is in the metadata of the Parquet file."
    )
    root["datePublished"] = _time(max(run.ended for run in runs))
    root["license"] = own.add(license_, "CreativeWork", name=license_) if "://" in license_ else license_
    root["author"] = own.agent
    for identifier, name in PROFILES.items():
        version = identifier.rsplit("/", 1)[1]
        own.add(identifier, "CreativeWork", name=name, version=version)
    root["conformsTo"] = [_link(identifier) for identifier in PROFILES]
    return crate


class _Described:
    """A crate that grows; what is added twice under one identifier is there once."""

    def __init__(self, crate: ROCrate, study: Path, agent: str) -> None:
        self.crate, self.study = crate, study
        self.agent = self.add("#agent", "Person", name=agent)
        self.data: dict[str, dict[str, str]] = {}
        self.actions: list[dict[str, str]] = []
        self.controls: list[dict[str, str]] = []

    def add(self, identifier: str, type_: str | list[str], **properties: Any) -> dict[str, str]:
        """Add what is no file; the reference to it."""
        self.crate.add(ContextEntity(self.crate, identifier, properties=_compact({"@type": type_, **properties})))
        return _link(identifier)

    def add_files(self, files: Iterable[Path]) -> None:
        """Add files, with their size and digest."""
        for path in files:
            place = path.relative_to(self.study)
            self.data[str(path)] = _link(self.crate.add_file(path, place, properties=_told(path)).id)

    def add_folders(self, runs: list[Run]) -> None:
        """Add the folders that jobs made or read as a whole: the weights."""
        for name in sorted({path for run in runs for path in (*run.inputs, *run.outputs)}):
            path = Path(name)
            if path.is_dir() and path.is_relative_to(self.study):
                inside = [link for file, link in self.data.items() if Path(file).is_relative_to(path)]
                told = _compact({"name": path.name, "hasPart": inside})
                self.data[name] = _link(self.crate.add_dataset(path, path.relative_to(self.study), properties=told).id)

    def add_workflow(self, runs: list[Run], records: dict[Run, dict[str, Any]]) -> None:
        """Add the workflow: a step a rule, in the order in which they began, and a tool a rule and software."""
        self.parameters = {
            name: self.add(f"#parameter/{name}", "FormalParameter", name=name, additionalType=kind, valueRequired=False)
            for name, kind in {**PARAMETERS, "parameters": "Text"}.items()
        }
        main = self.study / "workflow/Snakefile"
        steps: dict[str, dict[str, dict[str, str]]] = {}
        for run in runs:
            tool = self.add_tool(run.rule, records[run])
            steps.setdefault(run.rule, {})[tool["@id"]] = tool
        for position, (rule, tools) in enumerate(steps.items(), 1):
            self.add(_step(rule), "HowToStep", name=rule, position=str(position), workExample=list(tools.values()))
        commits = sorted({record["commit"] for record in records.values() if "commit" in record})
        told = _told(main) | {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": "smdl",
            "description": "The workflow as it was when the crate was made; of each run the tool names the commit.",
            "version": ", ".join(commits) or "unknown",
            "conformsTo": self.add(BIOSCHEMAS, "CreativeWork", name="ComputationalWorkflow"),
            "step": [_link(_step(rule)) for rule in steps],
            "hasPart": [tool for tools in steps.values() for tool in tools.values()],
            "input": list(self.parameters.values()),
        }
        place = main.relative_to(self.study)
        self.workflow = _link(self.crate.add_workflow(main, place, properties=told, main=True, lang="snakemake").id)

    def add_tool(self, rule: str, record: dict[str, Any]) -> dict[str, str]:
        """Add a rule's script at the commit and with the packages of a job; of some jobs these are not recorded."""
        if "commit" not in record:
            return self.add(f"#tool/{rule}", "SoftwareApplication", name=rule)
        packages = {"python": record["python"], **record["packages"]}
        software = [
            self.add(f"#software/{name}-{version}", "SoftwareApplication", name=name, softwareVersion=version)
            for name, version in packages.items()
        ]
        return self.add(
            f"#tool/{rule}-{_short(record['commit'], packages)}",
            "SoftwareApplication",
            name=rule,
            softwareVersion=record["commit"],
            softwareRequirements=software,
        )

    def add_run(self, number: int, run: Run, record: dict[str, Any]) -> None:
        """Add a job as the run of its rule's tool, and Snakemake's starting of it."""
        given = {name: record[name] for name in PARAMETERS if record.get(name) is not None}
        given = given or {"parameters": run.parameters}
        used = [
            self.add_used(f"#used/{number}/{name}", name, record[name], unit)
            for name, unit in USED.items()
            if name in record
        ]
        about = f" on {record['device']}" if "device" in record else ""
        action = self.add(
            f"#run/{number}",
            "CreateAction",
            name=f"{run.rule} {number}",
            description=f"A job of the rule {run.rule}{about}",
            instrument=self.add_tool(run.rule, record),
            object=[*self.known(run.inputs), *(self.add_value(name, value) for name, value in given.items())],
            result=self.known(run.outputs),
            startTime=_time(run.started),
            endTime=_time(run.ended),
            actionStatus=COMPLETED,
            agent=self.agent,
            resourceUsage=used,
        )
        self.actions.append(action)
        control = self.add(
            f"#control/{number}",
            "ControlAction",
            name=f"start of {run.rule} {number}",
            instrument=_link(_step(run.rule)),
            object=action,
        )
        self.controls.append(control)

    def add_value(self, name: str, value: Any) -> dict[str, str]:
        """Add the value of a parameter, once for all runs that have it."""
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        identifier = f"#value/{name}-{_short(text)}"
        return self.add(identifier, "PropertyValue", name=name, value=text, exampleOfWork=self.parameters[name])

    def add_used(self, identifier: str, name: str, value: float, unit: str) -> dict[str, str]:
        """Add how much of a resource a run used."""
        return self.add(identifier, "PropertyValue", name=name, propertyID=name, value=str(value), unitCode=unit)

    def add_whole(self, runs: list[Run]) -> None:
        """Add the run of the whole workflow, and that of Snakemake, which started its steps."""
        began, ended = _time(min(run.started for run in runs)), _time(max(run.ended for run in runs))
        whole = self.add(
            "#workflow-run",
            "CreateAction",
            name=f"Study {self.study.name}",
            description="The runs of the workflow that the results come from, from the first to the last",
            instrument=self.workflow,
            object=self.known([str(self.study / "config.yaml")]),
            result=[link for path, link in self.data.items() if Path(path).is_file()],
            startTime=began,
            endTime=ended,
            actionStatus=COMPLETED,
            agent=self.agent,
        )
        engine = self.add(
            "https://snakemake.readthedocs.io",
            "SoftwareApplication",
            name="Snakemake",
            url="https://snakemake.github.io",
        )
        self.add(
            "#orchestration",
            "OrganizeAction",
            name="Snakemake's run of the workflow",
            instrument=engine,
            object=self.controls,
            result=whole,
            startTime=began,
            endTime=ended,
            agent=self.agent,
        )
        self.crate.root_dataset["mentions"] = [whole, *self.actions]

    def known(self, paths: Iterable[str]) -> list[dict[str, str]]:
        """References to those of ``paths`` that are in the crate; weights and texts of the user's lie elsewhere."""
        return [self.data[path] for path in paths if path in self.data]


def _record(run: Run) -> dict[str, Any]:
    """What a job wrote of itself into its Parquet files; nothing where it wrote none, or was screened out."""
    for path in run.outputs:
        if path.endswith(".parquet") and "commit" in (record := read_provenance(path)):
            return record
    return {}


def _told(path: Path) -> dict[str, str]:
    """What is told of any file; of a table also what it holds."""
    told = {
        "name": path.name,
        "contentSize": str(path.stat().st_size),
        "sha256": _digest(path),
        "encodingFormat": _format(path),
    }
    if path.suffix == ".parquet" and (name := read_provenance(path).get("table")):
        told["description"] = declared(name).description
    return told


def _compact(properties: dict[str, Any]) -> dict[str, Any]:
    """``properties`` as JSON-LD has them: of a list of one the one, and no empty list."""
    lists = {name: value for name, value in properties.items() if isinstance(value, list)}
    return {name: value for name, value in properties.items() if name not in lists} | {
        name: value[0] if len(value) == 1 else value for name, value in lists.items() if value
    }


def _link(identifier: str) -> dict[str, str]:
    return {"@id": identifier}


def _step(rule: str) -> str:
    return f"#step/{rule}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _short(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _format(path: Path) -> str:
    known = {".parquet": PARQUET, ".yaml": "application/yaml", ".csv": "text/csv"}
    return known.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
