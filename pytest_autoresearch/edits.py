"""How an idea that carries its own edits becomes the new mutable file."""

from __future__ import annotations

import warnings

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.output import HIDDEN
from pytest_autoresearch.records import Edit, Idea


class EditError(UserError):
    """The idea's edits do not fit the file as it is."""


def apply_idea(idea: Idea, source: bytes) -> bytes:
    """The mutable file `source` with the idea's edits; EditError if they do not fit.

    Each search text must stand exactly once in the file as the edits before it left it.
    """
    if idea.content is not None:
        return _encoded(idea.content)
    if not idea.edits:
        raise EditError("the idea carries no edits, and there is no coder to make them")
    for number, edit in enumerate(idea.edits, start=1):
        source = _replaced(source, edit, number)
    return source


def check_source(idea: Idea, source: bytes, filename: str) -> bytes:
    """The same, for edits of a model: a mark of what was hidden from it does not get into the file, and a Python file
    that compiled still does; EditError if not.
    """
    content = apply_idea(idea, source)
    if content.count(HIDDEN.encode()) > source.count(HIDDEN.encode()):
        raise EditError(
            f"{HIDDEN} stands for something that is hidden from you and may not be written: leave the lines with it "
            "as they are, by edits that do not contain it, and choose another word in new ones"
        )
    if filename.endswith(".py") and (wrong := _syntax_error(content)) and not _syntax_error(source):
        raise EditError(f"{filename} does not compile after the change: {wrong}")
    return content


def _syntax_error(content: bytes) -> str:
    """Why Python cannot compile `content`; '' if it can."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(content, "file", "exec", dont_inherit=True)
        except SyntaxError as error:
            return f"{error.msg} (line {error.lineno}: {(error.text or '').strip()[:80]})"
        except (ValueError, RecursionError, MemoryError) as error:
            return str(error) or type(error).__name__
    return ""


def _replaced(source: bytes, edit: Edit, number: int) -> bytes:
    search, replace = (_with_endings(_encoded(text), source) for text in (edit.search, edit.replace))
    found = _count(search, source) if search else 0
    if found != 1:
        first = edit.search.strip().split("\n")[0][:60]
        raise EditError(f"edit {number}: its search text {first!r} stands {found} times in the file, expected once")
    return source.replace(search, replace)


def _encoded(text: str) -> bytes:
    """The inverse of how a critic gets to see the file."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise EditError(f"no file can hold {text[error.start : error.end]!r}") from None


def _with_endings(text: bytes, source: bytes) -> bytes:
    """`text` with the line endings of a file that has no others."""
    if b"\r\n" in source and source.count(b"\n") == source.count(b"\r\n"):
        return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return text


def _count(search: bytes, source: bytes) -> int:
    """In how many places `search` stands, overlapping ones included."""
    found, place = 0, source.find(search)
    while place >= 0:
        found, place = found + 1, source.find(search, place + 1)
    return found
