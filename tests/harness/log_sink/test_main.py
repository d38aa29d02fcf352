"""Does the sink start, refuse to start, and end as its caller expects?"""

import signal
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from log_sink.certificates import AUTHORITY_FILE, CERTIFICATE_FILE, made_for
from tests.harness.log_sink.conftest import DEADLINE_S, command, started

pytestmark = pytest.mark.slow  # each starts a process of its own

HELP = "`python -m log_sink --help` shows the options."


def refusal(*options: str) -> str:
    """What a sink that can't start says, all of it; its exit code is checked here."""
    ended = subprocess.run(command(*options), capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert ended.returncode == 4
    assert ended.stdout == ""
    return ended.stderr


def test_the_first_line_says_where_it_listens_and_that_it_does_on_loopback_alone(tmp_path: Path) -> None:
    with started(tmp_path) as sink:
        http, https, proxy = (sink.ports[name] for name in ("http", "https", "proxy"))
        assert sink.first_line == (
            f"log_sink listening: control {str(sink.control.base_url).rstrip('/')}, http {http}, https {https}, "
            f"proxy {proxy}"
        )
        listening = [c for c in psutil.Process(sink.process.pid).net_connections() if c.status == psutil.CONN_LISTEN]
        assert {tuple(connection.laddr) for connection in listening} == {
            ("127.0.0.1", port) for port in (sink.control.base_url.port, http, https, proxy)
        }
        assert sink.control.get("/health").json()["announce_token"] is None
        assert sink.log("a").status_code == 200


def test_options_set_ports_address_hosts_and_the_number_of_ids(tmp_path: Path) -> None:
    numbers = []
    for _ in range(3):
        with socket.create_server(("127.0.0.2", 0)) as free:
            numbers.append(free.getsockname()[1])
    options = [f"--{name}-port={number}" for name, number in zip(("http", "https", "proxy"), numbers, strict=True)]
    with started(tmp_path, *options, "--host=127.0.0.2", "--tls-host=a.example", "--ids-at-most=2") as sink:
        assert list(sink.ports.values()) == numbers
        proxy = f"http://127.0.0.2:{numbers[2]}"
        with httpx.Client(proxy=proxy, verify=sink.trusting, trust_env=False) as client:
            assert client.post("https://a.example/webhook", json=[{"id": str(n)} for n in range(3)]).status_code == 200
            with pytest.raises(httpx.ProxyError):
                client.post("https://storage.googleapis.com/webhook")
        assert sink.records()["received"]["beyond_limit"] == 1


def test_the_certificate_is_for_its_owner_alone_and_can_be_given_instead(tmp_path: Path) -> None:
    with started(tmp_path):
        assert (tmp_path / CERTIFICATE_FILE).stat().st_mode & 0o777 == 0o600
    certificates = made_for(("b.example",))
    (tmp_path / AUTHORITY_FILE).write_text(certificates.authority_pem)
    (tmp_path / "given.pem").write_text(certificates.key_and_certificate_pem)
    argv = command("--port", "0", "--certificate", str(tmp_path / "given.pem"), "--tls-host", "b.example")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            proxy = int(process.stdout.readline().rpartition(" ")[2])
            trusting = ssl.create_default_context(cafile=str(tmp_path / AUTHORITY_FILE))
            with httpx.Client(proxy=f"http://127.0.0.1:{proxy}", verify=trusting, trust_env=False) as client:
                assert client.post("https://b.example/webhook", json=[]).status_code == 200
        finally:
            process.kill()


@pytest.mark.parametrize("which", ["--port", "--https-port"])
def test_a_taken_port_is_refused_with_what_where_and_what_to_do(which: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        given = ["--port", "0", which, str(port), "--make-certificate", str(tmp_path)]
        assert refusal(*given) == (
            f"log_sink: cannot listen on 127.0.0.1 port {port}: Address already in use. Stop what listens there "
            f"(`ss -ltnp 'sport = :{port}'` names it), or choose another port; 0 takes a free one.\n"
        )


def test_an_address_of_another_machine_is_refused_in_words(tmp_path: Path) -> None:
    assert refusal("--port", "0", "--host", "192.0.2.1", "--make-certificate", str(tmp_path)) == (
        "log_sink: cannot listen on 192.0.2.1 port 0: Cannot assign requested address. "
        "Give --host an address of this machine, and ports that you may use.\n"
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "the following arguments are required: --port"),
        (["--port", "0"], "one of the arguments --make-certificate --certificate is required"),
        (
            ["--port", "0", "--certificate", "a", "--make-certificate", "b"],
            "argument --make-certificate: not allowed with argument --certificate",
        ),
        (["--port", "65536"], "argument --port: '65536' is not a whole number from 0 to 65535"),
        (["--proxy-port", "-1"], "argument --proxy-port: '-1' is not a whole number from 0 to 65535"),
        (["--ids-at-most", "0"], "argument --ids-at-most: '0' is not a whole number from 1 to 5000000"),
        (["--max-body-mib", "x"], "argument --max-body-mib: 'x' is not a whole number from 1 to 4096"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options: list[str], problem: str) -> None:
    assert refusal(*options) == f"log_sink: {problem}. {HELP}\n"


def test_a_certificate_that_cannot_be_used_or_made_is_refused_in_one_line(tmp_path: Path) -> None:
    missing, wrong = tmp_path / "missing", tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    advice = "Name a folder or file that exists and that you may use."
    assert refusal("--port", "0", "--make-certificate", str(missing)) == (
        f"log_sink: {missing / AUTHORITY_FILE}: No such file or directory. {advice}\n"
    )
    assert refusal("--port", "0", "--certificate", str(missing)) == (
        f"log_sink: {missing}: No such file or directory. {advice}\n"
    )
    assert refusal("--port", "0", "--certificate", str(wrong)).startswith(
        f"log_sink: {wrong} does not hold a key and a certificate for it in PEM ("
    )
    said = refusal("--port", "0", "--make-certificate", str(tmp_path), "--tls-host", "a b")
    assert said.startswith("log_sink: --tls-host a b: no certificate can be made for these: ")


@pytest.mark.parametrize(("signal_", "exit_code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_without_a_word_although_requests_hang(
    signal_: signal.Signals, exit_code: int, eventually: Callable[[Callable[[], bool]], None], tmp_path: Path
) -> None:
    with started(tmp_path) as sink:
        sink.set_mode(mode="hang")
        with sink.open_request("a") as hangs:
            eventually(lambda: sink.records()["in_service"] == 1)
            sink.process.send_signal(signal_)
            rest_of_output, errors = sink.process.communicate(timeout=DEADLINE_S)
            assert sink.process.returncode == exit_code
            assert (rest_of_output, errors) == ("", "")
            try:
                assert hangs.recv(1) == b"", "a request that was cut off must not look answered"
            except ConnectionResetError:
                pass
