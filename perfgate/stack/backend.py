"""What can be done with a service, whichever backend runs it?

Here are the two interfaces; processes.py and containers.py are what stands behind them. Whoever uses a service knows
these alone, so that one experiment can use either backend, or both in turn.

    StackBackend ──starts a Service within Limits──> RunningService ──use()──> Snapshot

Imports neither of the two.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, Self, runtime_checkable

from perfgate.stack.service import Address, Service

BackendName = Literal["processes", "containers"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service may use at most.

    Args:
        cpus: cores; 1.5 is one and a half. None for all.
        memory_bytes: memory; the kernel kills a process when it is used up. None for all.
    """

    cpus: float | None = None
    memory_bytes: int | None = None


NO_LIMITS: Final = Limits()


class Snapshot(Protocol):
    """What a service has used so far: a `TreeSnapshot` of its processes, or the `CgroupUse` of its container.

    Attributes:
        taken_mono_s: when it was read, CLOCK_MONOTONIC.
        rss_bytes: memory that it holds. What files are mapped counts in a tree of processes and not in a control group.
        resolution_ms: granularity of its CPU time.
    """

    @property
    def taken_mono_s(self) -> float: ...  # noqa: D102
    @property
    def rss_bytes(self) -> int: ...  # noqa: D102
    @property
    def resolution_ms(self) -> float: ...  # noqa: D102

    def cpu_s_since(self, earlier: Self) -> float:
        """CPU time that the service has used since an earlier snapshot of it, in seconds.

        Raises:
            StackFailed: the two are not of the same processes, or some of the time got lost between them.
        """


class RunningService(Protocol):
    """A service that is up.

    Attributes:
        name: the service's.
        address: where this host reaches it; another one after an outage, on some backends.
        inner_address: where other services of the same backend reach it; stays.
        pid: of its first process, as this host sees it.
        cpus: the cores it may use; empty for all.
        folder: of this host, and of the run.
        log_path: its output and errors so far.
        is_alive: whether its first process runs; it may be down for an outage.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def address(self) -> Address: ...  # noqa: D102
    @property
    def inner_address(self) -> Address: ...  # noqa: D102
    @property
    def pid(self) -> int: ...  # noqa: D102
    @property
    def cpus(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def folder(self) -> Path: ...  # noqa: D102
    @property
    def log_path(self) -> Path: ...  # noqa: D102
    @property
    def is_alive(self) -> bool: ...  # noqa: D102

    def check_alive(self) -> None:
        """Do nothing while it runs, or is down for an outage.

        Raises:
            ServiceDied: it has ended; says how, with the last lines of its log.
        """

    def log_tail(self) -> tuple[str, ...]:
        """The last lines of its log, without its secrets."""

    def end_of_log(self) -> str:
        """The last lines of its log as a paragraph of a message, and the name of the file that keeps it."""

    def use(self) -> Snapshot:
        """CPU and memory of all its processes, by now.

        Raises:
            StackFailed: it has ended, or cannot be looked into.
        """

    def pin(self, cpus: Sequence[int]) -> None:
        """Keep all of it on these cores from now on; empty leaves it where it is."""

    def stop(self) -> None:
        """End it with all of its processes; does nothing when it has ended."""


@runtime_checkable
class CanBeDown(Protocol):
    """A service that its backend takes down and up again; others are asked to by a way of their own."""

    def outage(self) -> AbstractContextManager[None]:
        """Have it down for as long as the context is open; then it is up again with its data.

        Raises:
            StackFailed: it does not come up again.
        """


class StackBackend(Protocol):
    """Starts services; several threads may.

    Attributes:
        name: for the record: `processes`, `containers`.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    def start(self, service: Service, cpus: Sequence[int] = (), limits: Limits = NO_LIMITS) -> RunningService:
        """Start a service and wait until it is ready.

        Args:
            service: what to start.
            cpus: the cores it may use; empty for all.
            limits: what it may use at most.

        Raises:
            DiedAtStart: it ended before it was ready.
            StartTooLate: it was not ready within its deadline.
            ValueError: the backend cannot hold a service to limits, and there are some.
            BadInput, StackFailed: it cannot be started.
        """

    def running(
        self, service: Service, cpus: Sequence[int] = (), limits: Limits = NO_LIMITS
    ) -> AbstractContextManager[RunningService]:
        """Have a service up for as long as the context is open; arguments and errors are those of `start`."""

    def stop(self, running: Sequence[RunningService]) -> None:
        """End services side by side; those that have ended are left alone."""


def stop_side_by_side(running: Sequence[RunningService]) -> None:
    """What every backend does to `stop` services: each takes a while, and they need not wait for one another."""
    with ThreadPoolExecutor(max_workers=max(1, len(running))) as pool:
        list(pool.map(lambda service: service.stop(), running))
