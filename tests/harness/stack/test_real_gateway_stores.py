"""Does a real LiteLLM write every request into its database, to the last cent, and do instances share a cache in Redis?

Takes about a minute with a warm cache, which is the user's own, and a network when it is cold. Where there is no
PostgreSQL or no Redis to start, each test is reported as not run, with the reason.
"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import httpx
import pytest

from perfgate.errors import BadInput, StackFailed
from perfgate.stack.admin import KEY_PATH, new_virtual_key
from perfgate.stack.database import Database
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.litellm import CHAT_PATH, FLUSH_JITTER_S, DatabaseAccess, LiteLLM, RedisAccess, spend_usd
from perfgate.stack.mock import Mock
from perfgate.stack.postgres import Postgres, connections_needed, postgres_programs
from perfgate.stack.postgres_server import fresh_database
from perfgate.stack.prisma_engine import CLIENT_PACKAGE, PrismaEngine
from perfgate.stack.processes import ProcessBackend, Running
from perfgate.stack.redis import Redis
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release
from perfgate.stack.supervision import Supervisor
from tests.harness.stack.conftest import eventually

# With --dist loadgroup one worker starts the gateways for all of them.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("real_gateway_stores")]

MODEL: Final = "perfgate-plain"
REQUESTS: Final = 50
FLUSH_S: Final = 2
#: What it takes besides on a host that is badly overloaded. A key that is one write behind its rows waits for the next.
WRITTEN_WITHIN_S: Final = 2 * (FLUSH_S + FLUSH_JITTER_S) + 60
CACHE_HIT: Final = "x-litellm-cache-key"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running LiteLLM, and the mock behind it."""

    service: LiteLLM
    running: Running
    mock_url: str

    def new_key(self) -> str:
        return new_virtual_key(self.running.address.url, self.service.master_key)

    def chat(self, prompt: str, key: str | None = None) -> httpx.Response:
        reply = httpx.post(
            self.running.address.url + CHAT_PATH,
            headers={"Authorization": f"Bearer {key or self.service.master_key}"},
            json={"model": MODEL, "messages": [{"role": "user", "content": prompt}]},
            timeout=60,
            trust_env=False,
        )
        assert reply.status_code == 200, reply.text
        return reply

    def reaches_the_mock(self, prompt: str, key: str | None = None) -> bool:
        before = self._received_by_mock()
        self.chat(prompt, key)
        return self._received_by_mock() != before

    def is_a_hit(self, prompt: str, key: str | None = None) -> bool:
        """Whether a prompt is answered from the cache, which LiteLLM writes to after it has sent its reply."""
        return CACHE_HIT in self.chat(prompt, key).headers

    def _received_by_mock(self) -> int:
        return int(httpx.get(f"{self.mock_url}/admin/counts", trust_env=False).json()["received"])


@dataclass(frozen=True, slots=True)
class Stores:
    """Gateways before one Redis, of which `first` has a database too."""

    first: Gateway
    second: Gateway
    by_url: Gateway
    database: Database


@pytest.fixture(scope="module")
def stores_or_why_not(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores | str]:
    """Started once; in words what is missing where they cannot be had."""
    try:
        postgres_programs()
    except BadInput as error:
        yield str(error)
        return
    lacking = Redis.lacking()
    if lacking is not None:
        yield lacking
        return
    cache, engine = EnvironmentCache.of_user(os.environ), PrismaEngine.of_user("wasm", os.environ)
    with (
        cache.using(Release(DEFAULT_RELEASE), with_packages=(CLIENT_PACKAGE,), say=print) as environment,
        engine.using(environment, say=print) as client,
        Supervisor(tmp_path_factory.mktemp("run")) as supervisor,
    ):
        backend = ProcessBackend(supervisor)
        mock_url = backend.start(Mock()).address.url
        server, redis = Postgres(connections_needed(10, workers=1, instances=1)), Redis(64)
        redis_address = backend.start(redis).address
        with fresh_database(server.url(backend.start(server).address)) as url:
            client.migrate(url, url)
            gateway = partial(LiteLLM, environment, f"{mock_url}/v1")
            by_host = RedisAccess(redis_address, redis.password)
            services = (
                gateway(database=DatabaseAccess(url, client.variables, flush_s=FLUSH_S), redis=by_host, name="first"),
                gateway(redis=by_host, name="second"),
                gateway(redis=RedisAccess(redis_address, redis.password, by="url"), name="by-url"),
            )
            with ThreadPoolExecutor() as threads:
                running = list(threads.map(backend.start, services))
            first, second, by_url = (
                Gateway(service, up, mock_url) for service, up in zip(services, running, strict=True)
            )
            yield Stores(first, second, by_url, Database(url))
            backend.stop(running)


