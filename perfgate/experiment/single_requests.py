"""What does one request after the other cost, with nothing else going on?

Comes in: an address with a gateway and one without. Goes out: a call for each that sends one request and waits for its
reply, for pytest-benchmark to time, and a `Measurement` of the pairs, so that limits, verdicts and messages are those
of every other scenario.

This is the one place where requests leave from pytest's own process, through httpx: its cost is in both arms, and an
overhead of milliseconds is not hidden by it. Latency under load is measured by load/.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import httpx
import numpy as np

from perfgate.experiment.arms import Arm
from perfgate.experiment.measurement import Measurement, Window
from perfgate.load.http_client import OVERHEAD_HEADER
from perfgate.load.job import Target
from perfgate.load.payload import Payload
from perfgate.load.result import ErrorCount, LoadResult
from perfgate.measure.histogram import Histogram

#: Longer than any gateway that works takes for one request alone.
TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One request and what became of it.

    Args:
        started_mono_s, ended_mono_s: CLOCK_MONOTONIC.
        cpu_s: CPU time of this process in between.
        status: of the reply; 0 when there was none.
        error: what went wrong in words; empty when the status is 2xx.
        overhead_ms: LiteLLM's own overhead header, where the reply has it.
        reply_bytes: of the body.
    """

    started_mono_s: float
    ended_mono_s: float
    cpu_s: float
    status: int
    error: str
    overhead_ms: float | None
    reply_bytes: int


@dataclass(slots=True)
class Caller:
    """Sends one request whenever it is called, on one connection; remembers all of them.

    `with Caller(target) as send: send(); send.sent[-1].status`

    Args:
        target: where to.
        payload_bytes: length of the prompt; None is the published one.
    """

    target: Target
    payload_bytes: int | None = None
    sent: list[Sent] = field(default_factory=list)
    _client: httpx.Client = field(init=False)
    _payload: Payload = field(init=False)

    def __enter__(self) -> Self:
        """Open the client."""
        headers = {"content-type": "application/json", **dict(self.target.headers)}
        if self.target.api_key is not None:
            headers["authorization"] = f"Bearer {self.target.api_key}"
        self._client = httpx.Client(headers=headers, timeout=TIMEOUT_S, trust_env=False)
        self._payload = Payload(self.target.model, self.payload_bytes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._client.close()

    def __call__(self) -> None:
        """Send one request and wait for its whole reply; a failure is remembered, not raised."""
        body = self._payload.body(len(self.sent))
        cpu_s, started_mono_s = time.process_time(), time.monotonic()
        status, error, overhead_ms, reply_bytes = 0, "", None, 0
        try:
            reply = self._client.post(self.target.url, content=body)
        except httpx.HTTPError as problem:
            error = f"{type(problem).__name__}: {problem}"
        else:
            status, reply_bytes = reply.status_code, len(reply.content)
            overhead_ms = _number(reply.headers.get(OVERHEAD_HEADER.decode()))
            if not reply.is_success:
                error = f"HTTP {status}: {reply.text[:200]}"
        ended_mono_s = time.monotonic()
        used_s = time.process_time() - cpu_s
        self.sent.append(Sent(started_mono_s, ended_mono_s, used_s, status, error, overhead_ms, reply_bytes))


def measurement_of_pairs(
    scenario: str,
    arms: tuple[Arm, Arm],
    direct: Sequence[Sent],
    through: Sequence[Sent],
    through_s: Sequence[float],
    requests_per_round: int,
) -> Measurement:
    """Rounds of so many pairs each, from requests that were sent in turn: one direct, one through the gateway.

    Args:
        scenario: its name.
        arms: direct, gateway.
        direct, through: shape (pairs,), in the order sent.
        through_s: what the benchmark timed for each of `through`, the figure that is judged; shape (pairs,).
        requests_per_round: pairs of a round; what is left over at the end is not used.

    Raises:
        ValueError: the shapes differ, or there is not one whole round.
    """
    if not len(direct) == len(through) == len(through_s):
        raise ValueError(f"direct={len(direct)}, through={len(through)}, through_s={len(through_s)}: must be as many")
    if len(direct) < requests_per_round:
        raise ValueError(f"{len(direct)} pairs are less than requests_per_round={requests_per_round}")
    direct_s = [sent.ended_mono_s - sent.started_mono_s for sent in direct]
    windows = []
    for number in range(len(direct) // requests_per_round):
        part = slice(number * requests_per_round, (number + 1) * requests_per_round)
        for position, (arm, sent, seconds) in enumerate(
            [(arms[0], direct[part], direct_s[part]), (arms[1], through[part], through_s[part])]
        ):
            windows.append(Window(arm.name, 0, number, position, 0, _load_result(sent, seconds), None))
    rounds = len(direct) // requests_per_round
    return Measurement(
        scenario, arms, None, tuple(windows), rounds_planned_max=rounds, stopped="all requests were sent"
    )


def _load_result(sent: Sequence[Sent], seconds: Sequence[float]) -> LoadResult:
    succeeded = [number for number, one in enumerate(sent) if not one.error]
    times = Histogram.of_us(np.array([round(seconds[number] * 1e6) for number in succeeded], dtype=np.int64))
    overheads_ms = [sent[number].overhead_ms for number in succeeded]
    known_us = [round(ms * 1000) for ms in overheads_ms if ms is not None]
    kinds: dict[str, ErrorCount] = {}
    for one in sent:
        if one.error:
            kind = f"http_{one.status}" if one.status else "no_reply"
            before = kinds.get(kind, ErrorCount(kind, 0, one.error))
            kinds[kind] = ErrorCount(kind, before.count + 1, before.example)
    statuses = [one.status for one in sent if one.status]
    empty = Histogram.of_us([])
    return LoadResult(
        offered=len(sent),
        sent=len(sent),
        completed=len(statuses),
        succeeded=len(succeeded),
        errors=tuple(sorted(kinds.values(), key=lambda error: -error.count)),
        statuses=tuple((status, statuses.count(status)) for status in sorted(set(statuses))),
        latency=times,
        service_time=times,
        dispatch_lag=empty,
        header_overhead=Histogram.of_us(known_us),
        header_missing=len(succeeded) - len(known_us),
        reply_bytes=sum(sent[number].reply_bytes for number in succeeded),
        window_opened_mono_s=sent[0].started_mono_s,
        window_closed_mono_s=sent[-1].started_mono_s,
        drained_mono_s=sent[-1].ended_mono_s,
        generator_cpu_s=sum(one.cpu_s for one in sent),
        in_flight_max=1,
        in_flight_cap=1,
        sent_by_target=(len(sent),),
        first_token=empty,
        first_token_service=empty,
        chunk_gap=empty,
        chunks=0,
        streams_done=0,
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
