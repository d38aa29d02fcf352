"""Are commits found by what people call them, and is a history read as it is, whatever stands in it?"""

from pathlib import Path

import pytest

from perfgate.stack.git import (
    GitFailed,
    commit_called,
    first_parents,
    is_ancestor,
    is_shallow,
    log_entry,
)
from tests.harness.litellm_repository import COMMITTED_AT, LiteLLMRepository

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["main", "HEAD", "v1", "first-but-one~1", "HEAD^{/work}"])
def test_a_commit_is_found_by_every_name_that_git_knows(repository: LiteLLMRepository, name: str) -> None:
    repository.git("tag", "--annotate", "--message=x", "v1")
    repository.git("checkout", "--quiet", "-b", "first-but-one")
    repository.write("more", "x")
    repository.commit("more")
    repository.git("checkout", "--quiet", "main")
    assert commit_called(repository.folder, name) == repository.first
    assert commit_called(repository.folder, repository.first[:8]) == repository.first


@pytest.mark.parametrize("name", ["", "nothing", "0123456789" * 4, "-x", "--all", "^main", "main..HEAD", "main HEAD"])
def test_what_is_no_commit_is_none(repository: LiteLLMRepository, name: str) -> None:
    assert commit_called(repository.folder, name) is None


def test_a_repository_that_cannot_be_read_is_no_missing_commit(repository: LiteLLMRepository) -> None:
    (repository.folder / ".git/HEAD").write_text("nonsense")
    with pytest.raises(GitFailed, match="not a git repository"):
        commit_called(repository.folder, "main")
    with pytest.raises(GitFailed, match="not a git repository"):
        is_ancestor(repository.folder, repository.first, repository.first)


def test_a_history_is_read_in_its_order_with_the_first_parents_of_merges_alone(repository: LiteLLMRepository) -> None:
    repository.git("checkout", "--quiet", "-b", "feature")
    repository.write("feature", "x")
    side = repository.commit("On the side")
    repository.git("checkout", "--quiet", "main")
    _, one = repository.change(["1.0"])
    repository.git("merge", "--quiet", "--no-ff", "--message=Merge it", "feature")
    merge = repository.git("rev-parse", "HEAD")
    found = first_parents(repository.folder, repository.first, merge)
    assert [(entry.sha, entry.subject) for entry in found] == [(one, "Change 1: 1.0"), (merge, "Merge it")]
    assert found[1].parents == (one, side)
    assert found[0].committed_at.isoformat() == COMMITTED_AT
    assert log_entry(repository.folder, side).parents == (repository.first,)
    assert log_entry(repository.folder, repository.first).parents == ()


@pytest.mark.parametrize("subject", ["a\ttab", "a\rreturn", "a\x0cfeed", "größer \u2028 as it is", "| a | table |"])
def test_a_subject_may_hold_anything(repository: LiteLLMRepository, subject: str) -> None:
    repository.write("more", "x")
    sha = repository.commit(f"{subject}\n\nand a body")
    (entry,) = first_parents(repository.folder, repository.first, sha)
    # A carriage return is a line's end to Python, as it reads what git says.
    assert entry.subject == subject.replace("\r", "\n")


def test_what_is_an_ancestor_of_what(repository: LiteLLMRepository) -> None:
    first, second = repository.change(["1.0"])
    repository.git("checkout", "--quiet", "--orphan", "another")
    other = repository.commit("Nothing in common")
    assert is_ancestor(repository.folder, first, second)
    assert is_ancestor(repository.folder, first, first)
    assert not is_ancestor(repository.folder, second, first)
    assert not is_ancestor(repository.folder, first, other)


def test_a_clone_without_its_beginning_is_shallow(repository: LiteLLMRepository, tmp_path: Path) -> None:
    repository.change(["1.0"])
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.folder}", str(tmp_path / "clone"))
    assert is_shallow(tmp_path / "clone")
    assert not is_shallow(repository.folder)
