"""`perfgate selftest`: how often is the gate wrong on this host?

    collect   makes batches of the pool, a file each; goes on where it was ended
    rates     composes gates from them, judges them, and writes what came of it

Comes in: options, `thresholds.yaml`, a folder. Goes out: files in that folder, tables on standard output, an exit code.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from perfgate import __version__
from perfgate.atomic_file import write_atomically
from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.experiment.bench import StackBench
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.metrics import METRICS
from perfgate.experiment.rounds import Progress
from perfgate.lease import Lease
from perfgate.load.schedule import ClosedLoop, OpenLoop
from perfgate.measure.host import fingerprint
from perfgate.selftest.collection import Batch, collect
from perfgate.selftest.curve import power_curve
from perfgate.selftest.doses import DOSES, NONE, Dose
from perfgate.selftest.gates import GatePlan, Pool, PoolTooSmall
from perfgate.selftest.pool_file import BatchFacts, arms_of, read_batch
from perfgate.selftest.published import DEFAULT_POOL, RATES_FILE
from perfgate.selftest.rates import (
    SCENARIO,
    DoseRates,
    RivalRates,
    effects,
    noise_of_pool,
    plan_of,
    rates,
    rival_rates,
)
from perfgate.selftest.tables import tables
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.releases import DEFAULT_RELEASE, checked_release
from perfgate.thresholds import Thresholds, load_thresholds

#: Whole gates for a share: its standard error is then at most 1.1 points, beside that of the pool itself.
GATES: Final = 2_000
#: Pools drawn anew for an interval, and gates composed of each.
REPLICATES: Final = 200
GATES_EACH: Final = 25
#: Of each process: three looks of four, and as many as the rules of others need.
ROUNDS_MIN: Final = 12
SAY_EVERY_S: Final = 30.0
#: Profiles whose gates are tried, in the order of the tables.
PROFILES: Final = ("gate", "release")


def add_selftest(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `selftest` to the commands of `perfgate`."""
    parser = commands.add_parser("selftest", help="measure how often the gate is wrong on this host")
    steps = parser.add_subparsers(metavar="COMMAND", required=True)

    collecting = steps.add_parser(
        "collect",
        help="measure gateways of one release under faults of known size",
        description="Start gateways of one release, ask each under every dose in turn, and keep every window. A batch "
        "takes about 20 minutes on two cores; the host must be idle. Batches that are there stay: end it at any time.",
    )
    option = collecting.add_argument
    _add_pool(collecting)
    option("--litellm", default=DEFAULT_RELEASE, metavar="RELEASE", help="release of LiteLLM (%(default)s)")
    option("--batches", type=_positive, default=5, metavar="N", help="that the pool is to have (%(default)s)")
    option("--pairs", type=_positive, default=5, metavar="N", help="of processes in a batch (%(default)s)")
    option(
        "--rounds", type=_rounds, default=75, metavar="N", help=f"in each process, {ROUNDS_MIN} or more (%(default)s)"
    )
    option("--seed", type=int, default=1, metavar="N", help="of the order of windows (%(default)s)")
    collecting.set_defaults(run=run_collect)

    judging = steps.add_parser(
        "rates",
        help="compose gates from the pool and judge them",
        description="Draw whole gates from the pool, judge each as a live run is judged, and write how often they say "
        "FAIL, PASS and INVALID: rates.json, rates.md and power.svg beside the batches. Nothing is measured.",
    )
    option = judging.add_argument
    _add_pool(judging)
    option("--gates", type=_positive, default=GATES, metavar="N", help="of each profile and dose (%(default)s)")
    option("--replicates", type=int, default=REPLICATES, metavar="N", help="of the pool, for intervals (%(default)s)")
    option("--seed", type=int, default=1, metavar="N", help="of all that is drawn (%(default)s)")
    option("--only", default="", metavar="PROFILES", help="some of gate,release; nothing is written then")
    judging.set_defaults(run=run_rates)


def _add_pool(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pool", type=Path, default=DEFAULT_POOL, metavar="DIR", help="the folder of the batches (%(default)s)"
    )
    parser.add_argument(
        "--thresholds", type=Path, default=Path("thresholds.yaml"), metavar="FILE", help="the limits (%(default)s)"
    )


