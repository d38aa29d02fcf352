r"""Does the check of callbacks see what is known to be there, and nothing where there is nothing?

    python tools/confirm_callbacks.py --release 1.79.3 --runs 3

compares gateways that all log by perfgate's stand-in for Google Cloud Storage, so that nothing but a fault of known
size differs between the two arms, by the limits and the plan of scenarios.callback_gcs at the equivalence claimed:

    same      the stand-in with itself: never different
    burns     with 1 ms of CPU more for each request: different
    posts     which uploads each request's record at once and waits for the answer: different

Then composes gates from the generations of all runs of a case (each from as many, drawn without replacement, look by
look), and says in how many of them the answer was right.

Takes five minutes a run, on a host that does nothing else; cases take turns. A run that is over is not done again: end
this at any time and start it with the same --folder once more. Ends with 1 when an answer was wrong.
"""

import argparse
import os
import pickle
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import psutil

from perfgate.comparison_verdict import judge_comparison
from perfgate.experiment import health, sink_ledger
from perfgate.experiment.arms import BASELINE, CANDIDATE, Arm, GatewaySpec
from perfgate.experiment.bench import StackBench
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.comparison_plan import Planned, planned_for
from perfgate.experiment.measurement import Measurement
from perfgate.experiment.metrics import METRICS
from perfgate.experiment.rounds import run_rounds
from perfgate.lease import Lease
from perfgate.stack.callbacks import CallbackFault
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.sources import Release
from perfgate.thresholds import Comparing, Limit, Scenario, Thresholds, load_thresholds
from perfgate.verdict import Judgement, Verdict, percent_words

