"""What does a sign-off say for programs: the schema of `sign-off.json`?

Comes in: bytes. Goes out: a `SignOff`. What it is made of is sign_off.py's.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from perfgate.errors import BadInput


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileFacts(_Strict):
    """A file of the bundle."""

    bytes: int
    sha256: str


class SignedRun(_Strict):
    """One run of a sign-off; names as in its record."""

    record: str
    scenarios: list[str]
    started_utc: str
    finished_utc: str | None
    seed: int
    command: list[str]
    host: dict[str, Any]
    host_class: str | None
    host_speed_ms: float | None
    backend: str
    computed_with: dict[str, str]


class SignedVerdict(_Strict):
    """The verdict on one limit."""

    scenario: str
    metric: str
    verdict: str


class SignedService(_Strict):
    """What ran; of its packages the hash, which stands for the list in the record."""

    name: str
    facts: dict[str, Any]
    packages: int | None
    packages_sha256: str | None


class SignOff(_Strict):
    """What `sign-off.json` holds.

    `made_with` are the versions of what made the bundle: with others its texts may come out differently. `selftest` is
    the name of the file with the rates, where there are some of one of the hosts.
    """

    format_version: Literal[1] = 1
    profile: str
    gateway: str
    baseline: str | None
    made_with: dict[str, str]
    thresholds_path: str
    thresholds_sha256: str
    runs: list[SignedRun]
    verdicts: list[SignedVerdict]
    services: list[SignedService]
    selftest: str | None
    files: dict[str, FileFacts]


def sign_off_of(content: bytes, name: str) -> SignOff:
    """The sign-off that some bytes hold.

    Args:
        content: of its file.
        name: of the file, for the message.

    Raises:
        BadInput: it is none.
    """
    try:
        return SignOff.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BadInput(f"{name} is not the manifest of a sign-off: {where}: {first['msg']}") from error
