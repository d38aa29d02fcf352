"""What is compared: an arm, and the gateway that serves it: LiteLLM, or Portkey beside it.

Values only. Two arms with an equal `GatewaySpec` are served by the same processes, so that a fault can be switched on
and off from window to window inside one process. Each arm says where it runs, so that both backends can be arms of one
run.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from perfgate.errors import BadInput
from perfgate.load.api import Api
from perfgate.stack.backend import BackendName
from perfgate.stack.callbacks import CallbackFault, CallbackName, lacking
from perfgate.stack.litellm import FLUSH_JITTER_S, RedisBy
from perfgate.stack.releases import DepsMode
from perfgate.stack.sources import PortkeyRelease, Release, RunningUrl, Source

#: What a gateway is.
Product = Literal["litellm", "portkey"]

#: The model asked for by default; the mock endpoint answers any name outside its own grammar with a plain reply.
PLAIN_MODEL: Final = "perfgate-plain"
#: How often a gateway with a database writes what it has gathered, in seconds; production does so once a minute.
#: LiteLLM adds up to 5 s, drawn at each start.
DATABASE_FLUSH_S: Final = 1
DATABASE_FLUSH_MAX_S: Final = DATABASE_FLUSH_S + FLUSH_JITTER_S
#: Connections of each worker's pool: LiteLLM's own default.
DATABASE_POOL_LIMIT: Final = 10

#: The names of the arms of a comparison.
BASELINE: Final = "baseline"
CANDIDATE: Final = "candidate"

#: What the name of an endpoint's direct arm ends in; it begins as that of the arm through the gateway, the endpoint's.
DIRECT_SUFFIX: Final = "_direct"


@dataclass(frozen=True, slots=True)
class GatewaySpec:
    """One gateway as it is to be started, or as it runs already.

    Args:
        source: which LiteLLM; or Portkey, to which only `instances`, `backend`, what an instance may use, and `apart`
            apply.
        deps: its dependencies as of its release date, or the newest of today.
        workers: worker processes of each instance.
        faults: load the callback that injects faults of known size (stack/litellm_faults.py).
        instances: processes side by side; the generator takes them in turn.
        config_path: the user's own configuration (stack/gateway_config.py); None passes every model on to the mock.
        with_packages: what is installed beside LiteLLM (`installing.checked_packages`).
        backend: what starts it.
        database: keep virtual keys and spend in a PostgreSQL database of its own, and be asked with such a key.
        redis: keep replies in a Redis of its own, which all instances share; how LiteLLM is told where it is. None for
            none.
        cpus_per_instance: cores that an instance may use at most; None for all. Containers only.
        memory_per_instance_bytes: memory that it may use at most; None for all. Containers only.
        redis_fails: have that Redis where it can be made to fail.
        callback: log every request by it, to a log sink of ours; None for none.
        callback_fault: of known size, in that callback.
        every_api: have models for messages and realtime sessions beside those that all other endpoints share.
        apart: two gateways that differ in nothing else have processes of their own all the same: those of `baseline`
            and `candidate` when a release is compared with itself.

    Raises:
        BadInput: something is asked for that a gateway which runs already, Portkey, or one in a container cannot be
            given.
    """

    source: Source
    deps: DepsMode = "of-its-time"
    workers: int = 1
    faults: bool = False
    instances: int = 1
    config_path: Path | None = None
    with_packages: tuple[str, ...] = ()
    backend: BackendName = "processes"
    database: bool = False
    redis: RedisBy | None = None
    redis_fails: bool = False
    callback: CallbackName | None = None
    callback_fault: CallbackFault | None = None
    cpus_per_instance: float | None = None
    memory_per_instance_bytes: int | None = None
    every_api: bool = False
    apart: str = ""

    def __post_init__(self) -> None:
        """Check the numbers, and what goes together."""
        for name in ("workers", "instances"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        of_litellm = {
            "--workers": self.workers > 1,
            "--gateway-config": self.config_path is not None,
            "--with-packages": bool(self.with_packages),
            "--deps": self.deps != "of-its-time",
            "faults": self.faults,
            "a database": self.database,
            "Redis": self.redis is not None,
            "a callback": self.callback is not None,
        }
        if isinstance(self.source, RunningUrl):
            started = {"--instances": self.instances > 1, "--stack=containers": self.backend == "containers"}
            if given := _given(of_litellm | started):
                raise BadInput(f"{self.source} runs already and is not started by perfgate: {given} cannot apply to it")
        if isinstance(self.source, PortkeyRelease) and (given := _given(of_litellm)):
            raise BadInput(
                f"{self.source} is not LiteLLM: {given} cannot apply to it. It is one process that is told all by each "
                "request; --instances starts several"
            )
        if self.callback is not None and (reason := lacking(self.callback, self.source)) is not None:
            raise BadInput(f"{reason}: leave it out with --scenarios, or take another release")
        if self.backend == "containers" and (reason := self.not_in_containers) is not None:
            raise BadInput(f"{reason}: with --stack=processes it can be measured")
        if self.backend == "processes" and (self.cpus_per_instance or self.memory_per_instance_bytes):
            raise BadInput(
                "--cpus-per-instance and --memory-per-instance are limits that an engine sets on containers: they need "
                "--stack=containers"
            )

    @property
    def product(self) -> Product:
        """What it is."""
        return "portkey" if isinstance(self.source, PortkeyRelease) else "litellm"

    @property
    def not_in_containers(self) -> str | None:
        """Why it cannot run in a container, in words; None when it can: an image holds a release as it was made."""
        if isinstance(self.source, PortkeyRelease):
            return None  # it has an image of its own
        if not isinstance(self.source, Release):
            return f"{self.source} is not in an image of LiteLLM: containers run releases"
        if self.with_packages:
            return f"--with-packages {' '.join(self.with_packages)!r} is not in an image of LiteLLM"
        if self.deps != "of-its-time":
            return f"--deps {self.deps}: the dependencies of an image of LiteLLM are those it was built with"
        return None

    def __str__(self) -> str:
        """As it stands in a table: `litellm 1.106.2`, and whatever is not the default."""
        said = [" with ".join([str(self.source), *self.with_packages])]
        if self.instances > 1:
            said.append(f"{self.instances} instances")
        if self.workers > 1:
            said.append(f"{self.workers} workers" + (" each" if self.instances > 1 else ""))
        if self.config_path is not None:
            said.append(f"config {self.config_path.name}")
        if self.database:
            said.append("with a database")
        if self.redis is not None:
            said.append("with Redis" + (" by URL" if self.redis == "url" else ""))
        if self.callback is not None:
            said.append(f"with callback {self.callback}")
        if self.every_api:
            said.append("with models for every endpoint")
        if self.callback_fault is not None:
            said.append(f"which {self.callback_fault}")
        if self.backend == "containers":
            said.append("in containers")
        if self.cpus_per_instance is not None:
            said.append(f"{self.cpus_per_instance:g} cores each")
        if self.memory_per_instance_bytes is not None:
            said.append(f"{self.memory_per_instance_bytes / 2**20:g} MiB each")
        return ", ".join(said)

    @property
    def memory_bytes(self) -> int | None:
        """What its limits promise to all its instances; None where there are none."""
        return None if self.memory_per_instance_bytes is None else self.instances * self.memory_per_instance_bytes

    @property
    def processes(self) -> int:
        """How many processes serve requests."""
        return self.instances * self.workers

    @property
    def options(self) -> str:
        """What to type to have it again, whatever the variables and defaults are then."""
        if isinstance(self.source, RunningUrl):
            words = ["--litellm", self.source.option_text]
            words += ["--gateway-key-env", self.source.key_env] if self.source.key_env else []
            return shlex.join(words)
        words = ["--litellm", self.source.option_text, "--deps", self.deps, "--workers", str(self.workers)]
        words += ["--instances", str(self.instances)] if self.instances > 1 else []
        words += ["--gateway-config", str(self.config_path)] if self.config_path else []
        words += ["--with-packages", " ".join(self.with_packages)] if self.with_packages else []
        words += ["--cpus-per-instance", f"{self.cpus_per_instance:g}"] if self.cpus_per_instance else []
        if self.memory_per_instance_bytes is not None:
            words += ["--memory-per-instance", f"{self.memory_per_instance_bytes // 2**20}m"]
        return shlex.join([*words, "--stack", self.backend])


def _given(asked: Mapping[str, bool]) -> str:
    """What of it was given, divided by commas."""
    return ", ".join(name for name, is_given in asked.items() if is_given)


@dataclass(frozen=True, slots=True)
class Arm:
    """One thing under test in a comparison.

    Args:
        name: `direct`, `gateway`, `baseline`, `candidate`, `callback_on` …; unique within a measurement.
        gateway: what stands between generator and mock; None is the direct arm.
        model: the model its requests ask for.
        same_prompt: whether all requests of a window carry the same prompt, which a cache may answer; else each has its
            own.
        api: the endpoint that it asks.
        direct_on: of the direct arm: whose mock it asks. Each backend has its own, behind its own network path.

    >>> Arm("direct", gateway=None).is_direct
    True
    """

    name: str
    gateway: GatewaySpec | None
    model: str = PLAIN_MODEL
    same_prompt: bool = False
    api: Api = Api.CHAT_COMPLETIONS
    direct_on: BackendName = "processes"

    @property
    def is_direct(self) -> bool:
        """Whether requests go to the mock without a gateway."""
        return self.gateway is None

    @property
    def backend(self) -> BackendName:
        """Where what it asks runs."""
        return self.gateway.backend if self.gateway is not None else self.direct_on
