"""The values that a tunable literal may take: as its `# search:` comment states them, or a default."""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass, replace

from pytest_autoresearch.records import ParameterValue

_LARGEST = 2**53  # beyond it a float cannot tell two neighbouring whole numbers apart
_DIGITS = 6
_INTERVAL = re.compile(r"(\S+?)\s*\.\.\s*(\S+)(.*)")
_ITEM = re.compile(r"\s*(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^,\[\]\"']+?)\s*(?:,|$)")
_FORMS = "expected LOW..HIGH, LOW..HIGH log, LOW..HIGH step STEP, [A, B, …] or fixed"


class RangeError(ValueError):
    """A `# search:` comment that cannot be used; the message says what was expected and how to mend it."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers from `low` to `high`, both included.

    `step` is None for every float between them; whole numbers always have one. `log` spreads samples evenly over
    the orders of magnitude.
    """

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    ordered = True

    def __str__(self) -> str:
        step = f" step {self.step}" if self.step is not None and self.step != 1 else ""
        return f"{self.low}..{self.high}{' log' if self.log else ''}{step}"

    @property
    def levels(self) -> int | None:
        """How many values there are, None for every float between the bounds."""
        return None if self.step is None else round((self.high - self.low) / self.step) + 1

    def at(self, index: int) -> ParameterValue:
        """The value number `index` of `levels`."""
        return self._rounded(self.low + index * (self.step or 0))

    def contains(self, value: ParameterValue) -> bool:
        """Whether `value` is of this range's type, within the bounds and on the grid."""
        if isinstance(value, str) or type(value) is not type(self.low) or not self.low <= value <= self.high:
            return False
        return self.step is None or abs(float(self.at(self._index(value))) - value) <= 1e-6 * self.step

    def to_unit(self, value: ParameterValue) -> float:
        """Where `value` lies between 0 and 1."""
        low, high = self._edges
        scaled = math.log(float(value)) if self.log else float(value)
        return min(1.0, max(0.0, (scaled - low) / (high - low)))

    def from_unit(self, unit: float) -> ParameterValue:
        """The value that lies at `unit`, on the grid and within the bounds."""
        low, high = self._edges
        scaled = low + unit * (high - low)
        value = math.exp(scaled) if self.log else scaled
        if self.step is not None:
            return self.at(self._index(value))
        return min(self.high, max(self.low, self._rounded(value)))

    def _index(self, value: int | float) -> int:
        assert self.step is not None
        last = round((self.high - self.low) / self.step)
        return min(last, max(0, round((value - self.low) / self.step)))

    def _rounded(self, value: int | float) -> int | float:
        return value if isinstance(self.low, int) else float(f"{value:.{self._digits}g}")

    @property
    def _digits(self) -> int:
        """Significant digits: six, more where only the later digits tell the bounds or the steps apart."""
        unit = 1.0 if self.log else max(abs(self.low), abs(self.high)) / (self.step or self.high - self.low)
        return min(17, _DIGITS + max(0, math.ceil(math.log10(unit))))

    @property
    def _edges(self) -> tuple[float, float]:
        """The scaled bounds, half a step further out on a grid: each of its values gets its share."""
        margin = (self.step or 0) / 2
        low, high = self.low - margin, self.high + margin
        return (math.log(low), math.log(high)) if self.log else (low, high)


@dataclass(frozen=True, slots=True)
class Choices:
    """A finite list of values. Numbers are in ascending order, which a sampler can use; the others have none."""

    values: tuple[ParameterValue, ...]

    def __str__(self) -> str:
        return f"[{', '.join(map(repr, self.values))}]"

    @property
    def ordered(self) -> bool:
        """Whether neighbours are alike."""
        return type(self.values[0]) in {int, float}

    @property
    def levels(self) -> int:
        """How many values there are."""
        return len(self.values)

    def at(self, index: int) -> ParameterValue:
        """The value number `index` of `levels`."""
        return self.values[index]

    def contains(self, value: ParameterValue) -> bool:
        """Whether `value` is one of the values, and of their type."""
        return type(value) is type(self.values[0]) and value in self.values

    def to_unit(self, value: ParameterValue) -> float:
        """Where `value` lies between 0 and 1."""
        return (self.values.index(value) + 0.5) / self.levels

    def from_unit(self, unit: float) -> ParameterValue:
        """The value that lies at `unit`."""
        return self.values[min(self.levels - 1, max(0, int(unit * self.levels)))]


Range = Interval | Choices


