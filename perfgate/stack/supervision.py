"""How does a program start processes that cannot outlive it?

Comes in: a command, its complete environment, a log file, cores. Goes out: a `Process`: its PID, how it ended, its log.
Talks to supervisor.py, which does it; here is the end that pytest holds. When both ends are killed, the next start
tidies up (dead_runs.py). Knows nothing of services or readiness.

    Supervisor ──starts──> supervisor.py ──starts──> every process
        └──hands out──> Process ──asks──> Supervisor
"""

import itertools
import json
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from perfgate.errors import StackFailed
from perfgate.filelocks import shared
from perfgate.stack.dead_runs import RUN_VARIABLE, remove_run_folder, sweep_dead_runs
from perfgate.stack.supervisor import LOCK_FILE

PROGRAM: Final = Path(__file__).with_name("supervisor.py")
#: To be up takes 50 ms; the rest is for hosts that are badly overloaded.
START_DEADLINE_S: Final = 30.0
#: More than the supervisor takes for its own end at the most (END_DEADLINE_S there), on a slow disk too.
END_DEADLINE_S: Final = 30.0
#: How long a process that is asked to stop may take before it is killed.
STOP_GRACE_S: Final = 5.0
#: A killed process is gone within milliseconds; the rest is for overloaded hosts.
KILL_DEADLINE_S: Final = 10.0
#: Enough for a traceback's last calls with its message.
LOG_TAIL_LINES: Final = 20
#: What is read from the end of a log to find those lines; a longer line is cut.
_LOG_TAIL_BYTES: Final = 65_536


