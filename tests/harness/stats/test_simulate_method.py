"""Does the study simulate the rule and the noise that it says, and does docs/method.md show what came out?"""

import importlib.util
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perfgate.stats.comparison import Slowdown, slowdown_of
from perfgate.stats.decision import Decision
from perfgate.stats.evidence import regression_evidence
from perfgate.stats.family import judge_all
from perfgate.stats.sequential import alpha_at_look

ROOT = Path(__file__).parents[3]
DATA = ROOT / "docs/method-simulation.json"
PAGE = (ROOT / "docs/method.md").read_text(encoding="utf-8")
RUNS = 10_000
SEED = 1


@pytest.fixture(scope="module")
def study() -> Any:
    """The module tools/simulate_method.py, which is no part of a package."""
    name = "simulate_method"
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def held() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    return found


# --- what is published ---


def test_the_data_are_those_that_the_command_computes_without_options(study: Any, held: dict[str, Any]) -> None:
    asked = {cell.key: json.loads(json.dumps(cell.asked(SEED))) for cell in study.cells(RUNS)}
    assert {key: cell["asked"] for key, cell in held.items()} == asked


def test_the_page_shows_every_table_as_the_command_prints_it(study: Any, held: dict[str, Any]) -> None:
    for title, lines in study.tables(held):
        assert f"{title}\n\n" + "\n".join(lines) + "\n" in PAGE, title
    assert study.standard_errors(RUNS) in PAGE


def test_only_the_model_that_the_page_names_is_not_covered(study: Any, held: dict[str, Any]) -> None:
    low, high = study.COVERED
    outside = [
        key
        for key, cell in held.items()
        if key.startswith(("coverage/", "few/"))
        for name in ("t", "t_sums")
        if not low <= cell["results"][f"{name}.covered"] <= high
    ]
    assert outside == ["coverage/host_memory/10x66/3"] * 2
    assert all(
        low <= cell["results"][f"t.p{percentile}.covered"] <= high
        for key, cell in held.items()
        if key.startswith("tails/")
        for percentile in (95, 99)
    )


def test_the_rule_errs_no_more_often_than_it_may_but_for_the_model_that_the_page_names(held: dict[str, Any]) -> None:
    three_standard_errors = 3 * math.sqrt(0.05 * 0.95 / RUNS)
    above = {
        key.split("/")[1]
        for key, cell in held.items()
        if key.startswith("rule/")
        for error in ("boundary_all.wrong_fail", "boundary_beside_broken.wrong_fail", "boundary_one.pass")
        if cell["results"][f"holm.{error}"] > 0.05 + three_standard_errors
    }
    assert above == {"host_memory"}


@pytest.mark.slow
@pytest.mark.parametrize("key", ["few/slow_processes/4x30/3", "sometimes/normal/10x66/3"])
def test_a_cell_computed_again_gives_what_is_published(
    study: Any, held: dict[str, Any], key: str, tmp_path: Path
) -> None:
    """Up to chance, since another NumPy may draw other numbers."""
    (cell,) = [cell for cell in study.cells(1_000) if cell.key == key]
    for name, value in cell.compute(np.random.default_rng(1)).items():
        assert value == pytest.approx(held[key]["results"][name], abs=0.06), name


# --- what is simulated ---


@pytest.mark.parametrize("truth", ["boundary_all", "equal", "broken_all"])
def test_the_simulated_rule_is_that_of_the_library(study: Any, truth: str) -> None:
    shape = study.Shape(40, 10, 18)
    ratios, _ = study.gate(np.random.default_rng(5), shape, "normal")
    ratios = ratios + study.scenarios(0.05)[truth][:, np.newaxis, np.newaxis]
    outcome = study.judged(*study.moments(ratios), shape, 0.05, "holm")
    for run in range(shape.runs):
        decisions: tuple[Decision, ...] = ()
        look = 0
        for look in (1, 2, 3):
            alpha = alpha_at_look(0.05, look, 3)
            evidence = [regression_evidence(slowdown_of(metric[look - 1]), 1.05) for metric in ratios[run]]
            decisions = judge_all(evidence, alpha, alpha)
            if Decision.FAIL in decisions or set(decisions) == {Decision.PASS}:
                break
        assert outcome.look[run] == look
        assert outcome.fails[run].tolist() == [decision is Decision.FAIL for decision in decisions]
        assert outcome.passed[run] == (set(decisions) == {Decision.PASS})


def test_the_simulated_interval_is_that_of_the_library(study: Any) -> None:
    logs = study.normal(np.random.default_rng(2), study.Shape(20, 5, 12))
    ends = study.t_of(study.means(logs))
    for run in range(20):
        interval = slowdown_of((logs[run, 1] - logs[run, 0]).mean(axis=1)).interval(0.95)
        assert np.exp([ends.low[run], ends.high[run]]) == pytest.approx([interval.low, interval.high])


def test_the_mixed_model_is_t_over_generations_unless_they_are_nearer_than_rounds_would_make_them(study: Any) -> None:
    logs = study.equal_processes(np.random.default_rng(3), study.Shape(200, 6, 10))
    mixed, plain = study.mixed_model(logs), study.t_of(study.means(logs))
    ratios = study.ratios_of(logs)
    truncated = 10 * ratios.mean(axis=2).var(axis=1, ddof=1) < ratios.var(axis=2, ddof=1).mean(axis=1)
    assert 0.3 < truncated.mean() < 0.8
    assert mixed.low[~truncated] == pytest.approx(plain.low[~truncated])
    within = ratios[truncated].var(axis=2, ddof=1).mean(axis=1)
    pooled = [
        Slowdown(mean, math.sqrt(variance / 60), 54).interval(0.95).low
        for mean, variance in zip(mixed.estimate[truncated], within, strict=True)
    ]
    assert np.exp(mixed.low[truncated]) == pytest.approx(pooled)


