"""The parts of a file that matter, where the whole of it is too long for a prompt."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_GAP = "[... {} lines left out ...]"


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines of a file, from `start` up to but not including `end`; the higher its `worth`, the sooner it is shown."""

    start: int
    end: int
    worth: int


def excerpt(source: str, length: int, mentioned: Iterable[str] = ()) -> str:
    """`source`, if it has no more than `length` characters; else those of its parts that matter.

    Of Python that is what stands at the top level outside functions and classes, then the functions and classes whose
    name is among the `mentioned` words, then the others from the end of the file upwards, each whole or by its first
    line. Of another language it is the beginning and the end.
    """
    if len(source) <= length:
        return source
    lines = source.splitlines()
    blocks = list(_python_blocks(source, len(lines), set(mentioned))) or _halves(len(lines))
    return _joined(lines, _chosen(lines, blocks, length))


def _python_blocks(source: str, count: int, mentioned: set[str]) -> Iterator[_Block]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    position = 0
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
        body = node.body[0].lineno - 1
        end = node.end_lineno or node.lineno
        yield _Block(position, max(start, position), 4)
        yield _Block(start, min(max(body, node.lineno), end), 3)
        yield _Block(min(max(body, node.lineno), end), end, 2 if node.name in mentioned else 1)
        position = end
    if position:
        yield _Block(position, count, 4)


def _halves(count: int) -> list[_Block]:
    """Every line on its own, worth the more the nearer it is to the beginning or the end."""
    return [_Block(line, line + 1, -min(line, count - 1 - line)) for line in range(count)]


def _chosen(lines: list[str], blocks: list[_Block], length: int) -> list[bool]:
    """Which lines are shown: the blocks of the greatest worth first, the later ones first among equals."""
    shown = [False] * len(lines)
    for block in sorted(blocks, key=lambda block: (-block.worth, -block.start)):
        size = sum(len(line) + 1 for line in lines[block.start : block.end])
        if size <= length:
            length -= size
            shown[block.start : block.end] = [True] * (block.end - block.start)
    return shown


def _joined(lines: list[str], shown: list[bool]) -> str:
    text: list[str] = []
    left_out = 0
    for line, is_shown in zip([*lines, ""], [*shown, True], strict=True):
        if not is_shown:
            left_out += 1
            continue
        if left_out:
            text.append(_GAP.format(left_out))
            left_out = 0
        text.append(line)
    return "\n".join(text)
