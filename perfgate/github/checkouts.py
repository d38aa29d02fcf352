"""In which checkout does a file lie, and is it there as a commit has it?

Comes in: paths. Goes out: paths from the root of a repository, hashes of commits. A job has several checkouts, one in
another: that of the pull request, and in a folder of it that of its base.
"""

from pathlib import Path

from perfgate.errors import BadInput, StackFailed
from perfgate.stack.git import GitFailed, git


def in_repository(path: str) -> str | None:
    """The path of a file from the root of the checkout that it lies in; None where it lies in none."""
    whole = Path(path).resolve()
    for folder in whole.parents:
        if (folder / ".git").exists():
            return whole.relative_to(folder).as_posix()
    return None


def commit_of(path: Path) -> str | None:
    """The commit that a checkout is at, if that has the file as it lies there; None where it has not, or git fails."""
    folder = path.absolute().parent
    try:
        committed = git("rev-parse", "--verify", "--quiet", f"HEAD:./{path.name}", cwd=folder)
        if git("hash-object", "--", path.name, cwd=folder) != committed:
            return None
        return git("rev-parse", "HEAD", cwd=folder).strip()
    except (GitFailed, BadInput, StackFailed):
        return None
