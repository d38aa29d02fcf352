"""Which endpoint of a gateway is asked, and how: where it is below the base, and by which method?

Values only; payload.py makes the bodies.
"""

from enum import StrEnum
from typing import Final

#: What a base that all endpoints are below is told by: the address of its chat completions, without this.
CHAT_PATH: Final = "/chat/completions"


class Api(StrEnum):
    """An endpoint, by the name that figures of it have.

    >>> Api.EMBEDDINGS.below("http://127.0.0.1:4000/v1/chat/completions")
    'http://127.0.0.1:4000/v1/embeddings'
    """

    CHAT_COMPLETIONS = "chat_completions"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"
    MESSAGES = "messages"  #: of Anthropic
    MODELS = "models"  #: a list, for which nothing is sent
    REALTIME = "realtime"  #: a WebSocket

    @property
    def path(self) -> str:
        """Below the base, which mostly ends in `/v1`."""
        return CHAT_PATH if self is Api.CHAT_COMPLETIONS else f"/{self.value}"

    @property
    def method(self) -> str:
        """Of HTTP."""
        return "GET" if self in (Api.MODELS, Api.REALTIME) else "POST"

    def below(self, chat_url: str) -> str:
        """The address of this endpoint, by that of chat completions.

        Raises:
            ValueError: the other is not the address of chat completions.
        """
        if not chat_url.endswith(CHAT_PATH):
            raise ValueError(f"chat_url={chat_url!r} must end with {CHAT_PATH}")
        return chat_url.removesuffix(CHAT_PATH) + self.path
