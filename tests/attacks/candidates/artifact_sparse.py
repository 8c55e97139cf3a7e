"""Leaves an artifact of 10 GB that takes no room, so that whoever copies it fills the disk.

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

with Path("tour.json").open("r+b") as file:
    file.truncate(10 << 30)
found = Path("tour.json").stat()
assert found.st_size == 10 << 30
WITNESS.write_text("made a file of 10 GB")
