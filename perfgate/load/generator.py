"""The generator process: runs the jobs it reads, one after another, and says what came of them.

Comes in: on standard input one job a line (wire.py); on the command line the pid of the process that started it.
Goes out: on standard output one report a line. Ends with its standard input, even in mid-load, and with its parent.

Started by `runner.Generator`; a process of its own, since garbage collection and plugins of pytest would be measured.
"""

import asyncio
import os
import sys
from typing import Final

import uvloop

from perfgate.load import wire
from perfgate.load.api import Api
from perfgate.load.drive import Instant, TooManyRequests, drive
from perfgate.load.http_client import Unreachable
from perfgate.load.job import LoadJob
from perfgate.load.own_process import FILES_RESERVED, allow_open_files, die_with_parent
from perfgate.load.realtime_drive import drive_sessions
from perfgate.load.result import LoadResult
from perfgate.load.schedule import ClosedLoop

#: The longest line of a job; beyond it something else is talking to us.
_LONGEST_LINE_BYTES: Final = 1_000_000


def main() -> None:
    """Run jobs until standard input ends."""
    die_with_parent(int(sys.argv[1]))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run_jobs(allow_open_files()))


async def _run_jobs(open_files: int) -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=_LONGEST_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    jobs: asyncio.Queue[bytes] = asyncio.Queue()
    working = asyncio.create_task(_work(jobs, open_files))
    reading = asyncio.create_task(_read(lines, jobs))
    done, pending = await asyncio.wait({working, reading}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()


async def _read(lines: asyncio.StreamReader, jobs: asyncio.Queue[bytes]) -> None:
    while line := await lines.readline():
        jobs.put_nowait(line)


async def _work(jobs: asyncio.Queue[bytes], open_files: int) -> None:
    all_cpus = os.sched_getaffinity(0)
    while True:
        job = wire.job_of_line(await jobs.get())
        os.sched_setaffinity(0, job.cpus or all_cpus)
        cap = max(1, min(job.in_flight_cap, open_files - FILES_RESERVED))
        if (needed := _connections_needed(job)) > cap:
            _say(
                wire.CouldNotRun(
                    f"{needed:,} connections are needed, and this process may open {open_files:,} files, of which "
                    f"{FILES_RESERVED} are not for connections; raise the limit (`ulimit -n`)"
                )
            )
            continue
        run = drive_sessions if job.api is Api.REALTIME else drive
        try:
            _say(await run(job, in_flight_cap=cap, announce=_announce))
        except Unreachable as error:
            _say(wire.CouldNotRun(f"{error}; is the server running?"))
        except TooManyRequests as error:
            _say(wire.CouldNotRun(str(error)))


def _connections_needed(job: LoadJob) -> int:
    """How many connections the job cannot do without; an open loop's cap may be lower, and then says so."""
    users = job.schedule.users if isinstance(job.schedule, ClosedLoop) else 0
    return max(users, job.connections * len(job.targets))


def _announce(instant: Instant, mono_s: float) -> None:
    _say(wire.Passed(instant, mono_s))


def _say(report: wire.Passed | wire.CouldNotRun | LoadResult) -> None:
    sys.stdout.write(wire.report_line(report))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
