"""`perfgate why`: which functions made it slow?

Comes in: two versions, options, thresholds.yaml. Goes out: a page with a flame graph, tables, and the stacks of both,
in a folder; the tables on standard output; an exit code.
"""

import argparse
import os
import secrets
import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, get_args

from perfgate.atomic_file import write_atomically
from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.experiment.arms import BASELINE, CANDIDATE, PLAIN_MODEL, Arm, GatewaySpec
from perfgate.experiment.bench import StackBench
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.likeness import PACKAGES_DIFFER
from perfgate.experiment.measurement import NotMeasured
from perfgate.experiment.metrics import METRICS
from perfgate.experiment.rounds import Progress
from perfgate.history.command import say
from perfgate.history.measuring import Question, check_memory, question_of
from perfgate.lease import Lease
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.gateway_config import read_gateway_config
from perfgate.stack.inspection import ServiceFacts
from perfgate.stack.releases import DepsMode
from perfgate.stack.sources import PortkeyRelease, RunningUrl, source_of
from perfgate.stack.supervision import Supervisor
from perfgate.thresholds import load_thresholds
from perfgate.why.answer import answer_of, first_words
from perfgate.why.flame_graph import FlameGraph, flame_graph
from perfgate.why.folded import folded
from perfgate.why.gains import gains_of
from perfgate.why.markdown import markdown
from perfgate.why.page import page
from perfgate.why.profiler import RATE_HZ, Profiler, program_path
from perfgate.why.profiling import Profile, profiled, profiling_schedule

DEFAULT_FOLDER: Final = Path(".perfgate/why")
DEFAULT_THRESHOLDS: Final = Path("thresholds.yaml")
#: Starts of each side: enough to see that processes differ, few enough to leave time for samples.
GENERATIONS: Final = 3
#: The starts included; 36 s under the profiler for each side, on two cores.
MINUTES: Final = 4.0
#: More often than this, and attaching to a process takes longer than what is between two samples.
RATE_MAX_HZ: Final = 1000
SAY_EVERY_S: Final = 30.0


