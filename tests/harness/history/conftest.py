"""Series whose truth is known, a bench that starts nothing and shows it, and a host for the commands."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numpy as np
import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version as PackageVersion

from perfgate.errors import StackFailed
from perfgate.experiment.arms import BASELINE, GatewaySpec
from perfgate.experiment.comparison import CPU, RSS
from perfgate.history import bisect_command, command, step_command
from perfgate.history.measuring import Question, Version
from perfgate.history.metrics import OVERHEAD, START
from perfgate.history.result import Conditions, LeftOut, Measured
from perfgate.history.series import Standing
from perfgate.load.api import Api
from perfgate.load.job import LoadJob, Target
from perfgate.load.result import LoadResult
from perfgate.measure.process_tree import TreeSnapshot
from perfgate.stack.backend import BackendName
from perfgate.stack.environments import Environment, EnvironmentCache
from perfgate.stack.inspection import ServiceFacts
from perfgate.stack.packages import Packages
from perfgate.stack.sources import GitRef, Installable, Release
from perfgate.thresholds import Apparatus, Comparing, Limit, Load, Needs, Scenario
from tests.harness.synthetic import Truth, load_result, window_of

ROOT: Final = Path(__file__).parents[3]
ANCHOR_NAME: Final = "1.79.3"
CONDITIONS: Final = Conditions(
    "regression", "two users", ANCHOR_NAME, "anchor-sha", "of-its-time", "3.11.7", "Some CPU", 2
)
#: What the anchor takes.
LEVELS: Final[Mapping[str, float]] = {CPU: 8.0, OVERHEAD: 11.0, "throughput_rps": 150.0, RSS: 300.0, START: 5.0}


def version(name: str) -> Version:
    return Version(name, GatewaySpec(Release(name)))


def measured(
    name: str,
    ratio: float = 1.0,
    *,
    spread: float = 0.005,
    generations: int = 8,
    metrics: Sequence[str] = tuple(LEVELS),
    conditions: Conditions = CONDITIONS,
    measured_utc: str = "2026-01-01T00:00:00+00:00",
    **others: Any,
) -> Measured:
    """A version that is worse than the anchor by one ratio, whatever the metric, give or take an even spread."""
    wobble = [math.exp(spread * (2 * number / (generations - 1) - 1)) for number in range(generations)]
    figures = {}
    for metric in metrics:
        worse = 1 / ratio if metric == "throughput_rps" else ratio
        figures[metric] = tuple((LEVELS[metric], LEVELS[metric] * worse * factor) for factor in wobble)
    facts: dict[str, Any] = {"content_sha256": f"sha of {name}", "rounds": 40 * generations, "requests": 5_000}
    facts |= {"minutes": 4.0, "perfgate_version": "0", "seeds": (1,)} | others
    return Measured(name, conditions, figures=figures, measured_utc=measured_utc, **facts)


def left_out(name: str, reason: str = "its dependencies cannot be resolved") -> LeftOut:
    return LeftOut(name, "not installable", reason, "2026-01-01T00:00:00+00:00")


def noisy(
    name: str, ratio: float, rng: np.random.Generator, *, metric: str = CPU, sd: float = 0.035, generations: int = 8
) -> Measured:
    """A version whose starts differ by chance; 3.5 % is what processes and 40 rounds do (docs/method.md)."""
    logs = math.log(ratio) + rng.normal(0, sd, generations)
    pairs = tuple((LEVELS[metric], LEVELS[metric] * math.exp(log)) for log in logs)
    return Measured(name, CONDITIONS, "", {metric: pairs}, 40 * generations, 5_000, 4.0, "", "0", (1,))


# --- a question, and a bench that answers it ---

APPARATUS: Final = Apparatus(
    dispatch_lag_p99_ms=2.0, sent_ratio_min=0.98, generator_cpu_ratio_max=0.8, direct_p95_above_mock_delay_ms=5.0
)
LIMITS: Final = {
    metric: Limit(metric, "a reason", "thresholds.yaml", 1, margin=0.05) for metric in (CPU, OVERHEAD, RSS)
}


def question(generations: int = 4, minutes: float = 1.0) -> Question:
    scenario = Scenario(
        "regression",
        Needs(cores=2, baseline=True),
        Load(users=2, window_s=0.15, direct_rps=60),
        Comparing(minutes=5),
        LIMITS,
    )
    return Question(scenario, APPARATUS, generations, minutes)


@dataclass
class Clock:
    """Goes on by a little each time that a load is run."""

    now_mono_s: float = 0.0

    def __call__(self) -> float:
        return self.now_mono_s


@dataclass(frozen=True)
class _Use:
    cpu_s: float
    rss_bytes: int
    taken_mono_s: float = 0.0
    resolution_ms: float = 0.001

    def cpu_s_since(self, earlier: Any) -> float:
        return self.cpu_s - float(earlier.cpu_s)


@dataclass
class HistoryGateway:
    """Uses what its truth says for each request that it is asked."""

    url: str
    truth: Truth
    requests: int = 0
    ledger: None = None
    log_ledger: None = None

    def targets(self, model: str, api: Api = Api.CHAT_COMPLETIONS) -> tuple[Target, ...]:
        return (Target(self.url, model),)

    def uses(self) -> Sequence[Any]:
        return [_Use(self.requests * self.truth.cpu_ms / 1000, round(self.truth.rss_mib * 2**20))]

    def tree_uses(self) -> Sequence[TreeSnapshot]:
        return []

    def check_alive(self) -> None: ...


@dataclass
class HistoryBench:
    """A bench whose gateways have a truth by release; each run of a load takes a while of the clock.

    Args:
        truths: by release.
        window_s: that a load takes.
        start_s: that a gateway takes to start, by release.
        unasked: differences that nobody asked for.
        fails: releases that do not come up.
    """

    truths: Mapping[str, Truth]
    clock: Clock = field(default_factory=Clock)
    window_s: float = 0.2
    start_s: Mapping[str, float] = field(default_factory=dict)
    unasked: tuple[str, ...] = ()
    fails: frozenset[str] | set[str] = frozenset()
    generator_cpus: tuple[int, ...] = (0,)
    mock_delay_ms: float = 0.0
    direct_ms: float = 1.0
    gateways: dict[str, HistoryGateway] = field(default_factory=dict)
    facts: dict[GatewaySpec, ServiceFacts] = field(default_factory=dict)
    starts_s: dict[GatewaySpec, list[float]] = field(default_factory=dict)
    jobs: list[LoadJob] = field(default_factory=list)
    closed: int = 0

    @property
    def generator(self) -> "HistoryBench":
        return self

    def __enter__(self) -> "HistoryBench":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed += 1

    def direct_url(self, backend: BackendName, api: Api = Api.CHAT_COMPLETIONS) -> str:
        return "http://127.0.0.1:9/v1/chat/completions"

    def upstream_requests(self, backend: BackendName) -> int | None:
        return None

    def check_alive(self) -> None: ...

    def unasked_differences(self, baseline: GatewaySpec, candidate: GatewaySpec) -> Sequence[str]:
        return self.unasked

    def start_gateways(self, specs: Sequence[GatewaySpec], until_closed: ExitStack) -> Sequence[HistoryGateway]:
        started = []
        for number, spec in enumerate(specs):
            release = str(spec.source).removeprefix("litellm ")
            if release in self.fails:
                raise StackFailed(f"litellm {release} died")
            url = f"http://127.0.0.1:{2000 + number}/v1/chat/completions"
            gateway = HistoryGateway(url, self.truths[release])
            self.gateways[url] = gateway
            listed = Packages((f"litellm=={release}",))
            self.facts[spec] = ServiceFacts("3.11.7", listed, "uvloop", "httptools", "uvicorn", False, 1)
            took_s = self.start_s.get(release, 5.0)
            self.starts_s.setdefault(spec, []).append(took_s)
            self.clock.now_mono_s += took_s
            started.append(gateway)
        return started

    def run(self, job: LoadJob, *, on_event: Callable[[str], None] | None = None) -> LoadResult:
        self.jobs.append(job)
        tell = on_event or (lambda name: None)
        tell("window_opened")
        self.clock.now_mono_s += self.window_s
        gateway = self.gateways.get(job.targets[0].url)
        if gateway is None:
            return load_result(self.direct_ms, requests=100)
        window = window_of(gateway.truth, BASELINE, requests=100, direct_ms=self.direct_ms)
        gateway.requests += window.load.completed
        return window.load


# --- a host on which the commands measure at once ---

PUBLISHED: Final = (
    "1.78.9",
    "1.79.0",
    "1.79.3",
    "1.80.0",
    "1.80.5",
    "1.82.6",
    "1.82.7",
    "1.82.8",
    "1.106.2",
    "1.107.0",
    "1.108.0rc1",
    "2.0.1",
)


@dataclass
class FakeIndex:
    """Answers as an index with these releases would; pre-releases don't count."""

    published: tuple[str, ...] = PUBLISHED
    asked: list[str] = field(default_factory=list)

    def newest(self, versions: str) -> str | None:
        self.asked.append(versions)
        among = list(SpecifierSet(versions).filter(self.published, prereleases=False))
        return max(among, key=PackageVersion) if among else None


