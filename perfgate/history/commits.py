"""Which commits of a checkout make up a series?

Comes in: a folder with a git checkout of LiteLLM, which is only read, and names of commits in it. Goes out: `Version`s
that are installed from there as `git:FOLDER@COMMIT` is, and what people know each by. Installs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perfgate.errors import BadInput
from perfgate.experiment.arms import GatewaySpec
from perfgate.history.measuring import Version
from perfgate.stack import git
from perfgate.stack.git import GitFailed, LogEntry
from perfgate.stack.releases import DepsMode
from perfgate.stack.snapshots import is_git_checkout
from perfgate.stack.sources import GitRef

#: Of a hash, what a commit is called by: enough for any repository, and the same tomorrow, when git itself would show
#: more of it.
NAME_CHARS: Final = 12
#: Of a subject, so much is shown.
SHOWN_SUBJECT_CHARS: Final = 72


@dataclass(frozen=True, slots=True)
class Commits:
    """A series of commits.

    Args:
        folder: the absolute path of the checkout.
        entries: the good one, then what came after it, the bad one last.
    """

    folder: Path
    entries: tuple[LogEntry, ...]

    def versions(self, deps: DepsMode) -> list[Version]:
        """To be measured, in the same order."""
        return [version_of(self.folder, entry.sha, deps) for entry in self.entries]

    @property
    def described(self) -> Mapping[str, str]:
        """What people know each by: `2026-11-02, Count tokens once`, by the version's name."""
        return {name_of(entry.sha): description(entry) for entry in self.entries}

    def entry(self, name: str) -> LogEntry:
        """That of a version's name."""
        return next(entry for entry in self.entries if name_of(entry.sha) == name)


def commits_between(shown: Path, good: str, bad: str, say: Callable[[str], None] = lambda line: None) -> Commits:
    """The commits from a good one to a bad one, of each merge between them the first parent alone.

    Args:
        shown: the checkout, as typed.
        good, bad: as `git rev-parse` takes them.
        say: called with a line for each thing to know about the series.

    Raises:
        BadInput: no checkout, no such commits, or the good one is no ancestor of the bad one.
    """
    folder = checked_checkout(shown)
    first, last = commit_named(folder, good, "--good"), commit_named(folder, bad, "--bad")
    if first == last:
        raise BadInput(f"--good {good} and --bad {bad} are one commit, {name_of(first)}")
    try:
        if not git.is_ancestor(folder, first, last):
            raise BadInput(_no_ancestor(folder, good, first, bad, last))
        entries = (git.log_entry(folder, first), *git.first_parents(folder, first, last))
        if git.is_changed(folder):
            say(f"{folder} has changes that are in no commit: they are left as they are, and are not measured")
    except GitFailed as error:
        raise _unreadable(shown, error) from None
    if first not in entries[1].parents[:1]:
        say(f"{name_of(first)} is not on the line of first parents that ends in {name_of(last)}: it was merged into it")
    return Commits(folder, entries)


def checked_checkout(shown: Path) -> Path:
    """The absolute path of a checkout.

    Raises:
        BadInput: it is none.
    """
    folder = shown.expanduser().resolve()
    if not folder.is_dir():
        raise BadInput(f"--checkout {shown}: there is no folder {folder}")
    if not is_git_checkout(folder):
        raise BadInput(f"--checkout {shown}: {folder} is not the top of a git checkout: clone LiteLLM's repository")
    return folder


def results_beside(checkout: Path, asked: Path | None, default: Path) -> Path:
    """Where results of commits are kept: never in the checkout, whose files they would be among.

    Raises:
        BadInput: it was asked for.
    """
    if asked is not None and asked.resolve().is_relative_to(checkout):
        raise BadInput(f"--results {asked} is in the checkout {checkout}, which is only read: name a folder elsewhere")
    return default if asked is None else asked


def commit_named(folder: Path, ref: str, option: str) -> str:
    """The whole hash of a commit.

    Args:
        folder: the checkout.
        ref: as typed.
        option: that it was typed for.

    Raises:
        BadInput: there is none of that name, or git is not installed.
    """
    try:
        found = git.commit_called(folder, ref)
    except GitFailed as error:
        raise _unreadable(folder, error) from None
    if found is None:
        raise BadInput(f"{option} {ref}: {folder} has no such commit, branch or tag; `git fetch` there may bring it")
    return found


def version_of(folder: Path, sha: str, deps: DepsMode) -> Version:
    """A commit of a checkout, to be measured: installed from what git keeps of it, whatever the working tree is."""
    return Version(name_of(sha), GatewaySpec(GitRef(str(folder), sha, sha), deps))


def name_of(sha: str) -> str:
    """What a commit is called in results and tables."""
    return sha[:NAME_CHARS]


def description(entry: LogEntry) -> str:
    """Date and subject; of the subject only what can be printed.

    >>> from datetime import datetime
    >>> at = datetime.fromisoformat("2026-11-02T10:00:00+01:00")
    >>> description(LogEntry("ab", at, (), "Count\\x1b[31m tokens once"))
    '2026-11-02, Count[31m tokens once'
    """
    subject = "".join(character for character in entry.subject if character.isprintable())
    shortened = subject if len(subject) <= SHOWN_SUBJECT_CHARS else subject[:SHOWN_SUBJECT_CHARS] + " …"
    return f"{entry.committed_at:%Y-%m-%d}, {shortened}"


def _no_ancestor(folder: Path, good: str, first: str, bad: str, last: str) -> str:
    if git.is_ancestor(folder, last, first):
        return f"--good {good} comes after --bad {bad}: the good end of a search is the older one"
    if git.is_shallow(folder):
        return (
            f"--good {good} is not in the history of --bad {bad}, as far as {folder} has it, which was cloned without "
            "its beginning: `git fetch --unshallow` there"
        )
    return (
        f"--good {good} is no ancestor of --bad {bad}, so that nothing leads from one to the other: take for the good "
        f"end what both come from (`git merge-base {name_of(first)} {name_of(last)}`), if that is good"
    )


def _unreadable(shown: Path, error: GitFailed) -> BadInput:
    return BadInput(f"--checkout {shown}: git cannot read this checkout. git says: {error}")
