"""The main job as a user sees it: experiments, the branch, the files, the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import MakeToy
from tests.llm.server import closed_port
from tests.support import Toy, git, properties, scores


def test_keeps_what_is_better_and_leaves_a_branch_of_improvements(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 9, 7))
    head = git(toy.directory, "rev-parse", "HEAD")
    done = toy.run("--iterations=3", "-v")
    assert done.returncode == 0, done.stdout
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("discard", 9), ("keep", 7)]
    start, *keeps = toy.branch()
    assert start == head
    assert [git(toy.directory, "show", f"{commit}:solution.sh") for commit in keeps] == [
        "echo score: 8",
        "echo score: 7",
    ]
    assert [git(toy.directory, "diff", "--name-only", f"{commit}^", commit) for commit in keeps] == ["solution.sh"] * 2


def test_the_users_checkout_is_read_and_never_written(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8))
    toy.write("notes.txt", "mine")
    before = (
        git(toy.directory, "rev-parse", "HEAD"),
        toy.user_status(),
        toy.directory.joinpath("solution.sh").read_text(),
    )
    toy.run("--iterations=1")
    after = (
        git(toy.directory, "rev-parse", "HEAD"),
        toy.user_status(),
        toy.directory.joinpath("solution.sh").read_text(),
    )
    assert after == before
    assert git(toy.directory, "symbolic-ref", "HEAD") == "refs/heads/main"


def test_results_tsv_has_a_row_for_each_experiment_under_the_problems_names(make_toy: MakeToy) -> None:
    columns = ["id", "score", "cost", "state", "what"]
    toy = make_toy(*scores(8, "nan"), problem={"results_tsv_columns": columns})
    toy.run("--iterations=2")
    header, baseline, kept, crashed = toy.rows()
    assert header == columns
    assert baseline[1:] == ["10.0", "", "keep", "baseline"]
    assert kept == [toy.branch()[1][:7], "8.0", "", "keep", "score 8"]
    assert crashed[1:] == ["", "", "crash", "score nan"]


def test_the_words_of_the_outcome_are_on_the_terminal(make_toy: MakeToy) -> None:
    done = make_toy(*scores(8, 9, "x"), {"hypothesis": "as before", "content": "echo score: 8\n"}).run(
        "--iterations=4", "-v"
    )
    for number, word in enumerate(("KEPT", "DISCARDED", "CRASHED", "NOOP"), start=1):
        assert f"problem.yaml::iteration[{number}] {word}" in done.stdout
    assert "1 kept, 1 discarded, 1 crashed of 3 experiments" in done.stdout
    assert "score: 10 → 8 (-20.00%), self-reported" in done.stdout
    assert "8 passed, 1 skipped, 1 kept, 1 discarded, 1 crashed, 1 noop" in done.stdout


def test_junit_carries_the_properties_of_each_experiment(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, "nan"))
    toy.run("--iterations=2", "--junitxml=report.xml")
    cases = properties(toy.project / "report.xml")
    kept, crashed = cases["iteration[1]"], cases["iteration[2]"]
    record = toy.ledger("result")[1]
    assert kept["run_id"] == crashed["run_id"] == toy.ledger("run")[0]["run_id"]
    assert {
        "tag": "run1",
        "iteration": "1",
        "status": "keep",
        "metric_name": "score",
        "metric_value": "8.0",
        "baseline": "10.0",
        "best": "8.0",
        "delta": "-2.0",
        "resource": "",
        "commit": record["commit"],
        "parent": record["parent"],
        "hypothesis": "score 8",
        "risk": "low",
        "critic": "replay",
        "tokens": "0",
        "trust": "self-reported",
    }.items() <= kept.items()
    assert float(kept["seconds"]) == record["seconds"]
    assert (crashed["status"], crashed["metric_value"], crashed["delta"]) == ("crash", "", "")


def test_a_second_run_goes_on_where_the_first_one_ended(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7, 6))
    toy.run("--iterations=2")
    done = toy.run("--iterations=1", "-v")
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("keep", 7), ("keep", 6)]
    assert "iteration[1] KEPT" in done.stdout
    assert len(toy.ledger("probe")) == 1


def test_higher_is_better_where_the_problem_says_so(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 12), problem={"lower_is_better": False})
    toy.run("--iterations=2")
    assert [status for status, _ in toy.statuses()] == ["keep", "discard", "keep"]


def test_equal_is_discarded(make_toy: MakeToy) -> None:
    toy = make_toy({"hypothesis": "the same in other words", "content": "echo 'score: 10'\n"})
    toy.run("--iterations=1")
    assert toy.ledger("result")[1]["reason"] == "equal to the incumbent (10)"


def test_a_file_that_was_measured_before_is_not_run_again(make_toy: MakeToy) -> None:
    counting = "echo x >> $HOME/count; echo score: 9\n"
    ideas = ({"hypothesis": "once", "content": counting}, *scores(8), {"hypothesis": "twice", "content": counting})
    toy = make_toy(*ideas)
    toy.run("--iterations=3", env={"HOME": str(toy.directory.parent)})
    assert (toy.directory.parent / "count").read_text() == "x\n"
    again = toy.ledger("result")[3]
    assert (again["status"], again["metric"], again["duplicate_of"]) == ("discard", 9.0, 1)
    assert again["reason"].startswith("duplicate of experiment 1")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 3", "the runner ended with exit status 3"),
        ("echo score: 1; exit 3", "the runner ended with exit status 3"),
        ("true", "no metric: nothing that the runner printed matches metric_regex"),
        ("echo score: nan", "the metric 'nan' is not a finite number"),
        ("echo score: inf", "the metric 'inf' is not a finite number"),
        ("echo score: 1e999", "the metric '1e999' is not a finite number"),
        ("echo score: 1_0", "the metric '1_0' is not a finite number"),
        ("echo score: \uff11", "the metric '\uff11' is not a finite number"),
        ("echo score: 1; echo score: none", "the metric 'none' is not a finite number"),
        ("kill -TERM $$", "the runner was killed by SIGTERM"),
        ("sleep 100", "timeout: the runner was ended after 2 s (hard_timeout_s)"),
        ("echo score: 1; sleep 100", "timeout: the runner was ended after 2 s (hard_timeout_s)"),
    ],
)
def test_what_gives_no_good_number_is_a_crash_with_a_reason(make_toy: MakeToy, script: str, reason: str) -> None:
    toy = make_toy({"hypothesis": "worse luck", "content": script + "\n"}, *scores(9), problem={"hard_timeout_s": 2})
    done = toy.run("--iterations=2", "-x")
    assert done.returncode == 0, done.stdout
    crash, keep = toy.ledger("result")[1:]
    assert (crash["status"], crash["metric"], crash["reason"]) == ("crash", None, reason)
    assert keep["status"] == "keep"
    assert (toy.checkout / "solution.sh").read_text() == "echo score: 9\n"


def test_a_crash_keeps_the_end_of_its_log(make_toy: MakeToy) -> None:
    toy = make_toy({"hypothesis": "h", "content": "seq 100000; echo the reason >&2; exit 1\n"})
    assert toy.run("--iterations=1").returncode == 1
    tail = toy.ledger("result")[1]["log_tail"]
    assert tail.endswith("100000\nthe reason\n")
    assert len(tail) <= 2000


def test_edits_that_do_not_fit_are_a_crash_and_nothing_is_run(make_toy: MakeToy) -> None:
    toy = make_toy({"hypothesis": "h", "edits": [{"search": "nowhere", "replace": "x"}]}, *scores(9))
    toy.run("--iterations=2")
    crash = toy.ledger("result")[1]
    assert crash["reason"] == "edit: edit 1: its search text 'nowhere' stands 0 times in the file, expected once"
    assert crash["commit"] == ""
    assert toy.rows()[2][0] == "-"
    assert not [record for record in toy.ledger("started") if record["number"] == 1]


def test_an_idea_that_changes_nothing_is_no_experiment(make_toy: MakeToy) -> None:
    toy = make_toy({"hypothesis": "nothing", "content": "echo score: 10\n"}, *scores(9))
    done = toy.run("--iterations=2", "-v")
    assert "iteration[1] NOOP" in done.stdout
    assert toy.statuses() == [("keep", 10), ("keep", 9)]
    assert len(toy.rows()) == 3


def test_the_last_match_counts(make_toy: MakeToy) -> None:
    toy = make_toy({"hypothesis": "h", "content": "echo score: 99; echo score: 5\n"})
    toy.run("--iterations=1")
    assert toy.statuses()[1] == ("keep", 5)


def test_the_resource_is_transformed(make_toy: MakeToy) -> None:
    toy = make_toy(
        {"hypothesis": "h", "content": "echo score: 5; echo vram: 2048\n"},
        problem={"resource_metric_regex": r"^vram: (\S+)", "resource_metric_transform": "divide_by_1024"},
    )
    toy.run("--iterations=1")
    assert toy.ledger("result")[1]["resource"] == 2


def test_two_sessions_of_one_repository_live_side_by_side(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8))
    toy.run("--iterations=1")
    done = toy.run("--iterations=1", "--autoresearch-tag=run2")
    assert done.returncode == 0, done.stdout
    branches = git(toy.directory, "branch", "--list", "toy/*", "--format=%(refname:short)").split()
    assert branches == ["toy/run1", "toy/run2"]


def test_a_problem_in_a_subdirectory_has_its_views_beside_it(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8), inside="deep/er")
    toy.run("--iterations=1")
    names = sorted(path.name for path in toy.checkout.iterdir())
    assert names == [
        ".autoresearch",
        "AUDIT_LOG.json",
        "AUDIT_LOG.md",
        "STATE.md",
        "ideas.yaml",
        "next_idea.json",
        "problem.yaml",
        "report.html",
        "results.tsv",
        "run.log",
        "solution.sh",
    ]
    assert (toy.checkout / "run.log").read_text() == "score: 8\n"
    assert json.loads((toy.checkout / "next_idea.json").read_text())["hypothesis"] == "score 8"
    assert toy.user_status() == ""
    assert git(toy.checkout, "status", "--porcelain") == ""


def test_a_view_that_the_repository_tracks_goes_into_our_directory(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8), files={"results.tsv": "theirs\n"})
    toy.run("--iterations=1")
    assert (toy.checkout / "results.tsv").read_text() == "theirs\n"
    assert len((toy.checkout / ".autoresearch" / "results.tsv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("stop", "statuses", "reason"),
    [
        ({"target": 8}, ["keep", "keep"], "target reached"),
        ({"patience": 2}, ["keep", "keep", "discard", "discard"], "no keep in the last 2 experiments"),
        ({"hours": 1e-9}, ["keep"], "hours are over"),
    ],
)
def test_stop_rules(make_toy: MakeToy, stop: dict[str, float], statuses: list[str], reason: str) -> None:
    toy = make_toy(*scores(8, 9, 11, 7), problem={"stop": stop})
    done = toy.run("--iterations=4", "-rs")
    assert [status for status, _ in toy.statuses()] == statuses
    assert done.returncode == (0 if len(statuses) > 1 else 5)
    assert reason in done.stdout
    assert toy.run("--iterations=1").returncode == 5 if "hours" not in stop else True


def test_forever_ends_when_there_is_nothing_left_to_do(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7, 6))
    done = toy.run("-v")
    assert done.returncode == 0, done.stdout
    assert [line for line in done.stdout.splitlines() if "iteration[" in line][-1].startswith(
        "problem.yaml::iteration[4] SKIPPED"
    )
    assert "no more: all 3 ideas of ideas.yaml have been tried" in done.stdout


def test_forever_ends_when_the_critic_only_fails(make_toy: MakeToy) -> None:
    broken = "def pytest_autoresearch_propose(brief):\n    if brief.number: raise ValueError('no idea')\n"
    toy = make_toy(files={"conftest.py": broken})
    done = toy.run("-v")
    assert done.returncode == 1
    assert "no idea" in done.stdout


def test_the_evaluator_is_the_only_source_of_the_metric(make_toy: MakeToy) -> None:
    problem = {
        "runner": "bash solution.sh",
        "evaluator": "echo score: $(cat answer)",
        "artifacts": ["answer"],
        "readonly_files": ["truth"],
    }
    cheat = "echo score: 1; echo 9 > answer; echo stale > truth\n"
    toy = make_toy(
        {"hypothesis": "honest", "content": "echo 8 > answer\n"},
        {"hypothesis": "prints a score", "content": "echo score: 1; echo 9 > answer\n"},
        {"hypothesis": "writes nothing", "content": "echo score: 1\n"},
        {"hypothesis": "a link", "content": "ln -s /etc/hostname answer\n"},
        {"hypothesis": "breaks the contract", "content": cheat},
        problem=problem,
        files={"truth": "pinned", "solution.sh": "echo 10 > answer\n"},
    )
    done = toy.run("--iterations=5", "--junitxml=report.xml")
    assert toy.statuses() == [
        ("keep", 10),
        ("keep", 8),
        ("discard", 9),
        ("crash", None),
        ("crash", None),
        ("crash", None),
    ]
    reasons = [record["reason"] for record in toy.ledger("result")]
    assert reasons[3] == "artifact answer: the runner did not write it"
    assert reasons[4].startswith("artifact answer: not a regular file")
    assert reasons[5] == "contract: the run changed truth, which was put back"
    assert (toy.checkout / "truth").read_text() == "pinned"
    assert properties(toy.project / "report.xml")["iteration[1]"]["trust"] == "evaluated"
    assert "evaluated" in done.stdout


def test_an_artifact_that_is_no_regular_file_is_a_crash_whatever_it_is(make_toy: MakeToy) -> None:
    ways = ("mkdir answer", "mkfifo answer", "ln -s solution.sh answer", "ln -s answer answer")
    toy = make_toy(
        *({"hypothesis": way, "content": f"{way}\n"} for way in ways),
        problem={"evaluator": "echo score: $(cat answer)", "artifacts": ["answer"]},
        files={"solution.sh": "echo 10 > answer\n"},
    )
    done = toy.run(f"--iterations={len(ways)}")
    assert "Traceback" not in done.stdout
    assert toy.statuses() == [("keep", 10), *[("crash", None)] * len(ways)]
    assert all(one["reason"].startswith("artifact answer: not a regular file") for one in toy.ledger("result")[1:])


@pytest.mark.parametrize(
    "laid_out",
    [
        "mkfifo $log",
        "mkdir $log",
        "ln -s ../../solution.sh $log",
        "rm -r .autoresearch",
        "rm -r .autoresearch/logs; echo > .autoresearch/logs",
        "mv .autoresearch/logs elsewhere; ln -s ../elsewhere .autoresearch/logs",
    ],
)
def test_the_log_of_an_evaluator_is_written_whatever_a_candidate_laid_out_there(
    make_toy: MakeToy, laid_out: str
) -> None:
    content = f"log=$(readlink run.log | sed s/.log$/.evaluator.log/)\n{laid_out}\necho 9 > answer\n"
    toy = make_toy(
        {"hypothesis": laid_out, "content": content},
        problem={"evaluator": "echo score: $(cat answer)", "artifacts": ["answer"]},
        files={"solution.sh": "echo 10 > answer\n"},
    )
    done = toy.run("--iterations=1")
    assert toy.statuses() == [("keep", 10), ("keep", 9)], done.stdout
    assert (toy.checkout / "solution.sh").read_text() == content
    (log,) = (toy.checkout / ".autoresearch/logs").glob(f"run-{toy.branch()[1][:7]}.evaluator.log")
    assert log.read_text() == "score: 9\n"


def test_the_holes_of_an_artifact_take_no_room_in_the_copy_either(make_toy: MakeToy) -> None:
    mib = "$(($(du -m answer | cut -f 1)))"
    holes = "truncate -s 64M answer; head -c 3M /dev/zero | tr '\\0' 7 >> answer; truncate -s 128M answer\n"
    toy = make_toy(
        {"hypothesis": "holes", "content": holes},
        problem={"evaluator": f"echo score: {mib}.$(tr -d '\\0' < answer | wc -c)", "artifacts": ["answer"]},
        files={"solution.sh": "head -c 9M /dev/zero | tr '\\0' 7 > answer\n"},
    )
    done = toy.run("--iterations=1")
    assert done.returncode == 0, done.stdout
    assert toy.statuses() == [("keep", 9.9437184), ("keep", 3.3145728)]


def test_a_link_brings_in_what_git_does_not_hold(make_toy: MakeToy) -> None:
    toy = make_toy(
        {"hypothesis": "read it", "content": "echo score: $(cat data/value)\n"},
        problem={"link": ["data"]},
        files={".gitignore": "data/\n"},
    )
    toy.write("data/value", "3\n")
    toy.run("--iterations=1")
    assert toy.statuses()[1] == ("keep", 3)
    assert git(toy.checkout, "status", "--porcelain") == ""


def test_keys_are_withheld_from_the_runner_unless_named(make_toy: MakeToy) -> None:
    show = {"hypothesis": "h", "content": 'echo "score: 9"; echo "[$MY_API_KEY][$OTHER_API_KEY]"\n'}
    toy = make_toy(show, problem={"env": ["OTHER_API_KEY"]})
    toy.run("--iterations=1", env={"MY_API_KEY": "one", "OTHER_API_KEY": "two"})
    assert (toy.checkout / "run.log").read_text() == "score: 9\n[][two]\n"


def test_hooks_of_a_conftest_take_part(make_toy: MakeToy) -> None:
    conftest = """
