"""Where is a LiteLLM release installed, for as long as it is used?

Comes in: a release and how its dependencies are chosen. Goes out: an `Environment`: a finished virtual environment,
which nobody changes or deletes while the context is open. Made by installing.py at first use, kept in a cache.

    CACHE/KEY/                     a virtual environment
    CACHE/KEY/environment.json     its marker: written last, in one step; without it the folder is rubbish
    CACHE/KEY.lock                 shared: in use; exclusive: being made or deleted

A KEY holds all that makes two environments differ: release, dependencies, Python, platform, how we make them.
"""

import errno
import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from platform import python_version
from typing import Final

import uv

from perfgate.atomic_file import write_atomically
from perfgate.errors import BadInput, StackFailed
from perfgate.filelocks import LockBusy, exclusive, shared
from perfgate.stack.installing import Installer, uv_environment
from perfgate.stack.packages import Packages
from perfgate.stack.releases import DepsMode, checked_release

MARKER: Final = "environment.json"
#: Part of every key: raise it when environments are made in another way than before.
RECIPE: Final = 1
#: Room for about 25 releases.
DEFAULT_MAX_GB: Final = 20.0
#: A release's own dependencies may be uploaded just after it (litellm-proxy-extras often is).
ALLOWANCE: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment with one LiteLLM release.

    Args:
        folder: where it is.
        release: of LiteLLM.
        deps: how its dependencies were chosen.
        exclude_newer: no package in it was uploaded later (ISO 8601); None with `deps="today"`.
        python_version: `3.12.7`.
        packages: all that is installed.
        made_at: when (ISO 8601, UTC).
        size_bytes: of all its files.
    """

    folder: Path
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
    """Environments on disk: `with cache.using("1.79.3", "of-its-time") as environment: …`.

    Args:
        folder: where they are kept.
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
        self, release: str, deps: DepsMode = "of-its-time", *, say: Callable[[str], None] = _silent
    ) -> Iterator[Environment]:
        """Have an environment that stays as it is while the context is open; it is made when it is missing.

        Args:
            release: of LiteLLM.
            deps: its dependencies as of its release (plus `ALLOWANCE`), or the newest of today.
            say: called with a line before anything that takes long: an installation, or a wait for another run's.

        Raises:
            BadInput: the release is refused, does not exist, or cannot be resolved; the cache folder cannot be used.
            StackFailed: no network, a full disk.
        """
        release = checked_release(release)
        key = _key(release, deps)
        what = f"the environment of litellm {release}"
        self._make_folder()
        lock = self.folder / f"{key}.lock"
        while True:
            with shared(lock, what, on_wait=say):
                environment = self._read(key)
                if environment is not None:
                    os.utime(environment.folder / MARKER)  # when it was last used
                    yield environment
                    return
            # Another run may come first between the two locks; then there is nothing left to make.
            with exclusive(lock, what, on_wait=say):
                if self._read(key) is None:
                    say(f"installing litellm {release} with its dependencies {deps} into {self.folder / key}")
                    self._make(key, release, deps)
                    self._make_room(keep=key)

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"the cache folder {self.folder} cannot be made: {error}; {_OTHER_FOLDER}") from error
        if not os.access(self.folder, os.W_OK):
            raise BadInput(f"the cache folder {self.folder} cannot be written to; {_OTHER_FOLDER}")

    def _read(self, key: str) -> Environment | None:
        """The finished environment of that key, if there is one whose Python still exists."""
        folder = self.folder / key
        try:
            facts = json.loads((folder / MARKER).read_text())
        except (FileNotFoundError, ValueError):
            return None
        environment = Environment(folder=folder, **{**facts, "packages": Packages(tuple(facts["packages"]["listed"]))})
        return environment if environment.executable("python").exists() else None

    def _make(self, key: str, release: str, deps: DepsMode) -> None:
        folder = self.folder / key
        try:
            _delete(folder)
            exclude_newer = self.installer.uploaded_at(release) + ALLOWANCE if deps == "of-its-time" else None
            self.installer.install(release, folder, exclude_newer)
            environment = Environment(
                folder=folder,
                release=release,
                deps=deps,
                exclude_newer=exclude_newer.isoformat() if exclude_newer else None,
                python_version=python_version(),
                packages=Packages.installed_in(next(folder.glob("lib/python*/site-packages"))),
                made_at=datetime.now(UTC).isoformat(timespec="seconds"),
                size_bytes=_size_bytes(folder),
            )
            facts = {name: value for name, value in asdict(environment).items() if name != "folder"}
            facts["packages"]["sha256"] = environment.packages.sha256
            write_atomically(folder / MARKER, json.dumps(facts, indent=1))
        except BaseException as error:
            _delete(folder)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StackFailed(f"{folder} cannot be written: the disk is full; {_OTHER_FOLDER}") from error
            raise

    def _make_room(self, keep: str) -> None:
        """Delete what is half-made, then the least recently used until the rest fits; never one that is in use."""
        keys = sorted(path.name for path in self.folder.iterdir() if path.is_dir())
        finished = {key: environment for key in keys if (environment := self._read(key)) is not None}
        by_last_use = sorted(finished, key=lambda key: (self.folder / key / MARKER).stat().st_mtime_ns)
        total_bytes = sum(environment.size_bytes for environment in finished.values())
        for key in [key for key in keys if key not in finished] + by_last_use:
            is_needless = key not in finished or total_bytes > self.max_bytes
            if key != keep and is_needless and self._delete_unused(key) and key in finished:
                total_bytes -= finished[key].size_bytes

    def _delete_unused(self, key: str) -> bool:
        try:
            with exclusive(self.folder / f"{key}.lock", key, timeout_s=0):
                _delete(self.folder / key)
        except LockBusy:
            return False
        return True


_OTHER_FOLDER: Final = "set PERFGATE_CACHE_DIR to a folder with room for 0.8 GB a release"


def _key(release: str, deps: DepsMode) -> str:
    # Another day, another "today".
    chosen = deps if deps == "of-its-time" else f"{deps}-{datetime.now(UTC):%Y%m%d}"
    platform = sysconfig.get_config_var("SOABI") or sysconfig.get_platform()
    return f"litellm-{release}-{chosen}-{sys.implementation.name}-{python_version()}-{platform}-recipe{RECIPE}"


def _delete(folder: Path) -> None:
    # The marker goes first: should we die half-way, what is left is known for rubbish.
    (folder / MARKER).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)


def _size_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))
