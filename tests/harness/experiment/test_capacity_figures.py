"""Do the figures of a search say what its windows do?"""

from dataclasses import replace

import pytest

from perfgate.experiment import health
from perfgate.experiment.capacity_figures import capacity, capacity_rps, ceiling, curve, unfit_ratio
from perfgate.experiment.measurement import Measurement, NotMeasured, Outcome, Trial, Window
from perfgate.experiment.metrics import METRICS
from perfgate.load.schedule import ClosedLoop
from perfgate.thresholds import Limit
from perfgate.verdict import Reason, Verdict, judge
from tests.harness.experiment.test_capacity import APPARATUS, FIRST, OBJECTIVE
from tests.harness.synthetic import DIRECT, GATEWAY, load_result

#: Of one gateway that holds 60 and breaks at 80; generator and mock hold 1,000 and not 2,000.
HELD: tuple[tuple[float, Outcome], ...] = (
    *((15, "held"), (30, "held"), (60, "held"), (120, "broken"), (84, "broken")),
    *((60, "held"), (80, "broken"), (72, "broken"), (64, "held")),
)
CEILING: tuple[tuple[float, Outcome], ...] = ((120, "held"), (1_000, "held"), (2_000, "broken"), (1_400, "broken"))


def tried(
    gateway: tuple[tuple[float, Outcome], ...] = HELD,
    direct: tuple[tuple[float, Outcome], ...] = CEILING,
    generations: int = 4,
) -> Measurement:
    """Generations that all fare the same: 10 ms at a rate that is held, 600 ms and 5 % of errors at one that is not."""
    windows = []
    for generation in range(generations):
        for number, (rate_rps, outcome) in enumerate(gateway):
            load = load_result(10.0) if outcome == "held" else load_result(600.0, failed=10)
            trial = Trial(rate_rps, outcome)
            windows.append(Window("gateway", generation, number, 0, 0, load, None, trial=trial))
    for number, (rate_rps, outcome) in enumerate(direct):
        windows.append(Window("direct", 0, number, 0, 0, load_result(1.0), None, trial=Trial(rate_rps, outcome)))
    return Measurement("capacity", (DIRECT, GATEWAY), FIRST, tuple(windows), objective=OBJECTIVE)


def judged(measured: Measurement, minimum: float) -> tuple[Verdict, Reason]:
    limit = Limit("capacity_rps", "a reason", "thresholds.yaml", 8, minimum=minimum)
    judgement = judge(measured, limit, health.check(measured, APPARATUS), None)
    return judgement.verdict, judgement.reason


def test_the_capacity_lies_between_what_is_held_and_what_is_broken() -> None:
    estimate = capacity_rps(tried())
    assert 55 < estimate.low < estimate.value < estimate.high < 85
    assert 62 < estimate.value < 75
    assert (estimate.metric, estimate.unit) == ("capacity_rps", "requests/s")
    assert (estimate.rounds, estimate.generations, estimate.requests) == (36, 4, 36 * 200)
    assert ceiling(tried()).rps == pytest.approx(1_200, rel=0.15)


def test_windows_that_were_not_sent_change_nothing_but_their_share() -> None:
    spoiled = tried(((500, "unfit"), *HELD))
    assert capacity(spoiled) == capacity(tried())
    assert unfit_ratio(spoiled) == pytest.approx(0.1)
    assert all(point.offered_rps != 500 for point in curve(spoiled))


def test_a_rate_that_was_never_broken_is_a_lower_bound() -> None:
    estimate = capacity_rps(tried(((15, "held"), (30, "held"))))
    assert (estimate.value, estimate.low, estimate.high) == (30, 30, 30)


def test_a_gateway_without_a_window_that_says_something_is_not_measured() -> None:
    with pytest.raises(NotMeasured, match="of arm 'gateway' too few windows had their load sent"):
        capacity(tried(((15, "unfit"),)))
    with pytest.raises(NotMeasured, match="rates are searched for by an open loop"):
        capacity(replace(tried(), schedule=ClosedLoop(2, warm_up_s=0, window_s=1)))


