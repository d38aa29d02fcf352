"""How does a LiteLLM get into a folder, and if it does not, why?

Comes in: a release, or a folder with LiteLLM's source; a date that no dependency may be newer than. Goes out: a virtual
environment with it, bytecode compiled. Runs uv and turns what it says into errors for people. Knows nothing of the
cache (environments.py).
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from perfgate.errors import BadInput, PerfgateError, StackFailed
from perfgate.stack.child_program import run_to_end
from perfgate.stack.packages import normalized
from perfgate.stack.releases import DEFAULT_RELEASE

#: All that uv sees of the caller's environment: where programs, home and temporary files are, and whatever says how to
#: reach the package index. PYTHONDONTWRITEBYTECODE, which would double a gateway's CPU, is not among it.
INHERITED: Final = re.compile(
    r"PATH|HOME|USER|TMPDIR|XDG_\w+|UV_\w+|PIP_\w+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NETRC"
    r"|(HTTPS?|ALL|NO)_PROXY",
    re.IGNORECASE,
)
#: Longer than the download of 200 MB at 2 Mbit/s.
UV_DEADLINE_S: Final = 1_200.0
#: What of uv's reason is worth showing.
SHOWN_REASON_CHARS: Final = 400

_PINNED: Final = re.compile(r"^litellm==(?P<number>\S+)$", re.MULTILINE)
_NO_SPACE: Final = re.compile(r"No space left on device|Disk quota exceeded|os error (28|122)\b", re.IGNORECASE)
_NO_NETWORK: Final = re.compile(
    r"error sending request|Request failed after|Failed to (fetch|download)|\(Connect\)|dns error|timed out"
    r"|network (was|is|connectivity is) disabled|HTTP status (client|server) error",
    re.IGNORECASE,
)
_NO_SOLUTION: Final = re.compile(r"^.*No solution found.*$\n?", re.MULTILINE)
_ADDRESS: Final = re.compile(r"[a-z+]+://[^\s`'\")>]+", re.IGNORECASE)
#: A source that does not build is the asker's; uv says so in these ways, whatever the build backend said before.
_NOT_BUILT: Final = re.compile(r"Failed to build|build backend|Failed to parse metadata", re.IGNORECASE)
_VERSIONS: Final = r"(===?|~=|!=|<=?|>=?)[a-z0-9.*+!-]+"
_WITH_PACKAGE: Final = re.compile(
    rf"(?P<name>[a-z0-9]([a-z0-9._-]*[a-z0-9])?)(\[[a-z0-9,._-]+\])?({_VERSIONS}(,{_VERSIONS})*)?", re.IGNORECASE
)


class UvFailed(Exception):
    """uv ended with an error; what it said, without addresses, which may hold passwords."""

    def __init__(self, said: str) -> None:
        self.said = _ADDRESS.sub("(address)", said)
        super().__init__(self.said)

    @property
    def is_unresolved(self) -> bool:
        """Whether the packages that it was asked for do not exist (rather than were not seen for want of a network)."""
        return _NO_SOLUTION.search(self.said) is not None and not _NO_NETWORK.search(self.said)

    @property
    def reason(self) -> str:
        """What it said as one line, shortened."""
        said = re.sub(r"^\s*(error|cause|hint|warning):\s*", "", _NO_SOLUTION.sub("", self.said), flags=re.MULTILINE)
        reason = " ".join(said.split())
        return reason if len(reason) <= SHOWN_REASON_CHARS else reason[:SHOWN_REASON_CHARS] + " …"


@dataclass(frozen=True, slots=True)
class Installer:
    """uv, run in a clean environment.

    Args:
        uv: the program.
        environment: all that it sees.
    """

    uv: str
    environment: Mapping[str, str]

    def uploaded_at(self, release: str) -> datetime:
        """When the package index got the release.

        Raises:
            BadInput: there is no such release, or the index does not tell.
            StackFailed: the index cannot be reached.
        """
        arguments = ["pip", "compile", "--quiet", "--no-deps", "--no-header", "--python", sys.executable]
        try:
            lock = self._run([*arguments, "--format", "pylock.toml", "-"], stdin=f"litellm=={release}\n")
        except UvFailed as error:
            if error.is_unresolved:
                raise BadInput(
                    f"litellm {release} does not exist in the package index; check the number, or take "
                    f"{DEFAULT_RELEASE}. uv says: {error.reason}"
                ) from None
            raise _in_words(error, f"litellm {release}", "asked for its upload time") from None
        package = tomllib.loads(lock)["packages"][0]
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        times = [file["upload-time"] for file in files if "upload-time" in file]
        if not times:
            raise BadInput(
                f"the package index does not tell when litellm {release} was uploaded, so its dependencies of that "
                "time cannot be chosen: use --deps today"
            )
        uploaded_at: datetime = min(times)
        return uploaded_at

    def newest(self, versions: str) -> str | None:
        """The newest release that the package index has among some; pre-releases and withdrawn ones do not count.

        Args:
            versions: which, as PEP 440 writes them: `>=1.79,<1.90,!=1.82.7`; empty for all.

        Returns:
            Its number; None where there is none.

        Raises:
            StackFailed: the index cannot be reached.
        """
        arguments = ["pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate"]
        arguments += ["--prerelease", "disallow", "--python", sys.executable, "-"]
        try:
            listed = self._run(arguments, stdin=f"litellm{versions}\n")
        except UvFailed as error:
            if error.is_unresolved:
                return None
            raise _in_words(error, f"litellm{versions}", "asked for its releases") from None
        pinned = _PINNED.search(listed)
        if pinned is None:
            raise StackFailed(f"uv named no release of litellm{versions}, but said: {' '.join(listed.split())}")
        return pinned["number"]

    def make(self, into: Path) -> None:
        """Make an empty virtual environment of our own Python.

        Args:
            into: its folder; must not exist.

        Raises:
            StackFailed: the disk is full, or uv failed in another way.
        """
        try:
            self._run(["venv", "--quiet", "--no-project", "--python", sys.executable, str(into)])
        except UvFailed as error:
            raise _in_words(error, f"the environment {into}", "making it") from None

    def install(
        self,
        what: str,
        litellm: str | Path,
        into: Path,
        exclude_newer: datetime | None,
        with_packages: Sequence[str] = (),
    ) -> None:
        """Install `litellm[proxy]` into an environment that `make` made.

        Args:
            what: what it is, for messages: `litellm 1.106.2`.
            litellm: the number of a release, or a folder with source; a normal install, so that the folder may go.
            into: the environment's folder.
            exclude_newer: take no package that was uploaded later; None takes the newest.
            with_packages: what to install beside it, as `checked_packages` returns them.

        Raises:
            BadInput: there is no such release, its dependencies cannot be resolved, or the source does not build.
            StackFailed: the index cannot be reached, the disk is full, or uv failed in another way.
        """
        arguments = ["pip", "install", "--quiet", "--compile-bytecode", "--python", str(into / "bin" / "python")]
        if exclude_newer is not None:
            arguments += ["--exclude-newer", exclude_newer.isoformat()]
        if isinstance(litellm, Path):
            # Without it uv links the packages beside LiteLLM in its repository to the source, which goes away.
            arguments.append("--no-sources")
        wanted = f"litellm[proxy] @ {litellm.as_uri()}" if isinstance(litellm, Path) else f"litellm[proxy]=={litellm}"
        try:
            self._run([*arguments, *with_packages, wanted])
        except UvFailed as error:
            if error.is_unresolved:
                raise _unresolved(error, what, exclude_newer) from None
            raise _in_words(error, what, "installing it") from None

    def _run(self, arguments: Sequence[str], stdin: str = "") -> str:
        """What uv wrote to its standard output."""
        try:
            # uv obeys the settings of a project that it is run in; in / is none. The user's own still hold.
            done = run_to_end(
                [self.uv, *arguments], env=self.environment, cwd=Path("/"), deadline_s=UV_DEADLINE_S, stdin=stdin
            )
        except subprocess.TimeoutExpired:
            raise StackFailed(
                f"uv {' '.join(arguments[:2])} has not ended after {UV_DEADLINE_S:g} s: is the package index slow?"
            ) from None
        if done.returncode != 0:
            raise UvFailed(done.stderr or f"it ended with status {done.returncode} and no message")
        return done.stdout


def uv_environment(outer: Mapping[str, str]) -> dict[str, str]:
    """What uv may see of our environment.

    >>> uv_environment({"PYTHONDONTWRITEBYTECODE": "1", "PATH": "/bin", "https_proxy": "proxy:3128"})
    {'PATH': '/bin', 'https_proxy': 'proxy:3128', 'UV_NO_PROGRESS': '1', 'UV_NO_WRAP': '1', 'LC_ALL': 'C.UTF-8'}
    """
    inherited = {name: value for name, value in outer.items() if INHERITED.fullmatch(name)}
    return {**inherited, "UV_NO_PROGRESS": "1", "UV_NO_WRAP": "1", "LC_ALL": "C.UTF-8"}


def checked_packages(text: str) -> tuple[str, ...]:
    """What is to be installed beside LiteLLM, such as another version of one of its dependencies.

    Args:
        text: names, with versions or without, divided by blanks: `httptools uvloop==0.21.0`.

    Raises:
        BadInput: something that is neither.

    >>> checked_packages("uvloop==0.21.0 httptools")
    ('httptools', 'uvloop==0.21.0')
    """
    packages = text.split()
    for package in packages:
        if not _WITH_PACKAGE.fullmatch(package):
            raise BadInput(
                f"{package!r} is no package: write names with or without versions, divided by blanks, such as "
                "'httptools uvloop==0.21.0'"
            )
    return tuple(sorted(set(packages)))


def package_name(package: str) -> str:
    """The name of a package that `checked_packages` returned, as the package index spells it.

    >>> package_name("Prometheus_Client>=0.20")
    'prometheus-client'
    """
    match = _WITH_PACKAGE.fullmatch(package)
    assert match is not None, package
    return normalized(match["name"])


def _unresolved(error: UvFailed, what: str, exclude_newer: datetime | None) -> BadInput:
    if exclude_newer is None:
        when, advice = "among the packages of today", f"take another release, such as {DEFAULT_RELEASE}"
    else:
        when = f"among the packages of its time (until {exclude_newer:%Y-%m-%d})"
        advice = f"try --deps today, or take another release, such as {DEFAULT_RELEASE}"
    return BadInput(
        f"{what} cannot be installed: its dependencies cannot be resolved {when}; {advice}. uv says: {error.reason}"
    )


def _in_words(error: UvFailed, what: str, doing: str) -> PerfgateError:
    if _NO_SPACE.search(error.said):
        return StackFailed(
            f"{what}: the disk is full ({doing}); an environment takes 0.8 GB: make room, or let "
            f"PERFGATE_CACHE_DIR name a folder on another disk. uv says: {error.reason}"
        )
    if _NO_NETWORK.search(error.said):
        return StackFailed(
            f"{what}: the package index cannot be reached over the network ({doing}); check the connection "
            "and the variables HTTPS_PROXY, SSL_CERT_FILE and UV_DEFAULT_INDEX, then run again. A release that was "
            f"used on this machine before needs no network. uv says: {error.reason}"
        )
    if _NOT_BUILT.search(error.said):
        return BadInput(f"{what} cannot be installed: its source does not build. uv says: {error.reason}")
    return StackFailed(f"{what}: uv failed ({doing}). uv says: {error.reason}")
