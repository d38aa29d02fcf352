"""How does the page look beside what was measured? Records in, Markdown out.

Comes in: what came of every table that was run (`Reproduced`), why others were not (`Unmeasured`), and nothing else.
Goes out: the text of docs/reproduction.md; the caller writes it.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from perfgate.reproduce.published import SETTINGS, FigureName
from perfgate.reproduce.reproduced import Ratio, Reproduced, Row, Unmeasured
from perfgate.reproduce.think_time_law import TitledLaw, law_words, off

NAMES: Final[dict[FigureName, str]] = {
    "median_ms": "median, ms",
    "p95_ms": "p95, ms",
    "p99_ms": "p99, ms",
    "mean_ms": "mean, ms",
    "throughput_rps": "requests/s",
    "requests": "requests",
    "failed_requests": "failed requests",
    "overhead_p50_ms": "more than without a gateway, p50, ms",
    "overhead_p95_ms": "more than without a gateway, p95, ms",
    "first_delta_p50_ms": "first delta, p50, ms",
    "first_delta_p95_ms": "first delta, p95, ms",
    "opening_p50_ms": "opening a session, p50, ms",
    "opening_p95_ms": "opening a session, p95, ms",
    "opening_overhead_p50_ms": "opening, more than without a gateway, p50, ms",
    "opening_overhead_p95_ms": "opening, more than without a gateway, p95, ms",
    "held_sessions": "sessions held at any time",
    "cpu_per_request_ms": "CPU a request, ms",
    "cores_used": "cores used",
    "rss_mib": "memory, MiB",
}
NOT_FIT: Final = "generator, mock and host were not fit, so these figures say nothing of the gateway"
AGGREGATED: Final = "\"Aggregated\" is the page's: requests and the header in one heap. It is no latency of anybody's."
FEWER_WINDOWS: Final = (
    "Times that are of fewer windows than there were say so; they have no interval, and are in no ratio and no law."
)
_HEAD: Final = """\
# LiteLLM's published benchmarks, run here

