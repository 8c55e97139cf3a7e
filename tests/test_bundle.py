"""A session in one file, and out of it in another clone."""

from __future__ import annotations

import copy
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_autoresearch.bundle.prefix import settled
from pytest_autoresearch.bundle.transfer import Imported, export_session, import_session
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.lock import SessionLock
from pytest_autoresearch.place import find_place
from pytest_autoresearch.problem import load_problem
from pytest_autoresearch.processtree import MARKER
from tests.chaos import check
from tests.conftest import MakeToy
from tests.support import Toy, alive, clean_environment, git, kill, scores, wait_for

IDEAS = scores(9, 11, 8, 7, 6, 5)
IMPORT = """
import sys
from pathlib import Path
from pytest_autoresearch.bundle.transfer import import_session
import_session(Path(sys.argv[1]), "toy", Path(sys.argv[2]))
"""


def exported(toy: Toy, file: Path) -> Path:
    """The session of a toy in a file."""
    export_session(find_place(toy.project / "problem.yaml", toy.prefix, None), file)
    return file


def imported(toy: Toy, file: Path) -> Imported:
    """The same in another clone."""
    problem = load_problem(toy.project / "problem.yaml", look=False)
    return import_session(toy.project / "problem.yaml", problem.branch_prefix, file)


def clone(toy: Toy, directory: Path, *options: str) -> Toy:
    """Another clone of a toy's repository, without its session."""
    url = f"file://{toy.directory}"
    git(directory.parent, "clone", "--quiet", "--branch=main", "--single-branch", *options, url, str(directory))
    made = copy.copy(toy)
    made.directory = directory
    return made


def refusal(toy: Toy, file: Path) -> str:
    """Why a file is not imported; nothing is left behind of the attempt."""
    before = everything(toy)
    with pytest.raises(UserError) as refused:
        imported(toy, file)
    assert everything(toy) == before
    return str(refused.value)


def everything(toy: Toy) -> object:
    """The user's things, each ref, and each file of the records but for who held the lock last."""
    records = toy.directory / ".git" / "autoresearch"
    files = sorted(path for path in records.rglob("*") if path.is_file() and path.name not in ("lock", "holder.json"))
    return (
        check.users_things(toy.directory),
        git(toy.directory, "for-each-ref"),
        [(path, path.read_bytes()) for path in files],
        (toy.directory / ".git" / "shallow").exists(),
    )


def begun(directory: Path) -> Toy:
    """A session of three experiments, two of them kept."""
    made = Toy(directory, IDEAS)
    done = made.run("--iterations=3")
    assert done.returncode == 0, done.stdout
    return made


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """Such a session, to be read and no more."""
    return begun(tmp_path_factory.mktemp("read") / "repository")


@pytest.fixture
def first(tmp_path: Path) -> Toy:
    """Another one, to do with what one likes."""
    return begun(tmp_path / "first")


@pytest.fixture
def file(toy: Toy, tmp_path: Path) -> Path:
    """The former in a file."""
    return exported(toy, tmp_path / "session.tar.gz")


@pytest.fixture
def second(toy: Toy, tmp_path: Path) -> Toy:
    """A clone of its repository, which has no session."""
    return clone(toy, tmp_path / "second")


# --- there and back


def test_tomorrow_goes_on_where_today_ended(toy: Toy, file: Path, second: Toy) -> None:
    before = check.users_things(second.directory)
    found = imported(second, file)
    assert (found.place.branch, found.progress.next_number) == ("toy/run1", 4)
    assert check.users_things(second.directory) == before
    assert second.branch() == toy.branch()
    done = second.pytest("--autoresearch", "--iterations=2")
    assert done.returncode == 0, done.stdout
    assert second.statuses() == [("keep", 10), ("keep", 9), ("discard", 11), ("keep", 8), ("keep", 7), ("keep", 6)]
    assert second.checkout.parent.parent == second.directory
    assert check.violations(second.directory) == []
    assert len(toy.statuses()) == 4


def test_and_back_again(first: Toy, tmp_path: Path) -> None:
    second = clone(first, tmp_path / "second")
    imported(second, exported(first, tmp_path / "session.tar.gz"))
    second.run("--iterations=1")
    imported(first, exported(second, tmp_path / "later.tar.gz"))
    assert first.statuses() == second.statuses()
    assert first.branch() == second.branch()
    done = first.run("--iterations=1")
    assert done.returncode == 0, done.stdout
    assert first.statuses()[-1] == ("keep", 6)
    assert check.violations(first.directory) == []
    assert not list(first.checkout.parent.glob("*.aside-*"))


