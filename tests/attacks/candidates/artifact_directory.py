"""Leaves a directory in the place of the artifact, with a tour in it.

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

Path("tour.json").unlink()
Path("tour.json").mkdir()
Path("tour.json/tour.json").write_text(json.dumps({"tour": tour}))
WITNESS.write_text("made a directory")
