"""`problem.yaml`: what is accepted, what is refused and on which line, and that nothing else ever comes of it."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.problem import Problem, ProblemError, load_problem, parse_problem
from pytest_autoresearch.yaml_source import Mistake, read_yaml

MINIMAL = r"""objective: get the error down
metric_name: rmse
metric_regex: '^rmse: (\S+)'
mutable_file: solution.py
runner: python solution.py
"""

REGRESSION = r"""
objective: >
  Lower the validation error of a small regression without touching the split.
metric_name: val_rmse
metric_regex: "^val_rmse:\\s+([0-9.]+)"
lower_is_better: true
time_budget_s: 300
hard_timeout_s: 600
mutable_file: solution.py
readonly_files:
  - prepare.py
  - evaluate.py
runner: "python solution.py"
branch_prefix: autoresearch/regression
results_tsv_columns: [commit, val_rmse, memory_gb, status, description]
resource_metric_regex: "^peak_mb:\\s+([0-9.]+)"
resource_metric_transform: divide_by_1024
gemma_critic:
  enabled: yes
  model: gemma4:e2b
  when: always
  thinking: on
  max_vram_gb: 8
  context_last_n: 20
  ollama_url: http://localhost:11434
state:
  enabled: true
  throttle_seconds: 300
  rebuild_every_n_iter: 5
"""

ROUTING = r"""
objective: "Shorten the tour."
metric_name: tour
metric_regex: '^tour: (\d+\.\d+)$'
lower_is_better: yes
time_budget_s: 30.5
hard_timeout_s: 1e2
mutable_file: solution.py
readonly_files: []
runner: |
  python prepare.py
  python solution.py
branch_prefix: tsp
results_tsv_columns: [id, tour, seconds, verdict, why]
resource_metric_regex: ""
resource_metric_transform: identity
gemma_critic: {enabled: no, model: "gemma4:12b", when: downtime, thinking: off, max_vram_gb: 7.5, context_last_n: 0,
  ollama_url: "http://127.0.0.1:11434/"}
state: {enabled: off, throttle_seconds: 0, rebuild_every_n_iter: 1}
"""

ACCURACY = r"""
objective: Raise the accuracy on the held-back digits.
metric_name: accuracy
metric_regex: '(?i)accuracy=(?P<value>[-+0-9.eE]+)'
lower_is_better: False
time_budget_s: 60
hard_timeout_s: 90
mutable_file: solution.py
readonly_files: [evaluate.py]
runner: python3 -u evaluate.py
branch_prefix: digits
results_tsv_columns: [commit, accuracy, watts, status, description]
resource_metric_regex: 'watts=(\d+)'
resource_metric_transform: divide_by_1000
gemma_critic:
  enabled: true
  model: gemma4:e4b
  when: downtime
  thinking: false
  max_vram_gb: 16
  context_last_n: 5
  ollama_url: http://gpu.local:11434
state:
  enabled: false
  throttle_seconds: 12.5
  rebuild_every_n_iter: 50
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("solution.py", "prepare.py", "evaluate.py"):
        (tmp_path / name).write_text("pass\n")
    return tmp_path


def parsed(project: Path, text: str) -> Problem:
    return parse_problem(project / "problem.yaml", text)


def mistakes(project: Path, text: str) -> str:
    """All that is wrong, '' if nothing is."""
    try:
        parsed(project, text)
    except ProblemError as error:
        return str(error)
    return ""


def refused(project: Path, text: str) -> str:
    said = mistakes(project, text)
    assert said
    return said


def replaced(key: str, value: str) -> str:
    """The minimal problem with one key given another value."""
    lines = [line for line in MINIMAL.splitlines() if not line.startswith(f"{key}:")]
    return "\n".join([*lines, f"{key}: {value}", ""])


# --- what is accepted


