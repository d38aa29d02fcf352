"""Does the document say what the records do, and no more?"""

from dataclasses import replace

import pytest

from perfgate.reproduce.document import LAW_TOLERANCE, document, law_words
from perfgate.reproduce.reproduced import Law, Row
from tests.harness.reproduce.conftest import a_table


def a_law(measured_rps: float) -> Law:
    return Law("2 instances", 62, 0.75, 160.0, 150.0, 68.0, 68.9, measured_rps)


def test_published_and_measured_stand_side_by_side_with_their_ratio() -> None:
    text = document([a_table()])
    assert "## 2 and 4 instances" in text
    assert "| 2 instances | requests | median, ms | 200 | 150 (140 to 160) | 0.75 |" in text
    assert "4 instances divided by 2 instances:" in text
    assert "| median, ms | 0.50 | 1.02 (0.98 to 1.06) |" in text
    assert "| users | 1,000 | 62 |" in text
    assert "- This host is small." in text
    assert (
        "`perfgate reproduce --table instances --scale auto --seed 7`, 2026-01-01T00:00:00+00:00: litellm 1.106.2"
        in text
    )
    assert "2 cores AMD EPYC, 24 GiB, Linux 6.18, backend processes, perfgate 0.1.0." in text
    assert "Requests that failed: none." in text
    assert "aggregated" not in text.lower()


def test_what_is_not_published_says_so_and_has_no_ratio() -> None:
    text = document([a_table(rows=(Row("redis_url", "requests", "throughput_rps", None, 1234.5),))])
    assert "| redis_url | requests | requests/s | not published | 1,234 |  |" in text


def test_aggregated_figures_are_called_what_they_are() -> None:
    text = document([a_table(rows=(Row("2 instances", "aggregated", "throughput_rps", 2071.4, 140.0),))])
    assert "| 2 instances | aggregated | requests/s | 2,071.4 | 140 | 0.07; for each user 1.09 |" in text
    assert "It is no latency of anybody's." in text


@pytest.mark.parametrize(
    ("measured_rps", "verdict"),
    [
        (68.0 * (1 + LAW_TOLERANCE * 0.9), "confirmed: what was sent is off by +2.7 % at most, 3% are allowed"),
        (68.0 * (1 - LAW_TOLERANCE * 1.1), "refuted: what was sent is off by -3.3 % at most, 3% are allowed"),
    ],
)
def test_the_law_is_confirmed_or_refuted_by_its_worst_arm(measured_rps: float, verdict: str) -> None:
    table = a_table(law=(a_law(68.0), a_law(measured_rps)))
    assert law_words([table]) == verdict
    text = document([table])
    assert verdict.capitalize() in text
    assert f"| 2 and 4 instances | 2 instances | 62 | 0.75 | 160 | 68.0 | {measured_rps:.1f} |" in text


def test_a_run_whose_apparatus_was_not_fit_is_invalid_and_says_nothing_of_the_law() -> None:
    unfit = a_table(complaints=("the generator sent late",))
    text = document([unfit])
    assert "**INVALID: generator, mock and host were not fit" in text
    assert ":** the generator sent late." in text
    assert "Neither confirmed nor refuted" in text
    assert law_words([unfit, a_table(law=(a_law(68.0),))]).startswith("confirmed")


def test_without_users_who_think_there_is_no_law_to_speak_of() -> None:
    assert "think time sets" not in document([a_table(law=())])


def test_failures_are_told_by_arm() -> None:
    assert "Requests that failed: 3 of 4 instances." in document([a_table(failed={"2 instances": 0, "4 instances": 3})])


def test_tables_stand_in_the_order_in_which_they_are_given() -> None:
    text = document([a_table(), replace(a_table(), title="Redis")])
    assert text.index("## 2 and 4 instances") < text.index("## Redis")
    assert text.endswith("|\n")


def test_there_is_no_document_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least one table"):
        document([])
