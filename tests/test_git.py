"""Real repositories in every state that people keep them in: the session is right, and the user's part as it was."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_autoresearch.chain import Chain, Change, Commit
from pytest_autoresearch.edits import apply_idea
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.git import Git, GitError
from pytest_autoresearch.git_locks import GitLocks
from pytest_autoresearch.judge import judge
from pytest_autoresearch.ledger import Ledger, Record
from pytest_autoresearch.opening import OpenSession, open_session, open_temporary
from pytest_autoresearch.place import Place, find_place
from pytest_autoresearch.problem import load_problem
from pytest_autoresearch.records import Idea, Measurement
from pytest_autoresearch.runner import Stage
from pytest_autoresearch.workspace import BranchMoved, Workspace
from tests import support
from tests.conftest import MakeToy
from tests.support import PROBLEM, Toy

MARKER = "hooked"
HOOKS = (
    "pre-commit",
    "post-commit",
    "post-checkout",
    "post-index-change",
    "reference-transaction",
    "prepare-commit-msg",
)
WEIRD = "-o' [x]*\"ü $(echo) \\.sh"


def git(directory: Path, *arguments: str) -> str:
    """What git prints, without the hooks that a test has laid out for others."""
    return support.git(directory, "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", *arguments)


def quiet(stage: Stage, elapsed: float) -> None:
    """Nobody watches."""


def place_of(problem_file: Path, tag: str = "run1") -> Place:
    return find_place(problem_file, load_problem(problem_file).branch_prefix, tag)


def experiment(opened: OpenSession, content: str) -> float | None:
    """One experiment that makes `content` the mutable file; what was measured."""
    session = opened.session
    incumbent = session.baseline(opened.runner.measure)
    assert incumbent.metric is not None
    idea = session.propose(lambda brief: Idea(content[:40], content=content, critic="test"))
    candidate = session.apply(idea, apply_idea)
    assert candidate is not None
    measured = session.measure(candidate, opened.runner.measure)
    session.record(idea, candidate, measured, judge(measured, incumbent.metric, session.problem.lower_is_better))
    return measured.metric


def research(problem_file: Path, *contents: str) -> Place:
    """Open the session, make these experiments, close it."""
    place = place_of(problem_file)
    with open_session(place, load_problem(problem_file), quiet) as opened:
        opened.session.baseline(opened.runner.measure)
        for content in contents:
            experiment(opened, content)
    return place


def refusal(problem_file: Path) -> str:
    with pytest.raises(UserError) as caught:
        research(problem_file)
    return str(caught.value)


def records(place: Place, kind: str) -> list[Record]:
    return list(Ledger(place.records / "ledger.jsonl").records(kind))


def users_part(top: Path) -> dict[str, object]:
    """The user's checkout byte for byte, its index, its status, and every ref that is not a session's."""
    files = {
        str(path.relative_to(top)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in sorted(top.rglob("*"))
        if not {".git", ".autoresearch"} & set(path.relative_to(top).parts)
    }
    refs = git(top, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return {
        "files": files,
        "status": git(top, "--no-optional-locks", "status", "--porcelain"),
        "index": (top / git(top, "rev-parse", "--git-path", "index")).read_bytes(),
        "head": (top / git(top, "rev-parse", "--git-path", "HEAD")).read_bytes(),
        "refs": [ref for ref in refs if "toy/run1" not in ref],
    }


def assert_whole(place: Place, statuses: list[str]) -> None:
    """Branch, chain, checkout and index are what the ledger says, also after a thorough `git gc`."""
    results, applied = records(place, "result"), records(place, "applied")
    assert [result["status"] for result in results] == ["keep", *statuses]
    start = records(place, "begin")[0]["commit"]
    keeps = [result["commit"] for result in results[1:] if result["status"] == "keep"]
    assert git(place.home, "rev-list", "--reverse", f"{start}..refs/heads/{place.branch}").split() == keeps
    assert git(place.checkout, "status", "--porcelain") == ""
    git(place.home, "reflog", "expire", "--expire=now", "--all")
    git(place.home, "gc", "--quiet", "--prune=now")
    chain = git(place.home, "rev-list", "--first-parent", "--reverse", f"{start}..{place.ref}").split()
    candidates = [git(place.home, "rev-parse", f"{link}^2") for link in chain]
    assert candidates[-len(applied) :] == [record["commit"] for record in applied]
    for record in applied:
        changed = git(place.home, "diff-tree", "-z", "--name-only", "-r", record["parent"], record["commit"])
        assert len(changed.strip("\0").split("\0")) == 1


def assert_unharmed(problem_file: Path, *contents: str) -> Place:
    """A session with two keeps and a discard in the middle, in a repository that is as it was afterwards."""
    top = place_of(problem_file).home
    before = users_part(top)
    chosen = contents or ("echo score: 8\n", "echo score: 9\n", "echo score: 7\n")
    place = research(problem_file, *chosen)
    assert users_part(top) == before
    assert [result["metric"] for result in records(place, "result")] == [10, 8, 9, 7]
    assert_whole(place, ["keep", "discard", "keep"])
    assert not (top.parent / MARKER).exists()
    return place


@pytest.fixture
def toy(make_toy: MakeToy) -> Toy:
    return make_toy()


def problem(**keys: Any) -> str:
    return json.dumps({**PROBLEM, **keys})


# --- hostile configuration


def install_hooks(directory: Path, marker: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in HOOKS:
        hook = directory / name
        hook.write_text(f"#!/bin/sh\necho {name} >> {shlex.quote(str(marker))}\nexit 1\n")
        hook.chmod(0o755)


def test_hooks_of_the_repository_are_not_run(toy: Toy) -> None:
    install_hooks(toy.directory / ".git/hooks", toy.directory.parent / MARKER)
    assert_unharmed(toy.project / "problem.yaml")


def test_hooks_that_the_configuration_names_are_not_run(toy: Toy) -> None:
    install_hooks(toy.directory.parent / "hooks", toy.directory.parent / MARKER)
    git(toy.directory, "config", "core.hooksPath", str(toy.directory.parent / "hooks"))
    assert_unharmed(toy.project / "problem.yaml")


def test_a_file_system_monitor_is_not_asked(toy: Toy) -> None:
    monitor = toy.directory.parent / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {shlex.quote(str(toy.directory.parent / MARKER))}\nexit 1\n")
    monitor.chmod(0o755)
    git(toy.directory, "config", "core.fsmonitor", str(monitor))
    assert_unharmed(toy.project / "problem.yaml")


@pytest.mark.parametrize(
    "settings",
    [
        {"commit.gpgSign": "true", "tag.gpgSign": "true", "gpg.program": "/bin/false", "user.signingKey": "nobody"},
        {"core.autocrlf": "true"},
        {"core.autocrlf": "true", "core.safecrlf": "true"},
        {"core.autocrlf": "input", "core.eol": "crlf"},
        {"core.fileMode": "false", "core.ignoreCase": "true", "core.symlinks": "false"},
        {"core.splitIndex": "true", "core.untrackedCache": "true", "index.version": "4", "feature.manyFiles": "true"},
        {"extensions.worktreeConfig": "true", "core.logAllRefUpdates": "always", "core.sharedRepository": "group"},
        {"color.ui": "always", "core.abbrev": "4", "core.pager": "false", "status.relativePaths": "false"},
        {"i18n.commitEncoding": "latin-1", "gc.auto": "1", "submodule.recurse": "true", "diff.external": "/bin/false"},
        {"core.attributesFile": "/nonexistent", "core.excludesFile": "/nonexistent", "core.askPass": "/bin/false"},
    ],
    ids="+".join,
)
def test_no_configuration_gets_in_the_way(toy: Toy, settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        git(toy.directory, "config", name, value)
    git(toy.directory, "status")
    assert_unharmed(toy.project / "problem.yaml")


def test_filters_that_rewrite_files_are_applied_both_ways(make_toy: MakeToy) -> None:
    toy = make_toy(problem={"readonly_files": ["truth.sh"]}, files={"truth.sh": "score\n"})
    git(toy.directory, "config", "filter.x.clean", "sed s/score/STORED/g")
    git(toy.directory, "config", "filter.x.smudge", "sed s/STORED/score/g")
    git(toy.directory, "config", "filter.x.required", "true")
    toy.write(".gitattributes", "*.sh filter=x\n")
    git(toy.directory, "add", "--renormalize", ".")
    toy.commit("filtered")
    place = assert_unharmed(toy.project / "problem.yaml")
    assert git(toy.directory, "show", f"{place.branch}:solution.sh") == "echo STORED: 7"
    assert (place.checkout / "solution.sh").read_text() == "echo score: 7\n"


@pytest.mark.parametrize(
    "variables",
    [
        {"GIT_DIR": "/nonexistent", "GIT_WORK_TREE": "/nonexistent", "GIT_COMMON_DIR": "/nonexistent"},
        {"GIT_INDEX_FILE": "/nonexistent", "GIT_OBJECT_DIRECTORY": "/nonexistent", "GIT_PREFIX": "deep/"},
        {"GIT_LITERAL_PATHSPECS": "1"},
        {"GIT_NOGLOB_PATHSPECS": "1", "GIT_OPTIONAL_LOCKS": "1", "GIT_TRACE": "2", "LC_ALL": "de_DE.UTF-8"},
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "commit.gpgSign", "GIT_CONFIG_VALUE_0": "true"},
        {"GIT_EDITOR": "/bin/false", "GIT_PAGER": "/bin/false", "GIT_EXTERNAL_DIFF": "/bin/false"},
    ],
    ids="+".join,
)
def test_no_variable_of_the_environment_gets_in_the_way(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]
) -> None:
    before = users_part(toy.directory)
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        place = research(toy.project / "problem.yaml", "echo score: 8\n", "echo score: 9\n")
    assert users_part(toy.directory) == before
    assert_whole(place, ["keep", "discard"])


@pytest.mark.parametrize("name", ["Jörg Größe", b"J\xf6rg".decode(errors="surrogateescape"), "A <B> C", None])
def test_candidates_are_the_users_or_ours_where_the_user_has_no_name(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str | None
) -> None:
    with monkeypatch.context() as patch:
        for variable in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
            patch.delenv(variable, raising=False)
        patch.setenv("HOME", str(tmp_path / "nobody"))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nobody"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        git(toy.directory, "config", "user.useConfigOnly", "true")
        if name is not None:
            patch.setenv("GIT_COMMITTER_NAME", name)
            patch.setenv("GIT_COMMITTER_EMAIL", "user@example.org")
        place = assert_unharmed(toy.project / "problem.yaml")
    said = Git(toy.directory).text("log", "-1", "--format=%an %ae", place.branch)
    assert said.endswith("pytest-autoresearch@localhost" if name is None else "user@example.org")


# --- places


@pytest.mark.parametrize("name", ["with space", "quo'te\"s", "größe 🙂", "-dash", "[glob]*", "back\\slash", "$(echo)"])
def test_a_repository_and_a_project_of_any_name(tmp_path: Path, name: str) -> None:
    toy = Toy(tmp_path / name, inside=f"{name}/deep")
    assert_unharmed(toy.project / "problem.yaml")


def test_a_mutable_and_a_read_only_file_of_any_name(make_toy: MakeToy) -> None:
    keys = {
        "mutable_file": f"sub/{WEIRD}",
        "readonly_files": [f"{WEIRD}2", f"sub/{WEIRD}.d"],
        "runner": f"bash -- sub/{shlex.quote(WEIRD)}",
    }
    files = {f"sub/{WEIRD}": "echo score: 10\n", f"{WEIRD}2": "x", f"sub/{WEIRD}.d/y": "y", "sub/-o.sh": "z"}
    toy = make_toy(problem=keys, files=files)
    assert_unharmed(toy.project / "problem.yaml")


def test_an_executable_file_stays_executable_and_a_plain_one_plain(make_toy: MakeToy) -> None:
    toy = make_toy(problem={"runner": "./solution.sh"})
    (toy.project / "solution.sh").write_text("#!/bin/sh\necho score: 10\n")
    (toy.project / "solution.sh").chmod(0o755)
    toy.commit("executable")
    place = assert_unharmed(
        toy.project / "problem.yaml", *(f"#!/bin/sh\necho score: {value}\n" for value in (8, 9, 7))
    )
    assert git(toy.directory, "ls-tree", place.branch, "solution.sh").startswith("100755")
    assert os.access(place.checkout / "solution.sh", os.X_OK)


def test_a_kept_file_that_changed_its_own_permissions_is_the_committed_one_again(toy: Toy) -> None:
    place = research(toy.project / "problem.yaml", "chmod 755 solution.sh; echo score: 8\n")
    assert_whole(place, ["keep"])
    assert not os.access(place.checkout / "solution.sh", os.X_OK)


def test_a_repository_with_long_hashes(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--object-format=sha256", "repository")
    toy = Toy(tmp_path / "repository")
    place = assert_unharmed(toy.project / "problem.yaml")
    assert len(records(place, "applied")[0]["commit"]) == 64


def test_a_shallow_clone(toy: Toy, tmp_path: Path) -> None:
    toy.write("more", "x")
    toy.commit("more")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{toy.directory}", "clone")
    assert git(tmp_path / "clone", "rev-parse", "--is-shallow-repository") == "true"
    assert_unharmed(tmp_path / "clone" / "problem.yaml")


def test_a_worktree_of_a_bare_repository(toy: Toy, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(toy.directory), "bare.git")
    git(tmp_path / "bare.git", "worktree", "add", "--quiet", "../tree", "-b", "work")
    place = assert_unharmed(tmp_path / "tree" / "problem.yaml")
    assert place.records.is_relative_to(tmp_path / "bare.git")
    assert place.checkout.is_relative_to(tmp_path / "tree")


def test_a_submodule_is_a_repository_of_its_own(toy: Toy, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    git(tmp_path, "init", "--quiet", "outer")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(toy.directory), "sub")
    git(outer, "commit", "--quiet", "--message", "with a submodule")
    before = users_part(outer)
    place = assert_unharmed(outer / "sub" / "problem.yaml")
    assert place.home == outer / "sub"
    assert users_part(outer) == before


def test_a_sparse_checkout(make_toy: MakeToy) -> None:
    toy = make_toy(inside="deep/er", files={"../../other/file": "x"})
    git(toy.directory, "sparse-checkout", "set", "--cone", "deep/er")
    assert_unharmed(toy.project / "problem.yaml")


def test_a_detached_head_and_a_tag_of_the_branchs_name(toy: Toy) -> None:
    git(toy.directory, "checkout", "--quiet", "--detach")
    git(toy.directory, "tag", "toy/run1")
    toy.write("more", "x")
    toy.commit("more")
    assert_unharmed(toy.project / "problem.yaml")


# --- what the user has not committed, ignores, or is in the middle of


def stage(toy: Toy) -> None:
    toy.write("solution.sh", "echo score: 11\n")
    git(toy.directory, "add", "solution.sh")
    toy.write("solution.sh", "echo score: 10\n")


def conflict(toy: Toy, operation: str) -> None:
    git(toy.directory, "checkout", "--quiet", "-b", "theirs")
    toy.write("other", "theirs")
    toy.commit("theirs")
    git(toy.directory, "checkout", "--quiet", "main")
    toy.write("other", "ours")
    toy.commit("ours")
    with pytest.raises(Exception, match="exit status 1"):
        git(toy.directory, operation, "theirs")


STATES: dict[str, tuple[Callable[[Toy], object], str]] = {
    "dirty mutable": (lambda toy: toy.write("solution.sh", "echo score: 11\n"), "solution.sh: has changes that are"),
    "dirty read-only": (lambda toy: toy.write("truth", "2"), "truth: has changes that are not committed"),
    "dirty problem": (lambda toy: toy.write("problem.yaml", problem(objective="x")), "problem.yaml: has changes"),
    "staged": (stage, "solution.sh: has changes that are not committed; commit them: git add "),
    "merge": (lambda toy: conflict(toy, "merge"), "in the middle of a merge; finish it: git merge --continue"),
    "rebase": (lambda toy: conflict(toy, "rebase"), "in the middle of a rebase"),
    "cherry-pick": (lambda toy: conflict(toy, "cherry-pick"), "in the middle of a cherry-pick"),
}


@pytest.mark.parametrize("state", STATES)
def test_a_checkout_that_is_not_ready_is_refused_and_left_alone(make_toy: MakeToy, state: str) -> None:
    toy = make_toy(problem={"readonly_files": ["truth"]}, files={"truth": "1"})
    make, said = STATES[state]
    make(toy)
    before = users_part(toy.directory)
    assert said in refusal(toy.project / "problem.yaml")
    assert users_part(toy.directory) == before
    assert git(toy.directory, "branch", "--list", "toy/*") == ""


def test_every_file_that_is_not_committed_is_named_with_a_command_that_works(make_toy: MakeToy) -> None:
    toy = make_toy(problem={"readonly_files": ["the truth", "new"]}, files={"the truth": "1", "new": "1"})
    git(toy.directory, "rm", "--quiet", "--cached", "new")
    git(toy.directory, "commit", "--quiet", "--message", "without")
    toy.write("the truth", "2")
    said = refusal(toy.project / "problem.yaml")
    assert "new: is not in git; add it: git add -- new && git commit -m 'add new'" in said
    assert "the truth: has changes that are not committed" in said
    for line in said.splitlines():
        added = shlex.split(line.split(": ")[-1])
        git(toy.directory, *added[1 : added.index("&&")])
    git(toy.directory, "commit", "--quiet", "--message", "all")
    research(toy.project / "problem.yaml")


@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_files_that_git_ignores_are_brought_along_with_their_permissions(make_toy: MakeToy, mode: int) -> None:
    ignored = "solution.sh\ntruth\nlists/\n"
    keys = {"readonly_files": ["truth", "lists"], "runner": "bash solution.sh; cat truth lists/a"}
    toy = make_toy(problem=keys, files={".gitignore": ignored})
    for name in ("truth", "lists/a"):
        toy.write(name, "1\n")
    (toy.project / "solution.sh").chmod(mode)
    place = assert_unharmed(toy.project / "problem.yaml")
    assert (place.checkout / "truth").read_text() == (place.checkout / "lists/a").read_text() == "1\n"
    assert (place.checkout / "solution.sh").stat().st_mode & 0o777 == mode


def test_other_work_that_is_not_committed_is_nobodys_business(make_toy: MakeToy) -> None:
    toy = make_toy(files={"notes": "1"})
    toy.write("notes", "2")
    toy.write("untracked", "x")
    git(toy.directory, "add", "notes")
    toy.write("notes", "3")
    (toy.directory / ".git/index.lock").write_text("")
    before = users_part(toy.directory)
    place = research(toy.project / "problem.yaml", "echo score: 8\n")
    assert users_part(toy.directory) == before
    (toy.directory / ".git/index.lock").unlink()
    assert (place.checkout / "notes").read_text() == "1"


def test_a_link_as_mutable_file_and_a_repository_without_a_commit_are_refused(
    make_toy: MakeToy, tmp_path: Path
) -> None:
    toy = make_toy()
    (toy.project / "solution.sh").rename(toy.project / "real.sh")
    (toy.project / "solution.sh").symlink_to("real.sh")
    toy.commit("a link")
    assert "solution.sh: is a symbolic link; name the file that it points to" in refusal(toy.project / "problem.yaml")
    git(tmp_path, "init", "--quiet", "empty")
    for name in ("problem.yaml", "solution.sh"):
        shutil.copy(toy.project / name, tmp_path / "empty")
    assert "has no commit yet" in refusal(tmp_path / "empty" / "problem.yaml")


# --- names that are taken, and work of ours that somebody touched


def test_a_branch_in_the_way_is_named_with_the_option_to_use(toy: Toy) -> None:
    git(toy.directory, "branch", "toy")
    said = refusal(toy.project / "problem.yaml")
    assert said.startswith("branch toy/run1 cannot be made")
    assert "--autoresearch-tag or branch_prefix" in said
    git(toy.directory, "branch", "--quiet", "--delete", "toy")
    git(toy.directory, "branch", "toy/run2")
    with (
        pytest.raises(UserError, match=r"branch toy/run2 exists and is no session's"),
        open_session(
            place_of(toy.project / "problem.yaml", "run2"), load_problem(toy.project / "problem.yaml"), quiet
        ),
    ):
        pass
    research(toy.project / "problem.yaml")


@pytest.mark.parametrize("tag", ["", "-x", "a/b", "..", "a..b", "x.lock", "a b", "a\nb", "é", "@{-1}"])
def test_a_tag_that_is_no_name_is_refused(toy: Toy, tag: str) -> None:
    with pytest.raises(UserError):
        place_of(toy.project / "problem.yaml", tag)


@pytest.mark.parametrize("prefix", ["-x", "/x", "a..b", "a b", "x.lock", "@{-1}", "a//b", "../../x", "a/", "HEAD^"])
def test_a_prefix_that_is_no_name_is_refused(toy: Toy, prefix: str) -> None:
    with pytest.raises(UserError, match="branch_prefix"):
        find_place(toy.project / "problem.yaml", prefix, "run1")


def test_sessions_whose_names_run_together_have_a_checkout_each(toy: Toy) -> None:
    problem_file = toy.project / "problem.yaml"
    for prefix, tag in (("a-b", "c"), ("a", "b-c"), ("a/b", "c"), ("a-b", "c")):
        place = find_place(problem_file, prefix, tag)
        with open_session(place, load_problem(problem_file), quiet) as opened:
            assert git(opened.session.workspace.checkout, "symbolic-ref", "HEAD") == f"refs/heads/{prefix}/{tag}"


def test_the_problem_in_a_sessions_own_checkout_is_the_users_problem(toy: Toy) -> None:
    place = research(toy.project / "problem.yaml")
    assert place_of(place.checkout / "problem.yaml") == place


def test_no_repository_is_said_with_the_command_to_make_one(tmp_path: Path, toy: Toy) -> None:
    with pytest.raises(UserError, match="not in a git repository; make one: git init"):
        find_place(tmp_path / "problem.yaml", "toy", "run1")
    with pytest.raises(UserError, match="inside a git directory, not a checkout"):
        find_place(toy.directory / ".git" / "problem.yaml", "toy", "run1")


def test_a_branch_that_is_checked_out_elsewhere_is_not_taken_from_there(toy: Toy, tmp_path: Path) -> None:
    place = research(toy.project / "problem.yaml", "echo score: 8\n")
    git(toy.directory, "worktree", "remove", "--force", str(place.checkout))
    git(toy.directory, "worktree", "add", "--quiet", str(tmp_path / "mine"), "toy/run1")
    assert f"branch toy/run1 is checked out in {tmp_path / 'mine'}" in refusal(toy.project / "problem.yaml")
    git(tmp_path / "mine", "switch", "--quiet", "--detach")
    assert_whole(research(toy.project / "problem.yaml", "echo score: 7\n"), ["keep", "keep"])


@pytest.mark.parametrize("prune", [True, False])
def test_a_checkout_that_was_deleted_by_hand_is_made_again(toy: Toy, prune: bool) -> None:
    place = research(toy.project / "problem.yaml", "echo score: 8\n")
    shutil.rmtree(place.checkout)
    if prune:
        git(toy.directory, "worktree", "prune")
    research(toy.project / "problem.yaml", "echo score: 7\n")
    assert (place.checkout / "solution.sh").read_text() == "echo score: 7\n"
    assert len((place.checkout / "results.tsv").read_text().splitlines()) == 4
    assert_whole(place, ["keep", "keep"])


def test_a_repository_that_was_renamed_takes_its_session_along(toy: Toy, tmp_path: Path) -> None:
    research(toy.project / "problem.yaml", "echo score: 8\n")
    toy.directory.rename(tmp_path / "renamed")
    place = research(tmp_path / "renamed/problem.yaml", "echo score: 7\n")
    assert not toy.directory.exists()
    assert (place.checkout / "solution.sh").read_text() == "echo score: 7\n"
    assert_whole(place, ["keep", "keep"])


def test_a_copy_of_a_repository_and_the_original_never_notice_each_other(toy: Toy, tmp_path: Path) -> None:
    original = research(toy.project / "problem.yaml", "echo score: 8\n")
    shutil.copytree(toy.directory, tmp_path / "copy", symlinks=True)
    seen = [users_part(toy.directory), git(toy.directory, "show-ref"), git(toy.directory, "worktree", "list")]
    copy = research(tmp_path / "copy/problem.yaml", "echo score: 7\n")
    assert [users_part(toy.directory), git(toy.directory, "show-ref"), git(toy.directory, "worktree", "list")] == seen
    assert (original.checkout / "solution.sh").read_text() == "echo score: 8\n"
    assert (copy.checkout / "solution.sh").read_text() == "echo score: 7\n"
    for problem_file in (toy.project / "problem.yaml", tmp_path / "copy/problem.yaml"):
        research(problem_file, "echo score: 6\n")
    assert_whole(original, ["keep", "keep"])
    assert_whole(copy, ["keep", "keep", "keep"])


@pytest.mark.parametrize("name", ["solution.sh", "truth", "problem.yaml", "results.tsv", ".autoresearch", ".git"])
def test_whatever_is_missing_in_a_checkout_is_put_back_and_nothing_is_done_to_the_users(
    make_toy: MakeToy, name: str
) -> None:
    toy = make_toy(problem={"readonly_files": ["truth"]}, files={"truth": "1"})
    place = research(toy.project / "problem.yaml", "echo score: 8\n")
    before = users_part(toy.directory)
    target = place.checkout / name
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    research(toy.project / "problem.yaml", "echo score: 7\n")
    assert users_part(toy.directory) == before
    assert_whole(place, ["keep", "keep"])


def test_a_candidate_that_cuts_its_checkout_off_does_not_get_at_the_users_index(toy: Toy) -> None:
    before = users_part(toy.directory)
    with contextlib.suppress(UserError):
        research(toy.project / "problem.yaml", "rm -f .git; echo score: 8\n")
    assert users_part(toy.directory) == before
    assert_whole(research(toy.project / "problem.yaml", "echo score: 7\n"), ["keep", "keep"])
    assert users_part(toy.directory) == before


@pytest.mark.parametrize(
    "name", ["results.tsv", "results.tsv.new", "next_idea.json", "next_idea.json.new", "run.log.new"]
)
def test_nothing_is_written_through_a_link_that_a_candidate_has_laid_out(toy: Toy, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").write_text("mine\n")
    lay = f"ln -sfn {shlex.quote(str(tmp_path / 'mine'))} {name}"
    place = research(toy.project / "problem.yaml", f"{lay}; echo score: 8\n", f"{lay}; : ; echo score: 7\n")
    research(toy.project / "problem.yaml", "echo score: 6\n")
    assert (tmp_path / "mine").read_text() == "mine\n"
    assert len((place.checkout / "results.tsv").read_text().splitlines()) == 5
    assert not (place.checkout / "results.tsv").is_symlink()


@pytest.mark.parametrize("metric", [float("nan"), float("inf")])
def test_a_measure_hook_that_gives_no_number_has_made_a_crash(toy: Toy, metric: float) -> None:
    place = place_of(toy.project / "problem.yaml")
    with open_session(place, load_problem(toy.project / "problem.yaml"), quiet) as opened:
        session = opened.session
        session.baseline(opened.runner.measure)
        idea = session.propose(lambda brief: Idea("h", content="echo score: 8\n", critic="test"))
        candidate = session.apply(idea, apply_idea)
        assert candidate is not None
        measured = session.measure(candidate, lambda measured: Measurement(metric))
        done = session.record(idea, candidate, measured, judge(measured, 10.0, lower_is_better=True))
    assert (done.status, done.metric) == ("crash", None)
    assert_whole(research(toy.project / "problem.yaml", "echo score: 7\n"), ["crash", "keep"])


def test_a_branch_that_somebody_moved_is_reported_and_never_overwritten(toy: Toy) -> None:
    place = research(toy.project / "problem.yaml", "echo score: 8\n", "echo score: 7\n")
    start = records(place, "begin")[0]["commit"]
    git(toy.directory, "update-ref", "refs/heads/toy/run1", start)
    with pytest.raises(BranchMoved, match=r"git -C .* update-ref refs/heads/toy/run1 [0-9a-f]{40}"):
        research(toy.project / "problem.yaml")
    assert git(toy.directory, "rev-parse", "toy/run1") == start


def test_a_branch_that_is_moved_while_the_session_runs_stays_where_it_was_moved_to(toy: Toy) -> None:
    place = place_of(toy.project / "problem.yaml")
    with open_session(place, load_problem(toy.project / "problem.yaml"), quiet) as opened:
        experiment(opened, "echo score: 8\n")
        head = git(toy.directory, "rev-parse", "HEAD")
        git(toy.directory, "update-ref", "refs/heads/toy/run1", head)
        with pytest.raises(BranchMoved):
            experiment(opened, "echo score: 7\n")
    assert git(toy.directory, "rev-parse", "toy/run1") == head
    assert [result["metric"] for result in records(place, "result")] == [10, 8, 7]


def test_an_index_that_somebody_has_locked_is_waited_for(toy: Toy) -> None:
    place = place_of(toy.project / "problem.yaml")
    with open_session(place, load_problem(toy.project / "problem.yaml"), quiet) as opened:
        lock = Path(git(place.checkout, "rev-parse", "--absolute-git-dir"), "index.lock")
        lock.write_text("")
        timer = threading.Timer(0.5, lock.unlink)
        timer.start()
        experiment(opened, "echo score: 8\n")
        timer.join()
    assert_whole(place, ["keep"])


def test_a_check_of_the_problem_leaves_nothing_behind(toy: Toy) -> None:
    problem_file = toy.project / "problem.yaml"
    before = users_part(toy.directory), git(toy.directory, "worktree", "list"), git(toy.directory, "show-ref")
    with open_temporary(place_of(problem_file), load_problem(problem_file), quiet) as opened:
        checkout = opened.session.workspace.checkout
        assert opened.session.baseline(opened.runner.measure).metric == 10
    assert (
        users_part(toy.directory),
        git(toy.directory, "worktree", "list"),
        git(toy.directory, "show-ref"),
    ) == before
    assert not checkout.parent.exists()
    assert toy.user_status() == ""


# --- the mutable file


def bare_workspace(toy: Toy, mutable_file: str) -> Workspace:
    workspace = Workspace(toy.directory, ".", mutable_file, None, "refs/autoresearch/x")
    workspace.stand_on(git(toy.directory, "rev-parse", "HEAD"))
    return workspace


@pytest.mark.parametrize("planted", [".autoresearch/new-solution.sh", "src/solution.sh", "src"])
def test_the_mutable_file_is_never_written_through_a_link(make_toy: MakeToy, tmp_path: Path, planted: str) -> None:
    toy = make_toy(files={"src/solution.sh": "the incumbent\n"})
    workspace = bare_workspace(toy, "src/solution.sh")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "solution.sh").write_text("mine\n")
    link = toy.directory / planted
    link.parent.mkdir(exist_ok=True)
    if link.exists():
        shutil.move(link, tmp_path / "moved")
    link.symlink_to(mine if planted == "src" else mine / "solution.sh")
    workspace.write(b"a candidate\n")
    workspace.restore()
    assert (mine / "solution.sh").read_text() == "mine\n"
    assert (toy.directory / "src/solution.sh").read_text() == "the incumbent\n"
    assert not (toy.directory / "src").is_symlink()


@pytest.mark.parametrize("blocked", ["src/solution.sh", "src", ".autoresearch"])
def test_what_stands_in_the_place_of_the_mutable_file_is_put_aside_and_not_deleted(
    make_toy: MakeToy, blocked: str
) -> None:
    toy = make_toy(files={"src/solution.sh": "the incumbent\n"})
    workspace = bare_workspace(toy, "src/solution.sh")
    place = toy.directory / blocked
    if blocked == "src/solution.sh":
        place.unlink()
        place.mkdir()
        (place / "work").write_text("precious")
    else:
        shutil.rmtree(place, ignore_errors=True)
        place.write_text("precious")
    workspace.restore()
    assert (toy.directory / "src/solution.sh").read_text() == "the incumbent\n"
    left = [path for path in toy.directory.rglob("*") if path.is_file() and ".git" not in path.parts]
    assert "precious" in [path.read_text() for path in left]


def test_what_is_put_aside_never_replaces_what_was_put_aside_before(toy: Toy) -> None:
    workspace = bare_workspace(toy, "solution.sh")
    for content in ("first", "second", "third"):
        toy.write("work", content)
        aside = workspace.put_aside(toy.directory / "work")
        if content == "first":
            aside.unlink()
    assert sorted(path.read_text() for path in aside.parent.iterdir()) == ["second", "third"]


@pytest.mark.parametrize(("flag", "prefix"), [("", None), ("-O ", None), ("", "absolute"), ("", "relative")])
def test_each_of_two_edits_of_equal_size_within_a_second_is_measured_as_what_it_is(
    make_toy: MakeToy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flag: str, prefix: str | None
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    if prefix is not None:
        monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "cache") if prefix == "absolute" else "cache")
    keys = {"mutable_file": "deep/solution.py", "readonly_files": ["main.py"], "runner": f"python {flag}main.py"}
    main = "from deep import solution\nprint('score:', solution.VALUE)\n"
    ignored = "__pycache__/\ncache/\n"
    toy = make_toy(problem=keys, files={"deep/solution.py": "VALUE = 9\n", "main.py": main, ".gitignore": ignored})
    values = [8, 7, 9, 5, 6, 4]
    place = research(
        toy.project / "problem.yaml", *(f"VALUE = {value}\n# {index}\n" for index, value in enumerate(values))
    )
    assert [result["metric"] for result in records(place, "result")] == [9, *values]
    assert list(place.checkout.rglob("*.pyc")) or list((tmp_path / "cache").rglob("*.pyc"))


# --- the wrapper


@pytest.mark.parametrize("path", ["plain", WEIRD, "new\nline", "größe/🙂", "a\\n", '"'])
def test_a_commit_beside_the_index_changes_one_file_of_any_name(toy: Toy, path: str) -> None:
    wrapper, head = Git(toy.directory), git(toy.directory, "rev-parse", "HEAD")
    before = users_part(toy.directory)
    blob = wrapper.hash_file(path, b"content\n")
    ref = "refs/autoresearch/toy/run1"
    wanted = Commit(head, Change(path, "100644", blob), "größer\n", "A <a@b>")
    commit = Chain(wrapper, ref, head, GitLocks(toy.directory)).add(wanted)
    assert users_part(toy.directory) == before
    assert wrapper.listed("diff-tree", "-z", "-r", "--name-only", head, commit) == [path]
    assert wrapper.text("rev-list", "--parents", "-1", ref).split()[1:] == [head, commit]


def test_what_git_says_is_in_the_error(toy: Toy) -> None:
    with pytest.raises(GitError, match=r"git cat-file -t nothing failed in .* \(128\): .*nothing"):
        Git(toy.directory).output("cat-file", "-t", "nothing")
    assert Git(toy.directory).ask("cat-file", "-t", "nothing") is None


def test_a_missing_git_is_said(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(toy.directory))
    with pytest.raises(UserError, match="git: not found; install git"):
        Git(toy.directory).output("status")


def test_what_git_prints_can_be_read_as_it_comes_and_a_refusal_is_told_at_the_end(make_toy: MakeToy) -> None:
    toy = make_toy()
    lines = Git(toy.directory).stream("cat-file", "--batch-check=%(rest)", stdin=b"HEAD one\nHEAD three\n", length=5)
    assert list(lines) == [b"one\n", b"three", b"\n"]
    with pytest.raises(GitError, match=r"git cat-file -t nothing failed in .* \(128\): .*nothing"):
        list(Git(toy.directory).stream("cat-file", "-t", "nothing", stdin=b"", length=100))
