"""What does one run know, judge and write down?

Comes in: settings. Goes out: judgements, an exit code, and a record that is complete after every window (of a
comparison, whose windows are short: at most some seconds behind while it runs).
Stands between the pytest plugin (which shows things) and the rooms (which do them); knows nothing of pytest.

    Asked --begun--> Run            the process that was started: writes the first record, finishes it at the end
    Asked --joined-> Run            under xdist, the worker that measures: goes on with that record
"""

import math
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

import psutil

from perfgate import __version__, drift, noise_seen, record, verdict
from perfgate.backend_choice import ChosenStack, chosen_stack, lacking
from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode, worst
from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.comparison import FIGURES, noise_of_comparison
from perfgate.experiment.comparison_plan import Planned, expected_noise, planned_for
from perfgate.experiment.gateway_figures import PORTKEY
from perfgate.experiment.measurement import Measurement, NotMeasured
from perfgate.experiment.metrics import METRICS, arms_of_limits, gateways_of_limits
from perfgate.experiment.rounds import SETTLE_S, WINDOW_EXTRA_S, RoundsPlan
from perfgate.experiment.sizes import sizes_to_try
from perfgate.experiment.start_plan import GatewayStart, settling_s, starting_s
from perfgate.failed_replies import FailedRepliesFile
from perfgate.host_limits import HostStanding, standing
from perfgate.lease import Tenure
from perfgate.load.schedule import ClosedLoop, Schedule
from perfgate.measure.host import HostFingerprint, environment_warnings, fingerprint
from perfgate.measure.host_speed import HostSpeed
from perfgate.record import (
    HostSpeedRecord,
    LeaseRecord,
    Record,
    RecordFile,
    ServiceRecord,
    StackRecord,
)
from perfgate.record_entries import judgement_record, measurement_record
from perfgate.rules import DriftRules, Rules
from perfgate.settings import Settings
from perfgate.stack.affinity import plan_cores
from perfgate.stack.callbacks import lacking as cannot_log
from perfgate.stack.inspection import ServiceFacts, differences_in_words
from perfgate.stack.sources import PortkeyRelease, RunningUrl
from perfgate.stats.comparison import OneRoundEach, TooFewGenerations
from perfgate.stats.plan import GENERATIONS_MIN
from perfgate.thresholds import (
    Comparing,
    Faulting,
    Limit,
    Profile,
    Rounds,
    Scenario,
    Searching,
    Thresholds,
    host_class,
    load_thresholds,
)
from perfgate.verdict import Judgement, Surroundings
from perfgate.versions import versions_here

#: Seconds that a window takes by Locust beyond what it takes by perfgate's own generator: its users come and go.
LOCUST_WINDOW_EXTRA_S: Final = 0.25
#: Seconds that a comparison's last look and the stop of its gateways take.
STOP_S: Final = 10.0
#: Seconds of measuring that a kill may cost at most, beside the window that it falls into.
KEEP_EVERY_S: Final = 5.0
#: Windows that a gateway's search takes, to plan with: three rates until it is bracketed, and eight to narrow it.
SEARCH_WINDOWS_ESTIMATE: Final = 11
#: Seconds of a request that is sent alone, directly or through a gateway, to plan with; measured 2 to 12 ms.
SINGLE_REQUEST_ESTIMATE_S: Final = 0.02


