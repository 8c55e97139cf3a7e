"""pytester for the suite; the libraries that cannot be loaded twice in one process are loaded once, here."""

from __future__ import annotations

import importlib
import warnings

pytest_plugins = "pytester"

for library in ("numpy", "optuna", "openai", "cmaes"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module(library)
        except ImportError:
            continue
