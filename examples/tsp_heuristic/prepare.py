"""The fifty cities and the length of a tour through them. Read-only: the evaluator computes with this file too."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

CITIES = 50

Distances = list[list[float]]


def distances() -> Distances:
    """The straight-line distance from each city to each; the cities are uniform in the unit square."""
    places = np.random.default_rng(1729).uniform(0, 1, (CITIES, 2)).tolist()
    return [[math.dist(here, there) for there in places] for here in places]


def tour_length(tour: Sequence[int], distance: Distances) -> float:
    """The length of the closed tour: from the last city it goes back to the first."""
    return math.fsum(distance[here][there] for here, there in zip(tour, [*tour[1:], tour[0]], strict=True))
