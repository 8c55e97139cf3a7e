"""The fence around a coder: whatever it did, everything but the mutable file is as it was, and nothing is lost."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_autoresearch.checkout import keep_out_of_git, make_checkout, settle_at_home
from pytest_autoresearch.coders.fence import Fence
from pytest_autoresearch.coders.fence_git import Findings
from pytest_autoresearch.coders.fence_refs import ASIDE_REFS
from pytest_autoresearch.git_locks import GitLocks
from pytest_autoresearch.place import AT_HOME, find_place
from pytest_autoresearch.problem import load_problem
from pytest_autoresearch.workspace import Workspace
from tests.conftest import MakeToy
from tests.support import Toy, clean_environment, git

BIG = 300 << 10
ODD = "an odd\nname -- ü \udcff"
BASE, EXECUTABLE = "echo one\n", 0o755
FILES = {
    "evaluate.py": "print('read-only')\n",
    "run.sh": BASE,
    "src/tool.py": "tool = 1\n",
    "src/deep/er/thing.py": "thing = 1\n",
    "src/table.csv": "x" * BIG,
    "crlf.txt": "one\ntwo\n",
    ".gitattributes": "crlf.txt text eol=crlf\n",
    ".gitignore": "*.log\n/data\n__pycache__/\n/linked\n",
}


@dataclass
class Yard:
    """A repository that a user is in the middle of, the checkout of a session in it, and a directory outside."""

    toy: Toy
    workspace: Workspace
    outside: Path

    @property
    def checkout(self) -> Path:
        return self.workspace.checkout

    @property
    def common(self) -> Path:
        return self.toy.directory / ".git"

    def write(self, name: str, content: str) -> Path:
        path = self.checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def put_up(self) -> Fence:
        return Fence.put_up(self.workspace, self.toy.records)

    def run(self, fence: Fence, script: str) -> None:
        """Be the coder."""
        environment = clean_environment({"HOME": str(self.outside), "OUTSIDE": str(self.outside), "BASH_ENV": ""})
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.checkout,
            env={**environment, **fence.variables(environment)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert b"command not found" not in done.stderr

    def restore(self, fence: Fence, *readonly: str) -> Findings:
        findings = fence.restore(readonly)
        self.workspace.restore()
        fence.take_down()
        return findings

    def coder(self, script: str, meanwhile: Callable[[], object] = lambda: None) -> Findings:
        """The whole life of a coder; `meanwhile` is what the user does."""
        fence = self.put_up()
        self.run(fence, script)
        meanwhile()
        return self.restore(fence, "evaluate.py")

    def aside(self) -> dict[str, bytes]:
        """What was put aside, by its path below the directories for it."""
        top = self.workspace.project / ".autoresearch" / "aside"
        files = (path for path in top.rglob("*") if path.is_file())
        return {str(Path(*path.relative_to(top).parts[1:])): path.read_bytes() for path in files}

    def everything(self) -> dict[str, object]:
        """All that a coder has to leave alone, and what git says of it."""
        listing = ("for-each-ref", "--format=%(refname) %(objectname) %(symref)")
        refs = git(self.toy.directory, *listing).splitlines()
        return {
            "checkout": contents(self.checkout, {".git", ".autoresearch", "solution.sh"}),
            "user": contents(self.toy.directory, {".git", ".autoresearch"}),
            "outside": contents(self.outside, set()),
            "hooks": contents(self.common / "hooks", set()),
            "info": contents(self.common / "info", set()),
            "config": (self.common / "config").read_text(),
            "bisection": git(self.checkout, *listing, "refs/bisect"),
            "refs": [ref for ref in refs if not ref.startswith(ASIDE_REFS)],
            "stash": git(self.toy.directory, "stash", "list", "--format=%H %gs"),
            "heads": [git(top, "symbolic-ref", "HEAD") for top in (self.toy.directory, self.checkout)],
            "staged": [git(top, "ls-files", "--stage", "-v") for top in (self.toy.directory, self.checkout)],
            "status": git(self.checkout, "--no-optional-locks", "status", "--porcelain", "-b"),
        }


def contents(top: Path, but: set[str]) -> dict[str, tuple[int, bytes | str | None]]:
    """Type, permissions and content of everything below a directory."""
    found: dict[str, tuple[int, bytes | str | None]] = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if path.relative_to(top).parts[0] in but:
            continue
        mode = path.lstat().st_mode
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if stat.S_ISREG(mode) else None
        found[name] = (mode, content)
    return found


def furnish(yard: Yard) -> None:
    """What a session's checkout and the user's repository may hold beside what is committed."""
    yard.workspace.own_directory()
    yard.write("data/small.bin", "small")
    yard.write("data/big.bin", "y" * BIG)
    yard.write("run.log", "the last run\n")
    yard.write("notes.md", "nobody has added me\n")
    yard.write("src/tool.py", "tool = 'changed and not committed'\n")
    yard.write("src/table.csv", "z" * BIG)
    (yard.checkout / "linked").symlink_to(yard.outside)
    (yard.outside / "deep" / "er").mkdir(parents=True, mode=0o700)
    for name in ("precious.txt", "tool.py", "deep/er/thing.py", ".gitattributes", "pre-commit", "exclude"):
        (yard.outside / name).write_text("mine\n")
    home = yard.toy.directory
    for name in ("first", "second"):
        (home / "evaluate.py").write_text(f"{name}\n")
        git(home, "stash", "push", "--quiet", "--message", name)
    (home / "src" / "tool.py").write_text("the user is in the middle of something\n")
    (home / "untracked.txt").write_text("and has not added this\n")
    git(home, "branch", "feature")
    git(home, "tag", "v1")
    git(home, "tag", "-a", "-m", "annotated", "v2")
    (yard.common / "hooks" / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (yard.common / "hooks" / "post-commit").symlink_to(home / "run.sh")


def make_yard(toy: Toy) -> Yard:
    """The yard around a problem, with a checkout that has nothing in it but what is committed."""
    problem_file = toy.project / "problem.yaml"
    problem = load_problem(problem_file)
    place = find_place(problem_file, problem.branch_prefix, None)
    place.records.mkdir(parents=True)
    keep_out_of_git(place, problem)
    make_checkout(place, place.checkout, git(toy.directory, "rev-parse", "HEAD"), GitLocks(place.records))
    workspace = Workspace(place.checkout, toy.inside, "solution.sh", place.branch, place.ref)
    workspace.stand_on(git(toy.directory, "rev-parse", "HEAD"))
    outside = toy.directory.parent / "outside"
    outside.mkdir()
    return Yard(toy, workspace, outside)


@pytest.fixture
def yard(make_toy: MakeToy) -> Yard:
    toy = make_toy(files={**FILES, ODD: "odd\n"})
    (toy.project / "run.sh").chmod(EXECUTABLE)
    (toy.project / "latest").symlink_to("run.sh")
    toy.commit("the rest")
    made = make_yard(toy)
    furnish(made)
    return made


# --- files

IN_SRC = ["src/deep/er/thing.py", "src/table.csv", "src/tool.py"]
FILE_ATTACKS = {
    "nothing": ("true", []),
    "the mutable file": ("echo echo score: 8 > solution.sh", []),
    "a touch": ("touch evaluate.py src/tool.py src/deep/er/thing.py data/small.bin", []),
    "the same again": ("cp run.sh x; cat x > run.sh; mv x run.sh; chmod 755 run.sh", []),
    "a read-only file": ("echo >> evaluate.py", ["evaluate.py"]),
    "another file": ("echo >> src/deep/er/thing.py", ["src/deep/er/thing.py"]),
    "a file that is not committed": ("echo >> src/tool.py", ["src/tool.py"]),
    "a file that nobody added": ("rm notes.md", ["notes.md"]),
    "an odd name": ("rm $'an odd\\nname -- ü \\xff'", ["an odd name -- ü ?"]),
    "line endings": ("echo three >> crlf.txt", ["crlf.txt"]),
    "how files are stored": (
        "echo '* -text' > .gitattributes; echo '* text eol=crlf' > src/.gitattributes; echo >> src/deep/er/thing.py;"
        "echo three >> crlf.txt",
        [".gitattributes", "crlf.txt", "src/.gitattributes", "src/deep/er/thing.py"],
    ),
    "a mode": ("chmod 644 run.sh; chmod 600 src/table.csv", ["run.sh", "src/table.csv"]),
    "a file replaced": ("mv evaluate.py x; ln x evaluate.py; echo >> x", ["evaluate.py", "x"]),
    "a link": ("ln -sf evaluate.py latest", ["latest"]),
    "a link made a file": ("rm latest; echo > latest", ["latest"]),
    "a file made a link": ("ln -sf $OUTSIDE/precious.txt evaluate.py; echo >> run.sh", ["evaluate.py", "run.sh"]),
    "a file made a directory": (
        "rm evaluate.py; mkdir evaluate.py; echo > evaluate.py/new",
        ["evaluate.py", "evaluate.py/new"],
    ),
    "a directory made a file": ("rm -r src; echo > src", ["src", *IN_SRC]),
    "a directory made a link": ("rm -r src; ln -s $OUTSIDE src", ["src", *IN_SRC]),
    "a directory made a loop": ("rm -r src; ln -s src src", ["src", *IN_SRC]),
    "a directory within made a link": ("rm -r src/deep; ln -s $OUTSIDE/deep src/deep", ["src/deep", IN_SRC[0]]),
    "everything gone": (
        "rm -rf *",
        [
            *("an odd name -- ü ?", "crlf.txt", "evaluate.py", "ideas.yaml", "latest", "notes.md", "problem.yaml"),
            *("run.sh", *IN_SRC),
        ],
    ),
    "permissions of directories": ("chmod 000 src/deep; chmod 500 src", []),
    "new files": (
        "mkdir -p new/er; echo > new/er/file; echo > .hidden; ln -s /etc/passwd link; mkfifo fifo;"
        r"echo > $'b\nad \xfe'",
        [".hidden", "b ad ?", "fifo", "link", "new/er/file"],
    ),
    "new and unreadable": ("mkdir new; echo > new/file; chmod 000 new/file", ["new/file"]),
    "empty directories": ("mkdir -p empty/er src/empty", []),
    "hidden by a new .gitignore": ("echo '*' > .gitignore; echo > src/helper.py", [".gitignore", "src/helper.py"]),
    "hidden in a new directory": ("mkdir new; echo '*' > new/.gitignore; echo > new/x", ["new/.gitignore", "new/x"]),
    "hidden as one of ours": ("mkdir src/.autoresearch; echo > src/.autoresearch/x.py", ["src/.autoresearch/x.py"]),
    "a repository within": ("git init -q src; git init -q new; echo > new/x", ["new/.git", "new/x", "src/.git"]),
    "a clone": ("git clone -q --no-checkout . new", ["new/.git"]),
    "what running leaves": (
        "mkdir -p __pycache__ src/__pycache__; echo > __pycache__/a.pyc; echo > src/__pycache__/b.pyc; echo > c.pyc;"
        "echo > new.log; echo >> run.log; echo > data/new; echo >> data/small.bin; rm data/big.bin",
        [],
    ),
    "a clean-up": ("git clean -fdxq", ["notes.md"]),
    "a hard reset": ("git reset -q --hard", ["src/table.csv", "src/tool.py"]),
    "a large file": ("rm src/table.csv; echo > src/table.csv", ["src/table.csv"]),
}


@pytest.mark.parametrize("attack", FILE_ATTACKS)
def test_whatever_a_coder_does_to_files_is_put_right(yard: Yard, attack: str) -> None:
    script, breaches = FILE_ATTACKS[attack]
    before = yard.everything()
    findings = yard.coder(script)
    assert yard.everything() == before
    assert findings == Findings(breaches, [], [])
    assert (yard.checkout / "solution.sh").read_text() == "echo score: 10\n"


# --- git

KEPT = rf" \(kept as {ASIDE_REFS}/[0-9a-f]{{16}}\)"
OWN = "branch toy/run1 "
APART = """
    git checkout -q .; git checkout -qb other; echo 1 > solution.sh; git commit -qam 1
    git checkout -q toy/run1; echo 2 > solution.sh; git commit -qam 2;"""
GIT_ATTACKS = {
    "looking": ("git status; git diff; git log; git branch; git stash list; touch run.sh; git status", []),
    "staging": ("echo 8 > solution.sh; git add solution.sh", ["staged changes"]),
    "hiding a change": ("git update-index --assume-unchanged evaluate.py", []),
    "a commit": ("echo 8 > solution.sh; git commit -qm 8 solution.sh", ["staged changes", f"{OWN}moved{KEPT}"]),
    "a commit of everything": ("git commit -qam all", ["staged changes", f"{OWN}moved{KEPT}"]),
    "an amended commit": ("git commit -q --amend --allow-empty", [f"{OWN}moved{KEPT}"]),
    "a branch": ("git branch mine; git branch mine/or/yours 2>/dev/null", [f"branch mine made{KEPT}"]),
    "switching to a branch": (
        "git checkout -qb mine; git commit -q --allow-empty -m mine",
        ["another branch checked out", f"branch mine made{KEPT}"],
    ),
    "a detached HEAD": (
        "git checkout -q --detach; git commit -q --allow-empty -m mine",
        [f"another branch checked out{KEPT}"],
    ),
    "renaming its branch": (
        "git branch -m mine",
        ["another branch checked out", f"branch mine made{KEPT}", f"{OWN}deleted"],
    ),
    "deleting its branch": (
        "git checkout -q --detach; git branch -qD toy/run1; git tag -d v1",
        [f"another branch checked out{KEPT}", f"{OWN}deleted", "tag v1 deleted"],
    ),
    "a branch in the way": (
        "git branch -D feature; git branch feature/mine",
        [f"branch feature/mine made{KEPT}", "branch feature deleted"],
    ),
    "tags": (
        "git tag mine; git tag -m x annotated; git tag -f v1 HEAD~1; git tag -fm moved v2",
        [f"tag annotated made{KEPT}", f"tag mine made{KEPT}", f"tag v1 moved{KEPT}", f"tag v2 moved{KEPT}"],
    ),
    "the user's branch": ("git update-ref refs/heads/main HEAD~1", [f"branch main moved{KEPT}"]),
    "the user's branch, forced": ("git branch -f feature HEAD~1", [f"branch feature moved{KEPT}"]),
    "the user's branch, renamed": ("git branch -m main trunk", [f"branch trunk made{KEPT}", "branch main deleted"]),
    "a stash": ("echo 8 > solution.sh; git stash", [f"a stash entry made{KEPT}"]),
    "a stash that is popped": ("echo 8 > solution.sh; git stash; git stash pop", []),
    "popping the user's stash": ("git checkout -q .; git stash pop", ["a stash entry dropped: On main: second"]),
    "dropping from the user's stash": ("git stash drop stash@{0}", ["a stash entry dropped: On main: second"]),
    "clearing the user's stash": (
        "git stash clear; echo 8 > solution.sh; git stash push -m mine",
        [f"a stash entry made{KEPT}", *(f"a stash entry dropped: On main: {name}" for name in ("first", "second"))],
    ),
    "an unfinished merge": (
        f"{APART} git merge other",
        [
            r"an unfinished operation of git \(.*MERGE_HEAD.*\)",
            "staged changes",
            *(f"branch other made{KEPT}", f"{OWN}moved{KEPT}"),
        ],
    ),
    "an unfinished rebase": (
        f"{APART} git rebase other",
        [
            r"an unfinished operation of git \(.*rebase-merge\)",
            *(f"another branch checked out{KEPT}", "staged changes", f"branch other made{KEPT}", f"{OWN}moved{KEPT}"),
        ],
    ),
    "a bisection": (
        "git bisect start HEAD HEAD~1",
        [r"an unfinished operation of git \(BISECT_.*\)", "refs/bisect/bad made.*"],
    ),
    "locks of a git that was killed": (
        "git_dir=$(git rev-parse --git-dir); touch $git_dir/index.lock $git_dir/HEAD.lock;"
        "mkdir -p $(git rev-parse --git-common-dir)/refs/heads/toy;"
        "touch $(git rev-parse --git-common-dir)/refs/heads/toy/run1.lock",
        [],
    ),
}


@pytest.mark.parametrize("attack", GIT_ATTACKS)
def test_whatever_a_coder_does_in_git_is_undone(yard: Yard, attack: str) -> None:
    script, undone = GIT_ATTACKS[attack]
    before = yard.everything()
    findings = yard.coder(script)
    assert yard.everything() == before
    assert re.fullmatch("; ".join(undone), "; ".join(findings.undone))
    git(yard.checkout, "commit", "--quiet", "--allow-empty", "--message", "git works")


GIT = "git_dir=$(git rev-parse --absolute-git-dir); common=$(git rev-parse --git-common-dir);"
GIT_FILE_ATTACKS = {
    "settings": ("git config core.hooksPath $OUTSIDE", [".git/config"]),
    "upstreams": ("git config branch.main.remote elsewhere", [".git/config"]),
    "a broken configuration": ("echo '[' > $common/config", [".git/config"]),
    "no configuration": ("rm $common/config", [".git/config"]),
    "a linked configuration": ("cp $common/config $git_dir/x; ln -sf $git_dir/x $common/config", [".git/config"]),
    "settings of the checkout": (
        "git config extensions.worktreeConfig true; git config --worktree core.fsmonitor $OUTSIDE/run",
        [".git/config", ".git/config.worktree"],
    ),
    "a new hook": ("echo > $common/hooks/post-merge", [".git/hooks/post-merge"]),
    "a linked hook": ("ln -s $OUTSIDE/tool.py $common/hooks/post-merge", [".git/hooks/post-merge"]),
    "a changed hook": ("echo >> $common/hooks/pre-commit", [".git/hooks/pre-commit"]),
    "a hook that cannot be run": ("chmod -x $common/hooks/update.sample", [".git/hooks/update.sample"]),
    "a linked hook gone": ("rm $common/hooks/post-commit", [".git/hooks/post-commit"]),
    "exclusions": ("echo '*.py' >> $common/info/exclude; echo > src/x.py", [".git/info/exclude", "src/x.py"]),
    "attributes": ("echo '* text eol=crlf' > $common/info/attributes; touch run.sh", [".git/info/attributes"]),
    "a linked directory": ("rm -r $common/info; ln -s $OUTSIDE $common/info", [".git/info", ".git/info/exclude"]),
    "no HEAD": ("rm $git_dir/HEAD", []),
    "a broken HEAD": ("echo nonsense > $git_dir/HEAD", []),
    "a broken index": ("echo nonsense > $git_dir/index", []),
    "no link to git": ("rm .git", [".git"]),
    "another repository": ("rm .git; git init -q .; echo > x; git add x", [".git", "x"]),
    "no directory of its own": (
        "rm -r $git_dir; git -C .. init -q x; rm -r ../x",
        [".git/commondir", ".git/gitdir"],
    ),
}


@pytest.mark.parametrize("attack", GIT_FILE_ATTACKS)
def test_whatever_a_coder_does_to_the_files_of_git_is_put_right(yard: Yard, attack: str) -> None:
    script, breaches = GIT_FILE_ATTACKS[attack]
    before = yard.everything()
    findings = yard.coder(GIT + script)
    assert yard.everything() == before
    assert findings.breaches == breaches
    git(yard.checkout, "commit", "--quiet", "--allow-empty", "--message", "git works")


def test_hooks_are_not_looked_for_behind_a_link(yard: Yard) -> None:
    before = yard.everything()
    findings = yard.coder(f"{GIT} rm -r $common/hooks; ln -s $OUTSIDE $common/hooks")
    assert yard.everything() == before
    assert findings.breaches[0] == ".git/hooks"


# --- what others do at the same time


def by_user(yard: Yard) -> None:
    """A user at work in the middle of a coder's run."""
    home = yard.toy.directory
    (home / "work.txt").write_text("work")
    git(home, "add", "work.txt")
    git(home, "commit", "--quiet", "--message", "the user's")
    git(home, "branch", "users")
    git(home, "tag", "users")
    git(home, "tag", "-a", "-m", "x", "users-too")
    git(home, "branch", "-D", "feature")
    git(home, "branch", "-m", "other", "another")
    (home / "src" / "tool.py").write_text("and another\n")
    git(home, "stash", "push", "--quiet", "--message", "third")
    git(home, "stash", "drop", "--quiet", "stash@{2}")
    git(home, "config", "branch.users.remote", "origin")
    git(home, "update-ref", "refs/autoresearch/toy/run2", "HEAD")
    with (yard.common / "info" / "exclude").open("a") as exclude:
        exclude.write("/other/results.tsv*\n")


