"""Does every request through a real gateway reach the log sink once, whichever callback logs it?"""

import os
from contextlib import ExitStack

import httpx
import pytest

from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.bench import StackBench
from perfgate.stack.callbacks import CALLBACKS, CallbackName
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release

REQUESTS = 7
PATIENCE_S = 120
#: So that all that comes is waited for.
MORE_THAN_COME = 1_000
QUIET_S = 3.0


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLBACKS)
def test_each_request_is_one_record(name: CallbackName) -> None:
    spec = GatewaySpec(Release(DEFAULT_RELEASE), callback=name)
    with StackBench(EnvironmentCache.of_user(os.environ), say=print, environ={}) as bench, ExitStack() as until_closed:
        (gateway,) = bench.start_gateways([spec], until_closed)
        assert gateway.log_ledger is not None
        # What the start of a gateway asks of it is logged too: that first, and then nothing for a while.
        gateway.log_ledger.open()
        gateway.log_ledger.close(MORE_THAN_COME, quiet_s=QUIET_S)
        gateway.log_ledger.open()
        for number in range(REQUESTS):
            body = {"model": "mock", "messages": [{"role": "user", "content": f"hello {number}"}]}
            headers = {"Authorization": f"Bearer {gateway.api_key}"}
            reply = httpx.post(gateway.chat_urls[0], json=body, headers=headers, trust_env=False, timeout=PATIENCE_S)
            reply.raise_for_status()
        # It waits as long as the callback may take, so that one that is only late on a busy host is not lost.
        use = gateway.log_ledger.close(REQUESTS, quiet_s=PATIENCE_S / 4)
    assert (use.records, use.distinct) == (REQUESTS, REQUESTS)
