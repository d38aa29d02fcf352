"""Does the end of a run show every verdict, what speaks against it, and how it ended?"""

import re
from dataclasses import replace

import pytest

from perfgate.exit_codes import ExitCode
from perfgate.experiment.arms import Arm
from perfgate.experiment.measurement import Measurement, Window
from perfgate.load.api import Api
from perfgate.load.schedule import ClosedLoop
from perfgate.measure.histogram import Histogram
from perfgate.record_entries import measurement_record
from perfgate.report.terminal import MEANINGS, claims, closing_line, cross_checks, gateway_tables, shown, table
from tests.harness import synthetic
from tests.harness.experiment.test_gateway_figures import side_by_side
from tests.harness.report.conftest import a_compared_judgement, a_judgement, a_measurement, a_record, two_arms


def cells(line: str) -> list[str]:
    """The columns of a line, which are divided by two blanks or more."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_a_row_shows_scenario_metric_observed_interval_limit_and_verdict() -> None:
    passed = a_judgement("overhead", "overhead_p95_ms")
    failed = a_judgement("latency", "latency_p95_ms", synthetic.measurement(scenario="latency", gateway_ms=90))
    head, first, second = table([passed, failed], 120, colour=False).splitlines()
    assert cells(head) == ["scenario", "metric", "observed", "interval", "limit", "verdict"]
    assert cells(first)[:2] == ["overhead", "gateway overhead, p95"]
    observed, interval, limit, verdict = cells(first)[2:]
    assert observed.endswith(" ms")
    assert float(observed.removesuffix(" ms")) == pytest.approx(11.9, abs=0.3)
    low, high = map(float, interval.split(" to "))
    assert low <= float(observed.removesuffix(" ms")) <= high
    assert (limit, verdict) == ("at most 25 ms", "PASS")
    assert cells(second)[-2:] == ["at most 25 ms", "FAIL"]


def test_a_limit_that_is_not_the_files_own_is_starred_and_explained_once() -> None:
    judged = [a_judgement("overhead", f"overhead_p{p}_ms", basis="25 scaled ×1.30, this host") for p in (50, 95)]
    first, second, note = table(judged, 100, colour=False).splitlines()[1:]
    assert [cells(line)[4] for line in (first, second)] == ["at most 25 ms *"] * 2
    assert note == "* 25 scaled ×1.30, this host"
    assert "*" not in table([a_judgement("overhead", "overhead_p50_ms")], 100, colour=False)


def test_a_figure_that_was_not_read_says_so() -> None:
    invalid = a_judgement("overhead", "overhead_p95_ms", synthetic.measurement(lag_ms=9))
    row = table([invalid], 120, colour=False).splitlines()[1]
    assert cells(row) == ["overhead", "gateway overhead, p95", "not read", "at most 25 ms", "INVALID"]


def test_ratios_are_percentages_with_their_interval() -> None:
    judgement = a_judgement("overhead", "error_ratio", synthetic.measurement(failed=20), maximum=0.2)
    row = cells(table([judgement], 120, colour=False).splitlines()[1])
    assert row[2] == "10 %"
    low, high = map(float, row[3].split(" to "))
    assert 7 < low < 10 < high < 13
    assert row[4] == "at most 20 %"


def test_the_table_is_wide_enough_to_be_read_on_a_narrow_terminal() -> None:
    rows = [a_judgement("overhead", "overhead_p95_ms")]
    assert table(rows, 20, colour=False) == table(rows, 100, colour=False)


def test_colours_stand_only_where_they_are_asked_for() -> None:
    rows = [a_judgement("overhead", "overhead_p95_ms")]
    assert "\x1b[32mPASS" in table(rows, 120, colour=True)
    assert "\x1b" not in table(rows, 120, colour=False)


def with_header_us(header_us: list[int], missing: int = 0) -> Measurement:
    """A measurement whose gateway replies carried these overheads."""
    measured = synthetic.measurement(rounds=1)
    windows = tuple(
        replace(w, load=replace(w.load, header_overhead=Histogram.of_us(header_us), header_missing=missing))
        for w in measured.windows
    )
    return replace(measured, windows=windows)


def test_the_cross_check_sets_the_header_beside_the_service_time() -> None:
    (line,) = cross_checks([a_measurement(gateway_ms=12)])
    assert line.startswith("overhead: header overhead p50 2 ms, p95 2 ms, of a service time with p50 12")
    assert "CONTRADICTION" not in line


def test_a_header_that_claims_more_than_the_client_waited_is_a_contradiction() -> None:
    (line,) = cross_checks([measurement_record(with_header_us([90_000] * 200))])
    assert "; CONTRADICTION: the header claims more time than the client waited" in line


def test_missing_headers_are_counted_and_figures_left_out_when_there_are_none() -> None:
    measured = with_header_us([], missing=200)
    assert cross_checks([measurement_record(measured)]) == [
        "overhead: 400 of 400 replies lacked x-litellm-overhead-duration-ms"
    ]
    some = cross_checks([measurement_record(with_header_us([2_000] * 150, missing=50))])
    assert some[0] == "overhead: 100 of 400 replies lacked x-litellm-overhead-duration-ms"
    assert len(some) == 2


def test_the_header_of_each_endpoint_is_checked_by_itself() -> None:
    measured = with_header_us([2_000] * 150, missing=50)
    embeddings = Arm("embeddings", synthetic.GATEWAY.gateway, api=Api.EMBEDDINGS)
    windows = tuple(replace(w, arm="embeddings") if w.arm == "gateway" else w for w in measured.windows)
    of_endpoint = replace(measured, arms=(synthetic.DIRECT, embeddings), windows=windows)
    lines = cross_checks([measurement_record(of_endpoint)])
    assert lines[0] == "overhead (embeddings): 100 of 400 replies lacked x-litellm-overhead-duration-ms"
    assert len(lines) == 2


def test_a_measurement_without_a_gateway_has_nothing_to_check() -> None:
    measured = synthetic.measurement(rounds=1)
    direct = replace(measured, windows=tuple(w for w in measured.windows if w.arm == "direct"))
    assert cross_checks([measurement_record(direct)]) == []


def test_a_row_of_a_comparison_has_both_figures_and_the_slowdown_with_its_interval() -> None:
    failed = a_compared_judgement("cpu_per_request_ms", two_arms(1.5), floor=0.2)
    row = cells(table([failed], 140, colour=False).splitlines()[1])
    assert row[:3] == ["regression", "CPU per request", "8 -> 12 ms"]
    change, low, high = re.fullmatch(r"(\S+) % \((\S+) to (\S+)\)", row[3]).groups()  # type: ignore[union-attr]
    assert change == "+50.0"
    assert 30 < float(low) < 50 < float(high) < 80
    assert row[4:] == ["at most +5 %, or 0.2 ms", "FAIL"]


def test_throughput_that_fell_is_a_slowdown_above_0() -> None:
    row = cells(table([a_compared_judgement("throughput_rps", two_arms(1.5))], 140, colour=False).splitlines()[1])
    assert row[2] == "150 -> 100 requests/s"
    assert row[3].startswith("+50.0 % (+")


def test_a_pass_says_so_when_it_is_an_improvement() -> None:
    rows = [a_compared_judgement("rss_mib", two_arms(ratio), margin=0.3) for ratio in (0.7, 1.0, 1.3)]
    better, same, worse = (cells(line)[-1] for line in table(rows, 140, colour=False).splitlines()[1:])
    assert (better, same, worse) == ("PASS, improvement", "PASS", "INVALID")


def test_equivalence_says_what_it_found() -> None:
    wobble = (0.999, 1.001, 1.0, 1.0, 0.999, 1.001)
    judged = [
        a_compared_judgement("rss_mib", two_arms(ratio, wobble), equivalent_within=0.05) for ratio in (1.0, 1.2, 1.05)
    ]
    rows = [cells(line) for line in table(judged, 200, colour=False).splitlines()[1:]]
    assert [row[-1] for row in rows[:2]] == ["PASS, equivalent", "FAIL, different by +20.0 %"]
    assert re.fullmatch(r"INVALID, can't tell \(could have seen \+\d+\.\d %\)", rows[2][-1])
    assert {row[-2] for row in rows} == {"equivalent within 5 %"}
    assert "improvement" not in table(
        [a_compared_judgement("rss_mib", two_arms(0.99, wobble), equivalent_within=0.05)], 200, colour=False
    )


def test_what_could_have_been_seen_is_left_out_where_it_is_nothing() -> None:
    flat = a_compared_judgement("rss_mib", two_arms(1.2, (1.0, 1.0)), equivalent_within=0.05)
    assert cells(table([flat], 200, colour=False).splitlines()[1])[-1] == "INVALID, can't tell"


def test_claims_are_listed_with_what_became_of_them() -> None:
    judged = [
        a_compared_judgement("rss_mib", two_arms(1.0), margin=0.5, claim=0.3),
        a_compared_judgement("rss_mib", two_arms(1.0), margin=0.5),
        a_judgement("overhead", "overhead_p50_ms"),
    ]
    assert claims(judged) == ["regression: resident memory: equivalent within 30 %: holds"]


def test_an_interval_without_an_end_says_none() -> None:
    flat = a_compared_judgement("rss_mib", two_arms(1.2, (1.0, 1.0)))
    row = cells(table([flat], 140, colour=False).splitlines()[1])
    assert row[3] == "+20.0 % (none to none)"
    assert row[5] == "INVALID"


def test_a_comparison_that_was_not_read_says_so() -> None:
    differ = a_compared_judgement("rss_mib", replace(two_arms(1.0), unasked=("Python differs",)))
    row = cells(table([differ], 140, colour=False).splitlines()[1])
    assert row == ["regression", "resident memory", "not read", "at most +5 %", "INVALID"]


def test_a_margin_of_the_profile_is_starred_as_any_limit_that_is_not_the_files_own() -> None:
    judged = a_compared_judgement("rss_mib", two_arms(1.0), margin=0.3, basis="of the profile release")
    row, note = table([judged], 140, colour=False).splitlines()[1:]
    assert cells(row)[4] == "at most +30 % *"
    assert note == "* of the profile release"


def test_a_comparison_has_no_header_to_be_checked_by() -> None:
    assert cross_checks([measurement_record(two_arms(1.0))]) == []


def test_the_closing_line_of_a_comparison_names_both_arms() -> None:
    record = a_record(
        seed=7,
        profile="compare",
        gateway="litellm 1.102.4",
        baseline="litellm 1.79.3",
        judgements=[a_compared_judgement("rss_mib", two_arms(1.5))],
    )
    assert closing_line(record, ExitCode.FAIL) == (
        "perfgate: 0 PASS, 1 FAIL, 0 INVALID; profile compare, litellm 1.102.4 against litellm 1.79.3, seed 7; "
        "exit code 1: a limit or a test failed"
    )


def test_the_closing_line_counts_verdicts_and_says_what_the_code_means() -> None:
    record = a_record(
        seed=77,
        gateway="litellm 1.79.3",
        judgements=[
            a_judgement("overhead", "overhead_p95_ms"),
            a_judgement("overhead", "overhead_p50_ms"),
            a_judgement("overhead", "overhead_p99_ms", synthetic.measurement(lag_ms=9)),
        ],
    )
    assert closing_line(record, ExitCode.INVALID) == (
        "perfgate: 2 PASS, 0 FAIL, 1 INVALID; profile quick, litellm 1.79.3, seed 77; "
        "exit code 10: something could not be judged"
    )


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)


def test_a_load_that_is_shown_stands_beside_what_think_time_alone_allows() -> None:
    arms = two_arms(1.0)
    load = synthetic.load_result(250.0, requests=41)  # in 4.1 s
    windows = tuple(Window(name, 0, 0, 0, 1, load, None) for name in ("baseline", "candidate"))
    measured = replace(arms, shown=windows, shown_schedule=ClosedLoop(10, warm_up_s=0, window_s=4, think_time_s=0.75))
    (line,) = shown([measurement_record(measured)])
    assert line.startswith(
        "regression: 10 users who think 0.75 s: baseline 10.0 requests/s (by the law 10.0), candidate "
    )
    assert line.endswith("so it can't fail")
    assert shown([measurement_record(arms)]) == []


class TestGatewayTables:
    def test_each_gateway_has_a_row_of_the_published_table(self) -> None:
        (text,) = gateway_tables([measurement_record(side_by_side())], 120)
        title, head, direct, with_database, without, portkey = text.splitlines()
        assert title.strip() == (
            "gateways: 30 users who think 0.75 s, windows of 12 s; latency and CPU per request in ms, memory in MiB"
        )
        assert cells(head) == [
            "gateway",
            *("requests", "failed", "median", "p95", "p99", "mean"),
            *("RPS", "CPU", "memory"),
        ]
        assert cells(direct)[0] == "no gateway"
        assert cells(direct)[-2:] == ["-", "-"]
        assert cells(with_database)[:3] == ["litellm 1.79.3, with a database", "400", "0"]
        assert cells(without)[0] == "litellm 1.79.3"
        name, requests, failed, *figures = cells(portkey)
        assert (name, requests, failed) == ("portkey 1.15.2", "400", "0")
        for shown_figure, truth in zip(map(float, figures), (5, 9, 17, 5.64, 150, 2, 100), strict=True):
            assert shown_figure == pytest.approx(truth, rel=0.01)

    def test_large_figures_are_written_out(self) -> None:
        measured = measurement_record(side_by_side())
        row = measured.gateways[-1].model_copy(update={"p99_ms": 1200.4, "throughput_rps": 1170.9, "p50_ms": None})
        (text,) = gateway_tables([measured.model_copy(update={"gateways": [row]})], 120)
        figures = cells(text.splitlines()[-1])[3:]
        assert (figures[0], figures[2], figures[4]) == ("-", "1,200", "1,171")

    def test_other_measurements_have_none(self) -> None:
        assert gateway_tables([a_measurement()], 120) == []

    def test_one_that_is_not_over_has_none_yet(self) -> None:
        assert measurement_record(replace(side_by_side(), stopped="")).gateways == []
