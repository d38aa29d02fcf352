"""How do jobs and results travel between the generator process and its caller?

Comes in and goes out: `LoadJob` and `LoadResult` on one side, one line of JSON each on the other. Between a job and its
result the generator writes one line for every instant that passes.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from perfgate.load.api import Api
from perfgate.load.job import LoadJob, Target
from perfgate.load.result import ErrorCount, FailedReply, LoadResult, WorkerUse
from perfgate.load.schedule import ClosedLoop, OpenLoop
from perfgate.measure.histogram import Histogram

_HISTOGRAMS: Final = (
    "latency",
    "service_time",
    "dispatch_lag",
    "header_overhead",
    "first_token",
    "first_token_service",
    "chunk_gap",
    "session_opening",
)


class NotOnTheWire(ValueError):
    """A line that none of these functions wrote."""


@dataclass(frozen=True, slots=True)
class Passed:
    """An instant of the load passed: `window_opened`, `window_closed` or `drained`."""

    name: str
    mono_s: float


@dataclass(frozen=True, slots=True)
class CouldNotRun:
    """The job has no result; `reason` says why, in words for the user."""

    reason: str


def job_line(job: LoadJob) -> str:
    """A job as one line; it holds the API key."""
    return json.dumps(asdict(job)) + "\n"


def job_of_line(line: str | bytes) -> LoadJob:
    """The job that `job_line` wrote; raises NotOnTheWire."""
    try:
        data = json.loads(line)
        schedule = data["schedule"]
        return LoadJob(
            **data
            | {
                "targets": tuple(_target(target) for target in data["targets"]),
                "schedule": ClosedLoop(**schedule) if "users" in schedule else OpenLoop(**schedule),
                "cpus": tuple(data["cpus"]),
                "api": Api(data["api"]),
            }
        )
    except (ValueError, TypeError, KeyError) as error:
        # The line is not repeated: it may hold the key.
        raise NotOnTheWire(f"not a job: {type(error).__name__}") from None


def _target(data: dict[str, Any]) -> Target:
    """JSON has no tuples."""
    return Target(**data | {"headers": tuple((name, value) for name, value in data["headers"])})


def report_line(report: Passed | CouldNotRun | LoadResult) -> str:
    """What the generator has to say, as one line."""
    match report:
        case LoadResult():
            return json.dumps({"event": "result", "result": result_as_json(report)}) + "\n"
        case CouldNotRun():
            return json.dumps({"event": "could_not_run", "reason": report.reason}) + "\n"
        case Passed():
            return json.dumps({"event": report.name, "mono_s": report.mono_s}) + "\n"


def report_of_line(line: str | bytes) -> Passed | CouldNotRun | LoadResult:
    """What `report_line` wrote; raises NotOnTheWire."""
    try:
        data = json.loads(line)
        match data["event"]:
            case "result":
                return result_of_json(data["result"])
            case "could_not_run":
                return CouldNotRun(str(data["reason"]))
            case "window_opened" | "window_closed" | "drained" as name:
                return Passed(name, float(data["mono_s"]))
    except (ValueError, TypeError, KeyError):
        pass
    raise NotOnTheWire(f"not a report of the generator: {line[:200]!r}")


def result_as_json(result: LoadResult) -> dict[str, Any]:
    """A result as plain JSON values, histograms in HdrHistogram's own encoding."""
    plain = {field.name: getattr(result, field.name) for field in fields(result)}
    return plain | {
        "errors": [asdict(error) for error in result.errors],
        "statuses": [list(pair) for pair in result.statuses],
        "sent_by_target": list(result.sent_by_target),
        "workers": [asdict(worker) for worker in result.workers],
        "failed_replies": [asdict(reply) for reply in result.failed_replies],
        **{name: plain[name].encoded() for name in _HISTOGRAMS},
    }


def result_of_json(data: dict[str, Any]) -> LoadResult:
    """The result that `result_as_json` wrote; raises ValueError, TypeError or KeyError for anything else."""
    return LoadResult(
        **data
        | {
            "errors": tuple(ErrorCount(**error) for error in data["errors"]),
            "statuses": tuple((int(status), int(count)) for status, count in data["statuses"]),
            "sent_by_target": tuple(int(sent) for sent in data["sent_by_target"]),
            "workers": tuple(WorkerUse(**worker) for worker in data["workers"]),
            "failed_replies": tuple(FailedReply(**reply) for reply in data.get("failed_replies", ())),
            **{name: Histogram.decoded(data[name]) for name in _HISTOGRAMS},
        }
    )
