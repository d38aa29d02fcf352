"""What would a gate have said, had it been run with these processes of the pool?

Comes in: batches of the pool, a dose, the plan of a profile, its limits. Goes out: a `GateResult`. A gate is composed
of pairs of processes of one batch; its windows are theirs, and it is judged by the code that judges live runs, look by
look. No I/O.

    Pool --drawn--> pairs --composed--> Measurement of a look --judge_comparison--> GateResult
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from perfgate.comparison_verdict import judge_comparison
from perfgate.experiment import health
from perfgate.experiment.arms import BASELINE, CANDIDATE, Arm
from perfgate.experiment.measurement import GatewayUse, Measurement, Window
from perfgate.measure.histogram import Histogram
from perfgate.selftest.doses import NONE, Dose
from perfgate.selftest.pool_file import DIRECT
from perfgate.thresholds import Apparatus, Limit
from perfgate.verdict import Judgement, Verdict

#: Of a batch whose processes are drawn twice over, as a bootstrap does, some orders put one beside itself.
SHUFFLES_MAX: Final = 1_000


class PoolTooSmall(ValueError):
    """Fewer pairs of processes than the gate has generations."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two processes of one batch.

    Args:
        batch: its place in the pool.
        baseline, candidate: the processes, as generations of the batch.
    """

    batch: int
    baseline: int
    candidate: int


@dataclass(frozen=True, slots=True)
class GatePlan:
    """A gate as a profile would run it.

    Args:
        profile: its name.
        generations: of each arm.
        rounds_per_look: in each generation, between two looks.
        looks: at most.
        minutes: from its start to the end of each look, shape (looks,).
        limits: by metric, as they hold in the profile.
        apparatus: its limits.
    """

    profile: str
    generations: int
    rounds_per_look: int
    looks: int
    minutes: tuple[float, ...]
    limits: Mapping[str, Limit]
    apparatus: Apparatus


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a whole gate said.

    Args:
        verdict: FAIL where any limit failed, else INVALID where any was not decided.
        failed, invalid: the metrics that were.
        minutes: until it was said.
    """

    verdict: Verdict
    failed: tuple[str, ...]
    invalid: tuple[str, ...]
    minutes: float


@dataclass(frozen=True, slots=True)
class Pool:
    """Batches, and the processes that may be drawn.

    Args:
        batches: as measured.
        processes: of each batch, those that may be drawn, as generations; one may stand there more than once
            (bootstrap).
        cells: the windows of each batch, arm and process, in the order of time; the direct arm's all as process 0.
    """

    batches: tuple[Measurement, ...]
    processes: tuple[tuple[int, ...], ...]
    cells: Mapping[tuple[int, str, int], tuple[Window, ...]] = field(repr=False)
    _merged: dict[tuple[int, str, int, int], Window] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, batches: Sequence[Measurement]) -> "Pool":
        """A pool of which every process of every batch may be drawn once."""
        cells: dict[tuple[int, str, int], list[Window]] = {}
        for number, batch in enumerate(batches):
            for window in sorted(batch.windows, key=lambda window: window.round):
                process = 0 if window.arm == DIRECT else window.generation
                cells.setdefault((number, window.arm, process), []).append(window)
        every = tuple(
            tuple(process for batch, arm, process in cells if batch == number and arm == NONE.name)
            for number in range(len(batches))
        )
        return cls(tuple(batches), every, {key: tuple(windows) for key, windows in cells.items()})

    def resampled(self, rng: random.Random) -> "Pool":
        """Another that this one might have been: as many processes of each batch, drawn with replacement.

        Processes are what varies: windows of one process tell little of what another would do.
        """
        drawn = tuple(tuple(rng.choices(of_batch, k=len(of_batch))) for of_batch in self.processes)
        return Pool(self.batches, drawn, self.cells, self._merged)

    def pairs(self, count: int, dose: Dose, rng: random.Random) -> tuple[Pair, ...]:
        """So many pairs at random, no process twice, of the batches at random.

        Raises:
            PoolTooSmall: there are not so many.
        """
        found: list[Pair] = []
        for batch, processes in enumerate(self.processes):
            order = list(processes)
            if dose.has_own_processes:  # those of the dose are others than those of the baseline
                rng.shuffle(order)
                leaking = list(processes)
                rng.shuffle(leaking)
                found += [Pair(batch, *both) for both in zip(order, leaking, strict=True)]
                continue
            for _ in range(SHUFFLES_MAX):
                rng.shuffle(order)
                both = list(zip(order[::2], order[1::2], strict=False))
                if all(one != other for one, other in both):
                    break
            found += [Pair(batch, one, other) for one, other in both if one != other]
        if len(found) < count:
            raise PoolTooSmall(
                f"the pool has {len(found)} pairs of processes for {dose.name!r}, and a gate of {count} generations "
                "needs that many: collect more batches"
            )
        return tuple(rng.sample(found, count))

    def windows(self, batch: int, arm: str, process: int, rounds: int) -> Sequence[Window]:
        """A process' windows of one arm in the first rounds, in the order of time."""
        return [window for window in self.cells[batch, arm, process] if window.round < rounds]

    def window(self, batch: int, arm: str, process: int, rounds: int) -> Window:
        """The same, all as one; see `as_one`."""
        key = (batch, arm, process, rounds)
        if key not in self._merged:
            self._merged[key] = as_one(self.windows(*key))
        return self._merged[key]


