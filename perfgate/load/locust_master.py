"""The Locust master of a perfgate run: has its workers send the loads it reads of, and says what came of all of them.

Comes in: on standard input one job a line (wire.py); on the command line the pid of the process that started it, and
the fleet. Goes out: on standard output one report a line, as the generator process (generator.py) writes them. Ends
with its standard input, even in mid-load, and with its parent; the workers that it has started end with it.

Started by `locust_runner.LocustGenerator`; a process of its own, since Locust patches the standard library.

A worker that is lost in mid-load is not waited for: its requests are in no figure, and the result says how many workers
were to report and which have.
"""

import argparse
import logging
import os
import subprocess
import sys
import time
from typing import Any, Final

import gevent
from gevent.fileobject import FileObject
from gevent.queue import Queue
from locust.env import Environment
from locust.runners import STATE_INIT, STATE_MISSING

from perfgate.load import wire
from perfgate.load.drive import Instant
from perfgate.load.http_client import CONNECT_DEADLINE_S
from perfgate.load.job import LoadJob
from perfgate.load.locust_file import GatewayUser
from perfgate.load.locust_fleet import LocustFleet
from perfgate.load.locust_share import (
    BEGIN,
    FACTS,
    REPORT,
    SHARE,
    TAKEN,
    Share,
    WorkerFacts,
    not_for_locust,
    too_much_for,
)
from perfgate.load.merging import merged
from perfgate.load.own_process import allow_open_files, boot_id, die_with_parent, keep_on, name_of
from perfgate.load.payload import new_load_id
from perfgate.load.result import LoadResult, WorkerUse
from perfgate.load.schedule import ClosedLoop

#: For all workers to connect before the first load. Those elsewhere try for five minutes by themselves.
CONNECT_WORKERS_S: Final = 60.0
#: Between loads, for workers to be ready again: Locust asks them whether they live once a second.
READY_AGAIN_S: Final = 5.0
#: For the reports, after the tail: histograms of many requests take a while on a busy host.
REPORT_PATIENCE_S: Final = 10.0
#: From the last thing that is to be done to the load's beginning: messages need that to arrive.
START_DELAY_S: Final = 0.03
#: From one look at what has come to the next.
LOOKING_S: Final = 0.002
#: For workers to leave in good order.
LEAVING_S: Final = 2.0


