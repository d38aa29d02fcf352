"""What stands ready for an experiment: supervisor, a mock on each backend, generator, and gateways on demand.

Comes in: the cache of environments, which backends, a plan of cores, and what runs already (a mock, a gateway, a
PostgreSQL server). Goes out: what experiment/rounds.py asks of a `Bench`. Everything that is started ends with the
context, and with this process, however it ends. What runs already is proven with one real request, and left alone.

A LiteLLM with a database gets a server that takes exactly the connections its pools may open (and a margin), a database
of its own in it, and a virtual key that all requests are sent with; one with Redis gets a Redis of its own. Portkey has
neither; its requests tell it where the endpoint is.
"""

import os
import ssl
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from fault_proxy.fault import Fault
from log_sink.modes import Errors, Hang
from perfgate.errors import BadInput, StackFailed
from perfgate.experiment.arms import DATABASE_FLUSH_S, DATABASE_POOL_LIMIT, PLAIN_MODEL, GatewaySpec
from perfgate.experiment.faults import Outage
from perfgate.experiment.ledger import DatabaseLedger
from perfgate.experiment.likeness import may_have_other_packages, package_words, release_words, unasked_differences
from perfgate.experiment.sink_ledger import SinkLedger
from perfgate.experiment.sites import ContainerSite, Installed, ProcessSite, Site
from perfgate.load.api import Api
from perfgate.load.job import Target
from perfgate.load.locust_fleet import LocustFleet
from perfgate.load.locust_runner import LocustGenerator
from perfgate.load.runner import Generator
from perfgate.measure.process_tree import TreeSnapshot, snapshot
from perfgate.stack.admin import new_virtual_key
from perfgate.stack.affinity import CorePlan, plan_cores
from perfgate.stack.backend import BackendName, CanBeDown, Limits, RunningService, Snapshot
from perfgate.stack.callbacks import FLUSH_S, LogAccess, callback
from perfgate.stack.containers import sweep_if_any
from perfgate.stack.database import Database
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.fault_proxy import FaultProxy, FaultSwitch
from perfgate.stack.gateway import GatewayService
from perfgate.stack.gateway_config import read_gateway_config
from perfgate.stack.images import OFFICIAL, Images
from perfgate.stack.inspection import ServiceFacts, service_facts
from perfgate.stack.litellm import (
    CHAT_PATH,
    FAULTS_CALLBACK,
    DatabaseAccess,
    LiteLLM,
    RedisAccess,
    faults_file,
)
from perfgate.stack.log_sink import LogSink, SinkAddresses, SinkControl
from perfgate.stack.mock import REPLY_TEXT, received_requests
from perfgate.stack.portkey import Portkey, PortkeyProgram
from perfgate.stack.postgres import CONNECTIONS_MARGIN, Postgres, connections_needed
from perfgate.stack.postgres import outage as postgres_outage
from perfgate.stack.postgres_server import checked_server, fresh_database, moved_to, server_facts
from perfgate.stack.prisma_engine import PrismaMode
from perfgate.stack.redis import Redis
from perfgate.stack.service import Address
from perfgate.stack.sources import RunningUrl
from perfgate.stack.supervision import Supervisor
from perfgate.stack.workers import Workers, wait_for_workers

