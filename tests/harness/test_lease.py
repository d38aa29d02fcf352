"""Is whoever measures alone, does everybody get a turn, and does whoever waits say for whom?

Others on the host are processes of their own here: one thread must not ask for what it has already.
"""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

import pytest

from perfgate.errors import BadInput
from perfgate.lease import DEFAULT_FOLDER, Lease

#: Far longer than anything here takes; only a test that fails waits for so long.
PATIENCE_S: Final = 60.0

#: Takes a lease, tells every line that it has to say, "has it" once it has it, and gives it back when told to.
OTHER: Final = """
import sys
from pathlib import Path
from perfgate.lease import Lease
def say(line):
    print(line, flush=True)
with getattr(Lease(Path(sys.argv[1])), sys.argv[2])(sys.argv[3], say):
    print("has it", flush=True)
    sys.stdin.readline()
print("gave it back", flush=True)
"""


class Other:
    """Somebody else on this host."""

    def __init__(self, folder: Path, kind: str, what: str) -> None:
        command = [sys.executable, "-c", OTHER, str(folder), kind, what]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self) -> str:
        """Its next line; empty when it has ended."""
        return _pipe(self.process.stdout).readline().rstrip("\n")

    def gets_it(self) -> bool:
        """Whether it has the lease in the end, however often it says that it waits."""
        line = self.line()
        while line.startswith("waiting"):
            line = self.line()
        return line == "has it"

    def gives_it_back(self) -> None:
        _pipe(self.process.stdin).write("\n")
        _pipe(self.process.stdin).flush()
        assert self.line() == "gave it back"


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "lease"


@pytest.fixture
def other(folder: Path) -> Iterator[Callable[[str, str], Other]]:
    """Makes others, and ends them."""
    with ExitStack() as until_ended:

        def start(kind: str, what: str) -> Other:
            started = Other(folder, kind, what)
            until_ended.enter_context(started.process)
            until_ended.callback(started.process.kill)
            return started

        yield start


def silent(line: str) -> None:
    raise AssertionError(f"nobody is in the way, but it says: {line}")


class _Said(Exception):
    """Ends a wait with what it said."""


def what_another_thread_says(folder: Path) -> str:
    """Its first line when it has to wait for a shared lease."""

    def say(line: str) -> None:
        raise _Said(line)

    def wait() -> str:
        try:
            with Lease(folder).shared("testing", say):
                return "nothing"
        except _Said as said:
            return str(said)

    with ThreadPoolExecutor() as pool:
        return pool.submit(wait).result(PATIENCE_S)


def test_nobody_in_the_way_is_no_wait(folder: Path) -> None:
    with Lease(folder).exclusive("measuring", silent) as tenure:
        assert (tenure.what, tenure.kind) == ("measuring", "exclusive")
    with Lease(folder).shared("testing", silent) as tenure:
        assert (tenure.what, tenure.kind) == ("testing", "shared")


def test_shared_leases_go_together(folder: Path, other: Callable[[str, str], Other]) -> None:
    assert other("shared", "testing a").gets_it()
    assert other("shared", "testing b").gets_it()
    with Lease(folder).shared("testing c", silent):
        pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second"), [("exclusive", "exclusive"), ("exclusive", "shared"), ("shared", "exclusive")]
)
def test_an_exclusive_lease_goes_with_no_other_and_the_one_who_waits_says_for_whom(
    folder: Path, other: Callable[[str, str], Other], first: str, second: str
) -> None:
    holder = other(first, "doing this")
    assert holder.gets_it()
    waiter = other(second, "doing that")
    assert waiter.line().startswith(
        f"waiting for the lease of this host ({folder}), held by process {holder.pid} (doing this, since "
    )
    holder.gives_it_back()
    assert waiter.gets_it()
    waiter.gives_it_back()


@pytest.mark.slow
def test_a_shared_lease_stands_behind_whoever_waits_to_be_alone(
    folder: Path, other: Callable[[str, str], Other]
) -> None:
    """Or one test after the other would keep a measurement waiting for ever."""
    holder = other("shared", "testing a")
    assert holder.gets_it()
    writer = other("exclusive", "measuring")
    assert "held by" in writer.line()
    late = other("shared", "testing b")
    said = late.line()
    assert f"held by process {holder.pid} (testing a, since" in said
    assert f"; in line before us: process {writer.pid} (in line for measuring, since " in said
    holder.gives_it_back()
    assert writer.gets_it()
    writer.gives_it_back()
    assert late.gets_it()


@pytest.mark.slow
def test_a_holder_that_is_killed_gives_it_back(folder: Path, other: Callable[[str, str], Other]) -> None:
    holder = other("exclusive", "measuring")
    assert holder.gets_it()
    holder.process.kill()
    holder.process.wait()
    with Lease(folder).exclusive("measuring", silent):
        notes = [path.name for path in folder.glob("*.note")]
    assert notes == [f"{os.getpid()}.note"], "the note of the dead is gone too"
    assert list(folder.glob("*.note")) == []


@pytest.mark.slow
def test_ctrl_c_ends_a_wait(folder: Path, other: Callable[[str, str], Other]) -> None:
    assert other("exclusive", "measuring").gets_it()

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Lease(folder).shared("testing", interrupt):
        pass
    with pytest.raises(KeyboardInterrupt), Lease(folder).exclusive("measuring", interrupt):
        pass
    assert len(list(folder.glob("*.note"))) == 1, "only the holder's"


@pytest.mark.slow
def test_whoever_waits_says_so_again_and_for_how_long(folder: Path, other: Callable[[str, str], Other]) -> None:
    holder = other("exclusive", "measuring")
    assert holder.gets_it()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 3:
            holder.gives_it_back()

    with Lease(folder, say_every_s=0.01).shared("testing", say) as tenure:
        assert tenure.waited_s > 0
    assert [line[:12] for line in said] == ["waiting for ", "waiting for ", "waiting for "]
    assert " for the lease" in said[0]
    assert " s for the lease of this host" in said[2]


