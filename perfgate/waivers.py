"""Which limits may be broken for a while, how far, until when and why: waivers as they stand in thresholds.yaml.

Comes in: what thresholds.py has read. Goes out: a `Waiver`, which hangs on its `Limit`, and what became of it
(`WaiverStanding`). verdict.py and comparison_verdict.py judge by it. Imports nothing of ours; no I/O, no clock.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class WaiverStanding(StrEnum):
    """What a run found of a waiver."""

    NEEDED = "needed"  #: the limit is broken, its ceiling is kept
    PERHAPS_NEEDED = "perhaps needed"  #: the ceiling is kept, the limit is undecided
    NOT_NEEDED = "not needed"  #: the limit is kept without it
    BROKEN = "broken"  #: its ceiling is broken, too
    NOT_JUDGED = "not judged"  #: the figure was not read, or is undecided at the ceiling

    @property
    def is_used(self) -> bool:
        """Whether a PASS of the limit rests on the waiver."""
        return self in (WaiverStanding.NEEDED, WaiverStanding.PERHAPS_NEEDED)


@dataclass(frozen=True, slots=True)
class Waiver:
    """A limit that may be broken up to a ceiling, for a while.

    Args:
        ceiling: how bad the figure may get, in the terms of the limit: the metric's unit for max and min, a ratio for
            margin and equivalent_within (0.12 is 12 %).
        expires: the last day (UTC) on which it holds.
        why: the reason in words, as written.
        link: where it is argued and followed up.
        path, line: where it stands.
    """

    ceiling: float
    expires: date
    why: str
    link: str
    path: str
    line: int
