"""What does a slowdown say about a relative limit: kept, broken, or can't we tell yet?

Comes in: a `Slowdown` and the limit. Goes out: the `Evidence`, two p-values whatever the kind of limit, and from it a
`Decision`. Pure maths; needs comparison.py and decision.py and nothing else of ours.

    Slowdown --regression_evidence, equivalence_evidence--> Evidence --judge--> Decision
                                                               +------family.judge_all, for a gate of several

FAIL and PASS are two tests of opposite hypotheses, each with an error of its own. What neither rejects is undecided.
"""

import math
from dataclasses import dataclass

from perfgate.stats.comparison import Slowdown
from perfgate.stats.decision import Decision


@dataclass(frozen=True, slots=True)
class Evidence:
    """How well the figures go with either state of the limit."""

    p_kept: float
    """The p-value of "the limit is kept": small speaks for FAIL."""
    p_broken: float
    """The p-value of "the limit is broken": small speaks for PASS."""


def allowed_ratio(margin: float, floor: float = 0.0, baseline: float = math.inf) -> float:
    """The largest slowdown ratio that nobody minds: 1 + margin, or more where the floor is more than that.

    "At most 5 % once the difference is over 0.2 ms" are not two limits but one: the candidate may be slower by 5 % or
    by 0.2 ms, whichever is more. Below 4 ms that is 0.2 ms. A ratio whose interval lies under this single limit is a
    PASS, also when it is well above 1.05; a FAIL shows that the difference is beyond the floor, not only that it looks
    so.

    Args:
        margin: the slowdown that is allowed, at least 0; 0.05 is 5 %.
        floor: the difference that is allowed, at least 0, in the metric's unit.
        baseline: the baseline's figure in the same unit, above 0. It is taken as it is: that it has an error too
            matters little beside a floor that is a matter of judgement.

    >>> allowed_ratio(0.05), allowed_ratio(0.05, floor=0.2, baseline=8.0), allowed_ratio(0.05, floor=0.2, baseline=2.0)
    (1.05, 1.05, 1.1)
    """
    for name, number in {"margin": margin, "floor": floor}.items():
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(f"{name}={number} must be finite and at least 0")
    if not baseline > 0:
        raise ValueError(f"baseline={baseline} must be above 0")
    return 1 + max(margin, floor / baseline)


def regression_evidence(slowdown: Slowdown, allowed: float) -> Evidence:
    """For and against "at most `allowed` times as slow".

    An improvement keeps such a limit, however large; `Slowdown.is_improvement` tells it.

    Args:
        slowdown: the estimate.
        allowed: from `allowed_ratio`.
    """
    return Evidence(p_kept=slowdown.p_not_above(allowed), p_broken=slowdown.p_not_below(allowed))


def equivalence_evidence(slowdown: Slowdown, within: float) -> Evidence:
    """For and against "the same, up to `within` either way": a true ratio in [1 / (1 + within), 1 + within].

    At alpha 0.05 `judge` then says PASS when the 90 % interval lies inside, and FAIL when it lies wholly outside. A
    wrong PASS has a chance of at most alpha. So has a wrong FAIL, unless the interval is wider than the limits are
    apart: then both of its ends count, at most 2 alpha.

    Args:
        slowdown: the estimate.
        within: above 0; 0.05 is 5 %.

    Source: two one-sided tests, D. J. Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987),
    doi:10.1007/BF01068419.
    """
    if not (math.isfinite(within) and within > 0):
        raise ValueError(f"within={within} must be finite and above 0")
    most, least = 1 + within, 1 / (1 + within)
    return Evidence(
        p_kept=min(slowdown.p_not_above(most), slowdown.p_not_below(least)),
        p_broken=max(slowdown.p_not_below(most), slowdown.p_not_above(least)),
    )


def judge(evidence: Evidence, alpha_fail: float, alpha_pass: float) -> Decision:
    """FAIL, PASS or undecided.

    Args:
        evidence: of one limit. Of several that make up one verdict, `family.judge_all` takes them together.
        alpha_fail: the chance of a FAIL that is allowed while the limit is kept, above 0 and below 0.5.
        alpha_pass: the chance of a PASS that is allowed while it is broken. Where several looks are taken, both alphas
            are this look's share (`sequential.alpha_at_look`).

    >>> judge(Evidence(p_kept=0.3, p_broken=0.7), alpha_fail=0.05, alpha_pass=0.05)
    <Decision.UNDECIDED: 'the limit lies within the interval: more rounds may decide'>
    """
    for name, alpha in {"alpha_fail": alpha_fail, "alpha_pass": alpha_pass}.items():
        if not 0 < alpha < 0.5:
            raise ValueError(f"{name}={alpha} must be above 0 and below 0.5")
    if evidence.p_kept <= alpha_fail:
        return Decision.FAIL
    if evidence.p_broken <= alpha_pass:
        return Decision.PASS
    return Decision.UNDECIDED
