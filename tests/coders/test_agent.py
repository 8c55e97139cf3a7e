"""A coding agent from the command line: what it is given, what becomes of what it does, and how it fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pytest_autoresearch.coders import external
from pytest_autoresearch.coders.agent import LOGS_KEPT, agent_prompt
from pytest_autoresearch.coders.base import CoderFailed, ContractBroken, NoEdit
from pytest_autoresearch.records import Idea
from pytest_autoresearch.sections import CoderSection
from tests.coders.support import IDEA, Room, open_room
from tests.conftest import MakeToy
from tests.support import Toy, alive, git, kill, wait_for

EDIT = "echo echo score: 8 > solution.sh"
EDITED = b"echo score: 8\n"
KEY = "sk-none-of-your-business-0123456789"


@pytest.fixture
def room(make_toy: MakeToy) -> Iterator[Room]:
    files = {"evaluate.py": "read-only\n", ".gitignore": "*.log\n__pycache__/\n"}
    with open_room(make_toy(files=files, problem={"readonly_files": ["evaluate.py"]})) as opened:
        yield opened


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for an edit looks more often."""
    monkeypatch.setattr(external, "_POLL_S", 0.05)
    monkeypatch.setattr(external, "_SETTLE_S", 0.05)


def in_place(room: Room) -> bool:
    """Whether the incumbent is where it belongs, and no fence is left."""
    workspace = room.site.workspace
    clean = git(workspace.checkout, "status", "--porcelain") == ""
    return clean and workspace.read() == workspace.incumbent and not (room.toy.records / "coding").exists()


# --- what it does


@pytest.mark.parametrize(
    "script",
    [
        EDIT,
        f"{EDIT}; git commit -qam 8; git tag 8; git checkout -q --detach; git stash",
        f"{EDIT}; chmod 755 solution.sh; touch evaluate.py",
        f"{EDIT}; cp solution.sh x; mv x solution.sh; mkdir __pycache__ empty; echo > __pycache__/x.pyc; echo > a.log",
        f"{EDIT}; (sleep 1000 & setsid sleep 1000 &)",
    ],
)
def test_an_edit_of_the_mutable_file_is_what_comes_of_it(room: Room, script: str) -> None:
    assert room.bash(script) == EDITED
    assert in_place(room)


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ("echo >> evaluate.py", "evaluate.py"),
        ("rm problem.yaml", "problem.yaml"),
        ("echo > helper.py", "helper.py"),
        ("git config user.name me", ".git/config"),
        ("for n in 1 2 3 4 5 6 7; do echo > $n; done", "1, 2, 3, 4, 5"),
        ("printf 'x' > $'a\\nb\\033[31m\\xff'", "a b [31m?"),
    ],
)
def test_a_change_of_anything_else_breaks_the_contract(room: Room, script: str, named: str) -> None:
    with pytest.raises(ContractBroken, match=re.escape(f"changed {named}, which was put back")):
        room.bash(f"{EDIT}; {script}")
    assert in_place(room)


def test_what_was_undone_is_said(room: Room) -> None:
    room.bash(f"{EDIT}; git add solution.sh; git branch mine")
    assert [line.split(" (")[0] for line in room.lines] == [
        "coder command: undone: staged changes",
        "coder command: undone: branch mine made",
    ]


@pytest.mark.parametrize(
    "script",
    [
        "true",
        "touch solution.sh",
        "rm solution.sh",
        "rm solution.sh; mkdir solution.sh; echo > solution.sh/x",
        "chmod 600 solution.sh",
        "ln -sf evaluate.py solution.sh",
        "ln -sf /dev/zero solution.sh",
        "ln -sf nowhere solution.sh",
        "rm solution.sh; mkfifo solution.sh",
        f"{EDIT}; rm solution.sh; ln -s solution.sh solution.sh",
    ],
)
def test_where_the_file_holds_nothing_new_there_is_no_edit(room: Room, script: str) -> None:
    with pytest.raises(NoEdit, match=r"ended and changed nothing \(its log: .autoresearch/coder_logs/"):
        room.bash(script)
    assert in_place(room)


def test_another_edit_that_was_there_is_kept(room: Room) -> None:
    room.edit("echo score: mine\n")
    assert room.bash(f"cat solution.sh; {EDIT}") == EDITED
    assert room.log() == "echo score: 10\n"
    (kept,) = (path for path in (room.site.directory / "aside").iterdir() if path.is_file())
    assert kept.read_text() == "echo score: mine\n"
    assert str(kept) in room.lines[0]


# --- how it fails