@pytest.mark.slow
def test_whoever_waits_does_not_say_so_at_every_look(folder: Path, other: Callable[[str, str], Other]) -> None:
    holder = other("shared", "testing")
    assert holder.gets_it()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        threading.Timer(1.0, holder.gives_it_back).start()  # several looks later

    with Lease(folder, say_every_s=PATIENCE_S).exclusive("measuring", say):
        pass
    assert len(said) == 1


def test_a_shared_lease_within_another_of_the_thread_is_that_one(folder: Path) -> None:
    lease = Lease(folder)
    for outer in (lease.shared, lease.exclusive):
        with outer("a", silent) as first:
            with lease.shared("b", silent) as second:
                assert second is first
            with lease.shared("c", silent) as third:
                assert third is first


@pytest.mark.parametrize("kind", ["shared", "exclusive"])
def test_asking_to_be_alone_with_a_lease_in_hand_is_an_error_that_names_both(folder: Path, kind: str) -> None:
    lease = Lease(folder)
    with getattr(lease, kind)("the outer", silent), pytest.raises(ValueError, match="wait for itself") as caught:  # noqa: SIM117
        with lease.exclusive("the inner", silent):
            pass
    assert "'the inner' asks to be alone" in str(caught.value)
    assert f"'the outer' has the {kind} lease" in str(caught.value)
    with lease.exclusive("afterwards", silent):
        pass


def test_leases_of_two_folders_have_nothing_to_do_with_each_other(tmp_path: Path) -> None:
    with Lease(tmp_path / "a").exclusive("a", silent), Lease(tmp_path / "b").exclusive("b", silent):
        pass


def test_another_thread_waits_and_says_that_it_is_for_its_own_process(folder: Path) -> None:
    with Lease(folder).exclusive("measuring", silent):
        said = what_another_thread_says(folder)
    assert "held by this very process (measuring, since " in said


@pytest.mark.slow
def test_a_lock_that_was_removed_while_one_waits_is_taken_anew(
    folder: Path, other: Callable[[str, str], Other]
) -> None:
    """As tools do that clean up /tmp: two who hold files of one name would both be alone."""
    holder = other("exclusive", "measuring a")
    assert holder.gets_it()
    waiter = other("exclusive", "measuring b")
    assert "held by" in waiter.line()
    (folder / "lock").unlink()
    holder.gives_it_back()
    assert waiter.gets_it()
    newcomer = other("shared", "testing")
    assert f"held by process {waiter.pid} (measuring b" in newcomer.line(), "both mean the same file"
    waiter.gives_it_back()
    assert newcomer.gets_it()


@pytest.mark.slow
def test_many_holders_are_named_up_to_three(folder: Path, other: Callable[[str, str], Other]) -> None:
    holders = [other("shared", f"testing {number}") for number in range(5)]
    for holder in holders:
        assert holder.gets_it()
    writer = other("exclusive", "measuring")
    said = writer.line()
    assert said.count("process ") == 3
    assert said.endswith(", 2 more")


def test_what_others_wrote_is_shown_without_control_characters_and_not_at_length(folder: Path) -> None:
    with Lease(folder).exclusive("measuring", silent):
        (folder / f"{os.getpid()}.note").write_bytes(b"\x1b[31mred\n" + b"x" * 10_000 + b"\xff")
        said = what_another_thread_says(folder)
    assert "\x1b" not in said
    assert "([31mredxxx" in said
    assert len(said) < 600


def test_the_folder_is_for_all_users_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        with Lease(folder).exclusive("measuring", silent):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in ("lock", "turnstile")} == {0o644}


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "lease").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="name another folder with PERFGATE_LEASE_DIR"):  # noqa: SIM117
        with Lease(tmp_path / "lease").shared("testing", silent):
            pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_lock_that_is_a_link_is_refused_and_its_target_left_alone(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (folder / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(BadInput, match=r"lease/lock: runs on this host cannot take turns there"):  # noqa: SIM117
        with Lease(folder).shared("testing", silent):
            pass
    assert not (tmp_path / "target").exists()


def test_a_lock_that_is_a_pipe_is_refused_and_not_waited_for(folder: Path) -> None:
    folder.mkdir()
    os.mkfifo(folder / "lock")
    with pytest.raises(BadInput, match="it is not a file"), Lease(folder).shared("testing", silent):
        pass


def test_a_note_that_is_a_link_is_not_written_through(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    folder.mkdir()
    (folder / f"{os.getpid()}.note").symlink_to(tmp_path / "target")
    with Lease(folder).exclusive("measuring", silent):
        pass
    assert (tmp_path / "target").read_text() == "precious"


def test_a_note_that_cannot_be_written_stops_nobody(folder: Path) -> None:
    (folder / f"{os.getpid()}.note").mkdir(parents=True)
    with Lease(folder).exclusive("measuring", silent):
        pass


def test_the_folder_of_a_user_is_the_hosts_unless_the_variable_names_another(tmp_path: Path) -> None:
    assert Lease.of_user({"TMPDIR": str(tmp_path)}).folder == DEFAULT_FOLDER
    assert Lease.of_user({"PERFGATE_LEASE_DIR": ""}).folder == DEFAULT_FOLDER
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    named = Lease.of_user({"PERFGATE_LEASE_DIR": str(tmp_path / "link/deep/folder")})
    assert named.folder == tmp_path / "a/deep/folder"
    with named.shared("testing", silent):
        assert named.folder.is_dir()
