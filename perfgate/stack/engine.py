"""Is there a Docker engine, and can what runs in it be measured from here?

Comes in: the environment, as Docker's own tools read it (DOCKER_HOST, contexts). Goes out: a client, `EngineFacts`, and
which of the two backends a run takes. Starts nothing, pulls nothing.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import requests
from docker.constants import DEFAULT_UNIX_SOCKET
from docker.errors import APIError, DockerException
from testcontainers.core.docker_client import DockerClient

from perfgate.errors import BadInput, StackFailed
from perfgate.stack.backend import BackendName

#: Of one answer of the engine; what takes long (a pull, a build) has its own.
ANSWER_TIMEOUT_S: Final = 30
USE_PROCESSES: Final = "--stack=processes needs none"


class NoEngine(BadInput):
    """No Docker engine answers, or none whose containers can be measured."""


class EngineGone(StackFailed):
    """The Docker engine has answered before, and does no longer."""


class EngineRefused(StackFailed):
    """The Docker engine does not do what it was asked for."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """A Docker engine that runs on this very kernel.

    Args:
        version: `28.2.2`.
        address: where it answers.
        cpus: cores of its host.
        memory_bytes: memory of its host.
        cgroup_version: of control groups: `1` or `2`.
        storage_driver: where images and what containers write lie: `overlay2`.
        operating_system: in words.
    """

    version: str
    address: str
    cpus: int
    memory_bytes: int
    cgroup_version: str
    storage_driver: str
    operating_system: str


@dataclass(frozen=True, slots=True)
class StackChoice:
    """Which backend a run takes.

    Args:
        backend: it.
        why: in words, for the record and for people.
    """

    backend: BackendName
    why: str


def choose_stack(asked: Literal["auto", "containers", "processes"], look: Callable[[], EngineFacts]) -> StackChoice:
    """Which backend `--stack` comes to.

    Args:
        asked: for; `auto` takes containers where an engine answers.
        look: `engine_facts` of an engine, or NoEngine; not called for `processes`.

    Raises:
        NoEngine: containers are asked for, and there is none.
    """
    if asked == "processes":
        return StackChoice("processes", "asked for")
    try:
        facts = look()
    except NoEngine as error:
        if asked == "containers":
            raise
        return StackChoice("processes", str(error).removesuffix(f"; {USE_PROCESSES}"))
    engine = f"Docker {facts.version} answers at {facts.address}"
    return StackChoice("containers", engine if asked == "auto" else f"asked for; {engine}")


def connected(timeout_s: int = ANSWER_TIMEOUT_S) -> DockerClient:
    """A client of the engine that Docker's own tools would use.

    Args:
        timeout_s: of one answer.

    Raises:
        NoEngine: none answers, or we may not use it.
    """
    try:
        client = DockerClient(timeout=timeout_s)
        client.client.ping()
    except (DockerException, requests.RequestException) as error:
        raise NoEngine(_no_engine(error)) from None
    return client


def engine_facts(timeout_s: int = ANSWER_TIMEOUT_S) -> EngineFacts:
    """Look whether there is an engine that can be used.

    Args:
        timeout_s: for each of its answers.

    Raises:
        NoEngine: see `connected`; or it runs on another kernel than this process.
    """
    client = connected(timeout_s)
    try:
        with engine_errors(client, "asking about it"):
            info = client.client.info()
    finally:
        client.client.close()
    facts = EngineFacts(
        version=info["ServerVersion"],
        address=address_of(client),
        cpus=info["NCPU"],
        memory_bytes=info["MemTotal"],
        cgroup_version=info.get("CgroupVersion", "1"),
        storage_driver=info["Driver"],
        operating_system=info["OperatingSystem"],
    )
    # A container's processes, control groups and network are this kernel's, or nothing of it can be measured.
    if info["KernelVersion"] != os.uname().release:
        raise NoEngine(
            f"the Docker engine at {facts.address} ({facts.operating_system}, kernel {info['KernelVersion']}) runs on "
            f"another machine or in a virtual one (kernel here: {os.uname().release}): what its containers use "
            f"cannot be measured from here; {USE_PROCESSES}"
        )
    return facts


def address_of(client: DockerClient) -> str:
    """Where the engine answers, for people."""
    adapter = client.client.api.adapters.get("http+docker://")
    return f"unix://{adapter.socket_path}" if hasattr(adapter, "socket_path") else str(client.client.api.base_url)


@contextmanager
def engine_errors(client: DockerClient, to_do: str) -> Iterator[None]:
    """Turn what goes wrong between us and the engine into errors for people.

    Args:
        client: of the engine.
        to_do: what was going on, in words that go after "while": `starting mock`.

    Raises:
        EngineGone: it does not answer any more.
        EngineRefused: it answers with an error, which is passed on.
    """
    try:
        yield
    except APIError as error:
        raise EngineRefused(f"the Docker engine refused, while {to_do}: {explained(error)}") from error
    except (DockerException, requests.RequestException) as error:
        raise EngineGone(
            f"the Docker engine at {address_of(client)} does not answer any more, while {to_do} "
            f"({_cause(error)}). Start it again (its own log says why it ended; `journalctl -u docker` on most hosts); "
            "the next run removes what this one leaves behind"
        ) from error


def explained(error: APIError) -> str:
    """The engine's own words."""
    return " ".join(str(error.explanation or error).split())


def _no_engine(error: Exception) -> str:
    where = os.environ.get("DOCKER_HOST") or str(DEFAULT_UNIX_SOCKET).removeprefix("http+")
    cause = _cause(error)
    if isinstance(cause, PermissionError):
        return f"you may not use the Docker engine at {where}: join the group docker, or be root; {USE_PROCESSES}"
    return f"no Docker engine answers at {where} ({cause}): start one, or name it in DOCKER_HOST; {USE_PROCESSES}"


def _cause(error: BaseException) -> BaseException | str:
    """The system's error below those of three libraries, or their words."""
    if isinstance(error, requests.Timeout):
        return f"no answer within {ANSWER_TIMEOUT_S} s"
    seen: list[Any] = [error]
    for each in seen:  # grows while it is walked
        if isinstance(each, OSError) and isinstance(each.strerror, str):  # requests' own are OSErrors without one
            return each if isinstance(each, PermissionError) else each.strerror
        below = [each.__cause__, each.__context__, *each.args]
        seen += [other for other in below if isinstance(other, BaseException) and other not in seen]
    return re.sub(r"^Error while fetching server API version: ", "", str(error))
