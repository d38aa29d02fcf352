"""What is a service?

A description, as a value: which program with which files and environment, and how one knows that it is up. It starts
nothing; a backend does (backend.py). stack/mock.py and stack/litellm.py are services, stack/readiness.py is how a
`ReadyCheck` is carried out.

    Service ──describes──> argv, files, environment, ReadyCheck
    StackBackend ──starts a Service at an──> Address ──hands out──> RunningService
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from perfgate.stack.readiness import ReadyCheck


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service listens.

    >>> Address("127.0.0.1", 4000).url
    'http://127.0.0.1:4000'
    """

    host: str
    port: int

    @property
    def url(self) -> str:
        """Its base address, without a slash at the end."""
        return f"http://{self.host}:{self.port}"


def is_on_loopback(url: str) -> bool:
    """Whether the host of a URL can be this machine alone, whoever looks.

    >>> is_on_loopback("http://127.0.0.1:4000"), is_on_loopback("http://127.example:4000")
    (True, False)
    """
    try:
        host = urlsplit(url).hostname
        return host == "localhost" or (host is not None and ipaddress.ip_address(host).is_loopback)
    except ValueError:  # a name, or no URL
        return False


class Service(Protocol):
    """What a backend has to know of a service; it runs in a folder of its own, which holds its files and its log.

    Attributes:
        name: for people, in messages and file names: letters, digits and dashes.
        start_deadline_s: how long after its start it may take to be ready.
        secrets: texts that no message may show.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def start_deadline_s(self) -> float: ...  # noqa: D102
    @property
    def secrets(self) -> Sequence[str]: ...  # noqa: D102

    def argv(self, port: int) -> list[str]:
        """The command; its paths may be relative to the folder. Anyone on the host can read it, so no secrets."""

    def environment(self, folder: Path) -> Mapping[str, str]:
        """The whole environment: what is not in here, the service does not see."""

    def files(self) -> Mapping[str, str]:
        """What to write into the folder before the start: text by file name."""

    def ready_checks(self) -> Sequence[ReadyCheck]:
        """What must be answered as expected, in this order; together they must tell it from any other process."""
