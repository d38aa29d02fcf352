"""How does a picture look, and how is it read by those who can't see it?

Comes in: a picture of series.py. Goes out: a `Drawing`: an SVG for inline use in a page, a description of it in words,
and the same figures as a table. No I/O.

Colours are CSS variables of the page (`VARIABLES`), so that one drawing serves light and dark; text stays text. Arms
differ in marker and line as well as in colour.
"""

import io
import math
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree as ET

from matplotlib import style as styles
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from perfgate.report.plain_text import plain
from perfgate.report.series import (
    ANCHORS,
    LatencyPicture,
    LoadPicture,
    RoundsPicture,
    UsePicture,
)
from perfgate.verdict import figure as with_unit

#: Matplotlib takes numbers for colours; each of these becomes the variable of the page that is beside it.
INK: Final = "#010101"
MUTED: Final = "#020202"
GRID: Final = "#030303"
LIMIT: Final = "#040404"
BAND: Final = "#050505"
FAULT: Final = "#060606"
WORSE: Final = "#080101"
BETTER: Final = "#080202"
SERIES: Final = ("#070101", "#070202", "#070303", "#070404", "#070505", "#070606")
VARIABLES: Final[Mapping[str, str]] = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    LIMIT: "var(--limit)",
    BAND: "var(--band)",
    FAULT: "var(--fault)",
    WORSE: "var(--fail)",
    BETTER: "var(--pass)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, 1)},
}
MARKERS: Final = ("o", "s", "^", "D", "v", "P")
LINES: Final = ("-", "--", "-.", ":")
#: Inches at 72 points; on a phone's 358 points 10-point text is still 10 points high.
WIDTH_IN: Final = 4.9
HEIGHT_IN: Final = 3.5
TALL_IN: Final = 4.6
#: More points than this are a cloud: the line alone is drawn.
MARKED_POINTS_MAX: Final = 150
#: More rounds than this would make the page large and show nothing more.
DRAWN_ROUNDS_MAX: Final = 2_000
#: Where values differ by more, small ones can't be told from nothing on a linear scale.
LINEAR_RATIO_MAX: Final = 20.0
#: Of a name in a legend, and of a line beside an axis.
NAME_CHARS_MAX: Final = 40
LABEL_CHARS_MAX: Final = 28
_STYLE: Final[Mapping[Any, Any]] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar in a name is a dollar
    "font.family": "sans-serif",
    "font.size": 10,
    "legend.fontsize": 9,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
}
_SVG: Final = "{http://www.w3.org/2000/svg}"
_XLINK_HREF: Final = "{http://www.w3.org/1999/xlink}href"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture that was drawn.

    Args:
        name: of the drawing, unique in its page: the prefix of all its ids.
        title: above it.
        description: what it shows, in words, for those who do not see it.
        svg: an element for inline use.
        columns, rows: the same figures as a table.
    """

    name: str
    title: str
    description: str
    svg: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def latency_drawing(picture: LatencyPicture, name: str) -> Drawing:
    """Percentiles on an axis that gives each further nine the same room, limits as marks that a curve stays under."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for number, curve in enumerate(picture.curves):
            anchors = [place for place, p in enumerate(curve.percentiles) if p in ANCHORS]
            axes.plot(
                [_nines(p) for p in curve.percentiles],
                curve.values_ms,
                linestyle=LINES[number % len(LINES)],
                marker=MARKERS[number % len(MARKERS)],
                markevery=anchors,
                color=SERIES[number % len(SERIES)],
                label=_name(curve.arm),
            )
        for number, mark in enumerate(picture.marks):
            x = _nines(mark.percentile)
            label = "limit" if number == 0 else None
            axes.plot([x - 0.12, x + 0.12], [mark.value_ms] * 2, color=LIMIT, linewidth=2.4, label=label)
            axes.annotate(
                f"{mark.value_ms:.3g}", (x, mark.value_ms), (0, 4), textcoords="offset points", ha="center", color=LIMIT
            )
        highest = max(curve.percentiles[-1] for curve in picture.curves)
        shown = [p for p in (50.0, *ANCHORS[2:]) if p <= highest and p != 95.0]
        axes.set_xticks([_nines(p) for p in shown], [f"{p:g}" for p in shown])
        axes.set_xlim(left=0)
        axes.set_xlabel("percentile of requests")
        values = [value for curve in picture.curves for value in curve.values_ms]
        _scale(axes, [*values, *(mark.value_ms for mark in picture.marks)], f"{picture.what}, ms")
        legend(figure, axes)

    shown = [p for p in ANCHORS if any(curve.at_ms(p) is not None for curve in picture.curves)]
    rows = [(curve.arm, f"{curve.requests:,}", *(_ms(curve.at_ms(p)) for p in shown)) for curve in picture.curves]
    rows += [
        (
            f"limit of {mark.metric} on {mark.arm}",
            "",
            *(_ms(mark.value_ms) if p == mark.percentile else "" for p in shown),
        )
        for mark in picture.marks
    ]
    curves = [
        f"{curve.arm} "
        + ", ".join(f"p{p:g} {_ms(curve.at_ms(p))}" for p in (50.0, 95.0, 99.0) if curve.at_ms(p) is not None)
        for curve in picture.curves
    ]
    limits = [f"{mark.arm} may be {_ms(mark.value_ms)} at p{mark.percentile:g}" for mark in picture.marks]
    title = f"{picture.what[0].upper()}{picture.what[1:]} by percentile"
    words = f"{title}. {'; '.join(curves)}. " + (
        f"Limits: {'; '.join(limits)}." if limits else "No limit is drawn here."
    )
    columns = ("arm", "requests", *(f"p{p:g}" for p in shown))
    return drawn(draw, name, title, words, columns, rows)


