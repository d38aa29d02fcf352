"""Is the work that hosts are compared by always the same work?"""

import os

import pytest

from perfgate.measure import host_speed
from perfgate.measure.host_speed import WORK_VERSION, main, measured_speed, time_pieces, work


def test_every_piece_computes_the_same() -> None:
    assert work() == work()


def test_a_changed_work_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_speed, "_EXPECTED", "nonsense")
    with pytest.raises(SystemExit, match="this host computes something else"):
        main([])


def test_as_many_pieces_are_timed_as_asked_for_and_the_median_lies_between_the_deciles() -> None:
    speed = time_pieces(5)
    assert (speed.pieces, speed.work_version) == (5, WORK_VERSION)
    assert 0 < speed.p10_ms <= speed.median_ms <= speed.p90_ms


@pytest.mark.slow
def test_it_is_measured_in_a_process_on_the_cores_asked_for() -> None:
    before = os.sched_getaffinity(0)
    assert measured_speed([min(before)]).pieces == host_speed.PIECES
    assert os.sched_getaffinity(0) == before
