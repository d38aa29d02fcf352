"""Are images that perfgate builds loaded, built where they are missing, and kept? With a docker that only notes."""

import argparse
import os
from pathlib import Path
from typing import Final

import pytest

from perfgate.cli import main
from perfgate.exit_codes import ExitCode
from perfgate.github import image_cache

#: Writes what it is asked for; has two images; saves by writing a file.
DOCKER: Final = """#!/bin/sh
echo "$*" >>"$NOTES"
case "$1 $2" in
"image ls") printf 'perfgate/mock:0123\\nperfgate/redis:4567\\n' ;;
"save --output") echo image >"$3" ;;
"load --quiet") test -z "$BROKEN" || { echo no space left >&2; exit 1; } ;;
esac
"""


class Docker:
    """A docker among programs, and what was asked of it and of the build."""

    def __init__(self, folder: Path) -> None:
        self.notes = folder / "notes"
        self.built: list[argparse.Namespace] = []
        path = folder / "bin/docker"
        path.parent.mkdir()
        path.write_text(DOCKER)
        path.chmod(0o755)
        self.bin = path.parent

    def asked(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def build(self, options: argparse.Namespace) -> ExitCode:
        self.built.append(options)
        return ExitCode.OK


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    found = Docker(tmp_path)
    monkeypatch.setenv("PATH", f"{found.bin}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("NOTES", str(found.notes))
    monkeypatch.setattr(image_cache, "run_build", found.build)
    return found


def images(folder: Path) -> int:
    return main(["github", "images", str(folder)])


def test_with_official_images_the_mock_alone_is_built(docker: Docker, tmp_path: Path) -> None:
    assert images(tmp_path / "cache") == 0
    (built,) = docker.built
    assert (built.only, built.litellm, built.again) == ("mock", None, False)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {
        "perfgate_mock_0123.tar",
        "perfgate_redis_4567.tar",
    }


def test_what_the_cache_has_is_loaded_first_and_not_saved_again(docker: Docker, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    images(cache)
    docker.notes.unlink()
    images(cache)
    assert docker.asked() == [
        *(f"load --quiet --input {cache}/perfgate_{name}.tar" for name in ("mock_0123", "redis_4567")),
        "image ls --filter reference=perfgate/* --format {{.Repository}}:{{.Tag}}",
    ]


def test_with_images_of_our_own_both_releases_are_built_each_once(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INPUT_IMAGES", "built,redis=valkey/valkey:8")
    monkeypatch.setenv("INPUT_PRISMA_ENGINE", "wasm")
    for baseline, releases in (("1.79.3", ["1.79.3", "1.106.2"]), ("1.106.2", ["1.106.2"]), ("", ["1.106.2"])):
        monkeypatch.setenv("INPUT_BASELINE", baseline)
        monkeypatch.setenv("INPUT_CANDIDATE", "1.106.2" if baseline else "")
        images(tmp_path / "cache")
        built = docker.built.pop()
        assert (built.only, built.litellm, built.prisma_engine) == ("mock,litellm,postgres,redis", releases, "wasm")


def test_an_image_that_cannot_be_loaded_ends_it_with_what_docker_said(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images(tmp_path / "cache")
    monkeypatch.setenv("BROKEN", "1")
    assert images(tmp_path / "cache") == 12
    assert "perfgate_mock_0123.tar` failed: no space left" in capsys.readouterr().err


def test_without_docker_it_says_which_stack_needs_none(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert images(tmp_path / "cache") == 4
    assert "stack=processes does not" in capsys.readouterr().err