@pytest.mark.parametrize("text", [REGRESSION, ROUTING, ACCURACY])
def test_a_file_of_v1_1_is_accepted_unchanged(project: Path, text: str) -> None:
    problem = parsed(project, text)
    assert problem.results_tsv_columns == list(problem.columns)


def test_the_keys_of_v1_1_mean_what_they_meant(project: Path) -> None:
    problem = parsed(project, ROUTING)
    assert (problem.lower_is_better, problem.time_budget_s, problem.hard_timeout_s) == (True, 30.5, 100)
    assert (problem.critic.enabled, problem.critic.thinking, problem.critic.when) == (False, False, "downtime")
    assert (problem.critic.base_url, problem.critic.max_vram_gb) == ("http://127.0.0.1:11434/", 7.5)
    assert (problem.state.enabled, problem.resource_metric_regex) == (False, None)
    assert parsed(project, REGRESSION).critic.enabled
    assert parsed(project, REGRESSION).resource_divisor == 1024
    assert not parsed(project, ACCURACY).lower_is_better


EVERY_KEY: dict[str, Any] = {
    "objective": "o",
    "metric_name": "m",
    "metric_regex": "^m: (.+)",
    "lower_is_better": False,
    "time_budget_s": 1.5,
    "hard_timeout_s": 2.5,
    "mutable_file": "solution.py",
    "readonly_files": ["prepare.py"],
    "runner": "true",
    "branch_prefix": "p",
    "results_tsv_columns": ["a", "b", "c", "d", "e"],
    "resource_metric_regex": "r(.)",
    "resource_metric_transform": "divide_by_1000",
    "critic": {
        "enabled": False,
        "provider": "hybrid",
        "llm": "openrouter",
        "on_failure": "wait",
        "leave_after": 2,
        "llm_share": 0.5,
        "model": "x",
        "base_url": "http://h",
        "api_key_env": "K",
        "when": "downtime",
        "thinking": False,
        "max_vram_gb": 1.5,
        "context_last_n": 1,
        "temperature": 0.0,
        "max_tokens": 5,
        "timeout_s": 6.5,
    },
    "coder": {
        "enabled": True,
        "agent": "codex",
        "permission": "bypass",
        "timeout_s": 3.5,
        "command": ["agent", "{prompt}"],
        "prompt_template": "t.md",
        "wait_s": 4.5,
        "model": "y",
        "env": ["NAME"],
    },
    "prices": {"x": {"input": 0.5, "output": 1.5}},
    "state": {"enabled": False, "throttle_seconds": 1.5, "rebuild_every_n_iter": 2},
    "evaluator": "python evaluate.py",
    "artifacts": ["out.json"],
    "holdout": "python holdout.py",
    "fingerprint": ["data"],
    "link": ["data"],
    "noise": {"repeats": 2, "confirm": 3, "alpha": 0.1, "min_improvement": 0.5},
    "stop": {"target": 1.5, "patience": 2, "hours": 3.5, "tokens": 4, "usd": 5.5},
    "sandbox": {"kind": "bwrap", "network": True, "memory_gb": 1.5, "hide": ["x"], "show": ["y"]},
    "engine": {
        "kind": "ray",
        "candidates": 4,
        "workers": 2,
        "resources": {"num_gpus": 0.5, "big": 1},
        "address": "auto",
        "exclusive": ["gpu0"],
        "concurrent_baseline": True,
    },
    "env": ["NAME"],
}


def test_every_key_is_read(project: Path) -> None:
    problem = parsed(project, repr(EVERY_KEY).replace("True", "true").replace("False", "false"))
    values = problem.model_dump()
    for key, expected in EVERY_KEY.items():
        found = {name: values[key][name] for name in expected} if isinstance(expected, dict) else values[key]
        assert found == expected, key


@pytest.mark.parametrize(("text", "value"), [("1e-3", 1e-3), ("1.5e+2", 150), (".5", 0.5), ("0x10", 16), ("7", 7)])
def test_numbers_are_those_of_yaml_1_2(project: Path, text: str, value: float) -> None:
    assert parsed(project, MINIMAL + f"time_budget_s: {text}\n").time_budget_s == value
    assert read_yaml(text).data == value


