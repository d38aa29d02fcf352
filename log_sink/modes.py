"""How can the sink be told to behave, and what does that say about one request?

Comes in: the JSON of `PUT /mode`. Goes out: a mode, a checked value without state; and `ModeInForce`, which rules
requests in the order of their arrival. Imports nothing of ours.
"""

import random
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

#: Ten minutes: longer than the time-outs of the clients in question; for "never" there is `hang`.
MAX_DELAY_MS: Final = 600_000
#: Rates are kept as whole millionths, so that counting is exact.
_MILLION: Final = 1_000_000

# Strict: "20" for a number is a mistake that should be seen.
_STRICT: Final = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

Rate = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True, config=_STRICT)
class Fast:
    """Answers at once."""

    mode: Literal["fast"] = "fast"


@dataclass(frozen=True, slots=True, config=_STRICT)
class Slow:
    """Answers so long after the last byte of the request, never earlier."""

    delay_ms: Annotated[int, Field(ge=1, le=MAX_DELAY_MS)]
    mode: Literal["slow"] = "slow"


@dataclass(frozen=True, slots=True, config=_STRICT)
class Errors:
    """Answers a share of the requests with an error, spread evenly and not by chance.

    Of the first n requests exactly rate * n, rounded, are errors.
    """

    status: Literal[401, 429, 500]
    rate: Rate = 1.0
    mode: Literal["errors"] = "errors"

    def errors_among(self, first: int) -> int:
        """How many of the first so many requests are errors.

        >>> Errors(status=500, rate=0.3).errors_among(10)
        3
        """
        return (first * round(self.rate * _MILLION) + _MILLION // 2) // _MILLION


@dataclass(frozen=True, slots=True, config=_STRICT)
class Hang:
    """Accepts connections and requests, and never answers."""

    mode: Literal["hang"] = "hang"


@dataclass(frozen=True, slots=True, config=_STRICT)
class Dead:
    """Refuses new connections, and cuts those that are open."""

    mode: Literal["dead"] = "dead"


@dataclass(frozen=True, slots=True, config=_STRICT)
class Flaky:
    """Cuts the connection instead of an answer, for each request with this probability; the same seed cuts the same."""

    rate: Rate
    seed: int
    mode: Literal["flaky"] = "flaky"


Mode = Fast | Slow | Errors | Hang | Dead | Flaky


class BadMode(ValueError):
    """What was asked for is no mode; the message says which field breaks which rule."""


def parsed(body: bytes) -> Mode:
    """The mode that a body states, such as `{"mode": "slow", "delay_ms": 200}`.

    Raises:
        BadMode: not JSON, no such mode, an unknown or missing field, or a value out of range.
    """
    known: TypeAdapter[Mode] = TypeAdapter(Annotated[Mode, Field(discriminator="mode")])
    try:
        return known.validate_json(body)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False):
            where = ".".join(map(str, problem["loc"]))
            lines.append(f"{where}: {problem['msg']}" if where else problem["msg"])
        raise BadMode("; ".join(lines)) from error


@plain_dataclass(frozen=True, slots=True)
class Ruling:
    """What happens to one request.

    Args:
        delay_s: how long its answer is held back; None for ever.
        error_status: what it is answered with; None for success.
        is_cut: its connection is cut instead.
    """

    delay_s: float | None = 0.0
    error_status: int | None = None
    is_cut: bool = False


class ModeInForce:
    """A mode in use: which requests it has ruled.

    Args:
        mode: the value.
    """

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self._ruled = 0
        # Not for secrets: the point of the seed is that the same requests fail again.
        self._chance = random.Random(mode.seed if isinstance(mode, Flaky) else 0)

    def rule(self) -> Ruling:
        """What happens to the next request, which arrived just now."""
        self._ruled += 1
        match self.mode:
            case Slow(delay_ms=delay_ms):
                return Ruling(delay_s=delay_ms / 1000)
            case Errors(status=status) as errors:
                is_error = errors.errors_among(self._ruled) > errors.errors_among(self._ruled - 1)
                return Ruling(error_status=status if is_error else None)
            case Hang():
                return Ruling(delay_s=None)
            case Flaky(rate=rate):
                return Ruling(is_cut=self._chance.random() < rate)
            case Fast() | Dead():  # what still comes in by a dead sink came before
                return Ruling()
