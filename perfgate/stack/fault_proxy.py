"""How is a dependency made to fail for a gateway, and what came through to it?

Comes in: where the dependency listens. Goes out: a `Service` that stands before it, and the `FaultSwitch` of one that
is up. Its program is the package fault_proxy.

    FaultProxy ──started by a backend──> RunningService ──its address──> FaultSwitch
"""

import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from fault_proxy.fault import FORWARD, Fault
from perfgate.errors import StackFailed
from perfgate.stack.readiness import HttpCheck
from perfgate.stack.service import Address

#: It answers within a millisecond; the rest is for hosts that are badly overloaded.
SWITCH_TIMEOUT_S: Final = 10.0
#: What of an answer that is not the proxy's is worth showing.
SHOWN_ANSWER_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class FaultProxy:
    """What a gateway connects to instead of its dependency.

    `with backend.running(FaultProxy(redis.inner_address)) as proxy: switch = FaultSwitch(proxy.address.url)`

    Its `address` is that of its switch; the gateway connects to `switch.entrance()`.

    Args:
        target: where the dependency listens, as the backend's services reach it.
        start_deadline_s: it is up in half a second; the rest is for overloaded hosts.
        announce_token: by which we know that the process that answers is ours.
        name: for messages and file names.
    """

    target: Address
    start_deadline_s: float = 30.0
    announce_token: str = field(default_factory=lambda: secrets.token_hex(8))
    name: str = "fault-proxy"
    secrets: Sequence[str] = ()

    def argv(self, port: int) -> list[str]:
        """Run by the interpreter that runs us; the entrance is a free port."""
        # -P: the folder it runs in is no place to import from.
        program = [sys.executable, "-P", "-m", "fault_proxy"]
        ports = ["--to", f"{self.target.host}:{self.target.port}", "--port", "0", "--control-port", str(port)]
        return [*program, *ports, "--announce-token", self.announce_token]

    def environment(self, folder: Path) -> Mapping[str, str]:
        """Text is UTF-8, and its own folder is home."""
        return {"LC_ALL": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder)}

    def files(self) -> Mapping[str, str]:
        """None."""
        return {}

    def ready_checks(self) -> Sequence[HttpCheck]:
        """Its health, with our token."""
        return [HttpCheck("its health, with the token it was given", "/health", contains=(self.announce_token,))]


@dataclass(frozen=True, slots=True)
class ProxyCounts:
    """What has come through a proxy since its start, or since its counts were last reset.

    Args:
        opened: connections that were accepted.
        open_now: of these, also those that wait for the target.
        ended: by either end.
        reset: by a fault.
        refused: by the target, which could not be connected to. Those that a cut refuses never reach the proxy.
        bytes_to_target, bytes_to_client: sent on.
    """

    opened: int
    open_now: int
    ended: int
    reset: int
    refused: int
    bytes_to_target: int
    bytes_to_client: int


@dataclass(frozen=True, slots=True)
class FaultSwitch:
    """The switch of a proxy that is up; every question and every switch may raise `StackFailed`, which says why.

    Args:
        url: of its control port.
    """

    url: str

    def entrance(self) -> Address:
        """Where clients connect, as the proxy sees itself."""
        health = self._asked("GET", "/health")
        return Address(str(health["host"]), int(health["port"]))

    def put(self, fault: Fault) -> None:
        """Let a fault hold from now on."""
        self._asked("PUT", "/fault", {name: value for name, value in asdict(fault).items() if value is not None})

    @contextmanager
    def holding(self, fault: Fault) -> Iterator[None]:
        """Let a fault hold for as long as the context is open; then nothing is wrong any more."""
        self.put(fault)
        try:
            yield
        finally:
            self.put(FORWARD)

    def counts(self) -> ProxyCounts:
        """What has come through so far."""
        return ProxyCounts(**self._asked("GET", "/counts"))

    def reset(self) -> None:
        """Let nothing be wrong, and count from zero."""
        self._asked("POST", "/reset")

    def _asked(self, method: str, path: str, json: Mapping[str, Any] | None = None) -> dict[str, Any]:
        asked = f"{method} {self.url}{path}"
        try:
            reply = httpx.request(
                method, self.url + path, json=json, timeout=SWITCH_TIMEOUT_S, trust_env=False, verify=False
            )
        except httpx.TimeoutException as error:
            raise StackFailed(
                f"the fault proxy cannot be switched: {asked} got no answer within {SWITCH_TIMEOUT_S:g} s; is its host "
                "overloaded?"
            ) from error
        except httpx.RequestError as error:
            raise StackFailed(
                f"the fault proxy cannot be switched: {asked} got no answer ({error}); is it running?"
            ) from error
        try:
            answer: dict[str, Any] = reply.raise_for_status().json()
        except (httpx.HTTPStatusError, ValueError):
            words = " ".join(reply.text.split())[:SHOWN_ANSWER_CHARS] or "(empty)"
            raise StackFailed(
                f"what answers {asked} is not perfgate's fault proxy, or not of this version: status "
                f"{reply.status_code}: {words}"
            ) from None
        return answer
