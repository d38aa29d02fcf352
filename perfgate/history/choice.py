"""Which releases make up a series, and which are left out by name?

Comes in: what a user typed, and an index that knows the newest release of a range. Goes out: a `Choice`: releases in
their order, and those that nobody may install, with the reason. Installs nothing.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from packaging.version import Version

from perfgate.errors import BadInput
from perfgate.stack.releases import REFUSED, RefusedRelease, checked_release

#: The newest release of each minor version, or all of them.
Every = Literal["minor", "release"]

LATEST: Final = "latest"
_BOUND: Final = re.compile(r"v?(?P<number>\d+\.\d+(\.\d+)*)", re.ASCII)
_NOT_REFUSED: Final = tuple(f"!={number}" for number in REFUSED)


class Index(Protocol):
    """A package index: stack/installing.py's `Installer`."""

    def newest(self, versions: str) -> str | None:
        """The newest release of LiteLLM among those that a PEP 440 specifier names; None where there is none."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A series as it is to be measured.

    Args:
        releases: their numbers, the oldest first, each once.
        refused: why a release that was asked for may not be installed, by number.
    """

    releases: tuple[str, ...]
    refused: Mapping[str, str]


def between(
    index: Index, first: str, last: str, every: Every, say: Callable[[str], None] = lambda line: None
) -> Choice:
    """The releases from one to another.

    Args:
        index: asked for the newest, then for the newest below that, and so on.
        first: the oldest: 1.79.3, or 1.79 for any of that minor version.
        last: the newest: 1.90.2, 1.90 for all of that minor version, or `latest`.
        every: the newest of each minor version, or all releases.
        say: called with a line as releases are found.

    Raises:
        BadInput: a bound that is no number, or nothing between the two.
        StackFailed: the index cannot be reached.
    """
    lower = Version(_bound("first", first))
    upper = "" if last == LATEST else _up_to(_bound("last", last))
    found: list[str] = []
    while True:
        asked = ",".join(part for part in (f">={lower}", upper, *_NOT_REFUSED) if part)
        newest = index.newest(asked)
        if newest is None:
            break
        found.append(newest)
        say(f"releases of litellm: {newest}")
        version = Version(newest)
        if version <= lower or (every == "minor" and version.release[:2] == lower.release[:2]):
            break
        upper = f"<{newest}" if every == "release" else f"<{version.major}.{version.minor}"
    if not found:
        raise BadInput(f"the package index has no release of litellm from {first} to {last}: check the two numbers")
    newest_wanted = None if last == LATEST else _bound("last", last)
    refused = {
        _full(number): why
        for number, why in REFUSED.items()
        if Version(number) >= lower and (newest_wanted is None or _is_up_to(number, newest_wanted))
    }
    return Choice(tuple(reversed(found)), refused)


def listed(text: str) -> Choice:
    """The releases of a list.

    Args:
        text: numbers divided by commas; those that are refused are left out, with the reason.

    Raises:
        BadInput: something that is no release, or nothing at all.

    >>> listed("1.90.2, 1.79.3,1.82.7").releases
    ('1.79.3', '1.90.2')
    """
    releases: set[str] = set()
    refused: dict[str, str] = {}
    for number in filter(None, (word.strip() for word in text.split(","))):
        try:
            releases.add(checked_release(number))
        except RefusedRelease as error:
            refused[number.removeprefix("v")] = error.why
    if not releases:
        raise BadInput(f"--list {text!r} names no release that may be installed: write numbers divided by commas")
    return Choice(tuple(sorted(releases, key=Version)), refused)


def _bound(which: str, text: str) -> str:
    match = _BOUND.fullmatch(text.strip())
    if match is None:
        raise BadInput(
            f"{text!r} cannot be the {which} release: write 1.79.3, 1.79 for a minor version"
            + (f", or {LATEST}" if which == "last" else "")
        )
    return match["number"]


def _up_to(number: str) -> str:
    """What PEP 440 writes for all that is not newer; of a minor version all of it."""
    version = Version(number)
    return f"<{version.major}.{version.minor + 1}" if len(version.release) == 2 else f"<={number}"


def _is_up_to(number: str, last: str) -> bool:
    version, bound = Version(number), Version(last)
    if len(bound.release) == 2:
        return (version.major, version.minor) <= (bound.major, bound.minor)
    return version <= bound


def _full(number: str) -> str:
    """`1.107` is published as 1.107.0."""
    return number if number.count(".") > 1 else f"{number}.0"
