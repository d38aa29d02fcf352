"""What does a person learn of a run in ten seconds, as GitHub shows Markdown?

Comes in: `Record`s, and how many bytes there is room for. Goes out: Markdown text. No I/O.

What a record holds was written by others, a gateway's error bodies among it: such text is shown as code, with every
mark of Markdown and HTML as a character reference, so that it can neither add markup nor a link, nor call anybody.
"""

import html
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from perfgate.record import Record
from perfgate.report.outcome import Outcome, Summing, summed_up
from perfgate.report.plain_text import plain
from perfgate.report.provenance import host_words, reproduce, said_of_apparatus, versions
from perfgate.report.rows import Row, row_of, worst
from perfgate.report.side_by_side import Pairing, pairings, warnings
from perfgate.report.terminal import drifts, waivers
from perfgate.settings import AS_ASKED
from perfgate.verdict import Verdict

#: What GitHub takes for the summary of one step; more, and it shows nothing at all.
STEP_SUMMARY_BYTES_MAX: Final = 1024 * 1024
WORST_SHOWN: Final = 3
VERSIONS_SHOWN: Final = 8
WAIVERS_SHOWN: Final = 10
#: Of one text, so that one body of an error does not push everything else out of sight.
CELL_CHARS_MAX: Final = 300
COMMAND_CHARS_MAX: Final = 2_000
#: Marks that mean nothing in Markdown wherever they stand in a line.
_HARMLESS: Final = frozenset(" ,.;%+/()-=?'")
_MARKS: Final = {ord(mark): f"&#{ord(mark)};" for mark in string.punctuation if mark not in _HARMLESS}
_AT: Final = f"&#{ord('@')};"
_WWW: Final = re.compile(r"(www)\.", re.IGNORECASE)
_HEADER: Final = ("verdict", "scenario", "metric", "observed", "interval", "limit", "fails from")


class NoRoom(ValueError):
    """Not even the shortest summary fits."""


def summary(records: Sequence[Record], bytes_max: int = STEP_SUMMARY_BYTES_MAX) -> str:
    """The summary of one run, or of several with a table of all beside each other.

    Args:
        records: at least one.
        bytes_max: of the text in UTF-8. What does not fit is left out from the end of the long tables, and it is said.

    Raises:
        NoRoom: not even the part that is read in ten seconds fits.
    """
    parts = [_compared(records)] if len(records) > 1 else []
    for number, record in enumerate(records, 1):
        parts += _parts_of(record, f" {number}" if len(records) > 1 else "")
    return _fitted(parts, bytes_max)


@dataclass(frozen=True, slots=True)
class _Part:
    """Lines of which some may be left out.

    Args:
        head: lines that open it.
        rows: lines of which the last ones may be left out.
        tail: lines that close it.
    """

    head: Sequence[str]
    rows: Sequence[str] = ()
    tail: Sequence[str] = ()

    def lines(self, rows: int) -> list[str]:
        """With so many of its rows."""
        left_out = len(self.rows) - rows
        said = ["", f"{left_out:,} more are left out, for GitHub shows no more: report.html has them all"]
        return [*self.head, *self.rows[:rows], *(said if left_out else ()), *self.tail]


def _fitted(parts: Sequence[_Part], bytes_max: int) -> str:
    """All parts, or so many rows of each as fit; the first parts keep theirs longest."""
    kept = [len(part.rows) for part in parts]

    def text() -> str:
        return "\n".join(line for part, rows in zip(parts, kept, strict=True) for line in part.lines(rows)) + "\n"

    for place in reversed(range(len(parts))):
        if len(text().encode()) <= bytes_max:
            break
        # As many rows of this part as leave it small enough, none when even that is too much.
        low, high = 0, kept[place]
        while low < high:
            kept[place] = middle = (low + high + 1) // 2
            if len(text().encode()) <= bytes_max:
                low = middle
            else:
                high = middle - 1
        kept[place] = low
    fitted = text()
    if len(fitted.encode()) > bytes_max:
        raise NoRoom(f"{len(fitted.encode()):,} bytes are needed at least, there is room for {bytes_max:,}")
    return fitted


def _parts_of(record: Record, number: str) -> list[_Part]:
    summing, rows = summed_up(record), [row_of(judgement) for judgement in record.judgements]
    return [
        _Part(_at_a_glance(record, summing, rows, number)),
        _Part(
            ["", f"<details><summary>All {len(rows):,} limits</summary>", "", *_table_head(_HEADER)],
            [_table_row(_cells(row)) for row in rows],
            ["", "</details>"],
        ),
        _Part(
            ["", "<details><summary>Why, where the limits stand, and notes</summary>", ""],
            [
                *map(_explained, rows),
                *(f"- drift: {code(line)}" for line in drifts(record.judgements)),
                *(f"- {code(note)}" for note in record.notes),
            ],
            ["", "</details>"],
        ),
    ]


