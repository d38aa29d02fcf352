"""Services in containers; all but the first tests need a Docker engine, and the mock's image (`perfgate images build`).

Where there is none, each is reported as not run, with the reason.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import psycopg
import pytest
from testcontainers.core.docker_client import DockerClient

from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.measure.process_tree import cpu_s_between, snapshot
from perfgate.stack.affinity import plan_cores
from perfgate.stack.container_services import ContainerSpec
from perfgate.stack.containers import (
    NO_LIMITS,
    ContainerBackend,
    ContainerRunning,
    Limits,
    check_limits,
    limits_of,
)
from perfgate.stack.engine import EngineFacts, EngineGone, EngineRefused, NoEngine, connected
from perfgate.stack.environments import Environment
from perfgate.stack.images import BUILT, ImageMissing, PrismaInImage, litellm_in, prisma_in
from perfgate.stack.leftovers import RUN_LABEL, remove_run, sweep
from perfgate.stack.litellm import LiteLLM
from perfgate.stack.mock import REPLY_TEXT, Mock
from perfgate.stack.postgres import Postgres, PostgresPrograms
from perfgate.stack.processes import DiedAtStart, ProcessBackend, ServiceDied, StartTooLate
from perfgate.stack.readiness import HttpCheck, ReadyCheck
from perfgate.stack.redis import Redis, RedisProgram
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.supervision import Supervisor
from tests.harness.stack.conftest import PATIENCE_S, eventually

ENGINE: Final = EngineFacts("28.2.2", "unix:///x", 4, 16 << 30, "2", "overlay2", "Ubuntu 24.04")
PORT: Final = 8080
#: Answers GET /health on its port with what its environment says.
SERVER: Final = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ.get("TOY_ANSWER", "").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""
SLEEP: Final = "import time; print('up', flush=True); time.sleep(9999)"
#: Burns CPU in its own process, in a child, and in children that end and are waited for.
BURNER: Final = """
import os, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
if os.fork() == 0:
    burn(9999)
while True:
    child = os.fork()
    if child == 0:
        burn(0.05)
        os._exit(0)
    os.waitpid(child, 0)
    burn(0.05)
