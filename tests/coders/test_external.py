"""Edits by hand: who waits for them, what is taken for one, and what ends the wait."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_autoresearch.coders import external
from pytest_autoresearch.coders.base import NoEdit
from pytest_autoresearch.coders.choice import chosen_section, edit_limit, fallback_limit, uses_editor
from pytest_autoresearch.coders.external import External, HandEdits
from pytest_autoresearch.critics.base import Exhausted
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.sections import CoderSection
from tests.coders.support import IDEA, Room, open_room
from tests.conftest import MakeToy
from tests.support import Toy, git, kill, wait_for

EDITED = "echo score: 8\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits looks more often."""
    monkeypatch.setattr(external, "_POLL_S", 0.02)
    monkeypatch.setattr(external, "_SETTLE_S", 0.05)
    monkeypatch.setattr(external, "_TICK_S", 0.01)


@pytest.fixture
def room(make_toy: MakeToy) -> Iterator[Room]:
    with open_room(make_toy()) as opened:
        yield opened


def after(room: Room, ticks: int, *steps: object) -> None:
    """Take these steps, one at each tick from the `ticks`-th on."""
    waiting = iter([*[lambda: None] * ticks, *steps])

    def tick(elapsed: float) -> None:
        step = next(waiting, None)
        if callable(step):
            step()

    room.ticked = tick


# --- the wait


def test_an_edit_is_taken_when_there_is_one(room: Room) -> None:
    after(room, 3, lambda: room.edit(EDITED))
    assert External(room.site, None).apply(IDEA, room.source) == EDITED.encode()


def test_it_is_said_what_to_edit_and_how_to_go_about_it(room: Room) -> None:
    after(room, 1, lambda: room.edit(EDITED))
    External(room.site, None).apply(IDEA, room.source)
    session = room.site.session
    assert room.lines == [
        f"experiment {room.site.number}: edit {room.site.workspace.mutable} (the idea is in {session.idea_file}, "
        f"how to go about it in {session.program_file})"
    ]
    assert "You edit `solution.sh` and nothing else" in session.program_file.read_text()
    assert External(room.site, None).plan(IDEA) == f"edit {room.site.workspace.mutable} yourself"


def test_a_file_that_is_still_being_written_is_waited_for(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "_SETTLE_S", 0.5)

    def write() -> None:
        for number in range(10):
            room.edit(f"echo {number}\n")
            time.sleep(0.02)
        room.edit(EDITED)

    writer = threading.Thread(target=write)
    after(room, 0, writer.start)
    assert HandEdits(room.site).wait(None) == EDITED.encode()
    writer.join()


def test_what_is_no_edit_is_not_taken_for_one(room: Room) -> None:
    mutable = room.site.workspace.mutable
    after(room, 0, mutable.touch, mutable.unlink, lambda: room.edit("echo score: 10\n"), lambda: room.edit(EDITED))
    assert HandEdits(room.site).wait(None) == EDITED.encode()


def test_nobody_is_waited_for_longer_than_was_said(room: Room) -> None:
    with pytest.raises(NoEdit, match=r"nobody edited .*toy-run1/solution.sh within 0.1 s"):
        HandEdits(room.site).wait(0.1)


def test_where_nobody_is_to_be_waited_for_the_user_is_told_what_to_do(room: Room) -> None:
    with pytest.raises(UserError, match=r"no coder is switched on: edit .*solution.sh yourself, then have"):
        External(room.site, 0).apply(IDEA, room.source)


def test_an_edit_of_the_users_own_checkout_is_pointed_out_once(room: Room) -> None:
    own, mutable = room.toy.project / "solution.sh", room.site.workspace.mutable
    after(room, 2, lambda: own.write_text("echo score: wrong place\n"), *[None] * 9, lambda: room.edit(EDITED))
    assert HandEdits(room.site).wait(None) == EDITED.encode()
    assert room.lines == [f"{own} was edited, which is not measured; the session's own file is {mutable}"]
    assert own.read_text() == "echo score: wrong place\n"


