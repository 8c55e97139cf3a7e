"""Leaves a device without an end in the place of the artifact.

needs: project
"""

import json
import os
import stat
from pathlib import Path

import numpy as np
from prepare import CITIES

WITNESS = Path(os.environ["ATTACK_WITNESS"])

tour = list(range(CITIES))
np.random.default_rng(0).shuffle(tour)
Path("tour.json").write_text(json.dumps({"tour": tour}))

Path("tour.json").unlink()
try:
    os.mknod("tour.json", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    WITNESS.write_text("made a device")
except OSError as error:
    WITNESS.write_text(f"impossible: a device cannot be made here: {error.strerror}")
