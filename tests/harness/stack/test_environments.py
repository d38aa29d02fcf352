"""Is an environment made once, whole or not at all, kept while it is used, and given up when there are too many?

uv is a fake one (conftest.py); the cache is the real one. test_real_gateway.py makes a real environment.
"""

import errno
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Final

import pytest

from perfgate.errors import BadInput, StackFailed
from perfgate.filelocks import LockBusy, exclusive
from perfgate.stack import environments
from perfgate.stack.environments import MARKER, SOURCE_DIR, Environment, EnvironmentCache
from perfgate.stack.installing import Installer
from perfgate.stack.releases import DepsMode
from perfgate.stack.sources import Checkout, GitRef, Release, Source, source_of
from tests.harness.litellm_repository import LiteLLMRepository
from tests.harness.stack.conftest import PATIENCE_S, FakeUv, eventually

RELEASE: Final = "1.79.3"
PLENTY: Final = 10**9

#: Uses a release and says what it is told and what it got.
USER: Final = """
import os, sys
from pathlib import Path
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.installing import Installer
from perfgate.stack.sources import Release
cache = EnvironmentCache(Path(sys.argv[1]), 10**9, Installer(sys.argv[2], dict(os.environ)))
with cache.using(Release("1.79.3"), say=lambda line: print(line, flush=True)) as environment:
    print("got", environment.packages.listed, flush=True)
"""


@pytest.fixture
def cache(fake_uv: FakeUv, tmp_path: Path) -> EnvironmentCache:
    return EnvironmentCache(tmp_path / "cache", PLENTY, fake_uv.installer())


def once(cache: EnvironmentCache, release: str = RELEASE, deps: DepsMode = "of-its-time") -> Environment:
    """The environment, in use no more."""
    with cache.using(Release(release), deps) as environment:
        return environment


def test_an_environment_says_what_it_is(cache: EnvironmentCache) -> None:
    environment = once(cache)
    assert (environment.release, environment.deps) == (RELEASE, "of-its-time")
    assert environment.exclude_newer == "2025-11-10T02:33:14+00:00"  # a day after the first upload
    assert environment.python_version == platform.python_version()
    assert environment.packages.listed == (f"litellm=={RELEASE}",)
    assert environment.size_bytes > 1000
    assert datetime.fromisoformat(environment.made_at).utcoffset() is not None
    assert environment.executable("python").exists()


def test_the_marker_holds_the_same_for_people(cache: EnvironmentCache) -> None:
    environment = once(cache)
    text = (environment.folder / MARKER).read_text()
    assert json.loads(text)["packages"] == {
        "listed": [f"litellm=={RELEASE}"],
        "sha256": environment.packages.sha256,
    }
    assert "index.example" not in text


def test_it_is_made_once_and_said_so(cache: EnvironmentCache, fake_uv: FakeUv) -> None:
    said: list[str] = []
    wanted = Release(RELEASE)
    with cache.using(wanted, say=said.append) as first, cache.using(wanted, say=said.append) as second:
        assert first == second
    assert fake_uv.installs() == 1
    assert said == [f"installing litellm {RELEASE} with its dependencies of-its-time into {first.folder}"]


def test_todays_dependencies_have_no_limit_and_an_environment_of_their_own(
    cache: EnvironmentCache, fake_uv: FakeUv
) -> None:
    environment, other = once(cache, deps="today"), once(cache)
    assert environment.exclude_newer is None
    assert "--exclude-newer" not in fake_uv.calls()[1]
    assert not any(call.startswith("pip compile") for call in fake_uv.calls()[:2])
    assert environment.folder != other.folder


def test_every_release_has_an_environment_of_its_own(cache: EnvironmentCache) -> None:
    assert once(cache, "1.79.3").folder != once(cache, "1.80.0").folder


def test_what_is_known_is_what_was_made_and_nothing_is_made_for_it(cache: EnvironmentCache, fake_uv: FakeUv) -> None:
    assert cache.known(Release(RELEASE)) is None
    made = once(cache)
    assert cache.known(Release(RELEASE)) == made
    assert cache.known(Release(RELEASE), "today") is None
    assert cache.known(Release("1.80.0")) is None
    assert fake_uv.installs() == 1


def test_another_recipe_is_another_environment(cache: EnvironmentCache, monkeypatch: pytest.MonkeyPatch) -> None:
    before = once(cache)
    monkeypatch.setattr(environments, "RECIPE", 1000)
    assert once(cache).folder != before.folder


