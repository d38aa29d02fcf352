"""Between which neighbours of a series did a metric change?

Comes in: a line. Goes out: a `Change` for every pair of neighbours that have the metric. The rule is that of
stats/steps.py: each metric by itself, all its neighbours as one family.
"""

from dataclasses import dataclass
from itertools import pairwise

from perfgate.history.lines import Line
from perfgate.stats.steps import Step, steps


@dataclass(frozen=True, slots=True)
class Change:
    """What happened between two neighbours.

    Args:
        metric: that it is of.
        before, after: versions.
        step: how much, and how sure.
    """

    metric: str
    before: str
    after: str
    step: Step


def changes(line: Line) -> tuple[Change, ...]:
    """What happened between all neighbours of a line, in its order."""
    found = steps([point.slowdown for point in line.points])
    return tuple(
        Change(line.metric, before.version, after.version, step)
        for (before, after), step in zip(pairwise(line.points), found, strict=True)
    )


def marked(line: Line) -> tuple[Change, ...]:
    """Those of them that are steps."""
    return tuple(change for change in changes(line) if change.step.is_marked)