def rounds_drawing(picture: RoundsPicture, name: str) -> Drawing:
    """A point for each round, a line for each generation, the judged figure with its interval as a band."""
    generations = sorted(picture.of_generations)
    in_generation = {g: [point for point in picture.points if point.generation == g] for g in generations}
    few = len(picture.points) <= DRAWN_ROUNDS_MAX

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, generation in enumerate(generations):
            points = in_generation[generation] if few else []
            x = [place + 0.1 + 0.8 * (number + 0.5) / len(points) for number in range(len(points))]
            values = [point.value for point in points]
            named = "a round" if place == 0 and points else None
            axes.plot(x, values, "o", markersize=3, alpha=0.6, color=SERIES[0], label=named)
            value = picture.of_generations[generation]
            named = "its generation" if place == 0 else None
            axes.plot([place + 0.1, place + 0.9], [value] * 2, color=SERIES[1], linewidth=2.2, label=named)
        if picture.value is not None:
            axes.axhline(picture.value, color=INK, linewidth=1.2, label="as judged")
            bottom, top = axes.get_ylim()
            low, high = (picture.low, picture.high)
            axes.axhspan(
                low if low is not None else bottom,
                high if high is not None else top,
                color=BAND,
                alpha=0.25,
                linewidth=0,
                label="its interval",
            )
        if picture.limit is not None:
            axes.axhline(picture.limit, color=LIMIT, linewidth=2, linestyle="--", label="limit")
        axes.set_xticks([place + 0.5 for place in range(len(generations))], [f"{g + 1}" for g in generations])
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("generation; its rounds from left to right")
        label = "slowdown" if picture.unit == "%" else picture.title
        axes.set_ylabel("\n".join(textwrap.wrap(f"{label}, {picture.unit}", LABEL_CHARS_MAX)))
        legend(figure, axes)

    title = f"{picture.title[0].upper()}{picture.title[1:]}, by round and generation"
    rows = [
        (f"{g + 1}", f"{len(in_generation[g]):,}", _unit(picture.of_generations[g], picture.unit), *_ends(picture, g))
        for g in generations
    ]
    words = [f"{title}. {len(picture.points):,} rounds in {len(generations)} generations."]
    if picture.value is not None:
        words.append(
            f"As judged {_unit(picture.value, picture.unit)}, interval {_unit(picture.low, picture.unit)} to "
            f"{_unit(picture.high, picture.unit)}."
        )
    else:
        words.append("It has no verdict here, so no interval.")
    if picture.limit is not None:
        words.append(f"The limit is {_unit(picture.limit, picture.unit)}.")
    if not few:
        words.append(f"More than {DRAWN_ROUNDS_MAX:,} rounds are not drawn one by one.")
    columns = ("generation", "rounds", "figure", "lowest round", "highest round")
    return drawn(draw, name, title, " ".join(words), columns, rows)


