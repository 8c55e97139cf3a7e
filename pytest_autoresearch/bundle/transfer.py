"""`pytest-autoresearch export` and `import`: a session in one file, and out of it in another clone."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from pytest_autoresearch.bundle.archive import Contents, NotOurs, read_contents, unpack, write_archive
from pytest_autoresearch.bundle.packs import cut_off, find_roots, take_bundle, write_bundle
from pytest_autoresearch.bundle.prefix import add_up, begins_with, copy_start, settled
from pytest_autoresearch.data import files_below
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import flush_directory, flush_way
from pytest_autoresearch.git import Git
from pytest_autoresearch.git_locks import GitLocks
from pytest_autoresearch.ledger import Ledger
from pytest_autoresearch.lock import SessionLock
from pytest_autoresearch.place import Place, find_place
from pytest_autoresearch.processtree import MARKER
from pytest_autoresearch.progress import Progress
from pytest_autoresearch.status import ledger_of

_LEDGER, _OBJECTS = "ledger.jsonl", "objects.bundle"
_RECORDS = ("confirmed.json", "holdout.jsonl", "preconditions.json")
_STAGE = ".import-"


# --- export


def export_session(place: Place, file: Path) -> Progress:
    """Put the session at `place` into `file`: branch, candidates and records; what they add up to.

    It may be running: what it has on record by now is taken, without the processes that have not ended. UserError if
    there is no session, and for a file that is there and is something else.
    """
    if MARKER in os.environ:
        raise UserError("an exported session holds the holdout, which is not for a runner or a coder to see")
    ledger = ledger_of(place).path
    _check_target(file)
    with tempfile.TemporaryDirectory(prefix="autoresearch-export-") as name:
        stage = Path(name)
        copy_start(ledger, stage / _LEDGER, settled(ledger))
        progress = add_up(stage / _LEDGER)
        contents = _pack(place, progress, stage)
        for record in _RECORDS:
            if (place.records / record).exists():
                shutil.copy2(place.records / record, stage / record)
        copies = place.records / "copies"
        members = {_LEDGER: stage / _LEDGER, _OBJECTS: stage / _OBJECTS}
        members |= {record: stage / record for record in _RECORDS if (stage / record).exists()}
        members |= {f"copies/{path.relative_to(copies).as_posix()}": path for path in files_below(copies)}
        write_archive(file, contents, members)
    return progress


def _check_target(file: Path) -> None:
    """UserError if there is no place for the file, or something else is there."""
    if not file.absolute().parent.is_dir():
        raise UserError(f"{file.parent}: there is no such directory; make it, or name another file")
    if os.path.lexists(file):
        try:
            read_contents(file)
        except NotOurs:
            raise UserError(f"{file}: is there already, and is no exported session; name another file") from None


def _pack(place: Place, progress: Progress, stage: Path) -> Contents:
    """Pack the commits of the session; UserError if git has lost one that it goes on from."""
    git, beginning = Git(place.home), progress.beginning
    start, tip = beginning["commit"], progress.tip
    for commit in sorted(git.missing({start, tip})):
        raise UserError(f"commit {commit} of session {place.branch} is in {place.home} no more; fetch it from a copy")
    chain = git.ask("rev-parse", "--verify", "--quiet", place.ref) or ""
    applied = [record["commit"] for record in Ledger(stage / _LEDGER).records("applied")]
    lost = git.missing(applied) if applied else set()
    commits = [commit for commit in applied if commit not in lost]
    refs = {f"refs/heads/{place.branch}": tip} | ({place.ref: chain} if chain else {})
    write_bundle(git, stage / _OBJECTS, refs, (start, *commits))
    roots = find_roots(git, (start, tip, *refs.values(), *commits))
    return Contents(
        prefix=place.prefix,
        tag=place.tag,
        problem=beginning["problem"],
        session=beginning["session"],
        start=start,
        tip=tip,
        chain=chain,
        roots=roots,
        shallow=tuple(sorted(cut_off(place.common).intersection(roots))),
    )


# --- import


@dataclass(frozen=True, slots=True)
class Imported:
    """A session that was imported: where it is now, and what it adds up to."""

    place: Place
    progress: Progress

    @property
    def missing(self) -> list[str]:
        """The files that git does not hold and the user's checkout lacks, which the problem needs there as well."""
        copies = self.place.records / "copies"
        found = (path.relative_to(copies) for path in files_below(copies))
        return [str(path) for path in found if not (self.place.project / path).exists()]

    def lines(self) -> Iterator[str]:
        """What there is to say of it."""
        count = self.progress.experiments
        yield f"session {self.place.branch} is here with {count} experiment{'' if count == 1 else 's'}"
        if missing := self.missing:
            copies, project = (shlex.quote(str(path)) for path in (self.place.records / "copies", self.place.project))
            named = ", ".join(missing[:5])
            yield f"git does not hold {named}; to have it in your checkout too: cp -R {copies}/. {project}"


