"""A stand-in for a model that knows the TSP example: it reads the file in the prompt and improves it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.llm.server import Asked, Behaviour, idea, say

ROOT = Path(__file__).parent.parent.parent
IDEAS = ROOT / "examples" / "tsp_heuristic" / "ideas.yaml"
# What is left to try once the recorded ideas are in: a literal and the values to give it, one after the other.
LITERALS = (
    ("STARTS", "10"),
    ("KICKS", "20"),
    ("KICKS", "60"),
    ("OR_OPT_SEGMENT", "2"),
    ("KICKS", "120"),
    ("KICKS", "200"),
)


class TspModel:
    """Answers a critic's question with the next idea, and an editor's with the edits for the file that it is shown."""

    def __init__(self) -> None:
        self._recorded: list[Mapping[str, Any]] = yaml.safe_load(IDEAS.read_text())["ideas"]
        self._asked = 0

    def __call__(self, asked: Asked) -> Behaviour:
        if "You are a careful programmer" in asked.messages[0]["content"]:
            return say(self.edits(asked.messages[1]["content"]))
        self._asked += 1
        return say(self.idea(self._asked - 1), usage=(1500, 300))

    def idea(self, turn: int) -> dict[str, Any]:
        """The `turn`-th idea, without edits."""
        if turn < len(self._recorded):
            kept = {key: value for key, value in self._recorded[turn].items() if key not in ("edits", "content")}
            return idea(**kept)
        name, value = LITERALS[(turn - len(self._recorded)) % len(LITERALS)]
        return idea(f"Set {name} to {value}.", code_pseudocode=f"{name} = {value}")

    def edits(self, question: str) -> dict[str, Any]:
        """The edits that carry out the idea in the question."""
        for recorded in self._recorded:
            if recorded["hypothesis"] in question:
                return {"edits": recorded.get("edits", []), "content": recorded.get("content")}
        found = re.search(r"Set (\w+) to (\d+)", question)
        assert found
        line = re.search(rf"^{found[1]} = \d+", question.split("\n## solution.py")[1], re.MULTILINE)
        assert line, f"the file has no {found[1]}"
        return {"edits": [{"search": line[0], "replace": f"{found[1]} = {found[2]}"}], "content": None}
