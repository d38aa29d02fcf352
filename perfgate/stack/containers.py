"""How does a service come to run in a container?

Comes in: a service (container_services.py says what it looks like in a container), cores, limits. Goes out: a
`ContainerRunning`: where it listens, its first process, its log, its control group.

    ContainerBackend ──a network of the run's own──> ContainerRunning ──address──> this host
                                                                      ──inner_address──> the run's other containers

The network path. Everything this host sends goes to the address that a container has on the run's bridge: one hop
through the kernel, the same for the mock as for a gateway, with neither Docker's proxy nor address translation in
between. Ports are published too, on loopback only, for people, and for engines whose bridge this host is not on
(rootless ones); then all that this host sends goes there, and ends at a proxy of Docker's: nobody can see which of
several workers has accepted it, so that a service with workers is refused. Which of the two is in every record.

Nothing is left behind: the end of the backend removes all that bears the run's label, and its start what bears the
label of a run whose process is gone. Docker itself keeps none of it: Ryuk, testcontainers' own reaper, stays off.
"""

import itertools
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import psutil
from docker.errors import NotFound
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import WaitStrategy
from testcontainers.core.waiting_utils import WaitStrategyTarget

from perfgate.errors import BadInput, StackFailed
from perfgate.stack.affinity import CorePlan
from perfgate.stack.backend import NO_LIMITS, Limits, RunningService, stop_side_by_side
from perfgate.stack.cgroup import Cgroup, CgroupUnreadable, CgroupUse
from perfgate.stack.container_services import ContainerSpec, in_container
from perfgate.stack.engine import (
    EngineFacts,
    EngineGone,
    EngineRefused,
    NoEngine,
    connected,
    engine_errors,
    engine_facts,
)
from perfgate.stack.images import OFFICIAL, ImageFacts, Images, PrismaInImage, present
from perfgate.stack.leftovers import RUN_LABEL, own_labels, remove_containers, remove_run, sweep
from perfgate.stack.processes import KEPT_LOG_BYTES, SHOWN_ANSWER_CHARS, DiedAtStart, ServiceDied, StartTooLate
from perfgate.stack.readiness import NotReady, wait_ready
from perfgate.stack.service import Address
from perfgate.stack.supervision import LOG_TAIL_LINES, ended

LOOPBACK: Final = "127.0.0.1"
#: How long an engine may take to learn that a process of its has ended, and how often it is asked meanwhile.
EXIT_NOTICED_S: Final = 5.0
EXIT_POLL_S: Final = 0.05
#: How long an engine may take to answer a run that does not need it.
SWEEP_TIMEOUT_S: Final = 5
_BIND_OPTION: Final = "com.docker.network.bridge.host_binding_ipv4"
#: How long an outage may take to begin: clients are sent away, and what is in memory is written.
OUTAGE_STOP_S: Final = 60
#: Of a container's log, when the end of it is kept.
_KEPT_LOG_LINES: Final = 20_000
_MEMORY_UNITS: Final = {"m": 2**20, "g": 2**30}

NetworkPath = Literal["bridge", "published"]


def limits_of(cpus: str, memory: str) -> Limits:
    """The limits that options ask for.

    Args:
        cpus: of `--cpus-per-instance`: `4`, `1.5`; empty for none.
        memory: of `--memory-per-instance`: `8g`, `512m`; empty for none.

    Raises:
        BadInput: one of them is of no use.

    >>> limits_of("4", "8g")
    Limits(cpus=4.0, memory_bytes=8589934592)
    """
    if cpus and not (re.fullmatch(r"\d{1,4}(\.\d{1,2})?", cpus, re.ASCII) and float(cpus) > 0):
        raise BadInput(f"--cpus-per-instance={cpus}: must be a number of cores above 0, such as 4 or 1.5")
    stated = re.fullmatch(r"(\d{1,6})([mg])", memory.lower(), re.ASCII)
    if memory and not (stated and int(stated[1])):
        raise BadInput(f"--memory-per-instance={memory}: must be a whole number with m or g, such as 8g or 512m")
    return Limits(
        float(cpus) if cpus else None, int(stated[1]) * _MEMORY_UNITS[stated[2]] if stated is not None else None
    )


