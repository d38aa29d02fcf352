"""Are limits that some runs speak for kept to by the next run, and missed by one that is worse?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from perfgate.experiment.measurement import Estimate
from perfgate.experiment.metrics import METRICS
from perfgate.limits_proposal import (
    FALSE_ALARM_MAX,
    Change,
    NotProposed,
    Outlook,
    Proposal,
    has_absolute_limits,
    not_counted,
    percent,
    proposals,
    rounded_away,
    summary,
    why_of,
    words,
)
from perfgate.record import EstimateRecord, JudgementRecord, LimitRecord, Record
from perfgate.stats.decision import Decision
from perfgate.thresholds import Limit, Thresholds, load_thresholds
from perfgate.verdict import Reason, decide
from tests.harness.report.conftest import a_record

Interval = tuple[float, float, float]
SCENARIO: Final = "overhead"
P50: Final = "overhead_p50_ms"
#: Ends of five runs; 99 % of the next have their upper one below 14.76.
UPPERS: Final = (10.0, 11.0, 12.0, 10.5, 11.5)
LOWERS: Final = (8.0, 8.5, 9.0, 8.1, 8.9)


def thresholds_of(tmp_path: Path, limits: str, hosts: str = "{}") -> Thresholds:
    path = tmp_path / "thresholds.yaml"
    path.write_text(f"""\
profiles:
  quick: {{budget_minutes: 4, on_invalid: warn, scenarios: [overhead]}}
hosts: {hosts}
scenarios:
  overhead:
    load: {{offered_rps: 50, window_s: 4}}
    rounds: {{generations: 2, per_generation: 4, per_generation_max: 6}}
    limits: {limits}
apparatus:
  {{dispatch_lag_p99_ms: 2, sent_ratio_min: 0.98, generator_cpu_ratio_max: 0.8, direct_p95_above_mock_delay_ms: 5}}
""")
    return load_thresholds(path, METRICS)


def a_host(cores: int, speed: str = "") -> str:
    return f'{{cores: {cores}, memory_gib: 8, cpu_models: ["*"], backend: processes{speed}}}'


def judged(metric: str, interval: Interval | None, reason: Reason = Reason.WITHIN, detail: str = "") -> JudgementRecord:
    """What a record holds of one metric: (low, value, high), or why it was not read."""
    estimate = None
    if interval is not None:
        low, value, high = interval
        estimate = EstimateRecord(
            unit="", value=value, low=low, high=high, confidence=0.95, rounds=8, generations=2, requests=999
        )
    limit = LimitRecord(maximum=9, minimum=None, margin=None, floor=0, why="x", path="t", line=1, basis="")
    return JudgementRecord(
        scenario=SCENARIO,
        metric=metric,
        verdict="PASS" if reason is Reason.WITHIN else "INVALID",
        reason=reason.value,
        detail=detail,
        limit=limit,
        estimate=estimate,
        comparison=None,
        apparatus="",
    )


def a_run(*judgements: JudgementRecord, minute: int = 0, **changes: Any) -> Record:
    """A run that began at 20:MINUTE and took four minutes."""
    fields: dict[str, Any] = {
        "judgements": list(judgements),
        "started_utc": f"2026-01-01T20:{minute:02}:00+00:00",
        "finished_utc": f"2026-01-01T20:{minute + 4:02}:00+00:00",
        "exit_code": 0,
        "limits": {SCENARIO: [judgement.metric for judgement in judgements]},
    }
    return a_record(**{**fields, **changes})


def runs_with(lowers: Sequence[float], uppers: Sequence[float], metric: str = P50) -> list[Record]:
    return [
        a_run(judged(metric, (low, (low + high) / 2, high)), minute=5 * number)
        for number, (low, high) in enumerate(zip(lowers, uppers, strict=True))
    ]


def proposed(
    tmp_path: Path,
    runs: Sequence[Record],
    limit: str = "{max: 25, why: x}",
    metric: str = P50,
    hosts: str = "{}",
    class_name: str | None = None,
) -> Proposal | NotProposed:
    (found,) = proposals(runs, thresholds_of(tmp_path, f"{{{metric}: {limit}}}", hosts), [SCENARIO], class_name)
    return found


def a_proposal(tmp_path: Path, runs: Sequence[Record], **others: Any) -> Proposal:
    found = proposed(tmp_path, runs, **others)
    assert isinstance(found, Proposal)
    return found


# --- the number ---


def test_the_number_is_what_the_next_run_passes_with_99_percent_rounded_up(tmp_path: Path) -> None:
    """Twin: the formula with SciPy's t, on logarithms."""
    found = a_proposal(tmp_path, runs_with(LOWERS, UPPERS))
    logs = np.log(UPPERS)
    spread = logs.std(ddof=1) * np.sqrt(1 + 1 / 5)
    assert np.exp(logs.mean() + stats.t.ppf(0.99, 4) * spread) == pytest.approx(14.76, abs=0.01)
    assert (found.proposed.number, found.kind, found.runs) == (15.0, "max", 5)
    misses = stats.t.sf((np.log(15) - logs.mean()) / spread, 4)
    assert found.proposed.pass_chance == pytest.approx(1 - misses)
    assert misses < 0.01
    lower_logs = np.log(LOWERS)
    lower_spread = lower_logs.std(ddof=1) * np.sqrt(1 + 1 / 5)
    fails = stats.t.sf((np.log(15) - lower_logs.mean()) / lower_spread, 4)
    assert found.proposed.fail_chance == pytest.approx(fails)
    assert found.proposed.undecided_chance == pytest.approx(misses - fails)


