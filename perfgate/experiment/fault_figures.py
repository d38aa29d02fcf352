"""What does a fault of a dependency do to users, and what is left of it?

Comes in: a measurement of experiment/fault_cycles.py. Goes out: `Estimate`s. No I/O, no limits.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from perfgate.experiment.measurement import (
    MIB,
    Estimate,
    LedgerUse,
    Measurement,
    NotMeasured,
    SinkUse,
    Unmeasurable,
    Window,
    use_of,
)
from perfgate.measure.histogram import Histogram, NoRequests

#: The arms of a cycle; `affected` are the users whose own upstream fails.
BEFORE: Final = "before"
DURING: Final = "during"
AFTER: Final = "after"
AFFECTED: Final = "affected"

#: Users fare as before when so many windows in a row have no error and a p95 below both of these.
GOOD_WINDOWS: Final = 3
GOOD_P95_RATIO: Final = 1.5
GOOD_P95_ADDED_MS: Final = 20.0


def latency_during_ms(measurement: Measurement, percentile: float) -> Estimate:
    """Latency of users who do not need what fails, while it fails."""
    estimate = _only(measurement, DURING).latency_ms(percentile, DURING)
    return replace(estimate, metric=f"fault_latency_p{percentile:g}_ms")


def errors_during(measurement: Measurement) -> Estimate:
    """Share of their requests that did not succeed meanwhile."""
    return replace(_only(measurement, DURING).error_ratio(DURING), metric="fault_error_ratio")


def recovery_s(measurement: Measurement) -> Estimate:
    """From the fault's end until users fare as before; the longest of all cycles.

    A cycle in which they never did counts with all the time that was waited.
    """
    return _counted(measurement, "recovery_s", "s", [_recovered_after_s(measurement, c) for c in _cycles(measurement)])


def memory_growth_mib(measurement: Measurement) -> Estimate:
    """By how much the gateway's resident memory is higher at the fault's end than before; the most of all cycles."""
    grown = [_rss_mib(measurement, c, DURING) - _rss_mib(measurement, c, BEFORE) for c in _cycles(measurement)]
    return _counted(measurement, "fault_rss_growth_mib", "MiB", grown)


def memory_kept_mib(measurement: Measurement) -> Estimate:
    """By how much it still is when users fare as before."""
    kept = [_rss_mib(measurement, c, AFTER) - _rss_mib(measurement, c, BEFORE) for c in _cycles(measurement)]
    return _counted(measurement, "fault_rss_kept_mib", "MiB", kept)


def records_missing_ratio(measurement: Measurement) -> Estimate:
    """Share of all requests of which the log sink has no record in the end; of the worst cycle."""
    missing = [max(0, sink.requests - sink.distinct) / sink.requests for sink in _sinks(measurement)]
    return _counted(measurement, "fault_records_missing_ratio", "", missing)


def records_repeated_ratio(measurement: Measurement) -> Estimate:
    """Records that it has more than once, for each request; of the worst cycle."""
    repeated = [(sink.records - sink.distinct) / sink.requests for sink in _sinks(measurement)]
    return _counted(measurement, "fault_records_repeated_ratio", "", repeated)


def spend_rows_missing_ratio(measurement: Measurement) -> Estimate:
    """Share of all requests that are not one row of the spend log each in the end; of the worst cycle."""
    wrong = [abs(ledger.requests - ledger.rows) / ledger.requests for ledger in _ledgers(measurement)]
    return _counted(measurement, "fault_spend_rows_missing_ratio", "", wrong)


def key_spend_error_ratio(measurement: Measurement) -> Estimate:
    """By how much the key's spend differs from that of its rows in the end; of the worst cycle."""
    ledgers = _ledgers(measurement)
    if not all(ledger.rows_spend_usd > 0 for ledger in ledgers):
        raise NotMeasured(f"{measurement.scenario}: a cycle has no row of the spend log")
    wrong = [abs(ledger.key_spend_usd - ledger.rows_spend_usd) / ledger.rows_spend_usd for ledger in ledgers]
    return _counted(measurement, "fault_key_spend_error_ratio", "", wrong)


def has_recovered(measurement: Measurement, cycle: int) -> bool:
    """Whether users of a cycle have fared as before for `GOOD_WINDOWS` windows in a row."""
    return _first_good(measurement, cycle) is not None


def _recovered_after_s(measurement: Measurement, cycle: int) -> float:
    ended_mono_s = next(one.ended_mono_s for one in measurement.faults if one.generation == cycle)
    after = _of_cycle(measurement, AFTER, cycle)
    first = _first_good(measurement, cycle)
    if first is None:
        return after[-1].load.drained_mono_s - ended_mono_s
    # It was good from its beginning: what lies between the two is the pause between windows, or the bad ones.
    return after[first].load.window_opened_mono_s - ended_mono_s


def _first_good(measurement: Measurement, cycle: int) -> int | None:
    before = Histogram.merged([window.load.latency for window in _of_cycle(measurement, BEFORE, cycle)])
    p95_ms = before.percentile_ms(95)
    allowed_ms = max(p95_ms * GOOD_P95_RATIO, p95_ms + GOOD_P95_ADDED_MS)
    good = [_is_good(window, allowed_ms) for window in measurement.windows if _is_after(window, cycle)]
    for first in range(len(good) - GOOD_WINDOWS + 1):
        if all(good[first : first + GOOD_WINDOWS]):
            return first
    return None


def _is_after(window: Window, cycle: int) -> bool:
    return window.arm == AFTER and window.generation == cycle


def _is_good(window: Window, allowed_ms: float) -> bool:
    load = window.load
    try:
        return load.succeeded == load.sent and load.latency.percentile_ms(95) <= allowed_ms
    except NoRequests:
        return False


def _cycles(measurement: Measurement) -> Sequence[int]:
    cycles = [one.generation for one in measurement.faults if _of_cycle(measurement, AFTER, one.generation)]
    if not cycles:
        raise NotMeasured(f"{measurement.scenario}: no cycle went through all of its phases")
    return cycles


def _of_cycle(measurement: Measurement, arm: str, cycle: int) -> Sequence[Window]:
    return [window for window in measurement.windows if window.arm == arm and window.generation == cycle]


def _rss_mib(measurement: Measurement, cycle: int, arm: str) -> float:
    return use_of(_of_cycle(measurement, arm, cycle)[-1], measurement.scenario).rss_after_bytes / MIB


def _only(measurement: Measurement, arm: str) -> Measurement:
    return replace(measurement, windows=measurement.of_arm(arm))


def _sinks(measurement: Measurement) -> Sequence[SinkUse]:
    sinks = [cycle.sink for cycle in measurement.faults if cycle.sink is not None and cycle.sink.requests]
    if not sinks:
        raise Unmeasurable(f"{measurement.scenario}: no gateway of it has a callback that logs to perfgate's sink")
    return sinks


def _ledgers(measurement: Measurement) -> Sequence[LedgerUse]:
    ledgers = [cycle.ledger for cycle in measurement.faults if cycle.ledger is not None and cycle.ledger.requests]
    if not ledgers:
        raise Unmeasurable(f"{measurement.scenario}: no gateway of it has a database that perfgate can look into")
    return ledgers


def _counted(measurement: Measurement, metric: str, unit: str, of_cycles: Sequence[float]) -> Estimate:
    """The worst of all cycles; what each was is in the windows."""
    worst, requests = max(of_cycles), measurement.requests(AFTER)
    confidence, rounds = measurement.confidence, len(measurement.of_arm(AFTER))
    return Estimate(metric, unit, worst, worst, worst, confidence, rounds, len(of_cycles), requests)
