"""How can the mock be told to behave, and how does a model's name say so?

Comes in: a model's name, or the fields of an admin call. Goes out: a `Behaviour`, a checked value without state.
Counters and clocks are in_force.py's. Imports nothing of ours.
"""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

#: A name that begins like this states its behaviour; every other name gets the default behaviour.
NAME_PREFIX: Final = "mock-"

#: Ten minutes: longer than the time-outs of the clients in question; for "never" there is `hang`.
MAX_DELAY_MS: Final = 600_000
MAX_EVERY_S: Final = 3_600.0
MAX_RETRY_AFTER_S: Final = 3_600
DEFAULT_RETRY_AFTER_S: Final = 1
#: 1 MiB is more than models answer; replies are kept per model and size, so this bounds memory too.
MAX_REPLY_BYTES: Final = 1_048_576
DEFAULT_REPLY_BYTES: Final = 64
MAX_CHUNKS: Final = 10_000
MAX_EVERY_MS: Final = 60_000
MAX_RESPONSES: Final = 1_000_000
#: Close codes of RFC 6455, section 7.4, that an endpoint may send; 1004, 1005, 1006 and 1015 are never on the wire.
_CLOSE_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
_FREE_CLOSE_CODES: Final = range(3000, 5000)
#: Content chunks of a stream whose behaviour says nothing of them; so many that a cut after a few needs no more said.
DEFAULT_CHUNKS: Final = 8

#: 1 / golden ratio: its multiples, modulo 1, cover 0 to 1 more evenly than chance at any number of requests.
_GOLDEN: Final = 0.618_033_988_749_894_8

#: Rates are kept as whole millionths, so that counting is exact.
_MILLION: Final = 1_000_000

GRAMMAR: Final = (
    "mock-PART or mock-PART+PART..., each part at most once: delay-<N>ms or delay-<p50>:<p90>:<p95>:<p99>ms, "
    "stall-<N>ms-every-<S>s, error-<429|500|503>-rate-<0..1> (then -retry-after-<N>s if wanted), reply-<N>b, "
    "chunks-<N>-every-<N>ms and cut-after-<N>-chunks (streams), session-delay-<N>ms and "
    "close-<code>-after-<N>-responses (realtime), hang (alone); "
    "for example mock-delay-20ms+reply-4096b"
)

# Strict: an admin call with "20" for a number is a mistake that should be seen.
_STRICT: Final = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True, config=_STRICT)
class Stall:
    """All requests with this behaviour stand still together, for `stall_ms` once every `every_s`.

    The clock starts at the first request with this behaviour, or at the admin call that set it. The first stall begins
    `every_s` later, the second `every_s` after that. No reply leaves during a stall: one that would, leaves at its end.
    A delay runs on during a stall.

    Args:
        stall_ms: how long each stall lasts, shorter than `every_s`.
        every_s: from the start of one stall to the start of the next.

    >>> Stall(stall_ms=2000, every_s=10).leaves_s(due_s=10.5)
    12.0
    """

    stall_ms: Annotated[int, Field(ge=1, le=MAX_DELAY_MS)]
    every_s: Annotated[float, Field(gt=0, le=MAX_EVERY_S)]

    def __post_init__(self) -> None:
        """Refuse a stall that would never end."""
        if self.stall_ms >= self.every_s * 1000:
            raise ValueError(f"stall_ms={self.stall_ms} must be shorter than every_s={self.every_s:g}")

    def leaves_s(self, due_s: float) -> float:
        """When a reply that is due at `due_s` leaves; both in seconds on the stall's own clock."""
        periods, into_s = divmod(due_s, self.every_s)
        if periods >= 1 and into_s < self.stall_ms / 1000:
            return periods * self.every_s + self.stall_ms / 1000
        return due_s


