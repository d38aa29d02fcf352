"""Are verdicts kept as data on a branch of their own, each once, whatever is there already?"""

import json
import subprocess
from pathlib import Path

import pytest

from perfgate.cli import main
from perfgate.github.verdict_history import FILE, lines_of
from tests.harness.report.conftest import HOST, a_compared_judgement, a_judgement, a_record, two_arms

PASSED = a_judgement("overhead", "overhead_p95_ms")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    folder = tmp_path / "remote.git"
    folder.mkdir()
    git(folder, "init", "--quiet", "--bare", "--initial-branch", "main")
    return folder


def records(folder: Path, *numbers: int) -> Path:
    """One run each, as artifacts have them, beside what is no record."""
    for number in numbers:
        path = folder / f"records-{number}" / f"20260101T00000{number}Z-7-compare.json"
        path.parent.mkdir(parents=True)
        path.write_text(a_record(host=HOST, judgements=[PASSED], exit_code=0, seed=number).model_dump_json())
        (path.parent / "noise.json").write_text("{}")
    return folder


def test_a_line_has_what_was_measured_where_and_what_came_of_it() -> None:
    (line,) = lines_of(a_record(host=HOST, judgements=[PASSED], exit_code=0))
    found = json.loads(line)
    assert PASSED.estimate is not None
    assert (found["scenario"], found["metric"], found["verdict"]) == ("overhead", "overhead_p95_ms", "PASS")
    assert (found["gateway"], found["backend"], found["cpu_model"]) == ("litellm 1.106.2", "processes", "AMD EPYC")
    assert (found["value"], found["unit"], found["exit_code"]) == (PASSED.estimate.value, "ms", 0)


def test_of_a_comparison_it_is_the_slowdown() -> None:
    judged = a_compared_judgement("cpu_per_request_ms", two_arms(1.2))
    assert judged.comparison is not None
    (line,) = lines_of(a_record(judgements=[judged], baseline="litellm 1.79.3"))
    found = json.loads(line)
    assert (found["unit"], found["value"]) == ("ratio", judged.comparison.ratio)
    assert found["baseline"] == "litellm 1.79.3"


def test_no_text_goes_there_that_a_gateway_could_have_written() -> None:
    judged = PASSED.model_copy(update={"detail": "500 said this"})
    (line,) = lines_of(a_record(judgements=[judged], notes=["said this"], command=["pytest", "said this"]))
    assert "said this" not in line


@pytest.mark.slow
def test_the_branch_is_begun_and_then_added_to_and_nothing_else_is_touched(
    remote: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = records(tmp_path / "first", 1, 2), records(tmp_path / "second", 3)
    assert main(["github", "keep", str(first), "--remote", str(remote)]) == 0
    assert main(["github", "keep", str(second), "--remote", str(remote)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "verdicts kept on the branch perfgate-history: 2, of 2 runs",
        "verdicts kept on the branch perfgate-history: 1, of 1 runs",
    ]
    lines = git(remote, "show", f"perfgate-history:{FILE}").splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [1, 2, 3]
    assert git(remote, "ls-tree", "--name-only", "perfgate-history").split() == [FILE]
    assert git(remote, "log", "--format=%s", "perfgate-history").splitlines() == ["verdicts: 1", "verdicts: 2"]
    assert git(remote, "branch", "--format=%(refname:short)").split() == ["perfgate-history"]


def test_without_a_record_nothing_is_kept(remote: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["github", "keep", str(tmp_path), "--remote", str(remote)]) == 4
    assert "has no record of a run" in capsys.readouterr().err


@pytest.mark.slow
def test_a_remote_that_cannot_be_had_is_said_without_the_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "of-the-job")
    remote = "https://127.0.0.1:9/team/gateway.git"
    assert main(["github", "keep", str(records(tmp_path, 1)), "--remote", remote]) == 12
    said = capsys.readouterr().err
    assert said.startswith(f"error: git push of the branch perfgate-history at {remote}: ")
    assert "of-the-job" not in said
