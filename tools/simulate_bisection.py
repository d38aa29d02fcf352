"""How often does `perfgate bisect` name the right version, composed from the rounds of a recorded pool?

    python tools/simulate_bisection.py --pool docs/selftest

Eight versions, of which those from a random one on have a dose; a thousand searches for each dose and margin. A version
that is measured again is so with other processes: so a pool of 20 pairs is enough for 6 starts each time. Prints a
table. Nothing is measured.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from perfgate.errors import BadInput
from perfgate.experiment.comparison import CPU
from perfgate.history.bisection import LOOKS
from perfgate.history.table import table
from perfgate.selftest.bisections import CPU_8, search_rates
from perfgate.selftest.command import pool_of
from perfgate.selftest.doses import CPU_5, CPU_10, CPU_20, Dose
from perfgate.selftest.gates import PoolTooSmall
from perfgate.selftest.published import DEFAULT_POOL

#: Names, doses, and the margin that they are searched by; None is half of what the ends differ by.
TRIED: Final[tuple[tuple[str, Sequence[Dose], float | None], ...]] = (
    (CPU_5.name, (CPU_5,), None),
    ("8 % more CPU", CPU_8, None),
    ("8 % more CPU", CPU_8, 0.04),
    (CPU_10.name, (CPU_10,), None),
    (CPU_10.name, (CPU_10,), 0.04),
    (CPU_20.name, (CPU_20,), None),
    (CPU_20.name, (CPU_20,), 0.10),
)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--pool", type=Path, default=DEFAULT_POOL)
    made.add_argument("--searches", type=int, default=1_000)
    made.add_argument("--rounds", type=int, help="of each process that count; default: all")
    made.add_argument("--generations", type=int, help="each time that a version is measured; default: all that fit")
    made.add_argument("--seed", type=int, default=1)
    return made


def main() -> int:
    options = parser().parse_args()
    try:
        facts, pool = pool_of(options.pool)
        rounds = min(options.rounds or facts[0].rounds_planned, facts[0].rounds_planned)
        generations = options.generations or pool.pair_count // LOOKS
        body = []
        for name, doses, margin in TRIED:
            found = search_rates(
                pool,
                doses,
                CPU,
                margin,
                rounds=rounds,
                searches=options.searches,
                seed=options.seed,
                generations=generations,
            )
            words = "half of the difference" if margin is None else f"{margin * 100:g} %"
            shares = [f"{share * 100:.1f} %" for share in (found.right, found.wrong, found.open)]
            body.append([name, words, *shares, f"{found.runs_mean:.1f}"])
    except (BadInput, PoolTooSmall) as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    print(
        f"{options.searches:,} searches a line, {generations} starts of {rounds} rounds each time that a version is "
        f"measured, {pool.pair_count} pairs\n"
    )
    print(table(["dose", "margin", "right", "wrong", "open", "runs a search"], body), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
