"""Is every picture drawn with units, in colours of the page, with a description and a table of the same figures?"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from perfgate.report import figures
from perfgate.report.figures import (
    DRAWN_ROUNDS_MAX,
    VARIABLES,
    Drawing,
    latency_drawing,
    load_drawing,
    rounds_drawing,
    use_drawing,
)
from perfgate.report.series import (
    Curve,
    FaultPeriod,
    LatencyPicture,
    LimitMark,
    LoadPicture,
    LoadPoint,
    RoundPoint,
    RoundsPicture,
    UseLine,
    UsePicture,
    UsePoint,
)

LATENCY: Final = LatencyPicture(
    "latency",
    (
        Curve("direct", 2000, (50.0, 90.0, 95.0, 99.0, 99.9), (1.0, 1.2, 1.5, 2.0, 3.0)),
        Curve("gateway", 2000, (50.0, 90.0, 95.0, 99.0, 99.9), (12.0, 13.0, 14.0, 18.0, 21.0)),
    ),
    (LimitMark("overhead_p95_ms", "gateway", 95.0, 46.5),),
)
ROUNDS: Final = RoundsPicture(
    "gateway overhead, p50",
    "ms",
    tuple(RoundPoint(g, r, 11.0 + g + r / 10) for g in (0, 1) for r in range(4)),
    {0: 11.15, 1: 12.15},
    11.6,
    11.0,
    12.4,
    25.0,
)
USE: Final = UsePicture(
    (UseLine(("before", "during"), 0, tuple(UsePoint(float(t), 0.3 + t / 100, 300.0 + t) for t in range(5))),),
    (FaultPeriod(1.0, 3.0, 3.5),),
)
LOADS: Final = LoadPicture(
    {"gateway": (LoadPoint("2 users", 100.0, 12.0, 20.0), LoadPoint("30 users", 160.0, 90.0, 210.0))}
)
EVERY: Final[tuple[tuple[str, Callable[[], Drawing]], ...]] = (
    ("latency", lambda: latency_drawing(LATENCY, "x")),
    ("rounds", lambda: rounds_drawing(ROUNDS, "x")),
    ("use", lambda: use_drawing(USE, "x")),
    ("loads", lambda: load_drawing(LOADS, "x")),
)
every = pytest.mark.parametrize("draw", [draw for _, draw in EVERY], ids=[name for name, _ in EVERY])


def texts(drawing: Drawing) -> list[str]:
    return ["".join(element.itertext()).strip() for element in ET.fromstring(drawing.svg).iter("text")]


@every
def test_a_drawing_is_an_image_with_title_and_description(draw: Callable[[], Drawing]) -> None:
    drawing = draw()
    root = ET.fromstring(drawing.svg)
    assert (root.tag, root.get("role")) == ("svg", "img")
    assert root.get("aria-labelledby") == "x-title x-description"
    assert [(child.tag, child.get("id"), child.text) for child in root[:2]] == [
        ("title", "x-title", drawing.title),
        ("desc", "x-description", drawing.description),
    ]
    assert root.get("viewBox")
    assert root.get("width") is None


@every
def test_colours_are_those_of_the_page_and_no_style_of_the_file_is_left(draw: Callable[[], Drawing]) -> None:
    svg = draw().svg
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) == set()
    assert set(re.findall(r"var\(--[a-z0-9-]+\)", svg)) <= set(VARIABLES.values())
    assert "var(--series-1)" in svg
    assert "<style" not in svg
    assert "<metadata" not in svg


@every
def test_ids_are_the_drawings_own_and_every_reference_finds_its_target(draw: Callable[[], Drawing]) -> None:
    root = ET.fromstring(draw().svg)
    ids = [element.get("id", "") for element in root.iter() if "id" in element.attrib]
    assert all(one.startswith("x-") for one in ids)
    assert len(ids) == len(set(ids))
    references = [element.get("href", "").removeprefix("#") for element in root.iter() if "href" in element.attrib]
    clips = [element.get("clip-path", "")[5:-1] for element in root.iter() if "clip-path" in element.attrib]
    assert set(references) | set(clips) <= set(ids)
    assert clips


@every
def test_every_row_has_a_cell_for_every_column(draw: Callable[[], Drawing]) -> None:
    drawing = draw()
    assert drawing.rows
    assert {len(row) for row in drawing.rows} == {len(drawing.columns)}


@every
def test_the_same_picture_is_the_same_text(draw: Callable[[], Drawing]) -> None:
    assert draw() == draw()


def test_latency_has_titles_with_units_limits_and_a_legend() -> None:
    drawing = latency_drawing(LATENCY, "x")
    shown = texts(drawing)
    assert "percentile of requests" in shown
    assert "latency, ms (log scale)" in shown
    assert {"50", "90", "99", "99.9"} <= set(shown)
    assert {"direct", "gateway", "limit", "46.5"} <= set(shown)
    assert drawing.title == "Latency by percentile"
    assert drawing.description == (
        "Latency by percentile. direct p50 1 ms, p95 1.5 ms, p99 2 ms; gateway p50 12 ms, p95 14 ms, p99 18 ms. "
        "Limits: gateway may be 46.5 ms at p95."
    )
    assert drawing.columns == ("arm", "requests", "p50", "p90", "p95", "p99", "p99.9")
    assert drawing.rows[1] == ("gateway", "2,000", "12 ms", "13 ms", "14 ms", "18 ms", "21 ms")
    assert drawing.rows[2] == ("limit of overhead_p95_ms on gateway", "", "", "", "46.5 ms", "", "")


def test_latencies_of_one_size_are_drawn_from_nothing_on() -> None:
    near = replace(LATENCY, curves=LATENCY.curves[1:], marks=())
    shown = texts(latency_drawing(near, "x"))
    assert "latency, ms" in shown
    assert "0.0" in shown
    assert latency_drawing(near, "x").description.endswith("No limit is drawn here.")


def test_rounds_have_their_generations_the_judged_figure_its_interval_and_the_limit() -> None:
    drawing = rounds_drawing(ROUNDS, "x")
    shown = texts(drawing)
    assert "gateway overhead, p50, ms" in shown
    assert {"a round", "its generation", "as judged", "its interval", "limit"} <= set(shown)
    assert drawing.description == (
        "Gateway overhead, p50, by round and generation. 8 rounds in 2 generations. "
        "As judged 11.6 ms, interval 11 ms to 12.4 ms. The limit is 25 ms."
    )
    assert drawing.rows == (("1", "4", "11.2 ms", "11 ms", "11.3 ms"), ("2", "4", "12.2 ms", "12 ms", "12.3 ms"))


def test_rounds_without_a_verdict_say_so() -> None:
    drawing = rounds_drawing(replace(ROUNDS, value=None, low=None, high=None, limit=None), "x")
    assert "its interval" not in texts(drawing)
    assert drawing.description.endswith("It has no verdict here, so no interval.")


def test_an_interval_without_ends_reaches_as_far_as_the_axis() -> None:
    drawing = rounds_drawing(replace(ROUNDS, unit="%", low=None, high=None), "x")
    assert "interval without end to without end" in drawing.description
    assert "its interval" in texts(drawing)


def test_so_many_rounds_that_they_are_a_cloud_are_not_drawn_one_by_one() -> None:
    points = tuple(RoundPoint(0, number, 11.0) for number in range(DRAWN_ROUNDS_MAX + 1))
    drawing = rounds_drawing(replace(ROUNDS, points=points), "x")
    assert "a round" not in texts(drawing)
    assert drawing.description.endswith("More than 2,000 rounds are not drawn one by one.")


def test_use_has_both_axes_and_shades_the_fault() -> None:
    drawing = use_drawing(USE, "x")
    shown = texts(drawing)
    assert {"CPU in use, cores", "resident memory, MiB", "time since the first window, s"} <= set(shown)
    assert {"dependency fails", "before / during"} <= set(shown)
    assert drawing.svg.count("var(--fault)") >= 4
    assert drawing.description == (
        "CPU and memory of the gateways over time. before / during: at most 0.34 cores and 304 MiB. "
        "A dependency failed from 1 to 3 s; these periods are shaded."
    )
    assert drawing.rows == (("before / during", "1", "5", "0.32", "0.34", "300", "304", "304"),)


def test_loads_have_throughput_and_latency() -> None:
    drawing = load_drawing(LOADS, "x")
    shown = texts(drawing)
    assert "throughput, requests answered a second" in shown
    assert {"gateway, p95", "gateway, p50"} <= set(shown)
    assert drawing.rows[1] == ("gateway", "30 users", "160", "90", "210")


@pytest.mark.parametrize("name", ["$\\frac{", "<b>&", "a\x00b", "日本", "_hidden", "%s {x}"])
def test_a_name_of_another_hand_is_text(name: str) -> None:
    picture = replace(LATENCY, curves=(replace(LATENCY.curves[0], arm=name), LATENCY.curves[1]))
    drawing = latency_drawing(picture, "x")
    assert name.replace("\x00", "\ufffd") in texts(drawing)


def test_a_drawing_is_small() -> None:
    """Of 3 MB for a whole report; text that became shapes would take hundreds."""
    assert all(len(draw().svg) < 60_000 for _, draw in EVERY)


def test_the_widest_picture_is_for_a_phone() -> None:
    root = ET.fromstring(latency_drawing(LATENCY, "x").svg)
    width = float(root.get("viewBox", "").split()[2])
    assert width == pytest.approx(72 * figures.WIDTH_IN)
    assert width <= 390 - 2 * 16
