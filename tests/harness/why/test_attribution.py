"""Has each stack the CPU of its thread, however long other threads wait?"""

import pytest

from perfgate.why.attribution import cpu_us_by_stack
from perfgate.why.folded import Function, Stack

MAIN: Stack = (Function("main", "a.py"),)
HOT: Stack = (Function("hot", "a.py"),)
WAIT: Stack = (Function("wait", "b.py"),)


def test_a_thread_that_waits_for_its_core_has_what_its_clock_says() -> None:
    threads = {1: {MAIN: 30, HOT: 10}, 2: {WAIT: 160}}
    assert cpu_us_by_stack(threads, {1: 0.9, 2: 0.1}, 1.0) == pytest.approx(
        {MAIN: 675_000, HOT: 225_000, WAIT: 100_000}
    )


def test_a_stack_of_several_threads_has_the_time_of_all() -> None:
    threads = {1: {MAIN: 10}, 2: {MAIN: 10, HOT: 10}}
    assert cpu_us_by_stack(threads, {1: 0.4, 2: 0.6}, 1.0) == pytest.approx({MAIN: 700_000, HOT: 300_000})


def test_all_stacks_together_have_the_cpu_of_the_process() -> None:
    """Threads that no sample found have some of it, and clocks are read a little apart."""
    us = cpu_us_by_stack({1: {MAIN: 3, HOT: 1}}, {1: 0.5, 9: 0.2}, 0.8)
    assert us == pytest.approx({MAIN: 600_000, HOT: 200_000})


def test_a_thread_without_a_clock_has_as_much_for_each_sample_as_all_have() -> None:
    us = cpu_us_by_stack({1: {MAIN: 50}, 2: {WAIT: 50}}, {1: 0.5}, 1.0)
    assert us == pytest.approx({MAIN: 500_000, WAIT: 500_000})


@pytest.mark.parametrize("clocks", [{}, {1: 0.0, 2: 0.0}])
def test_where_no_clock_can_be_read_all_samples_are_alike(clocks: dict[int, float]) -> None:
    us = cpu_us_by_stack({1: {MAIN: 30, HOT: 10}, 2: {MAIN: 10}}, clocks, 1.0)
    assert us == pytest.approx({MAIN: 800_000, HOT: 200_000})


def test_without_samples_nothing_has_any() -> None:
    assert cpu_us_by_stack({}, {1: 0.5}, 1.0) == {}
