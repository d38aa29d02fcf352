"""What does a service look like in a container?

Comes in: a service as the process backend starts it, and `Images`. Goes out: a `ContainerSpec`: the same program with
the same configuration and the same proof that it is up, but for what differs in a container:

    it listens on every address, of a network that only the run's services and this host are on
    its files lie in FOLDER, since the image chooses where it starts
    PATH, HOME, TMPDIR and whatever else belongs to the image are the image's

A service that is not known here can describe itself: `ContainerService`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from perfgate.stack.images import Images, PrismaInImage
from perfgate.stack.litellm import LiteLLM
from perfgate.stack.mock import Mock
from perfgate.stack.postgres import MAINTENANCE_DATABASE, Postgres
from perfgate.stack.postgres_program import SUPERUSER
from perfgate.stack.readiness import ReadyCheck
from perfgate.stack.redis import CONFIG_FILE as REDIS_CONFIG_FILE
from perfgate.stack.redis import Redis

FOLDER: Final = "/perfgate"
#: Each has a container, and so all ports, of its own: these are the ones that everybody knows them by.
MOCK_PORT: Final = 8090
LITELLM_PORT: Final = 4000
POSTGRES_PORT: Final = 5432
REDIS_PORT: Final = 6379

#: Of variables, which the image has itself.
_OF_THE_IMAGE: Final = ("PATH", "HOME", "TMPDIR", "PYTHONPATH")
_OF_PRISMA: Final = "PRISMA_"

_LOOPBACK: Final = "127.0.0.1"
_EVERYWHERE: Final = "0.0.0.0"  # of the container's own network


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A service in a container.

    Args:
        name: for people, and the host name by which the run's other containers reach it.
        image: its name.
        port: that it listens on, inside.
        command: what follows the image's entry point.
        environment: added to the image's.
        files: what to put into the container before its start: text by absolute path.
        ready_checks: see `Service`.
        secrets: see `Service`.
        start_deadline_s: see `Service`.
        workers: processes that accept connections on its one socket.
        aliases: further host names by which the run's other containers reach it.
        entrypoint: in the place of the image's entry point; empty for that.
    """

    name: str
    image: str
    port: int
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    files: Mapping[str, str] = field(repr=False)
    ready_checks: tuple[ReadyCheck, ...]
    secrets: tuple[str, ...] = field(repr=False)
    start_deadline_s: float
    workers: int = 1
    aliases: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()


@runtime_checkable
class ContainerService(Protocol):
    """A service that knows how it runs in a container."""

    def in_container(self, images: Images) -> ContainerSpec:
        """The description."""


def in_container(service: object, images: Images, prisma: PrismaInImage = "native") -> ContainerSpec:
    """The container that a service runs in.

    Args:
        service: a Mock, LiteLLM, Postgres or Redis, a `ContainerService`, or a finished `ContainerSpec`.
        images: the image of each.
        prisma: engine in LiteLLM's image.

    Raises:
        TypeError: it is none of these.
    """
    match service:
        case ContainerSpec():
            return service
        case Mock():
            return _mock(service, images)
        case LiteLLM():
            return _litellm(service, images, prisma)
        case Postgres():
            return _postgres(service, images)
        case Redis():
            return _redis(service, images)
        case ContainerService():
            return service.in_container(images)
    raise TypeError(f"{type(service).__name__} has no in_container(images): it cannot run in a container")


def _mock(mock: Mock, images: Images) -> ContainerSpec:
    _, *arguments = mock.argv(MOCK_PORT)
    return ContainerSpec(
        name=mock.name,
        image=images.of("mock"),
        port=MOCK_PORT,
        command=("python", *arguments, "--host", _EVERYWHERE),
        environment={},
        files={},
        ready_checks=tuple(mock.ready_checks()),
        secrets=tuple(mock.secrets),
        start_deadline_s=mock.start_deadline_s,
    )


def _litellm(gateway: LiteLLM, images: Images, prisma: PrismaInImage) -> ContainerSpec:
    files = _in_folder(gateway.files())
    elsewhere = {_LOOPBACK: _EVERYWHERE} | {Path(path).name: path for path in files}
    _, *arguments = gateway.argv(LITELLM_PORT)
    environment = {
        name: value
        for name, value in gateway.environment(Path(FOLDER)).items()
        if name not in _OF_THE_IMAGE and not name.startswith(_OF_PRISMA)
    }
    return ContainerSpec(
        name=gateway.name,
        image=images.of("litellm", gateway.installed.release, prisma),
        port=LITELLM_PORT,
        command=tuple(elsewhere.get(argument, argument) for argument in arguments),
        environment=environment,
        files=files,
        ready_checks=tuple(gateway.ready_checks()),
        secrets=tuple(gateway.secrets),
        start_deadline_s=gateway.start_deadline_s,
        workers=gateway.workers,
    )


def _postgres(postgres: Postgres, images: Images) -> ContainerSpec:
    settings = {
        "max_connections": str(postgres.max_connections),
        "fsync": "on" if postgres.is_durable else "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    return ContainerSpec(
        name=postgres.name,
        image=images.of("postgres"),
        port=POSTGRES_PORT,
        command=("postgres", *(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))),
        environment={
            "POSTGRES_USER": SUPERUSER,
            "POSTGRES_PASSWORD": postgres.password,
            "POSTGRES_DB": MAINTENANCE_DATABASE,
            "POSTGRES_INITDB_ARGS": "--encoding=UTF8 --locale=C --no-sync",
        },
        files={},
        ready_checks=tuple(postgres.ready_checks()),
        secrets=tuple(postgres.secrets),
        start_deadline_s=postgres.start_deadline_s,
    )


def _redis(redis: Redis, images: Images) -> ContainerSpec:
    # What stands on the command line goes before the file.
    where = ("--port", str(REDIS_PORT), "--bind", _EVERYWHERE, "--dir", "/data")
    return ContainerSpec(
        name=redis.name,
        image=images.of("redis"),
        port=REDIS_PORT,
        command=("redis-server", f"{FOLDER}/{REDIS_CONFIG_FILE}", *where),
        environment={},
        files=_in_folder(redis.files()),
        ready_checks=tuple(redis.ready_checks()),
        secrets=tuple(redis.secrets),
        start_deadline_s=redis.start_deadline_s,
    )


def _in_folder(files: Mapping[str, str]) -> dict[str, str]:
    return {f"{FOLDER}/{name}": text for name, text in files.items()}