@pytest.mark.parametrize("spoil", ["no_marker", "broken_marker", "no_python"])
def test_a_half_made_environment_is_never_used(spoil: str, cache: EnvironmentCache, fake_uv: FakeUv) -> None:
    folder = once(cache).folder
    (folder / "rubbish").touch()
    if spoil == "no_marker":
        (folder / MARKER).unlink()
    elif spoil == "broken_marker":
        (folder / MARKER).write_text("{")
    else:
        (folder / "bin" / "python").unlink()
    assert once(cache).folder == folder
    assert not (folder / "rubbish").exists()
    assert fake_uv.installs() == 2


def test_a_failed_installation_leaves_nothing_and_is_tried_again(
    cache: EnvironmentCache, fake_uv: FakeUv, tmp_path: Path
) -> None:
    failing = EnvironmentCache(cache.folder, PLENTY, fake_uv.installer(UV_FAKE_INSTALL_FAILS="yes"))
    with pytest.raises(StackFailed, match="uv failed"):
        once(failing)
    assert [path.suffix for path in cache.folder.iterdir()] == [".lock"]
    assert once(cache).release == RELEASE


def test_a_refused_release_is_refused_before_anything_is_done(cache: EnvironmentCache) -> None:
    with pytest.raises(BadInput, match=r"1\.82\.7 is refused"):
        once(cache, "1.82.7")
    assert not cache.folder.exists()


def test_a_full_disk_has_a_message_of_its_own(tmp_path: Path) -> None:
    class DiskFull(Installer):
        def make(self, into: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    cache = EnvironmentCache(tmp_path, PLENTY, DiskFull("uv", {}))
    with pytest.raises(StackFailed, match=r"cannot be written: the disk is full; set PERFGATE_CACHE_DIR to a folder"):
        once(cache, deps="today")


def test_an_environment_that_is_in_use_cannot_be_taken_away(cache: EnvironmentCache) -> None:
    with cache.using(Release(RELEASE)) as environment:
        lock = environment.folder.with_name(environment.folder.name + ".lock")
        with pytest.raises(LockBusy), exclusive(lock, "it", timeout_s=0):
            pass
    with exclusive(lock, "it", timeout_s=0):
        pass


@pytest.mark.slow
def test_two_runs_at_once_make_it_once_and_the_second_says_that_it_waits(
    cache: EnvironmentCache, fake_uv: FakeUv
) -> None:
    gate = fake_uv.make_gate()
    first = user(cache, fake_uv, UV_FAKE_GATE=str(gate))
    assert eventually(lambda: fake_uv.installs() == 1)
    second = user(cache, fake_uv)
    assert second.stdout is not None
    waiting = second.stdout.readline()
    gate.write_text("go on\n")
    got = f"got ('litellm=={RELEASE}',)\n"
    assert first.communicate(timeout=PATIENCE_S)[0].splitlines(keepends=True)[1:] == [got]
    assert second.communicate(timeout=PATIENCE_S)[0] == got
    assert waiting == (
        f"waiting for another run (process {first.pid}), which holds the environment of litellm {RELEASE}\n"
    )
    assert fake_uv.installs() == 1


@pytest.mark.slow
def test_a_run_that_is_killed_in_mid_install_leaves_nothing_that_is_used(
    cache: EnvironmentCache, fake_uv: FakeUv
) -> None:
    killed = user(cache, fake_uv, UV_FAKE_GATE=str(fake_uv.make_gate()))
    assert eventually(lambda: fake_uv.installs() == 1)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=PATIENCE_S)
    assert once(cache).packages.listed == (f"litellm=={RELEASE}",)
    assert fake_uv.installs() == 2


