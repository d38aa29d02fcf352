"""Is every prompt new, equally long, and the one that LiteLLM published?"""

import json
import re

import pytest

from perfgate.load.api import Api
from perfgate.load.payload import MAX_PROMPT_BYTES, MAX_TOKENS, Payload, new_load_id


def prompt(body: bytes) -> str:
    text: str = json.loads(body)["messages"][0]["content"]
    return text


def test_the_published_prompt_repeats_its_id_and_sentence_150_times() -> None:
    payload = Payload("m", None)
    sentence = " This is a test there will be no cache hits and we'll fill up the context"
    assert prompt(payload.body(7)) == (payload.request_id(7).decode() + sentence) * 150
    assert payload.prompt_bytes == len(prompt(payload.body(7))) == 16_350


@pytest.mark.parametrize("prompt_bytes", [36, 37, 109, 110, 12_000])
def test_a_prompt_is_as_long_as_was_asked_for_and_begins_with_its_id(prompt_bytes: int) -> None:
    payload = Payload("m", prompt_bytes)
    assert payload.prompt_bytes == prompt_bytes
    assert len(prompt(payload.body(0))) == prompt_bytes
    assert re.match(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", prompt(payload.body(0)))


@pytest.mark.parametrize("prompt_bytes", [None, 36, 500])
def test_no_two_bodies_are_alike_within_a_load_or_between_loads(prompt_bytes: int | None) -> None:
    loads = [Payload("m", prompt_bytes), Payload("m", prompt_bytes)]
    bodies = [load.body(number) for load in loads for number in range(1000)]
    assert len(set(bodies)) == 2000
    assert {len(body) for body in bodies} == {loads[0].body_bytes}


@pytest.mark.parametrize("prompt_bytes", [None, 36, 500])
@pytest.mark.parametrize("stream", [False, True])
def test_bodies_with_the_same_prompt_are_alike_within_a_load_and_new_in_the_next(
    prompt_bytes: int | None, stream: bool
) -> None:
    loads = [Payload("m", prompt_bytes, stream=stream, same_prompt=True) for _ in range(2)]
    first, second = ({load.body(number) for number in range(1000)} for load in loads)
    assert len(first) == len(second) == 1
    assert first != second
    (body,) = first
    assert len(body) == loads[0].body_bytes == Payload("m", prompt_bytes, stream=stream).body_bytes
    assert prompt(body).startswith(loads[0].request_id(7).decode())


def test_payloads_of_one_load_share_its_id_and_so_the_same_prompt() -> None:
    load_id = new_load_id()
    alike = [Payload(model, 99, same_prompt=True, load_id=load_id) for model in ("a", "b")]
    assert prompt(alike[0].body(1)) == prompt(alike[1].body(2))
    differing = [Payload("m", 99, load_id=load_id) for _ in range(2)]
    assert differing[0].body(1) == differing[1].body(1) != differing[1].body(2)
    assert new_load_id() != load_id


def test_the_body_names_model_and_user_whatever_characters_they_hold() -> None:
    body = json.loads(Payload('a "quoted" modèle', 40).body(0))
    assert body["model"] == 'a "quoted" modèle'
    assert body["user"] == "my-new-end-user-1"


def test_a_stream_is_asked_for_and_nothing_else_is_different() -> None:
    whole, stream = (json.loads(Payload("m", 40, stream=stream).body(0)) for stream in (False, True))
    assert "stream" not in whole
    assert stream.pop("stream") is True
    assert stream.keys() == whole.keys()


@pytest.mark.parametrize("api", [Api.EMBEDDINGS, Api.RESPONSES])
def test_an_input_holds_the_prompt_and_nothing_else_is_asked_for(api: Api) -> None:
    payload = Payload('a "quoted" modèle', 99, api=api)
    body = json.loads(payload.body(3))
    assert body == {"model": 'a "quoted" modèle', "input": body["input"]}
    assert body["input"].startswith(payload.request_id(3).decode())
    assert len(body["input"]) == 99


def test_messages_hold_the_prompt_and_say_how_long_the_answer_may_be() -> None:
    payload = Payload("m", 99, api=Api.MESSAGES)
    body = json.loads(payload.body(3))
    assert (body["model"], body["max_tokens"], body.keys()) == ("m", MAX_TOKENS, {"model", "max_tokens", "messages"})
    assert prompt(payload.body(3)).startswith(payload.request_id(3).decode())
    assert payload.body_bytes == len(payload.body(7))


def test_a_list_of_models_is_asked_for_with_nothing() -> None:
    payload = Payload("m", None, api=Api.MODELS)
    assert (payload.body(1), payload.body_bytes) == (b"", 0)


def test_a_turn_of_a_session_is_a_users_item_that_holds_the_prompt() -> None:
    payload = Payload("m", 99, api=Api.REALTIME)
    event = json.loads(payload.body(3))
    (part,) = event["item"]["content"]
    assert (event["type"], event["item"]["role"], part["type"]) == ("conversation.item.create", "user", "input_text")
    assert part["text"].startswith(payload.request_id(3).decode())
    assert len(part["text"]) == 99


def test_only_chat_completions_are_streamed() -> None:
    with pytest.raises(ValueError, match="stream=True goes with chat completions, not with api=messages"):
        Payload("m", 99, stream=True, api=Api.MESSAGES)


@pytest.mark.parametrize("prompt_bytes", [-1, 0, 35, MAX_PROMPT_BYTES + 1])
def test_a_prompt_without_room_for_its_id_or_beyond_all_measure_is_refused(prompt_bytes: int) -> None:
    with pytest.raises(ValueError, match=rf"payload_bytes={prompt_bytes} must be from 36 .* to {MAX_PROMPT_BYTES}"):
        Payload("m", prompt_bytes)
