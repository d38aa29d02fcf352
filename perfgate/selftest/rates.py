"""How often does a whole gate say FAIL, PASS or INVALID, by dose, and how sure is that?

Comes in: a pool, and the plan of a profile. Goes out: `DoseRates` for a dose. Thousands of gates are composed and
judged (gates.py); processes are what varies, so that the intervals come from drawing the pool's processes anew. No I/O.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from perfgate.experiment.arms import BASELINE, CANDIDATE, Arm
from perfgate.experiment.comparison import compare, noise_of_comparison
from perfgate.experiment.comparison_plan import NOISE, planned_for
from perfgate.experiment.measurement import Measurement
from perfgate.selftest.doses import FIRST, LASTING, NONE, SIDES, Dose, arm_name
from perfgate.selftest.gates import GatePlan, GateResult, Pool, judged
from perfgate.selftest.pool_file import DIRECT
from perfgate.selftest.rivals import RIVALS, Process, Window
from perfgate.stats.comparison import Noise
from perfgate.thresholds import Comparing, Thresholds
from perfgate.verdict import Verdict

SCENARIO: Final = "regression"
#: Of a bootstrap interval.
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Share:
    """A share of gates, 0 to 1, with its 95 % interval over the pools that this one might have been."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class DoseRates:
    """What gates of one profile say under one dose.

    Args:
        profile, dose: names.
        gates: how many were composed for `value` of each share.
        fail, passed, invalid: shares of the whole gate's verdict.
        found_by: of each metric, the share of gates in which it failed.
        undecided: likewise, in which it was INVALID.
        minutes_p50, minutes_p95: until the verdict.
    """

    profile: str
    dose: str
    gates: int
    fail: Share
    passed: Share
    invalid: Share
    found_by: Mapping[str, float]
    undecided: Mapping[str, float]
    minutes_p50: float
    minutes_p95: float


@dataclass(frozen=True, slots=True)
class RivalRates:
    """How often another rule says FAIL of the same gates.

    Args:
        rule, data: names, see `rivals.Rival`.
        dose: its name.
        gates: how many.
        fail: the share.
    """

    rule: str
    data: str
    dose: str
    gates: int
    fail: Share


@dataclass(frozen=True, slots=True)
class Effect:
    """What a dose does to a metric, from all processes and rounds of the pool: as a ratio, above 1 is worse."""

    dose: str
    metric: str
    ratio: float
    low: float
    high: float


