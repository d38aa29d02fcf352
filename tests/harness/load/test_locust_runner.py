"""Does Locust send what perfgate's own generator would, count it as truly, and leave nothing behind?

Locust runs in processes of its own; these tests speak to it as a run does.
"""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Final

import psutil
import pytest

from perfgate.errors import StackFailed
from perfgate.experiment import health
from perfgate.experiment.measurement import Measurement, Window
from perfgate.load.job import LoadJob
from perfgate.load.locust_fleet import LocustFleet
from perfgate.load.locust_runner import LocustGenerator
from perfgate.load.merging import FAILED_REPLIES_MAX
from perfgate.load.result import ErrorCount, LoadResult
from perfgate.load.schedule import ClosedLoop
from perfgate.stack.processes import free_port
from perfgate.thresholds import Apparatus
from tests.harness.load.conftest import WATCHDOG_S, Mock, ends, load_job
from tests.harness.synthetic import GATEWAY

# One worker of pytest's starts the fleet for all of them.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("locust")]

ROOT: Final = Path(__file__).parents[3]
LOCUSTFILE: Final = ROOT / "perfgate/load/locust_file.py"
#: A program that loads an endpoint for a minute, once it has said which process the master is.
PARENT: Final = """
    import sys
    from perfgate.load.locust_fleet import LocustFleet
    from perfgate.load.locust_runner import LocustGenerator
    from tests.harness.load.conftest import load_job
    with LocustGenerator(LocustFleet(workers=1)) as generator:
        job = load_job(sys.argv[1], users=2, window_s=60)
        generator.run(job, on_event=lambda event: print(generator.pid, flush=True))
"""
LIMITS: Final = Apparatus(
    dispatch_lag_p99_ms=60_000,
    sent_ratio_min=0.98,
    generator_cpu_ratio_max=1,
    direct_p95_above_mock_delay_ms=60_000,
)


@pytest.fixture(scope="module")
def locust() -> Iterator[LocustGenerator]:
    """Two workers, for all tests that do not kill any."""
    with LocustGenerator(LocustFleet(workers=2)) as generator:
        yield generator


@pytest.fixture
def mortal_locust() -> Iterator[LocustGenerator]:
    with LocustGenerator(LocustFleet(workers=2)) as generator:
        yield generator


@pytest.fixture
def lone_locust() -> Iterator[LocustGenerator]:
    """One worker, for a test after which nobody can use it."""
    with LocustGenerator(LocustFleet(workers=1)) as generator:
        yield generator


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, float], None]:
    """Gives every master that is started from then on less patience than a run has."""

    def have(constant: str, seconds: float) -> None:
        module = (
            f"from perfgate.load import locust_master\nlocust_master.{constant} = {seconds}\nlocust_master.main()\n"
        )
        (tmp_path / "impatient_master.py").write_text(module)
        arguments = LocustGenerator._program
        monkeypatch.setattr(LocustGenerator, "_program", lambda self: ("impatient_master", *arguments(self)[1:]))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr("perfgate.load.runner.INHERITED", ("PYTHONPATH",))

    return have


def workers_of(generator: LocustGenerator) -> list[psutil.Process]:
    return psutil.Process(generator.pid).children()


def complaints_about(load: LoadResult, job: LoadJob) -> tuple[str, ...]:
    """Of the workers; how busy and how late they are is for an idle machine to say."""
    assert isinstance(job.schedule, ClosedLoop)
    windows = (Window("gateway", 0, 0, 0, 0, load, None),)
    found = health.check(Measurement("users", (GATEWAY,), job.schedule, windows), LIMITS)
    return tuple(complaint for complaint in found.complaints if "Locust workers reported" in complaint)


