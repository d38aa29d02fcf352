"""What is printed at the end of a run: the table, the cross-checks, one line that says it all.

Comes in: the `Record`, so that it is the same whichever process measured. Goes out: text; the caller prints it.
"""

import io
from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from perfgate.exit_codes import ExitCode
from perfgate.experiment.metrics import METRICS
from perfgate.measure.histogram import Histogram, NoRequests
from perfgate.record import (
    ClosedLoopRecord,
    GatewayUseRecord,
    JudgementRecord,
    LoadRecord,
    MeasurementRecord,
    Record,
)
from perfgate.report.rows import limit_of, row_of
from perfgate.verdict import Verdict, digits, limit_words, unit_of
from perfgate.waivers import WaiverStanding

#: Colours of the verdicts, where the terminal has colours.
STYLES: Final = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.INVALID: "bold yellow"}
WAIVED_STYLE: Final = "yellow"
MEANINGS: Final = {
    ExitCode.OK: "no limit failed",
    ExitCode.FAIL: "a limit or a test failed",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.INTERNAL: "an error inside pytest or perfgate",
    ExitCode.BAD_INPUT: "bad input",
    ExitCode.INVALID: "something could not be judged",
    ExitCode.INCOMPLETE: "incomplete",
    ExitCode.STACK_FAILED: "the stack failed",
    ExitCode.ALTERED: "something was altered",
}


def table(judgements: Sequence[JudgementRecord], width: int, *, colour: bool) -> str:
    """Every verdict as a row: scenario, metric, observed, interval, limit, verdict.

    Of a comparison: both figures, and the slowdown with its interval in percent, above 0 is worse.

    A limit that is not the file's own `max` or `min` has a star; what it is made of stands below the table.
    """
    rows = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("scenario", "metric"):
        rows.add_column(column)
    for column in ("observed", "interval", "limit"):
        rows.add_column(column, justify="right")
    rows.add_column("verdict")
    for row in map(row_of, judgements):
        rows.add_row(
            row.scenario,
            row.title,
            row.observed,
            row.interval,
            row.limit + (" *" if row.basis else ""),
            f"[{WAIVED_STYLE if row.is_waived else STYLES[row.verdict]}]{row.verdict}{row.said}[/]",
        )
    basis = dict.fromkeys(judgement.limit.basis for judgement in judgements if judgement.limit.basis)
    return "\n".join([_as_text(rows, width, colour=colour), *(f"* {words}" for words in basis)])


def _as_text(rows: Table, width: int, *, colour: bool = False) -> str:
    """A table as text."""
    text = io.StringIO()
    Console(file=text, width=max(width, 100), force_terminal=colour, highlight=False).print(rows)
    return text.getvalue().rstrip()


def claims(judgements: Sequence[JudgementRecord]) -> list[str]:
    """What became of claims of equivalence that are not limits themselves."""
    return [
        f"{judgement.scenario}: {_title(judgement.metric)}: {judgement.comparison.claim}"
        for judgement in judgements
        if judgement.comparison is not None and judgement.comparison.claim
    ]


def waivers(judgements: Sequence[JudgementRecord]) -> list[str]:
    """What was waived: the limit, how far, until when, why; and waivers that can be taken out."""
    lines = []
    for judgement in judgements:
        waiver, unit = judgement.waiver, unit_of(judgement.metric)
        if waiver is None:
            continue
        limit = limit_of(judgement.metric, judgement.limit)
        basis = f" ({waiver.basis})" if waiver.basis else ""
        ceiling = limit_words(limit.with_number(waiver.ceiling), unit)
        place = f"{waiver.path}:{waiver.line}"
        line = (
            f"{judgement.scenario}: {_title(judgement.metric)}: {limit_words(limit, unit)} is waived up to "
            f"{ceiling}{basis} until {waiver.expires} ({place}), {waiver.standing}"
        )
        if waiver.standing is WaiverStanding.NOT_NEEDED:
            line += ": the limit is kept without it, take it out"
        lines.append(f"{line}: {waiver.why} ({waiver.link})" if waiver.standing.is_used else line)
    return lines


def drifts(judgements: Sequence[JudgementRecord]) -> list[str]:
    """How far figures are from those of the committed record; those that are not judged are named by their reason."""
    lines: list[str] = []
    not_judged: dict[str, list[str]] = {}
    for judgement in judgements:
        what, drift = f"{judgement.scenario}: {_title(judgement.metric)}", judgement.drift
        if drift is not None and drift.outcome == "not judged":
            not_judged.setdefault(drift.words, []).append(what)
        elif drift is not None:
            lines.append(f"{what}: {drift.words}")
    return [*lines, *(f"not judged, {why}: {'; '.join(those)}" for why, those in not_judged.items())]


def _title(metric: str) -> str:
    """What a metric is called; of a record that was not written by perfgate, its own word."""
    return METRICS[metric].title if metric in METRICS else metric


def gateway_tables(measurements: Sequence[MeasurementRecord], width: int) -> list[str]:
    """For each measurement of gateways of several makers, the table that LiteLLM publishes, with CPU and memory."""
    return [_gateway_table(measurement, width) for measurement in measurements if measurement.gateways]


