"""The repository of a session between two runs or after a kill: refs, locks, settings, owners, and the clock."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_autoresearch.git import Git
from pytest_autoresearch.git_locks import GitLocks, LockHeld
from tests.chaos.disturbed import begun, between, goes_on, refused, refused_and_moved_back, shell, wrong_since
from tests.chaos.scene import BRANCH, PLAIN, ROOT, Act, Scene, died, make_scene, side_by_side
from tests.support import Toy, clean_environment, git, mostly_long, scores, wait_for

REFS = (f"refs/heads/{BRANCH}", f"refs/autoresearch/{BRANCH}")
NOTHING_LEFT = int(pytest.ExitCode.NO_TESTS_COLLECTED)
FORGET = "git reflog expire --expire=now --all; git gc --quiet --prune=now"


# --- refs


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (f"git update-ref -d {REFS[0]}", f"branch {BRANCH} was gone"),
        (f"git update-ref -d {REFS[1]}", f"{REFS[1]} did not keep the candidates any more"),
        (f"git update-ref -d {REFS[0]}; git update-ref -d {REFS[1]}", f"branch {BRANCH} was gone"),
        (f"git update-ref {REFS[1]} main", f"{REFS[1]} did not keep the candidates any more"),
        (f"git update-ref {REFS[1]} {REFS[1]}^", f"{REFS[1]} did not keep the candidates any more"),
        ("git pack-refs --all", ""),
        (f"git pack-refs --all; sed -i '/{BRANCH.replace('/', '.')}/d' .git/packed-refs", f"branch {BRANCH} was gone"),
        (FORGET, ""),
        (f"git update-ref -d {REFS[1]}; {FORGET}", "1 candidate(s) git has no more"),
    ],
)
def test_refs_that_are_gone_are_made_again_from_the_ledger(act: Act, how: str, said: str) -> None:
    shell(act, how)
    before = act.mine()
    done = act.go_on()
    assert done.returncode == 0, done.stdout
    assert said in done.stdout
    lost = [f"[2] the candidate of experiment 2 ({act.toy.ledger('applied')[1]['commit'][:7]}) is kept by no ref"]
    assert wrong_since(act, before) == (lost if "no more" in said else [])


def test_commits_that_git_has_lost_are_named_and_can_be_fetched_from_a_copy(act: Act, tmp_path: Path) -> None:
    copy = tmp_path / "the copy"
    shell(act, f"git clone --quiet --mirror . '{copy}'; git update-ref -d {REFS[0]}; git update-ref -d {REFS[1]}")
    shell(act, FORGET)
    lost = act.toy.ledger("applied")[0]["commit"]
    said = refused(act)
    assert f"commit {lost} (experiment 1) is in {act.toy.directory} no more" in said
    shell(act, between(said, "from a copy of the repository: ", ", or start").replace("COPY", shlex.quote(str(copy))))
    goes_on(act)


@pytest.mark.parametrize("to", ["main", "main~1", f"{BRANCH}^{{tree}} -p {BRANCH}"])
def test_a_branch_that_was_moved_is_reported_with_the_commands_that_resolve_it(act: Act, to: str) -> None:
    commit = shell(act, f"git commit-tree -m mine {to}").strip() if "-p" in to else to
    shell(act, f"git update-ref {REFS[0]} {commit}")
    assert f"branch {BRANCH} was moved" in refused_and_moved_back(act)


def test_a_session_can_begin_on_a_branch_that_was_moved(act: Act) -> None:
    mine = shell(act, f"git commit-tree -m mine {BRANCH}^{{tree}} -p {BRANCH}").strip()
    shell(act, f"git update-ref {REFS[0]} {mine}; git stash --quiet")
    shell(act, between(refused(act), "To go on from the branch as it is: ", " in your own checkout"))
    done = act.toy.run("--iterations=2", "--autoresearch-tag=run2", *PLAIN)
    assert done.returncode == 0, done.stdout
    assert git(act.toy.directory, "merge-base", mine, "toy/run2") == mine
    assert git(act.toy.directory, "rev-parse", REFS[0]) == mine


# --- locks


def prepared(act: Act, directory: Path, *refs: str) -> subprocess.Popen[str]:
    """A git that holds the locks of refs, and waits."""
    command = ["git", "update-ref", "--stdin"]
    process = subprocess.Popen(command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    updates = "".join(f"update {ref} {git(act.toy.directory, 'rev-parse', 'main')}\n" for ref in refs)
    process.stdin.write(f"start\n{updates}prepare\n")
    process.stdin.flush()
    locks = [act.toy.directory / ".git" / f"{ref}.lock" for ref in refs]
    wait_for(lambda: all(lock.exists() for lock in locks), "the locks")
    return process


def editing(act: Act) -> subprocess.Popen[str]:
    """A `git commit` in the session's checkout whose editor is open."""
    (act.toy.checkout / "notes.txt").write_text("mine\n")
    environment = clean_environment({"GIT_EDITOR": f"touch {act.toy.directory.parent}/open; sleep 1000; false"})
    command = ["git", "-c", "user.name=U", "-c", "user.email=u@example.org", "commit", "--quiet", "--all"]
    process = subprocess.Popen(command, cwd=act.toy.checkout, env=environment, text=True, start_new_session=True)
    wait_for((act.toy.directory.parent / "open").exists, "the editor")
    assert index_lock(act).exists()
    return process


