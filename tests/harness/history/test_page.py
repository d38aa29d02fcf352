"""Is the page complete in itself, with every figure, its steps and tables, and can nothing in a report add to it?"""

import re
from dataclasses import replace
from typing import Final
from xml.etree import ElementTree as ET

import pytest
from markupsafe import escape
from matplotlib import rc_context

from perfgate.history.drawings import NAMES_MAX, line_drawing
from perfgate.history.lines import lines
from perfgate.history.metrics import DRAWN
from perfgate.history.page import page
from perfgate.history.result import Result
from perfgate.history.table import Report
from tests.harness.history.conftest import CONDITIONS, measured
from tests.harness.history.test_chart import ORDER, report

pytestmark = pytest.mark.slow

TITLES: Final = (
    "Overhead, p50 by version",
    "CPU per request by version",
    "Memory by version",
    "Start-up time by version",
)


def a_page() -> str:
    """Of a series in which 1.82.6 is 20 % worse than those before it, and 1.83.1 better again."""
    return page(replace(report(), command="perfgate history --from 1.79", left_out=(("1.82.7", "refused: it steals"),)))


@pytest.fixture(scope="module")
def text() -> str:
    return a_page()


def drawn_of(text: str) -> list[ET.Element]:
    return [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def bars(svg: str) -> int:
    """How many intervals are drawn."""
    (group,) = (each for each in ET.fromstring(svg).iter("g") if each.get("id", "").endswith("-LineCollection_1"))
    return sum("d" in path.attrib for path in group.iter("path"))


def words(drawing: ET.Element) -> set[str]:
    return {"".join(element.itertext()).strip() for element in drawing.iter("text")}


def test_every_figure_has_axes_with_titles_and_units_versions_steps_and_a_table(text: str) -> None:
    assert re.findall(r"<figcaption>(.*?)</figcaption>", text) == list(TITLES)
    found = drawn_of(text)
    assert len(found) == len(DRAWN) == 4
    for drawing, axis in zip(
        found, ("overhead, p50, ms", "CPU per request, ms", "memory, MiB", "start-up time, s"), strict=True
    ):
        shown = words(drawing)
        assert {axis, "version", "1.79.3", "1.80.0", "1.82.6", "1.83.1"} <= shown
        assert {"anchor 1.79.3", "95 % interval", "worse step", "better step"} <= shown
        assert {"+20.0 %", "-12.5 %"} <= shown, "sizes of the steps"
        assert "1.81.0" not in shown, "which was not measured"
    for figure in re.findall(r"<figure>.*?</figure>", text, re.DOTALL):
        assert figure.count("<svg") == figure.count("<table>") == 1
        assert "<td" in figure
        assert "+20.0 % (" in figure


def test_steps_and_text_are_in_colours_of_the_page_which_has_them_light_and_dark(text: str) -> None:
    light, dark = (set(re.findall(r"(--[a-z0-9-]+):", part)) for part in text.split("@media (prefers-color-scheme")[:2])
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", text))
    assert {"--fail", "--pass", "--ink", "--series-1"} <= used <= light
    assert light == dark & light
    drawings = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}\b", drawings)
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text


def test_intervals_are_drawn_where_they_have_ends() -> None:
    alike: dict[str, Result] = {"1.80.0": measured("1.80.0", 1.1, spread=0.0, generations=2)}
    known: dict[str, Result] = {"1.80.0": measured("1.80.0", 1.1)}
    without, with_ends = (
        line_drawing(lines(ORDER, results, "1.79.3")[0], ORDER, "1.79.3", "x") for results in (alike, known)
    )
    assert without.rows[1][3] == "without end"
    assert with_ends.rows[1][3] == "8.77 ms to 8.83 ms"
    assert "nan" not in without.svg.lower()
    # The anchor has a bar without length.
    assert [bars(drawing.svg) for drawing in (without, with_ends)] == [1, 2]


