"""Does a LiteLLM environment get a Prisma client and an engine that work, whole, once, and with words when it does not?

The slow tests install the real package from npm packages and prisma-client-py into an environment of their own, and
need a network for it. They run the package's own tests (prisma_engine/test) against a real PostgreSQL.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
import pytest
import uv

from perfgate.errors import StackFailed
from perfgate.stack.environments import Environment, EnvironmentCache
from perfgate.stack.node_package import MARKER as ENGINE_MARKER
from perfgate.stack.node_package import NODE_WHEEL, SHOWN_REASON_CHARS
from perfgate.stack.packages import Packages
from perfgate.stack.postgres import Postgres
from perfgate.stack.postgres_server import fresh_database
from perfgate.stack.prisma_engine import (
    CLIENT_MARKER,
    CLIENT_PACKAGE,
    ENGINE_COMMIT,
    LAUNCHER,
    PACKAGE,
    PrismaClient,
    PrismaEngine,
    PrismaMode,
)
from perfgate.stack.processes import ProcessBackend, Running
from perfgate.stack.sources import Release
from perfgate.stack.supervision import Supervisor

DATABASE_TESTS: Final = PACKAGE / "test" / "database"
MAX_CONNECTIONS: Final = 60


# The real thing


@pytest.fixture(scope="module")
def real_environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One with prisma-client-py, and the schema of the package's tests in the place of LiteLLM's."""
    folder = tmp_path_factory.mktemp("cache") / "environment"
    uv_bin = uv.find_uv_bin()
    subprocess.run([uv_bin, "venv", "--quiet", folder], check=True)
    subprocess.run(
        [uv_bin, "pip", "install", "--quiet", "--python", folder / "bin" / "python", CLIENT_PACKAGE], check=True
    )
    (site_packages,) = folder.glob("lib/python*/site-packages")
    schema = site_packages / "litellm" / "proxy" / "schema.prisma"
    schema.parent.mkdir(parents=True)
    shutil.copyfile(DATABASE_TESTS / "schema.prisma", schema)
    return environment_in(folder)


@pytest.fixture(scope="module")
def real_client(real_environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrismaClient]:
    engine = PrismaEngine("wasm", tmp_path_factory.mktemp("engines"), os.environ)
    with engine.using(real_environment) as client:
        yield client


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Running]]:
    """A server's URL, and where it runs."""
    service = Postgres(MAX_CONNECTIONS)
    with Supervisor(tmp_path_factory.mktemp("run")) as supervisor:
        running = ProcessBackend(supervisor).start(service)
        yield service.url(running.address), running


real = pytest.mark.xdist_group("prisma_engine")


