"""The nine checks: what each finds, what it says, and that a plain run leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import MakeToy
from tests.llm.server import closed_port
from tests.support import Toy, git, properties, scores

NOWHERE = f"http://127.0.0.1:{closed_port()}"


def outcomes(toy: Toy, *arguments: str, env: dict[str, str] | None = None) -> dict[str, tuple[str, str]]:
    """Each check's outcome and detail in a plain run."""
    done = toy.pytest("problem.yaml", "-v", "--junitxml=../report.xml", *arguments, env=env)
    words = {}
    for line in done.stdout.splitlines():
        if line.startswith("problem.yaml::precondition["):
            name, word = line.split("::precondition[")[1].split("] ")
            words[name] = word.split()[0]
    details = properties(toy.project.parent / "report.xml")
    return {name: (word, details[f"precondition[{name}]"]["detail"]) for name, word in words.items()}


def test_the_nine_run_in_a_temporary_checkout_that_is_gone_afterwards(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8))
    refs = git(toy.directory, "for-each-ref")
    found = outcomes(toy, "-p", "no:cacheprovider")
    assert [word for word, _ in found.values()] == [
        "PASSED",
        "PASSED",
        "PASSED",
        "PASSED",
        "SKIPPED" if shutil.which("nvidia-smi") is None else "PASSED",
        "PASSED",
        "PASSED",
        "PASSED",
        "SKIPPED",
    ]
    assert "--autoresearch-confirm" in found["confirm_loop"][1]
    assert found["baseline_smoke"][1].startswith("score 10 ")
    assert found["critic_dry_run"][1] == "replay: score 8"
    assert git(toy.directory, "for-each-ref") == refs
    assert len(git(toy.directory, "worktree", "list").splitlines()) == 1
    assert git(toy.directory, "status", "--porcelain", "--ignored") == ""
    assert not toy.records.exists()


def test_a_plain_run_on_a_session_does_not_pay_for_the_baseline_again(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7))
    toy.run("--iterations=1")
    started = len(toy.ledger("started"))
    found = outcomes(toy)
    assert found["baseline_smoke"] == ("PASSED", "score 8 as measured before (experiment 1)")
    assert found["confirm_loop"][0] == "PASSED"
    assert len(toy.ledger("started")) == started


def test_the_results_are_kept_with_the_ledger(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8))
    toy.run("--iterations=1")
    saved = json.loads((toy.records / "preconditions.json").read_text())["results"]
    assert len(saved) == 9
    assert saved[5]["name"] == "baseline_smoke"
    assert saved[5]["outcome"] == "passed"
    assert saved[5]["seconds"] > 0


def test_five_mistakes_in_the_problem_get_five_located_messages(make_toy: MakeToy) -> None:
    text = """\
objective: make it small
metric_name: score
metric_regex: 'score: \\S+'
lower_is_better: perhaps
time_budget: 5
hard_timeout_s: -1
mutable_file: missing.sh
runner: bash solution.sh
"""
    toy = make_toy(files={"problem.yaml": text})
    done = toy.pytest("problem.yaml")
    for line, said in (
        (3, "metric_regex: expected a group"),
        (4, "lower_is_better: should be a valid boolean"),
        (5, "time_budget: unknown key; did you mean `time_budget_s`?"),
        (6, "hard_timeout_s: should be greater than 0"),
        (7, "mutable_file: there is no such file"),
    ):
        assert f"problem.yaml:{line}: {said}" in done.stdout
    assert len(re.findall(r"^problem\.yaml:\d+: ", done.stdout, re.MULTILINE)) == 5
    assert "Traceback" not in done.stdout
    assert done.returncode == 1


def test_what_depends_on_a_failed_check_is_skipped_as_blocked_by_it(make_toy: MakeToy) -> None:
    found = outcomes(make_toy(files={"problem.yaml": "objective: x\n"}))
    assert found["problem_yaml"][0] == "FAILED"
    for name in (
        "critic_endpoint",
        "vram_budget",
        "baseline_smoke",
        "critic_dry_run",
        "cleanup_check",
        "confirm_loop",
    ):
        assert found[name] == ("SKIPPED", "blocked by precondition[problem_yaml]")


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_an_engine_that_is_not_installed_is_named_with_what_installs_it(make_toy: MakeToy) -> None:
    outcome, detail = outcomes(make_toy(problem={"engine": "ray"}))["problem_yaml"]
    assert outcome == "FAILED"
    assert "engine: ray is not installed; pip install 'pytest-autoresearch[ray]'" in detail


@pytest.mark.parametrize(
    ("critic", "said"),
    [
        ({"provider": "ollama", "base_url": NOWHERE}, "does not answer (connection refused); start it: ollama serve"),
        ({"provider": "openai", "api_key_env": "NOT_SET"}, "NOT_SET is not set, and openai at https"),
        ({"provider": "tuner"}, "has no literal to tune"),
        ({"provider": "replay", "ideas": "nowhere.yaml"}, "nowhere.yaml: cannot be read"),
    ],
)
def test_a_critic_that_is_not_to_be_had_is_said(make_toy: MakeToy, critic: dict[str, object], said: str) -> None:
    found = outcomes(make_toy(problem={"critic": critic}))
    assert found["critic_endpoint"][0] == "FAILED"
    assert said in found["critic_endpoint"][1]
    assert found["critic_dry_run"] == ("SKIPPED", "blocked by precondition[critic_endpoint]")


def test_a_directory_without_a_repository_is_told_how_to_make_one(make_toy: MakeToy) -> None:
    toy = make_toy()
    shutil.rmtree(toy.directory / ".git")
    outcome, detail = outcomes(toy)["repo_git"]
    assert outcome == "FAILED"
    assert "git init" in detail


