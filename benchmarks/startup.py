"""What the plugin costs a pytest run that does not use it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arena import workplace
from benchmarks.figures import Scale, Series, Table, met
from benchmarks.timed import PYTEST, QUIET, Timed, timed

BUDGET_MS = 20
_ROUNDS: Mapping[Scale, int] = {"full": 60, "quick": 10, "smoke": 1}
_WITHOUT = ("-p", "no:autoresearch")
# pytest-timeout is a dependency; anyio, which openai depends on, is a pytest plugin too.
_NEITHER = (*_WITHOUT, "-p", "no:timeout", "-p", "no:anyio")
_OURS, _BASE = "with the plugin", "`-p no:autoresearch`"
_ARMS: Mapping[str, tuple[str, ...]] = {_OURS: (), _BASE: _WITHOUT, "also `-p no:timeout -p no:anyio`": _NEITHER}
_LIST = """
import json, sys, pytest
pytest.main([*sys.argv[1:], "-q", "test_trivial.py"])
print(json.dumps(sorted(sys.modules)))
"""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to run pytest, measured several times."""

    runs: list[Timed]

    @property
    def wall(self) -> Series:
        """Milliseconds by the clock on the wall."""
        return Series([run.seconds * 1000 for run in self.runs])

    @property
    def cpu(self) -> Series:
        """Milliseconds of processor time, which a busy machine disturbs less."""
        return Series([run.cpu * 1000 for run in self.runs])


def tables(scale: Scale) -> Iterator[Table]:
    """Run one trivial test with the plugin, without it, and without what its dependencies bring as well."""
    with workplace() as directory:
        (directory / "test_trivial.py").write_text("def test_trivial(): pass\n")
        arms = {what: Arm([]) for what in _ARMS}
        for choice in _ARMS.values():
            timed([*PYTEST, *choice, "test_trivial.py"], directory)
        for _ in range(_ROUNDS[scale]):
            for what, choice in _ARMS.items():
                arms[what].runs.append(timed([*PYTEST, *choice, "test_trivial.py"], directory))
        more = _modules(directory) - _modules(directory, *_WITHOUT)
    yield Table(
        "startup: `pytest -q` of one trivial test, whole process",
        ("arm", "wall ms", "CPU ms", "more wall ms, pair by pair", "more CPU ms, pair by pair", "budget"),
        [_row(what, arm, arms[_BASE]) for what, arm in arms.items()],
        [_imports(more)],
    )


def _modules(directory: Path, *choice: str) -> set[str]:
    done = timed([sys.executable, "-c", _LIST, *QUIET, *choice], directory)
    return set(json.loads(done.printed.splitlines()[-1]))


def _row(what: str, arm: Arm, base: Arm) -> tuple[str, ...]:
    wall, cpu = arm.wall.minus(base.wall), arm.cpu.minus(base.cpu)
    verdict = met(wall.median, BUDGET_MS, "ms") if what == _OURS else ""
    more = ("", "") if what == _BASE else (wall.text(), cpu.text())
    return what, arm.wall.text(0), arm.cpu.text(0), *more, verdict


def _imports(more: set[str]) -> str:
    own = {name for name in more if _is_ours(name)}
    standard = {name for name in more if name.partition(".")[0] in sys.stdlib_module_names}
    return (
        f"Modules imported beyond pytest's and the standard library's: {_listed(more - own - standard)} (budget: "
        f"none). The package's own: {_listed(own)}. The standard library's that pytest does not import anyway: "
        f"{_listed(standard)}."
    )


def _listed(names: set[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "none"


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] == "pytest_autoresearch"
