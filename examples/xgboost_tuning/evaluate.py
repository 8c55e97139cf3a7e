"""Prints the errors of the predictions in predictions.json, or says in one line what is wrong. Read-only."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prepare import TEST_DISTRICTS, test_targets

ARTIFACT = Path("predictions.json")
MAX_BYTES = 1 << 20
LARGEST = 1000.0


def read_predictions() -> NDArray[np.float64]:
    """The predictions in the artifact; raises ValueError if they are not one reasonable number a district."""
    if not ARTIFACT.is_file():
        raise ValueError("there is no such file")
    if ARTIFACT.stat().st_size > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    try:
        content = json.loads(ARTIFACT.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(content, dict) or content.keys() != {"predictions"}:
        raise ValueError('not an object with the one key "predictions"')
    predictions = content["predictions"]
    if not isinstance(predictions, list) or len(predictions) != TEST_DISTRICTS:
        raise ValueError(f"the predictions are not a list of {TEST_DISTRICTS} numbers")
    if any(type(value) not in {int, float} for value in predictions):
        raise ValueError("a prediction is not a number")
    if not all(abs(value) <= LARGEST for value in predictions):
        raise ValueError(f"a prediction is not a number between -{LARGEST:g} and {LARGEST:g}")
    return np.array(predictions, dtype=np.float64)


def main() -> None:
    try:
        predictions = read_predictions()
    except ValueError as error:
        sys.exit(f"{ARTIFACT}: {error}")
    errors = predictions - test_targets().astype(np.float64)
    print(f"rmse: {np.sqrt(np.mean(errors**2)):.6f}")
    print(f"mae: {np.mean(np.abs(errors)):.6f}")


if __name__ == "__main__":
    main()
