"""Which releases can be asked for, of LiteLLM and of the gateway that it is compared with?

Comes in: what a user typed. Goes out: a release number that may be installed. Whether the package index has it, and its
dependencies, is found out when it is installed (installing.py).
"""

import re
from typing import Final, Literal

from perfgate.errors import BadInput

#: The newest that installs and whose gateway answers. Later ones ask for packages that are not to be had everywhere.
DEFAULT_RELEASE: Final = "1.106.2"

#: Of Portkey's gateway: the one that portkey_gateway/package-lock.json pins, with all that it needs.
PORTKEY_RELEASE: Final = "1.15.2"

#: Releases that nobody may install, and why; keys as PEP 440 compares them, without zeros at the end.
REFUSED: Final = {
    "1.82.7": "it was published by an attacker and steals credentials",
    "1.82.8": "it was published by an attacker and steals credentials",
    "1.107": "its maintainers reported it as compromised",
}

#: Dependencies as of the release's own time, or the newest of today.
DepsMode = Literal["of-its-time", "today"]

_RELEASE: Final = re.compile(r"v?(?P<numbers>\d+(\.\d+){1,3})(?P<suffix>(a|b|rc)\d+|\.(post|dev)\d+)?", re.ASCII)


class RefusedRelease(BadInput):
    """A release that nobody may install.

    Attributes:
        why: in words.
    """

    def __init__(self, release: str, why: str) -> None:
        self.why = why
        super().__init__(
            f"litellm {release} is refused: {why}. Take another release; where it has been installed, change every "
            "secret of that machine"
        )


def checked_release(text: str) -> str:
    """A release number in its one spelling.

    Args:
        text: as typed: `1.106.2`, `v1.106.2`, `1.106.0rc1`.

    Raises:
        BadInput: not a release number.
        RefusedRelease: it is compromised.

    >>> checked_release("v1.106.2")
    '1.106.2'
    """
    parts = _RELEASE.fullmatch(text.strip())
    if parts is None:
        raise BadInput(
            f"{text!r} is not a LiteLLM release: write its number in the package index, such as {DEFAULT_RELEASE} "
            "(image tags such as v1.79.3-stable name the release without what follows the dash)"
        )
    # "1.082.7" and "1.82.7" are one release to an installer, as are "1.107" and "1.107.0".
    numbers = [str(int(number)) for number in parts["numbers"].split(".")]
    compared = re.sub(r"(\.0)+$", "", ".".join(numbers))
    if not parts["suffix"] and compared in REFUSED:
        raise RefusedRelease(".".join(numbers), REFUSED[compared])
    return ".".join(numbers) + (parts["suffix"] or "")
