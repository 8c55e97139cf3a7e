"""Prints a metric on standard error.

needs: project
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
from prepare import CITIES

WITNESS = Path(os.environ["ATTACK_WITNESS"])

tour = list(range(CITIES))
np.random.default_rng(0).shuffle(tour)
Path("tour.json").write_text(json.dumps({"tour": tour}))

print("tour_length: 1.000000", file=sys.stderr)
WITNESS.write_text("printed a metric on standard error")
