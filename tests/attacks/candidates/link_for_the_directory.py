"""Moves the problem's directory away and leaves a link to a copy with another evaluator.

needs: project
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
from prepare import CITIES

WITNESS = Path(os.environ["ATTACK_WITNESS"])

tour = list(range(CITIES))
np.random.default_rng(0).shuffle(tour)
Path("tour.json").write_text(json.dumps({"tour": tour}))

here = Path.cwd()
shutil.copytree(here, "../copy", symlinks=True)
Path("../copy/evaluate.py").write_text('print("tour_length: 1.000000")\n')
here.rename("../moved")
here.symlink_to("copy")
WITNESS.write_text("linked the problem's directory")
