"""The checkout of a session edited, deleted, moved and copied between two runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.chaos import check
from tests.chaos.disturbed import begun, between, goes_on, refused, refused_and_moved_back, shell
from tests.chaos.scene import BRANCH, PLAIN, Act, Scene, died, existing, make_scene
from tests.cli.support import apart
from tests.support import alive, git, scores, wait_for

# --- the mutable file


def edit(act: Act, how: str = "echo echo score: 5 > solution.sh") -> bytes:
    shell(act, f"cd {act.toy.checkout}; {how}")
    return (act.toy.checkout / "solution.sh").read_bytes()


@pytest.mark.parametrize(
    "how",
    ["echo echo score: 5 > solution.sh", "ln -sf ../../notes.txt solution.sh", "git rm -q --cached solution.sh"],
    ids=["edited", "a link to the user's file", "no more in the index"],
)
def test_an_edit_is_refused_where_nobody_waits_for_it_and_its_bytes_are_kept(act: Act, how: str) -> None:
    mine = edit(act, how)
    if "rm" in how:  # the file is the incumbent's: there is nothing to decide
        goes_on(act)
        return
    said = refused(act)
    assert f"{act.toy.checkout / 'solution.sh'} holds a change that this session did not make" in said
    assert (act.toy.checkout / "solution.sh").read_bytes() == mine
    shell(act, between(said, "To be rid of it: ", "\n"))
    goes_on(act)


def test_an_edit_that_was_refused_is_measured_by_the_command_that_is_named(act: Act) -> None:
    mine = edit(act)
    assert "To have it measured: pytest-autoresearch run." in refused(act)
    done = apart(act.toy.project, "run")
    assert done.code == 0, done.err
    assert act.toy.statuses() == [("keep", 10), ("keep", 8), ("discard", 9), ("keep", 5)]
    assert git(act.toy.directory, "show", f"{BRANCH}:solution.sh").encode() == mine.rstrip()
    assert check.violations(act.toy.directory) == []


def test_an_edit_over_a_candidate_that_was_killed_is_kept(scene: Scene, tmp_path: Path) -> None:
    act = scene.play(tmp_path / "act")
    point = next(point for point in scene.points if point.startswith("started 2\t"))
    assert died(act.until(point))
    mine = edit(act)
    said = refused(act)
    assert (act.toy.checkout / "solution.sh").read_bytes() == mine
    shell(act, between(said, "To be rid of it: ", "\n"))
    goes_on(act)


@pytest.mark.parametrize("point", ["started 2\tbefore message go", "result 2\tsynced"])
def test_the_preconditions_alone_put_back_what_a_killed_experiment_left(
    scene: Scene, tmp_path: Path, point: str
) -> None:
    act = scene.play(tmp_path / "act")
    assert died(act.until(next(one for one in scene.points if one.startswith(point))))
    toy = act.toy
    assert (toy.checkout / "solution.sh").read_text() == "echo score: 9\n"
    done = toy.pytest("problem.yaml", *PLAIN)
    assert done.returncode == 0, done.stdout
    assert (toy.checkout / "solution.sh").read_text() == "echo score: 8\n"
    goes_on(act)


def test_a_read_only_file_that_was_changed_is_named_with_the_command_that_mends_it(tmp_path: Path) -> None:
    truth = {"readonly_files": ["the truth"]}
    act = begun(make_scene(tmp_path / "scene", problem=truth, files={"the truth": "1\n"}), tmp_path / "act")
    (act.toy.checkout / "the truth").write_text("2\n")
    said = refused(act)
    assert "the truth in" in said
    assert (act.toy.checkout / "the truth").read_text() == "2\n"
    shell(act, between(said, "Put it back (", "), or start"))
    goes_on(act)


# --- deleted


@pytest.mark.parametrize(
    "how",
    [
        "rm -r .autoresearch",
        "rm -r .autoresearch/toy-run1; git worktree prune",
        "rm -r .autoresearch; git reflog expire --expire=now --all; git gc --quiet --prune=now",
        "git worktree remove --force .autoresearch/toy-run1",
        "rm -r .git/worktrees",
        "rm .autoresearch/toy-run1/.git",
        "rm .git/worktrees/toy-run1/index",
        "rm -r .autoresearch/toy-run1/.autoresearch .autoresearch/toy-run1/run.log",
        "git worktree prune --expire=now; git reflog expire --expire=now --all; git gc --quiet --prune=now",
    ],
)
def test_what_is_missing_is_made_again(act: Act, how: str) -> None:
    stash = git(act.toy.directory, "stash", "list")
    shell(act, how)
    if not git(act.toy.directory, "stash", "list"):
        assert stash  # expiring every reflog drops the stash: the user's own doing
    goes_on(act)


# --- moved


def test_a_checkout_that_a_killed_git_left_half_made_is_made_anew(scene: Scene, tmp_path: Path) -> None:
    act = scene.play(tmp_path / "act")
    assert died(act.until("begin\tbefore git worktree add\t1"))
    git(act.toy.directory, "worktree", "add", "--quiet", "--no-checkout", str(act.toy.checkout), BRANCH)
    goes_on(act)


def test_a_checkout_that_was_moved_with_git_is_found_and_moved_back_by_the_command_that_is_named(
    act: Act, tmp_path: Path
) -> None:
    moved = tmp_path / "some where"
    shell(act, f"git worktree move .autoresearch/toy-run1 '{moved}'")
    said = refused(act)
    assert f"branch {BRANCH} is checked out in {moved}" in said
    assert (moved / "results.tsv").exists()
    shell(act, between(said, "move it back (", "), free it"))
    goes_on(act)


def test_a_checkout_that_was_moved_with_git_can_be_left_there(act: Act, tmp_path: Path) -> None:
    shell(act, f"git worktree move .autoresearch/toy-run1 '{tmp_path / 'moved'}'")
    shell(act, between(refused(act), "free it (", ") or start"))
    goes_on(act)
    assert len((tmp_path / "moved" / "results.tsv").read_text().splitlines()) == 4


@pytest.mark.parametrize("inside", [True, False])
def test_a_checkout_that_was_moved_without_git_is_made_again_and_stays_where_it_is(
    act: Act, tmp_path: Path, inside: bool
) -> None:
    moved = act.toy.checkout.with_name("moved") if inside else tmp_path / "moved"
    act.toy.checkout.rename(moved)
    (moved / "notes.txt").write_text("mine\n")
    goes_on(act)
    assert (moved / "notes.txt").read_text() == "mine\n"
    assert len((moved / "results.tsv").read_text().splitlines()) == 4


# --- copied


def copied(act: Act, directory: Path) -> Act:
    """A copy of the whole repository."""
    shutil.copytree(act.toy.directory, directory, symlinks=True)
    return Act(act.scene, existing(directory))


def test_a_copy_of_the_checkout_is_told_from_it(act: Act, tmp_path: Path) -> None:
    copy = tmp_path / "a copy"
    shell(act, f"cp -a .autoresearch/toy-run1 '{copy}'")
    before = git(act.toy.directory, "rev-parse", BRANCH)
    done = act.toy.pytest("--autoresearch", "--autoresearch-confirm", "--iterations=1", cwd=copy)
    assert done.returncode == 1, done.stdout
    assert f"{copy} is a copy of the checkout {act.toy.checkout}, and git takes it for that one" in done.stdout
    assert git(act.toy.directory, "rev-parse", BRANCH) == before
    shell(act, between(done.stdout, "in a checkout of its own: ", "\n"))
    own = ("--autoresearch", "--autoresearch-confirm", "--iterations=2", "--autoresearch-tag=run2", *PLAIN)
    done = act.toy.pytest(*own, cwd=tmp_path / "a copy-own")
    assert done.returncode == 0, done.stdout
    assert git(act.toy.directory, "rev-parse", BRANCH) == before
    shutil.rmtree(copy)
    done = act.go_on()
    assert done.returncode == 0, done.stdout
    assert check.violations(act.toy.directory) == []


def test_what_is_committed_in_a_copy_of_the_checkout_is_reported_and_not_overwritten(act: Act, tmp_path: Path) -> None:
    shell(act, f"cp -a .autoresearch/toy-run1 {tmp_path}/copy; cd {tmp_path}/copy; echo x > notes.txt")
    shell(act, f"cd {tmp_path}/copy; git -c core.hooksPath=/dev/null commit --quiet --all --message mine")
    assert f"branch {BRANCH} was moved" in refused_and_moved_back(act)
    assert (tmp_path / "copy" / "notes.txt").read_text() == "x\n"


def test_a_copy_of_the_whole_repository_goes_on_by_itself_after_a_kill(scene: Scene, tmp_path: Path) -> None:
    act = scene.play(tmp_path / "act")
    point = next(point for point in scene.points if point.startswith("started 2\t"))
    assert died(act.until(point))
    copy = copied(act, tmp_path / "copy")
    refs = git(act.toy.directory, "show-ref")
    goes_on(copy)
    assert git(act.toy.directory, "show-ref") == refs
    goes_on(act)


def test_a_copy_that_is_made_while_the_session_runs_does_not_end_its_processes(tmp_path: Path) -> None:
    waiting = f"echo $$ > {tmp_path}/pid; until test -e {tmp_path}/go; do sleep 0.05; done; echo score: 8\n"
    ideas = [{"hypothesis": "wait", "content": waiting}, *scores(9)]
    (tmp_path / "go").touch()
    scene = make_scene(tmp_path / "scene", ideas)
    for name in ("go", "pid"):
        (tmp_path / name).unlink()
    act = scene.play(tmp_path / "act")
    process = act.toy.start("--iterations=2", *PLAIN)
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the experiment")
    copy = copied(act, tmp_path / "copy")
    checked = copy.toy.pytest("problem.yaml", *PLAIN)
    assert checked.returncode == 0, checked.stdout
    assert alive(int((tmp_path / "pid").read_text()))
    (tmp_path / "go").touch()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert act.wrong() == []
    goes_on(copy)


def test_the_ledger_of_a_copy_names_its_own_checkout(act: Act, tmp_path: Path) -> None:
    copy = copied(act, tmp_path / "copy")
    goes_on(copy)
    paths = [record["path"] for record in copy.toy.ledger("checkout")]
    assert paths == [str(act.toy.checkout), str(copy.toy.checkout)]