def check_limits(limits: Limits, *, instances: int, alive: int, cores: CorePlan, engine: EngineFacts) -> None:
    """See that this host can give what is promised to each instance.

    Args:
        limits: of each.
        instances: of one gateway: they are loaded at the same time.
        alive: instances of all gateways that are compared: they all hold their memory.
        cores: who runs where.
        engine: of this host.

    Raises:
        BadInput: it cannot; with a limit above what there is, no figure would be that of the limit.
    """
    if limits.cpus is not None:
        there = len(cores.gateway) or engine.cpus
        needed = limits.cpus * instances
        if needed > there:
            raise BadInput(
                f"--cpus-per-instance={limits.cpus:g} needs {needed:g} cores for {instances} instance(s), and this "
                f"host has {there} for them ({cores.why}): ask for fewer, or take a larger host"
            )
    if limits.memory_bytes is not None and limits.memory_bytes * alive > engine.memory_bytes:
        raise BadInput(
            f"--memory-per-instance={limits.memory_bytes / 2**30:g}g needs {limits.memory_bytes * alive / 2**30:.1f} "
            f"GiB for the {alive} instance(s) of this run, and this host has {engine.memory_bytes / 2**30:.1f} GiB: "
            "ask for less, or take a larger host"
        )


def sweep_if_any(say: Callable[[str], None]) -> None:
    """Remove what killed runs have left in an engine, for a run that needs none itself: it would be in its way.

    Args:
        say: called with a line when something was removed. Where no engine answers there is nothing to say.
    """
    try:
        engine_facts(SWEEP_TIMEOUT_S)
        client = connected(SWEEP_TIMEOUT_S)
        try:
            swept = sweep(client)
        finally:
            client.client.close()
    except (NoEngine, EngineRefused, EngineGone):
        return
    if swept:
        say(f"removed what runs that were killed had left behind: {swept}")