def run_name() -> str:
    """A name for a run that no other on this host has: when, and which process."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}"


def command_again(typed: Sequence[str], options: Mapping[str, str]) -> list[str]:
    """A command as it was typed, with the options that it got in other ways: by variables, or pytest's own settings.

    Args:
        typed: its words.
        options: see `settings.options_given`.

    >>> command_again(["pytest", "--workers=2"], {"--workers": "2", "--deps": "today"})
    ['pytest', '--workers=2', '--deps', 'today']
    """
    named = {word.partition("=")[0] for word in typed}
    return [*typed, *(word for name, text in options.items() if name not in named for word in (name, text))]


def scenarios_asked(settings: Settings, thresholds: Thresholds) -> tuple[str, ...]:
    """The declared set, in the profile's order, as far as it can be checked without a look at the host.

    Raises:
        BadInput: there is no such profile or scenario, nothing that compares with a baseline, or a load that Locust
            cannot send.
    """
    profile = thresholds.profiles.get(settings.profile)
    if profile is None:
        known = ", ".join(thresholds.profiles)
        raise BadInput(f"--profile={settings.profile}: {settings.thresholds_path} has only {known}")
    for name in settings.scenarios:
        if name not in profile.scenarios:
            known = ", ".join(profile.scenarios)
            raise BadInput(f"--scenarios={name}: profile {settings.profile} has only {known}")
    scenarios = tuple(s for s in profile.scenarios if not settings.scenarios or s in settings.scenarios)
    if settings.baseline is not None and not any(thresholds.scenarios[s].needs.baseline for s in scenarios):
        comparing = [name for name, found in thresholds.scenarios.items() if found.needs.baseline]
        raise BadInput(
            f"--baseline={settings.baseline.source.option_text}: none of {', '.join(scenarios)} compares with it; "
            f"name a profile with {' or '.join(comparing) or 'such a scenario'}, or leave --baseline out"
        )
    _check_generator(settings, thresholds, scenarios)
    return scenarios


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, and can be done: nothing has been started or written yet.

    Args:
        settings: as resolved.
        options: what of them to type again, see `settings.options_given`.
        thresholds, profile: of the file and the name in the settings.
        scenarios: the declared set, in the profile's order.
        host: as it is before anything is started.
        stack: which backend, and why.
        drift_base: the committed record that figures must not drift too far from; None where no limit says so.
    """

    settings: Settings
    options: Mapping[str, str] = field(repr=False)  # as typed, passwords included
    thresholds: Thresholds
    profile: Profile
    scenarios: tuple[str, ...]
    host: HostFingerprint
    stack: ChosenStack
    drift_base: drift.Base | None = field(default=None, repr=False)

    @classmethod
    def checked(cls, settings: Settings, options: Mapping[str, str]) -> Self:
        """Check everything that can be checked before anything is started.

        Raises:
            BadInput: thresholds, profile, scenarios, the committed record or the host cannot be used.
        """
        if not sys.platform.startswith("linux"):
            raise BadInput(f"perfgate measures on Linux only, this is {sys.platform}: run it in a Linux container")
        thresholds = load_thresholds(settings.thresholds_path, METRICS, FIGURES, today=datetime.now(UTC).date())
        scenarios = scenarios_asked(settings, thresholds)
        profile = thresholds.profiles[settings.profile]
        drift_base = drift.read_base(thresholds.drift) if thresholds.drift is not None else None
        host = fingerprint()
        chosen = chosen_stack(settings, max(alive_at_once(thresholds.scenarios[name].rounds) for name in scenarios))
        settings = replace(settings, gateway=chosen.gateway, baseline=_beside(settings.baseline, chosen))
        missing = []
        for name in scenarios:
            needs = thresholds.scenarios[name].needs
            if needs.cores > host.cores_allowed:
                missing.append(f"{name} needs {needs.cores} cores, and there are {host.cores_allowed} for us")
            elif needs.baseline and settings.baseline is None:
                missing.append(f"{name} needs something to compare with: --baseline RELEASE, or --baseline-config FILE")
            elif (
                needs.callback is not None and (why := cannot_log(needs.callback, settings.gateway.source)) is not None
            ):
                missing.append(f"{name} needs another release: {why}")
            elif (what := lacking(needs.services, chosen, settings.postgres_url)) is not None:
                missing.append(f"{name} needs {what}")
        if missing:
            listed = "".join(f"\n  {sentence}" for sentence in missing)
            raise BadInput(
                f"this host lacks what scenarios need; nothing was started:{listed}\n"
                "next: provide it, or name other scenarios with --scenarios"
            )
        return cls(settings, options, thresholds, profile, scenarios, host, chosen, drift_base)

    def record_path(self, name: str) -> Path:
        """Where the record of the run of that name is."""
        return self.settings.record_dir / f"{name}-{self.settings.profile}.json"


