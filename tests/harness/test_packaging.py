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
NODE_PACKAGES: Final = ("prisma_engine", "portkey_gateway")
PACKAGES: Final = ("perfgate", "mock_openai", "log_sink", "fault_proxy")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in a copy of the checkout in which the Node packages were used."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in (*PACKAGES, *NODE_PACKAGES):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    for name in NODE_PACKAGES:
        (folder / name / "node_modules/one").mkdir(parents=True)
        (folder / name / "node_modules/one/index.js").touch()
    argv = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    (path,) = folder.glob("dist/*.whl")
    return path


@pytest.mark.parametrize("package", NODE_PACKAGES)
def test_the_wheel_has_a_node_package_with_its_hidden_file_and_without_what_is_made_of_it(
    wheel: Path, package: str
) -> None:
    names = [name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(f"{package}/")]
    sources = [f"{package}/src/{path.name}" for path in (ROOT / package / "src").glob("*.js")]
    beside = [f"{package}/{name}" for name in (".npmrc", "README.md", "package-lock.json", "package.json")]
    assert sorted(names) == sorted([*sources, *beside])


def test_the_wheel_has_every_module(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in PACKAGES:
        assert {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")} <= names


def test_the_wheel_has_what_pages_are_made_from(wheel: Path) -> None:
    templates = {str(path.relative_to(ROOT)) for path in (ROOT / "perfgate").glob("*/templates/*")}
    assert {path.split("/")[1] for path in templates} == {"history", "report", "why"}
    assert templates <= set(zipfile.ZipFile(wheel).namelist())


def test_where_it_is_installed_the_node_packages_are_found(wheel: Path, tmp_path: Path) -> None:
    install = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--offline"]
    subprocess.run([*install, "--target", str(tmp_path), str(wheel)], check=True)
    # Without this checkout, to which the environment of these tests leads.
    asks = (
        "import sys; sys.meta_path = [each for each in sys.meta_path if 'editable' not in repr(each).lower()]; "
        "from perfgate.stack import portkey, prisma_engine; "
        "from perfgate.stack.node_package import NodePackage; "
        "places = [prisma_engine.PACKAGE, portkey.PACKAGE]; "
        "print(*[(str(each), len(NodePackage('', '', each, each, {}).files())) for each in places])"
    )
    said = subprocess.run(
        [sys.executable, "-P", "-c", asks],
        env={"PYTHONPATH": str(tmp_path)},
        cwd="/",
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = [(str(tmp_path / name), 3 + len(list((ROOT / name / "src").glob("*.js")))) for name in NODE_PACKAGES]
    assert said == f"{' '.join(map(str, found))}\n"
