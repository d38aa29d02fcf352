"""Is it said of a baseline which file of which commit names it, and nothing that nobody knows?"""

import json
from pathlib import Path

import pytest

from perfgate.github.baseline_reason import baseline_reason
from tests.harness.litellm_repository import LiteLLMRepository

REQUIREMENTS = "httpx==0.28.1\n# ours\nlitellm[proxy]==1.79.3\n"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LiteLLMRepository:
    """The checkout of a base branch in a folder of another checkout, in which the step runs."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    head = LiteLLMRepository(tmp_path / "head")
    monkeypatch.chdir(head.folder)
    made = LiteLLMRepository(head.folder / "base")
    made.write("requirements.txt", REQUIREMENTS)
    made.commit()
    return made


def event(folder: Path, sha: str) -> dict[str, str]:
    """What GitHub tells of a pull request that stands on a commit."""
    path = folder / "event.json"
    path.write_text(json.dumps({"pull_request": {"base": {"sha": sha, "ref": "main"}}}))
    return {"GITHUB_EVENT_PATH": str(path)}


@pytest.mark.parametrize("given", ["1.79.3", "git:https://example.org/x@main", "path:base", ""])
def test_one_that_somebody_named_needs_no_reason(base: LiteLLMRepository, given: str) -> None:
    assert baseline_reason(given, {}) == ""


def test_a_file_of_the_base_branch_is_said_to_be_its_with_line_and_commit(
    base: LiteLLMRepository, tmp_path: Path
) -> None:
    sha = base.git("rev-parse", "HEAD")
    said = baseline_reason("file:base/requirements.txt", event(tmp_path, sha))
    assert said == f"the base branch's, requirements.txt line 3 at {sha[:12]}"


def test_of_another_commit_it_is_said_which_one(base: LiteLLMRepository, tmp_path: Path) -> None:
    sha = base.git("rev-parse", "HEAD")
    assert baseline_reason("file:base/requirements.txt", event(tmp_path, base.first)) == (
        f"requirements.txt line 3 at {sha[:12]}"
    )


@pytest.mark.parametrize("content", ["", "[]", "{", '{"pull_request": null}'])
def test_where_github_tells_of_no_pull_request_nobodys_branch_is_named(
    base: LiteLLMRepository, tmp_path: Path, content: str
) -> None:
    (tmp_path / "event.json").write_text(content)
    for environ in (dict[str, str](), {"GITHUB_EVENT_PATH": str(tmp_path / "event.json")}):
        assert baseline_reason("file:base/requirements.txt", environ).startswith("requirements.txt line 3 at ")


@pytest.mark.parametrize("change", ["changed", "added"])
def test_a_file_that_no_commit_has_as_it_is_is_named_without_one(
    base: LiteLLMRepository, tmp_path: Path, change: str
) -> None:
    name = "requirements.txt" if change == "changed" else "more.txt"
    base.write(name, f"{REQUIREMENTS}# more\n")
    environ = event(tmp_path, base.git("rev-parse", "HEAD"))
    assert baseline_reason(f"file:base/{name}", environ) == f"base/{name} line 3"


def test_a_file_that_names_nothing_is_for_the_gate_to_refuse(base: LiteLLMRepository) -> None:
    assert baseline_reason("file:base/nowhere.txt", {}) == ""
