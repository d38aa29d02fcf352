"""What is printed at the end of a run: the table, the notes, one line that says it all.

Comes in: a finished `Run`. Goes out: text; the caller prints it.
"""

import io
from collections import Counter

from rich.console import Console
from rich.table import Table

from perfgate.exit_codes import ExitCode
from perfgate.experiment.measurement import Measurement, NotMeasured
from perfgate.experiment.metrics import METRICS
from perfgate.measure.histogram import NoRequests
from perfgate.run import Run
from perfgate.verdict import Judgement, Verdict, figure, limit_words, unit_of

#: Colours of the verdicts, where the terminal has colours.
STYLES = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.INVALID: "bold yellow"}
MEANINGS = {
    ExitCode.OK: "no limit failed",
    ExitCode.FAIL: "a limit or a test failed",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.INTERNAL: "an error inside pytest or perfgate",
    ExitCode.BAD_INPUT: "bad input",
    ExitCode.INVALID: "something could not be judged",
    ExitCode.INCOMPLETE: "incomplete",
    ExitCode.STACK_FAILED: "the stack failed",
}


def table(judgements: list[Judgement], width: int, *, colour: bool) -> str:
    """Every verdict as a row: scenario, metric, observed, interval, limit, verdict."""
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
        rows.add_row(
            judgement.scenario,
            METRICS[judgement.metric].title,
            observed,
            interval,
            limit_words(judgement.limit, unit),
            f"[{STYLES[judgement.verdict]}]{judgement.verdict}[/]",
        )
    text = io.StringIO()
    Console(file=text, width=max(width, 100), force_terminal=colour, highlight=False).print(rows)
    return text.getvalue().rstrip()


def cross_checks(measurements: dict[str, Measurement]) -> list[str]:
    """What LiteLLM's own overhead header says beside our figures; missing or contradicting it is said, not averaged."""
    lines = []
    for scenario, measurement in measurements.items():
        if not any(arm.name == "gateway" for arm in measurement.arms):
            continue
        loads = [window.load for window in measurement.of_arm("gateway")]
        succeeded, missing = sum(load.succeeded for load in loads), sum(load.header_missing for load in loads)
        if missing:
            lines.append(f"{scenario}: {missing:,} of {succeeded:,} replies lacked x-litellm-overhead-duration-ms")
        try:
            header = measurement.merged("gateway", lambda load: load.header_overhead)
            service = measurement.merged("gateway", lambda load: load.service_time)
            header_ms, service_ms = header.percentile_ms(50), service.percentile_ms(50)
        except (NoRequests, NotMeasured):
            continue
        line = (
            f"{scenario}: header overhead p50 {header_ms:.3g} ms, p95 {header.percentile_ms(95):.3g} ms, "
            f"of a service time with p50 {service_ms:.3g} ms (it leaves out the wait before the handler)"
        )
        if header_ms > service_ms:
            line += "; CONTRADICTION: the header claims more time than the client waited"
        lines.append(line)
    return lines


def closing_line(run: Run, code: ExitCode) -> str:
    """`perfgate: 9 PASS, 1 FAIL, 0 INVALID …`."""
    counts = Counter(judgement.verdict for judgement in run.judgements)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    return (
        f"perfgate: {said}; profile {run.settings.profile}, {run.settings.gateway}, seed {run.settings.seed}; "
        f"exit code {int(code)}: {MEANINGS[code]}"
    )
