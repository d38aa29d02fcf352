"""How do pytest-benchmark's figures of single requests come under perfgate's limits?

Comes in: callers that send one request each (experiment/single_requests.py), the `benchmark` fixture. Goes out: figures
in pytest-benchmark's own storage and JSON, and a `Measurement` of the same requests for `limits`.

pytest-benchmark times one function; a comparison needs two in turn. So the benchmark of the gateway sends a direct
request before each of its own, and the overhead is that of pairs which follow each other within milliseconds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from pytest_benchmark.fixture import BenchmarkFixture

from perfgate.experiment.arms import Arm
from perfgate.experiment.measurement import Measurement
from perfgate.experiment.single_requests import Caller, measurement_of_pairs

#: Requests before the first that counts: connection pools, lazy imports and caches of a fresh gateway fill.
WARM_UP_REQUESTS: Final = 50


class Checker(Protocol):
    """What judges: the `limits` fixture."""

    def check(self, metric: str, measurement: Measurement) -> object:
        """Judge a metric."""

    def not_measured(self, metric: str, why: str) -> object:
        """Say that it could not be judged."""


@dataclass(slots=True)
class SingleRequests:
    """What a module of pytest-benchmark tests measures.

    Args:
        scenario: its name.
        arms: direct, gateway.
        direct, through: callers of these.
        requests_per_round: how many make a round, the unit of statistics.
        rounds: how many rounds.
        on_measured: told of the measurement once it is made.
    """

    scenario: str
    arms: tuple[Arm, Arm]
    direct: Caller
    through: Caller
    requests_per_round: int
    rounds: int
    on_measured: Callable[[Measurement], None]
    _measured: Measurement | None = field(default=None, init=False)
    _why_not: str = field(default="the test that calls time_pairs() did not run: it measures", init=False)

    @property
    def requests(self) -> int:
        """Of each arm."""
        return self.requests_per_round * self.rounds

    def time_direct(self, benchmark: BenchmarkFixture) -> None:
        """Time requests to the mock alone, one after the other."""
        self._time(benchmark, self.direct, before_each=None)

    def time_pairs(self, benchmark: BenchmarkFixture) -> None:
        """Time requests through the gateway, with a direct one before each, and keep the pairs as a measurement."""
        self._time(benchmark, self.through, before_each=self.direct)
        if benchmark.stats is None:
            self._why_not = "pytest-benchmark does not measure under xdist or with --benchmark-disable: run without -n"
            return
        times_s = list(benchmark.stats.stats.data)
        direct, through = self.direct.sent[-len(times_s) :], self.through.sent[-len(times_s) :]
        measured = measurement_of_pairs(self.scenario, self.arms, direct, through, times_s, self.requests_per_round)
        self._measured = measured
        self.on_measured(measured)
        benchmark.extra_info["failed"] = sum(1 for sent in through if sent.error)
        benchmark.extra_info["overhead_p50_ms"] = round(measured.overhead_ms(50).value, 3)

    def _time(self, benchmark: BenchmarkFixture, call: Caller, before_each: Caller | None) -> None:
        benchmark.pedantic(  # type: ignore[no-untyped-call]
            call, setup=before_each, rounds=self.requests, iterations=1, warmup_rounds=WARM_UP_REQUESTS
        )

    def check(self, metric: str, limits: Checker) -> None:
        """Judge a metric of the pairs; INVALID when they were not measured."""
        if self._measured is None:
            limits.not_measured(metric, self._why_not)
        else:
            limits.check(metric, self._measured)
