"""The ledger and `results.tsv`, torn and tampered with between two runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pytest_autoresearch.journal import Journal
from pytest_autoresearch.ledger import LedgerDamaged
from pytest_autoresearch.opening import open_session
from pytest_autoresearch.place import find_place
from pytest_autoresearch.problem import load_problem
from tests.chaos.disturbed import begun, between, everything, goes_on, refused, refused_and_moved_back, shell
from tests.chaos.scene import BRANCH, PLAIN, Act, Scene
from tests.support import git


def ledger(act: Act) -> Path:
    return act.toy.records / "ledger.jsonl"


# --- torn


@pytest.mark.parametrize("experiments", [1, 2], ids=["keep", "discard"])
def test_every_beginning_of_the_last_two_lines_is_read_as_the_whole_lines_in_it(
    scene: Scene, tmp_path: Path, experiments: int
) -> None:
    """Nothing but the ledger differs between them: what follows is the next test's."""
    path = ledger(begun(scene, tmp_path / "act", experiments))
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for length in range(len(b"".join(lines[:-2])), len(whole) + 1):
        path.write_bytes(whole[:length])
        with closing(Journal(path)) as journal:
            assert journal.progress.begin is not None
        assert path.read_bytes() == whole[: whole.rfind(b"\n", 0, length) + 1]


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("left", [0, 1, 200, -1], ids=["nothing", "a byte", "a part", "all but the newline"])
def test_a_session_whose_last_lines_are_torn_goes_on(scene: Scene, tmp_path: Path, lost: int, left: int) -> None:
    act = begun(scene, tmp_path / "act")
    *lines, torn = ledger(act).read_bytes().splitlines(keepends=True)
    if lost == 2:
        *lines, torn = lines
    ledger(act).write_bytes(b"".join(lines) + torn[:left])
    goes_on(act)


def test_a_keep_that_is_on_the_branch_and_not_in_the_ledger_is_the_users_to_decide(
    scene: Scene, tmp_path: Path
) -> None:
    """A kill cannot do that: the record comes first, and is on the disk before the branch moves."""
    act = begun(scene, tmp_path / "act", 1)
    ledger(act).write_bytes(b"".join(ledger(act).read_bytes().splitlines(keepends=True)[:-2]))
    assert f"branch {BRANCH} was moved" in refused_and_moved_back(act)


# --- edited


