"""Does the proxy start, refuse to start, and end as its caller expects?"""

import resource
import signal
import socket
import subprocess
from collections.abc import Callable
from functools import partial

import pytest

from fault_proxy.forwarder import KEPT_DESCRIPTORS
from tests.harness.fault_proxy.conftest import DEADLINE_S, Between, command, received, resets, started

pytestmark = pytest.mark.slow  # each starts a process of its own

PORTS = ("--port", "0", "--control-port", "0")


def refusal(*options: str) -> str:
    """What a proxy that can't start says, all of it; its exit code is checked here."""
    ended = subprocess.run(command(*options), capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert ended.returncode == 4
    assert ended.stdout == ""
    return ended.stderr


def test_the_first_line_says_from_where_to_where_and_how_it_is_switched(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with started(port, "--announce-token", "mine", "--host", "127.0.0.2") as proxy:
        assert proxy.first_line == (
            f"fault_proxy forwards 127.0.0.2:{proxy.port} to 127.0.0.1:{port}, "
            f"switched at {str(proxy.control.base_url).rstrip('/')}"
        )
        assert proxy.control.base_url.host == "127.0.0.2"
        assert proxy.control.get("/health").json() == {
            "status": "ok",
            "pid": proxy.process.pid,
            "announce_token": "mine",
            "host": "127.0.0.2",
            "port": proxy.port,
            "target": f"127.0.0.1:{port}",
        }


def test_a_named_port_is_taken_and_a_host_name_is_looked_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as target, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        to = ("--to", f"localhost:{target.getsockname()[1]}", "--port", str(port))
        with started(1, *to) as proxy:
            assert proxy.port == port
            with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as client, target.accept()[0] as accepted:
                client.sendall(b"hello")
                assert received(accepted, 5) == b"hello"


def test_connections_that_the_target_refuses_are_reset_and_counted(
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    with socket.socket() as target:
        target.bind(("127.0.0.1", 0))  # and does not listen
        with started(target.getsockname()[1]) as proxy:
            for refused in (1, 2):
                try:
                    with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE_S) as client:
                        assert resets(client)
                except ConnectionResetError:
                    pass  # it comes before the kernel has told that there is a connection
                eventually(partial(lambda refused: proxy.counts()["refused"] == refused, refused))
            target.listen()
            with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE_S), target.accept()[0]:
                eventually(lambda: proxy.counts()["open_now"] == 1)
            assert (proxy.counts()["opened"], proxy.counts()["reset"], proxy.counts()["refused"]) == (3, 0, 2)


def test_connections_wait_for_file_descriptors_until_others_have_ended() -> None:
    room, more = 5, 7

    def limit() -> None:
        descriptors = KEPT_DESCRIPTORS + 2 * room
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    with socket.create_server(("127.0.0.1", 0)) as target, started(target.getsockname()[1], preexec_fn=limit) as proxy:
        target.settimeout(DEADLINE_S)
        between = Between(proxy, target)
        clients = [between.connect() for _ in range(room + more)]
        for number, client in enumerate(clients):
            client.sendall(b"%d\n" % number)
        assert proxy.process.stderr is not None
        assert proxy.process.stderr.readline() == (
            f"fault_proxy: {room} connections are open, as many as `ulimit -n` allows; others wait\n"
        )
        assert proxy.counts()["open_now"] == room
        served = set()
        for _ in clients:
            with target.accept()[0] as accepted:
                number = int(accepted.makefile().readline())
                clients[number].close()
                served.add(number)
        assert served == set(range(len(clients)))
        assert proxy.counts()["refused"] == 0


def test_a_taken_port_is_refused_with_what_where_and_what_to_do(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    for option in ("--port", "--control-port"):
        assert refusal("--to", "127.0.0.1:1", *PORTS, option, str(port)) == (
            f"fault_proxy: cannot listen on 127.0.0.1 port {port}: Address already in use. Stop what listens there "
            f"(`ss -ltnp 'sport = :{port}'` names it), or choose another {option}; {option} 0 takes a free one.\n"
        )


def test_an_address_of_another_machine_is_refused_in_words() -> None:
    assert refusal("--to", "127.0.0.1:1", *PORTS, "--host", "192.0.2.1") == (
        "fault_proxy: cannot listen on 192.0.2.1 port 0: Cannot assign requested address. "
        "Give --host an IPv4 address of this machine, and --port a number that you may use.\n"
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "the following arguments are required: --to, --port, --control-port"),
        (["--to", "5432", *PORTS], "argument --to: '5432' is not HOST:PORT"),
        (["--to", "db:0", *PORTS], "argument --to: 'db:0' is not HOST:PORT"),
        (["--to", "db:x", *PORTS], "argument --to: 'x' is not a whole number from 0 to 65535"),
        (["--to", "db:1", *PORTS, "--port", "65536"], "argument --port: '65536' is not a whole number from 0 to 65535"),
        (["--to", "db:1", *PORTS, "--speed", "9"], "unrecognized arguments: --speed 9"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options: list[str], problem: str) -> None:
    assert refusal(*options) == f"fault_proxy: {problem}. `python -m fault_proxy --help` shows the options.\n"


@pytest.mark.parametrize(("signal_", "exit_code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)])
def test_a_signal_ends_it_without_a_word_and_resets_its_connections(signal_: signal.Signals, exit_code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as target, started(target.getsockname()[1]) as proxy:
        target.settimeout(DEADLINE_S)
        between = Between(proxy, target)
        client, accepted = between.pair()
        proxy.put("hang")
        waiting = between.connect()
        proxy.process.send_signal(signal_)
        rest_of_output, errors = proxy.process.communicate(timeout=DEADLINE_S)
        assert proxy.process.returncode == exit_code
        assert (rest_of_output, errors) == ("", "")
        assert all(resets(end) for end in (client, accepted, waiting))
        between.close()
