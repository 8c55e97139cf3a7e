"""How an idea that carries its own edits becomes the new mutable file."""

from __future__ import annotations

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.records import Edit, Idea


class EditError(UserError):
    """The idea's edits do not fit the file as it is."""


def apply_idea(idea: Idea, source: bytes) -> bytes:
    """The mutable file `source` with the idea's edits; EditError if they do not fit.

    Each search text must stand exactly once in the file as the edits before it left it.
    """
    if idea.content is not None:
        return idea.content.encode()
    if not idea.edits:
        raise EditError("the idea carries no edits, and there is no coder to make them")
    for number, edit in enumerate(idea.edits, start=1):
        source = _replaced(source, edit, number)
    return source


def _replaced(source: bytes, edit: Edit, number: int) -> bytes:
    search, replace = edit.search.encode(), edit.replace.encode()
    if b"\r\n" in source and b"\r" not in search:
        search, replace = search.replace(b"\n", b"\r\n"), replace.replace(b"\n", b"\r\n")
    found = source.count(search) if search else 0
    if found != 1:
        first = edit.search.strip().split("\n")[0][:60]
        raise EditError(f"edit {number}: its search text {first!r} stands {found} times in the file, expected once")
    return source.replace(search, replace)
