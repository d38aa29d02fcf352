"""Which messages of a run stand in the pull request, and at which lines?

Comes in: a `Record`. Goes out: `Annotation`s, the worst first, no more than GitHub shows. No I/O.

A FAIL stands at the line of its limit. INVALID, INCOMPLETE and UNFINISHED are nobody's line: they say what the machine,
or the run, left open.
"""

from collections.abc import Callable, Sequence
from typing import Final

from perfgate.github.workflow_commands import ANNOTATIONS_MAX, Annotation
from perfgate.record import Record
from perfgate.report.outcome import Outcome, summed_up
from perfgate.report.plain_text import plain
from perfgate.report.provenance import reproduce
from perfgate.report.rows import Row, row_of, worst
from perfgate.verdict import Verdict

#: Of one message; the report has it whole.
MESSAGE_CHARS_MAX: Final = 1_500
INVALID_NEXT: Final = (
    "INVALID is not a pass; docs/troubleshooting-invalid.md of perfgate has every reason, and what to do"
)


def annotations(record: Record, in_repository: Callable[[str], str | None]) -> list[Annotation]:
    """What to show of a run; nothing of one that passed.

    Args:
        record: of the run.
        in_repository: of a limit's file, the path from the root of the repository that has it; None for a file of none.
    """
    summing = summed_up(record)
    if summing.outcome is Outcome.PASS:
        return []
    rows = [row_of(judgement) for judgement in record.judgements]
    again = f"reproduce: {plain(reproduce(record), MESSAGE_CHARS_MAX)}"
    found = [
        _of_verdict(row, again, in_repository) for row in worst(rows, len(rows)) if row.verdict is not Verdict.PASS
    ]
    found += [
        Annotation(
            "error",
            "perfgate INCOMPLETE",
            f"{plain(sentence)}; what was declared and has no verdict is no pass\n{again}",
        )
        for sentence in summing.open_questions
    ]
    if summing.outcome is Outcome.UNFINISHED:
        found.insert(0, Annotation("error", "perfgate UNFINISHED", f"{summing.counts}; {summing.ended}"))
    if not found:  # an ordinary test failed, which no record tells of
        found = [Annotation("error", f"perfgate {summing.outcome}", f"{summing.counts}; {summing.ended}")]
    return _shown(found)


def _of_verdict(row: Row, again: str, in_repository: Callable[[str], str | None]) -> Annotation:
    title = f"perfgate {row.verdict}: {plain(row.scenario)}, {plain(row.title)}"
    figures = f"{row.observed}, interval {row.interval}; " if row.interval else ""
    said = f"{figures}limit {row.limit}{f' ({row.basis})' if row.basis else ''}: {row.detail or row.reason}"
    message = plain(said, MESSAGE_CHARS_MAX)
    if row.verdict is not Verdict.FAIL:
        return Annotation("error", title, f"{message}\n{INVALID_NEXT}\n{again}")
    path, _, line = row.place.rpartition(":")
    file = in_repository(path)
    if file is None:
        return Annotation("error", title, f"{message}\nlimit at {plain(row.place)}\n{again}")
    return Annotation("error", title, f"{message}\n{again}", file, int(line))


def _shown(found: Sequence[Annotation]) -> list[Annotation]:
    """As many as GitHub shows; the last one says how many more there are."""
    if len(found) <= ANNOTATIONS_MAX:
        return list(found)
    left_out = len(found) - ANNOTATIONS_MAX + 1
    more = Annotation("error", f"perfgate: {left_out:,} more", "GitHub shows no more; the step's summary has them all")
    return [*found[: ANNOTATIONS_MAX - 1], more]