@pytest.fixture
def stores(stores_or_why_not: Stores | str, request: pytest.FixtureRequest) -> Stores:
    if isinstance(stores_or_why_not, str):
        pytest.skip(f"not run: {request.node.name}: {stores_or_why_not}")
    return stores_or_why_not


def predicted_usd(reply: httpx.Response) -> float:
    usage: Mapping[str, int] = reply.json()["usage"]
    return spend_usd(usage["prompt_tokens"], usage["completion_tokens"])


class TestDatabase:
    def test_every_request_is_one_row_and_the_keys_spend_is_the_predicted_sum(self, stores: Stores) -> None:
        key, database = stores.first.new_key(), stores.database
        with ThreadPoolExecutor(5) as threads:
            replies = list(threads.map(lambda n: stores.first.chat(f"{n}{'x' * 100 * n}", key), range(REQUESTS)))
        expected_usd = sum(map(predicted_usd, replies))
        eventually(lambda: database.spend_rows(key).rows >= REQUESTS, WRITTEN_WITHIN_S)
        eventually(lambda: database.key_spend_usd(key) >= expected_usd, WRITTEN_WITHIN_S)
        found = database.spend_rows(key)
        assert (found.rows, found.spend_usd) == (REQUESTS, expected_usd)
        assert database.key_spend_usd(key) == expected_usd
        assert database.rows_by_request_id(key) == {reply.json()["id"]: 1 for reply in replies}

    def test_a_hit_is_a_row_too_and_costs_the_key_nothing(self, stores: Stores) -> None:
        key, database = stores.first.new_key(), stores.database
        replies: list[httpx.Response] = []

        def hits() -> bool:
            replies.append(stores.first.chat("a row for a hit", key))
            return CACHE_HIT in replies[-1].headers

        assert eventually(hits)
        # Written after the hit, so that a hit that costs something cannot come later than what we wait for.
        replies.append(stores.first.chat("written after the hit", key))
        expected_usd = sum(predicted_usd(reply) for reply in replies if CACHE_HIT not in reply.headers)
        eventually(lambda: database.spend_rows(key).rows >= len(replies), WRITTEN_WITHIN_S)
        eventually(lambda: database.key_spend_usd(key) >= expected_usd, WRITTEN_WITHIN_S)
        found = database.spend_rows(key)
        assert (found.rows, found.spend_usd) == (len(replies), expected_usd)
        assert database.key_spend_usd(key) == expected_usd

    def test_a_wrong_master_key_gets_no_virtual_key(self, stores: Stores) -> None:
        url = stores.first.running.address.url
        with pytest.raises(StackFailed) as caught:
            new_virtual_key(url, "sk-wrong")
        assert str(caught.value).startswith(f"no virtual key: POST {url}{KEY_PATH} was answered with status 401 and {{")

    def test_a_gateway_without_a_database_makes_no_virtual_key(self, stores: Stores) -> None:
        with pytest.raises(StackFailed, match=r"was answered with status 500 and \{"):
            stores.second.new_key()


class TestCache:
    @pytest.mark.parametrize("name", ["first", "second", "by_url"])
    def test_a_prompt_reaches_the_mock_once_and_another_one_too(self, stores: Stores, name: str) -> None:
        gateway: Gateway = getattr(stores, name)
        assert gateway.reaches_the_mock(f"one for {name}")
        assert eventually(lambda: gateway.is_a_hit(f"one for {name}"))
        assert not gateway.reaches_the_mock(f"one for {name}")
        assert gateway.reaches_the_mock(f"another for {name}")

    @pytest.mark.parametrize("name", ["second", "by_url"])
    def test_what_one_instance_has_cached_the_others_find(self, stores: Stores, name: str) -> None:
        prompt = f"cached for {name}"
        assert eventually(lambda: stores.first.is_a_hit(prompt))
        other: Gateway = getattr(stores, name)
        assert not other.reaches_the_mock(prompt)

    def test_no_password_is_in_a_file_that_others_may_read(self, stores: Stores) -> None:
        for gateway in (stores.first, stores.by_url):
            config = (gateway.running.folder / "config.yaml").read_text()
            assert not any(secret in config for secret in gateway.service.secrets)
            assert gateway.running.folder.parent.stat().st_mode & 0o077 == 0
