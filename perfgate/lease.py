"""Whose turn is it on this host: who measures alone, and who works beside others?

Comes in: a folder that all runs on the host share, what is about to be done, and where to say that it has to wait.
Goes out: the lease, held for as long as the context is open, and a `Tenure` that tells since when. Knows no pytest.

    exclusive   measuring: nothing else of ours runs on the host meanwhile
    shared      everything else: harness tests, starting a mock endpoint, judging

Two locks of flock's, which the kernel drops when their process ends, however it ends:

    lock        held by everybody who has a lease, alone or together with others
    turnstile   held by whoever waits to be alone. All others pass through it, so that those who come later stand
                behind it, and one shared lease after the other cannot keep it waiting for ever

Beside them `PID.note` says in words what that process does: a courtesy for those who wait.

The folder is everybody's, as /tmp is (any user, sticky). So nothing in it is trusted: no link is followed, locks are
only ever opened for reading, notes are new files and are shown cleaned. Another user can make us wait, as anybody can
who takes the lease, and no more. A folder that isn't shared, as /tmp of a container, is a host of its own.
"""

import contextlib
import fcntl
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Self

from perfgate.errors import BadInput
from perfgate.filelocks import holder_pids, try_lock

Kind = Literal["exclusive", "shared"]

VARIABLE: Final = "PERFGATE_LEASE_DIR"
#: The same for all users of a host: whoever measures must not be disturbed by anybody. TMPDIR differs by user.
DEFAULT_FOLDER: Final = Path("/tmp/perfgate-lease")
#: How often whoever waits says so again: often enough for a person to know that nothing hangs.
SAY_EVERY_S: Final = 30.0
#: How often whoever waits looks again; a few looks a second cost the one who measures nothing that can be measured.
POLL_S: Final = 0.2
#: Of a note, and of holders in one message, so much is shown.
SHOWN_NOTE_CHARS: Final = 160
SHOWN_HOLDERS: Final = 3

_OPERATIONS: Final[Mapping[Kind, int]] = {"exclusive": fcntl.LOCK_EX, "shared": fcntl.LOCK_SH}


@dataclass(frozen=True, slots=True)
class Tenure:
    """A lease as it was obtained.

    Args:
        what: what it is for, in the user's words: `measuring overhead`.
        kind: alone, or beside others.
        waited_s: from asking to obtaining it.
        acquired_mono_s: when it was obtained, by CLOCK_MONOTONIC, as in the windows of a load.
        acquired_utc: the same by the wall clock.
    """

    what: str
    kind: Kind
    waited_s: float
    acquired_mono_s: float
    acquired_utc: datetime


#: What each thread holds, by thread and folder: asking for more, it would wait for itself without end.
_HELD: Final[dict[tuple[int, Path], Tenure]] = {}


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease of a host: `with Lease.of_user(os.environ).exclusive("measuring overhead", print): …`.

    Args:
        folder: shared by all whose turns it orders; made when it is missing.
        say_every_s: how often whoever waits says so.
    """

    folder: Path
    say_every_s: float = SAY_EVERY_S

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> Self:
        """The host's own, or the one in PERFGATE_LEASE_DIR."""
        given = environ.get(VARIABLE)
        return cls(Path(given).resolve() if given else DEFAULT_FOLDER)

    @contextmanager
    def exclusive(self, what: str, say: Callable[[str], None]) -> Iterator[Tenure]:
        """Be alone on the host.

        Args:
            what: see `Tenure`.
            say: told that it waits and for whom, at once and again every so often; not called when nobody is in its
                way.

        Raises:
            BadInput: the folder cannot be used; says why, and how to name another.
            ValueError: this thread has a lease already; names both.
        """
        with self._held("exclusive", what, say) as tenure:
            yield tenure

    @contextmanager
    def shared(self, what: str, say: Callable[[str], None]) -> Iterator[Tenure]:
        """Keep those out who want to be alone; arguments are those of `exclusive`.

        Within another lease of the same thread it is that one.

        Raises:
            BadInput: as with `exclusive`.
        """
        with self._held("shared", what, say) as tenure:
            yield tenure

    @contextmanager
    def _held(self, kind: Kind, what: str, say: Callable[[str], None]) -> Iterator[Tenure]:
        key = (threading.get_ident(), self.folder)
        outer = _HELD.get(key)
        if outer is not None and kind == "shared":
            # With a lock of its own it would stand behind whoever waits to be alone, who waits for the outer one.
            yield outer
            return
        if outer is not None:
            raise ValueError(
                f"{what!r} asks to be alone on this host ({self.folder}), but {outer.what!r} has the {outer.kind} "
                "lease in the same thread: it would wait for itself"
            )
        asked_mono_s = time.monotonic()
        with ExitStack() as until_given_back:
            folder = until_given_back.enter_context(self._taken(kind, what, say))
            acquired_mono_s = time.monotonic()
            tenure = Tenure(what, kind, acquired_mono_s - asked_mono_s, acquired_mono_s, datetime.now(UTC))
            folder.write_note(what)
            until_given_back.callback(folder.erase_note)
            if kind == "exclusive":
                folder.erase_notes_of_the_dead()
            _HELD[key] = tenure
            until_given_back.callback(_HELD.pop, key)
            yield tenure

    @contextmanager
    def _taken(self, kind: Kind, what: str, say: Callable[[str], None]) -> Iterator["_Folder"]:
        """The lock itself, however long that takes."""
        while True:
            with ExitStack() as until_given_back:
                folder = until_given_back.enter_context(_Folder.opened(self.folder))
                lock = self._locked(folder, kind, what, say, until_given_back)
                # Whoever cleans up /tmp may have removed it meanwhile: then others hold another file of that name.
                if folder.still_has("lock", lock):
                    yield folder
                    return

    def _locked(
        self, folder: "_Folder", kind: Kind, what: str, say: Callable[[str], None], until_given_back: ExitStack
    ) -> int:
        wait = _Wait(_OPERATIONS[kind], self.folder, say, self.say_every_s)
        lock = until_given_back.enter_context(folder.lock_file("lock"))
        with folder.lock_file("turnstile") as turnstile:
            wait.for_lock(turnstile, lambda: f"held by {folder.who(lock)}; in line before us: {folder.who(turnstile)}")
            if kind == "exclusive":
                folder.write_note(f"in line for {what}")
                until_given_back.callback(folder.erase_note)
            wait.for_lock(lock, lambda: f"held by {folder.who(lock)}")
        return lock