class ContainerRunning:
    """A service that is up in a container.

    Attributes:
        name: the service's.
        image: what it runs from.
        limits: what it may use at most.
        cpus: the cores it may use; empty for all.
        folder: of the run, on this host, with the copy of its log.
    """

    def __init__(
        self,
        backend: "ContainerBackend",
        spec: ContainerSpec,
        container: DockerContainer,
        image: ImageFacts,
        alias: str,
        cpus: tuple[int, ...],
        limits: Limits,
    ) -> None:
        self.name = spec.name
        self.image = image
        self.limits = limits
        self.cpus = cpus
        self.folder = backend.run_dir / alias
        self._backend = backend
        self._spec = spec
        self._container = container
        self._alias = alias
        self._is_stopped = False
        self._is_down = False
        self._log_when_ready = ""
        self._state: Mapping[str, Any] = {}
        self._address: Address | None = None

    @property
    def address(self) -> Address:
        """Where it listens, for this host."""
        assert self._address is not None, "it has been started"
        return self._address

    @property
    def inner_address(self) -> Address:
        """Where it listens, for the run's other containers."""
        return Address(self._alias, self._spec.port)

    @property
    def pid(self) -> int:
        """Of its first process, as this host sees it."""
        return int(self._state["Pid"])

    @property
    def container_id(self) -> str:
        """Of its container: `docker inspect` knows it."""
        return self._container.get_container_id()

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative when a signal ended it.

        Raises:
            EngineGone: nobody knows.
        """
        if self._is_stopped:
            return -signal.SIGKILL
        if not self._look():
            return -signal.SIGKILL  # somebody has removed it
        if self._state["Status"] in ("created", "running", "paused", "restarting"):
            return None
        code = int(self._state["ExitCode"])
        # A shell's way to say which signal it was, and Docker's.
        return 128 - code if 128 < code <= 128 + signal.SIGRTMAX else code

    @property
    def is_alive(self) -> bool:
        """Whether its first process runs, or is to run again after an outage."""
        return self._is_down or self.exit_status is None

    def use(self) -> CgroupUse:
        """CPU and memory of the whole container, by now.

        Raises:
            CgroupGone: it has ended.
        """
        return self._cgroup.use()

    def pin(self, cpus: Sequence[int]) -> None:
        """Keep it on these cores from now on; empty leaves it where it is."""
        if cpus:
            with engine_errors(self._backend.client, f"pinning {self.name}"):
                self._container.get_wrapped_container().update(cpuset_cpus=_listed(cpus))
            self.cpus = tuple(cpus)

    @property
    def log_path(self) -> Path:
        """A copy of its output and errors so far; without its secrets."""
        path = self.folder / "log"
        path.write_text(self._log(_KEPT_LOG_LINES))
        return path

    def log_tail(self) -> tuple[str, ...]:
        """The last lines of its log, without its secrets."""
        return tuple(self._log(LOG_TAIL_LINES).splitlines())

    def end_of_log(self) -> str:
        """The last lines of its log as a paragraph of a message, and the name of the file that keeps it."""
        path, kept_logs_dir = self.log_path, self._backend.kept_logs_dir
        text = path.read_text()
        tail = text.splitlines()[-LOG_TAIL_LINES:]
        if not tail:
            return "  log          empty"
        if kept_logs_dir is not None:
            path = kept_logs_dir / f"{self._alias}.log"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text[-KEPT_LOG_BYTES:])
        return "\n".join([f"  log          last {len(tail)} lines of {path}", *(f"    | {line}" for line in tail)])

    def check_alive(self) -> None:
        """Do nothing while it runs, or is down for an outage.

        Raises:
            ServiceDied: it has ended; says how, with the last lines of its log.
            EngineGone: nobody knows.
        """
        status = self.exit_status
        if status is None or self._is_down:
            return
        if not self._is_stopped and not self._state:
            raise ServiceDied(f"{self._who} was removed while it was in use; `docker events` may say by whom")
        raise ServiceDied(f"{self._who} {ended(status)} while it was in use{self._hint}\n{self.end_of_log()}")

    def stop(self) -> None:
        """Remove it with all of its processes and data; does nothing when that is done."""
        if not self._is_stopped:
            self._backend.remove([self.container_id])
            self._is_stopped = True

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Have it down for as long as the context is open; then it is up again with its data, at a new `address`.

        `inner_address` stays. It is asked to end as its image says (PostgreSQL: clients are sent away).

        Raises:
            StackFailed: it does not come up again.
        """
        self._is_down = True
        try:
            with engine_errors(self._backend.client, f"stopping {self.name}"):
                self._container.get_wrapped_container().stop(timeout=OUTAGE_STOP_S)
            yield
        finally:
            self._is_down = False
            with engine_errors(self._backend.client, f"starting {self.name} again"):
                self._container.get_wrapped_container().start()
            try:
                self.wait_until_ready()
            except (DiedAtStart, StartTooLate) as error:
                raise StackFailed(f"{self.name} was taken down and does not come up again: {error}") from None

    def wait_until_ready(self) -> None:
        """Wait for a container that has just been started.

        Raises:
            DiedAtStart: it ended before it was ready.
            StartTooLate: it was not ready within its deadline.
        """
        try:
            self._look()
            self._settle()
            wait_ready(
                self._spec.ready_checks,
                self.address.url,
                deadline_s=self._spec.start_deadline_s,
                is_alive=lambda: self.is_alive,
            )
        except NotReady as error:
            raise self._not_ready(error) from None
        self._log_when_ready = self._log(_KEPT_LOG_LINES)

    @property
    def _who(self) -> str:
        return f"{self.name} (container {self.container_id[:12]})"

    @property
    def _hint(self) -> str:
        if not self._state.get("OOMKilled"):
            return ""
        if self.limits.memory_bytes is None:
            return ", since this host ran out of memory"
        return (
            f", since its {self.limits.memory_bytes / 2**20:.0f} MiB of memory were used up: give it more with "
            "--memory-per-instance, or leave that out"
        )

    def _look(self) -> bool:
        """Ask the engine how it is; False when it is not there any more."""
        container = self._container.get_wrapped_container()
        with engine_errors(self._backend.client, f"asking how {self.name} is"):
            try:
                container.reload()
            except NotFound:
                self._state = {}
                return False
        self._state = container.attrs["State"]
        return True

    def _settle(self) -> None:
        """Find out where it listens, and whose account holds what it uses."""
        attributes = self._container.get_wrapped_container().attrs
        if self._state["Status"] != "running":  # it has ended already; whoever asks it will be told
            self._address = Address(LOOPBACK, self._spec.port)
            return
        network = attributes["NetworkSettings"]
        if self._backend.network_path == "bridge":
            self._address = Address(network["Networks"][self._backend.network_name]["IPAddress"], self._spec.port)
        else:
            self._address = Address(LOOPBACK, int(network["Ports"][f"{self._spec.port}/tcp"][0]["HostPort"]))
        try:
            self._cgroup = Cgroup.of_process(self.pid)
        except CgroupUnreadable:
            # It has ended since we looked, likewise; the engine learns of it a moment after the kernel.
            noticed_by_mono_s = time.monotonic() + EXIT_NOTICED_S
            while self.exit_status is None:
                if time.monotonic() > noticed_by_mono_s:
                    raise
                time.sleep(EXIT_POLL_S)

    def _log(self, lines: int) -> str:
        if self._is_stopped:
            return self._log_when_ready
        with engine_errors(self._backend.client, f"asking for the log of {self.name}"):
            text: str = self._container.get_wrapped_container().logs(tail=lines).decode(errors="replace")
        return self._masked(text)

    def _masked(self, text: str) -> str:
        for secret in self._spec.secrets:
            text = text.replace(secret, "***")
        return text

    def _not_ready(self, error: NotReady) -> StackFailed:
        answer = self._masked(error.last_answer)
        if len(answer) > SHOWN_ANSWER_CHARS:
            answer = answer[:SHOWN_ANSWER_CHARS] + " …"
        waiting = (
            f"  image        {self.image.name}\n"
            f"  waited for   {error.check.what} ({error.check.asked(self.address.url)})\n"
            f"  last answer  {answer}\n"
        )
        status = self.exit_status
        if status is not None:
            happened = f"{self._who} {ended(status)} {error.waited_s:.1f} s after its start, before it was ready"
            return DiedAtStart(f"{happened}{self._hint}\n{waiting}{self.end_of_log()}")
        happened = (
            f"{self._who} still runs {error.waited_s:.1f} s after its start, but is not ready; "
            f"its deadline is {self._spec.start_deadline_s:g} s\n"
        )
        return StartTooLate(happened + waiting + self.end_of_log())


