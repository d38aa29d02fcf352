"""Are the points, limits and intervals that are drawn those that were measured and judged?"""

from dataclasses import replace

import pytest

from perfgate.experiment.measurement import FaultCycle, GatewayUse, Measurement, Window
from perfgate.load.schedule import ClosedLoop
from perfgate.measure.histogram import Histogram
from perfgate.record import MeasurementRecord
from perfgate.record_entries import measurement_record
from perfgate.report.series import (
    ANCHORS,
    Curve,
    LatencyPicture,
    NotDrawable,
    latency_pictures,
    load_picture,
    load_words,
    merged,
    rounds_picture,
    use_picture,
)
from tests.harness import synthetic
from tests.harness.experiment.test_capacity_figures import tried
from tests.harness.report.conftest import a_compared_judgement, a_judgement, a_measurement, two_arms

PLAIN = synthetic.measurement()


def one_picture(measurement: MeasurementRecord, *judgements: object) -> LatencyPicture:
    (picture,) = latency_pictures(measurement, judgements)  # type: ignore[arg-type]
    return picture


def curve_of(picture: LatencyPicture, arm: str) -> Curve:
    (curve,) = [curve for curve in picture.curves if curve.arm == arm]
    return curve


@pytest.mark.parametrize("arm", ["direct", "gateway"])
def test_a_curve_has_the_percentiles_of_the_arms_merged_histogram(arm: str) -> None:
    curve = curve_of(one_picture(measurement_record(PLAIN)), arm)
    histogram = PLAIN.merged(arm, lambda load: load.latency)
    assert curve.requests == histogram.count == 1600
    assert [curve.at_ms(p) for p in (50.0, 95.0, 99.0, 99.9)] == [
        histogram.percentile_ms(p) for p in (50, 95, 99, 99.9)
    ]
    assert list(curve.percentiles) == sorted(curve.percentiles)
    assert list(curve.values_ms) == sorted(curve.values_ms)


def test_a_curve_ends_where_there_are_no_requests_left_to_be_slower() -> None:
    curve = curve_of(one_picture(measurement_record(PLAIN)), "gateway")
    assert curve.percentiles[-1] <= 100 * (1 - 1 / 1600)
    assert curve.at_ms(99.99) is None
    few = curve_of(one_picture(a_measurement(requests=1, rounds=1)), "gateway")
    assert (few.requests, few.percentiles[-1]) == (2, 50.0)


def test_an_arm_in_which_nothing_succeeded_has_no_curve() -> None:
    picture = one_picture(measurement_record(synthetic.measurement(failed=200)))
    assert [curve.arm for curve in picture.curves] == ["direct"]


def test_a_limit_on_latency_stands_at_its_percentile_as_it_is() -> None:
    judged = a_judgement("overhead", "latency_p95_ms", maximum=25.0)
    (mark,) = one_picture(measurement_record(PLAIN), judged).marks
    assert (mark.arm, mark.percentile, mark.value_ms) == ("gateway", 95.0, 25.0)


def test_a_limit_on_overhead_stands_above_the_latency_without_a_gateway() -> None:
    judged = a_judgement("overhead", "overhead_p95_ms", maximum=25.0)
    (mark,) = one_picture(measurement_record(PLAIN), judged).marks
    direct_ms = PLAIN.merged("direct", lambda load: load.latency).percentile_ms(95)
    assert (mark.arm, mark.percentile, mark.value_ms) == ("gateway", 95.0, 25.0 + direct_ms)


def test_a_margin_stands_at_what_it_makes_of_the_baseline() -> None:
    measured = two_arms(1.5)
    judged = a_compared_judgement("latency_p50_ms", measured)
    (mark,) = one_picture(measurement_record(measured), judged).marks
    assert judged.comparison is not None
    assert (mark.arm, mark.percentile) == ("candidate", 50.0)
    assert mark.value_ms == pytest.approx(1.05 * judged.comparison.baseline)


def test_limits_that_are_not_at_a_percentile_of_latency_are_not_drawn() -> None:
    judged = [a_judgement("overhead", metric) for metric in ("error_ratio", "cpu_per_request_ms", "chunk_gap_p99_ms")]
    assert one_picture(measurement_record(PLAIN), *judged).marks == ()


def test_a_limit_at_a_percentile_for_which_there_are_too_few_requests_is_not_drawn_over_another() -> None:
    few = synthetic.measurement(requests=5, rounds=2)
    judged = a_judgement("overhead", "overhead_p99_ms", few)
    assert one_picture(measurement_record(few), judged).marks == ()


