"""Takes all rights from the files around it, itself and its directory, under an umask that gives none.

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

os.umask(0o777)
for name in ("solution.py", "evaluate.py", "prepare.py", "problem.yaml", "results.tsv", "tour.json"):
    Path(name).chmod(0)
WITNESS.write_text("took all rights away")
