"""Has an installed perfgate all that it needs of this checkout?"""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest
import uv

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parents[2]
NODE_PACKAGE: Final = ROOT / "prisma_engine"
PACKAGES: Final = ("perfgate", "mock_openai", "log_sink", "fault_proxy")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in a copy of the checkout in which the Node package was used."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in (*PACKAGES, "prisma_engine"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    (folder / "prisma_engine/node_modules/one").mkdir(parents=True)
    (folder / "prisma_engine/node_modules/one/index.js").touch()
    argv = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    (path,) = folder.glob("dist/*.whl")
    return path


def test_the_wheel_has_the_node_package_with_its_hidden_file_and_without_what_is_made_of_it(wheel: Path) -> None:
    names = [name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("prisma_engine/")]
    sources = [f"prisma_engine/src/{path.name}" for path in (NODE_PACKAGE / "src").glob("*.js")]
    beside = [f"prisma_engine/{name}" for name in (".npmrc", "README.md", "package-lock.json", "package.json")]
    assert sorted(names) == sorted([*sources, *beside])


def test_the_wheel_has_every_module(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in PACKAGES:
        assert {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")} <= names


def test_where_it_is_installed_the_node_package_is_found(wheel: Path, tmp_path: Path) -> None:
    install = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--offline"]
    subprocess.run([*install, "--target", str(tmp_path), str(wheel)], check=True)
    # Without this checkout, to which the environment of these tests leads.
    asks = (
        "import sys; sys.meta_path = [each for each in sys.meta_path if 'editable' not in repr(each).lower()]; "
        "from perfgate.stack.prisma_engine import PACKAGE, PrismaEngine; "
        "print(PACKAGE, len(PrismaEngine('wasm', PACKAGE, {})._package_files()))"
    )
    said = subprocess.run(
        [sys.executable, "-P", "-c", asks],
        env={"PYTHONPATH": str(tmp_path)},
        cwd="/",
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    files = 3 + len(list((NODE_PACKAGE / "src").glob("*.js")))
    assert said == f"{tmp_path / 'prisma_engine'} {files}\n"
