"""Does a record that is judged again say what it said, and something else once a figure in it was changed?"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perfgate.errors import BadInput
from perfgate.measure.histogram import Histogram
from perfgate.record import Record, read, record_of
from perfgate.rejudge import Difference, differences, in_words, judged_again, other_versions, thresholds_of
from tests.harness.recorded_runs import (
    ALL_KINDS,
    THRESHOLDS,
    a_finished_run,
    alone,
    cache,
    logs,
    outage,
    overhead,
    regression,
    rows,
    streams,
)

# One worker judges the runs for all of them.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("rejudge")]

Json = Any


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """A run of every kind of scenario, all limits of which are kept."""
    return read(a_finished_run(tmp_path_factory.mktemp("kept")))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """A run in which every scenario has a limit that is broken or open."""
    measured = [
        overhead(90.0),
        alone(90.0),
        streams(90.0),
        rows(missing=1),
        cache(hits_that_reach_it=200),
        regression(1.05),
        logs(1.3, lost=50),
        outage(lost=900),
    ]
    return read(a_finished_run(tmp_path_factory.mktemp("broken"), measured))


def changed(record: Record, change: Callable[[Json], None]) -> Record:
    """The record with something else in its JSON."""
    data = json.loads(record.model_dump_json())
    change(data)
    return record_of(json.dumps(data).encode(), "changed")


def only(record: Record, scenario: str) -> Record:
    """The record as far as it is of one scenario, which is judged sooner."""
    measurements = [each for each in record.measurements if each.scenario == scenario]
    judgements = [each for each in record.judgements if each.scenario == scenario]
    return record.model_copy(update={"measurements": measurements, "judgements": judgements})


def of(data: Json, scenario: str) -> Json:
    (measurement,) = [each for each in data["measurements"] if each["scenario"] == scenario]
    return measurement


def windows(data: Json, scenario: str, arm: str) -> list[Json]:
    return [window for window in of(data, scenario)["windows"] if window["arm"] == arm]


def said(record: Record, scenario: str, metric: str) -> dict[str, tuple[object, object]]:
    """What is different in one judgement: recorded and by the windows, by field."""
    found = [each for each in differences(only(record, scenario)) if each.metric == metric]
    return {each.what: (each.recorded, each.again) for each in found}


# --- equal ---


def test_a_run_of_every_kind_of_scenario_is_judged_as_it_was(record: Record) -> None:
    assert [judgement.verdict for judgement in record.judgements] == ["PASS"] * len(record.judgements)
    assert {judgement.scenario for judgement in record.judgements} == set(ALL_KINDS)
    assert judged_again(record) == tuple(record.judgements)


def test_so_is_one_in_which_limits_are_broken_or_open(broken: Record) -> None:
    by_scenario: dict[str, set[str]] = {scenario: set() for scenario in ALL_KINDS}
    for judgement in broken.judgements:
        by_scenario[judgement.scenario].add(judgement.verdict)
    assert by_scenario["regression"] >= {"INVALID"}
    assert all("FAIL" in verdicts for scenario, verdicts in by_scenario.items() if scenario != "regression")
    assert differences(broken) == ()


def test_what_was_scaled_to_the_host_or_holds_in_the_profile_alone_is_judged_likewise(record: Record) -> None:
    limits = {(j.scenario, j.metric): j.limit for j in record.judgements}
    assert limits["overhead", "overhead_p50_ms"].maximum == pytest.approx(25 * 1.3)
    assert limits["regression", "cpu_per_request_ms"].basis == "of the profile release"
    assert differences(only(record, "regression")) == ()


def test_what_was_not_measured_is_not_measured_for_the_reason_that_was_given(record: Record) -> None:
    """As with single requests under xdist: there is a verdict and no measurement."""

    def without_windows(data: Json) -> None:
        data["measurements"] = [each for each in data["measurements"] if each["scenario"] != "alone"]
        (judgement,) = [each for each in data["judgements"] if each["scenario"] == "alone"]
        judgement |= {"verdict": "INVALID", "reason": "not measured", "detail": "run without -n", "estimate": None}
        judgement["limit"] |= {"maximum": 25, "basis": ""}
        judgement["apparatus"] = "nothing was measured"

    assert differences(only(changed(record, without_windows), "alone")) == ()


def test_a_pass_of_what_was_not_measured_is_none(record: Record) -> None:
    def without_windows(data: Json) -> None:
        data["measurements"] = [each for each in data["measurements"] if each["scenario"] != "alone"]

    found = said(changed(record, without_windows), "alone", "overhead_p50_ms")
    assert found["verdict"] == ("PASS", "INVALID")


# --- another figure, another verdict ---


def slower(data: Json) -> None:
    for window in windows(data, "overhead", "gateway"):
        times = Histogram.decoded(window["load"]["latency"])
        ten_times = Histogram.of_us([value * 10 for value in times.values_us])
        window["load"]["latency"] = ten_times.encoded()


def more_cpu(data: Json) -> None:
    for window in windows(data, "regression", "candidate"):
        window["gateway"]["cpu_s"] *= 1.5


def lost_records(data: Json) -> None:
    for window in windows(data, "logs", "candidate"):
        window["sink"]["distinct"] -= 50


def lost_rows(data: Json) -> None:
    windows(data, "rows", "gateway")[3]["ledger"]["rows"] -= 1


def late(data: Json) -> None:
    for window in windows(data, "overhead", "gateway"):
        window["load"]["dispatch_lag"] = Histogram.of_us([9000] * 200).encoded()


def arms_that_differ(data: Json) -> None:
    of(data, "regression")["unasked"] = ["Python differs"]


@pytest.mark.parametrize(
    ("change", "scenario", "metric", "verdict"),
    [
        (slower, "overhead", "overhead_p95_ms", "FAIL"),
        (more_cpu, "regression", "cpu_per_request_ms", "FAIL"),
        (lost_records, "logs", "log_records_missing_ratio", "FAIL"),
        (lost_rows, "rows", "spend_rows_missing_ratio", "FAIL"),
        (late, "overhead", "overhead_p95_ms", "INVALID"),
        (arms_that_differ, "regression", "cpu_per_request_ms", "INVALID"),
    ],
)
def test_a_changed_window_gives_another_verdict(
    record: Record, change: Callable[[Json], None], scenario: str, metric: str, verdict: str
) -> None:
    assert said(changed(record, change), scenario, metric)["verdict"] == ("PASS", verdict)


def test_a_slow_window_after_a_fault_changes_when_users_fared_as_before(record: Record) -> None:
    def slow(data: Json) -> None:
        windows(data, "outage", "after")[0]["load"]["latency"] = Histogram.of_us([200_000] * 100).encoded()

    found = said(changed(record, slow), "outage", "recovery_s")
    assert found["estimate.value"] == (pytest.approx(0.1), pytest.approx(3.1))


@pytest.mark.parametrize(
    ("looks", "look", "what"),
    [(3, 1, {"comparison.look"}), (3, 3, {"comparison.look"}), (1, 1, {"comparison.look", "comparison.looks"})],
)
def test_another_look_may_err_by_something_else(record: Record, looks: int, look: int, what: set[str]) -> None:
    """The second of three was what the run ended at."""

    def another(data: Json) -> None:
        of(data, "regression").update(look=look, looks=looks)

    found = said(changed(record, another), "regression", "rss_mib")
    assert set(found) >= what | {"comparison.low", "comparison.high", "comparison.confidence"}


def test_another_number_of_looks_widens_the_intervals_of_absolute_limits(record: Record) -> None:
    def more(data: Json) -> None:
        of(data, "streams")["looks"] = 30

    found = said(changed(record, more), "streams", "chunk_gap_p99_ms")
    assert found["estimate.confidence"] == (pytest.approx(1 - 0.05 / 3), pytest.approx(1 - 0.05 / 30))


def test_other_thresholds_give_another_verdict(record: Record) -> None:
    def stricter(data: Json) -> None:
        text = THRESHOLDS.replace("overhead_p95_ms: {max: 25", "overhead_p95_ms: {max: 5")
        data["thresholds_text"], data["thresholds_sha256"] = text, hashlib.sha256(text.encode()).hexdigest()

    found = said(changed(record, stricter), "overhead", "overhead_p95_ms")
    assert found["verdict"] == ("PASS", "FAIL")
    assert found["limit.maximum"] == (pytest.approx(25 * 1.3), pytest.approx(5 * 1.3))


def test_another_speed_of_the_host_moves_the_limits_that_follow_it(record: Record) -> None:
    def faster(data: Json) -> None:
        data["host_speed"]["median_ms"] = 6.5

    found = said(changed(record, faster), "overhead", "overhead_p50_ms")
    assert found["limit.maximum"] == (pytest.approx(32.5), pytest.approx(16.25))


def test_a_limit_that_the_thresholds_do_not_have_is_said(record: Record) -> None:
    def renamed(data: Json) -> None:
        data["judgements"][0]["metric"] = "latency_p50_ms"

    (found,) = differences(only(changed(record, renamed), "overhead"))
    assert (found.scenario, found.metric, found.what) == ("overhead", "latency_p50_ms", "limit")


# --- a verdict that was written by hand ---


def test_a_verdict_that_was_changed_is_said_as_a_sentence(broken: Record) -> None:
    def turned(data: Json) -> None:
        (judgement,) = [j for j in data["judgements"] if j["metric"] == "overhead_p95_ms" and j["verdict"] == "FAIL"]
        judgement["verdict"] = "PASS"

    now = only(changed(broken, turned), "overhead")
    found = differences(now)
    assert found == (Difference("overhead", "overhead_p95_ms", "verdict", "PASS", "FAIL"),)
    assert in_words(now, found) == (
        "overhead.overhead_p95_ms: verdict is recorded as PASS, by the raw windows it is FAIL",
    )


def test_of_many_figures_the_first_few_are_named(record: Record) -> None:
    now = only(changed(record, more_cpu), "regression")
    sentences = in_words(now, differences(now))
    assert sentences[0] == "regression.cpu_per_request_ms: verdict is recorded as PASS, by the raw windows it is FAIL"
    assert sentences[3].startswith("regression.cpu_per_request_ms: ")
    assert sentences[3].endswith(" more figures differ")


def test_a_last_digit_is_no_difference(record: Record) -> None:
    def rounded(data: Json) -> None:
        for judgement in data["judgements"]:
            if judgement["estimate"] is not None:
                judgement["estimate"]["value"] *= 1 + 1e-12

    assert differences(only(changed(record, rounded), "overhead")) == ()


def test_other_versions_are_named_where_figures_differ_and_only_there(record: Record) -> None:
    def older(data: Json) -> None:
        data["computed_with"] |= {"numpy": "2.0.0", "fortran": "77"}

    now = changed(record, older)
    assert other_versions(record) == ()
    (sentence,) = other_versions(now)
    assert sentence.startswith("its verdicts were computed with numpy 2.0.0 (here ")
    assert "fortran 77 (here unknown): figures may differ by that" in sentence
    assert in_words(now, ()) == ()
    both = only(changed(now, more_cpu), "regression")
    assert in_words(both, differences(both))[-1] == sentence


# --- what cannot be judged ---


def test_thresholds_that_are_not_those_of_the_hash_are_refused(record: Record) -> None:
    def eased(data: Json) -> None:
        data["thresholds_text"] = THRESHOLDS.replace("max: 25", "max: 250")

    with pytest.raises(BadInput, match=r"the record holds .*thresholds\.yaml with the SHA-256 .*: one of the two was"):
        differences(changed(record, eased))
    assert thresholds_of(record).text == THRESHOLDS


def test_a_window_that_cannot_be_read_is_refused(record: Record) -> None:
    def cut(data: Json) -> None:
        load = windows(data, "overhead", "gateway")[0]["load"]
        load["latency"] = load["latency"][:-8]

    with pytest.raises(BadInput, match="overhead: what was measured cannot be read: the window of arm gateway"):
        differences(changed(record, cut))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda data: of(data, "overhead")["arms"][0].update(name="gone"), "NotMeasured"),
        (lambda data: data.update(host_class="gone"), "KeyError"),
    ],
    ids=["an arm without windows", "a class that is not there"],
)
def test_what_no_run_writes_cannot_be_judged(record: Record, change: Callable[[Json], None], kind: str) -> None:
    with pytest.raises(BadInput, match=f"what was measured cannot be judged: {kind}: "):
        differences(changed(record, change))


def test_a_run_is_judged_again_from_its_file_alone(tmp_path: Path) -> None:
    path = a_finished_run(tmp_path, [overhead()], scenarios="overhead")
    (tmp_path / "thresholds.yaml").unlink()
    assert differences(read(path)) == ()