def test_streams_have_pictures_of_first_tokens_and_gaps() -> None:
    load = synthetic.load_result(250, first_token_ms=40, chunk_gap_ms=10)
    windows = tuple(synthetic.window("gateway", load, number=number) for number in range(2))
    pictures = latency_pictures(measurement_record(replace(PLAIN, windows=windows)), [])
    assert [picture.what for picture in pictures] == ["latency", "time to the first token", "gap between chunks"]


def test_a_histogram_that_is_none_is_said() -> None:
    record = measurement_record(PLAIN)
    load = record.windows[0].load.model_copy(update={"latency": "nonsense"})
    broken = record.model_copy(update={"windows": [record.windows[0].model_copy(update={"load": load})]})
    with pytest.raises(NotDrawable, match="not an encoded HdrHistogram: 'nonsense'"):
        latency_pictures(broken, [])


def test_overhead_by_round_is_that_of_each_rounds_own_windows() -> None:
    judged = a_judgement("overhead", "overhead_p50_ms", maximum=20.0)
    picture = rounds_picture(measurement_record(PLAIN), [judged])
    assert picture is not None
    assert (picture.title, picture.unit, picture.limit) == ("gateway overhead, p50", "ms", 20.0)
    assert [(point.generation, point.round) for point in picture.points] == [(g, r) for g in (0, 1) for r in range(4)]
    through, direct = (
        next(w for w in PLAIN.windows if (w.arm, w.generation, w.round) == (arm, 1, 2)) for arm in ("gateway", "direct")
    )
    expected_ms = through.load.latency.percentile_ms(50) - direct.load.latency.percentile_ms(50)
    assert picture.points[6].value == pytest.approx(expected_ms)
    assert judged.estimate is not None
    assert (picture.value, picture.low, picture.high) == (
        judged.estimate.value,
        judged.estimate.low,
        judged.estimate.high,
    )


def test_a_generation_is_all_of_its_rounds_together() -> None:
    picture = rounds_picture(measurement_record(PLAIN), [])
    assert picture is not None
    of_one = replace(PLAIN, windows=tuple(window for window in PLAIN.windows if window.generation == 1))
    assert picture.of_generations[1] == pytest.approx(of_one.overhead_ms(50).value)
    assert (picture.value, picture.low, picture.high, picture.limit) == (None, None, None, None)


def test_of_a_comparison_the_slowdown_is_drawn_with_the_interval_that_was_judged() -> None:
    measured = two_arms(1.5)
    judged = a_compared_judgement("cpu_per_request_ms", measured)
    picture = rounds_picture(measurement_record(measured), [judged])
    assert picture is not None
    assert (picture.title, picture.unit) == ("slowdown of the candidate: CPU per request", "%")
    # Baseline 0.98, 1.02, 1.01, 0.99 of 8 ms; candidate 1.5 times 0.99, 1.01, 1.02, 0.98 of it.
    assert list(picture.of_generations.values()) == pytest.approx([51.53, 48.53, 51.49, 48.48], abs=0.01)
    assert len(picture.points) == 8
    assert picture.limit == pytest.approx(5.0)
    assert judged.comparison is not None
    assert picture.value == pytest.approx((judged.comparison.ratio - 1) * 100)
    assert judged.comparison.low is not None
    assert picture.low == pytest.approx((judged.comparison.low - 1) * 100)


def test_throughput_that_fell_is_a_slowdown_above_0() -> None:
    measured = two_arms(2.0, (1.0, 1.0))
    picture = rounds_picture(measurement_record(measured), [a_compared_judgement("throughput_rps", measured)])
    assert picture is not None
    assert list(picture.of_generations.values()) == pytest.approx([100.0, 100.0])


def test_an_interval_without_an_end_has_none_here_either() -> None:
    measured = two_arms(1.2, (1.0, 1.0))
    picture = rounds_picture(measurement_record(measured), [a_compared_judgement("cpu_per_request_ms", measured)])
    assert picture is not None
    assert (picture.low, picture.high) == (None, None)


def test_what_has_neither_overhead_nor_a_comparison_has_no_picture_of_rounds() -> None:
    only = replace(PLAIN, windows=PLAIN.windows[::2], arms=(synthetic.GATEWAY,))
    assert rounds_picture(measurement_record(only), []) is None
    assert rounds_picture(measurement_record(two_arms(1.0)), []) is None


