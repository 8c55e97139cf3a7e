"""Functions whose minima are known; it stands alone, so that a session's runner can read it too."""

from __future__ import annotations

import math
from collections.abc import Sequence

_ALPHA = (1.0, 1.2, 3.0, 3.2)
_A = (
    (10.0, 3.0, 17.0, 3.5, 1.7, 8.0),
    (0.05, 10.0, 17.0, 0.1, 8.0, 14.0),
    (3.0, 3.5, 1.7, 10.0, 17.0, 8.0),
    (17.0, 8.0, 0.05, 10.0, 0.1, 14.0),
)
_P = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)


def branin(x: float, y: float) -> float:
    """For x from -5 to 10 and y from 0 to 15: three minima of 0.397887 (Branin 1972; Dixon and Szegö 1978)."""
    bent = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bent**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def hartmann6(point: Sequence[float]) -> float:
    """For six numbers from 0 to 1: a minimum of -3.32237 among several (Hartman 1973; Dixon and Szegö 1978)."""
    exponents = (sum(a * (x - p) ** 2 for a, p, x in zip(_A[i], _P[i], point, strict=True)) for i in range(4))
    return -sum(alpha * math.exp(-exponent) for alpha, exponent in zip(_ALPHA, exponents, strict=True))


def waves(x: float, y: float) -> float:
    """For x and y from -5 to 5: a minimum of -1.51874 at (-1.70384, 0.677946), and others that are not so deep."""
    return math.sin(x) * math.cos(y) + math.sin(x * y) + (x * x + y * y) / 20
