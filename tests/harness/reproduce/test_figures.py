"""Are figures those of the windows, beside the right ones of the page?"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from perfgate.experiment.gateway_figures import LITELLM, LITELLM_WITH_DATABASE, PORTKEY
from perfgate.experiment.measurement import MIB, GatewayUse, Measurement, NotMeasured
from perfgate.load.schedule import ClosedLoop
from perfgate.measure.histogram import Histogram
from perfgate.reproduce.figures import (
    FIGURES,
    USES,
    failed_of,
    laws_of,
    published_rows,
    ratios_of,
    rows_of,
    unanswered_of,
)
from perfgate.reproduce.published import (
    FOUR_INSTANCES,
    GATEWAYS,
    GCS,
    INSTANCES,
    LOGGING,
    REALTIME,
    TWO_INSTANCES,
    FigureName,
    Times,
)
from perfgate.reproduce.realtime import MORE
from perfgate.reproduce.reproduced import Row, Unanswered
from tests.harness.reproduce.conftest import measured, refused, silent

BOTH = {TWO_INSTANCES: 200.0, FOUR_INSTANCES: 100.0}


def test_every_figure_of_the_page_stands_beside_a_measured_one() -> None:
    rows = rows_of(measured(BOTH), INSTANCES, list(BOTH))
    assert len(rows) == 30
    at = {(row.arm, row.times, row.figure): row for row in rows}
    median = at[TWO_INSTANCES, "requests", "median_ms"]
    assert median.published == 200
    assert median.measured == pytest.approx(200, rel=0.001)
    assert median.measured is not None
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


def test_the_law_has_the_spread_of_its_rounds() -> None:
    """In one round of three a fifth more is sent than users who think and wait so long can send."""
    alike = measured({LOGGING: 250.0}, rps=100.0)
    windows = list(alike.windows)
    more = windows[1]
    windows[1] = replace(more, load=replace(more.load, succeeded=round(more.load.succeeded * 1.2)))
    (law,) = laws_of(replace(alike, windows=tuple(windows)), [LOGGING])
    assert law.error_ratio == pytest.approx(0.2 / 3, abs=0.002)
    assert law.low_ratio == pytest.approx(1.0, abs=0.002)
    assert law.high_ratio == pytest.approx(1.2, abs=0.002)
    (exact,) = laws_of(alike, [LOGGING])
    assert exact.low_ratio == pytest.approx(exact.high_ratio)


def test_of_think_times_that_differ_the_law_takes_the_mean() -> None:
    as_published = ClosedLoop(users=100, warm_up_s=1, window_s=4, think_time_s=0.5, think_time_max_s=1.0)
    (law,) = laws_of(measured({LOGGING: 250.0}, schedule=as_published), [LOGGING])
    assert law.think_time_s == 0.75
    assert law.predicted_rps == pytest.approx(100, rel=0.001)


def test_users_who_do_not_think_have_no_such_law() -> None:
    busy = ClosedLoop(users=8, warm_up_s=0, window_s=4)
    assert laws_of(measured({LOGGING: 250.0}, schedule=busy), [LOGGING]) == ()
    with pytest.raises(NotMeasured, match="its load has no users who think"):
        measured({LOGGING: 250.0}, schedule=busy).think_time_law_ratio(LOGGING)


def test_cells_of_a_header_that_no_reply_carried_say_so() -> None:
    both = measured(BOTH)
    silent = replace(
        both, windows=tuple(replace(w, load=replace(w.load, header_overhead=Histogram.of_us([]))) for w in both.windows)
    )
    rows = rows_of(silent, INSTANCES, list(BOTH))
    assert len(rows) == 30
    for row in rows:
        assert (row.measured is None) == (row.times != "requests")
        assert ("no reply carried the header" in row.note) == (row.times != "requests")


def using(measurement: Measurement, cpu_ms: float, rss_mib: float, times: float) -> Measurement:
    """Every gateway but Portkey's uses so much, and Portkey's so many times less."""
    windows = []
    for window in measurement.windows:
        by = times if window.arm == PORTKEY else 1
        cpu_s, rss_bytes = cpu_ms / by / 1000 * window.load.completed, round(rss_mib / by * MIB)
        use = GatewayUse(cpu_s, rss_bytes, rss_bytes, window.load.sent, 0.001)
        windows.append(window if window.arm == "direct" else replace(window, gateway=use))
    return replace(measurement, windows=tuple(windows))


THREE = {PORTKEY: 50.0, LITELLM_WITH_DATABASE: 200.0, LITELLM: 100.0}


def test_requests_failures_cpu_and_memory_of_gateways_stand_beside_the_page_s() -> None:
    measurement = using(measured(THREE), cpu_ms=8, rss_mib=300, times=4)
    rows = {
        (row.arm, row.figure): row
        for row in rows_of(measurement, GATEWAYS, list(THREE), ("requests", "failed_requests", *USES))
    }
    assert len(rows) == 30
    assert (rows[PORTKEY, "requests"].published, rows[PORTKEY, "requests"].measured) == (293_796, 1_320)
    assert (rows[PORTKEY, "failed_requests"].published, rows[PORTKEY, "failed_requests"].measured) == (0, 0)
    assert rows[LITELLM, "requests"].published is None
    assert rows[LITELLM, "cpu_per_request_ms"].measured == pytest.approx(8)
    assert rows[PORTKEY, "cpu_per_request_ms"].measured == pytest.approx(2)
    assert rows[LITELLM, "cores_used"].measured == pytest.approx(8 / 1000 * 110)
    assert rows[PORTKEY, "rss_mib"].measured == pytest.approx(75)


def test_gateways_are_divided_in_their_cpu_and_memory_too() -> None:
    measurement = using(measured(THREE), cpu_ms=8, rss_mib=300, times=4)
    more: tuple[FigureName, ...] = ("requests", "failed_requests", *USES)
    ratios = {ratio.figure: ratio for ratio in ratios_of(measurement, GATEWAYS, LITELLM_WITH_DATABASE, PORTKEY, more)}
    assert ratios["requests"].published == pytest.approx(312_405 / 293_796)
    assert ratios["median_ms"].measured == pytest.approx(4, rel=0.002)
    assert ratios["cpu_per_request_ms"].measured == pytest.approx(4)
    assert ratios["cores_used"].measured == pytest.approx(4)
    assert ratios["rss_mib"].measured == pytest.approx(4)
    assert ratios["rss_mib"].low is not None
    assert "failed_requests" not in ratios


def test_what_was_not_measured_of_a_process_is_a_cell_that_says_so_and_no_ratio() -> None:
    """These windows know neither CPU nor memory."""
    rows = {row.figure: row for row in rows_of(measured(THREE), GATEWAYS, [LITELLM], USES)}
    for figure in USES:
        assert rows[figure].measured is None
        assert "its processes are not ours" in rows[figure].note
    figures = [ratio.figure for ratio in ratios_of(measured(THREE), GATEWAYS, LITELLM, PORTKEY, USES)]
    assert figures == ["median_ms", "p95_ms", "p99_ms", "mean_ms", "throughput_rps"]


def test_sessions_have_what_a_gateway_adds_their_opening_and_how_many_were_held() -> None:
    alike = measured({LITELLM: 60.0})
    windows = []
    for window in alike.windows:
        opening_ms = 2 if window.arm == "direct" else 20
        load = replace(
            window.load,
            session_opening=Histogram.of_us([opening_ms * 1000] * 400),
            first_token=Histogram.of_us([round(opening_ms * 500)] * 440),
            sessions_held_min=200 + window.round,
        )
        windows.append(replace(window, load=load))
    rows = {row.figure: row for row in rows_of(replace(alike, windows=tuple(windows)), REALTIME, [LITELLM], MORE)}
    assert len(rows) == 5 + len(MORE)
    assert rows["median_ms"].published == 59
    assert rows["overhead_p50_ms"].measured == pytest.approx(59, rel=0.005)
    assert rows["opening_p50_ms"].measured == pytest.approx(20, rel=0.001)
    assert rows["opening_overhead_p95_ms"].measured == pytest.approx(18, rel=0.001)
    assert rows["first_delta_p50_ms"].measured == pytest.approx(10, rel=0.001)
    held = rows["held_sessions"]
    assert (held.measured, held.low, held.high) == (200, None, None)


def test_a_tail_of_few_requests_says_how_many_it_rests_on() -> None:
    rows = {row.figure: row for row in rows_of(measured({LOGGING: 130.0}, rps=50.0), GCS, [LOGGING])}
    assert rows["p99_ms"].note == "of 600, and 1,000 are needed to trust it"
    assert rows["median_ms"].note == ""


def test_the_page_alone_has_every_figure_and_nothing_measured() -> None:
    rows = published_rows(GATEWAYS)
    assert len(rows) == 14
    assert {row.measured for row in rows} == {None}


def test_failures_are_counted_by_arm() -> None:
    assert failed_of(measured(BOTH), list(BOTH)) == {TWO_INSTANCES: 0, FOUR_INSTANCES: 0}


class TestWindowsWithoutAnAnswer:
    @pytest.mark.parametrize("without", [refused, silent])
    def test_times_are_of_the_other_windows_and_say_so(self, without: Callable[..., Measurement]) -> None:
        rows = rows_of(without(measured(BOTH), TWO_INSTANCES, 1), INSTANCES, list(BOTH))
        at = {(row.times, row.figure): row for row in rows if row.arm == TWO_INSTANCES}
        assert at["requests", "median_ms"].note == at["requests", "mean_ms"].note == "of 2 of 3 windows"
        assert at["requests", "p99_ms"].note == "of 2 of 3 windows; of 880, and 1,000 are needed to trust it"
        means_ms: dict[Times, float] = {"header overhead": 2.0, "aggregated": 101.0}
        for figure in FIGURES[:-1]:
            cell = at["requests", figure]
            assert cell.measured == pytest.approx(200, rel=0.001)
            assert (cell.low, cell.high) == (None, None)
            assert {at[times, figure].note for times in means_ms} == {"of 2 of 3 windows"}
        for times, mean_ms in means_ms.items():
            assert at[times, "mean_ms"].measured == pytest.approx(mean_ms, rel=0.001)

    @pytest.mark.parametrize("without", [refused, silent])
    def test_a_window_without_an_answer_counts_in_the_rate(self, without: Callable[..., Measurement]) -> None:
        rows = rows_of(without(measured(BOTH), TWO_INSTANCES, 1), INSTANCES, [TWO_INSTANCES])
        rps = {row.times: row for row in rows if row.figure == "throughput_rps"}
        assert rps["requests"].measured == pytest.approx(110 * 2 / 3)
        assert rps["requests"].low == 0
        assert rps["requests"].note == ""
        assert rps["header overhead"].measured == pytest.approx(110 * 2 / 3)

    def test_one_window_that_was_answered_is_enough_for_times(self) -> None:
        rows = {row.figure: row for row in rows_of(refused(measured({LOGGING: 130.0}), LOGGING, 0, 2), GCS, [LOGGING])}
        assert rows["median_ms"].measured == pytest.approx(130, rel=0.001)
        assert rows["median_ms"].note == "of 1 of 3 windows"

    def test_what_was_never_answered_has_no_times(self) -> None:
        rows = rows_of(refused(measured(BOTH), TWO_INSTANCES, 0, 1, 2), INSTANCES, [TWO_INSTANCES])
        for row in rows:
            if row.times == "requests" and row.figure == "throughput_rps":
                assert (row.measured, row.note) == (0, "")
            else:
                assert (row.measured, row.note) == (None, "no request was answered")

    @pytest.mark.parametrize("rounds", [(1,), (0, 1, 2)])
    def test_the_figures_of_other_arms_stand(self, rounds: tuple[int, ...]) -> None:
        rows = rows_of(refused(measured(BOTH), TWO_INSTANCES, *rounds), INSTANCES, [FOUR_INSTANCES])
        assert rows == rows_of(measured(BOTH), INSTANCES, [FOUR_INSTANCES])

    def test_times_of_fewer_windows_are_in_no_ratio(self) -> None:
        (ratio,) = ratios_of(refused(measured(BOTH), TWO_INSTANCES, 1), INSTANCES, FOUR_INSTANCES, TWO_INSTANCES)
        assert ratio.figure == "throughput_rps"
        assert ratio.measured == pytest.approx(1.5)
        never = refused(measured(BOTH), TWO_INSTANCES, 0, 1, 2)
        assert ratios_of(never, INSTANCES, FOUR_INSTANCES, TWO_INSTANCES) == ()

    def test_users_who_were_not_answered_say_nothing_of_the_law(self) -> None:
        laws = laws_of(silent(measured(BOTH), TWO_INSTANCES, 1), list(BOTH))
        assert [law.arm for law in laws] == [FOUR_INSTANCES]

    def test_they_are_counted_by_arm_with_its_errors(self) -> None:
        both = measured(BOTH)
        assert unanswered_of(both, list(BOTH)) == ()
        (of_two,) = unanswered_of(refused(both, TWO_INSTANCES, 1), list(BOTH))
        assert of_two == Unanswered(TWO_INSTANCES, 1, 3, "440 http_500")
        assert of_two.words == "no request of 2 instances was answered in 1 of 3 windows; its errors: 440 http_500"
        (of_four,) = unanswered_of(silent(both, FOUR_INSTANCES, 0, 2), list(BOTH))
        assert of_four.words == (
            "no request of 4 instances was answered in 2 of 3 windows; its users still waited for replies to earlier "
            "requests"
        )

    def test_cpu_of_a_request_is_not_told_where_a_window_had_none(self) -> None:
        once = silent(using(measured(THREE), cpu_ms=8, rss_mib=300, times=4), LITELLM, 2)
        rows = {row.figure: row for row in rows_of(once, GATEWAYS, [LITELLM], USES)}
        for figure in ("cpu_per_request_ms", "cores_used"):
            assert (rows[figure].measured, rows[figure].note) == (None, "no request was answered in 1 of 3 windows")
        assert rows["rss_mib"].measured == pytest.approx(300)

    def test_a_reason_that_is_another_is_said(self) -> None:
        rows = {row.figure: row for row in rows_of(silent(measured(THREE), LITELLM, 2), GATEWAYS, [LITELLM], USES)}
        assert all("its processes are not ours" in rows[figure].note for figure in USES)
