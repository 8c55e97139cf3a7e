"""The tracker MLflow, with the real library on a real store."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.place import find_place
from pytest_autoresearch.trackers.follower import Follower
from pytest_autoresearch.trackers.mlflow import MlflowTracker
from tests.cli.support import apart
from tests.conftest import MakeToy
from tests.reports.synthetic import story_of
from tests.support import PROBLEM, Toy, clean_environment, kill, problem_with, scores, wait_for

pytestmark = pytest.mark.filterwarnings("ignore")  # what the library warns of is not ours
TRACKED = {"tracker": "mlflow"}
SERVER = "AUTORESEARCH_MLFLOW"
LATER = {"hypothesis": "stay", "content": "sleep 60\n"}


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library, without what the user has set for it."""
    reason = "needs MLflow: pip install 'pytest-autoresearch[mlflow]'"
    for name in ("mlflow", "sqlalchemy", "alembic"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(reason)
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)


@dataclass(frozen=True)
class Found:
    """A run on the server, and the files in it."""

    name: str
    status: str
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]
    files: dict[str, str]


def local(toy: Toy) -> str:
    return f"sqlite:///{toy.records}/mlflow/mlflow.db"


def found(uri: str, experiment: str = "toy") -> list[Found]:
    """The runs of an experiment, oldest first."""
    from mlflow.artifacts import download_artifacts
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    there = client.get_experiment_by_name(experiment)
    assert there is not None
    told = []
    for run in client.search_runs([there.experiment_id], order_by=["attributes.start_time"]):
        files = {}
        for one in client.list_artifacts(run.info.run_id):
            path = download_artifacts(run_id=run.info.run_id, artifact_path=one.path, tracking_uri=uri)
            files[one.path] = Path(path).read_text()
        data = run.data
        told.append(Found(run.info.run_name, run.info.status, data.metrics, data.params, data.tags, files))
    return told


def children(uri: str, experiment: str = "toy") -> list[Found]:
    """The experiments, by number."""
    numbered = [one for one in found(uri, experiment) if one.tags["autoresearch.number"] != "session"]
    return sorted(numbered, key=lambda one: int(one.tags["autoresearch.number"]))


def numbers(uri: str) -> list[int]:
    return [int(one.tags["autoresearch.number"]) for one in children(uri)]


@pytest.mark.long
def test_several_of_an_iteration_are_called_as_people_call_them(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8), problem={**TRACKED, "engine": {"candidates": 2}})
    toy.run("--iterations=1")
    found = children(local(toy))
    assert [one.name for one in found] == ["0 keep", "1.1 discard", "1.2 keep"]
    assert [[one.tags[name] for name in ("experiment", "iteration", "seat")] for one in found[1:]] == [
        ["1.1", "1", "1"],
        ["1.2", "1", "2"],
    ]
    assert [one.metrics["delta"] for one in found[1:]] == [-1, -2]


def test_a_session_is_a_run_and_each_experiment_a_run_in_it(make_toy: MakeToy) -> None:
    rates: dict[str, Any] = {
        "hypothesis": "slower",
        "parameters": {"RATE": 0.5},
        "content": "echo score: 7; echo $((1+1))\n",
    }
    rates.update(justification="it was too fast", expected_delta=-2, risk_level="med")
    conftest = f"""
from pytest_autoresearch.records import Idea

def pytest_autoresearch_propose(brief):
    return Idea(critic="mine", **{rates!r}) if brief.number == 3 else None
"""
    toy = make_toy(*scores(9, "none"), problem=TRACKED, files={"conftest.py": conftest})
    done = toy.run("--iterations=3")
    assert done.returncode == 0
    assert "warning" not in done.stdout
    (session,) = [one for one in found(local(toy)) if one.tags["autoresearch.number"] == "session"]
    assert (session.name, session.status) == ("toy/run1", "FINISHED")
    assert session.metrics == {"metric": 7, "best": 7}
    baseline, kept, crashed, slower = children(local(toy))
    assert (baseline.name, baseline.metrics["metric"], baseline.files) == ("0 keep", 10, {})
    assert (kept.status, kept.metrics["delta"], kept.metrics["best"]) == ("FINISHED", -1, 9)
    assert "+echo score: 9" in kept.files["candidate.diff"]
    assert (crashed.status, crashed.tags["status"]) == ("FAILED", "crash")
    assert "metric" not in crashed.metrics
    assert crashed.files["log_tail.txt"] == "score: none\n"
    assert slower.params == {"RATE": "0.5"}
    assert slower.metrics["expected_delta"] == -2
    assert slower.tags["critic"] == "mine"
    assert slower.tags["risk"] == "med"
    assert slower.tags["mlflow.note.content"] == "slower\n\nit was too fast"
    assert json.loads(slower.files["idea.json"])["hypothesis"] == "slower"


