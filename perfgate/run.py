"""What does one run know, judge and write down?

Comes in: settings. Goes out: judgements, an exit code, and a record that is complete after every window.
Stands between the pytest plugin (which shows things) and the rooms (which do them); knows nothing of pytest.
"""

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from perfgate import __version__, verdict
from perfgate.errors import BadInput
from perfgate.exit_codes import ExitCode, worst
from perfgate.experiment import health
from perfgate.experiment.arms import Arm
from perfgate.experiment.measurement import Measurement, Window
from perfgate.experiment.metrics import METRICS
from perfgate.experiment.rounds import WINDOW_EXTRA_S, RoundsPlan
from perfgate.load import wire
from perfgate.measure.host import HostFingerprint, environment_warnings, fingerprint
from perfgate.record import (
    ArmRecord,
    EstimateRecord,
    GatewayRecord,
    GatewayUseRecord,
    JudgementRecord,
    LimitRecord,
    LoadRecord,
    MeasurementRecord,
    Record,
    RecordFile,
    ScheduleRecord,
    ServiceRecord,
    WindowRecord,
)
from perfgate.settings import Settings
from perfgate.stack.affinity import plan_cores
from perfgate.thresholds import Limit, Profile, Scenario, Thresholds, host_class, load_thresholds
from perfgate.verdict import Judgement, Surroundings, Verdict

#: Seconds that starting a scenario's gateways and settling them takes, to plan with; measured 8 to 15 on two cores.
START_ESTIMATE_S: Final = 15.0


