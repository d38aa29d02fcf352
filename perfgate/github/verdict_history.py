"""`perfgate github keep`: the verdicts of nightly runs, as data on a branch of their own.

Comes in: records. Goes out: a line of JSON for each verdict, appended to one file, committed and pushed. Nothing else
is on the branch. Figures and names alone go there, no text that a gateway could have written.
"""

import argparse
import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.record import Record, read
from perfgate.report.command import RECORD_NAME

FILE: Final = "verdicts.jsonl"
#: Part of every line: raise it when lines are made in another way.
FORMAT_VERSION: Final = 1
AUTHOR: Final = ("github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com")


def run_keep(options: argparse.Namespace) -> ExitCode:
    """Add the verdicts of all records under a folder to the branch.

    Raises:
        BadInput: there is no record, or one cannot be read.
        StackFailed: git cannot fetch or push the branch.
    """
    paths = sorted(path for path in options.records.rglob("*.json") if RECORD_NAME.fullmatch(path.name))
    if not paths:
        raise BadInput(f"{options.records} has no record of a run, so that there is nothing to keep")
    lines = [line for path in paths for line in lines_of(read(path))]
    push(options.remote, options.branch, lines, _credentials(options.remote, os.environ))
    print(f"verdicts kept on the branch {options.branch}: {len(lines)}, of {len(paths)} runs")
    return ExitCode.OK


def lines_of(record: Record) -> list[str]:
    """A line of JSON for each verdict: what was measured, where, and what came of it.

    Of a comparison `value` is the slowdown ratio (above 1 is worse), and `low` and `high` are its interval.
    """
    of_run = {
        "format_version": FORMAT_VERSION,
        "started_utc": record.started_utc,
        "perfgate": record.perfgate_version,
        "profile": record.profile,
        "gateway": record.gateway,
        "baseline": record.baseline,
        "backend": record.stack.backend,
        "cpu_model": record.host.get("cpu_model"),
        "cores": record.host.get("cores_allowed"),
        "seed": record.seed,
        "exit_code": record.exit_code,
    }
    lines = []
    for judgement in record.judgements:
        figures: dict[str, Any] = {"unit": None, "value": None, "low": None, "high": None, "rounds": None}
        if (estimate := judgement.estimate) is not None:
            figures |= {"unit": estimate.unit, "value": estimate.value, "low": estimate.low, "high": estimate.high}
            figures["rounds"] = estimate.rounds
        if (compared := judgement.comparison) is not None:
            figures |= {"unit": "ratio", "value": compared.ratio, "low": compared.low, "high": compared.high}
            figures["rounds"] = compared.rounds
        of_verdict = {
            "scenario": judgement.scenario,
            "metric": judgement.metric,
            "verdict": judgement.verdict,
            "is_waived": judgement.is_waived,
            "reason": judgement.reason,
        }
        lines.append(json.dumps({**of_run, **of_verdict, **figures}))
    return lines


def push(remote: str, branch: str, lines: Sequence[str], environ: Mapping[str, str]) -> None:
    """Append lines to the file on a branch, which is begun where there is none.

    Args:
        remote: an address, or a folder.
        branch: by name.
        lines: of JSON.
        environ: what git needs beyond this process' environment.

    Raises:
        StackFailed: git cannot do it; says what git said.
    """
    with tempfile.TemporaryDirectory(prefix="perfgate-history-") as folder:

        def git(*arguments: str, may_fail: bool = False) -> bool:
            done = subprocess.run(
                ["git", "-C", folder, *arguments],
                env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **environ},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode and not may_fail:
                raise StackFailed(
                    f"git {arguments[0]} of the branch {branch} at {remote}: {done.stderr.strip()}; the job needs "
                    "`contents: write`, and can be run again"
                )
            return done.returncode == 0

        git("init", "--quiet", "--initial-branch", branch)
        git("remote", "add", "origin", remote)
        # 2 says that there is no such branch; whatever else is wrong is found at the push.
        if git("ls-remote", "--exit-code", "--heads", "origin", branch, may_fail=True):
            git("fetch", "--quiet", "--depth", "1", "origin", branch)
            git("reset", "--quiet", "--hard", "FETCH_HEAD")
        with Path(folder, FILE).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        git("add", FILE)
        name, address = AUTHOR
        identity = ("-c", f"user.name={name}", "-c", f"user.email={address}")
        git(*identity, "commit", "--quiet", "--message", f"verdicts: {len(lines)}")
        git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")


def _credentials(remote: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The job's token for git, in the environment: neither on a command line nor in a file."""
    token = environ.get("GITHUB_TOKEN")
    if not token or not remote.startswith("https://"):
        return {}
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
    }
