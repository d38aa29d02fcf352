"""Is everything started, loaded where it should be, proven when it runs already, and are failures worded?

LiteLLM is a program of a few lines here, in environments made by nobody; mock, supervisor and generator are real.
TestRealGateway at the end starts the real one.
"""

import json
import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self, cast

import httpx
import psutil
import pytest
import yaml

from perfgate.errors import BadInput, StackFailed
from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.bench import ANY_REPLY, RunningGateway, StackBench, prove
from perfgate.experiment.rounds import Loader
from perfgate.load.job import LoadJob, Target
from perfgate.load.locust_fleet import LocustFleet
from perfgate.load.schedule import ClosedLoop, OpenLoop
from perfgate.measure.acceptors import acceptors
from perfgate.stack.affinity import plan_cores
from perfgate.stack.backend import BackendName
from perfgate.stack.environments import Environment, EnvironmentCache
from perfgate.stack.inspection import ServiceFacts
from perfgate.stack.packages import Packages
from perfgate.stack.portkey import PortkeyProgram
from perfgate.stack.processes import DiedAtStart, ProcessBackend, ServiceDied
from perfgate.stack.readiness import HttpCheck
from perfgate.stack.redis import Redis
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.service import Service
from perfgate.stack.sources import Installable, PortkeyRelease, Release, RunningUrl
from perfgate.stack.supervision import Supervisor
from tests.harness.stack import example_endpoint
from tests.harness.stack.conftest import PATIENCE_S, Toy, eventually

pytestmark = pytest.mark.slow

#: Answers its own key and refuses others, as LiteLLM does; several workers share its socket.
LITELLM: Final = """#!/bin/sh
exec %s -c '
import os, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        ours = self.headers["authorization"] == "Bearer " + os.environ["LITELLM_MASTER_KEY"]
        body = b"{\\"choices\\": \\"The quick brown fox\\"}"
        self.send_response(200 if ours else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
if "broken" in open("config.yaml").read():
    sys.exit("it is broken")
HTTPServer.request_queue_size = 128
server = HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler)
workers = int(sys.argv[sys.argv.index("--num_workers") + 1])
for number in range(workers if workers > 1 else 0):
    if os.fork() == 0:
        server.serve_forever()
signal.pause() if workers > 1 else server.serve_forever()
' "$@"
"""
PLAIN: Final = GatewaySpec(Release("1.106.2"))


@dataclass
class FakeCache:
    """Environments whose LiteLLM is the program above."""

    folder: Path
    asked: list[tuple[Installable, str, tuple[str, ...]]] = field(default_factory=list)

    @contextmanager
    def using(
        self, source: Installable, deps: Any, with_packages: tuple[str, ...] = (), *, say: Callable[[str], None]
    ) -> Iterator[Environment]:
        self.asked.append((source, deps, with_packages))
        say(f"installing {source}")
        program = self.folder / "bin" / "litellm"
        program.parent.mkdir(exist_ok=True)
        program.write_text(LITELLM % psutil.Process().exe())
        program.chmod(0o700)
        packages = Packages((f"litellm=={DEFAULT_RELEASE}",))
        yield Environment(self.folder, source.facts, DEFAULT_RELEASE, deps, None, "3.12.7", packages, "", 1)


@pytest.fixture
def cache(tmp_path: Path) -> FakeCache:
    folder = tmp_path / "environment"
    folder.mkdir()
    return FakeCache(folder)


@pytest.fixture(autouse=True)
def _left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What killed runs have left in an engine of this host is not these tests' matter."""
    monkeypatch.setattr("perfgate.experiment.bench.sweep_if_any", lambda say: None)


def bench_of(cache: FakeCache, tmp_path: Path, **rest: Any) -> StackBench:
    return StackBench(cast(EnvironmentCache, cache), parent_dir=tmp_path, **rest)


def status_of(gateway: RunningGateway, url: str) -> int:
    body = {"model": "x", "messages": []}
    headers = {"Authorization": f"Bearer {gateway.api_key}"}
    return httpx.post(url, json=body, headers=headers, trust_env=False, timeout=PATIENCE_S).status_code


