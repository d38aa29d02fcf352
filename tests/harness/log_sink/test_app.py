"""Does the running sink take what gateways log, count it, and behave as it was told?"""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from log_sink.app import JWT_GRANT
from tests.harness.log_sink.conftest import UPLOAD, RunningSink, payloads, started

Eventually = Callable[[Callable[[], bool]], None]

ONE = json.dumps(payloads(["chatcmpl-1"])[0])


def message_of(response: httpx.Response, status: int) -> str:
    assert response.status_code == status
    error = response.json()["error"]
    assert error["code"] == status
    return str(error["message"])


def test_each_format_is_taken_at_its_path_and_counted_apart(sink: RunningSink) -> None:
    run = {"post": [{"inputs": {"id": "chatcmpl-1"}}]}
    assert sink.post("/runs/batch", json=run).status_code == 202
    assert sink.post("/api/v1/runs/batch", json=run).status_code == 202
    assert sink.post(f"{UPLOAD}?uploadType=media&name=2026-01-31/a", content=ONE).status_code == 200
    assert sink.log("chatcmpl-1", "chatcmpl-2").status_code == 200
    counts = sink.counts()
    records = {format_: figures["received"] for format_, figures in counts["records"].items()}
    assert {
        format_: (each["records"], each["distinct_ids"], each["duplicates"]) for format_, each in records.items()
    } == {
        "langsmith": (2, 1, 1),
        "gcs": (1, 1, 0),
        "webhook": (2, 2, 0),
    }
    assert all(each["accepted"] == each["received"] for each in counts["records"].values())
    assert counts["requests"] == {
        "/runs/batch": {"received": 2, "answered": {"202": 2}, "unanswered": 0},
        "/upload/storage/v1/b/BUCKET/o": {"received": 1, "answered": {"200": 1}, "unanswered": 0},
        "/webhook": {"received": 1, "answered": {"200": 1}, "unanswered": 0},
    }
    assert counts["unreadable_requests"] == 0
    bodies = [json.dumps(run, separators=(",", ":"))] * 2
    sent = [*bodies, ONE, json.dumps(payloads(["chatcmpl-1", "chatcmpl-2"]), separators=(",", ":"))]
    assert counts["received_bytes"] == sum(map(len, sent))


def test_an_upload_is_answered_as_the_storage_api_does(sink: RunningSink) -> None:
    two = "\n".join(json.dumps(each) for each in payloads(["a", "b"]))
    stored = sink.post(f"{UPLOAD}?uploadType=media&name=2026-01-31%2Fbatch-1.ndjson", content=two).json()
    assert (stored["kind"], stored["bucket"], stored["name"]) == (
        "storage#object",
        "my-bucket",
        "2026-01-31/batch-1.ndjson",
    )
    assert stored["size"] == str(len(two))
    assert sink.ids("gcs") == {"a": 1, "b": 1}


@pytest.mark.parametrize("query", ["", "uploadType=media", "uploadType=multipart&name=x", "uploadType=media&name="])
def test_an_upload_without_what_it_needs_is_a_400_and_its_records_are_not_counted(
    sink: RunningSink, query: str
) -> None:
    message = message_of(sink.post(f"{UPLOAD}?{query}", content=ONE), 400)
    assert message == f"{UPLOAD}: an upload needs uploadType=media and a name in its query, got {query!r}."
    assert (sink.records("gcs")["received"]["records"], sink.counts()["unreadable_requests"]) == (0, 1)


def test_a_body_that_is_no_record_is_a_400_that_says_why_and_is_counted_as_unreadable(sink: RunningSink) -> None:
    message = message_of(sink.post("/runs/batch", content=b'{"post": 1}'), 400)
    assert message == "/runs/batch: post: Input should be a valid array."
    counts = sink.counts()
    assert counts["unreadable_requests"] == 1
    assert counts["requests"]["/runs/batch"] == {"received": 1, "answered": {"400": 1}, "unanswered": 0}


def test_an_unknown_path_is_a_404_that_lists_the_known_ones_and_is_counted(sink: RunningSink) -> None:
    message = message_of(sink.post("/runs/multipart", content=b"x"), 404)
    assert message == (
        "Unknown path /runs/multipart; this sink has /runs/batch, /upload/storage/v1/b/BUCKET/o, /webhook, /token."
    )
    assert sink.counts()["requests"] == {"(unknown path)": {"received": 1, "answered": {"404": 1}, "unanswered": 0}}


def test_a_wrong_method_is_a_405_that_names_the_right_one(sink: RunningSink) -> None:
    response = httpx.get(f"{sink.http_url}/webhook", trust_env=False)
    assert message_of(response, 405) == "/webhook does not take GET, but POST."
    assert response.headers["allow"] == "POST"


