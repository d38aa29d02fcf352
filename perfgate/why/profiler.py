"""How are the stacks of running Python processes sampled?

Comes in: PIDs, how often a second. Goes out: folded stacks, and what the profiler says of its own work. Runs py-spy,
which reads a process from outside: nothing is loaded into it. It is started through a `Supervisor`, so that no py-spy
outlives us, however we end; a process whose profiler is killed goes on by itself.

What a sample is, by py-spy's documentation and source: the stacks of all threads that have something to do just then
(`/proc/PID/task/TID/stat`), so that a thread counts while it runs, and while it waits for a core. Intervals are drawn
at random, so that nothing that goes in step with them is missed; a profiler that is late takes samples without a pause
until it has caught up.

The process runs on while it is read (`--nonblocking`). So a stack that changes meanwhile is cut short or not read at
all: of litellm 1.79.3 one in ten. To stop it by ptrace for every sample is no way out: at 200 samples a second litellm
1.79.3 answered 23 requests where it answers 357, at eleven times the CPU, and threads that slept were woken by it and
counted as busy (windows in turn, on two virtual cores of an AMD EPYC that had other work too).
"""

import os
import re
import shutil
import signal
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from perfgate.errors import BadInput, StackFailed
from perfgate.measure.thread_cpu import thread_cpu_s
from perfgate.stack.supervision import Process, Supervisor

PROGRAM: Final = "py-spy"
#: Twice py-spy's default: in 25 s of load a function with 1 % of the CPU is in 50 samples.
RATE_HZ: Final = 200
#: To find the interpreter in a process takes 0.1 to 1 s; the rest is for overloaded hosts.
ATTACH_DEADLINE_S: Final = 30.0
#: Of writing what it has found: milliseconds.
END_DEADLINE_S: Final = 30.0
POLL_S: Final = 0.02
#: Alive for as long as a check takes; it does nothing.
SLEEPER: Final = "import time; print('up', flush=True); time.sleep(600)"

#: What py-spy says, as a line each.
_SAMPLING: Final = re.compile(r"Sampling process \d+ times a second")
_WROTE: Final = re.compile(r"Wrote raw .*Samples: \d+ Errors: (?P<errors>\d+)")
_BEHIND: Final = re.compile(r"(?P<seconds>[\d.]+)s behind in sampling")
_REFUSED: Final = re.compile(r"permission denied|operation not permitted|os error (1|13)\b", re.IGNORECASE)


