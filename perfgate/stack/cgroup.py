"""How much CPU and memory does a container use, by the kernel's own account of it?

Comes in: the PID of a process in the container. Goes out: a `Cgroup`, and from it `CgroupUse`s. Raw figures, no
judgement. Linux only, control groups of version 1 or 2; needs no Docker, and no rights: everybody may read them.

The account holds every process that ever was in the container: beside measure/process_tree.py, which adds up the living
ones and what they waited for, nothing can leave it. Where is what:

    figure            version 1                                    version 2
    cpu_s             cpuacct.usage, nanoseconds                   usage_usec of cpu.stat
    throttled_s       throttled_time of cpu.stat, nanoseconds      throttled_usec of cpu.stat
    charged_bytes     memory.usage_in_bytes                        memory.current
    anonymous_bytes   total_rss of memory.stat                     anon of memory.stat
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from perfgate.errors import StackFailed

_ROOT: Final = Path("/")


class CgroupUnreadable(StackFailed):
    """A process' control group cannot be found or read from here."""


class CgroupGone(StackFailed):
    """A control group is no longer there: its container has ended."""


@dataclass(frozen=True, slots=True)
class CgroupUse:
    """What a control group has used since it was made.

    Args:
        inode: of its folder; a container that is started again has a group of the same name, which begins at 0.
        taken_mono_s: when it was read, CLOCK_MONOTONIC.
        cpu_s: of all its processes, ended ones too.
        throttled_s: how long its threads had to stand still since its limit of CPU was used up, all cores together.
        charged_bytes: what counts against its limit of memory: page cache and kernel memory too.
        anonymous_bytes: of that, what its processes hold that is no file's; nothing counts twice.
        resolution_ms: granularity of `cpu_s`: a nanosecond (1e-6) in version 1, a microsecond (1e-3) in version 2.
    """

    inode: int
    taken_mono_s: float
    cpu_s: float
    throttled_s: float
    charged_bytes: int
    anonymous_bytes: int
    resolution_ms: float

    @property
    def rss_bytes(self) -> int:
        """`anonymous_bytes`: what of resident memory is the processes' own; files that they map are shared by all."""
        return self.anonymous_bytes

    def cpu_s_since(self, earlier: Self) -> float:
        """CPU time that the group used since an earlier reading of it, in seconds.

        Raises:
            CgroupGone: the readings are not of the same group.
        """
        if self.inode != earlier.inode:
            raise CgroupGone("the control group is another one by now: its container was started anew between readings")
        return self.cpu_s - earlier.cpu_s


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A control group: `Cgroup.of_process(pid).use().cpu_s`.

    Args:
        version: of control groups, for the record.
        cpu_usage_path, cpu_stat_path: the folders with the account of CPU time, and of throttling.
        memory_path: the folder with the account of memory.
    """

    version: Literal[1, 2]
    cpu_usage_path: Path
    cpu_stat_path: Path
    memory_path: Path

    @classmethod
    def of_process(cls, pid: int, root: Path = _ROOT) -> Self:
        """The control group that a process is in.

        Args:
            pid: of the process, as this process sees it.
            root: where `proc` is, and the mount points that it names.

        Raises:
            CgroupUnreadable: there is no such process, or its group's files are not where they can be seen.
        """
        try:
            lines = (root / f"proc/{pid}/cgroup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            raise CgroupUnreadable(f"process {pid} is gone, or is not to be seen from here: no control group") from None
        # 4:cpu,cpuacct:/docker/4f1c…   or   0::/system.slice/docker-4f1c….scope
        path_of = {}
        for line in lines:
            _, controllers, path = line.split(":", 2)
            path_of.update(dict.fromkeys(controllers.split(","), path))
        mounts = _mounts(root)
        # With both versions mounted, the one that has the controllers is the one that counts.
        if "cpuacct" in path_of:
            usage, stat, memory = (_folder(pid, path_of, mounts, name) for name in ("cpuacct", "cpu", "memory"))
            return cls(1, usage, stat, memory)
        folder = _folder(pid, path_of, mounts, "")
        return cls(2, folder, folder, folder)

    def use(self) -> CgroupUse:
        """What it has used by now.

        Raises:
            CgroupGone: its container has ended.
            CgroupUnreadable: the kernel keeps no such account.
        """
        taken_mono_s = time.monotonic()
        try:
            inode = self.cpu_usage_path.stat().st_ino
            if self.version == 1:
                cpu_s = int((self.cpu_usage_path / "cpuacct.usage").read_text()) / 1e9
                throttled_s = _flat(self.cpu_stat_path / "cpu.stat").get("throttled_time", 0) / 1e9
                charged_bytes = int((self.memory_path / "memory.usage_in_bytes").read_text())
                anonymous_bytes = _flat(self.memory_path / "memory.stat")["total_rss"]
            else:
                cpu = _flat(self.cpu_stat_path / "cpu.stat")
                # Without a limit of CPU the kernel keeps no account of throttling.
                cpu_s, throttled_s = cpu["usage_usec"] / 1e6, cpu.get("throttled_usec", 0) / 1e6
                charged_bytes = int((self.memory_path / "memory.current").read_text())
                anonymous_bytes = _flat(self.memory_path / "memory.stat")["anon"]
        except (OSError, KeyError) as error:
            if not self.cpu_usage_path.exists():
                raise CgroupGone(
                    f"the control group {self.cpu_usage_path} is gone: its container ended while it was measured"
                ) from None
            raise CgroupUnreadable(f"a control group cannot be read: {error}") from error
        resolution_ms = 1e-6 if self.version == 1 else 1e-3
        return CgroupUse(inode, taken_mono_s, cpu_s, throttled_s, charged_bytes, anonymous_bytes, resolution_ms)


def _mounts(root: Path) -> dict[str, tuple[str, Path]]:
    """Where each controller is mounted, and which of its groups that mount begins with; "" is version 2."""
    mounts: dict[str, tuple[str, Path]] = {}
    # 33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct   (man proc_pid_mountinfo)
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        head, _, tail = line.partition(" - ")
        _, _, _, begins_with, mount_point, *_ = head.split(" ")
        kind, _, options = tail.split(" ", 2)
        where = (begins_with, root / mount_point.lstrip("/"))
        if kind == "cgroup2":
            mounts.setdefault("", where)
        elif kind == "cgroup":
            for controller in options.split(","):
                mounts.setdefault(controller, where)
    return mounts


def _folder(pid: int, path_of: dict[str, str], mounts: dict[str, tuple[str, Path]], controller: str) -> Path:
    """Where the files of a process' group are."""
    what = f"the control group of process {pid} ({controller or 'version 2'})"
    if controller not in path_of or controller not in mounts:
        raise CgroupUnreadable(f"{what} cannot be read: that controller is not mounted here")
    path, (begins_with, mount_point) = path_of[controller], mounts[controller]
    if begins_with != "/":
        path = path.removeprefix(begins_with)
    folder = mount_point / path.lstrip("/")
    if not folder.is_dir():
        raise CgroupUnreadable(f"{what} cannot be read: {folder} is not there; is perfgate in a container of its own?")
    return folder


def _flat(path: Path) -> dict[str, int]:
    """A file of lines with a name and a number."""
    return {name: int(number) for name, number in (line.split() for line in path.read_text().splitlines())}
