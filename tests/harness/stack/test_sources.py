"""Is what a user asks for understood, shown as it should be, and refused in words when it cannot be had?"""

from pathlib import Path
from typing import Final

import pytest

from perfgate.errors import BadInput
from perfgate.stack.releases import PORTKEY_RELEASE
from perfgate.stack.sources import (
    Checkout,
    GitRef,
    PortkeyRelease,
    Release,
    RunningUrl,
    SourceFacts,
    checked_base_url,
    source_of,
)
from tests.harness.litellm_repository import PYPROJECT, LiteLLMRepository

SECRET: Final = "hunter2"


def refusal(text: str, base_dir: Path) -> str:
    with pytest.raises(BadInput) as caught:
        source_of(text, base_dir)
    return str(caught.value)


def folder_with(base_dir: Path, pyproject: str) -> Path:
    folder = base_dir / "some"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(pyproject)
    return folder


class TestRelease:
    def test_a_number_is_a_release(self) -> None:
        source = source_of(" v1.106.2 ")
        assert source == Release("1.106.2")
        assert (str(source), source.option_text) == ("litellm 1.106.2", "1.106.2")
        assert source.facts == SourceFacts("litellm 1.106.2")

    def test_one_that_is_refused_cannot_be_made(self) -> None:
        with pytest.raises(BadInput, match=r"litellm 1\.82\.7 is refused"):
            Release("1.82.7")

    def test_a_second_spelling_cannot_be_made(self) -> None:
        with pytest.raises(ValueError, match=r"number='v1\.106\.2' must be written '1\.106\.2'"):
            Release("v1.106.2")

    @pytest.mark.parametrize("text", ["../litellm", "/src/litellm", "./x", ".."])
    def test_a_bare_path_is_told_how_to_be_written(self, text: str, tmp_path: Path) -> None:
        assert refusal(text, tmp_path).startswith(f"{text!r} is not a release: write a release such as 1.106.2, path:")

    def test_a_bare_address_is_told_how_to_be_written_and_not_repeated(self, tmp_path: Path) -> None:
        text = refusal(f"https://me:{SECRET}@host/x", tmp_path)
        assert text.startswith("an address alone does not say what it is of: write a release such as")
        assert SECRET not in text