def index_lock(act: Act) -> Path:
    return act.toy.directory / ".git/worktrees/toy-run1/index.lock"


def end(process: subprocess.Popen[str]) -> None:
    """`kill -9`, and what it has open."""
    process.kill()
    process.communicate()


def killed_commit(act: Act) -> None:
    process = editing(act)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (act.toy.checkout / "notes.txt").write_text("first\n")


STALE: dict[str, Callable[[Act], None]] = {
    "index": killed_commit,
    "branch": lambda act: end(prepared(act, act.toy.directory, REFS[0])),
    "chain": lambda act: end(prepared(act, act.toy.directory, REFS[1])),
    "branch and HEAD": lambda act: end(prepared(act, act.toy.checkout, REFS[0])),
}


@pytest.mark.long
def test_a_lock_that_a_killed_git_left_is_put_aside_and_the_session_goes_on(scene: Scene, tmp_path: Path) -> None:
    def work(name: str) -> list[str]:
        (tmp_path / name).mkdir()
        act = begun(scene, tmp_path / name / "act")
        before = act.mine()
        STALE[name](act)
        done = act.go_on()
        aside = [lock.name for lock in (act.toy.records / "aside").iterdir()]
        told = done.stdout.count("note: no git was left that held")
        if done.returncode or told != len(aside) or len(aside) != (2 if "and" in name else 1):
            return [f"{name}: {aside}, {done.stdout}"]
        return [f"{name}: {one}" for one in wrong_since(act, before)]

    assert side_by_side(work, STALE, at_once=len(STALE)) == []


@pytest.mark.long
def test_a_lock_that_a_living_git_holds_is_waited_for_and_never_taken(scene: Scene, tmp_path: Path) -> None:
    def work(name: str) -> list[str]:
        (tmp_path / name).mkdir()
        act = begun(scene, tmp_path / name / "act")
        holder = editing(act) if name == "index" else prepared(act, act.toy.directory, REFS[0])
        lock = index_lock(act) if name == "index" else act.toy.directory / ".git" / f"{REFS[0]}.lock"
        mark = lock.stat().st_ino
        said = refused(act)
        wrong = [] if f"{lock}: process {holder.pid} (git " in said and "let it end and run again" in said else [said]
        if lock.stat().st_ino != mark or (act.toy.records / "aside").exists():
            wrong.append(f"{name}: the lock was touched")
        os.killpg(holder.pid, signal.SIGTERM) if name == "index" else holder.communicate()
        holder.wait()
        (act.toy.checkout / "notes.txt").write_text("first\n")
        before = act.mine()
        done = act.go_on()
        if done.returncode not in (0, NOTHING_LEFT):
            wrong.append(done.stdout)
        return wrong + [f"{name}: {one}" for one in wrong_since(act, before)]

    assert side_by_side(work, ["index", "branch"], at_once=2) == []


def test_an_editor_in_the_users_checkout_and_its_locks_are_in_nobodys_way(act: Act) -> None:
    before = act.mine()
    locks = [act.toy.directory / ".git" / f"{name}.lock" for name in ("index", "HEAD", "config", "packed-refs")]
    for lock in locks:
        lock.write_text("mine")
    done = act.go_on()
    assert done.returncode == 0, done.stdout
    assert [lock.read_text() for lock in locks] == ["mine"] * len(locks)
    assert wrong_since(act, before) == []


def test_a_lock_of_the_users_that_is_in_the_way_is_reported_with_what_to_do_and_stays(act: Act) -> None:
    lock = act.toy.directory / ".git" / "index.lock"
    lock.write_text("mine")
    with pytest.raises(LockHeld, match=re.escape(f"delete it and run again: rm {lock}")):
        GitLocks(act.toy.records / "aside").output(Git(act.toy.directory), "update-index", "--refresh")
    assert lock.read_text() == "mine"


# --- settings, together with a kill