def import_session(problem_file: Path, prefix: str, file: Path) -> Imported:
    """Make the session in `file` one of the repository that the problem is in, whose branch_prefix is `prefix`.

    One that is there already goes forward to what the file has of it. UserError if the file is not whole, or the
    session another problem's or repository's; if it is running; and if what is there is not in the file.
    Whenever we are killed, the session is there as before or as in the file once it is opened again.
    """
    contents = read_contents(file)
    place = find_place(problem_file, prefix, contents.tag)
    if (contents.prefix, contents.problem) != (place.prefix, place.problem_path):
        raise UserError(
            f"{file}: holds session {contents.prefix}/{contents.tag} of {contents.problem}, which is not "
            f"{place.problem_path} with branch_prefix {place.prefix}; name its problem with --problem"
        )
    with ExitStack() as stack:
        stage = stack.enter_context(_stage(place))
        unpack(file, stage, _belongs)
        progress = add_up(stage / _LEDGER)
        _check_ledger(file, contents, progress)
        _check_repository(place, contents, file)
        _take_objects(file, place, stage / _OBJECTS, contents)
        (stage / _OBJECTS).unlink()
        if (place.records / _LEDGER).exists():
            _go_forward(stack, place, stage, contents, progress)
        else:
            _settle(stack, place, stage, contents)
    return Imported(place, progress)


@contextmanager
def _stage(place: Place) -> Iterator[Path]:
    """A directory on the disk of the records; those of imports that were killed are taken away."""
    top = place.common / "autoresearch"
    top.mkdir(exist_ok=True)
    for old in top.glob(f"{_STAGE}*"):
        if not psutil.pid_exists(int(old.name.removeprefix(_STAGE).split("-")[0])):
            shutil.rmtree(old, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix=f"{_STAGE}{os.getpid()}-", dir=top))
    try:
        stage = directory / "records"
        stage.mkdir()
        yield stage
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _check_ledger(file: Path, contents: Contents, progress: Progress) -> None:
    """UserError if the ledger is not of the session that the file says it holds."""
    begin, names = progress.beginning, ("session", "branch", "problem", "commit")
    said = (contents.session, f"{contents.prefix}/{contents.tag}", contents.problem, contents.start, contents.tip)
    if (*(begin[name] for name in names), progress.tip) != said:
        raise UserError(f"{file}: is damaged; its ledger is another session's, and nothing was imported")


def _take_objects(file: Path, place: Place, bundle: Path, contents: Contents) -> None:
    """Put the session's commits into the repository; UserError if the file lacks one."""
    git = Git(place.home)
    take_bundle(git, place.common, bundle, start=contents.start, shallow=contents.shallow)
    if missing := git.missing({contents.start, contents.tip, contents.chain or contents.tip}):
        raise UserError(f"{file}: is damaged; it lacks commit {min(missing)[:12]}, and nothing was imported")


def _check_repository(place: Place, contents: Contents, file: Path) -> None:
    """UserError if this is known to be another repository: it shares no beginning with the session's.

    A repository that is shallow, or was, does not show where it begins.
    """
    known = {contents.start, *contents.roots}
    if not contents.shallow and not cut_off(place.common) and Git(place.home).missing(known) == known:
        raise UserError(
            f"{file}: holds a session of another repository than {place.home}; import it in a clone of that"
        )


