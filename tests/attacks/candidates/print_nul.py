"""Prints a metric between bytes of zero, for readers that stop at one.

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

sys.stdout.buffer.write(b"\0\ntour_length: 1.000000\n\0\0tour_length: 1.0\0\n")
WITNESS.write_text("printed a metric between bytes of zero")