@pytest.mark.parametrize("script", ["true", "git add -A; git commit -qm x; git tag x; git branch y; git stash list"])
def test_what_the_user_does_at_the_same_time_stays(yard: Yard, script: str) -> None:
    git(yard.toy.directory, "branch", "other")
    fence = yard.put_up()
    by_user(yard)
    before = yard.everything()
    yard.run(fence, script)
    findings = yard.restore(fence)
    assert yard.everything() == before
    assert not findings.breaches
    assert git(yard.toy.directory, "stash", "list", "--format=%gs") == "On main: third\nOn main: second"


def test_what_the_user_does_after_the_coder_stays_as_well(yard: Yard) -> None:
    """The coder's stash entry is below the user's, and the user goes on with a branch that the coder made."""
    home = yard.toy.directory
    git(home, "branch", "other")

    fence = yard.put_up()
    yard.run(fence, "git branch coders; echo 8 > solution.sh; git stash push -qm coders")
    by_user(yard)
    git(home, "checkout", "--quiet", "coders")
    git(home, "commit", "--quiet", "--allow-empty", "--message", "on the coder's")
    done = git(home, "rev-parse", "coders")
    yard.restore(fence)
    assert git(home, "stash", "list", "--format=%gs") == "On main: third\nOn main: first"
    assert git(home, "rev-parse", "coders") == done
    assert "feature" not in git(home, "branch", "--list")


