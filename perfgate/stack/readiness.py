"""Is a service up, and is it ours?

Comes in: `ReadyCheck`s, a base address, a deadline, and a way to ask whether the process still lives.
Goes out: nothing once all are answered as expected; else `TooLate` or `Died`, both with the last answer.

    ReadyCheck   a question, as a value that can ask itself
    HttpCheck    one HTTP request, and what its answer must be; databases bring a kind of their own
    wait_ready   asks one check after the other until each was answered so
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import httpx

#: Between two attempts. An attempt costs the service next to nothing, and the wait is part of every run.
POLL_S: Final = 0.1
#: One attempt. A cold gateway on a loaded host may need more, and then has warmed up for the next; but a death is not
#: noticed while somebody else holds the port and does not answer.
ATTEMPT_TIMEOUT_S: Final = 5.0
#: The last one may go over the deadline by this: cut shorter, it would say nothing of the service.
LAST_ATTEMPT_S: Final = 1.0


class ReadyCheck(Protocol):
    """A question that a service must answer as expected.

    Attributes:
        what: what it proves, in words that go after "waited for": `its reply to a chat completion`.
    """

    @property
    def what(self) -> str: ...  # noqa: D102

    def asked(self, base_url: str) -> str:
        """The question, for messages: `GET http://127.0.0.1:4000/health`, `SELECT 1 at 127.0.0.1:5432/postgres`."""

    def attempt(self, base_url: str, timeout_s: float) -> tuple[bool, str]:
        """Ask once: whether the answer was the expected one, and the answer in words, whatever it was.

        Args:
            base_url: `http://HOST:PORT`, from which a check that does not speak HTTP takes host and port.
            timeout_s: the longest wait for the answer.
        """


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """A request that must be answered as expected.

    Args:
        what: what it proves, in words that go after "waited for": `its reply to a chat completion`.
        path: asked for, `/health`.
        method: of HTTP.
        headers: sent with it; never shown, they may hold a key.
        json: the body to send; None sends none.
        statuses: the answer must have one of these.
        contains: every one of these texts must be in the answer's body.
    """

    what: str
    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Mapping[str, Any] | None = None
    statuses: frozenset[int] = frozenset({200})
    contains: tuple[str, ...] = ()

    def accepts(self, status: int, body: str) -> bool:
        """Whether such an answer is the expected one.

        >>> HttpCheck("health", "/health", contains=("token",)).accepts(200, "another token")
        True
        """
        return status in self.statuses and all(text in body for text in self.contains)

    def asked(self, base_url: str) -> str:
        """See `ReadyCheck.asked`."""
        return f"{self.method} {base_url}{self.path}"

    def attempt(self, base_url: str, timeout_s: float) -> tuple[bool, str]:
        """See `ReadyCheck.attempt`."""
        # A proxy from the environment has no business between us and loopback, nor has the file of trusted
        # certificates, which takes 50 ms to read.
        with httpx.Client(base_url=base_url, trust_env=False, verify=False, timeout=timeout_s) as client:
            try:
                reply = client.request(self.method, self.path, headers=self.headers, json=self.json)
            except httpx.TimeoutException:
                return False, f"no answer within {timeout_s:.1f} s"
            except httpx.RequestError as error:
                return False, f"no connection ({error})"
        words = " ".join(reply.text.split())
        return self.accepts(reply.status_code, reply.text), f"status {reply.status_code}: {words or '(empty)'}"


class NotReady(Exception):
    """Base of the two ways in which a service does not come up.

    Attributes:
        check: the one that was not answered as expected.
        last_answer: to its last attempt, in words; whole, and with whatever secrets are in it.
        waited_s: since the wait began.
    """

    def __init__(self, check: ReadyCheck, last_answer: str, waited_s: float) -> None:
        self.check = check
        self.last_answer = last_answer
        self.waited_s = waited_s
        super().__init__(f"{check.what}: {last_answer}, after {waited_s:.1f} s")


class TooLate(NotReady):
    """It still runs, but the deadline is over."""


class Died(NotReady):
    """It ended before it was ready."""


def wait_ready(checks: Sequence[ReadyCheck], base_url: str, *, deadline_s: float, is_alive: Callable[[], bool]) -> None:
    """Wait until every check has been answered as expected, by a process that still lives after the last answer.

    Args:
        checks: asked in this order, each again and again until it is answered as expected.
        base_url: whom they ask: `http://HOST:PORT`.
        deadline_s: for all of them together; each is asked at least once.
        is_alive: whether the process lives; an answer from the port of a dead one is somebody else's.

    Raises:
        TooLate: not all were answered as expected within `deadline_s`.
        Died: the process ended.
    """
    started_mono_s = time.monotonic()
    deadline_mono_s = started_mono_s + deadline_s
    for check in checks:
        while True:
            timeout_s = min(ATTEMPT_TIMEOUT_S, max(LAST_ATTEMPT_S, deadline_mono_s - time.monotonic()))
            is_answered, answer = check.attempt(base_url, timeout_s)
            waited_s = time.monotonic() - started_mono_s
            if not is_alive():
                raise Died(check, answer, waited_s)
            if is_answered:
                break
            if waited_s >= deadline_s:
                raise TooLate(check, answer, waited_s)
            time.sleep(POLL_S)