@dataclass(slots=True)
class Run:
    """One run, from what was asked for to its exit code. Make it with `Run.begun` or `Run.joined`.

    Attributes:
        asked: see there.
        file: the record's file.
        record: everything so far; in the file after every change but a note.
        started_mono_s: when its time began to count.
    """

    asked: Asked
    file: RecordFile
    record: Record
    started_mono_s: float
    _waited_s: float = 0.0
    _begun_mono_s: dict[str, float] = field(default_factory=dict)
    _planned: dict[str, Planned] = field(default_factory=dict)
    _kept_mono_s: float = -math.inf
    _unkept: Measurement | None = None
    _failed_replies: FailedRepliesFile | None = None
    _told_apart: set[frozenset[ServiceFacts]] = field(default_factory=set)
    _last_compared: tuple[Measurement | None, Mapping[str, Judgement]] = (None, MappingProxyType({}))

    @classmethod
    def begun(cls, asked: Asked, name: str, command: Sequence[str]) -> Self:
        """Write the first record: declared, nothing measured.

        Args:
            asked: see there.
            name: see `run_name`.
            command: as typed.

        Raises:
            BadInput: the record's folder cannot be used.
            StackFailed: the record cannot be written.
        """
        settings, thresholds = asked.settings, asked.thresholds
        choice = asked.stack.choice
        found_class = host_class(asked.host, thresholds.hosts, backend=choice.backend)
        notes = [f"backend: {choice.backend} ({choice.why})", *environment_warnings(os.environ)]
        first = Record(
            perfgate_version=__version__,
            started_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            command=[settings.without_secrets(word) for word in command_again(command, asked.options)],
            seed=settings.seed,
            profile=settings.profile,
            scenarios=list(asked.scenarios),
            limits={name: list(thresholds.scenarios[name].limits) for name in asked.scenarios},
            gateway=str(settings.gateway),
            baseline=str(settings.baseline) if settings.baseline is not None else None,
            baseline_why=settings.baseline_why,
            on_invalid=settings.on_invalid or asked.profile.on_invalid,
            thresholds_path=thresholds.path,
            thresholds_sha256=thresholds.sha256,
            thresholds_text=thresholds.text,
            drift_base=asked.drift_base.record if asked.drift_base is not None else None,
            computed_with=versions_here(),
            host=asdict(asked.host),
            host_class=found_class,
            stack=StackRecord(
                backend=choice.backend,
                why=choice.why,
                engine=asdict(asked.stack.engine) if asked.stack.engine is not None else None,
                images=settings.images,
                prisma_engine=settings.prisma_engine,
            ),
            generator=settings.generator_words,
            affinity=asdict(plan_cores(os.sched_getaffinity(0), settings.generator_processes)),
            notes=notes,
        )
        run = cls(asked, RecordFile(asked.record_path(name)), first, time.monotonic())
        run._write()
        return run

    @classmethod
    def joined(cls, asked: Asked, name: str) -> Self:
        """Go on, in another process, with the run that `begun` has begun; its seed holds.

        Raises:
            BadInput: its record cannot be read.
            StackFailed: another process has gone on with it before, and has ended.
        """
        path = asked.record_path(name)
        found = record.read(path)
        if found.has_begun:
            raise StackFailed(
                "another process of this run has begun to measure and was lost: run again; "
                f"what it measured is in {path}"
            )
        asked = replace(asked, settings=replace(asked.settings, seed=found.seed))
        # A branch, or the files of a checkout, may have changed in between: what is measured counts.
        found = found.model_copy(update={"gateway": str(asked.settings.gateway)})
        return cls(asked, RecordFile(path), found, time.monotonic())

    def reread(self) -> None:
        """Take over what another process has written meanwhile.

        Raises:
            BadInput: the record cannot be read any more.
        """
        self.record = record.read(self.file.path)

    @property
    def settings(self) -> Settings:
        """As asked for."""
        return self.asked.settings

    @property
    def thresholds(self) -> Thresholds:
        """As asked for."""
        return self.asked.thresholds

    @property
    def is_whole_profile(self) -> bool:
        """Whether every scenario of the profile was asked for."""
        return set(self.record.scenarios) >= set(self.asked.profile.scenarios)

    @property
    def kept_logs_dir(self) -> Path:
        """Where logs of services go that ended badly: beside the record."""
        return self.file.path.with_name(f"{self.file.path.stem}-logs")

    @property
    def failed_replies(self) -> FailedRepliesFile:
        """Where bodies of failed replies go: beside the record."""
        if self._failed_replies is None:
            path = self.file.path.with_name(f"{self.file.path.stem}-failed-replies.txt")
            self._failed_replies = FailedRepliesFile(path)
        return self._failed_replies

    def plan(self, scenario: str, drain_s: float = 0.0) -> RoundsPlan:
        """How much is measured for a scenario; of a comparison it is noted in words.

        Args:
            scenario: its name.
            drain_s: in which the arms of a round still write after their windows, all together.

        Raises:
            BadInput: time or memory is too short for a comparison.
        """
        asked = self.thresholds.scenarios[scenario]
        rounds = asked.rounds
        self._begun_mono_s[scenario] = time.monotonic()
        assert not isinstance(rounds, Faulting | Searching), "its phases or searches are given"
        if not isinstance(rounds, Comparing):
            return RoundsPlan(rounds.generations, rounds.per_generation, rounds.per_generation_max)
        if self.settings.locust is not None:
            drain_s += 2 * LOCUST_WINDOW_EXTRA_S
        planned = planned_for(
            asked,
            self.settings.profile,
            processes=self.settings.gateway.processes,
            gateway_bytes=self.settings.gateway.memory_bytes,
            memory_bytes=psutil.virtual_memory().available,
            noise=noise_seen.last_seen(
                self.settings.record_dir, self._kind(scenario), expected_noise(asked.load.schedule)
            ),
            drain_s=drain_s,
        )
        self._planned[scenario] = planned
        for line in self.plan_words(scenario):
            self.note(line)
        return planned.rounds

    def fitted_plan(self, scenario: str, plan: RoundsPlan) -> RoundsPlan:
        """The plan again once gateways are up: that of a comparison fills the time that is left."""
        planned = self._planned.get(scenario)
        if planned is None:
            return plan
        return planned.fitted(self.time_left_s(scenario))

    def keep_noise(self, measurement: Measurement) -> None:
        """Remember how noisy a comparison was, for the plan of the next; does nothing for other measurements."""
        if not self.thresholds.scenarios[measurement.scenario].compares:
            return
        try:
            noise = noise_of_comparison(measurement)
        except (NotMeasured, TooFewGenerations, OneRoundEach):
            return  # it says why not in its verdicts
        seen_utc = datetime.now(UTC).isoformat(timespec="seconds")
        noise_seen.keep(self.settings.record_dir, self._kind(measurement.scenario), noise, seen_utc)

    def _kind(self, scenario: str) -> noise_seen.Kind:
        load = self.thresholds.scenarios[scenario].load
        words = f"{load.users} users" if load.users is not None else f"{load.offered_rps:g} requests/s"
        by = ", by Locust" if self.settings.locust is not None else ""
        backend = self.settings.gateway.backend
        return noise_seen.Kind(self.asked.host.cpu_model or "CPU", backend, f"{words} for {load.window_s:g} s{by}")

    def plan_words(self, scenario: str) -> Sequence[str]:
        """What is said of a comparison's plan before it begins; nothing of what has fixed numbers of rounds."""
        planned = self._planned.get(scenario)
        return [f"{scenario}: {line}" for line in planned.words] if planned is not None else ()

    def time_left_s(self, scenario: str) -> float:
        """Seconds of the profile's budget that are left, less what the scenarios after this one need at least.

        A comparison has minutes of its own, which begin when it is planned.

        What was spent waiting for other runs on this host does not count.
        """
        scenarios = self.asked.scenarios
        rounds = self.thresholds.scenarios[scenario].rounds
        if isinstance(rounds, Comparing):
            spent_s = time.monotonic() - self._begun_mono_s[scenario]
            return rounds.minutes_of(self.settings.profile) * 60 - STOP_S - spent_s
        measured = {measurement.scenario for measurement in self.record.measurements}
        later = scenarios[scenarios.index(scenario) + 1 :] if scenario in scenarios else ()
        reserved_s = sum(self._least_s(name) for name in later if name not in measured)
        spent_s = time.monotonic() - self.started_mono_s - self._waited_s
        return self.asked.profile.budget_minutes * 60 - spent_s - reserved_s

    def _least_s(self, scenario: str) -> float:
        asked, gateway = self.thresholds.scenarios[scenario], self.settings.gateway
        sizes = {size.name: size.processes for size in sizes_to_try(self.asked.host.cores_allowed, gateway.workers)}
        starts = [
            GatewayStart(
                sizes.get(name, gateway.processes),
                product="portkey" if name == PORTKEY else "litellm",
                endpoints=endpoints,
            )
            for name, endpoints in gateways_of_limits(asked.limits, sizes).items()
        ]
        if "postgres" in asked.needs.services:
            # One of them has a database, as in every scenario that is shipped; limits name it first.
            starts[0] = replace(starts[0], has_database=True)
        return _least_s(asked, self.settings.profile, len(arms_of_limits(asked.limits, sizes)), starts)

    def judged(self, measurement: Measurement, metric: str) -> Judgement:
        """The verdict on one metric of a measurement, without keeping it.

        Raises:
            BadInput: thresholds.yaml sets no limit on it.
        """
        limit = self._limit(measurement.scenario, metric)
        if limit.is_relative:
            return self._compared(measurement)[metric]
        return self.rules.absolute(measurement, [metric])[metric]

    def _compared(self, measurement: Measurement) -> Mapping[str, Judgement]:
        """The verdicts on all metrics of a comparison, which are judged together; once for a measurement."""
        known, judgements = self._last_compared
        if known is not measurement:
            judgements = self.rules.compared(measurement)
            self._last_compared = (measurement, judgements)
        return judgements

    def not_measured(self, scenario: str, metric: str, why: str) -> Judgement:
        """The verdict on one metric of a scenario for which nothing was sent, without keeping it.

        Raises:
            BadInput: thresholds.yaml sets no limit on it.
        """
        return verdict.not_measured(scenario, self._limit(scenario, metric), why)

    def _limit(self, scenario: str, metric: str) -> Limit:
        limit = self.thresholds.scenarios[scenario].limits.get(metric)
        if limit is None:
            raise BadInput(
                f"{self.settings.thresholds_path}: scenarios.{scenario}.limits has no {metric}, "
                "but a test asks for it: add the limit, or take the test out"
            )
        return limit

    def is_decided(self, measurement: Measurement) -> bool:
        """Whether every limit of the scenario has a PASS or FAIL that more rounds would not change."""
        scenario = self.thresholds.scenarios[measurement.scenario]
        if scenario.compares and any(judgement.is_open for judgement in self._compared(measurement).values()):
            return False
        return not self.rules.leaves_open(measurement)

    @property
    def rules(self) -> Rules:
        """What limits come to in this run, as far as is known of the host."""
        base = self.asked.drift_base
        drifts = None if base is None else DriftRules(base, self.record.host_class, self.record.host_speed)
        return Rules(self.thresholds, self.settings.profile, self.standing, drifts)

    @property
    def standing(self) -> HostStanding:
        """How this host stands to those that the limits were measured on."""
        speed = self.record.host_speed
        return standing(self.record.host_class, self.thresholds.hosts, speed.median_ms if speed is not None else None)

    def keep_host_speed(self, speed: HostSpeed) -> None:
        """Note how fast this host is; limits may depend on it."""
        self._update(host_speed=HostSpeedRecord(**asdict(speed)))
        if self.standing.is_worth_a_note:
            self.note(self.standing.words)

    def keep_judgement(self, judgement: Judgement) -> None:
        """Add a verdict to the record."""
        self._update(judgements=[*self.record.judgements, judgement_record(judgement)])

    def keep_measurement(self, measurement: Measurement) -> None:
        """Write everything measured so far of a scenario."""
        kept = {known.scenario: known for known in self.record.measurements}
        before = kept.get(measurement.scenario)
        written = before.windows if before is not None else []
        self.failed_replies.keep(measurement.windows[len(written) :])
        kept[measurement.scenario] = measurement_record(measurement, written)
        self._update(measurements=list(kept.values()))

    def keep_window(self, measurement: Measurement) -> None:
        """Write everything measured so far; of a comparison, unless that was done less than `KEEP_EVERY_S` ago.

        It has hundreds of windows of a fraction of a second, and each would cost as much as all that were before.
        """
        is_comparison = self.thresholds.scenarios[measurement.scenario].compares
        self._unkept = measurement
        if not is_comparison or time.monotonic() - self._kept_mono_s >= KEEP_EVERY_S:
            self.keep_rest()

    def keep_rest(self) -> None:
        """Write what `keep_window` has not written yet."""
        if self._unkept is not None:
            self.keep_measurement(self._unkept)
            self._unkept, self._kept_mono_s = None, time.monotonic()

    def keep_service(self, name: str, facts: dict[str, Any]) -> None:
        """Add what runs in a service; note in words where it differs from an earlier one that was made of the same."""
        service = ServiceRecord(name=name, facts=facts)
        for earlier in self.record.services:
            both = _facts_of_both(earlier, service)
            # Two environments differ once, however many processes run from each.
            if both is not None and frozenset(both) not in self._told_apart:
                self._told_apart.add(frozenset(both))
                for sentence in differences_in_words(*both, _names(earlier, service)):
                    self.note(sentence)
        self._update(services=[*self.record.services, service])

    @contextmanager
    def leased(self, tenure: Tenure, scenario: str | None) -> Iterator[None]:
        """Note that this run has the lease of the host, for as long as the context is open.

        Args:
            tenure: as obtained.
            scenario: what it is for; None for what all of them need.
        """
        self._waited_s += tenure.waited_s
        before = self.record.leases
        held = LeaseRecord(
            scenario=scenario,
            what=tenure.what,
            kind=tenure.kind,
            waited_s=tenure.waited_s,
            acquired_mono_s=tenure.acquired_mono_s,
            acquired_utc=tenure.acquired_utc.isoformat(timespec="milliseconds"),
        )
        self._update(leases=[*before, held])
        try:
            yield
        finally:
            released = {
                "released_mono_s": time.monotonic(),
                "released_utc": datetime.now(UTC).isoformat(timespec="milliseconds"),
            }
            self._update(leases=[*before, held.model_copy(update=released)])

    def note(self, sentence: str) -> None:
        """Have something said at the end, once; it is written with the next thing that is kept."""
        if sentence not in self.record.notes:
            self.record = self.record.model_copy(update={"notes": [*self.record.notes, sentence]})

    def exit_code(self, others: Sequence[ExitCode] = ()) -> ExitCode:
        """The code of the whole run.

        Args:
            others: earned elsewhere: a stack that failed, an ordinary test that failed, an interrupt.
        """
        verdicts = {judgement.verdict for judgement in self.record.judgements}
        codes = list(others)
        if "FAIL" in verdicts:
            codes.append(ExitCode.FAIL)
        if "INVALID" in verdicts and self.record.on_invalid == "fail":
            codes.append(ExitCode.INVALID)
        if self.record.without_verdict():
            codes.append(ExitCode.INCOMPLETE)
        return worst(codes)

    def finish(self, code: ExitCode) -> None:
        """Close the record."""
        self._update(finished_utc=datetime.now(UTC).isoformat(timespec="seconds"), exit_code=int(code))

    def surroundings(self, scenario: str) -> Surroundings:
        """What every explanation says of this run."""
        settings, host = self.settings, self.asked.host
        gateway, memory_gib = settings.gateway, host.memory_bytes / 1024**3
        words = shlex.split(gateway.options)
        # The gateway in its own words: a reference of git as the commit that it stood for, the release by its number.
        of_gateway = dict(zip(words[::2], words[1::2], strict=True))
        options = {**self.asked.options, **of_gateway, "--scenarios": scenario, "--seed": str(settings.seed)}
        options = _as_comparison(options, settings.baseline)
        if settings.baseline is not None:
            options["--profile"] = settings.profile
        typed = [settings.without_secrets(word) for option in options.items() for word in option]
        deps = "" if isinstance(gateway.source, RunningUrl | PortkeyRelease) else f" (dependencies {gateway.deps})"
        compared = f"baseline {settings.baseline}, candidate " if settings.baseline is not None else ""
        python = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
        sent_by = f", load by {settings.generator_words}" if settings.locust is not None else ""
        return Surroundings(
            host=f"{host.cores_allowed} cores {host.cpu_model}, {memory_gib:.0f} GiB, "
            f"Linux {host.kernel}, backend: {gateway.backend}{sent_by}",
            versions=f"{compared}{gateway}{deps}, perfgate {__version__}, Python {python}",
            reproduce=shlex.join(["pytest", "tests/perf", *typed]),
            record=str(self.file.path),
        )

    def _update(self, **changes: object) -> None:
        self.record = self.record.model_copy(update=changes)
        self._write()

    def _write(self) -> None:
        self.record = self.record.model_copy(update={"incomplete": self.record.without_verdict()})
        self.file.write(self.record)


