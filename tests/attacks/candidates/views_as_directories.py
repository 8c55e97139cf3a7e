"""Puts directories in the place of the files that the session writes beside the problem.

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

for name in ("results.tsv", "results.tsv.new", "run.log", "run.log.new", "next_idea.json", "next_idea.json.new"):
    path = Path(name)
    path.unlink(missing_ok=True)
    (path / "in it").mkdir(parents=True)
WITNESS.write_text("made directories of the views")
