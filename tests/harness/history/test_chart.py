"""Does the chart show every version, its interval and the steps, and the same picture for the same figures?"""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from perfgate.history.chart import BETTER_COLOUR, WORSE_COLOUR, chart
from perfgate.history.lines import lines
from perfgate.history.metrics import DRAWN, START
from perfgate.history.result import Result
from perfgate.history.table import Report
from tests.harness.history.conftest import CONDITIONS, LEVELS, left_out, measured

ORDER = ("1.79.3", "1.80.0", "1.81.0", "1.82.6", "1.83.1")


def report(**ratios: float) -> Report:
    """Of releases 1.80.0, 1.82.6 and 1.83.1."""
    given = {"r80": 1.0, "r82": 1.2, "r83": 1.05} | ratios
    results: dict[str, Result] = {
        "1.80.0": measured("1.80.0", given["r80"]),
        "1.81.0": left_out("1.81.0"),
        "1.82.6": measured("1.82.6", given["r82"]),
        "1.83.1": measured("1.83.1", given["r83"]),
    }
    return Report("perfgate history", CONDITIONS, ORDER, lines(ORDER, results, "1.79.3"), ())


def paths(svg: str) -> list[str]:
    return re.findall(r' d="([^"]+)"', svg)


def words(svg: str) -> list[str]:
    return ["".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter()]


def test_it_shows_versions_units_and_steps_as_text() -> None:
    found = words(chart(report()))
    for text in ("1.79.3", "1.80.0", "1.82.6", "1.83.1", "CPU per request, ms", "memory, MiB", "start-up time, s"):
        assert text in found
    assert "version" in found
    assert "1.81.0" not in found
    assert found.count("+20.0 %") >= len(DRAWN)
    assert found.count("-12.5 %") >= len(DRAWN)


def test_steps_up_and_down_have_their_colours() -> None:
    svg = chart(report()).lower()
    assert WORSE_COLOUR.lower() in svg
    assert BETTER_COLOUR.lower() in svg
    flat = chart(report(r82=1.0, r83=1.0)).lower()
    assert WORSE_COLOUR.lower() not in flat
    assert BETTER_COLOUR.lower() not in flat


def test_the_same_figures_make_the_same_file_and_others_another() -> None:
    assert chart(report()) == chart(report())
    assert paths(chart(report())) != paths(chart(report(r83=1.06)))


def test_an_interval_without_end_is_not_drawn_and_does_no_harm() -> None:
    alike, known = measured("1.80.0", 1.1, spread=0.0, generations=2), {"1.80.0": measured("1.80.0", 1.1)}
    drawn = Report("perfgate history", CONDITIONS, ORDER, lines(ORDER, {"1.80.0": alike}, "1.79.3"), ())
    assert not any("nan" in path.lower() for path in paths(chart(drawn)))
    assert len(paths(chart(drawn))) < len(paths(chart(replace(drawn, lines=lines(ORDER, known, "1.79.3")))))


def test_what_was_not_measured_has_no_panel_and_nothing_to_draw_is_said() -> None:
    without = measured("1.80.0", metrics=[metric for metric in LEVELS if metric != START])
    drawn = Report("perfgate history", CONDITIONS, ORDER, lines(ORDER, {"1.80.0": without}, "1.79.3"), ())
    assert not any("start-up" in text for text in words(chart(drawn)))
    with pytest.raises(ValueError, match=r"^report has none of overhead_p50_ms, "):
        chart(replace(drawn, lines=()))
