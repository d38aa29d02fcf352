"""Is every endpoint where OpenAI and Anthropic have it, and asked as they want it?"""

import doctest

import pytest

from perfgate.load import api as api_module
from perfgate.load.api import Api


@pytest.mark.parametrize(
    ("api", "method", "url"),
    [
        (Api.CHAT_COMPLETIONS, "POST", "http://h/v1/chat/completions"),
        (Api.EMBEDDINGS, "POST", "http://h/v1/embeddings"),
        (Api.RESPONSES, "POST", "http://h/v1/responses"),
        (Api.MESSAGES, "POST", "http://h/v1/messages"),
        (Api.MODELS, "GET", "http://h/v1/models"),
        (Api.REALTIME, "GET", "http://h/v1/realtime"),
    ],
)
def test_an_endpoint_is_beside_chat_completions(api: Api, method: str, url: str) -> None:
    assert (api.method, api.below("http://h/v1/chat/completions")) == (method, url)


def test_what_is_not_the_address_of_chat_completions_is_refused() -> None:
    with pytest.raises(ValueError, match="chat_url='http://h/v1' must end with /chat/completions"):
        Api.MODELS.below("http://h/v1")


def test_the_example_is_true() -> None:
    failed, attempted = doctest.testmod(api_module)
    assert (failed, attempted > 0) == (0, True)