def default_range(value: ParameterValue) -> Range | None:
    """A range for a literal without a comment; None if its value suggests none.

    - a bool: both values; a str: none
    - a whole number n > 0: n/8 to 8 n (at least 1 to 10), log; 0: 0..10; a negative one: none, as it mostly stands
      for "no limit" or "from the end"
    - a float x > 1 or x <= 0.1: x/10 to 10 x, log; between them, where fractions and probabilities are found:
      x/10 to 1; 0.0: 0.0..1.0; a negative one: 2 x to 0.0
    - none for a number beyond 2**53 in either direction, `inf` and `nan`

    Every value of a default range has a default range itself: what is tunable stays tunable.
    """
    if isinstance(value, bool):
        return Choices((False, True))
    if isinstance(value, str) or not abs(value) <= _LARGEST:
        return None
    return _whole_numbers(value) if isinstance(value, int) else _floats(value)


def _whole_numbers(value: int) -> Interval | None:
    if value > 0:
        return Interval(max(1, value // 8), max(10, min(value * 8, _LARGEST)), 1, log=True)
    return Interval(0, 10, 1) if value == 0 else None


def _floats(value: float) -> Interval:
    if abs(value) < 1e-300:
        return Interval(0.0, 1.0)
    if value < 0:
        return Interval(max(2 * value, -float(_LARGEST)), 0.0)
    tenth, tenfold = (float(f"{value * factor:.{_DIGITS}g}") for factor in (0.1, 10.0))
    return Interval(tenth, 1.0) if 0.1 < value <= 1 else Interval(tenth, min(tenfold, float(_LARGEST)), log=True)


def parse_range(text: str, value: ParameterValue) -> Range | None:
    """The range that a comment states for a literal which is now `value`; None for `fixed`.

    Raises RangeError for text that is no range, does not fit the type of `value` or does not contain it.
    """
    text = text.strip()
    if text == "fixed":
        return None
    stated = _choices(text, value) if text.startswith("[") else _interval(text, value)
    if not stated.contains(value):
        raise RangeError(f"{stated} does not contain {value!r}: widen the range or change the value")
    return stated


def _interval(text: str, value: ParameterValue) -> Interval:
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise RangeError(f"{text!r} is no range: {_FORMS}")
    if isinstance(value, bool | str):
        raise RangeError(f"{text!r} does not fit {value!r}: list the choices, as in [{value!r}, …]")
    low, high = _number(match[1], value), _number(match[2], value)
    if low >= high:
        raise RangeError(f"{text!r} is empty: the first number must be the smaller one (or say fixed)")
    plain = Interval(low, high, step=1 if isinstance(value, int) else None)
    return _with_options(plain, match[3].split(), text)


def _with_options(plain: Interval, words: list[str], text: str) -> Interval:
    if not words:
        return plain
    if words == ["log"]:
        if plain.low <= 0:
            raise RangeError(f"{text!r}: a log range must begin above 0")
        return replace(plain, log=True)
    if len(words) == 2 and words[0] == "step":
        return _stepped(plain, _number(words[1], plain.low), text)
    raise RangeError(f"{text!r}: expected nothing, log or step STEP after the range, not {' '.join(words)!r}")


def _stepped(plain: Interval, step: int | float, text: str) -> Interval:
    width = plain.high - plain.low
    if not width / _LARGEST < step <= width:
        raise RangeError(f"{text!r}: the step must be above 0 and fit into the range")
    # A bound that is off the grid is no value of the range.
    last = plain.low + math.floor(width / step + 1e-9) * step
    return replace(plain, high=min(plain.high, last), step=step)


def _number(text: str, like: ParameterValue) -> int | float:
    kind = int if isinstance(like, int) else float
    try:
        number = kind(text)
    except ValueError:
        mend = " (write the value as 1.0 if it may be a fraction)" if kind is int else ""
        raise RangeError(f"{text!r} is no {'whole ' if kind is int else ''}number{mend}: {_FORMS}") from None
    if not abs(number) <= _LARGEST:
        raise RangeError(f"{text!r} is too large for a range")
    return number


def _choices(text: str, value: ParameterValue) -> Choices:
    if not text.endswith("]"):
        raise RangeError(f"{text!r} is no list of choices: expected [A, B, …]")
    values = tuple(dict.fromkeys(_choice(item, value) for item in _items(text[1:-1].rstrip().removesuffix(","))))
    if len(values) < 2:
        raise RangeError(f"{text!r} has fewer than two choices (say fixed if there is only one)")
    return Choices(tuple(sorted(values)) if Choices(values).ordered else values)


def _items(text: str) -> list[str]:
    items, position = [], 0
    while position < len(text):
        match = _ITEM.match(text, position)
        if match is None:
            raise RangeError(f"[{text}] is no list of choices: expected values with commas between them")
        items.append(match[1])
        position = match.end()
    return items


def _choice(item: str, value: ParameterValue) -> ParameterValue:
    if isinstance(value, bool):
        if item not in {"True", "False"}:
            raise RangeError(f"{item!r} does not fit {value!r}: expected True or False")
        return item == "True"
    if isinstance(value, str):
        return str(ast.literal_eval(item)) if item[0] in "'\"" else item
    return _number(item, value)
