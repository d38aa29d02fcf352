"""What came of a table that was run here: the schema of its record.

Comes in and goes out: frozen values, and JSON. `Reproduced` has all that a document says of a table, figures and words,
so that whoever writes one needs nothing else; and the measurement with its histograms, so that they can be checked.

    Reproduced --has--> Row (published and measured), Ratio (of two arms), Law, Difference (of settings), Unanswered
    Unmeasured --has--> Row (published alone), and why
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from perfgate.atomic_file import write_atomically
from perfgate.errors import BadInput, StackFailed
from perfgate.record import MeasurementRecord, ServiceRecord
from perfgate.reproduce.published import FigureName, Times


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one arm.

    Args:
        arm, times, figure: which.
        published: on the page; None where it has none.
        measured: here; None where it was not.
        low, high: the ends of its 95 % interval, by rounds; None where there is none.
        note: what has to be said of the cell: why it was not measured, or what it rests on; empty for nothing.
    """

    arm: str
    times: Times
    figure: FigureName
    published: float | None
    measured: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure of requests of one arm divided by that of another, where both were measured; arguments as of `Row`."""

    arm: str
    than: str
    figure: FigureName
    published: float | None
    measured: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Law:
    """What users who think can send, users / (think time + latency), beside what was sent.

    Args:
        arm: which.
        users, think_time_s: of the load; of think times that differ the mean.
        mean_ms, median_ms: latency.
        predicted_rps: by the mean, of which the law speaks.
        predicted_by_median_rps: by the median, as it is usually quoted.
        measured_rps: requests that succeeded, by the second of their windows.
        low_ratio, high_ratio: the ends of the 95 % interval of measured / predicted, by rounds.
    """

    arm: str
    users: int
    think_time_s: float
    mean_ms: float
    median_ms: float
    predicted_rps: float
    predicted_by_median_rps: float
    measured_rps: float
    low_ratio: float
    high_ratio: float

    @property
    def error_ratio(self) -> float:
        """By how much the law is off: measured / predicted - 1."""
        return self.measured_rps / self.predicted_rps - 1


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A gateway of which no request was answered in some windows.

    Args:
        arm: its.
        windows: in which none was.
        of: all of its windows.
        errors: of all of these, in words; empty where its users sent none, since they still waited for earlier replies.
    """

    arm: str
    windows: int
    of: int
    errors: str

    @property
    def words(self) -> str:
        """For people."""
        why = f"its errors: {self.errors}" if self.errors else "its users still waited for replies to earlier requests"
        return f"no request of {self.arm} was answered in {self.windows} of {self.of} windows; {why}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that is another one here than on the page."""

    setting: str
    page: str
    here: str


@dataclass(frozen=True, slots=True)
class Reproduced:
    """A table of the page, run here.

    Args:
        table, title: which.
        rows, ratios: published and measured.
        law: of every arm whose users think; empty where none does.
        differences: every setting that differs from the page.
        caveats: what this run cannot show, in words.
        failed: requests that did not succeed, by arm.
        unanswered: every arm of which no request was answered in some windows.
        complaints: why the apparatus was not fit; empty where it was.
        apparatus: it in words.
        settings: what it was run with, by name, in words: a run with the same need not be made again (resuming.py).
        took_s: from its first gateway's start.
        started_utc, perfgate_version, gateway, scale, seed, host, backend: of the run.
        services: what ran.
        notes: what a report of the run has to say.
        command: what is typed to run it again; empty in records that were written before it was kept.
        measurement: with every window; None where the load is not of that kind.
    """

    table: str
    title: str
    rows: tuple[Row, ...]
    ratios: tuple[Ratio, ...]
    law: tuple[Law, ...]
    differences: tuple[Difference, ...]
    caveats: tuple[str, ...]
    failed: dict[str, int]
    complaints: tuple[str, ...]
    apparatus: str
    settings: dict[str, str]
    took_s: float
    started_utc: str
    perfgate_version: str
    gateway: str
    scale: str
    seed: int
    host: dict[str, Any]
    backend: str
    services: tuple[ServiceRecord, ...] = ()
    notes: tuple[str, ...] = ()
    unanswered: tuple[Unanswered, ...] = ()
    command: str = ""
    measurement: MeasurementRecord | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A table of the page of which there is no run.

    Args:
        table, title: which.
        why: there is none.
        rows: what is published; nothing is measured.
    """

    table: str
    title: str
    why: str
    rows: tuple[Row, ...]


_ADAPTER: TypeAdapter[Reproduced] = TypeAdapter(Reproduced)


def path_of(folder: Path, table: str) -> Path:
    """Where the record of a table's last run is."""
    return folder / f"{table}.json"


def write(folder: Path, reproduced: Reproduced) -> Path:
    """Replace the record of a table.

    Raises:
        StackFailed: the file system refused; the record is as it was.
    """
    path = path_of(folder, reproduced.table)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _ADAPTER.dump_json(reproduced, indent=1))
    except OSError as error:
        raise StackFailed(
            f"{path} could not be written: {error.strerror}; make room, or name another folder with --record-dir"
        ) from error
    return path


def read(path: Path) -> Reproduced:
    """Read a record.

    Raises:
        BadInput: no such file, or not a record of this version.
    """
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BadInput(
            f"{path} is not a record of this version of perfgate: {where}: {first['msg']}; run the table again"
        ) from error
