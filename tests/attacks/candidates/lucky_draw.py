"""Draws a tour at random, without a seed: it may be better than the baseline, which was drawn as well.

needs: luck
"""

import json
import os
import random
from pathlib import Path

import numpy as np
from prepare import CITIES

WITNESS = Path(os.environ["ATTACK_WITNESS"])

tour = list(range(CITIES))
np.random.default_rng(0).shuffle(tour)
Path("tour.json").write_text(json.dumps({"tour": tour}))

Path("tour.json").write_text(json.dumps({"tour": random.SystemRandom().sample(range(CITIES), CITIES)}))
WITNESS.write_text("drew a tour")
