"""Does an estimate with its interval keep to an absolute limit, break it, or can't we tell yet?

Comes in: the estimate, its interval's ends, the limit. Goes out: a `Decision`. Pure maths; imports nothing of ours.
"""

import math
from enum import Enum


class Decision(Enum):
    """What an interval says about a limit; the value is the sentence for people."""

    PASS = "the whole interval keeps to the limit"
    FAIL = "the whole interval is beyond the limit"
    UNDECIDED = "the limit lies within the interval: more rounds may decide"


def judge_max(value: float, low: float, high: float, maximum: float) -> Decision:
    """Whether a figure stays at or below `maximum`.

    Args:
        value: the estimate. A bootstrap interval may leave out its own estimate; when the two stand on different sides
            of the limit, nothing is decided.
        low, high: the interval's ends, the unit of `value`.
        maximum: the limit, the same unit; reaching it is allowed.

    >>> judge_max(14.0, low=12.0, high=16.0, maximum=11.0)
    <Decision.FAIL: 'the whole interval is beyond the limit'>
    """
    _check(value=value, low=low, high=high, maximum=maximum)
    if max(value, high) <= maximum:
        return Decision.PASS
    if min(value, low) > maximum:
        return Decision.FAIL
    return Decision.UNDECIDED


def judge_min(value: float, low: float, high: float, minimum: float) -> Decision:
    """Whether a figure such as completed_ratio stays at or above `minimum`: `judge_max` mirrored.

    >>> judge_min(1.0, low=0.997, high=1.0, minimum=0.99)
    <Decision.PASS: 'the whole interval keeps to the limit'>
    """
    _check(value=value, low=low, high=high, minimum=minimum)
    return judge_max(-value, -high, -low, -minimum)


def _check(*, low: float, high: float, **others: float) -> None:
    for name, number in {"low": low, "high": high, **others}.items():
        if not math.isfinite(number):
            raise ValueError(f"{name}={number} must be finite")
    if low > high:
        raise ValueError(f"low={low} must not be above high={high}")