@pytest.mark.slow
def test_a_body_beyond_the_limit_is_a_413_on_a_connection_that_lives_on(tmp_path: Any) -> None:
    with (
        started(tmp_path, "--max-body-mib", "1") as sink,
        httpx.Client(base_url=sink.http_url, trust_env=False) as client,
    ):
        fits = json.dumps([{"id": "a", "messages": "x" * (1024 * 1024 - 33)}])
        assert client.post("/webhook", content=fits).status_code == 200
        message = message_of(client.post("/webhook", content=fits + " " * 1024), 413)
        assert message == f"/webhook: the body has {len(fits) + 1024:,} bytes, and no more than 1,048,576 are read."
        assert client.post("/webhook", content=b"[{}]").status_code == 200
        assert (sink.counts()["unreadable_requests"], sink.records()["received"]["records"]) == (1, 2)
        assert sink.counts()["received_bytes"] == len(fits) + 4


@pytest.mark.slow
def test_a_batch_of_thousands_of_records_is_counted_to_the_last(sink: RunningSink) -> None:
    ids = [f"chatcmpl-{number:029d}" for number in range(5_000)]
    runs = [{"inputs": {**each, "messages": [{"content": "x" * 4_000}]}} for each in payloads(ids)]
    assert sink.post("/runs/batch", json={"post": runs}).status_code == 202
    assert sink.ids("langsmith", "accepted") == dict.fromkeys(ids, 1)


# The token endpoint


def test_a_service_account_gets_a_token_of_its_own(sink: RunningSink) -> None:
    asked = {"grant_type": JWT_GRANT, "assertion": "e30.e30.c2ln"}
    one, other = (sink.post("/token", data=asked).json() for _ in range(2))
    assert (one["token_type"], one["expires_in"]) == ("Bearer", 3600)
    assert one["access_token"] != other["access_token"]


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({}, "unsupported_grant_type", f"grant_type must be {JWT_GRANT}, got ''"),
        ({"grant_type": "password"}, "unsupported_grant_type", f"grant_type must be {JWT_GRANT}, got 'password'"),
        ({"grant_type": JWT_GRANT, "assertion": "a.b"}, "invalid_grant", "assertion must be a JSON web token: three "),
    ],
)
def test_what_asks_for_a_token_in_another_way_is_told_so(
    sink: RunningSink, asked: dict[str, str], error: str, words: str
) -> None:
    response = sink.post("/token", data=asked)
    assert response.status_code == 400
    assert response.json()["error"] == error
    assert response.json()["error_description"].startswith(words)


@pytest.mark.parametrize("mode", [{"mode": "hang"}, {"mode": "errors", "status": 500}])
def test_tokens_are_given_whatever_becomes_of_records(sink: RunningSink, mode: dict[str, Any]) -> None:
    sink.set_mode(**mode)
    assert sink.post("/token", data={"grant_type": JWT_GRANT, "assertion": "a.b.c"}).status_code == 200


# Modes


def test_slow_is_never_faster_than_told(sink: RunningSink) -> None:
    sink.set_mode(mode="slow", delay_ms=30)
    for _ in range(4):
        sent_mono_s = time.monotonic()
        assert sink.log("a").status_code == 200
        assert time.monotonic() - sent_mono_s >= 0.030


def test_a_slow_answer_does_not_hold_up_the_next_request(sink: RunningSink, eventually: Eventually) -> None:
    sink.set_mode(mode="slow", delay_ms=600_000)
    with sink.open_request("a", "b"):
        eventually(lambda: sink.records()["in_service"] == 2)
        sink.set_mode(mode="fast")
        assert sink.log("c").status_code == 200
        records = sink.records()
        assert (records["received"]["records"], records["accepted"]["records"], records["in_service"]) == (3, 1, 2)
    eventually(lambda: sink.records()["unanswered"] == 2)


@pytest.mark.parametrize("status", [401, 429, 500])
def test_records_that_were_answered_with_an_error_were_received_and_not_accepted(
    sink: RunningSink, status: int
) -> None:
    sink.set_mode(mode="errors", status=status, rate=0.4)
    replies = [sink.log(f"id-{number}", "again") for number in range(10)]
    failed = [reply for reply in replies if reply.status_code == status]
    assert len(failed) == 4
    assert message_of(failed[0], status) == f"The sink answers {status}, as it was told to."
    records = sink.records()
    assert records["received"]["records"] == 20
    assert (records["accepted"]["records"], records["refused"], records["in_service"]) == (12, 8, 0)
    assert (records["received"]["duplicates"], records["accepted"]["duplicates"]) == (9, 5)
    assert sink.counts()["requests"]["/webhook"]["answered"] == {"200": 6, str(status): 4}


