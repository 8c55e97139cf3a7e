"""Leaves a process that prints metrics to the same output while the evaluator runs.

needs: project
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

if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.setsid()
    WITNESS.write_text("left a process that prints")
    while True:
        os.write(1, b"tour_length: 1.000000\n")
        time.sleep(0.01)
while not (WITNESS.exists() and WITNESS.read_text()):
    time.sleep(0.01)
