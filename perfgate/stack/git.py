"""What does a git repository say, near or far?

Comes in: a folder or an address. Goes out: commits, dates, lists of files, or the files themselves in a folder of ours.
Runs git so that it never asks anybody anything, and never writes to a repository that is not ours.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from perfgate.errors import BadInput, StackFailed
from perfgate.stack.child_program import run_to_end

#: A full fetch of a repository of 1 GB at 15 Mbit/s.
GIT_DEADLINE_S: Final = 600.0
#: What of git's reason is worth showing.
SHOWN_REASON_CHARS: Final = 400
FULL_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

#: What git needs to find its settings, keys and certificates.
_INHERITED: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|TMPDIR|XDG_\w+|SSH_\w+|GIT_\w+|SSL_CERT_(FILE|DIR)|CURL_CA_BUNDLE|(HTTPS?|ALL|NO)_PROXY",
    re.IGNORECASE,
)
#: Set by git for its hooks, such as the pre-push hook that runs us: they would lead every call to that repository.
_NAMES_A_REPOSITORY: Final = re.compile(
    r"GIT_(DIR|WORK_TREE|IMPLICIT_WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|COMMON_DIR|PREFIX"
    r"|NAMESPACE|SHALLOW_FILE|QUARANTINE_PATH)"
)
_USER_IN_ADDRESS: Final = re.compile(r"(?<=://)[^/@\s]+@")


class GitFailed(Exception):
    """git ended with an error; the text is what it said as one line, shortened, without what may be a password."""

    def __init__(self, said: str) -> None:
        reason = " ".join(_USER_IN_ADDRESS.sub("***@", said).split())
        super().__init__(reason if len(reason) <= SHOWN_REASON_CHARS else reason[:SHOWN_REASON_CHARS] + " …")


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit.

    Args:
        sha: its whole hash.
        committed_at: when it was made.
    """

    sha: str
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A commit as people know it.

    Args:
        sha: its whole hash.
        committed_at: when it was made.
        parents: whole hashes of what it was made on; a merge has several.
        subject: the first paragraph of its message, as one line; anything may stand in it.
    """

    sha: str
    committed_at: datetime
    parents: tuple[str, ...]
    subject: str


def git_environment(outer: Mapping[str, str]) -> dict[str, str]:
    """What git may see of our environment; it never asks for a password, and takes no lock for mere looking.

    >>> seen = git_environment({"HOME": "/root", "GIT_DIR": "/x/.git", "OPENAI_API_KEY": "sk"})
    >>> sorted(seen)
    ['GIT_OPTIONAL_LOCKS', 'GIT_SSH_COMMAND', 'GIT_TERMINAL_PROMPT', 'HOME', 'LC_ALL']
    """
    inherited = {
        name: value
        for name, value in outer.items()
        if _INHERITED.fullmatch(name) and not _NAMES_A_REPOSITORY.fullmatch(name)
    }
    defaults = {"GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}
    return {**defaults, **inherited, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8"}


def git(*arguments: str, cwd: Path) -> str:
    """What git writes to its standard output.

    Raises:
        GitFailed: it ended with an error.
        BadInput: it is not installed.
        StackFailed: it hangs.
    """
    env = git_environment(os.environ)
    program = shutil.which("git", path=env.get("PATH"))
    if program is None:
        raise BadInput("git is not installed, and this needs it: install git, or name a release by its number")
    try:
        done = run_to_end([program, *arguments], env=env, cwd=cwd, deadline_s=GIT_DEADLINE_S)
    except subprocess.TimeoutExpired:
        raise StackFailed(
            f"git {arguments[0]} has not ended after {GIT_DEADLINE_S:g} s: is the repository's server slow?"
        ) from None
    if done.returncode != 0:
        raise GitFailed(done.stderr or f"it ended with status {done.returncode} and no message")
    return done.stdout


def head_of(folder: Path) -> Commit | None:
    """The commit that a working tree stands on; None before its first one."""
    try:
        said = git("log", "-1", "--no-show-signature", "--format=%H %cI", "HEAD", "--", cwd=folder)
    except GitFailed:
        git("rev-parse", "--git-dir", cwd=folder)  # whatever else is wrong with the repository is said here
        return None
    return _commit(said)


def is_changed(folder: Path) -> bool:
    """Whether a working tree differs from its commit: files changed, added, deleted, or not yet known to git."""
    return bool(git("status", "--porcelain", "--ignore-submodules=none", cwd=folder).strip())


def files_of(folder: Path) -> list[str]:
    """Paths below a working tree of what git tracks, and of what it neither tracks nor ignores."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=folder)
    # An untracked repository within this one is listed as a folder.
    return sorted({path for path in listed.split("\0") if path and not path.endswith("/")})


