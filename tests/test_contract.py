"""What a number rests on: its fingerprint, and the files that are put back whatever was done to them."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_autoresearch.contract import Contract, Origin, Pristine
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.git import Git
from pytest_autoresearch.problem import load_problem
from tests.support import git

PROBLEM: dict[str, Any] = {
    "objective": "o",
    "metric_name": "m",
    "metric_regex": "^m: (.+)",
    "mutable_file": "solution.py",
    "readonly_files": ["prepare.py", "lib", "truth.csv"],
    "runner": "python solution.py",
    "evaluator": "python prepare.py",
    "artifacts": ["answer"],
}
FILES = {
    "solution.py": "pass\n",
    "prepare.py": "import lib\n",
    "lib/größe.py": "SIZE = 1\n",
    "lib/deep/run.sh": "#!/bin/sh\n",
    "library.py": "not pinned\n",
    "truth.csv": "1,2\n",
    ".gitignore": "truth.csv\ndata/\n",
    "data/train.csv": "1\n",
}
PINNED = ["lib/deep/run.sh", "lib/größe.py", "prepare.py", "problem.yaml", "truth.csv"]


@dataclass
class Bench:
    """A repository with a problem in it, and a place beside it."""

    directory: Path

    @property
    def repository(self) -> Path:
        return self.directory / "repository"

    @property
    def outside(self) -> Path:
        return self.directory / "outside"

    def commit(self, files: dict[str, str] | None = None, **problem: Any) -> None:
        for name, content in {**FILES, "problem.yaml": json.dumps({**PROBLEM, **problem}), **(files or {})}.items():
            path = self.repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (self.repository / "lib/deep/run.sh").chmod(0o755)
        if not (self.repository / ".git").exists():
            git(self.repository, "init", "--quiet")
        git(self.repository, "add", "--all")
        git(self.repository, "commit", "--quiet", "--allow-empty", "--message", "state")

    def contract(self) -> Contract:
        copies = self.directory / "copies"
        copies.mkdir(exist_ok=True)
        shutil.copy2(self.repository / "truth.csv", copies)
        origin = Origin(Git(self.repository), git(self.repository, "rev-parse", "HEAD"), ".", copies)
        return Contract(origin, load_problem(self.repository / "problem.yaml"), "problem.yaml")

    def fingerprint(self, files: dict[str, str] | None = None, **problem: Any) -> str:
        self.commit(files, **problem)
        return self.contract().fingerprint(self.repository)

    def pristine(self, links: dict[str, Path] | None = None) -> Pristine:
        pristine = Pristine(self.directory / "pristine", self.contract(), links or {})
        pristine.restore()
        return pristine


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.commit()
    made.outside.mkdir()
    (made.outside / "prepare.py").write_text("mine\n")
    return made


def tree(directory: Path) -> dict[str, tuple[str, object]]:
    """Everything in a directory, links not followed."""
    found: dict[str, tuple[str, object]] = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.is_symlink():
            found[name] = ("link", path.readlink())
        elif path.is_file():
            found[name] = ("executable" if os.access(path, os.X_OK) else "file", path.read_bytes())
        else:
            found[name] = ("directory" if path.is_dir() else "other", None)
    return found


def refused(claim: Callable[[], bool]) -> str:
    """What the user is told instead of an answer; '' if there is one, which must be yes."""
    try:
        answer = claim()
    except UserError as error:
        return str(error)
    assert answer
    return ""


# --- the fingerprint


def test_the_pinned_files_are_the_problem_and_what_it_says_is_read_only(bench: Bench) -> None:
    files = bench.contract().files
    assert sorted(files) == PINNED
    assert [path for path in files if files[path].blob is None] == ["truth.csv"]
    assert [path for path in files if files[path].executable] == ["lib/deep/run.sh"]


def test_a_link_in_a_read_only_directory_is_refused_or_pinned_as_what_it_is(bench: Bench) -> None:
    (bench.repository / "lib/link.py").symlink_to("größe.py")
    bench.commit()
    said = refused(lambda: bench.contract().changed(bench.repository) == [])
    assert said == "" or "lib/link.py" in said


def test_a_mutable_file_in_a_read_only_directory_is_refused_or_not_pinned(bench: Bench) -> None:
    bench.commit({"lib/solution.py": "pass\n"}, mutable_file="lib/solution.py")
    said = refused(lambda: "lib/solution.py" not in bench.contract().files)
    assert said == "" or "lib" in said


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The fingerprint of the problem as it is, wherever it is."""
    return Bench(tmp_path_factory.mktemp("plain")).fingerprint()


