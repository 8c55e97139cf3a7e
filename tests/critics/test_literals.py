"""Which literals can be tuned, from what range, and that nothing else of the file changes."""

from __future__ import annotations

import ast
import random
import warnings

import pytest

from pytest_autoresearch.critics.literals import (
    has_tunable_literals,
    render,
    scan,
    template,
    tunable_literals,
)
from pytest_autoresearch.critics.ranges import Choices, Interval, Range, default_range
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.records import ParameterValue


def names(source: str) -> list[str]:
    return [literal.name for literal in tunable_literals(source, "train.py")]


def stated(line: str) -> Range | None:
    (literal,) = tunable_literals(line, "train.py")
    return literal.stated


def complaint(source: str) -> str:
    with pytest.raises(UserError) as caught:
        tunable_literals(source, "src/train.py")
    return str(caught.value)


# --- what is tunable


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("DEPTH = 6", 6),
        ("DEPTH: int = 6", 6),
        ("RATE = 0.1", 0.1),
        ("SHIFT = -0.5", -0.5),
        ("SHIFT = - 3  # search: -4..4", -3),
        ("SHIFT = +3", 3),
        ("HEX = 0xFF", 255),
        ("MANY = 1_000", 1000),
        ("SMALL = 1e-3", 0.001),
        ("FLAG = True", True),
        ("PAREN = (\n  5\n)", 5),
        ("CONTINUED = \\\n  5", 5),
    ],
)
def test_a_top_level_constant_in_capitals_is_tunable(line: str, value: ParameterValue) -> None:
    (literal,) = tunable_literals(line + "\n", "train.py")
    assert literal.value == value
    assert type(literal.value) is type(value)


@pytest.mark.parametrize(
    "source",
    [
        "depth = 6",
        "Depth = 6",
        "_DEPTH = 6",
        "A = B = 6",
        "A, B = 6, 7",
        "A[0] = 6",
        "x.A = 6",
        "A: int",
        "A = 2 * 3",
        "A = None",
        "A = b'x'",
        "A = 1j",
        "A = [1]",
        "A = f'{1}'",
        "A = --5",
        "A = -True",
        "A = ~5",
        "A = 1e999",
        "A = ...",
        "A = 'text'",
        "A = -1",
        "A = -4",
        "if True:\n    A = 6",
        "def f():\n    A = 6",
        "class C:\n    A = 6",
        "A = 6  # search: fixed",
    ],
)
def test_what_is_not_a_lone_constant_at_top_level_is_left_alone(source: str) -> None:
    assert names(source) == []


@pytest.mark.parametrize("name", ["SEED", "RANDOM_SEED", "SEED_2", "RANDOM_STATE"])
def test_a_seed_is_never_tuned(name: str) -> None:
    assert names(f"{name} = 42\nDEPTH = 6\n") == ["DEPTH"]
    assert "a seed is never tuned" in complaint(f"{name} = 42  # search: 1..100\n")


@pytest.mark.parametrize(
    "again",
    [
        "A = 2",
        "A += 1",
        "A: int = 2",
        "del A",
        "if True:\n    A = 2",
        "for A in (1, 2):\n    pass",
        "with open('x') as A:\n    pass",
        "import A",
        "import A.b",
        "from x import y as A",
        "def A():\n    pass",
        "class A:\n    pass",
        "try:\n    pass\nexcept ValueError as A:\n    pass",
        "if (A := 2):\n    pass",
        "def f():\n    global A\n    A = 2",
        "match 1:\n    case A:\n        pass",
        "A, b = 1, 2",
    ],
)
def test_a_name_that_is_bound_again_is_not_tuned(again: str) -> None:
    assert names(f"A = 1\n{again}\nB = 2\n") == ["B"]
    assert "bound 2 times" in complaint(f"A = 1  # search: 1..4\n{again}\n")


def test_a_local_variable_of_the_same_name_does_not_count_as_bound_again() -> None:
    assert names("A = 1\ndef f():\n    A = 2\n    return A\nclass C:\n    A = 3\n") == ["A"]


@pytest.mark.parametrize(
    "source",
    [
        "",
        "not python at all {",
        "A = 1\x00",
        "    A = 1",
        "A = '\n",
        "[package]\nname = 1x",
        "(" * 5000,
        "A = 1\n" + "-" * 100_000 + "1",
    ],
    ids=["empty", "prose", "nul", "indented", "unclosed", "toml", "nested", "deep"],
)
def test_a_file_that_is_not_python_has_nothing_to_tune(source: str) -> None:
    assert names(source) == []
    assert not has_tunable_literals(source)


