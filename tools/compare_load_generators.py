"""How fast is our generator, and what does a request cost it, beside other tools against the same mock?

    python tools/compare_load_generators.py

Starts the mock on one core and each generator in turn on another, raises the offered rate until a generator no longer
sustains it, and prints a Markdown table. A rate is sustained when at least 98 % of the schedule is sent, dispatch lag
p99 is under 2 ms and no request fails, in one of three windows; the search ends when two rates in a row are not. So a
neighbour on the host costs windows rather than the result, but a busy host still spoils it: the load average stands
above the table. The mock's own count must agree with the generator's.

Locust has no schedule (closed loop): its rate is what its callers reached.

CPU a request falls as the rate rises, since one turn of an event loop then serves more requests. So beside the figure
at each generator's own highest rate there is one at a rate that is the same for all.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from perfgate.load.job import LoadJob, Target
from perfgate.load.runner import Generator
from perfgate.load.schedule import OpenLoop
from perfgate.load.summary import DISPATCH_LAG_P99_MAX_MS, SENT_RATIO_MIN

RIVALS = Path(__file__).with_name("rival_generators.py")
RATES_RPS = (
    1_000,
    2_000,
    3_000,
    4_000,
    5_000,
    6_000,
    7_000,
    8_000,
    9_000,
    10_000,
    11_000,
    12_000,
    14_000,
    16_000,
    18_000,
    20_000,
    24_000,
    28_000,
    32_000,
)
#: Where open loops are compared with each other.
COMMON_RATE_RPS = 5_000
WARM_UP_S = 1
USERS = (10, 30, 100)
#: A rate is given up after this many windows that did not sustain it: some may have met another tenant of the host.
ATTEMPTS = 3
#: The search ends after this many rates in a row that were given up.
RATES_GIVEN_UP = 2


@dataclass(frozen=True)
class Window:
    """One window of an open loop, as its generator measured it; `mock_cpu_ratio` shows if the mock was the limit."""

    rate_rps: float
    sent_ratio: float
    failed: int
    cpu_ms_per_request: float
    dispatch_lag_p99_ms: float
    service_time_p50_ms: float
    service_time_p99_ms: float
    mock_cpu_ratio: float

    @property
    def sustained(self) -> bool:
        fit = self.sent_ratio >= SENT_RATIO_MIN and self.dispatch_lag_p99_ms < DISPATCH_LAG_P99_MAX_MS
        return fit and not self.failed


@dataclass(frozen=True)
class Bench:
    """What all generators have in common."""

    url: str
    mock: psutil.Process
    generator_cpu: int
    payload_bytes: int
    seconds: float

    def received(self) -> int:
        """Chat requests that the mock has counted so far."""
        return int(self._counts()["received"])

    def wait_until_quiet(self) -> None:
        """What a window that broke down left in the mock's sockets would be counted with the next one."""
        before = -1
        while (counts := self._counts())["in_service"] or counts["received"] != before:
            before = counts["received"]
            time.sleep(0.2)

    def _counts(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.url.replace("/v1/chat/completions", "/admin/counts"), timeout=60) as reply:
            counts: dict[str, Any] = json.load(reply)
        return counts

    def ours(self, generator: Generator, rate_rps: float) -> dict[str, Any]:
        job = LoadJob(
            (Target(self.url, "m"),),
            OpenLoop(rate_rps, warm_up_s=WARM_UP_S, window_s=self.seconds, tail_s=5),
            payload_bytes=self.payload_bytes,
            cpus=(self.generator_cpu,),
        )
        result = generator.run(job)
        answered = result.service_time.count > 0
        return {
            "offered": result.offered,
            "sent": result.sent,
            "failed": result.sent - result.succeeded,
            "cpu_ms_per_request": 1000 * result.generator_cpu_s / max(1, result.sent),
            "dispatch_lag_p99_ms": result.dispatch_lag.percentile_ms(99) if result.sent else float("inf"),
            "service_time_p50_ms": result.service_time.percentile_ms(50) if answered else float("inf"),
            "service_time_p99_ms": result.service_time.percentile_ms(99) if answered else float("inf"),
        }

    def rival(self, client: str, *load: str) -> dict[str, Any]:
        command = [sys.executable, str(RIVALS), client, self.url, *load, "--seconds", str(self.seconds)]
        command += ["--payload-bytes", str(self.payload_bytes)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            os.sched_setaffinity(process.pid, {self.generator_cpu})
            out, _ = process.communicate(timeout=60 + 3 * self.seconds)
        finally:
            process.kill()
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}; its message is above")
        figures: dict[str, Any] = json.loads(out.splitlines()[-1])
        return figures


def parser() -> argparse.ArgumentParser:
    cpus = sorted(os.sched_getaffinity(0))
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seconds", type=float, default=3, help="length of each window (%(default)g)")
    made.add_argument("--payload-bytes", type=int, default=12_000, help="length of each prompt (%(default)s)")
    made.add_argument("--generator-cpu", type=int, default=cpus[0], help="core of the generators (%(default)s)")
    made.add_argument("--mock-cpu", type=int, default=cpus[-1], help="core of the mock (%(default)s)")
    return made


