"""Which member of an ordered series is the first that is bad, when an answer may be wrong or not to be had?

Comes in: how long the series is, and whoever judges one member: PASS (good), FAIL (bad) or undecided. Goes out:
`FirstBad`. Pure maths; needs decision.py, evidence.py, comparison.py and sequential.py.

It takes for granted that good comes before bad: that what got worse stays so. Where it does not, the answer is still a
place where good turns into bad.

Every question may be answered wrongly with a chance of at most its share of the whole error, at all of its looks
together; so the chance of any wrong answer is at most the sum of the shares of the questions that were asked
(Bonferroni). A question that stays undecided answers nothing, and so nothing wrongly.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from perfgate.stats.comparison import Slowdown
from perfgate.stats.decision import Decision
from perfgate.stats.evidence import judge, regression_evidence
from perfgate.stats.sequential import alpha_at_look

#: The chance of a wrong answer of the whole search.
ALPHA: Final = 0.05
#: Of the looks at one member: each gets the same share of the error, since most members are far from the limit, and
#: one look is enough for those.
RHO: Final = 1.0


@dataclass(frozen=True, slots=True)
class FirstBad:
    """What a search came to; members are counted from 0, the good end.

    Args:
        last_good: known to be good, and so are all before it.
        first_bad: known to be bad, and so are all after it.
        undecided: between these two; nobody could tell of them.
        asked: every member that was judged, in the order of time.
    """

    last_good: int
    first_bad: int
    undecided: tuple[int, ...]
    asked: tuple[int, ...]

    @property
    def candidates(self) -> tuple[int, ...]:
        """The members one of which is the first bad one; a single one when the search is decided."""
        return tuple(range(self.last_good + 1, self.first_bad + 1))


def first_bad(last: int, judged: Callable[[int], Decision]) -> FirstBad:
    """Halve the series until good and bad are neighbours, or only undecided members are left between them.

    Args:
        last: the bad end; 0 is the good one. At least 1.
        judged: of a member between the two ends: PASS, FAIL or undecided; asked of each at most once.

    >>> first_bad(7, lambda member: Decision.FAIL if member >= 5 else Decision.PASS)
    FirstBad(last_good=4, first_bad=5, undecided=(), asked=(3, 5, 4))
    """
    if last < 1:
        raise ValueError(f"last={last} must be at least 1: the bad end is not the good one")
    good, bad = 0, last
    asked: list[int] = []
    undecided: set[int] = set()
    while open_members := [member for member in range(good + 1, bad) if member not in undecided]:
        # The one nearest to the middle: where that is undecided, those beside it still may be told.
        member = min(open_members, key=lambda one: abs(2 * one - good - bad))
        asked.append(member)
        match judged(member):
            case Decision.PASS:
                good = member
            case Decision.FAIL:
                bad = member
            case Decision.UNDECIDED:
                undecided.add(member)
    between = tuple(sorted(member for member in undecided if good < member < bad))
    return FirstBad(good, bad, between, tuple(asked))


def questions_planned(last: int) -> int:
    """How many questions a search takes when each is decided: one for the two ends, then halving.

    >>> [questions_planned(last) for last in (1, 2, 7, 8, 100)]
    [1, 2, 4, 4, 8]
    """
    if last < 1:
        raise ValueError(f"last={last} must be at least 1: the bad end is not the good one")
    return 1 + math.ceil(math.log2(last))


def judged_at(slowdown: Slowdown, allowed: float, *, alpha: float, look: int, looks: int) -> Decision:
    """Whether a member is bad (FAIL), good (PASS), or not to be told at this look.

    Args:
        slowdown: of the member against the good end.
        allowed: the slowdown ratio up to which it is good; above 0.
        alpha: the error of this member, all its looks together.
        look, looks: which look this is, of how many at most.
    """
    share = share_of_look(alpha, look, looks)
    return judge(regression_evidence(slowdown, allowed), alpha_fail=share, alpha_pass=share)


def share_of_look(alpha: float, look: int, looks: int) -> float:
    """The error that one look at a member may make, of its whole alpha."""
    return alpha_at_look(alpha, look, looks, RHO)


def confidence(questions_asked: int, alpha_each: float) -> float:
    """The chance, at least, that none of so many answers was wrong."""
    return max(0.0, 1 - questions_asked * alpha_each)
