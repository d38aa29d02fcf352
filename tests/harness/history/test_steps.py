"""Are the steps of a line those between neighbours that were measured, through the anchor?"""

import pytest

from perfgate.experiment.comparison import CPU
from perfgate.history.lines import Line, lines
from perfgate.history.result import Result
from perfgate.history.steps import changes, marked
from tests.harness.history.conftest import left_out, measured

ORDER = ("1.79.3", "1.80.0", "1.81.0", "1.82.6", "1.83.1")
RESULTS: dict[str, Result] = {
    "1.80.0": measured("1.80.0", 1.001),
    "1.81.0": left_out("1.81.0"),
    "1.82.6": measured("1.82.6", 1.2),
    "1.83.1": measured("1.83.1", 1.08),
}


def line() -> Line:
    (cpu,) = (line for line in lines(ORDER, RESULTS, "1.79.3") if line.metric == CPU)
    return cpu


def test_every_pair_of_measured_neighbours_has_a_change() -> None:
    found = changes(line())
    assert [(change.before, change.after) for change in found] == [
        ("1.79.3", "1.80.0"),
        ("1.80.0", "1.82.6"),
        ("1.82.6", "1.83.1"),
    ]
    assert [change.step.change.ratio for change in found] == pytest.approx([1.001, 1.2 / 1.001, 1.08 / 1.2])


def test_those_that_are_sure_are_marked() -> None:
    assert [(change.metric, change.before, change.after) for change in marked(line())] == [
        (CPU, "1.80.0", "1.82.6"),
        (CPU, "1.82.6", "1.83.1"),
    ]
