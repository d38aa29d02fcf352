"""Which files make up a checkout of LiteLLM, and how do they get into a folder of ours?

Comes in: a folder of the user's, which is only read, or a commit of a repository. Goes out: a hash of the content, and
a copy to install from. Knows nothing of environments; what a user may write is sources.py's.
"""

import hashlib
import os
import shutil
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from perfgate.errors import BadInput
from perfgate.stack import git
from perfgate.stack.git import GitFailed

#: Folders that no installation needs, where git cannot tell what belongs to a checkout.
RUBBISH: Final = frozenset(
    {".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", ".tox", ".nox"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache", ".cache", ".idea", ".vscode"}
)


def check_is_litellm(folder: Path, what: str) -> None:
    """See that a folder holds LiteLLM's source.

    Args:
        folder: to look into.
        what: what the user called it, for messages.

    Raises:
        BadInput: it does not; says what is wrong.
    """
    path = folder / "pyproject.toml"
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{what}: no pyproject.toml in it, so it is no checkout of LiteLLM") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{what}: its pyproject.toml cannot be read: {error}") from error
    names = [project.get("project", {}).get("name"), project.get("tool", {}).get("poetry", {}).get("name")]
    name = next((name for name in names if name is not None), None)
    if name != "litellm":
        raise BadInput(f"{what}: its pyproject.toml is that of the project {name!r}, not of litellm")


def is_git_checkout(folder: Path) -> bool:
    """Whether the folder is itself the top of a git working tree; one that lies inside of another's is not."""
    return (folder / ".git").exists()


def members_of(folder: Path) -> list[str]:
    """Paths below a checkout of all files that belong to it, sorted.

    Raises:
        GitFailed: git cannot read its own repository.
    """
    paths = git.files_of(folder) if is_git_checkout(folder) else sorted(_walked(folder))
    # git goes on listing files that were deleted, and lists the repositories within this one, which are folders.
    return [path for path in paths if (folder / path).is_symlink() or (folder / path).is_file()]


def content_of(folder: Path, members: Iterable[str]) -> str:
    """Hash of files: their paths, contents, and which can be executed.

    Raises:
        OSError: a file cannot be read.
    """
    found = hashlib.sha256()
    for path in members:
        file = folder / path
        if file.is_symlink():
            kind, content = b"link", os.fsencode(file.readlink())
        else:
            kind = b"program" if file.stat().st_mode & 0o100 else b"file"
            with file.open("rb") as opened:
                content = hashlib.file_digest(opened, "sha256").digest()
        found.update(b"%b\0%b\0%b\0" % (os.fsencode(path), kind, hashlib.sha256(content).hexdigest().encode()))
    return found.hexdigest()


def copy(folder: Path, members: Iterable[str], into: Path) -> None:
    """Copy files into a new folder; raises OSError."""
    into.mkdir()
    for path in members:
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / path, into / path, follow_symlinks=False)


def fetch(url: str, sha: str, into: Path, what: str) -> git.Commit:
    """Put the files of a commit into a new folder.

    Raises:
        BadInput: the repository cannot be read, lacks the commit, or is not LiteLLM's.
    """
    try:
        commit = git.fetch_files(url, sha, into)
    except GitFailed as error:
        raise BadInput(
            f"{what}: commit {sha} cannot be fetched from {url}: check that the repository has it. git says: {error}"
        ) from None
    check_is_litellm(into, what)
    return commit


def _walked(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in RUBBISH]
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]  # noqa: PTH114, PTH118
        for name in [*files, *links]:
            if not name.endswith((".pyc", ".pyo")):
                yield os.path.relpath(os.path.join(place, name), folder)  # noqa: PTH118