def run_collect(options: argparse.Namespace) -> ExitCode:
    """Make the batches that are missing.

    Raises:
        BadInput: an option, or the folder, cannot be used.
        StackFailed: a service failed; the batch as far as it came is on the disk.
    """
    load = load_thresholds(options.thresholds, METRICS, FIGURES).scenarios[SCENARIO].load
    assert isinstance(load.schedule, ClosedLoop), "a comparison has users"
    assert isinstance(load.direct_schedule, OpenLoop), "and a rate for windows without a gateway"
    release = checked_release(options.litellm)
    try:
        options.pool.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--pool {options.pool}: {error.strerror}") from error
    for number in range(1, options.batches + 1):
        path = options.pool / f"batch-{number}.npz"
        if path.exists():
            facts, measured = read_batch(path)
            rounds = 1 + max(window.round for window in measured.windows)
            if rounds == facts.rounds_planned:
                _say(f"{path} is there: {len(measured.windows):,} windows")
                continue
            _say(f"{path} broke off after {rounds} of {facts.rounds_planned} rounds: made anew")
        facts = BatchFacts(
            release=release,
            arms=tuple(arm.name for arm in arms_of(release)),
            users=load.schedule.users,
            window_s=load.schedule.window_s,
            direct_rps=load.direct_schedule.offered_rps,
            rounds_planned=options.rounds,
            seed=options.seed + number,
            began_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            perfgate_version=__version__,
            host=asdict(fingerprint()),
        )
        with (
            Lease.of_user(os.environ).exclusive(f"collecting {path.name}", _say),
            StackBench(EnvironmentCache.of_user(os.environ), say=_say) as bench,
        ):
            collect(bench, Batch(path, facts, options.pairs), _seldom(f"batch {number}"))
        _say(f"{path} is done")
    return ExitCode.OK


def run_rates(options: argparse.Namespace) -> ExitCode:
    """Compose, judge, and write.

    Raises:
        BadInput: the pool is missing, broken, or too small.
        StackFailed: the results could not be written.
    """
    thresholds = load_thresholds(options.thresholds, METRICS, FIGURES)
    profiles = [name for name in PROFILES if name in (options.only.split(",") if options.only else PROFILES)]
    if not profiles:
        raise BadInput(f"--only {options.only}: there are {', '.join(PROFILES)}")
    try:
        found = judged_pool(thresholds, options.pool, profiles, options.gates, options.replicates, options.seed, _say)
    except PoolTooSmall as error:
        raise BadInput(f"--pool {options.pool}: {error}") from error
    text = tables(found)
    print(text)
    if not options.only:
        try:
            write_atomically(options.pool / RATES_FILE, json.dumps(found, indent=1) + "\n")
            write_atomically(options.pool / "rates.md", text)
            write_atomically(options.pool / "power.svg", power_curve(found))
        except OSError as error:
            raise StackFailed(f"{options.pool}: rates could not be written: {error.strerror}") from error
    return ExitCode.OK


def pool_of(folder: Path) -> tuple[tuple[BatchFacts, ...], Pool]:
    """The batches of a folder that are whole.

    Raises:
        BadInput: there is none, one cannot be read, or they are of different releases or loads.
    """
    batches = [read_batch(path) for path in sorted(folder.glob("batch-*.npz"))]
    whole = [
        (facts, measured)
        for facts, measured in batches
        if 1 + max(window.round for window in measured.windows) == facts.rounds_planned
    ]
    if not whole:
        raise BadInput(f"{folder} has no whole batch: make some with `perfgate selftest collect --pool {folder}`")
    kinds = {(facts.release, facts.users, facts.window_s, facts.direct_rps, facts.rounds_planned) for facts, _ in whole}
    if len(kinds) > 1:
        raise BadInput(f"{folder} has batches of different releases, loads or rounds: keep those of one in a folder")
    if whole[0][0].rounds_planned < ROUNDS_MIN:
        raise BadInput(f"{folder} has batches of {whole[0][0].rounds_planned} rounds: at least {ROUNDS_MIN} are needed")
    return tuple(facts for facts, _ in whole), Pool.of([measured for _, measured in whole])


