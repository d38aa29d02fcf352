"""What became of each request of a load, and what do all of them come to?

Comes in: raw nanoseconds and outcomes, one slot a request, written while the load runs. Goes out: a `LoadResult`, made
after it. The slots are plain arrays: recording must cost next to nothing. An open loop's are all made beforehand; a
closed loop adds each at the end as it is needed.
"""

import math
from array import array
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from perfgate.load.result import ErrorCount, Failure, LoadResult
from perfgate.measure.histogram import Histogram

#: Outcomes are statuses, or negative numbers for failures, or this for requests that have none yet.
_NO_OUTCOME: Final = 0
_CODES: Final = {failure: -position for position, failure in enumerate(Failure, start=1)}
_FAILURES: Final = {code: failure for failure, code in _CODES.items()}
_NO_HEADER: Final = -1
#: A header of more than an hour is no duration of a request that we waited for.
_HIGHEST_OVERHEAD_MS: Final = 3_600_000.0


@dataclass(frozen=True, slots=True)
class Course:
    """How the load as a whole went, beside its single requests; fields as in `LoadResult`.

    Args:
        unfinished_example: what to say of requests without a whole reply.
    """

    window_opened_mono_ns: int
    window_closed_mono_ns: int
    drained_mono_ns: int
    generator_cpu_s: float
    in_flight_max: int
    in_flight_cap: int
    unfinished_example: str