def test_a_thousand_users_at_the_published_spawn_rate_and_think_time_are_sent_by_two_workers_without_an_error(
    locust: LocustGenerator, mock: Mock
) -> None:
    """How many requests that comes to is for the host to say; that none is lost, failed or counted twice is not."""
    mock.record_ids()
    passed: list[str] = []
    job = load_job(
        mock.url, users=1_000, spawn_per_s=500, think_time_s=0.5, think_time_max_s=1, warm_up_s=3, window_s=2
    )
    result = locust.run(job, on_event=passed.append)
    assert passed == ["window_opened", "window_closed", "drained"]
    assert result.errors == ()
    assert result.sent == result.completed == result.succeeded == result.latency.count == result.service_time.count
    assert result.statuses == ((200, result.sent),)
    assert 0 < result.sent <= 1_000 * (1 + round(2 / 0.5))
    assert result.header_missing == result.sent
    ids = mock.recorded_ids()
    assert len(set(ids)) == len(ids) > result.sent, "requests of the warm-up, too"
    assert result.workers_expected == len(result.workers) == 2
    assert sum(worker.sent for worker in result.workers) == result.sent
    assert min(worker.sent for worker in result.workers) > result.sent / 4
    assert complaints_about(result, job) == ()


def test_every_request_arrives_exactly_once_and_none_is_sent_before_the_last_is_answered(
    locust: LocustGenerator, mock: Mock
) -> None:
    mock.record_ids()
    result = locust.run(load_job(mock.url, model="mock-delay-5ms", users=6, window_s=1))
    ids = mock.recorded_ids()
    assert len(set(ids)) == len(ids) == result.offered == result.sent == result.succeeded
    assert 6 < result.sent <= 6 * 200  # nobody can have more than 200 replies of 5 ms in a second
    assert result.in_flight_max <= 6
    assert result.service_time.values_us[0] >= 5_000
    assert result.latency.values_us[0] >= 5_000
    assert result.drained_mono_s >= result.window_closed_mono_s
    assert result.window_closed_mono_s - result.window_opened_mono_s == pytest.approx(1)


def test_one_after_another_loads_do_not_mix(locust: LocustGenerator, mock: Mock) -> None:
    for users in (1, 7, 3):
        mock.record_ids()
        result = locust.run(load_job(mock.url, users=users, warm_up_s=0.1, window_s=0.2))
        assert result.in_flight_max <= users
        assert 0 < result.sent < len(mock.recorded_ids())


def test_what_is_not_answered_by_the_end_of_the_tail_counts_with_the_time_it_waited(
    locust: LocustGenerator, mock: Mock
) -> None:
    result = locust.run(load_job(mock.url, model="mock-hang", users=3, window_s=0.2, tail_s=0.3))
    assert result.errors == (ErrorCount("unfinished", 3, "no whole reply by 0.3 s after the window's end"),)
    assert (result.sent, result.completed, result.statuses) == (3, 0, ())
    assert result.latency.count == 3
    assert result.latency.values_us[0] >= 300_000


def test_failed_replies_are_counted_and_some_of_them_kept(locust: LocustGenerator, mock: Mock) -> None:
    result = locust.run(load_job(mock.url, model="mock-error-503-rate-1", users=2, window_s=0.5, api_key="sk-secret"))
    assert result.statuses == ((503, result.sent),)
    (error,) = result.errors
    assert (error.kind, error.count) == ("http_503", result.sent)
    assert error.example.startswith("HTTP 503: ")
    assert 0 < len(result.failed_replies) <= FAILED_REPLIES_MAX
    assert all(reply.kind == "http_503" and "error" in reply.body for reply in result.failed_replies)
    assert "sk-secret" not in repr(result)


def test_targets_share_the_load_each_with_its_own_model(locust: LocustGenerator, mock: Mock, mortal_mock: Mock) -> None:
    before = mock.received()
    result = locust.run(load_job(mock.url, mortal_mock.url, users=4, window_s=0.5))
    first, second = result.sent_by_target
    assert (mock.received() - before, mortal_mock.received()) == (first, second)
    assert abs(first - second) <= 2, "each worker takes them in turn"