def failure(room: Room, script: str, timeout_s: float = 600) -> str:
    with pytest.raises(CoderFailed) as caught:
        room.bash(script, timeout_s=timeout_s)
    assert in_place(room)
    return str(caught.value)


def test_half_an_edit_of_an_agent_that_failed_is_put_aside(room: Room) -> None:
    said = failure(room, f"{EDIT}; echo out of credit; exit 3")
    assert said.startswith(
        "the coder command ended with exit status 3: out of credit (its log: .autoresearch/coder_logs/"
    )
    assert [path.read_bytes() for path in (room.site.directory / "aside").glob("*solution.sh")] == [EDITED]


def test_an_agent_that_takes_too_long_is_ended_with_all_that_it_started(room: Room, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    started = "echo $BASHPID >> $0; exec sleep 1000"
    script = f"""
        trap '' TERM
        (setsid bash -c '{started}' {pids} &)
        (trap '' TERM; bash -c '{started}' {pids}) &
        echo $$ >> {pids}; {EDIT}; while :; do sleep 1; done
    """
    said = failure(room, script, timeout_s=1)
    assert "was ended after 1 s (coder.timeout_s)" in said
    assert not [pid for pid in map(int, pids.read_text().split()) if alive(pid)]


def test_an_agent_that_is_not_there_is_named_with_what_to_do(room: Room) -> None:
    with pytest.raises(CoderFailed, match=r"could not be started .*; install no-such-agent, or put it on PATH"):
        room.agent(command=["no-such-agent", "{prompt}"]).apply(IDEA, room.source)
    assert in_place(room)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_everything_is_put_back_where_we_are_interrupted(room: Room, error: type[BaseException]) -> None:
    def interrupt(elapsed: float) -> None:
        if (room.site.workspace.checkout / "new").exists():
            raise error

    room.ticked = interrupt
    with pytest.raises(error):
        room.bash(f"{EDIT}; echo > new; git commit -qam x; sleep 1000")
    assert in_place(room)
    assert [path.read_bytes() for path in (room.site.directory / "aside").glob("*solution.sh")] == [EDITED]


def test_a_withheld_key_of_the_critic_is_what_an_agent_may_lack(
    room: Room, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "claude").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "claude").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    agent = room.agent(critic_keys=("ANTHROPIC_API_KEY",), agent="claude")
    with pytest.raises(CoderFailed, match="it did not see ANTHROPIC_API_KEY, the critic's: name it in"):
        agent.apply(IDEA, room.source)


# --- an edit by hand instead


@pytest.mark.parametrize("script", ["exit 1", "true"])
def test_an_edit_by_hand_takes_the_place_of_the_agents(room: Room, script: str) -> None:
    room.hear = lambda line: room.edit("echo score: 5\n")
    assert room.bash(script, wait_s=30) == b"echo score: 5\n"
    assert "; waiting 30 s for an edit of " in room.lines[0]


@pytest.mark.parametrize(("script", "error"), [("exit 1", CoderFailed), ("true", NoEdit)])
def test_where_nobody_makes_one_it_is_the_agents_failure_that_is_told(
    room: Room, script: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="the coder command ended") as caught:
        room.bash(script, wait_s=0.2)
    assert type(caught.value) is error
    assert len(room.lines) == 1


def test_a_broken_contract_is_not_waited_for(room: Room) -> None:
    with pytest.raises(ContractBroken):
        room.bash("echo > new", wait_s=1000)
    assert room.lines == []


# --- what it is given


def test_an_agent_has_the_checkout_no_input_and_no_terminal(room: Room) -> None:
    terminal = "[ -t 0 -o -t 1 -o -t 2 ] && echo a terminal; tty; (: < /dev/tty) 2>&1 | grep -o 'No such.*'"
    room.bash(f"{EDIT}; pwd; echo $PWD; cat; {terminal}")
    project = str(room.site.workspace.project)
    assert room.log().splitlines() == [project, project, "not a tty", "No such device or address"]


def seen(room: Room, agent: str | None, **keys: object) -> dict[str, str]:
    """The environment that an agent sees."""
    chosen = {"command": ["true"]} if agent is None else {"agent": agent}
    return room.agent(critic_keys=("OPENROUTER_API_KEY",), **chosen, **keys).environment()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("agent", "own"),
    [
        ("claude", ("ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY")),
        ("codex", ("OPENAI_API_KEY",)),
        ("opencode", ("ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY", "GROQ_API_KEY")),
        (None, ()),
    ],
)
def test_an_agent_sees_its_own_keys_and_no_others(
    room: Room, monkeypatch: pytest.MonkeyPatch, agent: str | None, own: tuple[str, ...]
) -> None:
    keys = {"ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY", "GROQ_API_KEY", "OPENROUTER_API_KEY"}
    for name in {*keys, "DB_PASSWORD", "GITHUB_TOKEN"}:
        monkeypatch.setenv(name, KEY)
    assert {name for name, value in seen(room, agent).items() if value == KEY} == {*own}
    given = seen(room, agent, env=["OPENROUTER_API_KEY", "DB_PASSWORD"])
    assert {name for name, value in given.items() if value == KEY} == {*own, "OPENROUTER_API_KEY", "DB_PASSWORD"}


