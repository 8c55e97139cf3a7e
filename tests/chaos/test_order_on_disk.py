"""What a kill cannot show: that everything is on the disk before anything that builds on it is begun.

A loss of power takes back what was written and not flushed, in any order. So the order of the system calls is what is
looked at here, git's own included.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.trace import Event, read_trace, traced, why_no_strace
from tests.cli.support import Home, by_hand
from tests.conftest import MakeToy
from tests.support import COMMAND, PYTEST, Toy, clean_environment, scores

# After a loss of power no process is left to be ended, and the branch says by itself where it is.
NOT_FLUSHED = {"started", "advanced"}
KIND = re.compile(r'\\"kind\\":\\"(\w+)\\"')


@pytest.fixture(scope="module", autouse=True)
def strace(tmp_path_factory: pytest.TempPathFactory) -> None:
    if reason := why_no_strace(tmp_path_factory.mktemp("probe")):
        pytest.skip(reason)


def seen(repository: Path, *command: str) -> list[Event]:
    """What a command that ends well does in a repository."""
    trace = repository.parent / "trace"
    done = subprocess.run(
        traced(command, trace),
        cwd=repository,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return [event for event in read_trace(trace) if str(repository) in event.path or event.call == "execve"]


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """What a run of three experiments, two of them kept, does in the repository."""
    toy = Toy(tmp_path_factory.mktemp("traced") / "repository", scores(8, 9, 7))
    loop = ("-p", "no:cacheprovider", "--autoresearch", "--autoresearch-confirm", "--iterations=3")
    events = seen(toy.directory, *PYTEST, *loop)
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("discard", 9), ("keep", 7)]
    return events


def records(events: Sequence[Event]) -> list[tuple[str, Event]]:
    """Each record that is written to the ledger, with its kind."""
    found = [(KIND.search(event.text), event) for event in events if event.path.endswith("ledger.jsonl")]
    return [(kind[1], event) for kind, event in found if kind]


def flush(events: Sequence[Event], path: str, after: int) -> Event | None:
    """The first flush of `path` that was begun after a line of the trace."""
    return next((one for one in events if one.call == "fsync" and one.path == path and one.began > after), None)


def test_nothing_is_begun_before_the_record_of_it_is_on_the_disk(events: list[Event]) -> None:
    checked = set()
    for kind, record in records(events):
        if kind in NOT_FLUSHED:
            continue
        flushed = flush(events, record.path, record.ended)
        assert flushed is not None, kind
        between = [one for one in events if record.ended < one.began < flushed.ended and one is not flushed]
        assert between == [], kind
        checked.add(kind)
    assert checked == {"begin", "checkout", "run", "probe", "idea", "applied", "result"}


def test_the_directories_that_lead_to_the_ledger_are_on_the_disk_before_its_first_record(events: list[Event]) -> None:
    first = records(events)[0][1]
    made = {one.path: one for one in events if one.call == "mkdir"} | {
        one.path: one for one in reversed(events) if one.call == "open" and one.path == first.path
    }
    way = [path for path in (Path(first.path), *Path(first.path).parents) if str(path) in made]
    assert len(way) == 4  # .git/autoresearch/toy/run1/ledger.jsonl
    for path in way:
        flushed = flush(events, str(path.parent), made[str(path)].ended)
        assert flushed is not None, path
        assert flushed.ended < first.began, path


def test_each_object_is_on_the_disk_before_it_has_its_name(events: list[Event]) -> None:
    objects = [one for one in events if re.search(r"/\.git/objects/[0-9a-f]{2}/[0-9a-f]{38}$", one.path)]
    named = [one for one in objects if one.call in ("link", "rena") and "/tmp_objdir" not in one.path]
    assert len(named) >= 2 * 3 + 3  # a tree and two commits for each experiment, and a file
    for one in named:
        batch = re.search(r".*/tmp_objdir-bulk-fsync-\w+", one.source)
        wanted = f"{batch[0]}/bulk_fsync" if batch else one.source
        flushes = [flush.ended for flush in events if flush.call == "fsync" and flush.path.startswith(wanted)]
        assert flushes, one
        assert min(flushes) < one.began, one


def test_each_ref_is_on_the_disk_before_it_takes_the_place_of_the_old_one(events: list[Event]) -> None:
    moved = [one for one in events if one.call == "rena" and "/.git/refs/" in one.path]
    assert {Path(one.path).parent.parent.name for one in moved} == {"heads", "autoresearch"}
    for one in moved:
        flushed = [flush for flush in events if flush.call == "fsync" and flush.path == one.source]
        assert any(flush.ended < one.began for flush in flushed), one


def test_an_experiment_is_on_record_before_the_branch_advances_and_its_candidate_before_that(
    events: list[Event],
) -> None:
    steps = []
    for one in events:
        if one.call == "rena" and re.search(r"/refs/(heads|autoresearch)/toy/run1$", one.path):
            steps.append("branch" if "/heads/" in one.path else "candidate")
        elif one.call == "write" and one.path.endswith("results.tsv") and re.match(r"\w{7}\\t", one.text):
            steps.append("row")
        elif one.call == "rena" and one.path.endswith("/next_idea.json"):
            steps.append("shown")
        elif one.path.endswith("ledger.jsonl") and (kind := KIND.search(one.text)):
            steps.append(kind[1])
    once = [step for step, before in zip(steps, ["", *steps], strict=False) if step != before]
    experiments = " ".join(step for step in once if step not in ("started", "run", "probe", "begin", "checkout"))
    kept = "idea shown candidate applied result branch advanced row"
    assert experiments == f"branch result row {kept} idea shown candidate applied result row {kept}"


def test_an_edit_by_hand_is_on_the_disk_before_the_baseline_takes_its_place(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy()
    assert by_hand(tmp_path, "init", "--problem", str(toy.directory), "--target", "home").code == 0
    home = Home(tmp_path / "home")
    home.edit(8)
    events = seen(home.directory, *COMMAND, "run")
    assert home.statuses() == [("keep", 10), ("keep", 8)]
    kept = next(one for one in events if one.call == "rena" and one.path.endswith("/edit"))
    content = flush(events, kept.source, 0)
    name = flush(events, str(Path(kept.path).parent), kept.ended)
    replaced = next(one for one in events if one.call == "rena" and one.path.endswith("/solution.sh"))
    assert content is not None
    assert name is not None
    assert content.ended < kept.began
    assert name.ended < replaced.began