def test_the_bootstrap_is_that_of_the_library(study: Any) -> None:
    """A generation without spread between rounds leaves the draw of generations alone."""
    logs = np.zeros((1, 2, 4, 5))
    logs[0, 1] = np.array([0.0, 0.1, 0.2, 0.3])[:, np.newaxis]
    ends = study.bootstrap(np.random.default_rng(1), logs)
    assert ends.estimate[0] == pytest.approx(0.15)
    assert ends.low[0] == pytest.approx(0.05, abs=0.03)
    assert ends.high[0] == pytest.approx(0.25, abs=0.03)


def lag_one(series: Any) -> float:
    return float(np.corrcoef(series[..., 1:].ravel(), series[..., :-1].ravel())[0, 1])


def test_memory_is_where_the_model_says(study: Any) -> None:
    shape = study.Shape(30, 4, 300, 3)
    own = study.autoregressive(np.random.default_rng(1), shape.windows, 0.5)
    assert lag_one(own) == pytest.approx(0.5, abs=0.03)
    assert own.std() == pytest.approx(study.WINDOW_SD, rel=0.03)
    for order, by_generation in ((study.rounds_in_turns, 0.5**4), (study.rounds_in_rows, 0.5)):
        logs = study.host_memory(0.5, order)(np.random.default_rng(1), shape)
        errors = logs - logs.mean(axis=-1, keepdims=True)
        in_time = np.take_along_axis(errors.reshape(30, 2, -1), np.argsort(order(shape).ravel())[None, None], axis=-1)
        assert lag_one(in_time) == pytest.approx(0.5, abs=0.03)
        assert lag_one(errors) == pytest.approx(by_generation, abs=0.03)


def test_orders_give_every_round_a_time_of_its_own(study: Any) -> None:
    shape = study.Shape(1, 4, 6, 3)
    assert study.rounds_in_turns(shape)[:, 0].tolist() == [0, 1, 2, 3]
    assert study.rounds_in_rows(shape)[:, :3].tolist() == [[0, 1, 8], [2, 3, 10], [4, 5, 12], [6, 7, 14]]
    for order in (study.rounds_in_turns, study.rounds_in_rows):
        assert sorted(order(shape).ravel()) == list(range(24))


def test_what_hits_both_arms_of_a_round_alike_cancels(study: Any) -> None:
    shape = study.Shape(50, 6, 40)
    drifting = study.drifting_host(np.random.default_rng(1), shape)
    assert drifting.max() > math.log(1.2)
    assert abs(study.ratios_of(drifting)).mean() < 0.005


def test_every_noise_favours_neither_arm(study: Any) -> None:
    for name, model in study.MODELS.items():
        means = study.means(model.draw(np.random.default_rng(4), study.Shape(200, 10, 30)))
        assert abs(means.mean()) < 4 * means.mean(axis=1).std() / math.sqrt(200), name


def test_what_falls_is_known_for_each_family(study: Any) -> None:
    p = np.array([[0.008, 0.04, 0.04, 0.04, 0.04, 0.04], [0.024, 0.009, 0.5, 0.5, 0.5, 0.5], [0.04] * 6])
    fails = {name: of(p, 0.05).sum(axis=1).tolist() for name, (_, of) in study.FAMILIES.items()}
    assert fails == {
        "holm": [1, 0, 0],  # 6 * 0.008 is enough, 5 * 0.04 is not; 6 * 0.009 is not
        "weighted": [1, 2, 0],  # 0.024 / 0.5 is, and then 0.009 / 0.1 * 0.5; 0.04 / 0.5 is not
        "hochberg": [6, 0, 6],  # the largest is at most 0.05, and with it all
        "sequence": [6, 2, 6],
        "unadjusted": [6, 2, 6],
    }


# --- the command ---


def test_what_is_there_is_not_computed_again(study: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "study.json"

    def computed(runs: int = 6, seed: int = 1, *, again: bool = False) -> list[str]:
        study.simulate(data, runs, seed, ["warming_up"], again=again)
        return [line.split(":")[0] for line in capsys.readouterr().err.splitlines()]

    cell = ["coverage/warming_up/10x66/3"]
    assert computed() == cell
    first = data.read_text(encoding="utf-8")
    assert computed() == []
    assert computed(again=True) == cell
    assert data.read_text(encoding="utf-8") == first
    assert computed(seed=2) == cell
    assert data.read_text(encoding="utf-8") != first
    assert computed(runs=7, seed=2) == cell


def test_a_cell_that_no_table_asks_for_leaves_the_file(study: Any, tmp_path: Path) -> None:
    data = tmp_path / "study.json"
    data.write_text(json.dumps({"gone/normal/1x1/1": {"asked": {}, "results": {}}}), encoding="utf-8")
    assert study.simulate(data, 6, 1, [], again=False) == {}
    assert json.loads(data.read_text(encoding="utf-8")) == {}


def test_the_command_prints_the_tables_of_what_it_has(
    study: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--runs", "6", "--seed", "3", "--models", "warming_up", "--data", str(tmp_path / "study.json")]
    monkeypatch.setattr(sys, "argv", ["simulate_method.py", *options])
    assert study.main() == 0
    out = capsys.readouterr().out
    assert "\nCoverage of 95 % intervals\n\n| noise | t, mean |" in out
    assert "| one process 3 % slower at first | " in out
    assert "one process in 8" not in out
    assert "(6 runs a cell)" in out
