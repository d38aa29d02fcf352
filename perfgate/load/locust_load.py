"""When does each user of a Locust worker send, what, and what became of it?

Comes in: a worker's `Share` of a load, when it begins, and from its users what became of each request. Goes out: what
the next user sends, and in the end a `LoadResult`, made by the same recording (recording.py) as that of perfgate's own
generator. Imports nothing of Locust, and waits for nothing: users do.

    Load            what all loads have in common
    WindowLoad      a share of one of perfgate's windows
    EndlessLoad     of a user who runs Locust by hand: goes on until it is stopped
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from perfgate.load.drive import FAILURE_PAUSE_S, SEND_GRACE_S, TooManyRequests
from perfgate.load.endpoint import Endpoint
from perfgate.load.job import LoadJob, Target
from perfgate.load.locust_share import Share
from perfgate.load.merging import FAILED_REPLIES_MAX
from perfgate.load.payload import Payload, new_load_id
from perfgate.load.recording import Course, Recording
from perfgate.load.result import FailedReply, Failure, LoadResult
from perfgate.load.schedule import MAX_REQUESTS, ClosedLoop

#: Of a failed reply's body.
KEPT_BODY_CHARS: Final = 2_000
_FAILURE_PAUSE_NS: Final = round(FAILURE_PAUSE_S * 1e9)
_SEND_GRACE_NS: Final = round(SEND_GRACE_S * 1e9)
#: Prompts are told apart by 12 hexadecimal digits: the upper ones are the worker's, the lower ones count.
_NUMBERS_OF_A_WORKER: Final = 2**32
#: Of requests that nobody counts: those of the warm-up.
_NOT_COUNTED: Final = -1


@dataclass(frozen=True, slots=True)
class Sending:
    """One request of a user.

    Args:
        url, path: where to, the whole address and the part of it that Locust's own table shows.
        body: JSON.
        headers: by name; one of them may hold the API key.
        due_mono_ns: when it was meant to start.
        dispatched_mono_ns: when it does.
        target: which one, from 0.
        request: its number in the recording, if it is counted.
    """

    url: str
    path: str
    body: bytes
    headers: Mapping[str, str] = field(repr=False)
    due_mono_ns: int
    dispatched_mono_ns: int
    target: int
    request: int = _NOT_COUNTED


class Load:
    """What all loads have in common.

    Args:
        job: the load.
        load_id: of its prompts.
        worker: which one this is, from 0.
        clock: CLOCK_MONOTONIC in ns.
    """

    def __init__(
        self, job: LoadJob, load_id: bytes, worker: int = 0, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        assert isinstance(job.schedule, ClosedLoop), "see locust_share.not_for_locust"
        self._schedule = job.schedule
        self._now_mono_ns = clock
        self._urls = [target.url for target in job.targets]
        self._paths = [Endpoint.of_url(target.url).path for target in job.targets]
        self._keys = [target.api_key for target in job.targets]
        self._headers = [_headers(target) for target in job.targets]
        self._payloads = [
            Payload(target.model, job.payload_bytes, same_prompt=job.same_prompt, load_id=load_id)
            for target in job.targets
        ]
        self._random = random.Random(f"{job.seed}/{worker}")
        self._next_number = worker * _NUMBERS_OF_A_WORKER
        self._failed_replies: list[FailedReply] = []

    def first_due_mono_ns(self) -> int:
        """When the user who has just come is meant to send for the first time."""
        raise NotImplementedError

    def is_over_at(self, due_mono_ns: int) -> bool:
        """Whether nothing that is meant to start then is sent any more."""
        raise NotImplementedError

    def sending(self, due_mono_ns: int) -> Sending | None:
        """What a user whose time has come sends now; None for nothing more."""
        raise NotImplementedError

    def replied(
        self, sending: Sending, completed_mono_ns: int, status: int, overhead_ms: bytes | None, body: bytes
    ) -> int:
        """A whole reply came; returns when the user is meant to send again."""
        if not 200 <= status < 300:
            body = self._without_key(sending, body)
            if len(self._failed_replies) < FAILED_REPLIES_MAX:
                text = body[: 4 * KEPT_BODY_CHARS].decode(errors="replace")[:KEPT_BODY_CHARS]
                self._failed_replies.append(FailedReply(f"http_{status}", text))
        self._keep_reply(sending, completed_mono_ns, status, overhead_ms, body)
        return self._waited_for(completed_mono_ns + self._schedule.think_time_ns(self._random))

    def failed(self, sending: Sending, failure: Failure, text: str) -> int:
        """No whole reply came, and none will; returns when the user is meant to send again."""
        key = self._keys[sending.target]
        self._keep_failure(sending, failure, text if key is None else text.replace(key, "[api key]"))
        due_mono_ns = self._now_mono_ns() + self._schedule.think_time_ns(self._random)
        return self._waited_for(max(due_mono_ns, sending.dispatched_mono_ns + _FAILURE_PAUSE_NS))

    def _keep_reply(
        self, sending: Sending, completed_mono_ns: int, status: int, overhead_ms: bytes | None, body: bytes
    ) -> None:
        raise NotImplementedError

    def _keep_failure(self, sending: Sending, failure: Failure, text: str) -> None:
        raise NotImplementedError

    def _waited_for(self, due_mono_ns: int) -> int:
        """A user waits for that moment, or comes to its end."""
        return due_mono_ns

    def _sending(self, due_mono_ns: int, target: int, request: int) -> Sending:
        number, self._next_number = self._next_number, self._next_number + 1
        body = self._payloads[target].body(number)
        return Sending(
            self._urls[target],
            self._paths[target],
            body,
            self._headers[target],
            due_mono_ns,
            self._now_mono_ns(),
            target,
            request,
        )

    def _without_key(self, sending: Sending, body: bytes) -> bytes:
        """Some gateways repeat the key that they refuse."""
        key = self._keys[sending.target]
        return body if key is None else body.replace(key.encode(), b"[api key]")


class WindowLoad(Load):
    """A worker's share of one of perfgate's windows.

    Requests of the warm-up are sent and not counted. Call `begin` before any user asks when to send.

    Args:
        share: what to do.
        clock: CLOCK_MONOTONIC in ns.
    """

    def __init__(self, share: Share, clock: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(share.job, share.load_id, share.worker, clock)
        self.number: Final = share.number
        self._share = share
        self._targets = len(share.job.targets)
        self._first_starts_ns = self._schedule.first_starts_ns()
        self._users_come = 0
        self._begins_mono_ns = 0
        self.opens_mono_ns = 0
        self.closes_mono_ns = 0
        self.tail_ends_mono_ns = 0
        self._warm_up_requests = 0
        self._counted = 0
        # All that it is told of lies within the window: warm-up requests are told to nobody.
        self._recording = Recording(np.empty(0, np.int64), 0, targets=self._targets)
        self._waiting = 0
        self._unanswered = 0
        self._last_ended_mono_ns = 0
        self._in_flight = 0
        self._in_flight_max = 0

    def begin(self, begins_mono_ns: int) -> None:
        """Say when the load begins."""
        self._begins_mono_ns = begins_mono_ns
        self.opens_mono_ns = begins_mono_ns + self._schedule.window_opens_ns
        self.closes_mono_ns = self.opens_mono_ns + round(self._schedule.window_s * 1e9)
        self.tail_ends_mono_ns = self.closes_mono_ns + round(self._schedule.tail_s * 1e9)

    @property
    def is_settled(self) -> bool:
        """Whether every request of the window is answered, and none is waiting to be sent."""
        return not self._waiting and not self._unanswered

    @property
    def drained_mono_ns(self) -> int:
        """When the window's last reply came, at the earliest its end; the tail's end where one is still to come."""
        return max(self.closes_mono_ns, self._last_ended_mono_ns) if self.is_settled else self.tail_ends_mono_ns

    def first_due_mono_ns(self) -> int:
        """As `Load` says. Users of all workers are numbered in turn; those who are spawned one by one send at once."""
        user = (self._users_come * self._share.workers + self._share.worker) % self._schedule.users
        self._users_come += 1
        if self._schedule.spawn_per_s is not None:
            return self._waited_for(max(self._begins_mono_ns, self._now_mono_ns()))
        return self._waited_for(self._begins_mono_ns + self._first_starts_ns[user])

    def is_over_at(self, due_mono_ns: int) -> bool:
        """As `Load` says."""
        return due_mono_ns >= self.closes_mono_ns

    def sending(self, due_mono_ns: int) -> Sending | None:
        """As `Load` says. What has missed its time by too much stays unsent, as with perfgate's own generator."""
        if self.is_over_at(due_mono_ns):
            return None
        self._waiting -= 1
        if self._now_mono_ns() > self.closes_mono_ns + _SEND_GRACE_NS or self._counted == MAX_REQUESTS:
            return None
        if due_mono_ns < self.opens_mono_ns:
            self._warm_up_requests += 1
            self._in_flight += 1
            return self._sending(due_mono_ns, self._warm_up_requests % self._targets, _NOT_COUNTED)
        request = self._recording.add(due_mono_ns)
        self._counted += 1
        sending = self._sending(due_mono_ns, request % self._targets, request)
        self._recording.dispatched_mono_ns[request] = sending.dispatched_mono_ns
        self._unanswered += 1
        self._in_flight += 1
        self._in_flight_max = max(self._in_flight_max, self._in_flight)
        return sending

    def result(self, drained_mono_ns: int, cpu_s: float) -> LoadResult:
        """What came of the window.

        Args:
            drained_mono_ns: when the last reply came, or the tail ended.
            cpu_s: that this process has used since the window opened.

        Raises:
            TooManyRequests: users sent as many as one load may count, and no more from then on.
        """
        if self._counted == MAX_REQUESTS:
            raise TooManyRequests(
                f"users of one Locust worker sent {MAX_REQUESTS:,} requests before the window closed, the most that it "
                "may count; shorten the window, take more workers, or let fewer users send or think longer"
            )
        result = self._recording.result(
            Course(
                window_opened_mono_ns=self.opens_mono_ns,
                window_closed_mono_ns=self.closes_mono_ns,
                drained_mono_ns=drained_mono_ns,
                generator_cpu_s=cpu_s,
                in_flight_max=self._in_flight_max,
                in_flight_cap=self._share.job.in_flight_cap,
                unfinished_example=f"no whole reply by {self._schedule.tail_s:g} s after the window's end",
            )
        )
        return replace(result, failed_replies=tuple(self._failed_replies))

    def _waited_for(self, due_mono_ns: int) -> int:
        self._waiting += not self.is_over_at(due_mono_ns)
        return due_mono_ns

    def _keep_reply(
        self, sending: Sending, completed_mono_ns: int, status: int, overhead_ms: bytes | None, body: bytes
    ) -> None:
        self._in_flight -= 1
        if sending.request != _NOT_COUNTED:
            self._unanswered -= 1
            self._last_ended_mono_ns = max(self._last_ended_mono_ns, completed_mono_ns)
            self._recording.replied(sending.request, completed_mono_ns, status, overhead_ms, len(body), body)

    def _keep_failure(self, sending: Sending, failure: Failure, text: str) -> None:
        self._in_flight -= 1
        if sending.request != _NOT_COUNTED:
            self._unanswered -= 1
            self._last_ended_mono_ns = self._now_mono_ns()
            self._recording.failed(sending.request, failure, text)