def commit_of_ref(url: str, ref: str) -> str | None:
    """The commit that a branch, a tag or another name stands for in a repository; None where it has none such.

    Raises:
        GitFailed: the repository cannot be read.
    """
    rows = [line.split("\t") for line in git("ls-remote", "--", url, ref, f"{ref}^{{}}", cwd=Path("/")).splitlines()]
    named = {name: sha for sha, name in rows}
    # git's own order; what ends in ^{} is the commit that an annotated tag stands for.
    for name in (ref, f"refs/{ref}", f"refs/tags/{ref}", f"refs/heads/{ref}"):
        found = named.get(f"{name}^{{}}") or named.get(name)
        if found is not None:
            return found
    return None


def commit_called(folder: Path, name: str) -> str | None:
    """The commit that a name stands for in a repository on this machine; None where it has no such, or several.

    Args:
        folder: of the repository, or of its working tree.
        name: as `git rev-parse` takes it: a branch, a tag, a hash, a shortened one, `HEAD~3`.

    Raises:
        GitFailed: the repository cannot be read.
    """
    if not name or name.startswith(("-", "^")):
        return None  # an option, or a negation: no name of a commit
    try:
        said = git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", cwd=folder).strip()
    except GitFailed:
        git("rev-parse", "--git-dir", cwd=folder)  # whatever is wrong with the repository is said here
        return None
    return said if FULL_COMMIT.fullmatch(said) else None


def is_ancestor(folder: Path, sha: str, of: str) -> bool:
    """Whether a commit is in the history of another; one is in its own."""
    try:
        return git("merge-base", sha, of, cwd=folder).strip() == sha
    except GitFailed:
        git("rev-parse", "--git-dir", cwd=folder)
        return False  # they have nothing in common


def is_shallow(folder: Path) -> bool:
    """Whether the beginning of a repository's history was left out when it was cloned."""
    return git("rev-parse", "--is-shallow-repository", cwd=folder).strip() == "true"


def first_parents(folder: Path, after: str, up_to: str) -> list[LogEntry]:
    """From one commit to another, of each merge its first parent alone: what a branch was from day to day.

    Args:
        folder: of the repository, or of its working tree.
        after: whole hash; it, and all that is in its history, is not among them.
        up_to: whole hash of the last.

    Returns:
        The oldest first.
    """
    return _entries(folder, "--first-parent", "--reverse", up_to, f"^{after}")


def log_entry(folder: Path, sha: str) -> LogEntry:
    """One commit."""
    (entry,) = _entries(folder, "--max-count=1", sha)
    return entry


def fetch_files(url: str, sha: str, into: Path) -> Commit:
    """Put the files of one commit into a new folder.

    Raises:
        GitFailed: the repository cannot be read, or has no such commit.
    """
    into.mkdir()
    git("init", "--quiet", cwd=into)
    try:
        git("fetch", "--quiet", "--depth", "1", "--no-tags", "--", url, sha, cwd=into)
    except GitFailed:
        # A server may refuse to hand out a single commit, however much it hands out by name.
        git("fetch", "--quiet", "--", url, "+refs/*:refs/fetched/*", cwd=into)
    git("checkout", "--quiet", "--detach", sha, "--", cwd=into)
    return _commit(git("log", "-1", "--no-show-signature", "--format=%H %cI", sha, "--", cwd=into))


def _commit(said: str) -> Commit:
    sha, committed_at = said.split()
    return Commit(sha, datetime.fromisoformat(committed_at))


def _entries(folder: Path, *chosen: str) -> list[LogEntry]:
    # -z: a subject may hold a carriage return, which is a line's end to Python.
    shown = ("-z", "--no-show-signature", "--encoding=UTF-8", "--format=%H%x09%cI%x09%P%x09%s")
    rows = [row.split("\t", 3) for row in git("log", *shown, *chosen, "--", cwd=folder).split("\0") if row]
    return [
        LogEntry(sha, datetime.fromisoformat(committed_at), tuple(parents.split()), subject)
        for sha, committed_at, parents, subject in rows
    ]