def test_locust_sends_the_windows_where_it_is_asked_to(cache: FakeCache, tmp_path: Path) -> None:
    schedule = ClosedLoop(users=2, warm_up_s=0, window_s=0.2)
    with bench_of(cache, tmp_path, locust=LocustFleet(workers=2)) as bench:
        assert bench.cores == plan_cores(os.sched_getaffinity(0), 2)
        load = Loader(bench, 100, stream=False).window(Arm("direct", None), None, schedule, seed=1).load
    assert load.workers_expected == len(load.workers) == 2
    assert load.succeeded == load.sent > 0


class TestGateways:
    def test_one_gateway_is_one_process_with_a_key_of_its_own(self, cache: FakeCache, tmp_path: Path) -> None:
        with bench_of(cache, tmp_path) as bench, ExitStack() as until_closed:
            first, second = bench.start_gateways([PLAIN, PLAIN], until_closed)
            assert [len(first.pids), len(second.pids)] == [1, 1]
            assert len({*first.pids, *second.pids}) == 2
            assert first.serving_pids == first.pids
            assert first.folders == (first.instances[0].folder,)
            assert first.api_key != second.api_key
            assert status_of(first, first.chat_urls[0]) == 200
            assert status_of(first, second.chat_urls[0]) == 401
            assert str(first.api_key) not in repr(first)

    def test_how_long_each_start_took_is_known_in_the_order_asked_for(self, cache: FakeCache, tmp_path: Path) -> None:
        other = replace(PLAIN, apart="other", instances=2)
        with bench_of(cache, tmp_path) as bench, ExitStack() as until_closed:
            bench.start_gateways([PLAIN, other, PLAIN], until_closed)
            assert {spec: len(starts) for spec, starts in bench.starts_s.items()} == {PLAIN: 2, other: 1}
            # Its two readiness checks are answered by real requests.
            assert all(start > 0 for starts in bench.starts_s.values() for start in starts)

    def test_instances_are_processes_of_one_key(self, cache: FakeCache, tmp_path: Path) -> None:
        told: list[str] = []
        with (
            bench_of(cache, tmp_path, on_service=lambda name, facts: told.append(name)) as bench,
            ExitStack() as until_closed,
        ):
            (gateway,) = bench.start_gateways([GatewaySpec(Release("1.106.2"), instances=2)], until_closed)
            assert len(set(gateway.pids)) == len(set(gateway.chat_urls)) == 2
            assert [status_of(gateway, url) for url in gateway.chat_urls] == [200, 200]
            os.kill(gateway.pids[1], 9)
            assert eventually(lambda: not gateway.instances[1].is_alive)
            with pytest.raises(ServiceDied, match="litellm-1-instance-2"):
                gateway.check_alive()
        assert told == [
            "mock",
            "litellm 1.106.2, 2 instances (litellm-1-instance-1)",
            "litellm 1.106.2, 2 instances (litellm-1-instance-2)",
        ]

    def test_all_workers_are_up_and_one_that_ends_is_noticed(self, cache: FakeCache, tmp_path: Path) -> None:
        with bench_of(cache, tmp_path) as bench, ExitStack() as until_closed:
            (gateway,) = bench.start_gateways([GatewaySpec(Release("1.106.2"), workers=2)], until_closed)
            (workers,) = gateway.workers
            assert len(workers.processes) == 2
            assert gateway.serving_pids == tuple(process.pid for process in workers.processes)
            gateway.check_alive()
            os.kill(workers.processes[0].pid, 9)
            assert eventually(lambda: workers.processes[0].status() == psutil.STATUS_ZOMBIE)
            with pytest.raises(ServiceDied, match="a worker of litellm-1 "):
                gateway.check_alive()

    def test_they_end_with_their_context(self, cache: FakeCache, tmp_path: Path) -> None:
        with bench_of(cache, tmp_path) as bench:
            with ExitStack() as until_closed:
                (gateway,) = bench.start_gateways([PLAIN], until_closed)
            assert not psutil.pid_exists(gateway.pids[0])

    def test_what_they_are_made_of_is_asked_for_once_and_said(self, cache: FakeCache, tmp_path: Path) -> None:
        said: list[str] = []
        spec = GatewaySpec(Release("1.79.3"), "today", with_packages=("httptools",))
        with bench_of(cache, tmp_path, say=said.append) as bench:
            site = bench.sites["processes"]
            assert site.install(spec, with_prisma=False) is site.install(spec, with_prisma=False)
            with pytest.raises(TypeError, match="gateway at http://h runs already: there is nothing to install"):
                site.install(GatewaySpec(RunningUrl("http://h")), with_prisma=False)
        assert cache.asked == [(Release("1.79.3"), "today", ("httptools",))]
        assert said == ["installing litellm 1.79.3"]

    def test_what_runs_in_them_is_told(self, cache: FakeCache, tmp_path: Path) -> None:
        told: dict[str, dict[str, Any]] = {}
        with bench_of(cache, tmp_path, on_service=told.__setitem__) as bench, ExitStack() as until_closed:
            bench.start_gateways([PLAIN], until_closed)
            assert bench.facts[PLAIN].http_parser == "h11"
        facts = told["litellm 1.106.2 (litellm-1)"]
        assert facts["source"]["words"] == "litellm 1.106.2"
        assert (facts["deps"], facts["until"], facts["python_version"]) == ("of-its-time", None, "3.12.7")

    def test_two_that_are_compared_are_told_apart_by_what_runs_in_them(self, cache: FakeCache, tmp_path: Path) -> None:
        """The environment holds the default release, whichever is asked for."""
        told: list[str] = []
        with bench_of(cache, tmp_path, on_note=told.append) as bench, ExitStack() as until_closed:
            baseline = GatewaySpec(Release("1.79.3"), apart="baseline")
            candidate = GatewaySpec(Release(DEFAULT_RELEASE), apart="candidate")
            bench.start_gateways([baseline, candidate], until_closed)
            assert bench.unasked_differences(baseline, candidate) == [
                f"baseline is to be litellm 1.79.3, and litellm {DEFAULT_RELEASE} runs"
            ]
            assert told == []
            newer = Packages((f"litellm=={DEFAULT_RELEASE}", "redis==5.0"))
            bench.facts[candidate] = replace(bench.facts[candidate], packages=newer)
            assert len(bench.unasked_differences(baseline, candidate)) == 1
            assert told == ["packages that differ: redis 5.0 is installed in candidate only"]
            same = replace(baseline, apart="candidate")
            bench.facts[same] = bench.facts[candidate]
            assert bench.unasked_differences(baseline, same)[-1] == "redis 5.0 is installed in candidate only"
            assert len(told) == 1, "of one release it is among what nobody asked for"

    def test_what_releases_bring_with_them_is_told(self, cache: FakeCache, tmp_path: Path) -> None:
        baseline = GatewaySpec(Release("1.79.3"), apart="baseline")
        candidate = GatewaySpec(Release("1.102.4"), apart="candidate")

        def facts(release: str, *, access_log: bool) -> ServiceFacts:
            packages = Packages((f"litellm=={release}",))
            return ServiceFacts("3.12.7", packages, "uvloop", "httptools", "uvicorn", access_log, 1)

        said = "the access log is on in baseline, off in candidate"
        told: list[str] = []
        bench = bench_of(cache, tmp_path, on_note=told.append)
        bench.facts[baseline] = facts("1.79.3", access_log=True)
        bench.facts[candidate] = facts("1.102.4", access_log=False)
        assert bench.unasked_differences(baseline, candidate) == []
        assert said in told

    def test_a_users_configuration_is_what_they_run(self, cache: FakeCache, tmp_path: Path) -> None:
        config = tmp_path / "config.yaml"
        config.write_text("model_list: [{model_name: fast, litellm_params: {model: openai/x}}]")
        with bench_of(cache, tmp_path) as bench, ExitStack() as until_closed:
            spec = GatewaySpec(Release("1.106.2"), config_path=config)
            (gateway,) = bench.start_gateways([spec], until_closed)
            written = (gateway.instances[0].folder / "config.yaml").read_text()
            assert f"api_base: {bench.api_base('processes')}" in written
            assert "model_name: fast" in written

    def test_a_log_of_one_that_fails_outlives_the_run(self, cache: FakeCache, tmp_path: Path) -> None:
        config = tmp_path / "config.yaml"
        config.write_text("model_list: [{model_name: broken, litellm_params: {model: openai/x}}]")
        kept = tmp_path / "kept"
        spec = GatewaySpec(Release("1.106.2"), config_path=config)
        with (
            bench_of(cache, tmp_path, kept_logs_dir=kept) as bench,
            ExitStack() as until_closed,
            pytest.raises(DiedAtStart) as caught,
        ):
            bench.start_gateways([spec], until_closed)
        (log,) = kept.iterdir()
        assert str(log) in str(caught.value)
        assert log.read_text() == "it is broken\n"


