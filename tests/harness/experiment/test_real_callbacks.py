"""Does every request through a real gateway reach the log sink once, whichever callback logs it?"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.bench import RunningGateway, StackBench
from perfgate.experiment.sink_ledger import SinkLedger
from perfgate.stack.callbacks import CALLBACKS, CallbackName
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release

# One worker starts the gateways.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("real_callbacks")]

REQUESTS = 7
PATIENCE_S = 120
#: So that all that comes is waited for.
MORE_THAN_COME = 1_000
QUIET_S = 3.0


def ledger_of(gateway: RunningGateway) -> SinkLedger:
    assert gateway.log_ledger is not None
    return gateway.log_ledger


@pytest.fixture(scope="module")
def gateways() -> Iterator[Mapping[CallbackName, RunningGateway]]:
    """One for each callback, before one mock and one sink, which tells what is whose by its format."""
    specs = [GatewaySpec(Release(DEFAULT_RELEASE), callback=name) for name in CALLBACKS]
    with StackBench(EnvironmentCache.of_user(os.environ), say=print, environ={}) as bench, ExitStack() as until_closed:
        started = bench.start_gateways(specs, until_closed)
        # What the start of a gateway asks of it is logged too: that first, and then nothing for a while.
        ledgers = [ledger_of(gateway) for gateway in started]
        for ledger in ledgers:
            ledger.open()
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda ledger: ledger.close(MORE_THAN_COME, quiet_s=QUIET_S), ledgers))
        yield dict(zip(CALLBACKS, started, strict=True))


@pytest.mark.parametrize("name", CALLBACKS)
def test_each_request_is_one_record(gateways: Mapping[CallbackName, RunningGateway], name: CallbackName) -> None:
    gateway = gateways[name]
    ledger = ledger_of(gateway)
    ledger.open()
    for number in range(REQUESTS):
        body = {"model": "mock", "messages": [{"role": "user", "content": f"hello {number}"}]}
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        reply = httpx.post(gateway.chat_urls[0], json=body, headers=headers, trust_env=False, timeout=PATIENCE_S)
        reply.raise_for_status()
    # It waits as long as the callback may take, so that one that is only late on a busy host is not lost.
    use = ledger.close(REQUESTS, quiet_s=PATIENCE_S / 4)
    assert (use.records, use.distinct) == (REQUESTS, REQUESTS)