# --- what is kept


def test_what_a_coder_left_is_put_aside_and_not_thrown_away(yard: Yard) -> None:
    findings = yard.coder(
        f"{GIT} mkdir -p git new/er; echo one > git/config; echo two > new/er/file; echo three > evaluate.py;"
        "echo four > notes.md; echo five >> $common/config; echo six > $common/hooks/update;"
        "echo 7 > x; git add x; git commit -qm 7"
    )
    aside = yard.aside()
    assert aside["files/git/config"] == b"one\n"
    assert aside["files/new/er/file"] == b"two\n"
    assert aside["files/evaluate.py"] == b"three\n"
    assert aside["files/notes.md"] == b"four\n"
    assert aside["git/config"].endswith(b"five\n")
    assert aside["git/hooks/update"] == b"six\n"
    kept = re.search(rf"{ASIDE_REFS}/\w+", "".join(findings.undone))
    assert kept
    assert git(yard.toy.directory, "show", f"{kept[0]}:x") == "7"


def test_what_takes_the_place_of_something_does_not_take_it_where_it_is_put_aside(yard: Yard) -> None:
    yard.coder(
        "rm evaluate.py; mkdir evaluate.py; echo one > evaluate.py/file; rm -r src; echo two > src; ln -sf x latest"
    )
    aside = yard.aside()
    assert aside["files/evaluate.py/file"] == b"one\n"
    assert aside["files/src"] == b"two\n"