#: Every chat completion in OpenAI's format holds it, whoever answers.
ANY_REPLY: Final = '"choices"'
#: How long a mock or a gateway that runs already may take for one chat completion.
PROOF_TIMEOUT_S: Final = 30.0
#: What of an answer is worth showing.
SHOWN_ANSWER_CHARS: Final = 300
ONLY_PROCESSES: Final[tuple[BackendName, ...]] = ("processes",)
#: Far more than the replies of one run: nothing is evicted.
REDIS_MEMORY_MIB: Final = 256


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A gateway that answers: one instance or several, or one that somebody else started.

    Args:
        chat_urls: where chat completions are POSTed to, one for each instance.
        api_key: the key that all of them accept; None where none is needed. Of a gateway with a database a virtual one.
        instances: what runs; empty for a gateway that somebody else started.
        workers: the workers of each.
        ledger: of its database; None where it has none.
        log_ledger: of its callback; None where it has none.
        database_server: that its database is on, when that is ours.
        outages: of its dependencies that are ours: how each is made to fail for as long as a context is open.
        in_containers: whether `uses` reads control groups.
        headers: what requests must say beside the key.
    """

    chat_urls: tuple[str, ...]
    api_key: str | None = field(repr=False)
    instances: tuple[RunningService, ...] = ()
    workers: tuple[Workers, ...] = ()
    ledger: DatabaseLedger | None = None
    log_ledger: SinkLedger | None = None
    database_server: "DatabaseServer | None" = None
    outages: Mapping[Outage, Callable[[], AbstractContextManager[None]]] = field(default_factory=dict)
    in_containers: bool = False
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the first process of each instance; empty for a gateway that somebody else started."""
        return tuple(up.pid for up in self.instances)

    @property
    def serving_pids(self) -> tuple[int, ...]:
        """Of the processes that answer requests: of each instance its workers, or itself where it has none."""
        return tuple(
            pid
            for up, workers in zip(self.instances, self.workers, strict=True)
            for pid in ([process.pid for process in workers.processes] or [up.pid])
        )

    @property
    def folders(self) -> tuple[Path, ...]:
        """Of the files that each instance was given, its configuration and callbacks."""
        return tuple(up.folder for up in self.instances)

    def targets(self, model: str, api: Api = Api.CHAT_COMPLETIONS) -> tuple[Target, ...]:
        """Where its requests of an endpoint go, one for each instance."""
        urls = [api.below(url) for url in self.chat_urls]
        if not self.instances:
            return tuple(Target(url, model, self.api_key) for url in urls)
        return tuple(
            Target(url, model, self.api_key, accepts_in=up.pid, headers=self.headers)
            for url, up in zip(urls, self.instances, strict=True)
        )

    def uses(self) -> Sequence[Snapshot]:
        """What each instance has used so far; empty for a gateway that somebody else started."""
        return [up.use() for up in self.instances]

    def tree_uses(self) -> Sequence[TreeSnapshot]:
        """The same by process trees, where `uses` reads control groups."""
        return [snapshot(up.pid) for up in self.instances] if self.in_containers else []

    def outage(self, of: Outage) -> AbstractContextManager[None]:
        """Have a dependency fail for as long as the context is open.

        Raises:
            BadInput: it is not ours.
        """
        if of not in self.outages:
            raise BadInput(f"{of}: it is not perfgate's to make fail; leave --postgres-url out for this scenario")
        return self.outages[of]()

    def check_alive(self) -> None:
        """Raise ServiceDied when one of its instances or their workers has ended."""
        for instance in self.instances:
            instance.check_alive()
        for workers in self.workers:
            workers.check_alive()


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """A PostgreSQL server as two sides reach it.

    Args:
        url: of its maintenance database, for this process.
        inner_address: for gateways.
        service, running: when it is ours; None of somebody else's.
    """

    url: str = field(repr=False)
    inner_address: Address | None = None
    service: Postgres | None = None
    running: RunningService | None = None

    def inner_url(self, url: str) -> str:
        """How gateways name the database of that URL."""
        if self.inner_address is None:
            return url
        return moved_to(url, self.inner_address.host, self.inner_address.port)


@dataclass(frozen=True, slots=True)
class _Sink:
    """The log sink of a backend, which all its gateways with a callback share.

    Args:
        control: to ask it.
        authority_pem: of the authority that its certificate is by.
        proxy: variables that lead HTTPS to it; empty where the network has the hosts' names.
    """

    control: SinkControl
    authority_pem: str
    proxy: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Planned:
    """A gateway before its start.

    Args:
        spec: as asked for.
        services: its instances, which share their key; none for one that runs already.
        installed: what they run from, when they are LiteLLM.
        portkey: the same of Portkey.
        database: for this process; None without one.
        server: that it is on.
        sink: that its callback logs to; None without one.
        logging: that callback.
        redis_outage: has its Redis down for as long as a context is open; None without one.
    """

    spec: GatewaySpec
    services: tuple[GatewayService, ...] = ()
    installed: Installed | None = None
    portkey: PortkeyProgram | None = None
    database: Database | None = None
    server: DatabaseServer | None = None
    sink: _Sink | None = None
    logging: LogAccess | None = None
    redis_outage: Callable[[], AbstractContextManager[None]] | None = None


