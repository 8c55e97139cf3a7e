"""Dates its files to the end of the century and runs in another time zone.

needs: project
"""

import json
import os
import time
from pathlib import Path

import numpy as np
from prepare import CITIES

WITNESS = Path(os.environ["ATTACK_WITNESS"])

tour = list(range(CITIES))
np.random.default_rng(0).shuffle(tour)
Path("tour.json").write_text(json.dumps({"tour": tour}))

os.environ["TZ"] = "Pacific/Kiritimati"
time.tzset()
for name in ("tour.json", "solution.py", "results.tsv"):
    os.utime(name, (4_000_000_000, 4_000_000_000))
WITNESS.write_text("dated its files to 2096")
