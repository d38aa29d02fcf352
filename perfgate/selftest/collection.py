"""Make a batch of the pool: separately started gateways, each asked under every dose in every round.

Comes in: a release, how many pairs of processes and rounds, a file. Goes out: the file, complete, or as far as it came.
A pair is a generation of a comparison: within a round its two processes are asked under every dose in random order, so
that what the host does just then hits all of it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from perfgate.errors import StackFailed
from perfgate.experiment.bench import StackBench
from perfgate.experiment.comparison_plan import SETTLE_S
from perfgate.experiment.measurement import Measurement
from perfgate.experiment.rounds import Progress, RoundsPlan, run_rounds
from perfgate.load.schedule import ClosedLoop, OpenLoop
from perfgate.selftest.doses import FIRST
from perfgate.selftest.pool_file import BatchFacts, arms_of, gateway_of, write_batch

#: Between two writings of the file, so that a batch that breaks off is on the disk.
KEEP_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch is to be.

    Args:
        path: of its file.
        facts: of it; the gateways' packages are filled in.
        pairs: of processes that serve every dose that ends with its window, and as many single ones that leak.
    """

    path: Path
    facts: BatchFacts
    pairs: int


def collect(bench: StackBench, batch: Batch, on_progress: Callable[[Progress], None]) -> Measurement:
    """Make a batch.

    Args:
        bench: that is open.
        batch: to be made.
        on_progress: called before every window.

    Raises:
        StackFailed: a service failed, or the file could not be written.
    """
    facts = batch.facts
    schedule = ClosedLoop(facts.users, warm_up_s=0, window_s=facts.window_s)
    kept_mono_s = time.monotonic()

    def keep(measurement: Measurement) -> None:
        of_gateway = bench.facts.get(gateway_of(facts.release, FIRST))
        sha256 = of_gateway.packages.sha256 if of_gateway is not None else ""
        try:
            write_batch(batch.path, replace(facts, packages_sha256=sha256), measurement.windows)
        except OSError as error:
            raise StackFailed(f"{batch.path} could not be written: {error.strerror}; make room and go on") from error

    def on_window(measurement: Measurement) -> None:
        nonlocal kept_mono_s
        if time.monotonic() - kept_mono_s >= KEEP_EVERY_S:
            keep(measurement)
            kept_mono_s = time.monotonic()

    measurement = run_rounds(
        bench,
        "selftest",
        arms_of(facts.release),
        schedule,
        RoundsPlan(
            batch.pairs,
            facts.rounds_planned,
            facts.rounds_planned,
            one_direct=True,
            settle_s=SETTLE_S,
        ),
        seed=facts.seed,
        until=lambda measurement: False,
        time_left_s=lambda: float("inf"),
        direct_schedule=OpenLoop(facts.direct_rps, warm_up_s=0, window_s=facts.window_s),
        on_progress=on_progress,
        on_window=on_window,
    )
    keep(measurement)
    return measurement
