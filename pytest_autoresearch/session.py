"""One line of research: the steps of an experiment, each on record before it is done."""

from __future__ import annotations

import contextlib
import json
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pytest_autoresearch.coders.base import CoderFailed, NoEdit
from pytest_autoresearch.critics.base import Brief
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import remove, replace_text
from pytest_autoresearch.handwork import Handwork
from pytest_autoresearch.journal import Journal
from pytest_autoresearch.judge import spending_reason, stop_reason
from pytest_autoresearch.leftovers import Left
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.processes import Identity
from pytest_autoresearch.records import Candidate, Experiment, Idea, Measurement, Seat, Verdict, by_hand, label
from pytest_autoresearch.results import ResultsTable
from pytest_autoresearch.samples import Samples, finite
from pytest_autoresearch.text import one_line
from pytest_autoresearch.trial import Trial
from pytest_autoresearch.workspace import PROBE, Workspace

_LOG_TAIL = 2000
_DESCRIPTION = 200
_TRIES_OF_A_CODER = 2
_PATHS = 20

Measure = Callable[[Candidate], Measurement]


class Session:
    """A session that is open: its lock is held, its checkout stands on the incumbent.

    Made by `opening.open_session`. `mark` is what its processes are known by, `hand` has what is written by hand.
    """

    def __init__(
        self,
        tag: str,
        problem: Problem,
        journal: Journal,
        workspace: Workspace,
        *,
        fingerprint: str,
        table: ResultsTable,
        idea_file: Path,
        program_file: Path,
        hand: Handwork,
        notices: Iterable[str],
        mark: str,
    ) -> None:
        self.tag = tag
        self.problem = problem
        self.progress = journal.progress
        self.workspace = workspace
        self.fingerprint = fingerprint
        self.mark = mark
        self._found = tuple(notices)
        self._strayed: dict[str, str] = {}
        self.hand = hand
        self.why_nothing = ""
        self.coder_failed = False
        self.start: str = journal.progress.beginning["commit"]
        self.write = journal.write
        self.samples = Samples(journal, fingerprint)
        self._journal = journal
        self._table = table
        self.idea_file = idea_file
        self.program_file = program_file
        self._opened = time.monotonic()
        self._seat: Seat | None = None

    @property
    def number(self) -> int:
        """The experiment that an idea is sought for, or made into a candidate."""
        return self._seat.number if self._seat else self.progress.next_number

    @property
    def label(self) -> str:
        """What people call that experiment."""
        return label(self._seat.iteration, self._seat.seat) if self._seat else self.progress.label_of(self.number)

    @contextlib.contextmanager
    def working_on(self, seat: Seat) -> Iterator[None]:
        """Have that experiment be one of several that an iteration makes."""
        self._seat = seat
        try:
            yield
        finally:
            self._seat = None

    def seat(self) -> Seat:
        """The first of an iteration that is going to make several experiments."""
        return Seat(self.progress.next_number, self.progress.iteration + 1, 1)

    def siblings(self) -> Iterator[Idea]:
        """The ideas that wait for their results together with the one that is sought."""
        for number in self.progress.pending:
            if number != self.number and (idea := self.progress.idea_of(number)) is not None:
                yield idea

    def process_started(self, what: str, number: int, process: Identity) -> None:
        """Record a process before it runs, so that a later start can stop it."""
        identity = {"pid": process.pid, "ticks": process.ticks, "boot": process.boot}
        self.write("started", number=number, what=what, process=identity)

    def strayed(self, number: int, left: Left) -> None:
        """Record what somebody did in the checkout before a run, or a run itself; with a sentence for the user."""
        paths, aside = [one_line(path, _DESCRIPTION) for path in left.paths[:_PATHS]], left.aside
        when = "after" if aside else "before"
        self.write("left", number=number, when=when, paths=paths, count=len(left.paths), aside=aside and aside.name)
        if aside:
            self._strayed[when] = f"what runs leave ({left.in_words}) the next ones do not find; it is in {aside}"
        elif not self.hand.takes_edits:
            changed = f"{left.in_words} changed since the run before"
            self._strayed[when] = f"what is measured is more than {self.workspace.path}: {changed}"

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences for the user about what was found, at the start and since."""
        return (*self._found, *self.workspace.locks.notices, *self._strayed.values())

    # --- experiment 0

    def baseline(self, measure: Measure) -> Experiment:
        """The incumbent with a value under today's contract; measured only if there is none.

        UserError if the baseline gives no metric.
        """
        incumbent = self.progress.incumbent
        if incumbent is not None and incumbent.contract == self.fingerprint:
            return incumbent
        number = incumbent.number if incumbent else 0
        self.hand.keep_safe()
        self.workspace.restore()
        candidate = self.standing(number)
        trial = self._trial(measure, self.progress.next_number)
        measurement = self._run(candidate, measure) if trial is None else trial.baseline(candidate)
        if measurement.metric is None:
            tail = f"\nThe end of its log:\n{measurement.log_tail.rstrip()}" if measurement.log_tail.strip() else ""
            raise UserError(f"the baseline gives no metric: {measurement.failure}{tail}")
        if incumbent is None:
            self._finish(candidate, measurement, Verdict("keep", "baseline"), None)
        else:
            self.write("remeasured", number=number, metric=measurement.metric, contract=self.fingerprint)
        self.hand.show()
        assert self.progress.incumbent is not None
        return self.progress.incumbent

    def prove_reading(self, measure: Measure) -> None:
        """Show, once per session, that a broken mutable file does not give the baseline's metric.

        UserError if it does.
        """
        if self.progress.probed:
            return
        self.hand.keep_safe()
        workspace = self.workspace
        try:
            measurement = self._run(Candidate(0, workspace.tip, "", "", PROBE), measure)
        finally:
            workspace.restore()
        baseline = self.progress.baseline
        if measurement.metric is not None and baseline is not None and measurement.metric == baseline.metric:
            raise UserError(
                f"the runner does not read {workspace.mutable}: with a broken file there it still gives "
                f"{measurement.metric:.6g}. It may import another checkout's (an editable install does that), "
                "or have been cached; make it run the file in its working directory"
            )
        self.write("probe", failure=measurement.failure)
        self.hand.show()

    # --- the steps of one experiment

    def brief(self) -> Brief:
        """What a critic is told; the ideas that wait for the same iteration are its siblings."""
        incumbent, baseline = self.progress.incumbent, self.progress.baseline
        return Brief(
            number=self.number,
            label=self.label,
            ideas=dict(self.progress.ideas),
            source=self.workspace.incumbent.decode(errors="surrogateescape"),
            metric=incumbent.metric if incumbent else None,
            metric_name=self.problem.metric_name,
            lower_is_better=self.problem.lower_is_better,
            seed=zlib.crc32(self.tag.encode()),
            history=self._journal.ledger,
            contract=self.fingerprint,
            baseline=baseline.metric if baseline else None,
            misses=self.progress.since_keep,
            came_to_nothing=self.progress.came_to_nothing,
            known=lambda content: self.samples.before(self.workspace.blob_of(content)),
            siblings=tuple(self.siblings()),
        )

    def propose(self, ask: Callable[[Brief], Idea]) -> Idea:
        """The next idea: the one that was paid for and not used, or what the critic answers now.

        An edit that somebody made by hand is an idea of its own.
        """
        idea = self.progress.idea_of(self.number)
        if idea is None:
            remove(self.idea_file)  # whoever reads it must not take the last idea for the next one
            began = time.monotonic()
            idea = by_hand("edited by hand") if self.hand.edit is not None else ask(self.brief())
            tokens = idea.tokens or self.progress.spent_on(self.number).tokens
            idea = replace(idea, tokens=tokens, seconds=idea.seconds or round(time.monotonic() - began, 3))
            self.take(idea)
        self._show(idea)
        return idea

    def take(self, idea: Idea) -> None:
        """Put an idea on record: it is the next experiment's."""
        seat = self._seat
        place = {"iteration": seat.iteration, "seat": seat.seat} if seat else {}
        self.write("idea", critic=idea.critic, number=self.number, **place, idea=idea.to_json())

    def drop(self, reason: str) -> None:
        """Put on record that nothing came of the idea, and why."""
        self.why_nothing = reason
        self.write("noop", number=self.number, reason=reason)

    def apply(self, idea: Idea, edit: Callable[[Idea, bytes], bytes]) -> Candidate | None:
        """The candidate that holds the idea; None if nothing came of it, and `why_nothing` says why.

        EditError or ContractBroken if it cannot be made. An idea that a coder broke off with is kept, and tried again.
        """
        made = self.candidate(self.number) if self.hand.edit is None else None
        if made is not None:  # anew, if the branch has gone on since
            return made if made.parent == self.workspace.tip else self._commit(idea, made.content, made.blob)
        self.coder_failed = False
        try:
            content = self.hand.take() if self.hand.edit is not None else edit(idea, self.workspace.incumbent)
        except CoderFailed as failed:
            self._put_off(str(failed))
            return None
        except NoEdit as nothing:
            self.drop(str(nothing))
            return None
        blob = self.workspace.blob_of(content)
        if blob == self.workspace.blob:
            self.drop("the idea changed nothing")
            return None
        return self._commit(idea, content, blob)

    def _commit(self, idea: Idea, content: bytes, blob: str) -> Candidate:
        number = self.number
        _, seat = self.progress.place_of(number)
        candidate = self.workspace.commit(number, content, blob, _message(idea, self.label))
        self.write("applied", number=number, commit=candidate.commit, parent=candidate.parent, blob=blob)
        return replace(candidate, seat=seat)

    def measure(self, candidate: Candidate, run: Measure) -> Measurement:
        """The known result of a file that was measured before, or what running it gives."""
        if self.problem.noise is None:
            found = self.samples.known(candidate)
            return finite(self._run(candidate, run)) if found is None else found
        assert self.progress.incumbent is not None
        assert self.progress.incumbent.metric is not None
        return self.confirm(candidate, run, self.progress.incumbent.metric)

    def confirm(self, candidate: Candidate, run: Measure, best: float, *, earlier: int = 0) -> Measurement:
        """What `noise:` makes of a candidate: measured again, in turn with the incumbent, if it looks better.

        Better, that is, than `best`. `earlier` confirmations of the same iteration are not on record yet.
        """
        trial, incumbent = self._trial(run, candidate.number), self.progress.incumbent
        assert trial is not None
        standing = self.standing(incumbent.number if incumbent else 0)
        lower = self.problem.lower_is_better
        tests = self.progress.spread.tests + earlier
        return trial.candidate(candidate, standing, best, lower=lower, tests=tests)

    def standing(self, number: int, seat: int = 0) -> Candidate:
        """What the branch stands on, to be measured as experiment `number`."""
        workspace = self.workspace
        return Candidate(number, workspace.tip, "", workspace.blob, workspace.incumbent, seat)

    def _trial(self, run: Measure, number: int) -> Trial | None:
        """What measures several times, where the problem says that there is noise."""
        if self.problem.noise is None:
            return None
        return Trial(self.samples, number, self.problem.noise, lambda one: self._run(one, run))

    def record(
        self,
        idea: Idea,
        candidate: Candidate | None,
        measured: Measurement,
        verdict: Verdict,
        beaten: float | None = None,
    ) -> Experiment:
        """Put the result on disk, then advance the branch or restore the file.

        `beaten` is what it was judged against, if it was one of several. ValueError for a verdict that keeps what has
        no metric or no candidate.
        """
        if verdict.status == "keep" and (measured.metric is None or candidate is None):
            raise ValueError(f"experiment {self.label} cannot be kept: it has no metric")
        if candidate is None:
            candidate = Candidate(self.progress.next_number, "", self.workspace.tip, "", b"")
        return self._finish(candidate, measured, verdict, idea, beaten)

    def recent(self, count: int) -> list[Experiment]:
        """The last experiments, the youngest last."""
        return list(self._journal.ledger.experiments(self.progress.next_number - 1 - count))

    def spending_reason(self) -> str | None:
        """The stop rule on tokens or money that holds now, if one does."""
        return spending_reason(self.problem.stop, self.progress)

    def stop_reason(self) -> str | None:
        """The stop rule that holds now, if one does."""
        hours = (time.monotonic() - self._opened) / 3600
        return stop_reason(self.problem.stop, self.progress, self.problem.lower_is_better, hours)

    def close(self) -> None:
        """Bring the views up to date and let go of the ledger; the branch and the file are where they belong."""
        with contextlib.suppress(OSError):
            if not self._table.agrees():
                self._table.rebuild(self._journal.ledger.experiments())
        self._journal.close()

    def _put_off(self, reason: str) -> None:
        """Keep an idea that a coder broke off with for another try, and let go of it after the second one."""
        self.coder_failed = True
        if self.progress.uncoded + 1 >= _TRIES_OF_A_CODER:
            self.coder_failed = False  # it is not put off any more
            self.drop(reason)
            return
        self.why_nothing = reason
        self.write("uncoded", number=self.number, reason=reason)

    def _run(self, candidate: Candidate, run: Measure) -> Measurement:
        """Run the candidate in the session's own checkout.

        What somebody writes in its place meanwhile, or did in the moment before, is kept.
        """
        self.hand.keep_what_came(candidate)
        self.workspace.write(candidate.content)
        measured = run(replace(candidate, seat=0))
        self.hand.keep_what_came(candidate)
        return measured

    def _finish(
        self,
        candidate: Candidate,
        measured: Measurement,
        verdict: Verdict,
        idea: Idea | None,
        beaten: float | None = None,
    ) -> Experiment:
        spent = self.progress.spent_on(candidate.number)
        iteration, seat = self.progress.place_of(candidate.number)
        fields: dict[str, Any] = {
            "number": candidate.number,
            "status": verdict.status,
            "reason": verdict.reason,
            "metric": measured.metric,
            "resource": measured.resource,
            "seconds": round(measured.seconds, 3),
            "commit": candidate.commit,
            "parent": candidate.parent,
            "blob": candidate.blob,
            "contract": self.fingerprint,
            "description": one_line(idea.hypothesis, _DESCRIPTION) if idea else "baseline",
            "exit": measured.exit,
            "machine": measured.machine,
            "tokens": spent.tokens,
            "usd": round(spent.usd, 6),
            "duplicate_of": measured.duplicate_of,
            "log_tail": measured.log_tail[-_LOG_TAIL:] if verdict.status == "crash" else "",
        }
        if seat or iteration != candidate.number:
            fields["iteration"] = iteration
        if seat:
            fields |= {"seat": seat, "beaten": beaten}
        if measured.values:
            fields["values"] = measured.values
        if measured.also:
            fields["also"] = measured.also
        if measured.confirmation is not None:
            fields["confirmation"] = asdict(measured.confirmation)
        self.write("result", **fields)
        if verdict.status == "keep" and candidate.number:
            self.workspace.advance(candidate)
            self.write("advanced", number=candidate.number, commit=candidate.commit)
        else:
            self.workspace.restore()
        done = self.progress.last
        assert done is not None
        with contextlib.suppress(OSError):  # a view; `close` makes it anew
            self._table.add(done)
        return replace(done, idea=idea)

    def candidate(self, number: int) -> Candidate | None:
        """What was made of the idea for experiment `number`, if it got that far."""
        applied = self.progress.candidate_of(number)
        if applied is None:
            return None
        content = self.workspace.git.output("cat-file", "--filters", f"{applied['commit']}:{self.workspace.path}")
        _, seat = self.progress.place_of(number)
        return Candidate(number, applied["commit"], applied["parent"], applied["blob"], content, seat)

    def _show(self, idea: Idea) -> None:
        text = json.dumps(idea.to_json(), indent=2, ensure_ascii=False)
        replace_text(self.idea_file, text + "\n")


def _message(idea: Idea, name: str) -> str:
    lines = [
        one_line(idea.hypothesis, 72),
        "",
        idea.justification.strip(),
        "",
        f"Experiment: {name}",
        f"Critic: {idea.critic}",
    ]
    return "\n".join(line for index, line in enumerate(lines) if line or lines[index - 1]) + "\n"