"""
TAKES_MEMORY: Final = "held = [bytes(1 << 20) + b'x' for _ in range(1000)]"


@dataclass(frozen=True, slots=True)
class Up:
    """A check that everything passes that lives."""

    what: str = "nothing"
    method: str = "LOOK"
    path: str = ""

    def attempt(self, base_url: str, timeout_s: float) -> tuple[bool, str]:
        return True, "it is there"


def toy(
    program: str,
    *checks: ReadyCheck,
    environment: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    secrets: Sequence[str] = (),
    start_deadline_s: float = PATIENCE_S,
) -> ContainerSpec:
    """A service whose program is a text, in the image that has a Python."""
    return ContainerSpec(
        name="toy",
        image=BUILT.of("mock"),
        port=PORT,
        command=("python", "-c", program),
        environment=environment or {},
        files=files or {},
        ready_checks=checks or (Up(),),
        secrets=tuple(secrets),
        start_deadline_s=start_deadline_s,
    )


# Without an engine.


@pytest.mark.parametrize(
    ("cpus", "memory", "limits"),
    [
        ("", "", NO_LIMITS),
        ("4", "", Limits(4.0, None)),
        ("1.5", "512m", Limits(1.5, 512 << 20)),
        ("", "8G", Limits(None, 8 << 30)),
    ],
)
def test_limits_are_cores_and_memory(cpus: str, memory: str, limits: Limits) -> None:
    assert limits_of(cpus, memory) == limits


@pytest.mark.parametrize("cpus", ["0", "-1", "four", "1.234", "1e3"])
def test_cores_that_are_no_number_are_refused(cpus: str) -> None:
    with pytest.raises(BadInput) as caught:
        limits_of(cpus, "")
    assert str(caught.value) == f"--cpus-per-instance={cpus}: must be a number of cores above 0, such as 4 or 1.5"


@pytest.mark.parametrize("memory", ["8", "0g", "8gb", "much", "1.5g"])
def test_memory_without_a_unit_is_refused(memory: str) -> None:
    with pytest.raises(BadInput) as caught:
        limits_of("", memory)
    expected = f"--memory-per-instance={memory}: must be a whole number with m or g, such as 8g or 512m"
    assert str(caught.value) == expected


def test_a_host_with_too_few_cores_for_the_gateway_is_refused() -> None:
    cores = plan_cores({0, 1, 2, 3})
    check_limits(Limits(2.0), instances=1, alive=2, cores=cores, engine=ENGINE)
    with pytest.raises(BadInput) as caught:
        check_limits(Limits(2.0), instances=2, alive=4, cores=cores, engine=ENGINE)
    assert str(caught.value) == (
        "--cpus-per-instance=2 needs 4 cores for 2 instance(s), and this host has 2 for them (pinned: generator on "
        "core 0, mock on 1, gateway on 2, 3): ask for fewer, or take a larger host"
    )
    assert caught.value.exit_code is ExitCode.BAD_INPUT


def test_without_pinning_all_cores_of_the_engine_s_host_count() -> None:
    check_limits(Limits(4.0), instances=1, alive=1, cores=plan_cores({0}), engine=ENGINE)
    with pytest.raises(BadInput, match=r"needs 4\.5 cores for 1 instance"):
        check_limits(Limits(4.5), instances=1, alive=1, cores=plan_cores({0}), engine=ENGINE)


def test_a_host_with_too_little_memory_for_all_instances_is_refused() -> None:
    cores = plan_cores({0, 1})
    check_limits(Limits(None, 8 << 30), instances=1, alive=2, cores=cores, engine=ENGINE)
    with pytest.raises(BadInput) as caught:
        check_limits(Limits(None, 8 << 30), instances=1, alive=3, cores=cores, engine=ENGINE)
    assert str(caught.value) == (
        "--memory-per-instance=8g needs 24.0 GiB for the 3 instance(s) of this run, and this host has 16.0 GiB: ask "
        "for less, or take a larger host"
    )


# From here on with a Docker engine.


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerClient | NoEngine]:
    try:
        client = connected()
    except NoEngine as error:
        yield error
        return
    yield client
    client.client.close()


@pytest.fixture(scope="module")
def shared_backend(
    engine: DockerClient | NoEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ContainerBackend | NoEngine | ImageMissing]:
    if isinstance(engine, NoEngine):
        yield engine
        return
    folder = tmp_path_factory.mktemp("run")
    with ContainerBackend(folder, BUILT, "none", folder / "kept") as backend:
        try:
            backend.have_images([Mock()])
        except ImageMissing as error:
            yield error
            return
        yield backend


@pytest.fixture
def client(engine: DockerClient | NoEngine, request: pytest.FixtureRequest) -> DockerClient:
    if isinstance(engine, NoEngine):
        pytest.skip(f"not run: {request.node.name}: {engine}")
    return engine


@pytest.fixture
def backend(
    shared_backend: ContainerBackend | NoEngine | ImageMissing, request: pytest.FixtureRequest
) -> ContainerBackend:
    """One for all tests of this file that do not ask how a backend begins and ends."""
    if not isinstance(shared_backend, ContainerBackend):
        pytest.skip(f"not run: {request.node.name}: {shared_backend}")
    return shared_backend


def bearing(client: DockerClient, run: str) -> list[str]:
    """All that bears a run's label."""
    filters = {"label": f"{RUN_LABEL}={run}"}
    api = client.client.api
    return [each["Id"] for each in [*api.containers(all=True, filters=filters), *api.networks(filters=filters)]]


def run_of(network_name: str) -> str:
    return network_name.removeprefix("perfgate-")


