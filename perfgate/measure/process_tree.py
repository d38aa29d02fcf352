"""How much CPU and memory does a service use, all its processes together?

Comes in: the PID of the service's first process. Goes out: a `TreeSnapshot`, and the CPU time between two of them.
Raw figures, no judgement. Linux only; imports nothing of ours but errors.

Where a process' CPU time is read, and why nothing is counted twice:

    own      its CPU clock (clock_gettime on the clock of another process): every thread it ever had, ended ones too,
             in nanoseconds. The threads' /proc/PID/task/*/schedstat say the same of living threads only, up to a tick
             late, at one file a thread.
    ended    cutime + cstime of /proc/PID/stat: children that it waited for, with theirs, in ticks of 10 ms.

When a child is waited for, the kernel adds its own and ended time to its parent's ended time. So own + ended, summed
over the tree, stays the same whatever ends, and grows only by CPU that was used: the difference of two sums is the
window's CPU. Its error is at most 2 ticks for each process that waited for a child within the window, else none.

Not seen: a child whose parent ignores SIGCHLD (the kernel drops its time) and a process that left the tree since its
parent ended (a daemon's double fork). One that was there at the first snapshot is noticed: `LeftTheTree`, unless other
processes that ended in the same window used more. One that came and went between two snapshots is not.

Memory is RSS (/proc/PID/statm), 20 microseconds a process. PSS would count pages that workers share once, but holds the
service's memory map for 4 ms at 320 MiB (measured), in the middle of a load. What is judged is growth, where pages
that were shared before and after cancel out.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import psutil

from perfgate.errors import StackFailed

#: How often to start again when a process ends while the tree is read; one reading takes a few milliseconds.
ATTEMPTS: Final = 10


class ServiceGone(StackFailed):
    """The service's first process is no longer there, or its PID belongs to another one by now."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        super().__init__(
            f"the service's process {pid} is gone: it ended while it was measured; the last lines of its log say why"
        )


class LeftTheTree(StackFailed):
    """Processes of the service are gone, and their CPU time has not come to any process that is still there."""

    def __init__(self, names: tuple[str, ...], missing_s: float) -> None:
        self.names = names
        self.missing_s = missing_s
        super().__init__(
            f"{missing_s:.2f} s of the service's CPU time got lost: of {', '.join(names)} some left its process tree "
            "(their parent ended first, or does not wait for them). CPU per request cannot be measured: keep the "
            "service in the foreground and its workers alive during the load"
        )


class TreeUnsettled(StackFailed):
    """Processes ended each time that the tree was read."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        super().__init__(
            f"the process tree of {pid} changed during each of {ATTEMPTS} readings: the service starts and ends "
            "processes all the time (a worker that crashes on start?), so its CPU time cannot be read; see its log"
        )


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """What one process has used since it started.

    Args:
        pid, start_ticks: together they name a process; PIDs are used again. Ticks since boot.
        parent_pid: at the time of the snapshot.
        name: the kernel's name for it, at most 15 characters.
        cpu_s: of all its threads, living and ended.
        ended_children_cpu_s: of the children that it has waited for, with theirs.
        rss_bytes: resident memory, shared pages included.
    """

    pid: int
    start_ticks: int
    parent_pid: int
    name: str
    cpu_s: float
    ended_children_cpu_s: float
    rss_bytes: int

    def __str__(self) -> str:
        """As it stands in a message: `4711 (litellm)`."""
        return f"{self.pid} ({self.name})"


@dataclass(frozen=True, slots=True)
class TreeSnapshot:
    """A process and all its descendants at one moment.

    Args:
        processes: the first is the root, parents stand before their children.
        taken_mono_s: when the reading began, CLOCK_MONOTONIC.
        resolution_ms: granularity of `cpu_s`: 1e-6, or a tick (10) where the kernel does not give the clocks of others.
    """

    processes: tuple[ProcessUse, ...]
    taken_mono_s: float
    resolution_ms: float

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the whole tree; pages that processes share count once for each."""
        return sum(process.rss_bytes for process in self.processes)

    def cpu_s_since(self, earlier: Self) -> float:
        """CPU time that the tree has used since an earlier snapshot of it, in seconds.

        Raises:
            ServiceGone: the snapshots are not of the same process.
            LeftTheTree: processes of `earlier` are missing here, and their CPU time with them.
        """
        was = {(process.pid, process.start_ticks): process for process in earlier.processes}
        now = {(process.pid, process.start_ticks): process for process in self.processes}
        if next(iter(was)) != next(iter(now)):
            raise ServiceGone(earlier.processes[0].pid)
        own_s = sum(process.cpu_s - (was[key].cpu_s if key in was else 0.0) for key, process in now.items())
        ended_s = {
            key: process.ended_children_cpu_s - (was[key].ended_children_cpu_s if key in was else 0.0)
            for key, process in now.items()
        }
        missing = [process for key, process in was.items() if key not in now]
        known_before_s = sum(process.cpu_s + process.ended_children_cpu_s for process in missing)
        ended_in_window_s = sum(ended_s.values()) - known_before_s
        # utime and stime are both cut to whole ticks.
        rounding_s = 2 * _tick_s() * max(1, sum(delta > 0 for delta in ended_s.values()))
        if ended_in_window_s < -rounding_s:
            raise LeftTheTree(tuple(str(process) for process in missing), -ended_in_window_s)
        return own_s + max(0.0, ended_in_window_s)


