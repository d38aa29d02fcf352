"""Are the page's figures as the page has them, and do they keep to the law that its think time sets?"""

import pytest

from perfgate.experiment.gateway_figures import LITELLM_WITH_DATABASE, PORTKEY
from perfgate.reproduce.published import (
    FOUR_INSTANCES,
    GATEWAYS,
    GCS,
    INSTANCES,
    LANGSMITH,
    REALTIME,
    SETTINGS,
    TWO_INSTANCES,
)
from perfgate.reproduce.tables import TABLES
from tests.harness.reproduce.test_http_table import reproduction


def test_the_tables_of_instances_have_every_row_and_column_of_the_page() -> None:
    assert [(row.arm, row.times, *row.figures.values()) for row in INSTANCES] == [
        (TWO_INSTANCES, "requests", 200, 630, 1200, 262.46, 1035.7),
        (TWO_INSTANCES, "header overhead", 12, 29, 43, 14.74, 1035.7),
        (TWO_INSTANCES, "aggregated", 100, 430, 930, 138.6, 2071.4),
        (FOUR_INSTANCES, "requests", 100, 150, 240, 111.73, 1170),
        (FOUR_INSTANCES, "header overhead", 2, 8, 13, 3.32, 1170),
        (FOUR_INSTANCES, "aggregated", 77, 130, 180, 57.53, 2340),
    ]


def test_the_tables_of_sessions_and_of_portkey_are_those_of_the_page() -> None:
    assert [dict(row.figures) for row in REALTIME] == [
        {"median_ms": 59, "p95_ms": 67, "p99_ms": 99, "mean_ms": 63, "throughput_rps": 1207}
    ]
    assert {row.arm: tuple(row.figures.values()) for row in GATEWAYS} == {
        PORTKEY: (293_796, 0, 100, 230, 500, 123, 1170.9),
        LITELLM_WITH_DATABASE: (312_405, 0, 100, 150, 240, 111, 1170),
    }


def test_requests_a_second_follow_from_think_time_and_median() -> None:
    """The figures cannot tell a good gateway from a better one: users who think set them."""
    for row in (*INSTANCES, *GATEWAYS, *GCS, *LANGSMITH, *REALTIME):
        if row.times == "requests":
            predicted = SETTINGS.users / (SETTINGS.mean_think_time_s + row.figures["median_ms"] / 1000)
            assert row.figures["throughput_rps"] == pytest.approx(predicted, rel=0.025)


def test_every_published_row_is_of_an_arm_that_is_run() -> None:
    assert list(TABLES) == ["instances", "realtime", "portkey", "gcs", "langsmith", "redis"]
    for table in TABLES.values():
        assert table.title
        words = table.load_words(reproduction())
        assert all(f"{row.arm}: litellm" in words or f"{row.arm}: portkey" in words for row in table.published)
