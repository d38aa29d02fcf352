"""Can a server be told fit for use, and does every database of ours go, and none that is not ours?"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
import pytest

from perfgate.errors import BadInput, StackFailed
from perfgate.stack import postgres_server
from perfgate.stack.postgres import Postgres
from perfgate.stack.postgres_program import SUPERUSER
from perfgate.stack.postgres_server import checked_server, drop_leftovers, fresh_database, server_facts
from perfgate.stack.processes import ProcessBackend, free_port
from perfgate.stack.supervision import Supervisor
from tests.harness.stack.conftest import eventually

MAX_CONNECTIONS: Final = 17
#: Of no process that lives: PIDs are below 2**22.
GONE: Final = "perfgate_9999999_1_0123abcd"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one."""
    service = Postgres(MAX_CONNECTIONS)
    with Supervisor(tmp_path_factory.mktemp("run")) as supervisor:
        yield service.url(ProcessBackend(supervisor).start(service).address)


@pytest.fixture
def admin(server: str) -> Iterator[psycopg.Connection[Any]]:
    """A session on it; afterwards only the databases and users are left that were there before."""
    with psycopg.connect(server, autocommit=True) as connection:
        before = databases(connection)
        yield connection
        for name in databases(connection) - before:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
        connection.execute("DROP ROLE IF EXISTS somebody")


def databases(connection: psycopg.Connection[Any]) -> set[str]:
    return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


def with_parts(url: str, *, user: str = SUPERUSER, password: str | None = None, path: str | None = None) -> str:
    """The same server, otherwise."""
    parts = urlsplit(url)
    netloc = f"{user}:{password or parts.password}@{parts.hostname}:{parts.port}"
    return parts._replace(netloc=netloc, path=path or parts.path).geturl()


def make_somebody(admin: psycopg.Connection[Any], server: str, *, attributes: str = "") -> str:
    """A user who is no superuser; the server's URL for them."""
    admin.execute(f"CREATE ROLE somebody LOGIN PASSWORD 'else' {attributes}".encode())
    return with_parts(server, user="somebody", password="else")


# A database of our own


@pytest.mark.slow
def test_a_run_gets_an_empty_database_that_goes_with_it(server: str, admin: psycopg.Connection[Any]) -> None:
    before = databases(admin)
    with fresh_database(server) as one, fresh_database(server) as other:
        assert one != other
        with psycopg.connect(one) as connection:
            connection.execute("CREATE TABLE mine (x int)")
            assert {f"/{name}" for name in databases(admin) - before} == {urlsplit(one).path, urlsplit(other).path}
        with psycopg.connect(other) as connection, pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM mine")
    assert databases(admin) == before


@pytest.mark.slow
def test_options_of_the_url_stay(server: str) -> None:
    with fresh_database(f"{server}?sslmode=disable&application_name=x") as url:
        assert urlsplit(url).query == "sslmode=disable&application_name=x"


@pytest.mark.slow
def test_it_goes_after_an_error_and_though_somebody_is_connected(server: str, admin: psycopg.Connection[Any]) -> None:
    before = databases(admin)
    with ExitStack() as stack:

        def connect_and_fail(url: str) -> None:
            stack.enter_context(psycopg.connect(url))
            raise KeyError

        with pytest.raises(KeyError), fresh_database(server) as url:
            connect_and_fail(url)
        assert databases(admin) == before


@pytest.mark.slow
def test_it_goes_though_all_sessions_were_cut_meanwhile(server: str, admin: psycopg.Connection[Any]) -> None:
    """As after an outage; and until then it is nobody's leftover, since we live."""
    before = databases(admin)
    cut = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = %s"
    with fresh_database(server) as url:
        name = urlsplit(url).path[1:]
        assert admin.execute(cut.encode(), [name]).fetchall() == [(True,)]
        assert drop_leftovers(server) == ()
        assert name in databases(admin)
    assert databases(admin) == before


@pytest.mark.slow
def test_a_user_who_is_no_superuser_can_do_it_all(server: str, admin: psycopg.Connection[Any]) -> None:
    url = make_somebody(admin, server, attributes="CREATEDB")
    facts = checked_server(url, 1)
    assert facts.free_connections < server_facts(server).free_connections
    with fresh_database(url) as mine, psycopg.connect(mine) as connection:
        connection.execute("CREATE TABLE x (y int)")
        connection.rollback()


@pytest.mark.slow
def test_one_that_cannot_be_made_is_an_error(server: str, admin: psycopg.Connection[Any]) -> None:
    url = make_somebody(admin, server)
    with (
        pytest.raises(StackFailed, match=r"no database can be made at 127\.0\.0\.1:\d+/postgres: permission denied"),
        fresh_database(url),
    ):
        raise AssertionError("unreachable")


