"""What machine is this, and what on it could change the figures?

Comes in: /proc, /sys, /etc/os-release, psutil; a mapping of environment variables. Goes out: a `HostFingerprint`, and
warnings as text. Nothing that names the machine or a person: no host name, user, address or serial number.
Imports nothing of ours. Which class of thresholds.yaml a host belongs to is `perfgate.thresholds.host_class`.

What cannot be read on this host is None, never a guess: files that do not exist here (no cgroup limit, no frequency
governor in a virtual machine) are the normal case.
"""

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import psutil

#: Variables of the shell that change what a process costs, and how. The trap is real: two environments of the same
#: LiteLLM release differed by 1.7 times in CPU per request because of the first.
TELLTALE_VARIABLES: Final[Mapping[str, str]] = {
    "PYTHONDONTWRITEBYTECODE": "modules are compiled again and again while serving (1.7 times the CPU)",
    "PYTHONOPTIMIZE": "assertions are left out, and bytecode is cached apart",
    "PYTHONHASHSEED": "one order of sets and dictionaries for all processes: its luck looks like a result",
    "PYTHONDEVMODE": "debug hooks make everything slower",
    "PYTHONASYNCIODEBUG": "the event loop checks every callback",
    "PYTHONMALLOC": "another memory allocator",
    "PYTHONTRACEMALLOC": "every allocation is traced",
    "PYTHONPATH": "other modules than the installed ones may be imported",
    "MALLOC_ARENA_MAX": "another trade between memory and lock contention",
    "LD_PRELOAD": "another library stands in front of the C library",
    "HTTP_PROXY": "requests may take a detour",
    "HTTPS_PROXY": "requests may take a detour",
    "ALL_PROXY": "requests may take a detour",
}


@dataclass(frozen=True, slots=True)
class HostFingerprint:
    """The host before a run.

    Args:
        cores_allowed: logical cores that this process may run on (affinity).
        cores_online: logical cores that the kernel uses.
        cores_physical: without hyper-threads.
        cgroup_limit_cores: CPU quota of the cgroup or of one above it, 1.5 for one and a half cores.
        cpu_model: as the kernel calls it.
        memory_bytes: of the whole machine.
        architecture: x86_64, aarch64 …
        kernel: release of the kernel.
        os_name: distribution and version.
        is_virtual: whether the CPU says that a hypervisor runs it; None on an architecture that doesn't say.
        clock_source: what the kernel reads time from; anything but tsc makes clocks dear on x86_64.
        frequency_governor: of the first core.
        load_1m: load average over a minute.
        cpu_pressure_avg10_percent: share of the last 10 s in which some task waited for a CPU (PSI).
    """

    cores_allowed: int
    cores_online: int
    cores_physical: int | None
    cgroup_limit_cores: float | None
    cpu_model: str | None
    memory_bytes: int
    architecture: str
    kernel: str
    os_name: str | None
    is_virtual: bool | None
    clock_source: str | None
    frequency_governor: str | None
    load_1m: float
    cpu_pressure_avg10_percent: float | None


def fingerprint(root: Path = Path("/")) -> HostFingerprint:
    """Look at this host; takes a few milliseconds.

    Args:
        root: where proc, sys and etc are found; tests put files of other hosts there.
    """
    cpuinfo = _text(root / "proc/cpuinfo") or ""
    cpus = root / "sys/devices/system"
    return HostFingerprint(
        cores_allowed=len(os.sched_getaffinity(0)),
        cores_online=os.cpu_count() or 1,
        cores_physical=psutil.cpu_count(logical=False),
        cgroup_limit_cores=_cgroup_limit_cores(root),
        cpu_model=_cpu_model(cpuinfo),
        memory_bytes=psutil.virtual_memory().total,
        architecture=platform.machine(),
        kernel=platform.release(),
        os_name=_found(r'^PRETTY_NAME="?([^"\n]+)', _text(root / "etc/os-release") or ""),
        is_virtual=_is_virtual(cpuinfo),
        clock_source=_text(cpus / "clocksource/clocksource0/current_clocksource"),
        frequency_governor=_text(cpus / "cpu/cpu0/cpufreq/scaling_governor"),
        load_1m=os.getloadavg()[0],
        cpu_pressure_avg10_percent=_number(_found(r"^some avg10=([0-9.]+)", _text(root / "proc/pressure/cpu") or "")),
    )


def environment_warnings(environment: Mapping[str, str]) -> tuple[str, ...]:
    """One sentence for each variable that changes figures; names only, since a proxy's value may hold a password.

    >>> environment_warnings({"PYTHONOPTIMIZE": "1", "HOME": "/root"})[0][:23]
    'PYTHONOPTIMIZE is set: '
    """
    upper = {name.upper() for name, value in environment.items() if value}
    return tuple(
        f"{name} is set: {effect}. perfgate's own services do not inherit it; a gateway that you start yourself does"
        for name, effect in TELLTALE_VARIABLES.items()
        if name in upper
    )


def _cpu_model(cpuinfo: str) -> str | None:
    """The model's name; on ARM, which has none, implementer and part as the kernel prints them."""
    model = _found(r"^model name\s*:\s*(.+)$", cpuinfo)
    if model is not None:
        return model
    implementer, part = _found(r"^CPU implementer\s*:\s*(\S+)", cpuinfo), _found(r"^CPU part\s*:\s*(\S+)", cpuinfo)
    return f"ARM implementer {implementer} part {part}" if implementer and part else None


def _is_virtual(cpuinfo: str) -> bool | None:
    flags = _found(r"^flags\s*:\s*(.+)$", cpuinfo)
    return None if flags is None else "hypervisor" in flags.split()


def _cgroup_limit_cores(root: Path) -> float | None:
    """The tightest CPU quota between this process' cgroup and the root, of cgroup v2 and v1."""
    limits = []
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        is_v2 = hierarchy == "0"
        if not is_v2 and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" if is_v2 else root / "sys/fs/cgroup" / controllers
        # In a container the path may be the host's, which is not mounted here; its parents lead to the container's own.
        inner = PurePosixPath(path.lstrip("/"))
        for folder in (mount / inner, *(mount / parent for parent in inner.parents), mount):
            limits.append(_quota_cores(folder, is_v2))
    return min((limit for limit in limits if limit is not None), default=None)


def _quota_cores(folder: Path, is_v2: bool) -> float | None:
    if is_v2:
        quota, _, period = (_text(folder / "cpu.max") or "").partition(" ")
    else:
        quota, period = _text(folder / "cpu.cfs_quota_us") or "", _text(folder / "cpu.cfs_period_us") or ""
    # No limit is written as "max" by v2, as -1 by v1.
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _text(file: Path) -> str | None:
    """The file's text without blanks at its ends; None when it is not there or may not be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _found(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1].strip() if match else None


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
