"""The wheel and the sdist: what is in them, and that they work far from the checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support import clean_environment, git

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the sdist, and the wheel that was built from it."""
    pytest.importorskip("build", reason="needs the package build: pip install -e '.[dev]'")
    pytest.importorskip("hatchling", reason="needs the package hatchling: pip install -e '.[dev]'")
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, env=clean_environment())
    return directory


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with the wheel, and the dependencies of the one that we are in."""
    directory = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    python = directory / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    Path(site, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_wheel_holds_the_package_its_licence_and_its_types(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "pytest_autoresearch/py.typed" in names
    assert "pytest_autoresearch/critics/tuner.py" in names
    assert "pytest_autoresearch/critics/templates/idea.md.j2" in names
    assert "pytest_autoresearch/examples/tsp_heuristic/problem.yaml" in names
    assert "pytest_autoresearch/template/problem.yaml" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "examples", "benchmarks"))]
    assert not [name for name in names if "sample_run" in name]
    metadata = next(name for name in names if name.endswith("METADATA"))
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    assert "License-Expression: MIT" in text
    assert "Classifier: Framework :: Pytest" in text
    assert "Requires-Dist: xgboost-cpu>=2.1; (sys_platform == 'linux') and extra == 'xgb'" in text


def test_the_sdist_holds_what_the_tests_need(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {"pyproject.toml", "conftest.py", "tests/test_package.py", "examples/tsp_heuristic/problem.yaml"} <= names
    assert "examples/tsp_heuristic/sample_run/AUDIT_LOG.json" in names


def test_the_tsp_example_runs_from_the_wheel_outside_the_checkout(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    pytest.importorskip("numpy", reason="the example needs numpy: pip install 'pytest-autoresearch[tsp]'")
    example = tmp_path / "tsp"
    example.mkdir()
    for file in (ROOT / "examples" / "tsp_heuristic").iterdir():
        if file.is_file():
            (example / file.name).write_bytes(file.read_bytes())
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "tsp")
    git(tmp_path, "commit", "--quiet", "--message", "the example")
    where = "import pytest_autoresearch; print(pytest_autoresearch.__file__)"
    found = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert Path(found).is_relative_to(python.parent.parent)
    options = ["--autoresearch", "--iterations=4", "--autoresearch-critic=replay", "--autoresearch-confirm", "tsp"]
    done = subprocess.run(
        [python, "-m", "pytest", "-v", *options],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = (tmp_path / ".autoresearch" / "tsp-run1" / "tsp" / "results.tsv").read_text().splitlines()
    metrics, statuses = zip(*((float(row.split("\t")[1]), row.split("\t")[3]) for row in rows[1:]), strict=True)
    assert statuses == ("keep", "keep", "keep", "discard", "keep")
    assert metrics[:3] == pytest.approx((25.251112, 5.974833, 5.892702), abs=1e-6)
    assert metrics[4] <= 5.64
