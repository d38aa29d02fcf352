"""Runs with a scenario of every kind, made up, and the record that such a run leaves: nothing is started."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from perfgate.exit_codes import ExitCode
from perfgate.experiment.arms import BASELINE, CANDIDATE, Arm, GatewaySpec
from perfgate.experiment.fault_figures import AFTER, BEFORE, DURING
from perfgate.experiment.measurement import (
    MIB,
    FaultCycle,
    GatewayUse,
    LedgerUse,
    Measurement,
    SinkUse,
    Window,
)
from perfgate.experiment.single_requests import Sent, measurement_of_pairs
from perfgate.load.schedule import ClosedLoop, OpenLoop
from perfgate.measure.host_speed import HostSpeed
from perfgate.record import LeaseRecord
from perfgate.record_entries import judgement_record, measurement_record
from perfgate.run import Asked, Run
from perfgate.settings import options_given, settings_of
from perfgate.stack.sources import Release
from tests.harness import synthetic
from tests.harness.synthetic import DIRECT, GATEWAY, Truth, comparison, load_result

#: A profile with scenarios of all kinds; on hosts of no class, as any is here, milliseconds are scaled.
THRESHOLDS: Final = """\
profiles:
  release:
    budget_minutes: 90
    on_invalid: fail
    scenarios: [overhead, alone, streams, rows, cache, regression, logs, outage]
  quick: {budget_minutes: 4, on_invalid: warn, scenarios: [overhead]}
hosts:
  another: {cores: 4096, memory_gib: 1, cpu_models: ["abacus"], backend: processes, host_speed_ms: 10}
scenarios:
  overhead:
    load: {offered_rps: 50, warm_up_s: 1, window_s: 4}
    rounds: {generations: 2, per_generation: 4, per_generation_max: 6}
    limits:
      overhead_p50_ms: {max: 25, why: "a reason"}
      overhead_p95_ms: {max: 25, why: "a reason"}
      cpu_per_request_ms: {max: 30, why: "a reason"}
      rss_growth_mib_per_1000_requests: {max: 10, why: "a reason"}
      error_ratio: {max: 0.001, why: "a reason"}
      completed_ratio: {min: 0.99, why: "a reason"}
  alone:
    load: {requests: 25}
    rounds: {generations: 1, per_generation: 8, per_generation_max: 8}
    limits:
      overhead_p50_ms: {max: 25, why: "a reason"}
  streams:
    load: {offered_rps: 50, warm_up_s: 1, window_s: 4, stream: true, arrivals: poisson}
    rounds: {generations: 2, per_generation: 4, per_generation_max: 6}
    limits:
      first_token_overhead_p50_ms: {max: 45, why: "a reason"}
      chunk_gap_p99_ms: {max: 40, why: "a reason"}
  rows:
    load: {offered_rps: 50, warm_up_s: 1, window_s: 12}
    rounds: {generations: 2, per_generation: 4, per_generation_max: 6}
    limits:
      added_p50_ms: {max: 6, why: "a reason"}
      added_cpu_per_request_ms: {max: 13, why: "a reason"}
      spend_rows_missing_ratio: {max: 0, why: "a reason"}
      key_spend_error_ratio: {max: 0, why: "a reason"}
      connections_ratio: {max: 1, why: "a reason"}
  cache:
    load: {offered_rps: 50, warm_up_s: 1, window_s: 4}
    rounds: {generations: 2, per_generation: 4, per_generation_max: 6}
    limits:
      cache_hit_p50_ms: {max: 25, why: "a reason"}
      cache_hit_upstream_ratio: {max: 0.05, why: "a reason"}
      redis_url_added_p50_ms: {max: 5, why: "a reason"}
  regression:
    needs: {baseline: true}
    load: {users: 2, window_s: 0.4, direct_rps: 60}
    rounds: {minutes: 5, generations_max: 8, looks: 3}
    limits:
      cpu_per_request_ms: {margin: 5%, margin_in: {release: 10%}, floor: 0.2, why: "a reason"}
      overhead_p95_ms: {margin: 10%, why: "a reason"}
      throughput_rps: {margin: 5%, why: "a reason"}
      rss_mib: {margin: 5%, why: "a reason"}
  logs:
    needs: {callback: langsmith}
    load: {users: 2, window_s: 2.5, direct_rps: 60}
    shown_load: {users: 30, think_time_s: 0.75, warm_up_s: 1, window_s: 8}
    rounds: {minutes: 5, looks: 3}
    limits:
      throughput_rps: {equivalent_within: 8%, why: "a reason"}
      cpu_per_request_ms: {margin: 20%, claim: 5%, why: "a reason"}
      log_records_missing_ratio: {max: 0.02, why: "a reason"}
      log_records_repeated_ratio: {max: 0, why: "a reason"}
  outage:
    load: {offered_rps: 50, window_s: 1, tail_s: 2}
    rounds: {cycles: 2, before_s: 5, during_s: 26, after_s_max: 30}
    limits:
      fault_error_ratio: {max: 0.001, why: "a reason"}
      fault_latency_p50_ms: {max: 50, why: "a reason"}
      recovery_s: {max: 5, why: "a reason"}
      fault_rss_growth_mib: {max: 40, why: "a reason"}
      fault_records_missing_ratio: {max: 0.1, why: "a reason"}
      fault_spend_rows_missing_ratio: {max: 0, why: "a reason"}
