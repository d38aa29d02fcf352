"""What only containers have: limits, a network, an engine that may go away, and what must not be left of them.

All but the first tests need a Docker engine and images (`perfgate images build`). What holds for processes too is in
test_backends.py.
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
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Self

import psutil
import pytest
from testcontainers.core.docker_client import DockerClient

from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.measure.process_tree import snapshot
from perfgate.stack import containers as containers_module
from perfgate.stack.affinity import plan_cores
from perfgate.stack.backend import NO_LIMITS, Limits
from perfgate.stack.cgroup import CgroupGone
from perfgate.stack.container_services import ContainerSpec, in_container
from perfgate.stack.containers import (
    SWEEP_TIMEOUT_S,
    ContainerBackend,
    ContainerRunning,
    NetworkPath,
    check_limits,
    limits_of,
    sweep_if_any,
)
from perfgate.stack.engine import EngineFacts, EngineGone, EngineRefused, NoEngine
from perfgate.stack.images import BUILT, ImageMissing
from perfgate.stack.leftovers import RUN_LABEL, remove_run, sweep
from perfgate.stack.processes import DiedAtStart, ServiceDied, StartTooLate
from perfgate.stack.readiness import HttpCheck, ReadyCheck
from perfgate.stack.redis import Redis
from tests.harness.stack.conftest import BURNS, PATIENCE_S, SERVER, SLEEP, TOY_PORT, eventually

ENGINE: Final = EngineFacts("28.2.2", "unix:///x", 4, 16 << 30, "2", "overlay2", "Ubuntu 24.04")
#: Burns in its own process too.
BURNER: Final = BURNS + "burn(9999)"
#: The first process of a container is not ended by a signal that it has no handler for.
ENDS_WHEN_ASKED: Final = "import signal; signal.signal(signal.SIGTERM, lambda *_: exit())\n"
TAKES_MEMORY: Final = "held = [bytes(1 << 20) + b'x' for _ in range(1000)]"


@dataclass(frozen=True, slots=True)
class Up:
    """A check that everything passes that lives."""

    what: str = "nothing"

    def asked(self, base_url: str) -> str:
        return f"look at {base_url}"

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
        port=TOY_PORT,
        command=("python", "-c", program.replace("127.0.0.1", "0.0.0.0"), str(TOY_PORT)),
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


@pytest.mark.parametrize(("path", "workers"), [("published", 1), ("bridge", 2)])
def test_workers_are_no_reason_to_refuse_where_they_can_be_seen_or_there_is_one(
    path: NetworkPath, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ImageMissing, match="asked for"):
        start_without_engine(path, workers, tmp_path, monkeypatch)


def test_workers_that_cannot_be_seen_are_refused_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput) as caught:
        start_without_engine("published", 2, tmp_path, monkeypatch)
    assert str(caught.value) == (
        "--workers 2: to measure several workers, perfgate must see which of them accepts each connection; it cannot "
        "with the Docker engine at unix:///x, whose containers this host reaches through published ports only (it is "
        "not on their network, as with a rootless engine): take --workers 1, or --stack processes"
    )
    assert caught.value.exit_code is ExitCode.BAD_INPUT


def start_without_engine(path: NetworkPath, workers: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as a start comes: to the image, which is missing."""

    def missing(client: object, name: str, say: object) -> None:
        raise ImageMissing("asked for")

    monkeypatch.setattr(containers_module, "present", missing)
    backend = ContainerBackend(folder)
    backend.engine, backend.network_path, backend.client = ENGINE, path, None  # type: ignore[assignment]
    backend.start(replace(toy(SLEEP), workers=workers))


class FakeEngine:
    """A client of an engine that has nothing of ours."""

    def __init__(self) -> None:
        self.client = self.networks = self
        self.attrs: Mapping[str, Any] = {"IPAM": {"Config": []}}
        self.is_closed = False

    def get(self, network_id: str) -> Self:
        return self

    def close(self) -> None:
        self.is_closed = True


