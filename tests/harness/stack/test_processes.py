"""What only processes have: a port of this host, files in a folder, a parent that ends them.

What holds for containers too is in test_backends.py.
"""

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from perfgate.errors import StackFailed
from perfgate.stack import processes
from perfgate.stack.backend import Limits
from perfgate.stack.processes import PORT_RETRIES, DiedAtStart, ProcessBackend, ServiceDied, free_port
from perfgate.stack.readiness import HttpCheck
from perfgate.stack.supervision import Supervisor
from tests.harness.stack.conftest import PATIENCE_S, SERVER, SLEEP, Toy, eventually, pids_with_argument

SECRET: Final = "sk-s3cret"
FAILS: Final = f"print('reading the configuration', flush=True); raise SystemExit('bad key {SECRET}')"
#: Says what it is asked for, and does not serve.
STUCK: Final = f"import time; print('connecting with {SECRET}', flush=True); time.sleep(9999)"


@pytest.fixture
def backend(supervisor: Supervisor, tmp_path: Path) -> ProcessBackend:
    return ProcessBackend(supervisor, tmp_path / "kept")


@pytest.mark.slow
def test_a_service_runs_on_a_port_of_its_own_until_it_is_stopped(backend: ProcessBackend) -> None:
    one, other = backend.start(Toy(SERVER)), backend.start(Toy(SERVER))
    assert one.address.port != other.address.port
    assert one.address.url == f"http://127.0.0.1:{one.address.port}"
    assert one.is_alive
    one.check_alive()
    one.stop()
    assert (one.is_alive, one.exit_status, other.is_alive) == (False, -signal.SIGTERM, True)


@pytest.mark.slow
def test_a_service_has_its_files_and_a_folder_of_its_own(backend: ProcessBackend) -> None:
    program = "import os, pathlib; os.environ['TOY_ANSWER'] = pathlib.Path('greeting').read_text()" + SERVER
    check = HttpCheck("its greeting", "/health", contains=("hello",))
    one = backend.start(Toy(program, texts={"greeting": "hello"}, check=check))
    other = backend.start(Toy(SERVER))
    assert (one.folder / "greeting").is_file()
    assert one.folder != other.folder
    assert f"TOY_FOLDER={one.folder}\0" in Path(f"/proc/{one.pid}/environ").read_text()


def test_a_service_is_held_to_no_limits(backend: ProcessBackend) -> None:
    with pytest.raises(ValueError, match=r"limits=Limits\(cpus=2, memory_bytes=None\) must be none"):
        backend.start(Toy(SERVER), limits=Limits(cpus=2))
    with pytest.raises(ValueError, match="must be none"), backend.running(Toy(SERVER), limits=Limits(memory_bytes=1)):
        pass
    assert backend.start(Toy(SERVER), limits=Limits()).is_alive


def test_other_processes_reach_it_where_this_one_does(backend: ProcessBackend) -> None:
    service = backend.start(Toy(SERVER))
    assert service.inner_address == service.address


def test_a_service_keeps_to_its_cores(backend: ProcessBackend) -> None:
    core = max(os.sched_getaffinity(0))
    service = backend.start(Toy(SERVER), cpus=[core])
    assert os.sched_getaffinity(service.pid) == {core}
    assert service.cpus == (core,)


def test_without_a_place_for_logs_the_message_names_the_one_in_the_run_folder(supervisor: Supervisor) -> None:
    with pytest.raises(DiedAtStart, match=rf"last 2 lines of {supervisor.run_dir}/toy-1/log"):
        ProcessBackend(supervisor).start(Toy(FAILS))


@dataclass
class TakenPorts:
    """Instead of `free_port`: the first ports it gives are in use."""

    taken: list[socket.socket]
    asked: int = 0

    def __call__(self) -> int:
        self.asked += 1
        port: int = self.taken[self.asked - 1].getsockname()[1] if self.asked <= len(self.taken) else free_port()
        return port


@pytest.fixture
def bound() -> Iterator[list[socket.socket]]:
    sockets = [socket.socket() for _ in range(PORT_RETRIES + 1)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    yield sockets
    for each in sockets:
        each.close()


@pytest.mark.slow
def test_a_port_that_was_taken_meanwhile_is_replaced(
    backend: ProcessBackend, bound: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = TakenPorts(bound[:PORT_RETRIES])
    monkeypatch.setattr(processes, "free_port", ports)
    assert backend.start(Toy(SERVER, start_deadline_s=PATIENCE_S)).is_alive
    assert ports.asked == PORT_RETRIES + 1


@pytest.mark.slow
def test_ports_that_are_always_taken_end_in_an_error(
    backend: ProcessBackend, bound: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = TakenPorts(bound)
    monkeypatch.setattr(processes, "free_port", ports)
    with pytest.raises(DiedAtStart, match="Address already in use"):
        backend.start(Toy(SERVER))
    assert ports.asked == PORT_RETRIES + 1


def test_another_death_is_not_tried_again(backend: ProcessBackend, tmp_path: Path) -> None:
    with pytest.raises(DiedAtStart):
        backend.start(Toy(FAILS))
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["toy-1.log"]


@pytest.mark.parametrize(("number", "hint"), [(signal.SIGKILL, "; the kernel's log (dmesg)"), (signal.SIGTERM, "\n")])
def test_a_death_in_use_says_how(backend: ProcessBackend, number: signal.Signals, hint: str) -> None:
    program = f"print('serving with {SECRET}', flush=True)" + SERVER
    service = backend.start(Toy(program, secrets=[SECRET]))
    os.kill(service.pid, number)
    service._process.wait(PATIENCE_S)
    with pytest.raises(ServiceDied) as caught:
        service.check_alive()
    words = f"toy (process {service.pid}) was killed by signal {int(number)} ({number.name}) while it was in use{hint}"
    assert str(caught.value).startswith(words)
    assert "    | serving with ***" in str(caught.value)
    assert service.log_tail()[0] == "serving with ***"


def test_a_program_that_does_not_exist_is_an_error(backend: ProcessBackend) -> None:
    @dataclass(frozen=True, slots=True)
    class Missing(Toy):
        def argv(self, port: int) -> list[str]:
            return ["/no/such/program"]

    with pytest.raises(StackFailed, match="/no/such/program cannot be started"):
        backend.start(Missing(SLEEP))


def test_files_that_cannot_be_written_are_an_error(backend: ProcessBackend) -> None:
    with pytest.raises(StackFailed, match=r"toy: its files cannot be written to .*/toy-1: .*No such file"):
        backend.start(Toy(SERVER, texts={"no/such/folder": ""}))


def test_an_interrupted_start_leaves_no_process(
    backend: ProcessBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(processes, "wait_ready", interrupted)
    program = f"{SLEEP}  # {tmp_path}"
    with pytest.raises(KeyboardInterrupt):
        backend.start(Toy(program))
    assert eventually(lambda: pids_with_argument(program) == set())
