"""Does the log sink come up as a service on either backend, and do a gateway's records reach it there?"""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

import log_sink
from log_sink.certificates import made_for
from log_sink.counts import Tally
from log_sink.modes import Dead, Errors, Fast, Flaky, Hang, Mode, Slow
from perfgate.errors import StackFailed
from perfgate.stack import log_sink as log_sink_module
from perfgate.stack.backend import RunningService, StackBackend
from perfgate.stack.containers import ContainerBackend
from perfgate.stack.images import BUILT, OFFICIAL
from perfgate.stack.log_sink import HTTP_PORT, HTTPS_PORT, PROXY_PORT, LogSink, SinkAddresses, SinkControl
from perfgate.stack.service import Address
from tests.harness.stack.conftest import answering

UPLOAD: Final = "https://storage.googleapis.com/upload/storage/v1/b/my-bucket/o?uploadType=media&name=a"


@pytest.fixture(scope="module")
def service() -> LogSink:
    return LogSink(ids_at_most=3)


@pytest.fixture(scope="module")
def running(service: LogSink, backend: StackBackend) -> Iterator[RunningService]:
    if isinstance(backend, ContainerBackend) and backend.network_path == "published":
        pytest.skip("not run: this host cannot reach the ports for records of a container")
    with backend.running(service) as running:
        yield running


@pytest.fixture
def control(running: RunningService) -> SinkControl:
    """Of a sink as it is after its start."""
    control = SinkControl(running.address.url)
    control.set_mode(Fast())
    control.reset()
    return control


def reached_from_here(running: RunningService) -> SinkAddresses:
    """Its addresses for this host, who is not on a network of names."""
    inner = SinkAddresses.of(running)
    host = running.address.host
    return SinkAddresses(*(Address(host, each.port) for each in (inner.http, inner.https, inner.proxy)))


def log(running: RunningService, *ids: str) -> httpx.Response:
    url = reached_from_here(running).http.url
    return httpx.post(f"{url}/webhook", json=[{"id": id_} for id_ in ids], trust_env=False)


@pytest.mark.slow
def test_records_are_counted_by_id(running: RunningService, control: SinkControl) -> None:
    assert log(running, "a", "b").status_code == 200
    control.set_mode(Errors(status=500))
    assert log(running, "b", "c", "d").status_code == 500
    records = control.counts().records["webhook"]
    assert records.received == Tally(records=5, distinct_ids=3, duplicates=1, without_id=0, beyond_limit=1)
    assert (records.accepted.records, records.refused, records.in_service) == (2, 3, 0)
    assert control.counts().requests["/webhook"].answered == {200: 1, 500: 1}
    assert control.ids("webhook") == {"a": 1, "b": 2, "c": 1}
    assert control.ids("gcs") == {}
    control.reset()
    assert control.counts().records["webhook"].received.records == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", [Fast(), Slow(delay_ms=1), Errors(status=429, rate=0.5), Hang(), Dead(), Flaky(rate=0.5, seed=1)]
)
def test_every_mode_can_be_set_and_is_shown(control: SinkControl, mode: Mode) -> None:
    control.set_mode(mode)
    assert control.mode() == mode


@pytest.mark.slow
def test_a_mode_that_is_held_ends_with_its_context_also_by_an_error(control: SinkControl) -> None:
    def break_off() -> None:
        with control.holding(Hang()):
            assert control.mode() == Hang()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert control.mode() == Fast()


@pytest.mark.slow
def test_a_dead_sink_can_be_asked_and_brought_back(running: RunningService, control: SinkControl) -> None:
    control.set_mode(Dead())
    with pytest.raises(httpx.ConnectError):
        log(running, "a")
    assert control.counts().records["webhook"].received.records == 0
    control.set_mode(Fast())
    assert log(running, "a").status_code == 200


@pytest.mark.slow
def test_what_trusts_its_authority_reaches_it_under_the_names_of_others(
    service: LogSink, running: RunningService, control: SinkControl
) -> None:
    trusting = ssl.create_default_context(cadata=service.certificates.authority_pem)
    proxy = reached_from_here(running).proxy.url
    with httpx.Client(proxy=proxy, verify=trusting, trust_env=False) as client:
        assert client.post(UPLOAD, json={"id": "chatcmpl-1"}).status_code == 200
        with pytest.raises(httpx.ProxyError):
            client.get("https://example.com/")
    counts = control.counts()
    assert control.ids("gcs") == {"chatcmpl-1": 1}
    assert (counts.proxied, counts.refused_hosts) == ({"storage.googleapis.com": 1}, {"example.com": 1})