def _check_generator(settings: Settings, thresholds: Thresholds, scenarios: Sequence[str]) -> None:
    """See that every scenario's load is one that the generator can send.

    Raises:
        BadInput: it is not; says which, and why.
    """
    if settings.locust is None:
        return
    reasons = {name: _not_for_locust(thresholds.scenarios[name]) for name in scenarios}
    listed = "".join(f"\n  {name}: {reason}" for name, reason in reasons.items() if reason is not None)
    if listed:
        others = ", ".join(name for name, reason in reasons.items() if reason is None)
        raise BadInput(
            f"--load=locust sends what users send who wait for their replies; nothing was started:{listed}\n"
            f"next: name others with --scenarios{f' ({others})' if others else ''}, or leave --load out"
        )


def _not_for_locust(scenario: Scenario) -> str | None:
    """Why Locust cannot send a scenario's load; None when it can."""
    if scenario.load.requests is not None:
        return "one request at a time, timed by pytest-benchmark"
    schedule = scenario.load.schedule
    if not isinstance(schedule, ClosedLoop):
        return f"{schedule.offered_rps:g} requests/s, whether or not earlier ones were answered: Locust has no schedule"
    return "streams, which perfgate's Locust users do not read" if scenario.load.stream else None


def _as_comparison(options: Mapping[str, str], baseline: GatewaySpec | None) -> dict[str, str]:
    """Options that name one gateway, made to name both arms."""
    if baseline is None:
        return {name: text for name, text in options.items() if name != "--candidate"}  # --litellm names it
    names = {"--litellm": "--candidate", "--gateway-config": "--candidate-config"}
    said = {names.get(name, name): text for name, text in options.items() if name not in names.values()}
    said["--baseline"] = baseline.source.option_text
    if baseline.config_path is not None:
        said["--baseline-config"] = str(baseline.config_path)
    return said


