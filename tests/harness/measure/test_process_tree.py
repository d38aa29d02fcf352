"""Is the CPU of a process tree what its processes say they burned, whatever starts and ends in between?"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfgate.measure import process_tree
from perfgate.measure.process_tree import (
    LeftTheTree,
    ProcessUse,
    ServiceGone,
    TreeSnapshot,
    TreeUnsettled,
    snapshot,
)
from tests.harness.measure.conftest import RunningBurner

MIB = 1024 * 1024


def as_burned(seconds: float) -> Any:
    """10 % for what the burner does beside burning, 30 ms for ticks (of an ended child's parent) and the commands."""
    return pytest.approx(seconds, rel=0.1, abs=0.03)


# --- real processes ---


@pytest.mark.slow
def test_the_main_threads_cpu_is_counted(burner: RunningBurner) -> None:
    before = snapshot(burner.pid)
    burned_s = burner("burn 0.5")
    assert snapshot(burner.pid).cpu_s_since(before) == as_burned(burned_s)


@pytest.mark.slow
def test_a_thread_that_came_and_went_in_the_window_is_counted(burner: RunningBurner) -> None:
    before = snapshot(burner.pid)
    burned_s = burner("thread 0.5")
    assert snapshot(burner.pid).cpu_s_since(before) == as_burned(burned_s)


@pytest.mark.slow
def test_a_thread_from_before_that_ends_in_the_window_counts_with_its_share(burner: RunningBurner) -> None:
    burner("start_thread 1.0")
    before = snapshot(burner.pid)
    burned_s = burner("end_thread")
    assert burned_s == pytest.approx(0.5, rel=0.1)
    assert snapshot(burner.pid).cpu_s_since(before) == as_burned(burned_s)


@pytest.mark.slow
def test_a_child_that_came_and_went_in_the_window_is_counted(burner: RunningBurner) -> None:
    before = snapshot(burner.pid)
    burner("spawn")
    burner("child burn 0.5")
    burned_s = burner("end_child")  # its whole life, the start of its interpreter included
    assert burned_s > 0.5
    assert snapshot(burner.pid).cpu_s_since(before) == as_burned(burned_s)


@pytest.mark.slow
def test_a_child_from_before_that_ends_in_the_window_counts_with_its_share(burner: RunningBurner) -> None:
    burner("spawn")
    used_before_s = burner("child burn 0.5") and burner("child used")
    before = snapshot(burner.pid)
    burner("child burn 0.4")
    burned_s = burner("end_child") - used_before_s
    assert burned_s < 0.6
    assert snapshot(burner.pid).cpu_s_since(before) == as_burned(burned_s)


@pytest.mark.slow
def test_a_child_that_lives_throughout_counts_with_its_share(burner: RunningBurner) -> None:
    burner("spawn")
    burner("child burn 0.5")
    before = snapshot(burner.pid)
    burned_s = burner("child thread 0.3") + burner("burn 0.3")
    assert snapshot(burner.pid).cpu_s_since(before) == as_burned(burned_s)


@pytest.mark.slow
def test_a_child_that_was_not_waited_for_is_counted(burner: RunningBurner) -> None:
    burner("spawn")
    burner("child used")
    before = snapshot(burner.pid)
    burned_s = burner("child burn 0.5")
    burner("leave_zombie")
    zombie = snapshot(burner.pid)
    assert zombie.cpu_s_since(before) == as_burned(burned_s)
    burner("end_child")
    assert snapshot(burner.pid).cpu_s_since(zombie) == as_burned(0)


@pytest.mark.slow
def test_a_grandchild_and_its_parent_that_end_in_the_window_are_counted_once(burner: RunningBurner) -> None:
    burner("spawn")
    burner("child spawn")
    burner("child child burn 0.3")
    used_before_s = burner("child child used") + burner("child used")
    before = snapshot(burner.pid)
    assert [process.parent_pid for process in before.processes[1:]] == [burner.pid, before.processes[1].pid]
    burner("child child burn 0.3")
    burner("child end_child")
    burned_s = burner("end_child") - used_before_s
    assert burned_s < 0.5
    assert snapshot(burner.pid).cpu_s_since(before) == as_burned(burned_s)


@pytest.mark.slow
def test_what_ended_before_the_window_is_not_counted_in_it(burner: RunningBurner) -> None:
    burner("spawn")
    burner("child spawn")
    burner("child child burn 0.3")
    burner("child end_child")
    before = snapshot(burner.pid)
    burner("end_child")
    assert snapshot(burner.pid).cpu_s_since(before) == as_burned(0)


@pytest.mark.slow
def test_a_child_whose_parent_ignores_its_end_is_noticed(burner: RunningBurner) -> None:
    child = int(burner("spawn"))
    burner("child burn 0.3")
    before = snapshot(burner.pid)
    burner("end_child_unseen")
    with pytest.raises(LeftTheTree, match="s of the service's CPU time got lost") as caught:
        snapshot(burner.pid).cpu_s_since(before)
    (name,) = caught.value.names
    assert name.startswith(f"{child} (python")


@pytest.mark.slow
def test_an_orphan_that_left_the_tree_is_noticed(burner: RunningBurner) -> None:
    burner("spawn")
    orphan = int(burner("child spawn"))
    burner("child child burn 0.3")
    before = snapshot(burner.pid)
    burner("end_child")
    with pytest.raises(LeftTheTree, match=str(orphan)):
        snapshot(burner.pid).cpu_s_since(before)


@pytest.mark.slow
def test_the_cpu_clock_says_the_same_as_the_schedstat_of_all_threads(burner: RunningBurner) -> None:
    burner("start_thread 0.4")
    from_schedstat_s = sum(
        int((task / "schedstat").read_text().split()[0]) / 1e9 for task in Path(f"/proc/{burner.pid}/task").iterdir()
    )
    assert snapshot(burner.pid).processes[0].cpu_s == pytest.approx(from_schedstat_s, abs=0.01)
    burner("end_thread")


@pytest.mark.slow
def test_without_cpu_clocks_ticks_are_used_and_the_resolution_says_so(
    burner: RunningBurner, monkeypatch: pytest.MonkeyPatch
) -> None:
    precise = snapshot(burner.pid)

    def refused(clock: int) -> int:
        raise OSError(22, "Invalid argument")

    with monkeypatch.context() as patch:
        patch.setattr("time.clock_gettime_ns", refused)
        before = snapshot(burner.pid)
        burned_s = burner("burn 0.3") + burner("thread 0.3")
        after = snapshot(burner.pid)
    assert precise.resolution_ms == 1e-6
    assert after.resolution_ms == 1000 / os.sysconf("SC_CLK_TCK")
    assert (after.processes[0].cpu_s / 0.01) == pytest.approx(round(after.processes[0].cpu_s / 0.01))
    assert after.cpu_s_since(before) == as_burned(burned_s)


@pytest.mark.slow
def test_memory_is_that_of_the_whole_tree(burner: RunningBurner) -> None:
    alone = snapshot(burner.pid)
    burner("spawn")
    burner("child used")
    before = snapshot(burner.pid)
    burner(f"grow {40 * MIB}")
    burner(f"child grow {30 * MIB}")
    after = snapshot(burner.pid)
    assert before.rss_bytes > alone.rss_bytes + 3 * MIB  # a second interpreter
    assert after.rss_bytes - before.rss_bytes == pytest.approx(70 * MIB, abs=4 * MIB)


def test_a_snapshot_is_dated_when_its_reading_began() -> None:
    earliest = time.monotonic()
    taken = snapshot(os.getpid()).taken_mono_s
    assert earliest <= taken <= time.monotonic()


def test_a_process_that_has_ended_is_gone_waited_for_or_not() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(ServiceGone):
            snapshot(process.pid)
        process.wait()
        with pytest.raises(
            ServiceGone, match=f"^the service's process {process.pid} is gone: it ended while"
        ) as caught:
            snapshot(process.pid)
    assert caught.value.pid == process.pid


def test_a_name_with_blanks_and_brackets_is_read_whole(tmp_path: Path) -> None:
    program = tmp_path / "a) (b c"
    program.write_text("#!/bin/sh\nread wait\n")
    program.chmod(0o700)
    with subprocess.Popen([str(program)], stdin=subprocess.PIPE) as process:
        assert snapshot(process.pid).processes[0].name == "a) (b c"


# --- a tree that changes while it is read ---


def test_a_tree_that_changes_while_it_is_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read, calls = process_tree._Stat.read, []

    def child_waited_for_once(pid: int) -> process_tree._Stat | None:
        stat = read(pid)
        if stat is not None and pid == os.getpid():
            calls.append(pid)
            if len(calls) == 1:
                return replace(stat, ended_children_ticks=stat.ended_children_ticks + 7)
        return stat

    monkeypatch.setattr(process_tree._Stat, "read", child_waited_for_once)
    settled = snapshot(os.getpid())
    assert len(calls) == 4
    assert settled.processes[0].ended_children_cpu_s == pytest.approx(read_ended_children_s())


def test_a_tree_that_never_settles_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    read, calls = process_tree._Stat.read, []

    def always_changing(pid: int) -> process_tree._Stat | None:
        stat = read(pid)
        calls.append(pid)
        return stat and replace(stat, ended_children_ticks=len(calls))

    monkeypatch.setattr(process_tree._Stat, "read", always_changing)
    expected = f"^the process tree of {os.getpid()} changed during each of {process_tree.ATTEMPTS} readings"
    with pytest.raises(TreeUnsettled, match=expected):
        snapshot(os.getpid())


def read_ended_children_s() -> float:
    stat = process_tree._Stat.read(os.getpid())
    assert stat is not None
    return stat.ended_children_ticks / os.sysconf("SC_CLK_TCK")


# --- the arithmetic, on trees whose truth is known ---


@dataclass
class ModelProcess:
    """What the kernel keeps of a process, by its own rules."""

    parent: int
    own: float = 0.0
    ended: float = 0.0


@dataclass
class ModelTree:
    """Processes that burn, fork and end; `burned` is the truth."""

    processes: dict[int, ModelProcess] = field(default_factory=lambda: {1: ModelProcess(parent=0)})
    next_pid: int = 2
    burned: float = 0.0

    def step(self, what: str, which: int, amount: int) -> None:
        pid = sorted(self.processes)[which % len(self.processes)]
        process = self.processes[pid]
        is_leaf = all(other.parent != pid for other in self.processes.values())
        if what == "burn":
            process.own += amount
            self.burned += amount
        elif what == "fork":
            self.processes[self.next_pid] = ModelProcess(parent=pid)
            self.next_pid += 1
        elif pid != 1 and is_leaf:
            self.processes[process.parent].ended += process.own + process.ended
            del self.processes[pid]

    def snapshot(self) -> TreeSnapshot:
        return TreeSnapshot(
            tuple(
                ProcessUse(pid, 100 + pid, process.parent, "model", process.own, process.ended, rss_bytes=0)
                for pid, process in sorted(self.processes.items())
            ),
            taken_mono_s=0.0,
            resolution_ms=1e-6,
        )


STEPS = st.lists(
    st.tuples(st.sampled_from(["burn", "fork", "end"]), st.integers(0, 20), st.integers(1, 50)), max_size=30
)


@given(STEPS, STEPS)
def test_whatever_is_born_and_ends_the_window_has_the_cpu_that_was_burned_in_it(
    earlier: list[tuple[str, int, int]], in_window: list[tuple[str, int, int]]
) -> None:
    tree = ModelTree()
    for step in earlier:
        tree.step(*step)
    before, burned_before = tree.snapshot(), tree.burned
    for step in in_window:
        tree.step(*step)
    assert tree.snapshot().cpu_s_since(before) == pytest.approx(tree.burned - burned_before)


def use(pid: int, *, start: int = 1, own: float = 0.0, ended: float = 0.0) -> ProcessUse:
    return ProcessUse(pid, start, 1, "worker", own, ended, rss_bytes=0)


def tree_of(*processes: ProcessUse) -> TreeSnapshot:
    return TreeSnapshot(processes, taken_mono_s=0.0, resolution_ms=1e-6)


def test_a_pid_that_was_used_again_is_another_process() -> None:
    before = tree_of(use(1), use(2, start=5, own=3.0))
    after = tree_of(use(1, ended=3.5), use(2, start=9, own=1.0))
    assert after.cpu_s_since(before) == pytest.approx(0.5 + 1.0)
    with pytest.raises(ServiceGone):
        tree_of(use(1, start=9)).cpu_s_since(tree_of(use(1, start=5)))


def test_two_ticks_of_rounding_are_not_taken_for_a_loss() -> None:
    before = tree_of(use(1), use(2, own=0.5))
    assert tree_of(use(1, own=0.2, ended=0.485)).cpu_s_since(before) == pytest.approx(0.2)
    with pytest.raises(LeftTheTree) as caught:
        tree_of(use(1, own=0.2, ended=0.47)).cpu_s_since(before)
    assert str(caught.value) == (
        "0.03 s of the service's CPU time got lost: of 2 (worker) some left its process tree (their parent ended "
        "first, or does not wait for them). CPU per request cannot be measured: keep the service in the foreground "
        "and its workers alive during the load"
    )
