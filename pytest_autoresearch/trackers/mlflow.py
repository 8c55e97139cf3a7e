"""MLflow: a run for the session, and in it a run for each experiment."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from pytest_autoresearch.files import replace_text
from pytest_autoresearch.git import Git
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.reports.story import Entry, Story
from pytest_autoresearch.text import head, one_line, plain

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_SESSION, _NUMBER = "autoresearch.session", "autoresearch.number"
_PARENT = "mlflow.parentRunId"
_NOTE = "mlflow.note.content"
_TEXT, _NOTE_TEXT, _FILE_TEXT = 500, 4000, 1_000_000
_MOST_PARAMETERS = 90
_LOCK_S = 60.0
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Copied:
    """How far a session is copied to one server: the session's run there, and the last experiment that is there."""

    experiment_id: str
    run_id: str
    number: int = -1


class MlflowTracker:
    """Copies the session of `story` to the MLflow server or store that its problem names.

    Each experiment is there once, whatever is killed when: how far it has come is in `mlflow.json` beside the ledger,
    and where that may be behind, the server is asked.
    """

    def __init__(self, story: Story, mask: Mask) -> None:
        self._story = story
        self._mask = mask
        self._records = story.place.records
        self._section = story.problem.tracker
        named = self._section.uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._uri = named or f"sqlite:///{self._records / 'mlflow' / 'mlflow.db'}"
        self._artifacts = None if named else (self._records / "mlflow" / "artifacts").as_uri()
        self._client: MlflowClient | None = None
        self._copied: Copied | None = None
        self._sure = False

    def copy(self, *, ended: bool) -> None:
        """Copy the experiments that are not there yet; with `ended` the session's run is over for now.

        Whatever the library, the server or the disk raises; what was copied by then stays, and stays known.
        """
        with FileLock(self._records / "mlflow.lock", timeout=_LOCK_S):
            for entry in self._story.entries():
                self._open()
                if entry.experiment.number > self._known.number:
                    self._add(entry)
            if ended and self._copied is not None:
                self._server.set_terminated(self._known.run_id)

    @property
    def _known(self) -> Copied:
        assert self._copied is not None
        return self._copied

    @property
    def _server(self) -> MlflowClient:
        assert self._client is not None
        return self._client

    def _open(self) -> None:
        """Connect, and find or make the session's run, once."""
        if self._copied is not None:
            return
        from mlflow.tracking import MlflowClient

        (self._records / "mlflow").mkdir(exist_ok=True)
        self._client = MlflowClient(self._uri)
        self._copied = _read(self._file).get(without_login(self._uri)) or self._session_run()
        self._server.update_run(self._copied.run_id, status="RUNNING")
        self._save(self._copied)

    def _session_run(self) -> Copied:
        """The session's run, found by the session's id where `mlflow.json` is gone."""
        story, server = self._story, self._server
        name = self._section.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or story.place.prefix
        found = server.get_experiment_by_name(name)
        experiment_id = str(found.experiment_id if found else server.create_experiment(name, self._artifacts))
        run_id = self._find(experiment_id, _NUMBER, "session")
        if run_id is None:
            problem = story.problem
            tags = {
                _SESSION: self._session,
                _NUMBER: "session",
                _NOTE: problem.objective,
                "branch": story.place.branch,
                "metric_name": problem.metric_name,
                "lower_is_better": str(problem.lower_is_better).lower(),
                "trust": problem.trust,
            }
            run_id = server.create_run(experiment_id, tags=self._masked(tags), run_name=story.place.branch).info.run_id
        return Copied(experiment_id, run_id)

    @property
    def _session(self) -> str:
        return str(self._story.progress.beginning["session"])

    def _find(self, experiment_id: str, tag: str, value: str) -> str | None:
        wanted = f"tags.`{_SESSION}` = '{self._session}' AND tags.`{tag}` = '{value}'"
        found = self._server.search_runs([experiment_id], wanted, max_results=1)
        return found[0].info.run_id if found else None

    def _add(self, entry: Entry) -> None:
        """Make the run of one experiment, or complete the one that somebody began before a kill."""
        from mlflow.entities import Metric, Param, RunTag

        known, server, done = self._known, self._server, entry.experiment
        sure, self._sure = self._sure, False
        ended = int(done.at * 1000)
        tags = {_SESSION: self._session, _NUMBER: str(done.number), _PARENT: known.run_id}
        run_id = None if sure else self._find(known.experiment_id, _NUMBER, str(done.number))
        is_new = run_id is None
        if run_id is None:
            began = ended - int(done.seconds * 1000)
            name = f"{done.label} {done.status}"
            run_id = server.create_run(known.experiment_id, began, tags, name).info.run_id
        metrics = [Metric(name, value, ended, done.number) for name, value in _metrics(entry)]
        params = [Param(name, value) for name, value in self._masked(_params(entry)).items()]
        labels = [RunTag(name, value) for name, value in self._masked(_tags(entry, self._story)).items()]
        server.log_batch(run_id, metrics, params, labels)
        for name, text in self._files(entry):
            server.log_text(run_id, head(self._mask.text(plain(text)), _FILE_TEXT), name)
        server.set_terminated(run_id, "FAILED" if done.status == "crash" else "FINISHED", ended)
        server.log_batch(known.run_id, [one for one in metrics if one.key in ("metric", "best")])
        self._save(Copied(known.experiment_id, known.run_id, done.number))
        self._sure = is_new  # they are added in order: where one was not there, those after it are not

    def _files(self, entry: Entry) -> Iterator[tuple[str, str]]:
        """The artifacts: the change, the end of a crash's log, the idea in full."""
        done = entry.experiment
        if done.commit and done.parent:
            arguments = ("--no-ext-diff", "--no-textconv", "-p", done.parent, done.commit)
            if diff := Git(self._story.place.home).ask("diff-tree", *arguments):
                yield "candidate.diff", diff
        if done.log_tail:
            yield "log_tail.txt", done.log_tail
        if entry.idea is not None:
            yield "idea.json", json.dumps(self._mask.data(entry.idea.to_json()), indent=2, ensure_ascii=False)

    def _masked(self, values: dict[str, str]) -> dict[str, str]:
        return {name: self._mask.text(value) for name, value in values.items()}

    @property
    def _file(self) -> Path:
        return self._records / "mlflow.json"

    def _save(self, copied: Copied) -> None:
        self._copied = copied
        saved = {uri: asdict(one) for uri, one in {**_read(self._file), without_login(self._uri): copied}.items()}
        replace_text(self._file, json.dumps(saved, indent=2) + "\n")


