"""What are a version's figures beside the anchor's?

Comes in: a bench, a question, the anchor and a version. Goes out: `Measured`, or `Unfit` with the reason. Both are
started several times and asked in turn, in random order, so that what the host does hits both.

It is the comparison of a run with a baseline, but for its end: nothing is to be decided, so it takes the time it is
given. What makes that comparison invalid makes this one unfit, by the same rule.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol

import psutil

from perfgate import __version__
from perfgate.comparison_verdict import judge_comparison
from perfgate.errors import BadInput, StackFailed
from perfgate.experiment import health
from perfgate.experiment.arms import BASELINE, CANDIDATE, PLAIN_MODEL, Arm, GatewaySpec
from perfgate.experiment.comparison import figures_of
from perfgate.experiment.comparison_plan import MEMORY_BYTES, MEMORY_RATIO, SETTLE_S, round_s
from perfgate.experiment.measurement import Measurement, NotMeasured
from perfgate.experiment.rounds import Bench, Progress, RoundsPlan, run_rounds
from perfgate.history.metrics import KEPT, START
from perfgate.history.result import Conditions, Measured, Pairs
from perfgate.measure.histogram import NoRequests
from perfgate.stack.gateway_config import read_gateway_config
from perfgate.stack.inspection import ServiceFacts
from perfgate.stack.packages import Packages
from perfgate.stack.sources import Checkout, GitRef
from perfgate.thresholds import Apparatus, Comparing, Scenario, Thresholds
from perfgate.verdict import Reason

#: Starts of each side: with fewer, t is wide, and with more there is no time left for rounds (docs/history.md).
GENERATIONS: Final = 8
#: Of one version, the starts of its gateways included.
MINUTES: Final = 4.0
#: Of each generation, however long the starts took: below this a generation is a matter of luck.
ROUNDS_MIN: Final = 5
#: Of fewer pairs of generations nothing can be said.
GENERATIONS_MIN: Final = 2
#: What speaks against a whole measurement, and not only against one metric of it.
_UNFIT: Final = (Reason.APPARATUS, Reason.ERRORS, Reason.CONTROL)


class Unfit(Exception):
    """A version was measured, and its figures are not to be used; the text says why."""


class HostFailed(StackFailed):
    """Nothing can be measured or kept here and now, whatever the version."""


class TimedBench(Bench, Protocol):
    """A bench that also knows what runs in its gateways and how long they took to start: `StackBench`."""

    @property
    def facts(self) -> Mapping[GatewaySpec, ServiceFacts]:
        """Of the gateways that were started."""

    @property
    def starts_s(self) -> Mapping[GatewaySpec, Sequence[float]]:
        """From each gateway's start until it answered, in the order of the generations."""


@dataclass(frozen=True, slots=True)
class Version:
    """A member of a series.

    Args:
        name: such as `1.79.3`, or how a commit's hash begins; unique in the series.
        gateway: that is started for it.
    """

    name: str
    gateway: GatewaySpec


@dataclass(frozen=True, slots=True)
class Question:
    """What every version is asked, and for how long.

    Args:
        scenario: of thresholds.yaml; it compares two arms.
        apparatus: what generator, mock and host must keep to.
        generations: starts of each side.
        minutes: for one version.
    """

    scenario: Scenario
    apparatus: Apparatus
    generations: int = GENERATIONS
    minutes: float = MINUTES

    @property
    def load_words(self) -> str:
        """The load, as results keep it to know their own kind."""
        load = self.scenario.load
        stream = ", as streams" if load.stream else ""
        return f"{load.schedule}, prompt {load.payload_bytes or 'as published'}{stream}, direct {load.direct_schedule}"


def question_of(thresholds: Thresholds, scenario: str, generations: int, minutes: float) -> Question:
    """The question of a scenario.

    Raises:
        BadInput: there is no such scenario, it does not compare releases, or there are too few generations.
    """
    comparing = [name for name, one in thresholds.scenarios.items() if one.compares and one.needs.baseline]
    if scenario not in comparing:
        known = ", ".join(comparing) or "none"
        raise BadInput(f"--scenario {scenario}: it must compare two releases; those of {thresholds.path}: {known}")
    if generations < GENERATIONS_MIN:
        raise BadInput(f"--generations {generations} must be at least {GENERATIONS_MIN}: one start shows no spread")
    if not minutes > 0:
        raise BadInput(f"--minutes {minutes:g} must be above 0")
    found = thresholds.scenarios[scenario]
    assert isinstance(found.rounds, Comparing), "it compares"
    return Question(found, thresholds.apparatus, generations, minutes)


def check_memory(question: Question, anchor: GatewaySpec, available_bytes: int | None = None) -> None:
    """See that all gateways fit into the memory that is free: those of both sides are alive at once.

    Raises:
        BadInput: they don't; says how many generations would.
    """
    free = psutil.virtual_memory().available if available_bytes is None else available_bytes
    each = 2 * anchor.processes * MEMORY_BYTES
    fitting = int(free * MEMORY_RATIO / each)
    if fitting < question.generations:
        raise BadInput(
            f"--generations {question.generations} are {2 * question.generations} gateways alive at once, "
            f"{question.generations * each / 2**30:.1f} GiB; {free / 2**30:.1f} GiB are free, of which "
            f"{MEMORY_RATIO:.0%} may be used: free some, or give --generations {max(fitting, GENERATIONS_MIN)}"
        )


