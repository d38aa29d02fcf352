"""How does a run get a database of its own on a PostgreSQL server, and how is it rid of again?

Comes in: the URL of a server: our own (postgres.py), a container's, or `--postgres-url`. Goes out: what kind of server
it is, and the URLs of databases that are dropped when they are done with.

A database is called perfgate_PID_STARTTIME_RANDOM. The process that makes it keeps a session open that has the same
name, so that the server itself knows, for all hosts that use it, whether that process still lives: after a kill -9 the
session ends, and the next one that makes a database drops what is left. An outage of the server ends sessions too: so a
database whose process can be seen to live on this host is left alone without one.
"""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, urlsplit

import psycopg
from psycopg import sql

from perfgate.errors import BadInput, StackFailed
from perfgate.stack.database import APPLICATION_NAME, CONNECT_TIMEOUT_S, in_words

OPTION: Final = "--postgres-url"
#: Stands for a password where it may not be shown.
MASK: Final = "***"
#: The first that can drop a database which somebody is connected to.
OLDEST_MAJOR_VERSION: Final = 13

#: Whatever is not ours by name, or belongs to another user, or is in use, is not ours to drop.
_LEFT_OVER: Final = r"""
    SELECT datname FROM pg_database
    WHERE datname ~ '^perfgate_[0-9]+_[0-9]+_[0-9a-f]{8}$'
    AND pg_get_userbyid(datdba) = current_user
    AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE pg_database.datname IN (a.application_name, a.datname))
    ORDER BY datname
"""
#: What the server says when it answers, but does not let us in, and what to do then.
_REFUSALS: Final = (
    (r"password authentication failed|no password supplied", "check user and password in it"),
    (r"database .* does not exist", "name one that exists: perfgate makes its own databases, but must connect to one"),
)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a record says of a PostgreSQL server.

    Args:
        version: `18.4`.
        max_connections: for everybody together.
        free_connections: that we could still open.
        fsync, synchronous_commit: whether a commit waits for the disk: `on` and `on` by default.
        shared_buffers: as PostgreSQL says it: `128MB`.
    """

    version: str
    max_connections: int
    free_connections: int
    fsync: str
    synchronous_commit: str
    shared_buffers: str


def server_facts(url: str) -> ServerFacts:
    """What a server says of itself.

    Raises:
        StackFailed: it does not answer.
    """
    try:
        with _connected(url) as connection:
            return _facts(connection)
    except psycopg.Error as error:
        raise StackFailed(f"PostgreSQL at {_shown(url)} does not answer: {in_words(error)}") from error


def checked_server(url: str, connections: int) -> ServerFacts:
    """Check that an existing server can be used; leaves it as it is.

    Args:
        url: the value of `--postgres-url`; no message shows its password.
        connections: how many the run needs, see `postgres.connections_needed`.

    Raises:
        BadInput: it cannot be used; says why.
    """
    where = _shown(url)
    try:
        connection = _connected(url)
    except psycopg.OperationalError as error:
        raise BadInput(_refused(where, in_words(error))) from None
    except UnicodeError as error:  # a host name with an empty part, or one that is too long
        raise BadInput(_refused(where, str(error))) from None
    except psycopg.ProgrammingError:  # its words may repeat any part of the URL
        raise BadInput(
            f"{OPTION}: PostgreSQL's client does not understand the part after the ? of …@{where}; it knows options "
            "such as sslmode=require, but none of Prisma's"
        ) from None
    with connection:
        facts = _facts(connection)
        if int(facts.version.partition(".")[0]) < OLDEST_MAJOR_VERSION:
            raise BadInput(
                f"{OPTION}: {where} is PostgreSQL {facts.version}; {OLDEST_MAJOR_VERSION} or newer is needed"
            )
        asked = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
        if connection.execute(asked).fetchone() != (True,):
            user = connection.info.user
            raise BadInput(
                f"{OPTION}: user {user} may not create databases at {where}, and each run needs its own: have an "
                f"administrator say ALTER ROLE {user} CREATEDB"
            )
    if facts.free_connections < connections:
        raise BadInput(
            f"{OPTION}: {where} has {facts.free_connections} free connections (max_connections is "
            f"{facts.max_connections}), and this run needs {connections}, see docs/sizing.md: raise max_connections "
            "there, or use fewer --workers or --instances"
        )
    return facts


def checked_url(url: str) -> SplitResult:
    """Its parts.

    Raises:
        BadInput: it is no URL of a PostgreSQL database; repeats none of it, since a password may be anywhere.
    """
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("postgresql", "postgres") and bool(parts.hostname) and bool(parts.username)
        # A password among the parameters would not be seen as one, and shown.
        is_one = is_one and "password" not in parse_qs(parts.query, keep_blank_values=True)
        if is_one and parts.port != 0 and re.fullmatch("/[^/]+", parts.path) and not parts.fragment:
            return parts
    except ValueError:
        pass  # a port that is none
    raise BadInput(
        f"{OPTION} must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters in the password "
        "written as %XX (@ is %40, / is %2F)"
    )


def moved_to(url: str, host: str, port: int) -> str:
    """The same database and user, as whoever reaches the server at another address must ask for it.

    >>> moved_to("postgresql://me:secret@127.0.0.1:5432/mine", "postgres-1", 5433)
    'postgresql://me:secret@postgres-1:5433/mine'
    """
    parts = checked_url(url)
    user = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{user}@{host}:{port}").geturl()


def masked(url: str) -> str:
    """The URL as it may be shown: its password is MASK.

    >>> masked("postgresql://me:secret@127.0.0.1:5432/mine")
    'postgresql://me:***@127.0.0.1:5432/mine'
    """
    password = checked_url(url).password
    return url.replace(f":{password}@", f":{MASK}@", 1) if password else url


@contextmanager
def fresh_database(url: str) -> Iterator[str]:
    """Have an empty database for as long as the context is open; drop what killed runs have left first.

    Args:
        url: of a database of the server that exists, by a user who may create others.

    Returns:
        The URL of the new one, with the same user and options.

    Raises:
        StackFailed: it cannot be made, or not be dropped.
    """
    name = _new_name()
    identifier = sql.Identifier(name)
    try:
        keeper = _connected(url, name)
        _drop_leftovers(keeper)
        # template1 cannot be copied while anybody is connected to it.
        keeper.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(identifier))
    except psycopg.Error as error:
        raise StackFailed(f"no database can be made at {_shown(url)}: {in_words(error)}") from error
    with keeper:
        try:
            yield checked_url(url)._replace(path=f"/{name}").geturl()
        finally:
            try:
                with _connected(url) as connection:  # the keeper's may have been cut by an outage
                    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
            except psycopg.Error as error:
                raise StackFailed(
                    f"the database {name} at {_shown(url)} cannot be dropped ({in_words(error)}); the next run that "
                    "uses this server will try again"
                ) from error


def drop_leftovers(url: str) -> tuple[str, ...]:
    """Drop the databases of runs that were killed; `fresh_database` does it too.

    Args:
        url: see there.

    Returns:
        Their names.

    Raises:
        StackFailed: the server does not answer.
    """
    try:
        with _connected(url) as connection:
            return _drop_leftovers(connection)
    except psycopg.Error as error:
        raise StackFailed(f"PostgreSQL at {_shown(url)} does not answer: {in_words(error)}") from error


def _drop_leftovers(connection: psycopg.Connection[Any]) -> tuple[str, ...]:
    dropped = []
    for (name,) in connection.execute(_LEFT_OVER.encode()).fetchall():
        _, pid, started, _ = name.split("_")
        if _start_time(pid) == started:
            continue
        try:
            # Without FORCE: one that somebody looks into meanwhile is left to them.
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
        except (psycopg.errors.ObjectInUse, psycopg.errors.InvalidCatalogName):
            continue  # in use; or another run was faster
        dropped.append(name)
    return tuple(dropped)


def _new_name() -> str:
    pid = str(os.getpid())
    return f"perfgate_{pid}_{_start_time(pid)}_{secrets.token_hex(4)}"


def _start_time(pid: str) -> str | None:
    """When a process of this host began, in ticks since boot; None when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


