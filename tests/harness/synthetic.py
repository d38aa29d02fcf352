"""Measurements with known truth, made in one call: no process, no clock."""

import numpy as np

from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.measurement import GatewayUse, Measurement, Window
from perfgate.load.result import ErrorCount, LoadResult
from perfgate.load.schedule import OpenLoop
from perfgate.measure.histogram import Histogram
from perfgate.stack.sources import Release

SCHEDULE = OpenLoop(offered_rps=50, warm_up_s=1, window_s=4)
GATEWAY = Arm("gateway", GatewaySpec(Release("1.106.2")))
DIRECT = Arm("direct", None)


def load_result(
    latency_ms: float,
    *,
    requests: int = 200,
    failed: int = 0,
    sent: int | None = None,
    lag_ms: float = 0.2,
    seed: int = 0,
    first_token_ms: float | None = None,
    chunk_gap_ms: float | None = None,
) -> LoadResult:
    """A window whose latencies spread by 5 % around a value, of which `failed` requests got a 500."""
    sent = requests if sent is None else sent
    latencies = _spread(latency_ms, sent - failed, seed)
    errors = (ErrorCount("http_500", failed, "500 boom"),) if failed else ()
    return LoadResult(
        offered=requests,
        sent=sent,
        completed=sent,
        succeeded=sent - failed,
        errors=errors,
        statuses=((200, sent - failed), (500, failed)) if failed else ((200, sent),),
        latency=latencies,
        service_time=latencies,
        dispatch_lag=Histogram.of_us([int(lag_ms * 1000)] * sent),
        header_overhead=Histogram.of_us([2000] * (sent - failed)),
        header_missing=0,
        reply_bytes=100 * sent,
        window_opened_mono_s=10.0,
        window_closed_mono_s=14.0,
        drained_mono_s=14.1,
        generator_cpu_s=0.1,
        in_flight_max=3,
        in_flight_cap=10_000,
        sent_by_target=(sent,),
        first_token=Histogram.of_us([]) if first_token_ms is None else _spread(first_token_ms, sent - failed, seed),
        first_token_service=Histogram.of_us([]),
        chunk_gap=Histogram.of_us([]) if chunk_gap_ms is None else _spread(chunk_gap_ms, 19 * (sent - failed), seed),
        chunks=0 if chunk_gap_ms is None else 20 * (sent - failed),
        streams_done=0 if chunk_gap_ms is None else sent - failed,
    )


def _spread(value_ms: float, count: int, seed: int) -> Histogram:
    """So many values around one, with a standard deviation of 5 % of it."""
    rng = np.random.default_rng(seed)
    return Histogram.of_us((value_ms * 1000 * rng.normal(1, 0.05, count)).astype(np.int64))


def measurement(
    *,
    scenario: str = "overhead",
    gateway_ms: float = 12.0,
    direct_ms: float = 1.0,
    rounds: int = 4,
    requests: int = 200,
    failed: int = 0,
    sent: int | None = None,
    lag_ms: float = 0.2,
    cpu_ms: float = 8.0,
    growth_bytes: int = 1024 * 1024,
) -> Measurement:
    """Two generations of so many rounds with a gateway and a direct arm, every figure known."""
    windows = []
    for generation in range(2):
        for number in range(rounds):
            seed = generation * 100 + number
            through = load_result(gateway_ms, requests=requests, failed=failed, sent=sent, lag_ms=lag_ms, seed=seed)
            use = GatewayUse(cpu_ms / 1000 * through.completed, 10**8, 10**8 + growth_bytes, through.sent, 0.001)
            without = load_result(direct_ms, requests=requests, lag_ms=lag_ms, seed=seed + 50)
            windows.append(Window("gateway", generation, number, 0, seed, through, use))
            windows.append(Window("direct", generation, number, 1, seed, without, None))
    return Measurement(scenario, (DIRECT, GATEWAY), SCHEDULE, tuple(windows), rounds_planned_max=2 * rounds)


def window(arm: str, load: LoadResult, *, generation: int = 0, number: int = 0) -> Window:
    """A window of a load result, whose gateway's CPU and memory were not measured."""
    return Window(arm, generation, number, 0, 0, load, None)