#: What releases cost, by the truth; others as much as the anchor.
RATIOS: Final = {"1.82.6": 1.2, "1.106.2": 1.4, "2.0.1": 1.4}


@dataclass
class FakeCache:
    """Environments that nobody made.

    Args:
        made: what it has, by `named`; None for all.
        packages: of each environment beside LiteLLM.
        packages_of: the same of one alone, by `named`.
        errors: what cannot be installed, by `named`.
        folder: of the cache.
    """

    made: set[str] | None = None
    packages: tuple[str, ...] = ()
    packages_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    errors: dict[str, BaseException] = field(default_factory=dict)
    folder: Path = Path("/nowhere")
    installed: list[str] = field(default_factory=list)
    installer: FakeIndex = field(default_factory=FakeIndex)

    def known(self, source: Installable, deps: Any, with_packages: tuple[str, ...] = ()) -> Environment | None:
        return self.environment(source, deps) if self.made is None or named(source) in self.made else None

    @contextmanager
    def using(
        self, source: Installable, deps: Any, with_packages: tuple[str, ...] = (), *, say: Callable[[str], None]
    ) -> Iterator[Environment]:
        if named(source) in self.errors:
            raise self.errors[named(source)]
        self.installed.append(named(source))
        yield self.environment(source, deps)

    def environment(self, source: Installable, deps: Any) -> Environment:
        # As in LiteLLM's repository, all commits call themselves alike.
        release = source.number if isinstance(source, Release) else "1.80.0"
        packages = Packages((f"litellm=={release}", *self.packages_of.get(named(source), self.packages)))
        return Environment(Path("/nowhere"), source.facts, release, deps, None, "3.11.7", packages, "", 1)


