"""A coding agent from the command line, headless, inside the fence."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path

from pytest_autoresearch.coders.agents import command_of, keys_of, with_prompt
from pytest_autoresearch.coders.base import CoderFailed, ContractBroken, NoEdit
from pytest_autoresearch.coders.external import HandEdits
from pytest_autoresearch.coders.fence import Fence
from pytest_autoresearch.coders.fence_git import Findings
from pytest_autoresearch.coders.site import Site
from pytest_autoresearch.environment import coder_environment
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.processes import Command, Outcome
from pytest_autoresearch.records import Idea
from pytest_autoresearch.runner import Stage
from pytest_autoresearch.sections import CoderSection
from pytest_autoresearch.templating import render
from pytest_autoresearch.text import one_line, plain

LOGS_KEPT = 20
_PROMPT = 100_000
_SHOWN = 5
_SAID = 200


class AgentCoder:
    """Has an agent make the edit in the session's checkout, and judges it by what is different afterwards.

    Neither the exit status nor what an agent says is evidence of an edit; a failure is evidence against one. Where
    there is none, the session waits `wait_s` seconds for one made by hand. `critic_keys` are variables that the agent
    never sees.
    """

    def __init__(self, site: Site, section: CoderSection, wait_s: float, critic_keys: tuple[str, ...]) -> None:
        self.name = "command" if section.command is not None else section.agent
        self._site = site
        self._section = section
        self._wait_s = wait_s
        self._critic_keys = critic_keys

    def apply(self, idea: Idea, source: bytes) -> bytes:
        """The file as the agent left it, or as somebody did who was faster to mend it."""
        try:
            return self._edited(idea)
        except NoEdit as nothing:
            if not self._wait_s:
                raise
            self._site.say(f"{nothing}; waiting {self._wait_s:g} s for an edit of {self._site.workspace.mutable}")
            try:
                return HandEdits(self._site).wait(self._wait_s)
            except NoEdit:
                raise nothing from None

    def plan(self, idea: Idea) -> str:
        """The exact command, as somebody would type it."""
        return shlex.join(self._command(idea))

    def _command(self, idea: Idea) -> tuple[str, ...]:
        return with_prompt(command_of(self._section), agent_prompt(self._site, self._section, idea))

    def environment(self) -> dict[str, str]:
        """What the agent sees of the environment, but for what marks its traces in git."""
        return coder_environment(os.environ, keys_of(self._section), self._critic_keys, self._section.env)

    def _edited(self, idea: Idea) -> bytes:
        workspace = self._site.workspace
        content = workspace.read()
        if content is not None and content != workspace.incumbent:
            self._site.say(f"{workspace.mutable} held another edit; it is kept as {workspace.copy_aside(content)}")
        workspace.restore()
        fence = Fence.put_up(workspace, self._site.place.records)
        log = self._log()
        try:
            outcome = self._run(idea, fence, log)
        except BaseException:
            self._put_back(fence, worth_nothing=True)
            raise
        edited, findings = self._put_back(fence, worth_nothing=not _went_well(outcome))
        return self._judged(outcome, edited, findings, log)

    def _put_back(self, fence: Fence, *, worth_nothing: bool) -> tuple[bytes | None, Findings]:
        """Everything is as it was; the edit, and what else was touched. Half an edit is kept to be looked at."""
        workspace = self._site.workspace
        edited = None if workspace.mutable.is_symlink() else workspace.read()
        findings = fence.restore(self._readonly())
        if worth_nothing and edited is not None and edited != workspace.incumbent:
            workspace.copy_aside(edited)
        workspace.restore()
        fence.take_down()
        return edited, findings

    def _run(self, idea: Idea, fence: Fence, log: Path) -> Outcome:
        environment = self.environment()
        command = Command(
            argv=self._command(idea),
            cwd=self._site.workspace.project,
            # what is started without a shell finds the PWD of whoever started us, and opencode believes it
            env={**environment, **fence.variables(environment), "PWD": str(self._site.workspace.project)},
            log=log,
            timeout_s=self._section.timeout_s,
            patterns={},
            secrets=Mask(os.environ, (*self._critic_keys, *self._section.env)).values,
        )
        stage = Stage(f"coder {self.name}", self._site.number, self._section.timeout_s, self._section.timeout_s)
        return self._site.supervisor.run(
            command,
            lambda identity: self._site.started("coder", self._site.number, identity),
            lambda elapsed: self._site.tick(stage, elapsed),
        )

    def _judged(self, outcome: Outcome, edited: bytes | None, findings: Findings, log: Path) -> bytes:
        for undone in findings.undone:
            self._site.say(f"coder {self.name}: undone: {undone}")
        for lost in findings.lost:
            self._site.say(f"coder {self.name}: changed {lost}, which git ignores and which cannot be put back")
        if findings.breaches:
            names = ", ".join(findings.breaches[:_SHOWN])
            raise ContractBroken(f"the coder {self.name} changed {names}, which was put back")
        if not _went_well(outcome):
            raise CoderFailed(f"{self._failure(outcome)} (its log: {self._shown(log)})")
        if edited is None or edited == self._site.workspace.incumbent:
            raise NoEdit(f"the coder {self.name} ended and changed nothing (its log: {self._shown(log)})")
        return edited

    def _failure(self, outcome: Outcome) -> str:
        """What went wrong, and what the user can do about it."""
        who, section = f"the coder {self.name}", self._section
        if outcome.error:
            program = command_of(section)[0]
            return f"{who} could not be started ({outcome.error}); install {program}, or put it on PATH"
        if outcome.expired:
            return f"{who} was ended after {section.timeout_s:g} s (coder.timeout_s)"
        text = f"{who} ended with exit status {outcome.exit}: {one_line(outcome.tail[-_SAID:], _SAID)}"
        withheld = set(self._critic_keys) & set(keys_of(section)) - set(section.env)
        return f"{text}; it did not see {min(withheld)}, the critic's: name it in coder.env" if withheld else text

    def _readonly(self) -> set[str]:
        """The read-only files from the checkout's top."""
        inside = self._site.workspace.project.relative_to(self._site.workspace.checkout)
        return {os.path.normpath(inside / path) for path in self._site.contract.files}

    def _shown(self, log: Path) -> str:
        return os.path.relpath(log, self._site.workspace.project)

    def _log(self) -> Path:
        """Where this run's log goes; of the others the youngest are kept."""
        directory = self._site.workspace.own_directory("coder_logs")
        for old in sorted(directory.glob("*.log"), key=_age)[: -(LOGS_KEPT - 1)]:
            old.unlink(missing_ok=True)
        stamp = time.strftime("%Y%m%dT%H%M%S")
        return directory / f"{stamp}_{self._site.number:05}_{self._site.workspace.tip[:7]}.log"


