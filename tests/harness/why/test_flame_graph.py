"""Has everything its place in the drawing, as wide as it costs, and the colour of what became of it?"""

import itertools
from collections.abc import Mapping

import pytest

from perfgate.why.flame_graph import ALL, SHADES, Box, FlameGraph, flame_graph
from perfgate.why.folded import Function, Stack
from tests.harness.why.conftest import counts_of


def times(folded: str, us: float = 10.0) -> Mapping[Stack, float]:
    return {stack: samples * us for stack, samples in counts_of(folded).items()}


def graph_of(baseline: str, candidate: str, shown_ratio_min: float = 0.0) -> FlameGraph:
    return flame_graph(times(baseline), times(candidate), shown_ratio_min)


def named(graph: FlameGraph) -> dict[str, Box]:
    return {box.function.name: box for box in graph.boxes}


def test_a_box_holds_what_it_calls_side_by_side() -> None:
    graph = graph_of(
        "main (a);left (a) 3\nmain (a);right (a);deep (a) 4\nmain (a) 2",
        "main (a);left (a) 5\nmain (a);right (a);deep (a) 1\nmain (a) 2\nother (b) 1",
    )
    boxes = named(graph)
    # 5 + 4 + 2 + 1 of the larger own times.
    assert {name: round(box.width * 12) for name, box in boxes.items()} == {
        "all": 12,
        "main": 11,
        "left": 5,
        "right": 4,
        "deep": 4,
        "other": 1,
    }
    assert (boxes["left"].left, boxes["right"].left) == pytest.approx((0, 5 / 12))
    assert boxes["other"].left == pytest.approx(11 / 12)
    assert boxes["deep"].left == boxes["right"].left
    assert [boxes[name].level for name in ("all", "main", "right", "deep")] == [0, 1, 2, 3]
    assert graph.levels == 4
    for first, second in itertools.combinations(graph.boxes, 2):
        if first.level == second.level:
            assert first.left + first.width <= second.left + 1e-9 or second.left + second.width <= first.left + 1e-9


def test_times_are_those_of_each_arm_with_what_is_called() -> None:
    boxes = named(flame_graph(times("main (a);f (a) 3\nmain (a) 1"), times("main (a);f (a) 6", 5.0)))
    assert (boxes["main"].baseline_us, boxes["main"].candidate_us) == (40.0, 30.0)
    assert (boxes["f"].baseline_us, boxes["f"].candidate_us) == (30.0, 30.0)
    assert (boxes["all"].baseline_us, boxes["all"].candidate_us) == (40.0, 30.0)


def test_what_grew_and_what_shrank_have_shades_by_how_much() -> None:
    graph = graph_of(
        "grew (a) 10\nshrank (a) 10\nhalf (a) 10\nsame (a) 10\nhardly (a) 10",
        "grew (a) 18\nshrank (a) 2\nhalf (a) 14\nsame (a) 10\nhardly (a) 10",
    )
    shades = {name: box.shade for name, box in named(graph).items()}
    assert shades == {"all": 2, "grew": SHADES, "shrank": -SHADES, "half": 2, "same": 0, "hardly": 0}


def test_what_one_arm_alone_calls_is_drawn_too() -> None:
    boxes = named(graph_of("main (a);gone (old) 5", "main (a);new (new) 5"))
    assert boxes["gone"].width == boxes["new"].width == 0.5
    assert (boxes["gone"].shade, boxes["new"].shade) == (-SHADES, SHADES)
    assert boxes["main"].shade == 0


def test_a_function_called_from_two_places_has_two_boxes() -> None:
    graph = graph_of("a (x);f (x) 1\nb (x);f (x) 1", "a (x);f (x) 1\nb (x);f (x) 3")
    assert sorted(box.shade for box in graph.boxes if box.function.name == "f") == [0, SHADES]


def test_boxes_that_are_too_narrow_are_counted_with_what_they_call() -> None:
    graph = graph_of("main (a) 998\nmain (a);f (a);g (a) 2", "main (a) 998", shown_ratio_min=0.01)
    assert [box.function.name for box in graph.boxes] == ["all", "main"]
    assert graph.hidden == 2
    assert graph.levels == 2


def test_deep_recursion_is_drawn() -> None:
    deep = ";".join(["walk (x)"] * 4000)
    graph = graph_of(f"{deep} 1", f"{deep} 2")
    assert graph.levels == 4001
    assert all(box.width == 1 for box in graph.boxes)


def test_the_root_comes_first_and_parents_before_what_they_call() -> None:
    graph = graph_of("a (x);b (x);c (x) 1\nd (x) 1", "a (x);b (x) 1")
    assert graph.boxes[0].function == ALL
    seen = [box.function.name for box in graph.boxes]
    assert seen.index("a") < seen.index("b") < seen.index("c")


def test_arms_that_are_alike_have_no_colour() -> None:
    assert {box.shade for box in graph_of("a (x);b (x) 3", "a (x);b (x) 3").boxes} == {0}


def test_without_a_sample_there_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="neither arm takes any CPU"):
        graph_of("", "")
    assert named(graph_of("", "new (x) 1"))["new"].function == Function("new", "x")