def _gateway_table(measurement: MeasurementRecord, width: int) -> str:
    title = f"{measurement.scenario}: {_load_words(measurement)}; latency and CPU per request in ms, memory in MiB"
    rows = Table(box=None, pad_edge=False, header_style="bold")
    rows.add_column("gateway")
    for column in ("requests", "failed", "median", "p95", "p99", "mean", "RPS", "CPU", "memory"):
        rows.add_column(column, justify="right")
    for row in measurement.gateways:
        times = [row.p50_ms, row.p95_ms, row.p99_ms, row.mean_ms]
        figures = [*times, row.throughput_rps, row.cpu_per_request_ms, row.rss_mib]
        cells = ["-" if each is None else digits(each) for each in figures]
        rows.add_row(row.words, f"{row.requests:,}", f"{row.failures:,}", *cells)
    return f"{title}\n{_as_text(rows, width)}"


def _load_words(measurement: MeasurementRecord) -> str:
    load = measurement.schedule
    if not isinstance(load, ClosedLoopRecord):
        return f"{load.offered_rps:g} requests/s" if load is not None else "one request at a time"
    return f"{load.users} users who think {load.think_time_s:g} s, windows of {load.window_s:g} s"


def shown(measurements: Sequence[MeasurementRecord]) -> list[str]:
    """Throughput of loads that no limit is on, beside what think time alone allows: why they can't fail.

    Users who think for T and are served within L send one request every T + L: where L is small, T sets the rate.
    """
    lines = []
    for measurement in measurements:
        load = measurement.shown_schedule
        if not isinstance(load, ClosedLoopRecord):
            continue
        rates = [
            f"{window.arm} {_rps(window.load):.1f} requests/s "
            f"(by the law {load.users / (load.think_time_s + _p50_s(window.load)):.1f})"
            for window in measurement.shown
        ]
        lines.append(
            f"{measurement.scenario}: {load.users} users who think {load.think_time_s:g} s: {', '.join(rates)}; "
            "users / (think time + latency) sets it, so it can't fail"
        )
    return lines


def _rps(load: LoadRecord) -> float:
    return load.succeeded / (load.drained_mono_s - load.window_opened_mono_s)


def _p50_s(load: LoadRecord) -> float:
    try:
        return Histogram.decoded(load.latency).percentile_ms(50) / 1000
    except NoRequests:
        return 0.0


def cross_checks(measurements: Sequence[MeasurementRecord]) -> list[str]:
    """What LiteLLM's own overhead header says beside our figures; missing or contradicting it is said, not averaged."""
    lines = []
    for measurement in measurements:
        of_endpoints = [arm.name for arm in measurement.arms if arm.gateway is not None and arm.name == arm.api]
        for name in ["gateway", *of_endpoints]:
            loads = [window.load for window in measurement.windows if window.arm == name]
            of_what = measurement.scenario if name == "gateway" else f"{measurement.scenario} ({name})"
            lines += [f"{of_what}: {sentence}" for sentence in _cross_checks(loads)]
        uses = [window.gateway for window in measurement.windows if window.gateway is not None]
        lines += [f"{measurement.scenario}: {sentence}" for sentence in _two_accounts(uses)]
    return lines


def _two_accounts(uses: Sequence[GatewayUseRecord]) -> list[str]:
    """CPU time by control groups beside that by process trees, where both were read."""
    both = [(use.cpu_s, use.cpu_tree_s) for use in uses if use.cpu_tree_s is not None]
    tree_s = sum(of_tree for _, of_tree in both)
    if not tree_s > 0:
        return []
    return [
        f"CPU by control groups is {sum(of_group for of_group, _ in both) / tree_s:.3f} times that by process trees"
    ]


def _cross_checks(loads: Sequence[LoadRecord]) -> list[str]:
    if not loads:
        return []
    lines = []
    succeeded, missing = sum(load.succeeded for load in loads), sum(load.header_missing for load in loads)
    if missing:
        lines.append(f"{missing:,} of {succeeded:,} replies lacked x-litellm-overhead-duration-ms")
    header = Histogram.merged([Histogram.decoded(load.header_overhead) for load in loads])
    service = Histogram.merged([Histogram.decoded(load.service_time) for load in loads])
    try:
        header_ms, service_ms = header.percentile_ms(50), service.percentile_ms(50)
    except NoRequests:
        return lines
    line = (
        f"header overhead p50 {header_ms:.3g} ms, p95 {header.percentile_ms(95):.3g} ms, "
        f"of a service time with p50 {service_ms:.3g} ms (it leaves out the wait before the handler)"
    )
    if header_ms > service_ms:
        line += "; CONTRADICTION: the header claims more time than the client waited"
    return [*lines, line]


def counted(judgements: Sequence[JudgementRecord]) -> str:
    """`9 PASS (2 of them waived), 1 FAIL, 0 INVALID`."""
    counts = Counter(judgement.verdict for judgement in judgements)
    waived = sum(judgement.is_waived for judgement in judgements)
    aside = {Verdict.PASS: f" ({waived} of them waived)"} if waived else {}
    return ", ".join(f"{counts[verdict.value]} {verdict}{aside.get(verdict, '')}" for verdict in Verdict)


def closing_line(record: Record, code: ExitCode) -> str:
    """`perfgate: 9 PASS, 1 FAIL, 0 INVALID; profile …`."""
    gateway = f"{record.gateway} against {record.baseline}" if record.baseline is not None else record.gateway
    return (
        f"perfgate: {counted(record.judgements)}; profile {record.profile}, {gateway}, seed {record.seed}; "
        f"exit code {int(code)}: {MEANINGS[code]}"
    )