def content_sha256(gateway: GatewaySpec, packages: Packages) -> str:
    """What a gateway runs: its packages, and its configuration with the code that belongs to it.

    Raises:
        BadInput: the configuration cannot be read.
    """
    parts: list[object] = [packages.sha256]
    # Commits between two releases all call themselves by the first one's number.
    if isinstance(gateway.source, GitRef):
        parts.append(f"commit {gateway.source.commit}")
    if isinstance(gateway.source, Checkout):
        parts.append(f"files {gateway.source.content}")
    if gateway.config_path is not None:
        config = read_gateway_config(gateway.config_path)
        parts += [config.data, dict(config.files)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def measured(
    bench: TimedBench,
    question: Question,
    conditions: Conditions,
    anchor: GatewaySpec,
    version: Version,
    *,
    seed: int,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    clock_mono_s: Callable[[], float] = time.monotonic,
    notes: Sequence[str] = (),
) -> Measured:
    """Measure a version beside the anchor.

    Args:
        bench: that is open, and has started nothing yet.
        question: what is asked.
        conditions: of the series.
        anchor: what it stands beside.
        version: what is measured.
        seed: of the orders.
        on_progress: called before every window.
        clock_mono_s: tells the time.
        notes: read when it is done: what was said of the gateways meanwhile.

    Raises:
        Unfit: apparatus, errors or differences that nobody asked for speak against it.
        BadInput, StackFailed: it cannot be installed, does not start, or died.
    """
    with ExitStack() as until_it_answers:
        # One alone, so that a version that does not come up says so at once, and its files are in memory.
        bench.start_gateways([replace(version.gateway, apart="tried")], until_it_answers)
    began_mono_s = clock_mono_s()
    scenario = question.scenario
    before, after = replace(anchor, apart=BASELINE), replace(version.gateway, apart=CANDIDATE)
    load = scenario.load
    each_round_s = round_s(load.schedule)

    def left_s() -> float:
        return question.minutes * 60 - (clock_mono_s() - began_mono_s)

    def fitted(plan: RoundsPlan) -> RoundsPlan:
        rounds = max(ROUNDS_MIN, int(left_s() / (plan.generations * each_round_s)))
        return replace(plan, per_generation_max=rounds)

    measurement = run_rounds(
        bench,
        scenario.name,
        (
            Arm("direct", None, _direct_model(anchor)),
            Arm(BASELINE, before, _model(anchor)),
            Arm(CANDIDATE, after, _model(version.gateway)),
        ),
        load.schedule,
        RoundsPlan(question.generations, ROUNDS_MIN, ROUNDS_MIN, one_direct=True, settle_s=SETTLE_S),
        seed=seed,
        until=lambda measurement: False,
        time_left_s=left_s,
        payload_bytes=load.payload_bytes,
        direct_schedule=load.direct_schedule,
        stream=load.stream,
        on_progress=on_progress,
        fitted=fitted,
    )
    _check_fit(question, measurement)
    figures = _figures(measurement) | _starts(bench, before, after)
    if not any(name in figures for name in scenario.limits):
        raise Unfit(f"none of {', '.join(scenario.limits)} could be measured")
    facts = {gateway: bench.facts[gateway] for gateway in (before, after)}
    return Measured(
        version=version.name,
        conditions=replace(conditions, anchor_sha256=content_sha256(before, facts[before].packages)),
        content_sha256=content_sha256(after, facts[after].packages),
        figures=figures,
        rounds=len(measurement.of_arm(BASELINE)),
        requests=min(measurement.requests(arm) for arm in (BASELINE, CANDIDATE)),
        minutes=round((clock_mono_s() - began_mono_s) / 60, 2),
        measured_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        perfgate_version=__version__,
        seeds=(seed,),
        notes=tuple(notes),
    )


def _check_fit(question: Question, measurement: Measurement) -> None:
    """Raise Unfit where a comparison of the same windows would be INVALID as a whole, or FAIL for its errors."""
    if measurement.unasked:
        raise Unfit(f"{Reason.ARMS_DIFFER.value}: {'; '.join(measurement.unasked)}")
    limits = {metric: limit for metric, limit in question.scenario.limits.items() if limit.is_relative}
    # The only look, since no earlier one could have ended it.
    only_look = replace(measurement, look=1, looks=1)
    fitness = health.check(only_look, question.apparatus)
    for judgement in judge_comparison(only_look, limits, fitness).values():
        if judgement.reason in _UNFIT:
            raise Unfit(f"{judgement.reason.value}: {judgement.detail}")


def _figures(measurement: Measurement) -> dict[str, Pairs]:
    """Every kept figure that could be measured of both arms in every generation, and has a ratio."""
    found: dict[str, Pairs] = {}
    for name, kept in KEPT.items():
        if kept.figure is None:
            continue
        try:
            before, after = (list(figures_of(measurement, kept.figure, arm).values()) for arm in (BASELINE, CANDIDATE))
        except (NotMeasured, NoRequests):
            continue
        pairs = tuple(zip(before, after, strict=True))
        if len(pairs) >= GENERATIONS_MIN and all(figure > 0 for pair in pairs for figure in pair):
            found[name] = pairs
    return found


def _starts(bench: TimedBench, before: GatewaySpec, after: GatewaySpec) -> dict[str, Pairs]:
    """Start-up times, but for the first generation's: its files may come from the disk, and all others' from memory."""
    pairs = tuple(zip(bench.starts_s[before], bench.starts_s[after], strict=True))[1:]
    return {START: pairs} if len(pairs) >= GENERATIONS_MIN else {}


def _model(gateway: GatewaySpec) -> str:
    return PLAIN_MODEL if gateway.config_path is None else read_gateway_config(gateway.config_path).default_model


def _direct_model(gateway: GatewaySpec) -> str:
    """What the mock is asked for without a gateway: what the anchor asks it for."""
    if gateway.config_path is None:
        return PLAIN_MODEL
    return read_gateway_config(gateway.config_path).upstream_of(_model(gateway))
