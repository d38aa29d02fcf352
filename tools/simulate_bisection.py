"""How often does `perfgate bisect` name the right version, composed from the rounds of a recorded pool?

    python tools/simulate_bisection.py --pool docs/selftest

Eight versions, of which those from a random one on have a dose; a thousand searches for each dose and margin. Prints a
table. Nothing is measured.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

from perfgate.errors import BadInput
from perfgate.experiment.comparison import CPU
from perfgate.history.measuring import GENERATIONS
from perfgate.history.table import table
from perfgate.selftest.bisections import search_rates
from perfgate.selftest.command import pool_of
from perfgate.selftest.doses import CPU_5, CPU_10, CPU_20, Dose
from perfgate.selftest.gates import PoolTooSmall
from perfgate.selftest.published import DEFAULT_POOL

#: Doses with the margins that they are searched by; None is half of what the ends differ by.
TRIED: Final[tuple[tuple[Dose, float | None], ...]] = (
    (CPU_5, None),
    (CPU_10, None),
    (CPU_10, 0.04),
    (CPU_20, None),
    (CPU_20, 0.10),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path, default=DEFAULT_POOL)
    parser.add_argument("--searches", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=30, help="of each process that count")
    parser.add_argument("--generations", type=int, default=GENERATIONS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        facts, pool = pool_of(options.pool)
        body = []
        for dose, margin in TRIED:
            found = search_rates(
                pool,
                dose,
                CPU,
                margin,
                rounds=min(options.rounds, facts[0].rounds_planned),
                searches=options.searches,
                seed=options.seed,
                generations=options.generations,
            )
            words = "half of the difference" if margin is None else f"{margin * 100:g} %"
            shares = [f"{asdict(found)[name] * 100:.1f} %" for name in ("right", "wrong", "open")]
            body.append([dose.name, words, *shares, f"{found.runs_mean:.1f}"])
    except (BadInput, PoolTooSmall) as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    print(f"{options.searches:,} searches a line, {options.generations} starts a question, {pool.pair_count} pairs\n")
    print(table(["dose", "margin", "right", "wrong", "open", "runs a search"], body), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