def test_the_oldest_of_twenty_gives_way(yard: Yard) -> None:
    top = yard.workspace.own_directory() / "aside"
    for number in range(25):
        (top / f"{number:04}-coder").mkdir(parents=True)
    for odd in ("my-coder", "-coder", "0001-coder.txt"):
        (top / odd).mkdir()
    yard.coder("echo > new")
    left = {path.name for path in top.iterdir()}
    assert left == {*(f"{number:04}-coder" for number in range(6, 26)), "my-coder", "-coder", "0001-coder.txt"}
    assert (top / "0025-coder" / "files" / "new").exists()


@pytest.mark.parametrize("place", [".autoresearch", ".autoresearch/aside"])
def test_nothing_is_put_aside_through_a_link(yard: Yard, place: str) -> None:
    for number in range(30):
        (yard.outside / "aside" / f"{number:04}-coder").mkdir(parents=True)
        (yard.outside / f"{number:04}-coder").mkdir()
    before = yard.everything()
    yard.coder(f"rm -rf {place}; ln -s $OUTSIDE {place}; echo > new")
    assert yard.everything() == before
    assert "files/new" in yard.aside()


def test_a_coder_that_leaves_nothing_leaves_no_directory_for_it(yard: Yard) -> None:
    yard.coder("echo echo score: 8 > solution.sh; git status")
    assert not list((yard.workspace.own_directory() / "aside").iterdir())