def use_drawing(picture: UsePicture, name: str) -> Drawing:
    """CPU above memory on one axis of time; the periods of faults are shaded."""
    kinds = list(dict.fromkeys(line.arms for line in picture.lines))
    points = sum(len(line.points) for line in picture.lines)

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True)
        for place, fault in enumerate(picture.faults):
            for axes in (above, below):
                named = "dependency fails" if place == 0 else None
                axes.axvspan(fault.began_s, fault.over_s, color=FAULT, alpha=0.3, linewidth=0, label=named)
                axes.axvspan(fault.over_s, fault.ended_s, color=FAULT, alpha=0.15, linewidth=0)
        labelled: set[tuple[str, ...]] = set()
        for line in picture.lines:
            number = kinds.index(line.arms)
            named = None if line.arms in labelled else _name(" / ".join(line.arms))
            labelled.add(line.arms)
            style: dict[str, Any] = {
                "color": SERIES[number % len(SERIES)],
                "linestyle": LINES[number % len(LINES)],
                "linewidth": 1.2,
                "marker": MARKERS[number % len(MARKERS)] if points <= MARKED_POINTS_MAX else None,
                "markersize": 3,
            }
            times_s = [point.at_s for point in line.points]
            above.plot(times_s, [point.cpu_cores for point in line.points], label=named, **style)
            below.plot(times_s, [point.rss_mib for point in line.points], **style)
        above.set_ylim(0, 1.1 * max(point.cpu_cores for line in picture.lines for point in line.points) or None)
        above.set_ylabel("CPU in use, cores")
        below.set_ylabel("resident memory, MiB")
        below.set_xlabel("time since the first window, s")
        legend(figure, above)

    rows = []
    for line in picture.lines:
        of_line = [point.cpu_cores for point in line.points]
        rss_mib = [point.rss_mib for point in line.points]
        rows.append(
            (
                " / ".join(line.arms),
                f"{line.generation + 1}",
                f"{len(line.points):,}",
                f"{sum(of_line) / len(of_line):.3g}",
                f"{max(of_line):.3g}",
                f"{rss_mib[0]:.4g}",
                f"{rss_mib[-1]:.4g}",
                f"{max(rss_mib):.4g}",
            )
        )
    said = []
    for kind in kinds:
        of_kind = [point for line in picture.lines if line.arms == kind for point in line.points]
        cores, memory = max(point.cpu_cores for point in of_kind), max(point.rss_mib for point in of_kind)
        said.append(f"{' / '.join(kind)}: at most {cores:.3g} cores and {memory:.4g} MiB")
    faults = [f"{fault.began_s:.0f} to {fault.over_s:.0f} s" for fault in picture.faults]
    words = f"CPU and memory of the gateways over time. {'; '.join(said)}."
    if faults:
        words += f" A dependency failed from {', '.join(faults)}; these periods are shaded."
    columns = ("arms", "generation", "windows", "cores, mean", "cores, max", "MiB, first", "MiB, last", "MiB, max")
    return drawn(draw, name, "CPU and memory over time", words, columns, rows, TALL_IN)


