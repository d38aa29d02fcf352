"""`perfgate github comment`: what a gate found, as one comment of its pull request.

Comes in: the records that the jobs of a gate left, and what GitHub says of their run. Goes out: a comment, written
once and edited from then on. Runs where nothing of the pull request does: of what its jobs left, records alone are
read, held against their schema, and shown with every mark of Markdown taken away.
"""

import argparse
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perfgate.errors import BadInput
from perfgate.exit_codes import ExitCode
from perfgate.github.pull_requests import Head, PullRequests
from perfgate.record import Record, record_of
from perfgate.report.command import RECORD_NAME
from perfgate.report.markdown import NoRoom, code, summary

#: GitHub takes no longer comment.
COMMENT_CHARS_MAX: Final = 65_536
#: What comes around a summary.
AROUND_CHARS: Final = 2_000
MARKER: Final = "<!-- perfgate: comment of the gate -->"
#: Artifacts of the two jobs of perf-gate.yml.
ARTIFACT: Final = re.compile(r"perf-gate-(?P<attempt>[12])")
#: Far more than any run leaves; what a stranger uploads is not read to its end.
RECORD_BYTES_MAX: Final = 64 * 1024 * 1024
_FORMS: Final = {
    "GITHUB_REPOSITORY": re.compile(r"[\w.-]+/[\w.-]+", re.ASCII),
    "GITHUB_API_URL": re.compile(r"https?://[\w.:/-]+", re.ASCII),
    "GITHUB_SERVER_URL": re.compile(r"https?://[\w.:/-]+", re.ASCII),
    "GITHUB_TOKEN": re.compile(r"\S+"),
    "HEAD_SHA": re.compile(r"[0-9a-f]{40}"),
    "HEAD_OWNER": re.compile(r"[\w.-]*", re.ASCII),  # of a fork that is gone, empty
    "HEAD_BRANCH": re.compile(r".+"),
    "RUN_ID": re.compile(r"[0-9]+"),
    "CONCLUSION": re.compile(r"[a-z_]+"),
}


@dataclass(frozen=True, slots=True)
class Left:
    """What a gate's job left.

    Args:
        attempt: 1, or 2 for the second runner.
        record: None where it cannot be read.
        problem: why; else empty.
    """

    attempt: int
    record: Record | None
    problem: str = ""


def run_comment(options: argparse.Namespace) -> ExitCode:
    """Comment on the pull request that the run was of, where it still stands at that commit.

    Raises:
        BadInput: a variable is missing or is none.
        StackFailed: GitHub cannot be reached, or refuses.
    """
    told = _told(os.environ)
    head = Head(told["HEAD_OWNER"], told["HEAD_BRANCH"], told["HEAD_SHA"])
    with PullRequests(told["GITHUB_API_URL"], told["GITHUB_REPOSITORY"], told["GITHUB_TOKEN"]) as pull_requests:
        numbers = pull_requests.at(head) if head.owner else []
        if len(numbers) != 1:
            why = "several pull requests stand" if numbers else "no open pull request stands"
            print(f"nothing is written: {why} at {head.sha}")
            return ExitCode.OK
        run_url = f"{told['GITHUB_SERVER_URL']}/{told['GITHUB_REPOSITORY']}/actions/runs/{told['RUN_ID']}"
        text = comment_text(last_left(options.artifacts), head.sha, run_url, told["CONCLUSION"])
        print(pull_requests.comment(numbers[0], MARKER, text))
    return ExitCode.OK


def last_left(folder: Path) -> Left | None:
    """What the last job left that left a record; None where none did.

    Args:
        folder: of artifacts, one folder each.
    """
    attempts = sorted((int(match["attempt"]), path) for path, match in _artifacts(folder))
    for attempt, path in reversed(attempts):
        records = sorted(each for each in (path / "records").glob("*.json") if RECORD_NAME.fullmatch(each.name))
        if records:
            return _read(attempt, records[-1])
    return None


def _artifacts(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    found = [(path, ARTIFACT.fullmatch(path.name)) for path in folder.glob("*") if path.is_dir()]
    return [(path, match) for path, match in found if match is not None]


def _read(attempt: int, path: Path) -> Left:
    if path.is_symlink() or not path.is_file():
        return Left(attempt, None, "it is no file")
    if path.stat().st_size > RECORD_BYTES_MAX:
        return Left(attempt, None, f"it has more than {RECORD_BYTES_MAX:,} bytes")
    try:
        return Left(attempt, record_of(path.read_bytes(), path.name))
    except (BadInput, RecursionError) as error:
        return Left(attempt, None, str(error))


def comment_text(left: Left | None, sha: str, run_url: str, conclusion: str) -> str:
    """The comment.

    Args:
        left: by the gate's last job.
        sha: of the commit that was measured.
        run_url: of the run.
        conclusion: of the run, as GitHub says it.
    """
    problem = "the run left no record" if left is None else left.problem
    shown = ""
    if left is not None and left.record is not None:
        try:
            shown = summary([left.record], COMMENT_CHARS_MAX - AROUND_CHARS)
        except (NoRoom, ValueError, ArithmeticError, LookupError) as error:
            problem = f"its record cannot be shown: {error}"
    if not shown:
        shown = f"## perfgate: no verdict\n\n{code(problem)}: [the log of the run]({run_url}) says why.\n"
    second = " The first runner could not tell (INVALID); this is of a second one." if left and left.attempt > 1 else ""
    return (
        f"{MARKER}\n{shown}\n"
        f"[This run]({run_url}), of {sha}, ended with {conclusion.replace('_', ' ')}.{second} Both sides were measured "
        "in one job, on one host, by the pull request's own checkout: of a fork this is advice. The run's artifact has "
        "the whole report.\n"
    )


def _told(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that GitHub and the workflow set, each of its form."""
    for name, form in _FORMS.items():
        if form.fullmatch(environ.get(name, "")) is None:
            raise BadInput(f"{name}: not set, or not of its form; perf-comment.yml sets it of the run that it is for")
    return {name: environ[name] for name in _FORMS}
