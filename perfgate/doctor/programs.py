"""Which programs does this machine have: a Docker engine, PostgreSQL, Redis, Node.js, Prisma's engine?

Comes in: the functions by which a run finds them, what is wanted. Goes out: a `Finding` each. Starts nothing but
`PROGRAM --version`, downloads nothing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from perfgate.doctor.finding import Finding, State
from perfgate.doctor.wanted import Wanted
from perfgate.errors import BadInput
from perfgate.exit_codes import ExitCode
from perfgate.stack.engine import USE_PROCESSES, EngineFacts, NoEngine
from perfgate.stack.node_package import MARKER, NODE_MIN, NODE_WHEEL
from perfgate.stack.postgres import PostgresPrograms
from perfgate.stack.prisma_engine import CLIENT_MARKER
from perfgate.stack.redis import RedisProgram

_NODE_MIN: Final = ".".join(map(str, NODE_MIN))


def docker(look: Callable[[], EngineFacts]) -> Finding:
    """Whether containers can be measured; processes need none.

    Args:
        look: asks the engine about itself, or raises NoEngine.
    """
    try:
        engine = look()
    except NoEngine as error:
        why = str(error).removesuffix(f"; {USE_PROCESSES}")
        advice = "nothing for --stack processes; --cpus-per-instance and --memory-per-instance need containers"
        return Finding("Docker", State.OK, why, advice)
    return Finding("Docker", State.OK, f"{engine.version} at {engine.address}, control groups v{engine.cgroup_version}")


def postgres(find: Callable[[], PostgresPrograms], wanted: Wanted) -> Finding:
    """A PostgreSQL that can be started as a process.

    Args:
        find: it, or raises BadInput.
        wanted: by which scenarios.
    """
    try:
        programs = find()
    except BadInput as error:
        return _lacks("PostgreSQL", str(error), wanted.needing("postgres"), blocks=wanted.needs("postgres"))
    return Finding("PostgreSQL", State.OK, f"{programs.version} of {programs.origin}")


def redis(find: Callable[[], RedisProgram], wanted: Wanted) -> Finding:
    """A redis-server that can be started as a process; arguments are those of `postgres`."""
    try:
        program = find()
    except BadInput as error:
        return _lacks("Redis", str(error), wanted.needing("redis"), blocks=wanted.needs("redis"))
    return Finding("Redis", State.OK, f"{program.version}, {program.path}")


def node(found: str | None) -> Finding:
    """Node.js, which the engine `wasm` and the Portkey comparison run in.

    Args:
        found: the host's own in words, if it is new enough and has npm.
    """
    if found is None:
        advice = f"nothing for --prisma-engine wasm, which takes {NODE_WHEEL}; else install Node.js {_NODE_MIN} and npm"
        return Finding("Node.js", State.OK, f"none of {_NODE_MIN} or newer with npm", advice)
    return Finding("Node.js", State.OK, found)


def prisma(cache: Path, wanted: Wanted) -> Finding:
    """Which modes of Prisma's engine have been made here; whether the others could be is found out by making them.

    Args:
        cache: of environments.
        wanted: which scenarios need it.
    """
    modes = []
    if any(cache.glob(f"prisma-engine-*/{MARKER}")):
        modes.append("wasm")
    if any(cache.glob(f"*/prisma/native/{CLIENT_MARKER}")):
        modes.append("native")
    if "native" in modes:
        return Finding("Prisma engine", State.OK, f"{' and '.join(modes)} made before")
    found = "wasm made before, native never" if modes else "none made yet"
    scenarios = ", ".join(wanted.needing("postgres")) or "no scenario"
    advice = (
        f"for {scenarios}: native is downloaded at first use; where that fails, --prisma-engine wasm (npm packages)"
    )
    return Finding("Prisma engine", State.OK, found, advice)


def _lacks(check: str, why: str, scenarios: tuple[str, ...], *, blocks: bool) -> Finding:
    found, _, hint = why.partition(": ")
    advice = f"{hint or why}; without it cannot run: {', '.join(scenarios) or 'nothing of thresholds.yaml'}"
    if blocks:
        return Finding(check, State.NO, found, advice, ExitCode.BAD_INPUT)
    return Finding(check, State.PARTLY, found, advice)
