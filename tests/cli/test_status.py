"""`pytest-autoresearch status`."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.cli.support import (
    MakeHome,
)
from tests.support import scores


def test_status_says_where_a_session_stands(make_home: MakeHome) -> None:
    home = make_home(*scores(8))
    before = f"session toy/run1: not running\ncheckout: {home.directory}\nno baseline yet\nlast record: "
    assert home.did("status").startswith(before)
    for score in (9, 12, 11, "none", 8, 13):
        home.edit(score)
        home.did("run", "-m", f"try {score}")
    home.did("propose")
    told, _, heard = home.did("status").rpartition("last record: ")
    assert datetime.now() - datetime.fromisoformat(heard.strip()) < timedelta(hours=1)
    assert told == (
        f"session toy/run1: not running\ncheckout: {home.directory}\n"
        "6 experiments: 2 kept, 3 discarded, 1 crashed; 1 since the last keep\n"
        "score: 10 → 8 (experiment 5)\n"
        "under way: experiment 7, proposed: score 8\n"
        "    2 discard            12  try 12\n"
        "    3 discard            11  try 11\n"
        "    4 crash               -  try none\n"
        "    5 keep                8  try 8\n"
        "    6 discard            13  try 13\n"
    )


def test_status_and_steps_name_the_damage_to_a_ledger_and_mend_nothing(make_home: MakeHome) -> None:
    home = make_home()
    home.did("run")
    ledger = home.records / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    whole = "".join(lines)
    torn = whole + '{"prev":"0'
    ledger.write_text(torn)
    assert "score: 10 → 10 (experiment 0)" in home.did("status")
    assert ledger.read_text() == torn
    for damaged in (
        whole.replace('"metric":10.0', '"metric":11.0'),
        whole.removesuffix(lines[-1]) + lines[-1].replace('"failure"', '"failing'),
        whole.removesuffix(lines[-1]) + lines[-1].replace('"kind":"probe"', '"kind":"result"'),
    ):
        assert damaged != whole
        ledger.write_text(damaged)
        for command in ("status", "run"):
            assert f"{ledger}: line " in home.refused(command)
            assert "start a new session with --tag" in home.refused(command)
        assert ledger.read_text() == damaged