def test_of_a_large_file_that_was_changed_in_place_it_is_said_that_it_is_lost(yard: Yard) -> None:
    findings = yard.coder("echo more >> data/big.bin; echo more >> src/table.csv")
    assert findings == Findings(["src/table.csv (which cannot be put back)"], [], ["data/big.bin"])
    assert (yard.checkout / "data" / "big.bin").read_bytes().endswith(b"more\n")


def test_a_large_file_is_brought_back_without_a_copy_of_it(yard: Yard) -> None:
    file = yard.checkout / "data" / "big.bin"
    fence = yard.put_up()
    held = sum(path.stat().st_size for path in yard.toy.records.rglob("*") if path.stat().st_nlink == 1)
    before = file.stat()
    yard.run(fence, "echo > x; mv x data/big.bin")
    yard.restore(fence)
    assert file.read_text() == "y" * BIG
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert held < BIG


@pytest.mark.parametrize("hidden", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_that_git_was_told_not_to_see_is_brought_back(yard: Yard, hidden: str) -> None:
    git(yard.checkout, "update-index", hidden, "run.sh")
    yard.write("run.sh", "echo mine\n")
    findings = yard.coder("echo echo coders > run.sh")
    assert (yard.checkout / "run.sh").read_text() == "echo mine\n"
    assert findings.breaches == ["run.sh"]


def test_a_change_that_is_staged_is_brought_back_as_it_was_staged(yard: Yard) -> None:
    yard.write("run.sh", "echo staged\n")
    yard.write("added.py", "added = 1\n")
    git(yard.checkout, "add", "run.sh", "added.py")
    before = yard.everything()
    findings = yard.coder("git reset -q --hard; rm run.sh")
    assert yard.everything() == before
    assert "added.py" in findings.breaches


def test_a_file_that_cannot_be_read_is_no_obstacle(yard: Yard) -> None:
    (yard.checkout / "broken").symlink_to("nowhere")
    os.mkfifo(yard.checkout / "fifo")
    before = yard.everything()
    assert yard.coder("rm broken; ln -s elsewhere broken; touch fifo").breaches == ["broken"]
    assert yard.everything() == before
    assert yard.coder("rm fifo").breaches == ["fifo (which cannot be put back)"]


# --- the fence outlasts a kill


def test_what_an_interrupted_coder_left_is_put_right_by_the_next_start(yard: Yard) -> None:
    before = yard.everything()
    yard.run(
        yard.put_up(), "git checkout -qb mine; git commit -qam x; git stash pop; echo > new; rm -r src; rm .git/x"
    )
    again = Workspace(yard.checkout, ".", "solution.sh", "toy/run1", yard.workspace.ref)
    again.stand_on(yard.workspace.tip)
    fence = Fence.left_standing(again, yard.toy.records)
    assert fence
    fence.restore()
    assert yard.everything() == before
    assert fence.restore() == Findings([], [], [])
    fence.take_down()
    assert Fence.left_standing(again, yard.toy.records) is None


def test_a_restoration_that_was_interrupted_is_repeated(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    before = yard.everything()
    fence = yard.put_up()
    yard.run(fence, "git commit -qam x; echo > new; rm -r src data; git stash drop; git tag x")
    linked: list[Path] = []
    link = os.link

    def interrupted(source: Path, target: Path) -> None:
        if linked:
            raise KeyboardInterrupt
        link(source, target)
        linked.append(target)

    monkeypatch.setattr(os, "link", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fence.restore()
    monkeypatch.undo()
    left = Fence.left_standing(yard.workspace, yard.toy.records)
    assert left
    left.restore()
    assert yard.everything() == before


def test_a_fence_that_still_stands_is_dealt_with_before_the_next_one(yard: Yard) -> None:
    before = yard.everything()
    yard.run(yard.put_up(), "echo > new; echo >> evaluate.py; git tag mine")
    yard.restore(yard.put_up())
    assert yard.everything() == before


# --- other grounds


@pytest.mark.parametrize("attack", ["rm -rf .", "git worktree remove --force $PWD"])
def test_a_checkout_that_a_coder_took_away_is_made_again(yard: Yard, attack: str) -> None:
    before = yard.everything()
    yard.coder(f"{attack} ; rm -rf $PWD")
    assert yard.everything() == before


@pytest.mark.parametrize(
    "attack",
    [
        "rm -r sub; ln -s $OUTSIDE sub; mkdir $OUTSIDE/deep/.autoresearch",
        "rm -r sub/deep; ln -s $OUTSIDE/deep sub/deep",
        "rm -r sub; echo > sub",
        "rm -r sub; ln -s sub sub",
        "rm -r sub",
    ],
)
def test_a_problem_further_down_that_is_led_out_of_the_checkout_comes_back(make_toy: MakeToy, attack: str) -> None:
    yard = make_yard(make_toy(inside="sub/deep"))
    (yard.outside / "deep").mkdir()
    (yard.outside / "deep" / "solution.sh").write_text("mine")
    yard.workspace.own_directory()
    fence = yard.put_up()
    yard.run(fence, attack)
    before = contents(yard.outside, set())
    findings = yard.restore(fence)
    assert contents(yard.outside, set()) == before
    assert "sub/deep/problem.yaml" in findings.breaches
    assert yard.workspace.mutable.read_text() == "echo score: 10\n"
    assert git(yard.checkout, "status", "--porcelain") == ""


def test_a_session_at_home_is_fenced_without_those_that_live_in_it(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(files={"evaluate.py": "read-only\n"})
    git(toy.directory, "clone", "--quiet", ".", str(tmp_path / "module"))
    add = ("submodule", "--quiet", "add", str(tmp_path / "module"), "module")
    git(toy.directory, "-c", "protocol.file.allow=always", *add)
    head = toy.commit("a submodule")
    place = find_place(toy.project / "problem.yaml", "toy", "run1")
    place.records.mkdir(parents=True)
    (place.records / AT_HOME).touch()
    keep_out_of_git(place, load_problem(toy.project / "problem.yaml"))
    settle_at_home(place, head, GitLocks(place.records))
    git(place.home, "worktree", "add", "--quiet", "-b", "toy/run2", ".autoresearch/toy-run2")
    workspace = Workspace(place.home, ".", "solution.sh", place.branch, place.ref)
    workspace.stand_on(head)
    yard = Yard(toy, workspace, tmp_path)
    other = place.home / ".autoresearch" / "toy-run2" / "evaluate.py"
    fence = yard.put_up()
    other.write_text("another session's\n")
    git(other.parent, "commit", "--quiet", "--all", "--message", "another session's")
    yard.run(
        fence, "git checkout -qb mine; git commit -qam x; echo > module/solution.sh; echo > module/x; rm .git/HEAD"
    )
    findings = yard.restore(fence)
    assert findings.breaches == ["module/solution.sh", "module/x"]
    assert other.read_text() == "another session's\n"
    assert git(other.parent, "log", "-1", "--format=%s") == "another session's"
    assert git(place.home, "status", "--porcelain", "-b") == "## toy/run1"
    assert (toy.directory / "module" / "solution.sh").read_text() == "echo score: 10\n"


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_a_checkout_may_be_on_another_disk_than_the_repository(make_toy: MakeToy) -> None:
    toy = make_toy(files=FILES)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as disk:
        (toy.directory / ".autoresearch").symlink_to(disk)
        yard = make_yard(toy)
        furnish(yard)
        before = yard.everything()
        findings = yard.coder(f"{APART} git merge other; mkdir new; echo > new/file; rm -r data src")
        lost = {name: yard.everything()[name] for name in ("refs", "heads", "staged", "user", "outside")}
        assert lost == {name: before[name] for name in lost}
        assert "files/new/file" in yard.aside()
        assert "git/MERGE_HEAD" in yard.aside()
        assert findings.lost == ["data/big.bin"]


def test_settings_of_the_users_environment_stay_and_none_is_taken_for_a_key(yard: Yard) -> None:
    variables = yard.put_up().variables({"GIT_CONFIG_PARAMETERS": "'user.x=y z'", "GIT_CONFIG_COUNT": "1"})
    assert not [name for name in variables if "KEY" in name or "TOKEN" in name or "SECRET" in name]
    ask = ("git", "config", "--get-regexp", "^(user.x|core.hookspath)$")
    said = subprocess.run(ask, cwd=yard.checkout, env={**os.environ, **variables}, capture_output=True, check=True)
    assert said.stdout == b"user.x y z\ncore.hookspath /dev/null\n"
