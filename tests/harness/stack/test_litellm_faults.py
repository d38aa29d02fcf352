"""Does the callback burn the CPU that the model's name asks for, and none otherwise?

LiteLLM is not installed beside us: the one class of it that the callback needs is stood in for. The real one has it in
test_real_gateway.py.
"""

import asyncio
import importlib
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def handler() -> Iterator[Any]:
    names = ["litellm", "litellm.integrations", "litellm.integrations.custom_logger"]
    stand_ins = {name: types.ModuleType(name) for name in names}
    stand_ins[names[-1]].__dict__["CustomLogger"] = object
    with pytest.MonkeyPatch.context() as patch:
        for name, module in stand_ins.items():
            patch.setitem(sys.modules, name, module)
        patch.delitem(sys.modules, "perfgate.stack.litellm_faults", raising=False)
        yield importlib.import_module("perfgate.stack.litellm_faults").handler
        del sys.modules["perfgate.stack.litellm_faults"]


def cpu_ms(handler: Any, model: object) -> float:
    """CPU of one call, in the thread of the event loop."""

    async def call() -> float:
        before_s = time.thread_time()
        await handler.async_pre_call_hook(None, None, {"model": model}, "acompletion")
        return (time.thread_time() - before_s) * 1000

    return asyncio.run(call())


@pytest.mark.parametrize(("model", "burnt_ms"), [("burn-cpu-5ms", 5.0), ("openai/burn-cpu-12.5ms", 12.5)])
def test_it_burns_what_the_name_asks_for(handler: Any, model: str, burnt_ms: float) -> None:
    assert burnt_ms <= min(cpu_ms(handler, model) for _ in range(5)) < burnt_ms * 1.2


@pytest.mark.parametrize("model", ["gpt-4o", "burn-cpu-ms", "burn-cpu-5", None])
def test_it_does_nothing_for_other_names(handler: Any, model: object) -> None:
    assert min(cpu_ms(handler, model) for _ in range(5)) < 1
