"""Is every record found, with the id of the request that caused it, and nothing else taken for one?"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from log_sink.formats import MAX_ID_CHARS, Unreadable, gcs_ids, langsmith_ids, webhook_ids
from tests.harness.log_sink.conftest import payloads

IDS = ["chatcmpl-1", "chatcmpl-2", "chatcmpl-1"]


def batch(ids: list[str]) -> bytes:
    runs = [{"id": "of-the-run", "trace_id": "x", "inputs": each, "outputs": {"id": "y"}} for each in payloads(ids)]
    return json.dumps({"post": runs}).encode()


def lines(ids: list[str]) -> bytes:
    return "\n".join(json.dumps(each) for each in payloads(ids)).encode()


def test_a_run_s_id_is_that_of_its_inputs_and_not_its_own() -> None:
    assert langsmith_ids(batch(IDS)) == IDS


def test_updates_of_runs_are_no_records() -> None:
    assert langsmith_ids(b'{"patch": [{"id": "x", "inputs": {"id": "y"}}]}') == []


def test_an_object_is_one_record_and_one_that_is_named_so_has_one_a_line() -> None:
    assert gcs_ids(json.dumps(payloads(["chatcmpl-1"])[0]).encode(), "2026-01-31/chatcmpl-1") == ["chatcmpl-1"]
    assert gcs_ids(lines(IDS), "2026-01-31/batch-1.ndjson") == IDS
    assert gcs_ids(lines(IDS) + b"\n\n", "2026-01-31/batch-1.ndjson") == IDS


@pytest.mark.parametrize("indent", [None, 1])
def test_a_webhook_takes_a_list_a_single_object_and_lines(indent: int | None) -> None:
    assert webhook_ids(json.dumps(payloads(IDS), indent=indent).encode()) == IDS
    assert webhook_ids(b" \n" + json.dumps(payloads(IDS)).encode()) == IDS
    assert webhook_ids(json.dumps(payloads(IDS[:1])[0], indent=indent).encode()) == IDS[:1]
    assert webhook_ids(lines(IDS)) == IDS


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)))
def test_whatever_the_ids_all_formats_agree(ids: list[str]) -> None:
    assert langsmith_ids(batch(ids)) == webhook_ids(json.dumps(payloads(ids)).encode()) == ids
    assert gcs_ids(lines(ids), "x.ndjson") == ids


@pytest.mark.parametrize("id_", [None, "", 7, ["x"], "x" * (MAX_ID_CHARS + 1)])
def test_a_record_without_a_usable_id_is_a_record_that_names_no_request(id_: Any) -> None:
    assert webhook_ids(json.dumps([{"id": id_}, {}]).encode()) == [None, None]
    assert webhook_ids(json.dumps([{"id": "x" * MAX_ID_CHARS}]).encode()) == ["x" * MAX_ID_CHARS]


def test_what_no_record_of_ours_would_hold_is_read_past() -> None:
    """LiteLLM writes NaN where a figure is missing; and a prompt may hold anything."""
    assert webhook_ids(b'[{"id": "a", "response_cost": NaN, "messages": "}\\n{"}]') == ["a"]
    assert langsmith_ids(b'{"post": [{"inputs": {"id": "a", "deep": [[{"x": -Infinity}]]}}], "more": 1}') == ["a"]


@pytest.mark.parametrize(
    ("read", "body", "words"),
    [
        (langsmith_ids, b"", "Invalid JSON: EOF while parsing a value at line 1 column 0"),
        (langsmith_ids, b"[]", "Input should be an object"),
        (langsmith_ids, b'{"post": [{}]}', "post.0.inputs: Field required"),
        (langsmith_ids, b'{"post": [{"inputs": "text"}]}', "post.0.inputs: Input should be an object"),
        (webhook_ids, b"[1]", "0: Input should be an object"),
        (webhook_ids, b'"text"', "Input should be an object"),
        (webhook_ids, b'{"id": "a"}{', "Invalid JSON: trailing characters at line 1 column 12"),
        (webhook_ids, b'{"id": "a"}\n{"id"', "Invalid JSON: EOF while parsing an object at line 1 column 5"),
        (lambda body: gcs_ids(body, "x"), b'{"id": "a"}\n{"id": "b"}', "Invalid JSON: trailing characters"),
        (lambda body: gcs_ids(body, "x.ndjson"), b'{"id": "a"}\n[', "Invalid JSON: EOF while parsing a list"),
    ],
)
def test_what_is_not_of_the_format_is_an_error_that_says_where(read: Any, body: bytes, words: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read(body)
    assert str(caught.value).startswith(words)