SCENARIO: Final = "callback_gcs"
#: By which a callback is called different; latency is judged beside them.
ASKED: Final = ("throughput_rps", "cpu_per_request_ms")
CASES: Final[Mapping[str, CallbackFault | None]] = {"same": None, "burns": "burns 1 ms", "posts": "posts at once"}
GATES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What all runs have in common."""

    thresholds: Thresholds
    scenario: Scenario
    limits: Mapping[str, Limit]
    release: str

    @classmethod
    def of(cls, path: Path, release: str) -> "Asked":
        """By a file of thresholds; limits that allow more than is claimed are taken at the claim."""
        thresholds = load_thresholds(path, METRICS, FIGURES)
        scenario = thresholds.scenarios[SCENARIO]
        limits = {
            metric: limit if limit.claim is None else replace(limit, margin=None, equivalent_within=limit.claim)
            for metric, limit in scenario.limits.items()
            if limit.equivalent_within is not None or limit.claim is not None
        }
        return cls(thresholds, scenario, limits, release)

    def judged(self, measurement: Measurement) -> Mapping[str, Judgement]:
        """Every limit of a measurement after any look."""
        return judge_comparison(measurement, self.limits, health.check(measurement, self.thresholds.apparatus))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--release", default="1.79.3")
    made.add_argument("--cases", default=",".join(CASES), help="separated by commas")
    made.add_argument("--runs", type=int, default=3, help="of each case")
    made.add_argument("--thresholds", type=Path, default=Path("thresholds.yaml"))
    made.add_argument("--folder", type=Path, default=Path(".perfgate/callbacks-confirmed"))
    return made


def main() -> int:
    options = parser().parse_args()
    if unknown := set(options.cases.split(",")) - CASES.keys():
        parser().error(f"--cases: no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    asked = Asked.of(options.thresholds, options.release)
    options.folder.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[Measurement]] = {name: [] for name in options.cases.split(",")}
    are_right = True
    for number in range(options.runs):
        for name, of_case in runs.items():
            measurement = finished(options.folder / f"{name}-{number}.pickle", asked, CASES[name], seed=number)
            of_case.append(measurement)
            judgements = asked.judged(measurement)
            are_right &= is_different(judgements) == (CASES[name] is not None)
            print(
                f"{name} {number}: look {measurement.look} of {measurement.looks}; {in_words(judgements)}", flush=True
            )
    for name, of_case in runs.items():
        found = [composed_verdict(of_case, asked, random.Random(f"{name}/{gate}")) for gate in range(GATES)]
        counts = ", ".join(
            f"{words} {found.count(words) / GATES:.1%}" for words in ("different", "the same", "can't tell")
        )
        print(f"{name}, {GATES:,} gates composed of {len(of_case)} runs: {counts}", flush=True)
    return 0 if are_right else 1


def finished(path: Path, asked: Asked, fault: CallbackFault | None, seed: int) -> Measurement:
    """A run of a case, which is made if it was not before."""
    if path.exists():
        kept: Measurement = pickle.loads(path.read_bytes())  # this tool's own
        return kept
    measurement = measured(asked, fault, seed)
    path.write_bytes(pickle.dumps(measurement))
    return measurement


def measured(asked: Asked, fault: CallbackFault | None, seed: int) -> Measurement:
    """Compare the stand-in with itself, or with itself and a fault."""
    rounds, load = asked.scenario.rounds, asked.scenario.load
    assert isinstance(rounds, Comparing), "it compares"
    before = GatewaySpec(Release(asked.release), callback="gcs", apart=BASELINE)
    after = replace(before, apart=CANDIDATE, callback_fault=fault)
    with (
        Lease.of_user(os.environ).exclusive("confirming callbacks", said),
        StackBench(EnvironmentCache.of_user(os.environ), say=said) as bench,
    ):
        began_mono_s = time.monotonic()
        planned: Planned = planned_for(
            asked.scenario,
            "callbacks",
            processes=1,
            memory_bytes=psutil.virtual_memory().available,
            drain_s=2 * sink_ledger.DRAIN_S,
        )

        def time_left_s() -> float:
            return rounds.minutes * 60 - (time.monotonic() - began_mono_s)

        return run_rounds(
            bench,
            SCENARIO,
            [Arm("direct", None), Arm(BASELINE, before), Arm(CANDIDATE, after)],
            load.schedule,
            planned.rounds,
            seed=seed,
            until=lambda found: not any(one.is_open for one in asked.judged(found).values()),
            time_left_s=time_left_s,
            direct_schedule=load.direct_schedule,
            fitted=lambda plan: planned.fitted(time_left_s()),
        )


def composed_verdict(runs: Sequence[Measurement], asked: Asked, rng: random.Random) -> str:
    """What a gate of generations drawn from all runs would have said."""
    generations = runs[0].generations
    rounds = min(1 + max(window.round for window in run.windows) for run in runs)
    drawn = rng.sample(
        [(number, generation) for number, run in enumerate(runs) for generation in range(generations)], generations
    )
    cells: dict[tuple[int, int], list] = {}  # type: ignore[type-arg]
    for number, run in enumerate(runs):
        for window in run.windows:
            if window.arm in (BASELINE, CANDIDATE):
                cells.setdefault((number, window.generation), []).append(window)
    direct = [window for window in runs[drawn[0][0]].windows if window.arm == "direct"]
    for look in range(1, rounds + 1):
        windows = [window for window in direct if window.round < look]
        for place, key in enumerate(drawn):
            windows += [replace(window, generation=place) for window in cells[key] if window.round < look]
        measurement = replace(runs[0], windows=tuple(windows), looks=rounds, look=look)
        judgements = asked.judged(measurement)
        if not any(judgement.is_open for judgement in judgements.values()):
            break
    if is_different(judgements):
        return "different"
    return "the same" if all(judgements[metric].verdict is Verdict.PASS for metric in ASKED) else "can't tell"


def is_different(judgements: Mapping[str, Judgement]) -> bool:
    """Whether throughput or CPU is."""
    return any(judgements[metric].verdict is Verdict.FAIL for metric in ASKED)


def in_words(judgements: Mapping[str, Judgement]) -> str:
    """Every verdict with its figure."""
    said_of = []
    for metric, judgement in judgements.items():
        compared = judgement.compared
        words = judgement.reason.value if compared is None else percent_words(compared.comparison.slowdown.ratio)
        if compared is not None:
            words += f" ({percent_words(compared.low)} to {percent_words(compared.high)})"
        said_of.append(f"{metric} {judgement.verdict} {words}")
    return "; ".join(said_of)


def said(line: str) -> None:
    """Show what takes long."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