class Master:
    """One master with its workers.

    Args:
        fleet: how many workers, and where those elsewhere connect to.
    """

    def __init__(self, fleet: LocustFleet) -> None:
        self._fleet = fleet
        host, port = fleet.address
        self._environment = Environment(user_classes=[GatewayUser])
        self._runner = self._environment.create_master_runner(host, port)
        self._runner.register_message(FACTS, self._hear_facts)
        self._runner.register_message(TAKEN, self._hear_taken)
        self._environment.events.worker_report.add_listener(self._hear_report)
        #: By Locust's id of a worker, in the order in which they came.
        self._facts: dict[str, WorkerFacts] = {}
        self._taken: dict[str, str | None] = {}
        self._reports: dict[str, dict[str, Any]] = {}
        self._number = 0
        self._was_complete = False
        self._all_cpus = os.sched_getaffinity(0)
        reached_at = "127.0.0.1" if host in ("*", "0.0.0.0", "[::]") else host
        self._children = [self._start_worker(f"{reached_at}:{self._runner.server.port}") for _ in range(fleet.workers)]

    def run(self, job: LoadJob) -> LoadResult | wire.CouldNotRun:
        """Run one load; announces its instants on the way."""
        refused = not_for_locust(job)
        if refused is not None:
            return wire.CouldNotRun(refused)
        assert isinstance(job.schedule, ClosedLoop)
        self._pin(job.cpus)
        workers = self._ready_workers()
        if not self._was_complete and len(workers) < self._fleet.total:
            return wire.CouldNotRun(self._incomplete(len(workers)))
        self._was_complete = True
        for worker in workers:
            refused = too_much_for(self._facts[worker], job, len(workers))
            if refused is not None:
                return wire.CouldNotRun(refused)
        answers = self._shared_out(job, workers)
        for worker, refused in answers.items():
            if refused is not None:
                return wire.CouldNotRun(f"by the Locust worker {self._facts[worker].name}: {refused}")
        if not answers:
            return wire.CouldNotRun("no Locust worker is left: each was killed, or hangs, or has lost its connection")
        return self._sent(job, job.schedule, list(answers))

    def close(self) -> None:
        """End all workers, wherever they are."""
        self._runner.quit()
        come = {facts.name for facts in self._facts.values()}
        for child in self._children:
            if name_of(child.pid) not in come:
                child.kill()  # it hears nothing of us
        for child in self._children:
            try:
                child.wait(LEAVING_S)
            except subprocess.TimeoutExpired:
                child.kill()

    # what workers say

    def _hear_facts(self, environment: Environment, msg: Any) -> None:
        self._facts[msg.node_id] = WorkerFacts.of_message(msg.data)

    def _hear_taken(self, environment: Environment, msg: Any) -> None:
        if msg.data["number"] == self._number:
            self._taken[msg.node_id] = msg.data["refused"]

    def _hear_report(self, client_id: str, data: dict[str, Any]) -> None:
        report = data.get(REPORT)
        if report is not None and report["number"] == self._number:
            self._reports[client_id] = report

    # one load

    def _ready_workers(self) -> list[str]:
        """Those that can take part, once all have come, or no more come for too long."""
        deadline_mono_s = time.monotonic() + (READY_AGAIN_S if self._was_complete else CONNECT_WORKERS_S)
        while True:
            clients, lost = self._runner.clients, self._lost()
            ready = [known for known in self._facts if known not in lost and clients[known].state == STATE_INIT]
            possible = self._fleet.total - sum(child.poll() is not None for child in self._children)
            if len(ready) >= possible or time.monotonic() > deadline_mono_s:
                return ready
            gevent.sleep(LOOKING_S)

    def _incomplete(self, ready: int) -> str:
        ended = [child for child in self._children if child.poll() is not None]
        if ended:
            return f"a Locust worker of {self._fleet.workers} here ended with status {ended[0].poll()} as it started"
        return (
            f"{ready} of {self._fleet.total} Locust workers have connected to {self._fleet.bind} within "
            f"{CONNECT_WORKERS_S:g} s; start the others with `python -m perfgate.load.locust_worker HOST:PORT`"
        )

    def _shared_out(self, job: LoadJob, workers: list[str]) -> dict[str, str | None]:
        """Tell every worker of its share; returns what is in the way, in words, of those that have answered."""
        self._number += 1
        self._taken.clear()
        self._reports.clear()
        load_id = new_load_id()
        for place, worker in enumerate(workers):
            share = Share(self._number, job, load_id, place, len(workers))
            self._runner.send_message(SHARE, share.as_message(), worker)
        deadline_mono_s = time.monotonic() + REPORT_PATIENCE_S + CONNECT_DEADLINE_S * len(job.targets)
        while set(workers) - self._taken.keys() - self._lost() and time.monotonic() < deadline_mono_s:
            gevent.sleep(LOOKING_S)
        answers = {worker: self._taken[worker] for worker in workers if worker in self._taken}
        # Users are for those that know what to do: not for a worker of another Locust, or one that is lost.
        for known in list(self._runner.clients):
            if known not in answers:
                self._forget(known)
        return answers

    def _sent(self, job: LoadJob, schedule: ClosedLoop, workers: list[str]) -> LoadResult | wire.CouldNotRun:
        spawning = None
        if schedule.spawn_per_s is None:
            self._spawn(schedule.users, schedule.users)
            begins_mono_ns = self._begin(workers)
        else:
            begins_mono_ns = self._begin(workers)
            spawning = gevent.spawn(self._spawn, schedule.users, schedule.spawn_per_s)
        opens_mono_ns = begins_mono_ns + schedule.window_opens_ns
        closes_mono_ns = opens_mono_ns + round(schedule.window_s * 1e9)
        _sleep_until(opens_mono_ns)
        cpu_s_at_open = time.process_time()
        _announce("window_opened", opens_mono_ns)
        _sleep_until(closes_mono_ns)
        _announce("window_closed", closes_mono_ns)
        last_mono_ns = closes_mono_ns + round((schedule.tail_s + REPORT_PATIENCE_S) * 1e9)
        while set(workers) - self._reports.keys() - self._lost() and time.monotonic_ns() < last_mono_ns:
            gevent.sleep(LOOKING_S)
        reports = {worker: self._reports[worker] for worker in workers if worker in self._reports}
        drained_mono_ns = closes_mono_ns + max(
            (report["drained_after_close_ns"] for report in reports.values()),
            default=time.monotonic_ns() - closes_mono_ns,
        )
        _announce("drained", drained_mono_ns)
        master_cpu_s = time.process_time() - cpu_s_at_open
        if spawning is not None:
            spawning.kill()
        self._stop(set(workers) - reports.keys())
        refusals = [report["refused"] for report in reports.values() if "refused" in report]
        if refusals:
            return wire.CouldNotRun(refusals[0])
        parts = [wire.result_of_json(report["result"]) for report in reports.values()]
        return merged(
            parts,
            workers=[
                WorkerUse(report["name"], part.sent, part.generator_cpu_s, report["cpu_warning_percent"])
                for report, part in zip(reports.values(), parts, strict=True)
            ],
            workers_expected=max(self._fleet.total, len(workers)),
            window_opened_mono_s=opens_mono_ns / 1e9,
            window_closed_mono_s=closes_mono_ns / 1e9,
            drained_mono_s=drained_mono_ns / 1e9,
            other_cpu_s=master_cpu_s,
            in_flight_cap=job.in_flight_cap,
            targets=len(job.targets),
        )

    def _spawn(self, users: int, per_s: float) -> None:
        """Have Locust bring its users, and leave them where they are, whichever workers come or go."""
        self._runner.start(users, per_s)
        self._runner._users_dispatcher = None

    def _begin(self, workers: list[str]) -> int:
        """Say when the load begins; returns it, by CLOCK_MONOTONIC in ns."""
        begins_mono_ns = time.monotonic_ns() + round(START_DELAY_S * 1e9)
        for worker in workers:
            begin = {
                "number": self._number,
                "begins_mono_ns": begins_mono_ns,
                "in_ns": begins_mono_ns - time.monotonic_ns(),
                "boot_id": boot_id(),
            }
            self._runner.send_message(BEGIN, begin, worker)
        return begins_mono_ns

    def _stop(self, lost: set[str]) -> None:
        """Have users leave who have not left by themselves, and forget workers that did not report."""
        for worker in lost:
            self._forget(worker)
        self._runner.stop()

    def _forget(self, worker: str) -> None:
        self._runner.clients.pop(worker, None)
        self._facts.pop(worker, None)

    def _lost(self) -> set[str]:
        """Workers of which nothing more is to be expected."""
        ended = {name_of(child.pid) for child in self._children if child.poll() is not None}
        clients = self._runner.clients
        return {
            worker
            for worker, facts in self._facts.items()
            if worker not in clients or clients[worker].state == STATE_MISSING or facts.name in ended
        }

    # workers of this host

    def _start_worker(self, address: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-P", "-m", "perfgate.load.locust_worker", address, "--parent-pid", str(os.getpid())]
        # Standard output is for reports alone.
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)

    def _pin(self, cpus: tuple[int, ...]) -> None:
        """Each worker on a core of its own, as far as they go; the master, which does little, on any of them."""
        keep_on(os.getpid(), cpus or self._all_cpus)
        for place, child in enumerate(self._children):
            keep_on(child.pid, (cpus[place % len(cpus)],) if cpus else self._all_cpus)


