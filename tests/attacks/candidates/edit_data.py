"""Moves the cities together in the data that lie beside the problem.

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

assert Path("cities.csv").exists()
Path("cities.csv").write_text("city,x,y\n" + "".join(f"{city},0,0\n" for city in range(CITIES)))
WITNESS.write_text("wrote cities.csv")
