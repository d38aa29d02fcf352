"""What came of a whole run: one word, one line of counts, and why it is not better?

Comes in: a `Record`. Goes out: an `Outcome` and words. No I/O. A run that did not end, or that left a question open,
is never a PASS, whatever its verdicts are so far.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from perfgate.exit_codes import ExitCode
from perfgate.record import Record
from perfgate.report.terminal import MEANINGS, counted

#: Exit codes of runs that came to their end: these say what the verdicts were.
_OF_VERDICTS: Final = (ExitCode.OK, ExitCode.FAIL, ExitCode.INVALID, ExitCode.INCOMPLETE)


class Outcome(StrEnum):
    """Of a whole run, the worst first."""

    FAIL = "FAIL"
    UNFINISHED = "UNFINISHED"
    INCOMPLETE = "INCOMPLETE"
    INVALID = "INVALID"
    PASS = "PASS"


@dataclass(frozen=True, slots=True)
class Summing:
    """A run in one word and one line.

    Args:
        outcome: the word.
        counts: `9 PASS (2 of them waived), 1 FAIL, 0 INVALID`.
        ended: how it ended: its exit code and what that means, or that it has none.
        open_questions: what was declared and has no verdict, a sentence each.
    """

    outcome: Outcome
    counts: str
    ended: str
    open_questions: tuple[str, ...]


def summed_up(record: Record) -> Summing:
    """A run in one word and one line."""
    return Summing(
        outcome=_outcome(record),
        counts=counted(record.judgements),
        ended=_ended(record.exit_code),
        open_questions=tuple(record.without_verdict()),
    )


def _outcome(record: Record) -> Outcome:
    verdicts = {judgement.verdict for judgement in record.judgements}
    if "FAIL" in verdicts or record.exit_code == ExitCode.FAIL:
        return Outcome.FAIL
    if record.exit_code not in _OF_VERDICTS:
        return Outcome.UNFINISHED
    if record.without_verdict() or not record.judgements:
        return Outcome.INCOMPLETE
    return Outcome.INVALID if "INVALID" in verdicts else Outcome.PASS


def _ended(exit_code: int | None) -> str:
    if exit_code is None:
        return "no exit code: it is still running, or was killed"
    if exit_code not in set(ExitCode):
        return f"exit code {exit_code}"
    return f"exit code {exit_code}: {MEANINGS[ExitCode(exit_code)]}"
