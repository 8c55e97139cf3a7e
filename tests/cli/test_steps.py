"""Each step of the loop by itself."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.support import (
    MakeHome,
    Said,
    by_hand,
    write,
)
from tests.conftest import MakeToy
from tests.support import git, scores


def test_a_session_by_hand_from_the_baseline_to_a_crash(make_home: MakeHome) -> None:
    home = make_home()
    assert re.fullmatch(
        r"the baseline is measured: score 10 in \d+\.\d s \(experiment 0\)\n", home.did("run", "-m", "nothing yet")
    )
    assert "Baseline: 10. Best so far: 10." in (home.directory / "program.md").read_text()
    home.edit(8)
    assert home.did("run", "-m", "a smaller number") == "experiment 1: KEPT 8: 10 → 8 (-2)\n"
    home.edit(9)
    assert home.did("run", "--message=a larger one") == "experiment 2: DISCARDED 9: worse: 8 → 9 (+1)\n"
    assert home.solution.read_text() == "echo score: 8\n"
    home.solution.write_text("for line in {1..20}; do echo line $line; done; exit 3\n")
    told = home.did("run").splitlines()
    assert told[:2] == ["experiment 3: CRASHED: the runner ended with exit status 3", "the end of its log:"]
    assert told[2:] == [f"line {number}" for number in range(6, 21)]
    assert home.solution.read_text() == "echo score: 8\n"
    assert home.statuses() == [("keep", 10), ("keep", 8), ("discard", 9), ("crash", None)]
    assert [row[4] for row in home.rows()[1:]] == ["baseline", "a smaller number", "a larger one", "edited by hand"]
    assert git(home.directory, "log", "--format=%s") == "a smaller number\nthe problem"
    assert "Baseline: 10. Best so far: 8." in (home.directory / "program.md").read_text()
    assert home.status() == ""


def test_an_edit_before_the_first_run_is_measured_after_the_baseline(make_home: MakeHome) -> None:
    home = make_home()
    home.edit(7)
    first, second = home.did("run").splitlines()
    assert first.startswith("the baseline is measured: score 10 in")
    assert second == "experiment 1: KEPT 7: 10 → 7 (-3)"


def test_an_edit_that_was_measured_before_is_not_measured_again(make_home: MakeHome) -> None:
    home = make_home()
    for _ in range(2):
        home.edit(12)
        told = home.did("run")
    assert told == "experiment 2: DISCARDED 12: duplicate of experiment 1: worse: 10 → 12 (+2)\n"
    assert len([record for record in home.ledger("started") if record["number"] == 1]) == 1
    assert not [record for record in home.ledger("started") if record["number"] == 2]


def test_a_baseline_without_a_metric_is_refused_with_the_end_of_its_log(make_home: MakeHome) -> None:
    home = make_home(runner="echo not today; bash solution.sh | tr s z")
    assert home.refused("run") == (
        "baseline_smoke: the baseline gives no metric: no metric: nothing that the runner printed matches "
        "metric_regex\nThe end of its log:\nnot today\nzcore: 10"
    )


@pytest.mark.parametrize("before", [(), ("propose",)])
def test_without_an_edit_there_is_nothing_to_measure(make_home: MakeHome, before: tuple[str, ...]) -> None:
    home = make_home(*scores(8))
    home.did("run")
    for step in before:
        home.did(step)
    count = len(home.ledger())
    what = "the idea is not applied yet" if before else "is as the best experiment so far left it"
    assert what in home.refused("run", "-m", "nothing")
    assert len(home.ledger()) == count


def test_recorded_ideas_are_proposed_applied_and_measured(make_home: MakeHome, tmp_path: Path) -> None:
    home = make_home(critic={"provider": "tuner"})
    recorded = [
        {**scores(8)[0], "justification": "Less is more.", "code_pseudocode": "10 -> 8", "expected_delta": -2},
        *scores(9),
    ]
    (tmp_path / "my ideas.json").write_text(json.dumps(recorded))
    options = ("--critic", "replay", "--ideas", "../my ideas.json")
    told = home.did("propose", *options).splitlines()
    assert told[0].startswith("the baseline is measured: score 10 in")
    written = home.directory / "next_idea.json"
    assert told[1:] == ["score 8 (risk low, expected -2)", "Less is more.", "10 -> 8", f"written to {written}"]
    assert json.loads(written.read_text())["hypothesis"] == "score 8"
    assert home.did("apply", "--dry-run", *options) == "make the edits that the idea carries\n"
    assert home.solution.read_text() == "echo score: 10\n"
    told = [home.did("apply", *options)]
    commit = home.ledger("applied")[0]["commit"][:12]
    assert told == [f"applied to {home.solution} as {commit}; have it measured: pytest-autoresearch run\n"]
    assert home.solution.read_text() == "echo score: 8\n"
    assert home.did("run", *options) == "experiment 1: KEPT 8: 10 → 8 (-2)\n"
    home.did("propose", *options)
    home.did("apply", *options)
    assert home.did("run") == "experiment 2: DISCARDED 9: worse: 8 → 9 (+1)\n"
    assert home.solution.read_text() == "echo score: 8\n"
    assert home.refused("propose", *options) == "no idea: all 2 ideas of my ideas.json have been tried"
    assert [record["critic"] for record in home.ledger("idea")] == ["replay", "replay"]


def test_an_idea_is_shown_again_until_it_is_measured_or_dropped(make_home: MakeHome) -> None:
    home = make_home(*scores(8, 7))
    home.did("propose")
    again = home("propose")
    assert again.code == 0
    assert again.out.startswith("score 8 (risk low)\n")
    assert again.err == (
        "pytest-autoresearch: note: this experiment has its idea already; to drop it: pytest-autoresearch reset\n"
    )
    assert home.did("reset") == "dropped: score 8\nthe best experiment's file is in place\n"
    assert not (home.directory / "next_idea.json").exists()
    assert home.did("propose").startswith("score 7")


def test_a_dry_run_of_propose_puts_no_idea_on_record(make_home: MakeHome) -> None:
    home = make_home(*scores(8))
    home.did("run")
    count = len(home.ledger())
    for _ in range(2):
        assert home.did("propose", "--dry-run") == "score 8 (risk low)\n"
    assert len(home.ledger()) == count
    assert not (home.directory / "next_idea.json").exists()
    assert "there is no idea to apply; ask for one: pytest-autoresearch propose" in home.refused("apply")


def test_with_an_edit_in_the_file_nothing_is_proposed_or_applied_over_it(make_home: MakeHome) -> None:
    home = make_home(*scores(8))
    home.did("run")
    home.edit(6)
    told = home.refused("propose")
    assert told == (
        f"{home.solution} is edited already; have that measured (pytest-autoresearch run), or take it back "
        "(pytest-autoresearch reset)"
    )
    assert home.did("propose", "--dry-run") == "score 8 (risk low)\n"
    home.did("reset")
    home.did("propose")
    home.edit(6)
    assert home.refused("apply") == told
    assert home.solution.read_text() == "echo score: 6\n"
    assert home.did("run") == "experiment 1: KEPT 6: 10 → 6 (-4)\n"
    assert home.rows()[2][4] == "score 8"


def test_what_is_edited_after_apply_is_what_is_measured(make_home: MakeHome) -> None:
    home = make_home(*scores(8))
    home.did("propose")
    home.did("apply")
    home.edit(6)
    assert "is edited already" in home.refused("apply")
    assert home("run", "-m", "eight, and then better") == Said(
        0,
        "experiment 1: KEPT 6: 10 → 6 (-4)\n",
        "pytest-autoresearch: note: the edit goes by the message, and the idea is dropped: score 8\n",
    )
    assert home.rows()[2][4] == "eight, and then better"
    assert [record["critic"] for record in home.ledger("idea")] == ["replay", "hand"]


def test_a_message_does_not_rename_an_idea_that_was_applied(make_home: MakeHome) -> None:
    home = make_home(*scores(8))
    home.did("propose")
    home.did("apply")
    said = home("run", "-m", "mine")
    assert (said.code, said.out) == (0, "experiment 1: KEPT 8: 10 → 8 (-2)\n")
    assert said.err == (
        "pytest-autoresearch: note: --message is for edits by hand; this one is the idea's, as it was applied\n"
    )
    assert home.rows()[2][4] == "score 8"


def test_a_message_becomes_one_line_whatever_it_is(make_home: MakeHome) -> None:
    messages = [
        ("two\nlines\tand a tab", "two lines and a tab", "two lines and a tab"),
        ("größer → 日本 🎉", "größer → 日本 🎉", "größer → 日本 🎉"),
        ("x" * 3000, "x" * 199 + "…", "x" * 71 + "…"),
        ("\x1b[31mred\x07", "[31mred", "[31mred"),
        (" \n ", "edited by hand", "edited by hand"),
        ("odd \udcff byte", "odd ? byte", "odd ? byte"),
        ("-m 'quotes' \"and\" \\n", "-m 'quotes' \"and\" \\n", "-m 'quotes' \"and\" \\n"),
    ]
    home = make_home()
    for score, (message, shown, subject) in zip(range(9, 0, -1), messages, strict=False):
        home.edit(score)
        home.did("run", f"--message={message}")
        assert home.rows()[-1][4] == shown
        assert git(home.directory, "log", "-1", "--format=%s") == subject
        assert shown[:50] in home.did("status")


def test_a_reset_keeps_the_edit_aside(make_home: MakeHome) -> None:
    home = make_home(*scores(8))
    home.did("run")
    assert home.did("reset") == "there is nothing to take back\n"
    home.edit(6)
    aside = home.directory / ".autoresearch" / "aside"
    assert home.did("reset") == (
        f"the edit is kept as {aside / '000-solution.sh'}\nthe best experiment's file is in place\n"
    )
    home.did("propose")
    home.did("apply")
    assert home.did("reset") == (
        f"the edit is kept as {aside / '001-solution.sh'}\ndropped: score 8\nthe best experiment's file is in place\n"
    )
    assert home.solution.read_text() == "echo score: 10\n"
    assert [path.read_text() for path in sorted(aside.iterdir())] == ["echo score: 6\n", "echo score: 8\n"]
    assert "nothing to measure" in home.refused("run")


def test_edits_that_do_not_fit_are_refused_until_the_idea_is_dropped(make_home: MakeHome) -> None:
    misfit = {"hypothesis": "no such line", "edits": [{"search": "nowhere", "replace": "x"}]}
    home = make_home(misfit, *scores(8))
    home.did("propose")
    for _ in range(2):
        assert home.refused("apply") == (
            "edit: edit 1: its search text 'nowhere' stands 0 times in the file, expected once; the idea is kept; "
            "apply it again, or drop it (pytest-autoresearch reset)"
        )
    home.did("reset")
    home.did("propose")
    home.did("apply")
    assert home.did("run").startswith("experiment 1: KEPT 8")


def test_a_read_only_file_that_was_changed_is_complained_of(make_home: MakeHome) -> None:
    home = make_home(files={"rules.txt": "x\n"}, readonly_files=["rules.txt"])
    home.did("run")
    (home.directory / "rules.txt").write_text("y\n")
    home.edit(1)
    assert home.refused("run").startswith(
        f"rules.txt in {home.directory} is not as it was when the session began. Put it back "
        f"(git -C {home.directory} checkout -- rules.txt)"
    )
    assert home.solution.read_text() == "echo score: 1\n"
    git(home.directory, "checkout", "--", "rules.txt")
    assert home.did("run").startswith("experiment 1: KEPT 1")


@pytest.mark.parametrize("step", ["run", "reset"])
def test_files_that_are_gone_are_put_back(make_home: MakeHome, step: str) -> None:
    home = make_home(*scores(8), files={"rules/a.txt": "x\n"}, readonly_files=["rules"])
    home.did("run")
    home.solution.unlink()
    shutil.rmtree(home.directory / "rules")
    said = home(step)
    assert "pytest-autoresearch: note: files were missing, and are put back\n" in said.err
    assert "nothing to" in said.out + said.err
    assert home.status() == ""


def test_what_was_changed_besides_is_pointed_out_as_no_commit_will_hold_it(make_home: MakeHome) -> None:
    home = make_home(files={"helper.sh": "echo 1\n", "free.txt": "x\n"})
    home.did("run")
    write(home.directory, {"helper.sh": "echo 2\n", "new file.sh": "y\n", "pkg/a.sh": "z\n", "pkg/b.sh": "z\n"})
    write(home.directory / ".pytest_cache", {".gitignore": "*\n", "x": "y\n"})
    git(home.directory, "add", "pkg/b.sh")
    home.edit(8)
    said = home("run")
    assert (said.code, said.out) == (0, "experiment 1: KEPT 8: 10 → 8 (-2)\n")
    assert said.err == (
        "pytest-autoresearch: note: only solution.sh is kept; what differs besides is in no commit of the session: "
        "helper.sh, pkg/b.sh, new file.sh, pkg/a.sh\n"
    )
    assert git(home.directory, "show", "--format=", "--name-only", "HEAD") == "solution.sh"


@pytest.mark.parametrize("name", ["no-such-critic-file", "auto"])
def test_measuring_an_edit_needs_no_critic(make_home: MakeHome, name: str) -> None:
    provider = "auto" if name == "auto" else "replay"
    home = make_home(critic={"provider": provider, "ideas": "none.yaml", "base_url": "http://127.0.0.1:1/v1"})
    home.edit(8)
    assert "experiment 1: KEPT 8" in home.did("run")
    assert "none.yaml" in home.refused("propose")


def test_a_stop_rule_is_named_and_does_not_stop_anybody(make_home: MakeHome) -> None:
    home = make_home(stop={"target": 8.5})
    home.did("run")
    for score in (8, 7):
        home.edit(score)
        said = home("run")
        assert said.code == 0
        assert said.err == (
            f"pytest-autoresearch: note: this is enough: target reached: {score} against 8.5 (stop.target)\n"
        )


def test_without_a_session_only_what_begins_one_does(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8))
    for command in ("status", "apply", "reset"):
        assert by_hand(toy.project, command) == Said(
            1, "", "pytest-autoresearch: there is no session toy/run1 yet; begin it: pytest-autoresearch run\n"
        )
    assert not toy.records.exists()
    assert by_hand(toy.project, "run").code == 0
    assert toy.checkout.is_dir()
    assert toy.user_status() == ""
