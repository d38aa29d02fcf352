"""Are figures those of the windows, beside the right ones of the page?"""

from dataclasses import replace

import pytest

from perfgate.experiment.measurement import NotMeasured
from perfgate.load.schedule import ClosedLoop
from perfgate.measure.histogram import Histogram
from perfgate.reproduce.figures import failed_of, laws_of, ratios_of, rows_of
from perfgate.reproduce.published import FOUR_INSTANCES, GCS, INSTANCES, LOGGING, TWO_INSTANCES
from perfgate.reproduce.reproduced import Row
from tests.harness.reproduce.conftest import measured

BOTH = {TWO_INSTANCES: 200.0, FOUR_INSTANCES: 100.0}


def test_every_figure_of_the_page_stands_beside_a_measured_one() -> None:
    rows = rows_of(measured(BOTH), INSTANCES, list(BOTH))
    assert len(rows) == 30
    at = {(row.arm, row.times, row.figure): row for row in rows}
    median = at[TWO_INSTANCES, "requests", "median_ms"]
    assert median.published == 200
    assert median.measured == pytest.approx(200, rel=0.001)
    assert median.low is not None
    assert median.high is not None
    assert median.low <= median.measured <= median.high
    assert at[FOUR_INSTANCES, "requests", "mean_ms"].measured == pytest.approx(100, rel=0.001)
    assert at[FOUR_INSTANCES, "requests", "throughput_rps"].measured == pytest.approx(110)
    assert at[TWO_INSTANCES, "header overhead", "p99_ms"].measured == pytest.approx(2, rel=0.001)
    assert at[TWO_INSTANCES, "header overhead", "p99_ms"].published == 43


def test_aggregated_counts_every_request_twice_once_by_its_header() -> None:
    rows = {row.figure: row for row in rows_of(measured(BOTH), INSTANCES, [TWO_INSTANCES]) if row.times == "aggregated"}
    assert rows["mean_ms"].measured == pytest.approx(101, rel=0.001)
    assert rows["median_ms"].measured == pytest.approx(2, rel=0.001)
    assert rows["throughput_rps"].measured == pytest.approx(220)
    assert rows["throughput_rps"].published == 2071.4


def test_figures_of_requests_that_the_page_leaves_out_are_measured_all_the_same() -> None:
    rows = rows_of(measured({LOGGING: 130.0}), GCS, [LOGGING])
    assert [(row.figure, row.published) for row in rows] == [
        ("median_ms", 138),
        ("p95_ms", None),
        ("p99_ms", None),
        ("mean_ms", None),
        ("throughput_rps", 1137.3),
    ]
    assert all(isinstance(row, Row) and row.times == "requests" for row in rows)


def test_two_arms_are_divided_on_the_page_and_here() -> None:
    ratios = {ratio.figure: ratio for ratio in ratios_of(measured(BOTH), INSTANCES, FOUR_INSTANCES, TWO_INSTANCES)}
    assert ratios["median_ms"].published == 0.5
    assert ratios["median_ms"].measured == pytest.approx(0.5, rel=0.002)
    assert ratios["p95_ms"].published == pytest.approx(150 / 630)
    assert ratios["throughput_rps"].published == pytest.approx(1170 / 1035.7)
    assert ratios["throughput_rps"].measured == pytest.approx(1)
    assert ratios["mean_ms"].measured == pytest.approx(0.5, rel=0.002)
    without = ratios_of(measured(BOTH), (), FOUR_INSTANCES, TWO_INSTANCES)
    assert {ratio.published for ratio in without} == {None}


def test_the_law_is_held_against_what_was_sent() -> None:
    (law,) = laws_of(measured({LOGGING: 250.0}, rps=100.0), [LOGGING])
    assert law.predicted_rps == pytest.approx(100 / (0.75 + 0.25), rel=0.001)
    assert law.predicted_by_median_rps == pytest.approx(100, rel=0.001)
    assert law.error_ratio == pytest.approx(0, abs=0.001)
    (off,) = laws_of(measured({LOGGING: 250.0}, rps=80.0), [LOGGING])
    assert off.error_ratio == pytest.approx(-0.2, abs=0.001)


def test_users_who_do_not_think_have_no_such_law() -> None:
    busy = ClosedLoop(users=8, warm_up_s=0, window_s=4)
    assert laws_of(measured({LOGGING: 250.0}, schedule=busy), [LOGGING]) == ()


def test_a_gateway_without_the_header_has_no_such_row() -> None:
    both = measured(BOTH)
    silent = replace(
        both, windows=tuple(replace(w, load=replace(w.load, header_overhead=Histogram.of_us([]))) for w in both.windows)
    )
    with pytest.raises(NotMeasured, match="no reply of arm '2 instances' carried x-litellm-overhead-duration-ms"):
        rows_of(silent, INSTANCES, list(BOTH))


def test_failures_are_counted_by_arm() -> None:
    assert failed_of(measured(BOTH), list(BOTH)) == {TWO_INSTANCES: 0, FOUR_INSTANCES: 0}