def test_the_same_file_twice_changes_nothing(file: Path, second: Toy) -> None:
    imported(second, file)
    before = everything(second)
    imported(second, file)
    assert everything(second) == before
    assert second.pytest("problem.yaml").returncode == 0
    imported(second, file)
    second.run("--iterations=1")
    assert check.violations(second.directory) == []


def test_after_a_kill_the_other_clone_goes_on(make_toy: MakeToy, tmp_path: Path) -> None:
    slow = f"[ -e {tmp_path}/go ] || sleep 60\necho score: 8\n"
    toy = make_toy(*scores(9), {"hypothesis": "slow", "content": slow}, *scores(7))
    running = toy.start("--iterations=3")
    ledger = toy.records / "ledger.jsonl"
    wait_for(lambda: ledger.exists() and any(one["number"] == 2 for one in toy.ledger("started")), "the second run")
    kill(running)
    file = exported(toy, tmp_path / "session.tar.gz")
    second = clone(toy, tmp_path / "second")
    imported(second, file)
    assert [one["number"] for one in second.ledger("applied")] == [1, 2]
    (tmp_path / "go").touch()
    done = second.run("--iterations=1")
    assert second.statuses() == [("keep", 10), ("keep", 9), ("keep", 8)], done.stdout
    assert check.violations(second.directory) == []
    imported(toy, exported(second, file))
    assert toy.ledger("result") == second.ledger("result")
    toy.run("--iterations=1")
    assert toy.statuses()[-1] == ("keep", 7)
    assert check.violations(toy.directory) == []


def test_a_session_that_runs_is_exported_as_far_as_it_is_and_is_not_disturbed(
    make_toy: MakeToy, tmp_path: Path
) -> None:
    toy = make_toy(*scores(9), {"hypothesis": "slow", "content": f"cat {tmp_path}/go; echo score: 8\n"}, *scores(7))
    os.mkfifo(tmp_path / "go")
    running = toy.start("--iterations=2")
    ledger = toy.records / "ledger.jsonl"
    wait_for(lambda: ledger.exists() and any(one["number"] == 2 for one in toy.ledger("started")), "the second run")
    file = exported(toy, tmp_path / "session.tar.gz")
    runner = toy.ledger("started")[-1]["process"]["pid"]
    second = clone(toy, tmp_path / "second")
    imported(second, file)
    second.pytest("problem.yaml")
    assert alive(runner)
    assert "is running already (process" in refusal(toy, file)
    (tmp_path / "go").write_text("")
    running.communicate(timeout=60)
    assert toy.statuses()[-1] == ("keep", 8)


def test_all_that_belongs_to_a_session_comes_along(make_toy: MakeToy, tmp_path: Path) -> None:
    problem = {
        "runner": "bash solution.sh > out",
        "evaluator": "bash judge.sh",
        "holdout": "cat out",
        "artifacts": ["out"],
        "readonly_files": ["judge.sh", "data"],
    }
    files = {"judge.sh": "cat out data/x\n", ".gitignore": "data/\njudge.sh\n", "data/x": "1\n"}
    toy = make_toy(*scores(9, 8), problem=problem, files=files)
    (toy.directory / "judge.sh").chmod(0o755)
    toy.run("--iterations=1")
    file = exported(toy, tmp_path / "session.tar.gz")
    second = clone(toy, tmp_path / "second")
    found = imported(second, file)
    names = {str(path.relative_to(second.records)) for path in second.records.rglob("*") if path.is_file()}
    left_out = {"lock", "holder.json"}
    assert names - left_out == {
        "ledger.jsonl",
        "confirmed.json",
        "holdout.jsonl",
        "preconditions.json",
        "copies/judge.sh",
        "copies/data/x",
    }
    assert os.access(second.records / "copies" / "judge.sh", os.X_OK)
    assert sorted(found.missing) == ["data/x", "judge.sh"]
    command = list(found.lines())[-1].partition("too: ")[2]
    subprocess.run(["bash", "-ec", command], check=True)
    done = second.pytest("--autoresearch", "--iterations=1")
    assert second.statuses()[-1] == ("keep", 8), done.stdout


