"""Is the lateness of a wake-up counted from when it was meant to be, on a clock whose truth is known?"""

import os
import threading

import pytest

from perfgate.measure.wakeups import STEP_S, lateness_ms


class FakeClock:
    """A clock that only sleeping moves, and that oversleeps as it is told to: once each, then not at all."""

    def __init__(self, oversleep_s: list[float]) -> None:
        self.now_s, self.oversleep_s = 100.0, oversleep_s

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now_s += seconds + (self.oversleep_s.pop(0) if self.oversleep_s else 0.0)

    def run(self, duration_s: float, stop: threading.Event | None = None) -> list[float]:
        return lateness_ms(duration_s, stop=stop, clock=lambda: self.now_s, sleep=self.sleep)


def test_one_that_sleeps_on_time_is_never_late() -> None:
    assert FakeClock([]).run(10 * STEP_S) == pytest.approx([0.0] * 10, abs=1e-6)


def test_a_pause_makes_all_those_late_that_were_meant_to_be_within_it() -> None:
    """Of 18 ms, with a step of 5 ms: 18, 13, 8, 3, then on time again."""
    late = FakeClock([0.0, 0.018]).run(8 * STEP_S)
    assert late == pytest.approx([0.0, 18.0, 13.0, 8.0, 3.0, 0.0, 0.0, 0.0], abs=1e-6)


def test_it_ends_when_it_is_told_to_and_has_one_figure_at_least() -> None:
    stop = threading.Event()
    stop.set()
    assert len(FakeClock([]).run(10.0, stop)) == 1
    assert len(FakeClock([]).run(0.0)) == 1


def test_only_the_thread_that_asks_is_kept_on_the_cores() -> None:
    before, inside = os.sched_getaffinity(0), []

    def ask() -> None:
        assert len(lateness_ms(0.0, [min(before)])) == 1
        inside.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert inside == [{min(before)}]
    assert os.sched_getaffinity(0) == before
