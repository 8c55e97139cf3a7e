"""What the page for those who come from another autoresearch promises: old files run, by the commands it shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.llm.server import MODEL, idea, say, serving
from tests.page import fenced, problems, section
from tests.support import Toy, clean_environment, commands, git

# A problem as v1.1 has them, with every section of its template.
PROBLEM = """\
objective: "bring the score down"
metric_name: score
metric_regex: '^score:\\s+([\\d.eE+-]+)'
lower_is_better: true

time_budget_s: 5
hard_timeout_s: 30

mutable_file: solution.py
readonly_files:
  - prepare.py
  - evaluate.py
runner: "python3 solution.py"

branch_prefix: old
results_tsv_columns: [commit, score, memory_gb, status, description]

resource_metric_regex: '^peak_mb:\\s+([\\d.]+)'
resource_metric_transform: divide_by_1024

gemma_critic:
  enabled: true
  provider: ollama
  model: {model}
  when: always
  thinking: true
  max_vram_gb: 0
  context_last_n: 10
  ollama_url: {url}

coder:
  enabled: true
  agent: claude
  permission: acceptEdits
  timeout_s: 300
  command: "{python} {agent} '{{prompt}}'"

state:
  enabled: true
  throttle_seconds: 300
  rebuild_every_n_iter: 5
"""
# Does as an agent does: reads the idea where it was told to, and edits the one file.
AGENT = """\
import json, pathlib, re, sys

assert "next_idea.json" in sys.argv[1], sys.argv
step = json.loads(pathlib.Path("next_idea.json").read_text())["code_pseudocode"]
file = pathlib.Path("solution.py")
file.write_text(re.sub(r"STEP = .*", step, file.read_text()))
"""
SOLUTION = """\
from evaluate import score

STEP = 5
print(f"score: {score(STEP)}")
print("peak_mb: 512")
"""


def pytest_in(directory: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=directory,
        env=clean_environment(variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def old_repository(directory: Path, url: str) -> Path:
    """What `autoresearch init` and a session of v1.1 leave: the branch is checked out, its table beside it."""
    agent = directory.parent / "agent.py"
    agent.write_text(AGENT)
    toy = Toy(directory)
    git(directory, "checkout", "--quiet", "-b", "old/run1")
    toy.write("problem.yaml", PROBLEM.format(model=MODEL, url=url, python=sys.executable, agent=agent))
    toy.write("solution.py", SOLUTION)
    toy.write("prepare.py", "TARGET = 2\n")
    toy.write("evaluate.py", "from prepare import TARGET\n\ndef score(step):\n    return float(abs(step - TARGET))\n")
    toy.write(".gitignore", "results.tsv\nrun.log\nnext_idea.json\n.autoresearch/\n__pycache__/\n")
    toy.commit("initial scaffold")
    toy.write("results.tsv", "commit\tscore\tmemory_gb\tstatus\tdescription\nabc1234\t3\t0.5\tkeep\tbaseline\n")
    toy.write(".autoresearch/loop_confirmed", "2026-04-25T16:58:19-03:00\n")
    return directory


def test_a_problem_of_v1_1_runs_unchanged_after_its_old_session(tmp_path: Path) -> None:
    steps = [say(idea(f"step {step}", code_pseudocode=f"STEP = {step}")) for step in (4, 7, 3)]
    with serving(steps) as server:
        project = old_repository(tmp_path / "repository", server.url)
        refused = pytest_in(project, "--autoresearch", "--iterations=2")
        assert refused.returncode == 1
        assert "old/run1" in refused.stdout
        arguments = ("--autoresearch", "--iterations=2", "--autoresearch-tag=run2")
        done = pytest_in(tmp_path, *arguments, AUTORESEARCH_PROJECT=str(project))
    assert done.returncode == 0, done.stdout
    checkout = project / ".autoresearch" / "old-run2"
    header, *rows = [line.split("\t") for line in (checkout / "results.tsv").read_text().splitlines()]
    assert header == ["commit", "score", "memory_gb", "status", "description"]
    assert [row[1:4] for row in rows] == [["3.0", "0.5", "keep"], ["2.0", "0.5", "keep"], ["5.0", "0.5", "discard"]]
    assert all((checkout / name).exists() for name in ("STATE.md", "AUDIT_LOG.json", "run.log", "next_idea.json"))
    assert (project / "results.tsv").read_text().count("\n") == 2
    assert git(project, "symbolic-ref", "--short", "HEAD") == "old/run1"
    assert git(project, "status", "--porcelain") == ""


def test_the_commands_for_it_work(tmp_path: Path) -> None:
    (block,) = fenced(section("coming-from", "From pcbrom/autoresearch"), "sh")
    with serving([say(idea("step 3", code_pseudocode="STEP = 3"))]) as server:
        project = old_repository(tmp_path / "repository", server.url)
        environment = clean_environment({"PATH": commands(tmp_path / "bin")})
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{block.strip()} --iterations=1"],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout
    assert "session old/run2: 1 kept" in done.stdout


# --- karpathy/autoresearch

TRAIN = """\
import time

