"""Print a lot: `python chatter.py BYTES lines|stream SCORE`, with a score that does not count halfway."""

from __future__ import annotations

import os
import sys

_BLOCK = 1 << 20
_LINE = b"epoch 12 step 003456 loss 0.123456 grad 1.234567 lr 0.000300 tokens 123456789\n"
_BAR = b"\x1b[2K 42%|########          | 4242/10000 [00:42<01:00, 99.9it/s] loss=0.1234    "


def main(size: int, shape: str, score: str) -> None:
    """Print `size` bytes; as `stream`, none of them ends a line."""
    pattern = _LINE if shape == "lines" else _BAR
    block = pattern * (_BLOCK // len(pattern))
    blocks = max(2, size // len(block))
    for number in range(blocks):
        if number == blocks // 2:
            _print(b"\nscore: 5\n")
        _print(block)
    _print(f"\nscore: {score}\n".encode())


def _print(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
