"""California Housing (Pace and Barry 1997), split 80/20. Read-only: the evaluator computes with this file too."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VARIABLE = "AUTORESEARCH_CALIFORNIA_HOUSING"
SHAPE = (20_640, 9)
TEST_DISTRICTS = 4128

Floats = NDArray[np.float32]


def train() -> tuple[Floats, Floats]:
    """Features (16512, 8) and targets (16512,) to learn from; the target is in 100,000 dollars."""
    features, _, targets, _ = _split()
    return features, targets


def test_features() -> Floats:
    """Features (4128, 8) of the districts to predict."""
    return _split()[1]


def test_targets() -> Floats:
    """What they are worth (4128,): for the evaluator."""
    return _split()[3]


def _split() -> tuple[Floats, Floats, Floats, Floats]:
    from sklearn.model_selection import train_test_split

    features, targets = _housing()
    parts = train_test_split(features.astype(np.float32), targets.astype(np.float32), test_size=0.2, random_state=42)
    return parts[0], parts[1], parts[2], parts[3]


def _housing() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The eight features and the target as scikit-learn defines them; ends the program if there are no data."""
    if path := os.environ.get(VARIABLE):
        return _from_table(_read(Path(path)))
    from sklearn.datasets import fetch_california_housing

    try:
        features, targets = fetch_california_housing(return_X_y=True)
    except OSError as error:
        raise SystemExit(
            f"California Housing could not be downloaded ({error}). Set {VARIABLE} to the path of a copy of "
            "cal_housing.data; it is in the archive at https://ndownloader.figshare.com/files/5976036."
        ) from None
    return features, targets


def _read(path: Path) -> NDArray[np.float64]:
    """The table of cal_housing.data, with or without a header line."""
    try:
        with path.open() as lines:
            header = "longitude" in lines.readline()
        table = np.loadtxt(path, delimiter=",", skiprows=int(header))
    except (OSError, ValueError) as error:
        raise SystemExit(f"{VARIABLE}: {path} cannot be read as cal_housing.data: {error}") from None
    if table.shape != SHAPE or not np.isfinite(table).all():
        raise SystemExit(f"{VARIABLE}: {path} is not {SHAPE[0]} rows of {SHAPE[1]} numbers")
    return table


def _from_table(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    longitude, latitude, age, rooms, bedrooms, population, households, income, value = table.T
    per_household = (rooms / households, bedrooms / households, population, population / households)
    return np.column_stack((income, age, *per_household, latitude, longitude)), value / 100_000
