"""How does a service come to run as a local process?

Comes in: a `Service` and cores. Goes out: a `Running`: where it listens, its processes, its log.
Here are the port, the files, the start and the wait for readiness. supervisor.py makes sure that nothing outlives us.
"""

import itertools
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from perfgate.errors import StackFailed
from perfgate.measure.process_tree import TreeSnapshot, snapshot
from perfgate.stack.backend import NO_LIMITS, Limits, RunningService, stop_side_by_side
from perfgate.stack.readiness import NotReady, wait_ready
from perfgate.stack.service import Address, Service
from perfgate.stack.supervision import Process, Supervisor, ended, read_end

HOST: Final = "127.0.0.1"
#: What of an answer is worth showing.
SHOWN_ANSWER_CHARS: Final = 300
#: What of the log of a service that failed is kept, from its end.
KEPT_LOG_BYTES: Final = 1_000_000
#: Another process can take the port between our choice and the service's bind; three times in a row is no accident.
PORT_RETRIES: Final = 3

_PORT_IS_TAKEN: Final = re.compile(r"address already in use|errno 98\b", re.IGNORECASE)


class StartTooLate(StackFailed):
    """A service still ran when its deadline was over, but did not answer as expected."""


class DiedAtStart(StackFailed):
    """A service ended before it answered as expected."""


class ServiceDied(StackFailed):
    """A service that was up has ended, and nobody had asked it to."""


class Running:
    """A service that is up.

    Attributes:
        name: the service's.
        address: where it listens.
        pid: of its first process.
        folder: its files.
        log_path: its output and errors.
        cpus: the cores it may use; empty for all.
    """

    def __init__(
        self, service: Service, address: Address, process: Process, folder: Path, cpus: tuple[int, ...], logs: "_Logs"
    ) -> None:
        self.name = service.name
        self.address = address
        self.pid = process.pid
        self.folder = folder
        self.log_path = process.log_path
        self.cpus = cpus
        self._process = process
        self._logs = logs

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.exit_status

    @property
    def is_alive(self) -> bool:
        """Whether its first process runs."""
        return self.exit_status is None

    def log_tail(self) -> tuple[str, ...]:
        """The last lines of its log, without its secrets."""
        return tuple(self._logs.masked("\n".join(self._process.log_tail())).splitlines())

    def end_of_log(self) -> str:
        """The last lines of its log as a paragraph of a message, and the name of the file that keeps it."""
        return self._logs.end_of(self._process)

    def check_alive(self) -> None:
        """Do nothing while it runs.

        Raises:
            ServiceDied: it has ended; says how, with the last lines of its log.
        """
        status = self.exit_status
        if status is not None:
            hint = "; the kernel's log (dmesg) says whether it ran out of memory" if status == -signal.SIGKILL else ""
            raise ServiceDied(
                f"{self.name} (process {self.pid}) {ended(status)} while it was in use{hint}\n" + self.end_of_log()
            )

    @property
    def inner_address(self) -> Address:
        """Where other processes reach it: as this one does."""
        return self.address

    def use(self) -> TreeSnapshot:
        """CPU and memory of all its processes, by now; errors are those of `process_tree.snapshot`."""
        return snapshot(self.pid)

    def pin(self, cpus: Sequence[int]) -> None:
        """Keep every thread of it on these cores from now on; empty leaves them alone."""
        if cpus:
            for thread_id in _threads_of_tree(self.pid):
                try:
                    os.sched_setaffinity(thread_id, cpus)
                except ProcessLookupError:
                    continue  # it has ended in the meantime
            self.cpus = tuple(cpus)

    def stop(self) -> None:
        """End it with all of its processes; does nothing when it has ended."""
        self._process.stop()


