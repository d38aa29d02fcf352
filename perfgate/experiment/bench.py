"""What stands ready for an experiment: supervisor, mock endpoint, generator, and gateways on demand.

Comes in: the cache of environments, a plan of cores. Goes out: what experiment/rounds.py asks of a `Bench`.
Everything that is started ends with the context, and with this process, however it ends.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from perfgate.experiment.arms import GatewaySpec
from perfgate.load.runner import Generator
from perfgate.stack.affinity import CorePlan, plan_cores
from perfgate.stack.environments import Environment, EnvironmentCache
from perfgate.stack.inspection import service_facts
from perfgate.stack.litellm import CHAT_PATH, FAULTS_CALLBACK, LiteLLM, faults_file
from perfgate.stack.mock import Mock
from perfgate.stack.processes import ProcessBackend, Running
from perfgate.stack.supervision import Supervisor


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A LiteLLM instance that answers.

    Args:
        running: its process.
        api_key: its master key.
    """

    running: Running
    api_key: str

    @property
    def pid(self) -> int:
        """Of its first process."""
        return self.running.pid

    @property
    def chat_url(self) -> str:
        """Where chat completions are POSTed to."""
        return f"{self.running.address.url}{CHAT_PATH}"

    def check_alive(self) -> None:
        """Raise ServiceDied when it has ended."""
        self.running.check_alive()

    def __repr__(self) -> str:
        """Without the key."""
        return f"<RunningGateway {self.running.name} pid {self.pid}>"


class ProcessBench:
    """The bench of the process backend.

    `with ProcessBench(cache) as bench: run_rounds(bench, ...)`

    Args:
        cache: where environments of releases are.
        on_service: called with the name and the facts of every service once it is up, for the record.
        parent_dir: where the run's temporary folder is made; None for the system's.
    """

    mock_delay_ms = 0.0

    def __init__(
        self,
        cache: EnvironmentCache,
        on_service: Callable[[str, dict[str, Any]], None] = lambda name, facts: None,
        parent_dir: Path | None = None,
    ) -> None:
        self.cores: CorePlan = plan_cores(os.sched_getaffinity(0))
        self._cache = cache
        self._on_service = on_service
        self._parent_dir = parent_dir
        self._environments: dict[tuple[str, str], Environment] = {}

    def __enter__(self) -> Self:
        """Start supervisor, mock and generator."""
        with ExitStack() as stack:
            supervisor = stack.enter_context(Supervisor(self._parent_dir))
            self._backend = ProcessBackend(supervisor)
            self.mock = stack.enter_context(self._backend.running(Mock(), self.cores.mock))
            self.generator = stack.enter_context(Generator())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop everything."""
        self._stack.close()

    @property
    def direct_url(self) -> str:
        """The mock's address for chat completions."""
        return f"{self.mock.address.url}{CHAT_PATH}"

    @property
    def generator_cpus(self) -> tuple[int, ...]:
        """Cores of the generator."""
        return self.cores.generator

    def check_alive(self) -> None:
        """Raise ServiceDied when the mock has ended."""
        self.mock.check_alive()

    def install(self, spec: GatewaySpec) -> Environment:
        """The environment of a gateway, made if need be; in use until the bench ends."""
        key = (spec.release, spec.deps)
        if key not in self._environments:
            self._environments[key] = self._stack.enter_context(self._cache.using(spec.release, spec.deps))
        return self._environments[key]

    def start_gateways(self, specs: Sequence[GatewaySpec], until_closed: ExitStack) -> Sequence[RunningGateway]:
        """Start gateways side by side, on all cores, since starting is not measured; then pin each to its cores."""
        services = [self._service(spec, number) for number, spec in enumerate(specs, 1)]
        running: list[Running] = []
        until_closed.callback(lambda: self._backend.stop(running))

        def start(service: LiteLLM) -> Running:
            up = self._backend.start(service)
            running.append(up)
            return up

        with ThreadPoolExecutor(max_workers=max(2, len(os.sched_getaffinity(0)))) as pool:
            futures = [pool.submit(start, service) for service in services]
            # The first error wins, but only after every start has ended: none may be forgotten half-way.
        started = [future.result() for future in futures]
        gateways = []
        for spec, service, up in zip(specs, services, started, strict=True):
            pin_tree(up.pid, self.cores.gateway)
            installed = service.installed
            facts = service_facts(
                up, python_version=installed.python_version, packages=installed.packages, workers=spec.workers
            )
            self._on_service(f"{spec} ({up.name})", asdict(facts))
            gateways.append(RunningGateway(up, service.master_key))
        return gateways

    def _service(self, spec: GatewaySpec, number: int) -> LiteLLM:
        return LiteLLM(
            self.install(spec),
            self.mock.address.url,
            workers=spec.workers,
            callbacks=(FAULTS_CALLBACK,) if spec.faults else (),
            extra_files=faults_file() if spec.faults else {},
            name=f"litellm-{number}",
        )


def pin_tree(pid: int, cpus: Sequence[int]) -> None:
    """Keep every thread of a process and of its descendants on these cores; empty leaves them alone."""
    if not cpus:
        return
    process = psutil.Process(pid)
    for member in [process, *process.children(recursive=True)]:
        for thread in member.threads():
            try:
                os.sched_setaffinity(thread.id, cpus)
            except ProcessLookupError:
                continue  # the thread has ended in the meantime
