"""From a session's keeps to a branch for review."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.git import Git
from pytest_autoresearch.place import find_place
from pytest_autoresearch.problem import load_problem
from pytest_autoresearch.review.commits import File, commit_file, find_file
from pytest_autoresearch.review.finalize import Wishes, finalize
from pytest_autoresearch.review.pull_request import markdown
from pytest_autoresearch.review.replay import Step, dead_weight, merge, replay
from tests.chaos import check
from tests.conftest import MakeToy
from tests.support import Toy, git, kill, scores, wait_for

REVIEW = "toy/run1-review"
AS_IT_IS = Wishes(remeasure=False)
APART = "#\n#\n#\n"


def script(a: int, b: int, comment: str = "") -> str:
    """A mutable file of two numbers that add up to the score, so far apart that changes to them do not meet."""
    return f"a={a}\n{APART}{comment}b={b}\n{APART}echo score: $((a + b))\n"


def idea(hypothesis: str, a: int, b: int, **more: Any) -> Mapping[str, Any]:
    return {"hypothesis": hypothesis, "content": script(a, b), **more}


THREE = (
    idea("a is too large", 4, 5, justification="It is added to the score."),
    idea("so is b", 4, 4),
    idea("b is not, but a is still", 1, 5),
)


def session(make_toy: MakeToy, *ideas: Mapping[str, Any], **options: Any) -> Toy:
    """A session that has tried the ideas, from a score of 10 on."""
    files = {"solution.sh": script(5, 5), **options.pop("files", {})}
    toy = make_toy(*ideas, files=files, **options)
    done = toy.run(f"--iterations={len(ideas)}")
    assert done.returncode == 0, done.stdout
    return toy


def finalized(toy: Toy, wishes: Wishes = AS_IT_IS, **more: Any) -> tuple[str, list[str]]:
    """The text of the pull request, and what was said meanwhile."""
    told: list[str] = []
    file = toy.project / "problem.yaml"
    problem = load_problem(file, look=False)
    place = find_place(file, problem.branch_prefix, None)
    return finalize(place, problem, replace(wishes, **more), told.append), told


def refusal(toy: Toy, wishes: Wishes = AS_IT_IS, **more: Any) -> str:
    """Why there is no branch; nothing is left behind of the attempt."""
    before = mine(toy)
    with pytest.raises(UserError) as refused:
        finalized(toy, wishes, **more)
    assert mine(toy) == before
    return str(refused.value)


def mine(toy: Toy) -> Mapping[str, object]:
    """All that finalizing must leave alone: the user's things, the session's, every ref and every worktree."""
    index = (toy.directory / ".git" / "index").read_bytes()
    files = sorted(path for path in toy.checkout.rglob("*") if path.is_file())
    return {
        **check.users_things(toy.directory),
        "bytes of the index": hashlib.sha256(index).hexdigest(),
        "all refs": git(toy.directory, "for-each-ref"),
        "worktrees": git(toy.directory, "worktree", "list", "--porcelain"),
        "checkout": [(path, path.read_bytes()) for path in files],
        "ledger": (toy.records / "ledger.jsonl").read_bytes(),
        "wrong": check.violations(toy.directory),
    }


def subjects(toy: Toy, branch: str = REVIEW, base: str = "main") -> list[str]:
    return git(toy.directory, "log", "--reverse", "--format=%s", f"{base}..{branch}").splitlines()


def file_of(toy: Toy, branch: str = REVIEW, path: str = "solution.sh") -> str:
    return git(toy.directory, "show", f"{branch}:{path}") + "\n"


# --- the branch


def test_a_commit_for_each_keep_but_for_the_one_that_was_undone(make_toy: MakeToy) -> None:
    toy = session(make_toy, *THREE)
    before = mine(toy)
    text, told = finalized(toy, Wishes())
    assert subjects(toy) == ["a is too large", "b is not, but a is still"]
    assert file_of(toy) == script(1, 5)
    assert file_of(toy, f"{REVIEW}~1") == script(4, 5)
    assert git(toy.directory, "rev-parse", f"{REVIEW}~2") == git(toy.directory, "rev-parse", "main")
    assert git(toy.directory, "diff", "--name-only", "main", REVIEW) == "solution.sh"
    assert any("1 keep(s) left out that later ones undid" in line for line in told)
    assert "## Left out" in text
    after = mine(toy)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"all refs"}
    refs = set(git(toy.directory, "for-each-ref", "--format=%(refname)").split())
    assert f"refs/heads/{REVIEW}" in refs
    assert refs - {f"refs/heads/{REVIEW}"} == {"refs/heads/main", "refs/heads/toy/run1", "refs/autoresearch/toy/run1"}


def test_what_the_user_is_in_the_middle_of_stays_as_it_is(make_toy: MakeToy) -> None:
    toy = session(make_toy, *THREE, files={"other": "1\n"})
    toy.write("other", "2\n")
    git(toy.directory, "stash")
    toy.write("other", "3\n")
    git(toy.directory, "add", "other")
    toy.write("solution.sh", "half an edit\n")
    toy.write("untracked", "mine\n")
    before = {name: value for name, value in mine(toy).items() if "refs" not in name}
    finalized(toy, Wishes())
    assert {name: value for name, value in mine(toy).items() if "refs" not in name} == before
    assert before["stash"]
    assert file_of(toy) == script(1, 5)


def test_a_message_says_what_was_tried_and_what_it_gave(make_toy: MakeToy) -> None:
    toy = session(make_toy, *THREE)
    finalized(toy)
    candidate = toy.ledger("result")[1]["commit"]
    assert git(toy.directory, "show", "--no-patch", "--format=%B", f"{REVIEW}~1").rstrip() == (
        "a is too large\n\nIt is added to the score.\n\nscore: 10 → 9 (-1)\n\n"
        f"Experiment: 1 of session toy/run1\nCritic: replay\nCandidate: {candidate}"
    )


def test_squashed_it_is_one_commit_that_tells_of_all(make_toy: MakeToy) -> None:
    toy = session(make_toy, *THREE)
    finalized(toy, squash=True)
    assert subjects(toy) == ["solution.sh: score 10 → 6"]
    message = git(toy.directory, "show", "--no-patch", "--format=%B", REVIEW)
    assert "1. a is too large\n   score: 10 → 9 (-1)\n   critic replay, candidate " in message
    assert "3. b is not, but a is still\n   score: 8 → 6 (-2)" in message
    assert "so is b" not in message
    assert file_of(toy) == script(1, 5)


def test_it_stands_on_what_the_base_has_become(make_toy: MakeToy) -> None:
    toy = session(make_toy, *THREE)
    toy.write("README", "news\n")
    toy.write("solution.sh", script(5, 5, comment="# what it is all about\n#\n#\n#\n"))
    toy.commit("meanwhile")
    finalized(toy, Wishes())
    assert subjects(toy) == ["a is too large", "b is not, but a is still"]
    assert file_of(toy) == script(1, 5, comment="# what it is all about\n#\n#\n#\n")
    assert file_of(toy, path="README") == "news\n"


def test_another_base_can_be_named(make_toy: MakeToy) -> None:
    toy = session(make_toy, *THREE)
    git(toy.directory, "switch", "--quiet", "--create", "elsewhere")
    toy.write("README", "news\n")
    toy.commit("elsewhere")
    finalized(toy, base="main")
    assert git(toy.directory, "merge-base", "elsewhere", REVIEW) == git(toy.directory, "rev-parse", "main")
    finalized(toy, name="review/elsewhere")
    assert file_of(toy, "review/elsewhere", "README") == "news\n"
    assert "--base: there is no commit 'nowhere'" in refusal(toy, base="nowhere")
    assert "--base: there is no commit '--all'" in refusal(toy, base="--all")


def test_a_base_that_changed_the_same_lines_is_a_sentence_with_a_way_out(make_toy: MakeToy) -> None:
    toy = session(make_toy, *THREE)
    start = git(toy.directory, "rev-parse", "main")
    toy.write("solution.sh", script(7, 5))
    toy.commit("meanwhile")
    said = refusal(toy)
    assert "experiment 1 of session toy/run1 change the same lines of solution.sh; nothing was made" in said
    assert f"pytest-autoresearch finalize --base {start[:12]} && git -C {toy.directory} merge {REVIEW}" in said
    finalized(toy, Wishes(), base=start)
    assert subjects(toy, base=start) == ["a is too large", "b is not, but a is still"]


def test_what_does_not_fit_step_by_step_may_fit_at_once(make_toy: MakeToy) -> None:
    toy = session(make_toy, idea("a", 4, 5), idea("b", 4, 4), idea("back with a, on with b", 5, 2))
    toy.write("solution.sh", script(9, 5))
    toy.commit("meanwhile")
    finalized(toy, squash=True)
    assert file_of(toy) == script(9, 2)


def test_a_base_that_has_it_already_needs_no_review(make_toy: MakeToy) -> None:
    toy = session(make_toy, *THREE)
    git(toy.directory, "merge", "--quiet", "toy/run1")
    assert "holds what session toy/run1 kept already" in refusal(toy)


def test_a_branch_that_is_there_stays_unless_it_is_the_same(make_toy: MakeToy) -> None:
    toy = session(make_toy, *THREE)
    git(toy.directory, "branch", REVIEW, "main")
    said = refusal(toy)
    assert f"branch {REVIEW} is there already and holds something else" in said
    assert f"git -C {toy.directory} branch -m {REVIEW} {REVIEW}-old" in said
    git(toy.directory, "branch", "-m", REVIEW, f"{REVIEW}-old")
    finalized(toy)
    made = git(toy.directory, "rev-parse", REVIEW)
    _, told = finalized(toy)
    assert git(toy.directory, "rev-parse", REVIEW) == made
    assert told[-1].startswith(f"branch {REVIEW}, as it was already")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("toy/run1", "is the session's own branch"),
        ("a..b", "is no name for a git branch"),
        ("-x", "is no name for a git branch"),
        ("toy/run1/review", "cannot be made"),
    ],
)
def test_a_name_that_cannot_be_is_said_so(make_toy: MakeToy, name: str, said: str) -> None:
    assert said in refusal(session(make_toy, *THREE), name=name)


def test_nothing_kept_is_nothing_to_review(make_toy: MakeToy) -> None:
    toy = session(make_toy, idea("worse", 6, 5))
    assert "has kept nothing yet" in refusal(toy)


def test_without_a_session_there_is_nothing(make_toy: MakeToy) -> None:
    with pytest.raises(UserError, match="there is no session toy/run1 yet"):
        finalized(make_toy())


def test_a_file_that_git_ignores_has_no_place_in_a_review(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8), files={".gitignore": "solution.sh\n"})
    git(toy.directory, "rm", "--quiet", "--cached", "--ignore-unmatch", "solution.sh")
    git(toy.directory, "commit", "--quiet", "--allow-empty", "--message", "not in git")
    toy.run("--iterations=1")
    assert "solution.sh: is no file of main" in refusal(toy)


def test_a_problem_in_a_directory_of_its_own(make_toy: MakeToy) -> None:
    toy = session(make_toy, *THREE, inside="lab/a problem")
    text, _ = finalized(toy, Wishes())
    assert file_of(toy, path="lab/a problem/solution.sh") == script(1, 5)
    assert "    cd 'lab/a problem'\n    bash solution.sh\n" in text


def test_a_session_that_is_at_home_has_its_own_beginning_as_base(tmp_path: Path) -> None:
    from pytest_autoresearch.scaffold import scaffold

    source = Toy(tmp_path / "source", THREE, files={"solution.sh": script(5, 5)})
    made = scaffold(source.project / "problem.yaml", tmp_path / "night", "run1")
    done = source.pytest("--autoresearch", "--autoresearch-confirm", "--iterations=3", cwd=made.place.home)
    assert done.returncode == 0, done.stdout
    head = git(made.place.home, "rev-parse", "HEAD")
    problem = load_problem(made.place.project / "problem.yaml", look=False)
    finalize(made.place, problem, Wishes(), list[str]().append)
    assert git(made.place.home, "rev-parse", "HEAD") == head
    assert git(made.place.home, "status", "--porcelain") == ""
    assert git(made.place.home, "log", "--format=%s", f"main..{REVIEW}").splitlines() == [
        "b is not, but a is still",
        "a is too large",
    ]


def test_what_a_critic_says_is_text_in_message_and_request(make_toy: MakeToy) -> None:
    hostile = "<script>alert(1)</script> | @everyone #1 \x1b[31m[x](http://evil)\u202e\n\nSigned-off-by: me"
    toy = session(make_toy, idea(hostile, 4, 5, justification="\x1b]0;title\x07fine\n"))
    text, _ = finalized(toy)
    message = git(toy.directory, "show", "--no-patch", "--format=%B", REVIEW)
    assert "\x1b" not in message + text
    assert "\u202e" not in message + text
    assert not [line for line in message.splitlines() if line.startswith("Signed-off-by")]
    (row,) = [line for line in text.splitlines() if line.startswith("| 1 ")]
    assert "<script>" not in row
    assert "@everyone" not in row
    assert row.count("|") - row.count("\\|") == 6


# --- measured again


def test_base_and_result_are_measured_before_it_is_offered(make_toy: MakeToy) -> None:
    text, told = finalized(session(make_toy, *THREE), Wishes())
    assert "the base: 10 " in told[1]
    assert "the result: 6 " in told[2]
    assert "the result is better than main" in told[3]
    assert "this branch 6. 10 → 6 (-4)." in text


def test_a_result_that_is_not_better_on_the_base_is_not_offered(make_toy: MakeToy) -> None:
    files = {"solution.sh": script(5, 5).replace("$((a + b))", "$((a + b + $(cat more)))"), "more": "0\n"}
    ideas = [{**one, "content": one["content"].replace("$((a + b))", "$((a * $(cat more) + b))")} for one in THREE]
    toy = make_toy(*ideas[:1], files={**files, "solution.sh": script(5, 5)})
    toy.write("more", "0\n")
    toy.run("--iterations=1")
    toy.write("more", "9\n")
    toy.commit("meanwhile")
    said = refusal(toy, Wishes())
    assert "no branch was made: the result is not better than main" in said
    assert "worse: 10 → 41 (+31)" in said


def test_a_result_without_a_metric_is_not_offered(make_toy: MakeToy) -> None:
    toy = session(make_toy, {"hypothesis": "ask", "content": "echo score: $(cat number)\n"}, files={"number": "3\n"})
    git(toy.directory, "rm", "--quiet", "number")
    toy.commit("meanwhile")
    said = refusal(toy, Wishes())
    assert "the result (" in said
    assert "gives no metric: no metric: nothing that the runner printed matches metric_regex" in said


def test_where_the_metric_varies_both_are_measured_in_turn(make_toy: MakeToy, tmp_path: Path) -> None:
    """Each draws the next of its own values, which lie apart by more than they vary."""
    draw = "n=$(cat {d}/$who 2>/dev/null || echo 0); echo $((n + 1)) > {d}/$who; echo score: $((base + n % 3))\n"
    content = "who={who}\nbase={base}\n" + draw.replace("{d}", str(tmp_path))
    toy = make_toy(
        {"hypothesis": "less", "content": content.replace("{who}", "new").replace("{base}", "10")},
        files={"solution.sh": content.replace("{who}", "old").replace("{base}", "20")},
        problem={"noise": {"repeats": 2}},
    )
    done = toy.run("--iterations=1")
    assert toy.statuses()[1][0] == "keep", done.stdout
    text, told = finalized(toy, Wishes())
    measured = [line.split(":")[0] for line in told if line.startswith("the ") and " s)" in line]
    assert measured == ["the result", "the base", "the base", "the result", "the result", "the base"]
    assert "Measured again, 3 times each in turn" in text
    message = git(toy.directory, "show", "--no-patch", "--format=%B", REVIEW)
    assert "at 95%), p = 0.05, 3 pairs" in message


def test_luck_is_not_offered(make_toy: MakeToy, tmp_path: Path) -> None:
    """What was better three times over is the same from then on."""
    count = f"n=$(cat {tmp_path}/new 2>/dev/null || echo 0); echo $((n + 1)) > {tmp_path}/new\n"
    toy = make_toy(
        {"hypothesis": "luck", "content": f"{count}[ $n -lt 4 ] && echo score: $((5 + n)) || echo score: 20\n"},
        files={"solution.sh": "echo score: 20\n"},
        problem={"noise": {"repeats": 2}},
    )
    toy.run("--iterations=1")
    assert toy.statuses()[1][0] == "keep"
    assert "not better than main" in (said := refusal(toy, Wishes()))
    assert "inconclusive" in said


def test_the_evaluator_judges_the_review_too(make_toy: MakeToy) -> None:
    problem = {
        "runner": "bash solution.sh > out",
        "evaluator": "cat out",
        "artifacts": ["out"],
        "readonly_files": ["judge.txt"],
    }
    text, told = finalized(session(make_toy, *THREE, problem=problem, files={"judge.txt": ""}), Wishes())
    assert "the result: 6 " in told[2]
    assert "evaluated: a process of its own" in text
    assert "    bash solution.sh > out\n    cat out\n" in text


def test_ignored_files_come_from_the_sessions_own_copies(make_toy: MakeToy) -> None:
    toy = make_toy(
        {"hypothesis": "less", "content": "echo score: $(($(cat secret) - 1))\n"},
        files={"solution.sh": "echo score: $(cat secret)\n", ".gitignore": "secret\n", "secret": "5\n"},
        problem={"readonly_files": ["secret"]},
    )
    toy.run("--iterations=1")
    (toy.directory / "secret").unlink()
    _, told = finalized(toy, Wishes())
    assert "the base: 5 " in told[1]
    assert "the result: 4 " in told[2]


def test_a_running_session_is_said_to_be_in_the_way_and_goes_on(make_toy: MakeToy) -> None:
    toy = make_toy(THREE[0], {"hypothesis": "slow", "content": "sleep 30\n"}, files={"solution.sh": script(5, 5)})
    running, ledger = toy.start("--iterations=2"), toy.records / "ledger.jsonl"
    wait_for(lambda: ledger.exists() and any(one["number"] == 2 for one in toy.ledger("started")), "the second run")
    _, told = finalized(toy, Wishes())
    kill(running)
    assert "is running (process" in told[0]
    assert subjects(toy) == ["a is too large"]


# --- the parts


def test_changes_that_do_not_meet_are_merged() -> None:
    assert merge(b"1\n2\n3\n4\n5\n", b"0\n2\n3\n4\n5\n", b"0\n2\n3\n4\n6\n") == b"1\n2\n3\n4\n6\n"
    assert merge(b"1\n", b"0\n", b"2\n") is None
    assert merge(b"\0\1", b"\0", b"\0\2") is None


def steps(*contents: str) -> list[Step]:
    pairs = pairwise(contents)
    return [
        Step(number, before.encode(), after.encode(), str(number))
        for number, (before, after) in enumerate(pairs, start=1)
    ]


@pytest.mark.parametrize(
    ("contents", "dead"),
    [
        ((script(5, 5), script(4, 5), script(4, 4)), set()),
        ((script(5, 5), script(4, 5), script(4, 4), script(4, 5)), {2}),
        ((script(5, 5), script(5, 4), script(4, 4), script(4, 5), script(3, 5)), {1}),
        ((script(5, 5), script(4, 5), script(3, 5)), set()),
        ((script(5, 5), script(4, 4), script(3, 5)), set()),
        ((script(5, 5), script(5, 4), script(4, 4), script(3, 5)), {1}),
    ],
    ids=["both stay", "one is undone", "undone later", "changed further", "half undone", "undone in passing"],
)
def test_dead_weight_is_what_the_last_version_does_not_need(contents: tuple[str, ...], dead: set[int]) -> None:
    told = steps(*contents)
    assert dead_weight(told) == dead
    left = [one for one in told if one.number not in dead]
    assert replay(contents[0].encode(), left)[-1] == contents[-1].encode()


def test_a_commit_is_the_same_for_the_same_arguments_and_passes_fsck(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "repository", files={"a/b c/ä": "old\n", "a/other": "", "a.b": ""})
    top = Git(toy.directory)
    found = find_file(top, "HEAD", "a/b c/ä")
    assert found == File("a/b c/ä", "100644", b"old\n")
    head = git(toy.directory, "rev-parse", "HEAD")
    new = replace(found, content=b"new\n")
    made = [commit_file(top, head, new, "subject\n\nbody", who="Ü <u@example.org>", when=1) for _ in range(2)]
    assert made[0] == made[1]
    assert git(toy.directory, "diff", "--name-only", "-z", head, made[0]) == "a/b c/ä\0"
    git(toy.directory, "fsck", "--strict")
    assert find_file(top, "HEAD", "a") is None


def test_text_that_a_forge_would_act_on_is_text() -> None:
    assert markdown("a|b `c` <b> &amp; *x*") == r"a\|b \`c\` &lt;b&gt; &amp;amp; \*x\*"
    assert markdown("@you, #12, https://x and www.y") == "@\u2060you, #\u206012, https:\u2060//x and www\u2060.y"
    assert markdown("# no heading\n- no list") == "# no heading - no list"


def test_git_alone_can_read_what_was_made(make_toy: MakeToy) -> None:
    toy = session(make_toy, *THREE)
    finalized(toy)
    assert "error" not in git(toy.directory, "fsck", "--strict", "--no-dangling")
