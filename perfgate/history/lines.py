"""What does each metric look like over the versions of a series?

Comes in: results, in the order of the series. Goes out: a `Line` for each metric. No I/O, no words.

A version's figure is the ratio that was measured beside the anchor, times what the anchor took on average over the
whole series: so the units are the host's, and what the host did from hour to hour is not in them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from perfgate.experiment.comparison import MORE_IS_BETTER
from perfgate.history.metrics import KEPT
from perfgate.history.result import Measured, Result
from perfgate.stats.comparison import Slowdown

#: The anchor against itself: 1 by definition, without error. Its degrees of freedom are more than any measurement's.
ANCHOR: Final = Slowdown(0.0, 0.0, 1_000_000)
#: Of every interval that is shown, each for itself.
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Point:
    """A version's figure.

    Args:
        version: its name.
        value: in the metric's unit.
        low, high: the ends of its interval, by `CONFIDENCE`; both the value itself for the anchor.
        slowdown: against the anchor: above 1 is worse, whatever the metric.
        generations: that it rests on; 0 for the anchor, which is what the others are measured by.
    """

    version: str
    value: float
    low: float
    high: float
    slowdown: Slowdown
    generations: int

    @property
    def is_anchor(self) -> bool:
        """Whether it is what the others stand beside."""
        return self.slowdown == ANCHOR

    @property
    def reach(self) -> tuple[float, float]:
        """How far its interval reaches below and above it; not a number where it has no end, and nothing is drawn."""
        if not (self.low > 0 and math.isfinite(self.high)):
            return math.nan, math.nan
        return self.value - self.low, self.high - self.value


@dataclass(frozen=True, slots=True)
class Line:
    """A metric over the versions that have it.

    Args:
        metric: its name.
        title, unit: for people.
        level: what the anchor took on average, in the unit.
        points: in the order of the series.
    """

    metric: str
    title: str
    unit: str
    level: float
    points: tuple[Point, ...]

    def of(self, version: str) -> Point | None:
        """A version's point; None where it has none."""
        return next((point for point in self.points if point.version == version), None)


def lines(order: Sequence[str], results: Mapping[str, Result], anchor: str) -> tuple[Line, ...]:
    """A line for each metric that any version has.

    Args:
        order: names of the versions, the anchor's among them or not.
        results: by name.
        anchor: its name.
    """
    measured = {name: result for name in order if isinstance(result := results.get(name), Measured)}
    found = []
    for metric, kept in KEPT.items():
        having = {name: one for name, one in measured.items() if metric in one.figures}
        if not having:
            continue
        level = math.exp(fmean(math.log(before) for one in having.values() for before, _ in one.figures[metric]))
        points = tuple(
            Point(name, level, level, level, ANCHOR, 0) if name == anchor else _point(name, having[name], metric, level)
            for name in order
            if name == anchor or name in having
        )
        found.append(Line(metric, kept.title, kept.unit, level, points))
    return tuple(found)


def _point(name: str, result: Measured, metric: str, level: float) -> Point:
    slowdown = result.slowdown(metric)
    interval = slowdown.interval(CONFIDENCE)
    generations = len(result.figures[metric])
    if metric in MORE_IS_BETTER:
        # Without spread an interval of few starts has no end, on either side.
        high = level / interval.low if interval.low > 0 else math.inf
        return Point(name, level / slowdown.ratio, level / interval.high, high, slowdown, generations)
    return Point(name, level * slowdown.ratio, level * interval.low, level * interval.high, slowdown, generations)
