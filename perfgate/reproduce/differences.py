"""In which settings does a run differ from the page's?

Comes in: what a table was run with. Goes out: a `Difference` for every setting that is another one, and none for those
that are the same.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from perfgate.experiment.arms import DATABASE_FLUSH_MAX_S, DATABASE_FLUSH_S, GatewaySpec
from perfgate.load.schedule import ClosedLoop
from perfgate.reproduce.command_line import without_folders
from perfgate.reproduce.published import NOT_SAID, SETTINGS, PageRun
from perfgate.reproduce.reproduced import Difference
from perfgate.reproduce.table import Reproduction
from perfgate.stack.callbacks import FLUSH_S
from perfgate.stack.prisma_engine import PrismaMode

_MIB: Final = 2**20


def differences_of(
    specs: Mapping[str, GatewaySpec],
    load: ClosedLoop,
    rounds: int,
    page: PageRun,
    reproduction: Reproduction,
    *,
    why_no_thinking: str = "",
    own: Sequence[Difference] = (),
) -> tuple[Difference, ...]:
    """Every setting of the load, of the gateways and of what stands around them that is not the page's.

    Args:
        specs: the gateways by arm.
        load: of their windows.
        rounds: so many windows of each.
        page: what it says of this table's run.
        reproduction: the run.
        why_no_thinking: where users do not think, why.
        own: of the table itself.
    """
    litellm = next(spec for spec in specs.values() if spec.product == "litellm")
    release = str(without_folders(litellm.source))
    found = [
        _generator(reproduction),
        Difference("users", f"{SETTINGS.users:,}", f"{load.users:,}") if load.users != SETTINGS.users else None,
        _start(load),
        _thinking(load, why_no_thinking),
        Difference(
            "length",
            page.length,
            f"{rounds} windows of {load.window_s:g} s for each arm, interleaved in random order",
        ),
        Difference(
            "percentiles",
            "Locust's: two digits above 100 ms",
            "HdrHistogram's, three digits, of all windows merged",
        ),
        Difference("LiteLLM", page.litellm, release) if page.litellm != release else None,
        *own,
        *_of_gateways(litellm, page, reproduction.gateway_cores),
        *_of_services(specs, reproduction.settings.prisma_engine),
        Difference(
            "endpoint", "a fake OpenAI endpoint elsewhere", "perfgate's mock, on the same host, answers at once"
        ),
    ]
    return tuple(difference for difference in found if difference is not None)


def _generator(reproduction: Reproduction) -> Difference:
    if reproduction.settings.locust is None:
        return Difference("load generator", "Locust", "perfgate's closed loop; latency from the intended start")
    workers = reproduction.settings.locust.words
    return Difference(
        "load generator",
        "Locust's HttpUser",
        f"Locust's FastHttpUser, workers: {workers}; latency from the intended start",
    )


def _start(load: ClosedLoop) -> Difference | None:
    if load.spawn_per_s is None:
        here = "within the first second, spread evenly"
    elif load.spawn_per_s != SETTINGS.users_per_s:
        here = f"{load.spawn_per_s:g} a second, all are there after {load.users / load.spawn_per_s:.3g} s"
    else:
        return None
    after_s = SETTINGS.users / SETTINGS.users_per_s
    return Difference("their start", f"{SETTINGS.users_per_s} a second, all are there after {after_s:g} s", here)


def _thinking(load: ClosedLoop, why_not: str) -> Difference | None:
    low_s, high_s = SETTINGS.think_time_s
    if (load.think_time_s, load.longest_think_time_s) == (low_s, high_s):
        return None
    here = f"{load.think_time_s:.3g} to {load.longest_think_time_s:.3g} s, evenly spread"
    return Difference(
        "think time",
        f"{low_s:g} to {high_s:g} s, evenly spread",
        here if load.mean_think_time_s else f"none: {why_not}",
    )


def _of_gateways(one: GatewaySpec, page: PageRun, cores: int) -> list[Difference | None]:
    said = f"{SETTINGS.vcpus} vCPU, {SETTINGS.memory_gb} GB each"
    if one.cpus_per_instance == SETTINGS.vcpus and one.memory_per_instance_bytes == SETTINGS.memory_gb * 1024 * _MIB:
        machine = None
    elif one.cpus_per_instance or one.memory_per_instance_bytes:
        limits = [f"{one.cpus_per_instance:g} cores"] if one.cpus_per_instance else []
        limits += [f"{one.memory_per_instance_bytes // _MIB} MiB"] if one.memory_per_instance_bytes else []
        machine = Difference("machine of an instance", said, f"a container of {', '.join(limits)} on one host")
    else:
        here = f"all instances of all arms share {cores} {'core' if cores == 1 else 'cores'} of one host"
        machine = Difference("machine of an instance", said, here + ", without a limit of memory")
    return [
        machine,
        Difference("instances of a gateway", str(page.instances), str(one.instances))
        if page.instances not in (None, one.instances)
        else None,
        Difference("workers of an instance", str(SETTINGS.workers), str(one.workers))
        if one.workers != SETTINGS.workers
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
