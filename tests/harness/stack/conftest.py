"""Both backends, toy services to run in them, and what stands in for uv and for LiteLLM's repository.

Where there is no Docker engine, or an image is missing, every test that needs it is reported as not run, by its name.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest
from testcontainers.core.docker_client import DockerClient

from perfgate.stack.backend import StackBackend
from perfgate.stack.container_services import FOLDER, ContainerSpec
from perfgate.stack.containers import ContainerBackend
from perfgate.stack.engine import NoEngine, connected
from perfgate.stack.environments import Environment, EnvironmentCache
from perfgate.stack.images import BUILT, ImageMissing, Images, PrismaInImage, litellm_in, present, prisma_in
from perfgate.stack.installing import Installer, uv_environment
from perfgate.stack.prisma_engine import CLIENT_PACKAGE, PrismaClient, PrismaEngine
from perfgate.stack.processes import ProcessBackend
from perfgate.stack.readiness import HttpCheck
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release
from perfgate.stack.supervision import Supervisor

EXIT_TRUE: Final = "raise SystemExit(0)"
SLEEP: Final = "import time; print('up', flush=True); time.sleep(9999)"
IGNORES_SIGTERM: Final = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(9999)
"""
#: Leaves a daemon behind, as daemons do it: its parent has ended, its session is its own. It ignores SIGTERM too.
DOUBLE_FORKER: Final = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("up", flush=True)
        time.sleep(9999)
    os._exit(0)
time.sleep(9999)
"""
#: Has a child in a session of its own.
PARENT_OF_A_SESSION: Final = """
import os, time
if os.fork() == 0:
    os.setsid()
    print("up", flush=True)
time.sleep(9999)
"""
#: Answers GET /health with what its environment says, on the port that is its first argument.
SERVER: Final = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ.get("TOY_ANSWER", "").encode()
        self.send_response(int(os.environ.get("TOY_STATUS", "200")))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
#: Burns CPU in a child, and in children of that which end and are waited for; then goes on.
BURNS: Final = """
import os, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
if os.fork() == 0:
    while True:
        child = os.fork()
        if child == 0:
            burn(0.05)
            os._exit(0)
        os.waitpid(child, 0)
        burn(0.05)
"""

#: Of a toy in a container.
TOY_PORT: Final = 8080
#: Far longer than anything here takes; only a test that fails waits for so long.
PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Toy:
    """A service whose program is a text, for either backend: a container has the mock's image, which has a Python."""

    program: str
    name: str = "toy"
    start_deadline_s: float = PATIENCE_S
    secrets: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    check: HttpCheck = HttpCheck("its health", "/health")  # noqa: RUF009 (a frozen value)

    def argv(self, port: int) -> list[str]:
        return [sys.executable, "-c", self.program, str(port)]

    def environment(self, folder: Path) -> Mapping[str, str]:
        return {"TOY_FOLDER": str(folder), **self.env}

    def files(self) -> Mapping[str, str]:
        return self.texts

    def ready_checks(self) -> Sequence[HttpCheck]:
        return [self.check]

    def in_container(self, images: Images) -> ContainerSpec:
        everywhere = self.program.replace("127.0.0.1", "0.0.0.0")
        return ContainerSpec(
            name=self.name,
            image=images.of("mock"),
            port=TOY_PORT,
            command=("python", "-c", everywhere, str(TOY_PORT)),
            environment=self.environment(Path(FOLDER)),
            files={f"{FOLDER}/{name}": text for name, text in self.texts.items()},
            ready_checks=tuple(self.ready_checks()),
            secrets=tuple(self.secrets),
            start_deadline_s=self.start_deadline_s,
        )


@cache
def lacking_engine() -> str | None:
    """Why no test can have a Docker engine here."""
    try:
        connected().client.close()
    except NoEngine as error:
        return str(error)
    return None


