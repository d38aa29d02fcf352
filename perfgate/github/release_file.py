"""Which release of LiteLLM does a file of a repository name?

Comes in: a file that a team keeps: a requirements file, a Dockerfile, a compose file, or one with the bare number.
Goes out: the release. Imports nothing that has to be installed.

    1.106.2                                                          a line of its own
    litellm[proxy]==1.106.2 --hash=sha256:…                          a requirement
    image: docker.litellm.ai/berriai/litellm:v1.83.3-stable@sha256:… an image of LiteLLM's
"""

import re
from pathlib import Path
from typing import Final

from perfgate.errors import BadInput
from perfgate.stack.releases import checked_release

#: What an input begins with that names a file.
PREFIX: Final = "file:"
_NUMBER: Final = r"v?\d+(?:\.\d+)+[a-z0-9.]*"
_FORMS: Final = (
    re.compile(rf"^\s*({_NUMBER})\s*$"),
    re.compile(rf"(?:^|[\s\"'])litellm(?:\[[^\]]*\])?\s*==\s*({_NUMBER})(?=[\s;,\"'\\]|$)"),
    re.compile(rf"/litellm(?:-database)?:(?:main-)?({_NUMBER})(?:-stable)?(?=[\s@\"']|$)"),
)


def release_in(path: Path) -> str:
    """The one release that a file names.

    Raises:
        BadInput: it cannot be read, names none, several, or one that nobody may install.
    """
    release, _ = _named_in(path)
    return release


def line_in(path: Path) -> int:
    """The first line of a file that names the release; the first one is 1.

    Raises:
        BadInput: see `release_in`.
    """
    _, line = _named_in(path)
    return line


def _named_in(path: Path) -> tuple[str, int]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise BadInput(
            f"{PREFIX}{path}: cannot be read ({why}); name a file of the checkout, or the release itself"
        ) from error
    lines = [line.partition("#")[0] for line in text.splitlines()]
    named_at = [
        (checked_release(match), number)
        for number, line in enumerate(lines, 1)
        for form in _FORMS
        for match in form.findall(line)
    ]
    found = {release for release, _ in named_at}
    if len(found) != 1:
        named = f"names {', '.join(sorted(found))}" if found else "names no release of LiteLLM"
        raise BadInput(
            f"{PREFIX}{path}: it {named}; one is needed: a line 1.106.2, litellm==1.106.2, or an image "
            "…/litellm:v1.106.2"
        )
    return named_at[0]
