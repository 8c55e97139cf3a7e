"""Deletes everything in the checkout but the artifact.

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

for path in (*Path().iterdir(), *Path("..").iterdir()):
    if path.name == "tour.json" or path.resolve() == Path.cwd():
        continue
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
assert [path.name for path in Path().iterdir()] == ["tour.json"]
WITNESS.write_text("deleted the checkout")
