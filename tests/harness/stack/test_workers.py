"""Is a service with workers waited for until all of them are up, and is one that ends noticed? On both backends."""

import os
import signal
from pathlib import Path
from typing import Final

import psutil
import pytest

from perfgate.load.job import LoadJob, Target
from perfgate.load.runner import Generator
from perfgate.load.schedule import OpenLoop
from perfgate.measure.acceptors import acceptors
from perfgate.stack import workers
from perfgate.stack.backend import RunningService, StackBackend
from perfgate.stack.processes import ServiceDied, StartTooLate
from perfgate.stack.workers import wait_for_workers
from tests.harness.stack.conftest import PATIENCE_S, SERVER, Toy, eventually

pytestmark = pytest.mark.slow

#: Two children serve on the socket of their parent, many connections each; the second only once it is told to.
TWO_WORKERS: Final = (
    SERVER.replace("HTTPServer", "ThreadingHTTPServer")
    .replace(
        "    def do_GET",
        """
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()
    def do_GET""",
    )
    .replace(
        "ThreadingHTTPServer((",
        """
import signal, time
ThreadingHTTPServer.request_queue_size = 128
server = ThreadingHTTPServer((""",
    )
    .replace(
        ").serve_forever()",
        """)
for number in range(2):
    if os.fork() == 0:
        while number == 1 and not os.path.exists("go"):
            time.sleep(0.01)
        server.serve_forever()
signal.pause()
""",
    )
)


def run(backend: StackBackend, program: str, request: pytest.FixtureRequest) -> RunningService:
    if backend.name == "containers" and os.geteuid() != 0:
        pytest.skip(f"not run: {request.node.name}: only root may look at the processes in a container")
    service = backend.start(Toy(program))
    request.addfinalizer(service.stop)
    return service


@pytest.fixture
def service(backend: StackBackend, request: pytest.FixtureRequest) -> RunningService:
    return run(backend, TWO_WORKERS, request)


def let_the_second_serve(service: RunningService) -> None:
    Path(f"/proc/{service.pid}/cwd/go").touch()


def test_all_workers_are_found_once_they_accept(service: RunningService) -> None:
    let_the_second_serve(service)
    found = wait_for_workers(service, 2, deadline_s=PATIENCE_S)
    assert {process.pid for process in found.processes} == {
        child.pid for child in psutil.Process(service.pid).children()
    }
    found.check_alive()


def test_one_that_does_not_come_up_is_an_error_that_says_how_many_did(service: RunningService) -> None:
    with pytest.raises(StartTooLate) as caught:
        wait_for_workers(service, 2, deadline_s=0.1)
    assert str(caught.value).startswith(
        f"toy (process {service.pid}) answers, but 1 of its 2 workers accept connections 0.1 s after that; ask for "
        "fewer --workers\n  log "
    )


def test_a_full_queue_is_not_waited_for(
    backend: StackBackend, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "PROBE_TIMEOUT_S", 0.05)
    narrow = run(backend, TWO_WORKERS.replace("queue_size = 128", "queue_size = 2"), request)
    let_the_second_serve(narrow)
    assert len(wait_for_workers(narrow, 2, deadline_s=PATIENCE_S).processes) == 2


def test_one_that_ends_is_noticed_though_its_service_lives(service: RunningService) -> None:
    let_the_second_serve(service)
    found = wait_for_workers(service, 2, deadline_s=PATIENCE_S)
    victim = found.processes[0]
    os.kill(victim.pid, signal.SIGKILL)
    assert eventually(lambda: victim.status() == psutil.STATUS_ZOMBIE)
    with pytest.raises(ServiceDied) as caught:
        found.check_alive()
    assert str(caught.value).startswith(
        f"a worker of toy (process {victim.pid}) ended while it was in use; the kernel's log (dmesg) says"
    )
    assert service.is_alive


def test_a_service_without_workers_is_its_own(service: RunningService) -> None:
    found = wait_for_workers(service, 1, deadline_s=0)
    assert found.processes == ()
    found.check_alive()


def test_a_service_that_has_ended_says_so(service: RunningService) -> None:
    service.stop()
    with pytest.raises(ServiceDied, match="while it was in use"):
        wait_for_workers(service, 2, deadline_s=PATIENCE_S)


def test_a_service_that_ends_while_its_workers_are_looked_for_says_so(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_alive = service.check_alive

    def end_after_it() -> None:
        check_alive()
        service.stop()

    monkeypatch.setattr(service, "check_alive", end_after_it)
    with pytest.raises(ServiceDied, match="while it was in use"):
        wait_for_workers(service, 2, deadline_s=PATIENCE_S)


def test_the_workers_that_were_found_get_equal_shares_of_a_load(service: RunningService) -> None:
    let_the_second_serve(service)
    found = wait_for_workers(service, 2, deadline_s=PATIENCE_S)
    target = Target(f"{service.address.url}/", "m", accepts_in=service.pid)
    job = LoadJob((target,), OpenLoop(50, 0, 0.5), payload_bytes=100, connections=8, processes=2)
    accepted: list[int] = []

    def look(instant: str) -> None:
        if instant == "window_opened":
            ours = {each.laddr.port for each in psutil.Process(generator.pid).net_connections("tcp") if each.laddr}
            accepted.extend(acceptors(service.address.port, ours, service.pid).values())

    with Generator() as generator:
        assert generator.run(job, on_event=look).succeeded == 25
    assert [accepted.count(process.pid) for process in found.processes] == [4, 4]