#: Passes nothing on, but answers as Portkey does: by the address that a request names, if it was told to trust it.
PORTKEY_SERVER: Final = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit
trusted = os.environ["TRUSTED_CUSTOM_HOSTS"].split(",")
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        host = urlsplit(self.headers["x-portkey-custom-host"]).hostname
        body = b'{"choices": "The quick brown fox"}'
        self.send_response(400 if host not in trusted else 200 if host == trusted[0] else 500)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
port = next(word for word in sys.argv if word.startswith("--port=")).removeprefix("--port=")
HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""
PORTKEY: Final = GatewaySpec(PortkeyRelease())


class TestPortkey:
    @pytest.fixture(autouse=True)
    def asked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        """Where it was asked for: Node.js is Python, and its server the program above."""
        asked: list[Path] = []
        script = tmp_path / "server.py"
        script.write_text(PORTKEY_SERVER)

        @contextmanager
        def installed(cache_dir: Path, environ: object, **options: object) -> Iterator[PortkeyProgram]:
            asked.append(cache_dir)
            yield PortkeyProgram(sys.executable, str(script), node_version="20.1.2")

        monkeypatch.setattr("perfgate.experiment.sites.portkey_installed", installed)
        return asked

    def test_it_stands_beside_litellm_and_its_requests_say_where_the_mock_is(
        self, cache: FakeCache, tmp_path: Path, asked: list[Path]
    ) -> None:
        with bench_of(cache, tmp_path) as bench, ExitStack() as until_closed:
            litellm, portkey = bench.start_gateways([PLAIN, PORTKEY], until_closed)
            (target,) = portkey.targets("m")
            assert dict(target.headers) == {
                "x-portkey-provider": "openai",
                "x-portkey-custom-host": bench.api_base("processes"),
            }
            assert (target.api_key, litellm.targets("m")[0].headers) == (None, ())
            assert portkey.ledger is None
            assert portkey.log_ledger is None
            load = LoadJob((target,), OpenLoop(20, 0, 0.2))
            result = bench.generator.run(load)
            assert result.succeeded == result.sent == 4
        assert asked == [cache.folder]
        assert cache.asked == [(PLAIN.source, "of-its-time", ())]

    def test_several_instances_are_several_processes_of_one_installation(
        self, cache: FakeCache, tmp_path: Path, asked: list[Path]
    ) -> None:
        told: dict[str, dict[str, Any]] = {}
        with bench_of(cache, tmp_path, on_service=told.__setitem__) as bench, ExitStack() as until_closed:
            (gateway,) = bench.start_gateways([replace(PORTKEY, instances=2)], until_closed)
            assert len(set(gateway.pids)) == len(gateway.targets("m")) == len(gateway.uses()) == 2
        assert len(asked) == 1
        names = [name for name in told if name != "mock"]
        assert names == [f"portkey 1.15.2, 2 instances (portkey-1-instance-{n})" for n in (1, 2)]
        assert told[names[0]]["source"]["words"] == "portkey 1.15.2"
        assert (told[names[0]]["node_version"], told[names[0]]["backend"]) == ("20.1.2", "processes")

    def test_that_it_differs_from_litellm_is_what_was_asked_for(self, cache: FakeCache, tmp_path: Path) -> None:
        with bench_of(cache, tmp_path) as bench, ExitStack() as until_closed:
            bench.start_gateways([PLAIN, PORTKEY], until_closed)
            assert bench.unasked_differences(PORTKEY, PLAIN) == ()

    def test_it_has_no_environment(self, cache: FakeCache, tmp_path: Path) -> None:
        with (
            bench_of(cache, tmp_path) as bench,
            pytest.raises(TypeError, match=r"portkey 1\.15\.2 is not LiteLLM: it has no environment"),
        ):
            bench.sites["processes"].install(PORTKEY, with_prisma=False)


