"""Which limits hold in a run?"""

from dataclasses import replace

import pytest

from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.metrics import METRICS
from perfgate.host_limits import AS_THEY_STAND
from perfgate.rules import Rules
from perfgate.thresholds import parsed_thresholds
from perfgate.verdict import Reason, Verdict
from tests.harness import synthetic
from tests.harness.recorded_runs import THRESHOLDS, logs, overhead, regression


def rules(profile: str = "release", text: str = THRESHOLDS) -> Rules:
    return Rules(parsed_thresholds(text.encode(), "thresholds.yaml", METRICS, FIGURES), profile, AS_THEY_STAND)


@pytest.mark.parametrize(("profile", "margin"), [("release", 0.1), ("compare", 0.05)])
def test_a_comparison_is_judged_by_the_margins_of_the_profile(profile: str, margin: float) -> None:
    found = rules(profile).compared(regression())
    assert found["cpu_per_request_ms"].limit.margin == margin
    assert list(found) == ["cpu_per_request_ms", "overhead_p95_ms", "throughput_rps", "rss_mib"]


def test_limits_of_both_kinds_are_told_apart() -> None:
    assert list(rules().compared(logs())) == ["throughput_rps", "cpu_per_request_ms"]
    assert list(rules().absolute(logs())) == ["log_records_missing_ratio", "log_records_repeated_ratio"]
    assert list(rules().absolute(logs(), ["log_records_repeated_ratio"])) == ["log_records_repeated_ratio"]


def test_the_limit_on_errors_guards_all_others() -> None:
    failing = synthetic.measurement(failed=10)
    assert rules().absolute(failing)["overhead_p50_ms"].reason is Reason.ERRORS
    eased = THRESHOLDS.replace("error_ratio: {max: 0.001", "error_ratio: {max: 0.5", 1)
    assert rules(text=eased).absolute(failing)["overhead_p50_ms"].verdict is Verdict.PASS


def test_it_is_open_as_long_as_more_rounds_could_decide() -> None:
    assert not rules().leaves_open(overhead())
    assert not rules().leaves_open(overhead(90.0))
    late = [replace(w, load=replace(w.load, offered=2 * w.load.offered)) for w in overhead().windows]
    assert rules().leaves_open(replace(overhead(), windows=tuple(late)))


def test_arms_that_are_not_to_be_compared_have_their_verdict_without_a_window() -> None:
    nothing = replace(logs(), windows=(), shown=(), unasked=("Python differs",), stopped="nothing was measured")
    compared, absolute = rules().compared(nothing), rules().absolute(nothing)
    assert {judgement.reason for judgement in compared.values()} == {Reason.ARMS_DIFFER}
    assert {judgement.reason for judgement in absolute.values()} == {Reason.NOT_MEASURED}
    assert {judgement.health.words for judgement in compared.values()} == {"nothing was measured"}
