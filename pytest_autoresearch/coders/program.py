"""`program.md`: how somebody drives a session by hand."""

from __future__ import annotations

from pathlib import Path

from pytest_autoresearch.coders.site import Site
from pytest_autoresearch.files import replace_text
from pytest_autoresearch.templating import render


def write_program(site: Site) -> Path:
    """Write the file into the session's checkout, as things stand; where it is."""
    problem, progress = site.problem, site.session.progress
    text = render(
        "coders",
        "program.md.j2",
        objective=problem.objective.strip(),
        branch=site.place.branch,
        lower_is_better=problem.lower_is_better,
        metric_name=problem.metric_name,
        baseline=_value(progress.baseline.metric if progress.baseline else None),
        best=_value(progress.incumbent.metric if progress.incumbent else None),
        mutable_file=problem.mutable_file,
        readonly=", ".join(f"`{name}`" for name in problem.readonly_files),
        runner=problem.runner,
        time_budget_s=problem.time_budget_s,
        hard_timeout_s=problem.hard_timeout_s,
        columns=", ".join(problem.columns),
    )
    replace_text(site.session.program_file, text + "\n")
    return site.session.program_file


def _value(metric: float | None) -> str:
    return "not measured yet" if metric is None else f"{metric:.6g}"