def test_a_long_sum_does_not_exhaust_the_stack() -> None:
    assert "A" in names("A = 1\ntotal = " + " + ".join(["A"] * 900) + "\n")


def test_a_file_with_an_invalid_escape_is_read_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names("A = 1\npath = '\\d'\n") == ["A"]


def test_a_comment_that_cannot_be_used_counts_as_something_to_tune() -> None:
    assert has_tunable_literals("A = 3  # search: 1..2\n")
    assert has_tunable_literals("A = 3\n")
    assert not has_tunable_literals("A = 3  # search: fixed\n")


# --- the range in the comment


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A = 4  # search: 1..64", Interval(1, 64, 1)),
        ("A = 4  #search:1..64", Interval(1, 64, 1)),
        ("A = 4  # search: 1 .. 64 log", Interval(1, 64, 1, log=True)),
        ("A = 4.0  # search: 1..64", Interval(1.0, 64.0)),
        ("A = 0.5  # search: 0.0..1.0", Interval(0.0, 1.0)),
        ("A = 1e-3  # search: 1e-5..1e-1 log", Interval(1e-5, 0.1, log=True)),
        ("A = -2  # search: -5..5", Interval(-5, 5, 1)),
        ("A = 32  # search: 16..512 step 16", Interval(16, 512, 16)),
        ("A = 32  # search: 16..520 step 16", Interval(16, 512, 16)),
        ("A = 0.3  # search: 0..1 step 0.1", Interval(0.0, 1.0, 0.1)),
        ("A = 4  # search: [8, 2, 4]", Choices((2, 4, 8))),
        ("A = 0.1  # search: [1, 0.1]", Choices((0.1, 1.0))),
        ("A = True  # search: [True, False]", Choices((True, False))),
        ("A = 'mse'  # search: [mse, huber, mse]", Choices(("mse", "huber"))),
        ("A = 'a,b'  # search: ['a,b', \"c#d\", e f,]", Choices(("a,b", "c#d", "e f"))),
        ("A = 4  # noqa  # search: 1..64  # more trees: slower, isn't it", Interval(1, 64, 1)),
        ("A: int = 4  # how many; search below  # search: 1..64", Interval(1, 64, 1)),
        ("A = (\n    4  # search: 1..64\n)", Interval(1, 64, 1)),
    ],
)
def test_a_comment_on_the_line_states_the_range(line: str, expected: Range) -> None:
    assert stated(line) == expected


@pytest.mark.parametrize(
    "source",
    [
        "A = 4\n# search: 1..2\n",
        "# search: 1..2\nA = 4\n",
        'A = 4; b = "# search: 1..2"\n',
        "A = 4  # research: 1..2\n",
    ],
)
def test_only_a_comment_on_the_same_line_counts(source: str) -> None:
    assert stated(source) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A = 1  # search: 2..5", "2..5 does not contain 1: widen the range or change the value"),
        ("A = 0.5  # search: 1..0", "is empty"),
        ("A = 3  # search: 3..3", "is empty"),
        ("A = 'x'  # search: 1..2", "does not fit 'x': list the choices"),
        ("A = True  # search: 0..1", "does not fit True: list the choices"),
        ("A = 3  # search: 0.5..4", "'0.5' is no whole number (write the value as 1.0 if it may be a fraction)"),
        ("A = 3  # search: 1..4.0", "'4.0' is no whole number"),
        ("A = 3  # search: 0..4 log", "a log range must begin above 0"),
        ("A = 3  # search: 1..9 lag", "expected nothing, log or step STEP after the range, not 'lag'"),
        ("A = 4  # search: 1..9 log step 2", "expected nothing, log or step STEP"),
        ("A = 3  # search: 1..9 step 4", "1..9 step 4 does not contain 3"),
        ("A = 3  # search: 1..9 step 0", "the step must be above 0"),
        ("A = 3  # search: 1..9 step 10", "the step must be above 0 and fit"),
        ("A = 0.5  # search: 0..1 step 1e-320", "the step must be above 0 and fit"),
        ("A = 0.5  # search: 0..inf", "'inf' is too large"),
        ("A = 0.5  # search: nan..1", "'nan' is too large"),
        ("A = 5  # search: 0..99999999999999999999", "is too large"),
        ("A = 3  # search: how many", "expected LOW..HIGH"),
        ("A = 3  # search:", "expected LOW..HIGH"),
        ("A = 3  # search: [3]", "fewer than two choices"),
        ("A = 3  # search: []", "fewer than two choices"),
        ("A = 3  # search: [3, 4", "no list of choices"),
        ("A = 3  # search: [3, x]", "'x' is no whole number"),
        ("A = 'x'  # search: [x, 'y' z]", "expected values with commas between them"),
        ("A = True  # search: [True, no]", "expected True or False"),
        ("A = 'x'  # search: [y, z]", "does not contain 'x'"),
    ],
)
def test_an_unusable_comment_is_refused_with_the_mend(line: str, expected: str) -> None:
    message = complaint(f"import os\n{line}\n")
    assert "src/train.py:2: A = " in message
    assert expected in message


