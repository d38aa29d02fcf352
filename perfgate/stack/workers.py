"""Are all workers of a service up, and are they still the same?

Comes in: a `RunningService` whose first process has workers that share its listening socket, and how many there should
be. Goes out: `Workers`, each of which has accepted a connection. A readiness check says only that one of them answers.
"""

import socket
import time
from contextlib import ExitStack
from typing import Final

import psutil

from perfgate.measure.acceptors import NetworkGone, acceptors
from perfgate.stack.backend import RunningService
from perfgate.stack.processes import ServiceDied, StartTooLate

#: Connections a worker in one attempt.
PROBES_PER_WORKER: Final = 8
#: Between two of them: whichever worker wakes first accepts all that has come, so the next should find all waiting.
PROBE_SPACING_S: Final = 0.002
#: A server whose queue is full does not answer; those that are in it are enough.
PROBE_TIMEOUT_S: Final = 1.0
POLL_S: Final = 0.2


class Workers:
    """The workers of a service.

    Args:
        running: their service.
        processes: each of them; none when the service has no workers but serves itself.
    """

    def __init__(self, running: RunningService, processes: tuple[psutil.Process, ...]) -> None:
        self.processes = processes
        self._running = running

    def check_alive(self) -> None:
        """Do nothing while they run.

        Raises:
            ServiceDied: one has ended; its service has replaced it by another, so that nobody else would notice.
        """
        for process in self.processes:
            if _has_ended(process):
                raise ServiceDied(
                    f"a worker of {self._running.name} (process {process.pid}) ended while it was in use; the kernel's "
                    f"log (dmesg) says whether it ran out of memory\n{self._running.end_of_log()}"
                )


def wait_for_workers(running: RunningService, count: int, *, deadline_s: float) -> Workers:
    """Wait until every worker has accepted a connection.

    Args:
        running: a service that answers.
        count: how many workers it has; with 1 it serves itself, and there is nothing to wait for.
        deadline_s: how long to wait.

    Raises:
        StartTooLate: the deadline is over.
        ServiceDied: the service has ended.
        AcceptorsHidden: its processes are another user's.
    """
    if count == 1:
        return Workers(running, ())
    deadline_mono_s = time.monotonic() + deadline_s
    while True:
        running.check_alive()
        found = _accepting(running, PROBES_PER_WORKER * count)
        if len(found) == count:
            return Workers(running, tuple(found))
        if time.monotonic() > deadline_mono_s:
            raise StartTooLate(
                f"{running.name} (process {running.pid}) answers, but {len(found)} of its {count} workers accept "
                f"connections {deadline_s:g} s after that; ask for fewer --workers\n{running.end_of_log()}"
            )
        time.sleep(POLL_S)


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _accepting(running: RunningService, probes: int) -> list[psutil.Process]:
    """The processes below the service that have accepted one of so many connections."""
    with ExitStack() as stack:
        ports = set()
        for _ in range(probes):
            try:
                probe = socket.create_connection((running.address.host, running.address.port), PROBE_TIMEOUT_S)
            except OSError:
                break
            stack.enter_context(probe)
            ports.add(probe.getsockname()[1])
            time.sleep(PROBE_SPACING_S)
        try:
            # One in a container is reached at its own address; its end of the connections is in its own network.
            accepted = set(acceptors(running.address.port, ports, running.pid).values())
            children = psutil.Process(running.pid).children(recursive=True)
        except (NetworkGone, psutil.NoSuchProcess):
            return []  # it has ended since it was asked whether it is alive, and will be asked again
    return [process for process in children if process.pid in accepted]
