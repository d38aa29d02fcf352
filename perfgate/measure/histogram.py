"""How long did things take: a frozen HdrHistogram of durations in microseconds.

Comes in: durations. Goes out: exact counts, percentiles, an encoded text for the record.
Percentiles are those of HdrHistogram: the smallest recorded value with at least that share of the counts at or below it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

#: Range and precision of every histogram: 1 microsecond to one hour, three significant digits.
LOWEST_US: Final = 1
HIGHEST_US: Final = 3_600_000_000
SIGNIFICANT_DIGITS: Final = 3


class NoRequests(ValueError):
    """A percentile or a mean was asked of a histogram that counted nothing."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of durations at HdrHistogram's resolution.

    Args:
        values_us: distinct recorded values (each the highest value that is equivalent to it), ascending.
        counts: how often each was recorded, same length, all above 0.
        max_us: the largest value as recorded, 0 when empty.

    >>> Histogram.of_us([1000, 1000, 2000]).percentile_ms(50)
    1.0
    """

    values_us: tuple[int, ...]
    counts: tuple[int, ...]
    max_us: int

    @classmethod
    def of_us(cls, durations_us: Iterable[int] | npt.NDArray[np.int64]) -> Self:
        """Record every duration; values below 1 us count as 1 us, values above an hour as an hour."""
        array = np.asarray(durations_us if isinstance(durations_us, np.ndarray) else list(durations_us), dtype=np.int64)
        if array.size == 0:
            return cls((), (), 0)
        values, counts = np.unique(np.clip(array, LOWEST_US, HIGHEST_US), return_counts=True)
        hdr = _empty_hdr()
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            hdr.record_value(value, count)
        return cls._of_hdr(hdr)

    @classmethod
    def decoded(cls, text: str) -> Self:
        """The histogram that `encoded` wrote; raises ValueError when the text is not one."""
        if text == "":
            return cls((), (), 0)
        try:
            return cls._of_hdr(HdrHistogram.decode(text))
        except Exception as error:
            raise ValueError(f"not an encoded HdrHistogram: {text[:40]!r} ({error})") from error

    @classmethod
    def merged(cls, parts: Sequence["Histogram"]) -> "Histogram":
        """All counts of all parts in one."""
        hdr = _empty_hdr()
        for part in parts:
            for value, count in zip(part.values_us, part.counts, strict=True):
                hdr.record_value(value, count)
        return cls._of_hdr(hdr)

    @property
    def count(self) -> int:
        """How many durations were recorded."""
        return sum(self.counts)

    def percentile_ms(self, percentile: float) -> float:
        """The value at a percentile (0 < percentile <= 100), in milliseconds.

        Raises:
            NoRequests: nothing was recorded.
        """
        if not 0 < percentile <= 100:
            raise ValueError(f"percentile={percentile} must be above 0 and at most 100")
        if not self.counts:
            raise NoRequests("a percentile of a histogram without a single request")
        cumulative = np.cumsum(self.counts)
        # The small slack keeps 99 % of 1000 at the 990th value although 0.99 * 1000 is not exact in binary.
        rank = max(1, int(np.ceil(percentile / 100 * cumulative[-1] - 1e-9)))
        return self.values_us[int(np.searchsorted(cumulative, rank))] / 1000

    def mean_ms(self) -> float:
        """Mean at the histogram's resolution, in milliseconds; raises NoRequests when empty."""
        if not self.counts:
            raise NoRequests("a mean of a histogram without a single request")
        return float(np.average(self.values_us, weights=self.counts)) / 1000

    @property
    def max_ms(self) -> float:
        """The largest duration; raises NoRequests when empty."""
        if not self.counts:
            raise NoRequests("a maximum of a histogram without a single request")
        return self.max_us / 1000

    def encoded(self) -> str:
        """HdrHistogram's own compressed base64 (V2), readable by every HdrHistogram tool; empty text when empty."""
        if not self.counts:
            return ""
        hdr = _empty_hdr()
        for value, count in zip(self.values_us, self.counts, strict=True):
            hdr.record_value(value, count)
        encoded: bytes = hdr.encode()
        return encoded.decode("ascii")

    @classmethod
    def _of_hdr(cls, hdr: HdrHistogram) -> Self:
        pairs = [
            (min(int(item.value_iterated_to), HIGHEST_US), int(item.count_added_in_this_iter_step))
            for item in hdr.get_recorded_iterator()
        ]
        values = tuple(value for value, _ in pairs)
        counts = tuple(count for _, count in pairs)
        return cls(values, counts, int(hdr.get_max_value()) if pairs else 0)


def _empty_hdr() -> HdrHistogram:
    return HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)
