"""`pytest-autoresearch init`: a repository for a problem."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_autoresearch.problem import load_problem, parse_problem
from pytest_autoresearch.scaffold import examples
from tests.cli.support import (
    MakeHome,
    Said,
    apart,
    by_hand,
    start,
    tracked,
    tree,
    write,
)
from tests.conftest import MakeToy
from tests.support import PROBLEM, git, wait_for


@pytest.mark.parametrize("name", ["tsp_heuristic", "xgboost_tuning", "multi_metric_demo", "template"])
def test_an_example_becomes_a_repository_on_the_sessions_branch(tmp_path: Path, name: str) -> None:
    said = by_hand(tmp_path, "init", "--example", name, "--target", "my session", "--tag", "night")
    target = tmp_path / "my session"
    problem = load_problem(target / "problem.yaml")
    branch = f"{problem.branch_prefix}/night"
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        f"session {branch} in {target}; nothing is measured yet\n"
        "by hand: cd 'my session' && pytest-autoresearch run\n"
        f"by an agent: have it read {target / 'program.md'}\n"
        "the loop: pytest --autoresearch --autoresearch-confirm --iterations=10 'my session'\n"
    )
    assert git(target, "symbolic-ref", "HEAD") == f"refs/heads/{branch}"
    assert git(target, "status", "--porcelain") == ""
    assert git(target, "log", "--format=%s", branch) == "the problem"
    assert (target / "results.tsv").read_text() == "\t".join(problem.columns) + "\n"
    assert f"on the branch `{branch}`" in (target / "program.md").read_text()
    for file in ("problem.yaml", problem.mutable_file, *problem.readonly_files):
        assert (target / file).read_bytes() == (examples()[name] / file).read_bytes()
    assert not [path for path in tracked(target) if "__pycache__" in path or "sample_run" in path]


def test_a_problem_of_ones_own_takes_its_sample_run_along(tmp_path: Path) -> None:
    problem = tmp_path / "mine" / "problem.yaml"
    shutil.copytree(examples()["template"], problem.parent)
    (problem.parent / "sample_run").mkdir()
    (problem.parent / "sample_run" / "notes.txt").write_text("mine\n")
    by_hand(tmp_path, "init", "--problem", str(problem), "--target", "target")
    assert "sample_run/notes.txt" in tracked(tmp_path / "target")


def test_the_template_is_measured_and_improved_as_it_is(tmp_path: Path) -> None:
    by_hand(tmp_path, "init", "--example", "template", "--target", "mine")
    mine = tmp_path / "mine"
    assert "loss 13 in" in by_hand(mine, "run").out
    text = (mine / "solution.py").read_text()
    (mine / "solution.py").write_text(text.replace("FIRST = 3.0", "FIRST = 1.0"))
    assert by_hand(mine, "run", "-m", "a smaller number").out == "experiment 1: KEPT 5: 13 → 5 (-8)\n"
    assert git(mine, "status", "--porcelain") == ""


def test_what_the_template_has_commented_out_is_right_as_well() -> None:
    text = (examples()["template"] / "problem.yaml").read_text()
    everything = re.sub(r"^( *)# ( *[\w-]+:(?: .*)?)$", r"\1\2", text, flags=re.MULTILINE)
    problem = parse_problem(examples()["template"] / "problem.yaml", everything)
    said = {name for name in re.findall(r"^ *#? *([\w-]+): ", text, re.MULTILINE) if name != "some-model"}
    assert said <= {key for mapping in _mappings(yaml.safe_load(everything)) for key in mapping}
    assert (problem.critic.model, problem.coder.agent, problem.stop.patience) == ("gemma4:e2b", "editor", 20)
    assert problem.prices["some-model"].output == 2.0


def _mappings(data: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(data, dict):
        yield data
        for value in data.values():
            yield from _mappings(value)


def test_from_a_repository_comes_what_git_knows_or_would_if_asked(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(files={".gitignore": "*.bin\n", "lib/util.sh": "x\n", "data.bin": "1\n"}, inside="deep/toy")
    toy.write("untracked note.txt", "y\n")
    toy.write("cache.bin", "z\n")
    write(toy.directory, {"elsewhere.txt": "w\n", "deep/toy/.venv/bin/python": "v\n"})
    said = by_hand(toy.project, "init", "--problem", "problem.yaml", "--target", str(tmp_path / "home"))
    assert said.code == 0, said
    home = tmp_path / "home"
    expected = {".gitignore", "ideas.yaml", "lib/util.sh", "problem.yaml", "solution.sh", "untracked note.txt"}
    assert tracked(home) == expected
    assert not (home / "cache.bin").exists()
    assert git(home, "status", "--porcelain", "--ignored") == "!! program.md\n!! results.tsv"
    assert toy.user_status() == '?? deep/toy/.venv/\n?? "deep/toy/untracked note.txt"\n?? elsewhere.txt'


def test_from_anywhere_else_comes_everything_but_what_tools_leave(tmp_path: Path) -> None:
    source = tmp_path / "source"
    files = ("solution.sh", "lib/util.sh", "lib/results.tsv", "ü ö.txt", "new\nline")
    junk = ("__pycache__/a.pyc", "lib/__pycache__/a.pyc", ".venv/x", "node_modules/y", ".autoresearch/loop_confirmed")
    left = ("results.tsv", "run.log", "next_idea.json", "program.md")
    write(source, dict.fromkeys((*files, *junk, *left), "echo score: 1\n"))
    write(source, {"problem.yaml": json.dumps(PROBLEM)})
    (source / "solution.sh").chmod(0o544)
    os.mkfifo(source / "pipe")
    assert by_hand(tmp_path, "init", "--problem", "source/problem.yaml", "--target", "a/b/home").code == 0
    home = tmp_path / "a" / "b" / "home"
    for name in files:
        assert (home / name).read_bytes() == (source / name).read_bytes()
    assert not [name for name in (*junk, "pipe") if (home / name).exists()]
    assert git(home, "status", "--porcelain") == ""
    assert (home / "results.tsv").read_text().startswith("commit\tscore\t")
    assert os.access(home / "solution.sh", os.X_OK)
    assert (home / "solution.sh").stat().st_mode & 0o200


def test_a_directory_that_its_repository_ignores_is_taken_whole(tmp_path: Path) -> None:
    """A virtual environment inside a repository holds the shipped examples."""
    git(tmp_path, "init", "--quiet")
    write(tmp_path, {".gitignore": "/env/\n"})
    write(tmp_path / "env", {"problem.yaml": json.dumps(PROBLEM), "solution.sh": "echo score: 1\n", "more.txt": "x\n"})
    assert by_hand(tmp_path, "init", "--problem", "env", "--target", "home").code == 0
    assert tracked(tmp_path / "home") == {"problem.yaml", "solution.sh", "more.txt"}


def test_what_the_problem_needs_comes_along_although_git_ignores_it(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(
        problem={"readonly_files": ["data", "key file.txt"], "runner": "cat data/x.txt solution.sh | bash"},
        files={"data/x.txt": "echo hello\n", "key file.txt": "k\n", ".gitignore": "data\nkey*\nsolution.sh\n*.yaml\n"},
    )
    home = tmp_path / "home"
    assert by_hand(tmp_path, "init", "--problem", str(toy.project), "--target", "home").code == 0
    assert tracked(home) == {".gitignore", "problem.yaml", "solution.sh"}
    assert git(home, "status", "--porcelain") == ""
    assert "score 10 in" in by_hand(home, "run").out
    (home / "key file.txt").write_text("changed\n")
    assert "key file.txt in" in by_hand(home, "run").err


def test_what_the_problem_links_is_linked_and_goes_with_the_repository(make_home: MakeHome, tmp_path: Path) -> None:
    home = make_home(
        files={"data/big.txt": "7\n", "data/more.txt": "8\n"}, link=["data"], runner="echo score: $(cat data/big.txt)"
    )
    assert (home.directory / "data").readlink() == tmp_path / "source" / "data"
    assert home.status() == ""
    assert "baseline_smoke: the runner does not read" in home.refused("run")
    moved = home.directory.rename(tmp_path / "moved")
    assert (moved / "data" / "big.txt").read_text() == "7\n"


def test_a_link_that_leads_nowhere_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    write(tmp_path / "source", {"problem.yaml": json.dumps({**PROBLEM, "link": ["data"]}), "solution.sh": "x\n"})
    before = tree(tmp_path)
    said = by_hand(tmp_path, "init", "--problem", "source", "--target", "a/home")
    assert said == Said(
        1,
        "",
        f"pytest-autoresearch: link: data: there is no {tmp_path / 'source' / 'data'}; make it, or take it out of "
        "problem.yaml\n",
    )
    assert tree(tmp_path) == before


def test_an_artifact_stays_behind(make_home: MakeHome) -> None:
    home = make_home(
        runner="bash solution.sh > out.txt", artifacts=["out.txt"], evaluator="cat out.txt", files={"out.txt": "old\n"}
    )
    assert not (home.directory / "out.txt").exists()
    home.did("run")
    assert (home.directory / "out.txt").exists()
    assert home.status() == ""


def test_links_to_directories_lead_where_they_led(tmp_path: Path) -> None:
    write(tmp_path, {"far/x.txt": "x\n", "source/v1/y.txt": "y\n"})
    write(tmp_path / "source", {"problem.yaml": json.dumps(PROBLEM), "solution.sh": "echo score: 1\n"})
    (tmp_path / "source" / "far").symlink_to("../far")
    (tmp_path / "source" / "now").symlink_to("v1")
    (tmp_path / "source" / "broken").symlink_to("nowhere")
    assert by_hand(tmp_path, "init", "--problem", "source", "--target", "deep/home").code == 0
    home = tmp_path / "deep" / "home"
    assert (home / "far" / "x.txt").read_text() == "x\n"
    assert (home / "now").readlink() == Path("v1")
    assert tracked(home) == {"far", "now", "problem.yaml", "solution.sh", "v1/y.txt"}


def test_a_program_of_the_users_own_is_kept_and_ours_goes_beside_it(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(files={"program.md": "# Mine\n"})
    said = by_hand(tmp_path, "init", "--problem", str(toy.project), "--target", "home")
    home = tmp_path / "home"
    assert (home / "program.md").read_text() == "# Mine\n"
    ours = home / ".autoresearch" / "program.md"
    assert f"by an agent: have it read {ours}\n" in said.out
    assert "on the branch `toy/run1`" in ours.read_text()


def test_a_problem_by_another_name_is_named_in_what_init_says(tmp_path: Path) -> None:
    write(tmp_path / "source", {"small one.yaml": json.dumps(PROBLEM), "solution.sh": "echo score: 1\n"})
    said = by_hand(tmp_path, "init", "--problem", "source/small one.yaml", "--target", "home")
    assert "by hand: cd home && pytest-autoresearch run --problem 'small one.yaml'\n" in said.out
    assert said.out.endswith(" home/'small one.yaml'\n")
    assert by_hand(tmp_path / "home", "run", "--problem", "small one.yaml").code == 0


def _file(directory: Path) -> None:
    (directory / "there").write_text("mine\n")


def _full(directory: Path) -> None:
    (directory / "there").mkdir()
    (directory / "there" / ".hidden").write_text("mine\n")


def _dangling(directory: Path) -> None:
    (directory / "there").symlink_to("nowhere")


@pytest.mark.parametrize(
    ("prepare", "target", "what"),
    [
        (_file, "there", "is there already, and no directory"),
        (_file, "there/below", "Not a directory"),
        (_full, "there", "is there already, and not empty"),
        (_dangling, "there", "is there already, and no directory"),
        (_full, "source/below", "is inside the problem's own directory"),
        (_full, "there/../source/below", "is inside the problem's own directory"),
        (_full, "x" * 300, "File name too long"),
    ],
)
def test_a_target_that_is_no_new_place_is_refused_and_nothing_is_touched(
    tmp_path: Path, prepare: Callable[[Path], None], target: str, what: str
) -> None:
    write(tmp_path / "source", {"problem.yaml": json.dumps(PROBLEM), "solution.sh": "echo score: 1\n"})
    prepare(tmp_path)
    before = tree(tmp_path)
    said = by_hand(tmp_path, "init", "--problem", "source", "--target", target)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"pytest-autoresearch: {target}: {what}")
    assert said.err.count("\n") == 1
    assert tree(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_target_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    said = by_hand(tmp_path, "init", "--example", "template", "--target", "closed/home")
    assert said == Said(1, "", "pytest-autoresearch: closed/home: Permission denied; name another place\n")


def test_an_empty_directory_is_a_new_place(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    assert by_hand(tmp_path, "init", "--example", "template", "--target", "home").code == 0


@pytest.mark.parametrize(
    ("options", "keys", "what"),
    [
        (("--tag", "../out"), {}, "tag '../out': expected letters"),
        (("--tag", "a..b"), {}, "branch 'toy/a..b' is no name for a git branch"),
        ((), {"branch_prefix": "a b"}, "branch 'a b/run1' is no name for a git branch"),
        (
            (),
            {"mutable_file": "gone.sh", "metric_regex": "score"},
            "problem.yaml:4: metric_regex: expected a group around the number, such as '^rmse: (\\S+)' (got 'score')\n"
            "problem.yaml:8: mutable_file: there is no such file",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(
    tmp_path: Path, options: tuple[str, ...], keys: dict[str, Any], what: str
) -> None:
    problem = json.dumps({**PROBLEM, **keys}, indent=1)
    write(tmp_path / "source", {"problem.yaml": problem, "solution.sh": "echo score: 1\n"})
    before = tree(tmp_path)
    said = by_hand(tmp_path, "init", "--problem", "source", "--target", "a/home", *options)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"pytest-autoresearch: {what}")
    assert tree(tmp_path) == before


def slow_git(directory: Path, word: str) -> dict[str, str]:
    """An environment whose git does not come back from a command with `word` in it; `pid` says which it is."""
    script = f'#!/bin/sh\ncase " $* " in *" {word} "*) echo $$ > {directory}/pid; exec sleep 1000;; esac\n'
    write(directory, {"bin/git": f'{script}exec {shutil.which("git")} "$@"\n'})
    (directory / "bin" / "git").chmod(0o755)
    return {"PATH": f"{directory / 'bin'}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.parametrize("word", ["commit", "symbolic-ref"])
def test_an_init_that_is_interrupted_leaves_nothing(tmp_path: Path, word: str) -> None:
    environment = slow_git(tmp_path / "tools", word)
    (tmp_path / "work").mkdir()
    process = start(tmp_path / "work", "init", "--example", "template", "--target", "a/home", env=environment)
    wait_for((tmp_path / "tools" / "pid").exists, "git")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (2, "", "pytest-autoresearch: interrupted\n")
    assert tree(tmp_path / "work") == {}


def test_what_a_killed_init_leaves_is_not_taken_for_a_session(tmp_path: Path) -> None:
    environment = slow_git(tmp_path / "tools", "commit")
    stuck = tmp_path / "tools" / "pid"
    with start(tmp_path, "init", "--example", "template", "--target", "home", env=environment) as process:
        wait_for(lambda: stuck.exists() and stuck.read_text(), "git")
        process.kill()
        os.kill(int(stuck.read_text()), signal.SIGKILL)
    assert "no commit yet" in by_hand(tmp_path / "home", "run").err
    assert (
        "is there already, and not empty" in by_hand(tmp_path, "init", "--example", "template", "--target", "home").err
    )


NOBODY = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "user.useConfigOnly",
    "GIT_CONFIG_VALUE_0": "true",
}
SOMEBODY = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@x",
    "GIT_COMMITTER_NAME": "C D",
    "GIT_COMMITTER_EMAIL": "c@x",
}


@pytest.mark.parametrize(
    ("identity", "who"),
    [(NOBODY, "pytest-autoresearch <pytest-autoresearch@localhost>"), (SOMEBODY, "C D <c@x>")],
    ids=["nobody", "somebody"],
)
def test_the_first_commit_is_the_users_or_ours_where_the_user_has_no_name(
    tmp_path: Path, identity: dict[str, str], who: str
) -> None:
    empty = {"GIT_TEMPLATE_DIR": str(tmp_path / "none"), "HOME": str(tmp_path)}
    said = apart(tmp_path, "init", "--example", "template", "--target", "home", env={**identity, **empty})
    assert (said.code, said.err) == (0, "")
    assert git(tmp_path / "home", "log", "-1", "--format=%cn <%ce>") == who
    assert git(tmp_path / "home", "status", "--porcelain") == ""


def test_two_sessions_from_the_same_example_know_nothing_of_each_other(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for home in (one, other):
        assert by_hand(tmp_path, "init", "--example", "template", "--target", str(home)).code == 0
    by_hand(one, "run")
    assert "loss: 13 → 13" in by_hand(one, "status").out
    assert "no baseline yet" in by_hand(other, "status").out
