"""Between which neighbours of an ordered series did a figure change, by how much, and how sure is that?

Comes in: the slowdown of every member against one anchor, in order, each from a measurement of its own. Goes out: a
`Step` for every pair of neighbours. Pure maths; needs comparison.py and family.py.

    Slowdown of each member --difference--> Slowdown of each neighbour against the one before --steps--> Step

The anchor cancels: ln(b / a) = ln(b / anchor) - ln(a / anchor). Two measurements have no process in common, since the
anchor is started anew for each, so their variances add up. Two neighbouring steps do share a measurement; Holm's
procedure holds however they depend on each other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from perfgate.stats.comparison import Slowdown
from perfgate.stats.family import holm

#: The chance that any step of a series is marked where nothing changed.
ALPHA: Final = 0.05


@dataclass(frozen=True, slots=True)
class Step:
    """What happened between two neighbours; `steps` makes it."""

    change: Slowdown
    """The later one against the earlier one: above 1 is worse."""
    p_adjusted: float
    """Of "nothing changed", either way, adjusted by Holm for all neighbours of the series."""
    is_marked: bool
    """Whether something changed, with an error of at most alpha for the whole series."""


def difference(before: Slowdown, after: Slowdown) -> Slowdown:
    """`after` against `before`, both measured against the same anchor, in measurements of their own.

    Method: the difference of two independent means with unequal variances; degrees of freedom by Welch and
    Satterthwaite, rounded down. Without spread on both sides the sign test of the one that has fewer generations.
    Source: B. L. Welch, Biometrika 34 (1947), doi:10.1093/biomet/34.1-2.28.

    >>> change = difference(Slowdown(0.02, 0.003, 7), Slowdown(0.10, 0.004, 7))
    >>> round(change.log_mean, 3), round(change.standard_error, 3), change.degrees_of_freedom
    (0.08, 0.005, 12)
    """
    log_mean = after.log_mean - before.log_mean
    variances = (before.standard_error**2, after.standard_error**2)
    total = sum(variances)
    freedoms = (before.degrees_of_freedom, after.degrees_of_freedom)
    if total == 0:
        return Slowdown(log_mean, 0.0, min(freedoms))
    # As shares of the total, since the square of a small variance may be too small for a float.
    weighted = sum((variance / total) ** 2 / freedom for variance, freedom in zip(variances, freedoms, strict=True))
    return Slowdown(log_mean, math.sqrt(total), math.floor(1 / weighted * (1 + 1e-12)))


def steps(series: Sequence[Slowdown], alpha: float = ALPHA) -> tuple[Step, ...]:
    """What happened between all neighbours of a series.

    Args:
        series: every member against the anchor, in order. The anchor itself is 1 without error, with more degrees of
            freedom than any measurement.
        alpha: the chance that any step is marked where nothing changed, above 0 and below 1.

    Returns:
        One fewer than the series has members; empty where it has fewer than two.

    >>> [step.is_marked for step in steps([Slowdown(0.0, 0.0, 999), Slowdown(0.001, 0.01, 7), Slowdown(0.12, 0.01, 7)])]
    [False, True]
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha} must be between 0 and 1")
    changes = [difference(before, after) for before, after in pairwise(series)]
    adjusted = holm([p_same(change) for change in changes])
    return tuple(Step(change, float(p), bool(p <= alpha)) for change, p in zip(changes, adjusted, strict=True))


def p_same(change: Slowdown) -> float:
    """The p-value of "nothing changed", either way: twice the smaller one-sided one."""
    return min(1.0, 2 * min(change.p_not_above(1.0), change.p_not_below(1.0)))