def test_hang_accepts_and_never_answers_and_ends_when_the_client_leaves(
    sink: RunningSink, eventually: Eventually
) -> None:
    sink.set_mode(mode="hang")
    with sink.open_request("a"):
        eventually(lambda: sink.records()["received"]["records"] == 1)
        assert (sink.records()["in_service"], sink.records()["unanswered"]) == (1, 0)
        assert sink.post("/nowhere").status_code == 404, "what is wrong is refused whatever the mode"
    eventually(lambda: sink.records()["unanswered"] == 1)
    assert (sink.records()["in_service"], sink.records()["accepted"]["records"]) == (0, 0)
    assert sink.counts()["requests"]["/webhook"] == {"received": 1, "answered": {}, "unanswered": 1}


def test_flaky_cuts_the_connection_of_records_that_it_has_received(sink: RunningSink) -> None:
    outcomes = []
    for _ in range(2):
        sink.set_mode(mode="flaky", rate=0.5, seed=3)
        outcome = []
        for number in range(12):
            try:
                outcome.append(sink.log(f"id-{number}").status_code)
            except httpx.TransportError:
                outcome.append(0)
        outcomes.append(outcome)
    assert outcomes[0] == outcomes[1], "the same seed cuts the same requests"
    cut, well = outcomes[0].count(0), outcomes[0].count(200)
    assert cut + well == 12
    assert 0 < cut < 12
    records = sink.records()
    assert records["received"]["records"] == 24
    assert (records["accepted"]["records"], records["unanswered"], records["refused"]) == (2 * well, 2 * cut, 0)


@pytest.mark.parametrize("port", ["http", "https", "proxy"])
def test_dead_refuses_connections_at_every_port_until_the_mode_changes(sink: RunningSink, port: str) -> None:
    address = ("127.0.0.1", sink.ports[port])
    for _ in range(3):
        sink.set_mode(mode="dead").raise_for_status()
        assert sink.control.get("/mode").json() == {"mode": "dead"}
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        sink.set_mode(mode="fast").raise_for_status()
        socket.create_connection(address).close()
    assert sink.log("a").status_code == 200


def test_nobody_else_can_take_the_ports_of_a_dead_sink(sink: RunningSink) -> None:
    sink.set_mode(mode="dead")
    for number in sink.ports.values():
        with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
            other.bind(("127.0.0.1", number))


def test_dead_cuts_open_connections_and_books_what_was_in_service(sink: RunningSink, eventually: Eventually) -> None:
    sink.set_mode(mode="hang")
    with httpx.Client(base_url=sink.http_url, trust_env=False) as idle, sink.open_request("a") as hangs:
        assert idle.post("/nowhere").status_code == 404
        eventually(lambda: sink.records()["in_service"] == 1)
        sink.set_mode(mode="dead")
        assert (sink.records()["in_service"], sink.records()["unanswered"]) == (0, 1)
        with pytest.raises(httpx.TransportError):
            idle.post("/nowhere")
        try:
            assert hangs.recv(1) == b""
        except ConnectionResetError:
            pass


# Control


def test_health_names_the_process_and_the_token_of_its_starter(sink: RunningSink) -> None:
    assert sink.control.get("/health").json() == {"status": "ok", "pid": sink.process.pid, "announce_token": "mine"}


def test_the_mode_is_shown_and_a_wrong_one_is_a_400_that_changes_nothing(sink: RunningSink) -> None:
    slow = {"delay_ms": 5, "mode": "slow"}
    assert sink.set_mode(**slow).json() == slow
    message = message_of(sink.set_mode(mode="slow", delay_ms=-1), 400)
    assert message == "PUT /mode: slow.delay_ms: Input should be greater than or equal to 1"
    assert sink.control.get("/mode").json() == slow


def test_a_reset_forgets_counts_and_ids_and_keeps_the_mode(sink: RunningSink) -> None:
    sink.set_mode(mode="errors", status=500)
    sink.log("a")
    assert sink.control.delete("/counts").json() == {"reset": True}
    counts = sink.counts()
    assert (counts["received_bytes"], counts["requests"]) == (0, {})
    assert sink.ids("webhook") == {}
    assert sink.log("a").status_code == 500
    assert sink.records()["received"]["distinct_ids"] == 1


def test_what_was_in_service_at_a_reset_is_not_counted_afterwards(sink: RunningSink, eventually: Eventually) -> None:
    sink.set_mode(mode="hang")
    with sink.open_request("a"):
        eventually(lambda: sink.records()["in_service"] == 1)
        sink.control.delete("/counts")
    sink.set_mode(mode="dead")  # by then it has ended
    records = sink.records()
    assert (records["received"]["records"], records["unanswered"], records["in_service"]) == (0, 0, 0)


def test_the_control_port_explains_its_paths_and_methods(sink: RunningSink) -> None:
    assert message_of(sink.control.get("/count"), 404) == (
        "Unknown path /count; the control port has /health, /ports, /mode, /counts, /ids."
    )
    assert message_of(sink.control.post("/counts"), 405) == "/counts does not take POST, but GET, DELETE."
    message = message_of(sink.control.put("/mode", content=b" " * 70_000), 413)
    assert message == "PUT /mode: the body has 70,000 bytes, and no more than 65,536 are read."
