"""Whether a session is what it promises to be: an independent check with the standard library and git alone.

It shares no code with the package. `python tests/chaos/check.py REPOSITORY [BRANCH]` prints what is wrong, a line
each, and ends with 1 if anything is. The numbers in brackets are those of the invariants in `docs/reliability.md`.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def violations(repository: Path, branch: str = "toy/run1") -> list[str]:
    """What is wrong with the session on `branch`, each in a sentence; [] if nothing is."""
    records = repository / ".git" / "autoresearch" / branch
    ledger = records / "ledger.jsonl"
    if not ledger.exists():
        return []
    try:
        history = list(read_ledger(ledger))
    except ValueError as error:
        return [f"[2] the ledger is damaged: {error}"]
    if not history or history[0]["kind"] != "begin":
        return ["[2] the ledger does not begin with the session's beginning"] if history else []
    checkout = next((Path(one["path"]) for one in reversed(history) if one["kind"] == "checkout"), None)
    problem = json.loads((repository / history[0]["problem"]).read_text())
    inside = Path(history[0]["problem"]).parent
    mutable = str(inside / problem["mutable_file"])
    return [
        *_experiments(history),
        *_rounds(history),
        *_branch(repository, branch, history, mutable),
        *_candidates(repository, branch, history),
        *(_checkout(checkout, history, mutable) if checkout else []),
        *(_table(checkout / inside, history) if checkout else []),
        *(_slots(repository, records, checkout) if checkout else []),
        *_processes(history),
    ]


def read_ledger(path: Path) -> Iterator[Record]:
    """The records, each of which names the hash of the line before it; ValueError if one does not, or is torn."""
    previous = "0" * 16
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        record = json.loads(line)
        if record["prev"] != previous:
            raise ValueError(f"line {number} does not follow the one before it")
        previous = hashlib.sha256(line).hexdigest()[:16]
        yield record
    if not path.read_bytes().endswith(b"\n") and path.stat().st_size:
        raise ValueError("the last line is torn")


def summary(repository: Path, branch: str = "toy/run1") -> dict[str, Any]:
    """What a session has come to, without hashes and times: equal for two sessions that did the same."""
    history = list(read_ledger(repository / ".git" / "autoresearch" / branch / "ledger.jsonl"))
    results = [one for one in history if one["kind"] == "result"]
    start = history[0]["commit"]
    told = _git(repository, "log", "--reverse", "--format=%s%x00%T", f"{start}..{branch}").split("\n")
    checkout = Path(next(one["path"] for one in reversed(history) if one["kind"] == "checkout"))
    table = checkout / Path(history[0]["problem"]).parent / "results.tsv"
    rows = [line.split("\t")[1:] for line in table.read_text().splitlines()]
    kept = ("number", "status", "reason", "metric", "blob", "description", "duplicate_of", "exit")
    of_rounds = ("iteration", "seat", "beaten")
    return {
        "results": [{name: one.get(name) for name in (*kept, *of_rounds)} for one in results],
        "ideas": [(one["number"], one["idea"]["hypothesis"]) for one in history if one["kind"] == "idea"],
        "branch": told,
        "table": rows,
    }


def _experiments(history: list[Record]) -> Iterator[str]:
    """Each experiment is there once, in order, with its one idea and its one candidate."""
    numbers = [one["number"] for one in history if one["kind"] == "result"]
    if numbers != list(range(len(numbers))):
        yield f"[2] the experiments are numbered {numbers}"
    waiting: dict[int, set[str]] = {}
    for one in history:
        if one["kind"] in ("noop", "result"):
            waiting.pop(one["number"], None)
        if one["kind"] in ("idea", "applied"):
            had = waiting.setdefault(one["number"], set())
            if one["kind"] in had:
                yield f"[2] experiment {one['number']} has another record of {one['kind']}, and the first waits"
            had.add(one["kind"])
    applied = {one["number"]: one for one in history if one["kind"] == "applied"}
    for one in history:
        if one["kind"] == "result" and one["number"] and one["commit"]:
            candidate = applied.get(one["number"])
            if candidate is None or (candidate["commit"], candidate["blob"]) != (one["commit"], one["blob"]):
                yield f"[2] experiment {one['number']} measured another candidate than was applied"


def _rounds(history: list[Record]) -> Iterator[str]:
    """The candidates of an iteration sit without a gap, were to beat the same incumbent, and one at most is kept."""
    rounds: dict[int, list[Record]] = {}
    for one in history:
        if one["kind"] == "result" and "seat" in one:
            rounds.setdefault(one["iteration"], []).append(one)
    if list(rounds) != sorted(rounds):
        yield f"[2] the iterations come in the order {list(rounds)}"
    for iteration, made in rounds.items():
        first, seats = made[0]["number"], [one["seat"] for one in made]
        if seats != list(range(1, len(made) + 1)) or [one["number"] - first + 1 for one in made] != seats:
            yield f"[2] iteration {iteration} has the seats {seats}"
        for name in ("parent", "beaten"):
            if len(found := {one[name] for one in made}) > 1:
                yield f"[1] the candidates of iteration {iteration} have more than one {name}: {found}"
        if (count := sum(one["status"] == "keep" for one in made)) > 1:
            yield f"[1] iteration {iteration} kept {count} candidates"


def _branch(repository: Path, branch: str, history: list[Record], mutable: str) -> Iterator[str]:
    """The branch is the kept experiments, in order, on the commit that the session began with."""
    start = history[0]["commit"]
    kept = [one["commit"] for one in history if one["kind"] == "result" and one["status"] == "keep" and one["number"]]
    found = _git(repository, "rev-list", "--reverse", "--first-parent", f"{start}..refs/heads/{branch}").split()
    if found != kept:
        yield f"[1] the branch holds {_short(found)}, the ledger kept {_short(kept)}"
    for parent, commit in zip([start, *found], found, strict=False):
        if _git(repository, "rev-parse", f"{commit}^@").split() != [parent]:
            yield f"[1] {commit[:7]} does not stand on {parent[:7]}"
        changed = _git(repository, "diff-tree", "-r", "--name-only", parent, commit).split("\n")
        if changed != [mutable]:
            yield f"[1] {commit[:7]} changes {changed}"


def _candidates(repository: Path, branch: str, history: list[Record]) -> Iterator[str]:
    """Each candidate on record is there, whole, and kept by a ref of the session's."""
    refs = _git(repository, "for-each-ref", "--format=%(refname)", "refs/autoresearch", f"refs/heads/{branch}").split()
    reachable = set(_git(repository, "rev-list", *refs).split()) if refs else set()
    for one in history:
        if one["kind"] == "applied":
            if one["commit"] not in reachable:
                yield f"[2] the candidate of experiment {one['number']} ({one['commit'][:7]}) is kept by no ref"
            elif _git(repository, "cat-file", "-t", one["blob"]) != "blob":
                yield f"[2] the file of experiment {one['number']} is not there"