def _connected(url: str, application_name: str = APPLICATION_NAME) -> psycopg.Connection[Any]:
    return psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT_S, autocommit=True, application_name=application_name)


def _facts(connection: psycopg.Connection[Any]) -> ServerFacts:
    # Whoever is no superuser sees in pg_stat_activity only sessions of its own: so the counts of pg_stat_database.
    ((version, *rest),) = connection.execute(
        """
        SELECT current_setting('server_version'), current_setting('max_connections')::int,
          current_setting('max_connections')::int - (SELECT sum(numbackends) FROM pg_stat_database)::int + 1
            - CASE WHEN (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN 0
              ELSE current_setting('superuser_reserved_connections')::int
                + coalesce(current_setting('reserved_connections', true)::int, 0) END,
          current_setting('fsync'), current_setting('synchronous_commit'), current_setting('shared_buffers')
        """
    ).fetchall()
    return ServerFacts(version.split()[0], *rest)


def _shown(url: str) -> str:
    """Where it is, without user and password."""
    parts = checked_url(url)
    return f"{parts.hostname}:{parts.port or 5432}{parts.path}"


def _refused(where: str, words: str) -> str:
    """Why the server cannot be connected to, and what to do."""
    _, is_from_server, said = words.partition("FATAL: ")
    if not is_from_server:
        return f"{OPTION}: no PostgreSQL server can be reached at {where}: {words}; check host and port in it"
    for pattern, hint in _REFUSALS:
        if re.search(pattern, said):
            return f"{OPTION}: the server at {where} refuses us: {said.strip()}; {hint}"
    return f"{OPTION}: the server at {where} refuses us: {said.strip()}"