class Handler(BaseHTTPRequestHandler):
    """A gateway that behaves by the path it is asked at."""

    protocol_version = "HTTP/1.1"
    received: ClassVar[int] = 0

    def do_POST(self) -> None:
        Handler.received += 1
        self.rfile.read(int(self.headers["content-length"]))
        match self.path:
            case "/overhead":
                self._reply(200, b"{}", {"X-LiteLLM-Overhead-Duration-MS": "12.5"})
            case "/moved":
                self._reply(302, b"", {"Location": "/overhead"})
            case "/cut":
                self._reply(200, b"half", length=8)
                self.close_connection = True
            case "/closed":
                self.close_connection = True
            case "/nonsense":
                self.wfile.write(b"I do not speak HTTP\r\n\r\n")
                self.close_connection = True
            case "/gzip":
                self._reply(200, b"this is no gzip", {"Content-Encoding": "gzip"})
            case "/unknown-encoding":
                self._reply(200, b"{}", {"Content-Encoding": "compress"})

    def _reply(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, length: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture(scope="module")
def moody_gateway() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_gateways_own_overhead_is_a_metric_of_its_own(locust: LocustGenerator, moody_gateway: str) -> None:
    result = locust.run(load_job(f"{moody_gateway}/overhead", users=2, window_s=0.3))
    assert result.header_overhead.count == result.succeeded == result.latency.count > 0
    assert result.header_overhead.values_us == (12_503,)  # at the histogram's resolution
    assert result.header_missing == 0


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        ("/moved", {"http_302"}),
        ("/cut", {"connection_closed"}),
        ("/closed", {"connection_closed"}),
        ("/nonsense", {"bad_reply"}),
        ("/gzip", {"bad_reply"}),
        ("/unknown-encoding", {"bad_reply"}),
    ],
)
def test_what_is_no_whole_good_reply_is_counted_by_its_kind(
    locust: LocustGenerator, moody_gateway: str, path: str, kinds: set[str]
) -> None:
    result = locust.run(load_job(f"{moody_gateway}{path}", users=2, window_s=0.3))
    assert {error.kind for error in result.errors} == kinds
    assert sum(error.count for error in result.errors) == result.sent > 0
    assert result.succeeded == 0


def test_an_endpoint_killed_in_mid_load_is_counted_and_the_load_goes_on(
    locust: LocustGenerator, mortal_mock: Mock
) -> None:
    def kill(event: str) -> None:
        if event == "window_opened":
            mortal_mock.process.kill()

    result = locust.run(load_job(mortal_mock.url, users=4, warm_up_s=0.3, window_s=0.5), on_event=kill)
    kinds = {error.kind: error.count for error in result.errors}
    assert kinds["connect_refused"] > 0
    assert set(kinds) <= {"connect_refused", "connection_closed", "connection_reset"}
    assert result.succeeded + sum(kinds.values()) == result.sent
    assert len(result.workers) == 2


class TestLostWorkers:
    def test_a_worker_that_is_killed_in_mid_run_makes_the_run_invalid(
        self, mortal_locust: LocustGenerator, mock: Mock
    ) -> None:
        """It is not waited for, and what is measured afterwards is short of it, too."""

        def kill(event: str) -> None:
            if event == "window_opened":
                workers_of(mortal_locust)[0].kill()

        job = load_job(mock.url, users=4, warm_up_s=0.2, window_s=0.5, tail_s=60)
        result = mortal_locust.run(job, on_event=kill)
        (left,) = result.workers
        assert (result.workers_expected, left.sent) == (2, result.sent)
        assert result.sent > 0
        complaint = "1 of 2 Locust workers reported: what the others sent is in no figure"
        assert complaints_about(result, job) == (complaint,)
        later = mortal_locust.run(job)
        assert later.workers[0].name == left.name
        assert complaints_about(later, job) == (complaint,)

    def test_a_worker_that_hangs_is_given_up_after_the_tail(
        self, mock: Mock, impatient: Callable[[str, float], None]
    ) -> None:
        impatient("REPORT_PATIENCE_S", 5)
        job = load_job(mock.url, users=4, warm_up_s=0.2, window_s=0.5, tail_s=0)
        with LocustGenerator(LocustFleet(workers=2)) as generator:
            generator.run(job)
            stopped = workers_of(generator)[0]

            def stop(event: str) -> None:
                if event == "window_opened":
                    stopped.suspend()

            result = generator.run(job, on_event=stop)
        assert (result.workers_expected, len(result.workers)) == (2, 1)

    def test_where_none_is_left_the_run_ends_with_words(self, mortal_locust: LocustGenerator, mock: Mock) -> None:
        job = load_job(mock.url, users=4, window_s=0.2)
        mortal_locust.run(job)
        for worker in workers_of(mortal_locust):
            worker.kill()
        with pytest.raises(StackFailed, match=r"cannot be loaded: no Locust worker is left"):
            mortal_locust.run(job)


