"""How the edits of an idea become the new mutable file, to the byte."""

from __future__ import annotations

import pytest

from pytest_autoresearch.edits import EditError, apply_idea
from pytest_autoresearch.records import Edit, Idea

SOURCE = b"rate = 0.1\nwidth = 8\n\n\ndef train():\n    return rate * width\n"


def edited(source: bytes, *edits: tuple[str, str]) -> bytes:
    return apply_idea(Idea("h", edits=tuple(Edit(search, replace) for search, replace in edits)), source)


def refusal(source: bytes, *edits: tuple[str, str]) -> str:
    with pytest.raises(EditError) as caught:
        edited(source, *edits)
    return str(caught.value)


def test_an_edit_replaces_the_one_place_where_its_search_text_stands() -> None:
    assert edited(SOURCE, ("rate = 0.1", "rate = 0.2")) == SOURCE.replace(b"0.1", b"0.2")
    assert edited(SOURCE, ("\n\n\ndef", "\n\n\nSEED = 1\n\n\ndef")) == SOURCE.replace(b"\ndef", b"\nSEED = 1\n\n\ndef")
    assert edited(SOURCE, ("width = 8\n", "")) == SOURCE.replace(b"width = 8\n", b"")


def test_each_edit_is_made_in_what_the_one_before_it_left() -> None:
    assert edited(b"a = 1\n", ("a = 1", "b = 2"), ("b = 2", "c = 3")) == b"c = 3\n"
    assert refusal(b"a = 1\n", ("a = 1", "b = 2"), ("a = 1", "c")).startswith("edit 2: its search text 'a = 1'")


def test_the_whole_content_replaces_whatever_was_there() -> None:
    assert apply_idea(Idea("h", content="new 🙂\n"), SOURCE) == "new 🙂\n".encode()
    assert apply_idea(Idea("h", content=""), SOURCE) == b""


@pytest.mark.parametrize(
    ("search", "found"), [("nowhere", 0), ("rate", 2), ("", 0), ("RATE = 0.1", 0), ("rate = 0.1 ", 0), ("\n", 6)]
)
def test_a_search_text_that_does_not_stand_there_exactly_once_is_refused(search: str, found: int) -> None:
    assert f"stands {found} times in the file, expected once" in refusal(SOURCE, (search, "x"))


def test_places_that_overlap_are_two_places() -> None:
    assert "expected once" in refusal(b"x = aaa\n", ("aa", "b"))


def test_a_refusal_shows_the_search_text_in_one_short_line() -> None:
    said = refusal(SOURCE, ("x" * 500 + "\nmore", "y"))
    assert len(said) < 200
    assert "\n" not in said


def test_an_idea_without_a_change_needs_a_coder() -> None:
    with pytest.raises(EditError, match="carries no edits, and there is no coder"):
        apply_idea(Idea("h"), SOURCE)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_the_line_endings_of_the_file_stay_what_they_are(ending: str) -> None:
    source = "a = 1\nb = 2\nc = 3\n".replace("\n", ending).encode()
    expected = "a = 1\nb = 4\nd = 5\nc = 3\n".replace("\n", ending).encode()
    assert edited(source, ("b = 2\n", "b = 4\nd = 5\n")) == expected
    assert edited(source, ("b = 2", "b = 4\nd = 5")) == expected
    assert edited(source, ("a = 1\nb = 2", "a = 1\nb = 4\nd = 5")) == expected


def test_windows_line_endings_in_an_edit_are_not_doubled() -> None:
    assert edited(b"a = 1\r\nb = 2\r\n", ("b = 2", "b = 3\r\nc = 4")) == b"a = 1\r\nb = 3\r\nc = 4\r\n"
    assert edited(b"a = 1\r\nb = 2\r\n", ("a = 1\r\nb = 2", "a = 3")) == b"a = 3\r\n"


def test_in_a_file_of_mixed_line_endings_a_place_is_found_as_it_is_written() -> None:
    assert edited(b"a = 1\r\nb = 2\nc = 3\n", ("b = 2\nc = 3\n", "b = 4\nc = 5\n")) == b"a = 1\r\nb = 4\nc = 5\n"


@pytest.mark.parametrize(
    "source", [b"name = 'caf\xe9'\nrate = 1\n", b"\xff\xfe\x00rate = 1\n", "é = '🙂'\nrate = 1\n".encode()]
)
def test_bytes_that_are_no_text_survive_an_edit_and_a_whole_content(source: bytes) -> None:
    """A critic reads the file with `surrogateescape`: what it hands back is to become the same bytes again."""
    text = source.decode(errors="surrogateescape")
    expected = source.replace(b"rate = 1", b"rate = 2")
    assert edited(source, ("rate = 1", "rate = 2")) == expected
    assert edited(source, (text, text.replace("rate = 1", "rate = 2"))) == expected
    assert apply_idea(Idea("h", content=text.replace("rate = 1", "rate = 2")), source) == expected


@pytest.mark.parametrize(
    "idea",
    [
        Idea("h", content="half a pair \ud83d"),
        Idea("h", edits=(Edit("rate = 0.1", "\ud83d"),)),
        Idea("h", edits=(Edit("\ud83d", "x"),)),
    ],
)
def test_a_text_that_no_file_can_hold_does_not_fit(idea: Idea) -> None:
    with pytest.raises(EditError):
        apply_idea(idea, SOURCE)
