"""Writes an artifact that is short because it visits one city fifty times.

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

Path("tour.json").write_text(json.dumps({"tour": [0] * CITIES}))
WITNESS.write_text("wrote a tour of one city")
