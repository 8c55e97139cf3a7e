"""The ledger: what was written is there again after whatever happened, or damage is named."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.journal import Journal
from pytest_autoresearch.ledger import Ledger, LedgerDamaged
from pytest_autoresearch.processes import Identity
from pytest_autoresearch.records import Edit, Idea, Measurement
from pytest_autoresearch.results import row

HOSTILE = [
    "größer, 更大, 🙂",
    'a "quoted" \\ text',
    "two\nlines\r\nand\ttabs",
    "\u2028\u2029\x85\x0b\x0c\x1c",
    "".join(map(chr, range(0x20))) + "\x7f\x9b",
    "half a pair \ud83d and \udc80",
    '"kind":"result"}\n{"prev":"0000000000000000","kind":"begin"',
    '"critic":"another"',
    "\ufeff",
    "",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with closing(Journal(path)) as opened:
        yield opened


def begin(journal: Journal) -> None:
    journal.write("begin", schema=1, session="s", branch="toy/run1", problem="problem.yaml", commit="c0")
    journal.write("checkout", path="/somewhere")
    result(journal, 0, "keep", 10.0, idea=None)
    journal.write("probe", failure="broken")


def propose(journal: Journal, idea: Idea) -> None:
    number = journal.progress.next_number
    journal.write("idea", critic=idea.critic, number=number, idea=idea.to_json())


def apply(journal: Journal, number: int, blob: str) -> None:
    journal.write("applied", number=number, commit=f"c{number}", parent="p", blob=blob)


def started(journal: Journal, number: int) -> None:
    journal.write("started", number=number, what="runner", process={"pid": number, "ticks": "2", "boot": "b"})


def result(
    journal: Journal, number: int, status: str, metric: float | None, idea: str | None = "h", **more: Any
) -> None:
    blob = more.pop("blob", f"b{number}")
    if idea is not None:
        propose(journal, Idea(idea, critic="replay"))
        apply(journal, number, blob)
        started(journal, number)
    fields: dict[str, Any] = {
        "number": number,
        "status": status,
        "reason": f"reason {number}",
        "metric": metric,
        "resource": 1.5,
        "seconds": 0.25,
        "commit": f"c{number}",
        "parent": "p",
        "blob": blob,
        "contract": "k1",
        "description": idea or "baseline",
        "exit": 0,
        "machine": False,
        "duplicate_of": None,
        "log_tail": "",
    }
    journal.write("result", **{**fields, **more})


def lived(journal: Journal) -> None:
    """A session in which about everything happens."""
    begin(journal)
    result(journal, 1, "keep", 8.0)
    journal.write("advanced", number=1, commit="c1")
    result(journal, 2, "discard", 9.0, idea="schlechter ✗")
    propose(journal, Idea("nothing", critic="tuner"))
    journal.write("noop", number=3)
    result(journal, 3, "crash", None, machine=True, blob="bm")
    journal.write("remeasured", number=1, metric=8.5, contract="k2")
    result(journal, 4, "discard", 9.0, duplicate_of=2, blob="b2", contract="k2")
    result(journal, 5, "keep", 7.0, contract="k2")
    propose(journal, Idea("pending", edits=(Edit("a", "b"),), parameters={"x": 1.5}, critic="replay"))
    apply(journal, 6, "b6")
    started(journal, 6)


def replayed(path: Path) -> Journal:
    journal = Journal(path)
    journal.close()
    return journal


def test_a_replay_adds_up_to_what_was_lived_through_after_every_record(path: Path, journal: Journal) -> None:
    lived(journal)
    lines = path.read_bytes().splitlines(keepends=True)
    again = path.with_name("again.jsonl")
    for count in range(1, len(lines) + 1):
        with closing(Journal(again)) as live:
            for line in lines[:count]:
                live.write(**{key: value for key, value in json.loads(line).items() if key not in ("prev", "at")})
        replay = replayed(again)
        assert replay.progress == live.progress
        rows = "".join(map(row, replay.ledger.experiments())).encode()
        assert replay.rows.are(rows)
        assert live.rows.are(rows)
        again.unlink()


def test_where_the_session_stands_is_what_the_records_say(path: Path, journal: Journal) -> None:
    lived(journal)
    progress = replayed(path).progress
    assert progress.incumbent is not None
    assert (progress.incumbent.number, progress.next_number, progress.since_keep) == (5, 6, 0)
    assert progress.counts == {"keep": 3, "discard": 2, "crash": 1}
    assert progress.ideas == {"replay": 6, "tuner": 1}
    assert (progress.probed, progress.checkout, progress.beginning["session"]) == (True, "/somewhere", "s")
    assert progress.unadvanced is not None
    assert progress.unadvanced.number == 5
    assert progress.pending_idea == Idea("pending", edits=(Edit("a", "b"),), parameters={"x": 1.5}, critic="replay")
    assert progress.pending_candidate is not None
    assert progress.pending_candidate["blob"] == "b6"
    assert progress.pending_processes == [Identity(6, "2", "b")]


def test_a_result_settles_what_was_pending(journal: Journal) -> None:
    begin(journal)
    result(journal, 1, "discard", 11.0)
    progress = journal.progress
    assert (progress.pending_idea, progress.pending_candidate, progress.pending_processes) == (None, None, [])
    assert (progress.unadvanced, progress.since_keep) == (None, 1)


def test_an_idea_that_changed_nothing_is_counted_and_is_no_experiment(path: Path, journal: Journal) -> None:
    begin(journal)
    propose(journal, Idea("nothing", critic="tuner"))
    journal.write("noop", number=1, reason="the idea changed nothing")
    progress = replayed(path).progress
    assert (progress.pending_idea, progress.next_number, progress.ideas["tuner"]) == (None, 1, 1)
    assert progress.known.keys() == {"b0"}
    assert progress.came_to_nothing == "nothing | the idea changed nothing"


@pytest.mark.parametrize("name", ["mine", "größe", 'the "best" one', "back\\slash", "tab\there"])
def test_the_ideas_of_a_critic_are_counted_under_its_name_whatever_that_is(path: Path, name: str) -> None:
    with closing(Journal(path)) as journal:
        begin(journal)
        propose(journal, Idea("h", critic=name))
    assert journal.progress.ideas == {name: 1}
    assert replayed(path).progress.ideas == {name: 1}


def test_a_file_that_was_measured_is_known_with_its_result(journal: Journal) -> None:
    begin(journal)
    result(journal, 1, "discard", 11.0, resource=2.5, exit=0)
    result(journal, 2, "crash", None, exit=3)
    known = journal.progress.known
    assert (known["b1"].number, known["b1"].contract) == (1, "k1")
    assert known["b1"].measurement == Measurement(11.0, 2.5, 0, duplicate_of=1, twin="1")
    assert known["b2"].measurement == Measurement(None, 1.5, 3, failure="reason 2", duplicate_of=2, twin="2")


def test_a_crash_of_the_machines_making_says_nothing_about_the_file(journal: Journal) -> None:
    begin(journal)
    result(journal, 1, "crash", None, machine=True)
    known = journal.progress.known["b1"]
    assert (known.number, known.measurement) == (1, None)


def test_a_duplicate_does_not_replace_the_measurement_that_it_repeats(journal: Journal) -> None:
    begin(journal)
    result(journal, 1, "discard", 11.0)
    result(journal, 2, "discard", 11.0, blob="b1", duplicate_of=1)
    assert journal.progress.known["b1"].number == 1


def test_an_incumbent_that_was_measured_again_has_the_new_value_and_contract(path: Path, journal: Journal) -> None:
    begin(journal)
    journal.write("remeasured", number=0, metric=12.0, contract="k2")
    incumbent = replayed(path).progress.incumbent
    assert incumbent is not None
    assert (incumbent.number, incumbent.metric, incumbent.contract) == (0, 12.0, "k2")
    baseline = replayed(path).progress.baseline
    assert baseline is not None
    assert baseline.metric == 10.0


def test_each_experiment_comes_with_its_own_idea(path: Path, journal: Journal) -> None:
    lived(journal)
    experiments = list(Ledger(path).experiments())
    ideas = [experiment.idea.hypothesis if experiment.idea else None for experiment in experiments]
    assert ideas == [None, "h", "schlechter ✗", "h", "h", "h"]
    for opened in (journal.ledger, replayed(path).ledger, Ledger(path)):
        for after in range(-1, 7):
            assert list(opened.experiments(after)) == experiments[after + 1 :]


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_a_text_holds_it_is_the_same_after_a_replay(path: Path, text: str) -> None:
    idea = Idea(text, text, (text, "b"), 0.1, text, text, content=text, critic="replay", parameters={text: text})
    with closing(Journal(path)) as journal:
        begin(journal)
        propose(journal, idea)
        assert journal.progress.pending_idea == idea
        apply(journal, 1, "b1")
        journal.write("noop", number=1, note=text)
        result(journal, 1, "crash", None, idea=text, reason=text, log_tail=text, description=text)
    replay = replayed(path)
    assert replay.progress == journal.progress
    assert replay.progress.last is not None
    assert (replay.progress.last.reason, replay.progress.last.log_tail) == (text, text)
    assert [record["idea"]["hypothesis"] for record in replay.ledger.records("idea")] == [text, text]


# --- damage


def test_a_last_line_torn_at_any_byte_is_dropped_and_the_ledger_goes_on(path: Path, journal: Journal) -> None:
    begin(journal)
    before = path.read_bytes()
    propose(journal, Idea("größer 🙂", critic="replay"))
    whole = path.read_bytes()
    for length in range(len(before), len(whole)):
        path.write_bytes(whole[:length])
        with closing(Journal(path)) as reopened:
            assert path.read_bytes() == before
            assert reopened.progress.pending_idea is None
            if length % 16 == 0 or length == len(whole) - 1:
                propose(reopened, Idea("another", critic="replay"))
        assert replayed(path).progress == reopened.progress


def damaged(path: Path, lines: list[bytes]) -> str:
    path.write_bytes(b"".join(lines))
    with pytest.raises(LedgerDamaged) as caught:
        replayed(path)
    assert path.read_bytes() == b"".join(lines)
    return str(caught.value)


def test_a_line_that_was_dropped_swapped_doubled_or_put_in_is_named(path: Path, journal: Journal) -> None:
    lived(journal)
    lines = path.read_bytes().splitlines(keepends=True)
    for at in range(len(lines) - 1):
        number = f"line {at + 1} "
        assert number in damaged(path, [*lines[:at], *lines[at + 1 :]])
        assert number in damaged(path, [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]])
        assert f"line {at + 2} " in damaged(path, [*lines[: at + 1], *lines[at:]])
        assert number in damaged(path, [*lines[:at], b"\n", *lines[at:]])


def test_an_edit_of_any_line_but_the_last_is_damage_whatever_is_left_of_the_line(path: Path, journal: Journal) -> None:
    """The hash that tells stands in the next line; nothing may be made of a line before that has been looked at."""
    lived(journal)
    lines = path.read_bytes().splitlines(keepends=True)
    chance = random.Random(0)
    for at, line in enumerate(lines[:-1]):
        edits = [line[:-2] + b"\n", line[:20] + b"\n", line[:40] + b"\n", line.replace(b"1", b"2")]
        for _ in range(12):
            place = chance.randrange(len(line) - 1)
            edits.append(line[:place] + bytes([line[place] ^ (1 << chance.randrange(8))]) + line[place + 1 :])
        for edit in edits:
            if edit == line:
                continue
            said = damaged(path, [*lines[:at], edit, *lines[at + 1 :]])
            assert f"line {at + 1} " in said or f"line {at + 2} " in said


@pytest.mark.parametrize(
    "rest", [b"", b"\x00" * 40, b"garbage", b'","kind":"result"}', b'","kind":"result","number":7}']
)
def test_a_last_line_that_is_no_record_is_damage_and_not_a_traceback(
    path: Path, journal: Journal, rest: bytes
) -> None:
    begin(journal)
    lines = path.read_bytes().splitlines(keepends=True)
    assert "line 4 " in damaged(path, [*lines[:-1], lines[-1][: len(b'{"prev":"') + 16] + rest + b"\n"])


def test_numbers_that_json_has_no_name_for_never_get_into_the_ledger(path: Path, journal: Journal) -> None:
    begin(journal)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        journal.write("remeasured", number=0, metric=float("nan"), contract="k2")
    assert path.read_bytes() == before
    result(journal, 1, "discard", 11.0)
    assert replayed(path).progress == journal.progress


FULL = """
import resource, sys
from pathlib import Path
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.journal import Journal

journal = Journal(Path(sys.argv[1]))
journal.write("begin", session="s", commit="c", problem="p")
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
try:
    journal.write("idea", critic="replay", number=1, idea={"hypothesis": "x" * 1000})
except UserError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
journal.write("checkout", path="/there")
"""


@pytest.mark.parametrize("room", [0, 1, 150, 400, 1000])
def test_a_disk_that_is_full_is_said_and_leaves_a_ledger_that_goes_on(path: Path, room: int) -> None:
    command = [sys.executable, "-c", FULL, str(path), str(room)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{path}: cannot be written (File too large)")
    progress = replayed(path).progress
    assert (progress.beginning["session"], progress.pending_idea, progress.checkout) == ("s", None, "/there")


def test_a_place_where_nothing_can_be_written_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        Ledger(tmp_path / "missing" / "ledger.jsonl").append("begin")