class FullSite:
    """Stands in for containers, on a host that has no room for any."""

    mock = None

    def __init__(self, *args: object, **options: object) -> None:
        self.asked: list[list[GatewaySpec]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def check_room(self, specs: Sequence[GatewaySpec]) -> None:
        self.asked.append(list(specs))
        raise BadInput("there is no room")


class TestContainers:
    @pytest.fixture(autouse=True)
    def _full(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("perfgate.experiment.bench.ContainerSite", FullSite)

    def test_a_host_without_room_is_said_before_anything_is_started_or_installed(
        self, cache: FakeCache, tmp_path: Path
    ) -> None:
        """Each backend is asked for what it is to have at once."""
        inside = [replace(PLAIN, backend="containers", workers=workers) for workers in (1, 2)]
        told: list[str] = []
        with (
            bench_of(
                cache,
                tmp_path,
                backends=("processes", "containers"),
                on_service=lambda name, facts: told.append(name),
                say=told.append,
            ) as bench,
            ExitStack() as until_closed,
        ):
            with pytest.raises(BadInput, match="there is no room"):
                bench.start_gateways([inside[0], PLAIN, inside[1]], until_closed)
            assert cast(FullSite, bench.sites["containers"]).asked == [inside]
        assert (told, cache.asked) == (["mock"], [])

    @pytest.mark.parametrize(
        ("backends", "told"),
        [(("processes",), ["swept", "mock"]), (("containers",), []), (("processes", "containers"), ["mock"])],
        ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
    )
    def test_what_killed_runs_left_is_swept_first_where_no_backend_does_it(
        self,
        cache: FakeCache,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        backends: tuple[BackendName, ...],
        told: list[str],
    ) -> None:
        def sweep(say: Callable[[str], None]) -> None:
            say("swept")

        monkeypatch.setattr("perfgate.experiment.bench.sweep_if_any", sweep)
        found: list[str] = []
        with bench_of(
            cache, tmp_path, backends=backends, say=found.append, on_service=lambda name, facts: found.append(name)
        ):
            assert found == told


class TestCallbacks:
    """Gateways that log share a sink of their backend."""

    LOGGING = GatewaySpec(Release("1.106.2"), callback="langsmith")

    def test_it_is_told_to_log_to_the_sink_and_nowhere_else(self, cache: FakeCache, tmp_path: Path) -> None:
        told: list[str] = []
        with (
            bench_of(cache, tmp_path, on_service=lambda name, facts: told.append(name)) as bench,
            ExitStack() as until_closed,
        ):
            logging, plain = bench.start_gateways([self.LOGGING, PLAIN], until_closed)
            (up,) = logging.instances
            config = yaml.safe_load((up.folder / "config.yaml").read_text())
            assert config["litellm_settings"]["callbacks"] == ["langsmith"]
            environment = psutil.Process(up.pid).environ()
            assert environment["HTTPS_PROXY"].startswith("http://127.0.0.1:")
            assert Path(environment["SSL_CERT_FILE"]).read_text().startswith("-----BEGIN CERTIFICATE-----")
            (other,) = plain.instances
            assert "HTTPS_PROXY" not in psutil.Process(other.pid).environ()
            assert (logging.log_ledger is not None, plain.log_ledger) == (True, None)
        assert told.count("log-sink") == 1

    def test_its_ledger_counts_what_reaches_the_sink(self, cache: FakeCache, tmp_path: Path) -> None:
        with bench_of(cache, tmp_path) as bench, ExitStack() as until_closed:
            (gateway,) = bench.start_gateways([self.LOGGING], until_closed)
            (up,) = gateway.instances
            environment = psutil.Process(up.pid).environ()
            assert gateway.log_ledger is not None
            gateway.log_ledger.open()
            trusted = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
            with httpx.Client(proxy=environment["HTTPS_PROXY"], verify=trusted, trust_env=False) as client:
                runs = [{"inputs": {"id": f"chatcmpl-{n}"}} for n in (1, 2)]
                client.post("https://api.smith.langchain.com/runs/batch", json={"post": runs}).raise_for_status()
            use = gateway.log_ledger.close(2)
            assert (use.requests, use.records, use.distinct) == (2, 2, 2)
            with (
                gateway.outage("sink answers 500"),
                httpx.Client(proxy=environment["HTTPS_PROXY"], verify=trusted, trust_env=False) as client,
            ):
                assert client.post("https://api.smith.langchain.com/runs/batch", json={"post": []}).status_code == 500

    def test_a_stand_in_is_said_to_be_one(self, cache: FakeCache, tmp_path: Path) -> None:
        said: list[str] = []
        with bench_of(cache, tmp_path, on_note=said.append, environ={}) as bench, ExitStack() as until_closed:
            (gateway,) = bench.start_gateways([replace(self.LOGGING, callback="gcs")], until_closed)
            (up,) = gateway.instances
            assert (up.folder / "perfgate_gcs.py").exists()
        assert [line for line in said if "gcs_bucket was not tested" in line]


class TestOutages:
    @pytest.mark.skipif(Redis.lacking() is not None, reason=f"this host has no Redis: {Redis.lacking()}")
    def test_a_redis_that_fails_is_away_from_its_gateway_for_as_long_as_it_is_told(
        self, cache: FakeCache, tmp_path: Path
    ) -> None:
        spec = GatewaySpec(Release("1.106.2"), redis="host_port", redis_fails=True)
        with bench_of(cache, tmp_path) as bench, ExitStack() as until_closed:
            (gateway,) = bench.start_gateways([spec], until_closed)
            (up,) = gateway.instances
            told = yaml.safe_load((up.folder / "config.yaml").read_text())["litellm_settings"]["cache_params"]
            address = (told["host"], told["port"])
            with socket.create_connection(address) as connection:
                connection.sendall(b"PING\r\n")
                assert connection.recv(100)
            with gateway.outage("Redis is down"), pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
            socket.create_connection(address).close()

    def test_what_a_gateway_does_not_have_cannot_fail(self, cache: FakeCache, tmp_path: Path) -> None:
        with bench_of(cache, tmp_path) as bench, ExitStack() as until_closed:
            (gateway,) = bench.start_gateways([PLAIN], until_closed)
            with pytest.raises(BadInput, match="PostgreSQL is down: it is not perfgate's to make fail"):
                gateway.outage("PostgreSQL is down")


class Scripted(BaseHTTPRequestHandler):
    """Answers with the status and body of its server."""

    def do_POST(self) -> None:
        self.server.asked = json.loads(self.rfile.read(int(self.headers["content-length"])))  # type: ignore[attr-defined]
        self.server.key = self.headers["authorization"]  # type: ignore[attr-defined]
        status, body = self.server.script  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def scripted(status: int = 200, body: str = '{"choices": []}') -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.script = (status, body)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def url_of(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


class TestWhatRunsAlready:
    def test_a_mock_is_proven_and_nothing_of_ours_is_started_for_it(self, cache: FakeCache, tmp_path: Path) -> None:
        with scripted() as server, bench_of(cache, tmp_path, mock_url=url_of(server), model="theirs") as bench:
            assert bench.sites["processes"].mock is None
            assert bench.api_base("processes") == url_of(server)
            assert bench.direct_url("processes") == f"{url_of(server)}/chat/completions"
            assert bench.upstream_requests("processes") is None
            bench.check_alive()
            assert server.asked["model"] == "theirs"  # type: ignore[attr-defined]

    def test_ours_is_started_otherwise(self, cache: FakeCache, tmp_path: Path) -> None:
        with bench_of(cache, tmp_path) as bench:
            mock = bench.sites["processes"].mock
            assert mock is not None
            assert bench.direct_url("processes") == f"{mock.address.url}/v1/chat/completions"
            assert bench.upstream_requests("processes") == 0
            httpx.post(bench.direct_url("processes"), json={"model": "x", "messages": []}, trust_env=False)
            assert bench.upstream_requests("processes") == 1
            os.kill(mock.pid, 9)
            assert eventually(lambda: not mock.is_alive)
            with pytest.raises(ServiceDied, match="mock"):
                bench.check_alive()

    def test_a_mock_that_does_not_answer_stops_everything_before_it_begins(
        self, cache: FakeCache, tmp_path: Path
    ) -> None:
        with pytest.raises(StackFailed) as caught, bench_of(cache, tmp_path, mock_url="http://127.0.0.1:1"):
            pass
        assert str(caught.value).startswith(
            "the mock endpoint that --mock-url=http://127.0.0.1:1 names did not answer a chat completion; nothing was"
        )

    def test_a_gateway_is_asked_once_with_its_key_and_never_measured(self, cache: FakeCache, tmp_path: Path) -> None:
        told: list[str] = []
        with scripted() as server:
            spec = GatewaySpec(RunningUrl(url_of(server), "MY_KEY"))
            options: dict[str, Any] = {"environ": {"MY_KEY": "sk-theirs"}, "model": "fast"}
            with (
                bench_of(cache, tmp_path, on_service=lambda name, facts: told.append(name), **options) as bench,
                ExitStack() as until_closed,
            ):
                (gateway,) = bench.start_gateways([spec], until_closed)
                gateway.check_alive()
            assert gateway.chat_urls == (f"{url_of(server)}/v1/chat/completions",)
            assert (gateway.api_key, gateway.pids) == ("sk-theirs", ())
            assert (server.asked["model"], server.key) == ("fast", "Bearer sk-theirs")  # type: ignore[attr-defined]
        assert told == ["mock", str(spec)]
        assert cache.asked == []

    def test_one_without_a_key_is_sent_none(self, cache: FakeCache, tmp_path: Path) -> None:
        with scripted() as server, bench_of(cache, tmp_path) as bench, ExitStack() as until_closed:
            (gateway,) = bench.start_gateways([GatewaySpec(RunningUrl(url_of(server)))], until_closed)
            assert gateway.api_key is None
            assert server.key is None  # type: ignore[attr-defined]


class TestProof:
    @pytest.mark.parametrize(
        ("status", "body", "answer"),
        [
            (401, '{"error":\n "no"}', 'status 401: {"error": "no"}'),
            (200, "<html>", "status 200: <html>"),
            (404, "", "status 404: (empty)"),
            (403, "sk-secret", "status 403: ***"),
            (500, "x" * 1000, f"status 500: {'x' * (300 - len('status 500: '))} …"),
        ],
    )
    def test_another_answer_is_shown_without_the_key(self, status: int, body: str, answer: str) -> None:
        with scripted(status, body) as server, pytest.raises(StackFailed) as caught:
            prove("the gateway", f"{url_of(server)}/x", "fast", "sk-secret")
        assert str(caught.value) == (
            "the gateway did not answer a chat completion; nothing was measured\n"
            f"  asked        POST {url_of(server)}/x for the model fast\n"
            f"  last answer  {answer}"
        )

    def test_no_answer_in_time_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("perfgate.experiment.bench.PROOF_TIMEOUT_S", 0.05)
        with ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as silent, pytest.raises(StackFailed) as caught:
            prove("it", url_of(silent), "m", None)
        assert str(caught.value).endswith("last answer  no answer within 0.05 s")


EXAMPLE_IS_UP: Final = HttpCheck("its answer", "/chat/completions", "POST", json={}, contains=(ANY_REPLY,))
#: Leaves a file in the folder that LiteLLM runs in.
MY_CALLBACKS: Final = """\
from litellm.integrations.custom_logger import CustomLogger
class Handler(CustomLogger):
    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        open("was-called", "w").close()
handler = Handler()
"""
CONFIG: Final = """\
model_list:
  - model_name: fast
    litellm_params: {model: azure/deployment, api_base: https://elsewhere.example, api_key: os.environ/NOT_SET}
  - model_name: limited
    litellm_params: {model: openai/429}
router_settings: {num_retries: 3}
litellm_settings: {num_retries: 2, callbacks: [my_callbacks.handler]}
"""


@pytest.fixture(scope="module")
def endpoint_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = (
        "import sys, uvicorn\n"
        "from tests.harness.stack.example_endpoint import app\n"
        "uvicorn.run(app, host='127.0.0.1', port=int(sys.argv[1]), log_level='warning')"
    )
    root = str(Path(__file__).parents[3])
    with Supervisor(tmp_path_factory.mktemp("endpoint")) as supervisor:
        service = cast(Service, Toy(program, name="example", env={"PYTHONPATH": root}, check=EXAMPLE_IS_UP))
        yield ProcessBackend(supervisor).start(service).address.url


@pytest.fixture(scope="module")
def example_bench(endpoint_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackBench]:
    cache = EnvironmentCache.of_user(os.environ)
    parent_dir = tmp_path_factory.mktemp("bench")
    with StackBench(cache, parent_dir=parent_dir, say=print, mock_url=endpoint_url, model="fast") as bench:
        yield bench


@pytest.fixture(scope="module")
def configured(example_bench: StackBench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    config.write_text(CONFIG)
    (config.parent / "my_callbacks.py").write_text(MY_CALLBACKS)
    spec = GatewaySpec(Release(DEFAULT_RELEASE), workers=2, config_path=config)
    with ExitStack() as until_closed:
        (gateway,) = example_bench.start_gateways([spec], until_closed)
        yield gateway


@pytest.mark.xdist_group("real_gateway")
class TestRealGateway:
    """LiteLLM itself, in front of an endpoint that is not ours, with a configuration of the user's and two workers."""

    def chat(self, gateway: RunningGateway, model: str) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        return httpx.post(gateway.chat_urls[0], json=body, headers=headers, trust_env=False, timeout=PATIENCE_S)

    def test_an_endpoint_that_is_not_ours_answers_through_it(self, configured: RunningGateway) -> None:
        reply = self.chat(configured, "fast")
        assert reply.status_code == 200
        assert example_endpoint.REPLY_TEXT in reply.json()["choices"][0]["message"]["content"]

    def test_it_can_be_measured_as_one_that_runs_already(
        self, example_bench: StackBench, configured: RunningGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PERFGATE_TEST_KEY", str(configured.api_key))
        url = configured.chat_urls[0].removesuffix("/v1/chat/completions")
        with ExitStack() as until_closed:
            (same,) = example_bench.start_gateways([GatewaySpec(RunningUrl(url, "PERFGATE_TEST_KEY"))], until_closed)
        assert same.chat_urls == configured.chat_urls
        monkeypatch.setenv("PERFGATE_TEST_KEY", "sk-wrong")
        with ExitStack() as until_closed, pytest.raises(StackFailed, match="last answer  status 40"):
            example_bench.start_gateways([GatewaySpec(RunningUrl(url, "PERFGATE_TEST_KEY"))], until_closed)

    def test_the_users_models_and_callbacks_work_and_no_others(self, configured: RunningGateway) -> None:
        assert self.chat(configured, "fast").status_code == 200
        assert (configured.instances[0].folder / "was-called").exists()
        assert self.chat(configured, "limited").status_code == 429
        assert self.chat(configured, "anything").status_code == 400

    def test_its_workers_get_equal_shares_of_the_connections(
        self, example_bench: StackBench, configured: RunningGateway
    ) -> None:
        port = configured.instances[0].address.port
        target = Target(configured.chat_urls[0], "fast", configured.api_key)
        job = LoadJob((target,), OpenLoop(10, 0, 2), payload_bytes=100, connections=8, processes=2)
        seen: list[dict[int, int]] = []

        def look(name: str) -> None:
            if name == "window_opened":
                ours = psutil.Process(example_bench.generator.pid).net_connections("tcp")
                seen.append(acceptors(port, {c.laddr.port for c in ours if c.laddr}))

        result = example_bench.generator.run(job, on_event=look)
        assert result.succeeded == 20
        accepted = list(seen[0].values())
        shares = [accepted.count(process.pid) for process in configured.workers[0].processes]
        assert shares == [4, 4]