def user(cache: EnvironmentCache, fake_uv: FakeUv, **variables: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", USER, str(cache.folder), fake_uv.program]
    return subprocess.Popen(argv, env=fake_uv.environment(**variables), stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
class TestRoom:
    """Room for two environments, and a third comes."""

    @pytest.fixture
    def tight(self, cache: EnvironmentCache) -> EnvironmentCache:
        size_bytes = once(cache, "1.0.0").size_bytes
        once(cache, "1.0.1")
        return EnvironmentCache(cache.folder, int(2.5 * size_bytes), cache.installer)

    def releases(self, cache: EnvironmentCache) -> list[str]:
        return sorted(json.loads(path.read_text())["release"] for path in cache.folder.glob(f"litellm-*/{MARKER}"))

    def test_the_least_recently_used_goes(self, tight: EnvironmentCache) -> None:
        self.used_at(tight, "1.0.0", 2000)
        self.used_at(tight, "1.0.1", 1000)
        once(tight, "1.0.2")
        assert self.releases(tight) == ["1.0.0", "1.0.2"]

    def test_to_use_it_makes_it_recent(self, tight: EnvironmentCache) -> None:
        self.used_at(tight, "1.0.0", 1000)
        self.used_at(tight, "1.0.1", 2000)
        once(tight, "1.0.0")
        once(tight, "1.0.2")
        assert self.releases(tight) == ["1.0.0", "1.0.2"]

    def test_one_that_is_in_use_stays(self, tight: EnvironmentCache) -> None:
        with tight.using(Release("1.0.0")):
            self.used_at(tight, "1.0.0", 1000)
            once(tight, "1.0.2")
        assert self.releases(tight) == ["1.0.0", "1.0.2"]

    def test_the_new_one_stays_whatever_its_size(self, tight: EnvironmentCache) -> None:
        once(EnvironmentCache(tight.folder, 1, tight.installer), "1.0.2")
        assert self.releases(tight) == ["1.0.2"]

    def test_with_room_for_all_they_all_stay(self, tight: EnvironmentCache) -> None:
        once(EnvironmentCache(tight.folder, PLENTY, tight.installer), "1.0.2")
        assert self.releases(tight) == ["1.0.0", "1.0.1", "1.0.2"]

    def test_half_made_ones_go_first(self, tight: EnvironmentCache) -> None:
        rubbish = tight.folder / "litellm-0.9-half-made"
        rubbish.mkdir()
        once(EnvironmentCache(tight.folder, PLENTY, tight.installer), "1.0.2")
        assert not rubbish.exists()

    def test_engines_of_prisma_are_neither_counted_nor_deleted(self, tight: EnvironmentCache) -> None:
        engine = tight.folder / "prisma-engine-0123456789abcdef"
        engine.mkdir()
        (engine / MARKER).write_text(json.dumps({"size_bytes": PLENTY}))
        (engine / "bin").mkdir()
        (engine / "bin/python").touch()
        half_made = tight.folder / "prisma-engine-being-made"
        half_made.mkdir()
        once(EnvironmentCache(tight.folder, 4 * tight.max_bytes, tight.installer), "1.0.2")
        assert self.releases(tight) == ["1.0.0", "1.0.1", "1.0.2"]
        assert engine.exists()
        assert half_made.exists()

    def used_at(self, cache: EnvironmentCache, release: str, time_s: int) -> None:
        (marker,) = cache.folder.glob(f"litellm-{release}-*/{MARKER}")
        os.utime(marker, (time_s, time_s))


@pytest.mark.slow
class TestFromSource:
    """A checkout or a git reference instead of a release."""

    @pytest.fixture
    def checkout(self, repository: LiteLLMRepository) -> Source:
        return source_of(f"path:{repository.folder}")

    def made(self, cache: EnvironmentCache, source: Source, deps: DepsMode = "of-its-time") -> Environment:
        assert isinstance(source, Checkout | GitRef)
        with cache.using(source, deps) as environment:
            return environment

    def installed_files(self, environment: Environment) -> set[str]:
        (folder,) = environment.folder.glob("lib/python*/site-packages/from_source")
        files = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        return {file for file in files if not file.startswith(".git/")}

    def test_an_environment_says_what_it_was_made_of(
        self, cache: EnvironmentCache, checkout: Source, repository: LiteLLMRepository
    ) -> None:
        environment = self.made(cache, checkout)
        assert environment.release == "1.80.0"
        assert environment.source == checkout.facts
        assert environment.source.commit == repository.first
        assert environment.exclude_newer == "2025-11-10T10:00:00+00:00"  # a day after its commit

    def test_only_what_belongs_to_it_is_copied_and_the_copy_is_not_kept(
        self, cache: EnvironmentCache, repository: LiteLLMRepository
    ) -> None:
        repository.write("ignored", "x")
        repository.write("litellm/new.py", "x")
        (repository.folder / "link").symlink_to("pyproject.toml")
        before = repository.state()
        environment = self.made(cache, source_of(f"path:{repository.folder}"))
        assert self.installed_files(environment) == {
            *(".gitignore", "link", "litellm/__init__.py", "litellm/new.py", "pyproject.toml")
        }
        assert not (environment.folder / SOURCE_DIR).exists()
        assert repository.state() == before

    def test_packages_beside_it_in_its_repository_are_not_linked_to(
        self, cache: EnvironmentCache, checkout: Source, fake_uv: FakeUv
    ) -> None:
        environment = self.made(cache, checkout)
        assert "--no-sources" in fake_uv.calls()[-1]
        assert fake_uv.calls()[-1].endswith(f"litellm[proxy] @ file://{environment.folder}/{SOURCE_DIR}")
        once(cache)
        assert "--no-sources" not in fake_uv.calls()[-1]

    def test_one_that_did_not_change_is_used_again_and_an_edited_one_is_another(
        self, cache: EnvironmentCache, repository: LiteLLMRepository, fake_uv: FakeUv
    ) -> None:
        first = self.made(cache, source_of(f"path:{repository.folder}"))
        assert self.made(cache, source_of(f"path:{repository.folder}")) == first
        assert fake_uv.installs() == 1
        repository.write("litellm/__init__.py", "two = 2\n")
        edited = self.made(cache, source_of(f"path:{repository.folder}"))
        assert edited.folder != first.folder
        assert (first.source.is_dirty, edited.source.is_dirty) == (False, True)

    def test_the_same_content_in_another_folder_is_used_again_under_its_own_name(
        self, cache: EnvironmentCache, repository: LiteLLMRepository, fake_uv: FakeUv
    ) -> None:
        first = self.made(cache, source_of(f"path:{repository.folder}"))
        moved = repository.folder.rename(repository.folder.with_name("moved"))
        second = self.made(cache, source_of("path:moved", moved.parent))
        assert second.folder == first.folder
        assert second.source.words.startswith("litellm at moved (")
        assert fake_uv.installs() == 1

    @pytest.mark.parametrize("edit", ["changed", "gone"])
    def test_one_that_is_edited_before_it_is_copied_is_refused(
        self, cache: EnvironmentCache, repository: LiteLLMRepository, checkout: Source, edit: str
    ) -> None:
        if edit == "gone":
            shutil.rmtree(repository.folder / "litellm")
        else:
            repository.write("litellm/__init__.py", "edited")
        with pytest.raises(BadInput, match=r"was edited after this run began: leave it alone until it is installed"):
            self.made(cache, checkout)
        assert not list(cache.folder.glob("*/*"))

    def test_without_a_commit_its_dependencies_are_todays_and_it_is_said(
        self, cache: EnvironmentCache, repository: LiteLLMRepository
    ) -> None:
        shutil.rmtree(repository.folder / ".git")
        said: list[str] = []
        source = source_of(f"path:{repository.folder}")
        assert isinstance(source, Checkout)
        with cache.using(source, say=said.append) as environment:
            assert (environment.deps, environment.exclude_newer) == ("today", None)
        assert said[0] == f"{source} has no commit that tells its time: its dependencies are those of today"
        assert self.installed_files(environment) == {".gitignore", "litellm/__init__.py", "pyproject.toml"}

    def test_todays_dependencies_have_no_limit(self, cache: EnvironmentCache, checkout: Source) -> None:
        assert self.made(cache, checkout, "today").exclude_newer is None

    def test_a_git_reference_is_fetched_at_its_commit(
        self, cache: EnvironmentCache, repository: LiteLLMRepository
    ) -> None:
        source = source_of(f"git:{repository.folder}@main")
        repository.write("litellm/later.py", "x")
        repository.commit()
        environment = self.made(cache, source)
        assert "litellm/later.py" not in self.installed_files(environment)
        assert "litellm/__init__.py" in self.installed_files(environment)
        assert environment.source == source.facts
        assert environment.exclude_newer == "2025-11-10T10:00:00+00:00"
        assert not (environment.folder / SOURCE_DIR).exists()

    def test_a_commit_is_one_environment_by_whatever_name(
        self, cache: EnvironmentCache, repository: LiteLLMRepository, fake_uv: FakeUv
    ) -> None:
        repository.git("tag", "v1")
        folders = {self.made(cache, source_of(f"git:{repository.folder}@{ref}")).folder for ref in ("main", "v1")}
        assert len(folders) == 1
        assert fake_uv.installs() == 1

    def test_a_commit_that_is_in_no_branch_s_history_any_more_can_be_missing(
        self, cache: EnvironmentCache, repository: LiteLLMRepository
    ) -> None:
        missing = "0123456789" * 4
        with pytest.raises(BadInput, match=rf"commit {missing} cannot be fetched from .*git says: fatal"):
            self.made(cache, source_of(f"git:{repository.folder}@{missing}"))
        assert not list(cache.folder.glob("*/*"))

    def test_a_server_that_hands_out_no_single_commit_is_fetched_whole(
        self, cache: EnvironmentCache, repository: LiteLLMRepository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The older protocol, whose servers hand out only what has a name.
        for number, (name, value) in enumerate([("protocol.version", "0"), ("uploadpack.allowAnySHA1InWant", "false")]):
            monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", name)
            monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
        monkeypatch.setenv("GIT_CONFIG_COUNT", "2")
        repository.write("litellm/later.py", "x")
        repository.commit()
        environment = self.made(cache, source_of(f"git:file://{repository.folder}@{repository.first}"))
        assert "litellm/later.py" not in self.installed_files(environment)

    def test_another_projects_repository_is_refused(
        self, cache: EnvironmentCache, repository: LiteLLMRepository
    ) -> None:
        repository.write("pyproject.toml", '[project]\nname = "other"\n')
        repository.commit()
        with pytest.raises(BadInput, match=r"its pyproject.toml is that of the project 'other', not of litellm"):
            self.made(cache, source_of(f"git:{repository.folder}@main"))


def test_packages_beside_litellm_are_installed_in_an_environment_of_their_own(
    cache: EnvironmentCache, fake_uv: FakeUv
) -> None:
    said: list[str] = []
    with cache.using(Release(RELEASE), with_packages=("httptools==0.7.1",), say=said.append) as environment:
        assert environment.packages.listed == ("httptools==0.7.1", f"litellm=={RELEASE}")
    assert said[0].startswith(f"installing litellm {RELEASE} with httptools==0.7.1 with its dependencies")
    assert once(cache).packages.listed == (f"litellm=={RELEASE}",)
    assert fake_uv.installs() == 2


class TestTheCacheOfAUser:
    def test_its_folder_and_size_are_the_users_to_say(self, tmp_path: Path) -> None:
        cache = EnvironmentCache.of_user({"PERFGATE_CACHE_DIR": str(tmp_path), "PERFGATE_CACHE_MAX_GB": "1.5"})
        assert (cache.folder, cache.max_bytes) == (tmp_path, 1_500_000_000)

    def test_by_default_it_is_in_the_home_folder_with_20_gb(self) -> None:
        cache = EnvironmentCache.of_user({})
        assert (cache.folder, cache.max_bytes) == (Path.home() / ".cache" / "perfgate", 20_000_000_000)

    def test_it_is_filled_by_a_uv_that_exists_in_a_clean_environment(self) -> None:
        installer = EnvironmentCache.of_user({"PYTHONDONTWRITEBYTECODE": "1", "UV_OFFLINE": "1"}).installer
        assert os.access(installer.uv, os.X_OK)
        assert "PYTHONDONTWRITEBYTECODE" not in installer.environment
        assert installer.environment["UV_OFFLINE"] == "1"

    @pytest.mark.parametrize("stated", ["much", "0", "-1", "nan", "inf"])
    def test_a_size_that_is_none_is_refused(self, stated: str) -> None:
        words = f"PERFGATE_CACHE_MAX_GB='{stated}' must be a number of gigabytes above 0, such as 20"
        with pytest.raises(BadInput, match=words):
            EnvironmentCache.of_user({"PERFGATE_CACHE_MAX_GB": stated})

    def test_a_folder_that_cannot_be_made_is_refused(self, tmp_path: Path, fake_uv: FakeUv) -> None:
        (tmp_path / "file").touch()
        cache = EnvironmentCache(tmp_path / "file" / "cache", PLENTY, fake_uv.installer())
        with pytest.raises(BadInput, match=r"cannot be made: .*Not a directory.*; set PERFGATE_CACHE_DIR to a folder"):
            once(cache)

    def test_a_folder_that_cannot_be_written_to_is_refused(
        self, cache: EnvironmentCache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Root may write anywhere, so the answer of the system is made up.
        monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (cache.folder, os.W_OK))
        with pytest.raises(BadInput, match=f"cache folder {cache.folder} cannot be written to; set PERFGATE_CACHE_DIR"):
            once(cache)
