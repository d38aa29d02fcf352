"""Does the callback do what the model's name asks for, and nothing otherwise?

LiteLLM is not installed beside us: the one class of it that the callback needs is stood in for. The real one has it in
test_real_gateway.py.
"""

import asyncio
import importlib
import random
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


def waits_s(handler: Any, model: str, calls: int, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What it asked the event loop to wait in so many calls."""
    asked: list[float] = []

    async def noted(seconds: float) -> None:
        asked.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", noted)
    for _ in range(calls):
        asyncio.run(handler.async_pre_call_hook(None, None, {"model": model}, "acompletion"))
    return asked


def test_it_waits_as_long_as_the_name_asks_for(handler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert waits_s(handler, "openai/sleep-2.5ms", 3, monkeypatch) == [0.0025] * 3


def test_it_stalls_the_share_of_requests_that_the_name_asks_for(handler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    random.seed(1)
    waits = waits_s(handler, "stall-50ms-in-10pc", 1_000, monkeypatch)
    assert set(waits) == {0.05}
    assert 70 <= len(waits) <= 130  # 3 standard errors
    assert waits_s(handler, "stall-50ms-in-0pc", 100, monkeypatch) == []


def test_it_keeps_as_much_as_the_name_asks_for_each_time_anew(handler: Any) -> None:
    for _ in range(3):
        asyncio.run(handler.async_pre_call_hook(None, None, {"model": "leak-100kb"}, "acompletion"))
    assert [len(kept) for kept in handler.leaked] == [100_000] * 3
    assert len({id(kept) for kept in handler.leaked}) == 3
    assert set(handler.leaked[0]) == {ord("x")}


@pytest.mark.parametrize("model", ["gpt-4o", "sleep-ms", "stall-50ms", "leak-kb", None])
def test_it_waits_and_keeps_nothing_for_other_names(handler: Any, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert waits_s(handler, model, 5, monkeypatch) == []
    assert handler.leaked == []


def burnt_share(handler: Any, model: str, between: str | None = None) -> float:
    """What it burns of all CPU that is used besides, by 20 requests with 2 ms of work before each."""
    besides_s = 0.0
    began_s = time.thread_time()
    for _ in range(20):
        for asked in filter(None, (between, model)):
            asyncio.run(handler.async_pre_call_hook(None, None, {"model": asked}, "acompletion"))
        working_s = time.thread_time()
        while time.thread_time() < working_s + 0.002:
            pass
        besides_s += time.thread_time() - working_s
    return (time.thread_time() - began_s) / besides_s - 1


def test_it_burns_the_share_that_the_name_asks_for_of_what_is_used_since_the_last_such_request(handler: Any) -> None:
    none, half, whole = (
        min(burnt_share(handler, model) for _ in range(3)) for model in ("burn-0pc", "burn-50pc", "burn-100pc")
    )
    # The first of 20 has none before it; what a call itself costs is in all three, and is burnt for as well.
    assert 0.4 < half - none < 0.8
    assert 0.9 < whole - none < 1.5


def test_it_burns_no_share_of_what_was_used_for_other_requests(handler: Any) -> None:
    assert min(burnt_share(handler, "burn-100pc", between="gpt-4o") for _ in range(3)) < 0.5


@pytest.mark.parametrize("model", ["gpt-4o", "burn-pc", "burn-cpu-ms", "burn-cpu-5", "burn-cpu-0ms", None])
def test_it_does_nothing_for_other_names(handler: Any, model: object) -> None:
    assert min(cpu_ms(handler, model) for _ in range(5)) < 1
