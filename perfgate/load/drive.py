"""How does one load run from its first request to its last reply?

Comes in: a `LoadJob`. Goes out: a `LoadResult`, and on the way the three instants `window_opened`, `window_closed` and
`drained`, announced as they pass. Runs in an event loop that has nothing else to do; knows nothing of processes.

    drive --starts--> _OpenLoad or _ClosedLoad --sends by--> HttpClient, one a target
                         |        ^                             |
        Recording <--writes       +---------reports to----------+

Realtime sessions are driven by realtime_drive.py, on the same `Load`: clock, pace and end of any load.
"""

import asyncio
import gc
import heapq
import random
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from mock_openai.alarm import Alarm, until
from perfgate.load.endpoint import Endpoint
from perfgate.load.http_client import HttpClient, Peer, find_peer, request_head
from perfgate.load.job import LoadJob, Target
from perfgate.load.payload import Payload, new_load_id
from perfgate.load.recording import Course, Recording
from perfgate.load.result import Failure, LoadResult
from perfgate.load.schedule import MAX_REQUESTS, ClosedLoop, OpenLoop, Schedule

Instant = Literal["window_opened", "window_closed", "drained"]

#: How long after the window's end late requests are still sent. Enough for an oversleep at the very end not to read as
#: starvation; a generator that is further behind has missed its schedule, and `sent_ratio` says by how much.
SEND_GRACE_S: Final = 0.1
#: A user whose request failed sends the next one no sooner than this after the failed one was sent: where nothing
#: listens any more, a connection is refused at once, and users who never paused would take the core that the server
#: needs to come back. A reply with an error status is a reply, and its user goes on as after any other.
FAILURE_PAUSE_S: Final = 0.1
_FAILURE_PAUSE_NS: Final = round(FAILURE_PAUSE_S * 1e9)
#: From here to the first request: fixed, and for every request (of a closed loop: user), whose slots and due times are
#: made in this time.
_START_DELAY_NS: Final = 20_000_000
_START_DELAY_PER_REQUEST_NS: Final = 100
#: Requests sent before the loop looks for replies again: a generator that is behind must still read, or every latency
#: would grow by its own backlog.
_BURST: Final = 32


class TooManyRequests(Exception):
    """A closed loop was so fast that its requests reached `MAX_REQUESTS`; it was given up."""


async def drive(job: LoadJob, *, in_flight_cap: int, announce: Callable[[Instant, float], None]) -> LoadResult:
    """Send every request when it is due, wait for the replies, and count.

    Args:
        job: the load; its `in_flight_cap` and `cpus` are the caller's to apply.
        in_flight_cap: the cap that holds.
        announce: told of each instant and its CLOCK_MONOTONIC time in seconds, as it passes.

    Returns:
        The result, once every request of the window is answered or the tail has ended. What was not sent by
        `SEND_GRACE_S` after the window's end stays unsent.

    Raises:
        Unreachable: a target accepts no connections, or not as many as are to be opened ahead; nothing was sent.
        TooManyRequests: of a closed loop.
    """
    load_id = new_load_id()
    routes = [await _route(target, job, load_id) for target in job.targets]
    with without_collection():
        load: _HttpLoad
        match job.schedule:
            case OpenLoop():
                load = _OpenLoad(job.schedule, job, routes, in_flight_cap)
            case ClosedLoop():
                load = _ClosedLoad(job.schedule, job, routes, in_flight_cap)
        clients = [
            HttpClient(
                route.peer,
                route.head,
                load,
                connections=job.connections,
                processes=job.processes,
                accepts_in=target.accepts_in,
                stream=job.stream,
            )
            for route, target in zip(routes, job.targets, strict=True)
        ]
        try:
            for client in clients:
                await client.open_ahead()
            course = await load.run_by(clients, announce)
        finally:
            for client in clients:
                await client.close()
    return load.recording.result(course)