class TestEnd:
    """What went wrong first is what counts, and an engine that is gone only means that something is left behind."""

    GONE: Final = EngineGone("nobody answers")
    REFUSED: Final = EngineRefused("the network is in use")

    def backend(
        self, at_its_end: StackFailed, said: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> ContainerBackend:
        """One that cannot remove what it has made."""

        def remove_run(client: object, run: str) -> None:
            raise at_its_end

        monkeypatch.setattr(containers_module, "engine_facts", lambda timeout_s=0: ENGINE)
        monkeypatch.setattr(containers_module, "connected", FakeEngine)
        monkeypatch.setattr(containers_module, "sweep", lambda client: "")
        monkeypatch.setattr(
            containers_module, "Network", lambda docker_network_kw: SimpleNamespace(id="1", create=lambda: None)
        )
        monkeypatch.setattr(containers_module, "remove_run", remove_run)
        return ContainerBackend(folder, say=said.append)

    def test_an_engine_that_is_gone_is_said_and_no_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        said: list[str] = []
        with self.backend(self.GONE, said, tmp_path, monkeypatch):
            assert said == []
        assert said == [
            "the Docker engine does not answer: the next run removes the containers that this one leaves behind"
        ]

    @pytest.mark.parametrize("at_its_end", [GONE, REFUSED])
    def test_an_error_of_the_run_is_not_hidden(
        self, at_its_end: StackFailed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ServiceDied, match="the first"), self.backend(at_its_end, [], tmp_path, monkeypatch):
            raise ServiceDied("the first")

    def test_any_other_error_is_one_of_the_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        said: list[str] = []
        with (
            pytest.raises(EngineRefused, match="the network is in use"),
            self.backend(self.REFUSED, said, tmp_path, monkeypatch),
        ):
            pass
        assert said == []

    def service(self, folder: Path, monkeypatch: pytest.MonkeyPatch, stops: list[str]) -> Any:
        """A service in its context, whose engine is gone when it is to be stopped."""

        def stop() -> None:
            stops.append("toy")
            raise self.GONE

        backend = ContainerBackend(folder)
        monkeypatch.setattr(backend, "start", lambda service, cpus, limits: SimpleNamespace(stop=stop))
        return backend.running(toy(SLEEP))

    def test_an_error_while_a_service_is_in_use_is_not_hidden(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stops: list[str] = []
        with pytest.raises(ServiceDied, match="the first"), self.service(tmp_path, monkeypatch, stops):
            raise ServiceDied("the first")
        assert stops == ["toy"], "it has been tried"

    def test_a_service_that_nobody_can_stop_is_an_error_where_there_is_no_other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stops: list[str] = []
        with pytest.raises(EngineGone, match="nobody answers"), self.service(tmp_path, monkeypatch, stops):
            assert stops == []
        assert stops == ["toy"]


class TestSweepOfARunThatNeedsNoEngine:
    @pytest.fixture
    def client(self, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
        """Of an engine that answers within the time that such a run gives it."""
        client = FakeEngine()
        monkeypatch.setattr(containers_module, "engine_facts", lambda timeout_s=0: ENGINE)
        monkeypatch.setattr(containers_module, "connected", {SWEEP_TIMEOUT_S: client}.__getitem__)
        return client

    def said(self) -> list[str]:
        said: list[str] = []
        sweep_if_any(said.append)
        return said

    def test_without_an_engine_there_is_nothing_to_say(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
        assert self.said() == []

    def test_an_engine_of_another_machine_is_left_alone(
        self, client: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def elsewhere(timeout_s: int) -> EngineFacts:
            raise NoEngine("it runs on another machine")

        swept: list[object] = []
        monkeypatch.setattr(containers_module, "engine_facts", elsewhere)
        monkeypatch.setattr(containers_module, "sweep", swept.append)
        assert (self.said(), swept) == ([], [])

    @pytest.mark.parametrize("error", [EngineGone("nobody answers"), EngineRefused("not now")])
    def test_one_that_goes_away_or_refuses_meanwhile_does_not_matter(
        self, error: StackFailed, client: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(of: object) -> str:
            raise error

        monkeypatch.setattr(containers_module, "sweep", fail)
        assert self.said() == []
        assert client.is_closed

    @pytest.mark.parametrize(
        ("swept", "said"),
        [
            ("", []),
            (
                "2 containers and 1 network",
                ["removed what runs that were killed had left behind: 2 containers and 1 network"],
            ),
        ],
        ids=["nothing", "something"],
    )
    def test_what_was_removed_is_said(
        self, swept: str, said: list[str], client: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(containers_module, "sweep", {client: swept}.__getitem__)
        assert self.said() == said
        assert client.is_closed


# From here on with a Docker engine.


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
def test_cpu_by_control_group_and_by_process_tree_agree_within_5_percent(containers: ContainerBackend) -> None:
    with containers.running(toy(BURNER)) as burner:
        # The tree is read between two readings of the group, so that how late this process gets to it does not count.
        group_1, tree_1, group_2 = burner.use(), snapshot(burner.pid), burner.use()
        assert eventually(lambda: burner.use().cpu_s > group_2.cpu_s + 2.0)
        group_3, tree_2, group_4 = burner.use(), snapshot(burner.pid), burner.use()
    used_s = tree_2.cpu_s_since(tree_1)
    assert 0.95 * (group_3.cpu_s - group_2.cpu_s) <= used_s <= 1.05 * (group_4.cpu_s - group_1.cpu_s)


@pytest.mark.slow
def test_a_container_is_held_to_its_cpus(containers: ContainerBackend) -> None:
    with containers.running(toy(BURNER), limits=Limits(cpus=0.2)) as limited:
        assert eventually(lambda: limited.use().throttled_s > 0.1)
    with containers.running(toy(BURNER)) as free:
        assert eventually(lambda: free.use().cpu_s > 0.5)
        assert free.use().throttled_s == 0.0


@pytest.mark.slow
def test_a_container_that_uses_up_its_memory_says_so(containers: ContainerBackend) -> None:
    program = toy(TAKES_MEMORY, HttpCheck("its health", "/health"))
    with pytest.raises(DiedAtStart) as caught:
        containers.start(program, limits=Limits(memory_bytes=64 << 20))
    assert re.match(
        r"toy \(container [0-9a-f]{12}\) was killed by signal 9 \(SIGKILL\) \d+\.\d s after its start, before it was "
        r"ready, since its 64 MiB of memory were used up: give it more with --memory-per-instance, or leave that out\n",
        str(caught.value),
    )


@pytest.mark.slow
def test_a_container_stays_on_its_cores(containers: ContainerBackend) -> None:
    *_, last = sorted(os.sched_getaffinity(0))
    first = min(os.sched_getaffinity(0))
    with containers.running(toy(SLEEP), cpus=(first,)) as running:
        assert running.cpus == (first,)
        assert psutil.Process(running.pid).cpu_affinity() == [first]
        running.pin((last,))
        assert running.cpus == (last,)
        assert psutil.Process(running.pid).cpu_affinity() == [last]
        running.pin(())
        assert psutil.Process(running.pid).cpu_affinity() == [last]


@pytest.mark.slow
def test_ports_are_published_on_loopback_only(containers: ContainerBackend, client: DockerClient) -> None:
    with containers.running(toy(SERVER, HttpCheck("its health", "/health"))) as running:
        ports = attributes(client, running)["NetworkSettings"]["Ports"]
        assert {each["HostIp"] for found in ports.values() for each in found or ()} == {"127.0.0.1"}


@pytest.mark.slow
def test_where_the_bridge_is_not_this_host_s_the_published_port_is_taken(
    client: DockerClient, containers: ContainerBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert containers.network_path == "bridge"
    monkeypatch.setattr(psutil, "net_if_addrs", dict)
    with ContainerBackend(tmp_path, BUILT) as other:
        assert other.network_path == "published"
        with other.running(toy(SERVER, HttpCheck("its health", "/health"))) as running:
            assert running.address.host == "127.0.0.1"
            assert running.inner_address.port == TOY_PORT


@pytest.mark.slow
def test_files_and_variables_reach_the_service_and_secrets_no_message(containers: ContainerBackend) -> None:
    program = "import os; print(open('/perfgate/deep/file').read(), os.environ['KEY'], flush=True)\n" + SLEEP
    service = toy(
        program, environment={"KEY": "swordfish"}, files={"/perfgate/deep/file": "text"}, secrets=["swordfish"]
    )
    with containers.running(service) as running:
        assert eventually(lambda: len(running.log_tail()) == 2)
        assert running.log_tail() == ("text ***", "up")
        assert "swordfish" not in running.end_of_log()


@pytest.mark.slow
def test_other_containers_reach_a_service_by_its_further_names_too(containers: ContainerBackend) -> None:
    health = HttpCheck("its health", "/health")
    named = replace(toy(SERVER, health, environment={"TOY_ANSWER": "hello"}), aliases=("storage.example.com",))
    asks = f"""
import urllib.request
print(urllib.request.urlopen("http://storage.example.com:{TOY_PORT}/health").read().decode(), flush=True)
"""
    with containers.running(named), containers.running(toy(asks + SLEEP)) as other:
        assert eventually(lambda: other.log_tail()[:1] == ("hello",))


@pytest.mark.slow
def test_a_service_that_somebody_removes_is_reported(containers: ContainerBackend, client: DockerClient) -> None:
    with containers.running(toy(SLEEP)) as running:
        client.client.api.remove_container(running.container_id, force=True)
        with pytest.raises(ServiceDied, match=r"toy \(container \w+\) was removed while it was in use"):
            running.check_alive()


@dataclass(frozen=True, slots=True)
class Things:
    """What a run has on this host beside what bears its label."""

    volumes: frozenset[str]
    pids: frozenset[int]

    @classmethod
    def of(cls, client: DockerClient, run: str) -> Self:
        found = client.client.containers.list(filters={"label": f"{RUN_LABEL}={run}"})
        volumes = (mount["Name"] for each in found for mount in each.attrs["Mounts"])
        return cls(frozenset(volumes), frozenset(each.attrs["State"]["Pid"] for each in found))

    def left(self, client: DockerClient) -> set[object]:
        volumes = {each.id for each in client.client.volumes.list()}
        return {*(self.volumes & volumes), *(pid for pid in self.pids if psutil.pid_exists(pid))}


@dataclass(frozen=True, slots=True)
class Looks(Up):
    """A check that is never passed, and notes what the run has meanwhile."""

    client: DockerClient = field(kw_only=True)
    run: str = field(kw_only=True)
    seen: list[Things] = field(default_factory=list)

    def attempt(self, base_url: str, timeout_s: float) -> tuple[bool, str]:
        self.seen.append(Things.of(self.client, self.run))
        return False, "not yet"


@pytest.mark.slow
@pytest.mark.parametrize("error", [None, ZeroDivisionError])
def test_nothing_is_left_at_the_end(client: DockerClient, tmp_path: Path, error: type[Exception] | None) -> None:
    try:
        with ContainerBackend(tmp_path, BUILT) as backend:
            run = run_of(backend.network_name)
            backend.start(toy(SLEEP))
            backend.start(Redis(64))
            assert len(bearing(client, run)) == 3
            things = Things.of(client, run)
            if error is not None:
                raise error
    except ZeroDivisionError:
        pass
    assert (len(things.volumes), len(things.pids)) == (1, 2)
    assert bearing(client, run) == []
    assert things.left(client) == set()


@pytest.mark.slow
def test_a_failed_start_leaves_nothing(containers: ContainerBackend, client: DockerClient) -> None:
    before = bearing(client, run_of(containers.network_name))
    with pytest.raises(DiedAtStart):
        containers.start(toy("raise SystemExit(3)", HttpCheck("its health", "/health")))
    with pytest.raises(EngineRefused, match=r"refused, while starting toy from .*: .*no-such-program"):
        containers.start(replace(toy(SLEEP), command=("no-such-program",)))
    with pytest.raises(ImageMissing):
        containers.start(replace(toy(SLEEP), image="perfgate/mock:none"))
    with ContainerBackend(containers.run_dir / "own", BUILT) as own:
        check = Looks(client=client, run=run_of(own.network_name))
        late = replace(in_container(Redis(64), BUILT), ready_checks=(check,), start_deadline_s=0.0)
        with pytest.raises(StartTooLate):
            own.start(late)
        (things,) = check.seen
        assert (len(things.volumes), len(things.pids)) == (1, 1)
        assert things.left(client) == set()
    assert bearing(client, run_of(containers.network_name)) == before


@pytest.mark.slow
def test_a_service_that_does_not_come_up_again_after_an_outage_is_an_error(containers: ContainerBackend) -> None:
    once = "import os; os.mkdir('/tmp/started') if not os.path.exists('/tmp/started') else exit('once is enough')\n"
    check = HttpCheck("its health", "/health")
    with containers.running(toy(ENDS_WHEN_ASKED + once + SERVER, check)) as running:
        with (
            pytest.raises(
                StackFailed, match=r"toy was taken down and does not come up again: toy \(container .* ended"
            ),
            running.outage(),
        ):
            running.check_alive()  # it is asked to be down
        with pytest.raises(ServiceDied, match="once is enough"):
            running.check_alive()


@pytest.mark.slow
def test_two_readings_around_an_outage_are_not_of_the_same_group(containers: ContainerBackend) -> None:
    with containers.running(toy(ENDS_WHEN_ASKED + SLEEP)) as running:
        assert eventually(lambda: running.log_tail() == ("up",))
        before = running.use()
        with running.outage():
            pass
        with pytest.raises(CgroupGone, match="its container was started anew between readings"):
            running.use().cpu_s_since(before)


#: A run of its own, which says its name once it has a Redis, and then waits for a service that never becomes ready.
RUN: Final = """
import sys
from pathlib import Path
from perfgate.stack.containers import ContainerBackend
from perfgate.stack.images import BUILT
from perfgate.stack.readiness import HttpCheck
from perfgate.stack.redis import Redis
from tests.harness.stack.conftest import SLEEP
from tests.harness.stack.test_containers import toy
with ContainerBackend(Path(sys.argv[1]), BUILT) as backend:
    backend.start(Redis(64))
    print(backend.network_name, flush=True)
    backend.start(toy(SLEEP, HttpCheck("its health", "/health")))
"""


@dataclass(frozen=True, slots=True)
class OtherRun:
    """A process that has a Redis and waits for another service."""

    process: subprocess.Popen[str]
    name: str
    things: Things


@pytest.fixture
def other_run(client: DockerClient, containers: ContainerBackend, tmp_path: Path) -> Iterator[OtherRun]:
    argv = [sys.executable, "-c", RUN, str(tmp_path)]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=Path.cwd()
    ) as process:
        assert process.stdout is not None
        name = run_of(process.stdout.readline().strip())
        assert eventually(lambda: len(Things.of(client, name).pids) == 2)
        things = Things.of(client, name)
        assert len(things.volumes) == 1
        yield OtherRun(process, name, things)
        process.kill()


@pytest.mark.slow
def test_nothing_is_left_after_ctrl_c(client: DockerClient, other_run: OtherRun) -> None:
    other_run.process.send_signal(signal.SIGINT)
    other_run.process.wait(PATIENCE_S)
    assert bearing(client, other_run.name) == []
    assert other_run.things.left(client) == set()


@pytest.mark.slow
@pytest.mark.parametrize("needs_engine", [True, False])
def test_what_a_kill_leaves_is_gone_at_the_next_start(
    client: DockerClient, other_run: OtherRun, tmp_path: Path, needs_engine: bool
) -> None:
    sweep(client)
    assert len(bearing(client, other_run.name)) == 3  # it lives
    other_run.process.kill()
    other_run.process.wait()
    if needs_engine:
        ContainerBackend(tmp_path, BUILT).__enter__().__exit__(None, None, None)
    else:
        sweep_if_any(lambda line: None)
    assert bearing(client, other_run.name) == []
    assert other_run.things.left(client) == set()


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
def cable(client: DockerClient, containers: ContainerBackend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cable]:
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
    said: list[str] = []
    backend = ContainerBackend(tmp_path, BUILT, say=said.append).__enter__()
    running = backend.start(toy(SLEEP))
    cable.cut()
    for ask in (
        running.check_alive,
        running.log_tail,
        running.stop,
        lambda: backend.start(toy(SLEEP)),
    ):
        with pytest.raises(EngineGone, match=r"does not answer any more, while .* what this one leaves") as caught:
            ask()
        assert caught.value.exit_code is ExitCode.STACK_FAILED
    backend.__exit__(None, None, None)
    assert said[-1].startswith("the Docker engine does not answer: the next run removes ")
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
