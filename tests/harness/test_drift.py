"""Is a figure held against the committed record only where the two compare, and carried over by the host's speed?"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perfgate.drift import Base, DriftLimit, Here, NotJudged, drift_limit, read_base
from perfgate.errors import BadInput
from perfgate.experiment.arms import GatewaySpec
from perfgate.load.schedule import OpenLoop
from perfgate.record import HostSpeedRecord, JudgementRecord, MeasurementRecord, Record, RecordFile
from perfgate.record_entries import measurement_record
from perfgate.stack.sources import Release
from perfgate.thresholds import DriftSource, Limit
from tests.harness import synthetic
from tests.harness.report.conftest import a_compared_judgement, a_judgement, a_record, two_arms


def a_speed(median_ms: float = 10.0, work_version: int = 1) -> HostSpeedRecord:
    return HostSpeedRecord(median_ms=median_ms, p10_ms=9, p90_ms=12, pieces=60, work_version=work_version)


def a_base(*judgements: JudgementRecord, **changes: Any) -> Base:
    """A whole run on a listed host, without windows."""
    fields = {
        "started_utc": "2026-01-01T10:00:00+00:00",
        "finished_utc": "2026-01-01T10:06:00+00:00",
        "host_class": "reference",
        "host_speed": a_speed(),
        "limits": {},
        "judgements": list(judgements),
        "measurements": [without_windows()],
    }
    return Base("docs/baseline.json", a_record(**{**fields, **changes}))


def without_windows() -> MeasurementRecord:
    return measurement_record(replace(synthetic.measurement(), windows=()))


def here(**changes: Any) -> Here:
    """The same host and load as the record's."""
    fields: dict[str, Any] = {
        "host_class": "reference",
        "host_speed": a_speed(),
        "measurement": without_windows(),
    }
    return Here(**{**fields, **changes})


def limit(metric: str = "overhead_p95_ms", drift: float = 0.15) -> Limit:
    return Limit(metric, "a reason", "thresholds.yaml", 8, maximum=25, drift=drift)


OVERHEAD = a_judgement("overhead", "overhead_p95_ms")
assert OVERHEAD.estimate is not None
FIGURE_MS = OVERHEAD.estimate.value


# --- what it is held against ---


def test_the_figure_of_the_record_is_what_a_limit_may_drift_from() -> None:
    found = drift_limit(a_base(OVERHEAD), here(), limit())
    assert isinstance(found, DriftLimit)
    assert (found.figure, found.allowed_ratio) == pytest.approx((FIGURE_MS, 1.15))
    assert found.against == "litellm 1.106.2 of 2026-01-01 (docs/baseline.json)"


def test_of_a_comparison_it_is_that_of_the_candidate() -> None:
    judged = a_compared_judgement("cpu_per_request_ms", two_arms(1.5))
    measured = measurement_record(replace(two_arms(1.5), windows=()))
    by_margin = Limit("cpu_per_request_ms", "a reason", "thresholds.yaml", 8, margin=0.05, drift=0.15)
    found = drift_limit(a_base(judged, measurements=[measured]), here(measurement=measured), by_margin)
    assert isinstance(found, DriftLimit)
    assert found.figure == pytest.approx(12, rel=0.01)


def test_a_difference_that_nobody_minds_is_no_drift() -> None:
    judged = a_compared_judgement("cpu_per_request_ms", two_arms(1.0))
    measured = measurement_record(replace(two_arms(1.0), windows=()))
    floored = Limit("cpu_per_request_ms", "a reason", "thresholds.yaml", 8, margin=0.05, floor=4.0, drift=0.15)
    found = drift_limit(a_base(judged, measurements=[measured]), here(measurement=measured), floored)
    assert isinstance(found, DriftLimit)
    assert found.allowed_ratio == pytest.approx(1.5, rel=0.01)


@pytest.mark.parametrize(
    ("metric", "factor"), [("overhead_p95_ms", 1.2), ("throughput_rps", 1 / 1.2), ("rss_mib", 1.0)]
)
def test_a_host_that_is_slower_today_is_expected_to_have_other_figures(metric: str, factor: float) -> None:
    judged = a_compared_judgement(metric, two_arms(1.0)) if metric != "overhead_p95_ms" else OVERHEAD
    measured = without_windows()
    measured = measured.model_copy(update={"scenario": judged.scenario})
    by_margin = Limit(metric, "a reason", "thresholds.yaml", 8, margin=0.05, drift=0.15)
    base = a_base(judged, measurements=[measured])
    then, now = (
        drift_limit(base, here(measurement=measured, host_speed=a_speed(median_ms)), by_margin)
        for median_ms in (10.0, 12.0)
    )
    assert isinstance(then, DriftLimit)
    assert isinstance(now, DriftLimit)
    assert now.figure / then.figure == pytest.approx(factor)
    said = f", host speed ×{factor:.2f}" if factor != 1.0 else ""
    assert now.against == f"litellm 1.106.2 of 2026-01-01 (docs/baseline.json){said}"


# --- where it is not judged ---


