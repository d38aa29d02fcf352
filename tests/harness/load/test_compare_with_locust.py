"""Does the comparison with Locust say what the latencies of both are, and nothing where it may not?"""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from perfgate.load.result import ErrorCount, LoadResult, WorkerUse
from perfgate.measure.histogram import Histogram
from tests.harness.load.conftest import load_result

ROOT: Final = Path(__file__).parents[3]
DELAY_MS: Final = 50


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module tools/compare_with_locust.py, which is no part of a package."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    spec = importlib.util.spec_from_file_location("compare_with_locust", ROOT / "tools/compare_with_locust.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def a_load(p50_ms: float = 51.0, p95_ms: float = 52.0, **changes: Any) -> LoadResult:
    """Of 1,000 requests, of which a tenth take as long as the p95."""
    latency = Histogram.of_us([round(p50_ms * 1000)] * 900 + [round(p95_ms * 1000)] * 100)
    return load_result(**{"latency": latency, **changes})


def judged(tool: Any, locust: LoadResult, ours: LoadResult | None = None) -> tuple[str, int]:
    results = {"perfgate": [ours or a_load()], "Locust": [locust]}
    said: tuple[str, int] = tool.verdict(results, tool.objections(results, DELAY_MS))
    return said


def test_latencies_that_are_nearly_the_same_are_within_5_percent(tool: Any) -> None:
    assert judged(tool, a_load(52.0, 53.0)) == ("p50 and p95 are within 5 %", 0)


def test_a_percentile_beyond_5_percent_is_named_with_its_difference(tool: Any) -> None:
    text, status = judged(tool, a_load(51.0, 58.0))
    assert status == 1
    assert "p95 by +11." in text
    assert "p50" not in text
    text, status = judged(tool, a_load(54.0, 54.0))
    assert status == 1
    assert "p50 by +5." in text
    assert "p95" not in text


def test_so_is_one_that_is_lower(tool: Any) -> None:
    text, status = judged(tool, a_load(54.0, 55.0), a_load(54.0, 60.0))
    assert status == 1
    assert "p95 by -8." in text


@pytest.mark.parametrize(
    ("locust", "words"),
    [
        (a_load(succeeded=990, errors=(ErrorCount("http_500", 10, "boom"),)), "Locust: 10 of 1,000 requests failed"),
        (a_load(sent=900, succeeded=900), "Locust: 900 requests, at least 1,000 are needed"),
        (a_load(sent=0, succeeded=0, latency=Histogram.of_us([])), "Locust: 0 requests"),
        (a_load(workers_expected=2, workers=(WorkerUse("a", 1_000, 0.1),)), "Locust: a worker was lost"),
        (a_load(workers=(WorkerUse("a", 1_000, 0.1, 95.0),)), "Locust: a worker warned of its CPU use"),
        (a_load(generator_cpu_s=9.0), "Locust: 90% of a core, at most 80% is allowed"),
        (a_load(dispatch_lag=Histogram.of_us([5_000] * 1_000)), "Locust: sent late, p99 5.0"),
        (a_load(60.0, 61.0), "Locust: p50 60."),
        (a_load(40.0, 41.0), "Locust: p50 40."),
    ],
)
def test_nothing_is_judged_of_generators_that_were_not_fit(tool: Any, locust: LoadResult, words: str) -> None:
    text, status = judged(tool, locust)
    assert status == 2
    assert text.startswith(f"not judged: {words}")


def test_what_is_wrong_with_perfgate_s_own_generator_is_said_as_well(tool: Any) -> None:
    late = a_load(dispatch_lag=Histogram.of_us([5_000] * 1_000))
    text, status = judged(tool, a_load(), late)
    assert (text.startswith("not judged: perfgate: sent late"), status) == (True, 2)


def test_percentiles_are_of_all_rounds_and_each_round_s_ratio_stands_below(tool: Any) -> None:
    """Merged, and not averaged: a tenth of the first round is a twentieth of both."""
    results = {
        "perfgate": [a_load(50.0, 50.0), a_load(50.0, 50.0)],
        "Locust": [a_load(50.0, 60.0), a_load(50.0, 50.0)],
    }
    lines = tool.table(results)
    assert lines[2].startswith("| perfgate | 2,000 | 0 | 50.0")
    assert lines[-2].startswith("| Locust / perfgate | | | 1.000 | 1.000 | 1.")
    assert [tool.ratio(results, percentile) for percentile in (95, 99)] == pytest.approx([1.0, 1.2], rel=0.002)
    assert lines[-1].count("1.000 to 1.") == 3


def test_a_load_that_got_no_reply_has_words_too(tool: Any) -> None:
    nothing = replace(a_load(), succeeded=0, latency=Histogram.of_us([]))
    assert tool.words(nothing) == "1,000 sent, 1000 failed"
