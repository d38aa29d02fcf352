"""Do perfgate's own generator and Locust see the same latencies? Both against one mock that is as slow as it is told.

    python tools/compare_with_locust.py

Users who think send windows by turns from one generator and from the other, in random order within each round. Prints a
Markdown table of percentiles, taken from each generator's merged histogram, and their ratios, with those of the single
rounds; ends with status 1 when p50 or p95 differ by more than 5 %, and with status 2 when nothing can be said: requests
failed, a generator was not fit, or what both saw was not the mock's delay.

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

from perfgate.lease import Lease
from perfgate.load.job import LoadJob, Target
from perfgate.load.locust_fleet import LocustFleet
from perfgate.load.locust_runner import LocustGenerator
from perfgate.load.result import LoadResult
from perfgate.load.runner import Generator
from perfgate.load.schedule import ClosedLoop
from perfgate.load.summary import DISPATCH_LAG_P99_MAX_MS
from perfgate.measure.histogram import Histogram

#: By how much p50 and p95 may differ.
ALLOWED_RATIO: Final = 1.05
PERCENTILES: Final = (50.0, 95.0, 99.0)
JUDGED: Final = (50.0, 95.0)
#: Of one core: as `apparatus` in thresholds.yaml has it.
CPU_RATIO_MAX: Final = 0.8
#: A p95 of 1,000 requests rests on the 50 slowest.
REQUESTS_MIN: Final = 1_000
#: From the mock's delay to the median: what the path to it and back takes, many times over.
ABOVE_DELAY_MS_MAX: Final = 5.0

Results = Mapping[str, Sequence[LoadResult]]


def parser() -> argparse.ArgumentParser:
    cpus = sorted(os.sched_getaffinity(0))
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--delay-ms", type=int, default=50, help="of the mock (%(default)s)")
    made.add_argument("--users", type=int, default=20, help="(%(default)s)")
    made.add_argument("--think", type=float, default=0.1, help="seconds, of every user (%(default)g)")
    made.add_argument("--workers", type=int, default=1, help="of Locust (%(default)s)")
    made.add_argument("--rounds", type=int, default=6, help="windows of each generator (%(default)s)")
    made.add_argument("--seconds", type=float, default=4, help="length of each window (%(default)g)")
    made.add_argument("--generator-cpu", type=int, default=cpus[0], help="core of the generators (%(default)s)")
    made.add_argument("--mock-cpu", type=int, default=cpus[-1], help="core of the mock (%(default)s)")
    made.add_argument("--seed", type=int, default=1, help="of the order (%(default)s)")
    return made


def main() -> None:
    options = parser().parse_args()
    schedule = ClosedLoop(options.users, warm_up_s=1, window_s=options.seconds, think_time_s=options.think)
    results: dict[str, list[LoadResult]] = {"perfgate": [], "Locust": []}
    order = random.Random(options.seed)
    with (
        Lease.of_user(os.environ).exclusive("comparing generators", note),
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
    print(f"{host()}; Locust {importlib.metadata.version('locust')}, {options.workers} workers;", end=" ")
    print(
        f"{options.users} users, {options.think:g} s of think time, mock with a delay of {options.delay_ms} ms;",
        end=" ",
    )
    print(f"{options.rounds} windows of {options.seconds:g} s each, in turn.\n")
    unfit = objections(results, options.delay_ms)
    if all(result.succeeded for of in results.values() for result in of):
        print("\n".join(table(results)))
    text, status = verdict(results, unfit)
    print(f"\n{text}")
    sys.exit(status)


def latency_of(results: Sequence[LoadResult]) -> Histogram:
    return Histogram.merged([result.latency for result in results])


def words(result: LoadResult) -> str:
    failed = f"{result.sent:,} sent, {result.sent - result.succeeded} failed"
    if not result.succeeded:
        return failed
    p50_ms, p95_ms = (result.latency.percentile_ms(percentile) for percentile in JUDGED)
    return (
        f"{failed}, p50 {p50_ms:.2f} ms, p95 {p95_ms:.2f} ms, "
        f"lag p99 {result.dispatch_lag.percentile_ms(99):.2f} ms, {100 * result.generator_cpu_ratio:.0f} % of a core"
    )


def table(results: Results) -> list[str]:
    lines = [
        "| generator | requests | failed | latency p50, ms | p95 | p99 | dispatch lag p99, ms | CPU a request, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, of in results.items():
        sent = sum(result.sent for result in of)
        failed = sent - sum(result.succeeded for result in of)
        cpu_ms = 1000 * sum(result.generator_cpu_s for result in of) / max(1, sent)
        figures = " | ".join(f"{latency_of(of).percentile_ms(percentile):.2f}" for percentile in PERCENTILES)
        lines.append(f"| {name} | {sent:,} | {failed} | {figures} | {lag_p99_ms(of):.2f} | {cpu_ms:.3f} |")
    ratios = " | ".join(f"{ratio(results, percentile):.3f}" for percentile in PERCENTILES)
    spread = " | ".join(spread_words(results, percentile) for percentile in PERCENTILES)
    return [*lines, f"| Locust / perfgate | | | {ratios} | | |", f"| the same by round | | | {spread} | | |"]


def lag_p99_ms(results: Sequence[LoadResult]) -> float:
    return Histogram.merged([result.dispatch_lag for result in results]).percentile_ms(99)


def ratio(results: Results, percentile: float) -> float:
    locust, ours = (latency_of(results[name]).percentile_ms(percentile) for name in ("Locust", "perfgate"))
    return locust / ours


def spread_words(results: Results, percentile: float) -> str:
    """The ratios of the single rounds, the lowest and the highest: a difference that is real is in all of them."""
    rounds = zip(results["perfgate"], results["Locust"], strict=True)
    ratios = sorted(ratio({"perfgate": [ours], "Locust": [locust]}, percentile) for ours, locust in rounds)
    return f"{ratios[0]:.3f} to {ratios[-1]:.3f}"


def objections(results: Results, delay_ms: float) -> list[str]:
    """Why nothing can be said, in words; empty where it can."""
    found = []
    for name, of in results.items():
        sent, succeeded = (sum(getattr(result, count) for result in of) for count in ("sent", "succeeded"))
        if sent > succeeded:
            found.append(f"{name}: {sent - succeeded:,} of {sent:,} requests failed")
        if succeeded < REQUESTS_MIN:
            found.append(f"{name}: {succeeded:,} requests, at least {REQUESTS_MIN:,} are needed")
        if any(len(result.workers) < result.workers_expected for result in of):
            found.append(f"{name}: a worker was lost")
        if any(worker.cpu_warning_percent is not None for result in of for worker in result.workers):
            found.append(f"{name}: a worker warned of its CPU use")
        if (cpu_ratio := max(result.generator_cpu_ratio for result in of)) > CPU_RATIO_MAX:
            found.append(f"{name}: {cpu_ratio:.0%} of a core, at most {CPU_RATIO_MAX:.0%} is allowed")
        if not succeeded:
            continue
        if (lag_ms := lag_p99_ms(of)) > DISPATCH_LAG_P99_MAX_MS:
            found.append(f"{name}: sent late, p99 {lag_ms:.2f} ms, at most {DISPATCH_LAG_P99_MAX_MS:g} ms is allowed")
        p50_ms = latency_of(of).percentile_ms(50)
        if not delay_ms <= p50_ms <= delay_ms + ABOVE_DELAY_MS_MAX:
            found.append(f"{name}: p50 {p50_ms:.2f} ms of a mock that takes {delay_ms:g} ms")
    return found


def verdict(results: Results, unfit: Sequence[str]) -> tuple[str, int]:
    """What came of it, in words and as a status."""
    if unfit:
        return f"not judged: {'; '.join(unfit)}", 2
    beyond = [
        percentile for percentile in JUDGED if not 1 / ALLOWED_RATIO <= ratio(results, percentile) <= ALLOWED_RATIO
    ]
    if beyond:
        off = ", ".join(f"p{percentile:g} by {(ratio(results, percentile) - 1) * 100:+.1f} %" for percentile in beyond)
        return f"Locust sees other latencies, more than 5 % apart: {off}", 1
    return "p50 and p95 are within 5 %", 0


if __name__ == "__main__":
    main()
