"""Do realtime sessions, embeddings, responses and messages go through a real LiteLLM to the mock and back?

With the `openai` package as a client, as users have it. Takes 20 s with a warm cache, and a network when it is cold.
"""

from collections.abc import Iterator

import httpx
import pytest
from openai import OpenAI
from websockets.exceptions import InvalidStatus

from perfgate.load.api import Api
from perfgate.load.job import LoadJob, Target
from perfgate.load.runner import Generator
from perfgate.load.schedule import ClosedLoop
from perfgate.stack.backend import RunningService, StackBackend
from perfgate.stack.environments import Environment
from perfgate.stack.litellm import CHAT_PATH, MESSAGES_MODEL, REALTIME_MODEL, LiteLLM, random_key
from perfgate.stack.mock import REPLY_TEXT, Mock

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("real_gateway")]

PATIENCE_S = 60.0


class Gateway:
    """A running LiteLLM with models for every endpoint, and the mock behind it."""

    def __init__(self, service: LiteLLM, running: RunningService, mock: RunningService) -> None:
        self.chat_url = running.address.url + CHAT_PATH
        self.key = service.master_key
        self._mock_url = mock.address.url

    def client(self, key: str | None = None) -> OpenAI:
        base_url = self.chat_url.removesuffix("/chat/completions")
        return OpenAI(
            base_url=base_url,
            websocket_base_url=base_url.replace("http:", "ws:"),
            api_key=key or self.key,
            max_retries=0,
            timeout=PATIENCE_S,
        )

    def received(self) -> dict[str, int]:
        """Requests that reached the mock, by path."""
        counts: dict[str, int] = httpx.get(f"{self._mock_url}/admin/counts", trust_env=False).json()["received_by_path"]
        return counts


@pytest.fixture(scope="module")
def gateway(backend: StackBackend, installed: Environment) -> Iterator[Gateway]:
    with backend.running(Mock()) as mock:
        service = LiteLLM(installed, f"{mock.inner_address.url}/v1", every_api=True)
        with backend.running(service) as running:
            yield Gateway(service, running, mock)


def test_a_real_client_holds_a_conversation_through_the_gateway(gateway: Gateway) -> None:
    """By the words of either edition: which one LiteLLM asks its endpoint for depends on its release."""
    with gateway.client().realtime.connect(model=REALTIME_MODEL) as connection:
        assert connection.recv().type == "session.created"
        for _ in range(2):
            connection.conversation.item.create(
                item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
            )
            connection.response.create()
            kinds = []
            for event in connection:
                kinds.append(str(event.type))
                if event.type == "response.done":
                    assert event.response.status == "completed"
                    assert event.response.usage is not None
                    break
            assert sum(kind.endswith("audio.delta") for kind in kinds) == 8
            assert kinds.count("response.created") == 1
    assert gateway.received()["/v1/realtime"] == 1


def test_a_wrong_key_opens_no_session(gateway: Gateway) -> None:
    with pytest.raises(InvalidStatus):
        gateway.client(random_key()).realtime.connect(model=REALTIME_MODEL).enter()


def test_sessions_are_held_through_the_gateway_by_the_load(gateway: Gateway) -> None:
    target = Target(Api.REALTIME.below(gateway.chat_url), REALTIME_MODEL, gateway.key)
    schedule = ClosedLoop(users=10, warm_up_s=3, window_s=2, think_time_s=1)
    with Generator() as generator:
        result = generator.run(LoadJob((target,), schedule, payload_bytes=100, api=Api.REALTIME))
    assert (result.errors, result.sessions_lost, result.sessions_held_min) == ((), 0, 10)
    assert result.session_opening.count == 10
    assert result.succeeded == result.sent > 0
    assert result.chunks == 8 * result.sent


def test_the_other_endpoints_answer_with_what_the_mock_said(gateway: Gateway) -> None:
    before, client = gateway.received(), gateway.client()
    assert len(client.embeddings.create(model="embeds", input="hi").data[0].embedding) == 1536
    assert client.responses.create(model="responds", input="hi").output_text.startswith(REPLY_TEXT)
    body = {"model": MESSAGES_MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    reply = httpx.post(
        Api.MESSAGES.below(gateway.chat_url),
        json=body,
        headers={"authorization": f"Bearer {gateway.key}"},
        timeout=PATIENCE_S,
        trust_env=False,
    )
    assert reply.json()["content"][0]["text"].startswith(REPLY_TEXT)
    assert MESSAGES_MODEL in [model.id for model in client.models.list()]
    after = gateway.received()
    grown = {path for path, count in after.items() if count > before.get(path, 0)}
    assert grown == {"/v1/embeddings", "/v1/responses", "/v1/messages"}
