"""A smooth function through recorded measurements."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pytest_autoresearch.critics.ranges import Range
from pytest_autoresearch.records import ParameterValue

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Surrogate:
    """Interpolation by radial basis functions (r cubed, with a linear part) on the positions between 0 and 1."""

    limits: Mapping[str, Range]
    points: Floats
    weights: Floats

    @classmethod
    def read(cls, table: Path, limits: Mapping[str, Range]) -> Surrogate:
        """The function through the rows of a CSV file; the last column is what was measured."""
        with table.open(newline="") as lines:
            head, *rows = list(csv.reader(lines))
        names, values = head[:-1], np.array(rows, dtype=np.float64)
        units = [[limits[name].to_unit(value) for name, value in zip(names, row, strict=False)] for row in values]
        points = np.array(units)
        return cls({name: limits[name] for name in names}, points, _weights(points, values[:, -1]))

    def value(self, values: Mapping[str, ParameterValue]) -> float:
        """What the function gives for these values."""
        point = np.array([limit.to_unit(values[name]) for name, limit in self.limits.items()])
        return float(_basis(point[None], self.points)[0] @ self.weights)


def _weights(points: Floats, values: Floats) -> Floats:
    count, axes = points.shape
    system = np.zeros((count + axes + 1, count + axes + 1))
    system[:count] = _basis(points, points)
    system[count:, :count] = system[:count, count:].T
    return np.asarray(np.linalg.solve(system, np.concatenate((values, np.zeros(axes + 1)))), dtype=np.float64)


def _basis(places: Floats, points: Floats) -> Floats:
    distance = np.linalg.norm(places[:, None] - points[None], axis=2)
    return np.hstack((distance**3, np.ones((len(places), 1)), places))
