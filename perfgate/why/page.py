"""What does an answer look like on one page that needs nothing else?

Comes in: an `Answer` and a `FlameGraph`. Goes out: HTML text. No I/O but for templates that lie in this package and in
that of the report, whose looks it has.

All that somebody else wrote is escaped by the template; a policy in the page lets no script run but ours, and nothing
be fetched. The drawing is SVG and readable without scripts; ours enlarges a part of it, and finds names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from perfgate.report.page_template import page_environment, script_of
from perfgate.report.plain_text import plain
from perfgate.why.answer import Answer, signed_us_words, us_words
from perfgate.why.flame_graph import SHADES, Box, FlameGraph

#: Of a row of the drawing.
ROW_HEIGHT_PX: Final = 18
#: Of the mark in a box's class, for every shade.
_SHADE_CLASSES: Final = {
    shade: "same" if shade == 0 else f"{'grew' if shade > 0 else 'shrank'}-{abs(shade)}"
    for shade in range(-SHADES, SHADES + 1)
}


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A box as the template needs it; lengths along the row in percent, as text."""

    name: str
    said: str
    look: str
    level: int
    y_px: int
    left: str
    width: str


def page(answer: Answer, graph: FlameGraph | None) -> str:
    """The page.

    Args:
        answer: see there.
        graph: None where there is nothing to draw.
    """
    environment = page_environment("perfgate.why")
    script, script_sha256 = script_of(environment, "flame_graph.js")
    return environment.get_template("why.html.jinja").render(
        answer=answer,
        boxes=_drawn(graph.boxes) if graph is not None else [],
        hidden=graph.hidden if graph is not None else 0,
        height_px=graph.levels * ROW_HEIGHT_PX if graph is not None else 0,
        row_px=ROW_HEIGHT_PX,
        script=script,
        script_sha256=script_sha256,
    )


def _drawn(boxes: Sequence[Box]) -> list[_Drawn]:
    return [
        _Drawn(
            name=plain(str(box.function)),
            said=_said(box),
            look=_SHADE_CLASSES[box.shade],
            level=box.level,
            y_px=box.level * ROW_HEIGHT_PX,
            left=f"{box.left * 100:.4f}",
            width=f"{box.width * 100:.4f}",
        )
        for box in boxes
    ]


def _said(box: Box) -> str:
    before, after = us_words(box.baseline_us), us_words(box.candidate_us)
    change = signed_us_words(box.candidate_us - box.baseline_us)
    return f"{plain(str(box.function))}: baseline {before} us, candidate {after} us of CPU a request, {change}"