class TestWorkersElsewhere:
    """On this host, too, but started by hand as anybody would."""

    def test_they_send_all_when_there_are_no_others_and_end_with_the_run(self, mock: Mock) -> None:
        address = f"127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "perfgate.load.locust_worker", address]
        with subprocess.Popen(command) as worker:
            try:
                with LocustGenerator(LocustFleet(workers=0, expect_workers=1, bind=address)) as generator:
                    result = generator.run(load_job(mock.url, users=4, window_s=0.3))
                assert [use.name.rpartition("/")[2] for use in result.workers] == [str(worker.pid)]
                assert result.succeeded == result.sent > 0
                assert worker.wait(WATCHDOG_S) == 0
            finally:
                worker.kill()

    def test_a_master_that_nobody_comes_to_says_what_to_start(
        self, mock: Mock, impatient: Callable[[str, float], None]
    ) -> None:
        impatient("CONNECT_WORKERS_S", 0.5)
        bind = f"127.0.0.1:{free_port()}"
        fleet = LocustFleet(workers=0, expect_workers=2, bind=bind)
        with LocustGenerator(fleet) as generator, pytest.raises(StackFailed) as said:
            generator.run(load_job(mock.url, users=4, window_s=0.3))
        assert f"0 of 2 Locust workers have connected to {bind} within 0.5 s" in str(said.value)
        assert "start the others with `python -m perfgate.load.locust_worker HOST:PORT`" in str(said.value)


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({}, "Locust knows users who wait for their replies (a closed loop), and this load comes at a rate"),
            ({"users": 2_000, "think_time_s": 1, "window_s": 9}, "2,000 connections for each of 1 Locust workers are"),
        ],
    )
    def test_a_load_that_locust_cannot_send_is_refused(
        self, lone_locust: LocustGenerator, mock: Mock, changes: dict[str, Any], reason: str
    ) -> None:
        """Before it is asked who sends, and after; all reasons are in test_locust_share.py."""
        with pytest.raises(StackFailed) as refused:
            lone_locust.run(load_job(mock.url, **changes))
        assert str(refused.value).startswith(f"{mock.url} cannot be loaded: {reason}")

    def test_where_nothing_listens_nothing_is_sent(self, lone_locust: LocustGenerator) -> None:
        with pytest.raises(StackFailed) as refused:
            lone_locust.run(load_job("http://127.0.0.1:1/x", users=2))
        assert "cannot be loaded: by the Locust worker " in str(refused.value)
        assert "no connection to 127.0.0.1:1: " in str(refused.value)
        assert "is the server running?" in str(refused.value)


def processes_of(generator: LocustGenerator) -> list[int]:
    """The master and its workers."""
    return [generator.pid, *(worker.pid for worker in workers_of(generator))]


