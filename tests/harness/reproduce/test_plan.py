"""Is the time said beforehand, and shared out as it was planned?"""

import pytest

from perfgate.reproduce.plan import Step, plan_lines, share_s

STEPS = (Step("instances", "2 and 4 instances", 210.0), Step("gcs", "Logging", 120.0, standing="measured on Monday"))


def test_every_table_has_its_minutes_or_why_it_needs_none() -> None:
    assert plan_lines(STEPS, 25) == [
        "plan: about 4 minutes, of 25 (--minutes)",
        "  instances   3.5 min  2 and 4 instances",
        "  gcs        measured on Monday  Logging",
    ]


def test_where_nothing_is_to_be_run_no_time_is_planned() -> None:
    assert plan_lines(STEPS[1:], 25) == ["plan:", "  gcs  measured on Monday  Logging"]


def test_more_than_there_is_time_for_is_said() -> None:
    assert "4 minutes are planned and 3 are there" in plan_lines(STEPS, 3)[-1]


@pytest.mark.parametrize(("left_s", "share"), [(600, 150), (400, 100), (0, 0), (-60, 0)])
def test_a_table_gets_its_share_of_what_is_left(left_s: float, share: float) -> None:
    assert share_s(left_s, planned_s=100, all_planned_s=400) == share


def test_a_table_is_part_of_what_is_planned() -> None:
    with pytest.raises(ValueError, match=r"planned_s=500 must be above 0 and at most all_planned_s=400"):
        share_s(600, planned_s=500, all_planned_s=400)
