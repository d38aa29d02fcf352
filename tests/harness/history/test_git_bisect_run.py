"""Does a real `git bisect run` find the right commit by steps of perfgate's, and stop where it must?

The repository is real, and so is git; the measuring is a stand-in that reads the truth from the files (stepping.py).
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from perfgate.exit_codes import ExitCode
from perfgate.history.commits import name_of
from perfgate.history.git_codes import STOPS
from tests.harness.conftest import PATIENCE_S
from tests.harness.history.conftest import ROOT
from tests.harness.history.stepping import DOES_NOT_BUILD, DOES_NOT_START
from tests.harness.litellm_repository import LiteLLMRepository

pytestmark = pytest.mark.slow


def bisect_run(repository: LiteLLMRepository, commits: Sequence[str], log: Path, *more: str) -> tuple[int, str]:
    """Let git search from the first commit to the last; its exit code, and all that was said."""
    repository.git("bisect", "start", commits[-1], commits[0])
    return gone_on(repository, commits, log, *more)


def gone_on(repository: LiteLLMRepository, commits: Sequence[str], log: Path, *more: str) -> tuple[int, str]:
    """The same in a search that was begun."""
    step = [sys.executable, "-m", "tests.harness.history.stepping", str(log), "bisect-step", "--good", commits[0]]
    step += ["--margin", "10%", "--thresholds", str(ROOT / "thresholds.yaml"), *more]
    done = subprocess.run(
        ["git", "bisect", "run", *step],
        cwd=repository.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout


def measured_in(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


@pytest.mark.parametrize("turns_at", [1, 4, 6])
def test_it_finds_the_first_bad_commit(repository: LiteLLMRepository, tmp_path: Path, turns_at: int) -> None:
    commits = repository.change(["1.0"] * (turns_at - 1) + ["1.3"] * (7 - turns_at))
    code, said = bisect_run(repository, commits, tmp_path / "log")
    assert code == 0, said
    assert f"{commits[turns_at]} is the first bad commit" in said
    if turns_at < 6:  # git was told of the last one, and asks nobody
        assert f"{name_of(commits[turns_at])} is bad: CPU per request " in said
    asked = measured_in(tmp_path / "log")
    assert set(asked) <= {name_of(sha) for sha in commits}
    assert len(asked) == len(set(asked)) <= 3
    assert repository.git("status", "--porcelain") == ""


@pytest.mark.parametrize("why", [DOES_NOT_BUILD, DOES_NOT_START])
def test_what_cannot_be_built_or_started_is_skipped_and_git_names_the_range(
    repository: LiteLLMRepository, tmp_path: Path, why: str
) -> None:
    commits = repository.change(["1.0", why, "1.3", "1.3"])
    code, said = bisect_run(repository, commits, tmp_path / "log")
    assert code != 0
    left = said[said.index("The first bad commit could be any of:") :]
    assert [sha for sha in commits if sha in left] == commits[2:4]
    assert commits[2] in repository.git("bisect", "log")


def test_bad_input_judges_no_commit_and_the_search_goes_on_where_it_was(
    repository: LiteLLMRepository, tmp_path: Path
) -> None:
    commits, log = repository.change(["1.0"] * 3 + ["1.3"] * 3), tmp_path / "log"
    code, said = bisect_run(repository, commits, log, "--metric", "speed")
    assert code != 0
    assert "error: --metric speed: there are cpu_per_request_ms" in said
    assert str(STOPS + ExitCode.BAD_INPUT) in said
    assert "is the first bad commit" not in said
    judged = [line for line in repository.git("bisect", "log").splitlines() if not line.startswith("#")]
    assert judged == [f"git bisect start '{commits[-1]}' '{commits[0]}'"]
    assert measured_in(log) == []
    code, said = gone_on(repository, commits, log)
    assert code == 0, said
    assert f"{commits[4]} is the first bad commit" in said
