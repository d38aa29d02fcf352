"""Do TLS and the proxy lead to the sink those who trust its authority, and nobody anywhere else?"""

import json
import socket

import httpx
import pytest

from log_sink.certificates import HOSTS
from tests.harness.log_sink.conftest import DEADLINE_S, UPLOAD, RunningSink, payloads

ONE = json.dumps(payloads(["chatcmpl-1"])[0])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_tls_is_for_those_who_trust_the_authority(sink: RunningSink, host: str) -> None:
    url = f"https://{host}:{sink.ports['https']}/webhook"
    assert httpx.post(url, content=ONE, verify=sink.trusting, trust_env=False).status_code == 200
    assert sink.records()["accepted"]["records"] == 1


def test_others_are_counted_as_failed_handshakes(sink: RunningSink) -> None:
    url = f"https://127.0.0.1:{sink.ports['https']}/webhook"
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.post(url, content=ONE, trust_env=False)
    # A request of our own comes after theirs: the count is there by its answer.
    assert httpx.post(url, content=ONE, verify=sink.trusting, trust_env=False).status_code == 200
    counts = sink.counts()
    assert (counts["failed_handshakes"], counts["records"]["webhook"]["received"]["records"]) == (1, 1)


@pytest.mark.parametrize("host", HOSTS)
def test_the_proxy_leads_each_host_to_the_sink_at_whatever_port(sink: RunningSink, host: str) -> None:
    with sink.through_proxy() as client:
        for port in ("", ":8443"):
            assert client.post(f"https://{host}{port}{UPLOAD}?uploadType=media&name=a", content=ONE).status_code == 200
    counts = sink.counts()
    assert counts["proxied"] == {host: 2}
    assert counts["records"]["gcs"]["accepted"]["records"] == 2
    assert counts["refused_hosts"] == {}


def test_a_connection_through_the_proxy_is_kept_for_many_requests(sink: RunningSink) -> None:
    with sink.through_proxy() as client:
        for _ in range(5):
            client.post("https://api.smith.langchain.com/runs/batch", json={"post": []}).raise_for_status()
    assert sink.counts()["proxied"] == {"api.smith.langchain.com": 1}


def test_the_proxy_refuses_every_other_host_by_name_and_counts_it(sink: RunningSink) -> None:
    with sink.through_proxy() as client:
        for host in ("example.com", "example.com", "storage.googleapis.com.example.org"):
            with pytest.raises(httpx.ProxyError, match="403 Forbidden"):
                client.get(f"https://{host}/")
        plain = client.get("http://storage.googleapis.com/")
    assert plain.status_code == 403
    assert plain.text == (
        "GET storage.googleapis.com: this proxy takes CONNECT alone, and leads 127.0.0.1, api.smith.langchain.com, "
        "localhost, oauth2.googleapis.com, storage.googleapis.com, webhook.example.com to the log sink. Every other "
        "host is refused: nothing leaves this machine.\n"
    )
    counts = sink.counts()
    assert counts["refused_hosts"] == {
        "example.com": 2,
        "storage.googleapis.com.example.org": 1,
        "storage.googleapis.com": 1,
    }
    assert counts["proxied"] == {}


@pytest.mark.parametrize(
    ("head", "host"),
    [
        (b"CONNECT  HTTP/1.1\r\n\r\n", "(no host)"),
        (b"CONNECT [::1 HTTP/1.1\r\n\r\n", "(no host)"),
        (b"nonsense\r\n\r\n", "(no host)"),
        (b"CONNECT Example.COM:443 HTTP/1.1\r\n\r\n", "example.com"),
    ],
)
def test_whatever_is_asked_of_the_proxy_gets_an_answer(sink: RunningSink, head: bytes, host: str) -> None:
    with socket.create_connection(("127.0.0.1", sink.ports["proxy"]), DEADLINE_S) as connection:
        connection.sendall(head)
        assert connection.recv(12) == b"HTTP/1.1 403"
    assert sink.counts()["refused_hosts"] == {host: 1}


@pytest.mark.parametrize("head", [b"", b"CONNECT locali", b"x" * 70_000])
def test_a_client_that_leaves_or_never_ends_its_head_is_let_go(sink: RunningSink, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", sink.ports["proxy"]), DEADLINE_S) as connection:
        try:
            connection.sendall(head)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
        except OSError:  # it closed while there was still something to read
            pass
    assert (sink.counts()["refused_hosts"], sink.counts()["proxied"]) == ({}, {})


@pytest.mark.parametrize("mode", [{"mode": "flaky", "rate": 1, "seed": 1}, {"mode": "dead"}])
def test_within_tls_connections_are_cut_too(sink: RunningSink, mode: dict[str, object]) -> None:
    url = "https://api.smith.langchain.com/webhook"
    with sink.through_proxy() as client:
        assert client.post(url, content=ONE).status_code == 200
        sink.set_mode(**mode)
        with pytest.raises(httpx.TransportError):
            client.post(url, content=ONE)
        sink.set_mode(mode="fast")
        assert client.post(url, content=ONE).status_code == 200
