"""Which release does a file name, in each form that teams keep?"""

from pathlib import Path

import pytest

from perfgate.errors import BadInput
from perfgate.github.release_file import line_in, release_in
from perfgate.stack.releases import DEFAULT_RELEASE
from tests.harness.conftest import ROOT


def a_file(folder: Path, text: str) -> Path:
    path = folder / "named.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("1.106.2\n", "1.106.2"),
        ("# what we run\n  v1.83.3  # since May\n", "1.83.3"),
        ("httpx==0.28.1\nlitellm==1.79.3\n", "1.79.3"),
        ("litellm[proxy] == 1.106.0rc1 ; python_version > '3.9'\n", "1.106.0rc1"),
        ("litellm==1.79.3 \\\n    --hash=sha256:0123\nlitellm-proxy-extras==0.4.1\n", "1.79.3"),
        ('dependencies = ["litellm[proxy]==1.102.4"]\n', "1.102.4"),
        ("FROM docker.litellm.ai/berriai/litellm:v1.83.3-stable\n", "1.83.3"),
        ("    image: ghcr.io/berriai/litellm-database:main-v1.79.3-stable@sha256:0123\n", "1.79.3"),
        ("image: x/litellm:v1.106.2\nlitellm==1.106.2\n", "1.106.2"),
    ],
)
def test_the_one_release_is_found(tmp_path: Path, text: str, release: str) -> None:
    assert release_in(a_file(tmp_path, text)) == release


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1.106.2\n", 1),
        ("# what we run\n# litellm==1.79.3\nlitellm==1.83.3\n", 3),
        ("httpx==0.28.1\nimage: x/litellm:v1.106.2\nlitellm==1.106.2\n", 2),
    ],
)
def test_so_is_the_first_line_that_names_it(tmp_path: Path, text: str, line: int) -> None:
    assert line_in(a_file(tmp_path, text)) == line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no release of LiteLLM"),
        ("litellm>=1.79\nlitellm-proxy-extras==0.4.1\nmylitellm==1.2.3\n", "names no release of LiteLLM"),
        ("image: berriai/litellm:main-latest\n", "names no release of LiteLLM"),
        ("1.79.3\n1.106.2\n", "names 1.106.2, 1.79.3"),
    ],
)
def test_none_or_several_are_bad_input_that_shows_the_forms(tmp_path: Path, text: str, said: str) -> None:
    path = a_file(tmp_path, text)
    with pytest.raises(BadInput) as error:
        release_in(path)
    assert str(error.value) == (
        f"file:{path}: it {said}; one is needed: a line 1.106.2, litellm==1.106.2, or an image …/litellm:v1.106.2"
    )


def test_a_release_that_steals_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"litellm 1\.82\.7 is refused"):
        release_in(a_file(tmp_path, "litellm==1.82.7\n"))


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.txt: cannot be read \(No such file or directory\); name a file"):
        release_in(tmp_path / "none.txt")


def test_a_file_that_is_not_text_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(BadInput, match=r"cannot be read \(it is not text\)"):
        release_in(tmp_path / "image.png")


def test_the_projects_own_gate_names_its_default_release() -> None:
    assert release_in(ROOT / ".github/litellm-release.txt") == DEFAULT_RELEASE
