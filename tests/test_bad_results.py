"""Results that are torn, empty, edited or of others: a line with the file's name and what to do, planning included."""

import json

import pandas as pd
import pytest
import torch

from smdl.foundation.errors import StudyError
from smdl.hub.checks import check_index
from smdl.llc.state import StateStore
from smdl.runtime.cluster.resources import wall_seconds
from smdl.runtime.dry_run import PlannedJob
from smdl.runtime.plan import plan
from smdl.runtime.progress import wall_seconds as measured
from smdl.runtime.screening import left_out
from smdl.settings.config import settings
from smdl.study.study import Study
from smdl.tables import read_provenance, read_table, read_tables, write_table
from smdl.tables.audit import LISTING, SCREENING
from smdl.tables.study import LOSSES, TRAINING
from workflow import small_config, snakemake

ROWS = [{"model": "tiny", "step": 1, "split": "sampling", "block": i, "loss": float(i)} for i in range(2000)]
ANEW = "delete it and run again: it is made again"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "losses.parquet"
    write_table(path, LOSSES, ROWS, {"wall_seconds": 3.0})
    return path


def refused(call) -> str:
    with pytest.raises(StudyError) as caught:
        call()
    text = str(caught.value)
    assert text.isprintable(), text
    return text


def holed(where: float):
    """Bytes overwritten at a fraction of the file's length."""

    def change(content: bytes) -> bytes:
        start = int(where * len(content))
        return content[:start] + b"\xff" * 8 + content[start + 8 :]

    return change


