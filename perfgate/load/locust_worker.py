"""A Locust worker of perfgate's: sends its share of every load that its master tells it of, and says what came of it.

    python -m perfgate.load.locust_worker HOST:PORT

Started by locust_master.py on its own host, which ends it; by hand or by Kubernetes elsewhere (docs/distributed.md).
There it waits for a master for five minutes, and ends when it has lost it for a minute.

What it measures it records itself, and nothing is sent or encoded before the load is over: that would take time from
replies that wait to be read.
"""

import argparse
import gc
import logging
import os
import sys
import time
from typing import Any, Final

import gevent
import gevent.socket
from gevent.event import Event
from locust.env import Environment
from locust.runners import WorkerRunner

from perfgate import __version__
from perfgate.load.drive import TooManyRequests
from perfgate.load.endpoint import Endpoint
from perfgate.load.http_client import CONNECT_DEADLINE_S
from perfgate.load.locust_file import GatewayUser
from perfgate.load.locust_load import WindowLoad
from perfgate.load.locust_share import BEGIN, FACTS, REPORT, SHARE, TAKEN, Share, WorkerFacts
from perfgate.load.own_process import allow_open_files, boot_id, die_with_parent, name_of
from perfgate.load.schedule import MAX_DURATION_S
from perfgate.load.wire import result_as_json

#: From one look whether all replies have come to the next.
SETTLING_S: Final = 0.002


class Worker:
    """What this process does beside what every Locust worker does.

    Args:
        environment: of Locust; the worker's runner is made in it.
        facts: of this process.
    """

    def __init__(self, environment: Environment, facts: WorkerFacts) -> None:
        self._environment = environment
        self._facts = facts
        self._load: WindowLoad | None = None
        self._final: dict[str, Any] | None = None
        self._cpu_warning_percent: float | None = None

    def connect(self, host: str, port: int) -> WorkerRunner:
        """Connect to the master, and tell it what this process is.

        Raises:
            ConnectionError: there is none, for five minutes.
        """
        self._runner = runner = self._environment.create_worker_runner(host, port)
        on = self._environment.events
        on.report_to_master.add_listener(self.report)
        on.cpu_warning.add_listener(self.warn)
        runner.register_message(SHARE, self.take)
        runner.register_message(BEGIN, self.begin)
        runner.send_message(FACTS, self._facts.as_message())
        return runner

    def take(self, environment: Environment, msg: Any) -> None:
        """The master tells of a load: get ready for its users, or say what is in the way."""
        share = Share.of_message(msg.data)
        refused = _unreachable(share)
        self._final = None
        if refused is None:
            self._load = WindowLoad(share)
            GatewayUser.load, GatewayUser.gate = self._load, Event()
            GatewayUser.host = share.job.targets[0].url
            gc.collect()
        self._runner.send_message(TAKEN, {"number": share.number, "refused": refused})

    def begin(self, environment: Environment, msg: Any) -> None:
        """The master says when the load begins: by its clock where that is ours, too, else from now on."""
        load, gate = self._load, GatewayUser.gate
        if load is None or gate is None or load.number != msg.data["number"]:
            return
        is_same_clock = msg.data["boot_id"] == self._facts.boot_id
        load.begin(msg.data["begins_mono_ns"] if is_same_clock else time.monotonic_ns() + msg.data["in_ns"])
        gc.freeze()  # users and their clients stay for the whole load: there is nothing to collect among them
        gate.set()
        gevent.spawn(self._see_through, load)

    def report(self, client_id: str, data: dict[str, Any]) -> None:
        """Locust reports: add what came of a load, once it is over."""
        if self._final is not None:
            data[REPORT], self._final = self._final, None

    def warn(self, cpu_usage: float, **_: object) -> None:
        """Locust has found this process busier than is good for what it measures."""
        self._cpu_warning_percent = max(cpu_usage, self._cpu_warning_percent or 0.0)

    def _see_through(self, load: WindowLoad) -> None:
        """From the beginning of a load to its report."""
        _sleep_until(load.opens_mono_ns)
        cpu_s_at_open = time.process_time()
        _sleep_until(load.closes_mono_ns)
        while not load.is_settled and time.monotonic_ns() < load.tail_ends_mono_ns:
            gevent.sleep(SETTLING_S)
        drained_mono_ns = load.drained_mono_ns
        cpu_s = time.process_time() - cpu_s_at_open
        gc.unfreeze()
        about: dict[str, Any] = {"number": load.number, "name": self._facts.name}
        try:
            about["result"] = result_as_json(load.result(drained_mono_ns, cpu_s))
        except TooManyRequests as error:
            about["refused"] = str(error)
        about["drained_after_close_ns"] = drained_mono_ns - load.closes_mono_ns
        about["cpu_warning_percent"], self._cpu_warning_percent = self._cpu_warning_percent, None
        gevent.sleep(0)  # users who have come to their end leave; then Locust's own report says that none are left
        self._final = about
        self._load = None
        # What Locust does every three seconds, now.
        data: dict[str, Any] = {}
        self._environment.events.report_to_master.fire(client_id=self._runner.client_id, data=data)
        self._runner.send_message("stats", data)


def _sleep_until(at_mono_ns: int) -> None:
    gevent.sleep(max(0.0, (at_mono_ns - time.monotonic_ns()) / 1e9))


def _unreachable(share: Share) -> str | None:
    """Prove with one connection to each target that something listens there; what is wrong, in words."""
    for url in dict.fromkeys(target.url for target in share.job.targets):
        endpoint = Endpoint.of_url(url)
        try:
            gevent.socket.create_connection((endpoint.host, endpoint.port), CONNECT_DEADLINE_S).close()
        except OSError as error:
            return f"no connection to {endpoint.host}:{endpoint.port}: {error}; is the server running?"
    return None


def parser() -> argparse.ArgumentParser:
    """The parser of its command line."""
    made = argparse.ArgumentParser(
        prog="python -m perfgate.load.locust_worker",
        description="Send a share of every load that a perfgate run with --locust-expect-workers tells of.",
    )
    made.add_argument("master", metavar="HOST:PORT", help="where the run's Locust master listens (--locust-bind)")
    made.add_argument("--parent-pid", type=int, help=argparse.SUPPRESS)
    return made


def main() -> None:
    """Run until the master ends it."""
    options = parser().parse_args()
    if options.parent_pid is not None:
        die_with_parent(options.parent_pid)
    host, _, port = options.master.rpartition(":")
    if not host or not port.isdigit():
        parser().error(f"{options.master}: write HOST:PORT")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    GatewayUser.network_timeout = GatewayUser.connection_timeout = MAX_DURATION_S  # the load's end is what ends waiting
    facts = WorkerFacts(
        name=name_of(os.getpid()),
        version=__version__,
        boot_id=boot_id(),
        open_files=allow_open_files(),
    )
    worker = Worker(Environment(user_classes=[GatewayUser]), facts)
    try:
        runner = worker.connect(host, int(port))
    except ConnectionError:
        sys.exit(f"no Locust master at {options.master} for five minutes")
    runner.greenlet.join()


if __name__ == "__main__":
    main()