@dataclass(frozen=True, slots=True, config=_STRICT)
class ErrorRate:
    """A share of the requests is answered with an error, spread evenly and not by chance.

    Args:
        status: 429, 500 or 503.
        rate: share of requests, 0 to 1, rounded to six decimals.
        retry_after_s: the `Retry-After` header of a 429 or 503; a 500 has none.

    >>> [ErrorRate(status=429, rate=0.5).hits(nth) for nth in (1, 2, 3, 4)]
    [True, False, True, False]
    """

    status: Literal[429, 500, 503]
    rate: Annotated[float, Field(ge=0, le=1)]
    retry_after_s: Annotated[int, Field(ge=0, le=MAX_RETRY_AFTER_S)] = DEFAULT_RETRY_AFTER_S

    def __post_init__(self) -> None:
        """Refuse a wish that would be ignored."""
        if self.status == 500 and self.retry_after_s != DEFAULT_RETRY_AFTER_S:
            raise ValueError(
                f"retry_after_s={self.retry_after_s} goes with status 429 or 503, a 500 has no Retry-After"
            )

    def errors_among(self, first: int) -> int:
        """How many of the first so many requests are errors: rate * first, rounded, halves up."""
        return (first * round(self.rate * _MILLION) + _MILLION // 2) // _MILLION

    def hits(self, nth: int) -> bool:
        """Whether the nth request, counted from 1, is answered with the error."""
        return self.errors_among(nth) > self.errors_among(nth - 1)


@dataclass(frozen=True, slots=True, config=_STRICT)
class DelayShape:
    """Delays whose percentiles are these, spread evenly over the requests and not by chance.

    The fastest half waits `p50_ms`, the slowest hundredth `p99_ms`; in between the delay rises in straight lines from
    percentile to percentile.

    >>> shape = DelayShape(p50_ms=20, p90_ms=50, p95_ms=80, p99_ms=200)
    >>> shape.at(0.3), round(shape.at(0.7), 6), shape.at(0.95), shape.at(0.999)
    (20.0, 35.0, 80.0, 200.0)
    """

    p50_ms: Annotated[int, Field(ge=0, le=MAX_DELAY_MS)]
    p90_ms: Annotated[int, Field(ge=0, le=MAX_DELAY_MS)]
    p95_ms: Annotated[int, Field(ge=0, le=MAX_DELAY_MS)]
    p99_ms: Annotated[int, Field(ge=0, le=MAX_DELAY_MS)]

    def __post_init__(self) -> None:
        """Refuse percentiles that fall."""
        if not self.p50_ms <= self.p90_ms <= self.p95_ms <= self.p99_ms:
            raise ValueError(f"{self.p50_ms}:{self.p90_ms}:{self.p95_ms}:{self.p99_ms} must not fall")

    def at(self, share: float) -> float:
        """The delay that this share of the requests does not exceed, in ms; `share` from 0 to 1."""
        points = ((0.5, self.p50_ms), (0.9, self.p90_ms), (0.95, self.p95_ms), (0.99, self.p99_ms))
        if share <= points[0][0]:
            return float(self.p50_ms)
        for (low, low_ms), (high, high_ms) in pairwise(points):
            if share <= high:
                return low_ms + (high_ms - low_ms) * (share - low) / (high - low)
        return float(self.p99_ms)

    def of_request(self, nth: int) -> float:
        """The delay of the nth request, counted from 1, in ms."""
        return self.at(nth * _GOLDEN % 1)


@dataclass(frozen=True, slots=True, config=_STRICT)
class Chunks:
    """How a streamed reply is cut up.

    Args:
        count: chunks with content.
        every_ms: from one to the next, on a fixed schedule from the first.
    """

    count: Annotated[int, Field(ge=1, le=MAX_CHUNKS)]
    every_ms: Annotated[int, Field(ge=0, le=MAX_EVERY_MS)]


@dataclass(frozen=True, slots=True, config=_STRICT)
class Close:
    """A realtime session that the endpoint closes.

    Args:
        code: of the WebSocket's close frame, one that may be sent.
        after_responses: how many responses it has had by then; 0 closes it as soon as it is created.
    """

    code: int
    after_responses: Annotated[int, Field(ge=0, le=MAX_RESPONSES)]

    def __post_init__(self) -> None:
        """Refuse what is never sent."""
        if self.code not in _CLOSE_CODES and self.code not in _FREE_CLOSE_CODES:
            raise ValueError(
                f"code={self.code} is no close code that is sent: 1000 to 1003, 1007 to 1014, 3000 to 4999"
            )


@dataclass(frozen=True, slots=True, config=_STRICT)
class Behaviour:
    """How the mock answers one request; without arguments it answers at once and in full.

    Of a realtime session each response is one request: its delay goes before its first delta, its chunks are deltas,
    its error is a response that failed.

    Args:
        delay_ms: from the last byte of the request to the reply (of a stream: to its first chunk), errors included;
            never less.
        delay_shape: delays by percentile instead of one delay for all.
        chunks: of streams; None for a few chunks, without waits.
        cut_after_chunks: a stream's connection is closed after so many chunks with content, without its end.
        stall: None for an endpoint that never stands still.
        error: None for one that never fails.
        hang: accepts the request and never answers; stands alone.
        reply_bytes: length of the message content.
        session_delay_ms: of realtime sessions: from the open connection to `session.created`.
        close: of realtime sessions: when the endpoint closes them; None for never.
    """

    delay_ms: Annotated[int, Field(ge=0, le=MAX_DELAY_MS)] = 0
    stall: Stall | None = None
    error: ErrorRate | None = None
    hang: bool = False
    reply_bytes: Annotated[int, Field(ge=0, le=MAX_REPLY_BYTES)] = DEFAULT_REPLY_BYTES
    delay_shape: DelayShape | None = None
    chunks: Chunks | None = None
    cut_after_chunks: Annotated[int, Field(ge=1, le=MAX_CHUNKS)] | None = None
    session_delay_ms: Annotated[int, Field(ge=0, le=MAX_DELAY_MS)] = 0
    close: Close | None = None

    def __post_init__(self) -> None:
        """Refuse wishes that exclude each other."""
        answer = (self.delay_ms, self.stall, self.error, self.reply_bytes, self.delay_shape, self.chunks)
        session = (self.cut_after_chunks, self.session_delay_ms, self.close)
        if self.hang and (*answer, *session) != (0, None, None, DEFAULT_REPLY_BYTES, None, None, None, 0, None):
            raise ValueError("hang never answers, so it stands alone: no delay, stall, error, reply size or chunks")
        if self.delay_shape is not None and self.delay_ms:
            raise ValueError(f"delay_ms={self.delay_ms} and delay_shape are two delays: one of them")
        if self.cut_after_chunks is not None and self.cut_after_chunks > self.chunks_count:
            raise ValueError(
                f"cut_after_chunks={self.cut_after_chunks} must not be more than the {self.chunks_count} chunks"
            )

    @property
    def chunks_count(self) -> int:
        """Chunks with content of a stream."""
        return self.chunks.count if self.chunks is not None else DEFAULT_CHUNKS


def error_words(error: ErrorRate) -> str:
    """What the mock says of an error that it was told to answer with."""
    return f"The mock answers {error.status} to a share of {error.rate:g} of these requests, as it was told to."


class UnknownBehaviour(ValueError):
    """A `mock-…` name that does not follow the grammar; the message says what is wrong and the grammar."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"model {name!r} is not a behaviour of this mock: {reason}. The grammar is {GRAMMAR}.")


def behaviour_of_name(name: str) -> Behaviour:
    """The behaviour that a `mock-…` name states; what it leaves out is as in `Behaviour()`.

    Raises:
        UnknownBehaviour: the name does not follow the grammar, or a number is out of range.

    >>> behaviour_of_name("mock-delay-20ms+reply-4096b") == Behaviour(delay_ms=20, reply_bytes=4096)
    True
    """
    fields: dict[str, Any] = {}
    try:
        for part in name.removeprefix(NAME_PREFIX).split("+"):
            field, value = _field_of(part)
            if field in fields:
                raise UnknownBehaviour(name, f"{part!r} is the second part of its kind")
            fields[field] = value
        return Behaviour(**fields)
    except ValidationError as error:
        raise UnknownBehaviour(name, "; ".join(broken_rules(error))) from error
    except _NoSuchPart as error:
        raise UnknownBehaviour(name, f"{error.part!r} is no part of it") from error


def broken_rules(error: ValidationError) -> list[str]:
    """One line for every field that breaks a rule: its name, the rule, and what was given."""
    lines = []
    for problem in error.errors():
        rule = problem["msg"].removeprefix("Value error, ")
        field = ".".join(map(str, problem["loc"]))
        lines.append(f"{field}: {rule}, got {str(problem['input'])[:80]}" if field else rule)
    return lines


class _NoSuchPart(ValueError):
    def __init__(self, part: str) -> None:
        self.part = part


_Build = Callable[[re.Match[str]], Any]


def _error_rate(match: re.Match[str]) -> ErrorRate:
    status: Any = int(match["status"])
    retry_after = {} if match["retry_after"] is None else {"retry_after_s": int(match["retry_after"])}
    return ErrorRate(status=status, rate=float(match["rate"]), **retry_after)


# [0-9] and bounded: \d would also take other scripts' digits, and int() of a megabyte of digits takes long.
_WHOLE: Final = "[0-9]{1,9}"
_DECIMAL: Final = r"[0-9]{1,9}(?:\.[0-9]{1,6})?"
_PARTS: Final[tuple[tuple[str, re.Pattern[str], _Build], ...]] = (
    ("delay_ms", re.compile(f"delay-({_WHOLE})ms"), lambda match: int(match[1])),
    (
        "delay_shape",
        re.compile(f"delay-({_WHOLE}):({_WHOLE}):({_WHOLE}):({_WHOLE})ms"),
        lambda match: DelayShape(*map(int, match.groups())),
    ),
    (
        "stall",
        re.compile(f"stall-({_WHOLE})ms-every-({_DECIMAL})s"),
        lambda match: Stall(stall_ms=int(match[1]), every_s=float(match[2])),
    ),
    (
        "error",
        re.compile(f"error-(?P<status>{_WHOLE})-rate-(?P<rate>{_DECIMAL})(?:-retry-after-(?P<retry_after>{_WHOLE})s)?"),
        _error_rate,
    ),
    ("hang", re.compile("hang"), lambda _: True),
    ("reply_bytes", re.compile(f"reply-({_WHOLE})b"), lambda match: int(match[1])),
    (
        "chunks",
        re.compile(f"chunks-({_WHOLE})-every-({_WHOLE})ms"),
        lambda match: Chunks(count=int(match[1]), every_ms=int(match[2])),
    ),
    ("cut_after_chunks", re.compile(f"cut-after-({_WHOLE})-chunks"), lambda match: int(match[1])),
    ("session_delay_ms", re.compile(f"session-delay-({_WHOLE})ms"), lambda match: int(match[1])),
    (
        "close",
        re.compile(f"close-({_WHOLE})-after-({_WHOLE})-responses"),
        lambda match: Close(code=int(match[1]), after_responses=int(match[2])),
    ),
)


def _field_of(part: str) -> tuple[str, Any]:
    for field, pattern, build in _PARTS:
        if match := pattern.fullmatch(part):
            return field, build(match)
    raise _NoSuchPart(part)