def alive_at_once(rounds: Rounds | Comparing | Faulting | Searching) -> int:
    """How many gateways of a scenario are alive at once, at least."""
    if isinstance(rounds, Faulting):
        return 1
    return 2 * GENERATIONS_MIN if isinstance(rounds, Comparing) else rounds.generations


def _beside(baseline: GatewaySpec | None, chosen: ChosenStack) -> GatewaySpec | None:
    """The baseline where the candidate runs, with the same limits."""
    if baseline is None:
        return None
    return replace(
        baseline,
        backend=chosen.gateway.backend,
        cpus_per_instance=chosen.gateway.cpus_per_instance,
        memory_per_instance_bytes=chosen.gateway.memory_per_instance_bytes,
    )


def _facts_of_both(earlier: ServiceRecord, later: ServiceRecord) -> tuple[ServiceFacts, ServiceFacts] | None:
    """What runs in two services of one source; None where that is not known, as of a gateway that ran already."""
    if "packages" not in earlier.facts or "packages" not in later.facts:
        return None
    if earlier.facts.get("source") != later.facts.get("source"):
        return None
    return ServiceFacts.of_record(earlier.facts), ServiceFacts.of_record(later.facts)


def _names(earlier: ServiceRecord, later: ServiceRecord) -> tuple[str, str]:
    """What two services are called; the process' own name matters only where nothing else tells the two apart."""
    names = tuple(service.name.rpartition(" (")[0] for service in (earlier, later))
    return (names[0], names[1]) if names[0] != names[1] else (earlier.name, later.name)


