"""Is every one of some thousand requests a row of the spend log, however many workers and instances write it?

    python tools/count_spend_rows.py --prisma-engine native
    python tools/count_spend_rows.py --stack containers --images built --prisma-engine wasm

One window for each size of gateway: one worker, two workers, two instances. Prints rows, spend of the key, connections.
Ends with 1 when a row is missing, or too many, or the key's spend is not the sum of its rows. A busy host does not
matter: nothing is timed.
"""

import argparse
import os
import sys
from typing import Final

from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.bench import StackBench
from perfgate.experiment.rounds import RoundsPlan, run_rounds
from perfgate.load.schedule import OpenLoop
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.images import images_of
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release

#: Workers of each instance, and instances.
SIZES: Final = ((1, 1), (2, 1), (1, 2))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--litellm", default=DEFAULT_RELEASE, help="release (%(default)s)")
    made.add_argument("--stack", default="processes", choices=("processes", "containers"))
    made.add_argument("--images", default="official", help="as pytest's option (%(default)s)")
    made.add_argument("--prisma-engine", default="native", choices=("native", "wasm"))
    made.add_argument("--requests", type=int, default=2_100, help="of each window (%(default)s)")
    made.add_argument("--rate", type=float, default=25, help="offered requests/s (%(default)g)")
    made.add_argument("--seed", type=int, default=1)
    return made


def main() -> int:
    options = parser().parse_args()
    schedule = OpenLoop(options.rate, warm_up_s=0, window_s=options.requests / options.rate)
    is_wrong = False
    with StackBench(
        EnvironmentCache.of_user(os.environ),
        (options.stack,),
        prisma_mode=options.prisma_engine,
        images=images_of(options.images),
        say=lambda line: print(line, file=sys.stderr, flush=True),
    ) as bench:
        for workers, instances in SIZES:
            spec = GatewaySpec(
                Release(options.litellm), workers=workers, instances=instances, backend=options.stack, database=True
            )
            measurement = run_rounds(
                bench,
                "spend rows",
                [Arm("gateway", spec)],
                schedule,
                RoundsPlan(1, 1, 1),
                seed=options.seed,
                until=lambda measurement: True,
                time_left_s=lambda: 0.0,
            )
            (window,) = measurement.windows
            use, load = window.ledger, window.load
            assert use is not None
            is_wrong = is_wrong or use.rows != use.requests or use.key_spend_usd != use.rows_spend_usd
            print(
                f"{spec}: {load.succeeded} of {load.sent} requests succeeded, errors {load.errors or 'none'}; "
                f"{use.rows} rows of {use.requests}; the key's spend {use.key_spend_usd:g} USD, "
                f"its rows' {use.rows_spend_usd:g}; {use.waited_s:.1f} s until all was written; "
                f"{use.connections_max} of at most {use.connections_allowed} connections",
                flush=True,
            )
    return int(is_wrong)


if __name__ == "__main__":
    sys.exit(main())
