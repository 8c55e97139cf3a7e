"""What a session itself does for each candidate: how many workers it can keep busy (`docs/scaling.md`)."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat
from typing import TypeVar

from benchmarks.arena import Arena, ideas_that, moments, repository, workplace
from benchmarks.course import Course
from benchmarks.figures import Scale, Series, Table
from benchmarks.night import Arm, by_critic
from benchmarks.problems.catalogue import PROBLEMS
from benchmarks.search import night, processes
from pytest_autoresearch.engines.slot import open_slots
from pytest_autoresearch.engines.tree import pack, unpack
from pytest_autoresearch.ledger import Record
from pytest_autoresearch.opening import open_session
from pytest_autoresearch.place import find_place
from pytest_autoresearch.problem import load_problem
from tests.support import Toy, scores

Made = TypeVar("Made")
_NAMES = ("WIDTH", "DEPTH", "RATE", "DECAY")
_TUNED = "".join(f"{name} = 0.5  # search: 0..1\n" for name in _NAMES) + f"print('score:', {' + '.join(_NAMES)})\n"
_SAMPLERS = ("tpe", "cmaes", "random")
_AT_ONCE, _FEWER = 20, 100
_SEARCHED = ("function minimisation", "modules", "Hartmann6", "Branin")
_EQUAL, _LENGTH = 48, 12


@dataclass(frozen=True, slots=True)
class Sizes:
    """Files in the repository; iterations by their candidates; ideas a sampler gives; runs in flight."""

    files: tuple[int, ...]
    rounds: Mapping[int, int]
    ideas: tuple[int, ...]
    flights: tuple[int, ...]
    sleep_s: int
    searches: tuple[int, ...]
    seeds: int


_SIZES: Mapping[Scale, Sizes] = {
    "full": Sizes((100, 20_000), {1: 50, 10: 10, 100: 3, 1_000: 1}, (100, 1_000), (1, 8, 24), 20, (1, 4, 16), 20),
    "quick": Sizes((100, 2_000), {1: 10, 10: 4, 100: 2}, (100, 500), (1, 4), 10, (1, 4), 4),
    "smoke": Sizes((20,), {1: 2, 2: 2}, (4,), (1,), 1, (1, 2), 1),
}


def tables(scale: Scale) -> Iterator[Table]:
    """The session's own part, the sampler's, and what travels to other machines."""
    sizes = _SIZES[scale]
    fewer = {count: iterations for count, iterations in sizes.rounds.items() if count <= _FEWER}
    few, *more = sizes.files
    rows = [*_candidates(few, sizes.rounds), *(row for files in more for row in _candidates(files, fewer))]
    yield Table(
        "scaling: what a session does for each candidate of an iteration, runs that take no time",
        (
            *("files", "K", "iterations", "ms from idea to commit", "ms to take in the measurement", "ms to record"),
            *("ms in all, an iteration's end included", "ledger KiB", "git KiB"),
        ),
        rows,
        ["For each candidate: the iteration's time divided by K. git KiB: what .git/objects grows by on the disk."],
    )
    yield Table(
        "scaling: an idea of the sampler's, and its commit, late in a session",
        ("after experiments", "TPE ms", "CMA-ES ms", "random ms"),
        list(_ideas(sizes.ideas)),
        ["Four literals, 20 ideas an iteration; the mean of the last iteration's."],
    )
    yield Table(
        "scaling: what travels",
        ("files", "archive MiB", "s to pack it", "s to unpack it on a node", "s to make a local worker's checkout"),
        [_tree(files) for files in sizes.files],
    )
    yield Table(
        f"scaling: what candidates at once cost a search of the sampler's, {sizes.seeds} seeds",
        ("problem", "K", f"best after {_EQUAL} experiments, % of the known gain", f"after {_LENGTH} iterations"),
        list(_searches(sizes.searches, sizes.seeds)),
        ["TPE. The same experiments cost K workers a K-th of the time; the same iterations cost them the same time."],
    )
    if importlib.util.find_spec("ray"):
        yield Table(
            "scaling: what runs in flight on a cluster take of pytest's process",
            ("runs at once", "s an iteration beyond the run's own", "CPU ms of pytest each second and run"),
            list(_flights(sizes.flights, sizes.sleep_s)),
            [f"Runs that sleep {sizes.sleep_s} s. All of Ray's workers start on these two cores."],
        )


def _candidates(files: int, rounds: Mapping[int, int]) -> Iterator[tuple[str, ...]]:
    for count, iterations in rounds.items():
        ideas = scores(*range(20, 20 + (iterations + 3) * count))
        with workplace() as directory:
            toy = repository(directory / "repository", files, {"engine": {"workers": 2}}, ideas=ideas)
            arena = Arena(toy)
            _run(arena, 1, count)
            before, size = _kib(toy), arena.ledger.stat().st_size
            _run(arena, iterations + 2, count)
            grown, longer = _kib(toy) - before, (arena.ledger.stat().st_size - size) / 1024
            records = arena.records()
        made = (iterations + 2) * count
        firsts = range(1 + 2 * count, 1 + (iterations + 2) * count, count)
        yield (
            *(f"{files:,}", f"{count:,}", str(iterations)),
            *_shares(records, firsts, count),
            *(f"{longer / made:.1f}", f"{grown / made:.1f}"),
        )


def _run(arena: Arena, iterations: int, count: int) -> None:
    arena.pytest("-p", "benchmarks.instant", f"--iterations={iterations}", f"--autoresearch-candidates={count}")


def _shares(records: list[Record], firsts: range, count: int) -> Iterator[str]:
    """Milliseconds a candidate: making, measuring and recording them, and an iteration from its begin to the next."""
    idea, applied, result = (moments(records, kind) for kind in ("idea", "applied", "result"))
    for begin, end in (
        (idea, {one: applied[one + count - 1] for one in firsts}),
        ({one: applied[one + count - 1] for one in firsts}, result),
        (result, {one: result[one + count - 1] for one in firsts}),
        (idea, {one: idea[one + count] for one in firsts}),
    ):
        yield Series([1000 * (end[one] - begin[one]) / count for one in firsts]).text()


def _ideas(ends: tuple[int, ...]) -> Iterator[tuple[str, ...]]:
    """The milliseconds that the last ideas took, sampler by sampler, each in a session of its own."""
    found = {sampler: _ideas_of(sampler, ends) for sampler in _SAMPLERS}
    for index, end in enumerate(ends):
        yield (f"{end:,}", *(f"{found[sampler][index]:.1f}" for sampler in _SAMPLERS))


def _ideas_of(sampler: str, ends: tuple[int, ...]) -> list[float]:
    at_once = min(_AT_ONCE, ends[0])
    with workplace() as directory:
        tuner = {"provider": "tuner", "sampler": sampler}
        problem = {
            "mutable_file": "solution.py",
            "runner": "python3 solution.py",
            "critic": tuner,
            "engine": {"workers": 2},
        }
        arena = Arena(Toy(directory / "repository", files={"solution.py": _TUNED}, problem=problem))
        _run(arena, ends[-1] // at_once, at_once)
        begun = moments(arena.records(), "idea")
    return [1000 * (begun[end] - begun[end - at_once + 1]) / (at_once - 1) for end in ends]


def _tree(files: int) -> tuple[str, ...]:
    """An archive of a session's checkout, packed and unpacked, and the checkout of a worker of this machine."""
    with workplace() as directory:
        arena = Arena(repository(directory / "repository", files))
        arena.alternate(1)
        problem_file = arena.toy.project / "problem.yaml"
        problem, archive = load_problem(problem_file), directory / "tree.tar"
        place = find_place(problem_file, problem.branch_prefix, arena.tag)
        with open_session(place, problem, lambda stage, elapsed: None) as opened:
            packed, tree = _taking(lambda: pack(opened.session.workspace))
            archive.write_bytes(tree.content)
            unpacked, _ = _taking(lambda: unpack(archive, directory / "unpacked"))
            with ExitStack() as stack:
                made, _ = _taking(lambda: stack.enter_context(open_slots(place, opened, [{}])))
    size = len(tree.content) / 2**20
    return (f"{files:,}", f"{size:.1f}", f"{packed:.2f}", f"{unpacked:.2f}", f"{made:.2f}")


