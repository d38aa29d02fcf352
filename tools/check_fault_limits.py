r"""Do the limits on memory see a gateway that leaks while a dependency fails, and nothing in one that does not?

    python tools/check_fault_limits.py --release 1.79.3

puts two gateways with perfgate's callback of known faults (perfgate/stack/litellm_faults.py) through the phases and the
limits of scenarios.fault_sink_hangs, without any dependency that fails: one is asked to keep 100 KB of every request
for ever, the other to keep nothing. Takes four minutes. Ends with 1 when the first does not fail both limits, or the
second fails one.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from perfgate import verdict
from perfgate.experiment import health
from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.bench import StackBench
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.fault_cycles import CyclesPlan, run_cycles
from perfgate.experiment.faults import FAULTS, Fault
from perfgate.experiment.metrics import METRICS
from perfgate.lease import Lease
from perfgate.load.schedule import OpenLoop
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.sources import Release
from perfgate.thresholds import Faulting, load_thresholds

SCENARIO: Final = FAULTS["sink_hangs"].scenario
LIMITS: Final = ("fault_rss_growth_mib", "fault_rss_kept_mib")
#: By the model that is asked for; the other asks for nothing.
LEAKING, IDLE = "leak-100kb", "burn-0pc"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--release", default="1.79.3")
    made.add_argument("--thresholds", type=Path, default=Path("thresholds.yaml"))
    return made


def main() -> int:
    options = parser().parse_args()
    thresholds = load_thresholds(options.thresholds, METRICS, FIGURES)
    asked = thresholds.scenarios[SCENARIO]
    phases, schedule = asked.rounds, asked.load.schedule
    assert isinstance(phases, Faulting), "a dependency fails in it"
    assert isinstance(schedule, OpenLoop), "at a rate"
    plan = CyclesPlan(phases.cycles, phases.before_s, phases.during_s, phases.after_s_max)
    verdicts = {}
    for model in (LEAKING, IDLE):
        arm = Arm("gateway", GatewaySpec(Release(options.release), faults=True), model)
        with (
            Lease.of_user(os.environ).exclusive("checking limits on memory", said),
            StackBench(EnvironmentCache.of_user(os.environ), say=said) as bench,
        ):
            measurement = run_cycles(bench, SCENARIO, Fault("none"), arm, schedule, plan, seed=1)
        fitness = health.check(measurement, thresholds.apparatus)
        for metric in LIMITS:
            judgement = verdict.judge(measurement, asked.limits[metric], fitness, None)
            verdicts[model, metric] = judgement.verdict
            print(f"{model}: {verdict.headline(judgement)}", flush=True)
    expected = {LEAKING: verdict.Verdict.FAIL, IDLE: verdict.Verdict.PASS}
    return 0 if all(found is expected[model] for (model, _), found in verdicts.items()) else 1


def said(line: str) -> None:
    """Show what takes long."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
