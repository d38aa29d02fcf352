"""Did users / (think time + latency) hold? One answer from the runs of all arms whose users think.

Comes in: `Law` of every arm whose apparatus was fit. Goes out: what each says alone, and the verdict in words.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Final, Literal

from scipy import stats

from perfgate.reproduce.reproduced import Law

#: How far the law may be off. The page's own figures keep to it within 2.5 % by the median; a window that begins and
#: ends in the middle of some users' turns is off by 1 to 2 %.
LAW_TOLERANCE: Final = 0.03
#: With fewer runs a mean of them is no better than each.
RUNS_MIN: Final = 5

#: Whether the whole interval of measured / predicted is within the tolerance, wholly outside, or neither.
Standing = Literal["confirmed", "refuted", "open"]


@dataclass(frozen=True, slots=True)
class TitledLaw:
    """A run of users who think.

    Args:
        title: of its table.
        law: what it sent, and what it should have.
    """

    title: str
    law: Law


@dataclass(frozen=True, slots=True)
class MeanError:
    """By how much all runs together are off.

    Args:
        runs: how many there are.
        value: the mean of measured / predicted - 1.
        low, high: its 95 % interval by Student's t over the runs: from how far they differ, not from what each says.
    """

    runs: int
    value: float
    low: float
    high: float


def law_standing(law: Law) -> Standing:
    """What the run of one arm says of the law."""
    return _standing(law.low_ratio - 1, law.high_ratio - 1)


def mean_error(laws: Sequence[Law]) -> MeanError:
    """The mean error of all runs.

    Raises:
        ValueError: there are fewer than two.
    """
    if len(laws) < 2:
        raise ValueError("a mean of runs needs two at least")
    errors = [law.error_ratio for law in laws]
    reach = float(stats.t.ppf(0.975, len(errors) - 1)) * stdev(errors) / math.sqrt(len(errors))
    value = fmean(errors)
    return MeanError(len(errors), value, value - reach, value + reach)


def law_words(found: Sequence[TitledLaw]) -> str:
    """Whether the law was confirmed, in words.

    One run that refutes it is enough. A run of three windows often leaves it open by itself; then the mean error
    of all runs decides, where there are `RUNS_MIN` of them.

    Args:
        found: of runs whose apparatus was fit; others say nothing.
    """
    if not found:
        return "neither confirmed nor refuted: generator, mock and host were not fit in any run with users who think"
    worst = sorted(found, key=lambda each: -abs(each.law.error_ratio))
    refuted, open_ = (
        [each for each in worst if law_standing(each.law) == standing] for standing in ("refuted", "open")
    )
    if refuted:
        return f"refuted: what was sent is off by {_off_words(refuted[0])}"
    if not open_:
        return f"confirmed: what was sent is off at most by {_off_words(worst[0])}"
    alone = f"what was sent is off by {_off_words(open_[0])}, and the interval has both in it"
    if len(found) < RUNS_MIN:
        return f"neither confirmed nor refuted: {alone}"
    mean = mean_error([each.law for each in found])
    decided = _standing(mean.low, mean.high)
    verdict = "neither confirmed nor refuted" if decided == "open" else decided
    words = (
        f"{verdict}: over {mean.runs} runs the mean error is {_percent(mean.value, mean.low, mean.high)}, where "
        f"{LAW_TOLERANCE:.0%} are allowed"
    )
    if decided != "confirmed":
        return words
    left = f"{len(open_)} {'leaves' if len(open_) == 1 else 'leave'} it open"
    return f"{words}. No run refutes it alone; {left}, most of all {_named(open_[0])} with {off(open_[0].law)}"


def off(law: Law) -> str:
    """By how much the law is off, and its interval."""
    return _percent(law.error_ratio, law.low_ratio - 1, law.high_ratio - 1)


def _standing(low: float, high: float) -> Standing:
    if low >= -LAW_TOLERANCE and high <= LAW_TOLERANCE:
        return "confirmed"
    return "refuted" if low > LAW_TOLERANCE or high < -LAW_TOLERANCE else "open"


def _off_words(found: TitledLaw) -> str:
    return f"{off(found.law)} with {_named(found)}, where {LAW_TOLERANCE:.0%} are allowed"


def _named(found: TitledLaw) -> str:
    return f"{found.law.arm} of the table {found.title!r}"


def _percent(value: float, low: float, high: float) -> str:
    return f"{value * 100:+.1f} % ({low * 100:+.1f} to {high * 100:+.1f})"
