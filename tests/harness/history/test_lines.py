"""Are a line's points what was measured, in the units of the host, and are runs put together with all their starts?"""

import math
from dataclasses import replace

import pytest

from perfgate.experiment.comparison import CPU, RSS
from perfgate.history.lines import lines
from perfgate.history.metrics import START
from perfgate.history.result import Measured, Result
from perfgate.stats.comparison import slowdown_of
from tests.harness.history.conftest import LEVELS, left_out, measured

ORDER = ("1.79.3", "1.80.0", "1.81.0", "1.82.6")
RESULTS: dict[str, Result] = {
    "1.80.0": measured("1.80.0", 1.1),
    "1.81.0": left_out("1.81.0"),
    "1.82.6": measured("1.82.6", 1.3, metrics=(CPU, "throughput_rps")),
}


def test_a_line_has_the_versions_that_have_the_metric_and_the_anchor() -> None:
    found = {line.metric: line for line in lines(ORDER, RESULTS, "1.79.3")}
    assert set(found) == set(LEVELS)
    assert [point.version for point in found[CPU].points] == ["1.79.3", "1.80.0", "1.82.6"]
    assert [point.version for point in found[RSS].points] == ["1.79.3", "1.80.0"]
    assert found[RSS].of("1.82.6") is None


def test_a_point_is_the_ratio_times_the_anchors_level_with_the_interval_of_t() -> None:
    (cpu,) = (line for line in lines(ORDER, RESULTS, "1.79.3") if line.metric == CPU)
    point = cpu.of("1.82.6")
    assert point is not None
    interval = RESULTS["1.82.6"].slowdown(CPU).interval(0.95)  # type: ignore[union-attr]
    assert cpu.level == pytest.approx(8.0)
    assert point.value == pytest.approx(8.0 * 1.3)
    assert (point.low, point.high) == pytest.approx((8.0 * interval.low, 8.0 * interval.high))
    assert point.low < point.value < point.high
    assert (point.generations, point.is_anchor) == (8, False)
    anchor = cpu.of("1.79.3")
    assert anchor is not None
    assert (anchor.value, anchor.low, anchor.high, anchor.is_anchor) == (cpu.level, cpu.level, cpu.level, True)


def test_of_throughput_less_is_worse() -> None:
    (line,) = (line for line in lines(ORDER, RESULTS, "1.79.3") if line.metric == "throughput_rps")
    point = line.of("1.82.6")
    assert point is not None
    assert point.slowdown.ratio == pytest.approx(1.3, rel=1e-3)
    assert point.value == pytest.approx(150 / 1.3, rel=1e-3)
    assert point.low < point.value < point.high


def test_the_level_is_that_of_the_whole_series() -> None:
    busy = measured("1.82.6", 1.3)
    figures = {metric: tuple((2 * a, 2 * b) for a, b in pairs) for metric, pairs in busy.figures.items()}
    found = lines(ORDER, {**RESULTS, "1.82.6": replace(busy, figures=figures)}, "1.79.3")
    (cpu,) = (line for line in found if line.metric == CPU)
    assert cpu.level == pytest.approx(8.0 * math.sqrt(2))
    point = cpu.of("1.82.6")
    assert point is not None
    # An hour in which everything took twice as long changes no ratio.
    assert point.slowdown.ratio == pytest.approx(1.3)


def test_an_anchor_that_is_not_asked_for_is_not_in_the_line() -> None:
    (cpu,) = (line for line in lines(ORDER[1:], RESULTS, "1.79.3") if line.metric == CPU)
    assert [point.version for point in cpu.points] == ["1.80.0", "1.82.6"]


def test_runs_are_put_together_with_all_their_starts() -> None:
    first, second = measured("1.80.0", 1.1), measured("1.80.0", 1.2, metrics=(CPU, START), seeds=(2,))
    both = first.with_more(second)
    assert isinstance(both, Measured)
    logs = [math.log(after / before) for one in (first, second) for before, after in one.figures[CPU]]
    assert both.slowdown(CPU) == slowdown_of(logs)
    assert set(both.figures) == {CPU, START}
    assert (both.runs, both.seeds, both.rounds, both.requests) == (2, (1, 2), 640, 10_000)