class StackBench:
    """The bench that starts a real stack, on one backend or several.

    `with StackBench(cache) as bench: run_rounds(bench, ...)`

    Args:
        cache: where environments are.
        backends: that have a mock and can start gateways.
        on_service: called with the name and the facts of every service once it is up, for the record.
        parent_dir: where the run's temporary folder is made; None for the system's.
        kept_logs_dir: where the log of a service that failed is kept; None keeps none.
        say: called with a line before anything that takes long, such as an installation.
        on_note: called with a sentence that a report of the run has to say.
        mock_url: an endpoint that runs already, its chat completions at `mock_url/chat/completions`; None starts the
            mock endpoint of our own.
        postgres_url: of a PostgreSQL server that runs already; None starts one.
        prisma_mode: engine of gateways with a database.
        images: that containers run from.
        model: what a gateway or a mock that runs already is asked for, to prove that it answers.
        environ: where the API key of a gateway that runs already is looked up, and what installations may see; None for
            this process's own.
        locust: the workers that send every load but that of `second_generator`; None for perfgate's own generator.
    """

    mock_delay_ms = 0.0

    def __init__(
        self,
        cache: EnvironmentCache,
        backends: Collection[BackendName] = ONLY_PROCESSES,
        on_service: Callable[[str, dict[str, Any]], None] = lambda name, facts: None,
        parent_dir: Path | None = None,
        kept_logs_dir: Path | None = None,
        say: Callable[[str], None] = lambda line: None,
        mock_url: str | None = None,
        postgres_url: str | None = None,
        prisma_mode: PrismaMode = "native",
        images: Images = OFFICIAL,
        model: str = PLAIN_MODEL,
        environ: Mapping[str, str] | None = None,
        on_note: Callable[[str], None] = lambda sentence: None,
        locust: LocustFleet | None = None,
    ) -> None:
        self.cores: CorePlan = plan_cores(os.sched_getaffinity(0), locust.workers if locust is not None else 1)
        #: What runs in the gateways that were started, for `inspection.differences_in_words`.
        self.facts: dict[GatewaySpec, ServiceFacts] = {}
        #: How long each gateway took from its start until it answered, all its instances, in the order asked for.
        self.starts_s: dict[GatewaySpec, list[float]] = {}
        #: By backend, once the bench is open.
        self.sites: dict[BackendName, Site] = {}
        self._cache = cache
        self._backends: tuple[BackendName, ...] = tuple(dict.fromkeys(backends))
        self._on_service = on_service
        self._on_note = on_note
        self._locust = locust
        self._parent_dir = parent_dir
        self._kept_logs_dir = kept_logs_dir
        self._say = say
        self._mock_url = mock_url
        self._postgres_url = postgres_url
        self._prisma_mode: PrismaMode = prisma_mode
        self._images = images
        self._model = model
        self._environ = os.environ if environ is None else environ
        self._second: Generator | None = None

    def __enter__(self) -> Self:
        """Start supervisor, mocks and generator; see that a mock which runs already answers."""
        with ExitStack() as stack:
            if self._mock_url is not None:
                what = f"the mock endpoint that --mock-url={self._mock_url} names"
                prove(what, f"{self._mock_url}/chat/completions", self._model, None)
            supervisor = stack.enter_context(Supervisor(self._parent_dir))
            if "containers" not in self._backends:
                sweep_if_any(self._say)
            for name in self._backends:
                site = self.sites[name] = self._opened(name, supervisor, stack)
                if site.mock is not None:
                    self._on_service("mock", site.facts(site.mock))
            generator = Generator() if self._locust is None else LocustGenerator(self._locust)
            self.generator = stack.enter_context(generator)
            self._stack = stack.pop_all()
        return self

    def _opened(self, name: BackendName, supervisor: Supervisor, stack: ExitStack) -> Site:
        has_mock = self._mock_url is None
        if name == "processes":
            processes = ProcessSite(
                supervisor,
                self.cores,
                has_mock=has_mock,
                cache=self._cache,
                prisma_mode=self._prisma_mode,
                environ=self._environ,
                kept_logs_dir=self._kept_logs_dir,
                say=self._say,
            )
            return stack.enter_context(processes)
        containers = ContainerSite(
            supervisor.run_dir / "containers",
            self.cores,
            has_mock=has_mock,
            images=self._images,
            prisma_mode=self._prisma_mode,
            kept_logs_dir=self._kept_logs_dir,
            say=self._say,
        )
        return stack.enter_context(containers)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop everything."""
        self._stack.close()

    @property
    def second_generator(self) -> Generator:
        """A generator beside the first one, started when it is first asked for."""
        if self._second is None:
            self._second = self._stack.enter_context(Generator())
        return self._second

    @property
    def generator_cpus(self) -> tuple[int, ...]:
        """Cores of the generator."""
        return self.cores.generator

    def api_base(self, backend: BackendName) -> str:
        """What gateways of a backend take for the endpoint of every model."""
        if self._mock_url is not None:
            return self._mock_url
        return _api_base(self._mock(backend).inner_address)

    def direct_url(self, backend: BackendName, api: Api = Api.CHAT_COMPLETIONS) -> str:
        """The address of a backend's mock for an endpoint."""
        base = self._mock_url if self._mock_url is not None else _api_base(self._mock(backend).address)
        return f"{base}{api.path}"

    def upstream_requests(self, backend: BackendName) -> int | None:
        """How many requests for a model a backend's mock has received so far; None where it is not ours."""
        return None if self._mock_url is not None else received_requests(self._mock(backend).address.url)

    def _mock(self, backend: BackendName) -> RunningService:
        mock = self.sites[backend].mock
        assert mock is not None, "it is ours"
        return mock

    def check_alive(self) -> None:
        """Raise ServiceDied when a mock has ended; one that somebody else started is not ours to look after."""
        for site in self.sites.values():
            if site.mock is not None:
                site.mock.check_alive()

    def unasked_differences(self, baseline: GatewaySpec, candidate: GatewaySpec) -> Sequence[str]:
        """In what two gateways that were started differ though nobody asked for it.

        What a release, or packages beside it, make different is told as a note.
        """
        if "portkey" in (baseline.product, candidate.product):
            return ()  # another product differs in everything, and was asked for
        facts = (self.facts[baseline], self.facts[candidate])
        if may_have_other_packages(baseline, candidate):
            for sentence in (package_words(facts), *release_words(facts)):
                if sentence:
                    self._on_note(sentence)
        return unasked_differences(baseline, candidate, facts)

    def start_gateways(self, specs: Sequence[GatewaySpec], until_closed: ExitStack) -> Sequence[RunningGateway]:
        """Start gateways side by side, on all cores, since starting is not measured; then pin each to its cores.

        Args:
            specs: one for each gateway wanted; equal ones get processes, databases and Redis of their own.
            until_closed: stops them when it closes.
        """
        for name, site in self.sites.items():
            site.check_room([spec for spec in specs if spec.backend == name])
        with_prisma = any(spec.database for spec in specs)
        servers = self._database_servers([spec for spec in specs if spec.database], until_closed)
        logging = dict.fromkeys(spec.backend for spec in specs if spec.callback is not None)
        sinks = {backend: self._sink(backend, until_closed) for backend in logging}
        planned = [
            self._planned(spec, number, with_prisma, servers.get(spec.backend), sinks.get(spec.backend), until_closed)
            for number, spec in enumerate(specs, 1)
        ]
        running: dict[BackendName, list[RunningService]] = {name: [] for name in self.sites}
        for name, of_site in running.items():
            until_closed.callback(self.sites[name].backend.stop, of_site)

        def start(spec: GatewaySpec, service: GatewayService) -> tuple[RunningService, float]:
            limits = Limits(spec.cpus_per_instance, spec.memory_per_instance_bytes)
            began_mono_s = time.monotonic()
            up = self.sites[spec.backend].backend.start(service, limits=limits)
            took_s = time.monotonic() - began_mono_s
            running[spec.backend].append(up)
            return up, took_s

        with ThreadPoolExecutor(max_workers=max(2, len(os.sched_getaffinity(0)))) as pool:
            futures = [[pool.submit(start, plan.spec, service) for service in plan.services] for plan in planned]
            # The first error wins, but only after every start has ended: none may be forgotten half-way.
        started = [[future.result() for future in of_plan] for of_plan in futures]
        for plan, of_plan in zip(planned, started, strict=True):
            if of_plan:
                self.starts_s.setdefault(plan.spec, []).append(max(took_s for _, took_s in of_plan))
        return [self._gateway(plan, [up for up, _ in of_plan]) for plan, of_plan in zip(planned, started, strict=True)]

    def _database_servers(
        self, specs: Sequence[GatewaySpec], until_closed: ExitStack
    ) -> Mapping[BackendName, DatabaseServer]:
        """One for all gateways of a backend that need one, which takes what they may open."""
        servers = {}
        for backend in dict.fromkeys(spec.backend for spec in specs):
            needed = CONNECTIONS_MARGIN + sum(connections_of(spec) for spec in specs if spec.backend == backend)
            if self._postgres_url is not None:
                self._on_service("postgres", {**asdict(checked_server(self._postgres_url, needed)), "ours": False})
                servers[backend] = DatabaseServer(self._postgres_url)
                continue
            service, site = Postgres(max_connections=needed), self.sites[backend]
            up = until_closed.enter_context(site.backend.running(service, self.cores.mock))
            server = DatabaseServer(service.url(up.address), up.inner_address, service, up)
            self._on_service("postgres", {**site.facts(up), **asdict(server_facts(server.url)), "ours": True})
            servers[backend] = server
        return servers

    def _sink(self, backend: BackendName, until_closed: ExitStack) -> _Sink:
        """A log sink, on the cores of the mock."""
        service, site = LogSink(), self.sites[backend]
        up = until_closed.enter_context(site.backend.running(service, self.cores.mock))
        self._on_service(service.name, site.facts(up))
        proxy = SinkAddresses.of(up).through_proxy() if backend == "processes" else {}
        return _Sink(SinkControl(up.address.url), service.certificates.authority_pem, proxy)

    def _logging(self, spec: GatewaySpec, sink: _Sink | None) -> LogAccess | None:
        if spec.callback is None or sink is None:
            return None
        logged_by = callback(spec.callback, spec.callback_fault, self._environ)
        if logged_by.note:
            self._on_note(logged_by.note)
        return LogAccess(logged_by, sink.authority_pem, sink.proxy)

    def _planned(
        self,
        spec: GatewaySpec,
        number: int,
        with_prisma: bool,
        server: DatabaseServer | None,
        sink: _Sink | None,
        until_closed: ExitStack,
    ) -> _Planned:
        """What has to be there before a gateway is started, and its instances."""
        if isinstance(spec.source, RunningUrl):
            return _Planned(spec)
        site = self.sites[spec.backend]
        if spec.product == "portkey":
            program = site.portkey()
            portkey = Portkey(
                program, self.api_base(spec.backend), reply_contains=self._reply_contains, name=f"portkey-{number}"
            )
            return _Planned(spec, _side_by_side(portkey, spec.instances), portkey=program)
        installed = site.install(spec, with_prisma=with_prisma)
        url, access = None, None
        if spec.database:
            assert server is not None
            assert installed.prisma is not None
            url = until_closed.enter_context(fresh_database(server.url))
            inner_url = server.inner_url(url)
            self._say(f"making LiteLLM's tables for {spec}")
            installed.prisma.migrate(url, inner_url)
            access = DatabaseAccess(inner_url, installed.prisma.variables, DATABASE_POOL_LIMIT, DATABASE_FLUSH_S)
        redis, redis_outage = None, None
        if spec.redis is not None:
            service = Redis(REDIS_MEMORY_MIB, name=f"redis-{number}")
            up = until_closed.enter_context(site.backend.running(service, self.cores.mock))
            address, redis_outage = self._breakable(up, site, until_closed) if spec.redis_fails else (None, None)
            redis = RedisAccess(address or up.inner_address, service.password, spec.redis)
            self._on_service(service.name, site.facts(up))
        logging = self._logging(spec, sink)
        litellm = LiteLLM(
            installed.environment,
            self.api_base(spec.backend),
            workers=spec.workers,
            config=read_gateway_config(spec.config_path) if spec.config_path else None,
            reply_contains=self._reply_contains,
            callbacks=(FAULTS_CALLBACK,) if spec.faults else (),
            extra_files=faults_file() if spec.faults else {},
            is_priced=with_prisma,
            every_api=spec.every_api,
            database=access,
            redis=redis,
            logging=logging,
            name=f"litellm-{number}",
        )
        return _Planned(
            spec,
            _side_by_side(litellm, spec.instances),
            installed,
            database=Database(url) if url is not None else None,
            server=server,
            sink=sink,
            logging=logging,
            redis_outage=redis_outage,
        )

    @property
    def _reply_contains(self) -> str:
        """What proves that an answer is that of the endpoint behind a gateway."""
        return REPLY_TEXT if self._mock_url is None else ANY_REPLY

    def _breakable(
        self, up: RunningService, site: Site, until_closed: ExitStack
    ) -> tuple[Address, Callable[[], AbstractContextManager[None]]]:
        """Where gateways reach a service that can be made to fail, and how it is."""
        if isinstance(up, CanBeDown):
            return up.inner_address, up.outage
        proxy = until_closed.enter_context(site.backend.running(FaultProxy(up.inner_address), self.cores.mock))
        switch = FaultSwitch(proxy.address.url)
        return switch.entrance(), lambda: switch.holding(Fault("cut"))

    def _gateway(self, plan: _Planned, instances: Sequence[RunningService]) -> RunningGateway:
        """A gateway whose instances are up: pinned, and its facts told."""
        spec, services = plan.spec, plan.services
        if isinstance(spec.source, RunningUrl):
            key = self._environ[spec.source.key_env] if spec.source.key_env else None
            prove(f"the {spec.source}", spec.source.chat_url, self._model, key)
            self._on_service(str(spec), {"source": asdict(spec.source.facts)})
            return RunningGateway((spec.source.chat_url,), key)
        workers = tuple(
            wait_for_workers(up, spec.workers, deadline_s=service.start_deadline_s)
            for up, service in zip(instances, services, strict=True)
        )
        for up in instances:
            up.pin(self.cores.gateway)
            self._on_service(f"{spec} ({up.name})", {**self._facts_of(plan, up), **self.sites[spec.backend].facts(up)})
        api_key, ledger = services[0].client_key, None
        if plan.database is not None:
            assert api_key is not None, "LiteLLM has a master key"
            api_key = new_virtual_key(instances[0].address.url, api_key)
            ledger = DatabaseLedger(plan.database, api_key, connections_of(spec))
        log_ledger = None
        if plan.sink is not None and plan.logging is not None:
            log_ledger = SinkLedger(plan.sink.control, plan.logging.callback.format, FLUSH_S)
        chat_urls = tuple(
            f"{up.address.url}{service.chat_path}" for up, service in zip(instances, services, strict=True)
        )
        return RunningGateway(
            chat_urls,
            api_key,
            tuple(instances),
            workers,
            ledger,
            log_ledger,
            plan.server if spec.database else None,
            outages_of(plan),
            in_containers=spec.backend == "containers",
            headers=tuple(services[0].client_headers.items()),
        )

    def _facts_of(self, plan: _Planned, up: RunningService) -> dict[str, Any]:
        """What runs in an instance, for the record; of LiteLLM it is remembered, for comparisons."""
        spec = plan.spec
        if plan.portkey is not None:
            return {"source": asdict(spec.source.facts), "node_version": plan.portkey.node_version}
        assert plan.installed is not None, "it is LiteLLM, and was started"
        environment, prisma = plan.installed.environment, plan.installed.prisma
        facts = service_facts(
            up, python_version=environment.python_version, packages=environment.packages, workers=spec.workers
        )
        self.facts[spec] = facts
        chosen: dict[str, Any] = {"source": asdict(environment.source), "deps": environment.deps}
        chosen["until"] = environment.exclude_newer
        if spec.database and prisma is not None:
            chosen |= {"prisma_mode": prisma.mode, "prisma_engine": prisma.engine, "flush_s": DATABASE_FLUSH_S}
        return {**asdict(facts), **chosen}