from pathlib import Path
from pytest_autoresearch.records import Edit, Idea, Measurement, Verdict

def pytest_autoresearch_propose(brief):
    return Idea(hypothesis=f"number {brief.number}", code_pseudocode=f"echo score: {9 - brief.number}", critic="mine")

def pytest_autoresearch_apply(idea, source):
    return idea.code_pseudocode.encode()

def pytest_autoresearch_judge(measurement, incumbent):
    if measurement.metric == 7:
        return Verdict("discard", "seven is unlucky")

def pytest_autoresearch_experiment_recorded(experiment):
    with Path("told").open("a") as file:
        file.write(f"{experiment.number} {experiment.status} {experiment.idea.critic}\\n")
"""
    toy = make_toy(files={"conftest.py": conftest})
    toy.run("--iterations=3")
    assert toy.statuses()[1:] == [("keep", 8), ("discard", 7), ("keep", 6)]
    assert (toy.project / "told").read_text() == "1 keep mine\n2 discard mine\n3 keep mine\n"


def test_a_hook_that_fails_loses_no_experiment(make_toy: MakeToy) -> None:
    conftest = "def pytest_autoresearch_experiment_recorded(experiment):\n    raise OSError('the tracker is down')\n"
    toy = make_toy(*scores(8), files={"conftest.py": conftest})
    done = toy.run("--iterations=1")
    assert done.returncode == 0
    assert toy.statuses()[1] == ("keep", 8)
    assert "the tracker is down" in done.stdout


def test_what_the_machine_ended_says_nothing_about_the_idea(make_toy: MakeToy) -> None:
    once = "mkdir $HOME/once 2> /dev/null && kill -9 $$; echo score: 8\n"
    toy = make_toy({"hypothesis": "first", "content": once}, {"hypothesis": "again", "content": once})
    toy.run("--iterations=2", env={"HOME": str(toy.directory.parent)})
    killed, kept = toy.ledger("result")[1:]
    assert (killed["status"], killed["machine"]) == ("crash", True)
    assert killed["reason"] == "the runner was killed by SIGKILL"
    assert (kept["status"], kept["metric"], kept["duplicate_of"]) == ("keep", 8, None)


def test_edits_of_equal_length_within_one_second_are_each_measured_as_what_they_are(make_toy: MakeToy) -> None:
    values = [5, 7, 3, 8, 2, 9, 1]
    toy = make_toy(
        *({"hypothesis": f"{value}", "content": f"SCORE = {value}\n"} for value in values),
        problem={"mutable_file": "solution.py", "runner": "python main.py"},
        files={"solution.py": "SCORE = 6\n", "main.py": "import solution\nprint('score:', solution.SCORE)\n"},
    )
    toy.run(f"--iterations={len(values)}")
    assert [metric for _, metric in toy.statuses()] == [6, *values]


def test_the_logs_of_the_last_twenty_runs_are_kept(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(*range(11, 36)))
    toy.run("--iterations=25")
    logs = {path.name for path in (toy.checkout / ".autoresearch" / "logs").iterdir()}
    commits = [record["commit"] for record in toy.ledger("result")]
    assert logs == {f"run-{commit[:7]}.log" for commit in commits[-20:]}


def tuned(make_toy: MakeToy) -> Toy:
    return make_toy(
        problem={"mutable_file": "solution.py", "runner": "python solution.py", "critic": {"provider": "tuner"}},
        files={"solution.py": "X = 4.0  # search: -8..8\nN = 3\nprint('score:', X * X + N)\n"},
    )


def test_the_tuner_improves_what_it_finds_and_changes_nothing_else(make_toy: MakeToy) -> None:
    toy = tuned(make_toy)
    done = toy.run("--iterations=8")
    assert done.returncode == 0, done.stdout
    best = min(metric for _, metric in toy.statuses() if metric is not None)
    assert best < 19
    lines = (toy.checkout / "solution.py").read_text().splitlines()
    assert lines[0].endswith("  # search: -8..8")
    assert lines[2] == "print('score:', X * X + N)"
    idea = toy.ledger("idea")[0]["idea"]
    assert set(idea["parameters"]) == {"X", "N"}
    assert all(
        idea[key] for key in ("hypothesis", "thought_process", "justification", "code_pseudocode", "risk_level")
    )


def test_an_interrupted_session_proposes_what_an_uninterrupted_one_does(make_toy: MakeToy, tmp_path: Path) -> None:
    whole = tuned(make_toy)
    whole.run("--iterations=6")
    parts = Toy(tmp_path / "parts", problem=whole.problem, files=whole.files)
    for _ in range(3):
        parts.run("--iterations=2")
    proposals = [[record["idea"]["parameters"] for record in toy.ledger("idea")] for toy in (whole, parts)]
    assert proposals[0] == proposals[1]


def auto_without_ollama() -> dict[str, str]:
    """`auto` on a machine on which no Ollama runs, as far as the problem knows."""
    return {"provider": "auto", "base_url": f"http://127.0.0.1:{closed_port()}/v1"}


def test_auto_goes_on_with_the_tuner_when_the_ideas_run_out_and_says_so(make_toy: MakeToy) -> None:
    toy = make_toy(
        {"hypothesis": "by hand", "edits": [{"search": "X = 4.0", "replace": "X = 3.0"}]},
        problem={"mutable_file": "solution.py", "runner": "python solution.py", "critic": auto_without_ollama()},
        files={"solution.py": "X = 4.0  # search: -8..8\nprint('score:', X * X)\n"},
    )
    done = toy.run("--iterations=3")
    assert [record["critic"] for record in toy.ledger("idea")] == ["replay", "tuner", "tuner"]
    assert "critic replay, then tuner: auto; no gemma4:e2b at ollama at http://127.0.0.1:" in done.stdout
    assert "/v1, and the problem ships ideas.yaml" in done.stdout
    assert toy.ledger("run")[0]["critic"] == "replay, then tuner"


def test_auto_does_without_optuna_where_it_is_not_installed_and_says_so(make_toy: MakeToy) -> None:
    toy = make_toy(
        problem={"mutable_file": "solution.py", "runner": "python solution.py", "critic": auto_without_ollama()},
        files={
            "solution.py": "X = 4.0  # search: -8..8\nprint('score:', X * X)\n",
            "conftest.py": "import sys\n\nsys.modules['optuna'] = None\n",
        },
    )
    (toy.project / "ideas.yaml").unlink()
    done = toy.run("--iterations=2")
    assert done.returncode == 0, done.stdout
    assert "the tuner samples at random, as optuna is not installed" in done.stdout
    assert [record["critic"] for record in toy.ledger("idea")] == ["tuner", "tuner"]


COUNTS = """\
import gc
from pathlib import Path
from pytest_autoresearch.records import Candidate

