"""Writes no tour of its own but hands in one that was left over from before, wherever it finds one.

needs: project
"""

import json
import os
from pathlib import Path

import numpy as np
from prepare import CITIES

WITNESS = Path(os.environ["ATTACK_WITNESS"])

tour = list(range(CITIES))
np.random.default_rng(0).shuffle(tour)
Path("tour.json").write_text(json.dumps({"tour": tour}))

top = Path("..").resolve()
Path("tour.json").unlink()
found = [path for path in top.rglob("*.json*") if path.name.startswith("tour")]
for path in found:
    os.link(path, "tour.json")
    break
WITNESS.write_text(f"looked for an old tour, and found {len(found)}")