def test_the_fingerprint_of_the_same_is_the_same(bench: Bench) -> None:
    first = bench.fingerprint()
    assert (len(first), set(first) <= set("0123456789abcdef")) == (16, True)
    assert bench.fingerprint() == first
    elsewhere = bench.directory / "elsewhere"
    shutil.copytree(bench.repository, elsewhere)
    assert bench.contract().fingerprint(elsewhere) == first


@pytest.mark.parametrize(
    "change",
    [
        {"runner": "python -O solution.py"},
        {"evaluator": "python prepare.py --strict"},
        {"artifacts": ["result"]},
        {"metric_regex": "^m=(.+)"},
        {"lower_is_better": False},
        {"hard_timeout_s": 601},
        {"resource_metric_regex": "^r: (.+)"},
        {"resource_metric_transform": "divide_by_1024"},
        {"env": ["SEED"]},
        {"readonly_files": ["prepare.py", "lib"]},
        {"fingerprint": ["data"]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_fingerprint_changes_with_each_key_that_a_number_rests_on(
    bench: Bench, plain: str, change: dict[str, Any]
) -> None:
    assert bench.fingerprint(**change) != plain


@pytest.mark.parametrize(
    "change",
    [
        {"objective": "another"},
        {"metric_name": "n"},
        {"time_budget_s": 1},
        {"branch_prefix": "p"},
        {"results_tsv_columns": ["a", "b", "c", "d", "e"]},
        {"critic": {"provider": "tuner", "temperature": 0}},
        {"coder": {"agent": "codex"}},
        {"state": {"enabled": False}},
        {"stop": {"patience": 3}},
        {"readonly_files": ["truth.csv", "lib", "prepare.py"]},
        {"readonly_files": ["./prepare.py", "lib/", "truth.csv"]},
    ],
    ids=repr,
)
def test_the_fingerprint_changes_with_nothing_else_in_the_problem(
    bench: Bench, plain: str, change: dict[str, Any]
) -> None:
    assert bench.fingerprint(**change) == plain


@pytest.mark.parametrize("name", ["prepare.py", "lib/größe.py", "lib/new.py", "truth.csv"])
def test_the_fingerprint_changes_with_a_read_only_file(bench: Bench, plain: str, name: str) -> None:
    assert bench.fingerprint({name: "changed\n"}) != plain


@pytest.mark.parametrize("name", ["solution.py", "library.py", "notes.txt"])
def test_the_fingerprint_does_not_change_with_another_file(bench: Bench, plain: str, name: str) -> None:
    assert bench.fingerprint({name: "changed\n"}) == plain


def test_the_fingerprint_changes_with_the_data_that_the_problem_names(bench: Bench) -> None:
    seen = [bench.fingerprint(fingerprint=["data/*.csv"])]
    seen.append(bench.fingerprint({"data/train.csv": "2\n"}, fingerprint=["data/*.csv"]))
    seen.append(bench.fingerprint({"data/train.csv": "2\n", "data/test.csv": "3\n"}, fingerprint=["data/*.csv"]))
    (bench.repository / "data/test.csv").rename(bench.repository / "data/other.csv")
    seen.append(bench.contract().fingerprint(bench.repository))
    assert len(set(seen)) == 4
    (bench.repository / "data/notes.txt").write_text("not asked for")
    assert bench.contract().fingerprint(bench.repository) == seen[-1]


@pytest.mark.parametrize("pattern", ["missing", "data/*.json", ".", "**data", "data/dangling", "data"])
def test_a_pattern_that_names_no_data_is_the_users_to_mend(bench: Bench, pattern: str) -> None:
    (bench.repository / "data/dangling").symlink_to("nowhere")
    said = refused(lambda: bool(bench.fingerprint(fingerprint=[pattern])))
    assert pattern in said or (said == "" and pattern in (".", "data"))


# --- what was changed, and putting it back


def edit(path: Path) -> None:
    path.write_text("edited\n")


def edit_unseen(path: Path) -> None:
    """The same size and the same time of change, written in place."""
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_link(path: Path) -> None:
    shutil.copy2(path, path.with_name("copy"))
    path.unlink()
    path.symlink_to("copy")


def replace_by_directory(path: Path) -> None:
    path.unlink()
    (path / "full").mkdir(parents=True)
    (path / "full" / "file").write_text("x")


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def toggle_executable(path: Path) -> None:
    path.chmod(path.stat().st_mode ^ 0o111)


def replace_parent_by_file(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.write_text("x")


def replace_parent_by_link(path: Path) -> None:
    outside = path.parent.with_name("moved")
    path.parent.rename(outside)
    path.parent.symlink_to(outside)
    edit(outside / path.name)


DAMAGE: list[Callable[[Path], None]] = [
    edit,
    edit_unseen,
    Path.unlink,
    replace_by_link,
    replace_by_directory,
    replace_by_fifo,
    toggle_executable,
    replace_parent_by_file,
    replace_parent_by_link,
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ["lib/größe.py", "lib/deep/run.sh"])
def test_whatever_is_done_to_a_pinned_file_is_seen_and_put_back(
    bench: Bench, name: str, damage: Callable[[Path], None]
) -> None:
    contract, whole = bench.contract(), tree(bench.repository / "lib")
    assert contract.changed(bench.repository) == []
    damage(bench.repository / name)
    changed = contract.changed(bench.repository)
    assert name in changed
    for path in changed:
        contract.put_back(bench.repository, path)
    assert contract.changed(bench.repository) == []
    after = tree(bench.repository / "lib")
    assert {path: after.get(path) for path in whole} == whole


def test_a_file_that_git_ignores_is_put_back_from_its_copy(bench: Bench) -> None:
    contract = bench.contract()
    (bench.repository / "truth.csv").write_text("better\n")
    assert contract.changed(bench.repository) == ["truth.csv"]
    contract.put_back(bench.repository, "truth.csv")
    assert (bench.repository / "truth.csv").read_text() == "1,2\n"


def test_putting_back_writes_nothing_through_a_link_that_was_laid_out_for_it(bench: Bench) -> None:
    contract, target = bench.contract(), bench.repository / "prepare.py"
    target.unlink()
    for name in ("prepare.py.autoresearch-new", "prepare.py"):
        (bench.repository / name).symlink_to(bench.outside / "prepare.py")
    contract.put_back(bench.repository, "prepare.py")
    assert (bench.outside / "prepare.py").read_text() == "mine\n"
    assert (target.is_symlink(), target.read_text()) == (False, "import lib\n")


def test_putting_back_writes_nothing_into_a_directory_elsewhere(bench: Bench) -> None:
    contract = bench.contract()
    shutil.rmtree(bench.repository / "lib")
    (bench.outside / "größe.py").write_text("mine\n")
    (bench.repository / "lib").symlink_to(bench.outside)
    for path in contract.changed(bench.repository):
        contract.put_back(bench.repository, path)
    assert (bench.outside / "größe.py").read_text() == "mine\n"
    assert sorted(path.name for path in bench.outside.iterdir()) == ["größe.py", "prepare.py"]


# --- the pristine directory


def test_a_pristine_directory_holds_the_pinned_files_and_nothing_else(bench: Bench) -> None:
    held = tree(bench.pristine().directory)
    assert sorted(path for path, (kind, _) in held.items() if kind != "directory") == PINNED
    assert held["lib/deep/run.sh"] == ("executable", b"#!/bin/sh\n")
    assert held["truth.csv"] == ("file", b"1,2\n")


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_restoring_undoes_whatever_was_done_to_a_file(bench: Bench, damage: Callable[[Path], None]) -> None:
    pristine = bench.pristine()
    whole = tree(pristine.directory)
    damage(pristine.directory / "lib/größe.py")
    pristine.restore()
    assert tree(pristine.directory) == whole


def test_restoring_takes_away_what_does_not_belong_there_and_follows_no_link(bench: Bench) -> None:
    pristine = bench.pristine()
    whole, directory = tree(pristine.directory), pristine.directory
    (directory / "sitecustomize.py").write_text("x")
    (directory / ".hidden/a/b").mkdir(parents=True)
    (directory / "lib/__pycache__").mkdir()
    (directory / "lib/__pycache__/größe.cpython-311.pyc").write_bytes(b"x")
    (directory / "outside").symlink_to(bench.outside)
    (directory / "lib/link.py").symlink_to(bench.outside / "prepare.py")
    os.mkfifo(directory / "lib/deep/fifo")
    pristine.restore()
    assert tree(directory) == whole
    assert (bench.outside / "prepare.py").read_text() == "mine\n"


def test_a_directory_swapped_for_one_that_looks_the_same_is_swapped_back(bench: Bench) -> None:
    """Beside the pinned files there could be anything in it: a module that is found first, bytecode."""
    pristine = bench.pristine()
    whole, lib = tree(pristine.directory), pristine.directory / "lib"
    lib.rename(bench.outside / "lib")
    lib.symlink_to(bench.outside / "lib")
    (bench.outside / "lib/json.py").write_text("evil\n")
    pristine.restore()
    assert tree(pristine.directory) == whole
    assert not lib.is_symlink()


def test_a_copy_that_was_tampered_with_is_never_handed_out(bench: Bench) -> None:
    pristine = bench.pristine()
    (bench.directory / "copies/truth.csv").write_text("9,9\n")
    (pristine.directory / "truth.csv").unlink()
    with pytest.raises(UserError, match=r"truth\.csv"):
        pristine.restore()


@pytest.mark.parametrize("there", ["as it was", "elsewhere", "a directory", "a file", "nothing"])
def test_a_link_into_the_pristine_directory_leads_where_it_should(bench: Bench, there: str) -> None:
    target = bench.repository / "data"
    pristine = bench.pristine({"data": target})
    link = pristine.directory / "data"
    if there != "as it was":
        link.unlink()
    if there == "elsewhere":
        link.symlink_to(bench.outside)
    elif there == "a directory":
        link.mkdir()
        (link / "train.csv").write_text("9\n")
    elif there == "a file":
        link.write_text("9\n")
    pristine.restore()
    assert link.readlink() == target
    assert (target / "train.csv").read_text() == "1\n"


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_done_to_a_pristine_directory_it_is_pristine_again(bench: Bench, seed: int) -> None:
    chance, pristine = random.Random(seed), bench.pristine()
    whole, directory = tree(pristine.directory), pristine.directory
    for _ in range(10):
        for _ in range(chance.randint(1, 6)):
            paths = [directory, *sorted(directory.rglob("*"))]
            path = chance.choice(paths)
            if path.is_dir() and not path.is_symlink():
                (path / f"new{chance.random()}").write_text("x")
            elif path.is_file() and not path.is_symlink():
                chance.choice([*DAMAGE[:4], toggle_executable])(path)
        pristine.restore()
        assert tree(directory) == whole
