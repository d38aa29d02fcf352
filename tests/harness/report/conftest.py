"""Records with known content, made in one call."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final

import pytest

from perfgate.comparison_verdict import judge_comparison
from perfgate.experiment import health
from perfgate.experiment.measurement import Measurement
from perfgate.record import JudgementRecord, MeasurementRecord, Record
from perfgate.record_entries import judgement_record, measurement_record
from perfgate.rejudge import Difference, differences
from perfgate.report.html import ReportedRun, page
from perfgate.thresholds import Apparatus, Limit
from perfgate.verdict import judge
from perfgate.waivers import Waiver
from tests.harness import synthetic

APPARATUS = Apparatus(
    dispatch_lag_p99_ms=2, sent_ratio_min=0.98, generator_cpu_ratio_max=0.8, direct_p95_above_mock_delay_ms=5
)

#: Of waivers that are made up.
WAIVED_UNTIL: Final = date(9999, 12, 31)
#: As a record holds it.
HOST: Final = {
    "cores_allowed": 2,
    "cores_online": 2,
    "cpu_model": "AMD EPYC",
    "memory_bytes": 24 * 1024**3,
    "kernel": "6.8.0",
    "load_1m": 0.1,
}

#: Reports that were drawn, by what they are of.
DRAWN: Final[dict[tuple[tuple[str, bytes], ...], str]] = {}


#: What judging records again has found, by their content.
JUDGED: Final[dict[str, tuple[Difference, ...]]] = {}


@pytest.fixture
def _judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record whose windows are judged again comes to the same each time, which takes half a second."""

    def judged(record: Record) -> tuple[Difference, ...]:
        key = record.model_dump_json()
        if key not in JUDGED:
            JUDGED[key] = differences(record)
        return JUDGED[key]

    for where in ("verify", "sign_off"):
        monkeypatch.setattr(f"perfgate.report.{where}.differences", judged)


@pytest.fixture
def _drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same records have the same report, which takes a second to draw: it is drawn once."""

    def drawn(runs: Sequence[ReportedRun]) -> str:
        key = tuple((run.file, run.content) for run in runs)
        if key not in DRAWN:
            DRAWN[key] = page(runs)
        return DRAWN[key]

    for where in ("html", "command"):
        monkeypatch.setattr(f"perfgate.report.{where}.page", drawn)


def a_record(**changes: Any) -> Record:
    """A run of the quick profile, in which nothing has happened yet."""
    fields = {
        "perfgate_version": "0",
        "started_utc": "2026-01-01T00:00:00+00:00",
        "command": ["pytest"],
        "seed": 1,
        "profile": "quick",
        "scenarios": ["overhead"],
        "limits": {"overhead": ["overhead_p95_ms"]},
        "gateway": "litellm 1.106.2",
        "baseline": None,
        "on_invalid": "warn",
        "thresholds_path": "thresholds.yaml",
        "thresholds_sha256": "0",
        "thresholds_text": "",
        "computed_with": {"perfgate": "0"},
        "host": {},
        "host_class": None,
        "affinity": {},
        "stack": {
            "backend": "processes",
            "why": "asked for",
            "engine": None,
            "images": "official",
            "prisma_engine": "native",
        },
    }
    return Record(**{**fields, **changes})


def a_judgement(
    scenario: str,
    metric: str,
    measured: Measurement | None = None,
    *,
    maximum: float = 25.0,
    basis: str = "",
    ceiling: float | None = None,
) -> JudgementRecord:
    """The verdict on a measurement that is made up; with a ceiling, of a limit that is waived."""
    measured = measured if measured is not None else synthetic.measurement(scenario=scenario)
    limit = Limit(metric, "a reason", "thresholds.yaml", 8, maximum=maximum, basis=basis)
    if ceiling is not None:
        limit = replace(
            limit, waiver=Waiver(ceiling, WAIVED_UNTIL, "mended soon", "https://x.test/1", "thresholds.yaml", 9)
        )
    return judgement_record(judge(measured, limit, health.check(measured, APPARATUS), None))


def a_compared_judgement(
    metric: str,
    measured: Measurement,
    *,
    margin: float = 0.05,
    floor: float = 0.0,
    basis: str = "",
    claim: float | None = None,
    equivalent_within: float | None = None,
) -> JudgementRecord:
    """The verdict on one metric of a comparison that is made up; of equivalence instead of a margin, where asked."""
    limit = Limit(metric, "a reason", "thresholds.yaml", 8, margin=margin, floor=floor, basis=basis, claim=claim)
    if equivalent_within is not None:
        limit = Limit(metric, "a reason", "thresholds.yaml", 8, equivalent_within=equivalent_within)
    return judgement_record(judge_comparison(measured, {metric: limit}, health.check(measured, APPARATUS))[metric])


def two_arms(ratio: float, wobble: Sequence[float] = (0.98, 1.02, 1.01, 0.99)) -> Measurement:
    """Four generations around a candidate that is slower by a ratio, in everything."""
    baseline = [synthetic.Truth().slower(w) for w in wobble]
    return synthetic.comparison(baseline, [synthetic.Truth().slower(ratio * w) for w in wobble[::-1]])


def a_measurement(**truth: Any) -> MeasurementRecord:
    """What a record holds of `synthetic.measurement(**truth)`."""
    return measurement_record(synthetic.measurement(**truth))
