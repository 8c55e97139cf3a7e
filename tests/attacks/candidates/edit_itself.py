"""Replaces its own file by a better solution, to be measured as one and kept as another.

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

text = f"from pathlib import Path\nPath('tour.json').write_text('{json.dumps({'tour': short_tour()})}')\n"
Path(__file__).write_text(text)
assert Path("solution.py").read_text() == text
WITNESS.write_text("wrote solution.py")
