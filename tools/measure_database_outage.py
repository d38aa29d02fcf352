"""What does a gateway lose when PostgreSQL is away for a while under load, and how soon does it come back?

    python tools/measure_database_outage.py --prisma-engine native
    python tools/measure_database_outage.py --stack containers --images built --prisma-engine wasm

One gateway with a database, asked with a virtual key at a steady rate. In mid-load its PostgreSQL server is taken down
and started again with its data. Prints requests that failed, rows and spend that are missing once the gateway has
stopped writing, and how long after PostgreSQL's return rows came again. Run it several times: outages differ.
"""

import argparse
import os
import sys
import threading
import time
from contextlib import ExitStack
from typing import Final

from perfgate.experiment.arms import PLAIN_MODEL, GatewaySpec
from perfgate.experiment.bench import RunningGateway, StackBench
from perfgate.experiment.ledger import DatabaseLedger
from perfgate.load.job import LoadJob
from perfgate.load.result import LoadResult
from perfgate.load.schedule import OpenLoop
from perfgate.measure.host import fingerprint
from perfgate.stack.database import Database, DatabaseFailed
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.images import images_of
from perfgate.stack.postgres import outage
from perfgate.stack.postgres_server import moved_to
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release

#: From the load's start to the outage, and from its end to the load's.
AROUND_S: Final = 15
#: How long the last rows may take.
SETTLE_S: Final = 90.0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--litellm", default=DEFAULT_RELEASE, help="release (%(default)s)")
    made.add_argument("--stack", default="processes", choices=("processes", "containers"))
    made.add_argument("--images", default="official", help="as pytest's option (%(default)s)")
    made.add_argument("--prisma-engine", default="native", choices=("native", "wasm"))
    made.add_argument("--workers", type=int, default=1)
    made.add_argument("--seconds", type=float, default=10, help="length of the outage (%(default)g)")
    made.add_argument("--rate", type=float, default=20, help="offered requests/s (%(default)g)")
    made.add_argument("--seed", type=int, default=1)
    return made


def main() -> int:
    options = parser().parse_args()
    spec = GatewaySpec(Release(options.litellm), workers=options.workers, backend=options.stack, database=True)
    host = fingerprint()
    with (
        StackBench(
            EnvironmentCache.of_user(os.environ),
            (options.stack,),
            prisma_mode=options.prisma_engine,
            images=images_of(options.images),
            say=lambda line: print(line, file=sys.stderr, flush=True),
        ) as bench,
        ExitStack() as until_closed,
    ):
        (gateway,) = bench.start_gateways([spec], until_closed)
        print(f"{spec}, Prisma's engine {options.prisma_engine}; {host.cores_allowed} cores {host.cpu_model}")
        window_s = 2 * AROUND_S + options.seconds
        schedule = OpenLoop(options.rate, warm_up_s=0, window_s=window_s, tail_s=30)
        connections = 8 * options.workers if options.workers > 1 else 0
        job = LoadJob(
            gateway.targets(PLAIN_MODEL),
            schedule,
            options.seed,
            cpus=bench.generator_cpus,
            connections=connections,
            processes=options.workers,
        )
        measure(bench, gateway, job, options.seconds)
    return 0


def measure(bench: StackBench, gateway: RunningGateway, job: LoadJob, outage_s: float) -> None:
    """Run the load with the outage in its middle, and print what came of it."""
    server, ledger = gateway.database_server, gateway.ledger
    assert server is not None
    assert server.service is not None
    assert server.running is not None
    assert ledger is not None
    assert isinstance(ledger.books, Database)
    ledger.deadline_s = SETTLE_S
    ledger.open()
    results: list[LoadResult] = []
    load = threading.Thread(target=lambda: results.append(bench.generator.run(job)))
    load.start()
    time.sleep(AROUND_S)
    with outage(server.service, server.running):
        down_mono_s = time.monotonic()
        time.sleep(outage_s)
    back_mono_s = time.monotonic()
    at = server.running.address
    ledger.books = Database(moved_to(ledger.books.url, at.host, at.port))
    before = rows_of(ledger)
    while rows_of(ledger) <= before and time.monotonic() < back_mono_s + SETTLE_S:
        time.sleep(0.05)
    first_row_s = time.monotonic() - back_mono_s
    load.join()
    (result,) = results
    use = ledger.close(result.sent)
    print(f"outage           {back_mono_s - down_mono_s:.1f} s, the server's restart included")
    print(f"requests         {result.sent} sent, {result.succeeded} succeeded, errors {result.errors or 'none'}")
    print(
        f"latency          p50 {result.latency.percentile_ms(50):.1f} ms, p99 {result.latency.percentile_ms(99):.1f} ms"
    )
    print(f"first row again  {first_row_s:.1f} s after the server's return")
    print(f"spend log        {use.rows} of {result.sent} rows, {result.sent - use.rows} missing")
    print(f"key's spend      {use.key_spend_usd / use.rows_spend_usd:.1%} of what its rows add up to")


def rows_of(ledger: DatabaseLedger) -> int:
    """Rows so far; 0 while the database does not answer."""
    try:
        return ledger.books.spend_rows(ledger.api_key).rows
    except DatabaseFailed:
        return 0


if __name__ == "__main__":
    sys.exit(main())
