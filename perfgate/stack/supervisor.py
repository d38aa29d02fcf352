"""Who makes sure that nothing of a run is left behind, even when pytest is killed?

This program. pytest starts it first (supervision.py) and asks it to start every service:

    python -I supervisor.py RUN_DIR        stdin: a socket to pytest, the only other end of which pytest holds

Comes in, one JSON object a line:

    {"do": "start", "id": 1, "argv": […], "env": {…}, "cwd": "…", "log_path": "…", "cpus": [0]}
    {"do": "stop", "id": 1, "grace_s": 5.0}

Goes out, likewise:

    {"ready": true}
    {"id": 1, "pid": 4242}  or  {"id": 1, "error": "…"}
    {"id": 1, "status": -9}         (it ended; negative: killed by that signal)

When the socket ends (pytest is done, or was killed) or a signal asks it to, it ends every descendant and deletes
RUN_DIR. As a child subreaper it becomes the parent of all that its services leave behind, daemons included, so that a
walk from itself down finds them all. Environments hold secrets: they travel on the socket, never on a command line.

Standard library only, and no import of ours: it must run from its file alone. A single thread, since
PR_SET_PDEATHSIG kills a service when the *thread* that started it ends.
"""

import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
#: In RUN_DIR; locked by us and by pytest for as long as we live (dead_runs.py).
LOCK_FILE: Final = "lock"

#: At the end services may still tidy up this long (a database removes its shared memory) before they are killed.
END_GRACE_S: Final = 1.0
#: The end is given up after this; only a process stuck in the kernel survives SIGKILL for so long.
END_DEADLINE_S: Final = 4.0
POLL_S: Final = 0.01

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass
class Service:
    """A process that pytest asked for.

    Args:
        request_id: what pytest calls it by; a PID may be used again.
        process: it; its status is collected by `Supervisor.reap` alone.
        kill_at_mono_s: when it was asked to stop: from then on it is killed.
        family: it and the descendants it had when it was asked to stop, each with its start time.
    """

    request_id: int
    process: subprocess.Popen[bytes]
    kill_at_mono_s: float | None = None
    family: set[tuple[int, int]] = field(default_factory=set)


