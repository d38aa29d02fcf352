"""What can be wrong with the way to a dependency?

Comes in: the JSON of a control call, or arguments. Goes out: a `Fault`, a checked value without state.
Imports nothing of ours.
"""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

#: Ten minutes: longer than the time-outs of the clients in question; for "never" there is `hang`.
MAX_DELAY_MS: Final = 600_000
MAX_AFTER_BYTES: Final = 1 << 40

Kind = Literal["forward", "delay", "cut", "hang", "drop_after"]


@dataclass(frozen=True, slots=True, config=ConfigDict(strict=True, extra="forbid"))
class Fault:
    """One thing that is wrong, with every connection at once.

    Args:
        kind: `forward`: nothing. `delay`: every byte is late. `cut`: connections are reset, and new ones refused.
            `hang`: nothing passes, and nothing is lost. `drop_after`: each new connection is reset in mid-use.
        delay_ms: of `delay`, in each direction; never less.
        after_bytes: of `drop_after`, in both directions together.

    >>> Fault("delay", delay_ms=20).kind
    'delay'
    """

    kind: Kind
    delay_ms: Annotated[int, Field(ge=1, le=MAX_DELAY_MS)] | None = None
    after_bytes: Annotated[int, Field(ge=1, le=MAX_AFTER_BYTES)] | None = None

    def __post_init__(self) -> None:
        """Refuse wishes that would be ignored, or that lack their figure."""
        for kind, name, value in (
            ("delay", "delay_ms", self.delay_ms),
            ("drop_after", "after_bytes", self.after_bytes),
        ):
            if self.kind == kind and value is None:
                raise ValueError(f"{kind} needs {name}")
            if self.kind != kind and value is not None:
                raise ValueError(f"{name}={value} goes with {kind}, not with {self.kind}")


FORWARD: Final = Fault("forward")


class BadFault(ValueError):
    """A control call whose body states no fault; the message says field and rule."""


def parsed(body: bytes) -> Fault:
    """The fault that the body of a control call states.

    Raises:
        BadFault: not JSON, an unknown or missing field, or a value out of range.

    >>> parsed(b'{"kind": "hang"}').kind
    'hang'
    """
    try:
        return TypeAdapter(Fault).validate_json(body)
    except ValidationError as error:
        raise BadFault("; ".join(_broken_rules(error))) from error


def _broken_rules(error: ValidationError) -> list[str]:
    """One line for every field that breaks a rule: its name, the rule, and what was given."""
    lines = []
    for problem in error.errors():
        rule = problem["msg"].removeprefix("Value error, ")
        field = ".".join(map(str, problem["loc"]))
        lines.append(f"{field}: {rule}, got {str(problem['input'])[:80]}" if field else rule)
    return lines
