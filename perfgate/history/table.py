"""What did a series come to, in tables for people?

Comes in: lines, and what was left out. Goes out: Markdown. No I/O.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from perfgate.experiment.comparison import CPU, RSS
from perfgate.history.lines import CONFIDENCE, Line, Point
from perfgate.history.metrics import HEADER, OVERHEAD, START
from perfgate.history.result import Conditions
from perfgate.history.steps import marked
from perfgate.stats.comparison import Slowdown
from perfgate.stats.steps import ALPHA
from perfgate.verdict import figure, percent_words

#: Columns of the table; the file of results has more.
COLUMNS: Final = (CPU, OVERHEAD, "overhead_p95_ms", "overhead_p99_ms", "throughput_rps", RSS, START, HEADER)
#: Of why a version was left out, so much is shown.
SHOWN_REASON_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Report:
    """A series, for people.

    Args:
        command: that makes it.
        conditions: of all results.
        order: names of the versions that were asked for.
        lines: by metric.
        left_out: why a version has no figures, by name.
        notes: in what a version differs from the anchor beside its packages, by name.
    """

    command: str
    conditions: Conditions
    order: tuple[str, ...]
    lines: tuple[Line, ...]
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[tuple[str, str], ...] = ()


def tables(report: Report) -> str:
    """All of it."""
    parts = [_heading(report), _versions(report), _steps(report), _notes(report), _left_out(report)]
    return "\n".join(part for part in parts if part).rstrip("\n") + "\n"


def _heading(report: Report) -> str:
    return f"""\
# Versions beside {report.conditions.anchor}

Made by

    {report.command}

{made_words(report)}
"""


def made_words(report: Report) -> str:
    """How figures were made, and how they are shown."""
    host, anchor = report.conditions, report.conditions.anchor
    return f"""\
Each version was started several times, each time beside a fresh {anchor}, and both were asked in turn: scenario
{host.scenario} of thresholds.yaml, dependencies {host.deps}, Python {host.python_version}, {host.cores} cores
{host.cpu_model or "of an unknown model"}. In a cell stands the ratio of the two (above 0 % is worse, whatever the
metric) with its {share_words(CONFIDENCE)} interval, t over the starts; in front of it the same as a figure: the ratio
times what {anchor} took on average over the whole series."""


def _versions(report: Report) -> str:
    head, body = version_rows(report)
    return table(head, body) + "\n" if body else "Nothing is measured.\n"


def version_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Columns, and a row for each version that has any figure."""
    shown = _shown(report)
    head = ["version", "starts", *(line.title for line in shown)]
    body = []
    for name in report.order:
        points = [line.of(name) for line in shown]
        starts = max((point.generations for point in points if point is not None), default=0)
        if any(points):
            cells = [_cell(point, line) for point, line in zip(points, shown, strict=True)]
            body.append([name, str(starts) if starts else "", *cells])
    return head, body


def _shown(report: Report) -> list[Line]:
    return [line for metric in COLUMNS for line in report.lines if line.metric == metric]


def _cell(point: Point | None, line: Line) -> str:
    if point is None:
        return "not measured"
    value = figure(point.value, line.unit)
    return f"{value}, the anchor" if point.is_anchor else f"{value}, {change_words(point.slowdown)}"


def change_words(slowdown: Slowdown) -> str:
    """`+4.6 % (+2.1 to +7.2)`."""
    interval = slowdown.interval(CONFIDENCE)
    return f"{percent_words(slowdown.ratio)} ({ends(interval.low, interval.high)})"


def share_words(share: float) -> str:
    """`95 %`, `97.5 %`."""
    return f"{share * 100:.3g} %"


def ends(low: float, high: float) -> str:
    """Both ends of an interval of ratios: `+2.1 to +7.2`."""
    return f"{(low - 1) * 100:+.1f} to {(high - 1) * 100:+.1f}"


def _steps(report: Report) -> str:
    head, body = step_rows(report)
    found = table(head, body) if body else "None was found.\n"
    return f"## Steps\n\n{step_words(report)}\n\n{found}"


def step_words(report: Report) -> str:
    """What a step is, and how often one is false."""
    pairs = max((len(line.points) for line in _shown(report)), default=1) - 1
    return f"""\
A step is a change between two neighbours of the table, either way, through the anchor: the difference of two log
ratios, its variance the sum of theirs. For each metric the chance that any pair of neighbours (there are up to {pairs})
is called a step where nothing changed is at most {share_words(ALPHA)} (Holm), and p is adjusted for that. Each
interval is one of {share_words(CONFIDENCE)} for itself. Above 0 % is worse."""


def step_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Columns, and a row for each step."""
    body = [
        [
            line.title,
            f"{change.before} → {change.after}",
            percent_words(change.step.change.ratio),
            ends(change.step.change.low((1 - CONFIDENCE) / 2), change.step.change.high((1 - CONFIDENCE) / 2)),
            f"{change.step.p_adjusted:.2g}",
        ]
        for line in _shown(report)
        for change in marked(line)
    ]
    return ["metric", "versions", "change", "interval", "p"], body


def _notes(report: Report) -> str:
    if not report.notes:
        return ""
    found = table(["version", "difference"], [[name, note] for name, note in report.notes])
    return f"## What versions bring with them\n\n{note_words(report)}\n\n{found}"


def note_words(report: Report) -> str:
    """What a report's notes are."""
    return f"""\
Beside their packages, and without being asked; baseline is {report.conditions.anchor}. It is part of what a version
costs, and explains some of it."""


def _left_out(report: Report) -> str:
    if not report.left_out:
        return ""
    body = [[name, as_cell(shortened(reason))] for name, reason in report.left_out]
    return f"## Left out\n\n{table(['version', 'why'], body)}\n"


def shortened(reason: str) -> str:
    """The first line, which says what happened; logs follow it."""
    first = reason.strip().partition("\n")[0]
    return first if len(first) <= SHOWN_REASON_CHARS else first[:SHOWN_REASON_CHARS] + " …"


def as_cell(text: str) -> str:
    """A text that somebody else wrote, for a table: without what would end its cell.

    >>> print(as_cell("this | that"))
    this \\| that
    """
    return text.replace("|", "\\|")


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
