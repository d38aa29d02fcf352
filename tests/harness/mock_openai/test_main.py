"""Does the mock start, refuse to start, and end as its caller expects?"""

import signal
import socket
import subprocess
from collections.abc import Callable

import httpx
import pytest

from tests.harness.mock_openai.conftest import DEADLINE_S, command, started
from tests.harness.mock_openai.test_app import open_request

pytestmark = pytest.mark.slow  # each starts a process of its own


def refusal(*options: str) -> str:
    """What a mock that can't start says, all of it; its exit code is checked here."""
    ended = subprocess.run(command(*options), capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert ended.returncode == 4
    assert ended.stdout == ""
    return ended.stderr


def test_the_first_line_says_where_it_listens_and_that_it_does() -> None:
    with started() as mock:
        assert mock.first_line == f"mock_openai listening on {str(mock.client.base_url).rstrip('/')}"
        assert mock.client.base_url.host == "127.0.0.1"
        assert mock.chat("m").status_code == 200
        assert mock.client.get("/health").json()["announce_token"] is None


def test_options_set_the_default_behaviour_and_the_token_and_a_reset_returns_to_it() -> None:
    with started("--delay-ms", "3", "--reply-bytes", "5", "--announce-token", "mine", "--host", "127.0.0.2") as mock:
        assert mock.first_line.startswith("mock_openai listening on http://127.0.0.2:")
        assert mock.client.get("/health").json()["announce_token"] == "mine"
        mock.client.put("/admin/behaviour", json={"behaviour": {}})
        mock.client.post("/admin/reset")
        default = mock.client.get("/admin/behaviour").json()["default"]
        assert (default["delay_ms"], default["reply_bytes"]) == (3, 5)


def test_a_taken_port_is_refused_with_what_where_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusal("--port", str(port)) == (
            f"mock_openai: cannot listen on 127.0.0.1 port {port}: Address already in use. Stop what listens there "
            f"(`ss -ltnp 'sport = :{port}'` names it), or choose another --port; --port 0 takes a free one.\n"
        )


def test_an_address_of_another_machine_is_refused_in_words() -> None:
    assert refusal("--port", "0", "--host", "192.0.2.1") == (
        "mock_openai: cannot listen on 192.0.2.1 port 0: Cannot assign requested address. "
        "Give --host an address of this machine, and --port a number that you may use.\n"
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "the following arguments are required: --port"),
        (["--port", "65536"], "argument --port: '65536' is not a whole number from 0 to 65535"),
        (["--port", "-1"], "argument --port: '-1' is not a whole number from 0 to 65535"),
        (["--port", "0", "--speed", "9"], "unrecognized arguments: --speed 9"),
        (["--port", "0", "--delay-ms", "-1"], "delay_ms: Input should be greater than or equal to 0, got -1"),
        (["--port", "0", "--delay-ms", "x"], "argument --delay-ms: invalid int value: 'x'"),
        (
            ["--port", "0", "--reply-bytes", "1048577"],
            "reply_bytes: Input should be less than or equal to 1048576, got 1048577",
        ),
    ],
)
def test_wrong_options_are_refused_in_one_line(options: list[str], problem: str) -> None:
    assert refusal(*options) == f"mock_openai: {problem}. `python -m mock_openai --help` shows the options.\n"


@pytest.mark.parametrize(("signal_", "exit_code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)])
def test_a_signal_ends_it_without_a_word_although_requests_hang(
    signal_: signal.Signals, exit_code: int, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    with (
        started() as mock,
        open_request(mock, "mock-hang") as hangs,
        open_request(mock, "mock-delay-600000ms") as waits,
    ):
        eventually(lambda: mock.counts()["in_service"] == 2)
        mock.process.send_signal(signal_)
        rest_of_output, errors = mock.process.communicate(timeout=DEADLINE_S)
        assert mock.process.returncode == exit_code
        assert (rest_of_output, errors) == ("", "")
        for connection in (hangs, waits):
            try:
                assert connection.recv(1) == b"", "a request that was cut off must not look answered"
            except ConnectionResetError:
                pass


def test_after_its_end_the_port_is_free_at_once() -> None:
    with started() as mock:
        assert mock.chat("m").status_code == 200
        port = mock.client.base_url.port
        mock.process.terminate()
        mock.process.wait(DEADLINE_S)
        with pytest.raises(httpx.TransportError):
            mock.chat("m")
        with subprocess.Popen(command("--port", str(port)), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            process.kill()
        assert line == f"mock_openai listening on http://127.0.0.1:{port}\n"
