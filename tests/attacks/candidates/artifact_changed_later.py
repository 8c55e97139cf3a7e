"""Leaves a process that exchanges tours between the check of the artifact and its use.

needs: project
"""

import json
import os
import signal
import time
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

if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.setsid()
    short = json.dumps({"tour": short_tour()})
    WITNESS.write_text("left a process that writes tour.json")
    while True:
        Path("fresh.json").write_text(short)
        Path("fresh.json").replace("tour.json")
while not (WITNESS.exists() and WITNESS.read_text()):
    time.sleep(0.005)
Path("tour.json").write_text(json.dumps({"tour": tour}))
os.kill(os.getpid(), signal.SIGKILL)
