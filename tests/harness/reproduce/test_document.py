"""Does the document say what the records do, and no more?"""

from dataclasses import replace

import pytest

from perfgate.reproduce.document import FEWER_WINDOWS, document, laws_found
from perfgate.reproduce.figures import published_rows
from perfgate.reproduce.published import GATEWAYS, GCS
from perfgate.reproduce.reproduced import Ratio, Row, Unanswered, Unmeasured
from tests.harness.reproduce.conftest import a_law, a_table


def test_published_and_measured_stand_side_by_side_with_their_ratio() -> None:
    text = document([a_table()])
    assert "## 2 and 4 instances" in text
    assert "| 2 instances | requests | median, ms | 200 | 150 (140 to 160) | 0.75 |" in text
    assert "4 instances divided by 2 instances:" in text
    assert "| median, ms | 0.50 | 1.02 (0.98 to 1.06) |" in text
    assert "| users | 1,000 | 62 |" in text
    assert "- This host is small." in text
    assert (
        "`perfgate reproduce --table instances --scale auto --seed 7`, 2026-01-01T00:00:00+00:00, 3.1 minutes: "
        "litellm 1.106.2" in text
    )
    assert "2 cores AMD EPYC, 24 GiB, Linux 6.18, backend processes, perfgate 0.1.0." in text
    assert "Requests that failed: none." in text
    assert "aggregated" not in text.lower()


def test_a_record_has_the_command_that_made_it() -> None:
    asked = "perfgate reproduce --table instances --scale auto --prisma-engine wasm --seed 7"
    assert f"`{asked}`, 2026-01-01T00:00:00+00:00, 3.1 minutes: " in document([a_table(command=asked)])


def test_what_is_not_published_says_so_and_has_no_ratio() -> None:
    text = document([a_table(rows=(Row("redis_url", "requests", "throughput_rps", None, 1234.5),))])
    assert "| redis_url | requests | requests/s | not published | 1,234 |  |" in text


def test_aggregated_figures_are_called_what_they_are() -> None:
    text = document([a_table(rows=(Row("2 instances", "aggregated", "throughput_rps", 2071.4, 140.0),))])
    assert (
        "| 2 instances | aggregated | requests/s | 2,071.4 | 140 | 0.07; for the load that was offered 1.09 |" in text
    )
    assert "It is no latency of anybody's." in text


def test_the_law_stands_first_with_its_verdict_and_a_row_for_each_run() -> None:
    text = document([a_table(law=(a_law(68.0), a_law(68.0 * 0.9)))])
    assert "Refuted: what was sent is off by -10.0 % (-10.1 to -9.9) with 2 instances of the table" in text
    assert (
        "| 2 and 4 instances | 2 instances | 62 | 0.75 | 160 | 68.0 | 61.2 | -10.0 % (-10.1 to -9.9) | 68.9 |" in text
    )


def test_the_page_s_own_figures_are_held_against_the_law_too() -> None:
    text = document(
        [a_table(title="Portkey", rows=published_rows(GATEWAYS)), a_table(title="GCS", rows=published_rows(GCS))]
    )
    assert "| Portkey | portkey | 1,170.9 | 1,145 (off by +2.2 %) | 1,176 (off by -0.5 %) |" in text
    assert "| GCS | without | 1,133.2 | not published | 1,124 (off by +0.9 %) |" in text
    assert "The page's own figures" not in document([a_table()])


def test_a_run_whose_apparatus_was_not_fit_is_invalid_and_says_nothing_of_the_law() -> None:
    unfit = a_table(complaints=("the generator sent late",))
    text = document([unfit])
    assert "**INVALID: generator, mock and host were not fit" in text
    assert ":** the generator sent late." in text
    assert "Neither confirmed nor refuted" in text
    assert "| by the law |" not in text
    assert [found.law for found in laws_found([unfit, a_table(law=(a_law(68.0),))])] == [a_law(68.0)]


def test_without_users_who_think_there_is_no_law_to_speak_of() -> None:
    assert "think time sets" not in document([a_table(law=())])


def test_failures_are_told_by_arm() -> None:
    assert "Requests that failed: 3 of 4 instances." in document([a_table(failed={"2 instances": 0, "4 instances": 3})])


def test_windows_without_an_answer_are_told_by_arm() -> None:
    unanswered = (Unanswered("2 instances", 1, 3, "440 http_500"), Unanswered("4 instances", 2, 3, ""))
    text = document([a_table(unanswered=unanswered)])
    assert "**No request of 2 instances was answered in 1 of 3 windows; its errors: 440 http_500.**" in text
    assert "**No request of 4 instances was answered in 2 of 3 windows; its users still waited for " in text
    assert FEWER_WINDOWS in text
    assert FEWER_WINDOWS not in document([a_table()])


def test_tables_stand_in_the_order_in_which_they_are_given() -> None:
    text = document([a_table(), replace(a_table(), title="Redis")])
    assert text.index("## 2 and 4 instances") < text.index("## Redis")
    assert text.endswith("|\n")


def test_each_pair_of_arms_has_its_ratios() -> None:
    ratios = (
        Ratio("litellm", "portkey", "median_ms", 1.0, 2.0),
        Ratio("litellm", "portkey", "requests", 1.06, 0.9),
        Ratio("with", "without", "rss_mib", None, 1.5, 1.4, 1.6),
    )
    text = document([a_table(ratios=ratios)])
    assert text.index("litellm divided by portkey:") < text.index("| requests | 1.06 | 0.90 |")
    assert text.index("with divided by without:") < text.index("| memory, MiB | not published | 1.50 (1.40 to 1.60) |")


def test_a_cell_that_was_not_measured_says_so_and_why() -> None:
    rows = (
        Row("a", "requests", "cpu_per_request_ms", None, None, note="two\nlines | and a bar"),
        Row("a", "requests", "rss_mib", None, None),
        Row("a", "requests", "p99_ms", 240.0, 120.0, note="of 600, and 1,000 are needed to trust it"),
        Row("a", "requests", "requests", 293_796.0, 1_320.0),
        Row("a", "requests", "failed_requests", 0.0, 0.0),
    )
    text = document([a_table(rows=rows)])
    assert "| a | requests | CPU a request, ms | not published | not measured: two lines \\| and a bar |  |" in text
    assert "| a | requests | memory, MiB | not published | not measured |  |" in text
    assert "| 240 | 120; of 600, and 1,000 are needed to trust it | 0.50 |" in text
    assert "| a | requests | requests | 293,796 | 1,320 |  |" in text
    assert "| a | requests | failed requests | 0 | 0 |  |" in text


def test_a_table_that_was_not_run_has_the_page_s_figures_and_says_why_it_has_no_others() -> None:
    unmeasured = Unmeasured(
        "portkey", "LiteLLM and Portkey", "the run failed: npm is\nnot there", published_rows(GATEWAYS)
    )
    text = document([a_table(), unmeasured])
    assert "## LiteLLM and Portkey\n\nNot measured: The run failed: npm is not there." in text
    assert "| portkey | requests | median, ms | 100 | not measured |  |" in text
    assert "| LiteLLM and Portkey | portkey | 1,170.9 |" in text
    assert "Not measured" in document([replace(unmeasured, rows=())])


def test_there_is_no_document_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least one table"):
        document([])
