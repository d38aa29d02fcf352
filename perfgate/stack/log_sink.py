"""How is the log sink run as a service, and how is it told how to behave and asked what it has received?

Its program is the package log_sink; here is its description, and `SinkControl`, which talks to a running one.

    LogSink ──a backend starts it──> RunningService ──its address──> SinkControl ──> SinkCounts
                                                    └──SinkAddresses.of──> what a gateway is told
"""

import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Self, TypeVar

import httpx
from pydantic import TypeAdapter

import log_sink
from log_sink.certificates import AUTHORITY_FILE, CERTIFICATE_FILE, Certificates, made_for
from log_sink.counts import DEFAULT_IDS_AT_MOST, Format, SinkCounts
from log_sink.modes import Fast, Mode, parsed
from perfgate.errors import StackFailed
from perfgate.stack.backend import RunningService
from perfgate.stack.container_services import FOLDER, ContainerSpec
from perfgate.stack.images import Images
from perfgate.stack.readiness import HttpCheck
from perfgate.stack.service import Address, is_on_loopback

#: In a container; TLS has the port at which clients expect the hosts that the sink stands in for.
CONTROL_PORT: Final = 8091
HTTP_PORT: Final = 8092
HTTPS_PORT: Final = 443
PROXY_PORT: Final = 3128
#: It answers within a millisecond, and within seconds while it reads a body of hundreds of MB.
TIMEOUT_S: Final = 30.0
#: What of an answer that is not the sink's is worth showing.
SHOWN_ANSWER_CHARS: Final = 200

_SOURCES: Final = Path(log_sink.__file__).parent
_EVERYWHERE: Final = "0.0.0.0"  # of the container's own network

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class LogSink:
    """The log sink: `with backend.running(LogSink()) as sink: SinkControl(sink.address.url).counts()`.

    In a container it runs from the mock's image, which has all that it needs; the network has the names of the hosts
    that it stands in for, with TLS at their own port.

    Args:
        certificates: of the hosts that it stands in for; made anew by default, and thrown away with it.
        ids_at_most: different ids that it keeps of each format.
        announce_token: by which we know that the process that answers is ours.
        name: for messages and file names.
        start_deadline_s: it is up in half a second; the rest is for overloaded hosts.
        secrets: none: no key of it opens anything.
    """

    certificates: Certificates = field(default_factory=made_for)
    ids_at_most: int = DEFAULT_IDS_AT_MOST
    announce_token: str = field(default_factory=lambda: secrets.token_hex(8))
    name: str = "log-sink"
    start_deadline_s: float = 30.0
    secrets: Sequence[str] = ()

    def argv(self, port: int) -> list[str]:
        """Run by the interpreter that runs us; the ports for records are free ones, which it names."""
        # -P: the folder it runs in is no place to import from.
        return [sys.executable, "-P", "-m", "log_sink", *self._options(port, CERTIFICATE_FILE)]

    def environment(self, folder: Path) -> Mapping[str, str]:
        """Text is UTF-8, and its own folder is home."""
        return {"LC_ALL": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder)}

    def files(self) -> Mapping[str, str]:
        """Its certificate, and that of the authority, which a gateway has to be given."""
        return {
            CERTIFICATE_FILE: self.certificates.key_and_certificate_pem,
            AUTHORITY_FILE: self.certificates.authority_pem,
        }

    def ready_checks(self) -> Sequence[HttpCheck]:
        """Its health, with our token."""
        return [HttpCheck("its health, with the token it was given", "/health", contains=(self.announce_token,))]

    def in_container(self, images: Images) -> ContainerSpec:
        """See `ContainerService`."""
        ports = ("--http-port", HTTP_PORT, "--https-port", HTTPS_PORT, "--proxy-port", PROXY_PORT)
        options = self._options(CONTROL_PORT, f"{FOLDER}/{CERTIFICATE_FILE}")
        sources = {f"{FOLDER}/log_sink/{path.name}": path.read_text() for path in sorted(_SOURCES.glob("*.py"))}
        return ContainerSpec(
            name=self.name,
            image=images.of("mock"),
            port=CONTROL_PORT,
            command=("python", "-P", "-m", "log_sink", *options, *map(str, ports), "--host", _EVERYWHERE),
            environment={"PYTHONPATH": FOLDER},
            files={f"{FOLDER}/{name}": text for name, text in self.files().items()} | sources,
            ready_checks=tuple(self.ready_checks()),
            secrets=tuple(self.secrets),
            start_deadline_s=self.start_deadline_s,
            aliases=tuple(host for host in self.certificates.hosts if not is_on_loopback(f"https://{host}")),
        )

    def _options(self, port: int, certificate: str) -> list[str]:
        hosts = (word for host in self.certificates.hosts for word in ("--tls-host", host))
        which = ["--port", str(port), "--certificate", certificate, "--ids-at-most", str(self.ids_at_most)]
        return [*which, "--announce-token", self.announce_token, *hosts]