def test_a_min_is_the_mirror_image(tmp_path: Path) -> None:
    """Of the inverse figures, the number is the inverse, but for its rounding, and every chance is the same."""
    inverse = runs_with([100 / high for high in UPPERS], [100 / low for low in LOWERS], "throughput_rps")
    of_min = a_proposal(tmp_path, inverse, limit="{min: 8, why: x}", metric="throughput_rps")
    of_max = a_proposal(tmp_path, runs_with(LOWERS, UPPERS), limit="{max: 12.5, why: x}")
    assert (of_min.kind, of_min.proposed.number) == ("min", 6.7)  # 100 / 14.76 is 6.78
    assert of_min.present.number == 8
    assert of_min.present.fail_chance == pytest.approx(of_max.present.fail_chance)
    assert of_min.present.undecided_chance == pytest.approx(of_max.present.undecided_chance)
    assert of_min.change is of_max.change is Change.LOOSENED
    assert of_min.worst == pytest.approx(100 / of_max.worst)
    assert a_proposal(tmp_path, inverse, limit="{min: 6.2, why: x}", metric="throughput_rps").change is Change.KEPT
    loose = a_proposal(tmp_path, inverse, limit="{min: 6, why: x}", metric="throughput_rps")
    assert loose.change is Change.TIGHTENED


def test_figures_below_0_are_predicted_as_they_are(tmp_path: Path) -> None:
    runs = runs_with((-3, -2, -4, -3.5), (1, -0.5, 2, 0.4), "added_p50_ms")
    found = a_proposal(tmp_path, runs, metric="added_p50_ms")
    figures = np.array((1, -0.5, 2, 0.4))
    bound = figures.mean() + stats.t.ppf(0.99, 3) * figures.std(ddof=1) * np.sqrt(1 + 1 / 4)
    assert bound <= found.proposed.number <= bound + 0.1


def test_an_interval_that_leaves_out_its_own_estimate_reaches_as_far_as_that(tmp_path: Path) -> None:
    """As it does for the verdict."""
    high = [a_run(judged(P50, (low, value, low + 1))) for low, value in zip(LOWERS, UPPERS, strict=True)]
    assert a_proposal(tmp_path, high).uppers == UPPERS
    low = [a_run(judged(P50, (high - 1, value, high))) for high, value in zip(UPPERS, LOWERS, strict=True)]
    assert a_proposal(tmp_path, low).lowers == LOWERS


@pytest.mark.parametrize(
    ("number", "up", "down"),
    [
        (23.1, 24.0, 23.0),
        (25.0, 25.0, 25.0),
        (0.03129, 0.032, 0.031),
        (104.2, 110.0, 100.0),
        (9.95, 10.0, 9.9),
        (99.5, 100.0, 99.0),
        (1e-5, 1e-5, 1e-5),
    ],
)
def test_two_digits_are_kept_and_never_closer_to_the_figures(number: float, up: float, down: float) -> None:
    assert (rounded_away(number, "max"), rounded_away(number, "min")) == (up, down)


