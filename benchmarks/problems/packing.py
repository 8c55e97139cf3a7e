"""26 circles in the unit square, the sum of their radii as large as can be: a heuristic with knobs, and a validator.

The best sum that is known is 2.635 (AlphaEvolve 2025, and 2.63598 since). The heuristic begins with rows of circles
and follows the gradient of the sum, less a penalty for what overlaps. How far it gets depends on its knobs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CIRCLES = 26
_MARGIN = 1e-9

Floats = NDArray[np.float64]
Circle = tuple[float, float, float]


def sum_of_radii(circles: list[Circle]) -> float | None:
    """The sum, None unless these are 26 circles in the square that do not overlap, without any tolerance."""
    if len(circles) != CIRCLES or not all(map(math.isfinite, sum(circles, ()))):
        return None
    for index, (x, y, radius) in enumerate(circles):
        if radius <= 0 or radius > min(x, 1 - x, y, 1 - y):
            return None
        if any(radius + r > math.hypot(x - u, y - v) for u, v, r in circles[:index]):
            return None
    return math.fsum(radius for _, _, radius in circles)


@dataclass(frozen=True, slots=True)
class Packer:
    """The knobs: the rows to begin with, how they are moved, and for how long.

    `shift` moves every other row by so much of the distance between two circles, `jitter` each circle by chance.
    The penalty grows from `penalty` by the factor `growth` up to the last of `steps`; `rate` and `momentum` are those
    of the gradient.
    """

    rows: int
    shift: float
    jitter: float
    steps: int
    rate: float
    momentum: float
    penalty: float
    growth: float

    def pack(self) -> list[Circle]:
        """The circles, made to fit at the end."""
        centres, radii = self._rows(), np.full(CIRCLES, 0.08)
        speed = np.zeros((CIRCLES, 3))
        with np.errstate(all="ignore"):  # a rate that is too large ends in nonsense, which the validator refuses
            for step in range(self.steps):
                penalty = self.penalty * self.growth ** (step / self.steps)
                speed = self.momentum * speed + self.rate / penalty * _pull(centres, radii, penalty)
                centres, radii = np.clip(centres + speed[:, :2], 0, 1), np.maximum(radii + speed[:, 2], 1e-3)
            return _fitted(centres, radii)

    def _rows(self) -> Floats:
        """Rows of circles, as even as it goes."""
        counts = [CIRCLES // self.rows + (row < CIRCLES % self.rows) for row in range(self.rows)]
        points = [
            ((column + 0.5 + (row % 2 - 0.5) * self.shift) / count, (row + 0.5) / self.rows)
            for row, count in enumerate(counts)
            for column in range(count)
        ]
        return np.array(points) + self.jitter * np.random.default_rng(0).uniform(-1, 1, (CIRCLES, 2))


def _gaps(centres: Floats) -> tuple[Floats, Floats]:
    """The differences of all pairs, and their lengths."""
    difference = centres[:, None] - centres
    return difference, np.hypot(difference[..., 0], difference[..., 1]) + np.eye(CIRCLES) * 9


def _pull(centres: Floats, radii: Floats, penalty: float) -> Floats:
    """The gradient of the sum of the radii less the penalty for each overlap's square, for x, y and radius."""
    difference, distance = _gaps(centres)
    over = np.maximum(radii[:, None] + radii - distance, 0)
    low, high = np.maximum(radii[:, None] - centres, 0), np.maximum(radii[:, None] + centres - 1, 0)
    moved = (over / np.maximum(distance, 1e-9))[..., None] * difference
    return np.column_stack(
        (
            2 * penalty * (moved.sum(axis=1) + low - high),
            1 - 2 * penalty * (over.sum(axis=1) + (low + high).sum(axis=1)),
        )
    )


def _fitted(centres: Floats, radii: Floats) -> list[Circle]:
    """Circles that do not overlap: shrunk where they do, then grown in turn to what is left."""
    wall = np.minimum(centres, 1 - centres).min(axis=1)
    _, distance = _gaps(centres)
    radii = np.minimum(radii, wall)
    radii = radii * np.minimum(1, (distance / (radii[:, None] + radii)).min(axis=1))
    for circle in range(CIRCLES):
        room = np.delete(distance[circle] - radii, circle).min()
        radii[circle] = min(wall[circle], room)
    return [(float(x), float(y), float(r) - _MARGIN) for (x, y), r in zip(centres, radii, strict=True)]
