"""`perfgate calibrate`: what is this host, as a class of thresholds.yaml?

Comes in: a thresholds file and a name. Goes out: the entry for `hosts`, printed, or written into the file. On a host of
a listed class limits hold as they stand; on any other they are scaled by the speed that is measured here.

With `--runs` it is another question, which calibrate_limits.py answers: which limits does this host allow?
"""

import argparse
import os
import re
import statistics
from pathlib import Path
from typing import Any, Final, get_args

from perfgate.atomic_file import write_atomically
from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.experiment.metrics import METRICS
from perfgate.measure.host import HostFingerprint, fingerprint
from perfgate.measure.host_speed import measured_speed
from perfgate.settings import OPTIONS, Option
from perfgate.stack.affinity import plan_cores
from perfgate.stack.backend import BackendName
from perfgate.stats.prediction import RUNS_MIN
from perfgate.thresholds import Thresholds, load_thresholds

DEFAULT_NAME: Final = "this-host"
DEFAULT_BACKEND: Final[BackendName] = "processes"
#: Measured so often; the median counts, and the spread shows whether the host was idle.
REPEATS: Final = 3
#: Spread of the repeats above which the host was not idle.
SPREAD_MAX_RATIO: Final = 1.1
#: Where records of calibrations are kept, apart from those of other runs.
RECORD_DIR: Final = Path(".perfgate/calibration")
#: Options of a run that are not passed on as they are: they have a meaning of their own here, or none.
_NOT_PASSED_ON: Final = (
    "--stack",
    "--thresholds",
    "--record-dir",
    "--candidate",
    "--baseline",
    "--baseline-config",
    "--candidate-config",
    "--baseline-why",
    "--on-invalid",
    "--seed",
)
RUN_OPTIONS: Final[tuple[Option, ...]] = tuple(option for option in OPTIONS if option.name not in _NOT_PASSED_ON)
_GIB: Final = 1024**3
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def add_calibrate(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `calibrate` to the commands of `perfgate`."""
    parser = commands.add_parser(
        "calibrate",
        help="measure this host's speed and show its entry for `hosts` in thresholds.yaml; or propose limits for it",
        description="Measure how long a fixed piece of work takes on this host (it must be idle), and print the entry "
        "for `hosts` in thresholds.yaml. On a listed host limits hold as they stand, elsewhere they are scaled. With "
        "--runs, propose limits for a listed host instead, as a difference of thresholds.yaml.",
    )
    option = parser.add_argument
    option("--thresholds", type=Path, default=Path("thresholds.yaml"), metavar="FILE", help="the file (%(default)s)")
    option("--name", metavar="NAME", help=f"the name of the class ({DEFAULT_NAME})")
    option(
        "--stack",
        choices=get_args(BackendName),
        help=f"the backend that the limits are meant for ({DEFAULT_BACKEND}; of --runs, as of pytest)",
    )
    option("--write", action="store_true", help="change the file")
    _add_run_options(parser)
    parser.set_defaults(run=run_calibrate)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add `--runs` and what goes with it."""
    group = parser.add_argument_group(
        "limits", "with --runs: make runs of the suite on this host, and propose limits that rest on them"
    )
    option = group.add_argument
    option(
        "--runs",
        type=int,
        metavar="K",
        help=f"make so many runs, one after the other, at least {RUNS_MIN}; those that are there already count",
    )
    option(
        "--record-dir",
        type=Path,
        metavar="DIR",
        help=f"the folder of their records ({RECORD_DIR}); a calibration that broke off goes on in it",
    )
    for run_option in RUN_OPTIONS:
        option(run_option.name, dest=run_option.destination, metavar="…", help=f"{run_option.meaning}; as of pytest")


def given_run_options(options: argparse.Namespace) -> dict[str, str]:
    """Those of `RUN_OPTIONS` that are on the command line, as texts by name."""
    texts = {option.name: getattr(options, option.destination) for option in RUN_OPTIONS}
    return {name: text for name, text in texts.items() if text is not None}


def run_calibrate(options: argparse.Namespace) -> ExitCode:
    """Measure, print, and write when asked to.

    Raises:
        BadInput: the file or an option cannot be used.
        StackFailed: the speed could not be measured, a run broke off, or the file could not be written.
    """
    if options.runs is not None:
        if options.name is not None:
            raise BadInput(f"--name {options.name}: a class that the file is to have gets its name without --runs")
        from perfgate.calibrate_limits import propose_limits

        return propose_limits(options)
    given = [*given_run_options(options), *(["--record-dir"] if options.record_dir is not None else [])]
    if given:
        raise BadInput(f"{', '.join(given)}: of the runs that limits are proposed from: add --runs K")
    return _measure_host(options)


def _measure_host(options: argparse.Namespace) -> ExitCode:
    thresholds = load_thresholds(options.thresholds, METRICS)
    class_name = options.name or DEFAULT_NAME
    if not _NAME.fullmatch(class_name):
        raise BadInput(f"--name {class_name}: must be letters, digits, - and _, and begin with a letter")
    if class_name in thresholds.hosts:
        raise BadInput(f"--name {class_name}: {thresholds.path} has that class already; take another name")
    cores = plan_cores(os.sched_getaffinity(0)).gateway
    speeds_ms = sorted(measured_speed(cores).median_ms for _ in range(REPEATS))
    median_ms = statistics.median(speeds_ms)
    line = entry(class_name, fingerprint(), median_ms, options.stack or DEFAULT_BACKEND)
    print(line)
    if speeds_ms[-1] > speeds_ms[0] * SPREAD_MAX_RATIO:
        each = ", ".join(f"{speed_ms:.1f}" for speed_ms in speeds_ms)
        print(f"warning: {REPEATS} measurements gave {each} ms; the host is not idle, or shared: measure again")
    for sentence in _comparison(thresholds, class_name, median_ms):
        print(sentence)
    if options.write:
        _write(options.thresholds, with_host(options.thresholds.read_text(encoding="utf-8"), line))
        print(f"added to {thresholds.path}")
    return ExitCode.OK


def entry(name: str, host: HostFingerprint, median_ms: float, backend: str = "processes") -> str:
    """The line for `hosts`."""
    memory_gib = max(1, round(host.memory_bytes / _GIB))
    return (
        f"{name}: {{cores: {host.cores_allowed}, memory_gib: {memory_gib}, "
        f'cpu_models: ["{host.cpu_model or "*"}"], backend: {backend}, host_speed_ms: {median_ms:.1f}}}'
    )


def with_host(text: str, line: str) -> str:
    """The file's text with one more host class; everything else, comments too, stays as it is.

    Raises:
        BadInput: `hosts` is written in braces, where a line cannot be added.
    """
    found = re.search(r"^hosts:[ \t]*(\{\}|\S.*)?$", text, re.MULTILINE)
    if found is None:
        return f"{text.rstrip()}\n\nhosts:\n  {line}\n"
    value = (found[1] or "").partition("#")[0].strip()
    if value not in ("", "{}"):
        raise BadInput("`hosts` stands in braces on one line: break it into a line a class, or add the entry by hand")
    head = text[: found.start()] + "hosts:" + text[found.start() + len("hosts:") : found.end()].replace("{}", "")
    return f"{head.rstrip()}\n  {line}{text[found.end() :]}"


def _comparison(thresholds: Thresholds, name: str, median_ms: float) -> list[str]:
    """What listing this host changes."""
    for other, kind in thresholds.hosts.items():
        if kind.host_speed_ms is not None:
            ratio = median_ms / kind.host_speed_ms
            return [
                f"this host takes {ratio:.2f} times as long as {other} for the same work",
                f"once listed, limits are no longer scaled here: where they should differ, say max_on: {{{name}: …}}",
            ]
    return []


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text)
    except OSError as error:
        raise StackFailed(
            f"{path} could not be written: {error.strerror}; the entry above can be added by hand"
        ) from error