def main() -> None:
    options = parser().parse_args()
    load_before = os.getloadavg()[0]
    rows = []
    for row in (ours_row, pyreqwest_row, aiohttp_row, locust_row):
        # A fresh mock for each: one that broke down under a rival is still working off what that one sent.
        with running_mock(options.mock_cpu) as (url, mock):
            rows.append(row(Bench(url, mock, options.generator_cpu, options.payload_bytes, options.seconds)))
    print(f"{host()}; prompts of {options.payload_bytes:,} bytes, windows of {options.seconds:g} s; mock on one core,")
    print("generator on " + ("another." if options.mock_cpu != options.generator_cpu else "the same."), end=" ")
    print(f"Load average before {load_before:.2f}, after {os.getloadavg()[0]:.2f} (this run itself is up to 2).")
    print()
    print("| generator | highest sustained, requests/s | CPU a request there, ms | ", end="")
    print(f"CPU a request at {COMMON_RATE_RPS:,}/s, ms | dispatch lag p99, ms | ", end="")
    print("service time p50 / p99, ms | what came next |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))


def open_loop_row(name: str, bench: Bench, run: Callable[[float], dict[str, Any]]) -> str:
    best: Window | None = None
    at_common_rate = "not sustained"
    given_up: list[Window] = []
    for rate_rps in RATES_RPS:
        window = sustained_or_last(bench, run, rate_rps)
        if window.sustained:
            best, given_up = window, []
            if rate_rps == COMMON_RATE_RPS:
                at_common_rate = f"{window.cpu_ms_per_request:.3f}"
        else:
            given_up.append(window)
            if len(given_up) == RATES_GIVEN_UP:
                break
    beyond = words(given_up[0]) if given_up else f"more than {RATES_RPS[-1]:,}/s was not tried"
    if best is None:
        return f"| {name}, open loop | none | | | | | {beyond} |"
    return (
        f"| {name}, open loop | {best.rate_rps:,} | {best.cpu_ms_per_request:.3f} | {at_common_rate} | "
        f"{best.dispatch_lag_p99_ms:.2f} | {best.service_time_p50_ms:.2f} / {best.service_time_p99_ms:.2f} | {beyond} |"
    )


def words(window: Window) -> str:
    return (
        f"{window.rate_rps:,}/s: sent {100 * window.sent_ratio:.3g} %, lag p99 {window.dispatch_lag_p99_ms:.3g} ms, "
        f"{window.failed:,} failed, mock at {100 * window.mock_cpu_ratio:.0f} % of its core"
    )


def ours_row(bench: Bench) -> str:
    with Generator() as generator:
        return open_loop_row("perfgate load", bench, lambda rate_rps: bench.ours(generator, rate_rps))


def pyreqwest_row(bench: Bench) -> str:
    return rival_row("pyreqwest", bench)


def aiohttp_row(bench: Bench) -> str:
    return rival_row("aiohttp", bench)


def rival_row(client: str, bench: Bench) -> str:
    version = importlib.metadata.version(client)
    return open_loop_row(f"{client} {version}", bench, lambda rate_rps: bench.rival(client, "--rate", str(rate_rps)))


def sustained_or_last(bench: Bench, run: Callable[[float], dict[str, Any]], rate_rps: float) -> Window:
    for _ in range(ATTEMPTS):
        bench.wait_until_quiet()
        used_before_s, received_before = cpu_s(bench.mock), bench.received()
        figures = run(rate_rps)
        received = bench.received() - received_before
        # Warm-up and window together keep the mock busy for a second more than the window.
        mock_cpu_ratio = (cpu_s(bench.mock) - used_before_s) / (bench.seconds + WARM_UP_S)
        claimed = round(rate_rps * WARM_UP_S) + figures["sent"]
        sent_ratio = figures.pop("sent") / figures.pop("offered")
        window = Window(rate_rps=rate_rps, sent_ratio=sent_ratio, mock_cpu_ratio=mock_cpu_ratio, **figures)
        note(f"{rate_rps:,}/s: {window}")
        if window.sustained:
            if received != claimed:
                raise SystemExit(f"the generator claims {claimed:,} requests, the mock received {received:,}")
            break
    return window


def locust_row(bench: Bench) -> str:
    runs = {users: bench.rival("locust", "--users", str(users)) for users in USERS}
    for users, figures in runs.items():
        note(f"locust, {users} users: {figures}")
    users, best = max(runs.items(), key=lambda item: item[1]["rate_rps"])
    others = ", ".join(f"{n} users {run['rate_rps']:,.0f}/s" for n, run in runs.items() if n != users)
    return (
        f"| locust {importlib.metadata.version('locust')} FastHttpUser, closed loop, {users} users | "
        f"{best['rate_rps']:,.0f} | {best['cpu_ms_per_request']:.3f} | no schedule | no schedule | "
        f"{best['service_time_p50_ms']:.2f} / {best['service_time_p99_ms']:.2f} | {others}; {best['failed']} failed |"
    )


@contextmanager
def running_mock(cpu: int) -> Iterator[tuple[str, psutil.Process]]:
    process = subprocess.Popen([sys.executable, "-m", "mock_openai", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        os.sched_setaffinity(process.pid, {cpu})
        yield f"{address}/v1/chat/completions", psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def host() -> str:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    return f"{os.cpu_count()} cores {model}, Linux {platform.release()}, Python {platform.python_version()}"


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