def test_all_unusable_comments_are_reported_at_once() -> None:
    message = complaint("A = 1  # search: 2..5\nB = 2  # search: 1..5\nC = 3  # search: ?\n")
    assert [line.split(":")[1] for line in message.splitlines()[1:]] == ["1", "3"]


def test_a_scan_keeps_the_good_literals_beside_the_bad() -> None:
    found = scan("A = 1  # search: 2..5\nB = 2  # search: 1..5\n")
    assert [literal.name for literal in found.literals] == ["B"]
    assert [line for line, _ in found.problems] == [1]


# --- the range without a comment


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, Choices((False, True))),
        ("text", None),
        (1, Interval(1, 10, 1, log=True)),
        (6, Interval(1, 48, 1, log=True)),
        (200, Interval(25, 1600, 1, log=True)),
        (0, Interval(0, 10, 1)),
        (-1, None),
        (-4, None),
        (0.0, Interval(0.0, 1.0)),
        (0.03, Interval(0.003, 0.3, log=True)),
        (0.1, Interval(0.01, 1.0, log=True)),
        (0.8, Interval(0.08, 1.0)),
        (1.0, Interval(0.1, 1.0)),
        (3.0, Interval(0.3, 30.0, log=True)),
        (-0.5, Interval(-1.0, 0.0)),
        (float("inf"), None),
        (2**50, Interval(2**47, 2**53, 1, log=True)),
        (2**60, None),
    ],
)
def test_the_default_range_follows_from_the_value(value: ParameterValue, expected: Range | None) -> None:
    assert default_range(value) == expected
    if expected is not None:
        assert expected.contains(value)


@pytest.mark.parametrize("value", [True, 1, 7, 0, 2**52, 0.0, 1e-310, 0.04, 0.8, 1.0, 7.5, 8e15, -0.5, -8e15])
def test_every_value_of_a_default_range_can_be_tuned_on(value: ParameterValue) -> None:
    limit = default_range(value)
    assert limit is not None
    assert limit.contains(value)
    for step in range(101):
        assert default_range(limit.from_unit(step / 100)) is not None


# --- positions between 0 and 1

RANGES: list[Range] = [
    Interval(1, 64, 1),
    Interval(1, 64, 1, log=True),
    Interval(-5, 5, 1),
    Interval(16, 512, 16),
    Interval(0.0, 1.0),
    Interval(1e-5, 0.1, log=True),
    Interval(0.0, 1.0, 0.05),
    Interval(1000.0, 1000.01),
    Interval(0.1, 0.7, 0.1),
    Choices((2, 4, 8)),
    Choices(("a", "b")),
    Choices((False, True)),
]


@pytest.mark.parametrize("limit", RANGES, ids=str)
def test_every_position_gives_a_value_of_the_range_and_back(limit: Range) -> None:
    for step in range(1001):
        value = limit.from_unit(step / 1000)
        assert limit.contains(value)
        assert limit.from_unit(limit.to_unit(value)) == value
        assert abs(limit.to_unit(value) - step / 1000) <= (0.5 if limit.levels else 1e-4)


@pytest.mark.parametrize("limit", [limit for limit in RANGES if limit.levels], ids=str)
def test_every_value_of_a_grid_can_be_drawn(limit: Range) -> None:
    assert limit.levels is not None
    values = [limit.at(index) for index in range(limit.levels)]
    assert len(set(values)) == limit.levels
    assert {limit.from_unit(step / 5000) for step in range(5001)} == set(values)
    assert all(map(limit.contains, values))


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        (Interval(1, 64, 1), 65),
        (Interval(1, 64, 1), 2.0),
        (Interval(1, 64, 1), True),
        (Interval(1, 64, 1), "2"),
        (Interval(0.0, 1.0), 1),
        (Interval(0.0, 1.0, 0.1), 0.15),
        (Interval(16, 512, 16), 24),
        (Choices((1, 2)), True),
        (Choices((True, False)), 1),
        (Choices(("a", "b")), "c"),
    ],
)
def test_a_value_of_another_type_or_off_the_grid_is_not_contained(limit: Range, value: ParameterValue) -> None:
    assert not limit.contains(value)