def pytest_sessionfinish():
    gc.collect()
    Path("kept").write_text(str(sum(isinstance(one, Candidate) for one in gc.get_objects())))
"""


def test_candidates_are_not_kept_in_memory(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 9, 7), files={"conftest.py": COUNTS})
    assert toy.run("--iterations=3").returncode == 0
    assert toy.directory.joinpath("kept").read_text() == "0"


LOOKS = """\
from pathlib import Path

def pytest_autoresearch_experiment_recorded(research, experiment):
    with Path("seen").open("a") as seen:
        seen.write(research.session.workspace.mutable.read_text())
"""


def test_whoever_is_told_of_an_experiment_finds_the_incumbents_file_in_place(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 12, 8), files={"conftest.py": LOOKS})
    assert toy.run("--iterations=3").returncode == 0
    assert (toy.directory / "seen").read_text() == "echo score: 9\necho score: 9\necho score: 8\n"


def test_a_table_that_a_candidate_took_away_is_whole_again_at_the_end(make_toy: MakeToy) -> None:
    toy = make_toy({"hypothesis": "vandal", "content": "rm results.tsv; echo score: 8\n"}, *scores(9))
    done = toy.run("--iterations=2")
    assert done.returncode == 0, done.stdout
    assert [row[3] for row in toy.rows()] == ["status", "keep", "keep", "discard"]