def test_a_stop_rule_ends_the_wait(make_toy: MakeToy) -> None:
    with open_room(make_toy(problem={"stop": {"hours": 0.1 / 3600}})) as room, pytest.raises(Exhausted, match="hours"):
        HandEdits(room.site).wait(None)


# --- who is asked, and for how long


@pytest.mark.parametrize(
    ("asked", "wait_s", "ci", "limits"),
    [
        (None, None, False, (None, 600, 60)),
        (None, None, True, (60, 60, 60)),
        (None, 5, True, (5, 5, 5)),
        (7.0, 5, False, (7, 7, 7)),
    ],
)
def test_how_long_an_edit_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
    asked: float | None,
    wait_s: float | None,
    ci: bool,
    limits: tuple[float | None, ...],
) -> None:
    monkeypatch.setenv("CI", "1" if ci else "")
    coder = CoderSection(wait_s=wait_s)
    fallback = (fallback_limit(coder, asked, bounded=bounded) for bounded in (False, True))
    assert (edit_limit(coder, asked), *fallback) == limits


def test_the_option_chooses_another_coder_and_leaves_the_rest() -> None:
    section = CoderSection(enabled=True, agent="codex", command=["mine"], timeout_s=5)
    assert chosen_section(section, None) == section
    assert not chosen_section(section, "external").enabled
    chosen = chosen_section(section, "editor")
    assert (chosen.enabled, chosen.agent, chosen.command, chosen.timeout_s) == (True, "editor", None, 5)
    assert uses_editor(chosen)
    assert not uses_editor(section)
    assert not uses_editor(CoderSection(agent="editor"))


# --- in the loop

CONFTEST = """
from pytest_autoresearch.coders import external
from pytest_autoresearch.records import Idea

external._POLL_S = external._SETTLE_S = external._TICK_S = 0.05

def pytest_autoresearch_propose(brief):
    return Idea(hypothesis=f"idea {sum(brief.ideas.values()) + 1}", critic="scripted")
"""


def waiting_toy(make_toy: MakeToy) -> Toy:
    """A toy whose critic has ideas and no edits, and that has no coder."""
    return make_toy(problem={"critic": {"enabled": False}}, files={"conftest.py": CONFTEST})


def waits_for(toy: Toy, hypothesis: str) -> None:
    """Return once the session waits for an edit of this idea."""
    file, program = toy.checkout / "next_idea.json", toy.checkout / "program.md"

    def shown() -> bool:
        # a file that is replaced in one step is never half there
        return program.exists() and file.exists() and json.loads(file.read_text())["hypothesis"] == hypothesis

    wait_for(shown, hypothesis)


def edit(toy: Toy, content: str) -> None:
    (toy.checkout / "solution.sh").write_text(content)


def interrupted(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    return output


def test_the_loop_goes_on_by_itself_with_each_edit(make_toy: MakeToy) -> None:
    toy = waiting_toy(make_toy)
    process = toy.start("--iterations=3", "--autoresearch-edit-timeout=20")
    waits_for(toy, "idea 1")
    (toy.project / "solution.sh").write_text("echo score: the wrong file\n")
    edit(toy, "echo score: 8\n")
    waits_for(toy, "idea 2")
    edit(toy, "echo score: 9\n")
    waits_for(toy, "idea 3")
    edit(toy, "echo score: 7\n")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("discard", 9), ("keep", 7)]
    assert [record["description"] for record in toy.ledger("result")[1:]] == ["idea 1", "idea 2", "idea 3"]
    assert "coder external: edits by hand, in the session's checkout" in output
    assert (toy.project / "solution.sh").read_text() == "echo score: the wrong file\n"
    assert git(toy.checkout, "status", "--porcelain") == ""


