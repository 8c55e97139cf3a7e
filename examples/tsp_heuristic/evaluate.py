"""Prints the length of the tour in tour.json, or says in one line what is wrong with it. Read-only."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from prepare import CITIES, distances, tour_length

ARTIFACT = Path("tour.json")
MAX_BYTES = 4096


def read_tour() -> list[int]:
    """The tour in the artifact; raises ValueError if that is anything but each city exactly once."""
    if not ARTIFACT.is_file():
        raise ValueError("there is no such file")
    if ARTIFACT.stat().st_size > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    try:
        content = json.loads(ARTIFACT.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(content, dict) or content.keys() != {"tour"}:
        raise ValueError('not an object with the one key "tour"')
    tour = content["tour"]
    if not isinstance(tour, list) or len(tour) != CITIES:
        raise ValueError(f"the tour is not a list of {CITIES} cities")
    if any(type(city) is not int for city in tour):
        raise ValueError("a city is not an integer")
    if sorted(tour) != list(range(CITIES)):
        raise ValueError(f"the tour does not visit each of the cities 0 to {CITIES - 1} exactly once")
    return tour


def main() -> None:
    try:
        tour = read_tour()
    except ValueError as error:
        sys.exit(f"{ARTIFACT}: {error}")
    distance = distances()
    print(f"tour_length: {tour_length(tour, distance):.6f}")
    print(f"longest_edge: {max(distance[tour[i - 1]][tour[i]] for i in range(CITIES)):.6f}")


if __name__ == "__main__":
    main()
