"""Does the fault proxy come up as a service, do as its switch says, and end with the run?"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

import httpx
import pytest

from fault_proxy.fault import Fault
from perfgate.errors import StackFailed
from perfgate.stack import fault_proxy
from perfgate.stack.fault_proxy import FaultProxy, FaultSwitch, ProxyCounts
from perfgate.stack.mock import Mock
from perfgate.stack.processes import ProcessBackend, Running, free_port
from perfgate.stack.service import Address
from perfgate.stack.supervision import Supervisor
from tests.harness.stack.conftest import PATIENCE_S, eventually, pids_with_argument

pytestmark = pytest.mark.slow

NOBODY: Final = Address("127.0.0.1", 1)


@pytest.fixture(scope="module")
def mock(processes: ProcessBackend) -> Iterator[Running]:
    with processes.running(Mock()) as mock:
        yield mock


@pytest.fixture(scope="module")
def proxy(processes: ProcessBackend, mock: Running) -> Iterator[Running]:
    """One before the mock."""
    with processes.running(FaultProxy(mock.inner_address)) as proxy:
        yield proxy


@pytest.fixture
def switch(proxy: Running) -> FaultSwitch:
    """Its switch, as it is after its start."""
    switch = FaultSwitch(proxy.address.url)
    switch.reset()
    return switch


def health_through(switch: FaultSwitch) -> int:
    """The process that answers behind the proxy."""
    return int(httpx.get(f"{switch.entrance().url}/health", trust_env=False, timeout=PATIENCE_S).json()["pid"])


def test_who_asks_at_its_entrance_is_answered_by_the_dependency(switch: FaultSwitch, mock: Running) -> None:
    assert health_through(switch) == mock.pid
    assert switch.entrance().host == "127.0.0.1"
    assert eventually(lambda: switch.counts().open_now == 0)
    counts = switch.counts()
    assert (counts.opened, counts.ended, counts.reset, counts.refused) == (1, 1, 0, 0)
    assert counts.bytes_to_target > 0
    assert counts.bytes_to_client > 0


def test_a_fault_holds_for_as_long_as_its_context(switch: FaultSwitch, mock: Running) -> None:
    with switch.holding(Fault("cut")), pytest.raises(httpx.ConnectError):
        health_through(switch)
    assert health_through(switch) == mock.pid


def test_a_fault_ends_with_its_context_when_that_is_left_by_an_error(switch: FaultSwitch, mock: Running) -> None:
    with pytest.raises(ZeroDivisionError), switch.holding(Fault("hang")):
        raise ZeroDivisionError
    assert health_through(switch) == mock.pid


def test_figures_of_a_fault_reach_the_proxy(switch: FaultSwitch) -> None:
    with switch.holding(Fault("drop_after", after_bytes=20)), pytest.raises(httpx.TransportError):
        health_through(switch)
    assert switch.counts() == ProxyCounts(
        opened=1, open_now=0, ended=0, reset=1, refused=0, bytes_to_target=20, bytes_to_client=0
    )


def test_a_reset_ends_a_fault_and_counts_from_zero(switch: FaultSwitch, mock: Running) -> None:
    health_through(switch)
    switch.put(Fault("cut"))
    switch.reset()
    assert switch.counts().opened == 0
    assert health_through(switch) == mock.pid


def test_a_dependency_that_is_down_is_counted_as_refusing(processes: ProcessBackend) -> None:
    with processes.running(FaultProxy(NOBODY, name="to-nobody")) as proxy:
        assert proxy.name == "to-nobody"
        switch = FaultSwitch(proxy.address.url)
        # A reset may come before the connection is told of, before the request, or after it.
        with pytest.raises(httpx.TransportError):
            health_through(switch)
        assert eventually(lambda: switch.counts().refused == 1)


def test_it_ends_when_the_run_is_killed(tmp_path: Path) -> None:
    service = FaultProxy(NOBODY)
    with Supervisor(tmp_path) as supervisor:
        ProcessBackend(supervisor).start(service)
        assert pids_with_argument(service.announce_token)
        os.kill(supervisor.pid, signal.SIGKILL)
        assert eventually(lambda: not pids_with_argument(service.announce_token))


def test_every_proxy_has_a_token_of_its_own_which_its_health_must_show() -> None:
    one, other = FaultProxy(NOBODY), FaultProxy(NOBODY)
    (check,) = one.ready_checks()
    assert check.accepts(200, f'"{one.announce_token}"')
    assert not check.accepts(200, f'"{other.announce_token}"')


def test_its_deadline_can_be_set() -> None:
    assert FaultProxy(NOBODY, start_deadline_s=3).start_deadline_s == 3


def test_a_proxy_that_is_gone_is_said_to_be_with_what_was_asked() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(StackFailed) as error:
        FaultSwitch(url).put(Fault("cut"))
    assert str(error.value) == (
        f"the fault proxy cannot be switched: PUT {url}/fault got no answer ([Errno 111] Connection refused); "
        "is it running?"
    )


@pytest.fixture
def answering() -> Iterator[Callable[[int, bytes], str]]:
    """Something else on a port, which gives one answer to everything; where it is."""
    servers = []

    def serve(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "shown"),
    [
        (404, b"<p>\nnot here</p>", "status 404: <p> not here</p>"),
        (200, b"hello " * 50, f"status 200: {('hello ' * 50)[:100]}"),
        (200, b"", "status 200: (empty)"),
    ],
)
def test_what_is_not_the_proxy_is_said_not_to_be(
    answering: Callable[[int, bytes], str], status: int, body: bytes, shown: str
) -> None:
    url = answering(status, body)
    with pytest.raises(StackFailed) as error:
        FaultSwitch(url).counts()
    assert str(error.value) == (
        f"what answers GET {url}/counts is not perfgate's fault proxy, or not of this version: {shown}"
    )


def test_a_proxy_that_does_not_answer_is_waited_for_no_longer_than_its_time_out(
    processes: ProcessBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another proxy in between hangs, which is what they are for."""
    with processes.running(FaultProxy(NOBODY)) as asked, processes.running(FaultProxy(asked.address)) as before_it:
        entrance = FaultSwitch(before_it.address.url).entrance().url
        with FaultSwitch(before_it.address.url).holding(Fault("hang")), monkeypatch.context() as patch:
            patch.setattr(fault_proxy, "SWITCH_TIMEOUT_S", 0.2)
            with pytest.raises(StackFailed) as error:
                FaultSwitch(entrance).counts()
    assert str(error.value) == (
        f"the fault proxy cannot be switched: GET {entrance}/counts got no answer within 0.2 s; is its host overloaded?"
    )