class PtraceRefused(StackFailed):
    """This host does not let us look into a process of ours."""

    def __init__(self, said: str) -> None:
        super().__init__(
            "py-spy may not read the gateway's processes: the kernel refuses ptrace; nothing was measured. What helps: "
            "run perfgate as root; or let users trace their own processes, `sysctl kernel.yama.ptrace_scope=0`; or, in "
            f"a container, start it with `--cap-add SYS_PTRACE`\n  py-spy says  {said}"
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was sampled.

    Args:
        folded: stacks of all processes, each below its thread, by full paths and without line numbers (folded.py reads
            them).
        errors: samples of which no stack could be read.
        behind_s: by how much the profiler was late at the most; 0 where it was by less than a second.
        thread_cpu_s: CPU of each thread meanwhile, in seconds, by thread id.
    """

    folded: str
    errors: int
    behind_s: float
    thread_cpu_s: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def merged(cls, parts: Sequence["Recorded"]) -> Self:
        """Of several processes."""
        return cls(
            "".join(part.folded for part in parts),
            sum(part.errors for part in parts),
            max((part.behind_s for part in parts), default=0.0),
            {thread: cpu_s for part in parts for thread, cpu_s in part.thread_cpu_s.items()},
        )


class Recording:
    """Of processes that are sampled now.

    Attributes:
        recorded: what was found, once its context has ended well.
    """

    def __init__(self) -> None:
        self._recorded: Recorded | None = None

    @property
    def recorded(self) -> Recorded:
        """What was sampled.

        Raises:
            ValueError: it goes on, or was broken off.
        """
        if self._recorded is None:
            raise ValueError("nothing is recorded before its context has ended, or when an error ended it")
        return self._recorded

    def end(self, recorded: Recorded) -> None:
        """Say what was found."""
        self._recorded = recorded


class Profiler:
    """py-spy, ready to be attached: `with profiler.recording([pid]) as recording: …` and then `recording.recorded`.

    Args:
        supervisor: open for as long as anything is recorded.
        program: where py-spy is.
        rate_hz: samples a second of each process.
        cpus: cores that it may use; empty for all.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        program: Path,
        *,
        rate_hz: int = RATE_HZ,
        cpus: Sequence[int] = (),
    ) -> None:
        if rate_hz < 1:
            raise ValueError(f"rate_hz={rate_hz} must be at least 1")
        self.rate_hz = rate_hz
        self._supervisor = supervisor
        self._program = program
        self._cpus = tuple(cpus)
        self._number = 0

    def check(self) -> None:
        """See that it can look into a process that the supervisor started, as gateways are.

        Raises:
            PtraceRefused: it may not.
            StackFailed: it does not work for another reason.
        """
        log_path = self._supervisor.run_dir / "sleeper.log"
        argv = [sys.executable, "-I", "-c", SLEEPER]
        sleeper = self._supervisor.start(argv, env={}, cwd=self._supervisor.run_dir, log_path=log_path)
        attached = None
        try:
            # Its interpreter has to be there before it can be found.
            deadline_mono_s = time.monotonic() + ATTACH_DEADLINE_S
            while "up" not in _text(log_path) and time.monotonic() < deadline_mono_s:
                time.sleep(POLL_S)
            attached = self._attach(sleeper.pid)
            self._wait_until_sampling(attached)
        finally:
            self._supervisor.stop([sleeper, *([attached.process] if attached else [])], grace_s=0)

    @contextmanager
    def recording(self, pids: Sequence[int]) -> Iterator[Recording]:
        """Sample processes for as long as the context is open; when it opens, the first samples have been taken.

        Args:
            pids: of Python processes; each gets a py-spy of its own.

        Raises:
            PtraceRefused: it may not.
            StackFailed: a profiler did not start, ended by itself, or hung.
        """
        recording = Recording()
        attached: list[_Attached] = []
        try:
            for pid in pids:
                attached.append(self._attach(pid))
            for each in attached:
                self._wait_until_sampling(each)
            before = [thread_cpu_s(each.pid) for each in attached]
            yield recording
            after = [thread_cpu_s(each.pid) for each in attached]
            for each in attached:
                self._tell_to_end(each)
            clocks = [
                {thread: cpu_s - earlier.get(thread, 0.0) for thread, cpu_s in later.items()}
                for earlier, later in zip(before, after, strict=True)
            ]
            ended = [self._recorded(each, of_each) for each, of_each in zip(attached, clocks, strict=True)]
            recording.end(Recorded.merged(ended))
        finally:
            self._supervisor.stop([each.process for each in attached], grace_s=0)
            for each in attached:
                each.output.unlink(missing_ok=True)
                each.process.log_path.unlink(missing_ok=True)

    def argv(self, pid: int, output: Path) -> list[str]:
        """The command that samples one process until it is interrupted."""
        words = [str(self._program), "record", "--pid", str(pid), "--output", str(output), "--format", "raw"]
        words += ["--rate", str(self.rate_hz), "--nolineno", "--full-filenames", "--threads"]
        return [*words, "--nonblocking"]

    def _attach(self, pid: int) -> "_Attached":
        self._number += 1
        folder = self._supervisor.run_dir
        output = folder / f"py-spy-{self._number}.folded"
        process = self._supervisor.start(
            self.argv(pid, output),
            env={"LC_ALL": "C.UTF-8"},
            cwd=folder,
            log_path=folder / f"py-spy-{self._number}.log",
            cpus=self._cpus,
        )
        return _Attached(pid, process, output)

    def _wait_until_sampling(self, attached: "_Attached") -> None:
        deadline_mono_s = time.monotonic() + ATTACH_DEADLINE_S
        while not _SAMPLING.search(_text(attached.process.log_path)):
            if attached.process.exit_status is not None:
                raise _failed(attached, "ended before its first sample")
            if time.monotonic() > deadline_mono_s:
                raise _failed(attached, f"has taken no sample after {ATTACH_DEADLINE_S:g} s")
            time.sleep(POLL_S)

    def _tell_to_end(self, attached: "_Attached") -> None:
        if attached.process.exit_status is not None:
            raise _failed(attached, "ended by itself")
        try:
            # Ctrl-C is how it is told to write what it has.
            os.kill(attached.process.pid, signal.SIGINT)
        except ProcessLookupError:  # and nobody has told us yet
            raise _failed(attached, "ended by itself") from None

    def _recorded(self, attached: "_Attached", clocks: Mapping[int, float]) -> Recorded:
        status = attached.process.wait(END_DEADLINE_S)
        if status is None:
            raise _failed(attached, f"was told to end and has not after {END_DEADLINE_S:g} s")
        said = _text(attached.process.log_path)
        wrote = _WROTE.search(said)
        if status != 0 or wrote is None:
            raise _failed(attached, f"ended with status {status} and wrote nothing")
        behind_s = max((float(match["seconds"]) for match in _BEHIND.finditer(said)), default=0.0)
        return Recorded(_text(attached.output), int(wrote["errors"]), behind_s, clocks)


@dataclass(frozen=True, slots=True)
class _Attached:
    """A py-spy, the process that it samples, and where it will write."""

    pid: int
    process: Process
    output: Path


def program_path() -> Path:
    """py-spy as it is installed beside perfgate.

    Raises:
        BadInput: it is not there.
    """
    found = shutil.which(PROGRAM, path=sysconfig.get_path("scripts"))
    if found is None:
        raise BadInput(
            f"{PROGRAM} is not installed beside perfgate, in {sysconfig.get_path('scripts')}: `make venv` here, or "
            f"`pip install {PROGRAM}` into that environment"
        )
    return Path(found)


def _failed(attached: _Attached, how: str) -> StackFailed:
    lines = attached.process.log_tail()
    said = " ".join(" ".join(lines).split()) or "nothing"
    if _REFUSED.search(said):
        return PtraceRefused(said)
    return StackFailed(f"py-spy, which samples process {attached.pid}, {how}\n  py-spy says  {said}")


def _text(path: Path) -> str:
    """What a file holds by now; nothing where it is not there yet."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
