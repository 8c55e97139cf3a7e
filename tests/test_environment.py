"""What a runner and an evaluator see of the environment, and what neither ever sees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_autoresearch.environment import evaluator_environment, runner_environment
from pytest_autoresearch.git import repository_variables

KEYS = """
    OPENAI_API_KEY ANTHROPIC_API_KEY GEMINI_API_KEY openai_api_key OPENAI_APIKEY API_KEY MY_API_KEYS
    AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_SESSION_TOKEN HF_TOKEN GITHUB_TOKEN GH_TOKEN HUGGING_FACE_HUB_TOKEN
    WANDB_API_KEY NPM_AUTH_TOKEN TOKEN SLACK_ACCESS_TOKEN DB_PASSWORD PASSWORD PGPASSWORD MYSQL_PASSWD SECRET
    CLIENT_SECRET DJANGO_SECRET_KEY STRIPE_SECRETS GOOGLE_APPLICATION_CREDENTIALS SSH_PRIVATE_KEY SIGNING_PRIVATEKEY
    KAGGLE_KEY OPENAI_KEY AZURE_STORAGE_KEY
"""
ORDINARY = """
    KEYBOARD MONKEY KEYS_PER_ROW TOKENIZERS_PARALLELISM PATH CUDA_VISIBLE_DEVICES SSH_AUTH_SOCK HOME LANG TMPDIR
    PYTHONPATH PYTHONHASHSEED LD_LIBRARY_PATH OMP_NUM_THREADS HF_HOME SECRETARY PASSWORDLESS COMPASS DONKEY TURKEY
    GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_SSH_COMMAND GIT_CONFIG_GLOBAL PYTESTING COVERAGE_FILE DISPLAY XDG_CACHE_HOME
"""
OURS = ["PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER", "PYTEST_PLUGINS", "AUTORESEARCH_PROBLEM"]
REPOSITORY = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"]
EVERYTHING = {name: f"value of {name}" for name in (*KEYS.split(), *ORDINARY.split(), *OURS, *REPOSITORY)}


@pytest.mark.parametrize("name", KEYS.split())
def test_what_is_named_like_a_key_is_withheld(name: str) -> None:
    assert name not in runner_environment(EVERYTHING, ())
    assert name not in evaluator_environment(EVERYTHING, ())


def test_the_critics_key_is_withheld_whatever_its_variable_is_called() -> None:
    assert "HOME" not in runner_environment(EVERYTHING, (), ["HOME"])
    assert "HOME" in runner_environment(EVERYTHING, ["HOME"], ["HOME"])


@pytest.mark.parametrize("name", ORDINARY.split())
def test_what_only_sounds_like_a_key_is_passed_on(name: str) -> None:
    assert runner_environment(EVERYTHING, ())[name].endswith(EVERYTHING[name])


@pytest.mark.parametrize("name", [*OURS, *REPOSITORY])
def test_what_would_make_a_runner_part_of_this_run_or_of_another_repository_is_gone(name: str) -> None:
    assert name not in runner_environment(EVERYTHING, ())
    assert name not in evaluator_environment(EVERYTHING, ())


def test_git_itself_says_which_variables_point_at_a_repository() -> None:
    assert set(REPOSITORY) <= repository_variables()


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "PYTEST_ADDOPTS", "GIT_DIR", "MONKEY"])
def test_a_name_that_the_problem_gives_back_is_passed_on_to_both(name: str) -> None:
    for make in (runner_environment, evaluator_environment):
        assert make(EVERYTHING, [name])[name] == EVERYTHING[name]
        assert set(make(EVERYTHING, [name])) - set(make(EVERYTHING, ())) <= {name}


def test_a_name_that_is_given_back_and_not_there_is_no_mistake() -> None:
    assert "NOWHERE" not in runner_environment(EVERYTHING, ["NOWHERE"])


def test_our_interpreter_is_the_first_python_that_a_runner_finds() -> None:
    ours = str(Path(sys.executable).parent)
    for make in (runner_environment, evaluator_environment):
        assert make({"PATH": "/usr/bin:/bin"}, ())["PATH"] == f"{ours}:/usr/bin:/bin"
        assert make({}, ())["PATH"] == ours
        assert make({"PATH": "/usr/bin", "X": ""}, ["PATH"])["PATH"] == f"{ours}:/usr/bin"
    environment = runner_environment(os.environ, ())
    said = subprocess.run(
        ["bash", "-c", "python -c 'import sys; print(sys.prefix)'"], env=environment, capture_output=True, check=True
    )
    assert said.stdout.decode().strip() == sys.prefix


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"]
)
def test_an_evaluator_gets_what_programs_need_to_run(name: str) -> None:
    assert evaluator_environment({name: "x"}, ())[name].endswith("x")


@pytest.mark.parametrize(
    "name",
    [
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PYTHONHOME",
        "LD_PRELOAD",
        "BASH_ENV",
        "ENV",
        "MONKEY",
        "SCORE",
        "GIT_AUTHOR_NAME",
    ],
)
def test_an_evaluator_gets_nothing_else(name: str) -> None:
    assert name not in evaluator_environment({name: "x"}, ())


def test_an_evaluator_leaves_no_bytecode_behind() -> None:
    assert evaluator_environment({}, ())["PYTHONDONTWRITEBYTECODE"] == "1"
    assert "PYTHONDONTWRITEBYTECODE" not in runner_environment({}, ())


def test_the_environment_that_is_looked_at_is_not_changed() -> None:
    before = dict(EVERYTHING)
    runner_environment(EVERYTHING, ["OPENAI_API_KEY"])
    evaluator_environment(EVERYTHING, ["OPENAI_API_KEY"])
    assert before == EVERYTHING


def test_without_git_there_is_still_an_environment(tmp_path: Path) -> None:
    """The check that says which tools are missing needs one."""
    code = "from pytest_autoresearch.environment import *; print(sorted(runner_environment({'A': '1'}, ())))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("['A', 'PATH']\n", "")
