"""`pytest-autoresearch finalize`: from a session's keeps to a branch that somebody can review."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from pytest_autoresearch.engines import cluster
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.git import Git, GitError
from pytest_autoresearch.git_locks import GitLocks
from pytest_autoresearch.lock import holder
from pytest_autoresearch.place import Place
from pytest_autoresearch.problem import Problem, parse_problem
from pytest_autoresearch.review.branch import Review, build_review, find_base, find_findings
from pytest_autoresearch.review.comparison import Comparison, compare
from pytest_autoresearch.review.pull_request import pull_request
from pytest_autoresearch.status import ledger_of, no_session

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a review branch is to be: one commit or one for each keep, its name, what it stands on, measured or not.

    Without a `name` it is the session's with `-review`; without a `base` it stands on what the user's checkout is on.
    """

    squash: bool = False
    name: str | None = None
    base: str | None = None
    remeasure: bool = True


def finalize(place: Place, problem: Problem, wishes: Wishes, tell: Tell) -> str:
    """Make the review branch of the session at `place`; the text of a pull request for it.

    `tell` gets sentences about what is going on. UserError, and no branch, if nothing was kept, the keeps do not fit
    on the base, or the result is not better than it; and if a branch of that name holds anything else. Neither the
    user's checkout, index and branches nor the session's are touched.
    """
    name = _branch_name(place, wishes.name)
    own = _own_problem(place)
    findings = find_findings(place, problem, own)
    path = os.path.normpath(place.in_tree(own.mutable_file))
    base = find_base(place, wishes.base, findings.start, path)
    review = build_review(place, findings, base, squash=wishes.squash)
    is_there = _is_there(place, name, review.tip)
    compared = _compared(place, problem, review, tell) if wishes.remeasure else None
    if not is_there:
        _make_branch(place, name, review.tip)
    commits, out = 1 if wishes.squash else len(review.keeps), len(review.left_out)
    tell(
        f"branch {name}, {'as it was already' if is_there else 'made'}: {commits} commit{'' if commits == 1 else 's'} "
        f"on {base}{f'; {out} keep(s) left out that later ones undid' if out else ''}"
    )
    return pull_request(place, findings, review, name, compared)


def _branch_name(place: Place, named: str | None) -> str:
    """The name of the review branch; UserError if it cannot be one."""
    name = f"{place.branch}-review" if named is None else named
    if name == place.branch:
        raise UserError(f"--name: {name} is the session's own branch, which is left as it is; choose another name")
    if Git(place.home).ask("check-ref-format", f"refs/heads/{name}") is None or name.startswith("-"):
        raise UserError(f"--name: {name!r} is no name for a git branch; choose letters, digits, '-' and '/'")
    return name


def _own_problem(place: Place) -> Problem:
    """The problem as the session measures it; UserError if there is no session."""
    beginning = next(ledger_of(place).records("begin"), None)
    if beginning is None:
        raise no_session(place)
    copy = place.records / "copies" / place.problem_name
    text = copy.read_text() if copy.exists() else _text_of(place, beginning["commit"])
    return parse_problem(place.project / place.problem_name, text, look=False)


def _text_of(place: Place, commit: str) -> str:
    return Git(place.home).output("cat-file", "blob", f"{commit}:{place.problem_path}").decode(errors="replace")


def _is_there(place: Place, name: str, tip: str) -> bool:
    """Whether the branch is there just as it would be made; UserError if it holds anything else."""
    found = Git(place.home).ask("rev-parse", "--verify", "--quiet", f"refs/heads/{name}")
    if found is not None and found != tip:
        here = shlex.quote(str(place.home))
        raise UserError(
            f"branch {name} is there already and holds something else ({found[:12]}); it is left as it is. Choose "
            f"another name with --name, or give it one: git -C {here} branch -m {name} {name}-old"
        )
    return found is not None


def _compared(place: Place, problem: Problem, review: Review, tell: Tell) -> Comparison:
    """What base and result give today; UserError if the result is not better."""
    if running := holder(place.records):
        tell(f"session {place.branch} is running ({running}); what is measured now shares the machine with it")
    where = f"; {cluster.in_words(problem.engine)}" if problem.engine.kind == "ray" else ""
    tell(f"measuring {review.base} and the result on it, in a checkout of their own{where}")
    compared = compare(place, problem, review.base.commit, review.tip, tell)
    if not compared.is_better:
        raise UserError(
            f"no branch was made: the result is not better than {review.base} when both are measured now: "
            f"{compared.verdict.reason}"
        )
    tell(f"the result is better than {review.base}: {compared.verdict.reason}")
    return compared


def _make_branch(place: Place, name: str, tip: str) -> None:
    """Make the branch, unless somebody has made one of that name meanwhile; UserError if it cannot be made."""
    arguments = ("update-ref", "-m", f"finalize {place.branch}", f"refs/heads/{name}", tip, "0" * len(tip))
    try:
        GitLocks(place.records / "aside").output(Git(place.home), *arguments)
    except GitError as error:
        raise UserError(f"branch {name} cannot be made ({error.said}); choose another name with --name") from None