def hooks(toy: Toy, directory: Path) -> None:
    """Hooks that fail, and say so."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("pre-commit", "post-checkout", "post-index-change", "reference-transaction"):
        (directory / name).write_text(f"#!/bin/sh\necho {name} >> {toy.directory.parent / 'hooked'}\nexit 1\n")
        (directory / name).chmod(0o755)


def other_hooks(toy: Toy) -> None:
    hooks(toy, toy.directory.parent / "hooks")
    git(toy.directory, "config", "core.hooksPath", str(toy.directory.parent / "hooks"))


def settings(**values: str) -> Callable[[Toy], None]:
    """Settings of the repository, with `__` for a dot."""

    def prepare(toy: Toy) -> None:
        for name, value in values.items():
            git(toy.directory, "config", name.replace("__", "."), value)

    return prepare


def filters(toy: Toy) -> None:
    settings(filter__x__clean="sed s/score/STORED/", filter__x__smudge="sed s/STORED/score/")(toy)
    toy.write(".gitattributes", "solution.sh filter=x\n")
    git(toy.directory, "add", ".gitattributes", "solution.sh")
    git(toy.directory, "add", "--renormalize", "solution.sh")
    commit(toy)


def commit(toy: Toy) -> None:
    git(toy.directory, "-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--message", "more")


def executable(toy: Toy) -> None:
    (toy.project / "solution.sh").chmod(0o755)
    git(toy.directory, "add", "solution.sh")
    commit(toy)


def submodule(toy: Toy) -> None:
    other = toy.directory.parent / "other"
    git(toy.directory.parent, "init", "--quiet", str(other))
    git(other, "commit", "--quiet", "--allow-empty", "--message", "nothing")
    git(toy.directory, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub")
    commit(toy)


def shallow(toy: Toy) -> None:
    clone = toy.directory.parent / "clone"
    git(toy.directory.parent, "clone", "--quiet", "--depth=1", f"file://{toy.directory}", str(clone))
    shell_in(toy.directory, f"rm -rf .git; mv {clone}/.git .git")
    assert git(toy.directory, "rev-parse", "--is-shallow-repository") == "true"


def shell_in(directory: Path, command: str) -> None:
    subprocess.run(["bash", "-ec", command], cwd=directory, check=True)


SETTINGS: dict[str, Callable[[Toy], object]] = {
    "hooks": lambda toy: hooks(toy, toy.directory / ".git" / "hooks"),
    "core.hooksPath": other_hooks,
    "signed commits": settings(commit__gpgSign="true", gpg__program="false", user__signingKey="nobody"),
    "autocrlf": settings(core__autocrlf="true"),
    "filter": filters,
    "autoSetupMerge": settings(branch__autoSetupMerge="always", branch__autoSetupRebase="always"),
    "no identity": settings(user__useConfigOnly="true"),
    "executable": executable,
    "submodule": submodule,
    "shallow": shallow,
    "subdirectory": lambda toy: None,
    "split index": settings(core__splitIndex="true", core__untrackedCache="true", extensions__worktreeConfig="true"),
}


@pytest.mark.parametrize("name", mostly_long(SETTINGS, "hooks", "submodule", "subdirectory"))
def test_a_kill_in_the_middle_of_an_experiment_is_made_good_in_any_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    inside = "a project/größe 🙂" if name == "subdirectory" else "."
    scene = make_scene(tmp_path / "scene", prepare=SETTINGS[name], inside=inside)
    act = scene.play(tmp_path / "with space, größe 🙂")
    point = next(point for point in scene.points if point.startswith("started 2\t"))
    assert died(act.until(point))
    goes_on(act)
    assert not (tmp_path / "scene" / "hooked").exists()


# --- owners


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else")
def test_files_of_another_user_are_refused_with_the_command_that_git_wants(
    act: Act, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SUDO_UID", raising=False)
    (tmp_path / "home").mkdir()
    before = act.mine()
    shell(act, "chown -R 65534:65534 .")
    for directory in (act.toy.directory, act.toy.checkout):
        done = act.go_on()
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stdout
        command = f"git config --global --add safe.directory {directory}"
        assert re.search(f"belongs to another user and git does not trust it; if you do: {command}\n", done.stdout)
        shell(act, command)
    done = act.go_on()
    assert done.returncode == 0, done.stdout
    assert wrong_since(act, before) == []


# --- the clock


@pytest.mark.parametrize("after", [-1, 3], ids=["between", "during"])
def test_a_clock_that_is_set_back_by_an_hour_changes_nothing(act: Act, after: int) -> None:
    before = act.mine()
    environment = {"PYTHONPATH": str(ROOT), "CLOCK_BACK_AFTER": str(after)}
    done = act.toy.run("--iterations=2", *PLAIN, "-p", "tests.chaos.clock", env=environment)
    assert done.returncode == 0, done.stdout
    at = [record["at"] for record in act.toy.ledger()]
    assert min(second - first for first, second in itertools.pairwise(at)) < -3000
    assert wrong_since(act, before) == []


def test_the_logs_that_are_kept_are_the_last_ones_whatever_the_clock_said(tmp_path: Path) -> None:
    ideas = scores(*range(11, 37))
    act = begun(make_scene(tmp_path / "scene", ideas), tmp_path / "act", 22)
    in_an_hour = time.time() + 3600
    for log in (act.toy.checkout / ".autoresearch" / "logs").iterdir():
        os.utime(log, (in_an_hour, in_an_hour))
    goes_on(act)
    last = [record["commit"][:7] for record in act.toy.ledger("result")[-20:]]
    kept = {log.name for log in (act.toy.checkout / ".autoresearch" / "logs").iterdir()}
    assert kept == {f"run-{commit}.log" for commit in last}
