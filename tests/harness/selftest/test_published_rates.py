"""Do the published rates follow from the published rounds, and does the README say what they say?"""

import json
import math
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pytest

from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.metrics import METRICS
from perfgate.selftest.command import pool_of
from perfgate.selftest.curve import power_curve
from perfgate.selftest.doses import CPU_10, DOSES, LEAK, NONE, STALL, Dose
from perfgate.selftest.gates import GatePlan, Pool
from perfgate.selftest.pool_file import BatchFacts
from perfgate.selftest.published import DEFAULT_POOL
from perfgate.selftest.rates import noise_of_pool, plan_of, rates, rival_rates
from perfgate.selftest.tables import headline, tables
from perfgate.thresholds import load_thresholds

ROOT: Final = Path(__file__).parents[3]
FOLDER: Final = ROOT / DEFAULT_POOL
FOUND: Final[dict[str, Any]] = json.loads((FOLDER / "rates.json").read_text(encoding="utf-8"))
#: Recomputed of each share: fewer than were published, so that a share may differ by what so few leave to chance.
GATES: Final = 120
#: Of that share: a chance of some 1 in 15,000 of being further off.
STANDARD_ERRORS: Final = 4
#: Committed data stay under this.
SIZE_MAX_BYTES: Final = 20 * 10**6

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("published")]


@pytest.fixture(scope="module")
def published() -> tuple[tuple[BatchFacts, ...], Pool]:
    return pool_of(FOLDER)


def plan_for(profile: str, facts: BatchFacts, pool: Pool) -> GatePlan:
    thresholds = load_thresholds(ROOT / "thresholds.yaml", METRICS, FIGURES)
    noise = noise_of_pool(pool, random.Random(FOUND["seed"]))
    memory_bytes = facts.host["memory_bytes"]
    return plan_of(thresholds, profile, noise=noise, memory_bytes=memory_bytes, rounds_max=facts.rounds_planned)


def shares_of(profile: str, dose: Dose) -> dict[str, Any]:
    (one,) = (rate for rate in FOUND["rates"] if (rate["profile"], rate["dose"]) == (profile, dose.name))
    return dict(one)


def assert_could_be(recomputed: float, share: float) -> None:
    sd = math.sqrt(max(share * (1 - share), 1 / GATES) / GATES)
    assert abs(recomputed - share) <= STANDARD_ERRORS * sd, (recomputed, share)


def test_the_pool_is_as_large_as_is_said(published: tuple[tuple[BatchFacts, ...], Pool]) -> None:
    facts, pool = published
    processes = {
        (number, window.arm.split(":")[0], window.generation)
        for number, batch in enumerate(pool.batches)
        for window in batch.windows
        if window.gateway is not None
    }
    assert len(processes) == 3 * pool.pair_count >= 40
    assert (FOUND["pairs"], FOUND["rounds"]) == (pool.pair_count, facts[0].rounds_planned)
    assert FOUND["windows"] == sum(len(batch.windows) for batch in pool.batches)
    assert [one["began_utc"] for one in FOUND["batches"]] == [one.began_utc for one in facts]
    assert len({(one.host["cpu_model"], one.packages_sha256) for one in facts}) == 1
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < SIZE_MAX_BYTES


def test_the_gates_are_those_that_the_limits_make_today(published: tuple[tuple[BatchFacts, ...], Pool]) -> None:
    facts, pool = published
    assert asdict(noise_of_pool(pool, random.Random(FOUND["seed"]))) == pytest.approx(FOUND["noise"])
    for said in FOUND["plans"]:
        plan = plan_for(said["profile"], facts[0], pool)
        assert (plan.generations, plan.rounds_per_look, plan.looks) == (
            said["generations"],
            said["rounds_per_look"],
            said["looks"],
        )
        margins = {metric: limit.margin for metric, limit in plan.limits.items()}
        assert margins == said["margins"], "limits have changed: `perfgate selftest rates` has to be run again"


@pytest.mark.parametrize("dose", [NONE, CPU_10, STALL, LEAK], ids=lambda dose: dose.name)
def test_the_headline_follows_from_the_rounds(dose: Dose, published: tuple[tuple[BatchFacts, ...], Pool]) -> None:
    facts, pool = published
    plan = plan_for("gate", facts[0], pool)
    again = rates(pool, plan, dose, gates=GATES, replicates=0, gates_each=1, seed=2)
    said = shares_of("gate", dose)
    for verdict in ("fail", "passed", "invalid"):
        assert_could_be(getattr(again, verdict).value, said[verdict]["value"])
    for metric, share in said["found_by"].items():
        assert_could_be(again.found_by[metric], share)


def test_so_do_the_false_alarms_of_other_rules(published: tuple[tuple[BatchFacts, ...], Pool]) -> None:
    facts, pool = published
    again = rival_rates(pool, plan_for("gate", facts[0], pool), NONE, gates=GATES, replicates=0, gates_each=1, seed=2)
    said = {(one["rule"], one["data"]): one["fail"]["value"] for one in FOUND["rivals"] if one["dose"] == NONE.name}
    assert len(said) == len(again)
    for one in again:
        assert_could_be(one.fail.value, said[one.rule, one.data])


def test_tables_and_curve_are_made_of_the_same_figures() -> None:
    assert (FOLDER / "rates.md").read_text(encoding="utf-8") == tables(FOUND)
    assert {one["dose"] for one in FOUND["rates"]} == {dose.name for dose in DOSES}
    assert "<svg" in power_curve(FOUND)[:2_000]
    assert "<svg" in (FOLDER / "power.svg").read_text(encoding="utf-8")[:2_000]


def test_the_readme_begins_with_this_table() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = readme.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    table = headline(FOUND).splitlines()
    assert lines[first : first + len(table)] == table