class ProcessBackend:
    """Starts services as children of a supervisor.

    `with Supervisor() as supervisor: mock = ProcessBackend(supervisor).start(Mock()); mock.address.url`

    Several threads may start services at once.

    Args:
        supervisor: open for as long as the services run.
        kept_logs_dir: where the log of a service that failed is copied to, since the run's folder goes away with the
            run; made when needed. None keeps none.
    """

    name: Final = "processes"

    def __init__(self, supervisor: Supervisor, kept_logs_dir: Path | None = None) -> None:
        self._supervisor = supervisor
        self._kept_logs_dir = kept_logs_dir
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    @contextmanager
    def running(self, service: Service, cpus: Sequence[int] = (), limits: Limits = NO_LIMITS) -> Iterator[Running]:
        """Have a service up for as long as the context is open; arguments and errors are those of `start`."""
        running = self.start(service, cpus, limits)
        try:
            yield running
        finally:
            running.stop()

    def start(self, service: Service, cpus: Sequence[int] = (), limits: Limits = NO_LIMITS) -> Running:
        """Start a service on a free port and wait until it is ready.

        Args:
            service: what to start.
            cpus: the cores it may use; empty for all.
            limits: none, since only an engine sets them.

        Raises:
            ValueError: there are limits.
            DiedAtStart: it ended before it was ready (when its port was taken: each of `PORT_RETRIES` + 1 times).
            StartTooLate: it was not ready within its deadline.
            StackFailed: its program cannot be started, its files cannot be written, or the supervisor is gone.
        """
        if limits != NO_LIMITS:
            raise ValueError(f"limits={limits} must be none: nothing holds a process to them; containers are")
        for _ in range(PORT_RETRIES):
            try:
                return self._start_once(service, tuple(cpus))
            except DiedAtStart as error:
                if not _PORT_IS_TAKEN.search(str(error)):
                    raise
        return self._start_once(service, tuple(cpus))

    def stop(self, running: Sequence[RunningService]) -> None:
        """End services side by side; those that have ended are left alone."""
        stop_side_by_side(running)

    def _start_once(self, service: Service, cpus: tuple[int, ...]) -> Running:
        with self._lock:
            number = next(self._numbers)
        folder = self._supervisor.run_dir / f"{service.name}-{number}"
        kept_log = self._kept_logs_dir / f"{folder.name}.log" if self._kept_logs_dir else None
        logs = _Logs(tuple(service.secrets), kept_log)
        address = Address(HOST, free_port())
        try:
            folder.mkdir()
            for file_name, text in service.files().items():
                (folder / file_name).write_text(text)
        except OSError as error:
            raise StackFailed(f"{service.name}: its files cannot be written to {folder}: {error}") from error
        process = self._supervisor.start(
            service.argv(address.port),
            env=service.environment(folder),
            cwd=folder,
            log_path=folder / "log",
            cpus=cpus,
        )
        try:
            wait_ready(
                service.ready_checks(),
                address.url,
                deadline_s=service.start_deadline_s,
                is_alive=lambda: process.exit_status is None,
            )
        except NotReady as error:
            raise _not_ready(service, process, address, error, logs) from None
        except BaseException:  # Ctrl-C while we wait
            process.stop(grace_s=0)
            raise
        return Running(service, address, process, folder, cpus, logs)


@dataclass(frozen=True, slots=True)
class _Logs:
    """What of a service's answers and log people may see, and where a log goes when the service has failed."""

    secrets: tuple[str, ...]
    kept_log: Path | None

    def masked(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def end_of(self, process: Process) -> str:
        """The log's last lines as a paragraph of a message, and the name of the file that keeps it."""
        tail = process.log_tail()
        if not tail:
            return "  log          empty"
        path = process.log_path
        if self.kept_log is not None:
            path = self.kept_log
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.masked(read_end(process.log_path, KEPT_LOG_BYTES)))
        lines = [f"  log          last {len(tail)} lines of {path}", *(f"    | {line}" for line in tail)]
        return self.masked("\n".join(lines))


def _not_ready(service: Service, process: Process, address: Address, error: NotReady, logs: _Logs) -> StackFailed:
    answer = logs.masked(error.last_answer)
    if len(answer) > SHOWN_ANSWER_CHARS:
        answer = answer[:SHOWN_ANSWER_CHARS] + " …"
    waiting = f"  waited for   {error.check.what} ({error.check.asked(address.url)})\n  last answer  {answer}\n"
    who = f"{service.name} (process {process.pid})"
    status = process.exit_status
    if status is not None:
        happened = f"{who} {ended(status)} {error.waited_s:.1f} s after its start, before it was ready\n"
        return DiedAtStart(happened + waiting + logs.end_of(process))
    process.stop(grace_s=0)
    happened = (
        f"{who} still runs {error.waited_s:.1f} s after its start, but is not ready; "
        f"its deadline is {service.start_deadline_s:g} s\n"
    )
    return StartTooLate(happened + waiting + logs.end_of(process))


def _threads_of_tree(pid: int) -> Iterator[int]:
    """Every thread of a process and of its descendants; none when it has ended."""
    try:
        process = psutil.Process(pid)
        members = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in members:
        try:
            yield from (thread.id for thread in member.threads())
        except psutil.NoSuchProcess:
            continue  # it has ended in the meantime


def free_port() -> int:
    """A port of loopback that nobody listens on, chosen by the system."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
