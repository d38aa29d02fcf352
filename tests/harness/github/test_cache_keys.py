"""Does what is kept between jobs get another key when it would be another?"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from perfgate.github.cache_keys import OF_ENVIRONMENTS, OF_IMAGES, keys
from perfgate.github.inputs import GateInputs, variable
from tests.harness.conftest import ROOT
from tests.harness.github.conftest import action_command, action_environ


def inputs(**given: str) -> GateInputs:
    return GateInputs.of_environ({variable(name): text for name, text in given.items()})


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """With the files that keys are made of."""
    for pattern in {*OF_ENVIRONMENTS, *OF_IMAGES}:
        for path in ROOT.glob(pattern):
            (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / path.relative_to(ROOT))
    return tmp_path


def test_every_file_that_keys_are_made_of_is_there() -> None:
    for pattern in (*OF_ENVIRONMENTS, *OF_IMAGES):
        assert list(ROOT.glob(pattern)), pattern


def test_the_same_gateways_have_the_same_keys(checkout: Path) -> None:
    first = keys(inputs(candidate="1.106.2", baseline="1.79.3"), checkout)
    assert keys(inputs(candidate="1.106.2", baseline="1.79.3"), checkout) == first
    assert first["environments"].startswith(first["environments-prefix"])


@pytest.mark.parametrize("name", ["candidate", "baseline", "options"])
def test_other_gateways_have_other_keys_with_the_same_beginning(checkout: Path, name: str) -> None:
    first, other = (keys(inputs(**{name: text}), checkout) for text in ("1.106.2", "1.79.3"))
    assert first["environments"] != other["environments"]
    assert first["environments-prefix"] == other["environments-prefix"]
    assert first["images"] != other["images"]


@pytest.mark.parametrize("name", ["requirements.txt", "perfgate/stack/installing.py"])
def test_environments_that_are_made_otherwise_begin_otherwise(checkout: Path, name: str) -> None:
    first = keys(inputs(), checkout)
    with (checkout / name).open("a") as file:
        file.write("# more\n")
    assert keys(inputs(), checkout)["environments-prefix"] != first["environments-prefix"]


def test_images_that_are_built_of_other_files_have_another_key(checkout: Path) -> None:
    first = keys(inputs(), checkout)
    (checkout / "mock_openai/reply.py").write_text("# other\n")
    other = keys(inputs(), checkout)
    assert other["images"] != first["images"]
    assert other["environments"] == first["environments"]


@pytest.mark.slow
def test_a_checkout_is_known_by_its_commit(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "litellm"
    folder.mkdir()
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@y"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    found = []
    for message in ("one", "two"):
        subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", message], check=True)
        found.append(keys(inputs(candidate=f"path:{folder}"), checkout)["environments"])
    assert len(set(found)) == 2


def as_the_action_runs_it(tmp_path: Path, **given: str) -> subprocess.CompletedProcess[str]:
    """With a Python that finds no installed package."""
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    environ = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        **action_environ("keys", given),
    }
    command = action_command("keys")
    return subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_as_the_action_runs_it_nothing_has_to_be_installed(tmp_path: Path) -> None:
    done = as_the_action_runs_it(tmp_path, candidate="1.106.2")
    assert (done.returncode, done.stderr) == (0, "")
    lines = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())
    assert lines == keys(inputs(candidate="1.106.2", images="official"))


def test_a_file_that_names_no_release_ends_it_with_4(tmp_path: Path) -> None:
    (tmp_path / "none.txt").touch()
    done = as_the_action_runs_it(tmp_path, candidate="file:none.txt")
    assert done.returncode == 4
    assert done.stdout.startswith("::error title=perfgate%3A bad input::file:none.txt: it names no release")