def _checkout(checkout: Path, history: list[Record], mutable: str) -> Iterator[str]:
    """The checkout has the incumbent's file, in the index and on the disk, and no lock of git's is left."""
    kept = [one["commit"] for one in history if one["kind"] == "result" and one["status"] == "keep" and one["number"]]
    tip = kept[-1] if kept else history[0]["commit"]
    file = checkout / mutable
    if not file.is_file() or _git(checkout, "hash-object", "--", mutable) != _git(
        checkout, "rev-parse", f"{tip}:{mutable}"
    ):
        yield f"[1] {mutable} in the checkout is not the incumbent's"
    if dirty := _git(checkout, "status", "--porcelain"):
        yield f"[1] the checkout is not clean: {dirty}"
    directory = Path(_git(checkout, "rev-parse", "--absolute-git-dir"))
    yield from (f"[1] a lock is left: {lock}" for lock in directory.glob("*.lock"))


def _table(checkout: Path, history: list[Record]) -> Iterator[str]:
    """`results.tsv` has a row for each experiment, with its metric and status."""
    wanted = [(one["metric"], one["status"]) for one in history if one["kind"] == "result"]
    try:
        rows = [line.split("\t") for line in (checkout / "results.tsv").read_text().splitlines()][1:]
    except OSError:
        yield "[2] there is no results.tsv"
        return
    found = [(float(row[1]) if row[1] else None, row[3]) for row in rows]
    if found != wanted:
        yield f"[2] results.tsv has {found}, the ledger {wanted}"