def without_login(text: str) -> str:
    """`text` without the names and passwords in its addresses."""
    return _LOGIN.sub("", text)


def _read(path: Path) -> dict[str, Copied]:
    """How far the session is copied, by the server; what cannot be read is found again on the server."""
    try:
        return {uri: Copied(**one) for uri, one in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _metrics(entry: Entry) -> Iterator[tuple[str, float]]:
    done = entry.experiment
    numbers = {
        "metric": done.metric,
        "best": entry.best,
        "delta": entry.delta,
        "expected_delta": entry.expected,
        "resource": done.resource,
        "seconds": done.seconds,
        "tokens": float(done.tokens),
        "usd": done.usd,
    }
    return ((name, value) for name, value in numbers.items() if value is not None)


def _params(entry: Entry) -> dict[str, str]:
    """What a sampler set, under the names that the mutable file has for it."""
    parameters = entry.idea.parameters.items() if entry.idea else ()
    return {name: one_line(str(value), _TEXT) for name, value in list(parameters)[:_MOST_PARAMETERS]}


def _tags(entry: Entry, story: Story) -> dict[str, str]:
    done, idea = entry.experiment, entry.idea
    note = [idea.hypothesis, idea.justification, idea.code_pseudocode] if idea else ["baseline"]
    return {
        "experiment": done.label,
        "iteration": str(done.made_in),
        "seat": str(done.seat) if done.seat else "",
        "status": done.status,
        "reason": one_line(done.reason, _TEXT),
        "critic": one_line(entry.critic, _TEXT),
        "risk": idea.risk_level if idea else "",
        "hypothesis": one_line(idea.hypothesis if idea else "baseline", _TEXT),
        "commit": done.commit,
        "parent": done.parent,
        "contract": done.contract,
        "run_id": entry.run_id,
        "metric_name": story.problem.metric_name,
        "trust": story.problem.trust,
        _NOTE: head(plain("\n\n".join(filter(None, note))), _NOTE_TEXT),
    }
