"""In which settings does a run differ from the page's?

Comes in: what a table was run with. Goes out: a `Difference` for every setting that is another one, and none for those
that are the same.
"""

from collections.abc import Mapping
from typing import Final

from perfgate.experiment.arms import DATABASE_FLUSH_MAX_S, DATABASE_FLUSH_S, GatewaySpec
from perfgate.load.schedule import ClosedLoop
from perfgate.reproduce.published import SETTINGS
from perfgate.reproduce.reproduced import Difference
from perfgate.reproduce.table import Reproduction
from perfgate.stack.callbacks import FLUSH_S
from perfgate.stack.prisma_engine import PrismaMode

NOT_SAID: Final = "not said"
_MIB: Final = 2**20


def differences_of(
    specs: Mapping[str, GatewaySpec], load: ClosedLoop, rounds: int, why_no_thinking: str, reproduction: Reproduction
) -> tuple[Difference, ...]:
    """Every setting of the load, of the gateways and of what stands around them that is not the page's.

    Args:
        specs: the gateways by arm.
        load: of their windows.
        rounds: so many windows of each.
        why_no_thinking: where users do not think, why.
        reproduction: the run.
    """
    low_s, high_s = SETTINGS.think_time_s
    found = [
        Difference("load generator", "Locust", "perfgate's closed loop; latency from the intended start"),
        Difference("users", f"{SETTINGS.users:,}", f"{load.users:,}") if load.users != SETTINGS.users else None,
        Difference(
            "their start",
            f"{SETTINGS.users_per_s} a second",
            f"within the first {load.think_time_s or 1:g} s, spread evenly",
        ),
        Difference(
            "think time",
            f"{low_s:g} to {high_s:g} s, evenly spread",
            f"{load.think_time_s:g} s each time, their mean" if load.think_time_s else f"none: {why_no_thinking}",
        ),
        Difference(
            "length",
            NOT_SAID,
            f"{rounds} windows of {load.window_s:g} s for each arm, interleaved in random order",
        ),
        Difference(
            "percentiles",
            "Locust's: two digits above 100 ms",
            "HdrHistogram's, three digits, of all windows merged",
        ),
        Difference("LiteLLM", NOT_SAID + " (v1.79.1-stable beside Portkey)", str(reproduction.settings.gateway)),
        *_of_gateways(specs, reproduction.gateway_cores),
        *_of_services(specs, reproduction.settings.prisma_engine),
        Difference(
            "endpoint", "a fake OpenAI endpoint elsewhere", "perfgate's mock, on the same host, answers at once"
        ),
    ]
    return tuple(difference for difference in found if difference is not None)


def _of_gateways(specs: Mapping[str, GatewaySpec], cores: int) -> list[Difference | None]:
    one = next(iter(specs.values()))
    page = f"{SETTINGS.vcpus} vCPU, {SETTINGS.memory_gb} GB each"
    if one.cpus_per_instance == SETTINGS.vcpus and one.memory_per_instance_bytes == SETTINGS.memory_gb * 1024 * _MIB:
        machine = None
    elif one.cpus_per_instance or one.memory_per_instance_bytes:
        limits = [f"{one.cpus_per_instance:g} cores"] if one.cpus_per_instance else []
        limits += [f"{one.memory_per_instance_bytes // _MIB} MiB"] if one.memory_per_instance_bytes else []
        machine = Difference("machine of an instance", page, f"a container of {', '.join(limits)} on one host")
    else:
        here = f"all instances of all arms share {cores} {'core' if cores == 1 else 'cores'} of one host"
        machine = Difference("machine of an instance", page, here + ", without a limit of memory")
    workers = one.workers
    return [
        machine,
        Difference("workers of an instance", str(SETTINGS.workers), str(workers))
        if workers != SETTINGS.workers
        else None,
    ]


def _of_services(specs: Mapping[str, GatewaySpec], prisma_engine: PrismaMode) -> list[Difference | None]:
    every = list(specs.values())
    found: list[Difference | None] = []
    if any(spec.database for spec in every):
        found += [
            Difference("PostgreSQL", "elsewhere", "on the same host, on the mock's cores, empty at first"),
            Difference(
                "writing to it",
                NOT_SAID,
                f"every {DATABASE_FLUSH_S} to {DATABASE_FLUSH_MAX_S} s, and a window ends when all is written",
            ),
            Difference("its engine in LiteLLM (Prisma)", "native", prisma_engine)
            if prisma_engine != "native"
            else None,
        ]
    else:
        found.append(Difference("database", "PostgreSQL", "none"))
    if any(spec.redis is not None for spec in every):
        found.append(Difference("Redis", "not used", "a cache of replies, which no request hits, on the same host"))
    if any(spec.callback is not None for spec in every):
        found += [
            Difference(
                "where records go", "the real service", "perfgate's log sink, on the same host, answers at once"
            ),
            Difference("writing of records", NOT_SAID, f"every {FLUSH_S} s, and a window ends when all are there"),
        ]
    return found
