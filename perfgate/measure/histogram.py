"""How long did things take: a frozen HdrHistogram of durations in microseconds.

Comes in: durations. Goes out: exact counts, percentiles, an encoded text for the record.
Percentiles are those of HdrHistogram: the smallest recorded value with at least that share of counts at or below.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

#: Range and precision of every histogram: 1 microsecond to one hour, three significant digits.
LOWEST_US: Final = 1
HIGHEST_US: Final = 3_600_000_000
SIGNIFICANT_DIGITS: Final = 3
#: Thousands of gates are composed of a few hundred histograms (perfgate/selftest), and ask each for the same again.
PERCENTILES_KEPT: Final = 50_000
#: HdrHistogram keeps 2 * 10**digits apart exactly, rounded up to a power of two: 2,048 values.
KEPT_BITS: Final = 11


class NoRequests(ValueError):
    """A percentile or a mean was asked of a histogram that counted nothing."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of durations at HdrHistogram's resolution.

    Args:
        values_us: distinct recorded values (each the highest value that is equivalent to it), ascending.
        counts: how often each was recorded, same length, all above 0.
        max_us: the largest of `values_us`, 0 when empty.

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
        return cls._counted(
            _highest_equivalent(np.clip(array, LOWEST_US, HIGHEST_US)), np.ones(array.size, dtype=np.int64)
        )

    @classmethod
    def decoded(cls, text: str) -> Self:
        """The histogram that `encoded` wrote; raises ValueError when the text is not one."""
        if text == "":
            return cls((), (), 0)
        try:
            hdr = HdrHistogram.decode(text)
            indices = np.flatnonzero(hdr.counts)
            values_us = np.array([hdr.get_value_from_index(int(index)) for index in indices], dtype=np.int64)
            return cls._counted(_highest_equivalent(values_us), np.asarray(hdr.counts)[indices])
        except Exception as error:
            raise ValueError(f"not an encoded HdrHistogram: {text[:40]!r} ({error})") from error

    @classmethod
    def merged(cls, parts: Sequence["Histogram"]) -> "Histogram":
        """All counts of all parts in one."""
        if len(parts) == 1:
            return parts[0]
        return cls._counted(
            np.array([value for part in parts for value in part.values_us], dtype=np.int64),
            np.array([count for part in parts for count in part.counts], dtype=np.int64),
        )

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
        return _percentile_us(self, percentile) / 1000

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
    def _counted(cls, values_us: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> Self:
        """Sum the counts of equal values; HdrHistogram's own recording and iterating take 30 ms, this takes none."""
        values, places = np.unique(values_us, return_inverse=True)
        totals = np.zeros(values.size, dtype=np.int64)
        np.add.at(totals, places, counts)
        return cls(tuple(values.tolist()), tuple(totals.tolist()), int(values[-1]) if values.size else 0)


@lru_cache(maxsize=PERCENTILES_KEPT)
def _percentile_us(histogram: Histogram, percentile: float) -> int:
    cumulative = np.cumsum(histogram.counts)
    # As written in decimals: in binary, 7 % of 100 is a little more than 7, and would be the 8th value.
    rank = math.ceil(Fraction(str(percentile)) * int(cumulative[-1]) / 100)
    return histogram.values_us[int(np.searchsorted(cumulative, rank))]


def _highest_equivalent(values_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The highest value that HdrHistogram keeps in the same bucket: at 3 digits, 11 bits of a value are kept."""
    bits = np.frexp(values_us.astype(np.float64))[1].astype(np.int64)
    dropped = np.maximum(0, bits - KEPT_BITS)
    highest: npt.NDArray[np.int64] = np.minimum(((values_us >> dropped) + 1 << dropped) - 1, HIGHEST_US)
    return highest


def _empty_hdr() -> HdrHistogram:
    return HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)
