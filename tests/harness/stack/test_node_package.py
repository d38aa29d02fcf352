"""Does a pinned npm package come onto this host whole, once, and with words when it does not?

With programs that do as Node.js and npm in a few milliseconds. How the two real packages are installed is seen in
test_prisma_engine.py, which has npm's failures too, and test_portkey.py.
"""

import json
import os
from pathlib import Path
from typing import Final

import pytest

from perfgate.errors import StackFailed
from perfgate.filelocks import LockBusy, exclusive
from perfgate.stack.node_package import MARKER, Node, NodePackage, host_node

FAKE_NODE: Final = "#!/bin/sh\necho v20.1.2\n"
FAKE_NPM: Final = """#!/bin/sh
echo "$*" >>"$npm_config_fake_dir/calls"
if [ -e "$npm_config_fake_dir/fails" ]; then echo "npm error code E500" >&2; exit 1; fi
mkdir node_modules
"""


class Fakes:
    """A package, programs to install it with, and what they noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name, text in (("node", FAKE_NODE), ("npm", FAKE_NPM)):
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        self.files_dir = folder / "package"
        (self.files_dir / "src").mkdir(parents=True)
        for name in ("package.json", "package-lock.json", ".npmrc", "src/main.js", "README.md"):
            (self.files_dir / name).write_text(name)
        self.said: list[str] = []
        self.finished: list[tuple[Path, Node]] = []

    def package(self, name: str = "toy") -> NodePackage:
        environ = {"PATH": f"{self.bin}{os.pathsep}{os.defpath}", "npm_config_fake_dir": str(self.folder)}
        return NodePackage(name, "the toy", self.files_dir, self.folder / "cache", environ, self.finish)

    def finish(self, folder: Path, node: Node) -> None:
        assert (folder / "node_modules").exists(), "npm is done"
        assert not (folder / MARKER).exists(), "it is not whole yet"
        self.finished.append((folder, node))

    def install(self, name: str = "toy") -> Path:
        with self.package(name).using(say=self.said.append) as installed:
            return installed.folder

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def cached(self) -> list[Path]:
        return sorted(path for path in (self.folder / "cache").iterdir() if path.is_dir())


@pytest.fixture
def fakes(tmp_path: Path) -> Fakes:
    return Fakes(tmp_path)


def test_it_is_installed_once_without_scripts_and_finished_before_its_marker(fakes: Fakes) -> None:
    folder = fakes.install()
    assert fakes.install() == folder
    assert fakes.calls == ["ci --ignore-scripts"]
    assert fakes.said == [f"installing the toy from npm packages into {folder}"]
    assert fakes.finished == [(folder, Node(fakes.bin / "node", "20.1.2", (str(fakes.bin / "npm"),)))]
    assert json.loads((folder / MARKER).read_text()) == {"node": str(fakes.bin / "node"), "node_version": "20.1.2"}


def test_it_has_the_package_s_files_and_nothing_else_of_its_folder(fakes: Fakes) -> None:
    folder = fakes.install()
    made = {"node_modules", MARKER}
    assert {path.name for path in folder.iterdir()} - made == {"package.json", "package-lock.json", ".npmrc", "src"}


def test_two_packages_stand_side_by_side(fakes: Fakes) -> None:
    first, second = fakes.install("toy"), fakes.install("other")
    assert first.name.startswith("toy-")
    assert second.name.startswith("other-")
    assert len(fakes.cached) == 2


def test_another_lock_file_is_another_package(fakes: Fakes) -> None:
    first = fakes.install()
    (fakes.files_dir / "package-lock.json").write_text("changed")
    assert fakes.install() != first


def test_what_cannot_be_finished_leaves_nothing(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path, node: Node) -> None:
        raise StackFailed("it does not work")

    monkeypatch.setattr(fakes, "finish", refuse)
    with pytest.raises(StackFailed, match="it does not work"):
        fakes.install()
    assert fakes.cached == []


def test_an_npm_that_fails_is_told_by_the_package_s_own_name_and_leaves_nothing(fakes: Fakes) -> None:
    (fakes.folder / "fails").touch()
    with pytest.raises(StackFailed, match="the toy cannot be installed: npm's registry cannot be reached") as caught:
        fakes.install()
    assert str(caught.value).endswith("npm says: code E500")
    assert fakes.cached == []


def test_nobody_may_change_it_while_it_is_used(fakes: Fakes) -> None:
    with fakes.package().using() as installed:
        lock = installed.folder.with_name(f"{installed.folder.name}.lock")
        with pytest.raises(LockBusy), exclusive(lock, "the toy", timeout_s=0):
            pass
    with exclusive(lock, "the toy", timeout_s=0):
        pass


@pytest.mark.parametrize("missing", ["package-lock.json", ".npmrc", "src/main.js"])
def test_a_perfgate_without_some_of_its_files_says_so(fakes: Fakes, missing: str) -> None:
    (fakes.files_dir / missing).unlink()
    with pytest.raises(StackFailed, match="is missing, or not whole: perfgate was installed without its Node package"):
        fakes.install()


@pytest.mark.parametrize("version", ["v18.18.2", "v16.20.0", "nonsense"])
def test_a_node_that_is_too_old_is_none(fakes: Fakes, version: str) -> None:
    (fakes.bin / "node").write_text(f"#!/bin/sh\necho {version}\n")
    assert host_node(str(fakes.bin)) is None


def test_a_node_without_npm_is_none(fakes: Fakes) -> None:
    assert host_node(str(fakes.bin)) is not None
    (fakes.bin / "npm").unlink()
    assert host_node(str(fakes.bin)) is None
