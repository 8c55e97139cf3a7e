"""How the next combination is drawn from a search space: at random, by TPE or by CMA-ES.

A draw depends on the space, the observations and a seed, on nothing else: whoever has the same three gets the same
combination, in a new process too. What a sampler object keeps between draws only saves time.
"""

from __future__ import annotations

import importlib
import math
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol

from pytest_autoresearch.critics.observations import Observation
from pytest_autoresearch.critics.ranges import Range
from pytest_autoresearch.critics.space import Space, Values
from pytest_autoresearch.errors import UserError

SamplerName = Literal["tpe", "cmaes", "random"]

STARTUP = 7
_WINDOW = 500
_SPREAD = 0.2
_CONVERGED = 1e-3
_CORRELATED = 0.2
_LISTED = 6


class Sampler(Protocol):
    """Draws combinations; lower costs are better."""

    is_lied_to: bool
    """Whether it has to be told something of a trial that is under way, so that it does not draw the same again."""

    def draw(self, space: Space, observations: Sequence[Observation], seed: int) -> Values:
        """One combination of the space; not always a new one."""

    def account(self, space: Space, observations: Sequence[Observation]) -> str:
        """How the next draw comes about, in one sentence for people."""

    def state(self, space: Space, observations: Sequence[Observation]) -> str:
        """What the sampler believes at the moment, in lines that a person or a model can use."""


def sampler_named(name: SamplerName) -> Sampler:
    """The sampler of that name."""
    kinds: dict[SamplerName, Callable[[], Sampler]] = {"tpe": Tpe, "cmaes": CmaEs, "random": Random}
    return kinds[name]()


class Random:
    """Every combination is as likely as any other."""

    is_lied_to = False

    def draw(self, space: Space, observations: Sequence[Observation], seed: int) -> Values:
        """One combination of the space."""
        chance = random.Random(seed)
        return space.from_unit([chance.random() for _ in space.ranges])

    def account(self, space: Space, observations: Sequence[Observation]) -> str:
        """What a random draw rests on."""
        return "drawn uniformly at random, whatever was observed"

    def state(self, space: Space, observations: Sequence[Observation]) -> str:
        """Nothing, as it learns nothing."""
        return "It draws uniformly at random and learns nothing from what was observed."


class Tpe:
    """Optuna's multivariate Tree-structured Parzen Estimator (Bergstra et al. 2011; Falkner et al. 2018).

    It models where the best tenth of the observations lies and where the rest does, and draws where the ratio is
    best; the first draws are random. A crash is told as a pruned trial: it counts among the rest, whatever the scale
    of the metric is (a failed trial would not count at all). Numbers are told as their positions between 0 and 1.
    """

    is_lied_to = True

    def __init__(self) -> None:
        self._study: Any = None
        self._told: list[Observation] = []
        self._space = ""

    def draw(self, space: Space, observations: Sequence[Observation], seed: int) -> Values:
        """One combination of the space."""
        optuna = _imported("optuna")
        if not _can_model(observations):
            return Random().draw(space, observations, seed)
        with _quiet(optuna):
            limits = _distributions(optuna, space)
            study = self._study_of(optuna, space, limits, told_to_tpe(observations))
            study.sampler = optuna.samplers.TPESampler(
                seed=seed, multivariate=True, constant_liar=False, n_startup_trials=1
            )
            trial = study.ask(limits)
            # To TPE a failed trial is none; left open, it would be one that still runs.
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return space.from_unit([trial.params[name] for name in space.names])

    def _study_of(self, optuna: Any, space: Space, limits: dict[str, Any], observations: list[Observation]) -> Any:
        """A study that holds just these observations: the one at hand if they go on from what it was told."""
        known = len(self._told)
        if self._study is None or self._space != space.text or self._told != observations[:known]:
            self._study, self._space, known = optuna.create_study(), space.text, 0
        self._study.add_trials([_trial(optuna, space, limits, one) for one in observations[known:]])
        self._told = observations
        return self._study

    def account(self, space: Space, observations: Sequence[Observation]) -> str:
        """How many observations are called good."""
        if not _can_model(observations):
            return f"drawn uniformly at random, as TPE needs {STARTUP} observations and a metric to begin with"
        told = told_to_tpe(observations)
        good = math.ceil(0.1 * len(told))
        return f"drawn by TPE where the best {good} of {len(told)} observations are denser than the rest"

    def state(self, space: Space, observations: Sequence[Observation]) -> str:
        """Where the observations that TPE calls good lie, and where the rest."""
        if not _can_model(observations):
            return f"TPE draws at random until it has {STARTUP} observations; it has {len(observations)}."
        told = sorted(told_to_tpe(observations), key=_rank)
        good = math.ceil(0.1 * len(told))
        lines = [f"TPE draws where its good observations ({good} of {len(told)}) are denser than the others:"]
        for index, name in enumerate(space.names):
            groups = [sorted({repr(one.values[index]) for one in part}) for part in (told[:good], told[good:])]
            lines.append(f"- {name}: good {_listed(groups[0])}; others {_listed(groups[1])}")
        return "\n".join(lines)


