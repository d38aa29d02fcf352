"""Does loading both arms at the same moment (a duet) tell more in the same time than loading them in turn?

    python tools/study_duet.py --litellm 1.79.3 --generations 6 --rounds 60

Two gateways of one release in each generation, each on a core of its own where there are two. Every round has both
designs in random order: a window of each arm in turn, and one of both at once, by a generator each. Prints the spread
of the pair's log ratio for both designs, and what it comes to for equal time. With fewer than four cores the generators
share cores with the gateways, so that it is not the experiment that such a host would run.
"""

import argparse
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

import numpy as np

from perfgate.experiment.arms import BASELINE, CANDIDATE, PLAIN_MODEL, GatewaySpec
from perfgate.experiment.bench import RunningGateway, StackBench
from perfgate.load.job import LoadJob
from perfgate.load.result import LoadResult
from perfgate.load.runner import Generator
from perfgate.load.schedule import ClosedLoop
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release

#: One load of one gateway: CPU and p50, or whatever else a request costs, by the name of the metric.
Figures = dict[str, float]
IN_TURN: Final = "in turn"
DUET: Final = "duet"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--litellm", default=DEFAULT_RELEASE, help="release (%(default)s)")
    made.add_argument("--generations", type=int, default=6)
    made.add_argument("--rounds", type=int, default=60, help="in each generation (%(default)s)")
    made.add_argument("--users", type=int, default=2, help="of each arm (%(default)s)")
    made.add_argument("--seconds", type=float, default=0.15, help="of a window (%(default)g)")
    made.add_argument("--seed", type=int, default=1)
    return made


def main() -> int:
    options = parser().parse_args()
    specs = [GatewaySpec(Release(options.litellm), apart=name) for name in (BASELINE, CANDIDATE)]
    schedule = ClosedLoop(options.users, warm_up_s=0, window_s=options.seconds, tail_s=10)
    ratios: dict[tuple[str, str], list[float]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    cores = sorted(os.sched_getaffinity(0))
    with StackBench(EnvironmentCache.of_user(os.environ)) as bench, Generator() as second, ExitStack() as until_closed:
        started = bench.start_gateways(specs * options.generations, until_closed)
        pairs = [(started[i], started[i + 1]) for i in range(0, len(started), 2)]
        for pair in pairs:
            for gateway, core in zip(pair, cores[-2:], strict=False):
                for up in gateway.instances:
                    up.pin([core])
                loaded(bench.generator, gateway, schedule, seed=0)  # its first requests are not those of later
        order = random.Random(options.seed)
        for _ in range(options.rounds):
            for pair in order.sample(pairs, len(pairs)):
                for design in order.sample((IN_TURN, DUET), 2):
                    began_mono_s = time.monotonic()
                    figures = run(design, (bench.generator, second), pair, schedule, order)
                    seconds[design] += time.monotonic() - began_mono_s
                    for metric in figures[0]:
                        ratios[design, metric].append(float(np.log(figures[1][metric] / figures[0][metric])))
    report(ratios, seconds)
    return 0


def run(
    design: str,
    generators: Sequence[Generator],
    pair: Sequence[RunningGateway],
    schedule: ClosedLoop,
    order: random.Random,
) -> list[Figures]:
    """One round of one design: the figures of each arm."""
    seeds = [order.getrandbits(32) for _ in pair]
    loads: list[Callable[[], Figures]] = [
        lambda arm=arm, generator=generator: loaded(generator, pair[arm], schedule, seeds[arm])  # type: ignore[misc]
        for arm, generator in enumerate(generators if design == DUET else (generators[0], generators[0]))
    ]
    if design == DUET:
        with ThreadPoolExecutor(2) as pool:
            return [future.result() for future in [pool.submit(load) for load in loads]]
    turns = {arm: loads[arm]() for arm in order.sample((0, 1), 2)}
    return [turns[0], turns[1]]


def loaded(generator: Generator, gateway: RunningGateway, schedule: ClosedLoop, seed: int) -> Figures:
    """The figures of one window."""
    before = gateway.uses()
    result: LoadResult = generator.run(LoadJob(gateway.targets(PLAIN_MODEL), schedule, seed))
    cpu_s = sum(after.cpu_s_since(was) for after, was in zip(gateway.uses(), before, strict=True))
    return {
        "CPU per request": cpu_s / result.completed,
        "p50": result.latency.percentile_ms(50),
        "p95": result.latency.percentile_ms(95),
    }


def report(ratios: dict[tuple[str, str], list[float]], seconds: dict[str, float]) -> None:
    rounds = len(next(iter(ratios.values())))
    print(f"{rounds} rounds of each design; seconds a round: ", end="")
    print(", ".join(f"{design} {seconds[design] / rounds:.3f}" for design in (IN_TURN, DUET)))
    print("| metric | SD of the pair, in turn | SD, duet | standard error for equal time, duet / in turn |")
    print("|---|---|---|---|")
    for metric in dict.fromkeys(metric for _, metric in ratios):
        sd = {design: float(np.std(ratios[design, metric], ddof=1)) for design in (IN_TURN, DUET)}
        for_equal_time = sd[DUET] / sd[IN_TURN] * (seconds[DUET] / seconds[IN_TURN]) ** 0.5
        print(f"| {metric} | {sd[IN_TURN]:.1%} | {sd[DUET]:.1%} | {for_equal_time:.2f} |")


if __name__ == "__main__":
    sys.exit(main())