def _slots(repository: Path, records: Path, checkout: Path) -> Iterator[str]:
    """Nothing is left of the checkouts in which several were measured at once."""
    listed = _git(repository, "worktree", "list", "--porcelain").split("\n")
    there = {str(path) for path in checkout.parent.glob(f"{checkout.name}.slot*")}
    there |= {line.partition(" ")[2] for line in listed if f"/{checkout.name}.slot" in line}
    yield from (f"[2] a slot is left: {path}" for path in sorted(there))
    if (records / "slots").exists():
        yield "[2] the records of slots are left"


def _processes(history: list[Record]) -> Iterator[str]:
    """No process of the session is alive: none that is on record, none that has its mark."""
    mark = f"AUTORESEARCH_MARKER={history[0]['session']}-".encode()
    started = {one["process"]["pid"]: one["process"]["ticks"] for one in history if one["kind"] == "started"}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            state, *rest = (entry / "stat").read_bytes().rpartition(b") ")[2].split()
        except OSError:
            continue
        if state in b"ZX":
            continue
        if any(entry.startswith(mark) for entry in environment):
            yield f"[2] process {entry.name} of the session is alive"
        elif started.get(int(entry.name)) == rest[18].decode():
            yield f"[2] process {entry.name}, which is on record, is alive"


def users_things(repository: Path, branch: str = "toy/run1") -> Mapping[str, object]:
    """All that is the user's, byte for byte: files, index, refs, configuration, hooks; what a session adds is not."""
    found: dict[str, object] = {}
    for top, directories, names in os.walk(repository):
        directories[:] = [one for one in directories if one not in (".git", ".autoresearch", "__pycache__")]
        for name in [*names, *(one for one in directories if (Path(top) / one).is_symlink())]:
            path = Path(top) / name
            found[str(path.relative_to(repository))] = _content(path)
    for name in ("HEAD", "config", "description", "packed-refs", "ORIG_HEAD"):
        found[f".git/{name}"] = _content(repository / ".git" / name)
    for hook in sorted((repository / ".git" / "hooks").glob("*")):
        found[f"hook {hook.name}"] = _content(hook)
    found["index"] = _git(repository, "ls-files", "--stage", "-v")
    own = (f" refs/heads/{branch}", " refs/autoresearch/")
    refs = _git(repository, "for-each-ref", "--format=%(objectname) %(refname)").split("\n")
    found["refs"] = [ref for ref in refs if not any(mark in ref for mark in own)]
    found["stash"] = _git(repository, "stash", "list")
    return found


def _content(path: Path) -> tuple[int, bytes] | None:
    try:
        mode = path.lstat().st_mode
        return mode, os.fsencode(path.readlink()) if stat.S_ISLNK(mode) else path.read_bytes()
    except OSError:
        return None


def _git(directory: Path, *arguments: str) -> str:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    done = subprocess.run(
        ["git", "-c", "core.quotePath=false", *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else f"git {arguments[0]} failed: {done.stderr.strip()}"


def _short(commits: list[str]) -> list[str]:
    return [commit[:7] for commit in commits]


if __name__ == "__main__":
    wrong = violations(Path(sys.argv[1]), *sys.argv[2:3])
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)
