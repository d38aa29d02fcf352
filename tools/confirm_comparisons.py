r"""Does a comparison say, live, what is known to be true? Runs each case some times, and says what every run came to.

    python tools/confirm_comparisons.py --release 1.79.3 --slower 1.102.4 --runs 5

    same        a release with itself: never FAIL
    burner      tools/burner: a tenth more CPU for each request, which is FAIL
    stall       50 ms in 2 % of the requests, which is FAIL
    configs     one release with two configs that do the same: never FAIL
    neighbour   a release with itself, while another process on every core takes all it gets, from half-way: never FAIL
    slower      the release with one that is known to be slower: FAIL
    swapped     the same two, changed over: PASS

Takes about four minutes a run, on a host that does nothing else. Cases take turns, so that a host that changes hits all
alike. A run that is over is not done again: end this at any time and start it with the same --records once more.
Ends with 1 when a run said FAIL where there is nothing, or no FAIL where there is something.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tabulate_comparisons import heading, row

from perfgate import record

BURNER: Final = Path(__file__).parent / "burner"
#: A comparison is over by then, whatever happens.
LONGEST_S: Final = 900.0
#: After a run's start: when its gateways are up and windows are measured, on the reference host.
NEIGHBOUR_STARTS_S: Final = (80.0, 150.0)


@dataclass(frozen=True, slots=True)
class Case:
    """Something whose answer is known.

    Args:
        arguments: of pytest, that name the two arms.
        is_slower: whether the candidate is.
        has_neighbour: whether other processes take CPU from half-way on.
    """

    arguments: tuple[str, ...]
    is_slower: bool
    has_neighbour: bool = False


def cases_of(release: str, slower: str) -> dict[str, Case]:
    """Every case by its name."""
    idle, burns = str(BURNER / "idle.yaml"), str(BURNER / "burns.yaml")
    same = ("--baseline", release, "--candidate", release)
    two_configs = ("--candidate", release, "--baseline-config", idle, "--candidate-config")
    return {
        "same": Case(same, is_slower=False),
        "burner": Case((*two_configs, burns), is_slower=True),
        "stall": Case((*two_configs, str(BURNER / "stalls.yaml")), is_slower=True),
        "neighbour": Case(same, is_slower=False, has_neighbour=True),
        "configs": Case((*two_configs, idle), is_slower=False),
        "slower": Case(("--baseline", release, "--candidate", slower), is_slower=True),
        "swapped": Case(("--baseline", slower, "--candidate", release), is_slower=False),
    }


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--release", default="1.79.3")
    made.add_argument("--slower", default="1.102.4", help="a release that is known to be slower")
    made.add_argument(
        "--cases", default="same,burner,stall,neighbour,configs,slower,swapped", help="separated by commas"
    )
    made.add_argument("--runs", type=int, default=5, help="of each case")
    made.add_argument("--records", type=Path, default=Path(".perfgate/confirmed"))
    return made


def main() -> int:
    options = parser().parse_args()
    known = cases_of(options.release, options.slower)
    if unknown := set(options.cases.split(",")) - known.keys():
        parser().error(f"--cases: no case {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    are_right = True
    print(heading(), flush=True)
    for number in range(options.runs):
        for name in options.cases.split(","):
            path = finished(options.records / f"{name}-{number}", known[name])
            run = record.read(path)
            has_failed = any(judgement.verdict == "FAIL" for judgement in run.judgements)
            are_right &= has_failed == known[name].is_slower
            print(row(run), f"{name} {number}", flush=True)
    return 0 if are_right else 1


def finished(folder: Path, case: Case) -> Path:
    """The record of a run of a case, which is run if it was not before."""
    for path in sorted(folder.glob("*-gate.json")):
        known = record.read(path)
        if known.finished_utc is not None and not known.incomplete:
            return path
        path.unlink()  # broken off, or ended by somebody
    command = [sys.executable, "-m", "pytest", "tests/perf", "--profile", "gate", "--scenarios", "regression"]
    command += ["--stack", "processes", "--record-dir", str(folder), *case.arguments]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "pytest.log").open("w") as log:
        run = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            if case.has_neighbour:
                with neighbour_of(run):
                    run.wait(LONGEST_S)
            run.wait(LONGEST_S)
        finally:
            if run.poll() is None:
                run.terminate()
                run.wait()
    (path,) = folder.glob("*-gate.json")
    return path


@contextmanager
def neighbour_of(run: subprocess.Popen[bytes]) -> Iterator[None]:
    """Take what every core gives from some time of a run on, for as long as the context is open."""
    starts_s = time.monotonic() + random.uniform(*NEIGHBOUR_STARTS_S)
    while run.poll() is None and time.monotonic() < starts_s:
        time.sleep(1.0)
    neighbours = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


if __name__ == "__main__":
    sys.exit(main())
