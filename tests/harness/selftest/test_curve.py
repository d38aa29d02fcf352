"""Does the curve show the figures that it was given, and the same picture for the same figures?"""

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any
from xml.etree import ElementTree

import pytest

from perfgate.selftest.curve import DRAWN, RIVALS_DRAWN, power_curve
from perfgate.selftest.doses import CPU_10, NONE
from perfgate.selftest.rivals import ONE_PROCESS, RIVALS


def share(value: float) -> dict[str, float]:
    return {"value": value, "low": max(0.0, value - 0.05), "high": min(1.0, value + 0.05)}


@pytest.fixture(scope="module")
def found() -> Mapping[str, Any]:
    detected = dict(zip(DRAWN, (0.01, 0.4, 0.97, 1.0), strict=True))
    return {
        "release": "1.79.3",
        "plans": [{"profile": "gate"}, {"profile": "release"}],
        "effects": [
            {"dose": dose.name, "metric": "cpu_per_request_ms", "ratio": 1 + number / 20}
            for number, dose in enumerate(DRAWN)
            if dose is not NONE
        ],
        "rates": [
            {"profile": profile, "dose": dose.name, "fail": share(value)}
            for profile in ("gate", "release")
            for dose, value in detected.items()
        ],
        "rivals": [
            {"rule": rival.name, "data": rival.data, "dose": dose.name, "fail": share(0.2)}
            for rival in RIVALS
            for dose in DRAWN
        ],
    }


def test_it_is_a_picture_with_titles_units_and_a_legend(found: Mapping[str, Any]) -> None:
    svg = power_curve(found)
    text = " ".join("".join(element.itertext()) for element in ElementTree.fromstring(svg).iter())
    for words in ("litellm 1.79.3", "CPU added to a request", "gates that say FAIL, %", "perfgate, profile gate"):
        assert words in text
    for rule in RIVALS_DRAWN:
        assert rule in text


def test_the_same_figures_make_the_same_file(found: Mapping[str, Any]) -> None:
    assert power_curve(found) == power_curve(found)


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ("rates", {"profile": "gate", "dose": CPU_10.name}),
        ("rivals", {"rule": RIVALS_DRAWN[0], "data": ONE_PROCESS, "dose": CPU_10.name}),
    ],
)
def test_another_figure_makes_another_line(found: Mapping[str, Any], where: str, key: Mapping[str, str]) -> None:
    other = deepcopy(dict(found))
    (cell,) = [one for one in other[where] if key.items() <= one.items()]
    cell["fail"] = share(0.5)
    assert paths(power_curve(other)) != paths(power_curve(found))


def paths(svg: str) -> list[str]:
    return re.findall(r' d="([^"]+)"', svg)
