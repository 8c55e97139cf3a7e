"""What the pages under `docs/` take over from the code: `python -m tests.reference` writes it into them.

A page says where, in a comment: `<!-- keys: runner, env -->` is a table of keys of `problem.yaml`, `<!-- keys of
critic -->` one of a section's, `<!-- ini keys -->` and `<!-- commands -->` are what they say, each as far as
`<!-- end -->`. A block of text that begins with a command and `--help` is what that command prints, 100 columns wide.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from pydantic.fields import FieldInfo

from pytest_autoresearch.fields import names_of, section_of
from pytest_autoresearch.problem import Problem
from tests.support import clean_environment

ROOT = Path(__file__).parent.parent
MARKED = re.compile(
    r"^<!-- (keys: [a-z_, ]+|keys of \w+|ini keys|commands) -->$.*?^<!-- end -->$", re.MULTILINE | re.DOTALL
)
HELP = re.compile(r"^```text\n\$ ([a-z -]+ --help)$.*?^```$", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """The pages that take something over."""
    texts = {page: page.read_text() for page in sorted(ROOT.glob("docs/*.md"))}
    return [page for page, text in texts.items() if MARKED.search(text) or HELP.search(text)]


def marks(page: Path) -> list[str]:
    """What a page asks for in comments."""
    return [found.group(1) for found in MARKED.finditer(page.read_text())]


def renewed(text: str) -> str:
    """The text of a page with all that it takes over as it is now."""
    text = MARKED.sub(lambda found: f"<!-- {found.group(1)} -->\n\n{_made(found.group(1))}\n\n<!-- end -->", text)
    return HELP.sub(lambda found: _help_block(found.group(1)), text)


def keys_in(mark: str) -> Iterator[tuple[str, FieldInfo]]:
    """The keys that a table is of."""
    fields = Problem.model_fields
    if mark.startswith("keys: "):
        yield from ((key, fields[key]) for key in mark.removeprefix("keys: ").split(", "))
    elif mark.startswith("keys of ") and (section := section_of(fields[mark.removeprefix("keys of ")])):
        yield from section.model_fields.items()


def _made(mark: str) -> str:
    if mark == "ini keys":
        return _ini_keys()
    return _commands() if mark == "commands" else _keys(mark)


def _keys(mark: str) -> str:
    of_section = mark.startswith("keys of ")
    head = (f"key of `{mark.removeprefix('keys of ')}:`" if of_section else "key", "default", "meaning")
    return _table(
        head, [(_names(key, field), _default(field), str(field.description)) for key, field in keys_in(mark)]
    )


def _names(key: str, field: FieldInfo) -> str:
    return ", ".join(f"`{name}`" for name in names_of(key, field))


def _default(field: FieldInfo) -> str:
    if isinstance(field.json_schema_extra, dict):
        return str(field.json_schema_extra["default_in_words"])
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value in (None, [], {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"{value:g}" if isinstance(value, int | float) else f"`{value}`"


def _ini_keys() -> str:
    found = re.findall(r"^  (autoresearch_\w+) \(string\):", _output("pytest --help"), re.MULTILINE)
    return _table(("ini key", "the same as"), [(f"`{key}`", f"`--{key.replace('_', '-')}`") for key in found])


def _commands() -> str:
    names = re.findall(r"^    ([a-z]+) ", _output("pytest-autoresearch --help"), re.MULTILINE)
    sections = (f"## {name}\n\n{_help_block(f'pytest-autoresearch {name} --help')}" for name in names)
    return "\n\n".join([_help_block("pytest-autoresearch --help"), *sections])


def _help_block(command: str) -> str:
    output = _output(command)
    if command.startswith("pytest "):
        (output,) = re.findall(r"^autonomous research:\n(.*?\n)\n", output, re.MULTILINE | re.DOTALL)
    return f"```text\n$ {command}\n{output}```"


@cache
def _output(command: str) -> str:
    program, *options = command.split()
    words = [sys.executable, "-m", program.replace("-", "_"), *options]
    environment = clean_environment({"COLUMNS": "100"})
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], f"|{'---|' * len(head)}", *lines[1:]])


if __name__ == "__main__":
    for page in pages():
        page.write_text(renewed(page.read_text()))
