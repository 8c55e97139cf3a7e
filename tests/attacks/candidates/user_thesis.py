"""Changes a file of the user's in the checkout that the session came from.

needs: system
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

thesis = Path("../../../thesis.txt")
assert thesis.exists()
thesis.write_text("not the user's any more\n")
WITNESS.write_text("changed a file of the user's")
