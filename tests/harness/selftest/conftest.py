"""A pool whose truth is known: every process a little different, every dose worse by a ratio."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from perfgate.experiment.measurement import Measurement, Window
from perfgate.load.schedule import ClosedLoop, OpenLoop
from perfgate.measure.histogram import Histogram
from perfgate.selftest.doses import CPU_10, CPU_20, DOSES, LASTING, LEAK, SECOND, SIDES, Dose, arm_name
from perfgate.selftest.gates import Pool
from perfgate.selftest.pool_file import DIRECT, BatchFacts, arms_of
from tests.harness.synthetic import Truth, load_result, window_of

RELEASE: Final = "1.79.3"
#: Of the doses that do anything here.
RATIOS: Final[Mapping[Dose, float]] = {CPU_10: 1.1, CPU_20: 1.3, LEAK: 1.5}
#: What processes differ by, in turn.
WOBBLE: Final = (0.99, 1.01, 1.0, 1.015, 0.985, 1.005, 0.995, 1.01)
FACTS: Final = BatchFacts(
    release=RELEASE,
    arms=tuple(arm.name for arm in arms_of(RELEASE)),
    users=2,
    window_s=0.15,
    direct_rps=60.0,
    rounds_planned=6,
    seed=1,
    began_utc="2026-01-01T00:00:00+00:00",
    perfgate_version="0",
    host={"cores_allowed": 2, "cpu_model": "Some CPU", "memory_bytes": 24 * 2**30},
    packages_sha256="abc",
)


def batch(
    pairs: int = 4, rounds: int = 6, ratios: Mapping[Dose, float] = RATIOS, wobble: Sequence[float] = WOBBLE
) -> Measurement:
    """One batch; what leaks is, but for that, as the first of its pair."""
    windows: list[Window] = []
    for number in range(rounds):
        without = replace(load_result(1.0, requests=9, seed=number), latency=Histogram.of_us([1000] * 9))
        windows.append(Window(DIRECT, number % pairs, number, 0, number, without, None))
        for pair in range(pairs):
            for dose in DOSES:
                for side in (LASTING,) if dose.has_own_processes else SIDES:
                    process = 2 * pair + (side == SECOND)
                    truth = Truth().slower(wobble[process % len(wobble)] * ratios.get(dose, 1.0))
                    window = window_of(truth, arm_name(side, dose), pair, number, requests=100)
                    # The generator is busier from round to round: its maximum is the last one.
                    load = replace(window.load, generator_cpu_s=0.01 * (1 + number))
                    windows.append(replace(window, load=load, position=1 + process))
    return Measurement(
        "regression",
        arms_of(RELEASE),
        ClosedLoop(FACTS.users, warm_up_s=0, window_s=FACTS.window_s),
        tuple(windows),
        rounds_planned_max=rounds,
        direct_schedule=OpenLoop(FACTS.direct_rps, warm_up_s=0, window_s=FACTS.window_s),
    )


def pool(batches: int = 2, **of_each: Any) -> Pool:
    """Several batches that are alike; arguments are those of `batch`."""
    return Pool.of([batch(**of_each)] * batches)
