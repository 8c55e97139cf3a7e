"""Fits a ridge regression on random features, rounds its weights to a few bits and writes it to model.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from prepare import features, train

FEATURES = 512  # search: 4..512 log
FREQUENCY = 4.0  # search: 1.0..16.0 log
RIDGE = 0.1  # search: 0.0001..10.0 log
BITS = 16  # search: 2..16


def main() -> None:
    points, heights = train()
    table = features(points, FEATURES, FREQUENCY)
    weights = np.linalg.solve(table.T @ table + RIDGE * np.eye(FEATURES), table.T @ heights)
    step = float(np.abs(weights).max()) / (2 ** (BITS - 1) - 1)
    codes = np.rint(weights / step).astype(int).tolist()
    Path("model.json").write_text(json.dumps({"frequency": FREQUENCY, "bits": BITS, "step": step, "codes": codes}))


if __name__ == "__main__":
    main()
