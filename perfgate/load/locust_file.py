"""The locustfile: LiteLLM's published user, for perfgate's Locust workers and for whoever runs Locust by hand.

    locust -f perfgate/load/locust_file.py --host http://127.0.0.1:4000 --headless -u 1000 -r 500 -t 5m

`locust --help` has the options, each of which is also a PERFGATE_LOCUST_… variable. By hand, master and workers run
this file like any other locustfile. At the end it prints latencies from every request's intended start, taken from
histograms that the workers recorded and the master merged, and the gateway's own overhead header as a metric of its
own: in Locust's table it would be a second request in "Aggregated", and halve what stands there.

Perfgate's own workers (locust_worker.py) take `GatewayUser` from here and tell it by `load` and `gate` what to do.

Importing this module patches the standard library (gevent): never do so in pytest's process.
"""

import os
import ssl
import time
import zlib
from argparse import ArgumentParser
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final, cast

import gevent
from gevent.event import Event
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError
from locust import FastHttpUser, events, task
from locust.env import Environment
from locust.exception import StopTest, StopUser
from locust.runners import MasterRunner, WorkerRunner

from perfgate.load.http_client import OVERHEAD_HEADER
from perfgate.load.job import LoadJob, Target, check_api_key
from perfgate.load.locust_load import EndlessLoad, Load, Sending
from perfgate.load.locust_share import REPORT
from perfgate.load.merging import merged
from perfgate.load.result import FailedReply, Failure, LoadResult, WorkerUse
from perfgate.load.schedule import MAX_DURATION_S, ClosedLoop
from perfgate.load.summary import figure_lines
from perfgate.load.wire import result_as_json, result_of_json

#: As in LiteLLM's published load test.
PUBLISHED_THINK_TIME_S: Final = (0.5, 1.0)
DEFAULT_MODEL: Final = "fake-openai-endpoint"
DEFAULT_PATH: Final = "/v1/chat/completions"
#: In the file of failed replies: far more tells nobody more.
KEPT_REPLIES_MAX: Final = 200
_OVERHEAD_HEADER: Final = OVERHEAD_HEADER.decode()
_EVERY_STATUS: Final = frozenset(range(100, 600))


@lru_cache(maxsize=1)
def trusted(cafile: str | None = None) -> ssl.SSLContext:
    """One context for all users: each would read all certificates again."""
    return ssl.create_default_context(cafile=cafile)


class GatewayUser(FastHttpUser):
    """Asks for a chat completion, reads all of it, thinks, and asks again.

    Attributes:
        load: what it sends and when; None before there is any.
        gate: open when users may begin; None where they need not wait.
    """

    load: ClassVar[Load | None] = None
    gate: ClassVar[Event | None] = None

    insecure = False
    ssl_context_factory = staticmethod(trusted)
    max_redirects = 0  # what the gateway answers is counted, as it is with perfgate's own generator

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        # A status is no error of the client: locust would keep request and reply of each in words, the key with them.
        self.client.client.valid_response_codes = _EVERY_STATUS  # type: ignore[misc]
        self._due_mono_ns = 0

    def on_start(self) -> None:
        """Wait for the load, and in it for this user's first turn."""
        if self.gate is not None:
            self.gate.wait()
        if self.load is not None:
            self._due_mono_ns = self.load.first_due_mono_ns()
            if not self.load.is_over_at(self._due_mono_ns):
                gevent.sleep(self.wait_time())

    def wait_time(self) -> float:
        """Seconds until it is meant to send again."""
        return max(0.0, (self._due_mono_ns - time.monotonic_ns()) / 1e9)

    @task
    def chat(self) -> None:
        """Send one request, and wait for the whole reply."""
        load = self.load
        sending = load.sending(self._due_mono_ns) if load is not None else None
        if load is None or sending is None:
            raise StopUser
        self._due_mono_ns = self._ask(load, sending)
        if load.is_over_at(self._due_mono_ns):
            raise StopUser

    def on_stop(self) -> None:
        """Close its connections."""
        self.client.client.close()

    def _ask(self, load: Load, sending: Sending) -> int:
        """Send, wait, tell the load; returns when this user is meant to send again."""
        # Bytes are sent as they are; the annotation of `data` leaves them out.
        client = cast("Any", self.client)
        try:
            asked = client.post(
                sending.url, data=sending.body, headers=sending.headers, name=sending.path, catch_response=True
            )
        except ValueError as error:  # a body in an encoding that nobody asked for
            return load.failed(sending, Failure.BAD_REPLY, _words(error))
        completed_mono_ns = time.monotonic_ns()
        with asked as response:
            broken = response.request_meta["exception"]
            status = response.status_code
            if broken is None and not 200 <= status < 300:
                response.failure(f"HTTP {status}")
        if broken is not None:
            return load.failed(sending, failure_of(broken), _words(broken))
        overheads = response.headers.getlist(_OVERHEAD_HEADER)
        overhead_ms = overheads[0].encode("latin-1") if overheads else None
        return load.replied(sending, completed_mono_ns, status, overhead_ms, response.content or b"")