# --- writing


def rendered(source: str, **values: ParameterValue) -> str:
    return render(source, tunable_literals(source, "train.py"), values)


def test_only_the_characters_of_the_literal_change() -> None:
    source = "\ufeff# é\r\nA\t=  200 ;B: int = 0x10\t# ü\r\n\x0cC = -1e-1\rD = 'x'  # search: [x, y]\n# end"
    written = rendered(source, A=5, B=7, C=-1e-7, D="y")
    assert written == "\ufeff# é\r\nA\t=  5 ;B: int = 7\t# ü\r\n\x0cC = -1e-07\rD = 'y'  # search: [x, y]\n# end"


def test_a_column_is_counted_in_characters_where_python_counts_bytes() -> None:
    assert rendered('é = "日本"; A = 3; ß = "🙂"; B = 4\n', A=10, B=20) == 'é = "日本"; A = 10; ß = "🙂"; B = 20\n'


def test_bytes_that_are_not_utf_8_survive() -> None:
    raw = "# -*- coding: latin-1 -*-\nname = 'caf\xe9'; A = 3  # \xfc\n".encode("latin-1")
    source = raw.decode(errors="surrogateescape")
    assert rendered(source, A=4).encode(errors="surrogateescape") == raw.replace(b"A = 3", b"A = 4")


def test_a_range_that_is_not_utf_8_is_refused() -> None:
    source = b"A = 'x'  # search: [x, \xe9]\n".decode(errors="surrogateescape")
    assert "is not UTF-8" in complaint(source)


def test_an_unchanged_value_keeps_its_spelling() -> None:
    source = "A = 1_000\nB = 0x10\nC = 1E-1\n"
    assert rendered(source, A=1000, B=16, C=0.1) == source
    assert rendered(source, A=1000, B=17, C=0.1) == "A = 1_000\nB = 17\nC = 1E-1\n"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("'a'", "b", "'b'"),
        ('"a"', "b", '"b"'),
        ('"a"', "it's", '"it\'s"'),
        ("'a'", "it's", "'it\\'s'"),
        ('"a"', 'say "b"', '"say \\"b\\""'),
        ("'a'", 'say "b"', "'say \"b\"'"),
        ('r"a"', "c\\d", '"c\\\\d"'),
        ('"""a"""', "b\nc", '"b\\nc"'),
        ('"a"', 'b\\"é', '"b\\\\\\"é"'),
    ],
)
def test_a_string_keeps_its_kind_of_quotation_mark(old: str, new: str, expected: str) -> None:
    source = f"A = {old}  # search: [a, {new!r}]\n"
    written = rendered(source, A=new)
    assert written.startswith(f"A = {expected}  #")
    assert ast.literal_eval(written.removeprefix("A = ").partition("  #")[0]) == new


def test_a_whole_number_stays_one_and_a_float_stays_a_float() -> None:
    assert rendered("A = 3\nB = 0.5\nC = True\n", A=4, B=2.0, C=False) == "A = 4\nB = 2.0\nC = False\n"


def test_any_values_can_be_written_and_read_back_and_the_template_stays() -> None:
    source = (
        "A = 200\nB = 0.1\r\nC = -3  # search: -8..0\nD = True\n"
        'E = "a"  # search: [a, \'b"\']\nF = 0.25  # search: 0..1 step 0.05\n'
    )
    literals = tunable_literals(source, "train.py")
    chance = random.Random(0)
    for _ in range(200):
        limits = [(literal.name, literal.stated or default_range(literal.value)) for literal in literals]
        values = {name: limit.from_unit(chance.random()) for name, limit in limits if limit is not None}
        written = render(source, literals, values)
        again = tunable_literals(written, "train.py")
        assert {literal.name: literal.value for literal in again} == values
        assert template(written, again) == template(source, literals)
        assert render(written, again, {literal.name: literal.value for literal in literals}) == source


def test_the_template_tells_other_code_apart() -> None:
    def blank(source: str) -> str:
        return template(source, tunable_literals(source, "train.py"))

    assert blank("A = 1\nB = 2\n") == blank("A = 10\nB = 0x20\n")
    assert blank("A = 1\nB = 2\n") != blank("A = 1\nB = 2 \n")
    assert blank("A = 1  # search: 1..4\n") != blank("A = 1  # search: 1..5\n")
