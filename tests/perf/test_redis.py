"""What does Redis as a cache of replies cost, and what does it save?

Guards  a cache that is asked twice for every request or blocks the event loop, hits that reach the endpoint all the
        same, instances that do not share what is cached, `redis_url` being slower than `redis_host` and `redis_port`
Limits  thresholds.yaml: scenarios.redis
Costs   about 4 minutes: per generation three gateways in at least 4 rounds of five windows, then one of two instances
Run     pytest tests/perf --profile release --scenarios redis
"""

from typing import Final

import httpx
import pytest

from perfgate.experiment.measurement import Measurement
from perfgate.load.job import Target
from perfgate.load.payload import Payload
from perfgate.plugin import Limits, Rounds, Stack

pytestmark = pytest.mark.scenario("redis")

#: LiteLLM writes a reply to its cache after it has sent it: the next request may be too early, this many are not.
ATTEMPTS: Final = 20


@pytest.fixture(scope="module")
def measured(stack: Stack, rounds: Rounds) -> Measurement:
    (direct,) = stack.arms("direct")
    return rounds.run(
        [
            direct,
            stack.arm("without"),
            stack.arm("gateway", redis="host_port"),
            stack.arm("cache_hit", redis="host_port", same_prompt=True),
            stack.arm("redis_url", redis="url"),
        ],
        direct_window_s=1.0,
    )


def test_requests_succeed(measured: Measurement, limits: Limits) -> None:
    limits.check("error_ratio", measured)


def test_replies_come_by_the_end_of_the_tail(measured: Measurement, limits: Limits) -> None:
    limits.check("completed_ratio", measured)


def test_latency_of_a_miss_stays_under_its_limit(measured: Measurement, limits: Limits) -> None:
    limits.check("added_p50_ms", measured)


def test_cpu_of_a_miss_stays_under_its_limit(measured: Measurement, limits: Limits) -> None:
    limits.check("added_cpu_per_request_ms", measured)


def test_latency_of_a_hit_stays_under_its_limit(measured: Measurement, limits: Limits) -> None:
    limits.check("cache_hit_p50_ms", measured)


def test_hits_do_not_reach_the_endpoint(measured: Measurement, limits: Limits) -> None:
    limits.check("cache_hit_upstream_ratio", measured)


def test_redis_url_costs_no_more_cpu_than_redis_host(measured: Measurement, limits: Limits) -> None:
    limits.check("redis_url_added_cpu_per_request_ms", measured)


def test_redis_url_takes_no_longer_than_redis_host(measured: Measurement, limits: Limits) -> None:
    limits.check("redis_url_added_p50_ms", measured)


def test_two_instances_see_the_same_cache(stack: Stack) -> None:
    arm = stack.arm("two instances", redis="host_port", instances=2)
    body = Payload(arm.model, None, same_prompt=True).body(0)

    def ask(target: Target) -> None:
        headers = {"authorization": f"Bearer {target.api_key}", "content-type": "application/json"}
        httpx.post(target.url, content=body, headers=headers, timeout=60, trust_env=False).raise_for_status()

    def reaches_the_endpoint(target: Target) -> bool:
        before = stack.bench.upstream_requests(arm.backend)
        assert before is not None, "with --mock-url nobody counts what reaches the endpoint: leave it out for this test"
        ask(target)
        return stack.bench.upstream_requests(arm.backend) != before

    with stack.running(arm) as gateway:
        first, second = gateway.targets(arm.model)
        assert reaches_the_endpoint(first), "a prompt that was never sent before was answered from a cache"
        assert not all(reaches_the_endpoint(first) for _ in range(ATTEMPTS)), "the first instance never caches a reply"
        assert not reaches_the_endpoint(second), "the second instance asked the endpoint for what the first had cached"
