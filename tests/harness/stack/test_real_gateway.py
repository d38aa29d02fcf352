"""Do a real LiteLLM and a real mock fit together, whichever backend runs them?

Takes 20 s for each with a warm cache, which is the user's own, and a network when it is cold.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from perfgate.stack.backend import RunningService, StackBackend
from perfgate.stack.environments import Environment, EnvironmentCache
from perfgate.stack.inspection import service_facts
from perfgate.stack.litellm import CHAT_PATH, FAULTS_CALLBACK, LiteLLM, faults_file
from perfgate.stack.mock import REPLY_TEXT, Mock
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release

# With --dist loadgroup one worker starts the gateway for all of them.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("real_gateway")]

BURNT_S: Final = 0.5


class Gateway:
    """A running LiteLLM with the faults callback, and the mock behind it."""

    def __init__(self, service: LiteLLM, running: RunningService, mock: RunningService) -> None:
        self.service = service
        self.running = running
        self._mock_url = mock.address.url

    def chat(self, model: str) -> httpx.Response:
        return httpx.post(
            self.running.address.url + CHAT_PATH,
            headers={"Authorization": f"Bearer {self.service.master_key}"},
            json={"model": model, "messages": [{"role": "user", "content": "hello"}]},
            timeout=60,
            trust_env=False,
        )

    def received_by_mock(self, model: str) -> int:
        counts = httpx.get(f"{self._mock_url}/admin/counts", trust_env=False).json()
        return int(counts["received_by_model"].get(model, 0))

    def cpu_s(self, model: str) -> float:
        """CPU of the gateway for one request."""
        before = self.running.use()
        assert self.chat(model).status_code == 200
        return self.running.use().cpu_s_since(before)


@pytest.fixture(scope="module")
def gateway(backend: StackBackend, installed: Environment) -> Iterator[Gateway]:
    with backend.running(Mock()) as mock:
        api_base = f"{mock.inner_address.url}/v1"
        service = LiteLLM(installed, api_base, callbacks=(FAULTS_CALLBACK,), extra_files=faults_file())
        with backend.running(service) as running:
            yield Gateway(service, running, mock)


def test_what_is_installed_is_the_release(installed: Environment) -> None:
    assert installed.release == DEFAULT_RELEASE
    assert f"litellm=={DEFAULT_RELEASE}" in installed.packages.listed
    assert {"fastapi", "uvicorn"} < installed.packages.versions.keys()


def test_an_environment_has_its_bytecode_compiled() -> None:
    with EnvironmentCache.of_user(os.environ).using(Release(DEFAULT_RELEASE), say=print) as environment:
        check_compiled(environment)


def check_compiled(environment: Environment) -> None:
    (package,) = environment.folder.glob("lib/python*/site-packages/litellm")
    modules = {path.stem for path in package.glob("*.py")}
    compiled = {path.name.partition(".")[0] for path in package.glob("__pycache__/*.pyc")}
    assert modules
    assert modules <= compiled


def test_a_request_goes_through_to_the_mock_and_back(gateway: Gateway) -> None:
    reply = gateway.chat("goes-through")
    assert reply.status_code == 200
    assert REPLY_TEXT in reply.json()["choices"][0]["message"]["content"]
    assert gateway.received_by_mock("goes-through") == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_error_of_the_mock_comes_back_after_one_try_and_does_not_cool_the_model_down(
    gateway: Gateway, status: int
) -> None:
    model = f"mock-error-{status}-rate-1"
    assert [gateway.chat(model).status_code for _ in range(5)] == [status] * 5
    assert gateway.received_by_mock(model) == 5


def test_the_faults_callback_burns_cpu_by_the_models_name(gateway: Gateway) -> None:
    plain_s = min(gateway.cpu_s("plain") for _ in range(3))
    assert gateway.cpu_s(f"burn-cpu-{BURNT_S * 1000:.0f}ms") - plain_s > 0.9 * BURNT_S


def test_its_facts_are_known(gateway: Gateway, installed: Environment) -> None:
    facts = service_facts(gateway.running, python_version=installed.python_version, packages=installed.packages)
    assert (facts.event_loop, facts.http_parser) == ("uvloop", "h11")
    assert not facts.access_log
    assert facts.packages.sha256 == installed.packages.sha256


def test_its_secrets_are_in_no_file_that_others_may_read(gateway: Gateway) -> None:
    assert gateway.service.master_key not in Path(f"/proc/{gateway.running.pid}/cmdline").read_text()
    assert gateway.running.folder.parent.stat().st_mode & 0o077 == 0