def test_where_nobody_edits_the_loop_says_so_and_ends(make_toy: MakeToy) -> None:
    toy = waiting_toy(make_toy)
    done = toy.run("--iterations=2", "--autoresearch-edit-timeout=0.1")
    assert done.returncode == 5, done.stdout
    assert toy.statuses() == [("keep", 10)]
    assert [record["reason"].split("edited")[0] for record in toy.ledger("noop")] == ["nobody ", "nobody "]
    assert done.stdout.count("no experiment: nobody edited") == 2


@pytest.mark.parametrize("end", ["interrupt", "kill -9"])
def test_an_edit_between_two_runs_is_measured_with_the_idea_that_it_was_made_for(make_toy: MakeToy, end: str) -> None:
    toy = waiting_toy(make_toy)
    process = toy.start("--iterations=1")
    waits_for(toy, "idea 1")
    if end == "interrupt":
        interrupted(process)
    else:
        kill(process)
    edit(toy, "echo score: 8\n")
    done = toy.run("--iterations=1")
    assert done.returncode == 0, done.stdout
    assert toy.statuses() == [("keep", 10), ("keep", 8)]
    assert [record["description"] for record in toy.ledger("result")[1:]] == ["idea 1"]
    assert len(toy.ledger("idea")) == 1


def test_an_edit_that_was_made_before_there_was_an_idea_is_one_of_its_own(make_toy: MakeToy) -> None:
    toy = waiting_toy(make_toy)
    toy.run("--iterations=1", "--autoresearch-edit-timeout=0.1")
    edit(toy, "echo score: 8\n")
    done = toy.run("--iterations=1")
    assert done.returncode == 0, done.stdout
    assert [record["description"] for record in toy.ledger("result")[1:]] == ["edited by hand"]
    assert toy.statuses() == [("keep", 10), ("keep", 8)]


def test_an_edit_that_comes_while_another_one_is_measured_is_kept(make_toy: MakeToy) -> None:
    toy = waiting_toy(make_toy)
    process = toy.start("--iterations=1")
    waits_for(toy, "idea 1")
    running = toy.directory / "running"
    edit(toy, f"touch {running}; sleep 1; echo score: 8\n")
    wait_for(running.exists, "the runner")
    edit(toy, "echo score: 7\n")
    output, _ = process.communicate(timeout=60)
    assert toy.statuses() == [("keep", 10), ("keep", 8)], output
    aside = (toy.checkout / ".autoresearch" / "aside").iterdir()
    assert [path.read_text() for path in aside] == ["echo score: 7\n"]


def test_a_stop_rule_ends_a_night_that_waits(make_toy: MakeToy) -> None:
    toy = make_toy(
        problem={"critic": {"enabled": False}, "stop": {"hours": 3 / 3600}}, files={"conftest.py": CONFTEST}
    )
    done = toy.run("--iterations=2")
    assert "hours" in done.stdout
    assert toy.statuses() == [("keep", 10)]


def test_what_is_told_of_another_session_is_not_mixed_up(make_toy: MakeToy) -> None:
    """Two sessions wait side by side, and each takes the edit of its own checkout."""
    toy = waiting_toy(make_toy)
    first, second = toy.start("--iterations=1"), None
    try:
        waits_for(toy, "idea 1")
        second = toy.start("--iterations=1", "--autoresearch-tag=run2")
        other = toy.directory / ".autoresearch" / "toy-run2"
        wait_for((other / "program.md").exists, "the other session")
        edit(toy, "echo score: 8\n")
        first.communicate(timeout=60)
        assert second.poll() is None
        Path(other, "solution.sh").write_text("echo score: 7\n")
        second.communicate(timeout=60)
    finally:
        for process in filter(None, (first, second)):
            process.kill()
    assert toy.statuses() == [("keep", 10), ("keep", 8)]
    assert git(toy.directory, "show", "toy/run2:solution.sh") == "echo score: 7"
