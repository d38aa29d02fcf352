"""Are rows and spend of a key counted as they stand in LiteLLM's tables?"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import psycopg
import pytest

from perfgate.stack.database import APPLICATION_NAME, Database, DatabaseFailed, SpendRows
from perfgate.stack.postgres import Postgres
from perfgate.stack.postgres_server import fresh_database
from perfgate.stack.processes import ProcessBackend, free_port
from perfgate.stack.supervision import Supervisor

KEY: Final = "sk-one"
#: LiteLLM's own, but for the columns that nobody asks for.
TABLES: Final = """
CREATE TABLE "LiteLLM_SpendLogs" (request_id text PRIMARY KEY, api_key text DEFAULT '', spend float8 DEFAULT 0);
CREATE TABLE "LiteLLM_VerificationToken" (token text PRIMARY KEY, spend float8 DEFAULT 0);
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one."""
    service = Postgres(max_connections=17)
    with Supervisor(tmp_path_factory.mktemp("run")) as supervisor:
        yield service.url(ProcessBackend(supervisor).start(service).address)


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """Of a database without tables."""
    with fresh_database(server) as url:
        yield url


@pytest.fixture
def session(url: str) -> Iterator[psycopg.Connection[Any]]:
    """One in it, with tables."""
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(TABLES.encode())
        yield session


def add_row(session: psycopg.Connection[Any], request_id: str, key: str = KEY, spend_usd: float = 0.0) -> None:
    insert = 'INSERT INTO "LiteLLM_SpendLogs" VALUES (%s, %s, %s)'
    session.execute(insert.encode(), [request_id, hashlib.sha256(key.encode()).hexdigest(), spend_usd])


@pytest.mark.slow
def test_the_rows_of_a_key_are_counted_and_added_up(url: str, session: psycopg.Connection[Any]) -> None:
    """Ten times 0.1 is 1, which it isn't when floating-point numbers are added one by one."""
    for number in range(10):
        add_row(session, f"one-{number}", spend_usd=0.1)
    add_row(session, "other", key="sk-other", spend_usd=7)
    assert Database(url).spend_rows(KEY) == SpendRows(10, 1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("session")
def test_a_key_without_rows_has_none(url: str) -> None:
    assert Database(url).spend_rows(KEY) == SpendRows(0, 0.0)
    assert Database(url).rows_by_request_id(KEY) == {}


@pytest.mark.slow
def test_rows_are_counted_by_request(url: str, session: psycopg.Connection[Any]) -> None:
    session.execute('ALTER TABLE "LiteLLM_SpendLogs" DROP CONSTRAINT "LiteLLM_SpendLogs_pkey"')
    for request_id, key in [("a", KEY), ("b", KEY), ("b", KEY), ("c", "sk-other")]:
        add_row(session, request_id, key)
    assert Database(url).rows_by_request_id(KEY) == {"a": 1, "b": 2}


@pytest.mark.slow
def test_the_spend_of_a_key_is_what_litellm_says(url: str, session: psycopg.Connection[Any]) -> None:
    insert = 'INSERT INTO "LiteLLM_VerificationToken" VALUES (%s, 2.5)'
    session.execute(insert.encode(), [hashlib.sha256(KEY.encode()).hexdigest()])
    assert Database(url).key_spend_usd(KEY) == 2.5
    with pytest.raises(DatabaseFailed, match="the database knows no such virtual key"):
        Database(url).key_spend_usd("sk-other")


@pytest.mark.slow
def test_connections_are_those_of_others_to_this_database(server: str, url: str) -> None:
    """Our own are left out, also that of another thread, which counts rows at the same time."""
    with ExitStack() as stack:
        stack.enter_context(psycopg.connect(url, application_name=APPLICATION_NAME))
        for _ in range(2):
            stack.enter_context(psycopg.connect(url))
        stack.enter_context(psycopg.connect(server))
        assert Database(url).connections() == 2


@pytest.mark.slow
def test_missing_tables_are_an_error(url: str) -> None:
    words = r'relation "LiteLLM_SpendLogs" does not exist: LiteLLM has not made its tables in this database'
    with pytest.raises(DatabaseFailed, match=words):
        Database(url).spend_rows(KEY)


def test_a_database_that_does_not_answer_is_an_error_without_its_password() -> None:
    unreachable = Database(f"postgresql://u:s3cret@127.0.0.1:{free_port()}/d")
    with pytest.raises(DatabaseFailed, match=r"the database does not answer a question: .*refused") as caught:
        unreachable.connections()
    assert "s3cret" not in str(caught.value) + repr(unreachable)
