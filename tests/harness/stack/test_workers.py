"""Is a service with workers waited for until all of them are up, and is one that ends noticed?"""

import os
import signal
from typing import Final

import psutil
import pytest

from perfgate.stack import workers
from perfgate.stack.processes import ProcessBackend, Running, ServiceDied, StartTooLate
from perfgate.stack.supervision import Supervisor
from perfgate.stack.workers import wait_for_workers
from tests.harness.stack.conftest import PATIENCE_S, SERVER, Toy, eventually

pytestmark = pytest.mark.slow

#: Two children serve on the socket of their parent; the second only once it is told to.
TWO_WORKERS: Final = SERVER.replace(
    "HTTPServer((",
    """
import signal, time
HTTPServer.request_queue_size = 128
server = HTTPServer((""",
).replace(
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


@pytest.fixture
def service(supervisor: Supervisor) -> Running:
    return ProcessBackend(supervisor).start(Toy(TWO_WORKERS))


def test_all_workers_are_found_once_they_accept(service: Running) -> None:
    (service.folder / "go").touch()
    found = wait_for_workers(service, 2, deadline_s=PATIENCE_S)
    assert {process.pid for process in found.processes} == {
        child.pid for child in psutil.Process(service.pid).children()
    }
    found.check_alive()


def test_one_that_does_not_come_up_is_an_error_that_says_how_many_did(service: Running) -> None:
    with pytest.raises(StartTooLate) as caught:
        wait_for_workers(service, 2, deadline_s=0.1)
    assert str(caught.value).startswith(
        f"toy (process {service.pid}) answers, but 1 of its 2 workers accept connections 0.1 s after that; ask for "
        "fewer --workers\n  log "
    )


def test_a_full_queue_is_not_waited_for(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PROBE_TIMEOUT_S", 0.05)
    narrow = ProcessBackend(supervisor).start(Toy(TWO_WORKERS.replace("queue_size = 128", "queue_size = 2")))
    (narrow.folder / "go").touch()
    assert len(wait_for_workers(narrow, 2, deadline_s=PATIENCE_S).processes) == 2


def test_one_that_ends_is_noticed_though_its_service_lives(service: Running) -> None:
    (service.folder / "go").touch()
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


def test_a_service_without_workers_is_its_own(service: Running) -> None:
    found = wait_for_workers(service, 1, deadline_s=0)
    assert found.processes == ()
    found.check_alive()


def test_a_service_that_ends_meanwhile_says_so(service: Running) -> None:
    service.stop()
    with pytest.raises(ServiceDied, match="while it was in use"):
        wait_for_workers(service, 2, deadline_s=PATIENCE_S)