def test_a_figure_is_told_in_words_and_as_a_table() -> None:
    (cpu,) = (line for line in report().lines if line.metric == "cpu_per_request_ms")
    drawing = line_drawing(cpu, ORDER, "1.79.3", "x")
    assert drawing.description == (
        "CPU per request by version: 4 versions, 1.79.3 takes 8 ms. Lowest 8 ms (1.79.3), highest 9.6 ms (1.82.6). "
        "Steps: 1.80.0 to 1.82.6 +20.0 %, 1.82.6 to 1.83.1 -12.5 %."
    )
    assert drawing.columns == (
        "version",
        "starts",
        "figure",
        "interval",
        "against 1.79.3",
        "step from the one before",
    )
    assert drawing.rows[0] == ("1.79.3", "", "8 ms", "", "the anchor", "")
    assert [row[0] for row in drawing.rows] == ["1.79.3", "1.80.0", "1.82.6", "1.83.1"]
    assert [row[5] for row in drawing.rows] == ["", "", "+20.0 %", "-12.5 %"]
    flat = lines(ORDER, {"1.80.0": measured("1.80.0")}, "1.79.3")[0]
    assert line_drawing(flat, ORDER, "1.79.3", "x").description.endswith("No step is marked.")


def test_of_many_versions_some_are_named_and_all_are_in_the_table() -> None:
    order = ["1.79.3", *(f"1.80.{number}" for number in range(3 * NAMES_MAX))]
    results: dict[str, Result] = {name: measured(name, metrics=("cpu_per_request_ms",)) for name in order[1:]}
    drawing = line_drawing(lines(order, results, "1.79.3")[0], order, "1.79.3", "x")
    named = words(ET.fromstring(drawing.svg)) & set(order)
    assert NAMES_MAX / 2 < len(named) <= NAMES_MAX
    assert "1.79.3" in named
    assert len(drawing.rows) == len(order)


def test_tables_notes_reasons_and_the_command_are_there(text: str) -> None:
    for shown in (
        '<h2 id="steps">Steps</h2>',
        "1.80.0 → 1.82.6",
        "is called a step where nothing changed is at most 5 %",
        "perfgate history --from 1.79",
        "<strong>1.82.7</strong> refused: it steals",
        "Some CPU",
        "9.6 ms, +20.0 % (+19.6 to +20.4)",
    ):
        assert shown in text, shown
    assert "bring with them" not in text
    with_note = page(replace(report(), notes=(("1.82.6", "the access log is on"),)))
    assert "<strong>1.82.6</strong> the access log is on" in with_note


def test_nothing_is_fetched_and_nothing_may_run(text: str) -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)
    assert policy.startswith("default-src 'none';")
    assert "script-src" not in policy
    assert not re.search(r"""(?:src|href|action|url)\s*[=(]\s*["']?\s*(?:https?:)?//""", text)
    assert "<script" not in text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    for names in re.findall(r'aria-labelledby="([^"]+)"', text):
        assert set(names.split()) <= set(ids)


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}"])
def test_no_text_of_a_report_becomes_a_part_of_the_page(hostile: str) -> None:
    conditions = replace(CONDITIONS, cpu_model=hostile, scenario=hostile)
    found = page(
        replace(
            report(),
            command=hostile,
            conditions=conditions,
            left_out=((hostile, hostile),),
            notes=(("1.82.6", hostile),),
        )
    )
    assert found.count(str(escape(hostile))) >= 5
    assert "<script" not in found
    assert "<img" not in found
    assert "onerror=alert" not in re.sub(r">[^<]*<", "><", found), "it is text, and in no tag"


def test_the_same_report_is_the_same_page_whatever_is_set_up_for_matplotlib(text: str) -> None:
    with rc_context({"font.size": 20.0, "axes.grid": False, "lines.linewidth": 9.0}):
        assert a_page() == text


def test_a_series_without_what_is_drawn_is_a_page_all_the_same() -> None:
    results: dict[str, Result] = {"1.80.0": measured("1.80.0", metrics=("throughput_rps",))}
    found = page(Report("perfgate history", CONDITIONS, ORDER, lines(ORDER, results, "1.79.3"), ()))
    assert "None of what is drawn here was measured." in found
    assert "<svg" not in found
    assert "150 requests/s, the anchor" in found
    assert "Nothing is measured." in page(replace(report(), lines=()))
