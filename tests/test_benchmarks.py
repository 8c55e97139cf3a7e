"""Each benchmark runs; what it finds is for people, and depends on the machine."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import BENCHMARKS, main
from tests.support import mostly_long


@pytest.mark.parametrize("name", mostly_long(BENCHMARKS, "startup", "iteration", "false_keeps"))
def test_a_benchmark_says_where_it_ran_and_prints_a_table(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([name, "--smoke"])
    printed = capsys.readouterr().out
    assert printed.startswith("machine: ")
    assert f"\n### {name}: " in printed
    assert "\n| --- |" in printed
    assert "WRONG" not in printed


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["iterations"])
    assert "there is no benchmark iterations" in capsys.readouterr().err
