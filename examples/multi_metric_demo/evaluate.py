"""Prints the three metrics of model.json and their score, or says in one line what is wrong with it. Read-only."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from prepare import INPUTS, MAX_FEATURES, features, held_out
from scalarize import SCALARIZER

ARTIFACT = Path("model.json")
MAX_BYTES = 16_384
MAX_BITS = 16
MAX_FREQUENCY = 1000.0
MAX_STEP = 1000.0


@dataclass(frozen=True, slots=True)
class Model:
    """Weight k is codes[k] * step; a code is an integer that `bits` bits hold, one of them for the sign."""

    frequency: float
    bits: int
    step: float
    codes: list[int]

    def rmse(self) -> float:
        """The root mean square error on the held-out points; the ripple's noise alone makes 0.1."""
        points, heights = held_out()
        predictions = features(points, len(self.codes), self.frequency) @ (np.array(self.codes) * self.step)
        return float(np.sqrt(np.mean((predictions - heights) ** 2)))

    def latency_madds(self) -> int:
        """Multiply-adds of one prediction: a projection and a weight for each feature; cosines are not counted."""
        return len(self.codes) * (INPUTS + 1)

    def size_bytes(self) -> int:
        """The packed codes and two doubles; the features themselves come from a seed."""
        return math.ceil(len(self.codes) * self.bits / 8) + 16


def read_model() -> Model:
    """The model in the artifact; raises ValueError if it is not one of bounded size."""
    if not ARTIFACT.is_file():
        raise ValueError("there is no such file")
    if ARTIFACT.stat().st_size > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    try:
        content = json.loads(ARTIFACT.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(content, dict) or content.keys() != {"frequency", "bits", "step", "codes"}:
        raise ValueError("not an object with the keys frequency, bits, step and codes")
    model = Model(**content)
    if type(model.frequency) is not float or not 0 < model.frequency <= MAX_FREQUENCY:
        raise ValueError(f"frequency is not a float above 0 and up to {MAX_FREQUENCY:g}")
    if type(model.step) is not float or not 0 < model.step <= MAX_STEP:
        raise ValueError(f"step is not a float above 0 and up to {MAX_STEP:g}")
    if type(model.bits) is not int or not 2 <= model.bits <= MAX_BITS:
        raise ValueError(f"bits is not an integer from 2 to {MAX_BITS}")
    if type(model.codes) is not list or not 1 <= len(model.codes) <= MAX_FEATURES:
        raise ValueError(f"codes is not a list of 1 to {MAX_FEATURES} integers")
    if any(type(code) is not int or abs(code) >= 2 ** (model.bits - 1) for code in model.codes):
        raise ValueError(f"a code is not an integer that {model.bits} bits with a sign can hold")
    return model


def main() -> None:
    try:
        model = read_model()
    except ValueError as error:
        sys.exit(f"{ARTIFACT}: {error}")
    values = {"rmse": model.rmse(), "latency_madds": model.latency_madds(), "size_bytes": model.size_bytes()}
    print(f"rmse: {values['rmse']:.6f}")
    print(f"latency_madds: {values['latency_madds']}")
    print(f"size_bytes: {values['size_bytes']}")
    print(f"scalarizer: {SCALARIZER.__name__}")
    print(f"score: {SCALARIZER(values):.6f}")


if __name__ == "__main__":
    main()
