"""Does a logging callback change what the gateway can do?

Guards  callbacks that cost CPU on every request, post while a client waits, block the event loop when they write, lose
        records or send them twice, keep them in memory
Limits  thresholds.yaml: scenarios.callback_langsmith, callback_gcs, callback_webhook; equivalence, and counts
Costs   at most the scenario's minutes, each: several generations with and without, interleaved; a window ends when the
        log sink has every record
Run     pytest tests/perf --profile callbacks
        pytest tests/perf --profile callbacks --scenarios callback_langsmith
"""

from typing import get_args

import pytest

from perfgate.experiment.measurement import Measurement
from perfgate.plugin import Limits, Rounds, Stack
from perfgate.stack.callbacks import CallbackName

CALLBACKS = [
    pytest.param(name, id=name, marks=pytest.mark.scenario(f"callback_{name}")) for name in get_args(CallbackName)
]


@pytest.fixture(scope="module", params=CALLBACKS)
def callback(request: pytest.FixtureRequest) -> CallbackName:
    name: CallbackName = request.param
    return name


@pytest.fixture(scope="module")
def scenario(callback: CallbackName) -> str:
    return f"callback_{callback}"


@pytest.fixture(scope="module")
def measured(stack: Stack, rounds: Rounds, callback: CallbackName) -> Measurement:
    return rounds.run(stack.with_callback(callback))


def test_throughput_is_the_same(measured: Measurement, limits: Limits) -> None:
    limits.check("throughput_rps", measured)


def test_cpu_of_a_request_is_the_same(measured: Measurement, limits: Limits) -> None:
    limits.check("cpu_per_request_ms", measured)


@pytest.mark.parametrize("percentile", [50, 95, 99])
def test_latency_is_the_same(measured: Measurement, limits: Limits, percentile: int) -> None:
    limits.check(f"latency_p{percentile}_ms", measured)


def test_memory_is_the_same(measured: Measurement, limits: Limits) -> None:
    limits.check("rss_mib", measured)


def test_the_sink_has_every_request(measured: Measurement, limits: Limits) -> None:
    limits.check("log_records_missing_ratio", measured)


def test_the_sink_has_none_twice(measured: Measurement, limits: Limits) -> None:
    limits.check("log_records_repeated_ratio", measured)
