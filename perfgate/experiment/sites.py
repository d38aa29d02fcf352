"""What does each backend have standing for an experiment: a mock, and what gateways need to start there?

Comes in: a supervisor, where LiteLLM comes from. Goes out: a `Site`: a backend that starts services, the mock that its
gateways call, and LiteLLM or Portkey as they are installed there. One site a backend; bench.py does not know which.

    ProcessSite     LiteLLM in a cached environment of this host, Portkey as a cached npm package
    ContainerSite   each in an image
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from perfgate.errors import BadInput
from perfgate.experiment.arms import GatewaySpec
from perfgate.stack.affinity import CorePlan
from perfgate.stack.backend import BackendName, Limits, RunningService, StackBackend
from perfgate.stack.containers import ContainerBackend, ContainerRunning, check_limits
from perfgate.stack.environments import Environment, EnvironmentCache
from perfgate.stack.images import ImageMissing, Images, build, litellm_in, present, prisma_in
from perfgate.stack.mock import Mock
from perfgate.stack.portkey import IN_IMAGE, PortkeyProgram
from perfgate.stack.portkey import installed as portkey_installed
from perfgate.stack.prisma_engine import CLIENT_PACKAGE, PrismaClient, PrismaEngine, PrismaMode
from perfgate.stack.processes import ProcessBackend
from perfgate.stack.releases import PORTKEY_RELEASE
from perfgate.stack.sources import PortkeyRelease, Release, RunningUrl
from perfgate.stack.supervision import Supervisor


@dataclass(frozen=True, slots=True)
class Installed:
    """LiteLLM, ready to be started.

    Args:
        environment: what it is.
        prisma: its way to a database; None when it was not asked for.
    """

    environment: Environment
    prisma: PrismaClient | None


class Site(Protocol):
    """One backend with its mock; open while its context is."""

    @property
    def name(self) -> BackendName:
        """Of the backend."""

    @property
    def backend(self) -> StackBackend:
        """It."""

    @property
    def mock(self) -> RunningService | None:
        """The mock; None where somebody else's is used."""

    def install(self, spec: GatewaySpec, *, with_prisma: bool) -> Installed:
        """LiteLLM as a gateway needs it; in use until the site closes.

        Args:
            spec: the gateway.
            with_prisma: install Prisma's client as well; gateways that are compared all have it, or none.
        """

    def portkey(self) -> PortkeyProgram:
        """Portkey, likewise."""

    def check_room(self, specs: Sequence[GatewaySpec]) -> None:
        """See that this host can keep what is promised to gateways that will be alive at once.

        Raises:
            BadInput: it cannot.
        """

    def facts(self, running: RunningService) -> dict[str, Any]:
        """What a record should say of where a service runs."""


class ProcessSite:
    """Local processes: `with ProcessSite(supervisor, cores, …) as site: site.backend.start(service)`.

    Args:
        supervisor: open for as long as the site is.
        cores: who runs where.
        has_mock: whether to start one.
        cache: where environments are.
        prisma_mode: engine of gateways with a database.
        environ: of the user, for what has to be installed.
        kept_logs_dir: where the log of a service that failed is kept; None keeps none.
        say: called with a line before anything that takes long.
    """

    name: Final[BackendName] = "processes"

    def __init__(
        self,
        supervisor: Supervisor,
        cores: CorePlan,
        *,
        has_mock: bool,
        cache: EnvironmentCache,
        prisma_mode: PrismaMode,
        environ: Mapping[str, str],
        kept_logs_dir: Path | None,
        say: Callable[[str], None],
    ) -> None:
        self.backend = ProcessBackend(supervisor, kept_logs_dir)
        self.mock: RunningService | None = None
        self._cores = cores
        self._has_mock = has_mock
        self._cache = cache
        self._prisma = PrismaEngine(prisma_mode, cache.folder, environ)
        self._environ = environ
        self._say = say
        self._installed: dict[object, Installed] = {}
        self._portkey: PortkeyProgram | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the mock."""
        if self._has_mock:
            self.mock = self._stack.enter_context(self.backend.running(Mock(), self._cores.mock))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the mock, and let go of what is installed."""
        self._stack.close()

    def install(self, spec: GatewaySpec, *, with_prisma: bool) -> Installed:
        """The environment of a gateway, made if need be.

        Raises:
            TypeError: it runs already, or is no LiteLLM.
            BadInput, StackFailed: see `EnvironmentCache.using`, `PrismaEngine.using`.
        """
        if isinstance(spec.source, RunningUrl):
            raise TypeError(f"{spec} runs already: there is nothing to install")
        if isinstance(spec.source, PortkeyRelease):
            raise TypeError(f"{spec} is not LiteLLM: it has no environment")
        packages = (*spec.with_packages, CLIENT_PACKAGE) if with_prisma else spec.with_packages
        key = (spec.source, spec.deps, packages)
        if key not in self._installed:
            using = self._cache.using(spec.source, spec.deps, packages, say=self._say)
            environment = self._stack.enter_context(using)
            client = self._prisma.using(environment, say=self._say) if with_prisma else nullcontext()
            self._installed[key] = Installed(environment, self._stack.enter_context(client))
        return self._installed[key]

    def portkey(self) -> PortkeyProgram:
        """The pinned npm package, installed if need be.

        Raises:
            StackFailed: see `NodePackage.using`.
        """
        if self._portkey is None:
            using = portkey_installed(self._cache.folder, self._environ, say=self._say)
            self._portkey = self._stack.enter_context(using)
        return self._portkey

    def check_room(self, specs: Sequence[GatewaySpec]) -> None:
        """Nothing is promised to processes."""

    def facts(self, running: RunningService) -> dict[str, Any]:
        """Nothing that is not known of every process."""
        return {"backend": self.name}


