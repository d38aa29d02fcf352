"""Does cpu_per_request_ms move by the CPU time that a request is known to burn more?

    python tools/check_cpu_accuracy.py

One LiteLLM process, two arms that alternate by window in random order: plain requests, and requests whose model's name
makes a callback burn a known time of `time.thread_time()` (perfgate/stack/litellm_faults.py). Prints a row a round and
the mean difference with its 95 % t interval over the rounds. Exit code 1 when the mean is off by more than 15 %.
"""

import argparse
import os
import sys
from typing import Final

import numpy as np
from scipy import stats

from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.bench import StackBench
from perfgate.experiment.measurement import Measurement, Window
from perfgate.experiment.rounds import RoundsPlan, run_rounds
from perfgate.load.schedule import OpenLoop
from perfgate.measure.host import fingerprint
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.releases import DEFAULT_RELEASE, DepsMode
from perfgate.stack.sources import Release

TOLERANCE_RATIO: Final = 0.15


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--litellm", default=DEFAULT_RELEASE, help="release (%(default)s)")
    made.add_argument("--burn-ms", type=float, default=5.0, help="CPU that a request burns more (%(default)g)")
    made.add_argument("--generations", type=int, default=2, help="starts of the gateway (%(default)s)")
    made.add_argument("--rounds", type=int, default=12, help="rounds in each generation (%(default)s)")
    made.add_argument("--rate", type=float, default=30, help="offered requests/s (%(default)g)")
    made.add_argument("--seconds", type=float, default=3, help="length of each window (%(default)g)")
    made.add_argument("--seed", type=int, default=1)
    return made


def main() -> int:
    options = parser().parse_args()
    deps: DepsMode = "of-its-time"
    gateway = GatewaySpec(Release(options.litellm), deps, faults=True)
    arms = (Arm("plain", gateway), Arm("burning", gateway, f"perfgate-burn-cpu-{options.burn_ms:g}ms"))
    host = fingerprint()
    with StackBench(EnvironmentCache.of_user(os.environ)) as bench:
        measurement = run_rounds(
            bench,
            "cpu_accuracy",
            arms,
            OpenLoop(options.rate, warm_up_s=0.5, window_s=options.seconds),
            RoundsPlan(options.generations, options.rounds, options.rounds),
            seed=options.seed,
            until=lambda _: False,
            time_left_s=lambda: float("inf"),
            on_progress=lambda progress: print(progress.text, file=sys.stderr, flush=True),
        )
    print(f"{gateway}, {host.cores_allowed} cores {host.cpu_model}, Linux {host.kernel}; {options.rate:g} requests/s,")
    print(f"windows of {options.seconds:g} s, one process a generation, seed {options.seed}")
    print()
    mean_ms = report(measurement, options.burn_ms)
    return int(abs(mean_ms / options.burn_ms - 1) > TOLERANCE_RATIO)


def report(measurement: Measurement, burn_ms: float) -> float:
    """Print the rounds and the mean difference; return the mean, in ms."""
    print("| generation | round | plain, ms a request | burning, ms a request | difference, ms |")
    print("|---|---|---|---|---|")
    differences_ms = []
    for plain, burning in zip(measurement.of_arm("plain"), measurement.of_arm("burning"), strict=True):
        before_ms, after_ms = cpu_ms_per_request(plain), cpu_ms_per_request(burning)
        differences_ms.append(after_ms - before_ms)
        print(
            f"| {plain.generation + 1} | {plain.round + 1} | {before_ms:.2f} | {after_ms:.2f} | "
            f"{differences_ms[-1]:.2f} |"
        )
    mean_ms = float(np.mean(differences_ms))
    half_ms = float(stats.t.ppf(0.975, len(differences_ms) - 1) * stats.sem(differences_ms))
    print()
    print(
        f"{len(differences_ms)} rounds: moved by {mean_ms:.3f} ms (95 % interval {mean_ms - half_ms:.3f} to "
        f"{mean_ms + half_ms:.3f}), true value {burn_ms:g} ms: {mean_ms / burn_ms - 1:+.1%}"
    )
    return mean_ms


def cpu_ms_per_request(window: Window) -> float:
    """As `Measurement.cpu_ms_per_request`, of one window."""
    assert window.gateway is not None
    return 1000 * window.gateway.cpu_s / window.load.completed


if __name__ == "__main__":
    sys.exit(main())