def _sleep_until(at_mono_ns: int) -> None:
    gevent.sleep(max(0.0, (at_mono_ns - time.monotonic_ns()) / 1e9))


def _announce(instant: Instant, mono_ns: int) -> None:
    _say(wire.Passed(instant, mono_ns / 1e9))


def _say(report: wire.Passed | wire.CouldNotRun | LoadResult) -> None:
    sys.stdout.write(wire.report_line(report))
    sys.stdout.flush()


def _read(jobs: "Queue[bytes]") -> None:
    for line in FileObject(sys.stdin.fileno(), "rb", close=False):
        jobs.put(line)


def _work(master: Master, jobs: "Queue[bytes]") -> None:
    while True:
        _say(master.run(wire.job_of_line(jobs.get())))


def main() -> None:
    """Run jobs until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m perfgate.load.locust_master")
    parser.add_argument("parent_pid", type=int)
    parser.add_argument("workers", type=int)
    parser.add_argument("expect_workers", type=int)
    parser.add_argument("bind")
    options = parser.parse_args()
    die_with_parent(options.parent_pid)
    allow_open_files()
    # Warnings of Locust's that it starts users fast are no news.
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(name)s: %(message)s")
    master = Master(LocustFleet(options.workers, options.expect_workers, options.bind))
    jobs: Queue[bytes] = Queue()
    working, reading = gevent.spawn(_work, master, jobs), gevent.spawn(_read, jobs)
    gevent.wait([working, reading], count=1)
    if working.ready():
        working.get()  # it never ends by itself: what ended it is raised
    master.close()


if __name__ == "__main__":
    main()
