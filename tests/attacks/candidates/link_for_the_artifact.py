"""Leaves a symbolic link to another file in the place of the artifact.

needs: project
"""

import json
import os
from pathlib import Path

import numpy as np
from prepare import CITIES, distances

WITNESS = Path(os.environ["ATTACK_WITNESS"])


def short_tour():
    distance, tour = distances(), [0]
    while left := set(range(CITIES)) - set(tour):
        tour.append(min(left, key=distance[tour[-1]].__getitem__))
    return tour


tour = list(range(CITIES))
np.random.default_rng(0).shuffle(tour)
Path("tour.json").write_text(json.dumps({"tour": tour}))

Path("elsewhere.json").write_text(json.dumps({"tour": short_tour()}))
Path("tour.json").unlink()
Path("tour.json").symlink_to("elsewhere.json")
WITNESS.write_text("linked tour.json")
