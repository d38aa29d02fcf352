"""What became of each request of a load, and what do all of them come to?

Comes in: raw nanoseconds and outcomes, one slot a request, written while the load runs. Goes out: a `LoadResult`, made
after it. The slots are plain arrays, allocated beforehand: recording must cost next to nothing.
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
        intended_mono_ns: intended starts, ascending.
        window_begins: number of the window's first request.
    """

    def __init__(self, intended_mono_ns: npt.NDArray[np.int64], window_begins: int) -> None:
        count = len(intended_mono_ns)
        self._intended_mono_ns = intended_mono_ns
        self._window_begins = window_begins
        #: Written by whoever sends, at the moment of dispatch; 0 is not sent.
        self.dispatched_mono_ns: Final = array("q", bytes(8 * count))
        self._completed_mono_ns = array("q", bytes(8 * count))
        self._overhead_us = array("q", [_NO_HEADER]) * count
        self._outcomes = array("h", bytes(2 * count))
        self._reply_bytes = 0
        self._examples: dict[str, str] = {}

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
            if request >= self._window_begins:
                self._reply_bytes += body_bytes
        elif request >= self._window_begins and (kind := f"http_{status}") not in self._examples:
            self._examples[kind] = f"HTTP {status}: {body_start[:200].decode(errors='replace')}"

    def failed(self, request: int, failure: Failure, text: str) -> None:
        """No whole reply came."""
        self._outcomes[request] = _CODES[failure]
        if request >= self._window_begins:
            self._examples.setdefault(failure, text)

    def result(self, course: Course) -> LoadResult:
        """Everything the window came to."""
        window = slice(self._window_begins, None)
        intended = self._intended_mono_ns[window]
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
