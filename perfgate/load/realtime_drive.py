"""How does a load of realtime sessions run from its first to the end of its last?

Comes in: a `LoadJob` whose endpoint is realtime. Goes out: a `LoadResult`, as drive.py has it: the same clock, pace and
end. A request is a turn: a user's item and `response.create`, until `response.done`. Where the user has no session yet,
opening one is part of the request, and is timed by itself as well.

    drive_sessions --starts--> _Visits (open loop) or _Users (closed loop) --turn by--> _Session --has--> WebSocket
                                   |                       ^                               |
                  Recording <--writes                      +-----------reports to----------+

A closed loop's user keeps its session for as many turns as the job says, or for the whole load; every request of an
open loop is a session of its own. At the end all sessions are closed, one after the other, before the load counts as
drained: what a gateway does then belongs to the load.
"""

import asyncio
import heapq
import random
import ssl
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

import numpy as np
from pydantic_core import from_json

from perfgate.load.drive import FAILURE_PAUSE_S, Instant, Load, without_collection
from perfgate.load.endpoint import Endpoint
from perfgate.load.http_client import Peer, find_peer
from perfgate.load.job import LoadJob, Target
from perfgate.load.payload import Payload, new_load_id
from perfgate.load.recording import Recording
from perfgate.load.result import Failure, LoadResult
from perfgate.load.schedule import ClosedLoop, OpenLoop, Schedule
from perfgate.load.websocket import WebSocket
from perfgate.measure.histogram import Histogram

RESPONSE_CREATE: Final = '{"type": "response.create"}'
#: Deltas of what is answered, in both editions of the protocol; those of a transcript come beside the audio.
DELTA_ENDS: Final = ("audio.delta", "text.delta", "arguments.delta")
#: From one close to the next when all sessions end, so that a gateway is not given 200 ends to work off at once.
CLOSE_SPACING_S: Final = 0.005
#: How long a server may take to agree to them; then they are dropped.
CLOSE_DEADLINE_S: Final = 5.0
#: What a gateway does after its client is gone (LiteLLM logs the session then) gets so long before the load is drained.
QUIET_S: Final = 0.5

#: A response that was completed counts as a reply with this status.
_COMPLETED: Final = 200
_FAILURE_PAUSE_NS: Final = round(FAILURE_PAUSE_S * 1e9)
_ERROR_CHARS_SHOWN: Final = 200
_ERROR_CHARS_KEPT: Final = 2_000
_IDLE: Final = -1


async def drive_sessions(job: LoadJob, *, in_flight_cap: int, announce: Callable[[Instant, float], None]) -> LoadResult:
    """Open sessions, take every turn when it is due, wait for the responses, and count; arguments as of `drive`.

    Raises:
        Unreachable: a target accepts no connections; nothing was sent.
        TooManyRequests: of a closed loop.
    """
    load_id = new_load_id()
    routes = [await _route(target, job, load_id) for target in job.targets]
    with without_collection():
        load: _SessionsLoad
        match job.schedule:
            case OpenLoop():
                load = _Visits(job.schedule, job, routes, in_flight_cap)
            case ClosedLoop():
                load = _Users(job.schedule, job, routes, in_flight_cap)
        try:
            course = await load.run(announce)
        finally:
            await load.drop_all()
    # A session has no headers of its own that a gateway could put its overhead in.
    return replace(load.recording.result(course), header_missing=0, **load.sessions())


@dataclass(frozen=True, slots=True)
class _Route:
    """What it takes to open a session at one target, and to take a turn in it."""

    peer: Peer
    endpoint: Endpoint
    api_key: str | None
    payload: Payload


async def _route(target: Target, job: LoadJob, load_id: bytes) -> _Route:
    endpoint = Endpoint.of_url(f"{target.url}?model={quote(target.model, safe='')}")
    payload = Payload(target.model, job.payload_bytes, same_prompt=job.same_prompt, load_id=load_id, api=job.api)
    return _Route(await find_peer(endpoint), endpoint, target.api_key, payload)