@dataclass(slots=True)
class Run:
    """One run, from its settings to its exit code. Make it with `Run.prepared`.

    Attributes:
        settings, thresholds, profile: as asked for.
        scenarios: the declared set, in the profile's order.
        host: fingerprint before anything was started.
        judgements: so far.
        measurements: so far, by scenario.
        file: the record's file.
    """

    settings: Settings
    thresholds: Thresholds
    profile: Profile
    scenarios: tuple[str, ...]
    host: HostFingerprint
    file: RecordFile
    record: Record
    started_mono_s: float
    judgements: list[Judgement] = field(default_factory=list)
    measurements: dict[str, Measurement] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _services: list[ServiceRecord] = field(default_factory=list)
    _windows: dict[str, list[WindowRecord]] = field(default_factory=dict)

    @classmethod
    def prepared(cls, settings: Settings, command: Sequence[str]) -> "Run":
        """Check everything that can be checked before anything is started.

        Raises:
            BadInput: thresholds, profile, scenarios, host or record folder cannot be used.
        """
        if not sys.platform.startswith("linux"):
            raise BadInput(f"perfgate measures on Linux only, this is {sys.platform}: run it in a Linux container")
        thresholds = load_thresholds(settings.thresholds_path, METRICS)
        profile = thresholds.profiles.get(settings.profile)
        if profile is None:
            known = ", ".join(thresholds.profiles)
            raise BadInput(f"--profile={settings.profile}: {settings.thresholds_path} has only {known}")
        for name in settings.scenarios:
            if name not in profile.scenarios:
                known = ", ".join(profile.scenarios)
                raise BadInput(f"--scenarios={name}: profile {settings.profile} has only {known}")
        scenarios = tuple(s for s in profile.scenarios if not settings.scenarios or s in settings.scenarios)
        host = fingerprint()
        lacking = [
            f"{name} needs {thresholds.scenarios[name].needs.cores} cores"
            for name in scenarios
            if thresholds.scenarios[name].needs.cores > host.cores_allowed
        ]
        if lacking:
            raise BadInput(
                f"this host has {host.cores_allowed} core(s) for us: {'; '.join(lacking)}; "
                "run on a larger host, or name other scenarios with --scenarios"
            )
        now = datetime.now(UTC)
        path = settings.record_dir / f"{now:%Y%m%dT%H%M%SZ}-{settings.profile}-{os.getpid()}.json"
        found_class = host_class(host, thresholds.hosts, backend="processes")
        record = Record(
            perfgate_version=__version__,
            started_utc=now.isoformat(timespec="seconds"),
            command=list(command),
            seed=settings.seed,
            profile=settings.profile,
            scenarios=list(scenarios),
            on_invalid=settings.on_invalid or profile.on_invalid,
            thresholds_path=str(settings.thresholds_path),
            thresholds_sha256=hashlib.sha256(settings.thresholds_path.read_bytes()).hexdigest(),
            host=asdict(host),
            host_class=found_class,
            affinity=asdict(plan_cores(os.sched_getaffinity(0))),
        )
        run = cls(settings, thresholds, profile, scenarios, host, RecordFile(path), record, time.monotonic())
        run.notes.extend(environment_warnings(os.environ))
        if found_class is None:
            run.notes.append(
                "this host is of no class in thresholds.yaml (hosts): the limits were measured on another machine"
            )
        run.write()
        return run

    @property
    def on_invalid(self) -> Literal["warn", "fail"]:
        """What an INVALID does to the exit code."""
        return self.settings.on_invalid or self.profile.on_invalid

    def plan(self, scenario: str) -> RoundsPlan:
        """How much is measured for a scenario."""
        rounds = self.thresholds.scenarios[scenario].rounds
        return RoundsPlan(rounds.generations, rounds.per_generation, rounds.per_generation_max)

    def time_left_s(self, scenario: str) -> float:
        """Seconds of the profile's budget that are left, less what the scenarios after this one need at least."""
        later = self.scenarios[self.scenarios.index(scenario) + 1 :] if scenario in self.scenarios else ()
        reserved_s = sum(_least_s(self.thresholds.scenarios[name]) for name in later if name not in self.measurements)
        return self.profile.budget_minutes * 60 - (time.monotonic() - self.started_mono_s) - reserved_s

    def judged(self, measurement: Measurement, metric: str) -> Judgement:
        """The verdict on one metric of a measurement, without keeping it.

        Raises:
            BadInput: thresholds.yaml sets no limit on it.
        """
        limit = self.thresholds.scenarios[measurement.scenario].limits.get(metric)
        if limit is None:
            raise BadInput(
                f"{self.settings.thresholds_path}: scenarios.{measurement.scenario}.limits has no {metric}, "
                "but a test asks for it: add the limit, or take the test out"
            )
        return self._judged(measurement, limit, health.check(measurement, self.thresholds.apparatus))

    def is_decided(self, measurement: Measurement) -> bool:
        """Whether every limit of the scenario has a PASS or FAIL that more rounds would not change."""
        limits = self.thresholds.scenarios[measurement.scenario].limits
        fitness = health.check(measurement, self.thresholds.apparatus)  # once: it merges every window's histograms
        return not any(self._judged(measurement, limit, fitness).is_open for limit in limits.values())

    def _judged(self, measurement: Measurement, limit: Limit, fitness: health.Health) -> Judgement:
        error_limit = self.thresholds.scenarios[measurement.scenario].limits.get("error_ratio")
        return verdict.judge(measurement, limit, fitness, error_limit)

    def keep_judgement(self, judgement: Judgement) -> None:
        """Add a verdict to the record."""
        self.judgements.append(judgement)
        self.write()

    def keep_measurement(self, measurement: Measurement) -> None:
        """Write everything measured so far of a scenario."""
        self.measurements[measurement.scenario] = measurement
        records = self._windows.setdefault(measurement.scenario, [])
        records.extend(_window_record(window) for window in measurement.windows[len(records) :])
        self.write()

    def keep_service(self, name: str, facts: dict[str, Any]) -> None:
        """Add what runs in a service that was started."""
        self._services.append(ServiceRecord(name=name, facts=facts))

    def incomplete(self) -> list[str]:
        """What was declared but has no verdict, one sentence each."""
        sentences = []
        for name in self.scenarios:
            limits = self.thresholds.scenarios[name].limits
            judged = {judgement.metric for judgement in self.judgements if judgement.scenario == name}
            missing = [metric for metric in limits if metric not in judged]
            if len(missing) == len(limits):
                sentences.append(f"{name} did not run")
            elif missing:
                sentences.append(f"{name} has no verdict on {', '.join(missing)}")
        return sentences

    def exit_code(self, others: Sequence[ExitCode] = ()) -> ExitCode:
        """The code of the whole run.

        Args:
            others: earned elsewhere: a stack that failed, an ordinary test that failed, an interrupt.
        """
        verdicts = {judgement.verdict for judgement in self.judgements}
        codes = list(others)
        if Verdict.FAIL in verdicts:
            codes.append(ExitCode.FAIL)
        if Verdict.INVALID in verdicts and self.on_invalid == "fail":
            codes.append(ExitCode.INVALID)
        if self.incomplete():
            codes.append(ExitCode.INCOMPLETE)
        return worst(codes)

    def finish(self, code: ExitCode) -> None:
        """Close the record."""
        self.record = self.record.model_copy(
            update={
                "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
                "exit_code": int(code),
                "incomplete": self.incomplete(),
            }
        )
        self.write()

    def surroundings(self, scenario: str) -> Surroundings:
        """What every explanation says of this run."""
        gateway = self.settings.gateway
        memory_gib = self.host.memory_bytes / 1024**3
        asked = [f"pytest tests/perf --profile {self.settings.profile} --scenarios {scenario}"]
        asked.append(f"--litellm {gateway.release} --deps {gateway.deps} --workers {gateway.workers}")
        asked.append(f"--thresholds {self.settings.thresholds_path} --seed {self.settings.seed}")
        python = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
        return Surroundings(
            host=f"{self.host.cores_allowed} cores {self.host.cpu_model}, {memory_gib:.0f} GiB, "
            f"Linux {self.host.kernel}, backend: processes",
            versions=f"{gateway} (dependencies {gateway.deps}), perfgate {__version__}, Python {python}",
            reproduce=" ".join(asked),
            record=str(self.file.path),
        )

    def write(self) -> None:
        """Write the record as it stands."""
        self.record = self.record.model_copy(
            update={
                "services": list(self._services),
                "measurements": [
                    _measurement_record(measurement, self._windows[name])
                    for name, measurement in self.measurements.items()
                ],
                "judgements": [_judgement_record(judgement) for judgement in self.judgements],
                "notes": list(self.notes),
            }
        )
        self.file.write(self.record)


