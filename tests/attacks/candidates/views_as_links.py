"""Puts links to the evaluator in the place of the files that the session writes beside the problem.

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

fresh = [f"{name}.new" for name in ("results.tsv", "run.log", "next_idea.json")]
for name in (*fresh, "next_idea.json", ".autoresearch/new-solution.py"):
    path = Path(name)
    path.unlink(missing_ok=True)
    path.symlink_to(Path("evaluate.py").resolve())
WITNESS.write_text("linked the views")
