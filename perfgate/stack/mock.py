"""How is the mock OpenAI endpoint run as a service? Its program is the package mock_openai; here is its description."""

import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from perfgate.stack.readiness import HttpCheck

#: How every default reply of the mock begins; what a gateway in front of it must pass on.
REPLY_TEXT: Final = "The quick brown fox"


@dataclass(frozen=True, slots=True)
class Mock:
    """The mock endpoint: `with backend.running(Mock()) as mock: mock.address.url + "/v1"`.

    Args:
        start_deadline_s: it is up in half a second; the rest is for overloaded hosts.
        announce_token: by which we know that the process that answers is ours.
    """

    start_deadline_s: float = 30.0
    announce_token: str = field(default_factory=lambda: secrets.token_hex(8))
    name: str = "mock"
    secrets: Sequence[str] = ()

    def argv(self, port: int) -> list[str]:
        """Run by the interpreter that runs us."""
        # -P: the folder it runs in is no place to import from.
        program = [sys.executable, "-P", "-m", "mock_openai"]
        return [*program, "--port", str(port), "--announce-token", self.announce_token]

    def environment(self, folder: Path) -> Mapping[str, str]:
        """Text is UTF-8, and its own folder is home."""
        return {"LC_ALL": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder)}

    def files(self) -> Mapping[str, str]:
        """None."""
        return {}

    def ready_checks(self) -> Sequence[HttpCheck]:
        """Its health, with our token."""
        return [HttpCheck("its health, with the token it was given", "/health", contains=(self.announce_token,))]
