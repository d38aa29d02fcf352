"""How does a PostgreSQL server live in a folder of its own: made, served, stopped and started again?

This program, of which postgres.py is the description:

    python -I postgres_program.py BIN_DIR PORT      in a folder with the files `postgresql.conf` and `password`

It makes the data in the folder `data` and serves it. Signals say what else to do:

    SIGUSR1            take the server down: connections are closed, nothing that was committed is lost
    SIGUSR2            bring it up again, with the same data, on the same port
    SIGTERM, SIGINT    take it down and end

When the server ends and nobody had asked it to, this program ends in the same way. It stands between supervisor and
server since SIGTERM, with which services are asked to end, makes PostgreSQL wait until its last client has gone.

PostgreSQL refuses to run as root. Started as root, this program turns into the user `nobody`, and keeps one privilege
of root's: no file's mode keeps it out. The programs may be in root's home, and the data are in a folder that nobody
else may enter; the alternative is to open both to everybody.

Standard library only, and no import of ours: it must run from its file alone.
"""

import ctypes
import os
import pwd
import signal
import struct
import subprocess
import sys
from typing import Final

USER: Final = "nobody"
SUPERUSER: Final = "perfgate"
DATA: Final = "data"
#: A "fast" shutdown, in which clients are sent away, takes 0.1 s, or longer with much to write. At the end it may not:
#: a second after the run's end the supervisor kills, and a server that is killed leaves shared memory behind.
END_SHUTDOWN_S: Final = 0.6
OUTAGE_SHUTDOWN_S: Final = 60.0

PR_SET_PDEATHSIG: Final = 1
PR_SET_KEEPCAPS: Final = 8
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_RAISE: Final = 2
CAP_DAC_OVERRIDE: Final = 1
IPC_RMID: Final = 0
#: Of postmaster.pid, counted from 0: key and identifier.
SHARED_MEMORY_LINE: Final = 6
_CAPABILITY_VERSION_3: Final = 0x20080522

_ASKED: Final = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_libc: Final = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def die_with_parent(number: signal.Signals) -> None:
    """Get a signal when whoever started us ends; a change of user forgets it."""
    _libc.prctl(PR_SET_PDEATHSIG, number)


def become_nobody() -> None:
    """Give up root's identity, and all of its privileges but one."""
    user = pwd.getpwnam(USER)
    os.chown(DATA, user.pw_uid, user.pw_gid)
    parent = os.getppid()
    _checked(_libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "PR_SET_KEEPCAPS")
    os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    kept = 1 << CAP_DAC_OVERRIDE
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, struct.pack("=6I", kept, kept, kept, 0, 0, 0)), "capset")
    _checked(_libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0), "PR_CAP_AMBIENT_RAISE")
    die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the process that wanted this server is gone")


class Server:
    """The PostgreSQL server, up or down."""

    def __init__(self, bin_dir: str, port: str) -> None:
        self.bin_dir = bin_dir
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    def make_data(self) -> None:
        """Make the files of an empty server with one user, whose password stands in the file `password`."""
        options = ["-D", DATA, "-U", SUPERUSER, "--pwfile=password", "--auth=scram-sha-256"]
        # Order and case by bytes: the same on every host, whatever languages it knows.
        options += ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        process = self._run("initdb", *options)
        if process.wait() != 0:
            sys.exit("initdb failed")

    def up(self) -> None:
        """Start it, unless it is up."""
        if self.process is None:
            here = os.getcwd()  # noqa: PTH109 (importing pathlib costs 10 ms)
            config = f"{here}/postgresql.conf"
            self.process = self._run("postgres", "-D", f"{here}/{DATA}", "-p", self.port, "-c", f"config_file={config}")

    def down(self, patience_s: float) -> None:
        """Stop it, unless it is down; after `patience_s` without writing what it still has in memory."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # "fast"
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                print(f"the server is not down after {patience_s:g} s: trying an immediate shutdown", flush=True)
                self.process.send_signal(signal.SIGQUIT)  # "immediate"
                self.process.wait()
            self.process = None

    def forget_shared_memory(self) -> None:
        """Remove what a killed server could not: the memory by which another would know that it runs."""
        try:
            with open(f"{DATA}/postmaster.pid", encoding="utf-8") as file:  # noqa: PTH123 (see above)
                lines = file.read().splitlines()
        except FileNotFoundError:
            return
        if len(lines) > SHARED_MEMORY_LINE:
            _libc.shmctl(int(lines[SHARED_MEMORY_LINE].split()[1]), IPC_RMID, None)

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        def in_child() -> None:
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            die_with_parent(signal.SIGQUIT)  # an immediate shutdown, which leaves no shared memory behind

        return subprocess.Popen([f"{self.bin_dir}/{program}", *arguments], preexec_fn=in_child)


def end_like(status: int) -> None:
    """End with a status; a negative one is the signal that ended the server."""
    if status < 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.kill(os.getpid(), -status)
    sys.exit(status)


def main(bin_dir: str, port: str) -> None:
    """Serve until asked to end."""
    # From here on they wait until they are asked for; a handler would run at any time.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ASKED)
    os.mkdir(DATA, 0o700)  # noqa: PTH102 (see above)
    if os.geteuid() == 0:
        try:
            become_nobody()
        except (KeyError, OSError) as error:
            sys.exit(f"PostgreSQL refuses to run as root, who may not become {USER} here: {error}; be another user")
    server = Server(bin_dir, port)
    server.make_data()
    server.up()
    while True:
        match signal.sigwait(_ASKED):
            case signal.SIGCHLD:
                if server.process is not None and (status := server.process.poll()) is not None:
                    server.forget_shared_memory()
                    end_like(status)
            case signal.SIGUSR1:
                server.down(OUTAGE_SHUTDOWN_S)
            case signal.SIGUSR2:
                server.up()
            case _:
                server.down(END_SHUTDOWN_S)
                return


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
