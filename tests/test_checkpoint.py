"""A long ledger is read from a checkpoint on, and adds up to the same as if it had been read from its first line."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pytest_autoresearch import checkpoint
from pytest_autoresearch.journal import Journal
from pytest_autoresearch.ledger import Ledger, LedgerDamaged
from pytest_autoresearch.status import Standing
from tests.conftest import MakeToy
from tests.support import scores
from tests.test_ledger import HOSTILE, begin, lived, result


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after about every eighth part of a ledger, however short it is."""
    monkeypatch.setattr(checkpoint, "_LEAST", 0)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The byte of the ledger at which each reading of it began."""
    found: list[int] = []
    lines = Ledger.lines

    def watched(ledger: Ledger, start: int = 0, after: str = "") -> Iterator[tuple[str, bytes]]:
        found.append(start)
        return lines(ledger, start, after)

    monkeypatch.setattr(Ledger, "lines", watched)
    return found


def standing(path: Path) -> dict[str, Any]:
    """All that an opened journal knows."""
    with closing(Journal(path)) as journal:
        return {
            "progress": journal.progress,
            "rows": journal.rows,
            "reach": journal.ledger.reach,
            "digest": journal.ledger.digest(),
            "last": [list(journal.ledger.experiments(after)) for after in range(-1, journal.progress.next_number)],
        }


def in_full(path: Path) -> dict[str, Any]:
    """The same, read from the first line on."""
    path.with_name("checkpoint").unlink(missing_ok=True)
    return standing(path)


def live(path: Path, seed: int = 0) -> None:
    """A session of the most various experiments, with checkpoints."""
    dice = random.Random(seed)
    with closing(Journal(path)) as journal:
        lived(journal)
        result(journal, 6, "discard", 8.0, idea=None, contract="k2")
        for number in range(7, 40):
            status = dice.choice(("keep", "discard", "crash"))
            metric = None if status == "crash" else dice.uniform(-1, 1) * 10 ** dice.randint(-300, 300)
            also = {"size": dice.uniform(0, 1)} if dice.random() < 0.3 else {}
            values = (0.1, dice.random()) if dice.random() < 0.3 else ()
            result(journal, number, status, metric, dice.choice(HOSTILE[:5]), also=also, values=values)
            if status == "keep" and dice.random() < 0.5:
                journal.write("advanced", number=number, commit=f"c{number}")
            call = {"prompt": 10, "completion": number, "usd": dice.random()}
            journal.write("call", number=dice.choice((number + 1, number + 2)), **call)
            journal.write("dialect", base_url=f"http://{number % 2}", model="m, n", dialect={"schema": [number]})


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("seed", range(5))
def test_from_a_checkpoint_a_ledger_adds_up_to_the_same(path: Path, seed: int, started: list[int]) -> None:
    live(path, seed)
    started.clear()
    found = standing(path)
    assert started[0] > path.stat().st_size / 2
    assert found == in_full(path)


@pytest.mark.usefixtures("often")
def test_so_it_does_wherever_the_checkpoint_stands(path: Path) -> None:
    live(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"")
    for line in lines:
        with path.open("ab") as file:
            file.write(line)
        found = standing(path)
    assert found == in_full(path)


@pytest.mark.usefixtures("often")
def test_what_is_written_after_a_start_from_a_checkpoint_follows_on(path: Path, started: list[int]) -> None:
    live(path)
    with closing(Journal(path)) as journal:
        assert started[-1] > 0
        result(journal, 40, "keep", 3.0)
    assert standing(path) == in_full(path)


@pytest.mark.usefixtures("often")
def test_who_only_looks_on_reads_from_one_and_sees_the_same(path: Path, started: list[int]) -> None:
    live(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"")
    read: list[int] = []
    for line in lines:
        with path.open("ab") as file:
            file.write(line)
        in_full = Standing()
        in_full.read_on(Ledger(path))
        started.clear()
        resumed = Standing.resumed(Ledger(path))
        resumed.read_on(Ledger(path))
        assert resumed == in_full
        assert resumed.heard == in_full.heard > 0
        read.append(started[0])
        standing(path)  # which leaves a checkpoint, now and then
    assert read[0] == 0 < read[-1]


@pytest.mark.usefixtures("often")
def test_who_only_looks_on_finds_damage_before_it(path: Path) -> None:
    live(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"number":3', b'"number":4', 1))
    with pytest.raises(LedgerDamaged, match="was changed"):
        Standing.resumed(Ledger(path)).read_on(Ledger(path))


def test_a_short_ledger_has_none(path: Path) -> None:
    live(path)
    assert [one.name for one in path.parent.iterdir()] == ["ledger.jsonl"]


def test_each_is_an_eighth_further_and_at_least_a_mebibyte() -> None:
    saved = [0]
    for size in range(0, 1 << 28, 1 << 12):
        if checkpoint.is_due(size, saved[-1]):
            saved.append(size)
    assert saved[1] == 1 << 20
    assert all(max(1 << 20, before // 8) <= after - before for before, after in pairwise(saved))
    assert len(saved) < 60


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("where", [0.001, 0.3, 0.6])
def test_damage_before_the_checkpoint_is_found_and_named(path: Path, where: float) -> None:
    live(path)
    content = path.read_bytes()
    line = content.index(b"\n", int(len(content) * where)) + 1
    at = content.index(b'"number":', line) + len(b'"number":')
    path.write_bytes(content[:at] + (b"1" if content[at : at + 1] != b"1" else b"2") + content[at + 1 :])
    number = content[:at].count(b"\n") + 2
    with pytest.raises(LedgerDamaged, match=f"line {number} or the one before it was changed"):
        Journal(path)


def test_the_first_line_behind_the_checkpoint_has_to_follow_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live(path)
    monkeypatch.setattr(checkpoint, "is_due", lambda size, saved: True)
    standing(path)
    stands = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"prev":"0123456789abcdef","kind":"advanced","number":9}\n')
    with pytest.raises(LedgerDamaged, match=f"line {stands.count(10) + 1} or"):
        Journal(path)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("cut", [1, 5, 200])
def test_a_ledger_that_was_torn_goes_on(path: Path, cut: int) -> None:
    live(path)
    path.write_bytes(path.read_bytes()[:-cut])
    found = standing(path)
    assert found == in_full(path)


def _other_digit(body: bytes) -> bytes:
    at = body.index(b'"next_number":') + len(b'"next_number":')
    return body[:at] + (b"7" if body[at : at + 1] != b"7" else b"8") + body[at + 1 :]


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"\xff" + content[1:],
        lambda content: content.split(b"\n", 1)[1],
        lambda content: content.split(b"\n", 1)[0] + b"\n{}",
        lambda content: content.split(b"\n", 1)[0] + b"\n[" + b"[" * 100_000,
        _other_digit,
    ],
    ids=["empty", "torn", "binary", "unsealed", "nothing", "deep", "edited"],
)
def test_a_checkpoint_that_is_not_whole_is_passed_over(path: Path, spoil: Any, started: list[int]) -> None:
    live(path)
    file = path.with_name("checkpoint")
    spoilt = spoil(file.read_bytes())
    assert spoilt != file.read_bytes()
    file.write_bytes(spoilt)
    started.clear()
    found = standing(path)
    assert started[0] == 0
    assert found == in_full(path)


@pytest.mark.usefixtures("often")
def test_another_versions_and_another_sessions_are_passed_over(
    path: Path, monkeypatch: pytest.MonkeyPatch, started: list[int]
) -> None:
    live(path)
    other = path.parent / "other" / "ledger.jsonl"
    other.parent.mkdir()
    live(other, seed=1)
    path.with_name("checkpoint").replace(other.with_name("checkpoint"))
    started.clear()
    with closing(Journal(other)):
        assert started == [0]
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "__version__", "99.0")
        started.clear()
        with closing(Journal(other)):
            assert started == [0]
    assert standing(other) == in_full(other)


@pytest.mark.usefixtures("often")
def test_a_checkpoint_without_its_ledger_is_no_session(path: Path) -> None:
    live(path)
    path.unlink()
    with closing(Journal(path)) as journal:
        assert journal.progress.begin is None
        begin(journal)
    assert standing(path) == in_full(path)


@pytest.mark.usefixtures("often")
def test_where_none_can_be_written_the_session_goes_on(path: Path) -> None:
    path.with_name("checkpoint.new").mkdir()
    (path.with_name("checkpoint.new") / "occupied").touch()
    path.with_name("checkpoint").mkdir()
    live(path)
    assert path.with_name("checkpoint").is_dir()


@pytest.mark.usefixtures("often")
def test_what_no_encoding_can_hold_costs_a_checkpoint_and_no_session(path: Path) -> None:
    with closing(Journal(path)) as journal:
        begin(journal)
        result(journal, 1, "crash", None, reason="\udc80", log_tail="\udc80")
    assert standing(path) == in_full(path)
    with closing(Journal(path)) as journal:
        result(journal, 2, "discard", 11.0)
        result(journal, 3, "discard", 11.0)
    assert path.with_name("checkpoint").exists()


def test_a_real_session_goes_on_from_one(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8, 11, 7), files={"conftest.py": OFTEN})
    done = toy.run("--iterations=2")
    assert done.returncode == 0, done.stdout
    ledger = toy.records / "ledger.jsonl"
    assert toy.records.joinpath("checkpoint").exists()
    toy.run("--iterations=2")
    assert [one.status for one in Ledger(ledger).experiments()] == ["keep", "keep", "keep", "discard", "keep"]
    assert in_full(ledger)["progress"].counts == {"keep": 4, "discard": 1}
    assert len((toy.checkout / "results.tsv").read_text().splitlines()) == 6


OFTEN = "from pytest_autoresearch import checkpoint\n\ncheckpoint._LEAST = 0\n"