apparatus:
  {dispatch_lag_p99_ms: 2, sent_ratio_min: 0.98, generator_cpu_ratio_max: 0.8, direct_p95_above_mock_delay_ms: 5}
"""
#: A profile of two scenarios that are soon judged; milliseconds hold as they stand.
TWO_SCENARIOS: Final = """\
profiles:
  release: {budget_minutes: 90, on_invalid: fail, scenarios: [overhead, alone]}
  quick: {budget_minutes: 4, on_invalid: warn, scenarios: [overhead]}
scenarios:
  overhead:
    load: {offered_rps: 50, warm_up_s: 1, window_s: 4}
    rounds: {generations: 2, per_generation: 4, per_generation_max: 6}
    limits:
      overhead_p95_ms: {max: 25, why: "a reason"}
      error_ratio: {max: 0.001, why: "a reason"}
  alone:
    load: {requests: 25}
    rounds: {generations: 1, per_generation: 8, per_generation_max: 8}
    limits:
      overhead_p50_ms: {max: 25, why: "a reason"}
""" + THRESHOLDS[THRESHOLDS.index("apparatus:") :]
#: How far generations of either arm of a comparison are from the truth, in another order for the other.
WOBBLE: Final = (0.99, 1.01, 1.005, 0.995)
#: All of a run's windows lie within it.
ALL_THE_TIME: Final = LeaseRecord(
    scenario=None,
    what="measuring everything",
    kind="exclusive",
    waited_s=0.0,
    acquired_mono_s=0.0,
    acquired_utc="2026-01-01T00:00:00+00:00",
)


def in_rounds(
    scenario: str,
    schedule: OpenLoop,
    arms: Mapping[str, float],
    *,
    ledger: LedgerUse | None = None,
    upstream: Mapping[str, int] | None = None,
    streams: bool = False,
) -> Measurement:
    """Two generations of four rounds, with a direct arm.

    Args:
        scenario: its name.
        schedule: of all windows.
        arms: latency in ms by name; of an arm `without` a gateway without what the others have.
        ledger: of every window of the arm `gateway`.
        upstream: requests that reached the endpoint, by arm.
        streams: whether replies came in chunks.
    """
    specs = {name: GatewaySpec(Release("1.106.2"), database=ledger is not None, redis="host_port") for name in arms}
    if "without" in specs:
        specs["without"] = GatewaySpec(Release("1.106.2"))
    first, gap = (0.5, 10.0) if streams else (None, None)
    windows = []
    for generation in range(2):
        for number in range(4):
            seed = generation * 100 + number
            without = load_result(1.0, seed=seed + 50, first_token_ms=first, chunk_gap_ms=gap)
            windows.append(Window("direct", generation, number, 0, seed, without, None))
            for position, (name, latency_ms) in enumerate(arms.items(), 1):
                token_ms = None if first is None else first + latency_ms
                load = load_result(latency_ms, seed=seed, first_token_ms=token_ms, chunk_gap_ms=gap)
                use = GatewayUse(latency_ms / 2000 * load.completed, 10**8, 10**8 + 2**20, 250, 0.001)
                count = upstream.get(name) if upstream is not None else None
                rows = ledger if name == "gateway" else None
                windows.append(Window(name, generation, number, position, seed, load, use, count, rows))
    all_arms = (DIRECT, *(Arm(name, spec) for name, spec in specs.items()))
    return Measurement(
        scenario,
        all_arms,
        schedule,
        tuple(windows),
        looks=3,
        look=2,
        rounds_planned_max=12,
        stopped="every limit was decided",
        direct_schedule=replace(schedule, window_s=1.0),
    )


def overhead(gateway_ms: float = 12.0) -> Measurement:
    """A gateway and a direct arm."""
    return synthetic.measurement(gateway_ms=gateway_ms)


def alone(gateway_ms: float = 12.0) -> Measurement:
    """Requests sent one at a time, of no schedule."""

    def sent(milliseconds: float) -> list[Sent]:
        return [Sent(10.0, 10.0 + milliseconds / 1000, 0.0001, 200, "", 2.0, 100)] * 200

    through_s = [gateway_ms / 1000] * 200
    return measurement_of_pairs("alone", (DIRECT, GATEWAY), sent(1.0), sent(gateway_ms), through_s, 25)


def streams(gateway_ms: float = 12.0) -> Measurement:
    """Replies in chunks, asked for at random times."""
    schedule = OpenLoop(offered_rps=50, warm_up_s=1, window_s=4, arrivals="poisson")
    return in_rounds("streams", schedule, {"gateway": gateway_ms}, streams=True)


def rows(missing: int = 0) -> Measurement:
    """A gateway with a database and the same without; of each window so many rows are missing."""
    ledger = LedgerUse(250, 250 - missing, 0.25, 0.25, 0.5, 5, 10)
    schedule = OpenLoop(offered_rps=50, warm_up_s=1, window_s=12)
    return in_rounds("rows", schedule, {"gateway": 12.0, "without": 11.0}, ledger=ledger)


def cache(hits_that_reach_it: int = 2) -> Measurement:
    """Replies kept in Redis; of the hits of each window so many reach the endpoint."""
    arms = {"gateway": 14.0, "without": 11.0, "cache_hit": 9.0, "redis_url": 14.5}
    upstream = {"gateway": 250, "without": 250, "cache_hit": hits_that_reach_it, "redis_url": 250}
    schedule = OpenLoop(offered_rps=50, warm_up_s=1, window_s=4)
    return in_rounds("cache", schedule, arms, upstream=upstream)


def regression(ratio: float = 1.0) -> Measurement:
    """A candidate that is slower by a ratio, in everything."""
    return _compared("regression", ratio, look=2)


def logs(ratio: float = 1.0, lost: int = 0) -> Measurement:
    """A gateway that logs against the same without, which has lost so many records of each window."""
    measured, sink = _compared("logs", ratio, look=3), SinkUse(100, 100 - lost, 100 - lost, 0.5)
    spec = GatewaySpec(Release("1.106.2"))
    arms = (
        DIRECT,
        Arm(BASELINE, replace(spec, apart=BASELINE)),
        Arm(CANDIDATE, replace(spec, apart=CANDIDATE, callback="langsmith")),
    )
    windows = [replace(window, sink=sink) if window.arm == CANDIDATE else window for window in measured.windows]
    return replace(
        measured,
        arms=arms,
        windows=tuple(windows),
        shown=tuple(replace(measured.windows[number], round=0) for number in (1, 5)),
        shown_schedule=ClosedLoop(30, 1.0, 8.0, think_time_s=0.75),
    )


def _compared(scenario: str, ratio: float, look: int) -> Measurement:
    baseline = [Truth().slower(w) for w in WOBBLE]
    candidate = [Truth().slower(ratio * w) for w in WOBBLE[::-1]]
    measured = comparison(baseline, candidate, look=look, looks=3)
    direct = OpenLoop(offered_rps=60, warm_up_s=0, window_s=0.4)
    return replace(measured, scenario=scenario, direct_schedule=direct, stopped="every limit was decided")


def outage(lost: int = 0) -> Measurement:
    """Two cycles of a dependency that fails; of each so many requests were never logged."""
    spec = GatewaySpec(Release("1.106.2"), database=True, callback="langsmith", redis="host_port", redis_fails=True)
    arms = (DIRECT, *(Arm(name, spec) for name in (BEFORE, DURING, AFTER)))
    windows: list[Window] = []
    cycles: list[FaultCycle] = []
    for generation in range(2):
        ended_mono_s = 1000.0 + 100 * generation
        windows.append(Window("direct", generation, 0, 0, 1, load_result(1.0), None))
        for phase, (name, count) in enumerate({BEFORE: 3, DURING: 12, AFTER: 3}.items()):
            for number in range(count):
                opened_mono_s = ended_mono_s + 20 * (phase - 2) + number + 0.1
                load = load_result(12.0, requests=100, seed=number)
                load = replace(load, window_opened_mono_s=opened_mono_s, drained_mono_s=opened_mono_s + 1)
                use = GatewayUse(0.5, 0, (300 + 5 * phase) * MIB, 100, 0.001)
                windows.append(Window(name, generation, number, 0, 1, load, use, 100))
        ledger, sink = LedgerUse(1800, 1800, 1.8, 1.8, 0.5, 5, 10), SinkUse(1800, 1800 - lost, 1800 - lost, 0.5)
        cycles.append(FaultCycle(generation, ended_mono_s - 20, ended_mono_s - 1, ended_mono_s, ledger, sink))
    return Measurement(
        "outage",
        arms,
        OpenLoop(offered_rps=50, warm_up_s=0, window_s=1, tail_s=2),
        tuple(windows),
        rounds_planned_max=2,
        stopped="all cycles are done",
        direct_schedule=OpenLoop(offered_rps=50, warm_up_s=0, window_s=2),
        faults=tuple(cycles),
    )


#: A measurement of every scenario of the profile, all of whose limits are kept.
ALL_KINDS: Final[Mapping[str, Callable[[], Measurement]]] = {
    "overhead": overhead,
    "alone": alone,
    "streams": streams,
    "rows": rows,
    "cache": cache,
    "regression": regression,
    "logs": logs,
    "outage": outage,
}


def a_finished_run(
    folder: Path,
    measured: Sequence[Measurement] | None = None,
    *,
    thresholds: str = THRESHOLDS,
    name: str = "20260101T000000Z-1",
    code: ExitCode | None = None,
    **options: str,
) -> Path:
    """The record of a run that measured these, judged all limits on them, and ended.

    Args:
        folder: of thresholds and record.
        measured: of every scenario asked for; None is one of each that keeps its limits.
        thresholds: of the file.
        name: of the run.
        code: that it ended with; None is what its verdicts earn.
        options: of pytest, by name; the profile is release.
    """
    path = folder / "thresholds.yaml"
    path.write_text(thresholds, encoding="utf-8")
    given = {"thresholds": str(path), "record_dir": str(folder / "records"), "stack": "processes", "seed": "7"}
    given |= {"profile": "release", "litellm": "1.106.2"} | options
    profiles = yaml.safe_load(thresholds)["profiles"]
    if "regression" in given.get("scenarios", profiles[given["profile"]]["scenarios"]):
        given.setdefault("baseline", "1.79.3")
    texts = {f"perfgate_{option}": text for option, text in given.items()}
    run = Run.begun(
        Asked.checked(settings_of(texts.get, {}), options_given(texts.get, {})), name, ["pytest", "tests/perf"]
    )
    run.keep_host_speed(HostSpeed(13.0, 12.5, 14.0, 60, 1))
    if measured is None:
        measured = [make() for scenario, make in ALL_KINDS.items() if scenario in run.asked.scenarios]
    changes = {
        "started_utc": "2026-01-01T00:00:00+00:00",
        "leases": [ALL_THE_TIME],
        "measurements": [measurement_record(measurement) for measurement in measured],
        "judgements": [
            judgement_record(run.judged(measurement, metric))
            for measurement in measured
            for metric in run.thresholds.scenarios[measurement.scenario].limits
        ],
    }
    run.record = run.record.model_copy(update=changes)  # at once: each write of its own would take a while
    run.finish(run.exit_code() if code is None else code)
    return run.file.path


def rewritten(path: Path, change: Callable[[Any], None]) -> Path:
    """A record whose JSON was changed by hand; returns the path."""
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def a_service(name: str, *packages: str) -> dict[str, Any]:
    """What a record holds of a gateway's process with these packages."""
    return {
        "name": name,
        "facts": {
            "python_version": "3.13.1",
            "packages": {"listed": list(packages)},
            "event_loop": "uvloop",
            "http_parser": "httptools",
            "server": "uvicorn",
            "access_log": False,
            "workers": 1,
            "source": {"words": "litellm 1.106.2", "commit": None},
        },
    }


def rates_of(host: Mapping[str, Any], profile: str = "release") -> bytes:
    """What `perfgate selftest rates` writes for a host, as far as a sign-off reads it."""
    share = {"value": 0.012, "low": 0.004, "high": 0.02}
    rate = {"profile": profile, "dose": "none", "gates": 2000, "fail": share, "passed": share, "invalid": share}
    found = {"release": "1.79.3", "perfgate_version": "0.1.0", "host": dict(host), "pairs": 20, "rates": [rate]}
    return json.dumps(found).encode()
