"""Memory that is given back between two experiments."""

from __future__ import annotations

import gc
import sys


def release_memory() -> None:
    """Empty PyTorch's cache of GPU memory, if somebody in this process has loaded PyTorch."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    gc.collect()
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_available():
        cuda.empty_cache()