@pytest.mark.slow
def test_one_that_cannot_be_dropped_is_an_error(server: str, admin: psycopg.Connection[Any]) -> None:
    url = make_somebody(admin, server, attributes="CREATEDB")
    words = r"the database perfgate_\d+_\d+_[0-9a-f]{8} at .*/postgres cannot be dropped \(.*\); the next run"
    with pytest.raises(StackFailed, match=words), fresh_database(url):
        admin.execute("ALTER ROLE somebody NOLOGIN")
    admin.execute(f"REASSIGN OWNED BY somebody TO {SUPERUSER}".encode())


# What killed runs leave

HAS_ONE: Final = """
import sys, time
from perfgate.stack.postgres_server import fresh_database
with fresh_database(sys.stdin.readline().strip()) as url:
    print(url, flush=True)
    time.sleep(9999)
"""


@pytest.mark.slow
def test_a_database_lives_as_long_as_its_process_and_is_dropped_by_the_next(
    server: str, admin: psycopg.Connection[Any]
) -> None:
    argv = [sys.executable, "-c", HAS_ONE]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            print(server, file=process.stdin, flush=True)
            name = urlsplit(process.stdout.readline().strip()).path[1:]
            assert name.startswith(f"perfgate_{process.pid}_")
            with fresh_database(server):
                assert name in databases(admin)
        finally:
            process.send_signal(signal.SIGKILL)
    gone = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    assert eventually(lambda: admin.execute(gone.encode(), [name]).fetchone() == (0,))
    with fresh_database(server):
        assert name not in databases(admin)


@pytest.mark.slow
def test_a_process_of_another_host_keeps_its_database_by_its_session(
    server: str, admin: psycopg.Connection[Any]
) -> None:
    admin.execute(f"CREATE DATABASE {GONE}".encode())
    with psycopg.connect(server, application_name=GONE):
        assert drop_leftovers(server) == ()
    assert eventually(lambda: drop_leftovers(server) == (GONE,))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["perfgate", "perfgate_results", "perfgate_1_2_3", f"{GONE}0", f"x{GONE}", GONE.upper(), "perfgate_x_1_0123abcd"],
)
def test_a_database_of_another_name_stays(server: str, admin: psycopg.Connection[Any], name: str) -> None:
    admin.execute(f'CREATE DATABASE "{name}"'.encode())
    assert drop_leftovers(server) == ()
    assert name in databases(admin)


@pytest.mark.slow
def test_a_database_of_another_user_stays(server: str, admin: psycopg.Connection[Any]) -> None:
    make_somebody(admin, server)
    admin.execute(f"CREATE DATABASE {GONE} OWNER somebody".encode())
    assert drop_leftovers(server) == ()
    admin.execute(f"ALTER DATABASE {GONE} OWNER TO {SUPERUSER}".encode())
    assert drop_leftovers(server) == (GONE,)


