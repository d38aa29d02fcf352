"""What stands ready for an experiment: supervisor, mock endpoint, generator, and gateways on demand.

Comes in: the cache of environments, a plan of cores, and what runs already (a mock, a gateway). Goes out: what
experiment/rounds.py asks of a `Bench`. Everything that is started ends with the context, and with this process, however
it ends. What runs already is proven with one real request, and left alone.
"""

import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import psutil

from perfgate.errors import StackFailed
from perfgate.experiment.arms import PLAIN_MODEL, GatewaySpec
from perfgate.load.runner import Generator
from perfgate.stack.affinity import CorePlan, plan_cores
from perfgate.stack.environments import Environment, EnvironmentCache
from perfgate.stack.gateway_config import read_gateway_config
from perfgate.stack.inspection import ServiceFacts, service_facts
from perfgate.stack.litellm import CHAT_PATH, FAULTS_CALLBACK, LiteLLM, faults_file
from perfgate.stack.mock import REPLY_TEXT, Mock
from perfgate.stack.processes import ProcessBackend, Running
from perfgate.stack.sources import RunningUrl
from perfgate.stack.supervision import Supervisor
from perfgate.stack.workers import Workers, wait_for_workers

#: Every chat completion in OpenAI's format holds it, whoever answers.
ANY_REPLY: Final = '"choices"'
#: How long a mock or a gateway that runs already may take for one chat completion.
PROOF_TIMEOUT_S: Final = 30.0
#: What of an answer is worth showing.
SHOWN_ANSWER_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A gateway that answers: one LiteLLM instance or several, or one that somebody else started.

    Args:
        chat_urls: where chat completions are POSTed to, one for each instance.
        api_key: the key that all of them accept; None where none is needed.
        instances: their processes; empty for a gateway that somebody else started.
        workers: the workers of each.
    """

    chat_urls: tuple[str, ...]
    api_key: str | None = field(repr=False)
    instances: tuple[Running, ...] = ()
    workers: tuple[Workers, ...] = ()

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the first process of each instance; empty where CPU and memory cannot be measured."""
        return tuple(instance.pid for instance in self.instances)

    def check_alive(self) -> None:
        """Raise ServiceDied when one of its instances or their workers has ended."""
        for instance in self.instances:
            instance.check_alive()
        for workers in self.workers:
            workers.check_alive()


