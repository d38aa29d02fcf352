"""How large a slowdown would this run have failed, and how large a one would it have passed?

Comes in: a standard error of log ratios with its degrees of freedom, the limit, the alpha that was used. Goes out: a
chance, or a slowdown ratio. Pure maths; imports nothing of ours.

By the noncentral t distribution, with the standard error taken for the true one. Alpha is that of the test that
decides: this look's share of the whole, for a FAIL divided by the number of limits judged together (Holm's first step).
Earlier looks are left out, so the true chance is a little higher.

The distribution is summed up from its definition: SciPy's (1.17) gives no number for many truths far from the limit.
"""

import math
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv, ndtr, stdtrit

#: The chance that a result is stated with: "would have failed +9 % with 80 % power".
POWER: Final = 0.8
#: Of the chi distribution, equally likely ones: a chance is then off by less than 0.0001.
_NODES: Final = 1_000
#: Halvings of a range; after so many it is a rounding error.
_HALVINGS: Final = 60


def power_to_fail(
    true_ratio: float, *, allowed: float, standard_error: float, degrees_of_freedom: int, alpha: float
) -> float:
    """The chance that a candidate which is `true_ratio` times as slow gets a FAIL.

    Args:
        true_ratio: above 0.
        allowed: the limit, from `evidence.allowed_ratio`; above 0.
        standard_error: of the mean log ratio, above 0.
        degrees_of_freedom: generations - 1.
        alpha: of the one-sided test, above 0 and below 0.5.

    >>> round(power_to_fail(1.10, allowed=1.05, standard_error=0.0106, degrees_of_freedom=9, alpha=0.0352 / 6), 2)
    0.86
    """
    _check(allowed=allowed, true_ratio=true_ratio, standard_error=standard_error)
    distance = (math.log(true_ratio) - math.log(allowed)) / standard_error
    return _power(distance, _critical_t(degrees_of_freedom, alpha), degrees_of_freedom)


def power_to_pass(
    true_ratio: float, *, allowed: float, standard_error: float, degrees_of_freedom: int, alpha: float
) -> float:
    """The chance that such a candidate gets a PASS for this limit; arguments as of `power_to_fail`."""
    # The mirror image: as far below the limit as the other is above it.
    mirrored = allowed**2 / true_ratio if true_ratio > 0 else true_ratio
    return power_to_fail(
        mirrored, allowed=allowed, standard_error=standard_error, degrees_of_freedom=degrees_of_freedom, alpha=alpha
    )


def smallest_failing_ratio(
    *, allowed: float, standard_error: float, degrees_of_freedom: int, alpha: float, power: float = POWER
) -> float:
    """The minimum detectable effect: the true ratio that gets a FAIL with the chance `power`.

    Arguments as of `power_to_fail`, but for a standard error of 0: then all generations agreed, and any ratio above
    `allowed` would have failed if 1 / 2**generations is at most alpha (see `Slowdown`), or else none: infinity.
    """
    return allowed * math.exp(_reach(allowed, standard_error, degrees_of_freedom, alpha, power))


def largest_passing_ratio(
    *, allowed: float, standard_error: float, degrees_of_freedom: int, alpha: float, power: float = POWER
) -> float:
    """The true ratio that gets a PASS with the chance `power`; below 1, equal arms had less than that.

    Arguments as of `smallest_failing_ratio`; 0 where nothing would have passed.
    """
    return allowed * math.exp(-_reach(allowed, standard_error, degrees_of_freedom, alpha, power))


def _reach(allowed: float, standard_error: float, degrees_of_freedom: int, alpha: float, power: float) -> float:
    """How far from the limit, on the log scale, the truth has to be."""
    _check(allowed=allowed)
    if not 0 < power < 1:
        raise ValueError(f"power={power} must be between 0 and 1")
    t = _critical_t(degrees_of_freedom, alpha)
    if standard_error == 0:
        return 0.0 if 0.5 ** (degrees_of_freedom + 1) <= alpha else math.inf
    _check(standard_error=standard_error)
    # Below the first every chance is 0, above the last it is 1.
    low, high = -40.0, 40.0 + t * float(_chi(degrees_of_freedom)[-1])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _power(middle, t, degrees_of_freedom) < power:
            low = middle
        else:
            high = middle
    return high * standard_error


def _power(distance: float, t: float, degrees_of_freedom: int) -> float:
    """The chance that (Z + distance) / S is above t: Z is standard normal, S the sample_sd of a true SD of 1."""
    return float(ndtr(distance - t * _chi(degrees_of_freedom)).mean())


@lru_cache(maxsize=64)
def _chi(degrees_of_freedom: int) -> npt.NDArray[np.float64]:
    """S at the middles of equally likely steps, ascending."""
    chances = (np.arange(_NODES) + 0.5) / _NODES
    squares: npt.NDArray[np.float64] = 2 * gammaincinv(degrees_of_freedom / 2, chances) / degrees_of_freedom
    return np.sqrt(squares)


def _critical_t(degrees_of_freedom: int, alpha: float) -> float:
    if degrees_of_freedom < 1:
        raise ValueError(f"degrees_of_freedom={degrees_of_freedom} must be at least 1")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha={alpha} must be above 0 and below 0.5")
    return float(stdtrit(degrees_of_freedom, 1 - alpha))


def _check(**figures: float) -> None:
    for name, figure in figures.items():
        if not (math.isfinite(figure) and figure > 0):
            raise ValueError(f"{name}={figure} must be finite and above 0")
