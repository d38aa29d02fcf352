"""Do a real LiteLLM, a real mock, a real PostgreSQL and a real Redis fit together, whichever backend runs them?

Takes a minute for each with a warm cache, which is the user's own, and a network when it is cold. Each backend has one
gateway for all tests, with everything that a gateway can have; where processes run them, a second one shares its Redis.
Tables are made by LiteLLM's own migrations, with the WebAssembly engine of Prisma, since that needs no download host.
What the host or an image does not have is reported as not run, with the reason.
"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Final

import httpx
import psycopg
import pytest
from openai import OpenAI
from websockets.exceptions import InvalidStatus

from perfgate.errors import StackFailed
from perfgate.load.api import Api
from perfgate.load.job import LoadJob, Target
from perfgate.load.runner import Generator
from perfgate.load.schedule import ClosedLoop
from perfgate.stack.admin import KEY_PATH, new_virtual_key
from perfgate.stack.backend import RunningService, StackBackend
from perfgate.stack.containers import ContainerBackend
from perfgate.stack.database import Database
from perfgate.stack.environments import Environment, EnvironmentCache
from perfgate.stack.inspection import service_facts
from perfgate.stack.litellm import (
    CHAT_PATH,
    FAULTS_CALLBACK,
    FLUSH_JITTER_S,
    MESSAGES_MODEL,
    REALTIME_MODEL,
    DatabaseAccess,
    LiteLLM,
    RedisAccess,
    faults_file,
    random_key,
    spend_usd,
)
from perfgate.stack.mock import REPLY_TEXT, Mock
from perfgate.stack.postgres import Postgres, connections_needed
from perfgate.stack.postgres_server import fresh_database, moved_to
from perfgate.stack.prisma_engine import PrismaClient
from perfgate.stack.redis import Redis
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release
from tests.harness.stack.conftest import PATIENCE_S, eventually

# One worker starts the gateways for all of them.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("real_gateway")]

BURNT_S: Final = 0.5
REQUESTS: Final = 50
FLUSH_S: Final = 2
#: What it takes besides on a host that is badly overloaded. A key that is one write behind its rows waits for the next.
WRITTEN_WITHIN_S: Final = 2 * (FLUSH_S + FLUSH_JITTER_S) + 60
CACHE_HIT: Final = "x-litellm-cache-key"
#: One that LiteLLM's migrations leave to a program.
LATE_INDEX: Final = "LiteLLM_SpendLogs_litellm_call_id_idx"
PLAIN: Final = "perfgate-plain"
#: For a prompt that nobody has asked yet: an answer that is in the cache is not the mock's.
UNASKED: Final = count()


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running LiteLLM, and the mock behind it.

    Args:
        service: as it was described.
        running: as it runs.
        mock_url: of the mock's own doors.
        database_url: as this host reaches it; None where it has none.
    """

    service: LiteLLM
    running: RunningService
    mock_url: str
    database_url: str | None = None

    @property
    def database(self) -> Database:
        """Skips the test where there is none."""
        if self.database_url is None:
            pytest.skip(
                "not run: the image of LiteLLM that is here has no engine of Prisma, so that it has no database"
            )
        return Database(self.database_url)

    @property
    def chat_url(self) -> str:
        return self.running.address.url + CHAT_PATH

    def new_key(self) -> str:
        return new_virtual_key(self.running.address.url, self.service.master_key)

    def chat(self, model: str, prompt: str | None = None, key: str | None = None) -> httpx.Response:
        """Its reply; to a prompt of its own where none is given."""
        content = prompt if prompt is not None else f"hello, for the time {next(UNASKED)}"
        return httpx.post(
            self.chat_url,
            headers={"Authorization": f"Bearer {key or self.service.master_key}"},
            json={"model": model, "messages": [{"role": "user", "content": content}]},
            timeout=60,
            trust_env=False,
        )

    def answered(self, prompt: str, key: str | None = None) -> httpx.Response:
        reply = self.chat(PLAIN, prompt, key)
        assert reply.status_code == 200, reply.text
        return reply

    def reaches_the_mock(self, prompt: str) -> bool:
        before = self._counts()["received"]
        self.answered(prompt)
        return bool(self._counts()["received"] != before)

    def is_a_hit(self, prompt: str) -> bool:
        """Whether a prompt is answered from the cache, which LiteLLM writes to after it has sent its reply."""
        return CACHE_HIT in self.answered(prompt).headers

    def received_by_mock(self, model: str) -> int:
        return int(self._counts()["received_by_model"].get(model, 0))

    def received_by_path(self) -> dict[str, int]:
        return dict(self._counts()["received_by_path"])

    def cpu_s(self, model: str) -> float:
        """CPU of the gateway for one request."""
        before = self.running.use()
        assert self.chat(model).status_code == 200
        return self.running.use().cpu_s_since(before)

    def client(self, key: str | None = None) -> OpenAI:
        base_url = self.chat_url.removesuffix("/chat/completions")
        return OpenAI(
            base_url=base_url,
            websocket_base_url=base_url.replace("http:", "ws:"),
            api_key=key or self.service.master_key,
            max_retries=0,
            timeout=PATIENCE_S,
        )

    def _counts(self) -> Mapping[str, dict[str, int]]:
        counts: Mapping[str, dict[str, int]] = httpx.get(f"{self.mock_url}/admin/counts", trust_env=False).json()
        return counts


