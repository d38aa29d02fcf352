"""What one load did: the counts and histograms of its window, and how the generator itself fared.

Built by the generator process, read by experiment/ and the `perfgate load` command. Raw figures, no judgement.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from perfgate.measure.histogram import Histogram

_NONE: Final = Histogram.of_us([])


class Failure(StrEnum):
    """Why a request that was sent has no whole reply, or no whole stream."""

    CONNECT_REFUSED = "connect_refused"  #: nothing listened any more
    CONNECT_FAILED = "connect_failed"  #: any other failure to connect
    TLS_FAILED = "tls_failed"  #: the handshake failed, or the certificate is not trusted
    KEPT_ALIVE_CLOSED = "kept_alive_closed"  #: a kept-alive connection was closed before any of the reply came
    CONNECTION_CLOSED = "connection_closed"  #: the server closed the connection before the reply was whole
    CONNECTION_RESET = "connection_reset"  #: the connection broke before the reply was whole
    STREAM_CUT_SHORT = "stream_cut_short"  #: a stream ended, or its connection did, without [DONE]
    STREAM_ERROR = "stream_error"  #: an event of the stream is an error
    BAD_REPLY = "bad_reply"  #: what came is not HTTP/1.1, or no event of a session
    HANDSHAKE_REFUSED = "handshake_refused"  #: a session was refused before it was one
    SESSION_CLOSED = "session_closed"  #: the server closed a session that waited for a response
    SESSION_ERROR = "session_error"  #: an event of the session is an error
    RESPONSE_FAILED = "response_failed"  #: a response of a session ended otherwise than completed
    IN_FLIGHT_CAP = "in_flight_cap"  #: not put on a connection, since the cap was reached: the gateway's fault
    UNFINISHED = "unfinished"  #: no whole reply by the end of the tail


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """One kind of failure.

    Args:
        kind: a value of `Failure`, or `http_429` and the like for a whole reply whose status is not 2xx.
        count: how often, in the window.
        example: the first one, in words (status and the first bytes of the body, or the exception's text).
    """

    kind: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class FailedReply:
    """A whole reply whose status is not 2xx, with more of its body than an example has.

    Args:
        kind: `http_429` and the like.
        body: its beginning, as text; the API key is not in it.
    """

    kind: str
    body: str


@dataclass(frozen=True, slots=True)
class WorkerUse:
    """How one of several processes that sent a load fared.

    Args:
        name: host and process.
        sent: as of `LoadResult`, its share.
        cpu_s: its CPU from window open to drained.
        cpu_warning_percent: the highest share of a core, in percent, that it has warned of since its last load; None
            when it has not warned.
    """

    name: str
    sent: int
    cpu_s: float
    cpu_warning_percent: float | None = None


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The window of one load; every count is of requests whose intended start lies in the window.

    Args:
        offered: how many the schedule meant to start; the same as `sent` for a closed loop, which has no schedule.
        sent: how many were dispatched: put on a connection, or on one being opened for them, or would have been but
            for the in-flight cap.
        completed: how many got a whole reply (a whole stream ends with [DONE]), of any status, by the end of the tail.
        succeeded: how many of those had a 2xx status.
        errors: everything else, by kind, most frequent first. offered - sent is the generator's and not in here.
        statuses: completed requests by HTTP status.
        latency: completion minus intended start, of `succeeded`; an `unfinished` request counts with the time from its
            intended start to the end of the tail, which is less than the truth.
        service_time: completion minus actual send, of `succeeded`; `unfinished` ones likewise. A request's actual send
            is its dispatch: where a new connection had to be opened, that time is in here and not in the lag.
        dispatch_lag: actual send minus intended start, of `sent`.
        header_overhead: the gateway's x-litellm-overhead-duration-ms, of `succeeded` replies that carried it.
        header_missing: `succeeded` replies without that header, or with one that is not a duration.
        reply_bytes: body bytes of `succeeded`, in total.
        window_opened_mono_s, window_closed_mono_s, drained_mono_s: CLOCK_MONOTONIC, the same in every process of the
            host: when the window opened, when its last request was due to have started, when the last reply came (or
            the tail ended).
        generator_cpu_s: CPU of the generator from window open to drained, of all its processes.
        in_flight_max: the most requests that were in flight at once.
        in_flight_cap: the cap that held: the job's, or less where the process may open fewer files.
        sent_by_target: `sent` of each target, in the order of the job.
        first_token: first chunk with content minus intended start, of `succeeded` streams; `unfinished` ones likewise,
            or with the time to the end of the tail when no content came. Empty when the job asked for no streams.
        first_token_service: first chunk with content minus actual send, of the same.
        chunk_gap: from one chunk with content to the next of the same stream, of every stream that ended, whole or not.
            Chunks that came in one packet are no time apart, which counts as 1 us.
        chunks: events of those streams, with or without content, [DONE] not counted.
        streams_done: how many of those streams ended with [DONE].
        session_opening: of realtime sessions: `session.created` minus the instant at which the session was meant to be
            opened, of every session of the load, those before the window too. Empty for other loads, as what follows.
        sessions_opened: how many were created within the window.
        sessions_lost: how many ended though we had not closed them, in the whole load.
        sessions_held_min: the fewest that were there at one time within the window.
        workers_expected: how many processes were to send; 0 where it is the one of perfgate's own generator.
        workers: those of them that have reported: all figures are theirs alone.
        failed_replies: some of the failed replies, as far as the generator keeps them.

    A realtime load's request is a turn, which includes opening the session where there is none; `completed` and
    `succeeded` are turns whose response was completed, of status 200, and a delta of it is a chunk with content.
    """

    offered: int
    sent: int
    completed: int
    succeeded: int
    errors: tuple[ErrorCount, ...]
    statuses: tuple[tuple[int, int], ...]
    latency: Histogram
    service_time: Histogram
    dispatch_lag: Histogram
    header_overhead: Histogram
    header_missing: int
    reply_bytes: int
    window_opened_mono_s: float
    window_closed_mono_s: float
    drained_mono_s: float
    generator_cpu_s: float
    in_flight_max: int
    in_flight_cap: int
    sent_by_target: tuple[int, ...]
    first_token: Histogram
    first_token_service: Histogram
    chunk_gap: Histogram
    chunks: int
    streams_done: int
    session_opening: Histogram = _NONE
    sessions_opened: int = 0
    sessions_lost: int = 0
    sessions_held_min: int = 0
    workers_expected: int = 0
    workers: tuple[WorkerUse, ...] = ()
    failed_replies: tuple[FailedReply, ...] = ()

    @property
    def sent_ratio(self) -> float:
        """sent / offered: what the generator managed of its schedule; 1 when a closed loop offered nothing."""
        return self.sent / self.offered if self.offered else 1.0

    @property
    def completed_ratio(self) -> float:
        """completed / sent: what the gateway managed of what it was sent; 0 when nothing was sent."""
        return self.completed / self.sent if self.sent else 0.0

    @property
    def error_ratio(self) -> float:
        """Share of the sent requests that did not succeed; 1 when nothing was sent."""
        return 1 - self.succeeded / self.sent if self.sent else 1.0

    @property
    def generator_cpu_ratio(self) -> float:
        """The generator's CPU as a share of one core, over window and drain; of several processes the busiest one's."""
        cpu_s = max((worker.cpu_s for worker in self.workers), default=self.generator_cpu_s)
        return cpu_s / (self.drained_mono_s - self.window_opened_mono_s)

    @property
    def throughput_rps(self) -> float:
        """Succeeded requests a second, from window open to drained."""
        return self.succeeded / (self.drained_mono_s - self.window_opened_mono_s)