def _at_a_glance(record: Record, summing: Summing, rows: Sequence[Row], number: str) -> list[str]:
    shown = worst(rows, WORST_SHOWN)
    judged = f"{code(record.gateway)}{_against(record)}, profile {code(record.profile)}"
    lines = [
        f"## perfgate{number}: {summing.outcome}",
        "",
        f"**{summing.counts}** of {len(rows):,} limits; {judged}; {summing.ended}",
        "",
        *(f"- **INCOMPLETE** {code(sentence)}" for sentence in summing.open_questions[:WORST_SHOWN]),
    ]
    if len(summing.open_questions) > WORST_SHOWN:
        lines.append(f"- and {len(summing.open_questions) - WORST_SHOWN:,} more without a verdict")
    waived = waivers(record.judgements)
    lines += [f"- **WAIVER** {code(line, 2 * CELL_CHARS_MAX)}" for line in waived[:WAIVERS_SHOWN]]
    if len(waived) > WAIVERS_SHOWN:
        lines.append(f"- and {len(waived) - WAIVERS_SHOWN:,} more waivers in report.html")
    if summing.outcome is Outcome.INVALID:
        lines += ["", "INVALID is not a pass: this machine could not tell, for the reasons below."]
    if shown:
        which = "The worst" if shown[0].verdict is not Verdict.PASS else "Closest to their limits"
        lines += ["", f"{which}:", "", *_table_head(_HEADER), *(_table_row(_cells(row)) for row in shown)]
        lines += [
            "",
            *(_because(row) for row in shown if row.verdict is not Verdict.PASS and (row.detail or row.reason)),
        ]
    lines += [
        "",
        f"- **apparatus** {_apparatus(record)}",
        f"- **host** {code(host_words(record))}",
        f"- **versions** {_versions(record)}",
        "- **fails from** is the true value, or slowdown, that this run would have failed with a chance of 80 %",
        "",
        f"<pre>{html.escape(plain(reproduce(record), COMMAND_CHARS_MAX))}</pre>",
    ]
    return lines


def _against(record: Record) -> str:
    """The baseline, and why it is that one."""
    if record.baseline is None:
        return ""
    why = record.baseline_why if record.baseline_why in ("", AS_ASKED) else code(record.baseline_why)
    return f" against {code(record.baseline)}{f' ({why})' if why else ''}"


def _versions(record: Record) -> str:
    found = versions(record)
    more = len(found) - VERSIONS_SHOWN
    shown = "; ".join(code(version.words) for version in found[:VERSIONS_SHOWN])
    return f"{shown}; and {more:,} more" if more > 0 else shown


def _apparatus(record: Record) -> str:
    said = said_of_apparatus(record)
    if not said:
        return "nothing was measured"
    unfit = {scenario: words for scenario, words in said.items() if not words.startswith("healthy")}
    if unfit:
        return "; ".join(f"{code(scenario)}: {code(words)}" for scenario, words in list(unfit.items())[:WORST_SHOWN])
    scenario, words = next(iter(said.items()))
    return f"healthy in {len(said)} of {len(said)} scenarios; {code(scenario)}: {code(words.removeprefix('healthy: '))}"


def _because(row: Row) -> str:
    return f"- {row.verdict} {code(row.scenario)} {_title(row)}: {code(row.detail or row.reason)}"


def _explained(row: Row) -> str:
    detail = f" Because: {code(row.detail)}." if row.detail else ""
    basis = f" ({code(row.basis)})" if row.basis else ""
    return (
        f"- {row.verdict}{row.said} {code(row.scenario)} {_title(row)}: {row.limit}{basis}, at {code(row.place)}: "
        f"{code(row.why)}.{detail}"
    )


def _compared(records: Sequence[Record]) -> _Part:
    header = ["scenario", "metric", *(f"run {number}" for number in range(1, len(records) + 1))]
    lines = ["## perfgate: runs side by side", ""]
    lines += [f"- **WARNING** {code(sentence, 2 * CELL_CHARS_MAX)}" for sentence in warnings(records)]
    lines += [
        f"- run {number}: {summed_up(record).outcome}, {code(record.gateway)}, {code(record.started_utc)}, "
        f"{code(host_words(record))}"
        for number, record in enumerate(records, 1)
    ]
    pairs = pairings(records)
    head = ["", f"<details><summary>All {len(pairs):,} limits</summary>", "", *_table_head(header)]
    return _Part([*lines, *head], [_table_row(_pair_cells(pairing)) for pairing in pairs], ["", "</details>", ""])


def _pair_cells(pairing: Pairing) -> list[str]:
    return [
        code(pairing.scenario),
        _escaped(plain(pairing.title, CELL_CHARS_MAX)),
        *(
            "no verdict" if row is None else f"{row.verdict} {row.observed}" + (f" ({change})" if change else "")
            for row, change in zip(pairing.rows, pairing.changes, strict=True)
        ),
    ]


def _cells(row: Row) -> list[str]:
    return [
        f"**{row.verdict}**{row.said}",
        code(row.scenario),
        _title(row),
        row.observed,
        row.interval,
        row.limit + (" \\*" if row.basis else ""),
        row.fails_from,
    ]


def _title(row: Row) -> str:
    return code(row.metric) if row.title == row.metric else _escaped(row.title)


def _table_head(columns: Sequence[str]) -> list[str]:
    return [_table_row(columns), _table_row(["---"] * len(columns))]


def _table_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def code(text: str, chars_max: int = CELL_CHARS_MAX) -> str:
    """A text that somebody else wrote, as code: of GitHub's Markdown it calls nobody and links nowhere.

    >>> code("a*b")
    '<code>a&#42;b</code>'
    """
    return f"<code>{_escaped(plain(text, chars_max))}</code>"


def _escaped(text: str) -> str:
    # GitHub looks for addresses once references are resolved, and for www before; an empty comment parts the words.
    return _WWW.sub(r"\1&#46;", text.translate(_MARKS)).replace(_AT, f"{_AT}<!-- -->")
