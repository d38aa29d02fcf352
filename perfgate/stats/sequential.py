"""How much of the allowed error may each of several looks at a growing run use up?

Comes in: the error of the whole run, and which look of how many. Goes out: this look's share. Imports nothing.

The shares add up to the whole, so that by Bonferroni's inequality the chance of any wrong verdict over all looks is at
most the whole, however looks depend on each other. Ours depend strongly: all share the processes of one start. Sharper
boundaries take a known dependence, which is what nobody knows here; docs/method.md says what that costs.
"""

from typing import Final

#: Of the power family: 3 leaves most of the error to the last look (0.70 of it with three looks, 0.58 with four).
RHO: Final = 3.0


def alpha_at_look(alpha: float, look: int, looks: int, rho: float = RHO) -> float:
    """The error that this look may make: alpha * ((look / looks) ** rho - ((look - 1) / looks) ** rho).

    Args:
        alpha: of the whole run, above 0 and below 1.
        look: 1 to looks, in the order of time. How many there will be, and after how many rounds each, is settled
            before the run; a look that is not taken leaves its share unused.
        looks: at least 1.
        rho: above 0; larger leaves more to later looks.

    Source: K. Kim and D. L. DeMets, Biometrika 74 (1987), doi:10.1093/biomet/74.1.149.

    >>> [round(alpha_at_look(0.05, look, looks=3), 4) for look in (1, 2, 3)]
    [0.0019, 0.013, 0.0352]
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha} must be between 0 and 1")
    if looks < 1:
        raise ValueError(f"looks={looks} must be at least 1")
    if not 1 <= look <= looks:
        raise ValueError(f"look={look} must be between 1 and looks={looks}")
    if not rho > 0:
        raise ValueError(f"rho={rho} must be above 0")
    return float(alpha * ((look / looks) ** rho - ((look - 1) / looks) ** rho))