def _side_by_side(service: LiteLLM | Portkey, instances: int) -> tuple[GatewayService, ...]:
    """So many of one service, each with a name of its own."""
    if instances == 1:
        return (service,)
    return tuple(replace(service, name=f"{service.name}-instance-{n}") for n in range(1, instances + 1))


def outages_of(plan: _Planned) -> Mapping[Outage, Callable[[], AbstractContextManager[None]]]:
    """How the dependencies of a gateway are made to fail."""
    outages: dict[Outage, Callable[[], AbstractContextManager[None]]] = {}
    if plan.sink is not None:
        control = plan.sink.control
        outages["sink hangs"] = lambda: control.holding(Hang())
        outages["sink answers 500"] = lambda: control.holding(Errors(500))
    server = plan.server
    if plan.spec.database and server is not None and server.service is not None and server.running is not None:
        service, running = server.service, server.running
        outages["PostgreSQL is down"] = lambda: postgres_outage(service, running)
    if plan.redis_outage is not None:
        outages["Redis is down"] = plan.redis_outage
    return outages


def connections_of(spec: GatewaySpec) -> int:
    """What the pools of a gateway may open together."""
    return connections_needed(DATABASE_POOL_LIMIT, spec.workers, spec.instances, margin=0)


def _api_base(address: Address) -> str:
    return address.url + CHAT_PATH.removesuffix("/chat/completions")