@pytest.mark.parametrize(
    ("word", "value"), [("yes", True), ("on", True), ("true", True), ("no", False), ("off", False), ("False", False)]
)
def test_the_booleans_of_yaml_1_1_are_understood_where_a_boolean_is_expected(
    project: Path, word: str, value: bool
) -> None:
    assert parsed(project, MINIMAL + f"lower_is_better: {word}\n").lower_is_better is value
    assert parsed(project, replaced("metric_name", "on")).metric_name == "on"


def test_a_byte_order_mark_and_windows_line_endings_change_nothing(project: Path) -> None:
    file = project / "problem.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + REGRESSION.replace("\n", "\r\n").encode())
    assert load_problem(file) == parsed(project, REGRESSION)


def test_a_key_without_a_value_is_as_good_as_absent(project: Path) -> None:
    assert parsed(project, MINIMAL + "evaluator:\nnoise: null\nstate: ~\n") == parsed(project, MINIMAL)
    assert "problem.yaml:5: runner: missing; expected the command" in refused(project, replaced("runner", ""))


# --- what is refused, and how


def test_all_mistakes_are_said_at_once_each_with_its_line(project: Path) -> None:
    text = r"""objective: o
metrc_name: rmse
metric_regex: '^rmse: \S+'
lower_is_better: sometimes
time_budget_s: .inf
mutable_file: ../solution.py
readonly_files:
  - prepare.py
  - missing.py
gemma_critic:
  model: m
  thinkin: true
state: {throttle_seconds: -1}
evaluator: python evaluate.py
objective: twice
"""
    lines = refused(project, text).splitlines()
    assert [line.split(": ")[0:2] for line in lines] == [
        ["problem.yaml:1", "metric_name"],
        ["problem.yaml:1", "runner"],
        ["problem.yaml:2", "metrc_name"],
        ["problem.yaml:3", "metric_regex"],
        ["problem.yaml:4", "lower_is_better"],
        ["problem.yaml:5", "time_budget_s"],
        ["problem.yaml:6", "mutable_file"],
        ["problem.yaml:9", "readonly_files.1"],
        ["problem.yaml:12", "gemma_critic.thinkin"],
        ["problem.yaml:13", "state.throttle_seconds"],
        ["problem.yaml:14", "evaluator"],
        ["problem.yaml:15", "objective"],
    ]


