"""What does a run leave behind: the schema of its record, and the writer that never leaves half a file.

Comes in: facts, windows and judgements as they come to be. Goes out: one JSON file, complete after every window.
Histograms are stored as HdrHistogram's own text, so that every percentile can be computed again from the record.

The record is also how the processes of one run know of each other: under xdist a worker measures and writes, and the
process that started it reads what there is to say at the end. So everything that is shown then stands in it.
"""

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from perfgate.atomic_file import write_atomically
from perfgate.errors import BadInput, StackFailed

#: 2: leases, declared limits and the gateway in words, streams, closed loops. 3: backends, databases, Redis, requests
#: that reached the mock. 4: comparisons. Records of older versions are not read.
SCHEMA_VERSION: Final = 4


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorKindRecord(_Strict):
    """One kind of failed request."""

    kind: str
    count: int
    example: str


class LoadRecord(_Strict):
    """A window as the generator saw it; names as in load/result.py, histograms encoded."""

    offered: int
    sent: int
    completed: int
    succeeded: int
    errors: list[ErrorKindRecord]
    statuses: list[tuple[int, int]]
    latency: str
    service_time: str
    dispatch_lag: str
    header_overhead: str
    header_missing: int
    reply_bytes: int
    window_opened_mono_s: float
    window_closed_mono_s: float
    drained_mono_s: float
    generator_cpu_s: float
    in_flight_max: int
    in_flight_cap: int
    sent_by_target: list[int]
    first_token: str
    first_token_service: str
    chunk_gap: str
    chunks: int
    streams_done: int


class GatewayUseRecord(_Strict):
    """What the gateway's processes used; names as in experiment/measurement.py."""

    cpu_s: float
    rss_before_bytes: int
    rss_after_bytes: int
    requests: int
    cpu_resolution_ms: float
    cpu_tree_s: float | None


class LedgerUseRecord(_Strict):
    """What the gateway wrote into its database; names as in experiment/measurement.py."""

    requests: int
    rows: int
    rows_spend_usd: float
    key_spend_usd: float
    waited_s: float
    connections_max: int
    connections_allowed: int


class SinkUseRecord(_Strict):
    """What the gateway's callback logged; names as in experiment/measurement.py."""

    requests: int
    records: int
    distinct: int
    waited_s: float


class WindowRecord(_Strict):
    """One window."""

    arm: str
    generation: int
    round: int
    position: int
    seed: int
    load: LoadRecord
    gateway: GatewayUseRecord | None
    upstream_requests: int | None
    ledger: LedgerUseRecord | None
    sink: SinkUseRecord | None = None


class OpenLoopRecord(_Strict):
    """The load of the gateway's windows: requests at a rate of their own."""

    offered_rps: float
    warm_up_s: float
    window_s: float
    tail_s: float
    arrivals: Literal["constant", "poisson"]


class ClosedLoopRecord(_Strict):
    """The load of the gateway's windows: users who wait for each reply."""

    users: int
    warm_up_s: float
    window_s: float
    tail_s: float
    think_time_s: float


class GatewayRecord(_Strict):
    """A gateway as it was asked for; `words` is how it stands in a table, `source` what to type for --litellm."""

    words: str
    source: str
    deps: Literal["of-its-time", "today"]
    workers: int
    instances: int
    config_path: str | None
    with_packages: list[str]
    faults: bool
    backend: Literal["processes", "containers"]
    database: bool
    redis: Literal["host_port", "url"] | None
    callback: str | None = None
    callback_fault: str | None = None
    cpus_per_instance: float | None
    memory_per_instance_bytes: int | None
    apart: str


class ArmRecord(_Strict):
    """One arm."""

    name: str
    gateway: GatewayRecord | None
    model: str
    same_prompt: bool
    backend: Literal["processes", "containers"]


class FaultCycleRecord(_Strict):
    """When a dependency failed, and what was written; names as in experiment/measurement.py."""

    generation: int
    began_mono_s: float
    over_mono_s: float
    ended_mono_s: float
    ledger: LedgerUseRecord | None
    sink: SinkUseRecord | None


class MeasurementRecord(_Strict):
    """All windows of one scenario."""

    scenario: str
    arms: list[ArmRecord]
    schedule: OpenLoopRecord | ClosedLoopRecord | None
    mock_delay_ms: float
    looks: int
    look: int
    rounds_planned_max: int
    stopped: str
    unasked: list[str]
    faults: list[FaultCycleRecord] = Field(default_factory=list)
    shown: list[WindowRecord] = Field(default_factory=list)
    shown_schedule: OpenLoopRecord | ClosedLoopRecord | None = None
    windows: list[WindowRecord]


class LimitRecord(_Strict):
    """A limit and where it stands."""

    maximum: float | None
    minimum: float | None
    margin: float | None
    equivalent_within: float | None = None
    claim: float | None = None
    floor: float
    why: str
    path: str
    line: int
    basis: str


class EstimateRecord(_Strict):
    """A figure and its interval."""

    unit: str
    value: float
    low: float
    high: float
    confidence: float
    rounds: int
    generations: int
    requests: int


class ComparisonRecord(_Strict):
    """Two arms by one metric: figures in its unit, slowdown ratios (above 1 is worse), as of verdict.py's `Compared`.

    `smallest_failing_ratio` is None where no slowdown would have failed; `low` and `high` are None where the interval
    has no such end.
    """

    baseline: float
    candidate: float
    ratio: float
    low: float | None
    high: float | None
    confidence: float
    allowed_ratio: float
    smallest_failing_ratio: float | None
    log_standard_error: float
    family: int
    look: int
    looks: int
    rounds: int
    generations: int
    requests: int
    control_ratio: float | None
    is_improvement: bool
    claim: str = ""