Written by `perfgate reproduce` from its records; do not edit. On the left what the page
(https://docs.litellm.ai/docs/benchmarks) says, on the right what was measured. Intervals are of 95 %, by resampling the
rounds of one start of each gateway: they do not hold what differs from one start to the next. Ratios compare; absolute
figures compare only where nothing in "Settings that differ" matters.
"""


def document(tables: Sequence[Reproduced | Unmeasured]) -> str:
    """The whole page.

    Args:
        tables: in the order in which they are to stand; at least one.
    """
    if not tables:
        raise ValueError("a document needs at least one table")
    run = [table for table in tables if isinstance(table, Reproduced)]
    parts = [_HEAD, *_law(run), *_law_of_the_page(tables)]
    for table in tables:
        parts.append("\n".join(_table(table) if isinstance(table, Reproduced) else _unmeasured(table)))
    return "\n".join(parts).rstrip() + "\n"


def laws_found(tables: Sequence[Reproduced]) -> list[TitledLaw]:
    """Every run of users who think whose apparatus was fit; others say nothing of the law."""
    return [TitledLaw(table.title, law) for table in tables if not table.complaints for law in table.law]


def _law(tables: Sequence[Reproduced]) -> list[str]:
    laws = laws_found(tables)
    if not any(table.law for table in tables):
        return []
    lines = [
        "## The think time sets the throughput",
        "",
        "Users who think for Z and are answered within R send users / (Z + R) requests a second; with the page's 1,000",
        f"users who think 0.75 s, 1000 / (0.75 + latency). {_sentence(law_words(laws))}",
        "Where it holds, requests/s of users who think say nothing of a gateway that its latency does not.",
        "",
    ]
    if not laws:
        return lines
    lines += [
        "| table | arm | users | think time, s | mean, ms | by the law | measured | off | by the median |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for found in laws:
        law = found.law
        lines.append(
            f"| {found.title} | {law.arm} | {law.users:,} | {law.think_time_s:.3g} | {_number(law.mean_ms)} | "
            f"{law.predicted_rps:.1f} | {law.measured_rps:.1f} | {off(law)} | {law.predicted_by_median_rps:.1f} |"
        )
    return [*lines, ""]


def _law_of_the_page(tables: Sequence[Reproduced | Unmeasured]) -> list[str]:
    """The page's own rows by the law."""
    lines = []
    for table in tables:
        figures: dict[str, dict[FigureName, float]] = {}
        for row in table.rows:
            if row.times == "requests" and row.published is not None:
                figures.setdefault(row.arm, {})[row.figure] = row.published
        for arm, of_arm in figures.items():
            rps = of_arm.get("throughput_rps")
            if rps is not None:
                by = [_page_prediction(of_arm.get(figure), rps) for figure in ("mean_ms", "median_ms")]
                lines.append(f"| {table.title} | {arm} | {rps:,.6g} | {' | '.join(by)} |")
    if not lines:
        return []
    return [
        "The page's own figures by the same law, for its 1,000 users:",
        "",
        "| table | arm | published, requests/s | by its mean | by its median |",
        "|---|---|---|---|---|",
        *lines,
        "",
    ]


def _page_prediction(latency_ms: float | None, rps: float) -> str:
    if latency_ms is None:
        return "not published"
    predicted_rps = SETTINGS.users / (SETTINGS.mean_think_time_s + latency_ms / 1000)
    return f"{predicted_rps:,.0f} (off by {(rps / predicted_rps - 1) * 100:+.1f} %)"


def _table(table: Reproduced) -> list[str]:
    host = table.host
    memory_gib = host.get("memory_bytes", 0) / 2**30
    command = table.command or f"perfgate reproduce --table {table.table} --scale {table.scale} --seed {table.seed}"
    where = (
        f"{host.get('cores_allowed')} cores {host.get('cpu_model')}, {memory_gib:.0f} GiB, Linux {host.get('kernel')}"
    )
    run = f"{table.gateway}, {where}, backend {table.backend}, perfgate {table.perfgate_version}"
    lines = [
        f"## {table.title}",
        "",
        f"`{command}`, {table.started_utc}, {table.took_s / 60:.1f} minutes: {run}.",
        "",
    ]
    if table.complaints:
        lines += [f"**INVALID: {NOT_FIT}:** {'; '.join(table.complaints)}.", ""]
    else:
        lines += [f"Apparatus: {table.apparatus}.", ""]
    failed = ", ".join(f"{count:,} of {arm}" for arm, count in table.failed.items() if count)
    lines += [f"Requests that failed: {failed or 'none'}.", ""]
    if table.unanswered:
        lines += [*(f"**{_sentence(one.words)}**" for one in table.unanswered), FEWER_WINDOWS, ""]
    lines += _rows(table.rows, _offered_ratio(table))
    if any(row.times == "aggregated" for row in table.rows):
        lines += ["", AGGREGATED]
    for (arm, than), ratios in groupby(table.ratios, key=lambda ratio: (ratio.arm, ratio.than)):
        lines += ["", f"{arm} divided by {than}:", "", "| figure | published | measured |", "|---|---|---|"]
        lines += [_ratio(ratio) for ratio in ratios]
    lines += ["", *(f"- {_sentence(caveat)}" for caveat in (*table.caveats, *table.notes))]
    lines += ["", "Settings that differ from the page:", "", "| setting | page | here |", "|---|---|---|"]
    lines += [f"| {one.setting} | {one.page} | {one.here} |" for one in table.differences]
    return [*lines, ""]


def _unmeasured(table: Unmeasured) -> list[str]:
    lines = [f"## {table.title}", "", f"Not measured: {_sentence(_in_one_line(table.why))}", ""]
    return [*lines, *_rows(table.rows, 1.0), ""] if table.rows else lines


def _rows(rows: Sequence[Row], offered_ratio: float) -> list[str]:
    lines = ["| arm | of | figure | published | measured | measured / published |", "|---|---|---|---|---|---|"]
    return [*lines, *(_row(row, offered_ratio) for row in rows)]


def _offered_ratio(table: Reproduced) -> float:
    """What was asked of the gateways beside what the page asked: users, by the time that they think."""
    if not table.law:
        return 1.0
    law = table.law[0]
    return (law.users / law.think_time_s) / (SETTINGS.users / SETTINGS.mean_think_time_s)


def _row(row: Row, offered_ratio: float) -> str:
    published = f"{row.published:,.6g}" if row.published is not None else "not published"
    return (
        f"| {row.arm} | {row.times} | {NAMES[row.figure]} | {published} | {_measured(row)} | "
        f"{_share(row, offered_ratio)} |"
    )


def _share(row: Row, offered_ratio: float) -> str:
    # How many requests there were is a matter of how long it went on.
    if not row.published or row.measured is None or row.figure == "requests":
        return ""
    share = f"{row.measured / row.published:.2f}"
    if row.figure == "throughput_rps" and offered_ratio != 1:
        share += f"; for the load that was offered {row.measured / row.published / offered_ratio:.2f}"
    return share


def _ratio(ratio: Ratio) -> str:
    published = f"{ratio.published:.2f}" if ratio.published is not None else "not published"
    interval = f" ({ratio.low:.2f} to {ratio.high:.2f})" if ratio.low is not None and ratio.high is not None else ""
    return f"| {NAMES[ratio.figure]} | {published} | {ratio.measured:.2f}{interval} |"


def _measured(row: Row) -> str:
    if row.measured is None:
        return f"not measured: {_in_one_line(row.note)}" if row.note else "not measured"
    text = _number(row.measured)
    if row.low is not None and row.high is not None:
        text += f" ({_number(row.low)} to {_number(row.high)})"
    return f"{text}; {_in_one_line(row.note)}" if row.note else text


def _number(value: float) -> str:
    """Three significant digits, and all before the point."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _in_one_line(text: str) -> str:
    """As it can stand in a cell: errors have several lines, and may hold what ends a cell."""
    return " ".join(text.split()).replace("|", "\\|")
