"""YAML 1.2 as far as it matters, with the line of everything: `1e-3` is a number, a duplicate key is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.reader import ReaderError

_DEEPEST = 50
_LARGEST = 1000
_LONGEST_NUMBER = 100
_UNUSABLE = re.compile("[\\x00\\ud800-\\udfff]")

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong at one place of a file; `line` counts from 1."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a YAML text says, and on which line each key stands."""

    data: Any
    lines: Mapping[Location, int]
    mistakes: tuple[Mistake, ...] = ()

    def line(self, location: Location) -> int:
        """The line of `location`, or of the nearest thing around it that is there."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


class _Loader(yaml.SafeLoader):
    """PyYAML with the scalar types of YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema)."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """PyYAML recurses, so that a text nested some hundred deep would end in a RecursionError."""
        if self._depth >= _DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ComposerError(None, None, f"nested deeper than {_DEEPEST} levels", mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """PyYAML's constructors raise what their parsing happens to raise."""
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, ArithmeticError, AttributeError, TypeError):
            kind = node.tag.removeprefix("tag:yaml.org,2002:")
            raise ConstructorError(None, None, f"no value of the kind {kind!r}", node.start_mark) from None

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        """Escapes can stand for what no file name, command or log can hold."""
        text: str = super().construct_scalar(node)
        if _UNUSABLE.search(text):
            raise ConstructorError(None, None, "holds a NUL or half of a surrogate pair", node.start_mark)
        return text

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge keys multiply, where aliases only refer."""
        super().flatten_mapping(node)
        if len(node.value) > _LARGEST:
            raise ConstructorError(None, None, f"merges more than {_LARGEST} keys", node.start_mark)


_INTEGER = r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"


def _resolve(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))


_resolve("bool", "true|True|TRUE|false|False|FALSE", "tTfF")
_resolve("null", "~|null|Null|NULL|", "~nN\0")
_resolve("int", _INTEGER, "-+0123456789")
_resolve("float", _FLOAT, "-+.0123456789")
_resolve("merge", "<<", "<")
_Loader.yaml_implicit_resolvers[""] = [("tag:yaml.org,2002:null", re.compile("^$"))]


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    if len(text) > _LONGEST_NUMBER:
        raise ConstructorError(None, None, f"a number of more than {_LONGEST_NUMBER} digits", node.start_mark)
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def read_yaml(text: str) -> Source:
    """What `text` says; a text that is no YAML gives no data and the mistake."""
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return Source(None, {})
        lines, duplicates = _first_lines(node), tuple(_duplicates(node))
        return Source(loader.construct_document(node), lines, duplicates)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return Source(None, {}, (Mistake(line, f"not YAML: the character {chr(error.character)!r}"),))
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        return Source(None, {}, (_syntax_mistake(error, loader),))
    finally:
        if loader is not None:
            loader.dispose()


def _syntax_mistake(error: Exception, loader: _Loader | None) -> Mistake:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark else loader.line + 1 if loader else 1
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return Mistake(line, f"not YAML: {said}")


def _first_lines(root: yaml.Node) -> dict[Location, int]:
    lines: dict[Location, int] = {}
    for location, line in _lines(root):
        lines[location] = min(line, lines.get(location, line))
    return lines


def _lines(root: yaml.Node) -> Iterator[tuple[Location, int]]:
    for location, node in _walk(root):
        yield location, node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            yield from (((*location, str(key.value)), key.start_mark.line + 1) for key, _ in node.value)


def _walk(root: yaml.Node) -> Iterator[tuple[Location, yaml.Node]]:
    """Each node once, whatever aliases make of it (a node may contain itself), outer before inner."""
    seen: set[int] = set()
    waiting: list[tuple[Location, yaml.Node]] = [((), root)]
    while waiting:
        location, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield location, node
        if isinstance(node, yaml.MappingNode):
            waiting += [((*location, str(key.value)), value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [((*location, index), value) for index, value in enumerate(node.value)]


def _duplicates(root: yaml.Node) -> Iterator[Mistake]:
    for _, node in _walk(root):
        if not isinstance(node, yaml.MappingNode):
            continue
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                yield Mistake(line, f"{key.value}: expected a text as key")
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                yield Mistake(line, f"{key.value}: given twice (first on line {seen[key.value]}); keep one")
            seen.setdefault(str(key.value), line)