def tampered(lines: list[bytes]) -> Iterator[tuple[str, int, list[bytes]]]:
    """What was done, the line that is named at the earliest, and the ledger then.

    The last line is witnessed by none after it: an edit that leaves it a record is not noticed.
    """
    last = len(lines) - 1
    for at, line in enumerate(lines):
        before, after = lines[:at], lines[at + 1 :]
        yield "doubled", at + 2, [*before, line, line, *after]
        if at < last:
            yield "edited", at + 1, [*before, line.replace(b'"at":', b'"at":1'), *after]
            yield "dropped", at + 1, [*before, *after]
            yield "swapped", at + 1, [*before, lines[at + 1], line, *lines[at + 2 :]]
        else:
            yield "edited", at + 1, [*before, line[: len(line) // 2] + b"\n"]


def test_a_line_that_was_edited_dropped_swapped_or_doubled_is_named_and_nothing_is_touched(
    scene: Scene, tmp_path: Path
) -> None:
    act = begun(scene, tmp_path / "act")
    problem_file, whole = act.toy.project / "problem.yaml", ledger(act).read_bytes()
    place, problem = find_place(problem_file, "toy", "run1"), load_problem(problem_file)
    for what, number, lines in tampered(whole.splitlines(keepends=True)):
        ledger(act).write_bytes(b"".join(lines))
        before = everything(act.toy.directory)
        with pytest.raises(LedgerDamaged) as caught, open_session(place, problem, lambda stage, elapsed: None):
            pass
        named = (f"{ledger(act)}: line {number} or the one before", f"{ledger(act)}: line {number + 1} or the one")
        assert str(caught.value).startswith(named), (what, number)
        assert everything(act.toy.directory) == before, (what, number)
    ledger(act).write_bytes(whole)
    goes_on(act)


def test_a_damaged_ledger_is_refused_in_a_sentence_and_another_session_can_be_had(
    scene: Scene, tmp_path: Path
) -> None:
    act = begun(scene, tmp_path / "act")
    damaged = ledger(act).read_bytes().replace(b'"metric":8.0', b'"metric":1.0')
    ledger(act).write_bytes(damaged)
    said = refused(act)
    assert "was changed after it was written; restore the file from a backup, or start a new session" in said
    done = act.toy.run("--iterations=1", "--autoresearch-tag=run2", *PLAIN)
    assert done.returncode == 0, done.stdout
    assert ledger(act).read_bytes() == damaged


# --- deleted


def delete_ledger(scene: Scene, directory: Path) -> tuple[Act, bytes, str]:
    act = begun(scene, directory)
    content = ledger(act).read_bytes()
    ledger(act).unlink()
    said = refused(act)
    assert f"branch {BRANCH} exists and is no session's of this machine: {ledger(act)} is not there" in said
    return act, content, said


def test_a_ledger_that_was_deleted_is_missed_and_the_session_goes_on_once_it_is_back(
    scene: Scene, tmp_path: Path
) -> None:
    act, content, _ = delete_ledger(scene, tmp_path / "act")
    ledger(act).write_bytes(content)
    goes_on(act)


def test_without_its_ledger_a_session_begins_anew_and_the_old_branch_and_checkout_stay(
    scene: Scene, tmp_path: Path
) -> None:
    act, _, said = delete_ledger(scene, tmp_path / "act")
    tip, table = git(act.toy.directory, "rev-parse", BRANCH), (act.toy.checkout / "results.tsv").read_bytes()
    shell(act, between(said, "give the branch another name: ", "\n"))
    before = act.mine()
    done = act.go_on()
    assert done.returncode == 0, done.stdout
    assert act.toy.statuses() == [("keep", 10), ("keep", 8), ("discard", 9), ("crash", None), ("keep", 7)]
    assert git(act.toy.directory, "rev-parse", f"{BRANCH}-old") == tip
    assert (act.toy.checkout / "results.tsv").read_bytes() == table
    assert act.mine() == before


def test_a_checkout_that_was_used_is_moved_aside_where_branch_and_ledger_are_gone(
    scene: Scene, tmp_path: Path
) -> None:
    act = begun(scene, tmp_path / "act")
    shell(act, f"rm -r .git/autoresearch; git update-ref -d refs/heads/{BRANCH}")
    (act.toy.checkout / "notes.txt").write_text("mine\n")
    goes_on(act)
    aside = act.toy.checkout.with_name("toy-run1.aside-1")
    assert (aside / "notes.txt").read_text() == "mine\n"
    assert len((aside / "results.tsv").read_text().splitlines()) == 4


# --- results.tsv


@pytest.mark.parametrize(
    ("done", "kept"),
    [
        ("rm results.tsv", ""),
        ("sed -i s/8.0/1.0/ results.tsv", "results.tsv.edited-1"),
        ("echo my notes >> results.tsv", "results.tsv.edited-1"),
        ("sed -i '$d' results.tsv", ""),
        ("rm results.tsv && mkdir results.tsv && echo mine > results.tsv/mine", "results.tsv.edited-1/mine"),
        ("mv results.tsv mine.log && ln -s mine.log results.tsv", "mine.log"),
    ],
    ids=["deleted", "edited", "added to", "cut", "a directory", "a link"],
)
def test_a_table_that_is_not_the_ledgers_is_rebuilt_and_the_users_is_kept(
    scene: Scene, tmp_path: Path, done: str, kept: str
) -> None:
    act = begun(scene, tmp_path / "act")
    shell(act, f"cd {act.toy.checkout}; {done}")
    mine = (act.toy.checkout / kept).name if kept else ""
    table = act.toy.checkout / "results.tsv"
    content = table.read_bytes() if table.is_file() else b"mine\n"
    shell(act, f"echo '/{mine}' >> .git/info/exclude" if mine == "mine.log" else "true")
    said = goes_on(act)
    assert (f"results.tsv was edited; it is rebuilt, and your version is {table}.edited-1" in said) == (
        "edited-1" in kept
    )
    if kept:
        assert (act.toy.checkout / kept).read_bytes() == content


def test_two_edits_of_the_table_are_both_kept(scene: Scene, tmp_path: Path) -> None:
    act = begun(scene, tmp_path / "act")
    for text in ("first\n", "second\n"):
        (act.toy.checkout / "results.tsv").write_text(text)
        act.toy.pytest("problem.yaml", *PLAIN)
    kept = [(act.toy.checkout / f"results.tsv.edited-{number}").read_text() for number in (1, 2)]
    assert kept == ["first\n", "second\n"]
    goes_on(act)