class EndlessLoad(Load):
    """The load of a user who runs Locust by hand: it goes on until it is stopped, and is told of piece by piece.

    A request is counted when it has ended; those that are stopped with Locust are not, as in Locust's own table.

    Args:
        job: targets and think times; how long it says that the load lasts does not matter.
        clock: CLOCK_MONOTONIC in ns.
    """

    def __init__(self, job: LoadJob, clock: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(job, new_load_id(), clock=clock)
        self._job = job
        self._requests = 0
        self._begins_anew(clock(), 0.0)

    def first_due_mono_ns(self) -> int:
        """Now: users come as Locust spawns them."""
        return self._now_mono_ns()

    def is_over_at(self, due_mono_ns: int) -> bool:
        """Never."""
        return False

    def sending(self, due_mono_ns: int) -> Sending | None:
        """As `Load` says."""
        self._requests += 1
        return self._sending(due_mono_ns, self._requests % len(self._job.targets), _NOT_COUNTED)

    def taken(self, cpu_s: float) -> LoadResult:
        """What has ended since it was last asked.

        Args:
            cpu_s: that this process has used so far.
        """
        now_mono_ns = self._now_mono_ns()
        result = self._recording.result(
            Course(
                window_opened_mono_ns=self._since_mono_ns,
                window_closed_mono_ns=now_mono_ns,
                drained_mono_ns=now_mono_ns,
                generator_cpu_s=cpu_s - self._cpu_s_before,
                in_flight_max=0,
                in_flight_cap=self._job.in_flight_cap,
                unfinished_example="",
            )
        )
        replies = tuple(self._failed_replies)
        self._begins_anew(now_mono_ns, cpu_s)
        return replace(result, failed_replies=replies)

    def _begins_anew(self, now_mono_ns: int, cpu_s: float) -> None:
        self._since_mono_ns, self._cpu_s_before = now_mono_ns, cpu_s
        self._recording = Recording(np.empty(0, np.int64), 0, targets=len(self._job.targets))
        self._failed_replies.clear()

    def _keep_reply(
        self, sending: Sending, completed_mono_ns: int, status: int, overhead_ms: bytes | None, body: bytes
    ) -> None:
        self._recording.replied(self._add(sending), completed_mono_ns, status, overhead_ms, len(body), body)

    def _keep_failure(self, sending: Sending, failure: Failure, text: str) -> None:
        self._recording.failed(self._add(sending), failure, text)

    def _add(self, sending: Sending) -> int:
        request = self._recording.add(sending.due_mono_ns)
        self._recording.dispatched_mono_ns[request] = sending.dispatched_mono_ns
        return request


def _headers(target: Target) -> Mapping[str, str]:
    """As of perfgate's own generator (`http_client.request_head`): what is compressed would cost the worker CPU."""
    headers = {
        "User-Agent": "perfgate",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        **dict(target.headers),
    }
    return headers if target.api_key is None else headers | {"Authorization": f"Bearer {target.api_key}"}