def _least_s(scenario: Scenario, profile: str, arms: int, starts: Sequence[GatewayStart]) -> float:
    """Seconds that a scenario takes when it is decided at the first look, with all windows at full length.

    Args:
        scenario: of the file.
        profile: in which it is measured.
        arms: of each of its rounds, direct ones included.
        starts: its gateways, of one generation.
    """
    load, rounds = scenario.load, scenario.rounds
    if isinstance(rounds, Comparing):
        return rounds.minutes_of(profile) * 60
    if isinstance(rounds, Faulting):
        # One gateway goes through all phases of a cycle.
        return rounds.cycles * (_ready_s(load.schedule, starts[:1]) + rounds.before_s + rounds.during_s)
    if isinstance(rounds, Searching):
        window_s = load.schedule.warm_up_s + load.schedule.window_s + WINDOW_EXTRA_S
        return rounds.generations * (_ready_s(load.schedule, starts) + SEARCH_WINDOWS_ESTIMATE * window_s)
    windows = rounds.generations * rounds.per_generation * arms
    if load.requests is not None:
        # One gateway serves all generations, and is asked nothing beforehand.
        return starting_s(starts) + windows * load.requests * SINGLE_REQUEST_ESTIMATE_S
    window_s = load.schedule.warm_up_s + load.schedule.window_s + WINDOW_EXTRA_S
    return rounds.generations * _ready_s(load.schedule, starts) + windows * window_s


def _ready_s(schedule: Schedule, starts: Sequence[GatewayStart]) -> float:
    """Until the gateways of one generation are up and have settled."""
    return starting_s(starts) + settling_s(starts, schedule, SETTLE_S)