@cache
def lacking_image(name: str) -> str | None:
    """Why no test can have an image that is only built."""
    client = connected()
    try:
        present(client, name, lambda line: None)
    except ImageMissing as error:
        return str(error)
    finally:
        client.client.close()
    return None


@cache
def prisma_in_image() -> PrismaInImage:
    """Engine of the image of LiteLLM that is here."""
    return next((each for each in ("wasm", "native", "none") if lacking_image(litellm_image(each)) is None), "wasm")


def litellm_image(prisma: PrismaInImage) -> str:
    return BUILT.of("litellm", DEFAULT_RELEASE, prisma)


def lacking(item: pytest.Item) -> str | None:
    """What a test needs that is not here."""
    names = item.fixturenames  # type: ignore[attr-defined]
    is_in_containers = "containers" in names or parameters(item).get("backend") == "containers"
    if not is_in_containers and "client" not in names:
        return None
    if lacking_engine() is not None or not is_in_containers:
        return lacking_engine()
    images = [BUILT.of(role) for role in ("mock", "postgres", "redis")]
    if "installed" in names:
        images.append(litellm_image(prisma_in_image()))
    return next((why for image in images if (why := lacking_image(image)) is not None), None)


def parameters(item: pytest.Item) -> Mapping[str, object]:
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec is not None else {}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip it before any of its fixtures; the reason has its name, which pytest's list of skipped tests has not."""
    why = lacking(item)
    if why is not None:
        pytest.skip(f"not run: {item.name}: {why}")


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """One whose run folder is within the test's."""
    with Supervisor(tmp_path) as supervisor:
        yield supervisor


@pytest.fixture(scope="session")
def client() -> Iterator[DockerClient]:
    """Of the Docker engine."""
    client = connected()
    yield client
    client.client.close()


@pytest.fixture(scope="session")
def containers(client: DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerBackend]:
    """The container backend, open."""
    folder = tmp_path_factory.mktemp("containers")
    with ContainerBackend(folder, BUILT, prisma_in_image(), folder / "kept") as backend:
        yield backend


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessBackend]:
    """The process backend, open."""
    folder = tmp_path_factory.mktemp("processes")
    with Supervisor(folder) as supervisor:
        yield ProcessBackend(supervisor, folder / "kept")


@pytest.fixture(scope="module", params=["processes", pytest.param("containers", marks=pytest.mark.slow)])
def backend(request: pytest.FixtureRequest) -> StackBackend:
    """Either backend, open: whatever is tested with it holds for both."""
    either: StackBackend = request.getfixturevalue(request.param)
    return either


@pytest.fixture(scope="module")
def installed(backend: StackBackend) -> Iterator[Environment]:
    """A real LiteLLM, where the backend starts it from."""
    if isinstance(backend, ContainerBackend):
        yield litellm_in(backend.client, litellm_image(prisma_in_image()))
        return
    using = EnvironmentCache.of_user(os.environ).using(
        Release(DEFAULT_RELEASE), with_packages=(CLIENT_PACKAGE,), say=print
    )
    with using as environment:
        yield environment


@pytest.fixture(scope="module")
def prisma(
    backend: StackBackend, installed: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrismaClient | None]:
    """Its way to a database; None where the image of LiteLLM that is here has no engine of Prisma."""
    if not isinstance(backend, ContainerBackend):
        with PrismaEngine.of_user("wasm", os.environ).using(installed, say=print) as client:
            yield client
        return
    mode = prisma_in_image()
    if mode == "none":
        yield None
        return
    migrations = tmp_path_factory.mktemp("migrations")
    yield prisma_in(backend.client, litellm_image(mode), mode, migrations, backend.network_name)


