"""Do both backends give the same overhead, and what does the containers' network cost?

    python tools/compare_backends.py --images built --prisma-engine wasm

Four arms in random order by round: direct and gateway as processes, direct and gateway in containers, each gateway over
the mock of its own backend. Prints overheads, their ratio with its interval, what the network path adds to a direct
request, and CPU per request with the two accounts of it (control group and process tree) side by side.
"""

import argparse
import os
import sys
from dataclasses import replace

from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.bench import StackBench
from perfgate.experiment.measurement import Estimate, Measurement
from perfgate.experiment.rounds import RoundsPlan, run_rounds
from perfgate.load.schedule import OpenLoop
from perfgate.measure.host import fingerprint
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.images import images_of
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--litellm", default=DEFAULT_RELEASE, help="release (%(default)s)")
    made.add_argument("--images", default="official", help="as pytest's option (%(default)s)")
    made.add_argument("--prisma-engine", default="native", choices=("native", "wasm"), help="in LiteLLM's image")
    made.add_argument("--generations", type=int, default=3, help="starts of each gateway (%(default)s)")
    made.add_argument("--rounds", type=int, default=8, help="rounds in each generation (%(default)s)")
    made.add_argument("--rate", type=float, default=30, help="offered requests/s (%(default)g)")
    made.add_argument("--seconds", type=float, default=4, help="length of each window (%(default)g)")
    made.add_argument("--seed", type=int, default=1)
    return made


def main() -> int:
    options = parser().parse_args()
    local = GatewaySpec(Release(options.litellm))
    arms = (
        Arm("direct", None),
        Arm("gateway", local),
        Arm("direct_inside", None, direct_on="containers"),
        Arm("gateway_inside", replace(local, backend="containers")),
    )
    host = fingerprint()
    with StackBench(
        EnvironmentCache.of_user(os.environ),
        ("processes", "containers"),
        prisma_mode=options.prisma_engine,
        images=images_of(options.images),
        say=lambda line: print(line, file=sys.stderr, flush=True),
    ) as bench:
        measurement = run_rounds(
            bench,
            "backends",
            arms,
            OpenLoop(options.rate, warm_up_s=0.5, window_s=options.seconds),
            RoundsPlan(options.generations, options.rounds, options.rounds),
            seed=options.seed,
            until=lambda _: False,
            time_left_s=lambda: float("inf"),
            on_progress=lambda progress: print(progress.text, file=sys.stderr, flush=True),
        )
    print(f"{local}, {host.cores_allowed} cores {host.cpu_model}, Linux {host.kernel}; {options.rate:g} requests/s,")
    print(
        f"{options.rounds} rounds in each of {options.generations} generations, windows of {options.seconds:g} s, "
        f"seed {options.seed}"
    )
    print()
    report(measurement)
    return 0


def report(measurement: Measurement) -> None:
    """Print every figure with its interval."""
    m = measurement
    for arm in ("gateway", "gateway_inside"):
        print(f"errors of {arm}: {m.errors(arm) or 'none'}")
    print("| figure | processes | containers | containers / processes |")
    print("|---|---|---|---|")
    for p in (50, 95):
        ours, inside = m.overhead_ms(p), m.overhead_ms(p, "gateway_inside", "direct_inside")
        ratio = m.overhead_ratio(p, "gateway_inside", "direct_inside", "gateway", "direct")
        print(f"| overhead p{p}, ms | {words(ours)} | {words(inside)} | {words(ratio)} |")
    for p in (50, 95):
        print(f"| direct p{p}, ms | {words(m.latency_ms(p, 'direct'))} | {words(m.latency_ms(p, 'direct_inside'))} | |")
    cpu, cpu_inside = m.cpu_ms_per_request("gateway"), m.cpu_ms_per_request("gateway_inside")
    print(f"| CPU per request, ms | {words(cpu)} | {words(cpu_inside)} | {cpu_inside.value / cpu.value:.3f} |")
    uses = [window.gateway for window in m.of_arm("gateway_inside") if window.gateway is not None]
    ratios = [use.cpu_s / use.cpu_tree_s for use in uses if use.cpu_tree_s]
    print()
    print(f"network path of containers adds {words(m.added_ms(50, 'direct_inside', 'direct'))} ms to a direct p50")
    print(
        f"CPU by control group / by process tree: {sum(ratios) / len(ratios):.4f} "
        f"({min(ratios):.4f} to {max(ratios):.4f} in {len(ratios)} windows)"
    )


def words(estimate: Estimate) -> str:
    """A figure with its interval."""
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


if __name__ == "__main__":
    sys.exit(main())
