"""The ripple, the points on it, and the features of a model for it. Read-only: the evaluator uses this file too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INPUTS = 2
MAX_FEATURES = 512

Floats = NDArray[np.float64]


def train() -> tuple[Floats, Floats]:
    """Points (800, 2) in the square from -1 to 1 and the noisy heights of the ripple there (800,)."""
    return _sample(800, seed=1)


def held_out() -> tuple[Floats, Floats]:
    """2000 other points of the same kind: for the evaluator."""
    return _sample(2000, seed=2)


def features(points: Floats, count: int, frequency: float) -> Floats:
    """Random Fourier features (points, count) of a Gaussian kernel (Rahimi and Recht 2007); nothing here is stored."""
    rng = np.random.default_rng(3)
    directions = rng.standard_normal((MAX_FEATURES, INPUTS))[:count]
    phases = rng.uniform(0, 2 * np.pi, MAX_FEATURES)[:count]
    return np.asarray(np.cos(frequency * points @ directions.T + phases), dtype=np.float64)


def _sample(count: int, seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (count, INPUTS))
    return points, np.sin(10 * np.hypot(points[:, 0], points[:, 1])) + rng.normal(0, 0.1, count)
