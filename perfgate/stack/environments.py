"""Where is a LiteLLM installed, for as long as it is used?

Comes in: a release, a checkout or a git reference, and how its dependencies are chosen. Goes out: an `Environment`: a
finished virtual environment, which nobody changes or deletes while the context is open. Made by installing.py at first
use, kept in a cache.

    CACHE/KEY/                     a virtual environment
    CACHE/KEY/environment.json     its marker: written last, in one step; without it the folder is rubbish
    CACHE/KEY.lock                 shared: in use; exclusive: being made or deleted

A KEY holds all that makes two environments differ: release, commit or content; dependencies, Python, platform, how we
make them. So an edited checkout gets an environment of its own, and an unchanged one is found again.
"""

import errno
import hashlib
import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from platform import python_version
from typing import Any, Final

import uv

from perfgate.atomic_file import write_atomically
from perfgate.errors import BadInput, StackFailed
from perfgate.filelocks import LockBusy, exclusive, shared
from perfgate.stack import snapshots
from perfgate.stack.git import GitFailed
from perfgate.stack.installing import Installer, uv_environment
from perfgate.stack.packages import Packages
from perfgate.stack.releases import DepsMode
from perfgate.stack.sources import Checkout, GitRef, Installable, Release, SourceFacts

MARKER: Final = "environment.json"
#: In an environment that is being made from source: what it is made from.
SOURCE_DIR: Final = "perfgate-source"
#: Part of every key: raise it when environments are made in another way than before.
RECIPE: Final = 1
#: Room for about 25 releases.
DEFAULT_MAX_GB: Final = 20.0
#: A release's own dependencies may be uploaded just after it (litellm-proxy-extras often is), a commit's likewise.
ALLOWANCE: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment with one LiteLLM.

    Args:
        folder: where it is.
        source: what LiteLLM was asked for, as whoever uses it now asked.
        release: the version that LiteLLM gives itself.
        deps: how its dependencies were chosen.
        exclude_newer: no package in it was uploaded later (ISO 8601); None with `deps="today"`.
        python_version: `3.12.7`.
        packages: all that is installed.
        made_at: when (ISO 8601, UTC).
        size_bytes: of all its files.
    """

    folder: Path
    source: SourceFacts
    release: str
    deps: DepsMode
    exclude_newer: str | None
    python_version: str
    packages: Packages
    made_at: str
    size_bytes: int

    def executable(self, name: str) -> Path:
        """A program of it."""
        return self.folder / "bin" / name


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class EnvironmentCache:
    """Environments on disk: `with cache.using(Release("1.79.3"), "of-its-time") as environment: …`.

    Args:
        folder: where they are kept, beside what is kept for them (prisma_engine.py).
        max_bytes: when a new one brings them above it, the least recently used that nobody uses are deleted.
        installer: makes them.
    """

    folder: Path
    max_bytes: int
    installer: Installer

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> "EnvironmentCache":
        """The cache of the user whose environment variables these are, filled by the uv that we depend on.

        Args:
            environ: `PERFGATE_CACHE_DIR` (default `~/.cache/perfgate`) and `PERFGATE_CACHE_MAX_GB` (default 20) count,
                and what uv needs.

        Raises:
            BadInput: one of the two is of no use.
        """
        stated_gb = environ.get("PERFGATE_CACHE_MAX_GB", str(DEFAULT_MAX_GB))
        try:
            max_gb = float(stated_gb)
        except ValueError:
            max_gb = 0.0
        if not 0 < max_gb < float("inf"):
            raise BadInput(f"PERFGATE_CACHE_MAX_GB={stated_gb!r} must be a number of gigabytes above 0, such as 20")
        stated_dir = environ.get("PERFGATE_CACHE_DIR")
        folder = Path(stated_dir).expanduser() if stated_dir else Path.home() / ".cache" / "perfgate"
        return cls(folder.absolute(), int(max_gb * 1e9), Installer(uv.find_uv_bin(), uv_environment(environ)))

    @contextmanager
    def using(
        self,
        source: Installable,
        deps: DepsMode = "of-its-time",
        with_packages: tuple[str, ...] = (),
        *,
        say: Callable[[str], None] = _silent,
    ) -> Iterator[Environment]:
        """Have an environment that stays as it is while the context is open; it is made when it is missing.

        Args:
            source: of LiteLLM. A folder of the user's is copied before anything is made of it.
            deps: its dependencies as of its release or commit (plus `ALLOWANCE`), or the newest of today.
            with_packages: what to install beside it (`installing.checked_packages`).
            say: called with a line before anything that takes long: an installation, or a wait for another run's.

        Raises:
            BadInput: the source does not exist, cannot be resolved or built, or was edited since it was asked for; the
                cache folder cannot be used.
            StackFailed: no network, a full disk.
        """
        if deps == "of-its-time" and isinstance(source, Checkout) and source.commit is None:
            say(f"{source} has no commit that tells its time: its dependencies are those of today")
            deps = "today"
        wanted = _Wanted(source, deps, with_packages)
        key = wanted.key
        what = f"the environment of {source}"
        self._make_folder()
        lock = self.folder / f"{key}.lock"
        while True:
            with shared(lock, what, on_wait=say):
                environment = self._read(key, source)
                if environment is not None:
                    os.utime(environment.folder / MARKER)  # when it was last used
                    yield environment
                    return
            # Another run may come first between the two locks; then there is nothing left to make.
            with exclusive(lock, what, on_wait=say):
                if self._read(key, source) is None:
                    say(f"installing {wanted} with its dependencies {deps} into {self.folder / key}")
                    self._make(key, wanted)
                    self._make_room(keep=key)

    def known(
        self, source: Installable, deps: DepsMode = "of-its-time", with_packages: tuple[str, ...] = ()
    ) -> Environment | None:
        """The environment if it has been made; None where it is missing. Nothing is made, and nothing keeps it."""
        return self._read(_Wanted(source, deps, with_packages).key, source)

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"the cache folder {self.folder} cannot be made: {error}; {_OTHER_FOLDER}") from error
        if not os.access(self.folder, os.W_OK):
            raise BadInput(f"the cache folder {self.folder} cannot be written to; {_OTHER_FOLDER}")

    def _read(self, key: str, source: Installable) -> Environment | None:
        """The finished environment of that key, if there is one."""
        facts = self._marker(key)
        if facts is None:
            return None
        packages = Packages(tuple(facts.pop("packages")["listed"]))
        return Environment(folder=self.folder / key, source=source.facts, packages=packages, **facts)

    def _marker(self, key: str) -> dict[str, Any] | None:
        """What the marker of that key says; None without a readable one, or when the environment's Python is gone."""
        folder = self.folder / key
        try:
            facts: dict[str, Any] = json.loads((folder / MARKER).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return facts if (folder / "bin" / "python").exists() else None

    def _make(self, key: str, wanted: "_Wanted") -> None:
        folder, source, exclude_newer = self.folder / key, wanted.source, None
        try:
            _delete(folder)
            if isinstance(source, Release):
                litellm: str | Path = source.number
                if wanted.deps == "of-its-time":
                    exclude_newer = self.installer.uploaded_at(source.number) + ALLOWANCE
                self.installer.make(folder)
            else:
                litellm = folder / SOURCE_DIR
                self.installer.make(folder)
                committed_at = _copied(source, litellm)
                if wanted.deps == "of-its-time" and committed_at is not None:
                    exclude_newer = committed_at + ALLOWANCE
            self.installer.install(str(source), litellm, folder, exclude_newer, wanted.with_packages)
            shutil.rmtree(folder / SOURCE_DIR, ignore_errors=True)
            packages = Packages.installed_in(next(folder.glob("lib/python*/site-packages")))
            facts = {
                "release": packages.versions["litellm"],
                "deps": wanted.deps,
                "exclude_newer": exclude_newer.isoformat() if exclude_newer else None,
                "python_version": python_version(),
                "packages": {"listed": packages.listed, "sha256": packages.sha256},
                "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "size_bytes": _size_bytes(folder),
            }
            write_atomically(folder / MARKER, json.dumps(facts, indent=1))
        except BaseException as error:
            _delete(folder)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StackFailed(f"{folder} cannot be written: the disk is full; {_OTHER_FOLDER}") from error
            raise

    def _make_room(self, keep: str) -> None:
        """Delete what is half-made, then the least recently used until the rest fits; never one that is in use."""
        keys = sorted(path.name for path in self.folder.glob(f"{_PREFIX}*") if path.is_dir())
        size_of = {key: int(facts["size_bytes"]) for key in keys if (facts := self._marker(key)) is not None}
        by_last_use = sorted(size_of, key=lambda key: (self.folder / key / MARKER).stat().st_mtime_ns)
        total_bytes = sum(size_of.values())
        for key in [key for key in keys if key not in size_of] + by_last_use:
            is_needless = key not in size_of or total_bytes > self.max_bytes
            if key != keep and is_needless and self._delete_unused(key) and key in size_of:
                total_bytes -= size_of[key]

    def _delete_unused(self, key: str) -> bool:
        try:
            with exclusive(self.folder / f"{key}.lock", key, timeout_s=0):
                _delete(self.folder / key)
        except LockBusy:
            return False
        return True


#: How every key begins; whatever else is in the cache is not ours to count or delete.
_PREFIX: Final = "litellm-"
_OTHER_FOLDER: Final = "set PERFGATE_CACHE_DIR to a folder with room for 0.8 GB a release"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What an environment is made of."""

    source: Installable
    deps: DepsMode
    with_packages: tuple[str, ...]

    def __str__(self) -> str:
        return " with ".join([str(self.source), *self.with_packages])

    @property
    def key(self) -> str:
        # Another day, another "today".
        chosen = self.deps if self.deps == "of-its-time" else f"{self.deps}-{datetime.now(UTC):%Y%m%d}"
        match self.source:
            case Release():
                litellm = self.source.number
            case GitRef():
                litellm = f"git-{self.source.commit}"
            case Checkout():
                commit = self.source.commit.sha[:12] if self.source.commit else "no-commit"
                litellm = f"checkout-{commit}-{self.source.content[:16]}"
        if self.with_packages:
            chosen += "-with-" + hashlib.sha256(" ".join(self.with_packages).encode()).hexdigest()[:12]
        platform = sysconfig.get_config_var("SOABI") or sysconfig.get_platform()
        return f"{_PREFIX}{litellm}-{chosen}-{sys.implementation.name}-{python_version()}-{platform}-recipe{RECIPE}"


def _copied(source: Checkout | GitRef, into: Path) -> datetime | None:
    """Put the source's files into a new folder; when they were committed, if they were."""
    if isinstance(source, GitRef):
        return snapshots.fetch(source.url, source.commit, into, str(source)).committed_at
    try:
        members = snapshots.members_of(source.folder)
        snapshots.copy(source.folder, members, into)
        is_as_asked_for = snapshots.content_of(into, members) == source.content
    except GitFailed as error:
        raise BadInput(f"{source}: git cannot read this checkout. git says: {error}") from None
    except FileNotFoundError:
        is_as_asked_for = False
    if not is_as_asked_for:
        raise BadInput(f"{source} was edited after this run began: leave it alone until it is installed, and run again")
    return source.commit.committed_at if source.commit else None


def _delete(folder: Path) -> None:
    # The marker goes first: should we die half-way, what is left is known for rubbish.
    (folder / MARKER).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)


def _size_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))