def test_a_repository_without_a_commit_is_told_how_to_make_one(make_toy: MakeToy) -> None:
    toy = make_toy()
    shutil.rmtree(toy.directory / ".git")
    git(toy.directory, "init", "--quiet")
    outcome, detail = outcomes(toy)["repo_git"]
    assert outcome == "FAILED"
    assert "git add . && git commit" in detail


@pytest.mark.parametrize("name", ["solution.sh", "problem.yaml", "helper.sh"])
def test_changes_that_are_not_committed_are_refused(make_toy: MakeToy, name: str) -> None:
    toy = make_toy(problem={"readonly_files": ["helper.sh"]}, files={"helper.sh": "true\n"})
    path = toy.project / name
    path.write_text(path.read_text() + "\n")
    outcome, detail = outcomes(toy)["repo_git"]
    assert outcome == "FAILED"
    assert f"git add -- {name} && git commit" in detail


def test_a_mutable_file_that_git_does_not_know_is_refused(make_toy: MakeToy) -> None:
    toy = make_toy()
    git(toy.directory, "rm", "--quiet", "--cached", "solution.sh")
    git(toy.directory, "commit", "--quiet", "--message", "forget it")
    outcome, detail = outcomes(toy)["repo_git"]
    assert outcome == "FAILED"
    assert "solution.sh: is not in git" in detail


def test_files_that_git_ignores_are_copied(make_toy: MakeToy) -> None:
    toy = make_toy(
        *scores(8),
        problem={"readonly_files": ["helper.sh"]},
        files={"helper.sh": "echo score: 10\n", ".gitignore": "helper.sh\nsolution.sh\nproblem.yaml\n"},
    )
    toy.write("solution.sh", "bash helper.sh\n")
    assert git(toy.directory, "ls-files").split() == [".gitignore", "ideas.yaml"]
    done = toy.run("--iterations=1")
    assert done.returncode == 0, done.stdout
    assert toy.statuses() == [("keep", 10), ("keep", 8)]
    assert git(toy.checkout, "status", "--porcelain") == ""


def test_a_merge_in_progress_is_refused(make_toy: MakeToy) -> None:
    toy = make_toy()
    git(toy.directory, "checkout", "--quiet", "-b", "other")
    toy.write("other", "1")
    toy.commit("other")
    git(toy.directory, "checkout", "--quiet", "main")
    git(toy.directory, "merge", "--no-ff", "--no-commit", "other")
    outcome, detail = outcomes(toy)["repo_git"]
    assert outcome == "FAILED"
    assert "in the middle of a merge" in detail


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a repository to another user")
def test_dubious_ownership_is_answered_with_the_line_that_mends_it(make_toy: MakeToy) -> None:
    toy = make_toy()
    subprocess.run(["chown", "-R", "65534", str(toy.directory)], check=True)
    outcome, detail = outcomes(toy, env={"GIT_CONFIG_GLOBAL": "/dev/null"})["repo_git"]
    assert outcome == "FAILED"
    assert f"git config --global --add safe.directory {toy.directory}" in detail


def test_a_missing_tool_is_named(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy()
    tools = tmp_path / "tools"
    tools.mkdir()
    git_program = shutil.which("git")
    assert git_program
    (tools / "git").symlink_to(git_program)
    outcome, detail = outcomes(toy, env={"PATH": str(tools)})["tools_present"]
    assert outcome == "FAILED"
    assert detail.startswith("bash: not found")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo oops >&2; exit 3", "the runner ended with exit status 3"),
        ("echo nothing", "no metric"),
        ("echo score: nan", "is not a finite number"),
        ("sleep 100", "timeout"),
    ],
)
def test_a_baseline_without_a_metric_fails_and_shows_its_log(make_toy: MakeToy, script: str, said: str) -> None:
    toy = make_toy(files={"solution.sh": script + "\n"}, problem={"hard_timeout_s": 2})
    outcome, detail = outcomes(toy)["baseline_smoke"]
    assert outcome == "FAILED"
    assert said in detail
    if "oops" in script:
        assert detail.endswith("oops")


def test_a_runner_that_reads_another_checkouts_file_is_found_out(make_toy: MakeToy) -> None:
    toy = make_toy(files={"elsewhere.sh": "echo score: 10\n"}, problem={"runner": "bash elsewhere.sh"})
    outcome, detail = outcomes(toy)["baseline_smoke"]
    assert outcome == "FAILED"
    assert "the runner does not read" in detail


def test_the_memory_of_an_nvidia_gpu_is_looked_at(make_toy: MakeToy, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "nvidia-smi").write_text("#!/bin/sh\necho 40960, 81920\n")
    (tools / "nvidia-smi").chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    assert outcomes(make_toy(), env={"PATH": path})["vram_budget"] == (
        "PASSED",
        "40.0 of 80.0 GiB free; the critic needs 0",
    )


def test_the_gate_is_looked_at_before_a_baseline_is_paid_for(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8), files={"solution.sh": "touch $HOME/ran; echo score: 10\n"})
    done = toy.pytest("--autoresearch", "--iterations=1", env={"HOME": str(toy.directory.parent)})
    assert done.returncode == 1
    assert "nobody has confirmed" in done.stdout
    assert not (toy.directory.parent / "ran").exists()


def test_confirmation_is_given_once_per_session(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7))
    toy.run("--iterations=1")
    assert toy.pytest("--autoresearch", "--iterations=1").returncode == 0
    assert toy.pytest("--autoresearch", "--iterations=1", "--autoresearch-tag=run2").returncode == 1


def test_the_gate_file_of_v1_1_counts(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8))
    toy.write(".autoresearch/loop_confirmed", "")
    assert toy.pytest("--autoresearch", "--iterations=1").returncode == 0
