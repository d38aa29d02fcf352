"""How is a batch of the pool kept, so that thousands of short windows take few bytes and are still all there?

Comes in: the measurement of a batch, and where and how it was made. Goes out: a file of numpy arrays (.npz), and the
same measurement again but for what no rule of ours reads: service times, headers, bytes, examples of errors.

    windows      a row for each window, see `ROW`
    latency_us   of all windows one after the other, ascending in each, at HdrHistogram's resolution
    lag_us       the generator's dispatch lag, likewise
    facts        `BatchFacts` as JSON
"""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from perfgate.atomic_file import write_atomically
from perfgate.errors import BadInput
from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.measurement import GatewayUse, Measurement, Window
from perfgate.load.result import ErrorCount, LoadResult
from perfgate.load.schedule import ClosedLoop, OpenLoop
from perfgate.measure.histogram import Histogram
from perfgate.selftest.doses import DOSES, LASTING, SIDES, arm_name
from perfgate.stack.sources import Release

#: What is kept of a window: names and units as in `Window`, `LoadResult`, `GatewayUse`; `arm` is its place in `facts`.
ROW: Final = np.dtype(
    [
        ("arm", "u1"),
        ("generation", "u1"),
        ("round", "u2"),
        ("position", "u1"),
        ("seed", "u4"),
        ("offered", "u4"),
        ("sent", "u4"),
        ("completed", "u4"),
        ("succeeded", "u4"),
        ("latencies", "u4"),
        ("lags", "u4"),
        ("window_opened_mono_s", "f8"),
        ("window_closed_mono_s", "f8"),
        ("drained_mono_s", "f8"),
        ("generator_cpu_s", "f4"),
        ("in_flight_max", "u4"),
        ("cpu_s", "f4"),
        ("cpu_resolution_ms", "f4"),
        ("rss_before_bytes", "u8"),
        ("rss_after_bytes", "u8"),
        ("requests", "u4"),
    ]
)
_OF_LOAD: Final = (
    "offered",
    "sent",
    "completed",
    "succeeded",
    "window_opened_mono_s",
    "window_closed_mono_s",
    "drained_mono_s",
    "generator_cpu_s",
    "in_flight_max",
)
_OF_GATEWAY: Final = ("cpu_s", "cpu_resolution_ms", "rss_before_bytes", "rss_after_bytes", "requests")
#: The arm of requests that go to the mock without a gateway.
DIRECT: Final = "direct"


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """Where and how a batch was made.

    Args:
        release: of LiteLLM.
        arms: in the order that rows count them by; `direct`, and those of sides and doses.
        users, window_s: of every window of a dose.
        direct_rps: offered to the mock without a gateway.
        rounds_planned: in each process.
        seed: of orders.
        began_utc: ISO 8601.
        perfgate_version: that made it.
        host: of `measure.host.HostFingerprint`; nothing that names the machine.
        packages_sha256: of the gateways' environment.
    """

    release: str
    arms: tuple[str, ...]
    users: int
    window_s: float
    direct_rps: float
    rounds_planned: int
    seed: int
    began_utc: str
    perfgate_version: str
    host: dict[str, Any]
    packages_sha256: str = ""


def arms_of(release: str) -> tuple[Arm, ...]:
    """The arms of a batch: one without a gateway, one of each side for each dose; doses that last have their own."""
    of_doses = [
        Arm(arm_name(side, dose), gateway_of(release, side), dose.model)
        for dose in DOSES
        for side in ((LASTING,) if dose.has_own_processes else SIDES)
    ]
    return (Arm(DIRECT, None), *of_doses)


def gateway_of(release: str, side: str) -> GatewaySpec:
    """The gateway of a side of a pair, or of what lasts."""
    return GatewaySpec(Release(release), faults=True, apart=side)