def _taking(work: Callable[[], Made]) -> tuple[float, Made]:
    began = time.perf_counter()
    made = work()
    return time.perf_counter() - began, made


def _searches(counts: tuple[int, ...], seeds: int) -> Iterator[tuple[str, ...]]:
    """Equal experiments, and equal iterations, K at once, by the critic and the judge alone."""
    with processes() as workers:
        for name in _SEARCHED:
            for count in counts:
                arm, length = Arm("TPE", "tpe", at_once=count), max(_EQUAL, _LENGTH * count)
                asked = (repeat(by_critic), repeat(name), repeat(arm), range(seeds), repeat(length))
                course = Course.of(PROBLEMS[name], workers.map(night, *asked))
                gains = (f"{100 * course.gain_after(end):.1f}" for end in (_EQUAL, _LENGTH * count))
                yield (name, str(count), *gains)


def _flights(counts: tuple[int, ...], sleep_s: int) -> Iterator[tuple[str, ...]]:
    for count in counts:
        ideas = ideas_that(f"sleep {sleep_s}", 2 * count)
        with workplace() as directory:
            engine = {"kind": "ray", "candidates": count, "resources": {"num_cpus": 0.01}}
            arena = Arena(
                Toy(directory / "repository", ideas=ideas, problem={"engine": engine, "hard_timeout_s": 600})
            )
            seen = arena.observe(2)
            records = arena.records()
        begun, ended = moments(records, "idea"), moments(records, "result")
        used = seen[-1]["cpu"] - seen[count - 1]["cpu"]
        yield (
            str(count),
            f"{ended[2 * count] - begun[count + 1] - sleep_s:.1f}",
            f"{1000 * used / count / sleep_s:.1f}",
        )


def _kib(toy: Toy) -> float:
    """What git's objects take of the disk."""
    paths = (toy.directory / ".git" / "objects").rglob("*")
    return sum(path.lstat().st_blocks for path in paths) / 2
