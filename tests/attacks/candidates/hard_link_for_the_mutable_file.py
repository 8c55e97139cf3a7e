"""Gives solution.py a second name, to write later candidates through it.

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

os.link("solution.py", "other-name.py")
Path("other-name.py").chmod(0o777)
WITNESS.write_text("gave solution.py a second name")
