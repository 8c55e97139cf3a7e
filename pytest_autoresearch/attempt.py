"""One experiment under way: propose and apply, measure, judge and record."""

from __future__ import annotations

from pytest_autoresearch.coders.base import ContractBroken
from pytest_autoresearch.edits import EditError
from pytest_autoresearch.records import Candidate, Experiment, Idea, Measurement
from pytest_autoresearch.research import Parts, Research
from pytest_autoresearch.session import Session


def made_of(idea: Idea, session: Session, parts: Parts) -> tuple[Candidate | None, str]:
    """The candidate that holds an idea, or why none could be made of it; neither if nothing came of it."""
    try:
        return session.apply(idea, parts.apply), ""
    except EditError as error:
        return None, f"edit: {error}"
    except ContractBroken as broken:
        return None, f"contract: {broken}"


class Attempt:
    """The steps of one experiment, with the parts that the hooks of a problem give.

    `misfit` says why no candidate could be made of the idea, '' if that is not known.
    """

    def __init__(self, research: Research, parts: Parts) -> None:
        self._research = research
        self._session = research.session
        self._parts = parts
        self.misfit = ""
        self._goes_on = False
        incumbent = self._session.progress.incumbent
        assert incumbent is not None
        self._incumbent = incumbent
        self.idea: Idea | None = None
        self.candidate: Candidate | None = None

    @property
    def beaten(self) -> float:
        """The metric that the experiment has to beat, or had to."""
        assert self._incumbent.metric is not None
        return self._incumbent.metric

    def prepare(self) -> None:
        """Get an idea and make a candidate of it; what cannot be made of it is judged later, as a crash."""
        self._goes_on = self._session.progress.pending_idea is not None
        self.idea = self._session.propose(self._parts.propose)
        self.candidate, self.misfit = made_of(self.idea, self._session, self._parts)

    @property
    def why_nothing(self) -> str:
        """Why there is no experiment, if `finish` gave none."""
        return self._session.why_nothing

    @property
    def is_put_off(self) -> bool:
        """Whether a coder broke off, so that there is no experiment yet."""
        return self._session.coder_failed

    def finish(self) -> list[Experiment]:
        """Measure, judge and record; empty if nothing came of the idea, so that there is no experiment."""
        assert self.idea is not None
        if self.candidate is None and not self.misfit:
            return []
        measured = self._measure()
        verdict = self._parts.judge(measured, self._incumbent)
        return [self._session.record(self.idea, self.candidate, measured, verdict)]

    def _measure(self) -> Measurement:
        if self.candidate is None:
            return Measurement(None, failure=self.misfit)
        self._research.models.release(left_behind=self._goes_on)
        return self._session.measure(self.candidate, self._parts.measure)
