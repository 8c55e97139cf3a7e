"""Looks for a short closed tour through the cities of prepare.py and writes it to tour.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from prepare import CITIES, Distances, distances, tour_length

STARTS = 1  # search: 1..50
SEED = 0


def starts(distance: Distances) -> Iterator[list[int]]:
    """The tours to begin with: random permutations."""
    rng = np.random.default_rng(SEED)
    for _ in range(STARTS):
        tour = list(range(CITIES))
        rng.shuffle(tour)
        yield tour


def improve(tour: list[int], distance: Distances) -> list[int]:
    """The tour after local search: none so far."""
    return tour


def main() -> None:
    distance = distances()
    tours = [improve(tour, distance) for tour in starts(distance)]
    shortest = min(tours, key=lambda tour: tour_length(tour, distance))
    Path("tour.json").write_text(json.dumps({"tour": shortest}))


if __name__ == "__main__":
    main()