# --- the rates, with known truth ---

#: Of the logarithm: how runs of one gateway differ, as far as the reference host showed, and half of an interval.
BETWEEN_SD: Final = 0.08
HALF_WIDTH: Final = 0.10


def drawn(rng: np.random.Generator, slowdown: float = 1.0) -> JudgementRecord:
    value = slowdown * 12 * np.exp(rng.normal(0, BETWEEN_SD))
    half_width = HALF_WIDTH * np.exp(rng.normal(0, 0.3))
    return judged(P50, (value * np.exp(-half_width), value, value * np.exp(half_width)))


def decision(of: JudgementRecord, number: float, kind: Literal["max", "min"] = "max") -> Decision:
    """As verdict.py decides."""
    assert of.estimate is not None
    estimate = Estimate(metric=of.metric, **of.estimate.model_dump())
    limit = Limit(
        of.metric, "x", "t", 1, maximum=number if kind == "max" else None, minimum=number if kind == "min" else None
    )
    return decide(estimate, limit)


@pytest.mark.slow
@pytest.mark.parametrize("runs", [5, 10])
def test_of_2000_calibrations_the_next_run_hardly_ever_fails_and_nearly_always_passes(
    tmp_path: Path, runs: int
) -> None:
    rng = np.random.default_rng(runs)
    thresholds = thresholds_of(tmp_path, f"{{{P50}: {{max: 25, why: x}}}}")
    decisions, of_slower = [], []
    for _ in range(2_000):
        (found,) = proposals([a_run(drawn(rng)) for _ in range(runs)], thresholds, [SCENARIO], None)
        assert isinstance(found, Proposal)
        decisions.append(decision(drawn(rng), found.proposed.number))
        of_slower.append(decision(drawn(rng, slowdown=2.0), found.proposed.number))
    assert decisions.count(Decision.FAIL) <= 0.01 * 2_000
    assert decisions.count(Decision.PASS) >= 0.95 * 2_000
    # And it does not sleep: a gateway that is twice as slow fails, with few runs most of the time.
    assert of_slower.count(Decision.FAIL) >= {5: 0.7, 10: 0.95}[runs] * 2_000


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.floats(5, 15), st.floats(0, 5), st.floats(0, 1)), min_size=3, max_size=8, unique=True),
    st.integers(4, 20),
    st.sampled_from(["max", "min"]),
)
def test_failed_runs_are_those_that_would_have_failed(
    tmp_path_factory: pytest.TempPathFactory,
    shapes: list[tuple[float, float, float]],
    number: int,
    kind: Literal["max", "min"],
) -> None:
    intervals = [(low, low + share * width, low + width) for low, width, share in shapes]
    metric = P50 if kind == "max" else "throughput_rps"
    runs = [a_run(judged(metric, interval)) for interval in intervals]
    limit = f"{{{kind}: {number}, why: x}}"
    found = proposed(tmp_path_factory.getbasetemp(), runs, limit=limit, metric=metric)
    if isinstance(found, NotProposed):
        return  # equal ends
    for outlook in (found.present, found.proposed):
        decisions = [decision(run.judgements[0], outlook.number, kind) for run in runs]
        assert outlook.failed_runs == decisions.count(Decision.FAIL)
        assert 0 <= outlook.fail_chance <= 1 - outlook.pass_chance + 1e-12
        assert outlook.undecided_chance >= 0


# --- what becomes of the present number ---


@pytest.mark.parametrize(
    ("present", "change"),
    [
        (25, Change.TIGHTENED),
        (16.6, Change.TIGHTENED),
        (16.4, Change.KEPT),
        (15, Change.KEPT),
        (14, Change.KEPT),
        (12.5, Change.LOOSENED),
        (9, Change.LOOSENED),
        (0, Change.LOOSENED),
    ],
)
def test_the_present_number_stays_while_it_is_tight_and_quiet_enough(
    tmp_path: Path, present: float, change: Change
) -> None:
    """Proposed are 15; with 14 a run passes with 97 %, with 12.5 with 91 %."""
    found = a_proposal(tmp_path, runs_with(LOWERS, UPPERS), limit=f"{{max: {present}, why: x}}")
    assert found.change is change
    assert found.outlook is (found.present if change is Change.KEPT else found.proposed)


