"""Keys do not get into what is written, wherever the pieces of it are cut."""

from __future__ import annotations

import random

import pytest

from pytest_autoresearch.masking import Mask
from pytest_autoresearch.output import HIDDEN, MaskedStream

SECRET = "s3cret-value-0123456789"


def test_the_value_of_a_key_like_variable_is_hidden_in_every_text() -> None:
    mask = Mask({"MY_API_KEY": SECRET, "HOME": "/home/me", "PLAIN": "some-plain-value", "EXTRA": "named-by-the-user"})
    assert mask.text(f"a {SECRET} b") == f"a {HIDDEN} b"
    assert mask.text("/home/me some-plain-value named-by-the-user") == "/home/me some-plain-value named-by-the-user"
    data = {"a": [SECRET, 3, None, {SECRET: (SECRET,)}]}
    assert mask.data(data) == {"a": [HIDDEN, 3, None, {HIDDEN: [HIDDEN]}]}


def test_a_variable_that_is_named_is_hidden_whatever_it_looks_like() -> None:
    assert Mask({"EXTRA": SECRET}, ["EXTRA"]).text(SECRET) == HIDDEN


def test_a_short_key_is_hidden_where_its_variable_is_named_and_nothing_of_three_characters() -> None:
    mask = Mask({"OPENAI_API_KEY": "sk-1234", "EXTRA": "abc"}, ["OPENAI_API_KEY", "EXTRA"])
    assert mask.text("sk-1234 abc") == f"{HIDDEN} abc"


@pytest.mark.parametrize("value", ["1", "true", "123456789012", "4.5e10000000"[:3], "disabled", "short"])
def test_a_number_a_switch_or_a_short_word_is_no_key(value: str) -> None:
    assert Mask({"MAX_TOKENS": value}).text(f"there are {value} of them") == f"there are {value} of them"


def test_a_key_that_contains_another_one_is_hidden_whole() -> None:
    mask = Mask({"A_KEY": "abcdefgh", "B_KEY": "abcdefgh-and-more"})
    assert mask.text("abcdefgh-and-more abcdefgh") == f"{HIDDEN} {HIDDEN}"


@pytest.mark.parametrize(
    "key",
    [
        "sk-abcdefghijklmnopqrstuvwx",
        "sk-proj-abc_DEF-ghijklmnopqrstuvw",
        "sk-or-v1-0123456789abcdef0123456789abcdef",
        "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
        "github_pat_0123456789abcdefghijklmnopqrstuvwxyz",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA0123456789abcdefghijklmnopqrstuv",
        "hf_0123456789abcdefghijklmnopqrstuvwx",
        "xoxb-0123456789-abcdefgh",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_what_has_the_form_of_a_key_is_hidden_although_nobody_named_it(key: str) -> None:
    assert Mask({}).text(f"key: {key}, and on") == f"key: {HIDDEN}, and on"
    assert key not in Mask({}).text(f"Authorization: Bearer {key}")


@pytest.mark.parametrize(
    "text", ["task-force-delta-and-others", "risk-averse", "Bearer of news", "AKIA", "disk-0123456789abcdef"]
)
def test_an_ordinary_word_is_left_alone(text: str) -> None:
    assert Mask({}).text(text) == text


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_a_key_is_hidden_however_the_output_is_cut_into_pieces(size: int) -> None:
    values = [SECRET.encode(), b"s3cret", b"\xff\x00binary"]
    text = b"a s3cret-val b " + SECRET.encode() + b" s3cret" + b"\xff\x00binary" * 2 + b"s3cret-value"
    whole = MaskedStream(values)
    expected = whole.feed(text) + whole.finish()
    assert not [value for value in values if value in expected]
    pieces = MaskedStream(values)
    parts = [pieces.feed(text[start : start + size]) for start in range(0, len(text), size)]
    assert b"".join(parts) + pieces.finish() == expected


def test_nothing_is_held_back_that_cannot_become_a_key() -> None:
    stream = MaskedStream([b"secret"])
    assert stream.feed(b"a line\n") == b"a line\n"
    assert stream.feed(b"a sec") == b"a "
    assert stream.feed(b"ond\n") == b"second\n"
    assert stream.finish() == b""


def test_any_output_in_any_pieces_is_free_of_keys() -> None:
    chance = random.Random(1)
    for _ in range(500):
        values = [bytes(chance.choices(b"ab", k=chance.randrange(1, 6))) for _ in range(2)]
        stream, out = MaskedStream(values), b""
        for _ in range(20):
            out += stream.feed(bytes(chance.choices(b"abc", k=chance.randrange(4))))
        out += stream.finish()
        rest = out.replace(HIDDEN.encode(), b"|")
        assert not [value for value in values if value in rest], (values, out)


def test_without_keys_the_output_passes_as_it_is() -> None:
    stream = MaskedStream([])
    assert stream.feed(b"anything") == b"anything"
    assert stream.finish() == b""
