"""Where in the tree of calls does the candidate take more CPU than the baseline?

Comes in: the stacks of both arms, and what each takes. Goes out: `FlameGraph`: boxes to be drawn, a row
for each level of calls, the outermost on top. No I/O and no markup.

A box is as wide as the larger of the two arms' times: so what one arm alone calls has its place too, and a call holds
all that it calls. Exactly: the larger of the two own times, and the widths of what it calls.

Source: B. Gregg, Differential Flame Graphs (2014),
https://www.brendangregg.com/blog/2014-11-09/differential-flame-graphs.html.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from perfgate.why.folded import Function, Stack

#: Narrower boxes are less than a pixel on most screens; thousands of them would be most of the page.
SHOWN_RATIO_MIN: Final = 0.0008
#: Steps of the colour, each way.
SHADES: Final = 4
#: The root.
ALL: Final = Function("all")


@dataclass(frozen=True, slots=True)
class Box:
    """One function, called by those above it.

    Args:
        function: it.
        level: 0 is the outermost call.
        left, width: as shares of the whole, 0 to 1.
        baseline_us, candidate_us: CPU for each request, with all that it calls from here.
        shade: from -SHADES (lost as much as the box that lost or gained most) over 0 (the same) to SHADES.
    """

    function: Function
    level: int
    left: float
    width: float
    baseline_us: float
    candidate_us: float
    shade: int


@dataclass(frozen=True, slots=True)
class FlameGraph:
    """Boxes, parents before what they call.

    Args:
        boxes: the first is the root.
        levels: how many rows there are.
        hidden: how many boxes are too narrow to be shown.
    """

    boxes: tuple[Box, ...]
    levels: int
    hidden: int


def flame_graph(
    baseline: Mapping[Stack, float], candidate: Mapping[Stack, float], shown_ratio_min: float = SHOWN_RATIO_MIN
) -> FlameGraph:
    """Lay out the stacks of both arms in one tree.

    Args:
        baseline, candidate: CPU of each stack, in microseconds of a request.
        shown_ratio_min: the narrowest box that is shown, as a share of the whole.

    Raises:
        ValueError: neither has any.
    """
    root = _Node(ALL)
    for stacks, is_candidate in ((baseline, False), (candidate, True)):
        for stack, us in stacks.items():
            root.add(stack, is_candidate, us)
    nodes = list(root.walk())
    # From the leaves up: each is known before what calls it.
    for node in reversed(nodes):
        node.add_up()
    if not root.width_us > 0:
        raise ValueError("neither arm takes any CPU: there is nothing to draw")
    # The root has everything, and would make every other difference look small.
    largest_us = max((abs(node.candidate_us - node.baseline_us) for node in nodes[1:]), default=0.0)
    boxes = list(_boxes(root, largest_us, shown_ratio_min))
    return FlameGraph(tuple(boxes), 1 + max(box.level for box in boxes), len(nodes) - len(boxes))


@dataclass(slots=True)
class _Node:
    """A function as it is called from one place; times in microseconds of a request."""

    function: Function
    baseline_own_us: float = 0.0
    candidate_own_us: float = 0.0
    baseline_us: float = 0.0
    candidate_us: float = 0.0
    width_us: float = 0.0
    callees: "dict[Function, _Node]" = field(default_factory=dict)

    def add(self, stack: tuple[Function, ...], is_candidate: bool, us: float) -> None:
        """Add what a stack took."""
        node = self
        for function in stack:
            node = node.callees.setdefault(function, _Node(function))
        if is_candidate:
            node.candidate_own_us += us
        else:
            node.baseline_own_us += us

    def walk(self) -> "Iterator[_Node]":
        """It and all below it, each before what it calls; not by recursion, since stacks are hundreds deep."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.callees.values()

    def add_up(self) -> None:
        """Make sums of own times and of what is called, which has to be summed up already."""
        called = self.callees.values()
        self.baseline_us = self.baseline_own_us + sum(node.baseline_us for node in called)
        self.candidate_us = self.candidate_own_us + sum(node.candidate_us for node in called)
        self.width_us = max(self.baseline_own_us, self.candidate_own_us) + sum(node.width_us for node in called)


def _boxes(root: _Node, largest_us: float, shown_ratio_min: float) -> Iterator[Box]:
    """Of all that is wide enough; what a narrow one calls is no wider."""
    waiting = [(root, 0, 0.0)]
    while waiting:
        node, level, left_us = waiting.pop()
        width = node.width_us / root.width_us
        if width < shown_ratio_min:
            continue
        yield Box(
            node.function,
            level,
            left_us / root.width_us,
            width,
            node.baseline_us,
            node.candidate_us,
            _shade(node.candidate_us - node.baseline_us, largest_us),
        )
        for callee in sorted(node.callees.values(), key=lambda each: each.function):
            waiting.append((callee, level + 1, left_us))
            left_us += callee.width_us


def _shade(gain_us: float, largest_us: float) -> int:
    """Rounded to the nearest step, so that what hardly changed has no colour; the largest has the last."""
    if not largest_us > 0:
        return 0
    share = max(-1.0, min(1.0, gain_us / largest_us))
    step = math.floor(abs(share) * SHADES + 0.5)
    return step if share > 0 else -step
