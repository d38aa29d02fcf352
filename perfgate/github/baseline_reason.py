"""Why is the baseline of a gate that one?

Comes in: the input `baseline` as it was given, and what GitHub tells of the pull request. Goes out: a clause for the
reports, such as "the base branch's, requirements.txt line 3 at 0123456789ab". Looks at the file that the input names.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from perfgate.errors import BadInput
from perfgate.github.checkouts import commit_of, in_repository
from perfgate.github.release_file import PREFIX, line_in

#: Of a commit, as people read it.
COMMIT_CHARS: Final = 12


def baseline_reason(given: str, environ: Mapping[str, str]) -> str:
    """In words; empty where it is the one that somebody named.

    Args:
        given: `1.79.3`, `file:base/requirements.txt`, or any other form of the input.
        environ: of the step. GITHUB_EVENT_PATH leads to what GitHub tells of a pull request.
    """
    if not given.startswith(PREFIX):
        return ""
    path = Path(given.removeprefix(PREFIX))
    try:
        line = line_in(path)
    except BadInput:
        return ""
    commit = commit_of(path)
    if commit is None:
        return f"{path} line {line}"
    whose = "the base branch's, " if commit == _base_commit(environ) else ""
    return f"{whose}{in_repository(str(path)) or path} line {line} at {commit[:COMMIT_CHARS]}"


def _base_commit(environ: Mapping[str, str]) -> str | None:
    """The commit of the base branch that the pull request stands on; None where this run is of no pull request."""
    try:
        told = json.loads(Path(environ.get("GITHUB_EVENT_PATH", "")).read_text(encoding="utf-8"))
        return str(told["pull_request"]["base"]["sha"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
