"""The README's picture: the course of each example's sample run, side by side."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_autoresearch.reports.canvas import canvas, name_axes
from pytest_autoresearch.reports.chart import draw_course, explain
from pytest_autoresearch.reports.course import Course

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "images" / "examples.svg"
EXAMPLES = ("tsp_heuristic", "xgboost_tuning", "multi_metric_demo")

_WIDTH, _HEIGHT = 12, 3.9
_ORDER = ("best so far", "kept", "discarded", "crashed", "outside")

Audit = Mapping[str, Any]


def draw(path: Path, audits: Mapping[str, Audit]) -> None:
    """Draw to `path`, an .svg or a .png, one chart for each audit, under its name."""
    with canvas(path, _WIDTH, _HEIGHT) as figure:
        found: dict[str, Any] = {}
        for axes, (name, audit) in zip(figure.subplots(1, len(audits), squeeze=False)[0], audits.items(), strict=True):
            draw_course(axes, course_of_audit(audit))
            axes.set_title(f"{name}\n{_result(audit)}", loc="left", fontsize=11, parse_math=False)
            name_axes(axes, "experiment", _metric(audit))
            handles, labels = axes.get_legend_handles_labels()
            found = dict(zip((label.split(" (")[0] for label in labels), handles, strict=True)) | found
        names = [name for name in _ORDER if name in found]
        explain(figure, [found[name] for name in names], names, columns=len(names))


def course_of_audit(audit: Audit) -> Course:
    """What an audit tells of the course of its session; without times, which no chart of it needs."""
    experiments: Sequence[Audit] = audit["experiments"]
    numbers = [one["number"] for one in experiments]
    return Course(
        numbers=array("q", numbers),
        statuses=[one["status"] for one in experiments],
        metrics=_column(experiments, "metric"),
        bests=_column(experiments, "best"),
        starts=[numbers.index(number) for number in audit["integrity"]["contracts"]],
    )


def sample(example: str) -> Path:
    """Where the sample run of an example is."""
    return ROOT / "examples" / example / "sample_run"


def sample_audit(example: str) -> Audit:
    """The audit of an example's sample run."""
    found: Audit = json.loads((sample(example) / "AUDIT_LOG.json").read_text())
    return found


def _column(experiments: Sequence[Audit], name: str) -> array[float]:
    return array("d", (math.nan if one[name] is None else one[name] for one in experiments))


def _metric(audit: Audit) -> str:
    session = audit["session"]
    return f"{session['metric']} ({'lower' if session['lower_is_better'] else 'higher'} is better)"


def _result(audit: Audit) -> str:
    return f"{audit['summary']['baseline']:.6g} → {audit['summary']['best']:.6g}"


def main() -> None:
    """Draw the picture anew from the sample runs as they are."""
    draw(PICTURE, {name: sample_audit(name) for name in EXAMPLES})


if __name__ == "__main__":
    main()
