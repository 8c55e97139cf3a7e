"""What becomes of a run's output: a bounded log without keys in it, and the last match of each pattern."""

from __future__ import annotations

import codecs
import io
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

HEAD = TAIL = 1 << 20
EXCERPT = 4096
HIDDEN = "[hidden]"


class BoundedLog:
    """The log file at `path`: the first and the last MiB of what is written, and one line that says what is left out.

    The first MiB goes straight to the file, so that it can be followed; what comes later is kept in memory until
    `refresh` or `close` puts it there. A disk that is full costs the log and not the run. OSError if the file cannot
    be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._size = 0
        self._tail = bytearray()
        self._excerpt = b""
        self._stale = False

    def write(self, data: bytes) -> None:
        """Take what the run printed next."""
        head = data[: max(0, HEAD - self._size)]
        self._put(head, self._size)
        self._size += len(data)
        self._excerpt = (self._excerpt + data[-EXCERPT:])[-EXCERPT:]
        if later := data[len(head) :]:
            self._tail += later
            del self._tail[:-TAIL]
            self._stale = True

    def refresh(self) -> None:
        """Bring the file up to date."""
        if not self._stale:
            return
        left_out = self._size - HEAD - len(self._tail)
        notice = f"\n[... {left_out} bytes left out ...]\n".encode() if left_out else b""
        self._put(notice + self._tail, HEAD)
        with suppress(OSError):
            os.ftruncate(self._file, HEAD + len(notice) + len(self._tail))
        self._stale = False

    def close(self) -> None:
        """Bring the file up to date for the last time."""
        self.refresh()
        os.close(self._file)

    def excerpt(self) -> str:
        """The last 4 KiB as text."""
        return self._excerpt.decode(errors="replace")

    def _put(self, data: bytes, offset: int) -> None:
        rest = memoryview(data)
        with suppress(OSError):
            while rest:
                written = os.pwrite(self._file, rest, offset)
                rest, offset = rest[written:], offset + written


class MaskedStream:
    """Hides values in bytes that come in pieces, wherever the cuts are; the longest one that begins somewhere counts.

    What may be the beginning of a value is held back until it is known whether it is one.
    """

    def __init__(self, values: Iterable[bytes]) -> None:
        self._values = tuple(sorted(filter(None, values), key=len, reverse=True))
        self._longest = max(map(len, self._values), default=0)
        self._pattern = re.compile(b"|".join(map(re.escape, self._values)))
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What can be passed on of `data` and of what was held back."""
        if not self._values:
            return data
        text, position, passed = self._held + data, 0, []
        found = any(value in text for value in self._values)
        while True:
            end = self._beginning(text, position)
            match = self._pattern.search(text, position) if found else None
            if match is None or match.start() >= end:
                break
            passed += [text[position : match.start()], HIDDEN.encode()]
            position = match.end()
        self._held = text[end:]
        return b"".join([*passed, text[position:end]])

    def finish(self) -> bytes:
        """What was held back to the end."""
        rest, self._held = self._held, b""
        return self._pattern.sub(HIDDEN.encode(), rest) if self._values else rest

    def _beginning(self, text: bytes, position: int) -> int:
        """Where, from `position` on, the text ends in what may become a value; its length if nowhere."""
        for start in range(max(position, len(text) - self._longest + 1), len(text)):
            if any(value.startswith(text[start:]) for value in self._values):
                return start
        return len(text)


class LastMatches:
    """Group 1 of the last match of each pattern, found while the output goes by.

    The result is that of `re.finditer` with `re.MULTILINE` over the whole output as UTF-8 text with every line end
    turned to `\\n`, wherever the output is cut into pieces, as long as no match looks at `span` characters or more
    from where it begins, forwards or backwards. It counts only once that many are known behind its start, or the
    output has ended: more input cannot change it then.
    """

    def __init__(self, patterns: Mapping[str, str], span: int = 1 << 16) -> None:
        self._span = span
        self._patterns = {name: re.compile(pattern, re.MULTILINE) for name, pattern in patterns.items()}
        self._from = dict.fromkeys(patterns, 0)
        self._found: dict[str, str] = {}
        self._decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)
        self._text = ""
        self._fresh: list[str] = []
        self._pending = 0

    def feed(self, data: bytes) -> None:
        """Take what the run printed next."""
        if not self._patterns:
            return
        text = self._decoder.decode(data)
        self._fresh.append(text)
        self._pending += len(text)
        if self._pending >= 4 * self._span:
            self._scan(self._span)

    def finish(self) -> dict[str, str]:
        """The output has ended: the matches by name, without the names that have none."""
        self._fresh.append(self._decoder.decode(b"", final=True))
        self._scan(0)
        return self._found

    def _scan(self, held: int) -> None:
        """Take each match that begins before the last `held` characters; keep what later ones can look at."""
        text = self._text + "".join(self._fresh)
        limit = len(text) - held
        kept = max(0, limit - self._span)
        for name, pattern in self._patterns.items():
            self._from[name] = self._search(name, pattern, text, limit) - kept
        self._text, self._fresh, self._pending = text[kept:], [], 0

    def _search(self, name: str, pattern: re.Pattern[str], text: str, limit: int) -> int:
        """Note the last match that begins at or before `limit`; where the search goes on."""
        last, position = None, self._from[name]
        for match in pattern.finditer(text, position):
            if match.start() > limit:
                break
            last, position = match, match.end()
        if last is not None:
            self._found[name] = last.group(1) or ""
        return max(position, limit + 1)
