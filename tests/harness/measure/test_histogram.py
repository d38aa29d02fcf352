"""Are the histogram's figures those of every duration written out, at HdrHistogram's resolution?"""

import math
from fractions import Fraction

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from perfgate.measure.histogram import HIGHEST_US, LOWEST_US, SIGNIFICANT_DIGITS, Histogram, NoRequests

#: Three significant digits: two values that HdrHistogram keeps apart differ by more than this share.
RESOLUTION = 1e-3

DURATIONS = st.lists(st.integers(1, HIGHEST_US), min_size=1, max_size=60)
#: Up to 2,047 us every value has a bucket of its own, so that figures can be compared exactly.
EXACT_DURATIONS = st.lists(st.integers(1, 2_047), min_size=1, max_size=200)
PERCENTILES = st.sampled_from([0.1, 1.0, 7.0, 29.0, 50.0, 58.0, 90.0, 95.0, 99.0, 99.9, 100.0])


def literal_percentile_us(durations_us: list[int], percentile: float) -> int:
    """Twin: the smallest value with at least that share of values at or below it."""
    needed = Fraction(str(percentile)) / 100 * len(durations_us)
    return next(value for value in sorted(durations_us) if sum(other <= value for other in durations_us) >= needed)


@given(EXACT_DURATIONS, PERCENTILES)
def test_a_percentile_is_the_smallest_value_with_its_share_at_or_below(durations: list[int], percentile: float) -> None:
    assert Histogram.of_us(durations).percentile_ms(percentile) == literal_percentile_us(durations, percentile) / 1000


@given(DURATIONS, PERCENTILES)
def test_long_durations_are_right_to_three_digits(durations: list[int], percentile: float) -> None:
    found_us = Histogram.of_us(durations).percentile_ms(percentile) * 1000
    assert found_us == pytest.approx(literal_percentile_us(durations, percentile), rel=RESOLUTION)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)  # HdrHistogram takes 30 ms to iterate
@given(DURATIONS)
def test_values_and_counts_are_those_that_hdrhistogram_records(durations: list[int]) -> None:
    hdr = HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)
    for duration in durations:
        hdr.record_value(duration)
    steps = [(step.value_iterated_to, step.count_added_in_this_iter_step) for step in hdr.get_recorded_iterator()]
    histogram = Histogram.of_us(durations)
    # The highest value of the last bucket is above an hour; ours stops there.
    assert histogram.values_us == tuple(min(value, HIGHEST_US) for value, _ in steps)
    assert histogram.counts == tuple(count for _, count in steps)


@pytest.mark.parametrize(
    "values_us", [(2_047, 2_048), (2_049, 2_050), (4_095, 4_096), (1 << 30, (1 << 30) + (1 << 20))]
)
def test_neighbouring_buckets_are_kept_apart(values_us: tuple[int, int]) -> None:
    assert Histogram.of_us(values_us).counts == (1, 1)


@pytest.mark.parametrize("values_us", [(2_048, 2_049), (4_096, 4_099), (1 << 30, (1 << 30) + (1 << 20) - 1)])
def test_values_within_a_bucket_are_one(values_us: tuple[int, int]) -> None:
    histogram = Histogram.of_us(values_us)
    assert (histogram.counts, histogram.values_us[0]) == ((2,), values_us[1])


def test_a_percentile_at_a_whole_rank_is_not_moved_by_binary_fractions() -> None:
    histogram = Histogram.of_us(range(1, 101))
    for percentile in range(1, 101):
        assert histogram.percentile_ms(percentile) == percentile / 1000
    # In binary, 28 % of a hundred million is so much above 28 million that a slack of 1e-9 does not help.
    assert Histogram((1, 2), (28_000_000, 72_000_000), 2).percentile_ms(28) == 0.001
    assert Histogram((1, 2), (27_999_999, 72_000_001), 2).percentile_ms(28) == 0.002


@given(st.lists(st.lists(st.integers(1, HIGHEST_US), max_size=30), max_size=5))
def test_merging_is_recording_everything_in_one(parts: list[list[int]]) -> None:
    merged = Histogram.merged([Histogram.of_us(part) for part in parts])
    assert merged == Histogram.of_us([duration for part in parts for duration in part])


@given(st.lists(EXACT_DURATIONS, min_size=1, max_size=4), PERCENTILES)
def test_a_percentile_of_a_merged_histogram_is_that_of_all_durations(parts: list[list[int]], percentile: float) -> None:
    merged = Histogram.merged([Histogram.of_us(part) for part in parts])
    everything = [duration for part in parts for duration in part]
    assert merged.percentile_ms(percentile) == literal_percentile_us(everything, percentile) / 1000


@given(DURATIONS)
def test_an_encoded_histogram_is_decoded_to_the_same_counts(durations: list[int]) -> None:
    histogram = Histogram.of_us(durations)
    assert Histogram.decoded(histogram.encoded()) == histogram


@given(DURATIONS)
def test_the_encoded_text_is_one_that_hdrhistogram_reads(durations: list[int]) -> None:
    hdr = HdrHistogram.decode(Histogram.of_us(durations).encoded())
    assert hdr.get_total_count() == len(durations)


@given(EXACT_DURATIONS)
def test_count_mean_and_maximum_are_those_of_the_durations(durations: list[int]) -> None:
    histogram = Histogram.of_us(durations)
    assert histogram.count == len(durations)
    assert histogram.mean_ms() == pytest.approx(sum(durations) / len(durations) / 1000)
    assert histogram.max_ms == max(durations) / 1000


def test_arrays_and_lists_are_the_same() -> None:
    durations = [5, 5, 700_000]
    assert Histogram.of_us(np.array(durations)) == Histogram.of_us(durations)


def test_what_is_out_of_range_counts_at_the_ends_of_the_range() -> None:
    histogram = Histogram.of_us([0, -5, HIGHEST_US * 2])
    assert histogram.counts == (2, 1)
    assert histogram.percentile_ms(50) == 0.001
    assert histogram.percentile_ms(100) == HIGHEST_US / 1000


@pytest.mark.parametrize("empty", [Histogram.of_us([]), Histogram.decoded(""), Histogram.merged([])])
def test_an_empty_histogram_has_no_figures(empty: Histogram) -> None:
    assert (empty.count, empty.encoded()) == (0, "")
    with pytest.raises(NoRequests, match=r"^a percentile of a histogram without a single request$"):
        empty.percentile_ms(50)
    with pytest.raises(NoRequests, match=r"^a mean of a histogram without a single request$"):
        empty.mean_ms()
    with pytest.raises(NoRequests, match=r"^a maximum of a histogram without a single request$"):
        _ = empty.max_ms


@pytest.mark.parametrize("percentile", [0, -1, 100.5, math.nan])
def test_a_percentile_out_of_range_is_refused(percentile: float) -> None:
    with pytest.raises(ValueError, match=r"percentile=\S+ must be above 0 and at most 100"):
        Histogram.of_us([1]).percentile_ms(percentile)


@pytest.mark.parametrize("text", ["nonsense", "HISTFAAAA", "%%%"])
def test_a_text_that_is_no_histogram_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^not an encoded HdrHistogram: '{text}'"):
        Histogram.decoded(text)
