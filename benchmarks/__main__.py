"""Run the benchmarks and print a Markdown table for each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks import (
    drivers,
    false_keeps,
    iteration,
    machine,
    memory,
    opening,
    output,
    parallel,
    reports,
    scaling,
    search,
    startup,
)
from benchmarks.arena import workplace
from benchmarks.figures import Scale, Table

BENCHMARKS: Mapping[str, Callable[[Scale], Iterator[Table]]] = {
    "startup": startup.tables,
    "iteration": iteration.tables,
    "opening": opening.tables,
    "memory": memory.tables,
    "output": output.tables,
    "drivers": drivers.tables,
    "false_keeps": false_keeps.tables,
    "reports": reports.tables,
    "parallel": parallel.tables,
    "scaling": scaling.tables,
    "search": search.tables,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is named, or all."""
    asked = _arguments(arguments)
    with workplace() as directory:
        _say("\n".join(machine.describe(directory)))
    for name in asked.names or BENCHMARKS:
        before = machine.load()
        for table in BENCHMARKS[name](asked.scale):
            _say(f"\n{table.markdown()}")
        _say(f"\n{before} before, {machine.load()} after {name}")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--quick", action="store_const", dest="scale", const="quick", default="full")
    parser.add_argument("--smoke", action="store_const", dest="scale", const="smoke", help="only see that they run")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    return asked


def _say(text: str) -> None:
    print(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
