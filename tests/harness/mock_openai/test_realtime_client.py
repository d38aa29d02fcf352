"""Does a real client get along with the running mock: the `openai` package, over HTTP and over WebSockets?"""

from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.realtime import RealtimeConversationItemFunctionCall
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from tests.harness.mock_openai.conftest import DEADLINE_S, RunningMock

pytestmark = pytest.mark.slow  # the package takes a second to import

HELLO: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}


@pytest.fixture
def client(mock: RunningMock) -> OpenAI:
    url = str(mock.client.base_url).rstrip("/") + "/v1"
    return OpenAI(
        base_url=url,
        websocket_base_url=url.replace("http:", "ws:"),
        api_key="none",
        max_retries=0,
        timeout=DEADLINE_S,
    )


def test_embeddings_and_responses_are_what_it_expects(client: OpenAI) -> None:
    vectors = client.embeddings.create(model="e", input=["one", "two"], dimensions=8)
    assert [len(entry.embedding) for entry in vectors.data] == [8, 8]
    response = client.responses.create(model="mock-reply-19b", input="hi")
    assert response.output_text == "The quick brown fox"
    assert response.usage is not None
    assert response.usage.output_tokens == 5
    assert [model.id for model in client.models.list()] == ["gpt-4o-mini"]
    with pytest.raises(openai.RateLimitError, match="as it was told to"):
        client.responses.create(model="mock-error-429-rate-1", input="hi")


def test_it_holds_a_conversation_of_several_turns(client: OpenAI, mock: RunningMock) -> None:
    with client.realtime.connect(model="mock-reply-19b") as connection:
        created = connection.recv()
        assert created.type == "session.created"
        connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        assert connection.recv().type == "session.updated"
        spent = []
        for _ in range(2):
            connection.conversation.item.create(item=HELLO)
            connection.response.create()
            text = ""
            for event in connection:
                if event.type == "response.output_text.delta":
                    text += event.delta
                if event.type == "response.done":
                    assert event.response.status == "completed"
                    assert event.response.usage is not None
                    spent.append(event.response.usage.total_tokens or 0)
                    break
            assert text == "The quick brown fox"
        assert spent[0] < spent[1]


def test_it_hears_audio_and_is_told_which_function_to_call(client: OpenAI) -> None:
    with client.realtime.connect(model="mock-chunks-3-every-1ms") as connection:
        connection.response.create()
        audio = 0
        for event in connection:
            audio += event.type == "response.output_audio.delta"
            if event.type == "response.done":
                break
        assert audio == 3
        tool: Any = {"type": "function", "name": "look_up", "parameters": {"type": "object", "properties": {}}}
        connection.response.create(response={"tools": [tool], "tool_choice": "required"})
        for event in connection:
            if event.type == "response.output_item.done":
                call = event.item
            if event.type == "response.done":
                break
        assert isinstance(call, RealtimeConversationItemFunctionCall)
        assert call.name == "look_up"


def test_errors_and_close_codes_reach_it(
    client: OpenAI, mock: RunningMock, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    with client.realtime.connect(model="mock-close-1013-after-1-responses") as connection:
        connection.send({"type": "response.cancel"})
        connection.response.create()
        seen: list[str] = []
        with pytest.raises(ConnectionClosedError) as closed:
            seen.extend(event.type for event in connection)
    assert seen[:2] == ["session.created", "error"]
    assert seen[-1] == "response.done"
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013
    with pytest.raises(InvalidStatus) as refused:
        client.realtime.connect(extra_query={"x": "y"}).enter()
    assert refused.value.response.status_code == 400
    eventually(lambda: mock.counts()["in_service"] == 0)
    assert mock.counts()["cut"] == 1
