"""What passes for LiteLLM's git repository, with a history of a few commits."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PYPROJECT: Final = '[project]\nname = "litellm"\nversion = "%s"\n'
#: When the commits of `LiteLLMRepository` are made.
COMMITTED_AT: Final = "2025-11-09T10:00:00+00:00"


class LiteLLMRepository:
    """A git repository with what passes for LiteLLM's source, with one commit on the branch `main`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.write("pyproject.toml", PYPROJECT % "1.80.0")
        self.write("litellm/__init__.py", "one = 1\n")
        self.write(".gitignore", "ignored\n")
        self.first = self.commit()

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def commit(self, message: str = "work") -> str:
        """Commit everything; the new commit's hash."""
        self.git("add", "--all")
        self.git("commit", "--quiet", f"--message={message}")
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        person = ["-c", "user.name=Some One", "-c", "user.email=one@example.org"]
        dates = {"GIT_AUTHOR_DATE": COMMITTED_AT, "GIT_COMMITTER_DATE": COMMITTED_AT}
        argv = ["git", *person, *arguments]
        done = subprocess.run(argv, cwd=self.folder, env={**os.environ, **dates}, capture_output=True, check=True)
        return done.stdout.decode().strip()

    def state(self) -> dict[str, bytes]:
        """Every file of it, git's own too."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}

    def change(self, words: Sequence[str]) -> list[str]:
        """A commit for each word, which stands in litellm/cost; their hashes, in front that of the commit before."""
        commits = [self.git("rev-parse", "HEAD")]
        for word in words:
            self.write("litellm/cost", f"{word}\n{len(commits)}\n")
            commits.append(self.commit(f"Change {len(commits)}: {word}"))
        return commits
