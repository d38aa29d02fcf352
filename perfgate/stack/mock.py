"""How is the mock OpenAI endpoint run as a service, and how many requests has it received?

Its program is the package mock_openai; here is its description, and the one question that its counts answer.
"""

import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from mock_openai.app import MODEL_PATHS
from perfgate.errors import StackFailed
from perfgate.stack.readiness import HttpCheck

#: How every default reply of the mock begins; what a gateway in front of it must pass on.
REPLY_TEXT: Final = "The quick brown fox"
#: It answers within a millisecond; the rest is for hosts that are badly overloaded.
COUNTS_TIMEOUT_S: Final = 10.0
#: What of an answer that is not the mock's is worth showing.
SHOWN_ANSWER_CHARS: Final = 100


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


def received_requests(mock_url: str) -> int:
    """How many requests for a model the mock has received so far: completions, embeddings, realtime sessions and so on.

    Args:
        mock_url: `http://127.0.0.1:8090`.

    Raises:
        StackFailed: it does not answer, or is not ours.
    """
    asked = f"{mock_url}/admin/counts"
    try:
        # No TLS here: loading certificates for nothing would take 20 ms, twice a window.
        reply = httpx.get(asked, timeout=COUNTS_TIMEOUT_S, trust_env=False, verify=False)
    except httpx.TimeoutException as error:
        raise StackFailed(
            f"the mock endpoint does not say what it has received: GET {asked} got no answer within "
            f"{COUNTS_TIMEOUT_S:g} s; is its host overloaded?"
        ) from error
    except httpx.RequestError as error:
        raise StackFailed(
            f"the mock endpoint does not say what it has received: GET {asked} got no answer ({error}); is it running?"
        ) from error
    try:
        received: dict[str, int] = reply.json()["received_by_path"]
        return sum(int(count) for path, count in received.items() if path in MODEL_PATHS)
    except (ValueError, LookupError, TypeError, AttributeError):
        answer = " ".join(reply.text.split())[:SHOWN_ANSWER_CHARS] or "(empty)"
        raise StackFailed(
            f"what answers GET {asked} is not perfgate's mock endpoint, which alone says what it has received: "
            f"status {reply.status_code}: {answer}"
        ) from None
