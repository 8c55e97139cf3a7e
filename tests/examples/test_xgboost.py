"""examples/xgboost_tuning: the known errors on California Housing, where the data come from, a strict evaluator."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.examples import EXAMPLES, Example, copy_example, with_literals

VARIABLE = "AUTORESEARCH_CALIFORNIA_HOUSING"
TEST_PART = 4128


@pytest.fixture
def table() -> Path:
    """cal_housing.data: tests do not wait for a download."""
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else EXAMPLES.parents[1] / "shared" / "data" / "cal_housing.data"
    if not path.is_file():
        pytest.skip(f"no California Housing data: set {VARIABLE} to the path of cal_housing.data")
    return path


@pytest.fixture
def bare(tmp_path: Path) -> Example:
    """The example in a home directory without data."""
    pytest.importorskip("xgboost")
    pytest.importorskip("sklearn")
    return copy_example("xgboost_tuning", tmp_path)


@pytest.fixture
def housing(bare: Example, table: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    monkeypatch.setenv(VARIABLE, str(table))
    return bare


@pytest.mark.parametrize(
    ("trees", "rate", "rmse"),
    [
        (500, 0.1, 0.45026),
        pytest.param(1000, 0.1, 0.44854, marks=pytest.mark.long),
        pytest.param(1000, 0.08, 0.44492, marks=pytest.mark.long),
    ],
)
def test_the_errors_are_the_known_ones(housing: Example, trees: int, rate: float, rmse: float) -> None:
    result = housing.solve(with_literals(housing.solution, N_ESTIMATORS=trees, LEARNING_RATE=rate))
    assert (result.returncode, result.stdout) == (0, "")
    assert housing.metric() == pytest.approx(rmse, abs=6e-6)


def test_the_baseline_is_two_hundred_trees(housing: Example) -> None:
    housing.solve()
    assert housing.evaluate().stdout == "rmse: 0.463870\nmae: 0.302646\n"


def test_header_or_not_or_scikit_learn_the_data_are_the_same(
    housing: Example, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joblib = pytest.importorskip("joblib")
    numpy = pytest.importorskip("numpy")
    lines = [line for line in table.read_text().splitlines(keepends=True) if "longitude" not in line]
    bare, headed = tmp_path / "bare.data", tmp_path / "headed.data"
    bare.write_text("".join(lines))
    headed.write_text("".join(["longitude,latitude,and so on\n", *lines]))
    # What fetch_california_housing leaves after a download.
    joblib.dump(numpy.loadtxt(bare, delimiter=",")[:, [8, 7, 2, 3, 4, 5, 6, 1, 0]], tmp_path / "cal_housing_py3.pkz")
    made = set()
    for variable, place in ((VARIABLE, bare), (VARIABLE, headed), ("SCIKIT_LEARN_DATA", tmp_path)):
        monkeypatch.delenv(VARIABLE, raising=False)
        monkeypatch.setenv(variable, str(place))
        assert housing.solve().returncode == 0
        made.add((housing.judge / "predictions.json").read_bytes())
    assert len(made) == 1


def test_without_data_or_a_network_the_message_names_the_variable(
    bare: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "empty"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    result = bare.solve()
    assert result.returncode == 1
    assert VARIABLE in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("1,2,3\n4,5,6\n", "not 20640 rows of 9 numbers"),
        ("longitude\n-122.2,37.9,41,880,129,322,126,8.3,NEAR BAY\n", "cannot be read"),
        ("-122.2,37.9,41,880,129,322,126,8.3,nan\n" * 20_640, "not 20640 rows of 9 numbers"),
    ],
)
def test_a_file_that_is_not_the_data_is_refused_in_one_line(
    bare: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, reason: str
) -> None:
    path = tmp_path / "other.csv"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(VARIABLE, str(path))
    result = bare.solve()
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"{VARIABLE}: {path}")
    assert reason in result.stderr


@pytest.mark.parametrize(
    ("artifact", "reason"),
    [
        ({"predictions": [2.0] * (TEST_PART - 1)}, "not a list of 4128 numbers"),
        ({"predictions": 2.0}, "not a list of 4128 numbers"),
        ({"predictions": [[2.0]] * TEST_PART}, "not a number"),
        ({"predictions": [True] * TEST_PART}, "not a number"),
        ({"predictions": ["2.0"] * TEST_PART}, "not a number"),
        ({"predictions": [None] * TEST_PART}, "not a number"),
        ({"predictions": [float("nan")] + [2.0] * (TEST_PART - 1)}, "between -1000 and 1000"),
        ({"predictions": [float("-inf")] + [2.0] * (TEST_PART - 1)}, "between -1000 and 1000"),
        ({"predictions": [10**400] + [2.0] * (TEST_PART - 1)}, "between -1000 and 1000"),
        ({"predictions": [2.0] * TEST_PART, "rmse": 0.0}, "one key"),
        ([2.0] * TEST_PART, "one key"),
        ("rmse: 0.000000\n", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("x" * (1 << 20) + "x", "more than 1048576 bytes"),
    ],
)
def test_the_evaluator_refuses_what_are_no_predictions_in_one_line(
    bare: Example, artifact: object, reason: str
) -> None:
    bare.submit(artifact)
    refusal = bare.refusal()
    assert refusal.startswith("predictions.json: ")
    assert reason in refusal


def test_the_evaluator_refuses_a_missing_artifact(bare: Example) -> None:
    assert "no such file" in bare.refusal()


def test_the_error_is_computed_from_the_predictions_alone(housing: Example) -> None:
    housing.submit({"predictions": [2] * TEST_PART})
    assert housing.metric() == pytest.approx(1.146052, abs=1e-6)
    housing.submit({"predictions": [2] * (TEST_PART - 1) + [100.0]})
    assert housing.metric() > 1.5