@contextmanager
def without_collection() -> Iterator[None]:
    """No collection within a load: it would be measured as the gateway's. Connections leave no cycles behind."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


@dataclass(frozen=True, slots=True)
class _Route:
    """What it takes to send a request to one target."""

    peer: Peer
    head: bytes
    payload: Payload
    api_key: str | None


async def _route(target: Target, job: LoadJob, load_id: bytes) -> _Route:
    endpoint = Endpoint.of_url(target.url)
    payload = Payload(
        target.model, job.payload_bytes, stream=job.stream, same_prompt=job.same_prompt, load_id=load_id, api=job.api
    )
    head = request_head(
        endpoint,
        api_key=target.api_key,
        body_bytes=payload.body_bytes,
        stream=job.stream,
        method=job.api.method,
        headers=target.headers,
    )
    return _Route(await find_peer(endpoint), head, payload, target.api_key)


class Load:
    """The state of one load: its clock, its pace and its end. Subclasses know what is due when, and how it is sent.

    Args:
        schedule: when.
        in_flight_cap: the most requests in flight at once.
    """

    recording: Recording

    def __init__(self, schedule: Schedule, in_flight_cap: int) -> None:
        self._window_opens_ns = schedule.window_opens_ns
        self._window_ns = round(schedule.window_s * 1e9)
        self._tail_s = schedule.tail_s
        self._in_flight_cap = in_flight_cap
        self._in_flight = 0
        self._in_flight_max = 0
        self._unanswered = 0  # of the window
        self._closed = False
        self._settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, announce: Callable[[Instant, float], None]) -> Course:
        """Warm-up, window and drain."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_fault)
        self._pacer = Alarm(loop, self._send_what_is_due)
        try:
            self._begin()
            self._send_what_is_due()  # nothing yet; sets the alarm
            await self._reach(self._opens_mono_ns)
            cpu_s_at_open = time.process_time()
            self._window_opened()
            announce("window_opened", self._opens_mono_ns / 1e9)
            await self._reach(self._closes_mono_ns)
            announce("window_closed", self._closes_mono_ns / 1e9)
            self._closed = True
            self._settle_if_done()
            tail_ends_mono_ns = self._closes_mono_ns + round(self._tail_s * 1e9)
            await self._reach(min(self._closes_mono_ns + round(SEND_GRACE_S * 1e9), tail_ends_mono_ns))
            self._send_no_more()
            self._settle_if_done()
            await self._reach(tail_ends_mono_ns)
            await self._wind_up()
        finally:
            self._pacer.close()
        drained_mono_ns = time.monotonic_ns()
        announce("drained", drained_mono_ns / 1e9)
        return Course(
            window_opened_mono_ns=self._opens_mono_ns,
            window_closed_mono_ns=self._closes_mono_ns,
            drained_mono_ns=drained_mono_ns,
            generator_cpu_s=time.process_time() - cpu_s_at_open,
            in_flight_max=self._in_flight_max,
            in_flight_cap=self._in_flight_cap,
            unfinished_example=f"no whole reply by {self._tail_s:g} s after the window's end",
        )

    # what subclasses know

    def _begin(self) -> None:
        """Set the clock (`_set_clock`), and make the recording."""
        raise NotImplementedError

    def _next_due_mono_ns(self) -> int | None:
        """When the next request is meant to start; None when none is waiting."""
        raise NotImplementedError

    def _send_next(self) -> None:
        """Send the request that `_next_due_mono_ns` spoke of."""
        raise NotImplementedError

    def _send_no_more(self) -> None:
        """Forget whatever is waiting."""
        raise NotImplementedError

    def _window_opened(self) -> None:
        """Do what is to be done at that instant."""

    async def _wind_up(self) -> None:
        """Do what belongs to the load after its last reply."""

    # the rest

    def _set_clock(self, slots: int) -> int:
        """Decide when the load begins, and with it when the window opens and closes; returns the first."""
        begins_mono_ns = time.monotonic_ns() + _START_DELAY_NS + _START_DELAY_PER_REQUEST_NS * slots
        self._opens_mono_ns = begins_mono_ns + self._window_opens_ns
        self._closes_mono_ns = self._opens_mono_ns + self._window_ns
        return begins_mono_ns

    async def _reach(self, at_mono_ns: int) -> None:
        """Return at that instant, or as soon as there is nothing left to wait for; raises the load's fault."""
        waiting = asyncio.ensure_future(until(at_mono_ns))
        await asyncio.wait([waiting, self._settled], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        if self._settled.done():
            self._settled.result()

    def _send_what_is_due(self) -> None:
        now_mono_ns = time.monotonic_ns()
        for _ in range(_BURST):
            due_mono_ns = self._next_due_mono_ns()
            if due_mono_ns is None:
                self._settle_if_done()
                return
            if due_mono_ns > now_mono_ns:
                now_mono_ns = time.monotonic_ns()
                if due_mono_ns > now_mono_ns:
                    break
            self._send_next()
            now_mono_ns = time.monotonic_ns()
        due_mono_ns = self._next_due_mono_ns()
        if due_mono_ns is not None:
            self._pacer.arm(due_mono_ns)

    def _add(self, due_mono_ns: int) -> int:
        """Make room for one more request of a closed loop; returns its number."""
        request = self.recording.add(due_mono_ns)
        if request == MAX_REQUESTS:
            self._send_no_more()
            raise TooManyRequests(
                f"its users sent {MAX_REQUESTS:,} requests before the window closed, the most that one load may count; "
                "shorten the window, or let fewer users send or think longer"
            )
        return request

    def _started(self, request: int) -> bool:
        """Count a request that is sent now; False when so many are in flight that it is not to be."""
        capped = self._in_flight == self._in_flight_cap
        self._in_flight += 1
        if request >= self.recording.window_begins:
            self._unanswered += 1
            if self._in_flight > self._in_flight_max and not capped:
                self._in_flight_max = self._in_flight
        return not capped

    def _ended(self, request: int, ended_mono_ns: int, *, failed: bool = False) -> None:
        """A request has ended at that instant."""
        self._in_flight -= 1
        if request >= self.recording.window_begins:
            self._unanswered -= 1
            if not self._unanswered:
                self._settle_if_done()

    def _settle_if_done(self) -> None:
        if self._closed and not self._unanswered and self._next_due_mono_ns() is None and not self._settled.done():
            self._settled.set_result(None)

    def _on_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback of ours raised: end the load with it rather than report figures that it spoiled."""
        fault = context.get("exception") or RuntimeError(context["message"])
        # Network errors reach the connection too, which counts them.
        if not isinstance(fault, OSError) and not self._settled.done():
            self._settled.set_exception(fault)


class _HttpLoad(Load):
    """A load of requests that have nothing to do with each other; the `Listener` of its clients."""

    def __init__(self, schedule: Schedule, job: LoadJob, routes: Sequence[_Route], in_flight_cap: int) -> None:
        super().__init__(schedule, in_flight_cap)
        self._streams = job.stream
        self._payloads = [route.payload for route in routes]
        self._api_keys = [route.api_key for route in routes]
        self._targets = len(routes)

    async def run_by(self, clients: Sequence[HttpClient], announce: Callable[[Instant, float], None]) -> Course:
        """As `run`; requests are sent by these clients, one a target."""
        self._clients = clients
        return await self.run(announce)

    def _take(self) -> int:
        """Take the request that `_next_due_mono_ns` spoke of; returns its number."""
        raise NotImplementedError

    def _send_next(self) -> None:
        request = self._take()
        target = request % self._targets
        body = self._payloads[target].body(request)
        self.recording.dispatched_mono_ns[request] = time.monotonic_ns()
        if self._started(request):
            self._clients[target].send(request, body)
        else:
            self.failed(request, Failure.IN_FLIGHT_CAP, f"{self._in_flight_cap} requests were in flight already")

    # as `Listener` says

    def replied(
        self,
        request: int,
        completed_mono_ns: int,
        status: int,
        overhead_ms: bytes | None,
        body_bytes: int,
        body_start: bytes,
    ) -> None:
        """As `Listener` says."""
        if status >= 300:
            key = self._api_keys[request % self._targets]
            if key is not None:  # some gateways repeat the key that they refuse
                body_start = body_start.replace(key.encode(), b"[api key]")
        self.recording.replied(request, completed_mono_ns, status, overhead_ms, body_bytes, body_start)
        self._ended(request, completed_mono_ns)

    def failed(self, request: int, failure: Failure, text: str) -> None:
        """As `Listener` says."""
        key = self._api_keys[request % self._targets]
        self.recording.failed(request, failure, text if key is None else text.replace(key, "[api key]"))
        self._ended(request, time.monotonic_ns(), failed=True)

    def first_token(self, request: int, at_mono_ns: int) -> None:
        """As `Listener` says."""
        self.recording.first_token(request, at_mono_ns)

    def streamed(self, request: int, chunks: int, done: bool, gaps_us: "array[int]") -> None:
        """As `Listener` says."""
        self.recording.streamed(request, chunks, done, gaps_us)


class _OpenLoad(_HttpLoad):
    """Every request has its instant from the start."""

    def __init__(self, schedule: OpenLoop, job: LoadJob, routes: Sequence[_Route], in_flight_cap: int) -> None:
        super().__init__(schedule, job, routes, in_flight_cap)
        self._starts_ns = schedule.intended_starts_ns(job.seed)
        self._next = 0
        self._end = len(self._starts_ns)

    def _begin(self) -> None:
        intended_mono_ns = self._starts_ns + self._set_clock(self._end)
        self.recording = Recording(intended_mono_ns, self._opens_mono_ns, targets=self._targets, streams=self._streams)
        self._due_mono_ns: list[int] = intended_mono_ns.tolist()

    def _next_due_mono_ns(self) -> int | None:
        return self._due_mono_ns[self._next] if self._next < self._end else None

    def _take(self) -> int:
        self._next += 1
        return self._next - 1

    def _send_no_more(self) -> None:
        self._end = self._next


class _ClosedLoad(_HttpLoad):
    """The next request of each user has its instant from the end of the one before."""

    def __init__(self, schedule: ClosedLoop, job: LoadJob, routes: Sequence[_Route], in_flight_cap: int) -> None:
        super().__init__(schedule, job, routes, in_flight_cap)
        self._schedule = schedule
        self._first_starts_ns = schedule.first_starts_ns()
        self._random = random.Random(job.seed)
        #: A heap of the instants at which the users that wait will send.
        self._due_mono_ns: list[int] = []
        self._woken = False

    def _begin(self) -> None:
        begins_mono_ns = self._set_clock(len(self._first_starts_ns))
        self.recording = Recording(
            np.empty(0, np.int64), self._opens_mono_ns, targets=self._targets, streams=self._streams
        )
        for start_ns in self._first_starts_ns:
            self._wait(begins_mono_ns + start_ns)

    def _next_due_mono_ns(self) -> int | None:
        return self._due_mono_ns[0] if self._due_mono_ns else None

    def _take(self) -> int:
        return self._add(heapq.heappop(self._due_mono_ns))

    def _send_no_more(self) -> None:
        self._due_mono_ns.clear()

    def _ended(self, request: int, ended_mono_ns: int, *, failed: bool = False) -> None:
        due_mono_ns = ended_mono_ns + self._schedule.think_time_ns(self._random)
        if failed:
            due_mono_ns = max(due_mono_ns, self.recording.dispatched_mono_ns[request] + _FAILURE_PAUSE_NS)
        self._wait(due_mono_ns)
        # Not now, in the middle of reading: the reply's connection is not free before all its data is read, and other
        # replies that have come should get their stamps first.
        if not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._wake)
        super()._ended(request, ended_mono_ns)

    def _wake(self) -> None:
        self._woken = False
        self._send_what_is_due()

    def _wait(self, due_mono_ns: int) -> None:
        """Queue a user for its next request, unless the window will be over."""
        if due_mono_ns < self._closes_mono_ns:
            heapq.heappush(self._due_mono_ns, due_mono_ns)