class TestNothingIsLeft:
    def test_with_the_context_all_processes_end(self, mock: Mock) -> None:
        with LocustGenerator(LocustFleet(workers=1)) as generator:
            generator.run(load_job(mock.url, users=2, window_s=0.2))
            processes = processes_of(generator)
        assert [ends(pid) for pid in processes] == [True] * 2

    def test_in_mid_load_too(self, mock: Mock) -> None:
        processes: list[int] = []

        def interrupt(event: str) -> None:
            processes.extend(processes_of(generator))
            raise KeyboardInterrupt

        with LocustGenerator(LocustFleet(workers=2)) as generator, pytest.raises(KeyboardInterrupt):
            generator.run(load_job(mock.url, users=2, window_s=60), on_event=interrupt)
        assert [ends(pid) for pid in processes] == [True] * 3

    def test_whoever_started_it_may_be_killed(self, mock: Mock) -> None:
        command = [sys.executable, "-c", textwrap.dedent(PARENT), mock.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
            assert parent.stdout is not None
            master = psutil.Process(int(parent.stdout.readline()))
            processes = [master.pid, *(worker.pid for worker in master.children())]
            os.kill(parent.pid, signal.SIGKILL)
            assert [ends(pid) for pid in processes] == [True] * 2


def test_what_a_run_imports_patches_nothing() -> None:
    """Gevent's patches of the standard library would be in every fixture of pytest's process."""
    imports = (
        "import perfgate.plugin, perfgate.cli, perfgate.load.locust_runner, perfgate.load.locust_share, pkgutil, sys"
    )
    imports += "; [pkgutil.resolve_name(command) for command in perfgate.cli.COMMANDS.values()]"
    said = "; print({name.partition('.')[0] for name in sys.modules} & {'gevent', 'locust'})"
    command = [sys.executable, "-c", imports + said]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"


class TestByHand:
    """`locust -f` with the project's locustfile, as the documentation says."""

    @staticmethod
    def run(host: str, received: Callable[[], int], *arguments: str, **environ: str) -> tuple[int, str, str]:
        """Until the host has been asked so often that there are figures, or it ends by itself: code, output, errors."""
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", host, "--headless"]
        command += ["-u", "8", "-r", "80", "--exit-code-on-error", "0", *arguments]
        before = received()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environ}
        ) as process:
            while process.poll() is None and received() < before + 20:
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=WATCHDOG_S)
        return process.returncode, out, err

    @pytest.mark.parametrize("processes", [1, 2])
    def test_the_header_is_a_metric_of_its_own_and_not_a_request_in_aggregated(
        self, moody_gateway: str, processes: int
    ) -> None:
        arguments = ["--path", "/overhead", "--think-min", "0.01", "--think-max", "0.02"]
        arguments += ["--processes", "2"] if processes == 2 else []
        code, out, err = self.run(moody_gateway, lambda: Handler.received, *arguments)
        assert code == 0, err
        ours = [line.split() for line in out[out.index("perfgate: merged from") :].splitlines()]
        assert ours[0] == ["perfgate:", "merged", "from", str(processes), "processes"]
        (requests,) = (words for words in ours if words[:1] == ["requests"])
        succeeded = int(requests[-1].replace(",", ""))
        assert succeeded > 8
        (overhead,) = (words for words in ours if words[:2] == ["header", "overhead"])
        assert overhead[2:6] == ["12.50"] * 4
        aggregated = [line.split() for line in err.splitlines() if line.lstrip().startswith("Aggregated")]
        assert int(aggregated[-2][1]) == succeeded, "Locust's own last table of requests has each once"

    def test_options_may_be_variables_and_the_key_is_named_and_not_shown(self, mock: Mock) -> None:
        mock.record_ids()
        code, out, err = self.run(
            mock.base_url,
            mock.received,
            PERFGATE_LOCUST_MODEL="mock-error-503-rate-1",
            PERFGATE_LOCUST_API_KEY_ENV="MY_KEY",
            MY_KEY="sk-secret",
        )
        assert code == 0, err
        assert "http_503" in out
        assert "sk-secret" not in out + err
        assert len(mock.recorded_ids()) >= 8

    def test_a_variable_that_is_not_there_is_named(self, mock: Mock) -> None:
        _, out, err = self.run(mock.base_url, mock.received, "--api-key-env", "NO_SUCH")
        assert "--api-key-env NO_SUCH: that variable is not set in this process" in err
        assert "perfgate: merged" not in out

    def test_failed_replies_go_into_a_file_where_one_is_named(self, mock: Mock, tmp_path: Path) -> None:
        file = tmp_path / "error.txt"
        code, _, err = self.run(
            mock.base_url, mock.received, "--model", "mock-error-429-rate-1", "--failed-replies", str(file)
        )
        assert code == 0, err
        assert 8 <= file.read_text().count("http_429\n") <= 200


def test_the_published_user_sends_the_published_body(locust: LocustGenerator) -> None:
    """Compared with what LiteLLM's page sends, field by field, at the socket."""
    bodies: list[bytes] = []
    heads: list[dict[str, str]] = []

    class Listener(Handler):
        def do_POST(self) -> None:
            heads.append({name.lower(): value for name, value in self.headers.items()})
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self._reply(200, b"{}")

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/chat/completions"
        locust.run(load_job(url, users=1, window_s=0.2, model="fake-openai-endpoint", api_key="sk-1"))
        server.shutdown()
    assert heads[0]["authorization"] == "Bearer sk-1"
    assert heads[0]["content-type"] == "application/json"
    assert "transfer-encoding" not in heads[0]
    assert bodies[0].count(b" This is a test there will be no cache hits and we'll fill up the context") == 150
    assert bodies[0].endswith(b'"user": "my-new-end-user-1"}')
