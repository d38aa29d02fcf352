"""What would a gate have said, had it been run with these processes of the pool?

Comes in: batches of the pool, a dose, the plan of a profile, its limits. Goes out: a `GateResult`. A gate is composed
of pairs of processes that were asked in turn; its windows are theirs, and it is judged by the code that judges live
runs, look by look. No I/O.

    Pool --drawn--> pairs --composed--> Measurement of a look --judge_comparison--> GateResult
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from perfgate.comparison_verdict import judge_comparison
from perfgate.experiment import health
from perfgate.experiment.arms import BASELINE, CANDIDATE, Arm
from perfgate.experiment.measurement import GatewayUse, Measurement, Window
from perfgate.measure.histogram import Histogram
from perfgate.selftest.doses import FIRST, LASTING, NONE, SECOND, SIDES, Dose, arm_name
from perfgate.selftest.pool_file import DIRECT
from perfgate.thresholds import Apparatus, Limit
from perfgate.verdict import Judgement, Verdict


class PoolTooSmall(ValueError):
    """Fewer pairs of processes than the gate has generations."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two processes that were asked in turn.

    Args:
        batch: its place in the pool.
        generation: which pair of the batch.
        baseline: which side of it is the baseline.
    """

    batch: int
    generation: int
    baseline: str

    def candidate(self, dose: Dose) -> str:
        """The other side; of a dose that lasts, the process that has it."""
        if dose.has_own_processes:
            return LASTING
        return SECOND if self.baseline == FIRST else FIRST


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
    """Batches, and the pairs of processes that may be drawn.

    Args:
        batches: as measured.
        pairs_of: of each batch, the pairs that may be drawn, as generations; one may stand there more than once
            (bootstrap).
        cells: the windows of each batch, arm and generation, in the order of time; all of the direct arm's as
            generation 0.
    """

    batches: tuple[Measurement, ...]
    pairs_of: tuple[tuple[int, ...], ...]
    cells: Mapping[tuple[int, str, int], tuple[Window, ...]] = field(repr=False)
    _merged: dict[tuple[int, str, int, int], Window] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, batches: Sequence[Measurement]) -> "Pool":
        """A pool of which every pair of every batch may be drawn once."""
        cells: dict[tuple[int, str, int], list[Window]] = {}
        for number, batch in enumerate(batches):
            for window in sorted(batch.windows, key=lambda window: window.round):
                generation = 0 if window.arm == DIRECT else window.generation
                cells.setdefault((number, window.arm, generation), []).append(window)
        every = tuple(
            tuple(generation for batch, arm, generation in cells if batch == number and arm == arm_name(FIRST, NONE))
            for number in range(len(batches))
        )
        return cls(tuple(batches), every, {key: tuple(windows) for key, windows in cells.items()})

    @property
    def pair_count(self) -> int:
        """How many may be drawn."""
        return sum(len(of_batch) for of_batch in self.pairs_of)

    def resampled(self, rng: random.Random) -> "Pool":
        """Another that this one might have been: as many pairs of each batch, drawn with replacement.

        Processes are what varies: windows of one process tell little of what another would do.
        """
        drawn = tuple(tuple(rng.choices(of_batch, k=len(of_batch))) for of_batch in self.pairs_of)
        return Pool(self.batches, drawn, self.cells, self._merged)

    def pairs(self, count: int, rng: random.Random) -> tuple[Pair, ...]:
        """So many pairs at random, none twice, either side the baseline.

        Raises:
            PoolTooSmall: there are not so many.
        """
        if self.pair_count < count:
            raise PoolTooSmall(
                f"the pool has {self.pair_count} pairs of processes, and a gate of {count} generations needs that "
                "many: collect more batches"
            )
        every = [(batch, generation) for batch, of_batch in enumerate(self.pairs_of) for generation in of_batch]
        return tuple(Pair(batch, generation, rng.choice(SIDES)) for batch, generation in rng.sample(every, count))

    def windows(self, batch: int, arm: str, generation: int, rounds: int) -> Sequence[Window]:
        """A process' windows of one arm in the first rounds, in the order of time."""
        return [window for window in self.cells[batch, arm, generation] if window.round < rounds]

    def window(self, batch: int, arm: str, generation: int, rounds: int) -> Window:
        """The same, all as one; see `as_one`."""
        key = (batch, arm, generation, rounds)
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
        before = pool.window(pair.batch, arm_name(pair.baseline, NONE), pair.generation, rounds)
        after = pool.window(pair.batch, arm_name(pair.candidate(dose), dose), pair.generation, rounds)
        windows += [
            replace(before, arm=BASELINE, generation=generation),
            replace(after, arm=CANDIDATE, generation=generation),
        ]
    return tuple(windows)


def looks(pool: Pool, pairs: Sequence[Pair], dose: Dose, plan: GatePlan) -> Iterator[Measurement]:
    """The measurement at each look of a gate, in the order of time."""
    batch = pool.batches[0]
    by_name = {arm.name: arm for arm in batch.arms}
    candidate = arm_name(LASTING if dose.has_own_processes else SECOND, dose)
    before, after = by_name[arm_name(FIRST, NONE)].gateway, by_name[candidate].gateway
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