def eventually(is_true: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
    """Whether something becomes true within that time."""
    deadline_mono_s = time.monotonic() + within_s
    while not is_true():
        if time.monotonic() > deadline_mono_s:
            return False
        time.sleep(0.01)
    return True


def pids_with_argument(text: str) -> set[int]:
    """Living processes whose command line holds a text; that of a zombie is empty."""
    found = set()
    for command_line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in command_line.read_bytes():
                found.add(int(command_line.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


#: Does what uv is asked for by an `Installer`, in a few milliseconds and without a network.
FAKE_UV_PROGRAM: Final = """#!/bin/sh
echo "$@" >>"$UV_FAKE_DIR/calls"
env >"$UV_FAKE_DIR/environment"
for last; do :; done
case "$1 $2" in
"pip compile")
    cat >"$UV_FAKE_DIR/stdin"
    if [ -n "$UV_FAKE_COMPILE_SAYS" ]; then echo "$UV_FAKE_COMPILE_SAYS" >&2; exit 2; fi
    cat "$UV_FAKE_DIR/pylock.toml" ;;
"venv "*)
    mkdir -p "$last/bin" "$last/lib/python3/site-packages"
    ln -s "$5" "$last/bin/python" ;;
"pip install")
    if [ -n "$UV_FAKE_GATE" ]; then read -r line <"$UV_FAKE_GATE"; fi
    python=$6
    site_packages=${python%/bin/python}/lib/python3/site-packages
    head -c "${UV_FAKE_BYTES:-1000}" /dev/zero >"$site_packages/content"
    if [ -n "$UV_FAKE_INSTALL_FAILS" ]; then printf %s "$UV_FAKE_INSTALL_SAYS" >&2; exit 2; fi
    version=${last##*==}
    case "$last" in *file://*)
        source=${last##*file://}
        cp -R "$source" "$site_packages/from_source"
        version=$(sed -n 's/^version = "\\(.*\\)"/\\1/p' "$source/pyproject.toml") ;;
    esac
    for package in "litellm==$version" "$@"; do
        case "$package" in *"["*) continue ;; *==*) ;; *) continue ;; esac
        mkdir "$site_packages/${package%%==*}.dist-info"
        printf 'Metadata-Version: 2.1\\nName: %s\\nVersion: %s\\n' "${package%%==*}" "${package##*==}" \\
            >"$site_packages/${package%%==*}.dist-info/METADATA"
    done ;;
esac
"""
PYLOCK: Final = """
[[packages]]
name = "litellm"
sdist = { url = "https://index.example/a", upload-time = 2025-11-09T02:33:17Z }
wheels = [{ url = "https://index.example/b", upload-time = 2025-11-09T02:33:14Z }]
"""


class FakeUv:
    """FAKE_UV_PROGRAM, and what it noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stdin_path = folder / "stdin"
        self.lock_path = folder / "pylock.toml"
        self.lock_path.write_text(PYLOCK)
        self.program = str(folder / "uv")
        Path(self.program).write_text(FAKE_UV_PROGRAM)
        Path(self.program).chmod(0o700)

    def environment(self, **variables: str) -> dict[str, str]:
        """What it needs to see, and more variables."""
        return {"PATH": os.environ["PATH"], "UV_FAKE_DIR": str(self.folder), **variables}

    def installer(self, **variables: str) -> Installer:
        """One that uses it, in an environment that was made of these variables."""
        return Installer(self.program, uv_environment(self.environment(**variables)))

    def calls(self) -> list[str]:
        """Its command lines so far."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def installs(self) -> int:
        """How many installations it was asked for."""
        return sum(call.startswith("pip install") for call in self.calls())

    def seen_environment(self) -> dict[str, str]:
        """Its environment at its last call."""
        lines = (self.folder / "environment").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def make_gate(self) -> Path:
        """A file for UV_FAKE_GATE: an installation waits until somebody writes a line to it."""
        gate = self.folder / "gate"
        os.mkfifo(gate)
        return gate


@pytest.fixture
def fake_uv(tmp_path: Path) -> FakeUv:
    folder = tmp_path / "fake-uv"
    folder.mkdir()
    return FakeUv(folder)


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """The address of a server with one answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