def test_the_curve_has_a_point_for_every_rate_of_all_windows_at_it() -> None:
    points = curve(tried())
    assert [(point.arm, point.offered_rps) for point in points] == [
        *(("gateway", rate) for rate in (15, 30, 60, 64, 72, 80, 84, 120)),
        *(("direct", rate) for rate in (120, 1_000, 1_400, 2_000)),
    ]
    held, broken = points[2], points[7]
    assert (held.windows, held.held, held.error_ratio, held.completed_ratio) == (8, 8, 0.0, 1.0)
    assert (broken.windows, broken.held) == (4, 0)
    assert broken.error_ratio == pytest.approx(0.05)
    assert held.p50_ms == pytest.approx(10, rel=0.02)
    assert broken.p99_ms is not None
    assert broken.p99_ms > 600
    # 200 requests in each window, which lasts 4.1 s with its drain.
    assert held.answered_rps == pytest.approx(200 / 4.1)


def test_a_rate_at_which_nothing_was_answered_has_no_latency() -> None:
    silent = Window("gateway", 0, 0, 0, 0, load_result(10.0, failed=200), None, trial=Trial(15, "broken"))
    (point,) = curve(replace(tried(), windows=(silent,)))
    assert (point.p50_ms, point.p95_ms, point.p99_ms, point.error_ratio) == (None, None, None, 1.0)


class TestVerdict:
    def test_errors_at_rates_that_are_too_high_keep_nothing_from_being_read(self) -> None:
        assert METRICS["capacity_rps"].expects_errors
        assert judged(tried(), 40) == (Verdict.PASS, Reason.WITHIN)
        assert judged(tried(), 90) == (Verdict.FAIL, Reason.BEYOND)

    def test_a_limit_within_the_interval_is_undecided(self) -> None:
        assert judged(tried(), capacity_rps(tried()).value) == (Verdict.INVALID, Reason.UNDECIDED)

    def test_a_gateway_that_holds_nothing_fails(self) -> None:
        assert judged(tried(((15, "broken"), (10, "broken"))), 30) == (Verdict.FAIL, Reason.BEYOND)


class TestHealth:
    def test_a_fit_apparatus_says_what_it_holds(self) -> None:
        found = health.check(tried(), APPARATUS)
        assert found.is_fit
        assert found.words.startswith("healthy: generator and mock hold 1")
        assert found.words.endswith("0% of the windows were not sent as they should be")

    @pytest.mark.parametrize(("ceiling_rps", "is_fit"), [(60.0, False), (75.0, False), (100.0, True)])
    def test_a_capacity_within_a_fifth_of_the_ceiling_is_not_the_gateways(
        self, ceiling_rps: float, is_fit: bool
    ) -> None:
        below: tuple[float, Outcome] = (ceiling_rps * 0.98, "held")
        above: tuple[float, Outcome] = (ceiling_rps * 1.02, "broken")
        direct = (below, above) * 4
        found = health.check(tried(direct=direct), APPARATUS)
        assert found.is_fit is is_fit
        if not is_fit:
            assert "is within 20% of the" in found.complaints[0]
            assert judged(tried(direct=direct), 40) == (Verdict.INVALID, Reason.APPARATUS)

    def test_an_apparatus_that_holds_nothing_spoils_counts_too(self) -> None:
        found = health.check(tried(direct=((120, "broken"), (15, "broken"))), APPARATUS)
        assert found.complaints[0] == "generator and mock do not hold 15 requests/s without a gateway"
        assert not found.counts_are_fit

    def test_too_many_windows_that_were_not_sent_are_a_complaint(self) -> None:
        unfit: tuple[tuple[float, Outcome], ...] = ((70, "unfit"),) * 9
        found = health.check(tried((*HELD, *unfit)), APPARATUS)
        assert found.complaints == (
            "in 50% of the windows the load was not sent as it should be, at most 25% is allowed",
        )

    def test_a_search_that_has_said_nothing_yet_is_not_fit(self) -> None:
        found = health.check(tried(((15, "unfit"),)), APPARATUS)
        assert not found.is_fit
        assert not found.counts_are_fit
