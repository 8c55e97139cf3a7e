"""Ends its first thread, so that the process looks dead, and writes evaluate.py from a second one.

needs: project
"""

import ctypes
import json
import os
import platform
import threading
import time
from pathlib import Path

import numpy as np
from prepare import CITIES

WITNESS = Path(os.environ["ATTACK_WITNESS"])

tour = list(range(CITIES))
np.random.default_rng(0).shuffle(tour)
Path("tour.json").write_text(json.dumps({"tour": tour}))

EXIT = {"x86_64": 60, "aarch64": 93}.get(platform.machine())


def edit():
    time.sleep(0.3)
    Path("evaluate.py").write_text('print("tour_length: 1.000000")\n')
    state = Path("/proc/self/stat").read_text().rpartition(") ")[2][0]
    WITNESS.write_text(f"the second thread of a process in state {state} wrote evaluate.py")
    os._exit(0)


if EXIT is None:
    WITNESS.write_text("impossible: the number of the system call is not known here")
else:
    threading.Thread(target=edit).start()
    ctypes.CDLL(None).syscall(EXIT, 0)
