"""`results.tsv`: one row an experiment, whatever the experiment was, and nobody's version of the file is lost."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_autoresearch.records import Experiment
from pytest_autoresearch.results import ResultsTable, Rows, header, number, row
from pytest_autoresearch.text import one_line

COLUMNS = ("commit", "rmse", "memory_gb", "status", "description")
KEPT = Experiment(
    number=1,
    status="keep",
    reason="10 → 8",
    metric=8.0,
    resource=1.25,
    seconds=1.0,
    commit="0123456789abcdef",
    parent="p",
    blob="b",
    contract="k",
    description="a wider layer",
)
CRASHED = replace(KEPT, number=2, status="crash", metric=None, resource=None, commit="fedcba9876543210")
UNBORN = replace(CRASHED, number=3, commit="", description="edits that do not fit")
NUMBERS = [0.1 + 0.2, 1e-300, 5e-324, 1.7976931348623157e308, -0.0, 1e16, 123456789.123456789, 1 / 3, 7, -2.5e-7]
# What str.splitlines takes for the end of a line, what else is a control character, and halves of a pair.
CONTROLS = [*map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)), "\r\n"]


def table(path: Path, experiments: Sequence[Experiment]) -> ResultsTable:
    rows = Rows()
    for experiment in experiments:
        rows.add(experiment)
    return ResultsTable(path, COLUMNS, rows)


def content(experiments: Sequence[Experiment]) -> bytes:
    return (header(COLUMNS) + "".join(map(row, experiments))).encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.tsv"


# --- one row


def test_a_row_is_commit_metric_resource_status_and_description() -> None:
    assert header(COLUMNS) == "commit\trmse\tmemory_gb\tstatus\tdescription\n"
    assert row(KEPT) == "0123456\t8.0\t1.25\tkeep\ta wider layer\n"


def test_a_crash_has_an_empty_metric_and_never_a_zero() -> None:
    assert row(CRASHED).split("\t")[:4] == ["fedcba9", "", "", "crash"]
    assert row(UNBORN).split("\t")[0] == "-"
    assert row(replace(KEPT, metric=0.0, resource=0.0)).split("\t")[1:3] == ["0.0", "0.0"]


@pytest.mark.parametrize("value", NUMBERS)
def test_a_number_reads_back_as_the_same_number(value: float) -> None:
    back = float(row(replace(KEPT, metric=value)).split("\t")[1])
    assert back == value
    assert math.copysign(1, back) == math.copysign(1, value)
    assert number(None) == ""


def test_no_control_character_in_a_description_gets_into_a_row() -> None:
    for character in CONTROLS:
        line = row(replace(KEPT, description=f"{character}wide{character}{character}layer{character}"))
        assert line.endswith("\tkeep\twide layer\n"), ascii(character)
        assert len(line.splitlines()) == 1, ascii(character)
        assert line.count("\t") == 4, ascii(character)


@pytest.mark.parametrize(
    "text", ["half a pair \ud83d", "a byte that is no text \udcff", "größer, 更大, 🙂", '"quoted', ""]
)
def test_whatever_a_description_holds_there_is_a_row_that_can_be_written_and_read(path: Path, text: str) -> None:
    experiment = replace(KEPT, description=text)
    written = table(path, [experiment])
    written.rebuild([experiment])
    assert written.agrees()
    with path.open(encoding="utf-8", newline="") as file:
        (_, fields) = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    assert len(fields) == 5
    assert text.isascii() <= (fields[4] == text)


def test_a_long_description_is_cut_and_says_so() -> None:
    assert one_line("x" * 10, 10) == "x" * 10
    assert one_line("x" * 11, 10) == "x" * 9 + "…"
    assert len(row(replace(KEPT, description="word " * 10_000))) < 300


# --- the file


def test_a_table_that_grew_row_by_row_is_the_table_that_was_rebuilt(path: Path) -> None:
    grown = table(path, [])
    grown.rebuild([])
    rows = Rows()
    for experiment in (KEPT, CRASHED, UNBORN):
        grown.add(experiment)
        rows.add(experiment)
        assert ResultsTable(path, COLUMNS, rows).agrees()
    assert path.read_bytes() == content([KEPT, CRASHED, UNBORN])


@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_was_deleted_is_rebuilt(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "results.tsv" if there else tmp_path / "gone" / "results.tsv"
    missing = table(path, [KEPT, CRASHED])
    assert not missing.agrees()
    assert missing.rebuild([KEPT, CRASHED]) is None
    assert missing.agrees()
    assert path.read_bytes() == content([KEPT, CRASHED])


def test_a_file_cut_off_at_any_byte_is_rebuilt_without_a_word(path: Path) -> None:
    whole = content([KEPT, CRASHED])
    torn = table(path, [KEPT, CRASHED])
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert not torn.agrees()
        assert torn.rebuild([KEPT, CRASHED]) is None
        assert path.read_bytes() == whole
    assert [file.name for file in path.parent.iterdir()] == ["results.tsv"]


@pytest.mark.parametrize(
    "edit",
    [
        content([KEPT, CRASHED]) + b"mine\t1\t\tkeep\tby hand\n",
        content([KEPT, CRASHED]).replace(b"8.0", b"0.1"),
        content([CRASHED]),
        b"my notes\n",
        content([KEPT, CRASHED]) + b"\n",
    ],
)
def test_a_file_that_somebody_edited_is_kept_beside_the_one_that_is_rebuilt(path: Path, edit: bytes) -> None:
    path.write_bytes(edit)
    edited = table(path, [KEPT, CRASHED])
    assert not edited.agrees()
    kept = edited.rebuild([KEPT, CRASHED])
    assert kept is not None
    assert kept.read_bytes() == edit
    assert path.read_bytes() == content([KEPT, CRASHED])


@pytest.mark.parametrize("name", ["results.tsv", "results.tsv.new"])
def test_nothing_is_written_through_a_link(path: Path, name: str) -> None:
    mine = path.with_name("mine")
    mine.write_bytes(content([KEPT]) if name == "results.tsv" else b"mine\n")
    before = mine.read_bytes()
    path.with_name(name).symlink_to(mine)
    linked = table(path, [KEPT])
    if not linked.agrees():
        linked.rebuild([KEPT])
    linked.add(CRASHED)
    assert mine.read_bytes() == before
    assert path.read_bytes() == content([KEPT, CRASHED])
    assert not path.is_symlink()


def test_every_edited_version_is_kept(path: Path) -> None:
    edited = table(path, [KEPT])
    for number_ in range(3):
        path.write_text(f"notes {number_}\n")
        edited.rebuild([KEPT])
    kept = [(path.with_name(f"results.tsv.edited-{number_}")).read_text() for number_ in (1, 2, 3)]
    assert kept == ["notes 0\n", "notes 1\n", "notes 2\n"]


def test_the_header_is_part_of_the_agreement(path: Path) -> None:
    table(path, [KEPT]).rebuild([KEPT])
    rows = Rows()
    rows.add(KEPT)
    other = ResultsTable(path, ("id", *COLUMNS[1:]), rows)
    assert not other.agrees()
    kept = other.rebuild([KEPT])
    assert kept is not None
    assert kept.read_bytes() == content([KEPT])


def test_rows_are_told_apart_without_being_held() -> None:
    rows = Rows()
    for experiment in (KEPT, CRASHED):
        rows.add(experiment)
    right = "".join(map(row, (KEPT, CRASHED))).encode()
    assert rows.are(right)
    assert not rows.are(right[:-1])
    assert not rows.are("".join(map(row, (CRASHED, KEPT))).encode())
    assert not rows.are(b"")