def plan_of(thresholds: Thresholds, profile: str, *, noise: Noise, memory_bytes: int, rounds_max: int) -> GatePlan:
    """How a profile would run its comparison on a host of this noise, as far as the pool's rounds go.

    Args:
        thresholds: the file.
        profile: its name.
        noise: of the host, as an earlier comparison there would have shown it.
        memory_bytes: free for gateways.
        rounds_max: of the pool.

    Raises:
        BadInput: time or memory is too short.
    """
    asked = thresholds.scenarios[SCENARIO]
    assert isinstance(asked.rounds, Comparing), "it compares"
    limits = {metric: limit.in_profile(profile) for metric, limit in asked.limits.items()}
    planned = planned_for(asked, profile, processes=1, memory_bytes=memory_bytes, noise=noise)
    rounds = planned.fitted(asked.rounds.minutes_of(profile) * 60 - planned.starting_s)
    per_look = min(rounds.look_every, rounds_max // rounds.looks)
    measuring_s = rounds.generations * per_look * planned.round_s
    return GatePlan(
        profile,
        rounds.generations,
        per_look,
        rounds.looks,
        tuple((planned.starting_s + look * measuring_s) / 60 for look in range(1, rounds.looks + 1)),
        limits,
        thresholds.apparatus,
    )


def noise_of_pool(pool: Pool, rng: random.Random) -> Noise:
    """How noisy the pool's host is, as a comparison of all its pairs of equal processes would have seen it."""
    windows = []
    for generation, pair in enumerate(pool.pairs(pool.pair_count, rng)):
        for arm, side in ((BASELINE, pair.baseline), (CANDIDATE, pair.candidate(NONE))):
            of_process = pool.cells[pair.batch, arm_name(side, NONE), pair.generation]
            windows += [replace(window, arm=arm, generation=generation) for window in of_process]
    measured = replace(pool.batches[0], windows=tuple(windows))
    found = noise_of_comparison(measured)
    # A spread of 0 would promise what no host keeps.
    return Noise(max(found.process_sd, NOISE.process_sd / 10), found.round_sd)


def rates(
    pool: Pool, plan: GatePlan, dose: Dose, *, gates: int, replicates: int, gates_each: int, seed: int
) -> DoseRates:
    """Compose and judge gates of one dose.

    Args:
        pool, plan, dose: see there.
        gates: for the shares.
        replicates: pools that are drawn anew for the intervals.
        gates_each: in each of them; few make intervals wider than they need be.
        seed: of all that is drawn.
    """
    rng = random.Random(f"{seed}/{plan.profile}/{dose.name}")
    results = [judged(pool, pool.pairs(plan.generations, rng), dose, plan) for _ in range(gates)]
    again: dict[Verdict, list[float]] = {verdict: [] for verdict in Verdict}
    for drawn in (pool.resampled(rng) for _ in range(replicates)):
        of_one = [judged(drawn, drawn.pairs(plan.generations, rng), dose, plan) for _ in range(gates_each)]
        for verdict, of_verdict in again.items():
            of_verdict.append(_share_of(of_one, verdict))
    shares = {verdict: _share(_share_of(results, verdict), again[verdict]) for verdict in Verdict}
    failed = Counter(metric for result in results for metric in result.failed)
    invalid = Counter(metric for result in results for metric in result.invalid)
    minutes = [result.minutes for result in results]
    return DoseRates(
        plan.profile,
        dose.name,
        gates,
        shares[Verdict.FAIL],
        shares[Verdict.PASS],
        shares[Verdict.INVALID],
        {metric: failed[metric] / gates for metric in plan.limits},
        {metric: invalid[metric] / gates for metric in plan.limits},
        float(np.percentile(minutes, 50)),
        float(np.percentile(minutes, 95)),
    )


def rival_rates(
    pool: Pool, plan: GatePlan, dose: Dose, *, gates: int, replicates: int, gates_each: int, seed: int
) -> Sequence[RivalRates]:
    """The same for the rules that others use, on gates composed likewise, with all their rounds."""
    rng = random.Random(f"{seed}/rivals/{plan.profile}/{dose.name}")
    known: dict[tuple[int, str, int], Process] = {}
    fallen = _fallen(pool, plan, dose, gates, rng, known)
    again = [
        _fallen(drawn, plan, dose, gates_each, rng, known) for drawn in (pool.resampled(rng) for _ in range(replicates))
    ]
    return [
        RivalRates(
            rival.name,
            rival.data,
            dose.name,
            gates,
            _share(float(fallen[:, place].mean()), [float(one[:, place].mean()) for one in again]),
        )
        for place, rival in enumerate(RIVALS)
    ]


def effects(pool: Pool, dose: Dose, metrics: Sequence[str], alpha: float = 0.05) -> Sequence[Effect]:
    """What a dose really does: each process under it against itself without; where it lasts, against one of a pair."""
    windows = []
    rounds = pool.batches[0].rounds_planned_max
    under = [(LASTING, FIRST)] if dose.has_own_processes else [(side, side) for side in SIDES]
    of_each = [
        (batch, generation, *sides)
        for batch, of_batch in enumerate(pool.pairs_of)
        for generation in of_batch
        for sides in under
    ]
    for number, (batch, generation, with_it, without) in enumerate(of_each):
        before = pool.window(batch, arm_name(without, NONE), generation, rounds)
        after = pool.window(batch, arm_name(with_it, dose), generation, rounds)
        windows += [
            replace(before, arm=BASELINE, generation=number),
            replace(after, arm=CANDIDATE, generation=number),
        ]
    windows += [pool.window(batch, DIRECT, 0, rounds) for batch in range(len(pool.batches))]
    first = pool.batches[0]
    arms = (Arm(DIRECT, None), Arm(BASELINE, first.arms[1].gateway), Arm(CANDIDATE, first.arms[1].gateway))
    measured = Measurement(first.scenario, arms, first.schedule, tuple(windows), direct_schedule=first.direct_schedule)
    found = {metric: compare(measured, metric).slowdown for metric in metrics}
    return [Effect(dose.name, metric, one.ratio, one.low(alpha), one.high(alpha)) for metric, one in found.items()]


def _fallen(
    pool: Pool,
    plan: GatePlan,
    dose: Dose,
    gates: int,
    rng: random.Random,
    known: dict[tuple[int, str, int], Process],
) -> "np.ndarray[tuple[int, int], np.dtype[np.bool_]]":
    """Which gates fall by which rule, shape (gates, rules)."""
    rounds = plan.rounds_per_look * plan.looks

    def process(batch: int, arm: str, number: int) -> Process:
        key = (batch, arm, number)
        if key not in known:
            known[key] = [
                Window(
                    np.repeat(window.load.latency.values_us, window.load.latency.counts) / 1000,
                    window.load.throughput_rps,
                )
                for window in pool.windows(*key, rounds)
            ]
        return known[key]

    fallen = np.zeros((gates, len(RIVALS)), dtype=np.bool_)
    for gate in range(gates):
        pairs = pool.pairs(plan.generations, rng)
        before = [process(pair.batch, arm_name(pair.baseline, NONE), pair.generation) for pair in pairs]
        after = [process(pair.batch, arm_name(pair.candidate(dose), dose), pair.generation) for pair in pairs]
        fallen[gate] = [rival.is_broken(before, after) for rival in RIVALS]
    return fallen


def _share_of(results: Sequence[GateResult], verdict: Verdict) -> float:
    return sum(result.verdict is verdict for result in results) / len(results)


def _share(value: float, again: Sequence[float]) -> Share:
    """With the percentile interval of the bootstrap; of no replicates, none is known."""
    if not again:
        return Share(value, 0.0, 1.0)
    tail = 100 * (1 - CONFIDENCE) / 2
    return Share(value, float(np.percentile(again, tail)), float(np.percentile(again, 100 - tail)))
