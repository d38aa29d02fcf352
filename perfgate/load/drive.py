"""How does one load run from its first request to its last reply?

Comes in: a `LoadJob`. Goes out: a `LoadResult`, and on the way the three instants `window_opened`, `window_closed` and
`drained`, announced as they pass. Runs in an event loop that has nothing else to do; knows nothing of processes.

    drive --paces--> _Load --sends by--> HttpClient --reports to--> _Load --writes--> Recording
"""

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np

from perfgate.load.alarm import Alarm, until
from perfgate.load.endpoint import Endpoint
from perfgate.load.http_client import HttpClient, find_peer, request_head
from perfgate.load.job import LoadJob
from perfgate.load.payload import Payload
from perfgate.load.recording import Course, Recording
from perfgate.load.result import Failure, LoadResult

Instant = Literal["window_opened", "window_closed", "drained"]

#: How long after the window's end late requests are still sent. Enough for an oversleep at the very end not to read as
#: starvation; a generator that is further behind has missed its schedule, and `sent_ratio` says by how much.
SEND_GRACE_S: Final = 0.1
#: From here to the first request: fixed, and for every request, whose slots and due times are made in this time.
_START_DELAY_NS: Final = 20_000_000
_START_DELAY_PER_REQUEST_NS: Final = 100
#: Requests sent before the loop looks for replies again: a generator that is behind must still read, or every latency
#: would grow by its own backlog.
_BURST: Final = 32


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
        Unreachable: nothing accepts connections at the target; nothing was sent.
    """
    endpoint = Endpoint.of_url(job.target.url)
    payload = Payload(job.target.model, job.payload_bytes)
    head = request_head(endpoint, api_key=job.target.api_key, body_bytes=payload.body_bytes)
    peer = await find_peer(endpoint)
    # No collection within the load: it would be measured as the gateway's. Connections leave no cycles behind.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        load = _Load(job, payload, in_flight_cap)
        client = HttpClient(peer, head, load)
        try:
            course = await load.run(client, announce)
        finally:
            await client.close()
    finally:
        gc.enable()
        gc.unfreeze()
    return load.recording.result(course)


class _Load:
    """The state of one load; the `Listener` of its client."""

    def __init__(self, job: LoadJob, payload: Payload, in_flight_cap: int) -> None:
        schedule = job.schedule
        starts_ns = schedule.intended_starts_ns(job.seed)
        begins_mono_ns = time.monotonic_ns() + _START_DELAY_NS + _START_DELAY_PER_REQUEST_NS * len(starts_ns)
        self._opens_mono_ns = begins_mono_ns + schedule.window_opens_ns
        self._closes_mono_ns = self._opens_mono_ns + round(schedule.window_s * 1e9)
        self._tail_s = schedule.tail_s
        self._window_begins = int(np.searchsorted(starts_ns, schedule.window_opens_ns))
        self.recording: Final = Recording(starts_ns + begins_mono_ns, self._window_begins)
        self._due_mono_ns: list[int] = (starts_ns + begins_mono_ns).tolist()
        self._end = len(self._due_mono_ns)
        self._next = 0
        self._payload = payload
        self._api_key = job.target.api_key
        self._in_flight_cap = in_flight_cap
        self._in_flight = 0
        self._in_flight_max = 0
        self._unanswered = 0  # of the window
        self._closed = False
        self._settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, client: HttpClient, announce: Callable[[Instant, float], None]) -> Course:
        """Warm-up, window and drain."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_fault)
        self._client = client
        self._pacer = Alarm(loop, self._send_what_is_due)
        self._pacer.arm(self._due_mono_ns[0])
        try:
            await until(self._opens_mono_ns)
            cpu_s_at_open = time.process_time()
            announce("window_opened", self._opens_mono_ns / 1e9)
            await until(self._closes_mono_ns)
            announce("window_closed", self._closes_mono_ns / 1e9)
            self._closed = True
            self._settle_if_done()
            tail_ends_mono_ns = self._closes_mono_ns + round(self._tail_s * 1e9)
            if not self._settled.done():
                await until(min(self._closes_mono_ns + round(SEND_GRACE_S * 1e9), tail_ends_mono_ns))
            self._end = self._next
            self._settle_if_done()
            left_s = max(0.0, (tail_ends_mono_ns - time.monotonic_ns()) / 1e9)
            await asyncio.wait([self._settled], timeout=left_s)
            if self._settled.done():
                self._settled.result()
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
        if status >= 300 and self._api_key is not None:  # some gateways repeat the key that they refuse
            body_start = body_start.replace(self._api_key.encode(), b"[api key]")
        self.recording.replied(request, completed_mono_ns, status, overhead_ms, body_bytes, body_start)
        self._answered(request)

    def failed(self, request: int, failure: Failure, text: str) -> None:
        """As `Listener` says."""
        self.recording.failed(request, failure, text)
        self._answered(request)

    def _send_what_is_due(self) -> None:
        now_mono_ns = time.monotonic_ns()
        for _ in range(_BURST):
            request = self._next
            if request == self._end:
                self._settle_if_done()
                return
            if self._due_mono_ns[request] > now_mono_ns:
                now_mono_ns = time.monotonic_ns()
                if self._due_mono_ns[request] > now_mono_ns:
                    break
            self._next = request + 1
            body = self._payload.body(request)
            now_mono_ns = time.monotonic_ns()
            self.recording.dispatched_mono_ns[request] = now_mono_ns
            self._dispatch(request, body)
        if self._next < self._end:
            self._pacer.arm(self._due_mono_ns[self._next])

    def _dispatch(self, request: int, body: bytes) -> None:
        capped = self._in_flight == self._in_flight_cap
        self._in_flight += 1
        if request >= self._window_begins:
            self._unanswered += 1
            if self._in_flight > self._in_flight_max and not capped:
                self._in_flight_max = self._in_flight
        if capped:
            self.failed(request, Failure.IN_FLIGHT_CAP, f"{self._in_flight_cap} requests were in flight already")
        else:
            self._client.send(request, body)

    def _answered(self, request: int) -> None:
        self._in_flight -= 1
        if request >= self._window_begins:
            self._unanswered -= 1
            if not self._unanswered:
                self._settle_if_done()

    def _settle_if_done(self) -> None:
        if self._closed and self._next == self._end and not self._unanswered and not self._settled.done():
            self._settled.set_result(None)

    def _on_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback of ours raised: end the load with it rather than report figures that it spoiled."""
        fault = context.get("exception") or RuntimeError(context["message"])
        # Network errors reach the connection too, which counts them.
        if not isinstance(fault, OSError) and not self._settled.done():
            self._settled.set_exception(fault)
