"""How does a program have a load run, and learn of its instants as they pass?

Comes in: `LoadJob`s. Goes out: `LoadResult`s, and on the way a call at `window_opened`, `window_closed` and `drained`.
Starts the generator process (generator.py) and speaks to it through its pipes (wire.py).
"""

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from perfgate.errors import StackFailed
from perfgate.load import wire
from perfgate.load.job import LoadJob
from perfgate.load.result import LoadResult

#: All that the generator inherits from the environment: what says which certificates to trust.
INHERITED: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
#: What a job may take beyond its schedule: the interpreter's start, the first connection, and making histograms of
#: millions of requests on a busy host.
MARGIN_S: Final = 120.0
_STDERR_LINES: Final = 10


class Generator:
    """A generator process, there for as many jobs as wanted, one at a time.

    `with Generator() as generator: result = generator.run(job)`

    The process dies with the thread that entered the context, so enter it in the main thread.
    """

    def __enter__(self) -> Self:
        """Start the process."""
        self._stderr = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", *self._program()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            bufsize=0,
            env={name: os.environ[name] for name in INHERITED if name in os.environ} | {"LC_ALL": "C.UTF-8"},
            start_new_session=True,  # Ctrl-C is ours to answer
        )
        self._unread = b""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the process."""
        self.close()

    @property
    def pid(self) -> int:
        """The generator's process id."""
        return self._process.pid

    def run(self, job: LoadJob, *, on_event: Callable[[str], None] | None = None) -> LoadResult:
        """Run one load from its first request to its last reply.

        Args:
            job: the load.
            on_event: called with `window_opened`, `window_closed` and `drained`, each as soon as it has passed.

        Raises:
            StackFailed: a target accepts no connection, the job cannot be run here, or the generator ended, hung, or
                said what it should not.
        """
        schedule = job.schedule
        deadline_mono_s = time.monotonic() + schedule.warm_up_s + schedule.window_s + schedule.tail_s + MARGIN_S
        try:
            return self._run(job, on_event, deadline_mono_s)
        except BaseException:
            self.close()  # whatever is still to come through the pipe belongs to no one
            raise

    def close(self) -> None:
        """End the process, in mid-load too; does nothing when it has ended."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._stderr):
            if pipe is not None:
                pipe.close()

    def _program(self) -> Sequence[str]:
        """The module that the process runs, and its arguments."""
        return "perfgate.load.generator", str(os.getpid())

    def _run(self, job: LoadJob, on_event: Callable[[str], None] | None, deadline_mono_s: float) -> LoadResult:
        assert self._process.stdin is not None
        if self._process.stdin.closed:
            raise StackFailed("the load generator has ended already: start a new one")
        try:
            self._process.stdin.write(wire.job_line(job).encode())
        except BrokenPipeError:
            raise self._died() from None
        while True:
            line = self._line(deadline_mono_s)
            try:
                report = wire.report_of_line(line)
            except wire.NotOnTheWire as error:
                raise StackFailed(f"{error}\n{self._last_words()}") from error
            match report:
                case wire.Passed():
                    if on_event is not None:
                        on_event(report.name)
                case wire.CouldNotRun():
                    urls = ", ".join(dict.fromkeys(target.url for target in job.targets))
                    raise StackFailed(f"{urls} cannot be loaded: {report.reason}")
                case LoadResult():
                    return report

    def _line(self, deadline_mono_s: float) -> bytes:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(deadline_mono_s - time.monotonic()):
                    raise StackFailed(
                        f"the load generator (pid {self.pid}) hangs: no report {MARGIN_S:g} s after its load's end; "
                        f"the host may be suspended or badly overloaded\n{self._last_words()}"
                    )
                chunk = self._process.stdout.read(65_536)
                if not chunk:
                    raise self._died()
                self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _died(self) -> StackFailed:
        status = self._process.wait()
        if status < 0:
            how = f"was killed by signal {-status} ({signal.Signals(-status).name})"
        else:
            how = f"ended with status {status}"
        hint = "; the kernel's log (dmesg) says whether it ran out of memory" if status == -signal.SIGKILL else ""
        return StackFailed(f"the load generator {how} before its load was over{hint}\n{self._last_words()}")

    def _last_words(self) -> str:
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").splitlines()[-_STDERR_LINES:]
        return "its last words:\n" + "\n".join(f"  {line}" for line in lines) if lines else "it left no message"