@pytest.mark.slow
def test_a_leftover_that_somebody_looks_into_stays_for_now(server: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute(f"CREATE DATABASE {GONE}".encode())
    with psycopg.connect(with_parts(server, path=f"/{GONE}")):
        assert drop_leftovers(server) == ()
    assert eventually(lambda: drop_leftovers(server) == (GONE,))


@pytest.mark.slow
def test_a_process_whose_pid_was_used_again_is_gone(server: str, admin: psycopg.Connection[Any]) -> None:
    name = f"perfgate_{os.getpid()}_1_0123abcd"
    admin.execute(f"CREATE DATABASE {name}".encode())
    assert drop_leftovers(server) == (name,)


# What a server says of itself


@pytest.mark.slow
def test_facts_are_the_servers(server: str, admin: psycopg.Connection[Any]) -> None:
    facts = server_facts(server)
    assert admin.execute("SELECT current_setting('server_version')").fetchone() == (facts.version,)
    assert (facts.max_connections, facts.fsync, facts.synchronous_commit) == (MAX_CONNECTIONS, "off", "on")
    assert facts.shared_buffers == "128MB"
    with psycopg.connect(server):
        assert server_facts(server).free_connections == facts.free_connections - 1


@pytest.mark.slow
@pytest.mark.parametrize("ask", [server_facts, drop_leftovers])
def test_a_server_that_has_gone_is_an_error(ask: Any) -> None:
    port = free_port()
    with pytest.raises(StackFailed, match=rf"PostgreSQL at 127\.0\.0\.1:{port}/d does not answer: .*refused"):
        ask(f"postgresql://u:s3cret@127.0.0.1:{port}/d")


# An existing server


@pytest.mark.slow
def test_a_server_that_fits_is_left_as_it_is(server: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute(f"CREATE DATABASE {GONE}".encode())
    before = databases(admin)
    assert checked_server(server, 5).max_connections == MAX_CONNECTIONS
    assert databases(admin) == before


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret@host:port/d",
        "postgresql://u:s3cret@host:0/d",
        "postgresql://u:s3cret@host:99999/d",
        "postgresql://u:s3/cret@host:1/d",
        "mysql://u:s3cret@host:1/d",
        "postgresql://host:1/d",
        "postgresql://u:s3cret@:1/d",
        "postgresql://u:s3cret@host:1",
        "postgresql://u:s3cret@host:1/",
        "postgresql://u:s3cret@host:1/d#f",
        "host=localhost password=s3cret",
        "",
    ],
)
def test_what_is_no_url_of_a_database_is_not_repeated(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        checked_server(url, 1)
    assert str(caught.value) == (
        "--postgres-url must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters in the "
        "password written as %XX (@ is %40, / is %2F)"
    )


def test_options_that_are_not_postgresqls_are_refused() -> None:
    with pytest.raises(BadInput, match=r"does not understand the part after the \? of …@h:5432/d; .* none of Prisma's"):
        checked_server("postgresql://u:s3cret@h/d?connection_limit=5", 1)


def test_nobody_there_is_an_error() -> None:
    port = free_port()
    words = rf"^--postgres-url: no PostgreSQL server can be reached at 127\.0\.0\.1:{port}/d: .*refused.*; check host"
    with pytest.raises(BadInput, match=words) as caught:
        checked_server(f"postgresql://u:s3cret@127.0.0.1:{port}/d", 1)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_host_that_nobody_knows_is_an_error(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    words = rf"^--postgres-url: no PostgreSQL server can be reached at nowhere:5432/d: .*{error.args[-1]}.*; check host"
    with pytest.raises(BadInput, match=words) as caught:
        checked_server("postgresql://u:s3cret@nowhere/d", 1)
    assert "s3cret" not in str(caught.value)


@pytest.mark.slow
def test_a_wrong_password_is_an_error(server: str) -> None:
    words = (
        r"^--postgres-url: the server at 127\.0\.0\.1:\d+/postgres refuses us: password authentication failed for user "
        r'"perfgate"; check user and password in it$'
    )
    with pytest.raises(BadInput, match=words) as caught:
        checked_server(with_parts(server, password="s3cret"), 1)
    assert "s3cret" not in str(caught.value)


@pytest.mark.slow
def test_a_database_that_does_not_exist_is_an_error(server: str) -> None:
    words = r'/nowhere refuses us: database "nowhere" does not exist; name one that exists: perfgate makes its own'
    with pytest.raises(BadInput, match=words):
        checked_server(with_parts(server, path="/nowhere"), 1)


@pytest.mark.slow
def test_another_refusal_is_given_in_the_servers_words(server: str, admin: psycopg.Connection[Any]) -> None:
    make_somebody(admin, server)
    admin.execute("ALTER ROLE somebody NOLOGIN")
    words = r'/postgres refuses us: role "somebody" is not permitted to log in$'
    with pytest.raises(BadInput, match=words):
        checked_server(with_parts(server, user="somebody", password="else"), 1)


@pytest.mark.slow
def test_a_user_who_may_not_create_databases_is_an_error(server: str, admin: psycopg.Connection[Any]) -> None:
    words = (
        r"^--postgres-url: user somebody may not create databases at 127\.0\.0\.1:\d+/postgres, and each run needs its "
        "own: have an administrator say ALTER ROLE somebody CREATEDB$"
    )
    with pytest.raises(BadInput, match=words):
        checked_server(make_somebody(admin, server), 1)


@pytest.mark.slow
def test_too_few_connections_are_an_error(server: str) -> None:
    free = checked_server(server, 1).free_connections
    words = (
        rf"has {free} free connections \(max_connections is {MAX_CONNECTIONS}\), and this run needs {free + 1}, "
        r"see docs/sizing\.md: raise max_connections there, or use fewer --workers or --instances$"
    )
    with pytest.raises(BadInput, match=words):
        checked_server(server, free + 1)
    assert checked_server(server, free).free_connections == free


@pytest.mark.slow
def test_an_old_server_is_an_error(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_server, "OLDEST_MAJOR_VERSION", 99)
    with pytest.raises(BadInput, match=r"127\.0\.0\.1:\d+/postgres is PostgreSQL \d+\.\d+; 99 or newer is needed"):
        checked_server(server, 1)
