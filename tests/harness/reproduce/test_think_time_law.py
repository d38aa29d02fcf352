"""Does the verdict on the think-time law follow from the runs?"""

import random
from collections.abc import Sequence

import pytest

from perfgate.reproduce.think_time_law import LAW_TOLERANCE, RUNS_MIN, TitledLaw, law_words, mean_error
from tests.harness.reproduce.conftest import a_law

OPEN = {"half_width": 2 * LAW_TOLERANCE}


def runs(errors: Sequence[float], half_width: float = 0.001) -> list[TitledLaw]:
    return [TitledLaw("2 and 4 instances", a_law(68.0 * (1 + error), half_width)) for error in errors]


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (LAW_TOLERANCE * 0.9, "confirmed: what was sent is off at most by +2.7 % (+2.6 to +2.8)"),
        (-LAW_TOLERANCE * 1.1, "refuted: what was sent is off by -3.3 % (-3.4 to -3.2)"),
        (LAW_TOLERANCE, "neither confirmed nor refuted: what was sent is off by +3.0 % (+2.9 to +3.1)"),
    ],
)
def test_few_runs_are_judged_by_the_worst(error: float, verdict: str) -> None:
    words = law_words(runs([0, error]))
    assert words.startswith(f"{verdict} with 2 instances of the table '2 and 4 instances', where 3% are allowed")


def test_one_run_that_refutes_it_is_enough_however_many_do_not() -> None:
    many = [*runs([0.0] * 20), *runs([0.1, LAW_TOLERANCE])]
    assert law_words(many).startswith("refuted: what was sent is off by +10.0 %")


def test_runs_that_leave_it_open_alone_confirm_it_together() -> None:
    words = law_words(runs([-0.02, 0.01, 0.0, -0.01, 0.005], **OPEN))
    assert words.startswith("confirmed: over 5 runs the mean error is -0.3 % (-1.8 to +1.2), where 3% are allowed.")
    assert "No run refutes it alone; 5 leave it open, most of all 2 instances of the table" in words
    assert words.endswith("with -2.0 % (-8.0 to +4.0)")


def test_runs_that_are_all_off_refute_it_together_though_none_does_alone() -> None:
    assert law_words(runs([0.045, 0.05, 0.055, 0.05, 0.045], **OPEN)).startswith("refuted: over 5 runs")


def test_runs_that_differ_by_too_much_leave_it_open() -> None:
    words = law_words(runs([-0.05, 0.05, -0.04, 0.06, 0.02], **OPEN))
    assert words.startswith("neither confirmed nor refuted: over 5 runs the mean error is +0.8 %")


def test_fewer_runs_than_a_mean_takes_stay_open() -> None:
    words = law_words(runs([0.0] * (RUNS_MIN - 1), **OPEN))
    assert words.startswith("neither confirmed nor refuted: what was sent is off by +0.0 %")


def test_without_a_run_nothing_is_said_of_it() -> None:
    assert law_words([]).startswith("neither confirmed nor refuted: generator, mock and host were not fit")


def test_the_interval_of_the_mean_has_the_truth_in_it_95_times_of_100() -> None:
    drawn = random.Random(7)
    trials = 2000
    hits = 0
    for _ in range(trials):
        mean = mean_error([a_law(68.0 * (1 + drawn.gauss(0.01, 0.02))) for _ in range(10)])
        hits += mean.low <= 0.01 <= mean.high
    assert 0.935 <= hits / trials <= 0.965


def test_one_run_has_no_mean_of_runs() -> None:
    with pytest.raises(ValueError, match="two at least"):
        mean_error([a_law(68.0)])