@pytest.mark.parametrize(
    ("addition", "said"),
    [
        ("mutable_fil: x", "mutable_fil: unknown key; did you mean `mutable_file`?"),
        ("critic: {ollama_ur: x}", "critic.ollama_ur: unknown key; did you mean `ollama_url`?"),
        ("stop: {patiense: 3}", "stop.patiense: unknown key; did you mean `patience`?"),
        ("coder: {zzz: 3}", "coder.zzz: unknown key; expected one of enabled, agent, permission"),
        ("runner: again", "runner: given twice (first on line 5); keep one"),
        ("critic: {}\ngemma_critic: {}", "gemma_critic: means `critic`, which is given too; keep one"),
        ("critic: {base_url: a, ollama_url: b}", "critic.ollama_url: means `critic.base_url`"),
        ("results_tsv_columns: [a, b, c]", "results_tsv_columns: expected five different names"),
        ("results_tsv_columns: [a, b, c, d, a]", "results_tsv_columns: expected five different names"),
        (r'results_tsv_columns: [a, b, c, d, "e\r"]', "results_tsv_columns.4: expected a column name without"),
        ("artifacts: [a]", "artifacts: nothing reads them without `evaluator:`"),
        ("evaluator: x\nartifacts: [solution.py]", "artifacts.0: solution.py is the mutable file already"),
        ("readonly_files: [solution.py]", "readonly_files.0: solution.py is the mutable file already"),
        ("readonly_files: [./solution.py]", "is the mutable file already"),
        ("readonly_files: [[prepare.py]]", "readonly_files.0: should be a valid string"),
        ("readonly_files: [/etc/passwd]", "readonly_files.0: expected a path inside the project"),
        ("link: [a/../../b]", "link.0: expected a path inside the project"),
        ("evaluator: x\nartifacts: [.]", "artifacts.0: expected"),
        ("stop: {target: .nan}", "stop.target: should be a finite number"),
        ("hard_timeout_s: inf", "hard_timeout_s: should be a finite number"),
        ("hard_timeout_s: 0", "hard_timeout_s: should be greater than 0"),
        ("noise: {alpha: 1}", "noise.alpha: should be less than 1"),
        ("critic: {when: never}", "critic.when: should be 'always' or 'downtime'"),
        ("critic: {on_failure: cry}", "critic.on_failure: should be 'tuner', 'wait' or 'stop'"),
        ("critic: {llm_share: 2}", "critic.llm_share: should be less than or equal to 1"),
        ("critic: {api_key_env: my key}", "critic.api_key_env: expected the name of an environment variable"),
        ("coder: {command: ''}", "coder.command: expected a command, such as"),
        ("coder: {command: [1]}", "coder.command.0: should be a valid string"),
        ('coder: {command: "a \'b"}', "coder.command: not a command (No closing quotation)"),
        ("prices: {m: {input: -1, output: 1}}", "prices.m.input: should be greater than or equal to 0"),
        ("prices: {m: {in: 1}}", "prices.m.in: unknown key; expected one of input, output"),
        ("engine: 5", "engine: should be a valid dictionary"),
        ("engine: dask", "engine: should be 'local' or 'ray' (got 'dask')"),
        ("engine: {candidates: 0}", "engine.candidates: should be greater than or equal to 1"),
        ("engine: {resources: {big: 1}}", "engine: resources: big is for `kind: ray`"),
        ("engine: {resources: {num_gpus: 0.5}}", "engine: resources.num_gpus should be a whole number"),
        ("engine: {address: auto}", "engine: address is for `kind: ray`"),
        ("engine: {exclusive: [gpu 0]}", "engine.exclusive.0: expected a name of letters"),
    ],
)
def test_a_mistake_is_said_with_what_was_expected(project: Path, addition: str, said: str) -> None:
    assert said in refused(project, MINIMAL + addition + "\n")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("metric_regex", "'^rmse: [0-9'", "metric_regex: not a regular expression"),
        ("metric_regex", "'^(a){99999999999999}'", "metric_regex: not a regular expression"),
        ("metric_regex", "'" + "(" * 3000 + ")" * 3000 + "'", "metric_regex: not a regular expression"),
        ("metric_regex", r"'^rmse: \S+'", "metric_regex: expected a group around the number"),
        ("metric_name", r'"a\tb"', "metric_name: expected a column name without tabs"),
        ("mutable_file", "solution.pie", "mutable_file: there is no such file"),
        ("mutable_file", "/solution.py", "mutable_file: expected a path inside the project"),
        ("mutable_file", "a" * 300, "mutable_file: there is no such file"),
        ("mutable_file", ".", "mutable_file: expected"),
        ("mutable_file", "problem.yaml", "mutable_file: expected"),
        ("runner", "''", "runner: expected a text that is not empty"),
        ("also", "{size: 'no group'}", "also.size: expected a group around the number"),
        ("also", "{'a\tb': '(x)'}", "also"),
        ("also", "[size]", "also: should be a valid dictionary"),
        ("objective", "3", "objective: should be a valid string (got 3)"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(project: Path, key: str, value: str, said: str) -> None:
    (project / "problem.yaml").write_text(replaced(key, value))
    assert said in refused(project, replaced(key, value))


@pytest.mark.parametrize("word", ["[[:digit:]]+", "[a||b]", "[a&&b]"])
def test_a_regex_that_python_only_warns_about_is_taken_or_refused_and_nothing_is_raised(
    project: Path, word: str
) -> None:
    said = mistakes(project, replaced("metric_regex", f"'({word})'"))
    assert said == "" or "metric_regex" in said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("# nothing\n", 1),
        ("- a\n- b\n", 1),
        ("just words\n", 1),
        ("objective: o\n\tmetric_name: m\n", 2),
        ("objective: o\nmetric_name: 'm\n", 3),
        ("a: 1\n---\nb: 2\n", 2),
        ("objective: o\nx: \x07\n", 2),
        ("objective: o\nx: a\x00b\n", 2),
        ("objective: !!bool maybe\n", 1),
        ("objective: o\ntime_budget_s: !!float ''\n", 2),
        ("objective: o\nx: !!timestamp soon\n", 2),
        ('objective: o\nx: "\\UFFFFFFFF"\n', 2),
        ('objective: o\nmetric_name: "\\ud800"\n', 2),
        ('objective: o\nrunner: "a\\0b"\n', 2),
        ("objective: o\n1: x\n", 2),
        ("objective: o\n~: x\n", 2),
        ("objective: o\n? [a]\n: x\n", 2),
        ("objective: o\nx: !!python/object:os.system true\n", 2),
        ("objective: o\ntime_budget_s: 0x" + "f" * 9000 + "\n", 2),
        ("objective: o\nengine: " + "[" * 3000 + "]" * 3000 + "\n", 2),
        ("objective: o\nengine: " + "{a: " * 3000 + "}" * 3000 + "\n", 2),
    ],
)
def test_a_text_that_is_no_problem_is_refused_on_its_line(project: Path, text: str, line: int) -> None:
    assert f"problem.yaml:{line}: " in refused(project, text)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_another_encoding_is_named_with_the_line(project: Path, mark: bytes) -> None:
    file = project / "problem.yaml"
    file.write_bytes(mark + b"a: 1\nobjective: caf\xe9\n" if mark == b"" else mark + b"a: 1\n\xe9\n")
    with pytest.raises(ProblemError, match=r"^problem\.yaml:2: not UTF-8"):
        load_problem(file)


