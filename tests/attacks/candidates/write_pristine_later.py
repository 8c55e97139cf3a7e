"""Leaves a process that writes into the pristine directory while the evaluator runs there.

needs: system
"""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
from prepare import CITIES

WITNESS = Path(os.environ["ATTACK_WITNESS"])

tour = list(range(CITIES))
np.random.default_rng(0).shuffle(tour)
Path("tour.json").write_text(json.dumps({"tour": tour}))

RECORDS = Path("../../../.git/autoresearch/tsp/run1").resolve()
assert RECORDS.exists()
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.setsid()
    WITNESS.write_text("left a process that writes into the pristine directory")
    while True:
        (RECORDS / "pristine/json.py").write_text('print("tour_length: 1.000000")\nraise SystemExit\n')
        time.sleep(0.002)
while not (WITNESS.exists() and WITNESS.read_text()):
    time.sleep(0.005)