@pytest.mark.long
def test_the_next_run_goes_on_in_the_same_one(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8, 7), problem=TRACKED)
    toy.run("--iterations=2")
    toy.run("--iterations=1")
    parents = {one.tags.get("mlflow.parentRunId") for one in children(local(toy))}
    assert numbers(local(toy)) == [0, 1, 2, 3]
    assert len(parents) == 1
    assert toy.user_status() == ""


@pytest.mark.long
def test_what_a_kill_kept_from_the_tracker_is_copied_later_and_once(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8), LATER, *scores(7), problem={**TRACKED, "hard_timeout_s": 2})
    process = toy.start("--iterations=3")
    ledger = toy.records / "ledger.jsonl"
    wait_for(lambda: ledger.exists() and len(toy.ledger("applied")) == 3, "the third candidate")
    kill(process)
    toy.run("--iterations=2")
    assert [status for status, _ in toy.statuses()] == ["keep", "keep", "keep", "crash", "keep"]
    assert numbers(local(toy)) == [0, 1, 2, 3, 4]


@pytest.mark.long
@pytest.mark.parametrize("left", ["nothing", "less"])
def test_where_it_is_not_known_what_is_there_the_server_is_asked(make_toy: MakeToy, left: str) -> None:
    """As after a kill in the moment between the two, and where the file is lost."""
    toy = make_toy(*scores(9, 8), problem=TRACKED)
    toy.run("--iterations=2")
    file = toy.records / "mlflow.json"
    if left == "nothing":
        file.unlink()
    else:
        (saved,) = json.loads(file.read_text()).items()
        file.write_text(json.dumps({saved[0]: {**saved[1], "number": 0}}))
    before = found(local(toy))
    MlflowTracker(story_of(toy), Mask({})).copy(ended=True)
    assert found(local(toy)) == before


def test_a_server_that_is_down_costs_one_warning(make_toy: MakeToy) -> None:
    uri = "http://someone:a-secret@127.0.0.1:1"
    toy = make_toy(*scores(9, 8, 7), problem={"tracker": {"kind": "mlflow", "uri": uri}})
    done = toy.run("--iterations=3")
    assert done.returncode == 0
    assert len(toy.statuses()) == 4
    assert done.stdout.count("tracker mlflow: ") == 1
    assert "No experiment is lost" in done.stdout
    assert "a-secret" not in done.stdout


@pytest.mark.long
def test_a_warning_is_no_error_where_the_user_makes_errors_of_them(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9), problem={"tracker": {"uri": "http://127.0.0.1:1"}})
    done = toy.run("--iterations=1", "-W", "error")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("tracker mlflow: ") == 1


