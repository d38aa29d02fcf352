"""Does a streamed reply begin in time, and do its chunks come as evenly as the model sends them?

Guards  work added before the first token (what people feel), and work added to every chunk: a gateway that parses and
        writes each chunk anew holds later ones up, or hands over several at once
Limits  thresholds.yaml: scenarios.streaming
Costs   about 80 s: 2 gateways side by side, at least 4 rounds in each; streams of 20 chunks, 10 ms apart
Run     pytest tests/perf --profile gate --scenarios streaming
"""

from typing import Final

import pytest

from perfgate.experiment.measurement import Measurement
from perfgate.plugin import Limits, Rounds, Stack

pytestmark = pytest.mark.scenario("streaming")

MODEL: Final = "mock-chunks-20-every-10ms"


@pytest.fixture(scope="module")
def measured(stack: Stack, rounds: Rounds) -> Measurement:
    return rounds.run(stack.arms("direct", "gateway", model=MODEL))


def test_streams_succeed(measured: Measurement, limits: Limits) -> None:
    limits.check("error_ratio", measured)


def test_streams_end_by_the_end_of_the_tail(measured: Measurement, limits: Limits) -> None:
    limits.check("completed_ratio", measured)


@pytest.mark.parametrize("percentile", [50, 95])
def test_the_first_token_comes_within_its_limit(measured: Measurement, limits: Limits, percentile: int) -> None:
    limits.check(f"first_token_overhead_p{percentile}_ms", measured)


def test_chunks_come_within_their_limit(measured: Measurement, limits: Limits) -> None:
    limits.check("chunk_gap_p99_ms", measured)