def snapshot(pid: int) -> TreeSnapshot:
    """Read the tree under `pid`; takes about 25 microseconds for each process of the host.

    Raises:
        ServiceGone: there is no such process, or it has ended and nobody has waited for it yet.
        TreeUnsettled: processes ended during every attempt.
    """
    for _ in range(ATTEMPTS):
        taken_mono_s = time.monotonic()
        stats = _tree(pid)
        uses = [_use(stat) for stat in stats]
        # A child that is waited for in between would count twice, or not at all.
        if [_ended(stat) for stat in stats] == [_ended(_Stat.read(stat.pid)) for stat in stats]:
            return TreeSnapshot(
                tuple(use for use, _ in uses), taken_mono_s, max(resolution_ms for _, resolution_ms in uses)
            )
    raise TreeUnsettled(pid)


@dataclass(frozen=True, slots=True)
class _Stat:
    """The fields of /proc/PID/stat that count here; `man proc_pid_stat` numbers them."""

    pid: int
    name: str
    state: str
    parent_pid: int
    own_ticks: int
    ended_children_ticks: int
    start_ticks: int

    @classmethod
    def read(cls, pid: int) -> Self | None:
        """None when there is no such process (any more)."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The name may hold blanks and brackets; what follows its last bracket may not.
        head, _, tail = text.rpartition(")")
        fields = tail.split()
        utime, stime, cutime, cstime = map(int, fields[11:15])
        return cls(
            pid, head.partition("(")[2], fields[0], int(fields[1]), utime + stime, cutime + cstime, int(fields[19])
        )


def _tree(pid: int) -> list[_Stat]:
    """The root and its descendants, parents first."""
    children: dict[int, list[_Stat]] = {}
    root = None
    for each in psutil.pids():
        stat = _Stat.read(each)
        if stat is None:
            continue
        children.setdefault(stat.parent_pid, []).append(stat)
        if each == pid:
            root = stat
    if root is None or root.state in "ZX":
        raise ServiceGone(pid)
    tree = [root]
    for stat in tree:  # grows while it is walked
        tree += children.get(stat.pid, [])
    return tree


def _ended(stat: _Stat | None) -> tuple[int, int] | None:
    """What changes in a process when it ends or waits for a child that did."""
    return None if stat is None else (stat.start_ticks, stat.ended_children_ticks)


def _use(stat: _Stat) -> tuple[ProcessUse, float]:
    """The process and its CPU clock's resolution in ms; its figures mean nothing if it has just ended."""
    tick_s = _tick_s()
    try:
        # CPUCLOCK_SCHED of the whole process, as in MAKE_PROCESS_CPUCLOCK of linux/posix-timers.h.
        cpu_s, resolution_ms = time.clock_gettime_ns((~stat.pid << 3) | 2) / 1e9, 1e-6
    except OSError:
        cpu_s, resolution_ms = stat.own_ticks * tick_s, tick_s * 1000
    try:
        rss_pages = int(Path(f"/proc/{stat.pid}/statm").read_text(encoding="ascii").split()[1])
    except (FileNotFoundError, ProcessLookupError):
        rss_pages = 0
    return (
        ProcessUse(
            pid=stat.pid,
            start_ticks=stat.start_ticks,
            parent_pid=stat.parent_pid,
            name=stat.name,
            cpu_s=cpu_s,
            ended_children_cpu_s=stat.ended_children_ticks * tick_s,
            rss_bytes=rss_pages * os.sysconf("SC_PAGE_SIZE"),
        ),
        resolution_ms,
    )


def _tick_s() -> float:
    return 1 / os.sysconf("SC_CLK_TCK")
