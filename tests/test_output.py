"""Bounded logs hold both ends; the last match is that of the whole text, however the output comes."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pytest_autoresearch.output import EXCERPT, HEAD, TAIL, BoundedLog, LastMatches

SPAN = 64
PATTERNS = {
    "line": r"^loss=([\d.]+)",
    "line end": r"loss=([\d.]+)$",
    "greedy": r"([\d.]+)",
    "optional": r"(\d+(?:\.\d+)?)",
    "no number behind": r"(\d)(?!\d)",
    "over lines": r"loss=\s*([\d.]+)",
    "pairs": r"(\w)\W{0,5}\w",
    "behind": r"(?<=loss=)(\w{0,9})",
    "not behind": r"(?<![x\n])(x)",
    "boundary": r"\b(\w{1,9})\b",
    "empty": r"(\d*)",
    "empty line": r"^()$",
    "start": r"\A(.)",
    "end": r"(.?)\Z",
    "group that did not take part": r"x(y)?",
    "any case": r"(?i)LOSS=(.)",
    "replacement": r"(\ufffd+)1",
    "absent": r"never (this)",
}
PIECES = [
    *(b"loss=", b"0.25", b"3", b".", b"x", b"y", b" ", b"\n", b"\r", b"\r\n", b"\n\n"),
    *("é=".encode(), "\u2028".encode(), "🎉".encode(), b"\xff", b"\xe2\x82", b"\0", b"x" * SPAN * 3),
]


def whole_text(patterns: dict[str, str], output: bytes) -> dict[str, str]:
    """What the matches are by definition."""
    text = output.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    matches = {name: list(re.compile(pattern, re.MULTILINE).finditer(text)) for name, pattern in patterns.items()}
    return {name: found[-1].group(1) or "" for name, found in matches.items() if found}


def streamed(patterns: dict[str, str], pieces: Iterable[bytes], span: int = SPAN) -> dict[str, str]:
    matches = LastMatches(patterns, span)
    for piece in pieces:
        matches.feed(piece)
    return matches.finish()


def cut(output: bytes, rng: random.Random, longest: int) -> Iterator[bytes]:
    while output:
        length = rng.randint(1, longest)
        yield output[:length]
        output = output[length:]


@pytest.mark.parametrize("seed", range(60))
def test_matches_do_not_depend_on_where_the_output_is_cut(seed: int) -> None:
    rng = random.Random(seed)
    pieces = rng.choices(PIECES, weights=[rng.random() ** 3 for _ in PIECES], k=rng.choice([5, 200, 800]))
    output = re.sub(rb"[\d.]{55,}|[\xff\xe2\x82]{55,}|\s{55,}", b"-", b"".join(pieces))  # so that no match is too long
    expected = whole_text(PATTERNS, output)
    for longest in (1, 7, SPAN, 3 * SPAN, 30 * SPAN):
        assert streamed(PATTERNS, cut(output, rng, longest)) == expected


@pytest.mark.parametrize("border", [1 << 16, 1 << 18])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r", b""])
def test_a_number_split_over_two_reads_is_whole(border: int, ending: bytes) -> None:
    line = b"val=0.12345" + ending
    for early in range(len(line) + 1):
        output = b"." * (border - early - 1) + b"\n" + line + b"." * border
        pieces = [output[at : at + border] for at in range(0, len(output), border)]
        patterns = {"number": r"^val=([\d]\.\d+)", "line": r"^val=(\d\.\d+)$"}
        assert streamed(patterns, pieces, 1 << 16) == whole_text(patterns, output)


def test_a_match_may_be_nearly_as_long_as_what_is_held_back() -> None:
    number = b"1" * (SPAN - 1)
    for before in range(2 * SPAN, 4 * SPAN + 1):
        output = b"-" * before + number + b"-" * 8 * SPAN
        assert streamed({"number": r"(\d+)"}, [output[: 4 * SPAN], output[4 * SPAN :]]) == {"number": number.decode()}


def test_a_cut_in_a_long_line_is_no_beginning_of_a_line() -> None:
    output = b"val=1\n- " + b"val=2 " * 1_000_000
    assert streamed({"value": r"^val=(\d)"}, [output[:500_000], output[500_000:]], 1 << 16) == {"value": "1"}


def test_a_match_of_many_lines_is_found_once_and_whole() -> None:
    table = b"best\n" + b"row\n" * 900 + b"total 7\n"
    output = table * 300
    patterns = {"total": r"best\n(?:row\n)+total (\d)", "rows": r"^best\n((?:row\n)+)"}
    rng = random.Random(1)
    assert streamed(patterns, cut(output, rng, 100_000), 1 << 16) == whole_text(patterns, output)


def test_nothing_printed_matches_nothing() -> None:
    assert streamed({"value": r"(\d+)"}, []) == {}


def test_output_of_up_to_two_mebibytes_is_logged_whole(tmp_path: Path) -> None:
    output = random.Random(2).randbytes(HEAD + TAIL)
    for size in (0, 1, HEAD - 1, HEAD, HEAD + 1, HEAD + TAIL):
        assert logged(tmp_path / "log", cut(output[:size], random.Random(3), HEAD)) == output[:size]


@pytest.mark.parametrize("longest", [10_000, HEAD, 5 * HEAD])
def test_a_longer_log_holds_both_ends_and_says_what_is_left_out(tmp_path: Path, longest: int) -> None:
    output = random.Random(4).randbytes(HEAD + 12_345 + TAIL)
    expected = output[:HEAD] + b"\n[... 12345 bytes left out ...]\n" + output[-TAIL:]
    assert logged(tmp_path / "log", cut(output, random.Random(5), longest)) == expected


def test_the_log_can_be_followed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = BoundedLog(path)
    log.write(b"early")
    assert path.read_bytes() == b"early"
    log.write(b"." * HEAD + b"late")
    log.refresh()
    assert path.read_bytes().endswith(b"late")
    log.write(b"." * (TAIL + 9))
    log.refresh()
    log.write(b"last")
    log.close()
    assert path.read_bytes().endswith(b"\n[... 22 bytes left out ...]\n" + b"." * (TAIL - 4) + b"last")


def test_an_earlier_log_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 3 * HEAD)
    assert logged(tmp_path / "log", [b"new"]) == b"new"


def test_the_excerpt_is_the_end_of_the_output_as_text(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log")
    log.write(b"x" * EXCERPT)
    log.write("\xe9nd\n".encode() + b"\xff")
    assert log.excerpt() == "x" * (EXCERPT - 6) + "énd\n\ufffd"
    log.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk at hand")
def test_a_full_disk_costs_the_log_and_nothing_else() -> None:
    log = BoundedLog(Path("/dev/full"))
    log.write(b"x" * 3 * HEAD + b"end")
    log.close()
    assert log.excerpt().endswith("end")


def test_a_log_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        BoundedLog(tmp_path / "nowhere" / "log")


def logged(path: Path, pieces: Iterable[bytes]) -> bytes:
    log = BoundedLog(path)
    for piece in pieces:
        log.write(piece)
    log.close()
    return path.read_bytes()
