"""Four modules of a pipeline, five choices for each: 625 combinations, one of them best."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import combinations, product

MODULES: Mapping[str, tuple[str, ...]] = {
    "LOADER": ("csv", "json", "xml", "parquet", "sql"),
    "PREPROCESSING": ("none", "normalize", "standardize", "minmax", "quantile"),
    "ALGORITHM": ("linear", "forest", "boosting", "neighbours", "network"),
    "FORMAT": ("text", "json", "xml", "csv", "binary"),
}
_RIGHT = ("csv", "quantile", "boosting", "json")
_MISFIT = 0.15


def quality(*choice: str) -> float:
    """From about 0 to 1, which only the right choice of all four has.

    A right module adds a quarter. That is spoilt a little by pairs that do not go together: about half of all pairs,
    but never two right ones.
    """
    right = sum(mine == best for mine, best in zip(choice, _RIGHT, strict=True))
    return right / 4 - _MISFIT * sum(_misfit(pair) for pair in combinations(zip(MODULES, choice, strict=True), 2))


def all_choices() -> product[tuple[str, ...]]:
    """The 625 combinations."""
    return product(*MODULES.values())


def _misfit(pair: tuple[tuple[str, str], ...]) -> bool:
    right = dict(zip(MODULES, _RIGHT, strict=True))
    return not all(right[name] == choice for name, choice in pair) and random.Random(repr(pair)).random() < 0.5
