"""How often the runs on a cluster are listened to; needs no cluster."""

from __future__ import annotations

from pytest_autoresearch.engines.ray import pause_s


def test_the_more_runs_there_are_the_less_often_each_is_listened_to() -> None:
    assert [pause_s(runs) for runs in (1, 8, 16, 80, 1000)] == [0.5, 0.5, 1.0, 5.0, 5.0]
    assert max(runs / pause_s(runs) for runs in range(1, 81)) == 16