@real
@pytest.mark.slow
@pytest.mark.parametrize("tests", ["", "database"], ids=["modules", "database"])
def test_the_tests_of_the_package_pass(real_client: PrismaClient, postgres: tuple[str, Running], tests: str) -> None:
    """In a copy of the installed package: what is tested is what is used."""
    url, running = postgres
    installed = Path(real_client.variables["PRISMA_BINARY_CACHE_DIR"])
    shutil.copytree(PACKAGE / "test", installed / "test", dirs_exist_ok=True)
    files = sorted((installed / "test" / tests).glob("*.test.js"))
    assert files
    variables = {
        "PATH": real_client.variables["PATH"],
        "PERFGATE_TEST_POSTGRES_URL": url,
        "PERFGATE_TEST_POSTGRES_PID": str(running.pid),
    }
    # One file at a time: an outage is everybody's.
    argv = ["node", "--test", "--test-concurrency=1", "--test-reporter=spec", *map(str, files)]
    done = subprocess.run(argv, env=variables, cwd=installed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr


@real
@pytest.mark.slow
def test_prisma_client_py_gets_what_it_expects(
    real_client: PrismaClient, real_environment: Environment, postgres: tuple[str, Running]
) -> None:
    with fresh_database(postgres[0]) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute((DATABASE_TESTS / "tables.sql").read_bytes())
        argv = [real_environment.executable("python"), DATABASE_TESTS / "client_test.py"]
        variables = {**real_client.variables, "DATABASE_URL": url}
        done = subprocess.run(argv, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Ran 0 tests" not in done.stderr


@real
@pytest.mark.slow
def test_the_generated_client_is_compiled_and_the_environment_is_as_it_was(
    real_client: PrismaClient, real_environment: Environment
) -> None:
    generated = Path(real_client.variables["PYTHONPATH"]) / "prisma"
    modules = {path.stem for path in generated.glob("*.py")}
    assert "client" in modules
    assert modules <= {path.name.partition(".")[0] for path in generated.glob("__pycache__/*.pyc")}
    (original,) = real_environment.folder.glob("lib/python*/site-packages/prisma")
    assert not (original / "client.py").exists()


@real
@pytest.mark.slow
def test_the_engine_runs_on_the_node_of_the_wheel_too(tmp_path: Path) -> None:
    """For a host without Node.js: a PATH that has none."""
    engine = PrismaEngine("wasm", tmp_path, {**os.environ, "PATH": str(tmp_path)})
    with engine._installed(print) as installed:
        said = subprocess.run(
            [installed.folder / LAUNCHER, "--version"], env={}, capture_output=True, text=True, check=True
        )
        assert said.stdout == f"query-engine {ENGINE_COMMIT}\n"
        assert installed.node.is_relative_to(installed.folder)
        assert NODE_WHEEL.endswith(f"=={installed.node_version}")


# What is asked for and what is kept, with programs that do as the real ones in a few milliseconds

FAKE_NODE: Final = f"""#!/bin/sh
case "$1" in
--version) echo "v${{FAKE_NODE_VERSION:-20.1.2}}" ;;
*main.js) echo "query-engine {ENGINE_COMMIT}" ;;
esac
"""
FAKE_NPM: Final = """#!/bin/sh
echo "npm $*" >>"$npm_config_fake_dir/calls"
env >"$npm_config_fake_dir/npm-environment"
ls -A >"$npm_config_fake_dir/npm-folder"
if [ -e "$npm_config_fake_dir/npm-says" ]; then cat "$npm_config_fake_dir/npm-says" >&2; exit 1; fi
mkdir node_modules
"""
FAKE_PYTHON: Final = """#!/bin/sh
case "$*" in
"-m prisma "*)
    echo "$*" >>"$npm_config_fake_dir/calls"
    env >"$npm_config_fake_dir/prisma-environment"
    if [ -e "$npm_config_fake_dir/prisma-says" ]; then cat "$npm_config_fake_dir/prisma-says"; exit 1; fi
    touch "$PYTHONPATH/prisma/client.py" ;;
esac
"""


class Fakes:
    """Fake programs, an environment with a fake Python, and what they noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.cache_dir = folder / "cache"
        self.bin.mkdir()
        for name, text in (("node", FAKE_NODE), ("npm", FAKE_NPM)):
            self.write_program(self.bin / name, text)
        environment = self.cache_dir / "litellm-1"
        self.site_packages = environment / "lib" / "python3.11" / "site-packages"
        (self.site_packages / "prisma").mkdir(parents=True)
        (self.site_packages / "prisma" / "__init__.py").touch()
        (environment / "bin").mkdir()
        self.write_program(environment / "bin" / "python", FAKE_PYTHON)
        self.environment = environment_in(environment)
        self.said: list[str] = []

    def engine(
        self, mode: PrismaMode = "wasm", *, package: Path = PACKAGE, variables: Mapping[str, str] | None = None
    ) -> PrismaEngine:
        own = {"PATH": f"{self.bin}{os.pathsep}{os.defpath}", "npm_config_fake_dir": str(self.folder)}
        return PrismaEngine(mode, self.cache_dir, {**own, **(variables or {})}, package)

    def client(self, engine: PrismaEngine) -> PrismaClient:
        """What `engine.using` hands out."""
        with engine.using(self.environment, say=self.said.append) as client:
            return client

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def seen_environment(self, program: str) -> dict[str, str]:
        lines = (self.folder / f"{program}-environment").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def installed(self) -> list[Path]:
        return [path for path in self.cache_dir.glob("prisma-engine-*") if path.is_dir()]

    @staticmethod
    def write_program(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)


@pytest.fixture
def fakes(tmp_path: Path) -> Fakes:
    return Fakes(tmp_path)


def environment_in(folder: Path) -> Environment:
    return Environment(
        folder=folder,
        source=Release("1.106.2").facts,
        release="1.106.2",
        deps="of-its-time",
        exclude_newer=None,
        python_version="3.11.7",
        packages=Packages(()),
        made_at="2026-01-01T00:00:00+00:00",
        size_bytes=0,
    )


def test_the_package_is_installed_once_and_the_client_generated_once(fakes: Fakes) -> None:
    first = fakes.client(fakes.engine())
    assert fakes.client(fakes.engine()) == first
    assert [call.split(" --schema")[0] for call in fakes.calls()] == ["npm ci --ignore-scripts", "-m prisma generate"]
    assert [line.partition(" of ")[0].partition(" from ")[0] for line in fakes.said] == [
        "installing the WebAssembly engine",
        "generating the Prisma client",
    ]


def test_another_environment_gets_its_own_client_and_the_same_package(fakes: Fakes) -> None:
    first = fakes.client(fakes.engine())
    other = fakes.cache_dir / "litellm-2"
    shutil.copytree(fakes.environment.folder, other, ignore=shutil.ignore_patterns("prisma.lock"))
    shutil.rmtree(other / "prisma")
    fakes.environment = environment_in(other)
    second = fakes.client(fakes.engine())
    assert second.variables["PYTHONPATH"].startswith(str(other))
    assert second.variables["PRISMA_QUERY_ENGINE_BINARY"] == first.variables["PRISMA_QUERY_ENGINE_BINARY"]
    assert len(fakes.calls()) == 3


def test_a_changed_package_is_another_one(fakes: Fakes, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(PACKAGE, changed, ignore=shutil.ignore_patterns("node_modules", "test"))
    fakes.client(fakes.engine(package=changed))
    (changed / "src" / "main.js").write_text("// changed")
    fakes.client(fakes.engine(package=changed))
    assert len(fakes.installed()) == 2


def test_what_is_installed_has_no_tests_and_the_settings_of_npm(fakes: Fakes) -> None:
    fakes.client(fakes.engine())
    assert (fakes.folder / "npm-folder").read_text().split() == [".npmrc", "package-lock.json", "package.json", "src"]


def test_litellm_is_told_where_all_is_and_that_it_need_not_migrate(fakes: Fakes) -> None:
    client = fakes.client(fakes.engine())
    (installed,) = fakes.installed()
    path = client.variables["PATH"].split(os.pathsep)
    assert path[:2] == [str(fakes.environment.folder / "bin"), str(fakes.bin)]
    assert client.variables["PRISMA_QUERY_ENGINE_BINARY"] == str(installed / LAUNCHER)
    assert client.variables["DISABLE_SCHEMA_UPDATE"] == "True"
    assert (Path(client.variables["PYTHONPATH"]) / "prisma" / "client.py").exists()
    assert (client.mode, client.engine) == ("wasm", "Prisma 5.17.0, WebAssembly, Node.js 20.1.2")


def test_native_is_left_to_prisma_and_its_migrations_to_litellm(fakes: Fakes) -> None:
    client = fakes.client(fakes.engine("native"))
    assert [call.split(" --schema")[0] for call in fakes.calls()] == ["-m prisma generate"]
    assert not {"PRISMA_QUERY_ENGINE_BINARY", "DISABLE_SCHEMA_UPDATE", "PATH"} & client.variables.keys()
    downloads = Path(client.variables["PRISMA_BINARY_CACHE_DIR"])
    assert downloads.is_relative_to(fakes.environment.folder)
    assert (client.mode, client.engine) == ("native", "Prisma 5.17.0, native")
    client.migrate("postgresql://nobody@nowhere.invalid/none", "")
    # Both stand side by side.
    assert fakes.client(fakes.engine("wasm")).variables["PYTHONPATH"] != client.variables["PYTHONPATH"]
    assert fakes.client(fakes.engine("native")) == client


def test_npm_and_prisma_see_what_they_need_of_the_users_environment_and_nothing_else(fakes: Fakes) -> None:
    user = {
        "HTTPS_PROXY": "http://proxy:1",
        "NODE_EXTRA_CA_CERTS": "/ca",
        "DATABASE_URL": "secret",
        "PYTHONPATH": "/x",
        "NODE_OPTIONS": "x",
    }
    fakes.client(fakes.engine(variables=user))
    for program in ("npm", "prisma"):
        seen = fakes.seen_environment(program)
        assert (seen["HTTPS_PROXY"], seen["NODE_EXTRA_CA_CERTS"]) == ("http://proxy:1", "/ca")
        assert not {"DATABASE_URL", "NODE_OPTIONS"} & seen.keys()
        assert seen.get("PYTHONPATH") != "/x"


def test_the_cache_is_that_of_the_environments(tmp_path: Path) -> None:
    environ = {"PERFGATE_CACHE_DIR": str(tmp_path), "HOME": str(tmp_path)}
    engine = PrismaEngine.of_user("wasm", environ)
    assert (engine.mode, engine.cache_dir) == ("wasm", EnvironmentCache.of_user(environ).folder)
    assert "PERFGATE_CACHE_DIR" not in repr(engine)


def test_it_is_not_deleted_while_it_is_used(fakes: Fakes) -> None:
    """As `EnvironmentCache` deletes what nobody holds."""
    cache = EnvironmentCache(
        fakes.cache_dir, 1, EnvironmentCache.of_user({"PERFGATE_CACHE_DIR": str(fakes.cache_dir)}).installer
    )
    with fakes.engine().using(fakes.environment):
        (installed,) = fakes.installed()
        cache._make_room(keep=fakes.environment.folder.name)
        assert (installed / ENGINE_MARKER).exists()


@pytest.mark.parametrize("marker", [ENGINE_MARKER, CLIENT_MARKER])
def test_what_has_no_marker_is_made_anew(fakes: Fakes, marker: str) -> None:
    fakes.client(fakes.engine())
    before = len(fakes.calls())
    (path,) = fakes.cache_dir.rglob(marker)
    path.unlink()
    fakes.client(fakes.engine())
    assert len(fakes.calls()) == before + 1


def test_a_package_whose_node_has_gone_is_made_anew(fakes: Fakes) -> None:
    fakes.client(fakes.engine())
    (installed,) = fakes.installed()
    facts = json.loads((installed / ENGINE_MARKER).read_text())
    (installed / ENGINE_MARKER).write_text(json.dumps({**facts, "node": "/gone"}))
    fakes.client(fakes.engine())
    assert [call for call in fakes.calls() if call.startswith("npm")] == ["npm ci --ignore-scripts"] * 2


NPM_FAILS: Final = "the WebAssembly engine of Prisma cannot be installed"
NPM_SAYS: Final = {
    "npm error code ENOTFOUND\nnpm error network request to https://user:secret@host/x failed": (
        f"{NPM_FAILS}: npm's registry cannot be reached; check the network and the variables HTTPS_PROXY, "
        "NODE_EXTRA_CA_CERTS and npm_config_registry. npm says: code ENOTFOUND network request to (address) failed"
    ),
    "npm error code EINTEGRITY": (
        f"{NPM_FAILS}: npm got a package whose content is not the one that perfgate pins; is something between here "
        "and npm's registry? npm says: code EINTEGRITY"
    ),
    "npm error code ENOSPC": (
        "the WebAssembly engine of Prisma cannot be written: the disk is full; make room, or set PERFGATE_CACHE_DIR to "
        "a folder on another"
    ),
    "npm error anything": f"{NPM_FAILS}. npm says: anything",
    "x" * 1000: f"{NPM_FAILS}. npm says: {'x' * SHOWN_REASON_CHARS} …",
}


@pytest.mark.parametrize("says", NPM_SAYS, ids=["network", "integrity", "disk", "other", "long"])
def test_an_npm_that_fails_is_told_in_words_and_leaves_nothing(fakes: Fakes, says: str) -> None:
    (fakes.folder / "npm-says").write_text(says)
    with pytest.raises(StackFailed) as caught:
        fakes.client(fakes.engine())
    assert str(caught.value) == NPM_SAYS[says]
    assert fakes.installed() == []


NO_HOST: Final = "Error: request to https://engines.example/x failed: getaddrinfo ENOTFOUND engines"
NATIVE_FAILS: Final = (
    "Prisma's own query engine cannot be downloaded: its download host cannot be reached from here. Check the network "
    "and HTTPS_PROXY, or take --prisma-engine wasm: the same engine, made of npm packages alone. prisma says: Error: "
    "request to (address) failed: getaddrinfo ENOTFOUND engines"
)


@pytest.mark.parametrize(
    ("mode", "says", "words"),
    [
        ("native", f"Prisma schema loaded\n\n{NO_HOST}", NATIVE_FAILS),
        ("native", "no schema", "the Prisma client cannot be generated. prisma says: no schema"),
        ("wasm", "no schema", "the Prisma client cannot be generated. prisma says: no schema"),
    ],
)
def test_a_client_that_cannot_be_generated_is_told_in_words_and_leaves_nothing(
    fakes: Fakes, mode: PrismaMode, says: str, words: str
) -> None:
    (fakes.folder / "prisma-says").write_text(says)
    with pytest.raises(StackFailed) as caught:
        fakes.client(fakes.engine(mode))
    assert str(caught.value) == words
    assert list((fakes.environment.folder / "prisma").iterdir()) == []


def test_an_engine_that_is_another_one_is_refused(fakes: Fakes) -> None:
    fakes.write_program(fakes.bin / "node", FAKE_NODE.replace(ENGINE_COMMIT, "0000"))
    with pytest.raises(StackFailed, match=f"asked for its version it said 'query-engine 0000', not {ENGINE_COMMIT}"):
        fakes.client(fakes.engine())
    assert fakes.installed() == []


def test_a_host_whose_node_is_too_old_gets_one_from_the_wheel_or_words(fakes: Fakes) -> None:
    fakes.write_program(fakes.bin / "node", FAKE_NODE.replace("20.1.2", "16.20.0"))
    with pytest.raises(StackFailed) as caught:
        fakes.client(fakes.engine(variables={"UV_OFFLINE": "1", "UV_NO_CACHE": "1"}))
    words = f"this host has no Node.js 18.19 or newer, and the wheel {NODE_WHEEL} cannot be installed instead: "
    assert str(caught.value).startswith(words + "install Node.js, or check the network. uv says: ")
    assert fakes.installed() == []


def test_a_perfgate_without_its_package_says_so(fakes: Fakes, tmp_path: Path) -> None:
    with pytest.raises(StackFailed, match="is missing, or not whole: perfgate was installed without its Node package"):
        fakes.client(fakes.engine(package=tmp_path / "none"))


def test_an_environment_without_prisma_is_a_mistake_of_the_caller(fakes: Fakes) -> None:
    shutil.rmtree(fakes.site_packages / "prisma")
    with pytest.raises(ValueError, match=f"must have {CLIENT_PACKAGE} installed beside LiteLLM"):
        fakes.client(fakes.engine())


def test_the_lock_file_names_no_host_and_pins_each_package_by_its_content() -> None:
    lock = json.loads((PACKAGE / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert all("integrity" in package and "resolved" not in package for package in packages.values())
    assert "://" not in (PACKAGE / "package-lock.json").read_text()
    assert all(version[0].isdigit() for version in lock["packages"][""]["dependencies"].values())


# Migrations


@dataclass(frozen=True, slots=True)
class FakePython:
    """Where LiteLLM is; notes what it is asked for, and answers with a status and words."""

    status: int = 0
    words: str = ""
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def __call__(self, program: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        self.asked.append((program, variables))
        return subprocess.CompletedProcess([], self.status, self.words, "")


def client_with(migrations: Mapping[str, str], folder: Path, python: FakePython | None = None) -> PrismaClient:
    """Of a LiteLLM with these migrations."""
    for name, sql in migrations.items():
        (folder / name).mkdir()
        (folder / name / "migration.sql").write_text(sql)
    return PrismaClient("wasm", "", {}, folder, python or FakePython())


@real
@pytest.mark.slow
def test_migrations_are_applied_in_the_order_of_bytes_each_as_a_whole(
    postgres: tuple[str, Running], tmp_path: Path
) -> None:
    note = "INSERT INTO done (name) VALUES ('%s');"
    client = client_with(
        {
            "2_b": note % "2_b",
            "2 with blanks": note % "2 with blanks",
            "2_B": note % "2_B" + "CREATE TABLE a (x text); COMMENT ON TABLE a IS '100% $1 %s';",
            "1_first": "CREATE TABLE done (n serial, name text);" + note % "1_first",
            "3_alone": "CREATE INDEX CONCURRENTLY i ON a (x)",
        },
        tmp_path,
    )
    (tmp_path / "migration_lock.toml").touch()
    with fresh_database(postgres[0]) as url:
        client.migrate(url, url)
        with psycopg.connect(url) as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM done ORDER BY n")]
            assert names == ["1_first", "2 with blanks", "2_B", "2_b"]
            assert connection.execute(
                "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass"
            ).fetchall() == [(True,)]


@real
@pytest.mark.slow
def test_a_migration_that_is_refused_is_named(postgres: tuple[str, Running], tmp_path: Path) -> None:
    client = client_with({"1_a": "CREATE TABLE a (x int)"}, tmp_path)
    with fresh_database(postgres[0]) as url:
        client.migrate(url, url)
        with pytest.raises(StackFailed) as caught:
            client.migrate(url, url)
    assert str(caught.value) == (
        "LiteLLM's tables cannot be made: PostgreSQL refuses its migration '1_a': relation \"a\" already exists; the "
        "database must be empty before"
    )


@real
@pytest.mark.slow
def test_the_indexes_that_migrations_leave_out_are_made_where_litellm_is(
    postgres: tuple[str, Running], tmp_path: Path
) -> None:
    python = FakePython()
    with fresh_database(postgres[0]) as url:
        client_with({"1_a": "SELECT 1"}, tmp_path, python).migrate(url, "postgresql://as-it-is-reached-there")
    ((program, variables),) = python.asked
    assert "build_request_log_indexes" in program
    assert variables["DATABASE_URL"] == "postgresql://as-it-is-reached-there"


@real
@pytest.mark.slow
def test_indexes_that_cannot_be_made_are_told(postgres: tuple[str, Running], tmp_path: Path) -> None:
    client = client_with({"1_a": "SELECT 1"}, tmp_path, FakePython(1, "no lock"))
    words = "LiteLLM cannot make the indexes that its migrations leave out. It says: no lock"
    with pytest.raises(StackFailed, match=words), fresh_database(postgres[0]) as url:
        client.migrate(url, url)


def test_programs_run_in_litellm_s_environment_with_the_variables_that_they_are_given(fakes: Fakes) -> None:
    client = fakes.client(fakes.engine())
    Fakes.write_program(fakes.environment.executable("python"), '#!/bin/sh\necho "$1 $2 in $DATABASE_URL"; exit 3\n')
    done = client.run_python("a program", {"DATABASE_URL": "x"})
    assert (done.returncode, done.stdout) == (3, "-c a program in x\n")


def test_a_database_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StackFailed, match="LiteLLM's tables cannot be made: the database does not answer: ") as caught:
        client_with({"1_a": "SELECT 1"}, tmp_path).migrate("postgresql://u:very-secret@127.0.0.1:1/d", "")
    assert "very-secret" not in str(caught.value)


def test_an_environment_without_migrations_is_not_taken_for_one_that_needs_none(tmp_path: Path) -> None:
    with pytest.raises(StackFailed, match=f"LiteLLM's tables cannot be made: there are no migrations in {tmp_path}"):
        client_with({}, tmp_path).migrate("postgresql://nobody@nowhere.invalid/none", "")
