"""How long do tables take, and how much of the time that there is does each get?

Comes in: what each is planned to take. Goes out: the lines that are said before the first one is begun, and shares of
time. Pure arithmetic and words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: For all tables together, unless another time is given.
MINUTES: Final = 25.0


@dataclass(frozen=True, slots=True)
class Step:
    """One table of a run.

    Args:
        table, title: which.
        planned_s: that it takes with all its rounds.
        standing: of which run its figures are, in words, where it need not be run; empty where it is.
    """

    table: str
    title: str
    planned_s: float
    standing: str = ""


def plan_lines(steps: Sequence[Step], minutes: float) -> list[str]:
    """What is said before the first table is begun.

    Args:
        steps: every table, in order.
        minutes: for all of them.
    """
    planned_s = sum(step.planned_s for step in steps if not step.standing)
    lines = [f"plan: about {planned_s / 60:.0f} minutes, of {minutes:g} (--minutes)" if planned_s else "plan:"]
    width = max(len(step.table) for step in steps)
    for step in steps:
        when = step.standing or f"{step.planned_s / 60:4.1f} min"
        lines.append(f"  {step.table:<{width}}  {when}  {step.title}")
    if planned_s > minutes * 60:
        lines.append(
            f"{planned_s / 60:.0f} minutes are planned and {minutes:g} are there: tables get fewer rounds, as far as "
            "they go; give more with --minutes"
        )
    return lines


def share_s(left_s: float, planned_s: float, all_planned_s: float) -> float:
    """The time of the next table: as much of what is left as it is of what is planned.

    Args:
        left_s: for all tables that are still to be run.
        planned_s: of the next one.
        all_planned_s: of all of them, the next one too.

    >>> share_s(left_s=600, planned_s=100, all_planned_s=400)
    150.0
    """
    if not 0 < planned_s <= all_planned_s:
        raise ValueError(f"planned_s={planned_s} must be above 0 and at most all_planned_s={all_planned_s}")
    return max(0.0, left_s) * planned_s / all_planned_s
