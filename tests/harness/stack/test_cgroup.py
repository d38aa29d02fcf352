"""Control groups of both versions, made of files; test_containers.py reads those of real containers."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from perfgate.stack.cgroup import Cgroup, CgroupGone, CgroupUnreadable

PID: Final = 4711
#: As on a host with version 1, where version 2 is mounted too, without controllers (Debian 12 without systemd).
V1_CGROUP: Final = "5:memory:/docker/4f1c\n2:cpu,cpuacct:/docker/4f1c\n0::/docker/4f1c\n"
V1_MOUNTS: Final = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
#: As on Ubuntu 24.04.
V2_CGROUP: Final = "0::/system.slice/docker-4f1c.scope\n"
V2_MOUNTS: Final = (
    "36 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def version_1(root: Path) -> Cgroup:
    cpu, memory = "sys/fs/cgroup/cpu,cpuacct/docker/4f1c", "sys/fs/cgroup/memory/docker/4f1c"
    write(
        root,
        {
            f"proc/{PID}/cgroup": V1_CGROUP,
            "proc/self/mountinfo": V1_MOUNTS,
            f"{cpu}/cpuacct.usage": "1500000000\n",
            f"{cpu}/cpu.stat": "nr_periods 2\nnr_throttled 1\nthrottled_time 250000000\n",
            f"{memory}/memory.usage_in_bytes": "3000000\n",
            f"{memory}/memory.stat": "cache 1000\nrss 1\ntotal_cache 1000\ntotal_rss 2000000\n",
            "sys/fs/cgroup/unified/docker/4f1c/cpu.stat": "usage_usec 1\n",
        },
    )
    return Cgroup.of_process(PID, root)


def version_2(root: Path, cpu_stat: str = "usage_usec 1500000\nthrottled_usec 250000\n") -> Cgroup:
    folder = "sys/fs/cgroup/system.slice/docker-4f1c.scope"
    write(
        root,
        {
            f"proc/{PID}/cgroup": V2_CGROUP,
            "proc/self/mountinfo": V2_MOUNTS,
            f"{folder}/cpu.stat": cpu_stat,
            f"{folder}/memory.current": "3000000\n",
            f"{folder}/memory.stat": "anon 2000000\nfile 1000\n",
        },
    )
    return Cgroup.of_process(PID, root)


@pytest.mark.parametrize(("make", "version"), [(version_1, 1), (version_2, 2)])
def test_both_versions_tell_the_same_in_seconds_and_bytes(
    tmp_path: Path, make: Callable[[Path], Cgroup], version: int
) -> None:
    cgroup = make(tmp_path)
    before_mono_s = time.monotonic()
    use = cgroup.use()
    assert cgroup.version == version
    assert (use.cpu_s, use.throttled_s, use.charged_bytes, use.anonymous_bytes) == (1.5, 0.25, 3_000_000, 2_000_000)
    assert use.rss_bytes == use.anonymous_bytes
    assert use.resolution_ms == {1: 1e-6, 2: 1e-3}[version]
    assert before_mono_s <= use.taken_mono_s <= time.monotonic()


def test_the_cpu_between_two_readings_is_what_came_in_between(tmp_path: Path) -> None:
    cgroup = version_2(tmp_path)
    before = cgroup.use()
    (cgroup.cpu_stat_path / "cpu.stat").write_text("usage_usec 1750000\n")
    assert cgroup.use().cpu_s_since(before) == 0.25


def test_a_group_that_was_made_anew_is_another_one(tmp_path: Path) -> None:
    cgroup = version_2(tmp_path)
    before = cgroup.use()
    cgroup.memory_path.rename(tmp_path / "earlier")  # it keeps its inode, so that the new one gets another
    version_2(tmp_path)
    with pytest.raises(CgroupGone, match="its container was started anew between readings"):
        cgroup.use().cpu_s_since(before)


def test_a_group_without_a_limit_of_cpu_was_never_throttled(tmp_path: Path) -> None:
    assert version_2(tmp_path, cpu_stat="usage_usec 1500000\n").use().throttled_s == 0.0


def test_a_mount_that_begins_within_the_tree_is_followed(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            f"proc/{PID}/cgroup": "0::/outer/docker/4f1c\n",
            "proc/self/mountinfo": "36 24 0:26 /outer /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "sys/fs/cgroup/docker/4f1c/cpu.stat": "usage_usec 1500000\n",
        },
    )
    assert Cgroup.of_process(PID, tmp_path).cpu_usage_path == tmp_path / "sys/fs/cgroup/docker/4f1c"


@pytest.mark.parametrize("make", [version_1, version_2])
def test_a_container_that_has_ended_is_told_from_an_account_that_is_not_kept(
    tmp_path: Path, make: Callable[[Path], Cgroup]
) -> None:
    cgroup = make(tmp_path)
    (cgroup.memory_path / "memory.stat").write_text("cache 1\n")
    with pytest.raises(CgroupUnreadable, match=r"a control group cannot be read: '(total_rss|anon)'"):
        cgroup.use()
    for path in {cgroup.cpu_usage_path, cgroup.memory_path}:
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    with pytest.raises(CgroupGone, match=r"4f1c\S* is gone: its container ended while it was measured"):
        cgroup.use()


def test_a_process_that_is_gone_has_no_group(tmp_path: Path) -> None:
    with pytest.raises(CgroupUnreadable, match="process 4711 is gone, or is not to be seen from here"):
        Cgroup.of_process(PID, tmp_path)


def test_a_controller_that_is_not_mounted_is_named(tmp_path: Path) -> None:
    write(tmp_path, {f"proc/{PID}/cgroup": V1_CGROUP, "proc/self/mountinfo": V2_MOUNTS})
    with pytest.raises(
        CgroupUnreadable, match=r"process 4711 \(cpuacct\) cannot be read: that controller is not mounted"
    ):
        Cgroup.of_process(PID, tmp_path)


def test_a_group_of_another_namespace_is_not_taken_for_ours(tmp_path: Path) -> None:
    write(tmp_path, {f"proc/{PID}/cgroup": V2_CGROUP, "proc/self/mountinfo": V2_MOUNTS})
    with pytest.raises(
        CgroupUnreadable, match=r"docker-4f1c\.scope is not there; is perfgate in a container of its own"
    ):
        Cgroup.of_process(PID, tmp_path)
