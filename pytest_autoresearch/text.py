"""Text from outside made fit for a line, a prompt or a record."""

from __future__ import annotations

import re

_BREAKS = re.compile(r"[\t\r\n\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str, length: int) -> str:
    """`text` without control characters, cut to `length` characters."""
    flat = _BREAKS.sub(" ", text).strip().encode(errors="replace").decode()
    return flat if len(flat) <= length else f"{flat[: length - 1]}…"


def number(value: float | None, missing: str = "-") -> str:
    """A number as people read it, `missing` for none."""
    return missing if value is None else f"{value:.6g}"


def plain(text: str) -> str:
    """`text` without terminal escapes, control characters but tab and newline, and lone surrogates."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", _ESCAPES.sub("", lines) if "\x1b" in lines else lines)


def head(text: str, length: int) -> str:
    """The first `length` characters, with a note of what is left out."""
    return text if len(text) <= length else f"{text[:length]}\n[... {len(text) - length} characters left out ...]"


def tail(text: str, length: int) -> str:
    """The last `length` characters, with a note of what is left out."""
    return text if len(text) <= length else f"[... {len(text) - length} characters left out ...]\n{text[-length:]}"
