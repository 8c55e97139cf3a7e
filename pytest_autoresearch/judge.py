"""Keep, discard or crash; and when a session has done enough."""

from __future__ import annotations

import math
from statistics import fmean

from pytest_autoresearch.noise import looks_better
from pytest_autoresearch.progress import Progress
from pytest_autoresearch.records import Confirmation, Measurement, Verdict
from pytest_autoresearch.sections import NoiseSection, StopSection


def judge(
    measurement: Measurement, incumbent: float, lower_is_better: bool, noise: NoiseSection | None = None
) -> Verdict:
    """Better is kept, equal and worse are discarded, no number is a crash.

    Better is what is better at all; with `noise` it is what a confirmation says so of.
    """
    if measurement.metric is None:
        return Verdict("crash", _marked(measurement.failure, measurement))
    if not math.isfinite(measurement.metric):
        return Verdict("crash", f"the metric {measurement.metric} is not a finite number")
    if noise is not None and measurement.confirmation is not None:
        return _confirmed(measurement.confirmation, noise, lower_is_better)
    change = measurement.metric - incumbent
    if change == 0:
        return Verdict("discard", _marked(f"equal to the incumbent ({incumbent:.6g})", measurement))
    better = (change < 0) == lower_is_better
    text = change_in_words(incumbent, measurement.metric)
    if noise is not None and better:
        return _too_little(noise, text)
    return Verdict("keep" if better else "discard", _marked(text if better else f"worse: {text}", measurement))


def _confirmed(found: Confirmation, noise: NoiseSection, lower_is_better: bool) -> Verdict:
    """What the measurements of a confirmation say, and those before it do not."""
    if found.failed is not None:
        return Verdict("discard", f"inconclusive: the {found.failed} gave no metric when it was measured again")
    candidate, incumbent = fmean(found.candidate), fmean(found.incumbent)
    text = change_in_words(incumbent, candidate)
    if not found.holds:
        return Verdict("discard", f"inconclusive ({found.in_words}): {text}")
    if not looks_better(noise, candidate, incumbent, lower_is_better):
        return _too_little(noise, text)
    return Verdict("keep", f"{text}, {found.in_words}")


def _too_little(noise: NoiseSection, text: str) -> Verdict:
    return Verdict("discard", f"no better than min_improvement ({noise.min_improvement}) asks for: {text}")


def change_in_words(incumbent: float, metric: float) -> str:
    """From what to what, and by how much."""
    return f"{incumbent:.6g} → {metric:.6g} ({metric - incumbent:+.6g})"


def is_better(metric: float, than: float, lower_is_better: bool) -> bool:
    """Whether `metric` beats `than` in the problem's direction."""
    return metric < than if lower_is_better else metric > than


def stop_reason(stop: StopSection, progress: Progress, lower_is_better: bool, hours: float) -> str | None:
    """The stop rule that holds, None if the session goes on; `hours` is how long this run has taken."""
    best = progress.incumbent.metric if progress.incumbent else None
    if stop.target is not None and best is not None and not is_better(stop.target, best, lower_is_better):
        return f"target reached: {best:.6g} against {stop.target:g} (stop.target)"
    if stop.patience is not None and progress.since_keep >= stop.patience:
        return f"no keep in the last {progress.since_keep} experiments (stop.patience)"
    if stop.hours is not None and hours >= stop.hours:
        return f"{stop.hours:g} hours are over (stop.hours)"
    return spending_reason(stop, progress)


def spending_reason(stop: StopSection, progress: Progress) -> str | None:
    """The stop rule on tokens or money that holds, None if more may be spent."""
    if stop.tokens is not None and progress.spent.tokens >= stop.tokens:
        return f"{progress.spent.tokens:,} tokens are spent, of {stop.tokens:,} (stop.tokens)"
    if stop.usd is not None and progress.spent.usd >= stop.usd:
        return f"USD {progress.spent.usd:.2f} are spent, of {stop.usd:.2f} (stop.usd)"
    return None


def _marked(text: str, measurement: Measurement) -> str:
    return f"duplicate of experiment {measurement.original}: {text}" if measurement.original else text