@pytest.mark.slow
class TestCheckout:
    def test_it_is_shown_with_path_and_commit(self, repository: LiteLLMRepository) -> None:
        source = source_of(f"path:{repository.folder.name}", repository.folder.parent)
        assert isinstance(source, Checkout)
        assert str(source) == f"litellm at litellm-repository ({repository.first[:7]})"
        assert source.option_text == "path:litellm-repository"
        assert source.folder == repository.folder
        assert source.facts == SourceFacts(str(source), repository.first, is_dirty=False, content=source.content)

    @pytest.mark.parametrize("edit", ["changed", "deleted", "new"])
    def test_changes_are_shown_and_make_it_another(self, repository: LiteLLMRepository, edit: str) -> None:
        before = source_of(f"path:{repository.folder}")
        if edit == "deleted":
            (repository.folder / "litellm/__init__.py").unlink()
        else:
            repository.write("litellm/__init__.py" if edit == "changed" else "litellm/new.py", "two = 2\n")
        after = source_of(f"path:{repository.folder}")
        assert isinstance(before, Checkout)
        assert isinstance(after, Checkout)
        assert str(after).endswith(f"({repository.first[:7]} + changes)")
        assert (before.is_dirty, after.is_dirty) == (False, True)
        assert before.content != after.content

    def test_ignored_files_change_nothing(self, repository: LiteLLMRepository) -> None:
        before = source_of(f"path:{repository.folder}")
        repository.write("ignored", "x")
        assert source_of(f"path:{repository.folder}") == before

    def test_to_look_at_it_writes_nothing_to_it(self, repository: LiteLLMRepository) -> None:
        (repository.folder / "pyproject.toml").touch()  # git's index is stale now, and git likes to refresh it
        before = repository.state()
        source_of(f"path:{repository.folder}")
        assert repository.state() == before

    def test_a_hook_of_git_that_runs_us_does_not_lead_us_elsewhere(
        self, repository: LiteLLMRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = source_of(f"path:{repository.folder}")
        other = LiteLLMRepository(tmp_path / "other")
        other.write("more", "x")
        other.commit()
        monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
        assert source_of(f"path:{repository.folder}") == expected

    def test_one_before_its_first_commit_has_none(self, repository: LiteLLMRepository) -> None:
        repository.git("checkout", "--quiet", "--orphan", "fresh")
        source = source_of(f"path:{repository.folder}")
        assert isinstance(source, Checkout)
        assert source.commit is None

    def test_a_broken_repository_is_refused_with_gits_words(self, repository: LiteLLMRepository) -> None:
        (repository.folder / ".git/HEAD").write_text("nonsense")
        text = refusal(f"path:{repository.folder}", Path("/"))
        assert "git cannot read this checkout. git says: fatal: not a git repository" in text


class TestCheckoutWithoutGit:
    def test_it_is_known_by_its_content(self, tmp_path: Path) -> None:
        folder = folder_with(tmp_path, PYPROJECT % "1.80.0")
        source = source_of("path:some", tmp_path)
        assert isinstance(source, Checkout)
        assert str(source) == f"litellm at some (no commit, content {source.content[:7]})"
        assert source.facts == SourceFacts(str(source), content=source.content)
        (folder / "module.py").write_text("")
        assert source_of("path:some", tmp_path) != source

    def test_names_and_the_right_to_execute_are_content_and_dates_are_not(self, tmp_path: Path) -> None:
        folder = folder_with(tmp_path, PYPROJECT % "1.80.0")
        file = folder / "a"
        file.write_text("x")
        first = source_of("path:some", tmp_path)
        file.touch()
        assert source_of("path:some", tmp_path) == first
        file.chmod(0o755)
        second = source_of("path:some", tmp_path)
        file.rename(folder / "b")
        assert len({first, second, source_of("path:some", tmp_path)}) == 3

    @pytest.mark.parametrize("rubbish", ["node_modules/x.js", "__pycache__/x.py", ".venv/bin/python", "module.pyc"])
    def test_rubbish_is_no_content(self, tmp_path: Path, rubbish: str) -> None:
        folder = folder_with(tmp_path, PYPROJECT % "1.80.0")
        before = source_of("path:some", tmp_path)
        (folder / rubbish).parent.mkdir(parents=True, exist_ok=True)
        (folder / rubbish).write_text("x")
        assert source_of("path:some", tmp_path) == before

    def test_a_project_of_poetrys_form_is_litellm_too(self, tmp_path: Path) -> None:
        folder_with(tmp_path, '[tool.poetry]\nname = "litellm"\n')
        assert isinstance(source_of("path:some", tmp_path), Checkout)

    @pytest.mark.parametrize(
        ("pyproject", "words"),
        [
            ('[project]\nname = "other"\n', "its pyproject.toml is that of the project 'other', not of litellm"),
            ("", "its pyproject.toml is that of the project None, not of litellm"),
            ("[project", "its pyproject.toml cannot be read: "),
        ],
    )
    def test_another_project_is_refused(self, tmp_path: Path, pyproject: str, words: str) -> None:
        folder_with(tmp_path, pyproject)
        assert refusal("path:some", tmp_path).startswith(f"path:some: {words}")

    def test_a_folder_without_a_project_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        text = refusal("path:empty", tmp_path)
        assert text == "path:empty: no pyproject.toml in it, so it is no checkout of LiteLLM"

    def test_a_folder_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        assert refusal("path:none", tmp_path) == f"path:none: there is no folder {tmp_path}/none"
        assert refusal("path:", tmp_path) == "path:: there is no folder without a name"


@pytest.mark.slow
class TestGitRef:
    def test_a_branch_stands_for_its_commit(self, repository: LiteLLMRepository) -> None:
        source = source_of(f"git:{repository.folder.name}@main", repository.folder.parent)
        assert source == GitRef(str(repository.folder), "main", repository.first)
        assert str(source) == f"litellm git main ({repository.first[:7]})"
        assert source.facts == SourceFacts(str(source), repository.first, is_dirty=False)

    def test_what_reproduces_it_is_the_commit_since_a_branch_moves(self, repository: LiteLLMRepository) -> None:
        source = source_of(f"git:{repository.folder}@main")
        assert source.option_text == f"git:{repository.folder}@{repository.first}"
        repository.write("more", "x")
        repository.commit()
        again = source_of(source.option_text)
        assert isinstance(again, GitRef)
        assert again.commit == repository.first
        assert str(again) == f"litellm git {repository.first[:7]}"

    def test_a_tag_with_a_message_stands_for_the_commit_and_not_for_itself(self, repository: LiteLLMRepository) -> None:
        repository.git("tag", "--annotate", "--message=x", "v1.80.0-stable")
        source = source_of(f"git:file://{repository.folder}@v1.80.0-stable")
        assert isinstance(source, GitRef)
        assert source.commit == repository.first

    def test_a_branch_whose_name_ends_alike_is_another(self, repository: LiteLLMRepository) -> None:
        repository.git("checkout", "--quiet", "-b", "feature/fix")
        repository.write("more", "x")
        second = repository.commit()
        source = source_of(f"git:{repository.folder}@feature/fix")
        assert isinstance(source, GitRef)
        assert source.commit == second
        assert "has no branch or tag fix; a commit is written with all" in refusal(
            f"git:{repository.folder}@fix", Path("/")
        )

    def test_a_shortened_commit_is_refused(self, repository: LiteLLMRepository) -> None:
        text = refusal(f"git:{repository.folder}@{repository.first[:7]}", Path("/"))
        assert text.endswith("a commit is written with all of its 40 digits")

    def test_a_repository_that_cannot_be_read_is_refused_with_gits_words(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        text = refusal("git:empty@main", tmp_path)
        assert text.startswith("git:empty@main: the repository cannot be read: check the address, the network, and")
        assert "git says: fatal: " in text

    def test_without_git_it_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        text = refusal(f"git:{tmp_path}@main", tmp_path)
        assert text.startswith("git is not installed, and this needs it: install git, or name a release")


class TestGitRefRefused:
    @pytest.mark.parametrize(
        "text", ["git:/x", "git:@main", "git:x@", "git:x@--upload-pack=y", "git:-x@main", "git:x@/"]
    )
    def test_another_form_is_told_the_right_one(self, text: str, tmp_path: Path) -> None:
        words = f"{text}: write git:URL@REF, where REF is a branch, a tag or a whole commit hash"
        assert refusal(text, tmp_path) == words

    @pytest.mark.parametrize(
        "address",
        [
            f"https://me:{SECRET}@host/x.git@main",
            f"https://{SECRET}@host/x.git@main",
            f"https://{SECRET}@host/x.git",
            f"https://{SECRET}@main",
            f"ssh://git:{SECRET}@host/x.git@main",
            f"https://host/x.git?token={SECRET}@main",
        ],
    )
    def test_an_address_with_a_secret_is_refused_and_not_repeated(self, address: str, tmp_path: Path) -> None:
        text = refusal(f"git:{address}", tmp_path)
        assert text.startswith("git: the address must ")
        assert SECRET not in text

    @pytest.mark.parametrize("url", ["git@host.example:org/litellm.git", "ssh://git@host.example/litellm.git"])
    def test_the_user_of_ssh_is_no_secret(self, url: str) -> None:
        commit = "0123456789" * 4
        assert source_of(f"git:{url}@{commit}") == GitRef(url, commit, commit)

    def test_a_folder_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        assert refusal("git:none@main", tmp_path) == f"git:none@main: there is no folder {tmp_path}/none"


class TestRunningUrl:
    def test_an_address_is_a_gateway(self) -> None:
        source = source_of("url:http://localhost:4000/")
        assert source == RunningUrl("http://localhost:4000")
        assert (str(source), source.option_text) == ("gateway at http://localhost:4000", "url:http://localhost:4000")
        assert source.facts == SourceFacts("gateway at http://localhost:4000")

    @pytest.mark.parametrize(
        ("url", "chat_url"),
        [
            ("http://h:4000", "http://h:4000/v1/chat/completions"),
            ("http://h:4000/v1/", "http://h:4000/v1/chat/completions"),
            ("https://h/llm", "https://h/llm/v1/chat/completions"),
        ],
    )
    def test_its_chat_completions_are_below_v1(self, url: str, chat_url: str) -> None:
        source = source_of(f"url:{url}")
        assert isinstance(source, RunningUrl)
        assert source.chat_url == chat_url

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            (f"http://me:{SECRET}@h", "url: the address must hold no user or password: they would stand in the record"),
            (
                f"http://h?k={SECRET}",
                "url: the address must end with its path: what comes after ? or # cannot be added to",
            ),
            ("localhost:4000", "url: url='localhost:4000' must begin with http:// or https://"),
        ],
    )
    def test_what_is_no_address_is_refused(self, url: str, words: str, tmp_path: Path) -> None:
        assert refusal(f"url:{url}", tmp_path) == words

    def test_the_option_is_named_that_the_address_was_typed_for(self) -> None:
        with pytest.raises(BadInput, match=r"^--mock-url: url='x' must begin with http"):
            checked_base_url("x", "--mock-url:")


class TestPortkeyRelease:
    def test_the_one_that_is_pinned_is_a_source(self) -> None:
        source = source_of(f" portkey:{PORTKEY_RELEASE}")
        assert source == PortkeyRelease()
        assert (str(source), source.option_text) == (f"portkey {PORTKEY_RELEASE}", f"portkey:{PORTKEY_RELEASE}")
        assert source.facts == SourceFacts(f"portkey {PORTKEY_RELEASE}")

    @pytest.mark.parametrize("number", ["1.14.0", "", "latest"])
    def test_others_are_refused_with_the_one_that_can_be_had(self, number: str, tmp_path: Path) -> None:
        assert refusal(f"portkey:{number}", tmp_path) == (
            f"portkey:{number}: perfgate has Portkey's gateway {PORTKEY_RELEASE} alone, pinned with all that it needs "
            f"(portkey_gateway/README.md says how to pin another): write portkey:{PORTKEY_RELEASE}"
        )
