"""What does the gateway add to one request with nothing else going on?

Guards  work added to every request, seen without any queueing; pytest-benchmark keeps the figures, so that
        --benchmark-autosave, --benchmark-compare and --benchmark-json work as its users know them
Limits  thresholds.yaml: scenarios.single_request
Costs   about 20 s: one gateway, 200 pairs of a direct request and one through the gateway, in turn
Run     pytest tests/perf --scenarios single_request
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from perfgate.benchmarks import SingleRequests
from perfgate.plugin import Limits

pytestmark = pytest.mark.scenario("single_request")


def test_direct(benchmark: BenchmarkFixture, single_requests: SingleRequests) -> None:
    single_requests.time_direct(benchmark)


def test_gateway(benchmark: BenchmarkFixture, single_requests: SingleRequests) -> None:
    single_requests.time_pairs(benchmark)


def test_requests_succeed(single_requests: SingleRequests, limits: Limits) -> None:
    single_requests.check("error_ratio", limits)


def test_overhead_stays_under_its_limit(single_requests: SingleRequests, limits: Limits) -> None:
    single_requests.check("overhead_p50_ms", limits)