def test_the_critics_key_is_not_the_agents_even_if_it_is_of_its_own_kind(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    assert "OPENROUTER_API_KEY" not in seen(room, "opencode")
    assert seen(room, "opencode", env=["OPENROUTER_API_KEY"])["OPENROUTER_API_KEY"] == KEY


def test_an_agent_sees_nothing_of_pytest_of_git_and_of_another_agent(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = {"PYTEST_ADDOPTS": "-x", "GIT_DIR": "/", "GIT_INDEX_FILE": "/x", "CLAUDECODE": "1", "AUTORESEARCH_X": "1"}
    kept = {"CLAUDE_CONFIG_DIR": "/c", "CODEX_HOME": "/d", "HTTPS_PROXY": "http://p"}
    for name, value in {**gone, **kept}.items():
        monkeypatch.setenv(name, value)
    room.bash(f"{EDIT}; env -0 > environment.log; cp environment.log {room.toy.directory}.env")
    listed = Path(f"{room.toy.directory}.env").read_text().split("\0")
    environment = dict(line.split("=", 1) for line in listed if line)
    assert not {name for name in environment if name.startswith("PYTEST")} | (gone.keys() & environment)
    assert kept.items() <= environment.items()


def test_no_key_is_in_what_an_agent_leaves(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MY_KEY", "CRITICS_API_KEY", "OTHERS_TOKEN"):
        monkeypatch.setenv(name, f"{KEY}-{name}")
    script = (
        "echo $MY_KEY; printf sk-none-of-your-; sleep 0.1; echo business-0123456789-OTHERS_TOKEN; echo $MY_KEY >&2"
    )
    with pytest.raises(CoderFailed) as caught:
        room.bash(f"{script}; echo {KEY}-CRITICS_API_KEY; exit 1", env=["MY_KEY"], critic_keys=("CRITICS_API_KEY",))
    assert KEY not in str(caught.value)
    found = subprocess.run(["grep", "-rlaF", KEY, str(room.toy.directory)], capture_output=True, check=False)
    assert found.stdout == b""
    assert room.log().count("\n") == 4


def test_a_talkative_agent_fills_no_disk(room: Room) -> None:
    assert room.bash(f"head -c 50000000 /dev/zero | tr '\\0' 'x'; {EDIT}") == EDITED
    assert len(room.log()) < 3 << 20


def test_the_youngest_logs_are_kept(room: Room) -> None:
    directory = room.site.directory / "coder_logs"
    directory.mkdir()
    for number in range(30):
        (directory / f"20200101T0000{number:02}_00001_abcdefg.log").touch()
    room.bash(EDIT)
    left = sorted(path.name for path in directory.iterdir())
    assert len(left) == LOGS_KEPT
    assert left[0].startswith("20200101T000011")


def test_no_log_is_written_or_deleted_behind_a_link(room: Room, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for number in range(30):
        (logs / f"{number:02}.log").touch()
    room.bash(f"{EDIT}; rm -r .autoresearch/coder_logs; ln -s {logs} .autoresearch/coder_logs")
    room.bash(f"{EDIT}; rm -r .autoresearch/coder_logs; echo > .autoresearch/coder_logs")
    room.bash(EDIT)
    assert len(list(logs.iterdir())) == 30


def test_what_cannot_be_put_back_is_said(room: Room) -> None:
    (room.site.workspace.checkout / "big.log").write_text("x" * (300 << 10))
    room.bash(f"{EDIT}; echo >> big.log")
    assert room.lines == ["coder command: changed big.log, which git ignores and which cannot be put back"]


# --- the prompt


def prompt(room: Room, idea: Idea = IDEA, **keys: str) -> str:
    return agent_prompt(room.site, CoderSection(enabled=True, **keys), idea)  # type: ignore[arg-type]


def test_the_prompt_says_what_to_do_and_what_not(room: Room) -> None:
    text = prompt(room)
    for said in (
        "solution.sh",
        "smaller steps",
        "Why: they are large",
        "STEP = 1",
        "evaluate.py must stay",
        "Do not use git",
    ):
        assert said in text
    assert "yours to choose" in prompt(room, Idea("you choose", critic="hand"))


def test_a_template_of_v1_1_is_filled_in(room: Room) -> None:
    template = "{hypothesis}|{mutable_file}|{readonly_files}|{code_pseudocode}|{idea_file}|{other}|{{}}"
    text = prompt(
        room, Idea("x {mutable_file}", critic="test", code_pseudocode="{hypothesis}"), prompt_template=template
    )
    assert text.split("|")[1:3] == ["solution.sh", "evaluate.py"]
    assert text.split("|")[4:] == ["next_idea.json", "{other}", "{{}}"]


@pytest.mark.parametrize(
    ("hypothesis", "given"),
    [
        ("--dangerously", " --dangerously"),
        ("$(touch x) `touch y` ; 'a' \"b\" \\ *", "$(touch x) `touch y` ; 'a' \"b\" \\ *"),
        ("a\0b\x1b[31mc\r\nd\udcff", "abc\nd"),
        ("ü" * 100_000, "ü" * 50_000),
        ("x" * 10_000_000, "x" * 100_000),
    ],
    ids=["an option", "a shell's", "no text", "many bytes", "very long"],
)
def test_whatever_an_idea_says_is_one_argument(room: Room, hypothesis: str, given: str) -> None:
    idea = Idea(hypothesis, critic="test")
    script = f'{EDIT}; echo $# > a.log; printf %s "$1" >> a.log; cp a.log {room.toy.directory}.said'
    room.bash(script, idea, prompt_template="{hypothesis}")
    assert Path(f"{room.toy.directory}.said").read_text() == f"1\n{given}"


def test_a_command_may_do_without_the_prompt(room: Room) -> None:
    assert room.agent(command=["bash", "-c", f"[ $# = 0 ] && {EDIT}"]).apply(IDEA, room.source) == EDITED


def test_the_exact_command_is_shown_as_one_would_type_it(room: Room) -> None:
    plan = room.agent(agent="codex").plan(IDEA)
    assert plan.startswith("codex exec --sandbox workspace-write 'You are one step")


# --- in the loop

CONFTEST = """
from pathlib import Path
from pytest_autoresearch.coders import external
from pytest_autoresearch.records import Idea

external._POLL_S = external._SETTLE_S = 0.05

def pytest_autoresearch_propose(brief):
    number = sum(brief.ideas.values())
    names = {names!r}
    with Path({asked!r}).open("a") as file:
        file.write(names[number] + " ")
    return Idea(hypothesis="do " + names[number], code_pseudocode="none", critic="scripted")
"""


def scripted(make_toy: MakeToy, scripts: Mapping[str, str], **coder: object) -> Toy:
    """A toy whose critic proposes `scripts` by name, one after the other, and whose agent runs them."""
    cases = "".join(f'*"do {name}"*) {script};;\n' for name, script in scripts.items())
    section = {"enabled": True, "command": "bash agent.sh {prompt}", "wait_s": 0.2, **coder}
    toy = make_toy(
        problem={"coder": section, "readonly_files": ["evaluate.py"]},
        files={"agent.sh": f'case "$1" in\n{cases}esac\n', "evaluate.py": "read-only\n", ".gitignore": "*.log\n"},
    )
    asked = str(toy.directory.parent / "asked")
    toy.write("conftest.py", CONFTEST.format(names=[*scripts], asked=asked))
    toy.commit("a critic")
    return toy


def asked(toy: Toy) -> list[str]:
    return (toy.directory.parent / "asked").read_text().split()


def test_a_night_with_an_agent_of_every_kind(make_toy: MakeToy) -> None:
    toy = scripted(
        make_toy,
        {
            "well": "echo echo score: 9 > solution.sh",
            "commit": "echo echo score: 8 > solution.sh; git commit -qam mine; git tag mine; git stash list",
            "wrong": "echo echo score: 1 > solution.sh; echo cheat > evaluate.py; echo > helper.py",
            "nothing": "echo I would rather not",
            "worse": "echo echo score: 20 > solution.sh; echo > x.log",
            "fail": "echo echo score: 2 > solution.sh; echo $MY_KEY; exit 1",
            "again": "[ -e ../../again ] && echo echo score: 7 > solution.sh || { touch ../../again; exit 1; }",
        },
        env=["MY_KEY"],
    )
    done = toy.run("--iterations=9", "-v", env={"MY_KEY": KEY})
    assert done.returncode == 0, done.stdout
    assert toy.statuses() == [("keep", 10), ("keep", 9), ("keep", 8), ("crash", None), ("discard", 20), ("keep", 7)]
    assert toy.ledger("result")[3]["reason"].startswith("contract: the coder command changed evaluate.py, helper.py")
    assert [record["reason"].split(" (")[0] for record in toy.ledger("noop")] == [
        "the coder command ended and changed nothing",
        "the coder command ended with exit status 1: [hidden]",
    ]
    assert [record["number"] for record in toy.ledger("uncoded")] == [5, 5]
    assert asked(toy) == ["well", "commit", "wrong", "nothing", "worse", "fail", "again"]
    assert len(toy.branch()) == 4
    assert git(toy.checkout, "status", "--porcelain") == ""
    assert git(toy.directory, "tag") == ""
    assert not subprocess.run(["grep", "-rlaF", KEY, str(toy.directory)], capture_output=True, check=False).stdout
    words = re.findall(r"iteration\[\d\] (\S+)", done.stdout)
    assert words[:3] == ["KEPT", "KEPT", "CRASHED"]
    assert KEY not in done.stdout


def test_kill_9_in_the_middle_of_an_agent_loses_nothing_and_asks_the_agent_again(make_toy: MakeToy) -> None:
    half = "echo echo score: 3 > solution.sh; git commit -qam x"
    leave = f"git stash pop; git branch mine; echo > new; rm evaluate.py; {half}"
    started = "echo $$ >> ../../pids; (setsid sleep 1000 & echo $! >> ../../pids)"
    script = f"if [ -e ../../pids ]; then echo echo score: 8 > solution.sh; else {leave}; {started}; sleep 1000; fi"
    toy = scripted(make_toy, {"slow": script, "next": "echo echo score: 7 > solution.sh"})
    (toy.project / "evaluate.py").write_text("the user's\n")
    git(toy.directory, "stash")
    stash = git(toy.directory, "rev-parse", "stash")
    process = toy.start("--iterations=2")
    pids = toy.directory / "pids"
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2, "the agent")
    git(toy.directory, "branch", "users")
    kill(process)
    wait_for(lambda: not [pid for pid in map(int, pids.read_text().split()) if alive(pid)], "the agent's end")
    assert toy.statuses() == [("keep", 10)]
    done = toy.run("--iterations=2")
    assert done.returncode == 0, done.stdout
    assert "a coder was interrupted; what it left (solution.sh, " in done.stdout
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("keep", 7)]
    assert asked(toy) == ["slow", "next"]
    assert [record["number"] for record in toy.ledger("idea")] == [1, 2]
    assert len(toy.branch()) == 3
    assert git(toy.directory, "branch", "--format=%(refname:short)").split() == ["main", "toy/run1", "users"]
    assert git(toy.directory, "rev-parse", "stash") == stash
    assert git(toy.checkout, "status", "--porcelain") == ""
    aside = toy.checkout / ".autoresearch" / "aside"
    left = {path.name: path.read_bytes() for path in aside.rglob("*") if path.is_file()}
    assert left["000-solution.sh"] == b"echo score: 3\n"
    assert "new" in left


def test_kill_9_of_a_run_whose_agent_had_switched_branches(make_toy: MakeToy) -> None:
    leave = "git checkout -q --detach; git branch -D toy/run1; git rm -q evaluate.py; touch ../../switched; sleep 1000"
    script = f"if [ -e ../../switched ]; then echo echo score: 8 > solution.sh; else {leave}; fi"
    toy = scripted(make_toy, {"slow": script})
    process = toy.start("--iterations=1")
    wait_for((toy.directory / "switched").exists, "the agent")
    kill(process)
    done = toy.run("--iterations=1")
    assert toy.statuses() == [("keep", 10), ("keep", 8)], done.stdout
    assert git(toy.checkout, "symbolic-ref", "HEAD") == "refs/heads/toy/run1"


def test_an_agent_that_disappears_is_no_reason_to_end_the_night(make_toy: MakeToy) -> None:
    toy = scripted(make_toy, {"first": "echo echo score: 9 > solution.sh; rm ../../bin/agent", "second": ":"})
    problem = json.loads((toy.project / "problem.yaml").read_text())
    problem["coder"]["command"] = ["agent", "{prompt}"]
    toy.write("problem.yaml", json.dumps(problem))
    toy.commit("an agent of its own")
    agent = toy.directory / "bin" / "agent"
    agent.parent.mkdir()
    agent.write_text('#!/bin/sh\nexec bash agent.sh "$1"\n')
    agent.chmod(0o755)
    done = toy.run("--iterations=3", env={"PATH": f"{agent.parent}:{os.environ['PATH']}"})
    assert toy.statuses() == [("keep", 10), ("keep", 9)]
    assert "install agent, or put it on PATH" in toy.ledger("noop")[0]["reason"]
    assert done.returncode == 0
