"""Which backend does a run take, and can this host give what is asked of it?

Comes in: settings, what the scenarios need, how many gateways are alive at once. Goes out: the gateway with its backend
and limits, and a `StackChoice` that says why. Nothing is started; an engine is asked about itself when it may be used.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from perfgate.errors import BadInput
from perfgate.experiment.arms import DATABASE_POOL_LIMIT, GatewaySpec
from perfgate.settings import Settings
from perfgate.stack.affinity import plan_cores
from perfgate.stack.containers import check_limits, limits_of
from perfgate.stack.engine import EngineFacts, StackChoice, choose_stack, engine_facts
from perfgate.stack.images import images_of
from perfgate.stack.postgres import connections_needed, postgres_programs
from perfgate.stack.postgres_server import checked_server
from perfgate.stack.redis import Redis
from perfgate.stack.service import is_on_loopback
from perfgate.stack.sources import RunningUrl


@dataclass(frozen=True, slots=True)
class ChosenStack:
    """What `--stack` came to.

    Args:
        choice: the backend, and why.
        gateway: with that backend and its limits.
        engine: of containers; None with processes.
        generations: so many of the gateway are alive at once.
    """

    choice: StackChoice
    gateway: GatewaySpec
    engine: EngineFacts | None
    generations: int


def chosen_stack(settings: Settings, generations: int, look: Callable[[], EngineFacts] = engine_facts) -> ChosenStack:
    """Choose the backend, and see that limits can be kept.

    Args:
        settings: of the run.
        generations: so many of the gateway are alive at once.
        look: asks an engine about itself, or raises NoEngine.

    Raises:
        NoEngine: containers are asked for, and there is no engine.
        BadInput: the gateway cannot run in a container, or this host is too small for the limits.
    """
    found: list[EngineFacts] = []

    def facts() -> EngineFacts:
        found.append(look())
        return found[0]

    gateway, reason = settings.gateway, settings.gateway.not_in_containers
    if reason is None and settings.baseline is not None:
        reason = settings.baseline.not_in_containers
    if settings.stack == "auto" and reason is not None:
        choice = StackChoice("processes", reason)
    else:
        choice = choose_stack(settings.stack, facts)
    images_of(settings.images)
    limits = limits_of(settings.cpus_per_instance, settings.memory_per_instance)
    gateway = replace(
        gateway,
        backend=choice.backend,
        cpus_per_instance=limits.cpus,
        memory_per_instance_bytes=limits.memory_bytes,
    )
    if found and choice.backend == "containers":
        cores = plan_cores(os.sched_getaffinity(0), settings.generator_processes)
        alive = gateway.instances * generations
        check_limits(limits, instances=gateway.instances, alive=alive, cores=cores, engine=found[0])
        if settings.postgres_url is not None and is_on_loopback(settings.postgres_url):
            raise BadInput(
                "--postgres-url names a server on loopback, which containers cannot reach: give it an address of this "
                "host that they can, or take --stack=processes"
            )
    return ChosenStack(choice, gateway, found[0] if found else None, generations)


def lacking(services: Collection[str], chosen: ChosenStack, postgres_url: str | None) -> str | None:
    """What this host lacks for a scenario that needs these services, in words; None when it lacks nothing.

    Args:
        services: of `postgres` and `redis`.
        chosen: the stack.
        postgres_url: of a server that runs already.

    Raises:
        BadInput: that server cannot be used.
    """
    gateway = chosen.gateway
    if services and isinstance(gateway.source, RunningUrl):
        return f"a gateway that perfgate starts, with {' and '.join(services)}; {gateway.source} runs already"
    if services and gateway.product != "litellm":
        return f"a LiteLLM with {' and '.join(services)}; --litellm names {gateway.source}"
    if "postgres" in services and postgres_url is not None:
        alive = gateway.instances * chosen.generations
        checked_server(postgres_url, connections_needed(DATABASE_POOL_LIMIT, gateway.workers, alive))
    elif "postgres" in services and gateway.backend == "processes":
        try:
            postgres_programs()
        except BadInput as error:
            return f"PostgreSQL: {error}"
    if "redis" in services and gateway.backend == "processes" and (why := Redis.lacking()) is not None:
        return f"Redis: {why}"
    return None
