"""How does a metric look over the versions of a series, in a reader's own colours?

Comes in: a line. Goes out: a `Drawing` of report/figures.py, with the same figures as a table. No I/O.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from perfgate.history.lines import CONFIDENCE, Line, Point
from perfgate.history.steps import Change, marked
from perfgate.history.table import change_words, share_words
from perfgate.report.figures import BETTER, MUTED, SERIES, WORSE, Drawing, drawn, legend
from perfgate.verdict import figure as with_unit
from perfgate.verdict import percent_words

#: More names than this would stand on each other on a phone: every second or third is shown then, the table has all.
NAMES_MAX: Final = 24
#: Sizes of steps stand in so many rows, one below the other, since neighbours are nearer than they are wide.
ROWS_OF_SIZES: Final = 3
ROW_POINTS: Final = 11
#: What a row takes of the height of the axes.
ROW_RATIO: Final = 0.07
#: Of a figure: names of versions stand upright below it.
HEIGHT_IN: Final = 4.0


def line_drawing(line: Line, order: Sequence[str], anchor: str, name: str) -> Drawing:
    """A point for each version, its interval as a bar, the anchor's level as a line, steps shaded, with their size.

    Args:
        line: of the metric; it has at least one point.
        order: versions from left to right, those of the line among them.
        anchor: what all stand beside.
        name: of the drawing, unique in its page.
    """
    place = {version: number for number, version in enumerate(order)}
    steps = marked(line)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axhline(line.level, color=MUTED, linewidth=1.2, linestyle="--", label=f"anchor {anchor}")
        below, above = zip(*(point.reach for point in line.points), strict=True)
        axes.errorbar(
            [place[point.version] for point in line.points],
            [point.value for point in line.points],
            yerr=[below, above],
            fmt="o-",
            color=SERIES[0],
            capsize=2.5,
            elinewidth=1.4,
            label=f"{share_words(CONFIDENCE)} interval",
        )
        _shade(axes, steps, place)
        apart = math.ceil(len(order) / NAMES_MAX)
        axes.set_xticks(range(0, len(order), apart), order[::apart], rotation=90, fontsize=9)
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("version")
        axes.set_ylabel(f"{line.title}, {line.unit}")
        legend(figure, axes)

    title = f"{line.title[0].upper()}{line.title[1:]} by version"
    sizes = {change.after: percent_words(change.step.change.ratio) for change in steps}
    rows = [_row(point, line.unit, sizes.get(point.version, "")) for point in line.points]
    columns = ("version", "starts", "figure", "interval", f"against {anchor}", "step from the one before")
    return drawn(draw, name, title, _words(title, line, anchor, steps), columns, rows, HEIGHT_IN)


def _shade(axes: Axes, steps: Sequence[Change], place: Mapping[str, int]) -> None:
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top + (top - bottom) * ROW_RATIO * min(len(steps), ROWS_OF_SIZES))
    said: set[str] = set()
    for number, change in enumerate(steps):
        left, right = place[change.before], place[change.after]
        ratio = change.step.change.ratio
        colour, word = (WORSE, "worse step") if ratio > 1 else (BETTER, "better step")
        axes.axvspan(left, right, color=colour, alpha=0.2, linewidth=0, label=None if word in said else word)
        said.add(word)
        axes.annotate(
            percent_words(ratio),
            ((left + right) / 2, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, -2 - ROW_POINTS * (number % ROWS_OF_SIZES)),
            textcoords="offset points",
            ha="center",
            va="top",
            color=colour,
            fontsize=9,
        )


def _row(point: Point, unit: str, step: str) -> tuple[str, ...]:
    value = with_unit(point.value, unit)
    if point.is_anchor:
        return point.version, "", value, "", "the anchor", step
    has_ends = all(map(math.isfinite, point.reach))
    interval = f"{with_unit(point.low, unit)} to {with_unit(point.high, unit)}" if has_ends else "without end"
    return point.version, f"{point.generations}", value, interval, change_words(point.slowdown), step


def _words(title: str, line: Line, anchor: str, steps: Sequence[Change]) -> str:
    in_order = sorted(line.points, key=lambda point: point.value)
    lowest, highest = (
        f"{with_unit(point.value, line.unit)} ({point.version})" for point in (in_order[0], in_order[-1])
    )
    said = [
        f"{title}: {len(line.points)} versions, {anchor} takes {with_unit(line.level, line.unit)}.",
        f"Lowest {lowest}, highest {highest}.",
    ]
    sizes = [f"{change.before} to {change.after} {percent_words(change.step.change.ratio)}" for change in steps]
    said.append(f"Steps: {', '.join(sizes)}." if sizes else "No step is marked.")
    return " ".join(said)
