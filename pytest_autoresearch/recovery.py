"""Making a session whole again: processes, branch, mutable file and views are what its ledger says."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from pytest_autoresearch.coders.fence import Fence
from pytest_autoresearch.contract import Contract
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.journal import Journal
from pytest_autoresearch.leftovers import Leftovers
from pytest_autoresearch.processes import sweep
from pytest_autoresearch.progress import Progress
from pytest_autoresearch.results import ResultsTable
from pytest_autoresearch.workspace import PROBE, BranchMoved, Workspace

EDIT = "edit"


@dataclass(frozen=True, slots=True)
class Found:
    """What was found at the start: sentences for the user, and an edit by hand that waits to be measured."""

    notices: list[str]
    edit: bytes | None


def recover(
    journal: Journal,
    workspace: Workspace,
    contract: Contract,
    table: ResultsTable,
    leftovers: Leftovers,
    *,
    mark: str,
    records: Path,
    takes_edits: bool,
) -> Found:
    """Finish what was interrupted.

    UserError where something is the user's to decide: a branch that was moved, a read-only file that holds what this
    package did not write, and a mutable file that does unless the session `takes_edits`.
    """
    progress = journal.progress
    notices = []
    if ended := sweep(mark, progress.pending_processes):
        notices.append(f"{len(ended)} process(es) that an earlier run left behind were ended")
    if leftovers.is_interrupted and (left := leftovers.clear()):
        notices.append(f"a run was interrupted; what it left ({left.in_words}) is put aside in {left.aside}")
    if workspace.branch is None:
        workspace.stand_on(progress.beginning["commit"])
    else:
        notices += [*_coder(journal, workspace, records), *_branch(journal, workspace), *_chain(journal, workspace)]
    edit = _mutable_file(progress, workspace, takes_edits)
    if takes_edits:
        edit = _edit(records / EDIT, workspace, edit)
    _readonly_files(contract, workspace)
    if not table.agrees() and (kept := table.rebuild(journal.ledger.experiments())):
        notices.append(f"{table.path.name} was edited; it is rebuilt, and your version is {kept}")
    return Found(notices, edit)


def _coder(journal: Journal, workspace: Workspace, records: Path) -> list[str]:
    """Put back what a coder that was killed together with us left behind, half an edit included."""
    fence = Fence.left_standing(workspace, records)
    if fence is None:
        return []
    progress = journal.progress
    workspace.stand_on(progress.tip)
    content = workspace.read()
    findings = fence.restore()
    if content is not None and content != workspace.incumbent:
        workspace.copy_aside(content)
    workspace.restore()
    fence.take_down()
    touched = ", ".join([workspace.mutable.name, *findings.breaches, *findings.undone])
    return [f"a coder was interrupted; what it left ({touched}) is put aside in {workspace.own_directory() / 'aside'}"]


def _branch(journal: Journal, workspace: Workspace) -> list[str]:
    """The branch stands on the last keep; a keep that was on record and not on the branch is put there."""
    notices = []
    progress = journal.progress
    keep = progress.unadvanced
    if keep is not None and workspace.branch_tip() == keep.parent:
        workspace.move_branch(keep.commit, keep.parent)
    expected = progress.tip
    tip = workspace.branch_tip()
    if tip is None:
        workspace.locks.output(
            workspace.git, "update-ref", f"refs/heads/{workspace.branch}", expected, "0" * len(expected)
        )
        notices.append(f"branch {workspace.branch} was gone; it is made again, from the ledger")
    elif tip != expected:
        raise BranchMoved(workspace.moved(expected, expected))
    if keep is not None:
        journal.write("advanced", number=keep.number, commit=keep.commit)
    workspace.stand_on(expected)
    if workspace.indexed_blob() != workspace.blob:
        workspace.index_incumbent()
    return notices


def _chain(journal: Journal, workspace: Workspace) -> list[str]:
    """The ref of the session keeps all candidates; one that was deleted or moved gets them again."""
    progress = journal.progress
    pending = progress.pending_candidates
    last = pending[-1]["commit"] if pending else progress.last and progress.last.commit
    if not last or last == progress.beginning["commit"] or workspace.chain.holds(last):
        return []
    lost = workspace.chain.mend(record["commit"] for record in journal.ledger.records("applied"))
    less = f"; {lost} candidate(s) git has no more" if lost else ""
    return [f"{workspace.ref} did not keep the candidates any more; it is made again, from the ledger{less}"]


def _mutable_file(progress: Progress, workspace: Workspace, takes_edits: bool) -> bytes | None:
    """What we wrote there gives way to the incumbent; what somebody else wrote is kept, and returned."""
    content = workspace.read()
    if content is None or content in (workspace.incumbent, PROBE):
        workspace.restore()
        return None
    blob, pending = workspace.blob_of(content), [one["blob"] for one in progress.pending_candidates]
    ours = blob == workspace.blob or blob in pending
    if ours or (blob in progress.known and not (takes_edits and not pending)):
        workspace.restore()
        return None
    if takes_edits:
        return content
    raise UserError(
        f"{workspace.mutable} holds a change that this session did not make. To have it measured: "
        f"pytest-autoresearch run. To be rid of it: git -C {shlex.quote(str(workspace.checkout))} checkout -- "
        f"{shlex.quote(workspace.path)}"
    )


def _edit(kept: Path, workspace: Workspace, edit: bytes | None) -> bytes | None:
    """The edit by hand in whose place something else was measured when we were killed, put back; or a newer one."""
    if edit is None and kept.exists():
        edit = kept.read_bytes()
        workspace.write(edit)
    kept.unlink(missing_ok=True)
    return edit


def _readonly_files(contract: Contract, workspace: Workspace) -> None:
    missing = [path for path in contract.changed(workspace.project) if not (workspace.project / path).exists()]
    for path in missing:
        contract.put_back(workspace.project, path)
    changed = contract.changed(workspace.project)
    if changed:
        raise UserError(
            f"{', '.join(changed)} in {workspace.project} is not as it was when the session began. Put it back "
            f"(git -C {shlex.quote(str(workspace.project))} checkout -- {shlex.join(changed)}), or start "
            "another session with --autoresearch-tag"
        )
