"""Do perfgate's own generator and Locust see the same latencies? Both against one mock that is as slow as it is told.

    python tools/compare_with_locust.py

Users who think send windows by turns from one generator and from the other, in random order within each round. Prints a
Markdown table of percentiles, taken from each generator's merged histogram, and their ratios; ends with status 1 when
p50 or p95 differ by more than 5 %, and with status 2 when requests failed or a generator was not fit.

The mock and the generators have a core each where there are two. A closed loop sends as much as its users ask for, so
the load is the same only as far as the latencies are.
"""

import argparse
import importlib.metadata
import os
import random
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from compare_load_generators import host, note, running_mock

from perfgate.load.job import LoadJob, Target
from perfgate.load.locust_fleet import LocustFleet
from perfgate.load.locust_runner import LocustGenerator
from perfgate.load.result import LoadResult
from perfgate.load.runner import Generator
from perfgate.load.schedule import ClosedLoop
from perfgate.measure.histogram import Histogram

#: By how much p50 and p95 may differ.
ALLOWED_RATIO: Final = 1.05
PERCENTILES: Final = (50.0, 95.0, 99.0)
JUDGED: Final = (50.0, 95.0)


def main() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay-ms", type=int, default=50, help="of the mock (%(default)s)")
    parser.add_argument("--users", type=int, default=20, help="(%(default)s)")
    parser.add_argument("--think", type=float, default=0.1, help="seconds, of every user (%(default)g)")
    parser.add_argument("--workers", type=int, default=1, help="of Locust (%(default)s)")
    parser.add_argument("--rounds", type=int, default=6, help="windows of each generator (%(default)s)")
    parser.add_argument("--seconds", type=float, default=4, help="length of each window (%(default)g)")
    parser.add_argument("--generator-cpu", type=int, default=cpus[0], help="core of the generators (%(default)s)")
    parser.add_argument("--mock-cpu", type=int, default=cpus[-1], help="core of the mock (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the order (%(default)s)")
    options = parser.parse_args()
    schedule = ClosedLoop(options.users, warm_up_s=1, window_s=options.seconds, think_time_s=options.think)
    results: dict[str, list[LoadResult]] = {"perfgate": [], "Locust": []}
    order = random.Random(options.seed)
    with (
        running_mock(options.mock_cpu) as (url, _),
        Generator() as ours,
        LocustGenerator(LocustFleet(workers=options.workers)) as locust,
    ):
        job = LoadJob((Target(url, f"mock-delay-{options.delay_ms}ms"),), schedule, cpus=(options.generator_cpu,))
        for number in range(options.rounds):
            for name in order.sample(sorted(results), len(results)):
                result = (ours if name == "perfgate" else locust).run(job)
                note(f"round {number + 1}, {name}: {words(result)}")
                results[name].append(result)
    latencies = {name: latency_of(of) for name, of in results.items()}
    print(f"{host()}; Locust {importlib.metadata.version('locust')}, {options.workers} workers;", end=" ")
    print(
        f"{options.users} users, {options.think:g} s of think time, mock with a delay of {options.delay_ms} ms;",
        end=" ",
    )
    print(f"{options.rounds} windows of {options.seconds:g} s each, in turn.\n")
    print("\n".join(table(results, latencies)))
    sys.exit(verdict(results, latencies))


def latency_of(results: Sequence[LoadResult]) -> Histogram:
    return Histogram.merged([result.latency for result in results])


def words(result: LoadResult) -> str:
    p50_ms, p95_ms = (result.latency.percentile_ms(percentile) for percentile in JUDGED)
    return (
        f"{result.sent:,} sent, {result.sent - result.succeeded} failed, p50 {p50_ms:.2f} ms, p95 {p95_ms:.2f} ms, "
        f"lag p99 {result.dispatch_lag.percentile_ms(99):.2f} ms, {100 * result.generator_cpu_ratio:.0f} % of a core"
    )


def table(results: Mapping[str, Sequence[LoadResult]], latencies: Mapping[str, Histogram]) -> list[str]:
    lines = [
        "| generator | requests | failed | latency p50, ms | p95 | p99 | dispatch lag p99, ms | CPU a request, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, of in results.items():
        sent = sum(result.sent for result in of)
        failed = sent - sum(result.succeeded for result in of)
        cpu_ms = 1000 * sum(result.generator_cpu_s for result in of) / max(1, sent)
        figures = " | ".join(f"{latencies[name].percentile_ms(percentile):.2f}" for percentile in PERCENTILES)
        lag_ms = Histogram.merged([result.dispatch_lag for result in of]).percentile_ms(99)
        lines.append(f"| {name} | {sent:,} | {failed} | {figures} | {lag_ms:.2f} | {cpu_ms:.3f} |")
    ratios = " | ".join(f"{ratio(latencies, percentile):.3f}" for percentile in PERCENTILES)
    return [*lines, f"| Locust / perfgate | | | {ratios} | | |"]


def ratio(latencies: Mapping[str, Histogram], percentile: float) -> float:
    return latencies["Locust"].percentile_ms(percentile) / latencies["perfgate"].percentile_ms(percentile)


def verdict(results: Mapping[str, Sequence[LoadResult]], latencies: Mapping[str, Histogram]) -> int:
    loads = [result for of in results.values() for result in of]
    if any(load.sent > load.succeeded or len(load.workers) < load.workers_expected for load in loads):
        print("\nnot judged: requests failed, or a worker was lost")
        return 2
    beyond = [p for p in JUDGED if not 1 / ALLOWED_RATIO <= ratio(latencies, p) <= ALLOWED_RATIO]
    print("\n" + (f"p{beyond[0]:g} differs by more than 5 %" if beyond else "p50 and p95 are within 5 %"))
    return 1 if beyond else 0


if __name__ == "__main__":
    main()