def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_is_said(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9))
    toy.run("--iterations=1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        section = {"kind": "mlflow", "uri": f"http://127.0.0.1:{server.getsockname()[1]}"}
        toy.write("problem.yaml", json.dumps({**PROBLEM, "tracker": section}))
        said: list[str] = []
        place = find_place(toy.project / "problem.yaml", "toy", None)
        follower = Follower(place, toy.project / "problem.yaml", said.append, patience_s=0.5)
        follower.notice()
        follower.notice()
        follower.close()
    assert [text.split("; ")[0] for text in said] == ["tracker mlflow: was not done in 0.5 s"]


def test_without_the_library_it_says_what_to_install(make_toy: MakeToy, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import sys\nsys.modules['mlflow'] = None\n")
    toy = make_toy(*scores(9, 8), problem=TRACKED)
    path = f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = toy.run("--iterations=2", env={"PYTHONPATH": path})
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("pip install 'pytest-autoresearch[mlflow]'") == 1
    assert len(toy.statuses()) == 3


def test_a_process_that_ends_at_once_costs_one_warning(make_toy: MakeToy, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    ending = "import os, sys\nif 'pytest_autoresearch.trackers' in sys.orig_argv:\n    os._exit(3)\n"
    (tmp_path / "site" / "sitecustomize.py").write_text(ending)
    toy = make_toy(*scores(9, 8), problem=TRACKED)
    path = f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = toy.run("--iterations=2", env={"PYTHONPATH": path})
    assert done.returncode == 0
    assert done.stdout.count("tracker mlflow: ended with exit status 3") == 1


def test_a_disk_that_does_not_take_it_costs_one_warning(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8), problem=TRACKED)
    toy.records.mkdir(parents=True)
    (toy.records / "mlflow").write_text("in the way")
    done = toy.run("--iterations=2")
    assert done.returncode == 0
    assert done.stdout.count("tracker mlflow: FileExistsError") == 1


@pytest.mark.long
def test_a_step_by_hand_is_copied_too(make_toy: MakeToy) -> None:
    toy = make_toy(problem=TRACKED)
    toy.run("--iterations=1")
    (toy.checkout / "solution.sh").write_text("echo score: 4\n")
    said = apart(toy.checkout, "run", "--message", "by hand")
    assert said.code == 0, said
    assert [one.tags["hypothesis"] for one in children(local(toy))] == ["baseline", "by hand"]


def test_a_key_is_in_no_tag_and_no_file(make_toy: MakeToy) -> None:
    key = "a-key-that-nobody-may-see"
    ideas = [{"hypothesis": f"use {key}", "justification": key, "content": f"echo score: 9 # {key}\n"}]
    toy = make_toy(*ideas, problem=TRACKED)
    toy.run("--iterations=1", env={"SERVICE_API_KEY": key})
    told = found(local(toy))
    assert len(told) == 3
    assert key not in repr(told)


def test_the_run_itself_does_not_load_the_library(make_toy: MakeToy) -> None:
    conftest = (
        "import sys\ndef pytest_sessionfinish():\n    print('LOADED', 'mlflow' in sys.modules, file=sys.stderr)\n"
    )
    toy = make_toy(*scores(9), problem=TRACKED, files={"conftest.py": conftest})
    assert "LOADED False" in toy.run("--iterations=1", "-s").stderr


@pytest.mark.long
def test_a_session_that_has_begun_takes_a_tracker(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8))
    toy.run("--iterations=1")
    toy.write("problem.yaml", json.dumps({**PROBLEM, "tracker": {"experiment": "nights"}}))
    toy.commit("a tracker")
    done = toy.run("--iterations=1")
    assert "was changed after this session began" not in done.stdout
    assert len(children(local(toy), "nights")) == 3


def test_the_key_is_checked_like_the_others() -> None:
    assert problem_with().tracker.kind == "none"
    assert problem_with(tracker="mlflow").tracker.kind == "mlflow"
    assert problem_with(tracker={"uri": "http://here"}).tracker.kind == "mlflow"
    with pytest.raises(UserError, match="tracker: should be 'none' or 'mlflow'"):
        problem_with(tracker="wandb")
    with pytest.raises(UserError, match="did you mean `experiment`"):
        problem_with(tracker={"experimnt": "x"})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real server on loopback."""
    program = os.environ.get(SERVER)
    if program is None or shutil.which(program) is None:
        pytest.skip(f"needs MLflow's server: pip install mlflow, and name its program in {SERVER}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    store = ("--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", f"{tmp_path}/files")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "server", *store, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
            cwd=tmp_path,
            env=clean_environment({"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(lambda: answers(uri, process), "the server", 120)
        yield uri
    finally:
        process.terminate()
        process.wait()


def answers(uri: str, process: Any) -> bool:
    assert process.poll() is None, "the server has ended"
    try:
        with urlopen(f"{uri}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.servers
def test_a_server_has_what_the_store_would_have(make_toy: MakeToy, server: str) -> None:
    toy = make_toy(*scores(9, "none", 8), problem=TRACKED)
    toy.run("--iterations=2", env={"MLFLOW_TRACKING_URI": server})
    toy.run("--iterations=1", env={"MLFLOW_TRACKING_URI": server})
    assert [one.name for one in children(server)] == ["0 keep", "1 keep", "2 crash", "3 keep"]
    assert "+echo score: 8" in children(server)[3].files["candidate.diff"]
    assert not (toy.records / "mlflow" / "mlflow.db").exists()