@dataclass(frozen=True, slots=True)
class SinkPorts:
    """The ports for records of a sink, as log_sink/ports.py has them."""

    http: int
    https: int
    proxy: int


@dataclass(frozen=True, slots=True)
class SinkAddresses:
    """Where the other services of a backend reach a sink.

    Args:
        http: plain HTTP.
        https: TLS, with a certificate for the hosts of `LogSink.certificates` alone.
        proxy: CONNECT to one of those hosts leads to TLS; every other is refused.
    """

    http: Address
    https: Address
    proxy: Address

    @classmethod
    def of(cls, sink: RunningService) -> Self:
        """Those of a running sink.

        Raises:
            StackFailed: it does not answer, or is no sink.
        """
        ports, host = SinkControl(sink.address.url).ports(), sink.inner_address.host
        return cls(Address(host, ports.http), Address(host, ports.https), Address(host, ports.proxy))

    def through_proxy(self) -> Mapping[str, str]:
        """Variables by which a gateway's HTTPS goes to the sink, and nowhere else.

        Its plain HTTP, such as to the mock, goes where it went. LiteLLM 1.79.3 settles on one proxy for all logging
        callbacks of a process at the first request of the first: so all of their addresses are to be https.
        """
        return {
            "HTTPS_PROXY": self.proxy.url,
            "NO_PROXY": "",
        }


class SinkControl:
    """Talks to the control port of a running sink.

    Args:
        url: of it: `http://127.0.0.1:8091`.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def counts(self) -> SinkCounts:
        """What it has received since its start or the last reset.

        Raises:
            StackFailed: it does not answer, or is no sink; so for all below.
        """
        return self._asked("GET", "/counts", TypeAdapter(SinkCounts).validate_json)

    def ids(self, format_: Format) -> Mapping[str, int]:
        """How often each id of a format was received, in the order of first arrival."""
        form = TypeAdapter(dict[Format, dict[str, dict[str, int]]])
        return self._asked("GET", "/ids", form.validate_json)[format_]["received"]

    def reset(self) -> None:
        """Have it forget what it has counted; the mode stays. Requests in service then are counted nowhere."""
        self._asked("DELETE", "/counts", TypeAdapter(dict[str, bool]).validate_json)

    def mode(self) -> Mode:
        """How it behaves."""
        return self._asked("GET", "/mode", parsed)

    def set_mode(self, mode: Mode) -> None:
        """Have it behave like this from the next request on; returns once that is so."""
        self._asked("PUT", "/mode", parsed, asdict(mode))

    @contextmanager
    def holding(self, mode: Mode) -> Iterator[None]:
        """Have it behave like this for as long as the context is open; then it answers at once again."""
        self.set_mode(mode)
        try:
            yield
        finally:
            self.set_mode(Fast())

    def ports(self) -> SinkPorts:
        """Its ports for records."""
        return self._asked("GET", "/ports", TypeAdapter(SinkPorts).validate_json)

    def _asked(self, method: str, path: str, read: Callable[[bytes], _Answer], body: object = None) -> _Answer:
        asked = f"{method} {self._url}{path}"
        try:
            # No TLS here: loading certificates for nothing would take 20 ms.
            reply = httpx.request(method, self._url + path, json=body, timeout=TIMEOUT_S, trust_env=False, verify=False)
        except httpx.TimeoutException as error:
            raise StackFailed(
                f"the log sink does not answer: {asked} got no answer within {TIMEOUT_S:g} s; is its host overloaded?"
            ) from error
        except httpx.RequestError as error:
            raise StackFailed(
                f"the log sink does not answer: {asked} got no answer ({error}); is it running?"
            ) from error
        try:
            return read(reply.raise_for_status().content)
        except (httpx.HTTPStatusError, ValueError):
            answer = " ".join(reply.text.split())[:SHOWN_ANSWER_CHARS] or "(empty)"
            raise StackFailed(
                f"what answers {asked} is not perfgate's log sink of this version: status {reply.status_code}: {answer}"
            ) from None