class ContainerBackend:
    """Starts services in containers, on a network of their own.

    `with ContainerBackend(run_dir) as backend: mock = backend.start(Mock()); mock.address.url`

    Several threads may start services at once.

    Args:
        run_dir: for copies of logs; goes away with the run.
        images: the image of each service.
        prisma: engine in LiteLLM's image.
        kept_logs_dir: where the log of a service that failed is copied to; made when needed. None keeps none.
        say: called with a line before anything that takes long.

    Attributes:
        engine: that everything runs in; once it is open, like all below.
        network_path: what every request of this host goes through.
    """

    name: Final = "containers"

    def __init__(
        self,
        run_dir: Path,
        images: Images = OFFICIAL,
        prisma: PrismaInImage = "native",
        kept_logs_dir: Path | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.run_dir = run_dir
        self.images = images
        self.kept_logs_dir = kept_logs_dir
        self._prisma: PrismaInImage = prisma
        self._say = say
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Find the engine, remove what dead runs have left, make the network.

        Raises:
            NoEngine: there is none that can be used.
            EngineRefused, EngineGone: the network cannot be made.
        """
        self.engine = engine_facts()
        self._labels = own_labels()
        with ExitStack() as stack:
            self.client: DockerClient = connected()
            stack.callback(self.client.client.close)
            stack.enter_context(_without_ryuk())
            swept = sweep(self.client)
            if swept:
                self._say(f"removed what runs that were killed had left behind: {swept}")
            stack.callback(self._remove_all)
            with engine_errors(self.client, "making a network"):
                options = {"labels": self._labels, "options": {_BIND_OPTION: LOOPBACK}}
                self._network = Network(docker_network_kw=options)
                self._network.name = f"perfgate-{self._labels[RUN_LABEL]}"
                self._network.create()
                made = self.client.client.networks.get(self._network.id)
            self.network_path: NetworkPath = "bridge" if _is_ours(made.attrs) else "published"
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove every container, with its data, and the network."""
        try:
            self._stack.close()
        except EngineGone:
            # Whoever was using it when it went has been told; what is left behind goes at the next start.
            self._say(
                "the Docker engine does not answer: the next run removes the containers that this one leaves behind"
            )
        except StackFailed:
            if error is None:  # what went wrong before says more
                raise

    @property
    def network_name(self) -> str:
        """Of the run's network: `docker network inspect` knows it."""
        return self._network.name

    def have_images(self, services: Sequence[object]) -> tuple[ImageFacts, ...]:
        """Have the images of services here before the first of them is started.

        Raises:
            ImageMissing, PullFailed: one is not to be had.
        """
        names = dict.fromkeys(in_container(service, self.images, self._prisma).image for service in services)
        return tuple(present(self.client, name, self._say) for name in names)

    @contextmanager
    def running(
        self, service: object, cpus: Sequence[int] = (), limits: Limits = NO_LIMITS
    ) -> Iterator[ContainerRunning]:
        """Have a service up for as long as the context is open; arguments and errors are those of `start`."""
        running = self.start(service, cpus, limits)
        try:
            yield running
        except BaseException:
            with suppress(EngineGone, EngineRefused):  # what went wrong before says more
                running.stop()
            raise
        running.stop()

    def start(self, service: object, cpus: Sequence[int] = (), limits: Limits = NO_LIMITS) -> ContainerRunning:
        """Start a service in a container of its own and wait until it is ready.

        Args:
            service: what to start; see `in_container`.
            cpus: the cores it may use; empty for all.
            limits: what it may use at most.

        Raises:
            BadInput: it has workers, and from here nobody can see which of them accept connections.
            ImageMissing, PullFailed: its image is not to be had.
            DiedAtStart: it ended before it was ready.
            StartTooLate: it was not ready within its deadline.
            EngineRefused, EngineGone: it cannot be started.
        """
        spec = in_container(service, self.images, self._prisma)
        if spec.workers > 1 and self.network_path == "published":
            raise BadInput(
                f"--workers {spec.workers}: to measure several workers, perfgate must see which of them accepts each "
                f"connection; it cannot with the Docker engine at {self.engine.address}, whose containers this host "
                "reaches through published ports only (it is not on their network, as with a rootless engine): take "
                "--workers 1, or --stack processes"
            )
        image = present(self.client, spec.image, self._say)
        with self._lock:
            alias = f"{spec.name}-{next(self._numbers)}"
        container = self._described(spec, image, alias, tuple(cpus), limits)
        running = ContainerRunning(self, spec, container, image, alias, tuple(cpus), limits)
        running.folder.mkdir(parents=True)
        try:
            with engine_errors(self.client, f"starting {spec.name} from {image.name}"):
                container.waiting_for(_ReadyChecks(running)).start()
        except BaseException:  # Ctrl-C while we wait, too
            if container._container is not None:
                self.remove([container.get_container_id()])
            raise
        return running

    def stop(self, running: Sequence[RunningService]) -> None:
        """End services side by side; those that have ended are left alone."""
        stop_side_by_side(running)

    def remove(self, container_ids: Sequence[str]) -> None:
        """Remove containers with their anonymous volumes, side by side."""
        remove_containers(self.client, container_ids)

    def _described(
        self, spec: ContainerSpec, image: ImageFacts, alias: str, cpus: tuple[int, ...], limits: Limits
    ) -> DockerContainer:
        # By its id: what is recorded is what runs, whatever becomes of the name.
        container = DockerContainer(image.image_id, env=dict(spec.environment))
        container.with_command(list(spec.command)).with_exposed_ports(spec.port)
        container.with_name(f"{self.network_name}-{alias}").with_network(self._network)
        container.with_network_aliases(alias, *spec.aliases)
        for path, text in spec.files.items():
            container.with_copy_into_container(text.encode(), path)
        options: dict[str, Any] = {"labels": self._labels}
        if spec.entrypoint:
            options["entrypoint"] = list(spec.entrypoint)
        if cpus:
            options["cpuset_cpus"] = _listed(cpus)
        if limits.cpus is not None:
            options["nano_cpus"] = round(limits.cpus * 1e9)
        if limits.memory_bytes is not None:
            # Without swap: a gateway that swaps is not one with little memory, but a broken one.
            options |= {"mem_limit": limits.memory_bytes, "memswap_limit": limits.memory_bytes}
        return container.with_kwargs(**options)

    def _remove_all(self) -> None:
        remove_run(self.client, self._labels[RUN_LABEL])


class _ReadyChecks(WaitStrategy):
    """testcontainers' way to wait, with our own questions, deadline and errors."""

    def __init__(self, running: ContainerRunning) -> None:
        super().__init__()
        self._running = running

    def wait_until_ready(self, container: WaitStrategyTarget) -> None:
        """Wait until every check of the service was answered as expected."""
        self._running.wait_until_ready()


def _is_ours(network: Mapping[str, Any]) -> bool:
    """Whether this host is on a bridge: then its gateway is one of this host's own addresses."""
    gateways = {each.get("Gateway") for each in network["IPAM"]["Config"] or ()}
    return any(address.address in gateways for found in psutil.net_if_addrs().values() for address in found)


@contextmanager
def _without_ryuk() -> Iterator[None]:
    """testcontainers as we need it, for as long as the context is open; what others do with it is not touched."""
    config = testcontainers_config
    before = (config.ryuk_disabled, config.hub_image_name_prefix)
    # Its image would have to be pulled; and our images are named by their ids.
    config.ryuk_disabled, config.hub_image_name_prefix = True, ""
    try:
        yield
    finally:
        config.ryuk_disabled, config.hub_image_name_prefix = before


def _listed(cpus: Sequence[int]) -> str:
    return ",".join(map(str, cpus))