class _Wait:
    """The wait for two locks in turn, as one: it is said at once, and then every so often."""

    def __init__(self, operation: int, folder: Path, say: Callable[[str], None], say_every_s: float) -> None:
        self._operation = operation
        self._folder = folder
        self._say = say
        self._say_every_s = say_every_s
        self._began_mono_s = self._next_mono_s = time.monotonic()

    def for_lock(self, descriptor: int, reason: Callable[[], str]) -> None:
        while not try_lock(descriptor, self._operation):
            now_mono_s = time.monotonic()
            if now_mono_s >= self._next_mono_s:
                is_first = self._next_mono_s == self._began_mono_s
                so_far = "" if is_first else f" for {now_mono_s - self._began_mono_s:.0f} s"
                self._say(f"waiting{so_far} for the lease of this host ({self._folder}), {reason()}")
                self._next_mono_s = now_mono_s + self._say_every_s
            time.sleep(POLL_S)


@dataclass(frozen=True, slots=True)
class _Folder:
    """The folder, opened once, so that nobody can put another in its place between two steps."""

    path: Path
    descriptor: int

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Self]:
        with _worded(path):
            try:
                path.mkdir(parents=True)
                is_new = True
            except FileExistsError:
                is_new = False
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if is_new:
                os.fchmod(descriptor, 0o1777)
            yield cls(path, descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def lock_file(self, name: str) -> Iterator[int]:
        # For reading only: flock needs no more, and so nothing can be done to a file that somebody linked here.
        # O_NONBLOCK: a named pipe would be waited for.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with _worded(self.path / name):
            while True:
                try:
                    descriptor = os.open(name, flags, dir_fd=self.descriptor)
                    break
                except FileNotFoundError:
                    pass
                try:
                    # Not in one step: with O_CREAT the kernel may refuse another user's file in a sticky folder.
                    descriptor = os.open(name, flags | os.O_CREAT | os.O_EXCL, dir_fd=self.descriptor)
                    os.fchmod(descriptor, 0o644)
                    break
                except FileExistsError:
                    continue  # somebody else was faster
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _unusable(self.path / name, "it is not a file")
            yield descriptor
        finally:
            os.close(descriptor)

    def still_has(self, name: str, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.lstat(self.path / name), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def who(self, descriptor: int) -> str:
        """Those who hold a lock, in words."""
        pids = holder_pids(descriptor)
        if not pids:
            return "another process"
        shown = [self._one(pid) for pid in pids[:SHOWN_HOLDERS]]
        if len(pids) > SHOWN_HOLDERS:
            shown.append(f"{len(pids) - SHOWN_HOLDERS} more")
        return ", ".join(shown)

    def _one(self, pid: int) -> str:
        name = "this very process" if pid == os.getpid() else f"process {pid}"
        note = self._read_note(pid)
        return f"{name} ({note})" if note else name

    def write_note(self, what: str) -> None:
        self.erase_note()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        # Nothing depends on a note: a full disk, or a file of that name that another user made, is no reason to stop.
        with contextlib.suppress(OSError):
            descriptor = os.open(f"{os.getpid()}.note", flags, 0o644, dir_fd=self.descriptor)
            try:
                os.write(descriptor, f"{what}, since {datetime.now(UTC):%H:%M:%S} UTC".encode())
            finally:
                os.close(descriptor)

    def erase_note(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(f"{os.getpid()}.note", dir_fd=self.descriptor)

    def erase_notes_of_the_dead(self) -> None:
        for name in os.listdir(self.descriptor):  # noqa: PTH208 (of the folder that was opened)
            pid, _, kind = name.partition(".")
            if kind == "note" and pid.isdecimal() and not Path(f"/proc/{pid}").exists():
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=self.descriptor)

    def _read_note(self, pid: int) -> str:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(f"{pid}.note", flags, dir_fd=self.descriptor)
            try:
                text = os.read(descriptor, 4 * SHOWN_NOTE_CHARS).decode("utf-8", errors="replace")
            finally:
                os.close(descriptor)
        except OSError:
            return ""
        return "".join(character for character in text if character.isprintable())[:SHOWN_NOTE_CHARS]


@contextmanager
def _worded(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error


def _unusable(path: Path, why: str) -> BadInput:
    return BadInput(
        f"{path}: runs on this host cannot take turns there ({why}); remove it, or name another folder with "
        f"{VARIABLE}, the same for all runs on this host"
    )
