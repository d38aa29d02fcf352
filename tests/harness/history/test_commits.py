"""Are the commits of a checkout a series, and is what makes none said? The checkout is only read."""

from pathlib import Path

import pytest

from perfgate.errors import BadInput
from perfgate.history.commits import SHOWN_SUBJECT_CHARS, commits_between, description, name_of, results_beside
from perfgate.stack.git import log_entry
from perfgate.stack.sources import GitRef
from tests.harness.litellm_repository import LiteLLMRepository


def refusal(checkout: Path, good: str, bad: str) -> str:
    with pytest.raises(BadInput) as caught:
        commits_between(checkout, good, bad)
    return str(caught.value)


@pytest.mark.slow
def test_a_series_begins_with_the_good_one_and_ends_with_the_bad_one(repository: LiteLLMRepository) -> None:
    commits = repository.change(["1.0", "1.0", "1.3"])
    repository.git("tag", "v1.80.0", commits[0])
    said: list[str] = []
    found = commits_between(repository.folder, "v1.80.0", "main", said.append)
    assert [entry.sha for entry in found.entries] == commits
    versions = found.versions("today")
    assert [version.name for version in versions] == [name_of(sha) for sha in commits]
    assert versions[2].gateway.source == GitRef(str(repository.folder), commits[2], commits[2])
    assert {version.gateway.deps for version in versions} == {"today"}
    assert found.described[name_of(commits[3])] == "2025-11-09, Change 3: 1.3"
    assert found.entry(name_of(commits[3])).sha == commits[3]
    assert said == []


@pytest.mark.slow
def test_a_dirty_checkout_is_said_and_nothing_in_it_is_changed(repository: LiteLLMRepository) -> None:
    commits = repository.change(["1.0", "1.3"])
    repository.write("litellm/cost", "edited")
    repository.write("untracked", "x")
    before = repository.state()
    said: list[str] = []
    found = commits_between(repository.folder, commits[0], commits[-1], said.append)
    assert [entry.sha for entry in found.entries] == commits
    assert said == [
        f"{repository.folder} has changes that are in no commit: they are left as they are, and are not measured"
    ]
    assert repository.state() == before


@pytest.mark.slow
def test_a_good_end_beside_the_line_of_the_bad_one_is_said(repository: LiteLLMRepository) -> None:
    repository.git("checkout", "--quiet", "-b", "side")
    (_, side) = repository.change(["1.0"])
    repository.git("checkout", "--quiet", "main")
    repository.write("more", "x")
    repository.commit("On main")
    repository.git("merge", "--quiet", "--no-ff", "--message=Merge it", "side")
    said: list[str] = []
    found = commits_between(repository.folder, "side", "main", said.append)
    assert [entry.subject for entry in found.entries] == ["Change 1: 1.0", "On main", "Merge it"]
    assert said[0].startswith(f"{name_of(side)} is not on the line of first parents that ends in ")


@pytest.mark.slow
class TestRefused:
    def test_names_that_are_none(self, repository: LiteLLMRepository) -> None:
        repository.change(["1.3"])
        words = f"{repository.folder} has no such commit, branch or tag; `git fetch` there may bring it"
        assert refusal(repository.folder, "v9", "main") == f"--good v9: {words}"
        assert refusal(repository.folder, "main~1", "v9") == f"--bad v9: {words}"
        assert refusal(repository.folder, "--all", "main") == f"--good --all: {words}"

    def test_two_names_of_one_commit(self, repository: LiteLLMRepository) -> None:
        assert refusal(repository.folder, "main", "HEAD") == (
            f"--good main and --bad HEAD are one commit, {name_of(repository.first)}"
        )

    def test_ends_the_wrong_way_round(self, repository: LiteLLMRepository) -> None:
        repository.change(["1.3"])
        assert refusal(repository.folder, "main", "main~1").startswith("--good main comes after --bad main~1: ")

    def test_a_good_end_that_leads_nowhere_near_the_bad_one(self, repository: LiteLLMRepository) -> None:
        repository.git("checkout", "--quiet", "-b", "side")
        (_, side) = repository.change(["1.0"])
        repository.git("checkout", "--quiet", "main")
        repository.write("more", "x")
        last = repository.commit()
        text = refusal(repository.folder, "side", "main")
        assert text.startswith("--good side is no ancestor of --bad main, so that nothing leads from one to the other")
        assert f"`git merge-base {name_of(side)} {name_of(last)}`" in text

    def test_a_history_that_was_cut_off(self, repository: LiteLLMRepository, tmp_path: Path) -> None:
        repository.git("tag", "good")
        repository.change(["1.0", "1.3"])
        clone = tmp_path / "clone"
        repository.git("clone", "--quiet", "--depth=1", f"file://{repository.folder}", str(clone))
        repository.git("-C", str(clone), "fetch", "--quiet", "--depth=1", "origin", "tag", "good")
        assert "which was cloned without its beginning: `git fetch --unshallow` there" in refusal(clone, "good", "main")

    def test_a_repository_that_git_cannot_read(self, repository: LiteLLMRepository) -> None:
        (repository.folder / ".git/HEAD").write_text("nonsense")
        text = refusal(repository.folder, "main", "HEAD")
        assert text.startswith(f"--checkout {repository.folder}: git cannot read this checkout. git says: fatal: not a")

    def test_without_git(self, repository: LiteLLMRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert refusal(repository.folder, "main", "HEAD").startswith(
            "git is not installed, and this needs it: install git"
        )


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    text = refusal(tmp_path / "plain", "a", "b")
    assert text.startswith(f"--checkout {tmp_path}/plain: {tmp_path}/plain is not the top of a git checkout")
    assert refusal(tmp_path / "none", "a", "b") == f"--checkout {tmp_path}/none: there is no folder {tmp_path}/none"


def test_results_are_never_among_the_files_of_the_checkout(tmp_path: Path) -> None:
    checkout, default = tmp_path / "litellm", tmp_path / "cache/bisect"
    assert results_beside(checkout, None, default) == default
    assert results_beside(checkout, tmp_path / "mine", default) == tmp_path / "mine"
    for inside in (checkout, checkout / "results"):
        with pytest.raises(BadInput, match=rf"^--results {inside} is in the checkout {checkout}, which is only read"):
            results_beside(checkout, inside, default)


@pytest.mark.slow
def test_a_subject_is_shown_shortened_and_without_what_would_steer_a_terminal(repository: LiteLLMRepository) -> None:
    repository.write("more", "x")
    shown = description(log_entry(repository.folder, repository.commit("Fix \x1b[31mred\x07 " + "x" * 100)))
    assert shown == "2025-11-09, " + ("Fix [31mred " + "x" * 100)[:SHOWN_SUBJECT_CHARS] + " …"