def other_size(**changes: Any) -> MeasurementRecord:
    gateway = replace(GatewaySpec(Release("1.106.2")), **changes)
    arms = (synthetic.DIRECT, replace(synthetic.GATEWAY, gateway=gateway))
    return measurement_record(replace(synthetic.measurement(), windows=(), arms=arms))


OTHER_LOAD = measurement_record(replace(synthetic.measurement(), windows=(), schedule=OpenLoop(60, 1, 4)))


@pytest.mark.parametrize(
    ("base", "now", "why"),
    [
        ({}, {"host_class": None}, "this host is in no class of thresholds.yaml (hosts); `perfgate calibrate` adds it"),
        (
            {},
            {"host_class": "github"},
            "docs/baseline.json was measured on the host class reference, this is github",
        ),
        (
            {"host_class": None},
            {},
            "docs/baseline.json was measured on a host of no class, this is reference",
        ),
        (
            {"host_speed": None},
            {},
            "the host's speed is not known of this run and of docs/baseline.json, so its figures do not compare",
        ),
        (
            {},
            {"host_speed": a_speed(work_version=2)},
            "the host's speed is not known of this run and of docs/baseline.json, so its figures do not compare",
        ),
        (
            {},
            {"host_speed": a_speed(12.6)},
            (
                "this host takes 1.26 times as long as it did in docs/baseline.json for the same work: it is busy, "
                "or not the same any more"
            ),
        ),
        (
            {},
            {"host_speed": a_speed(7.9)},
            (
                "this host takes 0.79 times as long as it did in docs/baseline.json for the same work: it is busy, "
                "or not the same any more"
            ),
        ),
        ({}, {"measurement": OTHER_LOAD}, "docs/baseline.json was measured with another load of overhead"),
        (
            {},
            {"measurement": other_size(workers=4)},
            "docs/baseline.json was measured with another gateway: workers 1, not 4",
        ),
        (
            {},
            {"measurement": other_size(instances=2)},
            "docs/baseline.json was measured with another gateway: instances 1, not 2",
        ),
        (
            {"judgements": []},
            {},
            "docs/baseline.json has no figure of overhead.overhead_p95_ms that could be judged",
        ),
        (
            {"judgements": [a_judgement("overhead", "overhead_p95_ms", synthetic.measurement(lag_ms=9))]},
            {},
            "docs/baseline.json has no figure of overhead.overhead_p95_ms that could be judged",
        ),
        (
            {"judgements": [a_judgement("latency", "overhead_p95_ms")]},
            {},
            "docs/baseline.json has no figure of overhead.overhead_p95_ms that could be judged",
        ),
    ],
)
def test_what_does_not_compare_is_not_judged_and_it_is_said_why(
    base: dict[str, Any], now: dict[str, Any], why: str
) -> None:
    assert drift_limit(a_base(**{"judgements": [OVERHEAD], **base}), here(**now), limit()) == NotJudged(why)


def test_there_is_no_share_of_a_figure_that_is_not_above_0() -> None:
    clean = a_judgement("overhead", "error_ratio")
    assert drift_limit(a_base(clean), here(), limit("error_ratio")) == NotJudged(
        "the figure in docs/baseline.json is 0: only of one above 0 there is a share"
    )


def test_another_release_is_what_drifts_and_no_reason_not_to_judge() -> None:
    newer = other_size(source=Release("1.102.4"))
    assert isinstance(drift_limit(a_base(OVERHEAD), here(measurement=newer), limit()), DriftLimit)


# --- the record itself ---


def source(folder: Path) -> DriftSource:
    return DriftSource(folder / "docs/baseline.json", "docs/baseline.json", "thresholds.yaml:3")


def written(folder: Path, content: Record) -> DriftSource:
    RecordFile(source(folder).file).write(content)
    return source(folder)


def test_the_record_is_read_as_it_stands(tmp_path: Path) -> None:
    base = a_base(OVERHEAD)
    assert read_base(written(tmp_path, base.record)) == base


def test_a_record_that_is_not_there_is_named_with_the_line_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read_base(source(tmp_path))
    first, last = str(caught.value).splitlines()
    assert first == (
        f"thresholds.yaml:3: drift.record: {tmp_path}/docs/baseline.json: cannot be read (No such file or directory); "
        "nothing was started"
    )
    assert last == "next: commit the record of a run there (docs/thresholds.md, Drift), or take the drifts out"


def test_something_else_than_a_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    source(tmp_path).file.write_text('{"seed": 1}')
    with pytest.raises(BadInput, match=r"^thresholds\.yaml:3: drift\.record: .*baseline\.json is not a record of"):
        read_base(source(tmp_path))


@pytest.mark.parametrize("unfinished", [{"finished_utc": None}, {"incomplete": ["overhead did not run"]}])
def test_a_run_that_broke_off_is_no_base(tmp_path: Path, unfinished: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="is the record of a run that was not made to its end; nothing was started"):
        read_base(written(tmp_path, a_base(OVERHEAD, **unfinished).record))
