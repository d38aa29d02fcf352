"""Is a waived limit judged by its ceiling, told apart from one that is kept, and does no waiver outlive its day?"""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from perfgate import record
from perfgate.comparison_verdict import judge_comparison
from perfgate.errors import BadInput
from perfgate.exit_codes import ExitCode
from perfgate.experiment import health
from perfgate.experiment.measurement import Measurement
from perfgate.host_limits import HostStanding
from perfgate.record_entries import judgement_record
from perfgate.report.terminal import closing_line, table, waivers
from perfgate.thresholds import Apparatus, Limit, Scenario, load_thresholds
from perfgate.verdict import (
    Judgement,
    Reason,
    Surroundings,
    Verdict,
    explain,
    headline,
    judge,
    not_measured,
    smallest_failing,
)
from perfgate.waivers import Waiver, WaiverStanding
from tests.harness.report.conftest import a_record, two_arms
from tests.harness.synthetic import measurement

APPARATUS = Apparatus(
    dispatch_lag_p99_ms=2.0, sent_ratio_min=0.98, generator_cpu_ratio_max=0.8, direct_p95_above_mock_delay_ms=5.0
)
AROUND = Surroundings("2 cores", "litellm 1.106.2", "pytest tests/perf --seed 7", "record.json")
LINK = "https://example.org/issues/1"
KNOWN = ("overhead_p95_ms", "latency_p99_ms", "completed_ratio", "error_ratio")
FILE = """\
profiles:
  quick: {budget_minutes: 4, on_invalid: warn, scenarios: [overhead, regression]}
hosts:
  reference: {cores: 2, memory_gib: 24, cpu_models: ["AMD EPYC*"], backend: processes}
scenarios:
  overhead:
    load: {offered_rps: 40, window_s: 4}
    rounds: {generations: 2, per_generation: 4, per_generation_max: 10}
    limits:
      overhead_p95_ms: {max: 25, max_on: {reference: 40}, why: "a reason"}
      completed_ratio: {min: 0.99, why: "a reason"}
  regression:
    needs: {baseline: true}
    load: {users: 2, window_s: 0.4}
    rounds: {minutes: 5}
    limits:
      overhead_p95_ms: {margin: 5%, margin_in: {quick: 8%}, why: "a reason"}
      latency_p99_ms: {equivalent_within: 5%, why: "a reason"}
waivers:
  - scenario: overhead
    metric: overhead_p95_ms
    ceiling: 60
    expires: 2026-12-31
    why: "mended in the next release"
    link: https://example.org/issues/1
  - {scenario: regression, metric: overhead_p95_ms, ceiling: 12%, expires: 2027-01-31, why: "another", link: "http://x/2"}
apparatus:
  {dispatch_lag_p99_ms: 2, sent_ratio_min: 0.98, generator_cpu_ratio_max: 0.8, direct_p95_above_mock_delay_ms: 5}
"""
TODAY = date(2026, 12, 1)
SECOND = "overhead_p95_ms, ceiling: 12%"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages show paths below the working directory as relative."""
    monkeypatch.chdir(tmp_path)


def read(text: str = FILE, today: date | None = TODAY) -> dict[str, Scenario]:
    Path("thresholds.yaml").write_text(text, encoding="utf-8")
    return dict(load_thresholds(Path("thresholds.yaml"), KNOWN, today=today).scenarios)


def complaints(old: str, new: str, today: date | None = TODAY) -> list[str]:
    """What is said of the sample with one thing changed."""
    assert FILE.count(old) == 1, f"{old!r} must stand once in the sample"
    with pytest.raises(BadInput) as caught:
        read(FILE.replace(old, new), today)
    return str(caught.value).splitlines()[1:-1]


# --- what is read ---


def test_a_waiver_hangs_on_its_limit_and_on_no_other() -> None:
    scenarios = read()
    limits = {(name, metric): limit for name, one in scenarios.items() for metric, limit in one.limits.items()}
    waived = {key: limit.waiver for key, limit in limits.items() if limit.waiver is not None}
    assert waived == {
        ("overhead", "overhead_p95_ms"): Waiver(
            60, date(2026, 12, 31), "mended in the next release", LINK, "thresholds.yaml", 20
        ),
        ("regression", "overhead_p95_ms"): Waiver(
            0.12, date(2027, 1, 31), "another", "http://x/2", "thresholds.yaml", 26
        ),
    }


def test_at_its_ceiling_a_limit_is_of_the_same_kind_whatever_host_class_or_profile() -> None:
    scenarios = read()
    by_number = scenarios["overhead"].limits["overhead_p95_ms"].at_ceiling()
    by_margin = scenarios["regression"].limits["overhead_p95_ms"].in_profile("quick").at_ceiling()
    assert by_number is not None
    assert by_margin is not None
    assert (by_number.maximum, dict(by_number.maximum_on), by_number.line) == (60, {}, 10)
    assert (by_margin.margin, dict(by_margin.margin_in), by_margin.basis) == (0.12, {}, "")
    assert scenarios["overhead"].limits["completed_ratio"].at_ceiling() is None


def test_it_holds_on_its_last_day_and_is_an_error_of_the_file_on_the_next() -> None:
    read(today=date(2026, 12, 31))
    assert complaints('why: "mended', 'why: "to be mended', today=date(2027, 1, 1)) == [
        (
            "thresholds.yaml:23: waivers[0].expires: expired on 2026-12-31, today is 2027-01-01: mend what it waives, "
            "or agree on another day, and take it out or change it here"
        )
    ]


def test_who_judges_by_none_of_them_does_not_ask_for_the_day() -> None:
    assert read(today=None)["overhead"].limits["overhead_p95_ms"].waiver is not None


@pytest.mark.parametrize(
    ("old", "new", "where", "complaint"),
    [
        (
            "- scenario: overhead",
            "- scenario: overhed",
            "20: waivers[0].scenario",
            "there is no scenario 'overhed'; did you mean overhead?",
        ),
        (
            "    metric: overhead_p95_ms",
            "    metric: overhead_p96_ms",
            "21: waivers[0].metric",
            "no such metric; did you mean overhead_p95_ms? (docs/thresholds.md lists all)",
        ),
        (
            "    metric: overhead_p95_ms",
            "    metric: error_ratio",
            "20: waivers[0]",
            (
                "there is nothing to waive: scenarios.overhead has no limit on error_ratio but on overhead_p95_ms, "
                "completed_ratio"
            ),
        ),
        (
            "ceiling: 60",
            "ceiling: high",
            "22: waivers[0].ceiling",
            "expected a number above 0, or a percentage such as 12%, found 'high'",
        ),
        (
            "ceiling: 60",
            "ceiling: true",
            "22: waivers[0].ceiling",
            "expected a number above 0, or a percentage such as 12%, found true",
        ),
        (
            "ceiling: 60",
            "ceiling: 12%",
            "22: waivers[0].ceiling",
            "the limit is one by max, so its ceiling is a number in the metric's unit, found 12%",
        ),
        (
            "ceiling: 60",
            "ceiling: 40",
            "22: waivers[0].ceiling",
            "must be above the limit itself, 40, found 40: it is how bad the figure may get",
        ),
        (
            SECOND,
            "overhead_p95_ms, ceiling: 60",
            "26: waivers[1].ceiling",
            "the limit is one by margin, so its ceiling is a percentage such as 12%, found 60",
        ),
        (
            SECOND,
            "overhead_p95_ms, ceiling: 7%",
            "26: waivers[1].ceiling",
            "must be above the limit itself, 8%, found 7%: it is how bad the figure may get",
        ),
        (
            SECOND,
            "latency_p99_ms, ceiling: 5%",
            "26: waivers[1].ceiling",
            "must be above the limit itself, 5%, found 5%: it is how bad the figure may get",
        ),
        (
            "{scenario: regression, metric: overhead_p95_ms, ceiling: 12%",
            "{scenario: overhead, metric: completed_ratio, ceiling: 0.995",
            "26: waivers[1].ceiling",
            "must be below the limit itself, 0.99, found 0.995: it is how bad the figure may get",
        ),
        (
            "{scenario: regression, metric: overhead_p95_ms, ceiling: 12%",
            "{scenario: overhead, metric: overhead_p95_ms, ceiling: 50",
            "19: waivers",
            "overhead.overhead_p95_ms is waived twice",
        ),
        (
            "expires: 2026-12-31",
            "expires: 2026-13-01",
            "23: waivers[0].expires",
            "expected a day such as 2026-12-31, found '2026-13-01'",
        ),
        (
            "expires: 2026-12-31",
            "expires: 20261231",
            "23: waivers[0].expires",
            "expected a day such as 2026-12-31, found 20261231",
        ),
        ("    expires: 2026-12-31\n", "", "20: waivers[0]", "the key expires is missing"),
        (
            '"mended in the next release"',
            '" "',
            "24: waivers[0].why",
            "expected the reason for this waiver in words, found ' '",
        ),
        (
            "link: https://example.org/issues/1",
            "link: see the tracker",
            "25: waivers[0].link",
            "expected an address that begins with https://, where it is followed up, found 'see the tracker'",
        ),
        (
            "    link: https://example.org/issues/1",
            "    link: https://example.org/issues/1\n    expiry: 2027-01-01",
            "26: waivers[0].expiry",
            "unknown key; did you mean expires?",
        ),
    ],
)
def test_a_waiver_that_waives_nothing_or_says_too_little_is_named_with_its_line(
    old: str, new: str, where: str, complaint: str
) -> None:
    assert complaints(old, new) == [f"thresholds.yaml:{where}: {complaint}"]


def test_a_waiver_that_is_no_list_says_what_is_expected() -> None:
    text = FILE[: FILE.index("waivers:")] + "waivers: {overhead: 60}\n" + FILE[FILE.index("apparatus:") :]
    with pytest.raises(BadInput, match=r"\nthresholds\.yaml:19: waivers: expected a list, found a mapping\n"):
        read(text)


def test_everything_that_is_wrong_with_it_is_said_beside_what_else_is_wrong() -> None:
    found = complaints("max: 25", "max: abc", today=date(2027, 1, 1))
    assert [line.split(":")[1] for line in found] == ["10", "23"]


# --- what is judged ---


def limit(
    metric: str = "overhead_p95_ms",
    ceiling: float | None = None,
    *,
    maximum: float | None = None,
    minimum: float | None = None,
    margin: float | None = None,
    equivalent_within: float | None = None,
) -> Limit:
    waiver = None
    if ceiling is not None:
        waiver = Waiver(ceiling, date(2026, 12, 31), "mended in the next release", LINK, "thresholds.yaml", 61)
    return Limit(
        metric,
        "a reason",
        "thresholds.yaml",
        41,
        maximum=maximum,
        minimum=minimum,
        margin=margin,
        equivalent_within=equivalent_within,
        waiver=waiver,
    )


def judged(of: Limit, measured: Measurement | None = None, guard: Limit | None = None) -> Judgement:
    """Of a gateway whose overhead has a p95 of 12 ms, unless another is given."""
    measured = measured or measurement(gateway_ms=12)
    return judge(measured, of, health.check(measured, APPARATUS), guard)


def outcome(judgement: Judgement) -> tuple[Verdict, Reason, WaiverStanding | None]:
    return judgement.verdict, judgement.reason, judgement.waived


VALUE = measurement(gateway_ms=12).overhead_ms(95).value


@pytest.mark.parametrize(
    ("maximum", "ceiling", "expected"),
    [
        (25, 60, (Verdict.PASS, Reason.WITHIN, WaiverStanding.NOT_NEEDED)),
        (5, 25, (Verdict.PASS, Reason.WAIVED, WaiverStanding.NEEDED)),
        (VALUE, 25, (Verdict.PASS, Reason.WAIVED, WaiverStanding.PERHAPS_NEEDED)),
        (5, 6, (Verdict.FAIL, Reason.BEYOND, WaiverStanding.BROKEN)),
        (5, VALUE, (Verdict.INVALID, Reason.UNDECIDED, WaiverStanding.NOT_JUDGED)),
        (5, None, (Verdict.FAIL, Reason.BEYOND, None)),
    ],
    ids=["kept", "waived", "perhaps waived", "ceiling broken", "undecided at the ceiling", "no waiver"],
)
def test_a_limit_is_judged_as_it_stands_and_then_by_its_ceiling(
    maximum: float, ceiling: float | None, expected: tuple[Verdict, Reason, WaiverStanding | None]
) -> None:
    assert outcome(judged(limit(maximum=maximum, ceiling=ceiling))) == expected


def test_a_minimum_is_waived_downwards() -> None:
    drowned = measurement(requests=1000, failed=0)
    windows = tuple(
        replace(w, load=replace(w.load, completed=950, succeeded=950)) if w.arm == "gateway" else w
        for w in drowned.windows
    )
    measured = replace(drowned, windows=windows)
    assert outcome(
        judged(limit("completed_ratio", minimum=0.99, ceiling=0.9), measured, limit("error_ratio", maximum=1))
    ) == (
        Verdict.PASS,
        Reason.WAIVED,
        WaiverStanding.NEEDED,
    )
    assert judged(limit("completed_ratio", minimum=0.99, ceiling=0.97), measured).verdict is Verdict.FAIL


def test_rounds_go_on_while_it_is_open_whether_the_waiver_is_needed() -> None:
    assert judged(limit(maximum=VALUE, ceiling=25)).is_open
    assert not judged(limit(maximum=5, ceiling=25)).is_open
    assert not judged(limit(maximum=5, ceiling=6)).is_open
    assert judged(limit(maximum=5, ceiling=VALUE)).is_open


def test_a_waiver_does_not_help_against_errors_or_an_unfit_apparatus() -> None:
    failing = judged(limit(maximum=5, ceiling=25), measurement(failed=40))
    assert outcome(failing) == (Verdict.FAIL, Reason.ERRORS, WaiverStanding.NOT_JUDGED)
    unfit = judged(limit(maximum=5, ceiling=25), measurement(lag_ms=9))
    assert outcome(unfit) == (Verdict.INVALID, Reason.APPARATUS, WaiverStanding.NOT_JUDGED)
    never = not_measured("overhead", limit(maximum=5, ceiling=25), "run without -n")
    assert outcome(never) == (Verdict.INVALID, Reason.NOT_MEASURED, WaiverStanding.NOT_JUDGED)


def test_a_waived_share_of_errors_lets_other_figures_be_read_up_to_its_ceiling() -> None:
    measured = measurement(gateway_ms=12, failed=10)
    guard = limit("error_ratio", maximum=0.001)
    assert judged(limit(maximum=25), measured, guard).reason is Reason.ERRORS
    waived = limit("error_ratio", maximum=0.001, ceiling=0.1)
    assert judged(limit(maximum=25), measured, waived).reason is Reason.WITHIN
    assert outcome(judged(waived, measured, waived)) == (Verdict.PASS, Reason.WAIVED, WaiverStanding.NEEDED)


def test_a_ceiling_is_scaled_to_another_host_as_the_limit_is() -> None:
    elsewhere = HostStanding(None, has_classes=True, reference="reference", speed_index=1.5)
    measured = measurement(gateway_ms=12)
    found = judge(measured, limit(maximum=5, ceiling=10), health.check(measured, APPARATUS), None, elsewhere)
    assert outcome(found) == (Verdict.PASS, Reason.WAIVED, WaiverStanding.NEEDED)
    assert found.ceiling is not None
    assert found.ceiling.maximum == pytest.approx(15)
    (line,) = waivers([judgement_record(found)])
    assert "at most 7.5 ms is waived up to at most 15 ms (10 scaled ×1.50, this host is not in" in line


def test_what_the_run_would_have_failed_at_is_beyond_the_ceiling() -> None:
    smallest = smallest_failing(judged(limit(maximum=25, ceiling=60)))
    assert smallest is not None
    assert smallest > 60


# --- of a comparison ---


def compared(ratio: float, of: Limit) -> Judgement:
    """Of a candidate that is slower by a ratio, in everything."""
    measured = two_arms(ratio)
    return judge_comparison(measured, {of.metric: of}, health.check(measured, APPARATUS))[of.metric]


def memory(ceiling: float | None = None, **number: float) -> Limit:
    return limit("rss_mib", ceiling, **number)


@pytest.mark.parametrize(
    ("ratio", "kind", "number", "ceiling", "expected"),
    [
        (1.0, "margin", 0.1, 0.5, (Verdict.PASS, Reason.WITHIN, WaiverStanding.NOT_NEEDED)),
        (1.3, "margin", 0.1, 0.6, (Verdict.PASS, Reason.WAIVED, WaiverStanding.NEEDED)),
        (1.1, "margin", 0.1, 0.5, (Verdict.PASS, Reason.WAIVED, WaiverStanding.PERHAPS_NEEDED)),
        (1.5, "margin", 0.05, 0.1, (Verdict.FAIL, Reason.BEYOND, WaiverStanding.BROKEN)),
        (1.3, "margin", 0.05, 0.3, (Verdict.INVALID, Reason.UNDECIDED, WaiverStanding.NOT_JUDGED)),
        (1.3, "equivalent_within", 0.1, 0.6, (Verdict.PASS, Reason.WAIVED, WaiverStanding.NEEDED)),
        (0.7, "equivalent_within", 0.1, 0.8, (Verdict.PASS, Reason.WAIVED, WaiverStanding.NEEDED)),
        (1.0, "equivalent_within", 0.3, 0.6, (Verdict.PASS, Reason.WITHIN, WaiverStanding.NOT_NEEDED)),
    ],
)
def test_a_margin_is_waived_as_any_other_limit(
    ratio: float,
    kind: str,
    number: float,
    ceiling: float,
    expected: tuple[Verdict, Reason, WaiverStanding],
) -> None:
    assert outcome(compared(ratio, memory(ceiling, **{kind: number}))) == expected


def test_the_ratio_that_is_allowed_is_that_of_the_ceiling() -> None:
    found = compared(1.3, memory(0.6, margin=0.1))
    assert found.compared is not None
    assert found.compared.allowed_ratio == 1.6
    assert found.compared.smallest_failing_ratio > 1.6


# --- what is said ---


def test_a_failure_says_that_the_ceiling_is_broken_too() -> None:
    lines = explain(judged(limit(maximum=5, ceiling=6)), AROUND)
    assert lines[0].startswith("FAIL  overhead: gateway overhead, p95: 11.9 ms (95 % interval")
    at = lines.index("  waiver     at most 6 ms until 2026-12-31: broken    thresholds.yaml:61")
    assert lines[at + 1] == f"             mended in the next release ({LINK})"
    assert not any("waiver" in line for line in explain(judged(limit(maximum=5)), AROUND))


def test_a_waived_pass_is_called_so_in_headline_and_table() -> None:
    waived, kept = judged(limit(maximum=5, ceiling=25)), judged(limit(maximum=25))
    assert headline(waived).startswith("PASS, waived  overhead: gateway overhead, p95: 11.9 ms")
    rows = table([judgement_record(waived), judgement_record(kept)], 140, colour=False).splitlines()[1:]
    last = [[cell.strip() for cell in row.split("  ") if cell.strip()][-2:] for row in rows]
    assert last == [["at most 5 ms", "PASS, waived"], ["at most 25 ms", "PASS"]]
    assert "\x1b[33mPASS, waived" in table([judgement_record(waived)], 140, colour=True)


def test_a_waived_equivalence_is_not_called_equivalent() -> None:
    rows = table([judgement_record(compared(1.3, memory(0.6, equivalent_within=0.1)))], 140, colour=False)
    assert rows.endswith("PASS, waived")


def test_each_waiver_has_a_line_with_all_that_is_to_be_known() -> None:
    used, unneeded = judged(limit(maximum=5, ceiling=25)), judged(limit(maximum=25, ceiling=60))
    lines = waivers([judgement_record(one) for one in (used, unneeded, judged(limit(maximum=25)))])
    assert lines == [
        (
            "overhead: gateway overhead, p95: at most 5 ms is waived up to at most 25 ms until 2026-12-31 "
            f"(thresholds.yaml:61), needed: mended in the next release ({LINK})"
        ),
        (
            "overhead: gateway overhead, p95: at most 25 ms is waived up to at most 60 ms until 2026-12-31 "
            "(thresholds.yaml:61), not needed: the limit is kept without it, take it out"
        ),
    ]


def test_the_last_line_counts_what_is_waived() -> None:
    judgements = [judgement_record(judged(of)) for of in (limit(maximum=5, ceiling=25), limit(maximum=25))]
    said = closing_line(a_record(judgements=judgements), ExitCode.OK)
    assert said.startswith("perfgate: 2 PASS (1 of them waived), 0 FAIL, 0 INVALID; ")
    assert "waived" not in closing_line(a_record(judgements=judgements[1:]), ExitCode.OK)


def test_a_waiver_is_read_from_the_record_as_it_was_judged(tmp_path: Path) -> None:
    judgements = [judgement_record(judged(of)) for of in (limit(maximum=5, ceiling=25), limit(maximum=25))]
    record.RecordFile(tmp_path / "r.json").write(a_record(judgements=judgements))
    first, second = record.read(tmp_path / "r.json").judgements
    assert first.waiver == record.WaiverRecord(
        ceiling=25,
        basis="",
        expires="2026-12-31",
        why="mended in the next release",
        link=LINK,
        path="thresholds.yaml",
        line=61,
        standing=WaiverStanding.NEEDED,
    )
    assert (first.verdict, first.is_waived, first.limit.maximum) == ("PASS", True, 5)
    assert (second.waiver, second.is_waived) == (None, False)