class _Session:
    """One session, the listener of its WebSocket; at most one turn at a time.

    Args:
        load: told of everything.
        route: where it is opened.
        user: whose it is, for the load.
    """

    __slots__ = (
        "_deltas",
        "_gaps_us",
        "_last_delta_mono_ns",
        "_load",
        "_route",
        "_socket",
        "due_mono_ns",
        "is_created",
        "request",
        "turns",
        "user",
    )
    _deltas: int
    _gaps_us: "array[int]"
    _last_delta_mono_ns: int

    def __init__(self, load: "_SessionsLoad", route: _Route, user: int, due_mono_ns: int) -> None:
        self.user = user
        self.turns = 0
        self.is_created = False
        self.request = _IDLE
        #: When it was meant to be opened.
        self.due_mono_ns = due_mono_ns
        self._load = load
        self._route = route
        self._socket = WebSocket(route.endpoint, route.api_key, self)
        self._deltas = 0
        self._last_delta_mono_ns = 0
        self._gaps_us = array("I")

    def start(self, request: int) -> None:
        """Take a turn, as soon as the session is created."""
        self.request = request
        if self.is_created:
            self._talk()

    async def connect(self) -> None:
        """Open it; a failure is the load's."""
        try:
            await self._route.peer.connect(self._socket)
        except ConnectionRefusedError as error:
            self.ended(Failure.CONNECT_REFUSED, str(error))
        except ssl.SSLError as error:
            self.ended(Failure.TLS_FAILED, str(error))
        except OSError as error:
            self.ended(Failure.CONNECT_FAILED, str(error))

    def close(self) -> None:
        """End it in good order, whatever it still waits for; one that is not created yet is dropped."""
        self.request = _IDLE  # without an answer, which is not the same as being closed by the server
        if self.is_created:
            self._socket.close()
        else:
            self._socket.abandon()
            self._load.session_over(self, None)

    def abandon(self) -> None:
        """Drop it; the load hears nothing more of it."""
        self._socket.abandon()

    # as `WebSocketListener` says

    def opened(self) -> None:
        """Nothing yet: a session is there once it is created."""

    def heard(self, text: str, at_mono_ns: int) -> None:
        """Follow the events that matter."""
        try:
            event = from_json(text)
            kind = str(event["type"])
        except (ValueError, TypeError, KeyError):
            self._break_off(Failure.BAD_REPLY, f"no event of a session: {text[:_ERROR_CHARS_KEPT]}")
            return
        if kind.endswith(DELTA_ENDS):
            self._delta(at_mono_ns)
        elif kind == "response.done":
            self._done(event, at_mono_ns)
        elif kind == "error":
            self._break_off(Failure.SESSION_ERROR, text[:_ERROR_CHARS_KEPT])
        elif kind == "session.created" and not self.is_created:
            self.is_created = True
            self._load.created(self, at_mono_ns)
            if self.request != _IDLE:
                self._talk()

    def ended(self, failure: Failure | None, text: str) -> None:
        """Tell the load, and what has become of the turn."""
        self._load.session_over(self, failure)
        self._fail(failure or Failure.SESSION_CLOSED, text)

    # turns

    def _talk(self) -> None:
        self._forget_turn()
        self._socket.say(self._route.payload.body(self.request).decode(), RESPONSE_CREATE)

    def _delta(self, at_mono_ns: int) -> None:
        if self.request == _IDLE:
            return
        if self._deltas:
            self._gaps_us.append((at_mono_ns - self._last_delta_mono_ns) // 1000)
        else:
            self._load.recording.first_token(self.request, at_mono_ns)
        self._deltas += 1
        self._last_delta_mono_ns = at_mono_ns

    def _done(self, event: dict[str, Any], at_mono_ns: int) -> None:
        if self.request == _IDLE:
            return
        response = event.get("response") or {}
        status = response.get("status")
        if status != "completed":
            details = str(response.get("status_details"))[:_ERROR_CHARS_KEPT]
            self._fail(Failure.RESPONSE_FAILED, f"a response with status {status}: {details}")
            return
        request, self.request = self.request, _IDLE
        self.turns += 1
        self._load.recording.streamed(request, self._deltas, True, self._gaps_us)
        self._load.completed(self, request, at_mono_ns)

    def _break_off(self, failure: Failure, text: str) -> None:
        """What comes later could not be told from what belongs to the next turn: so there is none."""
        self._socket.abandon()
        self.ended(failure, text)

    def _fail(self, failure: Failure, text: str) -> None:
        if self.request != _IDLE:
            request, self.request = self.request, _IDLE
            self._load.recording.streamed(request, self._deltas, False, self._gaps_us)
            key = self._route.api_key
            if key is not None:  # some gateways repeat the key that they refuse
                text = text.replace(key, "[api key]")
            self._load.failed(self, request, failure, text[:_ERROR_CHARS_SHOWN])

    def _forget_turn(self) -> None:
        self._deltas = 0
        self._last_delta_mono_ns = 0
        self._gaps_us = array("I")


class _SessionsLoad(Load):
    """What is the same for every load of sessions. Subclasses know whose turn it is when."""

    def __init__(self, schedule: Schedule, job: LoadJob, routes: Sequence[_Route], in_flight_cap: int) -> None:
        super().__init__(schedule, in_flight_cap)
        self._routes = routes
        self._sessions: set[_Session] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._is_open = False  # the window
        self._created = 0
        self._opening_us = array("q")
        self._opened_in_window = 0
        self._lost = 0
        self._held_min: int | None = None
        self._all_over = asyncio.Event()

    def sessions(self) -> dict[str, Any]:
        """What a result says of sessions."""
        return {
            "session_opening": Histogram.of_us(np.frombuffer(self._opening_us, np.int64)),
            "sessions_opened": self._opened_in_window,
            "sessions_lost": self._lost,
            "sessions_held_min": self._held_min or 0,
        }

    async def drop_all(self) -> None:
        """Drop whatever is still open; the load hears nothing of it."""
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for session in self._sessions:
            session.abandon()

    # sessions tell

    def created(self, session: _Session, at_mono_ns: int) -> None:
        """A session is there."""
        self._opening_us.append((at_mono_ns - session.due_mono_ns) // 1000)
        self._created += 1
        if self._is_open and not self._closed:
            self._opened_in_window += 1

    def completed(self, session: _Session, request: int, at_mono_ns: int) -> None:
        """A turn got its whole response."""
        self.recording.replied(request, at_mono_ns, _COMPLETED, None, 0, b"")
        self._turn_over(session, request, at_mono_ns, failed=False)

    def failed(self, session: _Session, request: int, failure: Failure, text: str) -> None:
        """A turn got none, and will get none."""
        self.recording.failed(request, failure, text)
        self._turn_over(session, request, time.monotonic_ns(), failed=True)

    def session_over(self, session: _Session, failure: Failure | None) -> None:
        """A session has ended; `failure` as of `WebSocketListener.ended`."""
        if session not in self._sessions:
            return
        self._sessions.discard(session)
        if session.is_created:
            self._created -= 1
            self._lost += failure is not None
            if self._is_open and not self._closed and self._held_min is not None:
                self._held_min = min(self._held_min, self._created)
        self._forget(session)
        if not self._sessions:
            self._all_over.set()

    # the rest

    def _begin_turn(self, request: int, session: _Session | None, user: int, due_mono_ns: int) -> _Session | None:
        """Take a turn in a session, or in a new one; returns the session, None when the turn could not be taken."""
        self.recording.dispatched_mono_ns[request] = time.monotonic_ns()
        is_new = session is None
        if session is None:
            session = _Session(self, self._routes[user % len(self._routes)], user, due_mono_ns)
        if not self._started(request):
            self.failed(
                session, request, Failure.IN_FLIGHT_CAP, f"{self._in_flight_cap} requests were in flight already"
            )
            return None
        session.start(request)
        if is_new:
            self._sessions.add(session)
            self._all_over.clear()
            task = asyncio.get_running_loop().create_task(session.connect())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        return session

    def _window_opened(self) -> None:
        self._is_open = True
        self._held_min = self._created

    async def _wind_up(self) -> None:
        for session in tuple(self._sessions):
            session.close()
            await asyncio.sleep(CLOSE_SPACING_S)
        if self._sessions:
            self._all_over.clear()
            try:
                async with asyncio.timeout(CLOSE_DEADLINE_S):
                    await self._all_over.wait()
            except TimeoutError:
                pass  # a gateway that does not agree to the end of its sessions has them dropped
        await asyncio.sleep(QUIET_S)

    def _turn_over(self, session: _Session, request: int, at_mono_ns: int, *, failed: bool) -> None:
        """Decide what its user does next, and end the request."""
        raise NotImplementedError

    def _forget(self, session: _Session) -> None:
        """A session has ended: nobody has it any more."""


class _Visits(_SessionsLoad):
    """Every request has its instant from the start, and a session of its own."""

    def __init__(self, schedule: OpenLoop, job: LoadJob, routes: Sequence[_Route], in_flight_cap: int) -> None:
        super().__init__(schedule, job, routes, in_flight_cap)
        self._starts_ns = schedule.intended_starts_ns(job.seed)
        self._next = 0
        self._end = len(self._starts_ns)

    def _begin(self) -> None:
        intended_mono_ns = self._starts_ns + self._set_clock(self._end)
        self.recording = Recording(intended_mono_ns, self._opens_mono_ns, targets=len(self._routes), streams=True)
        self._due_mono_ns: list[int] = intended_mono_ns.tolist()

    def _next_due_mono_ns(self) -> int | None:
        return self._due_mono_ns[self._next] if self._next < self._end else None

    def _send_next(self) -> None:
        request = self._next
        self._next += 1
        self._begin_turn(request, None, request, self._due_mono_ns[request])

    def _send_no_more(self) -> None:
        self._end = self._next

    def _turn_over(self, session: _Session, request: int, at_mono_ns: int, *, failed: bool) -> None:
        session.close()
        self._ended(request, at_mono_ns, failed=failed)


class _Users(_SessionsLoad):
    """The next turn of each user has its instant from the end of the one before."""

    def __init__(self, schedule: ClosedLoop, job: LoadJob, routes: Sequence[_Route], in_flight_cap: int) -> None:
        super().__init__(schedule, job, routes, in_flight_cap)
        self._first_starts_ns = schedule.first_starts_ns()
        self._schedule = schedule
        self._random = random.Random(job.seed)
        self._turns_per_session = job.turns_per_session
        #: A heap of the instants at which users that wait take their next turn.
        self._due: list[tuple[int, int]] = []
        self._of_user: dict[int, _Session] = {}
        self._woken = False

    def _begin(self) -> None:
        begins_mono_ns = self._set_clock(len(self._first_starts_ns))
        self.recording = Recording(np.empty(0, np.int64), self._opens_mono_ns, targets=len(self._routes), streams=True)
        for user, start_ns in enumerate(self._first_starts_ns):
            self._wait(begins_mono_ns + start_ns, user)

    def _next_due_mono_ns(self) -> int | None:
        return self._due[0][0] if self._due else None

    def _send_next(self) -> None:
        due_mono_ns, user = heapq.heappop(self._due)
        request = self._add(due_mono_ns)
        session = self._begin_turn(request, self._of_user.get(user), user, due_mono_ns)
        if session is not None:
            self._of_user[user] = session

    def _send_no_more(self) -> None:
        self._due.clear()

    def _turn_over(self, session: _Session, request: int, at_mono_ns: int, *, failed: bool) -> None:
        if self._turns_per_session and session.turns >= self._turns_per_session:
            self._forget(session)
            session.close()
        due_mono_ns = at_mono_ns + self._schedule.think_time_ns(self._random)
        if failed:
            due_mono_ns = max(due_mono_ns, self.recording.dispatched_mono_ns[request] + _FAILURE_PAUSE_NS)
        self._wait(due_mono_ns, session.user)
        # As in drive.py: not now, in the middle of reading.
        if not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._wake)
        self._ended(request, at_mono_ns, failed=failed)

    def _forget(self, session: _Session) -> None:
        if self._of_user.get(session.user) is session:
            del self._of_user[session.user]

    def _wake(self) -> None:
        self._woken = False
        self._send_what_is_due()

    def _wait(self, due_mono_ns: int, user: int) -> None:
        """Queue a user for its next turn, unless the window will be over."""
        if due_mono_ns < self._closes_mono_ns:
            heapq.heappush(self._due, (due_mono_ns, user))