def test_a_file_that_cannot_be_read_is_the_users_to_mend(project: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_problem(project)


@pytest.mark.parametrize(
    "text", ["engine: &a {x: *a}\n", "readonly_files: &a [*a]\n", "critic: &a {critic: *a}\n", "engine: &a {<<: *a}\n"]
)
def test_what_contains_itself_is_accepted_or_refused_and_never_followed_for_ever(project: Path, text: str) -> None:
    said = mistakes(project, MINIMAL + text)
    assert said == "" or "problem.yaml:6" in said


LAUGHS = "engine:\n  a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"  a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)
LAUGHED = ["objective", "readonly_files", "mutable_file", "results_tsv_columns"]
MERGES = "engine:\n  a0: &a0 {x: 1}\n" + "".join(
    f"  a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}]}}\n" for level in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    [LAUGHS, *(f"{LAUGHS}{key}: *a11\n" for key in LAUGHED), MERGES],
    ids=["alone", *LAUGHED, "merged"],
)
def test_a_billion_laughs_are_not_laughed(project: Path, text: str) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (10, 10))

    key = text.removeprefix(LAUGHS).split(":")[0]
    rest = "".join(line for line in MINIMAL.splitlines(keepends=True) if line.split(":")[0] != key)
    (project / "problem.yaml").write_text(rest + text)
    code = (
        "import sys; from pathlib import Path; from pytest_autoresearch.problem import *\n"
        "try: load_problem(Path(sys.argv[1]))\nexcept ProblemError as error: print(len(str(error)))"
    )
    command = [sys.executable, "-c", code, str(project / "problem.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode == 0, done.stderr[-500:]
    assert int(done.stdout or 0) < 10_000


def test_a_merged_key_that_is_overridden_is_no_duplicate() -> None:
    source = read_yaml("base: &base {a: 1, b: 2}\nmine:\n  <<: *base\n  a: 3\n")
    assert source.mistakes == ()
    assert source.data["mine"] == {"a": 3, "b": 2}


# --- whatever is written there


def _mutated(chance: random.Random, text: str) -> bytes:
    data = bytearray(text.encode())
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0:
                data[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                del data[place : place + chance.randint(1, 40)]
            case 2:
                data[place:place] = chance.choice(_FRAGMENTS)
            case 3:
                other = chance.randrange(len(data) + 1)
                data[place:place] = data[other : other + chance.randint(1, 60)]
            case 4:
                lines = bytes(data).split(b"\n")
                chance.shuffle(lines)
                data = bytearray(b"\n".join(lines))
            case 5:
                data = data[: place + 1]
    return bytes(data)


_FRAGMENTS = (
    b"&a $*a$<<: $[$]${$}$!!int $!!bool $!!binary $!!timestamp $'$\"$\t$: $- $? $|\n$>\n$---\n$...\n$%TAG ! x\n$null$"
    b"~$.inf$.nan$1e999$-0$0x$\\ud800$\\UFFFFFFFF$\xc2\x85$\xe2\x80\xa8$\xff$\x1b$\r$\x00$#$((((((((("
).split(b"$")


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_done_to_a_file_nothing_but_a_problem_or_its_mistakes_comes_of_it(
    project: Path, seed: int
) -> None:
    chance = random.Random(seed)
    file = project / "problem.yaml"
    every_key = repr(EVERY_KEY).replace("True", "true").replace("False", "false")
    for _ in range(100):
        file.write_bytes(_mutated(chance, chance.choice([REGRESSION, ROUTING, ACCURACY, every_key])))
        found: tuple[Mistake, ...] | None = None
        try:
            load_problem(file)
        except ProblemError as error:
            found = error.mistakes
            str(error).encode()
        except Exception as error:
            raise AssertionError(f"{file.read_bytes()!r}") from error
        assert found is None or found, file.read_bytes()
        assert all(1 <= mistake.line <= 100 for mistake in found or ())


def test_a_key_that_was_written_where_its_name_belongs_is_not_shown(project: Path) -> None:
    said = refused(project, MINIMAL + "critic: {api_key_env: sk-abcdefghijklmnopqrstuvwxyz0123456789}\n")
    assert "critic.api_key_env: expected the name of an environment variable" in said
    assert "abcdefghij" not in said


def test_a_command_of_v1_1_is_split_as_a_shell_would(project: Path) -> None:
    problem = parsed(project, MINIMAL + "coder: {command: \"my-agent --say 'a b' {prompt}\"}\n")
    assert problem.coder.command == ["my-agent", "--say", "a b", "{prompt}"]


@pytest.mark.parametrize(
    "url", ["localhost", "ftp://h/v1", "http://", "http://h:abc/v1", "http://h:99999/v1", "http://[::1/v1"]
)
def test_an_address_that_is_none_is_said_with_its_line(project: Path, url: str) -> None:
    mistake = refused(project, MINIMAL + f"critic: {{base_url: '{url}'}}\n")
    assert "critic.base_url: expected an address such as http://localhost:11434/v1 (got " in mistake


def test_a_key_given_for_the_name_of_its_variable_is_not_shown(project: Path) -> None:
    said = refused(project, MINIMAL + "critic: {api_key_env: gsk-value-of-no-known-form}\n")
    assert "critic.api_key_env: expected the name of an environment variable" in said
    assert "gsk-value" not in said


@pytest.mark.parametrize(
    "addition", ["critic: {}\ngemma_critic: {}", "critic: {base_url: http://a, ollama_url: http://b}", "ollama_url: x"]
)
def test_an_alias_beside_what_it_means_is_one_mistake(project: Path, addition: str) -> None:
    assert len(refused(project, MINIMAL + addition + "\n").splitlines()) == 1