def test_git_reads_the_bundle_in_the_file(file: Path, second: Toy, tmp_path: Path) -> None:
    with tarfile.open(file) as tar:
        assert tar.getnames()[0] == "manifest.json"
        stream = tar.extractfile("objects.bundle")
        assert stream
        (tmp_path / "objects.bundle").write_bytes(stream.read())
    git(second.directory, "bundle", "verify", "--quiet", str(tmp_path / "objects.bundle"))
    listed = git(second.directory, "bundle", "list-heads", str(tmp_path / "objects.bundle"))
    assert [line.split()[1] for line in listed.splitlines()] == ["refs/heads/toy/run1", "refs/autoresearch/toy/run1"]


# --- clones that lack something


def test_a_clone_without_the_first_commit_gets_it_from_the_file(first: Toy, tmp_path: Path) -> None:
    second = clone(first, tmp_path / "second")
    first.write("README", "only here\n")
    first.commit("never pushed")
    first.run("--iterations=1", "--autoresearch-tag=run2")
    place = find_place(first.project / "problem.yaml", "toy", "run2")
    export_session(place, tmp_path / "session.tar.gz")
    imported(second, tmp_path / "session.tar.gz")
    assert second.pytest("--autoresearch", "--autoresearch-tag=run2", "--iterations=1").returncode == 0
    assert check.violations(second.directory, "toy/run2") == []


def test_two_shallow_clones_of_different_days(make_toy: MakeToy, tmp_path: Path) -> None:
    origin = make_toy(*IDEAS, files={"day": "0\n"})
    for day in "12":
        origin.write("day", day)
        origin.commit(f"day {day}")
    today = clone(origin, tmp_path / "today", "--depth=1")
    today.run("--iterations=2")
    file = exported(today, tmp_path / "session.tar.gz")
    origin.write("day", "3")
    origin.commit("day 3")
    tomorrow = clone(origin, tmp_path / "tomorrow", "--depth=1")
    imported(tomorrow, file)
    done = tomorrow.pytest("--autoresearch", "--iterations=1")
    assert done.returncode == 0, done.stdout
    assert check.violations(tomorrow.directory) == []
    git(tomorrow.directory, "fsck", "--strict", "--no-dangling")
    whole = clone(origin, tmp_path / "whole")
    imported(whole, file)
    assert not (whole.directory / ".git" / "shallow").exists()


def test_a_history_with_a_hole_is_refused(first: Toy, tmp_path: Path) -> None:
    second = clone(first, tmp_path / "second")
    first.write("README", "only here\n")
    start = first.commit("not in the second")
    today = clone(first, tmp_path / "today", "--depth=1")
    today.run("--iterations=1")
    said = refusal(second, exported(today, tmp_path / "session.tar.gz"))
    assert f"fetch it: git -C {second.directory} fetch origin {start}" in said


# --- refused


def test_there_is_no_such_file(second: Toy, tmp_path: Path) -> None:
    assert "there is no such file" in refusal(second, tmp_path / "nothing")