def write_batch(path: Path, facts: BatchFacts, windows: Sequence[Window]) -> None:
    """Write a batch, whole or not at all.

    Raises:
        OSError: the file system refused.
    """
    rows = np.zeros(len(windows), dtype=ROW)
    for row, window in zip(rows, windows, strict=True):
        row["arm"] = facts.arms.index(window.arm)
        for name in ("generation", "round", "position", "seed"):
            row[name] = getattr(window, name)
        for name in _OF_LOAD:
            row[name] = getattr(window.load, name)
        row["latencies"], row["lags"] = window.load.latency.count, window.load.dispatch_lag.count
        if window.gateway is not None:
            for name in _OF_GATEWAY:
                row[name] = getattr(window.gateway, name)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        windows=rows,
        latency_us=_listed([window.load.latency for window in windows]),
        lag_us=_listed([window.load.dispatch_lag for window in windows]),
        facts=np.array(json.dumps(asdict(facts))),
    )
    write_atomically(path, file.getvalue())


def read_batch(path: Path) -> tuple[BatchFacts, Measurement]:
    """A batch that `write_batch` wrote.

    Raises:
        BadInput: it is not one.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            known = json.loads(str(file["facts"]))
            facts = BatchFacts(
                **{each.name: known[each.name] for each in fields(BatchFacts)} | {"arms": tuple(known["arms"])}
            )
            rows, latency_us, lag_us = file["windows"], file["latency_us"], file["lag_us"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is not a batch of a pool: {error}; `perfgate selftest collect` makes them") from error
    arms = arms_of(facts.release)
    by_name = {arm.name: arm for arm in arms}
    if not set(facts.arms) <= by_name.keys() or rows.dtype != ROW:
        raise BadInput(
            f"{path} is a batch of other doses or columns than this perfgate's: read it with its own version"
        )
    latencies = np.split(latency_us, np.cumsum(rows["latencies"].astype(np.int64))[:-1])
    lags = np.split(lag_us, np.cumsum(rows["lags"].astype(np.int64))[:-1])
    windows = tuple(
        _window(facts.arms[row["arm"]], row, Histogram.of_us(of_window), Histogram.of_us(lag))
        for row, of_window, lag in zip(rows, latencies, lags, strict=True)
    )
    return facts, Measurement(
        "regression",
        tuple(by_name[name] for name in facts.arms),
        ClosedLoop(facts.users, warm_up_s=0, window_s=facts.window_s),
        windows,
        rounds_planned_max=facts.rounds_planned,
        direct_schedule=OpenLoop(facts.direct_rps, warm_up_s=0, window_s=facts.window_s),
    )


def _listed(histograms: Sequence[Histogram]) -> npt.NDArray[np.uint32]:
    """Every duration of every histogram."""
    each = [np.repeat(np.array(one.values_us, np.uint32), np.array(one.counts, np.int64)) for one in histograms]
    return np.concatenate(each) if each else np.zeros(0, np.uint32)


def _window(arm: str, row: Any, latency: Histogram, lag: Histogram) -> Window:
    nothing = Histogram((), (), 0)
    of_load = {name: row[name].item() for name in _OF_LOAD}
    lost = of_load["sent"] - of_load["succeeded"]
    load = LoadResult(
        **of_load,
        errors=(ErrorCount("failed", lost, "not kept"),) if lost else (),
        statuses=(),
        latency=latency,
        service_time=nothing,
        dispatch_lag=lag,
        header_overhead=nothing,
        header_missing=0,
        reply_bytes=0,
        in_flight_cap=0,
        sent_by_target=(of_load["sent"],),
        first_token=nothing,
        first_token_service=nothing,
        chunk_gap=nothing,
        chunks=0,
        streams_done=0,
    )
    use = None if arm == DIRECT else GatewayUse(**{name: row[name].item() for name in _OF_GATEWAY})
    return Window(arm, int(row["generation"]), int(row["round"]), int(row["position"]), int(row["seed"]), load, use)