def _settle(stack: ExitStack, place: Place, stage: Path, contents: Contents) -> None:
    """Put a new session in its place; its records, which come in one step, are all that it takes to mend the rest."""
    tip = _branch_tip(place)
    if tip not in (None, contents.tip):
        raise UserError(
            f"branch {place.branch} is there already and is no session's of this machine; give it another name: "
            f"git -C {shlex.quote(str(place.home))} branch -m {place.branch} {place.branch}-old"
        )
    if place.records.exists():  # a start that was refused has left its lock there
        _hold(stack, place.records, place.branch)
        place.records.rename(stage.parent / "before")
    _hold(stack, stage, place.branch)
    _move_chain(place, contents)
    place.records.parent.mkdir(parents=True, exist_ok=True)
    flush_directory(stage)
    stage.rename(place.records)
    flush_way(place.common, place.records.parent)
    _move_branch(place, contents.tip)


def _go_forward(stack: ExitStack, place: Place, stage: Path, contents: Contents, progress: Progress) -> None:
    """Bring a session that is there to what the file has of it.

    The branch is away while the ledger changes: one that is gone is made again from whichever ledger is there.
    """
    _hold(stack, place.records, place.branch)
    has_more = _has_more(place, stage, progress)
    keeps = {one.commit for one in Ledger(stage / _LEDGER).experiments() if one.status == "keep"}
    tip = _branch_tip(place)
    if tip not in (None, contents.start, *keeps):
        raise UserError(
            f"branch {place.branch} was moved to {str(tip)[:12]}, which session {place.branch} did not keep; put it "
            f"back: git -C {shlex.quote(str(place.home))} update-ref refs/heads/{place.branch} {contents.tip}"
        )
    _move_chain(place, contents)
    if tip not in (None, contents.tip):
        _update_ref(place, "-d", f"refs/heads/{place.branch}", str(tip))
    for name in (*_RECORDS, _LEDGER):
        if has_more and (stage / name).exists():
            (stage / name).replace(place.records / name)
    flush_directory(place.records)
    _move_branch(place, contents.tip)


def _has_more(place: Place, stage: Path, progress: Progress) -> bool:
    """Whether the file has more than is on record here; UserError unless that is the beginning of what it has."""
    ours, theirs = place.records / _LEDGER, stage / _LEDGER
    size, here = settled(ours), add_up(ours)
    if begins_with(theirs, ours, size):
        return theirs.stat().st_size > size
    if here.beginning["session"] != progress.beginning["session"]:
        raise UserError(
            f"another session {place.branch} is there already; import this one in another clone, or throw that one "
            "away first, as README.md says"
        )
    told = f"{here.next_number} experiments here, {progress.next_number} in the file, baselines included"
    if begins_with(ours, theirs, settled(theirs)):
        raise UserError(f"session {place.branch} is further here than in the file ({told}); nothing was imported")
    raise UserError(
        f"session {place.branch} went on both here and in the file, apart from one another ({told}); to have both, "
        "import the file in another clone"
    )


def _belongs(name: str) -> bool:
    """Whether a member is something that an export writes."""
    return name in (_LEDGER, _OBJECTS, *_RECORDS) or name.startswith("copies/")


def _hold(stack: ExitStack, records: Path, session: str) -> None:
    """Have the lock of a session, so that it does not run; UserError if it does."""
    lock = SessionLock(records)
    lock.acquire(session)
    stack.callback(lock.release)


def _branch_tip(place: Place) -> str | None:
    return Git(place.home).ask("rev-parse", "--verify", "--quiet", f"refs/heads/{place.branch}")


def _move_chain(place: Place, contents: Contents) -> None:
    if contents.chain:
        _update_ref(place, place.ref, contents.chain)


def _move_branch(place: Place, tip: str) -> None:
    if _branch_tip(place) != tip:
        _update_ref(place, f"refs/heads/{place.branch}", tip, "0" * len(tip))


def _update_ref(place: Place, *arguments: str) -> None:
    GitLocks(place.records / "aside").output(Git(place.home), "update-ref", *arguments)
