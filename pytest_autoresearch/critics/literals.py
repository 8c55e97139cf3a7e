"""The tunable literals of a Python file: where they stand, what they may become, and the file with others in place.

Tunable is what stands in the module body as `ALL_CAPS = literal` (also annotated, also with a sign) and is an int, a
float, a bool or a str. `# search:` in a comment on the same line states its range:

    LEARNING_RATE = 0.1  # search: 1e-3..0.3 log
    BATCH = 64           # search: 16..512 step 16
    LOSS = "huber"       # search: [huber, mse]
    VERSION = 3          # search: fixed

Without a comment the range follows from the value (`ranges.default_range`); a str then has none and is left alone. So
are seeds (a name with SEED or RANDOM_STATE in it: a luckier seed is no better model) and names that the module binds
more than once. A second `#` ends the range; what follows it is free text.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pytest_autoresearch.critics.ranges import Range, RangeError, default_range, parse_range
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.records import ParameterValue

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_SEED = re.compile(r"SEED|RANDOM_STATE")
_SEARCH = re.compile(r"#\s*search:((?:\"[^\"]*\"|'[^']*'|[^#])*)")
_NEWLINE = re.compile(r"\r\n?|\n")
_BOM = "\ufeff"
_UNDECODED = re.compile("[\ud800-\udfff]")
_PLACEHOLDER = "\ufffd"
_QUOTE = re.compile(r"[a-zA-Z]*(['\"])")
_ESCAPE = re.compile(r"\\(.)")
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True, slots=True)
class TunableLiteral:
    """A literal that may be changed; `source[start:end]` is its text.

    `stated` is the range that its comment gives, None if it has no comment.
    """

    name: str
    value: ParameterValue
    stated: Range | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file has to tune, and which of its `# search:` comments (line, what is wrong) cannot be used."""

    literals: tuple[TunableLiteral, ...] = ()
    problems: tuple[tuple[int, str], ...] = ()


def has_tunable_literals(source: str) -> bool:
    """Whether a tuner has something to do with this file, if only to report a comment; never raises."""
    found = scan(source)
    return bool(found.literals or found.problems)


def tunable_literals(source: str, filename: str) -> tuple[TunableLiteral, ...]:
    """The literals to tune, in the order of the file; none if it is not Python.

    Raises UserError that lists every `# search:` comment that cannot be used.
    """
    found = scan(source)
    if found.problems:
        lines = [f"{filename}:{line}: {message}" for line, message in found.problems]
        raise UserError("\n".join(["a `# search:` comment cannot be used:", *lines]))
    return found.literals


def scan(source: str) -> Scan:
    """Both what can be tuned and what is wrong; a literal with an unusable comment is not among the former."""
    # What is not UTF-8 arrives as lone surrogates, which Python's parser refuses, even in a comment.
    text = _UNDECODED.sub(_PLACEHOLDER, _NEWLINE.sub("\n", source.removeprefix(_BOM)))
    tree = _parsed(text)
    if tree is None:
        return Scan()
    times = Counter(_bound_names(tree))
    comments = _search_comments(text)
    spans = _Spans(source, text)
    literals: list[TunableLiteral] = []
    problems: list[tuple[int, str]] = []
    for found in _assignments(tree):
        line = next((line for line in found.lines if line in comments), found.lines[0])
        try:
            tunable, stated = _stated(found, comments.get(line), times[found.name])
        except RangeError as error:
            problems.append((line, f"{found.name} = {found.value!r}: {error}"))
            continue
        if tunable:
            literals.append(TunableLiteral(found.name, found.value, stated, *spans.of(found.node)))
    return Scan(tuple(literals), tuple(problems))


def render(source: str, literals: Sequence[TunableLiteral], values: Mapping[str, ParameterValue]) -> str:
    """The file with `values` in place; every character outside the changed literals is as it was."""
    for literal in sorted(literals, key=lambda literal: literal.start, reverse=True):
        value = values.get(literal.name, literal.value)
        if value != literal.value:
            written = _written(value, source[literal.start : literal.end])
            source = source[: literal.start] + written + source[literal.end :]
    return source


