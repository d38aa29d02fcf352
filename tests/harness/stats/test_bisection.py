"""Does a search find the place where good turns into bad, and does it err no more often than it says?"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfgate.stats.bisection import (
    ALPHA,
    FirstBad,
    confidence,
    first_bad,
    judged_at,
    questions_planned,
    share_of_look,
)
from perfgate.stats.comparison import Slowdown
from perfgate.stats.decision import Decision


def judge_of(turns_at: int, undecided: frozenset[int] = frozenset()) -> "list[Decision]":
    """Of 200 members: good before, bad from there on, some of them not to be told."""
    return [
        Decision.UNDECIDED if member in undecided else Decision.FAIL if member >= turns_at else Decision.PASS
        for member in range(200)
    ]


@given(st.integers(1, 150), st.data())
def test_it_finds_where_good_turns_into_bad(last: int, data: st.DataObject) -> None:
    turns_at = data.draw(st.integers(1, last))
    found = first_bad(last, judge_of(turns_at).__getitem__)
    assert found.candidates == (turns_at,)
    assert found.undecided == ()
    # The bad end is a question of its own.
    assert len(found.asked) + 1 <= questions_planned(last)
    assert len(set(found.asked)) == len(found.asked)
    assert set(found.asked) <= set(range(1, last))


@given(st.integers(1, 60), st.data())
def test_what_nobody_can_tell_is_left_over_and_named(last: int, data: st.DataObject) -> None:
    turns_at = data.draw(st.integers(1, last))
    undecided = data.draw(st.frozensets(st.integers(1, max(1, last - 1)), max_size=5))
    found = first_bad(last, judge_of(turns_at, undecided).__getitem__)
    assert turns_at in found.candidates
    # Only members that cannot be told are left between good and bad.
    assert set(found.candidates) - {found.first_bad} == set(found.undecided)
    assert set(found.undecided) <= undecided


def test_one_undecided_member_beside_the_place_leaves_two_that_may_be_first() -> None:
    found = first_bad(7, judge_of(5, frozenset({5})).__getitem__)
    assert found == FirstBad(last_good=4, first_bad=6, undecided=(5,), asked=(3, 5, 4, 6))
    assert found.candidates == (5, 6)


def test_neighbours_need_no_question() -> None:
    assert first_bad(1, judge_of(1).__getitem__) == FirstBad(0, 1, (), ())


def test_a_series_of_one_is_refused() -> None:
    for refusing in (lambda: first_bad(0, judge_of(1).__getitem__), lambda: questions_planned(0)):
        with pytest.raises(ValueError, match=r"^last=0 must be at least 1: the bad end is not the good one$"):
            refusing()


@pytest.mark.parametrize(
    ("ratio", "decision"),
    [(1.20, Decision.FAIL), (0.98, Decision.PASS), (1.05, Decision.UNDECIDED)],
)
def test_a_member_is_judged_by_its_share_of_the_error(ratio: float, decision: Decision) -> None:
    slowdown = Slowdown(math.log(ratio), 0.01, 7)
    assert judged_at(slowdown, 1.05, alpha=0.0125, look=1, looks=3) is decision


def test_a_share_that_is_used_up_decides_less() -> None:
    slowdown = Slowdown(math.log(1.08), 0.01, 7)
    assert judged_at(slowdown, 1.05, alpha=0.05, look=1, looks=1) is Decision.FAIL
    assert judged_at(slowdown, 1.05, alpha=0.0125, look=1, looks=3) is Decision.UNDECIDED


def test_looks_share_a_members_error_evenly() -> None:
    assert [share_of_look(0.03, look, 3) for look in (1, 2, 3)] == pytest.approx([0.01] * 3)


def test_confidence_is_what_the_questions_leave() -> None:
    assert confidence(4, 0.0125) == pytest.approx(0.95)
    assert confidence(1, 0.0125) == pytest.approx(0.9875)
    assert confidence(200, 0.0125) == 0.0


@pytest.mark.slow
def test_a_search_among_uncertain_answers_errs_no_more_often_than_it_says() -> None:
    """Members are half a standard error from the limit, so that most answers are not to be had, and some are wrong."""
    rng, last, runs = np.random.default_rng(3), 15, 2_000
    wrong, allowed_wrong = 0, 0.0
    alpha_each = ALPHA / questions_planned(last)
    for _ in range(runs):
        turns_at = int(rng.integers(1, last + 1))

        def judged(member: int, turns_at: int = turns_at) -> Decision:
            log_mean = (0.005 if member >= turns_at else -0.005) + rng.normal(0, 0.01)
            spread = 0.01 * math.sqrt(rng.chisquare(7) / 7)
            return judged_at(Slowdown(log_mean, spread, 7), 1.0, alpha=alpha_each, look=1, looks=1)

        found = first_bad(last, judged)
        wrong += turns_at not in found.candidates
        allowed_wrong += 1 - confidence(len(found.asked), alpha_each)
    assert 0 < wrong <= allowed_wrong
