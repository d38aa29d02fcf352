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
from perfgate.waivers import WaiverStanding

#: 2: leases, declared limits and the gateway in words, streams, closed loops. 3: backends, databases, Redis, requests
#: that reached the mock. 4: comparisons. 5: what it takes to judge the windows again: thresholds.yaml as it was, the
#: load of direct windows, the versions of what computed the verdicts. Records of older versions are not read.
SCHEMA_VERSION: Final = 5


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorKindRecord(_Strict):
    """One kind of failed request."""

    kind: str
    count: int
    example: str


class WorkerUseRecord(_Strict):
    """One of several processes that sent a load; names as in load/result.py."""

    name: str
    sent: int
    cpu_s: float
    cpu_warning_percent: float | None


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
    session_opening: str = ""
    sessions_opened: int = 0
    sessions_lost: int = 0
    sessions_held_min: int = 0
    workers_expected: int = 0
    workers: list[WorkerUseRecord] = Field(default_factory=list)


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


class TrialRecord(_Strict):
    """What a window of a search tried; names as in experiment/measurement.py."""

    offered_rps: float
    outcome: Literal["held", "broken", "unfit"]


class ObjectiveRecord(_Strict):
    """What a rate had to keep to; names as in thresholds.yaml."""

    latency_p95_ms: float
    error_ratio: float
    completed_ratio: float


class CurvePointRecord(_Strict):
    """All windows of one arm at one rate; names as in experiment/capacity_figures.py."""

    arm: str
    offered_rps: float
    windows: int
    held: int
    answered_rps: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    error_ratio: float
    completed_ratio: float


class CapacityRecord(_Strict):
    """The highest rate that is held; names as in stats/rate_search.py; `high_rps` is None where there is no end."""

    rps: float
    low_rps: float
    high_rps: float | None
    confidence: float
    searches: int
    bound: Literal["found", "at least", "at most"]


class SearchRecord(_Strict):
    """A search for a capacity: of the gateway, of generator and mock without one, and the curve between."""

    objective: ObjectiveRecord
    gateway: CapacityRecord | None
    direct: CapacityRecord | None
    curve: list[CurvePointRecord]


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
    trial: TrialRecord | None = None


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
    think_time_max_s: float | None = None
    spawn_per_s: float | None = None


class GatewayRecord(_Strict):
    """A gateway as it was asked for; `words` is how it stands in a table, `source` what to type for --litellm."""

    words: str
    product: Literal["litellm", "portkey"] = "litellm"
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
    redis_fails: bool
    callback: str | None = None
    callback_fault: str | None = None
    cpus_per_instance: float | None
    memory_per_instance_bytes: int | None
    every_api: bool = False
    apart: str


class ArmRecord(_Strict):
    """One arm."""

    name: str
    gateway: GatewayRecord | None
    model: str
    same_prompt: bool
    api: str = "chat_completions"
    backend: Literal["processes", "containers"]


class FaultCycleRecord(_Strict):
    """When a dependency failed, and what was written; names as in experiment/measurement.py."""

    generation: int
    began_mono_s: float
    over_mono_s: float
    ended_mono_s: float
    ledger: LedgerUseRecord | None
    sink: SinkUseRecord | None


class GatewayRowRecord(_Strict):
    """A row of the published table; names as in experiment/gateway_figures.py, `words` is what served it."""

    arm: str
    words: str
    requests: int
    failures: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    mean_ms: float | None
    throughput_rps: float
    cpu_per_request_ms: float | None
    rss_mib: float | None


class MeasurementRecord(_Strict):
    """All windows of one scenario; `gateways` is there once gateways of several makers have been measured."""

    scenario: str
    arms: list[ArmRecord]
    schedule: OpenLoopRecord | ClosedLoopRecord | None
    direct_schedule: OpenLoopRecord | ClosedLoopRecord | None
    mock_delay_ms: float
    looks: int
    look: int
    rounds_planned_max: int
    stopped: str
    unasked: list[str]
    faults: list[FaultCycleRecord] = Field(default_factory=list)
    shown: list[WindowRecord] = Field(default_factory=list)
    shown_schedule: OpenLoopRecord | ClosedLoopRecord | None = None
    search: SearchRecord | None = None
    gateways: list[GatewayRowRecord] = Field(default_factory=list)
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