def test_a_number_that_passes_often_enough_but_is_a_false_alarm_too_often_is_loosened(tmp_path: Path) -> None:
    """Intervals that are far narrower than runs are apart: what does not pass fails."""
    uppers = UPPERS * 2
    narrow = [0.999 * high for high in uppers]
    found = a_proposal(tmp_path, runs_with(narrow, uppers), limit="{max: 12.7, why: x}")
    assert found.present.pass_chance > 0.95
    assert found.present.fail_chance > FALSE_ALARM_MAX
    assert found.change is Change.LOOSENED


@pytest.mark.parametrize(("present", "change"), [(14.5, Change.KEPT_FOR_NOW), (13.4, Change.LOOSENED)])
def test_a_number_is_not_loosened_for_want_of_runs(tmp_path: Path, present: float, change: Change) -> None:
    """Three runs say that 14.5 passes with 94 %, and of 13.56 that it would do so with 99 % if they were many."""
    found = a_proposal(tmp_path, runs_with(LOWERS[:3], UPPERS[:3]), limit=f"{{max: {present}, why: x}}")
    assert found.present.pass_chance < 0.95
    assert found.of_many_runs == pytest.approx(13.56, abs=0.01)
    assert found.change is change
    assert found.is_kept is (change is Change.KEPT_FOR_NOW)
    assert found.outlook is (found.present if found.is_kept else found.proposed)
    inverse = runs_with([100 / high for high in UPPERS[:3]], [100 / low for low in LOWERS[:3]], "throughput_rps")
    limit = f"{{min: {100 / present}, why: x}}"
    assert a_proposal(tmp_path, inverse, limit=limit, metric="throughput_rps").change is change


def test_a_number_that_stays_for_want_of_runs_is_said_to(tmp_path: Path) -> None:
    found = a_proposal(tmp_path, runs_with(LOWERS[:3], UPPERS[:3]), limit="{max: 14.5, why: x}")
    assert "  change   kept: these runs are clear of it, but too few to promise more: add some    " in words(found)[-1]


# --- what is left alone ---


def test_margins_counts_and_shares_are_left_alone(tmp_path: Path) -> None:
    limits = (
        f"{{error_ratio: {{max: 0.001, why: x}}, {P50}: {{max: 25, why: x}}, completed_ratio: {{min: 0.9, why: x}}, "
        "connections_ratio: {max: 1, why: x}, rss_growth_mib_per_1000_requests: {max: 9, why: x}}"
    )
    thresholds = thresholds_of(tmp_path, limits)
    found = proposals(runs_with(LOWERS, UPPERS), thresholds, [SCENARIO], None)
    names = [one.limit.metric if isinstance(one, Proposal) else one.metric for one in found]
    assert names == [P50, "rss_growth_mib_per_1000_requests"]
    margin = Limit("cpu_per_request_ms", "x", "t", 1, margin=0.05)
    assert has_absolute_limits(thresholds.scenarios[SCENARIO].limits)
    assert not has_absolute_limits({"cpu_per_request_ms": margin})
    assert not has_absolute_limits({"error_ratio": thresholds.scenarios[SCENARIO].limits["error_ratio"]})


@pytest.mark.parametrize(
    ("runs", "why"),
    [
        (runs_with(LOWERS[:2], UPPERS[:2]), "2 of the runs have an interval for it, at least 3 are needed"),
        (runs_with(LOWERS, [10.0] * 5), "all 5 runs gave 10: how far the next may be from it is not known"),
        (runs_with([0.0] * 5, UPPERS), "all 5 runs gave 0: how far the next may be from it is not known"),
        (
            runs_with((-9, -9.1, -9.2), (-8, -8.1, -8.2)),
            "the runs speak for -7.3 ms, and thresholds.yaml takes numbers above 0 only",
        ),
    ],
    ids=["too few", "equal upper ends", "equal lower ends", "below 0"],
)
def test_a_limit_that_the_runs_say_nothing_of_is_left_with_the_reason(
    tmp_path: Path, runs: list[Record], why: str
) -> None:
    found = proposed(tmp_path, runs)
    assert found == NotProposed(SCENARIO, P50, why)
    assert words(found) == [f"overhead: gateway overhead, p50: left as it is: {why}"]