def template(source: str, literals: Sequence[TunableLiteral]) -> str:
    """The file with each literal blanked out: what stays the same however they are set."""
    pieces, position = [], 0
    for literal in sorted(literals, key=lambda literal: literal.start):
        pieces.append(source[position : literal.start])
        position = literal.end
    return "\0".join([*pieces, source[position:]])


@dataclass(frozen=True, slots=True)
class _Assignment:
    name: str
    value: ParameterValue
    node: ast.expr
    lines: range


class _Spans:
    """Where a node stands in the source as it came: lines and UTF-8 columns of the parsed text, as offsets."""

    def __init__(self, source: str, text: str) -> None:
        self._starts = [len(source) - len(source.removeprefix(_BOM)), *(m.end() for m in _NEWLINE.finditer(source))]
        self._lines = text.split("\n")

    def of(self, node: ast.expr) -> tuple[int, int]:
        """The offsets of the node's first character and of the one after its last."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)

    def _offset(self, line: int, column: int) -> int:
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())


def _parsed(text: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in the user's file is not our message to give
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _assignments(tree: ast.Module) -> Iterator[_Assignment]:
    for statement in tree.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=node)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as node)
            ) if _NAME.fullmatch(name):
                value = _constant(node)
                if value is not None:
                    last = statement.end_lineno or statement.lineno
                    yield _Assignment(name, value, node, range(statement.lineno, last + 1))


def _constant(node: ast.expr) -> ParameterValue | None:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return None if isinstance(number, bool) else -number
        case ast.UnaryOp(op=ast.UAdd(), operand=ast.Constant(value=int() | float() as number)):
            return None if isinstance(number, bool) else number
    return None


def _stated(found: _Assignment, comment: str | None, times: int) -> tuple[bool, Range | None]:
    """Whether the literal is to be tuned, and the range its comment states; RangeError if that cannot be done."""
    obstacle = ""
    if _SEED.search(found.name):
        obstacle = "a seed is never tuned"
    elif times > 1:
        obstacle = f"it is bound {times} times in this module, so setting one of them is not setting the value"
    if comment is None:
        return not obstacle and default_range(found.value) is not None, None
    if _PLACEHOLDER in comment:
        raise RangeError("the comment is not UTF-8")
    stated = parse_range(comment, found.value)
    if stated is not None and obstacle:
        raise RangeError(f"{obstacle}: remove the `# search:` comment")
    return stated is not None, stated


def _search_comments(text: str) -> dict[int, str]:
    """What follows `# search:` in each line's comment; a `#` inside a string is none."""
    found: dict[int, str] = {}
    if "search:" not in text:
        return found
    # Python's two parsers disagree on a few odd files: what was read up to there counts.
    with suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT and (match := _SEARCH.search(token.string)):
                found[token.start[0]] = match[1]
    return found


def _bound_names(tree: ast.Module) -> Iterator[str]:
    """Each name once for every place that binds it in the module's scope."""
    stack: list[ast.AST] = [tree]
    while stack:
        for node in ast.iter_child_nodes(stack.pop()):
            yield from _binds(node)
            if not isinstance(node, _SCOPES):
                stack.append(node)


def _binds(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            yield name
        case ast.alias(name=name, asname=other):
            yield other or name.partition(".")[0]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
            for inner in ast.walk(node):
                if isinstance(inner, ast.Global):
                    yield from inner.names
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name


def _written(value: ParameterValue, old: str) -> str:
    if not isinstance(value, str):
        return repr(value)
    # repr puts a text that has a quotation mark between apostrophes and escapes those alone.
    body = repr('"' + value)[2:-1]
    match = _QUOTE.match(old)
    if match is None or match[1] == "'":
        return f"'{body}'"
    plain = _ESCAPE.sub(lambda escape: "'" if escape[1] == "'" else escape[0], body)
    return '"' + plain.replace('"', '\\"') + '"'
