"""What did one run, or several beside each other, find: one page that needs nothing else?

Comes in: runs: their records, and the bytes that these were read from. Goes out: HTML text. No I/O but for templates
that lie in this package.

Everything of a record is escaped by the template; a policy in the page lets no script run but ours, and nothing be
fetched. The bytes of each record are in the page, packed, so that the page is also the raw data.
"""

import base64
import gzip
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perfgate.record import MeasurementRecord, Record
from perfgate.report.figures import Drawing, latency_drawing, load_drawing, rounds_drawing, use_drawing
from perfgate.report.outcome import Summing, summed_up
from perfgate.report.page_template import page_environment, script_of
from perfgate.report.plain_text import plain
from perfgate.report.provenance import Version, host_facts, reproduce, said_of_apparatus, versions
from perfgate.report.rows import Row, row_of, worst
from perfgate.report.series import latency_pictures, load_picture, load_words, rounds_picture, use_picture
from perfgate.report.side_by_side import pairings, warnings
from perfgate.report.terminal import drifts, waivers
from perfgate.verdict import Verdict


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """A run as it was read.

    Args:
        file: the name of the record's file, without its folder.
        content: of that file.
        record: that it holds.
    """

    file: str
    content: bytes
    record: Record


@dataclass(frozen=True, slots=True)
class _Run:
    """What the page says of a run as a whole."""

    number: int
    record: Record
    judged: str
    when: str
    summing: Summing
    rows: Sequence[Row]
    worst_first: Sequence[Row]
    explained: Sequence[Row]
    waivers: Sequence[str]
    drifts: Sequence[str]
    host: Mapping[str, str]
    versions: Sequence[Version]
    reproduce: str
    file: str
    size: str
    sha256: str
    packed: str


@dataclass(frozen=True, slots=True)
class _Error:
    """Requests of an arm that failed in one way."""

    arm: str
    kind: str
    count: int
    sent: int
    example: str


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the page says of one scenario of one run."""

    number: int
    load: str
    apparatus: str
    drawings: Sequence[Drawing]
    errors: Sequence[_Error]


@dataclass(frozen=True, slots=True)
class _Scenario:
    """One scenario, in every run that measured it."""

    name: str
    of_runs: Sequence[_Shown]


def page(runs: Sequence[ReportedRun]) -> str:
    """The page.

    Args:
        runs: at least one; of several, the others are held against the first.

    Raises:
        NotDrawable: a record holds a histogram that is none.
    """
    environment = page_environment()
    script, script_sha256 = script_of(environment, "download.js")
    records = [run.record for run in runs]
    shown = [_run(run, number) for number, run in enumerate(runs, 1)]
    return environment.get_template("page.html.jinja").render(
        title=f"perfgate: {', '.join(f'{run.summing.outcome} {run.judged}' for run in shown)}",
        runs=shown,
        scenarios=_scenarios(records),
        pairings=pairings(records),
        warnings=warnings(records),
        script=script,
        script_sha256=script_sha256,
    )


def _run(run: ReportedRun, number: int) -> _Run:
    record = run.record
    rows = [row_of(judgement) for judgement in record.judgements]
    worst_first = worst(rows, len(rows))
    against = f" against {record.baseline}" if record.baseline is not None else ""
    until = f" to {record.finished_utc}" if record.finished_utc is not None else ""
    return _Run(
        number=number,
        record=record,
        judged=plain(f"{record.gateway}{against}"),
        when=plain(f"{record.started_utc}{until}"),
        summing=summed_up(record),
        rows=rows,
        worst_first=worst_first,
        explained=[row for row in worst_first if row.verdict is not Verdict.PASS],
        waivers=waivers(record.judgements),
        drifts=drifts(record.judgements),
        host=host_facts(record),
        versions=versions(record),
        reproduce=plain(reproduce(record), 10_000),
        file=plain(run.file),
        size=f"{len(run.content) / 1e6:.2f} MB",
        sha256=hashlib.sha256(run.content).hexdigest(),
        packed=base64.b64encode(gzip.compress(run.content, mtime=0)).decode(),
    )


def _scenarios(records: Sequence[Record]) -> list[_Scenario]:
    names = dict.fromkeys(measurement.scenario for record in records for measurement in record.measurements)
    found = []
    for place, name in enumerate(names, 1):
        of_runs = [
            _shown(record, measurement, number, f"s{place}r{number}")
            for number, record in enumerate(records, 1)
            for measurement in record.measurements
            if measurement.scenario == name
        ]
        found.append(_Scenario(name, of_runs))
    return found


def _shown(record: Record, measurement: MeasurementRecord, number: int, prefix: str) -> _Shown:
    judgements = [judged for judged in record.judgements if judged.scenario == measurement.scenario]
    drawings = [
        latency_drawing(picture, f"{prefix}-latency-{place}")
        for place, picture in enumerate(latency_pictures(measurement, judgements), 1)
    ]
    if (rounds := rounds_picture(measurement, judgements)) is not None and rounds.of_generations:
        drawings.append(rounds_drawing(rounds, f"{prefix}-rounds"))
    if (loads := load_picture(measurement)) is not None:
        drawings.append(load_drawing(loads, f"{prefix}-loads"))
    if (use := use_picture(measurement)) is not None:
        drawings.append(use_drawing(use, f"{prefix}-use"))
    apparatus = said_of_apparatus(record).get(measurement.scenario, "")
    return _Shown(number, _measured(measurement), apparatus, drawings, _errors(measurement))


def _measured(measurement: MeasurementRecord) -> str:
    """How much was measured under which load, and why no more."""
    load = load_words(measurement.schedule) if measurement.schedule is not None else "one request at a time"
    rounds = {(window.generation, window.round) for window in measurement.windows}
    generations = len({generation for generation, _ in rounds})
    stopped = f"; {measurement.stopped}" if measurement.stopped else ""
    counted = f"{len(rounds):,} rounds in {generations} generations, {len(measurement.windows):,} windows"
    return f"{load}; {counted}{stopped}"


def _errors(measurement: MeasurementRecord) -> list[_Error]:
    found = []
    for arm in measurement.arms:
        windows = [window for window in measurement.windows if window.arm == arm.name]
        counts: Counter[str] = Counter()
        examples: dict[str, str] = {}
        for window in windows:
            for error in window.load.errors:
                counts[error.kind] += error.count
                examples.setdefault(error.kind, error.example)
        sent = sum(window.load.sent for window in windows)
        found += [_Error(arm.name, kind, count, sent, examples[kind]) for kind, count in counts.most_common()]
    return found
