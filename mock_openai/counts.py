"""What did the mock receive, and how did each request end?

Comes in: one call for each thing that happens. Goes out: plain figures for the admin replies.
All of it runs on one event loop, so nothing here locks. Imports nothing of ours.
"""

import re
from typing import Any, Final

#: More models than tests use; further ones are counted together, so that made-up names cannot fill the memory.
MAX_MODELS: Final = 10_000
OTHER_MODELS: Final = "(other models)"
#: Paths come from the client too; those the mock does not know are counted together.
UNKNOWN_PATH: Final = "(unknown path)"

#: About 20 MB of ids.
DEFAULT_RECORDED_AT_MOST: Final = 200_000
MAX_RECORDED_AT_MOST: Final = 1_000_000

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", re.IGNORECASE)


class Counts:
    """Requests to everything but /health and /admin since the start or the last reset.

    Each request is received once its body has arrived, and then ends once: replied, or disconnected (its client left
    before the reply was handed to the connection), or cut (a stream that broke off, as it was told to). So received =
    replied + disconnected + cut + in service, always.

    A realtime session is one request, received with its handshake; replied (status 101) when it has ended in good
    order, cut when the mock ended it as it was told to. Its responses are counted beside that.
    """

    def __init__(self) -> None:
        self._received_by_path: dict[str, int] = {}
        self._received_by_model: dict[str, int] = {}
        self._replied_by_status: dict[int, int] = {}
        self._hung = 0
        self._disconnected = 0
        self._cut = 0
        self._realtime_responses: dict[str, int] = {}

    def received(self, path: str) -> None:
        """A whole request has arrived."""
        self._received_by_path[path] = self._received_by_path.get(path, 0) + 1

    def received_for(self, model: str) -> None:
        """It asked for this model."""
        by_model = self._received_by_model
        if model not in by_model and len(by_model) >= MAX_MODELS:
            model = OTHER_MODELS
        by_model[model] = by_model.get(model, 0) + 1

    def replied(self, status: int) -> None:
        """Its reply was handed to the connection."""
        self._replied_by_status[status] = self._replied_by_status.get(status, 0) + 1

    def hung(self) -> None:
        """It met a hang: it will never be answered, and ends when its client leaves."""
        self._hung += 1

    def disconnected(self) -> None:
        """Its client left before the reply."""
        self._disconnected += 1

    def cut(self) -> None:
        """Its stream broke off, as it was told to."""
        self._cut += 1

    def responded(self, status: str) -> None:
        """A response of a realtime session is over: `completed`, `failed` or `cancelled`."""
        self._realtime_responses[status] = self._realtime_responses.get(status, 0) + 1

    def as_json(self) -> dict[str, Any]:
        """All figures, the form of `GET /admin/counts`."""
        received = sum(self._received_by_path.values())
        replied = sum(self._replied_by_status.values())
        return {
            "received": received,
            "received_by_path": self._received_by_path,
            "received_by_model": self._received_by_model,
            "replied": replied,
            "replied_by_status": self._replied_by_status,
            "hung": self._hung,
            "disconnected": self._disconnected,
            "cut": self._cut,
            "realtime_responses": self._realtime_responses,
            "in_service": received - replied - self._disconnected - self._cut,
        }


class Recording:
    """The ids of chat requests in the order of their arrival, up to a limit.

    Args:
        on: whether requests are recorded.
        at_most: ids beyond this are counted as dropped.
    """

    def __init__(self, *, on: bool = False, at_most: int = DEFAULT_RECORDED_AT_MOST) -> None:
        self.on = on
        self.at_most = at_most
        self._request_ids: list[str] = []
        self._without_id = 0
        self._dropped = 0

    def add(self, request: dict[str, Any]) -> None:
        """Record one chat request."""
        found = request_id(request)
        if found is None:
            self._without_id += 1
        elif len(self._request_ids) < self.at_most:
            self._request_ids.append(found)
        else:
            self._dropped += 1

    def as_json(self) -> dict[str, Any]:
        """The form of `GET /admin/requests`."""
        return {
            "on": self.on,
            "at_most": self.at_most,
            "dropped": self._dropped,
            "without_id": self._without_id,
            "request_ids": self._request_ids,
        }


def request_id(request: dict[str, Any]) -> str | None:
    """The id that a load generator put at the start of the last message, or of the input, or None.

    An id is a UUID in its usual 36 characters, or 32 hexadecimal digits. Content in parts, and input in a list, is
    looked up in the first.

    >>> request_id({"messages": [{"role": "user", "content": "0b54b3a8-8c4b-4f5e-9d6b-0d7a3a1c2e4f Hello"}]})
    '0b54b3a8-8c4b-4f5e-9d6b-0d7a3a1c2e4f'
    """
    match request:
        case {"messages": [*_, {"content": str(text)}] | [*_, {"content": [{"text": str(text)}, *_]}]} | {
            "input": str(text) | [str(text), *_]
        }:
            found = _UUID.match(text)
            return found[0] if found else None
        case _:
            return None
