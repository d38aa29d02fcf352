"""How does a service come to run as a local process?

Comes in: a `Service` and cores. Goes out: a `Running`: where it listens, its processes, its log.
Here are the port, the files, the start and the wait for readiness. supervisor.py makes sure that nothing outlives us.
"""

import itertools
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from perfgate.errors import StackFailed
from perfgate.stack.readiness import Died, NotReady, wait_ready
from perfgate.stack.service import Address, Service
from perfgate.stack.supervision import Process, Supervisor, ended

HOST: Final = "127.0.0.1"
#: Another process can take the port between our choice and the service's bind; three times in a row is no accident.
PORT_RETRIES: Final = 3

_PORT_IS_TAKEN: Final = re.compile(r"address already in use|errno 98\b", re.IGNORECASE)


class StartFailed(StackFailed):
    """A service did not come up; its subclasses say in which way.

    Attributes:
        service: its name.
        log_path: its whole log; gone when the run is over.
    """

    def __init__(self, service: str, happened: str, process: Process, secrets: Sequence[str], waiting: str) -> None:
        self.service = service
        self.log_path = process.log_path
        super().__init__(masked(f"{service} {happened}\n{waiting}\n{log_lines(process)}", secrets))


class StartTooLate(StartFailed):
    """A service still ran when its deadline was over, but did not answer as expected."""


class DiedAtStart(StartFailed):
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

    def __init__(self, service: Service, address: Address, process: Process, folder: Path, cpus: tuple[int, ...]):
        self.name = service.name
        self.address = address
        self.pid = process.pid
        self.folder = folder
        self.log_path = process.log_path
        self.cpus = cpus
        self._process = process
        self._secrets = tuple(service.secrets)

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
        return tuple(masked(line, self._secrets) for line in self._process.log_tail())

    def check_alive(self) -> None:
        """Do nothing while it runs.

        Raises:
            ServiceDied: it has ended; says how, with the last lines of its log.
        """
        status = self.exit_status
        if status is not None:
            hint = "; the kernel's log (dmesg) says whether it ran out of memory" if status == -9 else ""
            text = f"{self.name} (process {self.pid}) {ended(status)} while it was in use{hint}"
            raise ServiceDied(masked(f"{text}\n{log_lines(self._process)}", self._secrets))

    def stop(self) -> None:
        """End it with all of its processes; does nothing when it has ended."""
        self._process.stop()


class ProcessBackend:
    """Starts services as children of a supervisor.

    `with Supervisor() as supervisor: mock = ProcessBackend(supervisor).start(Mock()); mock.address.url`

    Several threads may start services at once.
    """

    name: Final = "processes"

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    @contextmanager
    def running(self, service: Service, cpus: Sequence[int] = ()) -> Iterator[Running]:
        """Have a service up for as long as the context is open; arguments and errors are those of `start`."""
        running = self.start(service, cpus)
        try:
            yield running
        finally:
            running.stop()

    def start(self, service: Service, cpus: Sequence[int] = ()) -> Running:
        """Start a service on a free port and wait until it is ready.

        Args:
            service: what to start.
            cpus: the cores it may use; empty for all.

        Raises:
            DiedAtStart: it ended before it was ready (when its port was taken: each of `PORT_RETRIES` + 1 times).
            StartTooLate: it was not ready within its deadline.
            StackFailed: its program cannot be started, its files cannot be written, or the supervisor is gone.
        """
        for _ in range(PORT_RETRIES):
            try:
                return self._start_once(service, tuple(cpus))
            except DiedAtStart as error:
                if not _PORT_IS_TAKEN.search(str(error)):
                    raise
        return self._start_once(service, tuple(cpus))

    def stop(self, running: Sequence[Running]) -> None:
        """End services side by side; those that have ended are left alone."""
        self._supervisor.stop([service._process for service in running])

    def _start_once(self, service: Service, cpus: tuple[int, ...]) -> Running:
        with self._lock:
            number = next(self._numbers)
        folder = self._supervisor.run_dir / f"{service.name}-{number}"
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
            raise self._not_ready(service, process, address, error) from None
        except BaseException:  # Ctrl-C while we wait
            process.stop(grace_s=0)
            raise
        return Running(service, address, process, folder, cpus)

    def _not_ready(self, service: Service, process: Process, address: Address, error: NotReady) -> StartFailed:
        asked = f"{error.check.method} {address.url}{error.check.path}"
        waiting = f"  waited for   {error.check.what} ({asked})\n  last answer  {error.last_answer}"
        status = process.exit_status
        if isinstance(error, Died) and status is not None:
            happened = (
                f"(process {process.pid}) {ended(status)} {error.waited_s:.1f} s after its start, before it was ready"
            )
            return DiedAtStart(service.name, happened, process, service.secrets, waiting)
        process.stop(grace_s=0)
        happened = f"(process {process.pid}) is still running but not ready {error.waited_s:.1f} s after its start"
        happened += f" (its deadline is {service.start_deadline_s:g} s)"
        return StartTooLate(service.name, happened, process, service.secrets, waiting)


def free_port() -> int:
    """A port of loopback that nobody listens on, chosen by the system."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def log_lines(process: Process) -> str:
    """The end of a process' log as a paragraph of a message."""
    tail = process.log_tail()
    if not tail:
        return f"  log          empty: {process.log_path}"
    return "\n".join(
        [f"  log          last {len(tail)} lines of {process.log_path}", *(f"    | {line}" for line in tail)]
    )


def masked(text: str, secrets: Sequence[str]) -> str:
    """The text without the secrets.

    >>> masked("key sk-77 refused", ["sk-77"])
    'key *** refused'
    """
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