def lacking_redis(backend: StackBackend) -> str | None:
    """Why a backend cannot run a Redis; those of containers have their image."""
    return None if isinstance(backend, ContainerBackend) else Redis.lacking()


@pytest.fixture(scope="module")
def gateway(backend: StackBackend, installed: Environment, prisma: PrismaClient | None) -> Iterator[Gateway]:
    with ExitStack() as until_closed:
        mock = until_closed.enter_context(backend.running(Mock()))
        database_url, database, redis = None, None, None
        if lacking_redis(backend) is None:
            server = Redis(64)
            redis = RedisAccess(until_closed.enter_context(backend.running(server)).inner_address, server.password)
        if prisma is not None:
            postgres = Postgres(connections_needed(10, workers=1, instances=1))
            up = until_closed.enter_context(backend.running(postgres))
            database_url = until_closed.enter_context(fresh_database(postgres.url(up.address)))
            inner_url = moved_to(database_url, up.inner_address.host, up.inner_address.port)
            prisma.migrate(database_url, inner_url)
            database = DatabaseAccess(inner_url, prisma.variables, flush_s=FLUSH_S)
        service = LiteLLM(
            installed,
            f"{mock.inner_address.url}/v1",
            callbacks=(FAULTS_CALLBACK,),
            extra_files=faults_file(),
            every_api=True,
            database=database,
            redis=redis,
        )
        running = until_closed.enter_context(backend.running(service))
        yield Gateway(service, running, mock.address.url, database_url)


@pytest.fixture(scope="module")
def second(backend: StackBackend, installed: Environment, gateway: Gateway) -> Iterator[Gateway]:
    """Another one before the same mock and the same Redis, of which it is told by URL, and without a database."""
    if gateway.service.redis is None:
        pytest.skip(f"not run: what two gateways share: {lacking_redis(backend)}")
    by_url = replace(gateway.service.redis, by="url")
    service = LiteLLM(installed, gateway.service.api_base, redis=by_url, name="second")
    with backend.running(service) as running:
        yield Gateway(service, running, gateway.mock_url)


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
    command_line = Path(f"/proc/{gateway.running.pid}/cmdline").read_text()
    assert not any(secret in command_line for secret in gateway.service.secrets)
    assert gateway.running.folder.parent.stat().st_mode & 0o077 == 0


