"""Prints a metric in digits that only Unicode takes for some.

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

sys.stdout.buffer.write("tour_length: １.００００００\ntour_length: ١.٠\n".encode())
WITNESS.write_text("printed full-width digits")
