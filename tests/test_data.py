"""The data that the numbers rest on: what a run does to them is seen, and put back where that can be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_autoresearch.data import Data
from tests.chaos import check
from tests.conftest import MakeToy
from tests.support import scores

TRAIN = "1,2\n3,4\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "data" / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ("true", []),
        ("touch data/a.csv", []),
        ("cp data/a.csv x; rm data/a.csv; mv x data/a.csv", []),
        ("echo > data/notes.txt", []),
        ("echo -n c.csv > data/a.csv; touch -d '2020-01-01' data/a.csv", ["data/a.csv"]),
        ("rm data/b.csv", ["data/b.csv"]),
        ("rm data/b.csv; ln -s nowhere data/b.csv", ["data/b.csv"]),
        ("rm data/b.csv; ln -s a.csv data/b.csv", ["data/b.csv"]),
        ("echo > data/c.csv", ["data/c.csv"]),
        ("rm -r data", ["data/a.csv", "data/b.csv"]),
    ],
)
def test_what_is_changed_is_what_holds_something_else(project: Path, change: str, changed: list[str]) -> None:
    data = Data(["data/*.csv"], project)
    assert os.system(f"cd {project}; {change}") == 0
    assert data.changed() == changed
    assert data.changed() == changed


def test_what_a_run_may_leave_is_no_data(project: Path) -> None:
    data = Data(["."], project, {"answer", "own", "data/b.csv"})
    for name in ("answer", "own/x", "data/b.csv", "__pycache__/x.pyc"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("new")
    assert data.changed() == []


def test_data_that_git_holds_are_put_back_and_the_attempt_is_on_record(make_toy: MakeToy) -> None:
    toy = make_toy(
        {"hypothesis": "easier data", "content": "echo 0,0 > data/train.csv; echo 0 > data/new.csv; echo score: 1\n"},
        {"hypothesis": "no data", "content": "rm -r data; echo score: 1\n"},
        *scores(8),
        files={"data/train.csv": TRAIN},
        problem={"fingerprint": ["data/*.csv"]},
    )
    done = toy.run("--iterations=3")
    assert done.returncode == 0, done.stdout
    assert [record["reason"] for record in toy.ledger("result")[1:3]] == [
        "contract: the run changed data/new.csv, data/train.csv, which was put back",
        "contract: the run changed data/train.csv, which was put back",
    ]
    assert toy.statuses() == [("keep", 10), ("crash", None), ("crash", None), ("keep", 8)]
    assert (toy.checkout / "data" / "train.csv").read_text() == TRAIN
    aside = toy.checkout / ".autoresearch" / "aside"
    assert sorted(str(path.relative_to(aside)) for path in aside.rglob("*.csv")) == [
        "0000-run/data/new.csv",
        "0000-run/data/train.csv",
    ]
    assert check.violations(toy.directory) == []


def test_data_that_nobody_can_put_back_end_the_session(make_toy: MakeToy) -> None:
    toy = make_toy(
        {"hypothesis": "easier data", "content": "echo 0,0 > data/train.csv; echo score: 1\n"},
        *scores(8, 7),
        files={"data/train.csv": TRAIN, ".gitignore": "data\n"},
        problem={"fingerprint": ["data/*.csv"], "link": ["data"]},
    )
    done = toy.run("--iterations=3")
    assert done.returncode == 1
    assert toy.statuses() == [("keep", 10), ("crash", None)]
    assert toy.ledger("result")[1]["reason"] == ("contract: the run changed data/train.csv, which cannot be put back")
    assert "fingerprint: data/train.csv in" in done.stdout
    assert "changed since this run began" in done.stdout
    (toy.directory / "data" / "train.csv").write_text(TRAIN)
    done = toy.run("--iterations=2")
    assert done.returncode == 0, done.stdout
    assert toy.statuses()[2:] == [("keep", 8), ("keep", 7)]
    assert toy.ledger("remeasured") == []


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        ("echo stale >> truth", ["--- a/truth", "+++ b/truth", "+stale"]),
        ("rm truth", ["truth: gone"]),
        ("ln -sf /etc/hostname truth", ["truth: a link to /etc/hostname"]),
        ("chmod +x truth", ["truth: its permissions"]),
        ("rm truth; mkdir truth", ["truth: something else"]),
        ("seq 100000 > truth", ["+1", "+2"]),
    ],
)
def test_what_was_done_to_a_read_only_file_is_on_record(make_toy: MakeToy, attack: str, told: list[str]) -> None:
    toy = make_toy(
        {"hypothesis": "breaks the contract", "content": f"echo a line; {attack}; echo score: 1\n"},
        files={"truth": "pinned\n"},
        problem={"readonly_files": ["truth"]},
    )
    toy.run("--iterations=1")
    (crash,) = toy.ledger("result")[1:]
    lines = crash["log_tail"].splitlines()
    assert lines[:2] == ["a line", "score: 1"]
    assert [line for line in told if line not in lines] == []
    assert len(crash["log_tail"]) <= 2000
    assert (toy.checkout / "truth").read_text() == "pinned\n"
