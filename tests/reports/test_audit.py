"""The audit: complete, linked, bounded, without keys, and of the form that is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.attacks.test_attacks import ALL, OPEN
from tests.cli.support import apart
from tests.conftest import MakeToy
from tests.llm.server import idea, say, serving
from tests.support import scores

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "audit-schema.json").read_text())
KEY = "sk-planted-0123456789abcdef0123"


def audit_of(directory: Path) -> dict[str, Any]:
    audit: dict[str, Any] = json.loads((directory / "AUDIT_LOG.json").read_text())
    jsonschema.validate(audit, SCHEMA)
    return audit


def test_a_run_leaves_an_audit_of_the_published_form(make_toy: MakeToy) -> None:
    full = {
        "hypothesis": "score 8",
        "thought_process": "Ten is a lot.",
        "alternatives_considered": ["seven", "nine"],
        "expected_delta": -1.5,
        "justification": "Eight is less.",
        "code_pseudocode": "echo 8",
        "risk_level": "med",
        "content": "echo score: 8\n",
    }
    toy = make_toy(full, *scores(9, "none"))
    toy.run("--iterations=3")
    audit = audit_of(toy.checkout)
    summary = audit["summary"]
    assert (summary["experiments"], summary["kept"], summary["discarded"], summary["crashed"]) == (3, 1, 1, 1)
    assert (summary["baseline"], summary["best"], summary["improvement"], summary["improvement_share"]) == (
        10,
        8,
        2,
        0.2,
    )
    assert [one["number"] for one in audit["top_hits"]] == [1]
    assert [one["outcome"] for one in audit["preconditions"]].count("passed") >= 7
    first = audit["experiments"][1]
    assert (first["delta"], first["expected_delta"], first["beaten"]) == (-2, -1.5, 10)
    assert first["idea"]["alternatives_considered"] == ["seven", "nine"]
    assert "-echo score: 10\n+echo score: 8" in first["diff"]
    assert "score: none" in audit["experiments"][3]["log_tail"]
    text = (toy.checkout / "AUDIT_LOG.md").read_text()
    for said in ("Ten is a lot", "Eight is less", "+echo score: 8", "### 2 discarded: score 9", "| improvement | 2"):
        assert said in text


def test_reasoning_is_linked_by_the_ledger(make_toy: MakeToy) -> None:
    def answer(number: int) -> Any:
        return say(
            idea(f"score {number}", edits=[{"search": "10", "replace": str(number)}]), reasoning=f"why {number}"
        )

    with serving([answer(9), answer(8)]) as server:
        section = {"provider": "ollama", "base_url": server.url, "model": "scripted", "timeout_s": 5}
        toy = make_toy(problem={"critic": section})
        done = toy.run("--iterations=1")
    assert toy.statuses()[1:] == [("keep", 9)], done.stdout
    audit = audit_of(toy.checkout)
    one = audit["experiments"][1]
    assert one["idea"]["reasoning"] == "why 9"
    assert one["idea"]["log"] in {path.name for path in (toy.checkout / ".autoresearch" / "critic_logs").iterdir()}
    assert [call["role"] for call in one["calls"]] == ["critic"]
    assert audit["summary"]["tokens"] == one["tokens"] > 0


def test_what_a_candidate_says_stays_a_text(make_toy: MakeToy) -> None:
    hostile = "# Summary\n<script>alert(1)</script> | a | b\n```\n</details>\x1b[31m"
    content = f"cat <<'END'\n```\n{hostile}\nEND\nexit 3\n"
    toy = make_toy({"hypothesis": hostile, "justification": hostile, "content": content})
    toy.run("--iterations=1")
    text = (toy.checkout / "AUDIT_LOG.md").read_text()
    outside = [line for line in text.split("\n") if line.startswith(("# ", "<", "## "))]
    assert outside == [
        "# Audit of session toy/run1",
        "## Summary",
        "## Can it be believed?",
        "## Preconditions",
        "## Critics",
        "## Experiments",
        "# Summary",
        "<script>alert(1)</script> | a | b",
        "</details>",
    ]
    assert text.index("````\n```\n# Summary\n<script>") > text.index("## Experiments")
    assert "\x1b" not in text
    audit_of(toy.checkout)


def test_no_key_is_in_it(make_toy: MakeToy) -> None:
    content = f"echo {KEY}; exit 3\n"
    toy = make_toy({"hypothesis": f"use {KEY}", "justification": KEY, "content": content})
    toy.run("--iterations=1", env={"PLANTED_API_KEY": KEY})
    for name in ("AUDIT_LOG.md", "AUDIT_LOG.json", "STATE.md"):
        assert KEY not in (toy.checkout / name).read_text()


def test_noise_is_in_it(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8), problem={"noise": {"repeats": 3, "alpha": 0.3}})
    toy.run("--iterations=1")
    audit = audit_of(toy.checkout)
    assert audit["integrity"]["confirmations"] == 1
    assert audit["integrity"]["expected_false_keeps"] == pytest.approx(0.3)
    assert audit["experiments"][1]["p"] <= 0.3
    assert audit["top_hits"][0]["effect"].startswith("-2")


def test_the_second_evaluator_is_in_it_only_where_nobody_could_be_led_by_it(make_toy: MakeToy, tmp_path: Path) -> None:
    keys = {"evaluator": "bash evaluate.sh", "artifacts": ["out"], "holdout": "bash holdout.sh"}
    files = {
        "evaluate.sh": "cat out\n",
        "holdout.sh": "sed 's/ 7/ 11/' out\n",
        "solution.sh": "echo score: 10 > out\n",
    }
    ideas = [{"hypothesis": f"{n}", "content": f"echo score: {n} > out\n"} for n in (8, 7)]
    toy = make_toy(*ideas, problem={**keys, "readonly_files": ["evaluate.sh", "holdout.sh"]}, files=files)
    toy.run("--iterations=2")
    assert "holdout" not in audit_of(toy.checkout)
    refused = apart(toy.project, "audit", "--holdout")
    assert refused.code == 1
    assert "--holdout needs an --output outside of" in refused.err
    assert apart(toy.project, "audit", "--holdout", "--output", str(toy.checkout / "here")).code == 1
    made = apart(toy.project, "audit", "--holdout", "--output", str(tmp_path / "out"))
    assert made.out.split() == [str(tmp_path / "out" / name) for name in ("AUDIT_LOG.md", "AUDIT_LOG.json")]
    held = audit_of(tmp_path / "out")["holdout"]
    assert [(one["metric"], one["holdout"], one["worse"]) for one in held] == [
        (10, 10, None),
        (8, 8, None),
        (7, 11, 3),
    ]
    assert "## Holdout" in (tmp_path / "out" / "AUDIT_LOG.md").read_text()


def test_it_can_be_made_again_at_any_time(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 9))
    toy.run("--iterations=2")
    before = {name: (toy.checkout / name).read_bytes() for name in ("AUDIT_LOG.md", "AUDIT_LOG.json")}
    for name in before:
        (toy.checkout / name).unlink()
    assert apart(toy.project, "audit").code == 0
    assert {name: (toy.checkout / name).read_bytes() for name in before} == before


def test_a_session_in_numbers(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 9, "none"))
    toy.run("--iterations=3")
    assert apart(toy.project, "analyze").out.splitlines() == [
        "session toy/run1: 3 experiments, keep rate 33%",
        "1 kept, 1 discarded, 1 crashed",
        "score: 10 → 8 (+20.00% better), self-reported",
        "critic replay: 1 of 3 kept, gained 2",
        "    1           +2            8  score 8",
    ]
    numbers = json.loads(apart(toy.project, "analyze", "--json").out)
    assert numbers["summary"] == audit_of(toy.checkout)["summary"]
    assert "experiments" not in numbers


def test_the_published_number_of_exploits_is_that_of_the_corpus(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8))
    toy.run("--iterations=1")
    accepted = audit_of(toy.checkout)["integrity"]["accepted_exploits"]
    by_luck = {attack.name for attack in ALL if attack.needs == "luck"}
    assert accepted["none"] == {"accepted": len(OPEN - by_luck), "of": len(ALL) - len(by_luck)}
    assert accepted["bwrap"] == {"accepted": 0, "of": len(ALL) - len(by_luck)}
    assert not any(attack.needs == "project" for attack in ALL if attack.name in OPEN)


def test_a_session_that_has_not_begun_has_none(make_toy: MakeToy) -> None:
    toy = make_toy()
    for name in ("audit", "analyze", "state"):
        done = apart(toy.project, name)
        assert done.code == 1
        assert done.err == (
            "pytest-autoresearch: there is no session toy/run1 yet; begin it: pytest-autoresearch run\n"
        )