class ContainerSite:
    """Containers on a network of the run's own: `with ContainerSite(run_dir, cores, …) as site: …`.

    Args:
        run_dir: goes away with the run, however it ends.
        cores: who runs where.
        has_mock: whether to start one.
        images: that services run from.
        prisma_mode: engine in LiteLLM's image.
        kept_logs_dir: where the log of a service that failed is kept; None keeps none.
        say: called with a line before anything that takes long.
    """

    name: Final[BackendName] = "containers"

    def __init__(
        self,
        run_dir: Path,
        cores: CorePlan,
        *,
        has_mock: bool,
        images: Images,
        prisma_mode: PrismaMode,
        kept_logs_dir: Path | None,
        say: Callable[[str], None],
    ) -> None:
        self.backend = ContainerBackend(run_dir, images, prisma_mode, kept_logs_dir, say)
        self.mock: RunningService | None = None
        self._run_dir = run_dir
        self._cores = cores
        self._has_mock = has_mock
        self._images = images
        self._prisma_mode = prisma_mode
        self._say = say
        self._installed: dict[object, Installed] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Find the engine, and start the mock; its image is built when it is not there, since no registry has it."""
        with ExitStack() as stack:
            stack.enter_context(self.backend)
            if self._has_mock:
                try:
                    present(self.backend.client, self._images.of("mock"), self._say)
                except ImageMissing:
                    build(self.backend.client, "mock", say=self._say)
                self.mock = stack.enter_context(self.backend.running(Mock(), self._cores.mock))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove every container and the network."""
        self._stack.close()

    def install(self, spec: GatewaySpec, *, with_prisma: bool) -> Installed:
        """What the image of a release holds; it is pulled if need be.

        Raises:
            TypeError: what is asked for is no release.
            ImageMissing, PullFailed: its image is not to be had.
            BadInput: the image is not one of LiteLLM, or holds another release.
        """
        if not isinstance(spec.source, Release):
            raise TypeError(f"{spec} is in no image")
        release, client = spec.source.number, self.backend.client
        name = self._images.of("litellm", release, self._prisma_mode)
        key = (name, with_prisma)
        if key not in self._installed:
            present(client, name, self._say)
            environment = litellm_in(client, name)
            if environment.release != release:
                raise BadInput(f"the image {name} holds litellm {environment.release}, and --litellm is {release}")
            into = self._run_dir / f"migrations-{len(self._installed)}"
            prisma = None
            if with_prisma:
                prisma = prisma_in(client, name, self._prisma_mode, into, self.backend.network_name)
            self._installed[key] = Installed(environment, prisma)
        return self._installed[key]

    def portkey(self) -> PortkeyProgram:
        """What its image holds; it is pulled if need be.

        Raises:
            ImageMissing, PullFailed: its image is not to be had.
        """
        present(self.backend.client, self._images.of("portkey", PORTKEY_RELEASE), self._say)
        return IN_IMAGE

    def check_room(self, specs: Sequence[GatewaySpec]) -> None:
        """The limits of all containers together.

        Raises:
            BadInput: there are not so many cores, or not so much memory.
        """
        alive = sum(spec.instances for spec in specs)
        for spec in specs:
            limits = Limits(spec.cpus_per_instance, spec.memory_per_instance_bytes)
            check_limits(limits, instances=spec.instances, alive=alive, cores=self._cores, engine=self.backend.engine)

    def facts(self, running: RunningService) -> dict[str, Any]:
        """Image, limits, and what requests of this host go through."""
        assert isinstance(running, ContainerRunning)
        return {
            "backend": self.name,
            "image": asdict(running.image),
            "limits": asdict(running.limits),
            "network_path": self.backend.network_path,
        }