@pytest.mark.slow
def test_other_services_reach_it_where_its_addresses_say(running: RunningService, backend: StackBackend) -> None:
    addresses = SinkAddresses.of(running)
    assert {each.host for each in (addresses.http, addresses.https, addresses.proxy)} == {running.inner_address.host}
    if backend.name == "containers":
        assert [each.port for each in (addresses.http, addresses.https, addresses.proxy)] == [
            HTTP_PORT,
            HTTPS_PORT,
            PROXY_PORT,
        ]
    else:
        assert (running.folder / "ca.pem").read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_a_gateway_is_told_to_send_its_https_through_the_proxy() -> None:
    addresses = SinkAddresses(Address("s", 1), Address("s", 2), Address("s", 3))
    assert addresses.through_proxy() == {"HTTPS_PROXY": "http://s:3", "NO_PROXY": ""}


def test_in_a_container_the_network_has_the_names_of_the_hosts_that_it_stands_in_for() -> None:
    aliases = LogSink().in_container(OFFICIAL).aliases
    assert {"storage.googleapis.com", "oauth2.googleapis.com", "api.smith.langchain.com"} <= set(aliases)
    assert not {"localhost", "127.0.0.1"} & set(aliases)


def test_every_sink_has_a_token_and_an_authority_of_its_own() -> None:
    one, other = LogSink(), LogSink()
    (check,) = one.ready_checks()
    assert check.accepts(200, f'"{one.announce_token}"')
    assert not check.accepts(200, f'"{other.announce_token}"')
    assert one.files()["ca.pem"] != other.files()["ca.pem"]


def test_what_it_stands_in_for_can_be_chosen() -> None:
    sink = LogSink(certificates=made_for(("a.example", "b.example")), start_deadline_s=3, name="mine")
    argv = sink.argv(8091)
    assert [argv[at + 1] for at, word in enumerate(argv) if word == "--tls-host"] == ["a.example", "b.example"]
    assert argv[argv.index("--port") + 1] == "8091"
    spec = sink.in_container(BUILT)
    assert (spec.name, spec.start_deadline_s, sink.start_deadline_s) == ("mine", 3, 3)


def test_a_container_is_given_the_program_with_all_of_its_modules() -> None:
    spec = LogSink().in_container(BUILT)
    modules = {path.name for path in Path(log_sink.__file__).parent.glob("*.py")}
    assert {Path(path).name for path in spec.files if path.startswith("/perfgate/log_sink/")} == modules
    assert "__main__.py" in modules


def test_no_key_is_on_the_command_line_or_shown() -> None:
    sink = LogSink()
    assert "PRIVATE" not in repr(sink) + " ".join([*sink.argv(1), *sink.in_container(BUILT).command])


# What is no sink


def test_a_sink_that_is_not_there_is_an_error_that_says_where() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    with pytest.raises(StackFailed) as caught:
        SinkControl(url).counts()
    assert str(caught.value).startswith(f"the log sink does not answer: GET {url}/counts got no answer (")
    assert str(caught.value).endswith("); is it running?")


def test_a_sink_that_does_not_answer_in_time_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_sink_module, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(StackFailed) as caught:
        SinkControl(f"http://127.0.0.1:{silent.getsockname()[1]}").set_mode(Fast())
    assert str(caught.value).endswith("/mode got no answer within 0.05 s; is its host overloaded?")


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (404, b'{"detail":\n "Not Found"}', 'status 404: {"detail": "Not Found"}'),
        (200, b"<html>", "status 200: <html>"),
        (200, b"", "status 200: (empty)"),
        (200, b'{"records": {}}', 'status 200: {"records": {}}'),
        (500, b"x" * 999, "status 500: " + "x" * log_sink_module.SHOWN_ANSWER_CHARS),
    ],
)
def test_what_is_no_sink_is_an_error_that_shows_its_answer(status: int, body: bytes, answer: str) -> None:
    asks: list[Any] = [SinkControl.counts, SinkControl.mode, SinkControl.ports, lambda each: each.ids("gcs")]
    for ask in asks:
        with answering(status, body) as url, pytest.raises(StackFailed) as caught:
            ask(SinkControl(url))
        message = str(caught.value)
        assert message.startswith(f"what answers GET {url}/")
        assert message.endswith(f" is not perfgate's log sink of this version: {answer}")