def failure_of(error: BaseException) -> Failure:
    """Which kind of failure an error of Locust's client is."""
    match _cause(error):
        case ConnectionRefusedError():
            return Failure.CONNECT_REFUSED
        case HTTPConnectionClosed():
            return Failure.CONNECTION_CLOSED
        case ConnectionResetError() | BrokenPipeError():
            return Failure.CONNECTION_RESET
        case ssl.SSLError():
            return Failure.TLS_FAILED
        case TimeoutError() | gevent.Timeout():
            return Failure.UNFINISHED
        case HTTPParseError() as broken if "Incomplete" in str(broken) or "closed" in str(broken):
            return Failure.CONNECTION_CLOSED  # in the middle of a reply
        case HTTPParseError() | zlib.error() | ValueError():
            return Failure.BAD_REPLY
        case OSError():
            return Failure.CONNECT_FAILED
        case _:
            return Failure.BAD_REPLY


def _cause(error: BaseException) -> BaseException:
    """The client wraps what it would have tried again, had it been allowed to."""
    original = getattr(error, "original", None)
    return original if isinstance(original, BaseException) else error


def _words(error: BaseException) -> str:
    cause = _cause(error)
    return f"{type(cause).__name__}: {cause}"


# --- a run by hand ---


class ByHand:
    """A run of Locust that somebody has started with this file: what its processes see, and what they say at the end.

    Args:
        environment: of this process: a worker, a master, or a Locust that is both.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._sends = not isinstance(environment.runner, MasterRunner)
        self._began_mono_s = time.monotonic()
        self._parts: list[LoadResult] = []
        self._workers: dict[str, WorkerUse] = {}
        self._replies: list[FailedReply] = []

    def listen(self) -> None:
        """Have Locust tell what happens."""
        on = self._environment.events
        on.test_start.add_listener(self.begin)
        on.report_to_master.add_listener(self.report)
        on.worker_report.add_listener(self.take_report)
        on.quit.add_listener(self.end)

    def begin(self, **_: object) -> None:
        """A test starts.

        Raises:
            StopTest: an option cannot be used.
        """
        self._began_mono_s = time.monotonic()
        self._parts.clear()
        self._workers.clear()
        self._replies.clear()
        if self._sends and self._environment.host:
            try:
                GatewayUser.load = EndlessLoad(job_of(self._environment.parsed_options, self._environment.host))
            except ValueError as error:
                raise StopTest(str(error)) from error

    def report(self, client_id: str, data: dict[str, Any]) -> None:
        """In a worker: add what has come since the last report."""
        load = GatewayUser.load
        if isinstance(load, EndlessLoad):
            data[REPORT] = result_as_json(load.taken(time.process_time()))

    def take_report(self, client_id: str, data: dict[str, Any]) -> None:
        """In the master: add a worker's report."""
        if REPORT in data:
            self._add(client_id, result_of_json(data[REPORT]))

    def end(self, exit_code: int) -> None:
        """Say what came of it, once."""
        load = GatewayUser.load
        if isinstance(self._environment.runner, WorkerRunner):
            return
        if isinstance(load, EndlessLoad):
            self._add("this process", load.taken(time.process_time()))
        if not self._parts:
            return
        (whole,) = self._parts
        print("\n".join(["", f"perfgate: merged from {len(whole.workers)} processes", *figures(whole)]))
        path = self._environment.parsed_options.failed_replies if self._environment.parsed_options else None
        if path and self._replies:
            kept = "".join(f"{reply.kind}\n{reply.body}\n\n" for reply in self._replies)
            Path(path).write_text(kept, encoding="utf-8")

    def _add(self, name: str, part: LoadResult) -> None:
        seen = self._workers.get(name, WorkerUse(name, 0, 0.0))
        self._workers[name] = WorkerUse(name, seen.sent + part.sent, seen.cpu_s + part.generator_cpu_s)
        self._replies += part.failed_replies[: KEPT_REPLIES_MAX - len(self._replies)]
        self._parts = [self._merged([*self._parts, part])]

    def _merged(self, parts: list[LoadResult]) -> LoadResult:
        now_mono_s = time.monotonic()
        return merged(
            parts,
            workers=list(self._workers.values()),
            workers_expected=len(self._workers),
            window_opened_mono_s=self._began_mono_s,
            window_closed_mono_s=now_mono_s,
            drained_mono_s=now_mono_s,
            other_cpu_s=0.0,
            in_flight_cap=parts[0].in_flight_cap,
            targets=1,
        )


