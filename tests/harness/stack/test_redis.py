"""Does Redis come up as LiteLLM advises, and is it said what a host lacks that cannot run it?"""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from perfgate.errors import BadInput
from perfgate.stack.backend import RunningService, StackBackend
from perfgate.stack.processes import ProcessBackend, Running, free_port
from perfgate.stack.redis import PingCheck, Redis, RedisProgram, redis_program
from perfgate.stack.service import Address
from perfgate.stack.supervision import Supervisor

MEMORY_MIB: Final = 8


@pytest.fixture(scope="module")
def service() -> Redis:
    return Redis(MEMORY_MIB)


@pytest.fixture(scope="module")
def running(service: Redis, backend: StackBackend) -> Iterator[RunningService]:
    """One server of each backend for the tests that only look at it."""
    if backend.name == "processes":
        check_redis_here()
    with backend.running(service) as running:
        yield running


@pytest.fixture(scope="module")
def process(service: Redis, processes: ProcessBackend) -> Iterator[Running]:
    """One server for the tests that only look at what a process alone has."""
    check_redis_here()
    with processes.running(service) as running:
        yield running


def check_redis_here() -> None:
    lacking = Redis.lacking()
    if lacking is not None:
        pytest.skip(lacking)


def ask(service: Redis, running: RunningService, *commands: str) -> str:
    """What Redis replies, in its protocol, to commands of words without blanks."""
    with socket.create_connection((running.address.host, running.address.port)) as connection:
        connection.sendall("".join(f"{command}\r\n" for command in (f"AUTH {service.password}", *commands)).encode())
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as replies:
            return replies.read().decode()


def settings(service: Redis, running: RunningService, name: str) -> str:
    return ask(service, running, f"CONFIG GET {name}").split("\r\n")[-2]


def test_the_host_s_runs_until_it_is_stopped(supervisor: Supervisor) -> None:
    check_redis_here()
    service = Redis(MEMORY_MIB, program=redis_program(os.environ["PATH"]))
    assert service.program is not None
    with ProcessBackend(supervisor).running(service) as running:
        assert f"redis_version:{service.program.version}\r\n" in ask(service, running, "INFO server")
    assert running.exit_status == 0
    assert not psutil.pid_exists(running.pid)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("appendonly", "yes"),
        ("maxmemory-policy", "allkeys-lru"),
        ("maxmemory", str(MEMORY_MIB * 1024 * 1024)),
        ("save", ""),
    ],
)
def test_it_is_set_up_as_advised(service: Redis, running: RunningService, name: str, value: str) -> None:
    assert settings(service, running, name) == value


def test_it_listens_on_loopback_and_nowhere_else(process: Running) -> None:
    listening = [c for c in psutil.Process(process.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert [tuple(connection.laddr) for connection in listening] == [("127.0.0.1", process.address.port)]


def test_what_it_appends_is_in_its_folder(service: Redis, process: Running) -> None:
    assert ask(service, process, "SET kept value").endswith("+OK\r\n")
    assert list((process.folder / "appendonlydir").iterdir())


@pytest.mark.slow
def test_more_than_fits_pushes_out_what_was_there(service: Redis, running: RunningService) -> None:
    keys = 3 * MEMORY_MIB * 100
    replies = ask(service, running, *(f"SET key{number} {'x' * 10_000}" for number in range(keys)), "DBSIZE")
    assert replies.count("+OK\r\n") == 1 + keys
    assert int(replies.rpartition(":")[2]) < MEMORY_MIB * 110


def test_the_password_is_in_no_message(service: Redis, running: RunningService) -> None:
    (secret,) = service.secrets
    assert secret not in " ".join(psutil.Process(running.pid).cmdline())
    assert secret not in repr(service) + repr(service.ready_checks()) + running.log_path.read_text()


def test_its_url_has_all_one_needs(service: Redis) -> None:
    assert service.url(Address("10.0.0.1", 6379)) == f"redis://:{service.password}@10.0.0.1:6379/0"


def test_too_little_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="max_memory_mib=7 must be at least 8"):
        Redis(7)


# The check


def test_only_a_server_with_our_password_is_ready(service: Redis, running: RunningService) -> None:
    assert PingCheck(service.password).attempt(running.address.url, 5) == (True, "+OK and +PONG")
    is_answered, answer = PingCheck("another").attempt(running.address.url, 5)
    assert not is_answered
    assert answer.startswith("-WRONGPASS")


def test_the_question_is_known_by_what_is_asked_and_where() -> None:
    assert PingCheck("secret").asked("http://127.0.0.1:6379") == "PING at 127.0.0.1:6379"


def test_nobody_there_is_an_answer_too() -> None:
    is_answered, answer = PingCheck("x").attempt(f"http://127.0.0.1:{free_port()}", 5)
    assert not is_answered
    assert answer.startswith("no connection (")


def test_silence_is_an_answer_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base_url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert PingCheck("x").attempt(base_url, 0.1) == (False, "no answer within 0.1 s")


def test_a_server_that_says_nothing_and_goes_is_not_ready() -> None:
    def accept() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept)
        thread.start()
        answer = PingCheck("x").attempt(f"http://127.0.0.1:{server.getsockname()[1]}", 30)
        thread.join()
    assert answer == (False, "(nothing) and (nothing)")


# A host that cannot run it


def make_program(folder: Path, says: str) -> str:
    """A PATH with what passes for redis-server."""
    (folder / "redis-server").write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / "redis-server").chmod(0o700)
    return str(folder)


def test_its_version_is_known(tmp_path: Path) -> None:
    path = make_program(tmp_path, "Redis server v=7.2.4 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1")
    assert redis_program(path) == RedisProgram(tmp_path / "redis-server", "7.2.4")


def test_a_host_without_it_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "this host has no redis-server in its PATH: install it (Debian: apt-get install redis-server)"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Redis.lacking() == words
    service = Redis(MEMORY_MIB)  # for a container
    with pytest.raises(BadInput) as caught:
        service.argv(1)
    assert str(caught.value) == words


def test_a_host_that_has_it_lacks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", make_program(tmp_path, "Redis server v=8.0.0"))
    assert Redis.lacking() is None


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("Redis server v=6.2.7 sha=0", r"redis-server is Redis 6\.2\.7; 7 or newer is needed: install it"),
        ("who, me?", r"redis-server does not tell its version but says 'who, me\?\\n': install it"),
    ],
)
def test_a_program_that_will_not_do_is_refused(tmp_path: Path, says: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        redis_program(make_program(tmp_path, says))