def prove(what: str, chat_url: str, model: str, api_key: str | None) -> None:
    """See that something which runs already answers one chat completion.

    Args:
        what: it, for the message.
        chat_url: where chat completions are POSTed to.
        model: what to ask for.
        api_key: sent as a bearer token, and in no message.

    Raises:
        StackFailed: it cannot be reached, or answers something else; says what.
    """
    question = {"model": model, "messages": [{"role": "user", "content": "ready?"}]}
    headers = {"Authorization": f"Bearer {api_key}"} if api_key is not None else {}
    try:
        # As the generator does it: no proxy from the environment, and OpenSSL's own idea of whom to trust.
        trusted = ssl.create_default_context()
        reply = httpx.post(
            chat_url, json=question, headers=headers, timeout=PROOF_TIMEOUT_S, trust_env=False, verify=trusted
        )
    except httpx.TimeoutException:
        answer = f"no answer within {PROOF_TIMEOUT_S:g} s"
    except httpx.RequestError as error:
        answer = f"no connection ({error})"
    else:
        if reply.status_code == httpx.codes.OK and ANY_REPLY in reply.text:
            return
        answer = f"status {reply.status_code}: {' '.join(reply.text.split()) or '(empty)'}"
    if api_key is not None:
        answer = answer.replace(api_key, "***")
    if len(answer) > SHOWN_ANSWER_CHARS:
        answer = answer[:SHOWN_ANSWER_CHARS] + " …"
    raise StackFailed(
        f"{what} did not answer a chat completion; nothing was measured\n"
        f"  asked        POST {chat_url} for the model {model}\n"
        f"  last answer  {answer}"
    )