class JudgementRecord(_Strict):
    """One verdict."""

    scenario: str
    metric: str
    verdict: Literal["PASS", "FAIL", "INVALID"]
    reason: str
    detail: str
    limit: LimitRecord
    estimate: EstimateRecord | None
    comparison: ComparisonRecord | None
    apparatus: str


class ServiceRecord(_Strict):
    """One process that was started, and what ran in it."""

    name: str
    facts: dict[str, Any]


class StackRecord(_Strict):
    """Which backend the run took, and why; `engine` are the facts of the Docker engine, with containers only."""

    backend: Literal["processes", "containers"]
    why: str
    engine: dict[str, Any] | None
    images: str
    prisma_engine: Literal["native", "wasm"]


class HostSpeedRecord(_Strict):
    """What a fixed piece of work took on this host before the first window."""

    median_ms: float
    p10_ms: float
    p90_ms: float
    pieces: int
    work_version: int


class LeaseRecord(_Strict):
    """When this run had the lease of the host; perfgate/lease.py. Every window lies within an exclusive one.

    The instants lie within the lease: it was taken just before `acquired`, given back just after `released` (None while
    it is held, or when the process was killed).
    """

    scenario: str | None
    what: str
    kind: Literal["exclusive", "shared"]
    waited_s: float
    acquired_mono_s: float
    acquired_utc: str
    released_mono_s: float | None = None
    released_utc: str | None = None

    def covers(self, window: WindowRecord) -> bool:
        """Whether nothing else of ours ran on the host from the window's opening to the end of its drain."""
        ended_mono_s = window.load.drained_mono_s
        return (
            self.kind == "exclusive"
            and self.acquired_mono_s <= window.load.window_opened_mono_s
            and (self.released_mono_s is None or ended_mono_s <= self.released_mono_s)
        )


class Record(_Strict):
    """A whole run.

    `limits` are the metrics that each declared scenario has limits on, `incomplete` what of them has no verdict yet.
    """

    schema_version: Literal[4] = 4
    perfgate_version: str
    started_utc: str
    finished_utc: str | None = None
    command: list[str]
    seed: int
    profile: str
    scenarios: list[str]
    limits: dict[str, list[str]]
    gateway: str
    baseline: str | None
    on_invalid: Literal["warn", "fail"]
    thresholds_path: str
    thresholds_sha256: str
    host: dict[str, Any]
    host_class: str | None
    host_speed: HostSpeedRecord | None = None
    stack: StackRecord
    affinity: dict[str, Any]
    leases: list[LeaseRecord] = Field(default_factory=list)
    services: list[ServiceRecord] = Field(default_factory=list)
    measurements: list[MeasurementRecord] = Field(default_factory=list)
    judgements: list[JudgementRecord] = Field(default_factory=list)
    incomplete: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    exit_code: Annotated[int | None, Field(ge=0)] = None

    @property
    def has_begun(self) -> bool:
        """Whether anything was measured or judged, or was about to be."""
        return bool(self.leases or self.measurements or self.judgements)

    @property
    def unleased_windows(self) -> list[WindowRecord]:
        """Windows that something else of ours may have disturbed: none, or the harness has a bug."""
        return [
            window
            for measurement in self.measurements
            for window in measurement.windows
            if not any(lease.covers(window) for lease in self.leases)
        ]

    def without_verdict(self) -> list[str]:
        """What was declared but is not judged yet, one sentence each."""
        sentences = []
        for scenario, metrics in self.limits.items():
            judged = {judgement.metric for judgement in self.judgements if judgement.scenario == scenario}
            missing = [metric for metric in metrics if metric not in judged]
            if len(missing) == len(metrics):
                sentences.append(f"{scenario} did not run")
            elif missing:
                sentences.append(f"{scenario} has no verdict on {', '.join(missing)}")
        return sentences


class RecordFile:
    """Writes a record again and again, each time whole or not at all.

    Args:
        path: the file; its folder is made.

    Raises:
        BadInput: the folder cannot be made or written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            raise BadInput(
                f"--record-dir {path.parent}: no record can be written there ({error.strerror}); name another folder"
            ) from error

    def write(self, record: Record) -> None:
        """Replace the file's content by this record.

        Raises:
            StackFailed: the file system refused; the file still holds what was written before.
        """
        try:
            write_atomically(self.path, record.model_dump_json(indent=1))
        except OSError as error:
            kept = f"what was measured before is in {self.path}" if self.path.exists() else "nothing was written yet"
            raise StackFailed(
                f"the record cannot be written to {self.path.parent}: {error.strerror}; {kept}; "
                "make room, or name another folder with --record-dir, and run again"
            ) from error


def read(path: Path) -> Record:
    """Read a record and hold it against the schema.

    Raises:
        BadInput: no such file, not JSON, or not a record of this schema; says which field is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc'])) or 'the file'}: {item['msg']}" for item in error.errors()[:5]]
        raise BadInput(f"{path} is not a record of schema {SCHEMA_VERSION}: " + "; ".join(problems)) from error


def json_schema() -> str:
    """The schema as JSON Schema text."""
    return json.dumps(Record.model_json_schema(), indent=1)