def attributes(client: DockerClient, running: ContainerRunning) -> dict[str, Any]:
    found: dict[str, Any] = client.client.containers.get(running.container_id).attrs
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["processes", "containers"])
def test_the_mock_is_the_same_on_both_backends(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with Supervisor(tmp_path) as supervisor:
        either: ProcessBackend | ContainerBackend = (
            ProcessBackend(supervisor) if name == "processes" else request.getfixturevalue("backend")
        )
        assert either.name == name
        with either.running(Mock()) as mock:
            asked = {"model": "mock-reply-9b", "messages": []}
            reply = httpx.post(f"{mock.address.url}/v1/chat/completions", json=asked, trust_env=False)
            assert reply.json()["choices"][0]["message"]["content"] == REPLY_TEXT[:9]
            assert mock.exit_status is None
            assert snapshot(mock.pid).rss_bytes > 1_000_000
            mock.check_alive()
        assert mock.exit_status is not None
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{mock.address.url}/health", trust_env=False, timeout=5)
        with pytest.raises(ServiceDied, match=r"^mock .* while it was in use"):
            mock.check_alive()


def postgres_here(backend: ContainerBackend) -> Postgres:
    service = Postgres(60, programs=PostgresPrograms(Path("/none"), "16", "no host"))
    have(backend, service)
    return service


def have(backend: ContainerBackend, service: object) -> None:
    """Skip the test unless the image of a service is here."""
    try:
        backend.have_images([service])
    except ImageMissing as error:
        pytest.skip(f"not run: {error}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "service",
    [
        Postgres(30, programs=PostgresPrograms(Path("/none"), "16", "no host")),
        Redis(64, program=RedisProgram(Path("/none"), "7")),
    ],
    ids=["postgres", "redis"],
)
def test_a_server_lets_in_whoever_knows_its_password(backend: ContainerBackend, service: Postgres | Redis) -> None:
    have(backend, service)
    with backend.running(service) as running:
        (check,) = service.ready_checks()
        assert check.attempt(running.address.url, 5.0)[0]
        (wrong,) = replace(service, password="another").ready_checks()
        assert not wrong.attempt(running.address.url, 5.0)[0]


@pytest.mark.slow
def test_postgres_keeps_its_data_over_an_outage(backend: ContainerBackend) -> None:
    service = postgres_here(backend)
    with backend.running(service) as running:
        inner_address = running.inner_address
        with psycopg.connect(service.url(running.address), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS number")
        with running.outage():
            assert not running.is_alive
        assert running.inner_address == inner_address
        with psycopg.connect(service.url(running.address)) as connection:
            assert connection.execute("SELECT number FROM kept").fetchall() == [(42,)]


def litellm_here(backend: ContainerBackend, *prisma: PrismaInImage) -> tuple[PrismaInImage, Environment]:
    """The first image of LiteLLM that is here, of those with one of these engines."""
    for each in prisma:
        try:
            return each, litellm_in(backend.client, BUILT.of("litellm", DEFAULT_RELEASE, each))
        except ImageMissing as error:
            last = error
    pytest.skip(f"not run: {last}")


@pytest.mark.slow
def test_litellm_reaches_the_mock_by_its_inner_address(backend: ContainerBackend, tmp_path: Path) -> None:
    prisma, environment = litellm_here(backend, "wasm", "none")
    assert environment.release == DEFAULT_RELEASE
    assert {"litellm", "fastapi"} < environment.packages.versions.keys()
    with ContainerBackend(tmp_path, BUILT, prisma) as own, own.running(Mock()) as mock:
        gateway = LiteLLM(environment, f"{mock.inner_address.url}/v1")
        with own.running(gateway, limits=Limits(memory_bytes=2 << 30)) as running:
            assert running.use().charged_bytes > 100_000_000
            counts = httpx.get(f"{mock.address.url}/admin/counts", trust_env=False).json()
            assert counts["received_by_path"] == {"/v1/chat/completions": 1}  # that of its readiness check


@pytest.mark.slow
def test_litellm_with_the_wasm_engine_keeps_its_keys_in_postgres(backend: ContainerBackend, tmp_path: Path) -> None:
    prisma, environment = litellm_here(backend, "wasm")
    server = postgres_here(backend)
    client = prisma_in(backend.client, BUILT.of("litellm", DEFAULT_RELEASE, "wasm"), "wasm", tmp_path / "migrations")
    with (
        ContainerBackend(tmp_path, BUILT, prisma) as own,
        own.running(Mock()) as mock,
        own.running(server) as postgres,
    ):
        client.migrate(server.url(postgres.address))
        variables = {**client.variables, "DATABASE_URL": server.url(postgres.inner_address)}
        gateway = LiteLLM(environment, f"{mock.inner_address.url}/v1", extra_environment=variables)
        with own.running(gateway) as running:
            as_admin = {"Authorization": f"Bearer {gateway.master_key}"}
            with httpx.Client(base_url=running.address.url, trust_env=False, timeout=PATIENCE_S) as http:
                key = http.post("/key/generate", headers=as_admin, json={}).json()["key"]
                chat = {"model": "mock-reply-9b", "messages": [{"role": "user", "content": "hello"}]}
                reply = http.post("/v1/chat/completions", headers={"Authorization": f"Bearer {key}"}, json=chat)
            assert reply.json()["choices"][0]["message"]["content"] == REPLY_TEXT[:9]


@pytest.mark.slow
def test_cpu_by_control_group_and_by_process_tree_agree_within_5_percent(backend: ContainerBackend) -> None:
    with backend.running(toy(BURNER)) as burner:
        # The tree is read between two readings of the group, so that how late this process gets to it does not count.
        group_1, tree_1, group_2 = burner.use(), snapshot(burner.pid), burner.use()
        assert eventually(lambda: burner.use().cpu_s > group_2.cpu_s + 2.0)
        group_3, tree_2, group_4 = burner.use(), snapshot(burner.pid), burner.use()
    used_s = cpu_s_between(tree_1, tree_2)
    assert 0.95 * (group_3.cpu_s - group_2.cpu_s) <= used_s <= 1.05 * (group_4.cpu_s - group_1.cpu_s)


@pytest.mark.slow
def test_a_container_is_held_to_its_cpus(backend: ContainerBackend) -> None:
    with backend.running(toy(BURNER), limits=Limits(cpus=0.2)) as limited:
        assert eventually(lambda: limited.use().throttled_s > 0.1)
    with backend.running(toy(BURNER)) as free:
        assert eventually(lambda: free.use().cpu_s > 0.5)
        assert free.use().throttled_s == 0.0


@pytest.mark.slow
def test_a_container_that_uses_up_its_memory_says_so(backend: ContainerBackend) -> None:
    program = toy(TAKES_MEMORY, HttpCheck("its health", "/health"))
    with pytest.raises(DiedAtStart) as caught:
        backend.start(program, limits=Limits(memory_bytes=64 << 20))
    assert re.match(
        r"toy \(container [0-9a-f]{12}\) was killed by signal 9 \(SIGKILL\) \d+\.\d s after its start, before it was "
        r"ready, since its 64 MiB of memory were used up \(--memory-per-instance\)\n",
        str(caught.value),
    )


@pytest.mark.slow
def test_a_container_stays_on_its_cores(backend: ContainerBackend) -> None:
    *_, last = sorted(os.sched_getaffinity(0))
    first = min(os.sched_getaffinity(0))
    with backend.running(toy(SLEEP), cpus=(first,)) as running:
        assert running.cpus == (first,)
        assert psutil.Process(running.pid).cpu_affinity() == [first]
        running.pin((last,))
        assert running.cpus == (last,)
        assert psutil.Process(running.pid).cpu_affinity() == [last]
        running.pin(())
        assert psutil.Process(running.pid).cpu_affinity() == [last]


@pytest.mark.slow
def test_ports_are_published_on_loopback_only(backend: ContainerBackend, client: DockerClient) -> None:
    with backend.running(toy(SERVER, HttpCheck("its health", "/health"))) as running:
        ports = attributes(client, running)["NetworkSettings"]["Ports"]
        assert {each["HostIp"] for found in ports.values() for each in found or ()} == {"127.0.0.1"}


@pytest.mark.slow
def test_where_the_bridge_is_not_this_host_s_the_published_port_is_taken(
    client: DockerClient, backend: ContainerBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert backend.network_path == "bridge"
    monkeypatch.setattr(psutil, "net_if_addrs", dict)
    with ContainerBackend(tmp_path, BUILT) as other:
        assert other.network_path == "published"
        with other.running(toy(SERVER, HttpCheck("its health", "/health"))) as running:
            assert running.address.host == "127.0.0.1"
            assert running.inner_address.port == PORT


@pytest.mark.slow
def test_files_and_variables_reach_the_service_and_secrets_no_message(backend: ContainerBackend) -> None:
    program = "import os; print(open('/perfgate/deep/file').read(), os.environ['KEY'], flush=True)\n" + SLEEP
    service = toy(
        program, environment={"KEY": "swordfish"}, files={"/perfgate/deep/file": "text"}, secrets=["swordfish"]
    )
    with backend.running(service) as running:
        assert eventually(lambda: len(running.log_tail()) == 2)
        assert running.log_tail() == ("text ***", "up")
        assert "swordfish" not in running.end_of_log()


@pytest.mark.slow
def test_a_service_that_ends_is_told_from_one_that_is_late(backend: ContainerBackend) -> None:
    check = HttpCheck("its health", "/health")
    with pytest.raises(DiedAtStart) as died:
        backend.start(toy("print('no such table', flush=True); raise SystemExit(3)", check))
    first, *rest = str(died.value).splitlines()
    assert re.fullmatch(
        r"toy \(container [0-9a-f]{12}\) ended with status 3 \d+\.\d s after its start, before it was ready", first
    )
    assert rest[0] == f"  image        {BUILT.of('mock')}"
    assert rest[1].startswith("  waited for   its health (GET http://")
    assert rest[-1] == "    | no such table"
    with pytest.raises(StartTooLate) as late:
        backend.start(toy(SLEEP, check, start_deadline_s=0.5))
    first, *rest = str(late.value).splitlines()
    assert re.fullmatch(
        r"toy \(container \w+\) still runs \d+\.\d s after its start, but is not ready; its deadline is 0\.5 s", first
    )
    assert rest[-1] == "    | up"
    kept = Path(rest[-2].removeprefix("  log          last 1 lines of "))
    assert kept.read_text() == "up\n"
    assert kept.parent == backend.kept_logs_dir


@pytest.mark.slow
def test_a_failed_start_leaves_no_container(backend: ContainerBackend, client: DockerClient) -> None:
    before = bearing(client, run_of(backend.network_name))
    with pytest.raises(DiedAtStart):
        backend.start(toy("raise SystemExit(3)", HttpCheck("its health", "/health")))
    with pytest.raises(EngineRefused, match=r"was starting toy from .*, and refused: .*no-such-program"):
        backend.start(replace(toy(SLEEP), command=("no-such-program",)))
    with pytest.raises(ImageMissing):
        backend.start(replace(toy(SLEEP), image="perfgate/mock:none"))
    assert bearing(client, run_of(backend.network_name)) == before


@pytest.mark.slow
def test_a_service_that_dies_in_use_is_reported_with_its_log(backend: ContainerBackend) -> None:
    with backend.running(toy(SLEEP)) as running:
        assert eventually(lambda: running.log_tail() == ("up",))
        os.kill(running.pid, signal.SIGKILL)
        assert eventually(lambda: not running.is_alive)
        with pytest.raises(ServiceDied) as caught:
            running.check_alive()
    first, *_, last = str(caught.value).splitlines()
    assert re.fullmatch(r"toy \(container [0-9a-f]{12}\) was killed by signal 9 \(SIGKILL\) while it was in use", first)
    assert last == "    | up"


@pytest.mark.slow
def test_a_service_that_somebody_removes_is_reported(backend: ContainerBackend, client: DockerClient) -> None:
    with backend.running(toy(SLEEP)) as running:
        client.client.api.remove_container(running.container_id, force=True)
        with pytest.raises(ServiceDied, match=r"toy \(container \w+\) was removed while it was in use"):
            running.check_alive()


@pytest.mark.slow
def test_services_are_stopped_side_by_side_and_twice_does_no_harm(backend: ContainerBackend) -> None:
    services = [backend.start(toy(SLEEP)) for _ in range(2)]
    backend.stop(services)
    backend.stop(services)
    assert [service.is_alive for service in services] == [False, False]
    backend.stop([])


@pytest.mark.slow
@pytest.mark.parametrize("error", [None, ZeroDivisionError])
def test_nothing_is_left_at_the_end(client: DockerClient, tmp_path: Path, error: type[Exception] | None) -> None:
    volumes = {each.id for each in client.client.volumes.list()}
    try:
        with ContainerBackend(tmp_path, BUILT) as backend:
            run = run_of(backend.network_name)
            backend.start(toy(SLEEP))
            assert len(bearing(client, run)) == 2
            if error is not None:
                raise error
    except ZeroDivisionError:
        pass
    assert bearing(client, run) == []
    assert {each.id for each in client.client.volumes.list()} <= volumes


#: A run of its own, which says its name and then waits for a service that never becomes ready.
RUN: Final = """
import sys
from pathlib import Path
from perfgate.stack.containers import ContainerBackend
from perfgate.stack.images import BUILT
from perfgate.stack.readiness import HttpCheck
from tests.harness.stack.test_containers import SLEEP, toy
with ContainerBackend(Path(sys.argv[1]), BUILT) as backend:
    print(backend.network_name, flush=True)
    backend.start(toy(SLEEP, HttpCheck("its health", "/health")))
"""


@pytest.fixture
def other_run(
    client: DockerClient, backend: ContainerBackend, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that waits for a service, and the name of its run."""
    argv = [sys.executable, "-c", RUN, str(tmp_path)]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=Path.cwd()
    ) as process:
        assert process.stdout is not None
        run = run_of(process.stdout.readline().strip())
        assert eventually(lambda: len(bearing(client, run)) == 2)
        yield process, run
        process.kill()


@pytest.mark.slow
def test_nothing_is_left_after_ctrl_c(client: DockerClient, other_run: tuple[subprocess.Popen[str], str]) -> None:
    process, run = other_run
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE_S)
    assert bearing(client, run) == []


@pytest.mark.slow
def test_what_a_kill_leaves_is_gone_at_the_next_start(
    client: DockerClient, other_run: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, run = other_run
    sweep(client)
    assert len(bearing(client, run)) == 2  # it lives
    process.kill()
    process.wait()
    with ContainerBackend(tmp_path, BUILT):
        assert bearing(client, run) == []


class Cable:
    """A socket that leads to the engine, until it is cut."""

    def __init__(self, path: Path, engine: str) -> None:
        self._engine = engine
        self._open: list[socket.socket] = []
        self._is_cut = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._engine)
            self._open += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self) -> None:
        """As if the engine had ended."""
        self._is_cut = True
        for each in self._open:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._open.clear()

    def close(self) -> None:
        self.cut()
        self._listener.close()


@pytest.fixture
def cable(client: DockerClient, backend: ContainerBackend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cable]:
    engine = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"perfgate-cable-{os.getpid()}"  # a socket's path must be short
    folder.mkdir()
    cable = Cable(folder / "docker.sock", engine)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")
    yield cable
    cable.close()
    shutil.rmtree(folder)


@pytest.mark.slow
def test_an_engine_that_goes_away_in_mid_run_is_one_clear_message(
    client: DockerClient, cable: Cable, tmp_path: Path
) -> None:
    backend = ContainerBackend(tmp_path, BUILT).__enter__()
    running = backend.start(toy(SLEEP))
    cable.cut()
    for ask in (
        running.check_alive,
        running.log_tail,
        running.stop,
        lambda: backend.start(toy(SLEEP)),
        lambda: backend.__exit__(None, None, None),
    ):
        with pytest.raises(
            EngineGone, match=r"does not answer any more; it was being .* what this one leaves"
        ) as caught:
            ask()
        assert caught.value.exit_code is ExitCode.STACK_FAILED
    remove_run(client, run_of(backend.network_name))  # this process lives, so that no other run will


@pytest.mark.slow
def test_an_error_of_the_run_is_not_hidden_by_an_engine_that_is_gone(
    client: DockerClient, cable: Cable, tmp_path: Path
) -> None:
    backend = ContainerBackend(tmp_path, BUILT).__enter__()
    cable.cut()
    backend.__exit__(StackFailed, StackFailed("the one that counts"), None)
    remove_run(client, run_of(backend.network_name))


@pytest.mark.slow
def test_a_run_without_an_engine_does_not_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(NoEngine, match="no Docker engine answers"), ContainerBackend(tmp_path, BUILT):
        raise AssertionError("it has begun")