class WaiverRecord(_Strict):
    """A waiver of the limit that was judged, and what was found of it (perfgate/waivers.py).

    `ceiling` is what the limit's own number was replaced by, as it holds on this host; `basis` says so where it is not
    that of the file.
    """

    ceiling: float
    basis: str
    expires: str
    why: str
    link: str
    path: str
    line: int
    standing: WaiverStanding


class DriftRecord(_Strict):
    """A figure beside that of the committed record (perfgate/drift.py): slowdown ratios, above 1 is worse.

    `figure` is the record's, as this host would have it today. Of one that is not judged there are words alone; an
    interval that has no such end has None there.
    """

    outcome: Literal["kept", "exceeded", "undecided", "not judged"]
    words: str
    figure: float | None = None
    allowed_ratio: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None


class JudgementRecord(_Strict):
    """One verdict; a PASS that rests on a waiver is one whose `is_waived` is true."""

    scenario: str
    metric: str
    verdict: Literal["PASS", "FAIL", "INVALID"]
    reason: str
    detail: str
    limit: LimitRecord
    estimate: EstimateRecord | None
    comparison: ComparisonRecord | None
    apparatus: str
    waiver: WaiverRecord | None = None
    drift: DriftRecord | None = None

    @property
    def is_waived(self) -> bool:
        """Whether it is a PASS only by a waiver."""
        return self.verdict == "PASS" and self.waiver is not None and self.waiver.standing.is_used

    @property
    def verdict_words(self) -> str:
        """`PASS`, `PASS, waived`, `FAIL`, `INVALID`."""
        return f"{self.verdict}, waived" if self.is_waived else self.verdict


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
    `thresholds_text` is thresholds.yaml as it was, whose hash is `thresholds_sha256`; `computed_with` are the versions
    of what computed the verdicts (perfgate/versions.py). `baseline_why` says in words why the baseline is that one, and
    is empty without one. `drift_base` is the committed record that drift was counted from.
    """

    schema_version: Literal[5] = 5
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
    baseline_why: str = ""
    on_invalid: Literal["warn", "fail"]
    thresholds_path: str
    thresholds_sha256: str
    thresholds_text: str
    drift_base: "Record | None" = None
    computed_with: dict[str, str]
    host: dict[str, Any]
    host_class: str | None
    host_speed: HostSpeedRecord | None = None
    stack: StackRecord
    generator: str = "perfgate"
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
        BadInput: it cannot be read, or see `record_of`.
    """
    return record_of(content_of(path), str(path))


def content_of(path: Path) -> bytes:
    """The bytes of a record's file, whatever is in them.

    Raises:
        BadInput: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error


def record_of(content: bytes, name: str) -> Record:
    """The record that some bytes hold, held against the schema.

    Args:
        content: of its file.
        name: of the file, for the message.

    Raises:
        BadInput: cut short, not JSON, not a record, or one of another schema; says which, or which field is wrong.
    """
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        raise BadInput(f"{name} is not {_what_it_should_be(content, error)}") from error


def _what_it_should_be(content: bytes, error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    if problems[0]["type"] == "json_invalid":
        said = str(problems[0].get("ctx", {}).get("error", problems[0]["msg"]))
        if said.startswith("EOF"):
            return f"a whole record: it ends after {len(content):,} bytes, in the middle; take another copy of it"
        return f"a record of perfgate: it is not JSON: {said}"
    data = json.loads(content)
    if not isinstance(data, dict) or not {"schema_version", "perfgate_version"} <= data.keys():
        return "a record of perfgate: it is JSON of something else, without schema_version and perfgate_version"
    if data["schema_version"] != SCHEMA_VERSION:
        return (
            f"a record of schema {SCHEMA_VERSION}, which this perfgate reads, but of schema {data['schema_version']}: "
            f"take the perfgate that wrote it ({data['perfgate_version']})"
        )
    shown = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems[:5]]
    return f"a record of schema {SCHEMA_VERSION}: " + "; ".join(shown)


def json_schema() -> str:
    """The schema as JSON Schema text."""
    return json.dumps(Record.model_json_schema(), indent=1)
