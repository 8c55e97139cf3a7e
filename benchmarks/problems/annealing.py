"""Simulated annealing for the cities of examples/tsp_heuristic: its third idea, with more of its numbers as knobs."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

Distances = list[list[float]]
Tour = list[int]


@dataclass(frozen=True, slots=True)
class Annealer:
    """From temperature `hot` to `cold` in `steps`, in each of which a part of at most `reach` cities is reversed.

    With `greedy` it begins with a tour that always goes on to the nearest city, else with a random one.
    """

    distance: Distances
    hot: float
    cold: float
    steps: int
    reach: int
    greedy: bool

    def tour(self) -> Tour:
        """The tour in which it ends; always the same."""
        dice = random.Random(0)
        tour = self._nearest() if self.greedy else self._shuffled(dice)
        cooling = (self.cold / self.hot) ** (1 / self.steps)
        temperature = self.hot
        for _ in range(self.steps):
            self._step(tour, temperature, dice.random)
            temperature *= cooling
        return tour

    def _step(self, tour: Tour, temperature: float, chance: Callable[[], float]) -> None:
        """Reverse a part if that makes the tour shorter, or else by chance."""
        distance, count = self.distance, len(tour)
        i = 1 + int(chance() * (count - 2))
        j = min(count - 1, i + 1 + int(chance() * self.reach))
        before, first, last, after = tour[i - 1], tour[i], tour[j], tour[(j + 1) % count]
        growth = distance[before][last] + distance[first][after] - distance[before][first] - distance[last][after]
        if growth < 0 or chance() < math.exp(-growth / temperature):
            tour[i : j + 1] = tour[i : j + 1][::-1]

    def _shuffled(self, dice: random.Random) -> Tour:
        return dice.sample(range(len(self.distance)), len(self.distance))

    def _nearest(self) -> Tour:
        tour, unvisited = [0], set(range(1, len(self.distance)))
        while unvisited:
            tour.append(min(unvisited, key=self.distance[tour[-1]].__getitem__))
            unvisited.remove(tour[-1])
        return tour