class ProcessBench:
    """The bench of the process backend.

    `with ProcessBench(cache) as bench: run_rounds(bench, ...)`

    Args:
        cache: where environments are.
        on_service: called with the name and the facts of every service once it is up, for the record.
        parent_dir: where the run's temporary folder is made; None for the system's.
        kept_logs_dir: where the log of a service that failed is kept; None keeps none.
        say: called with a line before anything that takes long, such as an installation.
        mock_url: an endpoint that runs already, its chat completions at `mock_url/chat/completions`; None starts the
            mock endpoint of our own.
        model: what a gateway or a mock that runs already is asked for, to prove that it answers.
        environ: where the API key of a gateway that runs already is looked up; None for this process's own.
    """

    mock_delay_ms = 0.0

    def __init__(
        self,
        cache: EnvironmentCache,
        on_service: Callable[[str, dict[str, Any]], None] = lambda name, facts: None,
        parent_dir: Path | None = None,
        kept_logs_dir: Path | None = None,
        say: Callable[[str], None] = lambda line: None,
        mock_url: str | None = None,
        model: str = PLAIN_MODEL,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.cores: CorePlan = plan_cores(os.sched_getaffinity(0))
        #: What runs in the gateways that were started, for `inspection.differences_in_words`.
        self.facts: dict[GatewaySpec, ServiceFacts] = {}
        self.mock: Running | None = None
        self._cache = cache
        self._on_service = on_service
        self._parent_dir = parent_dir
        self._kept_logs_dir = kept_logs_dir
        self._say = say
        self._mock_url = mock_url
        self._model = model
        self._environ = os.environ if environ is None else environ
        self._environments: dict[object, Environment] = {}

    def __enter__(self) -> Self:
        """Start supervisor, mock and generator; see that a mock which runs already answers."""
        with ExitStack() as stack:
            if self._mock_url is not None:
                prove(f"the mock endpoint that --mock-url={self._mock_url} names", self.direct_url, self._model, None)
            supervisor = stack.enter_context(Supervisor(self._parent_dir))
            self._backend = ProcessBackend(supervisor, self._kept_logs_dir)
            if self._mock_url is None:
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
    def api_base(self) -> str:
        """What gateways take for the endpoint of every model."""
        if self._mock_url is not None:
            return self._mock_url
        assert self.mock is not None, "the bench is open"
        return self.mock.address.url + CHAT_PATH.removesuffix("/chat/completions")

    @property
    def direct_url(self) -> str:
        """The mock's address for chat completions."""
        return f"{self.api_base}/chat/completions"

    @property
    def generator_cpus(self) -> tuple[int, ...]:
        """Cores of the generator."""
        return self.cores.generator

    def check_alive(self) -> None:
        """Raise ServiceDied when the mock has ended; one that somebody else started is not ours to look after."""
        if self.mock is not None:
            self.mock.check_alive()

    def install(self, spec: GatewaySpec) -> Environment:
        """The environment of a gateway, made if need be; in use until the bench ends.

        Raises:
            TypeError: it runs already.
        """
        if isinstance(spec.source, RunningUrl):
            raise TypeError(f"{spec} runs already: there is nothing to install")
        key = (spec.source, spec.deps, spec.with_packages)
        if key not in self._environments:
            using = self._cache.using(spec.source, spec.deps, spec.with_packages, say=self._say)
            self._environments[key] = self._stack.enter_context(using)
        return self._environments[key]

    def start_gateways(self, specs: Sequence[GatewaySpec], until_closed: ExitStack) -> Sequence[RunningGateway]:
        """Start gateways side by side, on all cores, since starting is not measured; then pin each to its cores.

        Args:
            specs: one for each gateway wanted; equal ones get processes of their own.
            until_closed: stops them when it closes.
        """
        services = [self._services(spec, number) for number, spec in enumerate(specs, 1)]
        running: list[Running] = []
        until_closed.callback(lambda: self._backend.stop(running))

        def start(service: LiteLLM) -> Running:
            up = self._backend.start(service)
            running.append(up)
            return up

        with ThreadPoolExecutor(max_workers=max(2, len(os.sched_getaffinity(0)))) as pool:
            futures = [[pool.submit(start, service) for service in of_spec] for of_spec in services]
            # The first error wins, but only after every start has ended: none may be forgotten half-way.
        started = [[future.result() for future in of_spec] for of_spec in futures]
        return [
            self._gateway(spec, of_spec, instances)
            for spec, of_spec, instances in zip(specs, services, started, strict=True)
        ]

    def _services(self, spec: GatewaySpec, number: int) -> list[LiteLLM]:
        """The instances of a gateway, which share their key; none for one that runs already."""
        if isinstance(spec.source, RunningUrl):
            return []
        first = LiteLLM(
            self.install(spec),
            self.api_base,
            workers=spec.workers,
            config=read_gateway_config(spec.config_path) if spec.config_path else None,
            reply_contains=REPLY_TEXT if self._mock_url is None else ANY_REPLY,
            callbacks=(FAULTS_CALLBACK,) if spec.faults else (),
            extra_files=faults_file() if spec.faults else {},
            name=f"litellm-{number}",
        )
        if spec.instances == 1:
            return [first]
        return [replace(first, name=f"{first.name}-instance-{instance}") for instance in range(1, spec.instances + 1)]

    def _gateway(self, spec: GatewaySpec, services: Sequence[LiteLLM], instances: Sequence[Running]) -> RunningGateway:
        """A gateway whose instances are up: pinned, and its facts told."""
        if isinstance(spec.source, RunningUrl):
            key = self._environ[spec.source.key_env] if spec.source.key_env else None
            prove(f"the {spec.source}", spec.source.chat_url, self._model, key)
            self._on_service(str(spec), {"source": asdict(spec.source.facts)})
            return RunningGateway((spec.source.chat_url,), key)
        installed = services[0].installed
        workers = tuple(
            wait_for_workers(up, spec.workers, deadline_s=service.start_deadline_s)
            for up, service in zip(instances, services, strict=True)
        )
        for up in instances:
            pin_tree(up.pid, self.cores.gateway)
            facts = service_facts(
                up, python_version=installed.python_version, packages=installed.packages, workers=spec.workers
            )
            self.facts[spec] = facts
            chosen = {"source": asdict(installed.source), "deps": installed.deps, "until": installed.exclude_newer}
            self._on_service(f"{spec} ({up.name})", {**asdict(facts), **chosen})
        chat_urls = tuple(f"{up.address.url}{CHAT_PATH}" for up in instances)
        return RunningGateway(chat_urls, services[0].master_key, tuple(instances), workers)


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
