"""How does the page look beside what was measured? Records in, Markdown out.

Comes in: what came of every table that was run (`Reproduced`), and nothing else. Goes out: the text of
docs/reproduction.md; the caller writes it.
"""

from collections.abc import Sequence
from typing import Final

from perfgate.reproduce.published import SETTINGS, FigureName
from perfgate.reproduce.reproduced import Ratio, Reproduced, Row

#: How far the law may be off. The page's own figures keep to it within 1 % by the median with four instances; a window
#: that begins and ends in the middle of some users' turns is off by 1 to 2 %.
LAW_TOLERANCE: Final = 0.03
NAMES: Final[dict[FigureName, str]] = {
    "median_ms": "median, ms",
    "p95_ms": "p95, ms",
    "p99_ms": "p99, ms",
    "mean_ms": "mean, ms",
    "throughput_rps": "requests/s",
}
NOT_FIT: Final = "generator, mock and host were not fit, so these figures say nothing of the gateway"
AGGREGATED: Final = "\"Aggregated\" is the page's: requests and the header in one heap. It is no latency of anybody's."
_HEAD: Final = """\
# LiteLLM's published benchmarks, run here

Written by `perfgate reproduce` from its records; do not edit. On the left what the page
(https://docs.litellm.ai/docs/benchmarks) says, on the right what was measured. Intervals are of 95 %, by resampling the
rounds of one start of each gateway: they do not hold what differs from one start to the next. Ratios compare; absolute
figures compare only where nothing in "Settings that differ" matters.
"""


def document(tables: Sequence[Reproduced]) -> str:
    """The whole page.

    Args:
        tables: in the order in which they are to stand; at least one.
    """
    if not tables:
        raise ValueError("a document needs at least one table that was run")
    parts = [_HEAD, *_law(tables)]
    for table in tables:
        parts.append("\n".join(_table(table)))
    return "\n".join(parts).rstrip() + "\n"


def law_words(tables: Sequence[Reproduced]) -> str:
    """Whether users / (think time + latency) was confirmed, in words; runs whose apparatus was not fit say nothing."""
    laws = [law for table in tables if not table.complaints for law in table.law]
    if not laws:
        return "neither confirmed nor refuted: generator, mock and host were not fit in any run with users who think"
    worst = max(laws, key=lambda law: abs(law.error_ratio))
    holds = abs(worst.error_ratio) <= LAW_TOLERANCE
    return (
        f"{'confirmed' if holds else 'refuted'}: what was sent is off by {worst.error_ratio * 100:+.1f} % at most, "
        f"{LAW_TOLERANCE:.0%} are allowed"
    )


def _law(tables: Sequence[Reproduced]) -> list[str]:
    laws = [(table.title, law) for table in tables if not table.complaints for law in table.law]
    if not any(table.law for table in tables):
        return []
    lines = [
        "## The think time sets the throughput",
        "",
        "Users who think for Z and are answered within R send users / (Z + R) requests a second; with the page's 1,000",
        f"users who think 0.75 s, 1000 / (0.75 + latency). {law_words(tables).capitalize()}.",
        "",
        "| table | arm | users | think time, s | mean, ms | by the law | measured | off | by the median |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for title, law in laws:
        lines.append(
            f"| {title} | {law.arm} | {law.users:,} | {law.think_time_s:g} | {_number(law.mean_ms)} | "
            f"{law.predicted_rps:.1f} | {law.measured_rps:.1f} | {law.error_ratio * 100:+.1f} % | "
            f"{law.predicted_by_median_rps:.1f} |"
        )
    return [*lines, ""]


def _table(table: Reproduced) -> list[str]:
    host = table.host
    memory_gib = host.get("memory_bytes", 0) / 2**30
    command = f"perfgate reproduce --table {table.table} --scale {table.scale} --seed {table.seed}"
    where = (
        f"{host.get('cores_allowed')} cores {host.get('cpu_model')}, {memory_gib:.0f} GiB, Linux {host.get('kernel')}"
    )
    run = f"{table.gateway}, {where}, backend {table.backend}, perfgate {table.perfgate_version}"
    lines = [f"## {table.title}", "", f"`{command}`, {table.started_utc}: {run}.", ""]
    if table.complaints:
        lines += [f"**INVALID: {NOT_FIT}:** {'; '.join(table.complaints)}.", ""]
    else:
        lines += [f"Apparatus: {table.apparatus}.", ""]
    failed = ", ".join(f"{count:,} of {arm}" for arm, count in table.failed.items() if count)
    lines += [f"Requests that failed: {failed or 'none'}.", ""]
    lines += ["| arm | of | figure | published | measured | measured / published |", "|---|---|---|---|---|---|"]
    # By the law, users at the same latency send in proportion to their number.
    users_ratio = table.law[0].users / SETTINGS.users if table.law else 1.0
    lines += [_row(row, users_ratio) for row in table.rows]
    if any(row.times == "aggregated" for row in table.rows):
        lines += ["", AGGREGATED]
    lines += ["", f"{table.ratios[0].arm} divided by {table.ratios[0].than}:", ""] if table.ratios else []
    if table.ratios:
        lines += ["| figure | published | measured |", "|---|---|---|", *(_ratio(ratio) for ratio in table.ratios)]
    lines += ["", *(f"- {_sentence(caveat)}" for caveat in (*table.caveats, *table.notes))]
    lines += ["", "Settings that differ from the page:", "", "| setting | page | here |", "|---|---|---|"]
    lines += [f"| {one.setting} | {one.page} | {one.here} |" for one in table.differences]
    return [*lines, ""]


def _row(row: Row, users_ratio: float) -> str:
    published = f"{row.published:,.6g}" if row.published is not None else "not published"
    share = f"{row.measured / row.published:.2f}" if row.published else ""
    if row.published and row.figure == "throughput_rps" and users_ratio != 1:
        share += f"; for each user {row.measured / row.published / users_ratio:.2f}"
    return (
        f"| {row.arm} | {row.times} | {NAMES[row.figure]} | {published} | "
        f"{_measured(row.measured, row.low, row.high)} | {share} |"
    )


def _ratio(ratio: Ratio) -> str:
    published = f"{ratio.published:.2f}" if ratio.published is not None else "not published"
    interval = f" ({ratio.low:.2f} to {ratio.high:.2f})" if ratio.low is not None and ratio.high is not None else ""
    return f"| {NAMES[ratio.figure]} | {published} | {ratio.measured:.2f}{interval} |"


def _measured(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return _number(value)
    return f"{_number(value)} ({_number(low)} to {_number(high)})"


def _number(value: float) -> str:
    """Three significant digits, and all before the point."""
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