def _age(log: Path) -> tuple[str, str]:
    """What puts the logs in order: the experiment, then the time, as a clock may be set back."""
    stamp, _, experiment = log.name.partition("_")
    return experiment, stamp


def agent_prompt(site: Site, section: CoderSection, idea: Idea) -> str:
    """What the agent is told; in a template of the user's, names in braces stand for what v1.1 put there."""
    problem = site.problem
    if section.prompt_template is not None:
        values = {
            "{mutable_file}": problem.mutable_file,
            "{readonly_files}": ", ".join(problem.readonly_files) or "any other file",
            "{hypothesis}": idea.hypothesis,
            "{code_pseudocode}": idea.code_pseudocode,
            "{idea_file}": os.path.relpath(site.session.idea_file, site.workspace.project),
        }
        text = section.prompt_template
        for name, value in values.items():
            text = text.replace(name, value)
        return _argument(text)
    text = render(
        "coders",
        "agent.md.j2",
        mutable_file=problem.mutable_file,
        idea=idea,
        objective=problem.objective.strip(),
        lower_is_better=problem.lower_is_better,
        metric_name=problem.metric_name,
        readonly=", ".join(problem.readonly_files) or "Every other file",
        one_readonly=len(problem.readonly_files) < 2,
    )
    return _argument(text)


def _argument(text: str) -> str:
    """What can be one argument of a command: the system takes 128 KiB, and no NUL."""
    return plain(text).encode()[:_PROMPT].decode(errors="ignore")


def _went_well(outcome: Outcome) -> bool:
    return outcome.exit == 0 and not outcome.expired and not outcome.lost and not outcome.error