def named(source: Installable) -> str:
    """What the fakes know a source by: its number, its commit, or what its files hash to."""
    if isinstance(source, Release):
        return source.number
    return source.commit if isinstance(source, GitRef) else source.content


@dataclass
class FakeMeasurer:
    """Measures at once, by RATIOS; raises what is set for a release."""

    question: Question
    conditions: Conditions
    cache: FakeCache
    errors: Mapping[str, BaseException]
    asked: list[str]
    ratios: Mapping[str, float]
    notes: tuple[str, ...]
    anchor_errors: Sequence[BaseException]
    anchor: object

    def check_anchor_starts(self) -> None:
        self.asked.append("the anchor")
        for error in self.anchor_errors:
            raise error

    def measured(self, version: Version, standing: Standing, run: int = 1) -> Measured:
        self.asked.append(version.name)
        if version.name in self.errors:
            raise self.errors[version.name]
        content = command.content_now(cast(EnvironmentCache, self.cache), version) or ""
        return measured(
            version.name,
            self.ratios.get(version.name, 1.0),
            conditions=self.conditions,
            content_sha256=content,
            generations=self.question.generations,
            notes=self.notes,
        )


AMeasurer = TypeVar("AMeasurer", bound=FakeMeasurer)


@dataclass
class Host:
    """What the commands find instead of a real stack."""

    cache: FakeCache = field(default_factory=FakeCache)
    errors: dict[str, BaseException] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    ratios: Mapping[str, float] = field(default_factory=lambda: RATIOS)
    anchor_errors: Sequence[BaseException] = ()

    def measurer(
        self, question: Question, conditions: Conditions, anchor: object, seed: int, cache: object
    ) -> FakeMeasurer:
        self.seeds.append(seed)
        return self.made(FakeMeasurer, question, conditions, anchor)

    def made(
        self,
        kind: Callable[..., AMeasurer],
        question: Question,
        conditions: Conditions,
        anchor: object,
        **own: object,
    ) -> AMeasurer:
        """A measurer of that kind, which finds what this host says; `own` is what only its kind has."""
        return kind(
            question,
            conditions,
            self.cache,
            self.errors,
            self.asked,
            self.ratios,
            self.notes,
            self.anchor_errors,
            anchor,
            **own,
        )


def put_in_place(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the commands find a host in the place of the real stack."""
    monkeypatch.setattr("perfgate.stack.environments.EnvironmentCache.of_user", lambda environ: host.cache)
    monkeypatch.setattr("perfgate.history.measuring.check_memory", lambda question, anchor: None)
    monkeypatch.setattr(command, "page", lambda report: f"a page of {', '.join(report.order)}")  # which takes a second
    for module in (command, bisect_command, step_command):
        monkeypatch.setattr(module, "Measurer", host.measurer)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.chdir(ROOT)
    host = Host()
    put_in_place(host, monkeypatch)
    return host