from prepare import TIME_BUDGET, evaluate_bpb

# Model size
DEPTH = 8               # number of layers
TOTAL_BATCH_SIZE = 2**19
MATRIX_LR = 0.04        # learning rate

began = time.time()
while time.time() - began < TIME_BUDGET:
    time.sleep(0.01)

print("---")
print(f"val_bpb:          {evaluate_bpb(DEPTH, MATRIX_LR):.6f}")
print(f"training_seconds: {time.time() - began:.1f}")
print(f"peak_vram_mb:     {512.0 * DEPTH:.1f}")
"""
PREPARE = """\
TIME_BUDGET = 0.2


def evaluate_bpb(depth, rate):
    return 1 + abs(depth - 6) / 10 + abs(rate - 0.03)
"""
# The environment of the clone, in which only the standard library is needed.
UV = '#!/bin/sh\nshift\nexec python "$@"\n'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A small stand-in for a clone, with the page's problem.yaml not yet committed; `uv` runs this interpreter."""
    toy = Toy(tmp_path / "clone", files={"train.py": TRAIN, "prepare.py": PREPARE, "program.md": "# autoresearch\n"})
    git(toy.directory, "rm", "--quiet", "problem.yaml", "solution.sh", "ideas.yaml")
    toy.write("pyproject.toml", '[project]\nname = "autoresearch"\nversion = "0.1.0"\n')
    toy.write("uv.lock", "version = 1\n")
    toy.write(".gitignore", "__pycache__/\n.venv\nresults.tsv\nrun.log\n")
    toy.commit("the clone")
    (toy.directory / ".venv").mkdir()
    (block,) = fenced(section("coming-from", "From karpathy/autoresearch"), "yaml")[:1]
    toy.write("problem.yaml", block)
    return toy.directory


def variables(tmp_path: Path) -> dict[str, str]:
    path = commands(tmp_path / "bin")
    (tmp_path / "bin" / "uv").write_text(UV)
    (tmp_path / "bin" / "uv").chmod(0o755)
    who = {f"GIT_{role}_{what}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return {"PATH": path, **who}


def test_a_clone_with_the_file_of_the_page_makes_two_experiments_by_its_commands(clone: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the tuner needs optuna: pip install 'pytest-autoresearch[tuner]'")
    (block,) = fenced(section("coming-from", "From karpathy/autoresearch"), "sh")
    environment = clean_environment(variables(tmp_path))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    checkout = clone / ".autoresearch" / "autoresearch-mar5"
    header, baseline, *rows = [line.split("\t") for line in (checkout / "results.tsv").read_text().splitlines()]
    assert header == ["commit", "val_bpb", "memory_gb", "status", "description"]
    assert baseline[1:] == ["1.21", "4.0", "keep", "baseline"]
    assert len(rows) == 2
    assert "TOTAL_BATCH_SIZE = 2**19" in (checkout / "train.py").read_text()
    assert (checkout / ".venv").is_symlink()
    assert (checkout / "program.md").read_text() == "# autoresearch\n"
    assert git(clone, "branch", "--list", "autoresearch/mar5")
    assert git(clone, "status", "--porcelain") == ""


FREE_AGENT = """\
import pathlib, sys

assert "results.tsv" in sys.argv[1] and "train.py" in sys.argv[1], sys.argv
tried = len(pathlib.Path("results.tsv").read_text().splitlines()) - 1
file = pathlib.Path("train.py")
file.write_text(file.read_text().replace(f"DEPTH = {9 - tried}", f"DEPTH = {8 - tried}"))
"""


def test_an_agent_has_ideas_of_its_own_with_the_sections_of_the_page(clone: Path, tmp_path: Path) -> None:
    _, sections = problems("coming-from")
    assert sections["coder"]["agent"] == "claude"
    program = tmp_path / "agent.py"
    program.write_text(FREE_AGENT)
    sections["coder"]["command"] = [sys.executable, str(program), "{prompt}"]
    text = (clone / "problem.yaml").read_text().replace("critic: {provider: tuner}\n", "")
    (clone / "problem.yaml").write_text(
        text + "".join(f"{key}: {json.dumps(part)}\n" for key, part in sections.items())
    )
    git(clone, "add", "problem.yaml")
    git(clone, "commit", "--quiet", "--message", "the problem")
    environment = variables(tmp_path)
    done = pytest_in(clone, "--autoresearch", "--autoresearch-confirm", "--iterations=3", **environment)
    assert done.returncode == 0, done.stdout
    table = (clone / ".autoresearch" / "autoresearch-run1" / "results.tsv").read_text()
    assert [line.split("\t")[3] for line in table.splitlines()[1:]] == ["keep", "keep", "keep", "discard"], table
