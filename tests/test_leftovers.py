"""What one run leaves in the checkout is not there for the next one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pytest_autoresearch.asides import KEPT
from pytest_autoresearch.leftovers import Left, Leftovers
from pytest_autoresearch.workspace import Workspace
from tests.chaos import check
from tests.conftest import MakeToy
from tests.support import Toy, git, kill, scores, wait_for

FILES = {"lib/help.sh": "LESS=0\n", "lib/old/more.sh": "true\n", ".gitattributes": "*.sh text\n"}
SCORE = "echo score: $((9 - $(cat score 2>/dev/null || echo 0)))\n"


def first(change: str) -> dict[str, str]:
    """An idea that changes the checkout and gives a bad score."""
    return {"hypothesis": change, "content": f"{change}\necho score: 11\n"}


SECOND = {"hypothesis": "profit from what the first one left", "content": f". lib/help.sh\n{SCORE}"}


@pytest.mark.parametrize(
    "change",
    [
        "echo 5 > score",
        "echo LESS=5 > lib/help.sh",
        "chmod +x lib/help.sh",
        "rm -r lib",
        "mv lib elsewhere; ln -s elsewhere lib",
        "rm lib/help.sh; mkdir -p lib/help.sh/in",
        "rm lib/help.sh; mkfifo lib/help.sh",
        "chmod 000 lib/old; echo > new",
        "echo '*.sh working-tree-encoding=UTF-16' > .gitattributes; echo LESS=5 > lib/help.sh",
        "echo '*' > .gitignore; echo 5 > score",
        "mkdir sub; git init --quiet sub; echo > sub/file",
        "rm results.tsv; mkdir results.tsv; echo > results.tsv/file",
    ],
)
def test_the_next_run_finds_what_the_first_one_found(make_toy: MakeToy, change: str) -> None:
    toy = make_toy(first(change), SECOND, files=FILES)
    done = toy.run("--iterations=2")
    assert done.returncode == 0, done.stdout
    assert toy.statuses() == [("keep", 10), ("discard", 11), ("keep", 9)]
    assert check.violations(toy.directory) == []
    assert [record["number"] for record in toy.ledger("left")] == [1]
    assert "what runs leave (" in done.stdout


def test_what_is_put_aside_can_be_looked_at_and_is_on_record(make_toy: MakeToy) -> None:
    toy = make_toy(first("echo 5 > score; echo LESS=5 > lib/help.sh"), files=FILES)
    toy.run("--iterations=1")
    (left,) = toy.ledger("left")
    aside = toy.checkout / ".autoresearch" / "aside" / left["aside"]
    assert (left["when"], left["paths"], left["count"]) == ("after", ["lib/help.sh", "score"], 2)
    assert (aside / "score").read_text() == "5\n"
    assert (aside / "lib" / "help.sh").read_text() == "LESS=5\n"
    assert (toy.checkout / "lib" / "help.sh").read_text() == FILES["lib/help.sh"]


def test_caches_that_the_baseline_made_are_there_for_all_and_cannot_be_poisoned(make_toy: MakeToy) -> None:
    prepare = "test -e cache/big || { mkdir -p cache; seq 100000 > cache/big; echo 0 > cache/small; echo made; }\n"
    files = {"prepare.sh": prepare, "solution.sh": "echo score: 10\n", ".gitignore": "cache\n"}
    read = "echo score: $((8 - $(cat cache/small)))\n"
    toy = make_toy(
        {"hypothesis": "poison", "content": "echo 5 > cache/small; echo score: 11\n"},
        {"hypothesis": "read", "content": read},
        {"hypothesis": "poison in place", "content": "echo 5 >> cache/big; echo score: 12\n"},
        {"hypothesis": "count", "content": "echo score: $(wc -l < cache/big)\n"},
        files=files,
        problem={"runner": "bash prepare.sh && bash solution.sh"},
    )
    done = toy.run("--iterations=4")
    assert toy.statuses() == [
        ("keep", 10),
        ("discard", 11),
        ("keep", 8),
        ("discard", 12),
        ("discard", 100000),
    ], done.stdout
    logs = {log.name: log.read_text() for log in (toy.checkout / ".autoresearch" / "logs").glob("run-*.log")}
    commits = [record["commit"][:7] for record in toy.ledger("result")[1:]]
    assert ["made" in logs[f"run-{commit}.log"] for commit in commits] == [False, False, False, True]


def test_what_a_killed_run_left_is_put_aside_at_the_next_start(make_toy: MakeToy) -> None:
    hang = "echo 5 > score; echo LESS=5 > lib/help.sh; touch started; sleep 100\n"
    toy = make_toy({"hypothesis": "hang", "content": hang}, files=FILES)
    process = toy.start("--iterations=1")
    wait_for((toy.checkout / "started").exists, "the run")
    kill(process)
    assert (toy.checkout / "score").exists()
    (toy.project / "ideas.yaml").write_text("[]")
    plain = toy.pytest("problem.yaml", "--autoresearch-critic=replay")
    assert not (toy.checkout / "score").exists(), plain.stdout
    assert (toy.checkout / "lib" / "help.sh").read_text() == FILES["lib/help.sh"]


def test_a_baseline_that_was_killed_is_measured_in_a_checkout_as_git_has_it(make_toy: MakeToy) -> None:
    half = "test -e cache && { cat cache; exit; }; echo score: 1 > cache; touch started; sleep 100\n"
    toy = make_toy(files={"solution.sh": half})
    process = toy.start("--iterations=1")
    wait_for((toy.checkout / "started").exists, "the run")
    kill(process)
    process = toy.start("--iterations=1")
    wait_for(lambda: not (toy.checkout / "started").exists(), "the next start")
    wait_for((toy.checkout / "started").exists, "the run")
    kill(process)


def test_what_somebody_does_there_between_two_runs_stays_and_is_said(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9), {"hypothesis": "overwrite", "content": "echo > notes; echo score: 8\n"}, files=FILES)
    toy.run("--iterations=1")
    (toy.checkout / "notes").write_text("mine\n")
    (toy.checkout / "lib" / "help.sh").write_text("mine\n")
    done = toy.run("--iterations=1")
    before, after = toy.ledger("left")
    assert (before["when"], before["paths"], before["aside"]) == ("before", ["lib/help.sh", "notes"], None)
    assert (after["when"], after["paths"]) == ("after", ["notes"])
    assert (toy.checkout / "notes").read_text() == (toy.checkout / "lib" / "help.sh").read_text() == "mine\n"
    assert "what is measured is more than solution.sh: lib/help.sh, notes changed since the run before" in done.stdout


def test_a_checkout_that_was_lost_comes_back_without_what_runs_left(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9), first("echo 5 > score"), SECOND, files=FILES)
    toy.run("--iterations=1")
    shutil.rmtree(toy.directory / ".autoresearch")
    done = toy.run("--iterations=2")
    assert toy.statuses() == [("keep", 10), ("keep", 9), ("discard", 11), ("discard", 9)], done.stdout
    assert check.violations(toy.directory) == []


# --- the parts


@pytest.fixture
def toy(make_toy: MakeToy) -> Toy:
    return make_toy(files=FILES)


def leftovers(toy: Toy, *, alone: bool = False) -> Leftovers:
    workspace = Workspace(toy.directory, ".", "solution.sh", None, "refs/x")
    return Leftovers(workspace, toy.records / "leftovers", ["out"], ["results.tsv"], alone=alone)


def test_where_we_are_alone_the_checkout_is_looked_at_once_a_run(toy: Toy) -> None:
    here = leftovers(toy, alone=True)
    here.take_down()
    (toy.directory / "found at the start").touch()
    assert here.before_run() == Left(("found at the start",), None)
    assert here.after_run(broken=False) is None
    (toy.directory / "later").touch()
    assert here.before_run() is None
    left = here.after_run(broken=False)
    assert left is not None
    assert left.paths == ("later",)


def test_what_each_run_finds_anew_is_left_alone(toy: Toy) -> None:
    compiled = toy.directory / "__pycache__"
    compiled.mkdir()
    here = leftovers(toy)
    here.take_down()
    for name in (
        "out",
        "results.tsv",
        "results.tsv.new",
        "results.tsv.edited-1/x",
        "__pycache__/solution.cpython-311.pyc",
        "solution.sh",
    ):
        (toy.directory / name).parent.mkdir(exist_ok=True)
        (toy.directory / name).write_text("new")
    assert here.clear() is None
    assert (compiled / "solution.cpython-311.pyc").exists()


def test_compiled_code_is_put_back_without_a_word(toy: Toy) -> None:
    compiled = toy.directory / "__pycache__" / "help.cpython-311.pyc"
    compiled.parent.mkdir()
    compiled.write_bytes(b"as compiled")
    here = leftovers(toy)
    here.take_down()
    compiled.write_bytes(b"poisoned")
    (compiled.parent / "json.cpython-311.pyc").write_bytes(b"poisoned")
    assert leftovers(toy).clear() is None
    assert compiled.read_bytes() == b"as compiled"
    assert [path.name for path in compiled.parent.iterdir()] == [compiled.name]


def test_the_disk_does_not_fill_with_what_runs_leave(toy: Toy) -> None:
    here = leftovers(toy)
    here.take_down()
    for number in range(KEPT + 3):
        (toy.directory / "model.pt").write_bytes(bytes(2 << 20))
        (toy.directory / "model.json").write_text(str(number))
        here.clear()
    asides = sorted((toy.directory / ".autoresearch" / "aside").iterdir())
    assert [path.name for path in asides] == [f"{number:04}-run" for number in range(3, KEPT + 3)]
    assert [path.parent.name for path in sorted(asides[0].parent.rglob("model.pt"))] == [asides[-1].name]
    assert [(aside / "model.json").read_text() for aside in asides] == [str(number) for number in range(3, KEPT + 3)]


def test_what_cannot_be_made_what_it_was_is_taken_away(toy: Toy) -> None:
    large = toy.directory / "cache"
    large.write_bytes(bytes(1 << 20))
    here = leftovers(toy)
    here.take_down()
    with large.open("r+b") as file:
        file.write(b"poison")
    left = here.clear()
    assert left is not None
    assert left.paths == ("cache",)
    assert not large.exists()
    assert here.clear() is None
    assert git(toy.directory, "status", "--porcelain", "--", "cache") == ""


def test_no_git_is_asked_where_nothing_has_changed(toy: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = leftovers(toy)
    here.take_down()
    os.utime(toy.directory / "lib" / "help.sh")
    assert here.clear() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert here.clear() is None