def _can_model(observations: Sequence[Observation]) -> bool:
    return len(observations) >= STARTUP and any(observation.cost is not None for observation in observations)


def told_to_tpe(observations: Sequence[Observation]) -> list[Observation]:
    """What of the observations TPE is told: all of them, in a long session the best and the latest.

    The older ones are cut off in blocks of 500, so that what was told mostly stays the beginning of what is told.
    Crashes are never so many that one would be among the best tenth.
    """
    cut = _cut(len(observations))
    best = sorted(range(cut), key=lambda index: _rank(observations[index]))[: _WINDOW // 2]
    told = [observations[index] for index in sorted(best)] + list(observations[cut:])
    crashed = [index for index, observation in enumerate(told) if observation.cost is None]
    surplus = set(crashed[: max(0, len(crashed) - 9 * (len(told) - len(crashed)))])
    return [observation for index, observation in enumerate(told) if index not in surplus]


class CmaEs:
    """CMA-ES (Hansen 2016) by the `cmaes` package, on the positions of the numbers between 0 and 1.

    Its state is not stored: it is worked out anew from the observations of each generation, in their order. Only the
    ranks within a generation matter, and a crash ranks last. That is exact, because the state follows from what was
    told and not from the random numbers, and bounded, because after 1,500 observations the search begins again from
    the best of the older ones. A generation without spread makes it begin again elsewhere with twice the population.
    Choices without an order are left to TPE, and so is a number that is alone.
    """

    is_lied_to = False

    def __init__(self) -> None:
        self._tpe = Tpe()

    def draw(self, space: Space, observations: Sequence[Observation], seed: int) -> Values:
        """One combination of the space."""
        cmaes, numpy = _imported("cmaes"), _imported("numpy")
        numbers = _numbers(space)
        rest = len(space.ranges) - len(numbers)
        values = self._tpe.draw(space, observations, seed) if rest else space.start
        if not numbers:
            return values
        point = list(space.to_unit(values))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer = _evolved(cmaes, numpy, space, numbers, observations)
            optimizer.reseed_rng(seed)
            units = [float(unit) for unit in optimizer.ask()]
        if not all(map(math.isfinite, units)):  # a covariance that degenerated must not end the night
            return Random().draw(space, observations, seed)
        for index, unit in zip(numbers, units, strict=True):
            point[index] = unit
        return space.from_unit(point)

    def account(self, space: Space, observations: Sequence[Observation]) -> str:
        """What CMA-ES was told, and what it leaves to TPE."""
        numbers = _numbers(space)
        by_tpe = self._tpe.account(space, observations)
        if not numbers:
            return by_tpe
        told = sum(observation.proposed for observation in observations)
        account = f"drawn by CMA-ES, told {told} trials generation by generation"
        return account if len(numbers) == len(space.ranges) else f"{account} (choices without an order: {by_tpe})"

    def state(self, space: Space, observations: Sequence[Observation]) -> str:
        """Mean, step size and covariance of the search distribution: lengths are shares of each range."""
        cmaes, numpy = _imported("cmaes"), _imported("numpy")
        numbers = _numbers(space)
        if not numbers:
            return self._tpe.state(space, observations)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer = _evolved(cmaes, numpy, space, numbers, observations)
        return _described(numpy, space, numbers, optimizer)


def _described(numpy: Any, space: Space, numbers: list[int], optimizer: Any) -> str:
    """The distribution from which CMA-ES draws, parameter by parameter."""
    names = [space.names[index] for index in numbers]
    point = list(space.to_unit(space.start))
    for index, unit in zip(numbers, optimizer.mean, strict=True):
        point[index] = min(1.0, max(0.0, float(unit)))
    mean = space.from_unit(point)
    deviations = optimizer._sigma * numpy.sqrt(numpy.diag(optimizer._C))
    lines = [
        f"CMA-ES after {optimizer.generation} generations of {optimizer.population_size}: "
        f"step size {float(optimizer._sigma):.3g}. Mean, and standard deviation as a share of the range:"
    ]
    lines += [
        f"- {name}: mean {mean[index]!r}, deviation {float(deviation):.3g}, range {space.ranges[index]}"
        for name, index, deviation in zip(names, numbers, deviations, strict=True)
    ]
    scale = numpy.sqrt(numpy.outer(numpy.diag(optimizer._C), numpy.diag(optimizer._C)))
    correlations = optimizer._C / scale
    pairs = [(row, column) for row in range(len(names)) for column in range(row)]
    strong = [(row, column) for row, column in pairs if abs(correlations[row, column]) >= _CORRELATED]
    shown = [f"{names[row]} with {names[column]} {float(correlations[row, column]):+.2f}" for row, column in strong]
    return "\n".join([*lines, f"Correlations: {', '.join(shown) or 'none to speak of'}."])


def _listed(values: list[str]) -> str:
    return ", ".join(values[:_LISTED]) + (f", … ({len(values)})" if len(values) > _LISTED else "")


def _numbers(space: Space) -> list[int]:
    """Where the values stand that CMA-ES can set: those with an order, if there are two or more."""
    ordered = [index for index, limit in enumerate(space.ranges) if limit.ordered]
    return ordered if len(ordered) > 1 else []


def _evolved(cmaes: Any, numpy: Any, space: Space, numbers: list[int], observations: Sequence[Observation]) -> Any:
    """The optimizer after every whole generation among the trials."""
    trials = [observation for observation in observations if observation.proposed]
    cut = _cut(len(trials))
    centre = min(trials[:cut], key=_rank).values if cut else space.start
    optimizer = _fresh(cmaes, numpy, [space.to_unit(centre)[index] for index in numbers])
    generation: list[tuple[Any, float]] = []
    for number, trial in enumerate(trials[cut:], start=cut):
        point = space.to_unit(trial.values)
        generation.append((numpy.array([point[index] for index in numbers]), _rank(trial)))
        if len(generation) < optimizer.population_size:
            continue
        if numpy.ptp([point for point, _ in generation], axis=0).max() < _CONVERGED:
            chance = random.Random(number)
            optimizer = _fresh(cmaes, numpy, [chance.random() for _ in numbers], 2 * optimizer.population_size)
        else:
            optimizer.tell(generation)
        generation = []
    return optimizer


def _fresh(cmaes: Any, numpy: Any, centre: list[float], population: int | None = None) -> Any:
    bounds = numpy.array([[0.0, 1.0]] * len(centre))
    return cmaes.CMA(
        mean=numpy.array(centre),
        sigma=_SPREAD,
        bounds=bounds,
        seed=0,
        n_max_resampling=10 * len(centre),
        population_size=population,
    )


def _cut(count: int) -> int:
    """How many of so many observations are too old: blocks of 500, until fewer than 1,500 are left."""
    return max(0, count // _WINDOW - 2) * _WINDOW


def _rank(observation: Observation) -> float:
    return math.inf if observation.cost is None else observation.cost


def _distributions(optuna: Any, space: Space) -> dict[str, Any]:
    return {name: _distribution(optuna, limit) for name, limit in zip(space.names, space.ranges, strict=True)}


def _distribution(optuna: Any, limit: Range) -> Any:
    if limit.ordered or limit.levels is None:
        return optuna.distributions.FloatDistribution(0.0, 1.0)
    units = [limit.to_unit(limit.at(index)) for index in range(limit.levels)]
    return optuna.distributions.CategoricalDistribution(units)


def _trial(optuna: Any, space: Space, limits: dict[str, Any], observation: Observation) -> Any:
    state = optuna.trial.TrialState.PRUNED if observation.cost is None else optuna.trial.TrialState.COMPLETE
    return optuna.trial.create_trial(
        state=state,
        value=observation.cost,
        params=dict(zip(space.names, space.to_unit(observation.values), strict=True)),
        distributions=limits,
    )


def _imported(name: str) -> Any:
    """The module of that name; UserError that says how to install it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"this sampler of the tuner needs {name}, which cannot be imported ({error}): "
                "pip install 'pytest-autoresearch[tuner]', or choose the sampler `random`"
            ) from error


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """No line on the user's terminal, and no warning that their settings turn into an error."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
