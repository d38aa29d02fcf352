"""How is a Redis server run as a service?

Comes in: how much memory it may take, and the host's redis-server where it runs as a process. Goes out: a `Service`
that starts empty.
"""

import os
import re
import secrets
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from perfgate.errors import BadInput
from perfgate.stack.child_program import run_to_end
from perfgate.stack.readiness import ReadyCheck
from perfgate.stack.service import Address

CONFIG_FILE: Final = "redis.conf"
#: Published advice for LiteLLM.
OLDEST_MAJOR_VERSION: Final = 7
#: It is up in 0.1 s; the rest is for overloaded hosts.
START_DEADLINE_S: Final = 30.0
#: Below this, Redis evicts what it has only just been given.
SMALLEST_MEMORY_MIB: Final = 8


@dataclass(frozen=True, slots=True)
class RedisProgram:
    """The host's redis-server.

    Args:
        path: it.
        version: `7.0.15`.
    """

    path: Path
    version: str


def redis_program(path: str) -> RedisProgram:
    """The redis-server that a PATH leads to.

    Args:
        path: like the variable PATH.

    Raises:
        BadInput: there is none, or it is too old; says what to do.
    """
    install = "install it (Debian: apt-get install redis-server)"
    found = shutil.which("redis-server", path=path)
    if found is None:
        raise BadInput(f"this host has no redis-server in its PATH: {install}")
    # Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0
    said = run_to_end([found, "--version"], env={}, cwd=Path("/"), deadline_s=30).stdout
    version = re.search(r"\bv=([0-9]+(?:\.[0-9]+)*)", said)
    if version is None:
        raise BadInput(f"{found} does not tell its version but says {said[:80]!r}: {install}")
    if int(version[1].partition(".")[0]) < OLDEST_MAJOR_VERSION:
        raise BadInput(f"{found} is Redis {version[1]}; {OLDEST_MAJOR_VERSION} or newer is needed: {install}")
    return RedisProgram(Path(found), version[1])


def _program_of_this_host() -> RedisProgram:
    return redis_program(os.environ.get("PATH", os.defpath))


@dataclass(frozen=True, slots=True)
class Redis:
    """Redis, set up as LiteLLM advises: `with backend.running(Redis(64)) as redis: redis.address.port`.

    Empty at first, on loopback only; appends every write to a file, and evicts what was not used for longest.

    Args:
        max_memory_mib: from here on it evicts.
        program: what runs as a process; None takes the host's. A container has its own.
        password: a random one by default.
        name: for messages and file names.
        start_deadline_s: how long after its start it may take to answer.
    """

    max_memory_mib: int
    program: RedisProgram | None = None
    password: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)
    name: str = "redis"
    start_deadline_s: float = START_DEADLINE_S

    def __post_init__(self) -> None:
        """Check what a user can ask for."""
        if self.max_memory_mib < SMALLEST_MEMORY_MIB:
            raise ValueError(f"max_memory_mib={self.max_memory_mib} must be at least {SMALLEST_MEMORY_MIB}")

    @staticmethod
    def lacking() -> str | None:
        """What this host lacks to run it, in words; None when it lacks nothing."""
        try:
            _program_of_this_host()
        except BadInput as error:
            return str(error)
        return None

    @property
    def secrets(self) -> Sequence[str]:
        """The password."""
        return (self.password,)

    def argv(self, port: int) -> list[str]:
        """The server.

        Raises:
            BadInput: it is to be the host's, who lacks it.
        """
        program = self.program or _program_of_this_host()
        return [str(program.path), CONFIG_FILE, "--port", str(port)]

    def environment(self, folder: Path) -> Mapping[str, str]:
        """Nothing of the host's."""
        return {"PATH": os.defpath, "LC_ALL": "C", "HOME": str(folder), "TMPDIR": str(folder)}

    def files(self) -> Mapping[str, str]:
        """Its configuration."""
        settings = {
            "bind": "127.0.0.1",
            "requirepass": self.password,
            "appendonly": "yes",
            "save": '""',  # no snapshots beside the append-only file: each is a fork, at a time of its own choice
            "maxmemory": f"{self.max_memory_mib}mb",
            "maxmemory-policy": "allkeys-lru",
        }
        return {CONFIG_FILE: "".join(f"{name} {value}\n" for name, value in settings.items())}

    def ready_checks(self) -> Sequence[ReadyCheck]:
        """A ping."""
        return [PingCheck(self.password)]

    def url(self, at: Address) -> str:
        """For those who do not take host, port and password one by one."""
        return f"redis://:{self.password}@{at.host}:{at.port}/0"


@dataclass(frozen=True, slots=True)
class PingCheck:
    """A PING that must be answered, by a server that has our password: no other accepts it.

    Args:
        password: the server's; without blanks.
        what: see `ReadyCheck`.
    """

    password: str = field(repr=False)
    what: str = "its answer to a ping"

    def asked(self, base_url: str) -> str:
        """See `ReadyCheck.asked`."""
        return f"PING at {urlsplit(base_url).netloc}"

    def attempt(self, base_url: str, timeout_s: float) -> tuple[bool, str]:
        """See `ReadyCheck.attempt`."""
        at = urlsplit(base_url)
        try:
            with socket.create_connection((at.hostname, at.port), timeout_s) as connection:
                connection.settimeout(timeout_s)
                # Two of the protocol's inline commands; it answers each with a line that + or - begins.
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                with connection.makefile("rb") as replies:
                    lines = [replies.readline().decode(errors="replace").strip() for _ in range(2)]
        except TimeoutError:
            return False, f"no answer within {timeout_s:.1f} s"
        except OSError as error:
            return False, f"no connection ({error})"
        return lines == ["+OK", "+PONG"], " and ".join(line or "(nothing)" for line in lines)