def _least_s(scenario: Scenario) -> float:
    """Seconds that a scenario takes when it is decided at the first look, with all windows at full length."""
    load, rounds = scenario.load.open_loop, scenario.rounds
    return START_ESTIMATE_S + rounds.generations * rounds.per_generation * 2 * (
        load.warm_up_s + load.window_s + WINDOW_EXTRA_S
    )


def _window_record(window: Window) -> WindowRecord:
    return WindowRecord(
        arm=window.arm,
        generation=window.generation,
        round=window.round,
        position=window.position,
        seed=window.seed,
        load=LoadRecord.model_validate(wire.result_as_json(window.load)),
        gateway=GatewayUseRecord(**asdict(window.gateway)) if window.gateway else None,
    )


def _measurement_record(measurement: Measurement, windows: list[WindowRecord]) -> MeasurementRecord:
    return MeasurementRecord(
        scenario=measurement.scenario,
        arms=[_arm_record(arm) for arm in measurement.arms],
        schedule=ScheduleRecord(**asdict(measurement.schedule)),
        mock_delay_ms=measurement.mock_delay_ms,
        looks=measurement.looks,
        rounds_planned_max=measurement.rounds_planned_max,
        stopped=measurement.stopped,
        windows=windows,
    )


def _arm_record(arm: Arm) -> ArmRecord:
    gateway = GatewayRecord(**asdict(arm.gateway)) if arm.gateway else None
    return ArmRecord(name=arm.name, gateway=gateway, model=arm.model)


def _judgement_record(judgement: Judgement) -> JudgementRecord:
    estimate = None
    if judgement.estimate is not None:
        fields = asdict(judgement.estimate)
        estimate = EstimateRecord(**{name: fields[name] for name in EstimateRecord.model_fields})
    return JudgementRecord(
        scenario=judgement.scenario,
        metric=judgement.metric,
        verdict=judgement.verdict.value,
        reason=judgement.reason.value,
        detail=judgement.detail,
        limit=_limit_record(judgement.limit),
        estimate=estimate,
        apparatus=judgement.health.words,
    )


def _limit_record(limit: Limit) -> LimitRecord:
    return LimitRecord(
        maximum=limit.maximum, minimum=limit.minimum, why=limit.why, path=str(Path(limit.path)), line=limit.line
    )