def test_a_run_counts_for_a_scenario_only_where_its_figures_were_read(tmp_path: Path) -> None:
    unfit = a_run(judged(P50, None, Reason.APPARATUS, "the generator sent late"), judged("error_ratio", (0, 0, 0)))
    few = a_run(judged(P50, (99, 99, 99), Reason.TOO_FEW_REQUESTS), minute=9)
    runs = [*runs_with(LOWERS, UPPERS), unfit, few]
    assert a_proposal(tmp_path, runs).runs == 5
    assert not_counted(runs, [SCENARIO]) == [
        (
            "the run of 2026-01-01 20:00 UTC: overhead is not counted: apparatus: what measures was not fit, so "
            "nothing is said of the gateway (the generator sent late)"
        ),
        "the run of 2026-01-01 20:09 UTC: overhead is not counted: too few requests for this percentile",
    ]
    assert not_counted(runs, ["latency"]) == []


def test_a_reason_is_said_once_for_all_metrics_of_a_scenario() -> None:
    run = a_run(judged(P50, None, Reason.APPARATUS), judged("overhead_p95_ms", None, Reason.APPARATUS))
    assert len(not_counted([run], [SCENARIO])) == 1


def test_an_undecided_figure_counts(tmp_path: Path) -> None:
    """It has an interval like any other; only the limit was in its way."""
    runs = [a_run(judged(P50, (low, high, high), Reason.UNDECIDED)) for low, high in zip(LOWERS, UPPERS, strict=True)]
    assert a_proposal(tmp_path, runs).uppers == UPPERS


# --- where the number belongs ---

TWO_HOSTS: Final = f"{{first: {a_host(4)}, reference: {a_host(2, ', host_speed_ms: 10')}, mine: {a_host(8)}}}"


@pytest.mark.parametrize(
    ("hosts", "class_name", "max_on", "on_class", "present"),
    [
        ("{}", None, "", None, 25),
        (TWO_HOSTS, "reference", "", None, 25),
        (TWO_HOSTS, "first", "", "first", 25),
        (TWO_HOSTS, "mine", "", "mine", 25),
        (TWO_HOSTS, "mine", "max_on: {mine: 40}, ", "mine", 40),
        (TWO_HOSTS, "reference", "max_on: {reference: 40}, ", "reference", 40),
        (TWO_HOSTS, "reference", "max_on: {mine: 40}, ", None, 25),
        (f"{{only: {a_host(2)}}}", "only", "", None, 25),
    ],
    ids=["no hosts", "measured there", "before it", "after it", "known", "its own for it", "of another", "only one"],
)
def test_on_the_class_that_limits_scale_by_it_is_the_limits_own_elsewhere_the_classs(
    tmp_path: Path, hosts: str, class_name: str | None, max_on: str, on_class: str | None, present: float
) -> None:
    limit = f"{{max: 25, {max_on}why: x}}"
    found = a_proposal(tmp_path, runs_with(LOWERS, UPPERS), limit=limit, hosts=hosts, class_name=class_name)
    assert (found.on_class, found.present.number) == (on_class, present)


def test_a_min_of_another_class_has_no_place_in_the_file(tmp_path: Path) -> None:
    runs = runs_with(LOWERS, UPPERS, "throughput_rps")
    limit = "{min: 5, why: x}"
    found = proposed(tmp_path, runs, limit=limit, metric="throughput_rps", hosts=TWO_HOSTS, class_name="mine")
    why = "thresholds.yaml has no place for a min of the class mine alone"
    assert found == NotProposed(SCENARIO, "throughput_rps", why)


# --- the words ---


def test_the_reason_states_the_figures(tmp_path: Path) -> None:
    runs = runs_with(LOWERS, UPPERS)
    made = "5 runs of litellm 1.106.2 on reference, 2026-01-01: highest upper end 12 ms, false alarms < 0.1 %"
    found = a_proposal(tmp_path, runs, hosts=TWO_HOSTS, class_name="reference")
    assert why_of(found, runs, "reference") == made
    assert why_of(a_proposal(tmp_path, runs), runs, None) == made.replace("reference", "this host")
    inverse = runs_with(LOWERS, UPPERS, "throughput_rps")
    of_min = a_proposal(tmp_path, inverse, limit="{min: 5, why: x}", metric="throughput_rps")
    assert "lowest lower end 8 requests/s" in why_of(of_min, inverse, None)


