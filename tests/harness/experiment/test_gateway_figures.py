"""Do LiteLLM and Portkey side by side come out as they were put in?"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import pytest

from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.gateway_figures import LITELLM, LITELLM_WITH_DATABASE, PORTKEY, gateway_rows
from perfgate.experiment.measurement import Measurement, NotMeasured
from perfgate.experiment.metrics import METRICS
from perfgate.load.schedule import ClosedLoop
from perfgate.measure.histogram import Histogram
from perfgate.stack.sources import PortkeyRelease, Release
from tests.harness.synthetic import DIRECT, Truth, load_result, measurement, window, window_of

RELEASE: Final = Release("1.79.3")
ARMS: Final = (
    DIRECT,
    Arm(LITELLM_WITH_DATABASE, GatewaySpec(RELEASE, database=True)),
    Arm(LITELLM, GatewaySpec(RELEASE)),
    Arm(PORTKEY, GatewaySpec(PortkeyRelease())),
)
TRUTHS: Final = {
    LITELLM_WITH_DATABASE: Truth(overhead_ms=39, cpu_ms=16, rss_mib=400, rps=90),
    LITELLM: Truth(overhead_ms=19, cpu_ms=8, rss_mib=300, rps=120),
    PORTKEY: Truth(overhead_ms=4, cpu_ms=2, rss_mib=100, rps=150),
}


def side_by_side(truths: Mapping[str, Truth] = TRUTHS) -> Measurement:
    """Two generations of two rounds; without a gateway a request takes 1 ms."""
    places = [(generation, number) for generation in range(2) for number in range(2)]
    windows = [window("direct", load_result(1.0), generation=g, number=n) for g, n in places]
    windows += [window_of(truth, arm, g, n) for arm, truth in truths.items() for g, n in places]
    load = ClosedLoop(users=30, warm_up_s=1, window_s=12, think_time_s=0.75)
    return Measurement("gateways", ARMS, load, tuple(windows), stopped="the most rounds are done")


@pytest.mark.parametrize(
    ("metric", "truth"),
    [
        ("litellm_to_portkey_latency_p50_ratio", 20 / 5),
        ("litellm_with_database_to_portkey_latency_p50_ratio", 40 / 5),
        ("litellm_to_portkey_latency_p95_ratio", (1 + 2 * 19) / (1 + 2 * 4)),
        ("litellm_to_portkey_latency_p99_ratio", (1 + 4 * 19) / (1 + 4 * 4)),
        ("litellm_to_portkey_throughput_ratio", 120 / 150),
        ("litellm_with_database_to_portkey_throughput_ratio", 90 / 150),
        ("litellm_to_portkey_cpu_ratio", 8 / 2),
        ("litellm_with_database_to_portkey_cpu_ratio", 16 / 2),
        ("litellm_to_portkey_rss_ratio", 300 / 100),
    ],
)
def test_a_ratio_is_litellm_s_figure_divided_by_portkey_s(metric: str, truth: float) -> None:
    estimate = METRICS[metric].estimate(side_by_side())
    assert estimate.value == pytest.approx(truth, rel=0.01)
    assert estimate.low <= estimate.value <= estimate.high
    assert (estimate.metric, estimate.unit, estimate.requests, estimate.rounds) == (metric, "", 400, 4)


def test_tails_need_a_thousand_requests_of_both() -> None:
    tail, median, cpu = (
        METRICS[f"litellm_to_portkey_{name}_ratio"].estimate(side_by_side())
        for name in ("latency_p95", "latency_p50", "cpu")
    )
    assert (tail.requests_needed, median.requests_needed, cpu.requests_needed) == (1_000, 100, 0)


def test_what_moves_both_in_a_round_leaves_the_ratio_alone() -> None:
    """A host that is half as fast in every other round."""
    slow = {arm: truth.slower(2) for arm, truth in TRUTHS.items()}
    windows = tuple(
        window_of((slow if made.round else TRUTHS)[made.arm], made.arm, made.generation, made.round, direct_ms=0)
        for made in side_by_side().windows
        if made.arm in TRUTHS
    )
    measured = replace(side_by_side(), windows=windows)
    for name, truth in (("cpu", 4.0), ("throughput", 0.8), ("rss", 3.0)):
        estimate = METRICS[f"litellm_to_portkey_{name}_ratio"].estimate(measured)
        assert [estimate.low, estimate.high] == pytest.approx([truth, truth], rel=0.01)


def test_of_errors_the_gateway_with_most_speaks() -> None:
    failing = {**TRUTHS, PORTKEY: replace(TRUTHS[PORTKEY], failed=7)}
    errors = METRICS["gateways_error_ratio"].estimate(side_by_side(failing))
    assert (errors.metric, errors.value, errors.requests) == ("gateways_error_ratio", 0.07, 400)
    assert METRICS["gateways_error_ratio"].estimate(side_by_side()).value == 0


def test_of_replies_in_time_the_gateway_with_fewest_speaks() -> None:
    late = tuple(
        replace(made, load=replace(made.load, completed=90)) if made.arm == LITELLM else made
        for made in side_by_side().windows
    )
    completed = METRICS["gateways_completed_ratio"].estimate(replace(side_by_side(), windows=late))
    assert (completed.metric, completed.value) == ("gateways_completed_ratio", 0.9)


@pytest.mark.parametrize("name", ["cpu", "throughput"])
def test_a_round_in_which_nothing_was_answered_is_no_figure(name: str) -> None:
    dead = tuple(
        replace(made, load=replace(made.load, completed=0, succeeded=0))
        if (made.arm, made.generation, made.round) == (PORTKEY, 0, 1)
        else made
        for made in side_by_side().windows
    )
    with pytest.raises(NotMeasured, match="in a round no request of arm 'portkey' was answered"):
        METRICS[f"litellm_to_portkey_{name}_ratio"].estimate(replace(side_by_side(), windows=dead))


class TestRows:
    def test_each_arm_has_one_in_their_order(self) -> None:
        assert [row.arm for row in gateway_rows(side_by_side())] == [arm.name for arm in ARMS]

    def test_it_has_the_published_figures_and_cpu_and_memory(self) -> None:
        row = next(row for row in gateway_rows(side_by_side()) if row.arm == LITELLM)
        assert (row.requests, row.failures) == (400, 0)
        assert row.p50_ms == pytest.approx(20, rel=0.01)
        assert row.p95_ms == pytest.approx(39, rel=0.01)
        assert row.p99_ms == pytest.approx(77, rel=0.01)
        assert row.mean_ms == pytest.approx(0.9 * 20 + 0.07 * 39 + 0.03 * 77, rel=0.01)
        assert row.throughput_rps == pytest.approx(120)
        assert row.cpu_per_request_ms == pytest.approx(8)
        assert row.rss_mib == pytest.approx(300)

    def test_failures_are_counted_and_not_timed(self) -> None:
        failing = {**TRUTHS, PORTKEY: replace(TRUTHS[PORTKEY], failed=7)}
        row = gateway_rows(side_by_side(failing))[-1]
        assert (row.arm, row.requests, row.failures) == (PORTKEY, 400, 28)

    def test_without_a_gateway_there_is_no_cpu_and_no_memory(self) -> None:
        direct = gateway_rows(side_by_side())[0]
        assert (direct.cpu_per_request_ms, direct.rss_mib) == (None, None)
        assert direct.p50_ms == pytest.approx(1, rel=0.05)

    def test_where_nothing_was_answered_there_are_no_times(self) -> None:
        none = Histogram.of_us([])
        dead = tuple(
            replace(made, load=replace(made.load, completed=0, succeeded=0, latency=none))
            if made.arm == PORTKEY
            else made
            for made in side_by_side().windows
        )
        row = gateway_rows(replace(side_by_side(), windows=dead))[-1]
        assert (row.p50_ms, row.p99_ms, row.mean_ms, row.cpu_per_request_ms) == (None, None, None, None)
        assert (row.failures, row.throughput_rps) == (400, 0)

    def test_a_window_without_an_answer_leaves_the_times_of_the_others(self) -> None:
        none = Histogram.of_us([])
        dead = tuple(
            replace(made, load=replace(made.load, completed=0, succeeded=0, latency=none))
            if (made.arm, made.generation, made.round) == (PORTKEY, 0, 1)
            else made
            for made in side_by_side().windows
        )
        row = gateway_rows(replace(side_by_side(), windows=dead))[-1]
        assert row.p50_ms == pytest.approx(5, rel=0.01)
        assert (row.failures, row.cpu_per_request_ms) == (100, None)
        assert row.rss_mib == pytest.approx(100)

    def test_there_are_none_of_one_product_or_before_all_arms_have_windows(self) -> None:
        assert gateway_rows(measurement()) == ()
        assert gateway_rows(replace(side_by_side(), windows=side_by_side().windows[:5])) == ()
