"""Is every request counted once, and is an id found exactly where a load generator puts it?"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_openai.counts import MAX_MODELS, OTHER_MODELS, Counts, Recording, request_id

UUID = "0b54b3a8-8c4b-4f5e-9d6b-0d7a3a1c2e4f"
HEX = "0B54b3a88c4b4f5e9d6b0d7a3a1c2e4f"


def asking(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (UUID, UUID),
        (f"{UUID} and the prompt", UUID),
        (HEX, HEX),
        (f"{HEX} and the prompt", HEX),
        ([{"type": "text", "text": f"{UUID} in parts"}, {"type": "text", "text": "more"}], UUID),
        (f" {UUID}", None),
        ("Hello", None),
        (UUID[:-1], None),
        (UUID.replace("a", "g"), None),
        ([], None),
        ([{"type": "image_url"}], None),
        (None, None),
    ],
)
def test_the_id_is_what_begins_the_last_message_if_it_looks_like_one(content: Any, expected: str | None) -> None:
    assert request_id(asking(content)) == expected


@pytest.mark.parametrize("request_", [{}, {"messages": []}, {"messages": UUID}, {"messages": [UUID]}])
def test_a_request_without_messages_has_no_id(request_: dict[str, Any]) -> None:
    assert request_id(request_) is None


@pytest.mark.parametrize(
    ("input_", "expected"), [(f"{UUID} text", UUID), ([f"{UUID} text", "b"], UUID), ([[1, 2]], None)]
)
def test_an_input_begins_with_an_id_as_messages_do(input_: object, expected: str | None) -> None:
    assert request_id({"model": "m", "input": input_}) == expected


@given(st.uuids())
def test_every_uuid_is_an_id_in_both_forms(uuid: Any) -> None:
    assert request_id(asking(f"{uuid}: go")) == str(uuid)
    assert request_id(asking(f"{uuid.hex}: go")) == uuid.hex


def test_what_has_neither_been_replied_nor_lost_is_in_service() -> None:
    counts = Counts()
    for path in ("/models", *["/chat/completions"] * 4):
        counts.received(path)
    counts.received_for("a")
    counts.received_for("a")
    counts.received_for("b")
    counts.replied(200)
    counts.replied(429)
    counts.hung()
    counts.disconnected()
    counts.cut()
    counts.responded("completed")
    assert counts.as_json() == {
        "received": 5,
        "received_by_path": {"/models": 1, "/chat/completions": 4},
        "received_by_model": {"a": 2, "b": 1},
        "replied": 2,
        "replied_by_status": {200: 1, 429: 1},
        "hung": 1,
        "disconnected": 1,
        "cut": 1,
        "realtime_responses": {"completed": 1},
        "in_service": 1,
    }


def test_models_beyond_the_limit_are_counted_together_and_known_ones_still_alone() -> None:
    counts = Counts()
    for number in range(MAX_MODELS + 3):
        counts.received_for(f"model {number}")
    counts.received_for("model 0")
    by_model = counts.as_json()["received_by_model"]
    assert by_model["model 0"] == 2
    assert by_model[OTHER_MODELS] == 3
    assert len(by_model) == MAX_MODELS + 1


def test_a_full_recording_keeps_the_first_ids_and_says_how_many_it_dropped() -> None:
    recording = Recording(on=True, at_most=2)
    ids = [f"{number:032x}" for number in range(5)]
    for id_ in ids:
        recording.add(asking(id_))
    recording.add(asking("no id"))
    assert recording.as_json() == {"on": True, "at_most": 2, "dropped": 3, "without_id": 1, "request_ids": ids[:2]}
