"""What is a gateway, whoever made it?

A service that passes chat completions on to an endpoint. stack/litellm.py and stack/portkey.py are the two. Whoever
loads one knows only what is here: where its requests go, and what they must say.
"""

from collections.abc import Mapping
from typing import Protocol

from perfgate.stack.service import Service


class GatewayService(Service, Protocol):
    """A gateway before its start.

    Attributes:
        chat_path: where chat completions are POSTed to, `/v1/chat/completions`.
        client_key: the key that its clients send as a bearer token; None where it asks for none.
        client_headers: what a client's requests must say beside it, by names in lower case.
    """

    @property
    def chat_path(self) -> str: ...  # noqa: D102
    @property
    def client_key(self) -> str | None: ...  # noqa: D102
    @property
    def client_headers(self) -> Mapping[str, str]: ...  # noqa: D102
