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

The client is generated into a copy of prisma-client-py: an environment stays as it was made. How the package comes into
the cache is node_package.py's.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import psycopg

from perfgate.atomic_file import write_atomically
from perfgate.errors import PerfgateError, StackFailed
from perfgate.filelocks import exclusive
from perfgate.stack.database import CONNECT_TIMEOUT_S, in_words
from perfgate.stack.environments import Environment, EnvironmentCache
from perfgate.stack.node_package import (
    NO_NETWORK,
    SHOWN_REASON_CHARS,
    Node,
    NodePackage,
    inherited,
    reason_in,
    run,
    whole_or_nothing,
)

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
LAUNCHER: Final = "query-engine"
CLIENT_MARKER: Final = "client.json"
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
            said = reason_in((done.stdout + done.stderr)[-SHOWN_REASON_CHARS:])
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

    @property
    def node_package(self) -> NodePackage:
        """What the WebAssembly engine is installed from."""
        return NodePackage(
            "prisma-engine", "the WebAssembly engine of Prisma", self.package, self.cache_dir, self.environ, _finish
        )

    @contextmanager
    def _installed(self, say: Callable[[str], None]) -> Iterator["_Wasm"]:
        """The package with its dependencies, which nobody deletes meanwhile."""
        with self.node_package.using(say=say) as installed:
            yield _Wasm(installed.folder, installed.node, installed.node_version)

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
                with whole_or_nothing(folder, "the Prisma client"):
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
            return run([python, "-c", program], {"PATH": os.defpath, **variables}, Path("/"), "a program of LiteLLM's")

        return PrismaClient(self.mode, engine.in_words, variables, migrations, run_python)

    def _generate(self, environment: Environment, site_packages: Path, engine: "_Native | _Wasm", folder: Path) -> None:
        shutil.copytree(site_packages / "prisma", folder / "prisma")
        python = str(environment.executable("python"))
        schema = site_packages / "litellm" / "proxy" / "schema.prisma"
        path = os.pathsep.join([str(environment.executable("python").parent), self.environ.get("PATH", os.defpath)])
        variables = {
            **inherited(self.environ),
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
        done = run([python, "-m", "prisma", "generate", f"--schema={schema}"], variables, folder, "prisma generate")
        if done.returncode != 0 or not (folder / "prisma" / "client.py").exists():
            raise engine.generate_failed(done.stdout + done.stderr)
        # A gateway that compiles while it serves is measured wrong.
        run([python, "-m", "compileall", "-q", str(folder)], {"PATH": os.defpath}, folder, "compileall")
        write_atomically(folder / CLIENT_MARKER, json.dumps({"engine": engine.in_words}))


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
        if NO_NETWORK.search(said):
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


def _finish(folder: Path, node: Node) -> None:
    """Write the program that Prisma's clients start, and see that it works."""
    launcher = folder / LAUNCHER
    launcher.write_text(f'#!/bin/sh\nexec {_quoted(node.program)} {_quoted(folder / "src" / "main.js")} "$@"\n')
    launcher.chmod(0o755)
    said = run([str(launcher), "--version"], {"PATH": os.defpath}, folder, "the engine")
    if said.stdout != f"{LAUNCHER} {ENGINE_COMMIT}\n":
        raise StackFailed(
            f"the WebAssembly engine of Prisma was installed but does not work: asked for its version it said "
            f"{reason_in(said.stdout + said.stderr)!r}, not {ENGINE_COMMIT}"
        )


def _not_generated(said: str) -> StackFailed:
    return StackFailed(f"the Prisma client cannot be generated. prisma says: {_prismas_reason(said)}")


def _prismas_reason(said: str) -> str:
    # What it did well comes first.
    return reason_in(said[max(said.find("Error"), 0) :])


def _quoted(path: Path) -> str:
    """For a shell."""
    return "'" + str(path).replace("'", "'\\''") + "'"