def add_why(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `why` to the commands of `perfgate`."""
    parser = commands.add_parser(
        "why",
        help="show which functions of LiteLLM take more CPU than they did",
        description="Start both versions several times, load them in turn, and sample their stacks with py-spy: the "
        "functions that gained most CPU per request, a flame graph of the difference, and in which packages they "
        "differ. What the profiler itself costs is measured and said.",
    )
    option = parser.add_argument
    forms = "a release (1.79.3), path:FOLDER (a checkout) or git:URL@REF"
    option("--baseline", required=True, metavar="VERSION", help=f"what was well: {forms}")
    option("--candidate", required=True, metavar="VERSION", help="what is slower, named likewise")
    option("--baseline-config", type=Path, metavar="FILE", help="the baseline's config.yaml")
    option("--candidate-config", type=Path, metavar="FILE", help="the candidate's config.yaml")
    option(
        "--deps",
        choices=get_args(DepsMode),
        default="of-its-time",
        help="dependencies as of each version, or of today (%(default)s)",
    )
    option("--workers", type=int, default=1, metavar="N", help="worker processes of each gateway (%(default)s)")
    option("--scenario", default="regression", metavar="NAME", help="of thresholds.yaml, its load (%(default)s)")
    option("--generations", type=int, default=GENERATIONS, metavar="N", help="starts of each side (%(default)s)")
    option("--minutes", type=float, default=MINUTES, metavar="M", help="for all of it (%(default)s)")
    option("--rate", type=int, default=RATE_HZ, metavar="HZ", help="samples a second of each process (%(default)s)")
    option("--seed", type=int, metavar="N", help="of all random orders; default: a new one, printed")
    option("--thresholds", type=Path, default=DEFAULT_THRESHOLDS, metavar="FILE", help="(%(default)s)")
    option("--output", type=Path, default=DEFAULT_FOLDER, metavar="DIR", help="the folder to write to (%(default)s)")
    parser.set_defaults(run=run_why)


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured of two gateways.

    Args:
        profile: of both.
        facts: of what ran in each, by gateway.
        notes: what was said of them meanwhile.
    """

    profile: Profile
    facts: Mapping[GatewaySpec, ServiceFacts]
    notes: tuple[str, ...]


def run_why(options: argparse.Namespace) -> ExitCode:
    """Profile both, write what it came to, and show it.

    Returns:
        OK; INVALID where something speaks against the figures, which are shown all the same.

    Raises:
        BadInput: an option, thresholds.yaml or the folder cannot be used, or py-spy is not installed.
        StackFailed: a version cannot be had or does not start, the kernel refuses ptrace, or a file could not be
            written.
        KeyboardInterrupt: it was ended; nothing was written.
    """
    thresholds = load_thresholds(options.thresholds, METRICS, FIGURES)
    question = question_of(thresholds, options.scenario, options.generations, options.minutes)
    if not 1 <= options.rate <= RATE_MAX_HZ:
        raise BadInput(f"--rate {options.rate} must be from 1 to {RATE_MAX_HZ}")
    if options.workers < 1:
        raise BadInput(f"--workers {options.workers} must be at least 1")
    program = program_path()
    arms = _arm(options, BASELINE), _arm(options, CANDIDATE)
    for arm in arms:
        assert arm.gateway is not None, "both have one"
        check_memory(question, arm.gateway)
    folder = _checked_folder(options.output)
    seed = secrets.randbelow(10_000) if options.seed is None else int(options.seed)
    found = found_of(question, arms, program, seed, options.rate)
    return _concluded(options, seed, question, arms, found, folder)


def found_of(question: Question, arms: tuple[Arm, Arm], program: Path, seed: int, rate_hz: int) -> Found:
    """Profile both on the real stack, alone on the host.

    Args:
        question: load, generations and time.
        arms: baseline and candidate.
        program: py-spy.
        seed: of the orders.
        rate_hz: as of `Profiler`.

    Raises:
        BadInput, StackFailed: see `run_why`.
    """
    notes: list[str] = []
    baseline, candidate = arms
    assert baseline.gateway is not None, "it has one"
    assert candidate.gateway is not None, "it has one"
    cache = EnvironmentCache.of_user(os.environ)
    load = question.scenario.load
    with ExitStack() as stack:
        # Before its time begins, and while others may still measure.
        for gateway in (baseline.gateway, candidate.gateway):
            assert not isinstance(gateway.source, RunningUrl | PortkeyRelease), "it was refused"
            stack.enter_context(cache.using(gateway.source, gateway.deps, gateway.with_packages, say=say))
        what = f"profiling {baseline.gateway} and {candidate.gateway}"
        stack.enter_context(Lease.of_user(os.environ).exclusive(what, say))
        supervisor = stack.enter_context(Supervisor())
        Profiler(supervisor, program, rate_hz=rate_hz).check()
        bench = stack.enter_context(StackBench(cache, say=say, on_note=notes.append))
        # Beside the apparatus, whose windows without it show whether it is fit; the gateway's core is the gateway's.
        profiler = Profiler(supervisor, program, rate_hz=rate_hz, cpus=bench.cores.mock)
        try:
            profile = profiled(
                bench,
                profiler,
                question.scenario.name,
                baseline,
                candidate,
                profiling_schedule(load.schedule),
                generations=question.generations,
                minutes=question.minutes,
                seed=seed,
                payload_bytes=load.payload_bytes,
                stream=load.stream,
                on_progress=_seldom(),
            )
        except NotMeasured as error:
            raise StackFailed(f"nothing can be said of {what}: {error}") from error
        notes += bench.unasked_differences(baseline.gateway, candidate.gateway)
        return Found(profile, dict(bench.facts), tuple(dict.fromkeys(notes)))


def _concluded(
    options: argparse.Namespace,
    seed: int,
    question: Question,
    arms: tuple[Arm, Arm],
    found: Found,
    folder: Path,
) -> ExitCode:
    """Write and print what it came to."""
    gateways = [arm.gateway for arm in arms if arm.gateway is not None]
    gains, profile = gains_of(found.profile), found.profile
    answer = answer_of(
        profile,
        gains,
        replace(gateways[0], apart=""),
        replace(gateways[1], apart=""),
        found.facts[gateways[0]].packages.differences(found.facts[gateways[1]].packages),
        question.apparatus,
        command=_command(options, seed),
        # Packages have a table of their own.
        notes=[note for note in found.notes if not note.startswith(PACKAGES_DIFFER)],
    )
    text = markdown(answer)
    files = {"why.md": text, "why.html": page(answer, _graph(profile))}
    files |= {f"{arm}.folded": folded(profile.us(arm)) for arm in (BASELINE, CANDIDATE)}
    for name, content in files.items():
        try:
            write_atomically(folder / name, content)
        except OSError as error:
            raise StackFailed(f"{folder / name} could not be written: {error.strerror}") from error
    print(text, end="")
    say(f"{first_words(gains)}; the flame graph is in {folder / 'why.html'}")
    return ExitCode.INVALID if answer.warnings else ExitCode.OK


def _graph(profile: Profile) -> FlameGraph | None:
    before, after = (profile.us_per_request(arm) for arm in (BASELINE, CANDIDATE))
    return flame_graph(before, after) if before or after else None


def _arm(options: argparse.Namespace, name: str) -> Arm:
    """What was asked for as one arm.

    Raises:
        BadInput: it cannot be profiled.
    """
    text, config_path = getattr(options, name), getattr(options, f"{name}_config")
    source = source_of(text)
    if isinstance(source, RunningUrl):
        raise BadInput(f"--{name} {text}: it runs already, and perfgate looks into processes that it started alone")
    if isinstance(source, PortkeyRelease):
        raise BadInput(f"--{name} {text}: it is no Python program, and py-spy reads no other")
    gateway = GatewaySpec(source, options.deps, options.workers, config_path=config_path, apart=name)
    model = PLAIN_MODEL if config_path is None else read_gateway_config(config_path).default_model
    return Arm(name, gateway, model)


def _checked_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--output {folder}: {error.strerror}; name another folder") from error
    return folder


def _command(options: argparse.Namespace, seed: int) -> str:
    """What to type to have it again."""
    words: list[str] = ["perfgate", "why", "--baseline", options.baseline, "--candidate", options.candidate]
    for name in (BASELINE, CANDIDATE):
        if (path := getattr(options, f"{name}_config")) is not None:
            words += [f"--{name}-config", str(path)]
    words += ["--deps", options.deps, "--workers", str(options.workers), "--scenario", options.scenario]
    words += ["--generations", str(options.generations), "--minutes", f"{options.minutes:g}"]
    words += ["--rate", str(options.rate), "--seed", str(seed)]
    if options.thresholds != DEFAULT_THRESHOLDS:
        words += ["--thresholds", str(options.thresholds)]
    return shlex.join(words)


def _seldom() -> Callable[[Progress], None]:
    """Say now and then where it stands."""
    next_mono_s = 0.0

    def show(progress: Progress) -> None:
        nonlocal next_mono_s
        now_mono_s = time.monotonic()
        if now_mono_s >= next_mono_s:
            next_mono_s = now_mono_s + SAY_EVERY_S
            left = f", {progress.left_s:.0f} s left" if progress.left_s else ""
            say(f"window {progress.done + 1}: {progress.text}{left}")

    return show
