"""Has the machine itself what a run needs: cores, memory, disk, clock; and what in its shell would distort figures?

Comes in: what was read of the host, what is wanted. Goes out: a `Finding` each. Reads nothing but the free space of a
folder; command.py fetches the rest.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from perfgate.doctor.finding import Finding, State
from perfgate.doctor.wanted import Wanted
from perfgate.exit_codes import ExitCode
from perfgate.experiment.comparison_plan import MEMORY_BYTES, MEMORY_RATIO
from perfgate.measure.host import TELLTALE_VARIABLES, HostFingerprint
from perfgate.stack.affinity import CorePlan

_GIB: Final = 1024**3
#: Of generator, mock, PostgreSQL and pytest together, rounded up.
APPARATUS_BYTES: Final = 600 * 1024**2
#: A LiteLLM environment takes 0.8 GiB of disk (20 GB hold 25), and its download once more while it is installed.
DISK_NEEDED_BYTES: Final = 2 * _GIB
#: Of records, logs and a database, in a folder that no environment is made in.
DISK_OF_RECORDS_BYTES: Final = _GIB // 2
#: Environments of a few releases, and a browser's worth of images.
DISK_ROOMY_BYTES: Final = 5 * _GIB


def cores(host: HostFingerprint, plan: CorePlan, wanted: Wanted) -> Finding:
    """Cores for gateway and apparatus, apart from each other."""
    model = host.cpu_model or host.architecture
    found = f"{host.cores_allowed} of {host.cores_online} for us, {model}"
    if host.cores_allowed < wanted.cores:
        advice = f"{wanted.cores} are needed: give this machine, container or job more cores, or lift its affinity"
        return Finding("cores", State.NO, found, advice, ExitCode.BAD_INPUT)
    quota = host.cgroup_limit_cores
    if quota is not None and quota < host.cores_allowed:
        found += f", but a quota of {quota:g}"
        advice = "a quota stops the generator in mid-window: pin cores (--cpuset-cpus) instead of --cpus"
        return Finding("cores", State.BEWARE, found, advice)
    return Finding("cores", State.OK, f"{found}; {plan.why}")


def memory(available_bytes: int, wanted: Wanted) -> Finding:
    """Memory for all gateways that are alive at once."""
    found = f"{available_bytes / _GIB:.1f} GiB free"
    needed = wanted.gateways * MEMORY_BYTES + APPARATUS_BYTES
    compared = wanted.gateways_of_comparisons * MEMORY_BYTES / MEMORY_RATIO
    if available_bytes < needed:
        advice = f"{needed / _GIB:.1f} GiB are needed for {wanted.gateways} gateways and the apparatus: free some"
        return Finding("memory", State.NO, found, advice, ExitCode.STACK_FAILED)
    if available_bytes < compared:
        alive = wanted.gateways_of_comparisons
        advice = f"a comparison keeps {alive} gateways alive and wants {compared / _GIB:.1f} GiB: free some"
        if wanted.compares:
            return Finding("memory", State.NO, found, advice, ExitCode.BAD_INPUT)
        return Finding("memory", State.PARTLY, found, advice)
    return Finding("memory", State.OK, found)


def disk(
    cache: Path, records: Path, *, has_environment: bool, free_bytes: Callable[[Path], int] | None = None
) -> Finding:
    """Room for environments and records.

    Args:
        cache: where environments are made.
        records: where records are written.
        has_environment: whether one is there already.
        free_bytes: of the file system that a folder is, or will be, on.
    """
    look = free_bytes or _free_bytes
    in_cache, for_records = look(cache), look(records)
    found = f"{in_cache / _GIB:.1f} GiB free in {cache}, {for_records / _GIB:.1f} for records"
    needed = 0 if has_environment else DISK_NEEDED_BYTES
    if in_cache < needed:
        advice = (
            f"a LiteLLM environment takes up to {needed / _GIB:g} GiB: make room, or name another PERFGATE_CACHE_DIR"
        )
        return Finding("disk", State.NO, found, advice, ExitCode.STACK_FAILED)
    if for_records < DISK_OF_RECORDS_BYTES:
        advice = "records, logs and a database need half a GiB: make room, or name another --record-dir"
        return Finding("disk", State.NO, found, advice, ExitCode.STACK_FAILED)
    if in_cache < DISK_ROOMY_BYTES:
        advice = "enough for a release or two; make room before you compare several"
        return Finding("disk", State.BEWARE, found, advice)
    return Finding("disk", State.OK, found)


def clock(host: HostFingerprint) -> Finding:
    """What time is read from, and whether the CPU's frequency moves."""
    source, governor = host.clock_source or "unknown", host.frequency_governor
    found = f"clock {source}, " + (
        f"governor {governor}" if governor is not None else "no frequency governor to be seen"
    )
    if host.architecture == "x86_64" and host.clock_source not in (None, "tsc"):
        advice = (
            f"each reading of {source} is a call into the kernel: boot with clocksource=tsc, or take another machine"
        )
        return Finding("clock", State.BEWARE, found, advice)
    if governor is not None and governor != "performance":
        advice = "the clock rate follows the load: cpupower frequency-set -g performance"
        return Finding("clock", State.BEWARE, found, advice)
    return Finding("clock", State.OK, found)


def variables(environment: Mapping[str, str]) -> Finding:
    """Variables that change what a process costs; names only, since a proxy's value may hold a password."""
    upper = {name.upper() for name, value in environment.items() if value}
    found = [name for name in TELLTALE_VARIABLES if name in upper]
    if not found:
        return Finding("variables", State.OK, "none that distort figures")
    effects = "; ".join(dict.fromkeys(TELLTALE_VARIABLES[name] for name in found))
    advice = f"unset for a gateway that you start yourself ({effects}); perfgate's own services do not inherit them"
    return Finding("variables", State.BEWARE, ", ".join(found), advice)


def _free_bytes(folder: Path) -> int:
    """Of the nearest folder above it that exists."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free