def judged_pool(
    thresholds: Thresholds,
    folder: Path,
    profiles: list[str],
    gates: int,
    replicates: int,
    seed: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Everything that the tables say, as JSON holds it.

    Raises:
        BadInput, PoolTooSmall: see `pool_of`, `rates`.
    """
    facts, pool = pool_of(folder)
    rng = random.Random(seed)
    noise = noise_of_pool(pool, rng)
    rounds_max = facts[0].rounds_planned
    plans = [
        plan_of(thresholds, name, noise=noise, memory_bytes=facts[0].host["memory_bytes"], rounds_max=rounds_max)
        for name in profiles
    ]
    of_doses: list[Future[DoseRates]] = []
    of_rivals: list[Future[Sequence[RivalRates]]] = []
    _JUDGED[:] = [(pool, plans)]
    # Forked, they have pool and plans without a copy; limits cannot be sent.
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), multiprocessing.get_context("fork")) as executor:
        for number in range(len(plans)):
            for dose in DOSES:
                draws = {"gates": gates, "replicates": replicates, "gates_each": GATES_EACH, "seed": seed}
                of_doses.append(executor.submit(_rates, number, dose, draws))
                if number == 0:
                    fewer = draws | {"gates": max(1, gates // 5), "replicates": replicates // 2}
                    of_rivals.append(executor.submit(_rival_rates, number, dose, fewer))
        every: list[Future[Any]] = [*of_doses, *of_rivals]
        for done, future in enumerate(every, 1):
            future.result()
            say(f"{done} of {len(every)} cells are judged")
    rivals: list[RivalRates] = [each for future in of_rivals for each in future.result()]
    return {
        "release": facts[0].release,
        "perfgate_version": __version__,
        "host": facts[0].host,
        "batches": [{"began_utc": one.began_utc, "seed": one.seed} for one in facts],
        "pairs": pool.pair_count,
        "rounds": rounds_max,
        "windows": sum(len(batch.windows) for batch in pool.batches),
        "noise": asdict(noise),
        "gates": gates,
        "replicates": replicates,
        "gates_each": GATES_EACH,
        "seed": seed,
        "plans": [
            {
                "profile": plan.profile,
                "generations": plan.generations,
                "rounds_per_look": plan.rounds_per_look,
                "looks": plan.looks,
                "minutes": list(plan.minutes),
                "margins": {metric: limit.margin for metric, limit in plan.limits.items()},
            }
            for plan in plans
        ],
        "effects": [
            asdict(effect)
            for dose in DOSES
            if dose is not NONE
            for effect in effects(pool, dose, list(plans[0].limits))
        ],
        "rates": [asdict(future.result()) for future in of_doses],
        "rivals": [asdict(each) for each in rivals],
    }


#: What worker processes find when they are forked: the pool, and the plans that are sent to them by number.
_JUDGED: Final[list[tuple[Pool, list[GatePlan]]]] = []


def _rates(plan: int, dose: Dose, draws: dict[str, int]) -> DoseRates:
    ((pool, plans),) = _JUDGED
    return rates(pool, plans[plan], dose, **draws)


def _rival_rates(plan: int, dose: Dose, draws: dict[str, int]) -> Sequence[RivalRates]:
    ((pool, plans),) = _JUDGED
    return rival_rates(pool, plans[plan], dose, **draws)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _seldom(what: str) -> Callable[[Progress], None]:
    """Say where a batch stands, twice a minute."""
    began_mono_s = said_mono_s = time.monotonic()

    def on_progress(progress: Progress) -> None:
        nonlocal said_mono_s
        now_s = time.monotonic()
        if progress.done == 0 or now_s - said_mono_s >= SAY_EVERY_S:
            said_mono_s = now_s
            took = f"{(now_s - began_mono_s) / 60:.1f} min"
            _say(f"{what}: window {progress.done + 1:,} of {progress.planned:,}, {progress.text} ({took})")

    return on_progress


def _rounds(text: str) -> int:
    number = int(text)
    if number < ROUNDS_MIN:
        raise argparse.ArgumentTypeError(f"{text} must be at least {ROUNDS_MIN}")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return number
