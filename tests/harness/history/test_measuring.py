"""Are a version's figures those of its windows beside the anchor's, and is a measurement that is not fit refused?

Nothing is started: the bench's gateways have a truth each (conftest.py).
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perfgate.errors import BadInput, StackFailed
from perfgate.experiment.arms import BASELINE, CANDIDATE, GatewaySpec
from perfgate.experiment.comparison import CPU, FIGURES, RSS
from perfgate.experiment.metrics import METRICS
from perfgate.experiment.rounds import Progress
from perfgate.history.measuring import (
    ROUNDS_MIN,
    Unfit,
    check_memory,
    content_sha256,
    measured,
    question_of,
)
from perfgate.history.metrics import HEADER, KEPT, OVERHEAD, START, checked_metric
from perfgate.history.result import Measured
from perfgate.stack.packages import Packages
from perfgate.stack.sources import Release
from perfgate.thresholds import load_thresholds
from tests.harness.history.conftest import CONDITIONS, HistoryBench, question, version
from tests.harness.synthetic import Truth

ROOT = Path(__file__).parents[3]
ANCHOR = GatewaySpec(Release("1.79.3"))
SLOWER = {"1.79.3": Truth(), "1.80.0": Truth().slower(1.2)}


def measure(
    bench: HistoryBench, name: str = "1.80.0", generations: int = 4, minutes: float = 2.0, **more: Any
) -> Measured:
    return measured(
        bench,
        question(generations, minutes),
        CONDITIONS,
        ANCHOR,
        version(name),
        seed=7,
        clock_mono_s=bench.clock,
        **more,
    )


def test_every_figure_is_the_versions_beside_the_anchors_in_each_generation() -> None:
    found = measure(HistoryBench(SLOWER, start_s={"1.80.0": 6.0}))
    for metric in (CPU, RSS, OVERHEAD, "overhead_p95_ms", "throughput_rps", START):
        assert found.slowdown(metric).ratio == pytest.approx(1.2, rel=3e-3), metric
        assert len(found.figures[metric]) == (3 if metric == START else 4)
    # It is the generator's here, and the same for both.
    assert found.slowdown(HEADER).ratio == 1.0
    assert set(found.figures) == set(KEPT)
    assert found.figures[CPU][0] == pytest.approx((8.0, 9.6))


def test_a_release_beside_itself_has_processes_of_its_own() -> None:
    bench = HistoryBench(SLOWER)
    found = measure(bench, "1.79.3")
    assert {replace(ANCHOR, apart=BASELINE), replace(ANCHOR, apart=CANDIDATE)} < set(bench.starts_s)
    assert found.slowdown(CPU).ratio == pytest.approx(1.0)


def test_the_first_start_of_each_side_does_not_count_as_start_up_time() -> None:
    bench = HistoryBench(SLOWER)
    found = measure(bench, generations=4)
    starts = [
        bench.starts_s[replace(one, apart=apart)]
        for one, apart in ((ANCHOR, BASELINE), (version("1.80.0").gateway, CANDIDATE))
    ]
    assert found.figures[START] == tuple(zip(*starts, strict=True))[1:]


def test_a_version_that_does_not_come_up_is_started_once() -> None:
    bench = HistoryBench(SLOWER, fails={"1.80.0"})
    with pytest.raises(StackFailed, match=r"^litellm 1.80.0 died$"):
        measure(bench)
    assert sum(len(starts) for starts in bench.starts_s.values()) == 0


def test_two_generations_are_too_few_for_a_start_up_time() -> None:
    assert START not in measure(HistoryBench(SLOWER), generations=2).figures


def test_it_takes_the_time_it_is_given_starts_included() -> None:
    bench = HistoryBench(SLOWER)
    found = measure(bench, minutes=2.0)
    # The start that shows whether it comes up is before its time.
    took_s = bench.clock.now_mono_s - 5.0
    assert 110 < took_s <= 120
    assert found.minutes == pytest.approx(took_s / 60, abs=0.01)
    longer = measure(HistoryBench(SLOWER), minutes=3.0)
    assert longer.rounds > found.rounds


def test_when_starting_takes_all_the_time_there_are_a_few_rounds_all_the_same() -> None:
    found = measure(HistoryBench(SLOWER, start_s={"1.79.3": 60.0, "1.80.0": 60.0}), minutes=2.0)
    assert found.rounds == 4 * ROUNDS_MIN


def test_what_it_rests_on_is_kept() -> None:
    bench = HistoryBench(SLOWER)
    notes = ["packages that differ: litellm"]
    found = measure(bench, notes=notes)
    before, after = (
        bench.facts[replace(one, apart=apart)]
        for one, apart in ((ANCHOR, BASELINE), (version("1.80.0").gateway, CANDIDATE))
    )
    assert found.conditions == replace(CONDITIONS, anchor_sha256=content_sha256(ANCHOR, before.packages))
    assert found.content_sha256 == content_sha256(ANCHOR, after.packages) != found.conditions.anchor_sha256
    assert (found.version, found.seeds, found.runs, found.notes) == ("1.80.0", (7,), 1, tuple(notes))
    assert found.rounds * 100 == found.requests


def test_progress_is_told_before_every_window() -> None:
    seen: list[Progress] = []
    bench = HistoryBench(SLOWER)
    found = measure(bench, on_progress=seen.append)
    windows = 2 * found.rounds + found.rounds // 4
    assert len(seen) == 1 + windows


@pytest.mark.parametrize(
    ("bench", "complaint"),
    [
        ({"truths": {"1.79.3": Truth(), "1.80.0": Truth(failed=5)}}, "errors come first.*arm candidate failed"),
        ({"truths": {"1.79.3": Truth(failed=5), "1.80.0": Truth()}}, "errors come first.*arm baseline failed"),
        ({"truths": SLOWER, "direct_ms": 50.0}, "apparatus: .*without a gateway p95 is 5"),
        (
            {"truths": SLOWER, "unasked": ("Python is 3.11.7 in baseline, 3.12.1 in candidate",)},
            "differ.*Python is 3.11.7",
        ),
    ],
    ids=["version_fails", "anchor_fails", "apparatus", "unasked"],
)
def test_what_would_be_invalid_as_a_comparison_is_not_used(bench: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(Unfit, match=complaint):
        measure(HistoryBench(**bench))


def test_a_content_is_packages_and_configuration_and_the_code_beside_it(tmp_path: Path) -> None:
    config, code = tmp_path / "config.yaml", tmp_path / "own.py"
    text = "model_list:\n  - model_name: any\n    litellm_params: {model: openai/any}\n"
    text += "litellm_settings: {callbacks: [own.handler]}\n"
    packages = Packages(("litellm==1.80.0",))
    gateway = replace(ANCHOR, config_path=config)

    def content(config_text: str = text, code_text: str = "handler = 1\n", of: Packages = packages) -> str:
        config.write_text(config_text)
        code.write_text(code_text)
        return content_sha256(gateway, of)

    assert content() == content()
    others = {
        content(text.replace("any", "some")),
        content(code_text="handler = 2\n"),
        content(of=Packages(("litellm==1.80.1",))),
        content_sha256(ANCHOR, packages),
    }
    assert len(others | {content()}) == 5


class TestQuestion:
    def thresholds(self) -> Any:
        return load_thresholds(ROOT / "thresholds.yaml", METRICS, FIGURES)

    def test_the_scenario_of_a_comparison_of_releases_is_asked(self) -> None:
        asked = question_of(self.thresholds(), "regression", 8, 4.0)
        assert (asked.scenario.name, asked.generations, asked.minutes) == ("regression", 8, 4.0)
        assert "users=2" in asked.load_words
        assert "as published" in asked.load_words

    @pytest.mark.parametrize("scenario", ["overhead", "callback_langsmith", "nothing"])
    def test_another_is_refused(self, scenario: str) -> None:
        with pytest.raises(
            BadInput, match=rf"^--scenario {scenario}: it must compare two releases; those of .*regression"
        ):
            question_of(self.thresholds(), scenario, 8, 4.0)

    def test_numbers_out_of_range_are_refused(self) -> None:
        with pytest.raises(BadInput, match=r"^--generations 1 must be at least 2: one start shows no spread$"):
            question_of(self.thresholds(), "regression", 1, 4.0)
        with pytest.raises(BadInput, match=r"^--minutes 0 must be above 0$"):
            question_of(self.thresholds(), "regression", 8, 0.0)


def test_gateways_that_do_not_fit_into_memory_are_refused_with_a_number_that_does() -> None:
    check_memory(question(generations=8), ANCHOR, available_bytes=8 * 2**30)
    with pytest.raises(
        BadInput, match=r"^--generations 8 are 16 gateways alive at once, 6.2 GiB; 4.0 GiB .* give --generations 4$"
    ):
        check_memory(question(generations=8), ANCHOR, available_bytes=4 * 2**30)


def test_metrics_have_one_name_and_others_are_refused() -> None:
    assert checked_metric("header_overhead_p50_ms") == HEADER
    assert checked_metric("rss_bytes") == RSS
    with pytest.raises(BadInput, match=r"^--metric speed: there are cpu_per_request_ms, .*rss_bytes$"):
        checked_metric("speed")