class Recording:
    """One slot for every request of warm-up and window.

    Args:
        intended_mono_ns: intended starts that are known already, ascending.
        window_opens_mono_ns: the window's requests are those whose intended start is not before this.
        targets: how many targets take turns.
        streams: whether replies are streams.
    """

    def __init__(
        self,
        intended_mono_ns: npt.NDArray[np.int64],
        window_opens_mono_ns: int,
        *,
        targets: int = 1,
        streams: bool = False,
    ) -> None:
        count = len(intended_mono_ns)
        self._window_opens_mono_ns = window_opens_mono_ns
        self._targets = targets
        self._streams = streams
        #: Number of the window's first request; while there is none, of the next request.
        self.window_begins = int(np.searchsorted(intended_mono_ns, window_opens_mono_ns))
        self._intended_mono_ns = array("q", intended_mono_ns.tobytes())
        #: Written by whoever sends, at the moment of dispatch; 0 is not sent.
        self.dispatched_mono_ns: Final = array("q", bytes(8 * count))
        self._completed_mono_ns = array("q", bytes(8 * count))
        self._overhead_us = array("q", [_NO_HEADER]) * count
        self._outcomes = array("h", bytes(2 * count))
        self._first_token_mono_ns = array("q", bytes(8 * count))
        self._gaps_us = array("I")
        self._chunks = 0
        self._streams_done = 0
        self._reply_bytes = 0
        self._examples: dict[str, str] = {}

    def add(self, intended_mono_ns: int) -> int:
        """Make a slot for one more request, due no earlier than the last one; returns its number."""
        request = len(self._outcomes)
        self._intended_mono_ns.append(intended_mono_ns)
        self.dispatched_mono_ns.append(0)
        self._completed_mono_ns.append(0)
        self._overhead_us.append(_NO_HEADER)
        self._outcomes.append(_NO_OUTCOME)
        self._first_token_mono_ns.append(0)
        if intended_mono_ns < self._window_opens_mono_ns:
            self.window_begins = request + 1
        return request

    def replied(
        self,
        request: int,
        completed_mono_ns: int,
        status: int,
        overhead_ms: bytes | None,
        body_bytes: int,
        body_start: bytes,
    ) -> None:
        """A whole reply came; arguments as `Listener.replied`."""
        self._completed_mono_ns[request] = completed_mono_ns
        self._outcomes[request] = status
        if 200 <= status < 300:
            if overhead_ms is not None:
                self._overhead_us[request] = _microseconds(overhead_ms)
            if request >= self.window_begins:
                self._reply_bytes += body_bytes
        elif request >= self.window_begins and (kind := f"http_{status}") not in self._examples:
            self._examples[kind] = f"HTTP {status}: {body_start[:200].decode(errors='replace')}"

    def failed(self, request: int, failure: Failure, text: str) -> None:
        """No whole reply came."""
        self._outcomes[request] = _CODES[failure]
        if request >= self.window_begins:
            self._examples.setdefault(failure, text)

    def first_token(self, request: int, at_mono_ns: int) -> None:
        """The first chunk with content of a stream came."""
        self._first_token_mono_ns[request] = at_mono_ns

    def streamed(self, request: int, chunks: int, done: bool, gaps_us: "array[int]") -> None:
        """A stream has ended, whole or not; arguments as `Listener.streamed`."""
        if request >= self.window_begins:
            self._chunks += chunks
            self._streams_done += done
            self._gaps_us.extend(gaps_us)

    def result(self, course: Course) -> LoadResult:
        """Everything the window came to."""
        window = slice(self.window_begins, None)
        intended = np.frombuffer(self._intended_mono_ns, np.int64)[window]
        dispatched = np.frombuffer(self.dispatched_mono_ns, np.int64)[window]
        outcomes = np.frombuffer(self._outcomes, np.int16)[window].copy()
        overhead_us = np.frombuffer(self._overhead_us, np.int64)[window]
        sent = dispatched > 0
        unfinished = sent & (outcomes == _NO_OUTCOME)
        outcomes[unfinished] = _CODES[Failure.UNFINISHED]
        succeeded = (outcomes >= 200) & (outcomes < 300)
        ended = np.where(unfinished, course.drained_mono_ns, np.frombuffer(self._completed_mono_ns, np.int64)[window])
        timed = succeeded | unfinished
        overheads_us = overhead_us[succeeded]
        first_token = np.frombuffer(self._first_token_mono_ns, np.int64)[window].copy()
        if self._streams:
            first_token[unfinished & (first_token == 0)] = course.drained_mono_ns
        began = timed & (first_token > 0)
        sent_numbers = self.window_begins + np.flatnonzero(sent)
        return LoadResult(
            offered=len(intended),
            sent=int(sent.sum()),
            completed=int((outcomes >= 100).sum()),
            succeeded=int(succeeded.sum()),
            errors=self._errors(outcomes[sent & ~succeeded], course.unfinished_example),
            statuses=_counts(outcomes[outcomes >= 100]),
            latency=Histogram.of_us((ended - intended)[timed] // 1000),
            service_time=Histogram.of_us((ended - dispatched)[timed] // 1000),
            dispatch_lag=Histogram.of_us((dispatched - intended)[sent] // 1000),
            header_overhead=Histogram.of_us(overheads_us[overheads_us != _NO_HEADER]),
            header_missing=int((overheads_us == _NO_HEADER).sum()),
            reply_bytes=self._reply_bytes,
            window_opened_mono_s=course.window_opened_mono_ns / 1e9,
            window_closed_mono_s=course.window_closed_mono_ns / 1e9,
            drained_mono_s=course.drained_mono_ns / 1e9,
            generator_cpu_s=course.generator_cpu_s,
            in_flight_max=course.in_flight_max,
            in_flight_cap=course.in_flight_cap,
            sent_by_target=tuple(np.bincount(sent_numbers % self._targets, minlength=self._targets).tolist()),
            first_token=Histogram.of_us((first_token - intended)[began] // 1000),
            first_token_service=Histogram.of_us((first_token - dispatched)[began] // 1000),
            chunk_gap=Histogram.of_us(np.frombuffer(self._gaps_us, np.uint32).astype(np.int64)),
            chunks=self._chunks,
            streams_done=self._streams_done,
        )

    def _errors(self, outcomes: npt.NDArray[np.int16], unfinished_example: str) -> tuple[ErrorCount, ...]:
        examples = {Failure.UNFINISHED: unfinished_example} | self._examples
        kinds = [(_FAILURES.get(outcome) or f"http_{outcome}", count) for outcome, count in _counts(outcomes)]
        errors = [ErrorCount(str(kind), count, examples[kind]) for kind, count in kinds]
        return tuple(sorted(errors, key=lambda error: (-error.count, error.kind)))


def _counts(values: npt.NDArray[np.int16]) -> tuple[tuple[int, int], ...]:
    distinct, counts = np.unique(values, return_counts=True)
    return tuple(zip(distinct.tolist(), counts.tolist(), strict=True))


def _microseconds(overhead_ms: bytes) -> int:
    """The header as microseconds; `_NO_HEADER` when it is not a duration."""
    try:
        value_ms = float(overhead_ms)
    except ValueError:
        return _NO_HEADER
    return round(value_ms * 1000) if math.isfinite(value_ms) and 0 <= value_ms <= _HIGHEST_OVERHEAD_MS else _NO_HEADER
