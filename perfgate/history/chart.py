"""What did each version cost, drawn over the series, with its steps?

Comes in: a report. Goes out: an SVG file with its text as text, on white, for pages that take pictures. No I/O.
page.py has the same for a reader's own colours.
"""

import io
from collections.abc import Sequence
from typing import Final

from matplotlib import style as styles
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from perfgate.history.lines import CONFIDENCE, Line
from perfgate.history.metrics import DRAWN
from perfgate.history.steps import marked
from perfgate.history.table import Report, share_words
from perfgate.stats.steps import ALPHA
from perfgate.verdict import percent_words

#: Readable by those who do not tell red from green (Okabe and Ito's palette).
LINE_COLOUR: Final = "#0072B2"
WORSE_COLOUR: Final = "#D55E00"
BETTER_COLOUR: Final = "#009E73"
ANCHOR_COLOUR: Final = "#999999"
#: Of a panel: its height, and its width without versions and for each of them.
PANEL_HEIGHT_INCHES: Final = 2.4
PANEL_WIDTH_INCHES: Final = 4.0
VERSION_WIDTH_INCHES: Final = 0.35
#: Of an SVG's ids, so that the same figures make the same file.
HASH_SALT: Final = "perfgate"


def chart(report: Report) -> str:
    """A panel for each drawn metric that was measured."""
    of_metric = {line.metric: line for line in report.lines}
    drawn = [of_metric[metric] for metric in DRAWN if metric in of_metric]
    if not drawn:
        raise ValueError(f"report has none of {', '.join(DRAWN)}")
    # All panels have the same versions, so that one stands below the other.
    order = [name for name in report.order if any(line.of(name) for line in drawn)]
    size = (
        PANEL_WIDTH_INCHES + VERSION_WIDTH_INCHES * len(order),
        PANEL_HEIGHT_INCHES * len(drawn) + 1,
    )
    # Whatever is set up for whoever draws it.
    with styles.context(["default", {"svg.hashsalt": HASH_SALT, "svg.fonttype": "none", "font.family": "sans-serif"}]):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        panels = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
        for axes, line in zip(panels, drawn, strict=True):
            _draw(axes, line, order)
        panels[-1].set_xticks(range(len(order)), order, rotation=60, ha="right", rotation_mode="anchor")
        panels[-1].set_xlabel("version")
        figure.suptitle(f"What each version costs, measured beside {report.conditions.anchor}")
        figure.supxlabel(
            f"{share_words(CONFIDENCE)} intervals over separate starts; dashed: {report.conditions.anchor}; "
            f"shaded: steps, with a chance of at most {share_words(ALPHA)} for any false one in a panel",
            fontsize="small",
        )
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _draw(axes: Axes, line: Line, order: Sequence[str]) -> None:
    place = {name: number for number, name in enumerate(order)}
    x = [place[point.version] for point in line.points]
    values = [point.value for point in line.points]
    below, above = zip(*(point.reach for point in line.points), strict=True)
    axes.axhline(line.level, linestyle="--", color=ANCHOR_COLOUR, linewidth=1)
    axes.errorbar(x, values, yerr=[below, above], fmt="o-", color=LINE_COLOUR, capsize=3, linewidth=1, markersize=4)
    for change in marked(line):
        ratio = change.step.change.ratio
        colour = WORSE_COLOUR if ratio > 1 else BETTER_COLOUR
        left, right = place[change.before], place[change.after]
        axes.axvspan(left, right, color=colour, alpha=0.15, linewidth=0)
        axes.annotate(
            percent_words(ratio),
            ((left + right) / 2, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, -3),
            textcoords="offset points",
            ha="center",
            va="top",
            color=colour,
            fontsize="small",
        )
    axes.set_ylabel(f"{line.title}, {line.unit}")
    axes.grid(visible=True, alpha=0.3)
    axes.margins(y=0.15)
