"""Which request to the sink gets which answer?

Comes in: ASGI's scope, receive and send, of the ports for records. Goes out: an answer, or none, as the mode says, and
everything counted. What is sent to is in `ROUTES`. Credentials are not checked: who asks is a gateway under test.
Plain ASGI without a framework, since the sink shares its host with what is measured.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qs

from log_sink.asgi import (
    BodyTooLarge,
    Message,
    Receive,
    Reply,
    Send,
    error_reply,
    gets,
    json_reply,
    leaves,
    stays,
    whole_body,
    wrong_method,
)
from log_sink.counts import UNKNOWN_PATH, Counts, Format
from log_sink.formats import Unreadable, gcs_ids, langsmith_ids, webhook_ids
from log_sink.modes import Fast, ModeInForce, Ruling

#: More than 10,000 records of 12 KB prompts in one request. While it is read it takes twice as much memory.
DEFAULT_MAX_BODY_BYTES: Final = 256 * 1024 * 1024
#: Where the scope of a request holds the way to cut its connection (ports.py).
CUT: Final = "log_sink.cut"

JWT_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: As long as Google's.
TOKEN_LASTS_S: Final = 3_600


@dataclass(frozen=True, slots=True)
class Route:
    """A path that takes POST.

    Args:
        label: by which its requests are counted.
        pattern: of the path.
        kind: of records that come in by it; `token` for none.
    """

    label: str
    pattern: re.Pattern[str]
    kind: Format | Literal["token"]


ROUTES: Final = (
    Route("/runs/batch", re.compile("(?:/api/v1)?/runs/batch"), "langsmith"),
    Route("/upload/storage/v1/b/BUCKET/o", re.compile("/upload/storage/v1/b/(?P<bucket>[^/]+)/o"), "gcs"),
    Route("/webhook", re.compile("/webhook"), "webhook"),
    Route("/token", re.compile("/token"), "token"),
)


class Sink:
    """What the requests that bring records share with those that ask about them.

    Args:
        ids_at_most: different ids that are kept of each format.

    Attributes:
        mode: how it behaves now; starts as `Fast`.
        counts: since the start or the last reset.
    """

    def __init__(self, ids_at_most: int) -> None:
        self._ids_at_most = ids_at_most
        self.mode = ModeInForce(Fast())
        self.reset()

    def reset(self) -> None:
        """Forget what was counted; requests in service are booked to the end where they were booked when they came."""
        self.counts = Counts(self._ids_at_most)


class Records:
    """The ports for records, as an ASGI app.

    Args:
        sink: whose mode rules, and which counts.
        max_body_bytes: a larger body is not read, but answered with 413.
    """

    def __init__(self, sink: Sink, max_body_bytes: int = DEFAULT_MAX_BODY_BYTES) -> None:
        self._sink = sink
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        path, method = scope["path"], scope["method"]
        route, match = _route_of(path)
        request = _Request(route.label if route is not None else UNKNOWN_PATH, self._sink.counts, scope, receive, send)
        try:
            body = await whole_body(receive, self._max_body_bytes)
        except BodyTooLarge as error:
            request.arrived(0)
            request.counts.unreadable()
            await request.answer(error_reply(413, f"{path}: {error}."))
            return
        if body is None:  # the client left in the middle of its request
            return
        request.arrived(len(body))
        if route is None or match is None:
            known = ", ".join(each.label for each in ROUTES)
            await request.answer(error_reply(404, f"Unknown path {path}; this sink has {known}."))
        elif method != "POST":
            await request.answer(wrong_method(method, path, ["POST"]))
        elif route.kind == "token":
            await request.answer(_token_reply(body))
        else:
            try:
                ids, success = _read(route.kind, match, scope["query_string"].decode("latin-1"), body)
            except Unreadable as error:
                request.counts.unreadable()
                await request.answer(error_reply(400, f"{path}: {error}."))
                return
            await request.take(route.kind, ids, success, self._sink.mode.rule())


@dataclass(frozen=True, slots=True)
class _Request:
    """One request, and where it is booked: a reset while it is in service replaces the sink's counts, not its own."""

    label: str
    counts: Counts
    scope: Message
    receive: Receive
    send: Send

    def arrived(self, body_bytes: int) -> None:
        self.counts.received(self.label, body_bytes)

    async def answer(self, reply: Reply) -> bool:
        """Hand an answer over; False when the client is gone."""
        is_there = await gets(self.send, reply)
        if is_there:
            self.counts.answered(self.label, reply.status)
        else:
            self.counts.unanswered(self.label)
        return is_there

    async def take(self, kind: Format, ids: Sequence[str | None], success: Reply, ruling: Ruling) -> None:
        """Take records, and answer as the mode has ruled."""
        records = self.counts.records[kind]
        records.received(ids)
        if ruling.is_cut:
            self.scope[CUT]()
            await leaves(self.receive)  # uvicorn has to learn of it before this returns, or it would answer
            is_there = False
        else:
            is_there = ruling.delay_s == 0 or await stays(self.receive, ruling.delay_s)
        status = ruling.error_status
        reply = success if status is None else error_reply(status, f"The sink answers {status}, as it was told to.")
        if not is_there:
            self.counts.unanswered(self.label)
            records.unanswered(len(ids))
        elif not await self.answer(reply):
            records.unanswered(len(ids))
        elif status is None:
            records.accepted(ids)
        else:
            records.refused(len(ids))


def _route_of(path: str) -> tuple[Route | None, re.Match[str] | None]:
    for route in ROUTES:
        if match := route.pattern.fullmatch(path):
            return route, match
    return None, None


def _read(kind: Format, match: re.Match[str], query: str, body: bytes) -> tuple[list[str | None], Reply]:
    """The ids of what a request brings, and what it is answered with when all is well."""
    if kind == "langsmith":
        return langsmith_ids(body), json_reply({}, 202)
    if kind == "webhook":
        return webhook_ids(body), json_reply({})
    asked = parse_qs(query)
    name = asked.get("name", [""])[0]
    if asked.get("uploadType") != ["media"] or not name:
        raise Unreadable(f"an upload needs uploadType=media and a name in its query, got {query[:200]!r}")
    bucket = match["bucket"]
    stored = {"kind": "storage#object", "id": f"{bucket}/{name}/1", "bucket": bucket, "name": name, "generation": "1"}
    return gcs_ids(body, name), json_reply({**stored, "size": str(len(body))})


def _token_reply(body: bytes) -> Reply:
    """A token for a service account; whatever the mode, since it is another service that gives them."""
    asked = parse_qs(body.decode("latin-1"))
    if asked.get("grant_type") != [JWT_GRANT]:
        message = f"grant_type must be {JWT_GRANT}, got {asked.get('grant_type', [''])[0][:80]!r}"
        return json_reply({"error": "unsupported_grant_type", "error_description": message}, 400)
    assertion = asked.get("assertion", [""])[0]
    if assertion.count(".") != 2:
        message = "assertion must be a JSON web token: three parts with dots between them; its signature is not checked"
        return json_reply({"error": "invalid_grant", "error_description": message}, 400)
    token = f"throw-away-{secrets.token_hex(16)}"
    return json_reply({"access_token": token, "expires_in": TOKEN_LASTS_S, "token_type": "Bearer"})