@pytest.mark.parametrize("content", [b"", b"text", gzip.compress(b"text", mtime=0), b"\x1f\x8b\x08\0\0"])
def test_a_file_that_is_none_of_ours(second: Toy, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    assert "is no session that pytest-autoresearch export wrote" in refusal(second, tmp_path / "other")
    assert "is no session that" in refusal(second, tmp_path)


def test_a_file_that_was_cut_short(file: Path, second: Toy) -> None:
    whole = file.read_bytes()
    for part in (len(whole) * 9 // 10, len(whole) // 2, 700, 20):
        file.write_bytes(whole[:part])
        assert "damaged" in refusal(second, file)


Member = tuple[tarfile.TarInfo, bytes]


def rewritten(file: Path, change: Callable[[list[Member]], list[Member]]) -> None:
    """Have the members of a file changed, and the file whole again."""
    with tarfile.open(file) as tar:
        members = [(one, stream.read() if (stream := tar.extractfile(one)) else b"") for one in tar]
    with tarfile.open(file, "w:gz") as tar:
        for one, content in change(members):
            one.size = len(content)
            tar.addfile(one, io.BytesIO(content))


def manifest(file: Path, **fields: object) -> None:
    """Have the first member say something else."""

    def change(members: list[Member]) -> list[Member]:
        said = {**json.loads(members[0][1]), **fields}
        return [(members[0][0], json.dumps(said).encode()), *members[1:]]

    rewritten(file, change)


def test_a_member_that_was_changed(file: Path, second: Toy) -> None:
    rewritten(file, lambda members: [(one, body.replace(b"score 9", b"score 0")) for one, body in members])
    assert "is damaged; nothing was imported" in refusal(second, file)


def test_a_member_that_is_missing(file: Path, second: Toy) -> None:
    rewritten(file, lambda members: members[:-1])
    assert "is damaged; nothing was imported" in refusal(second, file)


def test_a_newer_version_wrote_it(file: Path, second: Toy) -> None:
    manifest(file, version=2)
    assert "upgrade this one: pip install --upgrade pytest-autoresearch" in refusal(second, file)


@pytest.mark.parametrize("fields", [{"format": "else"}, {"contents": {"tag": 1}}, {"contents": []}, {"sha256": []}])
def test_a_first_member_that_makes_no_sense(file: Path, second: Toy, fields: dict[str, object]) -> None:
    manifest(file, **fields)
    assert refusal(second, file)


@pytest.mark.parametrize("value", ["1" * 40, 1])
@pytest.mark.parametrize("name", ["tag", "session", "start", "tip", "chain"])
def test_a_first_member_that_is_not_of_this_session(file: Path, second: Toy, name: str, value: object) -> None:
    with tarfile.open(file) as tar:
        stream = tar.extractfile("manifest.json")
        assert stream
        contents = json.loads(stream.read())["contents"]
    manifest(file, contents={**contents, name: value})
    said = refusal(second, file)
    assert "is damaged" in said


def link(name: str, to: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, to
    return member


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("../escaped"),
        tarfile.TarInfo("copies/../../escaped"),
        tarfile.TarInfo("/tmp/escaped"),
        tarfile.TarInfo("more"),
        link("copies", "/", tarfile.SYMTYPE),
        link("confirmed.json", "ledger.jsonl", tarfile.LNKTYPE),
        link("device", "", tarfile.CHRTYPE),
        link("fifo", "", tarfile.FIFOTYPE),
        link("directory", "", tarfile.DIRTYPE),
        tarfile.TarInfo("ledger.jsonl"),
    ],
    ids=["up", "up and down", "absolute", "unknown", "link", "hard link", "device", "fifo", "directory", "twice"],
)
@pytest.mark.parametrize("named", [False, True], ids=["unnamed", "named"])
def test_a_member_that_has_no_place(
    file: Path, second: Toy, tmp_path: Path, member: tarfile.TarInfo, *, named: bool
) -> None:
    """Whether the first member names it or not, as whoever wrote it could have both."""
    if named and member.name != "ledger.jsonl":
        with tarfile.open(file) as tar:
            stream = tar.extractfile("manifest.json")
            assert stream
            digests = json.loads(stream.read())["sha256"]
        empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        manifest(file, sha256={**digests, member.name: empty})
    rewritten(file, lambda members: [*members, (copy.copy(member), b"")])
    said = refusal(second, file)
    assert "which has no place there; nothing was imported" in said or "damaged" in said
    assert not list(tmp_path.rglob("escaped"))
    assert not Path("/tmp/escaped").exists()


def test_another_problem(file: Path, second: Toy) -> None:
    (second.directory / "other").mkdir()
    shutil.copy2(second.directory / "problem.yaml", second.directory / "other" / "problem.yaml")
    with pytest.raises(UserError, match=r"holds session toy/run1 of problem\.yaml, which is not other/problem\.yaml"):
        import_session(second.directory / "other" / "problem.yaml", "toy", file)
    with pytest.raises(UserError, match="with branch_prefix other"):
        import_session(second.directory / "problem.yaml", "other", file)


def test_another_repository(file: Path, tmp_path: Path) -> None:
    other = Toy(tmp_path / "other", files={"README": "another one\n"})
    assert "holds a session of another repository" in refusal(other, file)


def test_another_session_of_that_name(file: Path, second: Toy) -> None:
    second.run("--iterations=1")
    assert "another session toy/run1 is there already" in refusal(second, file)


def test_what_went_on_in_two_places(first: Toy, tmp_path: Path) -> None:
    file, second = exported(first, tmp_path / "session.tar.gz"), clone(first, tmp_path / "second")
    imported(second, file)
    second.run("--iterations=1")
    later = exported(second, tmp_path / "later.tar.gz")
    assert "is further here than in the file (5 experiments here, 4 in the file" in refusal(second, file)
    first.run("--iterations=1")
    assert "went on both here and in the file" in refusal(first, later)


def test_a_branch_that_is_no_sessions(file: Path, second: Toy) -> None:
    git(second.directory, "branch", "toy/run1")
    said = refusal(second, file)
    assert f"git -C {second.directory} branch -m toy/run1 toy/run1-old" in said


def test_a_branch_that_was_moved(first: Toy, tmp_path: Path) -> None:
    second = clone(first, tmp_path / "second")
    imported(second, exported(first, tmp_path / "session.tar.gz"))
    second.run("--iterations=1")
    later = exported(second, tmp_path / "later.tar.gz")
    first.write("README", "news\n")
    git(first.directory, "update-ref", "refs/heads/toy/run1", first.commit("news"))
    assert "branch toy/run1 was moved to" in refusal(first, later)


def test_a_start_that_was_refused_is_no_session(toy: Toy, file: Path, second: Toy) -> None:
    second.records.mkdir(parents=True)
    lock = SessionLock(second.records)
    lock.acquire("toy/run1")
    assert "is running already" in refusal(second, file)
    lock.release()
    imported(second, file)
    assert second.statuses() == toy.statuses()


def test_there_is_nothing_to_export(make_toy: MakeToy, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no session toy/run1 yet"):
        exported(make_toy(), tmp_path / "session.tar.gz")


def test_a_file_of_the_users_is_not_written_over(toy: Toy, file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is there already, and is no exported session"):
        exported(toy, toy.project / "problem.yaml")
    with pytest.raises(UserError, match="there is no such directory"):
        exported(toy, tmp_path / "nowhere" / "session.tar.gz")
    whole = file.read_bytes()
    assert exported(toy, file).read_bytes()[:4] == whole[:4]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("session")] == ["session.tar.gz"]


def test_a_runner_cannot_export_the_holdout(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARKER, "x")
    with pytest.raises(UserError, match="not for a runner or a coder to see"):
        exported(toy, tmp_path / "session.tar.gz")


# --- killed


@pytest.mark.long
@pytest.mark.parametrize("there", [False, True], ids=["new", "going forward"])
def test_an_import_that_is_killed_leaves_the_session_as_it_was_or_as_it_is_in_the_file(
    toy: Toy, file: Path, second: Toy, tmp_path: Path, *, there: bool
) -> None:
    """Killed at every step at which it asks git for something or renames a file."""
    if there:
        imported(second, file)
        second.run("--iterations=1")
        file, second = exported(second, tmp_path / "later.tar.gz"), toy
    before = len(second.statuses()) if there else 0
    after = 5 if there else 4
    seen = set()
    for step in range(1, 60):
        work = tmp_path / f"killed-{step}"
        shutil.copytree(second.directory, work, symlinks=True)
        died = subprocess.run(
            [sys.executable, "-c", KILLED + IMPORT, str(work / "problem.yaml"), str(file), str(step)],
            env=clean_environment(),
            check=False,
            capture_output=True,
            text=True,
        )
        killed = copy.copy(second)
        killed.directory = work
        found = len(killed.statuses()) if (killed.records / "ledger.jsonl").exists() else 0
        assert found in (before, after), died.stderr
        if found != before or there:
            seen.add(found)
            if died.returncode:
                assert healed(killed) == [], step
        if not died.returncode:
            break
        imported(killed, file)
        assert len(killed.statuses()) == after
        assert not list((work / ".git" / "autoresearch").glob(".import-*"))
        shutil.rmtree(work)
    assert died.returncode == 0
    assert after in seen


KILLED = """
import os, sys, signal
left = int(sys.argv[3])
def count(name, arguments):
    global left
    if name in ("subprocess.Popen", "os.rename"):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
"""


def healed(toy: Toy) -> list[str]:
    """What is wrong with a session once it was opened."""
    work = toy.directory.with_name(f"{toy.directory.name}-healed")
    shutil.copytree(toy.directory, work, symlinks=True)
    opened = copy.copy(toy)
    opened.directory = work
    done = opened.pytest("--autoresearch", "--iterations=1", "--autoresearch-confirm")
    assert done.returncode == 0, done.stdout
    wrong = check.violations(work)
    shutil.rmtree(work)
    return wrong


# --- the parts


def test_another_clone_goes_on_before_what_has_not_ended(first: Toy) -> None:
    ledger = first.records / "ledger.jsonl"
    content = ledger.read_bytes()
    assert settled(ledger) == len(content)
    lines = content.splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if b'"kind":"started"' in line)
    ledger.write_bytes(b"".join(lines[: last + 1]))
    assert settled(ledger) == len(b"".join(lines[:last]))
