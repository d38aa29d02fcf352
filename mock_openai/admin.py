"""What does an admin call ask for, and is it allowed?

Comes in: the JSON of an admin call. Goes out: a frozen, checked value, or `BadAdminCall` with field and rule.
"""

from typing import Annotated, Final, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from mock_openai.behaviour import Behaviour, broken_rules
from mock_openai.counts import DEFAULT_RECORDED_AT_MOST, MAX_RECORDED_AT_MOST

_STRICT: Final = ConfigDict(strict=True, extra="forbid")


@dataclass(frozen=True, slots=True, config=_STRICT)
class SetBehaviour:
    """`PUT /admin/behaviour`: replaces the whole behaviour of one model, or the default when `model` is left out."""

    behaviour: Behaviour
    model: Annotated[str, Field(min_length=1)] | None = None


@dataclass(frozen=True, slots=True, config=_STRICT)
class SetRecording:
    """`PUT /admin/recording`: on starts an empty recording, off stops it and keeps what it has."""

    on: bool
    at_most: Annotated[int, Field(ge=1, le=MAX_RECORDED_AT_MOST)] = DEFAULT_RECORDED_AT_MOST


class BadAdminCall(ValueError):
    """An admin call whose body breaks a rule.

    Args:
        error: what was found.
    """

    def __init__(self, error: ValidationError) -> None:
        self.first_field = ".".join(map(str, error.errors()[0]["loc"])) or None
        super().__init__("; ".join(broken_rules(error)))


Call = TypeVar("Call", SetBehaviour, SetRecording)


def parsed(body: bytes, call: type[Call]) -> Call:
    """The call that this body states.

    Raises:
        BadAdminCall: not JSON, an unknown or missing field, or a value out of range.
    """
    try:
        return TypeAdapter(call).validate_json(body)
    except ValidationError as error:
        raise BadAdminCall(error) from error