def load_drawing(picture: LoadPicture, name: str) -> Drawing:
    """Latency over throughput, a line through the loads of each arm."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for number, (arm, points) in enumerate(picture.of_arms.items()):
            style: dict[str, Any] = {
                "color": SERIES[number % len(SERIES)],
                "marker": MARKERS[number % len(MARKERS)],
            }
            x = [point.throughput_rps for point in points]
            axes.plot(x, [p.p95_ms for p in points], linestyle="-", label=f"{_name(arm)}, p95", **style)
            axes.plot(x, [p.p50_ms for p in points], linestyle=":", label=f"{_name(arm)}, p50", **style)
        axes.set_xlim(left=0)
        axes.set_xlabel("throughput, requests answered a second")
        values = [value for points in picture.of_arms.values() for p in points for value in (p.p50_ms, p.p95_ms)]
        _scale(axes, values, "latency, ms")
        legend(figure, axes)

    rows = [
        (arm, point.load, f"{point.throughput_rps:.4g}", f"{point.p50_ms:.3g}", f"{point.p95_ms:.3g}")
        for arm, points in picture.of_arms.items()
        for point in points
    ]
    said = [f"{arm} under {load}: {rps} requests/s, p50 {p50} ms, p95 {p95} ms" for arm, load, rps, p50, p95 in rows]
    words = f"Throughput and latency. {'; '.join(said)}."
    columns = ("arm", "load", "requests/s", "p50, ms", "p95, ms")
    return drawn(draw, name, "Throughput and latency", words, columns, rows)


def drawn(
    draw: Callable[[Figure], None],
    name: str,
    title: str,
    description: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, ...]],
    height_in: float = HEIGHT_IN,
) -> Drawing:
    """A picture, drawn in the way of all of them.

    Args:
        draw: puts it onto a figure, in colours of `VARIABLES`.
        name: of the drawing, unique in its page.
        title, description, columns, rows: see `Drawing`.
        height_in: of the figure.
    """
    # Whatever is set up for whoever draws it: the same record makes the same picture on every host.
    with styles.context(["default", {**_STYLE, "svg.hashsalt": name}]), warnings.catch_warnings():
        # A name in a script that matplotlib's own font lacks is the browser's to draw.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    description = plain(description, 2_000)
    return Drawing(
        name, title, description, _inline(file.getvalue(), name, title, description), tuple(columns), tuple(rows)
    )


def _inline(text: str, name: str, title: str, description: str) -> str:
    """An SVG file as an element of a page: ids of its own, the page's colours, and its description."""
    root = ET.fromstring(text)
    for parent in list(root.iter()):
        for child in list(parent):
            # The style of the file would be one of the whole page.
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        if "id" in element.attrib:
            element.set("id", f"{name}-{element.attrib['id']}")
        if (target := element.attrib.pop(_XLINK_HREF, None)) is not None:
            element.set("href", f"#{name}-{target.removeprefix('#')}")
        if "clip-path" in element.attrib:
            element.set("clip-path", element.attrib["clip-path"].replace("url(#", f"url(#{name}-"))
        if "style" in element.attrib:
            element.set("style", _with_variables(element.attrib["style"]))
    for length in ("width", "height"):
        root.attrib.pop(length, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-description")
    for place, (tag, words) in enumerate((("title", title), ("desc", description))):
        element = ET.Element(tag, {"id": f"{name}-{'title' if tag == 'title' else 'description'}"})
        element.text = words
        root.insert(place, element)
    return ET.tostring(root, encoding="unicode")


def _with_variables(style: str) -> str:
    for colour, variable in VARIABLES.items():
        style = style.replace(colour, variable)
    return style


def _nines(percentile: float) -> float:
    """0 at p0, 1 at p90, 2 at p99."""
    return -math.log10(1 - percentile / 100)


def _scale(axes: Axes, values: Sequence[float], label: str) -> None:
    lowest, highest = min(values), max(values)
    if lowest > 0 and highest / lowest > LINEAR_RATIO_MAX:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, place: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, place: "")
        axes.set_ylabel(f"{label} (log scale)")
    else:
        axes.set_ylim(bottom=0)
        axes.set_ylabel(label)


def legend(figure: Figure, axes: Axes) -> None:
    """Say above the axes what is what."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(3, max(1, len(labels))))


def _ends(picture: RoundsPicture, generation: int) -> tuple[str, str]:
    values = [point.value for point in picture.points if point.generation == generation]
    if not values:
        return "", ""
    return _unit(min(values), picture.unit), _unit(max(values), picture.unit)


def _unit(value: float | None, unit: str) -> str:
    if value is None:
        return "without end"
    return f"{value:+.1f} %" if unit == "%" else with_unit(value, unit)


def _ms(value: float | None) -> str:
    return "" if value is None else with_unit(value, "ms")


def _name(text: str) -> str:
    """Of an arm; one that begins with an underscore would be left out of the legend."""
    name = plain(text, NAME_CHARS_MAX)
    return f" {name}" if name.startswith("_") else name
