"""What the generator process is told to do: where to, with what, on which schedule.

Travels to the generator over its standard input, never on a command line, since it holds an API key.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from perfgate.load.api import Api
from perfgate.load.endpoint import Endpoint
from perfgate.load.payload import check_prompt_bytes
from perfgate.load.schedule import ClosedLoop, Schedule

DEFAULT_IN_FLIGHT_CAP: Final = 10_000
#: What every request says by itself (http_client.py), or what would change where its body ends.
OWN_HEADERS: Final = frozenset(
    {"host", "user-agent", "accept", "content-type", "content-length", "authorization"}
    | {"transfer-encoding", "connection", "expect", "upgrade"}
)

#: A token of HTTP (RFC 9110), in lower case.
_HEADER_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[!-~]([ -~]*[!-~])?")


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go.

    Args:
        url: the whole address that is asked, `http://127.0.0.1:4000/v1/chat/completions`.
        model: the model to ask for.
        api_key: sent as a bearer token; None sends none. Never shown: not in repr, record or messages.
        accepts_in: a process in whose network namespace the server accepts, as one in a container has its own; None is
            this host's. It matters where several `processes` accept.
        headers: sent beside those of every request, names in lower case: what a gateway must be told that needs no key.
            Values are in no repr, message or record, since nobody can know what they hold.
    """

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    accepts_in: int | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Check every field: that key and headers can be sent, too, but their values are in no message."""
        Endpoint.of_url(self.url)
        check_api_key(self.api_key)
        check_headers(self.headers)
        if self.accepts_in is not None and self.accepts_in < 1:
            raise ValueError(f"accepts_in={self.accepts_in} must be the id of a process")


@dataclass(frozen=True, slots=True)
class LoadJob:
    """One load.

    Args:
        targets: where to, in turn by request number; each with its own model and key.
        schedule: when.
        seed: of Poisson gaps.
        payload_bytes: length of the prompt; None is LiteLLM's published prompt (load/payload.py).
        in_flight_cap: the most requests in flight at once; reaching it is counted as the gateway's error.
        cpus: cores the generator pins itself to; empty means all that the process which started it may use.
        stream: ask for event streams, and time their chunks.
        connections: so many to each target are opened before the load and used in turn, so that all of several workers
            behind one listening socket get their share; 0 opens connections when they are needed.
        processes: how many processes of this host accept the connections to each target; of several, each is given as
            many of `connections` as the others (measure/acceptors.py says why).
        same_prompt: all requests, to all targets, carry one prompt, new in every load: a cache may answer each that is
            sent after the first reply. Without it no prompt repeats.
        api: the endpoint that all targets are addresses of.
        turns_per_session: of realtime sessions: after so many turns a user closes its session and opens another; 0
            keeps it for the whole load. An open loop's sessions have one turn each.
    """

    targets: tuple[Target, ...]
    schedule: Schedule
    seed: int = 0
    payload_bytes: int | None = None
    in_flight_cap: int = DEFAULT_IN_FLIGHT_CAP
    cpus: tuple[int, ...] = ()
    stream: bool = False
    connections: int = 0
    processes: int = 1
    same_prompt: bool = False
    api: Api = Api.CHAT_COMPLETIONS
    turns_per_session: int = 0

    def __post_init__(self) -> None:
        """Check every field; a job that exists can be run."""
        if not self.targets:
            raise ValueError("targets=() must hold at least one target")
        check_prompt_bytes(self.payload_bytes)
        if self.seed < 0:
            raise ValueError(f"seed={self.seed} must not be negative")
        if self.in_flight_cap < 1:
            raise ValueError(f"in_flight_cap={self.in_flight_cap} must be at least 1")
        if isinstance(self.schedule, ClosedLoop) and self.schedule.users > self.in_flight_cap:
            raise ValueError(f"users={self.schedule.users} must not be more than in_flight_cap={self.in_flight_cap}")
        if self.connections < 0:
            raise ValueError(f"connections={self.connections} must not be negative")
        if self.connections * len(self.targets) > self.in_flight_cap:
            raise ValueError(
                f"connections={self.connections} to each of {len(self.targets)} targets must not be more in total than "
                f"in_flight_cap={self.in_flight_cap}"
            )
        if self.processes < 1 or (self.processes > 1 and (not self.connections or self.connections % self.processes)):
            raise ValueError(
                f"processes={self.processes} must be at least 1, and connections={self.connections} a multiple of more"
            )
        if self.stream and self.api is not Api.CHAT_COMPLETIONS:
            raise ValueError(f"stream=True goes with chat completions, not with api={self.api}")
        if self.turns_per_session < 0:
            raise ValueError(f"turns_per_session={self.turns_per_session} must not be negative")
        if self.turns_per_session and not (self.api is Api.REALTIME and isinstance(self.schedule, ClosedLoop)):
            raise ValueError(f"turns_per_session={self.turns_per_session} goes with users of realtime sessions")
        if self.api is Api.REALTIME and self.connections:
            raise ValueError(f"connections={self.connections} go with requests: a session has one of its own")
        if any(cpu < 0 for cpu in self.cpus):
            raise ValueError(f"cpus={self.cpus} must not be negative")


def check_api_key(api_key: str | None) -> None:
    """Raise ValueError unless the key can stand in a header; the message does not repeat it."""
    if api_key is not None and not (api_key and all("!" <= character <= "~" for character in api_key)):
        raise ValueError("api_key must be printable ASCII without spaces or line ends, and not empty")


def check_headers(headers: Sequence[tuple[str, str]]) -> None:
    """Raise ValueError unless these can stand in every request; the message repeats names, but no value."""
    names = [name for name, _ in headers]
    for name, value in headers:
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"headers: {name!r} must be the name of a header, in lower case")
        if name in OWN_HEADERS:
            raise ValueError(f"headers: {name} is not for the caller to set")
        if names.count(name) > 1:
            raise ValueError(f"headers: {name} must not be there twice")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(
                f"headers: the value of {name} must be printable ASCII without line ends, and not empty or between "
                "blanks"
            )
