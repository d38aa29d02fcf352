"""Which rates of wrong verdicts were published for a host?

Comes in: the content of rates.json, as `perfgate selftest rates` writes it, and a host. Goes out: `PublishedRates`, and
whether they are that host's. What of the file nobody reads here is read past.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from perfgate.errors import BadInput
from perfgate.thresholds import MEMORY_TOLERANCE_RATIO

#: Where a checkout keeps a pool, and what came of it.
DEFAULT_POOL: Final = Path("docs/selftest")
RATES_FILE: Final = "rates.json"

#: What two hosts of one kind have in common.
_SAME: Final = ("cpu_model", "cores_allowed", "architecture")


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True)


class PublishedShare(_Read):
    """A share of gates, 0 to 1, with its 95 % interval."""

    value: float
    low: float
    high: float


class PublishedRate(_Read):
    """What gates of a profile say under a dose; under the dose `none` a FAIL is a false alarm."""

    profile: str
    dose: str
    gates: int
    fail: PublishedShare
    passed: PublishedShare
    invalid: PublishedShare


class PublishedRates(_Read):
    """The rates of a host; `host` as of `measure.host.HostFingerprint`."""

    release: str
    perfgate_version: str
    host: dict[str, Any]
    rates: list[PublishedRate]

    def is_of(self, host: Mapping[str, Any]) -> bool:
        """Whether they were found on a host like this one: its CPU, its cores, about its memory."""
        memory_bytes, of_host = self.host.get("memory_bytes", 0), host.get("memory_bytes", 0)
        return (
            all(name in host and host[name] == self.host.get(name) for name in _SAME)
            and abs(memory_bytes - of_host) <= memory_bytes * MEMORY_TOLERANCE_RATIO
        )

    def of_profile(self, profile: str) -> tuple[PublishedRate, ...]:
        """Those of the gates of a profile, by dose, in the file's order."""
        return tuple(rate for rate in self.rates if rate.profile == profile)


def published(content: bytes, name: str) -> PublishedRates:
    """The rates that a file holds.

    Args:
        content: of the file.
        name: of the file, for the message.

    Raises:
        BadInput: it holds none.
    """
    try:
        return PublishedRates.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BadInput(
            f"{name} does not hold the rates of a selftest ({where}: {first['msg']}): `perfgate selftest rates` writes "
            "such a file"
        ) from error