class Supervisor:
    """The services, and the conversation about them."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.services: dict[int, Service] = {}
        self.unread = b""

    def serve(self, wake_up: socket.socket) -> None:
        """Do what pytest asks until its end of the socket is closed or a signal asks us to end."""
        self.say({"ready": True})
        while True:
            kill_times = [s.kill_at_mono_s for s in self.services.values() if s.kill_at_mono_s is not None]
            wait_s = max(0.0, min(kill_times) - time.monotonic()) if kill_times else None
            readable, _, _ = select.select([self.client, wake_up], [], [], wait_s)
            if wake_up in readable and not set(wake_up.recv(4096)).isdisjoint(_ENDING):
                return
            if self.client in readable and not self.hear():
                return
            self.reap()
            self.kill_the_late()

    def hear(self) -> bool:
        """Carry out what has arrived; False when pytest's end is closed."""
        try:
            chunk = self.client.recv(1 << 20)
        except ConnectionResetError:  # pytest died with our words unread
            return False
        *lines, self.unread = (self.unread + chunk).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if request["do"] == "start":
                self.say({"id": request["id"]} | self.start(request))
            else:
                self.stop(request["id"], request["grace_s"])
        return bool(chunk)

    def say(self, message: dict[str, Any]) -> None:
        """Tell pytest; when it is gone, the next `hear` notices."""
        try:
            self.client.sendall(json.dumps(message).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            pass

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start a service; the answer without its id."""
        cpus = set(request["cpus"])
        foreign = cpus - os.sched_getaffinity(0)
        if foreign:
            return {"error": f"core {min(foreign)} is not among the cores that this process may use"}

        def in_child() -> None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if cpus:
                os.sched_setaffinity(0, cpus)

        try:
            with open(request["log_path"], "ab") as log:  # noqa: PTH123 (importing pathlib costs 10 ms at every start)
                process = subprocess.Popen(
                    request["argv"],
                    env=request["env"],
                    cwd=request["cwd"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=in_child,
                )
        except OSError as error:
            return {"error": str(error)}
        self.services[process.pid] = Service(request["id"], process)
        return {"pid": process.pid}

    def stop(self, request_id: int, grace_s: float) -> None:
        """Ask a service to end, and note when to kill it; one that has ended already has been reported."""
        for pid, service in self.services.items():
            if service.request_id == request_id:
                service.family = family_of(pid)
                service.kill_at_mono_s = time.monotonic() + grace_s
                os.kill(pid, signal.SIGTERM)

    def kill_the_late(self) -> None:
        """Kill the services whose time to stop is over."""
        for service in self.services.values():
            if service.kill_at_mono_s is not None and service.kill_at_mono_s <= time.monotonic():
                service.family |= family_of(service.process.pid)
                kill(service.family)
                service.kill_at_mono_s = None

    def reap(self) -> None:
        """Collect every process that has ended, tell of services, and kill what a service left behind."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            service = self.services.pop(pid, None)
            if service is None:  # an orphan of a service
                continue
            service.process.returncode = os.waitstatus_to_exitcode(status)  # or its destructor would wait for the PID
            kill(service.family | session_of(pid))
            self.say({"id": service.request_id, "status": service.process.returncode})

    def end_all(self) -> None:
        """End every descendant: services are asked first, then all that is left is killed until none is left."""
        started_mono_s = time.monotonic()
        for pid in self.services:
            os.kill(pid, signal.SIGTERM)
        while left := descendants(os.getpid()):
            waited_s = time.monotonic() - started_mono_s
            if waited_s > END_DEADLINE_S:
                return
            if waited_s > END_GRACE_S:
                kill(left)
            time.sleep(POLL_S)
            self.reap()


def process_table() -> dict[int, tuple[int, int, int]]:
    """Parent, session and start time (in ticks since boot) of every process of the host that we can see."""
    table = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 (see the import of pathlib)
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
                    # The second field is the program's name in brackets, which may itself hold brackets and spaces.
                    fields = stat.read().rpartition(b")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            table[int(name)] = (int(fields[1]), int(fields[3]), int(fields[19]))
    return table


def descendants(ancestor: int) -> set[tuple[int, int]]:
    """Every process below `ancestor`, each as (pid, start time): PIDs are used again."""
    table = process_table()
    children: dict[int, list[int]] = {}
    for pid, (parent, _, _) in table.items():
        children.setdefault(parent, []).append(pid)
    found: set[tuple[int, int]] = set()
    to_visit = [ancestor]
    while to_visit:
        for pid in children.get(to_visit.pop(), []):
            found.add((pid, table[pid][2]))
            to_visit.append(pid)
    return found


def session_of(pid: int) -> set[tuple[int, int]]:
    """Every process of the session that `pid` began."""
    return {(member, started) for member, (_, session, started) in process_table().items() if session == pid}


def family_of(pid: int) -> set[tuple[int, int]]:
    """A service with all its descendants and all of its session."""
    return descendants(pid) | session_of(pid)


def kill(processes: set[tuple[int, int]]) -> None:
    """Kill those that still are who they were."""
    table = process_table()
    for pid, started in processes:
        if pid in table and table[pid][2] == started:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # it ended just now; or it took on another user's identity and is beyond us


def main(run_dir: str) -> None:
    """Supervise one run."""
    wake_up, wake_up_write = socket.socketpair()
    wake_up_write.setblocking(False)
    signal.set_wakeup_fd(wake_up_write.fileno(), warn_on_full_buffer=False)
    for number in (*_ENDING, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses PR_SET_CHILD_SUBREAPER")
    os.umask(0o077)
    # Its lock is held before it has its name: without one it would be taken for that of a dead run.
    unnamed = f"{run_dir}.new"
    os.mkdir(unnamed, 0o700)  # noqa: PTH102 (see the import of pathlib)
    fcntl.flock(os.open(f"{unnamed}/{LOCK_FILE}", os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_SH)
    os.rename(unnamed, run_dir)  # noqa: PTH104 (likewise)
    supervisor = Supervisor(socket.socket(fileno=os.dup(0)))
    try:
        supervisor.serve(wake_up)
    finally:
        supervisor.end_all()
        shutil.rmtree(run_dir, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