class Supervisor:
    """Starts processes that end when this context ends, or this program does, in whatever way; for several threads.

    `with Supervisor() as supervisor: supervisor.start([…], env={}, cwd=supervisor.run_dir, log_path=…)`

    Args:
        parent_dir: where the run's folder is made; None is the system's folder for temporary files.

    Attributes:
        run_dir: the run's temporary folder (mode 0700, since it holds keys); deleted at the end.
    """

    def __init__(self, parent_dir: Path | None = None) -> None:
        self.run_dir = (parent_dir or Path(tempfile.gettempdir())) / f"perfgate-{secrets.token_hex(8)}"
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._answers: dict[int, dict[str, Any]] = {}
        self._exit_statuses: dict[int, int] = {}
        self._is_ready = False
        self._obituary: str | None = None
        self._ids = itertools.count()
        self._lock = ExitStack()

    def __enter__(self) -> Self:
        """Remove what dead runs have left, start the supervisor.

        Raises:
            StackFailed: it did not start, or could not make the run's folder.
        """
        sweep_dead_runs(self.run_dir.parent)
        self._socket, its_socket = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()
        with its_socket:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(PROGRAM), str(self.run_dir)],
                stdin=its_socket.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env={},
                cwd="/",
                start_new_session=True,  # a Ctrl-C is pytest's to answer; its end is what we wait for
            )
        self._listener = threading.Thread(target=self._listen, name="perfgate-supervision", daemon=True)
        self._listener.start()
        try:
            self._wait_for(lambda: self._is_ready, START_DEADLINE_S, "start")
            self._lock.enter_context(shared(self.run_dir / LOCK_FILE, "the run's folder"))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End every process that was started, with all of their descendants, and delete the run's folder."""
        self._end()

    @property
    def pid(self) -> int:
        """The supervisor's own process."""
        return self._process.pid

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log_path: Path,
        cpus: Sequence[int] = (),
    ) -> "Process":
        """Start a process in a session of its own, with nothing on its standard input.

        Args:
            argv: the program, looked up in the PATH of `env`, and its arguments; anyone on the host can read them.
            env: its whole environment; nothing is inherited, and only the run's name is added.
            cwd: where it runs.
            log_path: where its output and errors are appended.
            cpus: the cores it may use; empty for all.

        Raises:
            StackFailed: it cannot be started (says why), or the supervisor is gone.
        """
        request_id = next(self._ids)
        self._tell(
            {
                "do": "start",
                "id": request_id,
                "argv": list(argv),
                "env": {**env, RUN_VARIABLE: self.run_dir.name},
                "cwd": str(cwd),
                "log_path": str(log_path),
                "cpus": list(cpus),
            }
        )
        self._wait_for(lambda: request_id in self._answers, START_DEADLINE_S, f"start {argv[0]}")
        answer = self._answers.pop(request_id)
        if "error" in answer:
            raise StackFailed(f"{argv[0]} cannot be started: {answer['error']}")
        return Process(self, request_id, answer["pid"], log_path)

    def stop(self, processes: Sequence["Process"], *, grace_s: float = STOP_GRACE_S) -> None:
        """End processes side by side, each with its descendants; those that have ended are left alone.

        Args:
            processes: which.
            grace_s: after SIGTERM they have this long before they are killed.

        Raises:
            StackFailed: one survives even that, or the supervisor is gone.
        """
        for process in processes:
            if process.exit_status is None:
                self._tell({"do": "stop", "id": process.request_id, "grace_s": grace_s})
        self._wait_for(
            lambda: all(process.exit_status is not None for process in processes),
            grace_s + KILL_DEADLINE_S,
            f"stop {', '.join(str(process.pid) for process in processes)}",
        )

    def exit_status(self, process: "Process") -> int | None:
        """See `Process.exit_status`."""
        with self._changed:
            if process.request_id not in self._exit_statuses and self._obituary is not None:
                raise StackFailed(self._obituary)
            return self._exit_statuses.get(process.request_id)

    def wait(self, process: "Process", timeout_s: float) -> int | None:
        """See `Process.wait`."""
        with self._changed:
            self._changed.wait_for(lambda: self.exit_status(process) is not None, timeout_s)
            return self.exit_status(process)

    def _tell(self, request: dict[str, Any]) -> None:
        line = json.dumps(request).encode() + b"\n"
        try:
            with self._sending:
                self._socket.sendall(line)
        except OSError:
            pass  # it is gone: whoever waits for the answer learns how

    def _wait_for(self, is_done: Callable[[], bool], timeout_s: float, to_do: str) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: is_done() or self._obituary is not None, timeout_s):
                raise StackFailed(
                    f"the supervisor of the run's processes (pid {self.pid}) was asked to {to_do} and has not "
                    f"done so after {timeout_s:g} s: the host may be suspended or badly overloaded"
                )
            if not is_done():
                raise StackFailed(self._obituary)

    def _listen(self) -> None:
        with self._socket.makefile("rb") as reports:
            try:
                for line in reports:
                    self._note(json.loads(line))
            except ConnectionResetError:
                pass  # it was killed with our words unread
        status = self._process.wait()
        with self._stderr:
            self._stderr.seek(0)
            last_words = self._stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        with self._changed:
            self._obituary = f"the supervisor of the run's processes {ended(status)}, and they with it: " + (
                last_words[0] if last_words else "something outside this run must have stopped it"
            )
            self._changed.notify_all()

    def _note(self, report: dict[str, Any]) -> None:
        with self._changed:
            if "ready" in report:
                self._is_ready = True
            elif "status" in report:
                self._exit_statuses[report["id"]] = report["status"]
            else:
                self._answers[report["id"]] = report
            self._changed.notify_all()

    def _end(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone already
        self._listener.join(END_DEADLINE_S)
        if self._listener.is_alive():
            self._process.kill()  # its services die of that too
            self._listener.join()
        self._socket.close()
        if self.run_dir.exists():  # the supervisor was killed
            remove_run_folder(self.run_dir)
        self._lock.close()


class Process:
    """A process that a `Supervisor` started.

    Attributes:
        request_id: what the supervisor knows it by; unlike a PID it is never used again.
        pid: of its first process.
        log_path: its output and errors.
    """

    def __init__(self, supervisor: Supervisor, request_id: int, pid: int, log_path: Path) -> None:
        self.request_id = request_id
        self.pid = pid
        self.log_path = log_path
        self._supervisor = supervisor

    def __repr__(self) -> str:
        status = self.exit_status
        return f"<Process {self.pid}, {'running' if status is None else ended(status)}>"

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative when a signal ended it.

        Raises:
            StackFailed: the supervisor is gone, so that nobody knows.
        """
        return self._supervisor.exit_status(self)

    def wait(self, timeout_s: float) -> int | None:
        """Wait for its end; its exit status, None when it still runs after `timeout_s`."""
        return self._supervisor.wait(self, timeout_s)

    def stop(self, *, grace_s: float = STOP_GRACE_S) -> None:
        """End it and its descendants; see `Supervisor.stop`."""
        self._supervisor.stop([self], grace_s=grace_s)

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> tuple[str, ...]:
        """The last lines of its log."""
        return tuple(read_end(self.log_path, _LOG_TAIL_BYTES).splitlines()[-lines:])


def read_end(path: Path, max_bytes: int) -> str:
    """The last bytes of a file as text."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - max_bytes))
        return file.read().decode(errors="replace")


def ended(status: int) -> str:
    """How a process ended, in words.

    >>> ended(1), ended(-9)
    ('ended with status 1', 'was killed by signal 9 (SIGKILL)')
    """
    if status >= 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:  # a real-time signal
        name = "no name"
    return f"was killed by signal {-status} ({name})"
