"""Does a real LiteLLM keep its keys and its spend in a real PostgreSQL, whichever backend runs them?

With the WebAssembly engine of Prisma, since that needs no download host. Takes 30 s for each backend with a warm cache.
"""

from typing import Final

import httpx
import psycopg
import pytest

from perfgate.stack.backend import StackBackend
from perfgate.stack.database import Database
from perfgate.stack.environments import Environment
from perfgate.stack.litellm import CHAT_PATH, DatabaseAccess, LiteLLM
from perfgate.stack.mock import REPLY_TEXT, Mock
from perfgate.stack.postgres import Postgres
from perfgate.stack.postgres_server import fresh_database, moved_to
from perfgate.stack.prisma_engine import PrismaClient
from tests.harness.stack.conftest import PATIENCE_S, eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("real_gateway")]

#: One that LiteLLM's migrations leave to a program.
LATE_INDEX: Final = "LiteLLM_SpendLogs_litellm_call_id_idx"


def test_after_its_tables_are_made_litellm_keeps_keys_and_spend_in_them(
    backend: StackBackend, installed: Environment, prisma: PrismaClient
) -> None:
    server = Postgres(60)
    with (
        backend.running(Mock()) as mock,
        backend.running(server) as postgres,
        fresh_database(server.url(postgres.address)) as url,
    ):
        inner_url = moved_to(url, postgres.inner_address.host, postgres.inner_address.port)
        prisma.migrate(url, inner_url)
        with psycopg.connect(url) as connection:
            asked = "SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass"
            assert connection.execute(asked, [f'"{LATE_INDEX}"']).fetchall() == [(True,)]
        access = DatabaseAccess(inner_url, prisma.variables)
        gateway = LiteLLM(installed, f"{mock.inner_address.url}/v1", database=access)
        with (
            backend.running(gateway) as running,
            httpx.Client(base_url=running.address.url, trust_env=False, timeout=PATIENCE_S) as http,
        ):
            as_admin = {"Authorization": f"Bearer {gateway.master_key}"}
            key = http.post("/key/generate", headers=as_admin, json={}).json()["key"]
            chat = {"model": "mock-reply-9b", "messages": [{"role": "user", "content": "hello"}]}
            reply = http.post(CHAT_PATH, headers={"Authorization": f"Bearer {key}"}, json=chat)
            assert reply.json()["choices"][0]["message"]["content"] == REPLY_TEXT[:9]
            assert eventually(lambda: Database(url).spend_rows(key).rows == 1)