TORN = {
    "no bytes": (lambda content: b"", "Parquet file size is 0 bytes"),
    "the first bytes": (lambda content: content[:4], "not a whole Parquet file"),
    "the first half": (lambda content: content[: len(content) // 2], "not a whole Parquet file"),
    "all but the last byte": (lambda content: content[:-1], "not a whole Parquet file"),
    "the last half": (lambda content: content[len(content) // 2 :], "not a whole Parquet file"),
    "zeros, as after a crash": (lambda content: bytes(len(content)), "not a whole Parquet file"),
    "zeros at the end": (lambda content: content[:-64] + bytes(64), "not a whole Parquet file"),
    "zeros at the start": (lambda content: bytes(64) + content[64:], "not a whole Parquet file"),
    "twice the file": (lambda content: content[8:] + content, "not a whole Parquet file"),
    "CSV": (lambda content: b"model,step\ntiny,1\n", "not a whole Parquet file"),
    "a merge of git": (lambda content: b"<<<<<<< HEAD\n" + content, "not a whole Parquet file"),
    "a pointer": (lambda content: b"version https://git-lfs.github.com/spec/v1\n", "not a whole Parquet file"),
}  # fmt: skip


@pytest.mark.parametrize("damage", TORN)
def test_a_torn_table_is_one_line_with_its_name(table, damage):
    change, said = TORN[damage]
    table.write_bytes(change(table.read_bytes()))
    for read in (read_table, read_tables, lambda path: read_tables([path, path])):
        text = refused(lambda read=read: read(str(table)))
        assert text.startswith(f"{table}: ")
        assert said in text
        assert text.endswith(ANEW)


@pytest.mark.parametrize("where", [0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99])
def test_no_damaged_byte_passes_as_a_number(table, where):
    """A page of a table has a checksum."""
    expected = read_table(table)
    table.write_bytes(holed(where)(table.read_bytes()))
    try:
        pd.testing.assert_frame_equal(read_table(table), expected, check_exact=True)
    except StudyError as error:
        assert str(error).startswith(f"{table}: not a whole Parquet file")


def test_a_table_of_others_is_told(table):
    pd.DataFrame(ROWS).to_parquet(table)
    said = f"{table}: does not say how it was made, so it is not of this workflow: {ANEW}"
    assert refused(lambda: read_table(table)) == said
    assert refused(lambda: read_provenance(table)) == said


def test_tables_of_different_columns_are_told(table, tmp_path):
    other = tmp_path / "other.parquet"
    write_table(other, TRAINING, [{"model": "tiny", "step": 1, "loss": 1.0}], {})
    assert refused(lambda: read_tables([str(table), str(other)])) == (
        f"{other}: other columns than {table} has: {ANEW}"
    )


def test_a_table_that_is_a_folder(tmp_path):
    (tmp_path / "a.parquet").mkdir()
    text = refused(lambda: read_table(tmp_path / "a.parquet"))
    assert text.startswith(f"{tmp_path}/a.parquet: ")
    assert "is a directory" in text


def test_a_table_that_has_gone_counts_for_no_time(tmp_path):
    """A job that begins takes its older outputs away, also while another process looks at them."""
    assert wall_seconds([tmp_path / "a.parquet"]) == []
    assert measured((str(tmp_path / "a.parquet"),)) is None


@pytest.mark.parametrize("times", [wall_seconds, lambda paths: measured(tuple(map(str, paths)))])
def test_a_torn_table_has_no_wall_time(table, times):
    assert times([table]) in ([3.0], 3.0)
    table.write_bytes(b"PAR1")
    assert refused(lambda: times([table])).startswith(f"{table}: not a whole Parquet file")


def test_a_table_being_written_is_no_torn_one(tmp_path):
    (tmp_path / ".losses.parquet.x.parquet").write_bytes(b"")
    assert wall_seconds(tmp_path.glob("*.parquet")) == []


def test_planning_names_a_torn_draws_file(tmp_path):
    draws = tmp_path / "results/small/draws/published/tiny/step10/block0.parquet"
    draws.parent.mkdir(parents=True)
    draws.write_bytes(b"PAR1")
    run = snakemake(tmp_path, small_config(), "-n")
    said = run.stdout + run.stderr
    assert run.returncode == 1
    assert "results/small/draws/published/tiny/step10/block0.parquet: not a whole Parquet file" in said
    assert ANEW in said
    assert "Traceback" not in said


def test_a_plan_names_a_torn_listing(tmp_path):
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit/listing.parquet").write_bytes(b"")
    config = small_config()
    config["models"] = {"tiny": {"source": "hub", "repo": "lab/tiny", "context": 64, "parameters": 10, "steps": [1]}}
    study = settings(config, Study)
    text = refused(lambda: plan(study, [PlannedJob("download", "tiny", minutes=1)], tmp_path))
    assert text.startswith(f"{tmp_path}/audit/listing.parquet: not a whole Parquet file")


class Named(dict):
    """As Snakemake's wildcards and inputs are."""

    __getattr__ = dict.__getitem__


def test_a_torn_screening_is_told_by_the_job(tmp_path):
    path = tmp_path / "screening.parquet"
    path.write_bytes(b"")
    files, wildcards = Named(screening=str(path)), Named(model="a", step="1")
    assert refused(lambda: left_out(files, wildcards)).startswith(f"{path}: ")
    rows = {"model": "a", "step": 1, "shared": 1.0, "shared_with": "b", "excluded": True}
    write_table(path, SCREENING, [rows], {})
    assert left_out(files, wildcards) == "same weights"


STATES = {
    "no bytes": lambda content: b"",
    "cut": lambda content: content[:-5],
    "cut in its header": lambda content: content[:10],
    "one byte more": lambda content: content + b"\0",
    "another byte": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "a header that is a list": lambda content: b"[1]\n" + content.split(b"\n", 1)[1],
    "a header without its digest": lambda content: (
        json.dumps({"values": json.loads(content.split(b"\n", 1)[0])["values"]}).encode()
        + b"\n"
        + content.split(b"\n", 1)[1]
    ),
    "a header nested too deeply": lambda content: b"[" * 100_000,
    "binary": lambda content: bytes(range(256)),
}


@pytest.mark.parametrize("damage", STATES)
def test_of_a_damaged_state_the_one_before_is_used(tmp_path, damage):
    store = StateStore(tmp_path, "digest", 0)
    store.save({"step": 1})
    store.save({"step": 2}, {"weights": torch.ones(3)})
    newest = tmp_path / "0.state"
    newest.write_bytes(STATES[damage](newest.read_bytes()))
    assert StateStore(tmp_path, "digest", 0).load().plain == {"step": 1}
    (tmp_path / "1.state").write_bytes(STATES[damage]((tmp_path / "1.state").read_bytes()))
    assert StateStore(tmp_path, "digest", 0).load() is None


def test_a_state_that_is_a_folder_is_one_line(tmp_path):
    (tmp_path / "0.state").mkdir()
    text = refused(lambda: StateStore(tmp_path, "digest", 0).load())
    assert text == f"{tmp_path}/0.state: the chain's state cannot be read (Is a directory): mend that, or remove it"


def test_a_listing_without_rows_is_a_table_too(tmp_path):
    write_table(tmp_path / "listing.parquet", LISTING, [], {})
    assert len(read_table(tmp_path / "listing.parquet")) == 0


def test_an_index_of_its_own_shards_passes(tmp_path):
    (tmp_path / "index.json").write_text('{"weight_map": {"a": "one.safetensors"}}')
    check_index(tmp_path / "index.json", ["one.safetensors", "two.safetensors"])
