"""The function that Ray runs on a node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Answer = tuple[str, str, Any]


def errand_task() -> Callable[..., Answer]:
    """It travels as code, not by its name: it has an answer for a node that lacks this package or has another one."""

    def errand(version: str, order: bytes, tree: list[Any], board: Any, run: str) -> Answer:
        """`done` or `no`, the node, and what came of the order, pickled, or why it was not carried out."""
        import contextlib
        import pickle
        import socket
        import uuid

        import ray

        node = f"{socket.gethostname()} ({ray.get_runtime_context().get_node_id()[:8]})"
        try:
            from pytest_autoresearch import __version__
            from pytest_autoresearch.engines.board import News
            from pytest_autoresearch.engines.errand import carry_out
        except ImportError as error:
            return "no", node, f"{error}; pip install 'pytest-autoresearch[ray]=={version}' there"
        if __version__ != version:
            return "no", node, f"pytest-autoresearch {__version__} is there, and {version} here; have the same on both"
        attempt = uuid.uuid4().hex

        def tell(offset: int, piece: bytes) -> None:
            with contextlib.suppress(Exception):
                board.tell.remote(run, News(attempt, node, offset, piece))

        with contextlib.suppress(Exception):  # that it began is known before it begins: it may be lost at once
            ray.get(board.tell.remote(run, News(attempt, node)), timeout=60)
        return "done", node, pickle.dumps(carry_out(pickle.loads(order), lambda: ray.get(tree[0]), tell))

    return errand
