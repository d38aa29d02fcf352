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
    ComparisonRecord,
    GatewayUseRecord,
    JudgementRecord,
    LimitRecord,
    LoadRecord,
    MeasurementRecord,
    Record,
)
from perfgate.thresholds import Limit
from perfgate.verdict import Verdict, figure, limit_words, percent_words, unit_of

#: Colours of the verdicts, where the terminal has colours.
STYLES: Final = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.INVALID: "bold yellow"}
MEANINGS: Final = {
    ExitCode.OK: "no limit failed",
    ExitCode.FAIL: "a limit or a test failed",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.INTERNAL: "an error inside pytest or perfgate",
    ExitCode.BAD_INPUT: "bad input",
    ExitCode.INVALID: "something could not be judged",
    ExitCode.INCOMPLETE: "incomplete",
    ExitCode.STACK_FAILED: "the stack failed",
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
    for judgement in judgements:
        estimate = judgement.estimate
        observed, interval, unit = "not read", "", unit_of(judgement.metric)
        if estimate is not None:
            observed = figure(estimate.value, unit)
            factor = 100 if unit == "" else 1
            interval = f"{estimate.low * factor:.3g} to {estimate.high * factor:.3g}"
            if METRICS[judgement.metric].is_counted:
                interval = "counted"
        compared, verdict = judgement.comparison, str(judgement.verdict)
        if compared is not None:
            observed = f"{compared.baseline:.3g} -> {figure(compared.candidate, unit)}"
            ends = ["none" if end is None else f"{(end - 1) * 100:+.1f}" for end in (compared.low, compared.high)]
            interval = f"{percent_words(compared.ratio)} ({' to '.join(ends)})"
            verdict += _said_of(judgement, compared)
        rows.add_row(
            judgement.scenario,
            METRICS[judgement.metric].title,
            observed,
            interval,
            limit_words(_limit(judgement.metric, judgement.limit), unit) + (" *" if judgement.limit.basis else ""),
            f"[{STYLES[Verdict(judgement.verdict)]}]{verdict}[/]",
        )
    text = io.StringIO()
    Console(file=text, width=max(width, 100), force_terminal=colour, highlight=False).print(rows)
    basis = dict.fromkeys(judgement.limit.basis for judgement in judgements if judgement.limit.basis)
    return "\n".join([text.getvalue().rstrip(), *(f"* {words}" for words in basis)])


def _said_of(judgement: JudgementRecord, compared: ComparisonRecord) -> str:
    """What follows the verdict of a comparison."""
    is_pass = judgement.verdict == Verdict.PASS
    if judgement.limit.equivalent_within is None:
        return ", improvement" if is_pass and compared.is_improvement else ""
    if is_pass:
        return ", equivalent"
    if judgement.verdict == Verdict.FAIL:
        return f", different by {percent_words(compared.ratio)}"
    seen = compared.smallest_failing_ratio
    return f", can't tell (could have seen {percent_words(seen)})" if seen is not None else ", can't tell"


def claims(judgements: Sequence[JudgementRecord]) -> list[str]:
    """What became of claims of equivalence that are not limits themselves."""
    return [
        f"{judgement.scenario}: {METRICS[judgement.metric].title}: {judgement.comparison.claim}"
        for judgement in judgements
        if judgement.comparison is not None and judgement.comparison.claim
    ]


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
        loads = [window.load for window in measurement.windows if window.arm == "gateway"]
        lines += [f"{measurement.scenario}: {sentence}" for sentence in _cross_checks(loads)]
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


def closing_line(record: Record, code: ExitCode) -> str:
    """`perfgate: 9 PASS, 1 FAIL, 0 INVALID …`."""
    counts = Counter(judgement.verdict for judgement in record.judgements)
    said = ", ".join(f"{counts[verdict.value]} {verdict}" for verdict in Verdict)
    gateway = f"{record.gateway} against {record.baseline}" if record.baseline is not None else record.gateway
    return (
        f"perfgate: {said}; profile {record.profile}, {gateway}, seed {record.seed}; "
        f"exit code {int(code)}: {MEANINGS[code]}"
    )


def _limit(metric: str, limit: LimitRecord) -> Limit:
    return Limit(
        metric,
        limit.why,
        limit.path,
        limit.line,
        limit.maximum,
        limit.minimum,
        margin=limit.margin,
        equivalent_within=limit.equivalent_within,
        claim=limit.claim,
        floor=limit.floor,
        basis=limit.basis,
    )