class TestOtherEndpoints:
    """With the `openai` package as a client, as users have it."""

    def test_a_real_client_holds_a_conversation_through_the_gateway(self, gateway: Gateway) -> None:
        """By the words of either edition: which one LiteLLM asks its endpoint for depends on its release."""
        with gateway.client().realtime.connect(model=REALTIME_MODEL) as connection:
            assert connection.recv().type == "session.created"
            for _ in range(2):
                connection.conversation.item.create(
                    item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
                )
                connection.response.create()
                kinds = []
                for event in connection:
                    kinds.append(str(event.type))
                    if event.type == "response.done":
                        assert event.response.status == "completed"
                        assert event.response.usage is not None
                        break
                assert sum(kind.endswith("audio.delta") for kind in kinds) == 8
                assert kinds.count("response.created") == 1
        assert gateway.received_by_path()["/v1/realtime"] == 1

    def test_a_wrong_key_opens_no_session(self, gateway: Gateway) -> None:
        with pytest.raises(InvalidStatus):
            gateway.client(random_key()).realtime.connect(model=REALTIME_MODEL).enter()

    def test_sessions_are_held_through_the_gateway_by_the_load(self, gateway: Gateway) -> None:
        target = Target(Api.REALTIME.below(gateway.chat_url), REALTIME_MODEL, gateway.service.master_key)
        schedule = ClosedLoop(users=10, warm_up_s=3, window_s=2, think_time_s=1)
        with Generator() as generator:
            result = generator.run(LoadJob((target,), schedule, payload_bytes=100, api=Api.REALTIME))
        assert (result.errors, result.sessions_lost, result.sessions_held_min) == ((), 0, 10)
        assert result.session_opening.count == 10
        assert result.succeeded == result.sent > 0
        assert result.chunks == 8 * result.sent

    def test_the_other_endpoints_answer_with_what_the_mock_said(self, gateway: Gateway) -> None:
        before, client = gateway.received_by_path(), gateway.client()
        assert len(client.embeddings.create(model="embeds", input="hi").data[0].embedding) == 1536
        assert client.responses.create(model="responds", input="hi").output_text.startswith(REPLY_TEXT)
        body = {"model": MESSAGES_MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        reply = httpx.post(
            Api.MESSAGES.below(gateway.chat_url),
            json=body,
            headers={"authorization": f"Bearer {gateway.service.master_key}"},
            timeout=PATIENCE_S,
            trust_env=False,
        )
        assert reply.json()["content"][0]["text"].startswith(REPLY_TEXT)
        assert MESSAGES_MODEL in [model.id for model in client.models.list()]
        after = gateway.received_by_path()
        grown = {path for path, seen in after.items() if seen > before.get(path, 0)}
        assert grown == {"/v1/embeddings", "/v1/responses", "/v1/messages"}


def test_in_the_tables_that_its_migrations_make_it_keeps_keys_and_spend(gateway: Gateway) -> None:
    database = gateway.database
    with psycopg.connect(database.url) as connection:
        asked = "SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass"
        assert connection.execute(asked, [f'"{LATE_INDEX}"']).fetchall() == [(True,)]
    key = gateway.new_key()
    assert gateway.chat("mock-reply-9b", key=key).json()["choices"][0]["message"]["content"] == REPLY_TEXT[:9]
    assert eventually(lambda: database.spend_rows(key).rows == 1)


def predicted_usd(reply: httpx.Response) -> float:
    usage: Mapping[str, int] = reply.json()["usage"]
    return spend_usd(usage["prompt_tokens"], usage["completion_tokens"])


#: What a gateway makes of its stores is its own doing, not its backend's.
by_processes = pytest.mark.parametrize("backend", ["processes"], indirect=True)


@by_processes
class TestDatabase:
    """Is every request written into the database, to the last cent?"""

    def test_every_request_is_one_row_and_the_keys_spend_is_the_predicted_sum(self, gateway: Gateway) -> None:
        key, database = gateway.new_key(), gateway.database
        with ThreadPoolExecutor(5) as threads:
            replies = list(threads.map(lambda n: gateway.answered(f"{n}{'x' * 100 * n}", key), range(REQUESTS)))
        expected_usd = sum(map(predicted_usd, replies))
        eventually(lambda: database.spend_rows(key).rows >= REQUESTS, WRITTEN_WITHIN_S)
        eventually(lambda: database.key_spend_usd(key) >= expected_usd, WRITTEN_WITHIN_S)
        found = database.spend_rows(key)
        assert (found.rows, found.spend_usd) == (REQUESTS, expected_usd)
        assert database.key_spend_usd(key) == expected_usd
        assert database.rows_by_request_id(key) == {reply.json()["id"]: 1 for reply in replies}

    def test_a_hit_is_a_row_too_and_costs_the_key_nothing(self, gateway: Gateway) -> None:
        if gateway.service.redis is None:
            pytest.skip(f"not run: hits of a cache: {Redis.lacking()}")
        key, database = gateway.new_key(), gateway.database
        replies: list[httpx.Response] = []

        def hits() -> bool:
            replies.append(gateway.answered("a row for a hit", key))
            return CACHE_HIT in replies[-1].headers

        assert eventually(hits)
        # Written after the hit, so that a hit that costs something cannot come later than what we wait for.
        replies.append(gateway.answered("written after the hit", key))
        expected_usd = sum(predicted_usd(reply) for reply in replies if CACHE_HIT not in reply.headers)
        eventually(lambda: database.spend_rows(key).rows >= len(replies), WRITTEN_WITHIN_S)
        eventually(lambda: database.key_spend_usd(key) >= expected_usd, WRITTEN_WITHIN_S)
        found = database.spend_rows(key)
        assert (found.rows, found.spend_usd) == (len(replies), expected_usd)
        assert database.key_spend_usd(key) == expected_usd

    def test_a_wrong_master_key_gets_no_virtual_key(self, gateway: Gateway) -> None:
        url = gateway.running.address.url
        with pytest.raises(StackFailed) as caught:
            new_virtual_key(url, "sk-wrong")
        said = f"no virtual key: POST {url}{KEY_PATH} was answered with status 401 and {{"
        assert str(caught.value).startswith(said)

    def test_a_gateway_without_a_database_makes_no_virtual_key(self, second: Gateway) -> None:
        with pytest.raises(StackFailed, match=r"was answered with status 500 and \{"):
            second.new_key()


@by_processes
class TestCache:
    """Do instances share a cache in Redis, whichever way they are told of it?"""

    @pytest.mark.parametrize("name", ["gateway", "second"])
    def test_a_prompt_reaches_the_mock_once_and_another_one_too(
        self, gateway: Gateway, second: Gateway, name: str
    ) -> None:
        asked = {"gateway": gateway, "second": second}[name]
        assert asked.reaches_the_mock(f"one for {name}")
        assert eventually(lambda: asked.is_a_hit(f"one for {name}"))
        assert not asked.reaches_the_mock(f"one for {name}")
        assert asked.reaches_the_mock(f"another for {name}")

    @pytest.mark.parametrize("name", ["gateway", "second"])
    def test_what_one_instance_has_cached_the_other_finds(self, gateway: Gateway, second: Gateway, name: str) -> None:
        one, other = (gateway, second) if name == "gateway" else (second, gateway)
        prompt = f"cached by {name}"
        assert eventually(lambda: one.is_a_hit(prompt))
        assert not other.reaches_the_mock(prompt)

    def test_no_password_is_in_a_file_that_others_may_read(self, gateway: Gateway, second: Gateway) -> None:
        for one in (gateway, second):
            config = (one.running.folder / "config.yaml").read_text()
            assert not any(secret in config for secret in one.service.secrets)
            assert one.running.folder.parent.stat().st_mode & 0o077 == 0