def with_times(measured: Measurement) -> Measurement:
    """Windows of 4 s, one every 5 s."""
    windows = []
    for number, window in enumerate(measured.windows):
        opened = 100.0 + 5 * number
        load = replace(
            window.load,
            window_opened_mono_s=opened,
            window_closed_mono_s=opened + 3.9,
            drained_mono_s=opened + 4,
        )
        windows.append(replace(window, load=load))
    return replace(measured, windows=tuple(windows))


def test_use_over_time_is_a_line_for_each_start_of_a_gateway() -> None:
    picture = use_picture(measurement_record(with_times(PLAIN)))
    assert picture is not None
    assert [(line.arms, line.generation, len(line.points)) for line in picture.lines] == [
        (("gateway",), 0, 4),
        (("gateway",), 1, 4),
    ]
    first, second = picture.lines[0].points[:2]
    assert (first.at_s, second.at_s) == (4.0, 14.0)
    assert first.cpu_cores == pytest.approx(200 * 0.008 / 4)
    assert first.rss_mib == pytest.approx((10**8 + 1024 * 1024) / 1024**2)


def test_arms_that_share_a_gateway_share_a_line_and_faults_are_timed_from_the_first_window() -> None:
    load = synthetic.load_result(12.0)
    use = GatewayUse(1.0, 10**8, 10**8, 200, 0.001)
    windows = tuple(Window(arm, 0, 0, 0, 1, load, use) for arm in ("before", "during", "after"))
    arms = tuple(replace(synthetic.GATEWAY, name=name) for name in ("before", "during", "after"))
    measured = with_times(replace(PLAIN, arms=arms, windows=windows))
    measured = replace(measured, faults=(FaultCycle(0, 104.5, 109.5, 110.0),))
    picture = use_picture(measurement_record(measured))
    assert picture is not None
    (line,) = picture.lines
    assert (line.arms, len(line.points)) == (("before", "during", "after"), 3)
    (fault,) = picture.faults
    assert (fault.began_s, fault.over_s, fault.ended_s) == (4.5, 9.5, 10.0)


def test_where_cpu_and_memory_were_not_measured_there_is_no_picture_of_them() -> None:
    windows = tuple(replace(window, gateway=None) for window in PLAIN.windows)
    assert use_picture(measurement_record(replace(PLAIN, windows=windows))) is None
    assert use_picture(measurement_record(replace(PLAIN, windows=()))) is None


def test_an_arm_under_two_loads_has_throughput_and_latency_of_both_in_the_order_of_throughput() -> None:
    measured = with_times(two_arms(1.0))
    slow = synthetic.load_result(250.0, requests=41)  # in 4.1 s
    shown = tuple(Window(name, 0, 0, 0, 1, slow, None) for name in ("baseline", "candidate"))
    thinking = ClosedLoop(10, warm_up_s=0, window_s=4, think_time_s=0.75)
    picture = load_picture(measurement_record(replace(measured, shown=shown, shown_schedule=thinking)))
    assert picture is not None
    assert list(picture.of_arms) == ["baseline", "candidate"]
    few, many = picture.of_arms["candidate"]
    assert (few.load, many.load) == ("10 users who think 0.75 s", "2 users")
    assert few.throughput_rps == pytest.approx(10.0)
    assert many.throughput_rps == pytest.approx(25.0)  # 100 requests in each window of 4 s
    assert few.p50_ms == pytest.approx(250, rel=0.03)
    assert load_picture(measurement_record(measured)) is None


def test_a_search_for_a_capacity_is_the_curve_of_the_rates_that_it_tried_and_nothing_else() -> None:
    searched = measurement_record(tried())
    picture = load_picture(searched)
    assert picture is not None
    assert searched.search is not None
    assert set(picture.of_arms) == {point.arm for point in searched.search.curve}
    loads = [point.load for point in picture.of_arms["gateway"]]
    assert loads == [f"{rate} requests/s" for rate in (15, 30, 60, 64, 72, 80, 84, 120)]
    assert latency_pictures(searched, []) == []
    assert rounds_picture(searched, []) is None


def test_a_load_is_put_in_words() -> None:
    schedule = measurement_record(PLAIN).schedule
    assert schedule is not None
    assert load_words(schedule) == "50 requests/s"
    poisson = schedule.model_copy(update={"arrivals": "poisson"})
    assert load_words(poisson) == "50 requests/s at random"


def test_no_windows_make_an_empty_histogram() -> None:
    assert merged([], "latency") == Histogram((), (), 0)


def test_anchors_are_percentiles_in_order() -> None:
    assert list(ANCHORS) == sorted(ANCHORS)
    assert 95.0 in ANCHORS