def test_the_reason_of_a_number_for_a_class_stands_behind_that_of_the_limit_once(tmp_path: Path) -> None:
    runs = runs_with(LOWERS, UPPERS)
    others = "twice what it adds; idle: 8; 4 runs of litellm 1.0 on first, 2025-01-01: highest upper end 9 ms"
    made = "5 runs of litellm 1.106.2 on mine, 2026-01-01: highest upper end 12 ms, false alarms < 0.1 %"
    earlier = made.replace("5 runs of litellm 1.106.2", "3 runs of litellm 1.79.3").replace("2026", "2025")
    for why in (others, f"{others}; {earlier}"):
        limit = f'{{max: 25, why: "{why}"}}'
        found = a_proposal(tmp_path, runs, limit=limit, hosts=TWO_HOSTS, class_name="mine")
        assert why_of(found, runs, "mine") == f"{others}; {made}"


def test_each_limit_is_said_with_both_numbers_and_what_they_would_do(tmp_path: Path) -> None:
    found = a_proposal(tmp_path, runs_with(LOWERS, UPPERS), limit="{max: 8.2, why: x}")
    lines = words(found)
    assert lines[0] == "overhead: gateway overhead, p50: lower ends 8 to 9 ms, upper ends 10 to 12 ms in 5 runs"
    assert lines[1].startswith("  present  at most 8.2 ms: false alarms 7")
    assert lines[1].endswith(" %; 3 of the 5 runs would have failed")
    assert lines[2].startswith("  proposed at most 15 ms: false alarms < 0.1 %, undecided 0.")
    assert lines[2].endswith("; 0 of the 5 runs would have failed")
    path = tmp_path / "thresholds.yaml"
    assert lines[3] == f"  change   loosened: it is too close to what this host shows    {path}:8"


def test_the_class_of_a_number_is_said(tmp_path: Path) -> None:
    found = a_proposal(tmp_path, runs_with(LOWERS, UPPERS), hosts=TWO_HOSTS, class_name="mine")
    assert words(found)[-1].endswith("thresholds.yaml:8 (max_on mine)")
    assert "tightened: it is further out than this host needs" in words(found)[-1]


def test_a_limit_that_stays_is_said_to(tmp_path: Path) -> None:
    found = a_proposal(tmp_path, runs_with(LOWERS, UPPERS), limit="{max: 15, why: x}")
    assert "  change   kept: tight enough and quiet enough    " in words(found)[-1]


def some_proposal(tmp_path: Path, present: Outlook, runs: int = 5) -> Proposal:
    limit = Limit(P50, "x", "t", 1, maximum=present.number)
    ends = (10.0,) * runs
    return Proposal(SCENARIO, limit, "max", None, runs, ends, ends, present, Outlook(15, 0.002, 0.005, 0), 13.0)


def test_the_summary_adds_up_and_tells_the_price_of_few_runs(tmp_path: Path) -> None:
    changed = some_proposal(tmp_path, Outlook(9, 0.5, 0.2, 3))
    kept = some_proposal(tmp_path, Outlook(15, 0.004, 0.01, 0))
    ten = some_proposal(tmp_path, Outlook(15, 0.004, 0.01, 0), runs=10)
    runs = runs_with(LOWERS, UPPERS)
    assert summary([changed, kept, ten, NotProposed("a", P50, "x")], runs) == [
        "together: a false alarm in any of these limits in 1 % of runs at most, in 51 % with the present numbers",
        (
            "5 runs: the number that the next one keeps to with 99 % stands 4.1 SDs of the runs above their mean; with "
            "10 runs it would be 3.0"
        ),
        (
            "the runs were made from 2026-01-01 20:00 to 2026-01-01 20:24 UTC: of busier hours than these they know "
            "nothing"
        ),
    ]
    assert len(summary([NotProposed("a", P50, "x")], runs)) == 1


@pytest.mark.parametrize(
    ("chance", "said"), [(0.00099, "< 0.1 %"), (0.001, "0.1 %"), (0.0312, "3.1 %"), (0.126, "13 %"), (1.0, "100 %")]
)
def test_a_chance_is_said_in_percent(chance: float, said: str) -> None:
    assert percent(chance) == said