def figures(result: LoadResult) -> list[str]:
    """The lines that a run by hand ends with."""
    lines = figure_lines(result, closed=True, stream=False)
    # How many were in flight is known to none of these processes.
    return [line.partition(", at most")[0] if line.startswith("throughput") else line for line in lines]


def job_of(options: Any, host: str) -> LoadJob:
    """The load that Locust's options and ours describe.

    Raises:
        ValueError: one of them cannot be used; says which.
    """
    api_key = None
    if options.api_key_env:
        if options.api_key_env not in os.environ:
            raise ValueError(f"--api-key-env {options.api_key_env}: that variable is not set in this process")
        api_key = os.environ[options.api_key_env]
        check_api_key(api_key)
    schedule = ClosedLoop(
        users=1,  # each on its own; Locust says how many
        warm_up_s=0,
        window_s=MAX_DURATION_S,
        tail_s=0,
        think_time_s=float(options.think_min),
        think_time_max_s=float(options.think_max),
    )
    payload_bytes = int(options.payload_bytes) if options.payload_bytes else None
    url = host.rstrip("/") + options.path
    return LoadJob((Target(url, options.model, api_key),), schedule, payload_bytes=payload_bytes)


def add_options(parser: ArgumentParser) -> None:
    """Add our options to Locust's."""
    low, high = PUBLISHED_THINK_TIME_S
    add = _adder(parser)
    add("--model", DEFAULT_MODEL, "the model to ask for")
    add("--path", DEFAULT_PATH, "where chat completions are, after --host")
    add("--api-key-env", "", "the environment variable, of every worker, that holds the API key")
    add("--payload-bytes", "", "length of each prompt; default: LiteLLM's published prompt, 16,350 bytes")
    add("--think-min", str(low), "seconds that each user waits after a reply, at least")
    add("--think-max", str(high), "the same, at most")
    add("--failed-replies", "", f"a file that takes the first {KEPT_REPLIES_MAX} failed replies")


def _adder(parser: ArgumentParser) -> Callable[[str, str, str], None]:
    def add(name: str, default: str, meaning: str) -> None:
        variable = "PERFGATE_LOCUST_" + name.removeprefix("--").replace("-", "_").upper()
        shown = f" (default {default})" if default else ""
        # configargparse, of which Locust's parser is one, looks in the variable.
        cast("Any", parser).add_argument(name, default=default, env_var=variable, help=f"perfgate: {meaning}{shown}")

    return add


def listen_by_hand(environment: Environment, **_: object) -> None:
    """Locust is up, by its own command line."""
    ByHand(environment).listen()


events.init_command_line_parser.add_listener(add_options)
events.init.add_listener(listen_by_hand)