def as_one(windows: Sequence[Window]) -> Window:
    """Windows of one process as one window that gives the same figures.

    Sums stay sums, memory is the mean, and the generator's CPU that of its busiest window: it is judged by the maximum.
    Its length is the sum of theirs.
    """
    first, loads = windows[0], [window.load for window in windows]
    seconds = sum(load.drained_mono_s - load.window_opened_mono_s for load in loads)
    load = replace(
        first.load,
        offered=sum(one.offered for one in loads),
        sent=sum(one.sent for one in loads),
        completed=sum(one.completed for one in loads),
        succeeded=sum(one.succeeded for one in loads),
        errors=tuple(error for one in loads for error in one.errors),
        latency=Histogram.merged([one.latency for one in loads]),
        dispatch_lag=Histogram.merged([one.dispatch_lag for one in loads]),
        window_opened_mono_s=0.0,
        window_closed_mono_s=seconds,
        drained_mono_s=seconds,
        generator_cpu_s=seconds * max(one.generator_cpu_ratio for one in loads),
        in_flight_max=max(one.in_flight_max for one in loads),
        sent_by_target=(sum(one.sent for one in loads),),
    )
    uses = [window.gateway for window in windows if window.gateway is not None]
    use = None
    if uses:
        use = GatewayUse(
            cpu_s=sum(use.cpu_s for use in uses),
            rss_before_bytes=uses[0].rss_before_bytes,
            rss_after_bytes=round(float(np.mean([use.rss_after_bytes for use in uses]))),
            requests=sum(use.requests for use in uses),
            cpu_resolution_ms=max(use.cpu_resolution_ms for use in uses),
        )
    return Window(first.arm, first.generation, 0, 0, first.seed, load, use)


def composed(pool: Pool, pairs: Sequence[Pair], dose: Dose, rounds: int) -> tuple[Window, ...]:
    """The windows of a gate after so many rounds: baseline and candidate of every pair, and the direct arm's.

    Direct windows are those of the first pair's batch: a gate has one in a round, as a batch has.
    """
    windows = [replace(pool.window(pairs[0].batch, DIRECT, 0, rounds), generation=0)]
    for generation, pair in enumerate(pairs):
        before = pool.window(pair.batch, NONE.name, pair.baseline, rounds)
        after = pool.window(pair.batch, dose.name, pair.candidate, rounds)
        windows += [
            replace(before, arm=BASELINE, generation=generation),
            replace(after, arm=CANDIDATE, generation=generation),
        ]
    return tuple(windows)


def looks(pool: Pool, pairs: Sequence[Pair], dose: Dose, plan: GatePlan) -> Iterator[Measurement]:
    """The measurement at each look of a gate, in the order of time."""
    batch = pool.batches[0]
    by_name = {arm.name: arm for arm in batch.arms}
    before, after = by_name[NONE.name].gateway, by_name[dose.name].gateway
    arms = (by_name[DIRECT], Arm(BASELINE, before), Arm(CANDIDATE, after))
    for look in range(1, plan.looks + 1):
        yield Measurement(
            batch.scenario,
            arms,
            batch.schedule,
            composed(pool, pairs, dose, plan.rounds_per_look * look),
            looks=plan.looks,
            look=look,
            rounds_planned_max=plan.generations * plan.rounds_per_look * plan.looks,
            stopped="the most rounds are done" if look == plan.looks else "",
            direct_schedule=batch.direct_schedule,
        )


def judged(pool: Pool, pairs: Sequence[Pair], dose: Dose, plan: GatePlan) -> GateResult:
    """The verdict of a whole gate: it ends at the first look at which every limit is decided, as a live one does."""
    found: Mapping[str, Judgement] = {}
    minutes = 0.0
    for look, measurement in enumerate(looks(pool, pairs, dose, plan)):
        found = judge_comparison(measurement, plan.limits, health.check(measurement, plan.apparatus))
        minutes = plan.minutes[look]
        if not any(judgement.is_open for judgement in found.values()):
            break
    by_verdict = {
        verdict: tuple(metric for metric, judgement in found.items() if judgement.verdict is verdict)
        for verdict in Verdict
    }
    failed, invalid = by_verdict[Verdict.FAIL], by_verdict[Verdict.INVALID]
    verdict = Verdict.FAIL if failed else Verdict.INVALID if invalid else Verdict.PASS
    return GateResult(verdict, failed, invalid, minutes)
