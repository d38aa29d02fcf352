"""How sure is a share of requests, such as the error ratio?

Comes in: how many of how many. Goes out: an `Interval` of the share.
Pure maths; needs the Interval of resampling.py and nothing else of ours.
"""

from scipy.special import betaincinv

from perfgate.stats.resampling import Interval


def proportion_interval(successes: int, trials: int, confidence: float) -> Interval:
    """The exact (Clopper-Pearson) interval of a proportion: never narrower than it says, unlike the normal one.

    It takes requests for independent. Where they fail together (a crash, a queue that fills) the truth is less certain.

    Args:
        successes: what is counted, errors for example; 0 to trials.
        trials: out of how many; at least 1.
        confidence: of both sides together, above 0 and below 1.

    Source: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934), doi:10.1093/biomet/26.4.404.

    >>> interval = proportion_interval(0, 1000, confidence=0.95)
    >>> interval.low, round(interval.high, 5)
    (0.0, 0.00368)
    """
    if trials < 1:
        raise ValueError(f"trials={trials} must be at least 1")
    if not 0 <= successes <= trials:
        raise ValueError(f"successes={successes} must be between 0 and trials={trials}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence} must be between 0 and 1")
    tail = (1 - confidence) / 2
    failures = trials - successes
    low = 0.0 if successes == 0 else float(betaincinv(successes, failures + 1, tail))
    high = 1.0 if failures == 0 else float(betaincinv(successes + 1, failures, 1 - tail))
    return Interval(low, high, confidence)
