"""Measurements with known truth, made in one call: no process, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from perfgate.experiment.arms import BASELINE, CANDIDATE, Arm, GatewaySpec
from perfgate.experiment.measurement import MIB, GatewayUse, Measurement, Window
from perfgate.load.result import ErrorCount, LoadResult
from perfgate.load.schedule import ClosedLoop, OpenLoop
from perfgate.measure.histogram import Histogram
from perfgate.stack.sources import Release

SCHEDULE = OpenLoop(offered_rps=50, warm_up_s=1, window_s=4)
GATEWAY = Arm("gateway", GatewaySpec(Release("1.106.2")))
DIRECT = Arm("direct", None)
TWO_USERS = ClosedLoop(users=2, warm_up_s=0, window_s=0.4)
OLD = Arm(BASELINE, GatewaySpec(Release("1.79.3"), apart=BASELINE))
NEW = Arm(CANDIDATE, GatewaySpec(Release("1.102.4"), apart=CANDIDATE))


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


@dataclass(frozen=True, slots=True)
class Truth:
    """What one arm's gateway of one generation really is.

    Args:
        overhead_ms: of nine requests in ten; of 7 in a hundred it is twice as much, of 3 four times.
        cpu_ms: for a request.
        rss_mib: after each window.
        rps: answered a second.
        failed: requests of each window that get a 500.
    """

    overhead_ms: float = 11.0
    cpu_ms: float = 8.0
    rss_mib: float = 300.0
    rps: float = 150.0
    failed: int = 0

    def slower(self, ratio: float) -> "Truth":
        """All of it worse by one ratio."""
        return replace(
            self,
            overhead_ms=self.overhead_ms * ratio,
            cpu_ms=self.cpu_ms * ratio,
            rss_mib=self.rss_mib * ratio,
            rps=self.rps / ratio,
        )


def comparison(
    baseline: Sequence[Truth],
    candidate: Sequence[Truth],
    *,
    rounds: int = 2,
    requests: int = 100,
    direct_ms: float = 1.0,
    direct_failed: int = 0,
    lag_ms: float = 0.2,
    look: int = 1,
    looks: int = 1,
) -> Measurement:
    """A comparison of generations whose truth is given; the direct arm has one window a block, as in a real one."""
    windows = []
    for number in range(rounds):
        without = load_result(direct_ms, requests=requests, failed=direct_failed, lag_ms=lag_ms, seed=number)
        without = replace(without, latency=Histogram.of_us([round(direct_ms * 1000)] * (requests - direct_failed)))
        windows.append(Window("direct", 0, number, 0, number, without, None))
        for arm, truths in ((BASELINE, baseline), (CANDIDATE, candidate)):
            for generation, truth in enumerate(truths):
                windows.append(window_of(truth, arm, generation, number, requests, direct_ms, lag_ms))
    return Measurement(
        "regression",
        (DIRECT, OLD, NEW),
        TWO_USERS,
        tuple(windows),
        looks=looks,
        look=look,
        rounds_planned_max=len(baseline) * rounds,
        stopped="the most rounds are done",
    )


def window_of(
    truth: Truth,
    arm: str,
    generation: int = 0,
    number: int = 0,
    requests: int = 100,
    direct_ms: float = 1.0,
    lag_ms: float = 0.2,
) -> Window:
    """A window in which a gateway shows its truth."""
    answered = requests - truth.failed
    tail, far_tail = round(answered * 0.07), round(answered * 0.03)
    times = [1] * (answered - tail - far_tail) + [2] * tail + [4] * far_tail
    load = replace(
        load_result(truth.overhead_ms, requests=requests, failed=truth.failed, lag_ms=lag_ms),
        latency=Histogram.of_us([round(1000 * (direct_ms + factor * truth.overhead_ms)) for factor in times]),
        window_closed_mono_s=10.0 + requests / truth.rps,
        drained_mono_s=10.0 + answered / truth.rps,
    )
    use = GatewayUse(truth.cpu_ms / 1000 * load.completed, 10**8, round(truth.rss_mib * MIB), requests, 0.001)
    return Window(arm, generation, number, 1, generation * 100 + number, load, use)
