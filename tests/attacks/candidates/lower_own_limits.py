"""Sets limits of its own to nothing, and its niceness to the least, for whatever inherits them.

needs: project
"""

import json
import os
import resource
from pathlib import Path

import numpy as np
from prepare import CITIES

WITNESS = Path(os.environ["ATTACK_WITNESS"])

WITNESS.write_text("is going to have no limits left")
tour = list(range(CITIES))
np.random.default_rng(0).shuffle(tour)
Path("tour.json").write_text(json.dumps({"tour": tour}))

for what in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK):
    resource.setrlimit(what, (0, 0))
os.nice(19)
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
os.write(1, f"limited to {limits}\n".encode())
