"""What may the gateway cost, on which load, and how is that measured: the schema of thresholds.yaml.

Comes in: the file, and the names of the metrics that exist. Goes out: `Thresholds`, all frozen; or one `BadInput` that
lists every problem of the file with its line. docs/thresholds.md explains the keys to those who write the file.

    Thresholds --profiles--> Profile --names--> Scenario --has--> Needs, Load, Rounds, Limit --may have--> Waiver
               --hosts--> HostClass          --apparatus--> Apparatus       --drift--> DriftSource

Classes with a leading underscore are the file's own shape; they do not leave this module, but for `PARTS`. What a key
means is its description, in Markdown, of which tools/write_thresholds_reference.py makes the tables of that page.
"""

import difflib
import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema
from pydantic_core.core_schema import ValidationInfo

from perfgate import located_yaml
from perfgate.errors import BadInput
from perfgate.load.payload import check_prompt_bytes
from perfgate.load.schedule import DEFAULT_TAIL_S, Arrivals, ClosedLoop, OpenLoop, Schedule
from perfgate.located_yaml import Document, KeyPath, NotYaml, Problem
from perfgate.measure.host import HostFingerprint
from perfgate.stack.backend import BackendName
from perfgate.stack.callbacks import CALLBACKS, CallbackName
from perfgate.stats.plan import GENERATIONS_MIN
from perfgate.stats.resampling import LOOKS_MAX
from perfgate.waivers import Waiver

#: Memory of two hosts of one class may differ by this share: firmware and kernel keep some for themselves.
MEMORY_TOLERANCE_RATIO: Final = 0.10

#: The metric of a search for a capacity.
CAPACITY: Final = "capacity_rps"
#: The fewest requests of a window that can show whether a rate is held: their p95 is the second slowest.
SEARCH_REQUESTS_MIN: Final = 40

#: Keys of a load that only some kinds of load have.
_ONLY_WITH: Final[Mapping[str, tuple[str, ...]]] = {
    "arrivals": ("offered_rps",),
    "think_time_s": ("users",),
    "think_time_max_s": ("users",),
    "spawn_per_s": ("users",),
    "warm_up_s": ("offered_rps", "users"),
    "window_s": ("offered_rps", "users"),
    "tail_s": ("offered_rps", "users"),
    "stream": ("offered_rps", "users"),
    "direct_rps": ("users",),
    "turns_per_session": ("users",),
}


#: Of a limit, exactly one; the last two compare two arms.
_KINDS: Final = ("max", "min", "margin", "equivalent_within")
_PERCENTAGES: Final = ("margin", "equivalent_within")
_RELATIVE: Final = "margin or equivalent_within"
#: Keys of a limit that only some kinds of limit have.
_LIMIT_ONLY_WITH: Final[Mapping[str, tuple[str, ...]]] = {
    "max_on": ("max",),
    "margin_in": ("margin",),
    "floor": ("margin",),
    "claim": ("margin",),
    "drift": ("max", "margin"),
}

_GIB: Final = 1024**3
_MANUAL: Final = "docs/thresholds.md"


# --- what a value must be, in the words of the message ---


@dataclass(frozen=True, slots=True)
class Expected:
    """What a value must be; pydantic asks it before it reads one.

    Args:
        words: of messages, and of docs/thresholds.md.
        accepts: whether a value is that.
    """

    words: str
    accepts: Callable[[object], bool]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._checked, handler(source))

    def _checked(self, value: object) -> object:
        if not self.accepts(value):
            raise PydanticCustomError("expected", "{words}", {"words": self.words})
        return value


def _broken_rule(words: str) -> PydanticCustomError:
    return PydanticCustomError("rule", "{words}", {"words": words})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_above_0(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and _is_above_0(value)


def _is_percentage(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?%", value) is not None and float(value[:-1]) > 0


def _is_filled(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_day(value: object) -> bool:
    if not isinstance(value, str) or re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) is None:
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_link(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"https?://\S+", value) is not None


_NOT_EMPTY: Final = Expected("at least one entry", lambda value: value != [] and value != {})
_Positive = Annotated[float, Expected("a number above 0", _is_above_0)]
_PositiveIfGiven = Annotated[float | None, Expected("a number above 0", _is_above_0)]
_NotNegative = Annotated[float, Expected("a number of at least 0", lambda value: value == 0 or _is_above_0(value))]
_NotNegativeIfGiven = Annotated[
    float | None, Expected("a number of at least 0", lambda value: value == 0 or _is_above_0(value))
]
_Percentage = Annotated[
    float,
    BeforeValidator(lambda value: float(value[:-1]) / 100),
    Expected("a percentage above 0 such as 5%", _is_percentage),
]
_Share = Annotated[float, Expected("a number above 0 and at most 1", lambda value: _is_above_0(value) and value <= 1)]
_Count = Annotated[int, Expected("a whole number above 0", _is_count)]
_Generations = Annotated[
    int,
    Expected(
        f"a whole number of at least {GENERATIONS_MIN}",
        lambda value: _is_count(value) and value >= GENERATIONS_MIN,
    ),
]
_Looks = Annotated[
    int,
    Expected(f"a whole number from 1 to {LOOKS_MAX}", lambda value: _is_count(value) and value <= LOOKS_MAX),
]
_CountIfGiven = Annotated[int | None, Expected("a whole number above 0", _is_count)]
_Flag = Annotated[bool, Expected("true or false", lambda value: isinstance(value, bool))]
_Text = Annotated[str, Expected("a text that is not empty", _is_filled)]
_Why = Annotated[str, Expected("the reason for this limit in words", _is_filled)]
_Ceiling = Annotated[
    float | str,
    Expected(
        "a number above 0, or a percentage such as 12%", lambda value: _is_above_0(value) or _is_percentage(value)
    ),
]
_Reason = Annotated[str, Expected("the reason for this waiver in words", _is_filled)]
_Link = Annotated[str, Expected("an address that begins with https://, where it is followed up", _is_link)]
_OnInvalid = Annotated[Literal["warn", "fail"], Expected("'warn' or 'fail'", lambda value: value in ("warn", "fail"))]
_Arrivals = Annotated[Arrivals, Expected("'constant' or 'poisson'", lambda value: value in get_args(Arrivals))]
_Service = Annotated[
    Literal["postgres", "redis"], Expected("'postgres' or 'redis'", lambda value: value in ("postgres", "redis"))
]
_CallbackIfGiven = Annotated[
    CallbackName | None, Expected(f"one of {', '.join(CALLBACKS)}", lambda value: value in CALLBACKS)
]
_Backend = Annotated[BackendName, Expected("'processes' or 'containers'", lambda value: value in get_args(BackendName))]


@dataclass(frozen=True)
class _Names:
    """What the file may refer to: metrics, and its own names; `limits` are the metrics of each scenario's limits.

    `today` is the day on which waivers must not have expired; None does not ask.
    """

    metrics: Collection[str]
    comparable: Collection[str]
    scenarios: Collection[str]
    hosts: Collection[str]
    profiles: Collection[str]
    limits: Mapping[str, Collection[str]]
    today: date | None


@dataclass(frozen=True, slots=True)
class Named:
    """A name that has to be known; pydantic asks it once it has read one.

    Args:
        what: it is the name of, for docs/thresholds.md.
        checked: the name, or an error that says what is known.
    """

    what: str
    checked: Callable[[str, ValidationInfo[_Names]], str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_after_validator_function(self.checked, handler(source))


def _known_metric(metric: str, info: ValidationInfo[_Names]) -> str:
    known = info.context.metrics
    if metric not in known:
        raise _broken_rule(f"no such metric{_did_you_mean(metric, known)} ({_MANUAL} lists all)")
    return metric


def _known_scenario(name: str, info: ValidationInfo[_Names]) -> str:
    return _known("scenario", name, info.context.scenarios)


def _known_host(name: str, info: ValidationInfo[_Names]) -> str:
    return _known("host class", name, info.context.hosts)


def _known_profile(name: str, info: ValidationInfo[_Names]) -> str:
    return _known("profile", name, info.context.profiles)


def _not_expired(expires: date, info: ValidationInfo[_Names]) -> date:
    today = info.context.today
    if today is not None and expires < today:
        raise _broken_rule(
            f"expired on {expires}, today is {today}: mend what it waives, or agree on another day, and take it out "
            "or change it here"
        )
    return expires


def _known(what: str, name: str, known: Collection[str]) -> str:
    if name not in known:
        hint = _did_you_mean(name, known) or f"; the file has {', '.join(known) or 'none'}"
        raise _broken_rule(f"there is no {what} {name!r}{hint}")
    return name


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if names.count(name) > 1:
            raise _broken_rule(f"{name!r} is listed twice")
    return names


def _did_you_mean(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


_ScenarioName = Annotated[_Text, Named("scenario", _known_scenario)]
_MetricName = Annotated[_Text, Named("metric", _known_metric)]
_ProfileKey = Annotated[str, Named("profile", _known_profile)]
_HostKey = Annotated[str, Named("host", _known_host)]
_MetricKey = Annotated[str, Named("metric", _known_metric)]


# --- the file's shape ---


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Profile(_Strict):
    """What a run consists of."""

    budget_minutes: _Positive = Field(
        description="no further rounds are begun once the time is used up; the first look is always reached"
    )
    on_invalid: _OnInvalid = Field(
        description="whether the run then fails (exit code 10), or only says so; `--on-invalid` overrides it"
    )
    scenarios: Annotated[tuple[_ScenarioName, ...], _NOT_EMPTY, AfterValidator(_each_once)] = Field(
        description="the declared set, in the order in which they run: one without a verdict makes the run incomplete "
        "(exit code 11). That of `release` is what a sign-off needs (`docs/sign-off.md`)"
    )


class HostClass(_Strict):
    """Hosts that absolute limits were measured on."""

    cores: _Count = Field(description="logical cores that a run may use")
    memory_gib: _Positive = Field(description=f"of the machine, within {MEMORY_TOLERANCE_RATIO * 100:g} %")
    cpu_models: Annotated[tuple[_Text, ...], _NOT_EMPTY] = Field(
        description="patterns for the CPU's name, as the shell's: `AMD EPYC*`"
    )
    backend: _Backend = Field(description="what starts the services")
    host_speed_ms: _PositiveIfGiven = Field(
        default=None,
        description="what `perfgate calibrate` measures there; limits scale by that of the first class that has one, "
        "on hosts of no class",
    )


class Needs(_Strict):
    """What a host must have for a scenario to mean anything."""

    cores: _Count = Field(
        default=1, description="for the run; with fewer it is refused before anything starts (exit code 4)"
    )
    services: Annotated[tuple[_Service, ...], AfterValidator(_each_once)] = Field(
        default=(),
        description="beside the gateway; where one cannot be started (nor, with `--postgres-url`, used), likewise",
    )
    baseline: _Flag = Field(
        default=False,
        description="`true`: it compares two gateways, and without `--baseline` or `--baseline-config` the run is "
        'refused; see "Two gateways compared"',
    )
    callback: _CallbackIfGiven = Field(
        default=None,
        description='with a gateway that cannot log by it, likewise; see "With a callback and without"',
    )


class Rounds(_Strict):
    """How much is measured."""

    generations: _Count = Field(description="separately started gateways")
    per_generation: _Count = Field(
        description="rounds with each before the first look; at least 2 in all, since one round shows no spread"
    )
    per_generation_max: _Count = Field(
        description="rounds with each, at most, while a limit is undecided and time is left; after each further one "
        f"there is a look, and {LOOKS_MAX} looks at most"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.per_generation_max < self.per_generation:
            raise _broken_rule(
                f"per_generation_max={self.per_generation_max} must not be below per_generation={self.per_generation}"
            )
        if self.generations * self.per_generation < 2:
            raise _broken_rule("generations times per_generation must be at least 2: one round shows no spread")
        looks = 1 + self.per_generation_max - self.per_generation
        if looks > LOOKS_MAX:
            raise _broken_rule(
                f"per_generation_max={self.per_generation_max} after per_generation={self.per_generation} is {looks} "
                f"looks at the figures, one after each round, at most {LOOKS_MAX}: all of them share one error, and no "
                "interval can be told for a smaller share; raise per_generation, or lower per_generation_max"
            )
        return self


class Comparing(_Strict):
    """How long two gateways are compared; experiment/comparison_plan.py makes generations and rounds of it."""

    minutes: _Positive = Field(
        description="for all of it, the start of its gateways included; the profile's `budget_minutes` does not apply"
    )
    minutes_in: dict[_ProfileKey, _Positive] = Field(default={}, description="another time in a profile")
    generations_max: _Generations = Field(
        default=12,
        description="starts of each arm, at most; all are alive at once, and fewer are taken where memory or time is "
        "short",
    )
    generations_max_in: dict[_ProfileKey, _Generations] = Field(default={}, description="another number in a profile")
    looks: _Looks = Field(default=3, description="how often the figures are judged, at most; each look is paid for")

    def minutes_of(self, profile: str) -> float:
        """The time in a profile."""
        return self.minutes_in.get(profile, self.minutes)

    def generations_max_of(self, profile: str) -> int:
        """Starts of each arm that a profile may take."""
        return self.generations_max_in.get(profile, self.generations_max)


class Faulting(_Strict):
    """How long a dependency fails; experiment/fault_cycles.py goes through the phases."""

    cycles: _Count = Field(description="gateways, one after the other, each of which goes through all phases")
    before_s: _Positive = Field(description="in which all is well, at least")
    during_s: _Positive = Field(description="in which the dependency fails, at least")
    after_s_max: _Positive = Field(description="in which it is well again, until users fare as before, at most")


class Searching(_Strict):
    """How the highest rate is looked for at which an objective holds; experiment/capacity.py does it."""

    generations: _Generations = Field(description="separately started gateways, each of which is searched by itself")
    windows_max: _Count = Field(description="of each, at most")
    within: _Percentage = Field(
        description="a gateway's search is done once its capacity is known to be within this share, either way"
    )


class Objective(_Strict):
    """What a rate has to keep to in a window, to be held."""

    latency_p95_ms: _Positive = Field(description="from the intended start, at most")
    error_ratio: _NotNegative = Field(description="share of the requests that do not succeed, at most")
    completed_ratio: _Share = Field(
        description="share of the requests that have a whole reply by the end of the tail, at least"
    )


class Apparatus(_Strict):
    """When generator, mock and host are fit to measure; beyond any of these a run is INVALID."""

    dispatch_lag_p99_ms: _Positive = Field(description="how late the generator may send")
    sent_ratio_min: _Share = Field(description="the least share of the offered load that it must send")
    generator_cpu_ratio_max: _Share = Field(description="the most of one core that it may use")
    direct_p95_above_mock_delay_ms: _Positive = Field(description="p95 without a gateway, above the mock's own delay")


class Load(_Strict):
    """The load of a scenario's windows: at a rate (offered_rps), by users who wait (users), or one request at a time.

    The first is an `OpenLoop`, the second a `ClosedLoop`.
    """

    offered_rps: _PositiveIfGiven = Field(default=None, description="requests a second, at a rate of their own")
    users: _CountIfGiven = Field(default=None, description="who wait for each reply")
    requests: _CountIfGiven = Field(
        default=None, description="so many a round, one at a time: for tests that use pytest-benchmark"
    )
    warm_up_s: _NotNegative = Field(default=0.0, description="of load before the window")
    window_s: _PositiveIfGiven = Field(default=None, description="of the window; needed beside a rate or users")
    tail_s: _NotNegative = Field(
        default=DEFAULT_TAIL_S, description="after the window, in which its replies may still come"
    )
    arrivals: _Arrivals = Field(
        default="constant", description="evenly spaced, or at random, as of clients who do not know of each other"
    )
    think_time_s: _NotNegative = Field(default=0.0, description="that a user waits after a reply")
    think_time_max_s: _PositiveIfGiven = Field(
        default=None, description="think times are drawn evenly, from `think_time_s` to this"
    )
    spawn_per_s: _PositiveIfGiven = Field(
        default=None,
        description="users that come a second, each sending at once; all are there by the end of the warm-up",
    )
    stream: _Flag = Field(default=False, description="`true`: replies are streamed")
    payload_bytes: _CountIfGiven = Field(
        default=None, description="length of the prompt; without it LiteLLM's published prompt of 16,350 characters"
    )
    direct_rps: _PositiveIfGiven = Field(
        default=None, description="the rate of windows without a gateway, which else would be as fast as the mock is"
    )
    turns_per_session: _CountIfGiven = Field(
        default=None,
        description="of realtime sessions: after so many turns a user closes its session and opens another; without it "
        "the user keeps it",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        kinds = [key for key in ("offered_rps", "users", "requests") if getattr(self, key) is not None]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none of them"
            raise _broken_rule(f"expected exactly one of offered_rps, users and requests, found {found}")
        for key in self.model_fields_set & _ONLY_WITH.keys():
            if kinds[0] not in _ONLY_WITH[key]:
                raise _broken_rule(f"{key} goes with {' or '.join(_ONLY_WITH[key])}, not with {kinds[0]}")
        if self.requests is None and self.window_s is None:
            raise _broken_rule("the key window_s is missing")
        try:
            if self.requests is None:
                _ = self.schedule
            check_prompt_bytes(self.payload_bytes)
        except ValueError as error:
            raise _broken_rule(str(error)) from error
        return self

    @property
    def schedule(self) -> Schedule:
        """As a schedule.

        Raises:
            ValueError: requests are sent one at a time, by no schedule.
        """
        if self.window_s is None:
            raise ValueError(f"requests={self.requests} are sent one at a time: there is no schedule")
        if self.users is not None:
            return ClosedLoop(
                self.users,
                self.warm_up_s,
                self.window_s,
                self.tail_s,
                self.think_time_s,
                self.think_time_max_s,
                self.spawn_per_s,
            )
        assert self.offered_rps is not None
        return OpenLoop(self.offered_rps, self.warm_up_s, self.window_s, self.tail_s, self.arrivals)

    @property
    def direct_schedule(self) -> Schedule | None:
        """Of windows without a gateway; None for the same as the others."""
        if self.direct_rps is None or self.window_s is None:
            return None
        return OpenLoop(self.direct_rps, self.warm_up_s, self.window_s, self.tail_s)

    @property
    def direct_users(self) -> Schedule | None:
        """The same for a generator that knows no rates: as many users as else, who think so that it is at most that."""
        if self.direct_rps is None or self.window_s is None or self.users is None:
            return None
        return ClosedLoop(self.users, self.warm_up_s, self.window_s, self.tail_s, self.users / self.direct_rps)


class _LimitEntry(_Strict):
    max: _NotNegativeIfGiven = Field(default=None, description="of the figure, in the metric's unit")
    min: _PositiveIfGiven = Field(default=None, description="of the figure, in the metric's unit")
    max_on: dict[_HostKey, _Positive] = Field(default={}, description="another maximum on hosts of a class")
    margin: _Percentage | None = Field(
        default=None,
        description="the slowdown that is allowed: `5%` is a ratio of 1.05, above 1 being worse whatever the metric "
        "(throughput is inverted)",
    )
    margin_in: dict[_ProfileKey, _Percentage] = Field(
        default={}, description="another margin in a profile; the table of verdicts stars it"
    )
    floor: _NotNegative = Field(default=0.0, description="a difference, in the metric's unit, that nobody minds")
    claim: _Percentage | None = Field(
        default=None,
        description='what somebody claims the two are equivalent within; said, not judged, see "The same, or not"',
    )
    equivalent_within: _Percentage | None = Field(
        default=None, description='the difference that is allowed either way, see "The same, or not"'
    )
    drift: _Percentage | None = Field(
        default=None, description='by how much the figure may be worse than the committed record\'s, see "Drift"'
    )
    why: _Why = Field(description="it stands in every message and report")

    @model_validator(mode="after")
    def _check(self) -> Self:
        kinds = [key for key in _KINDS if getattr(self, key) is not None]
        if len(kinds) != 1:
            raise _broken_rule(
                f"expected exactly one of {', '.join(_KINDS[:-1])} and {_KINDS[-1]}, found "
                f"{' and '.join(kinds) or 'none of them'}"
            )
        for key in self.model_fields_set & _LIMIT_ONLY_WITH.keys():
            if kinds[0] not in _LIMIT_ONLY_WITH[key]:
                raise _broken_rule(f"{key} goes with {' or '.join(_LIMIT_ONLY_WITH[key])}")
        return self


def _tag_of_rounds(value: object) -> str:
    keys = value if isinstance(value, dict) else {}
    return (
        "<timed>"
        if "minutes" in keys
        else "<faulty>"
        if "cycles" in keys
        else "<searching>"
        if "windows_max" in keys
        else "<counted>"
    )


class _ScenarioEntry(_Strict):
    needs: Needs = Field(default=Needs(), description="what the host must have")
    load: Load = Field(description="of every window")
    shown_load: Load | None = Field(
        default=None,
        description="of a comparison: another load, of which each arm gets one window; its throughput is shown and not "
        "judged",
    )
    objective: Objective | None = Field(default=None, description="of a search: what a rate has to keep to")
    rounds: Annotated[
        Annotated[Rounds, Tag("<counted>")]
        | Annotated[Comparing, Tag("<timed>")]
        | Annotated[Faulting, Tag("<faulty>")]
        | Annotated[Searching, Tag("<searching>")],
        Discriminator(lambda value: _tag_of_rounds(value)),
    ] = Field(description="how much is measured")
    limits: Annotated[dict[_MetricKey, _LimitEntry], _NOT_EMPTY] = Field(
        description="what the gateway may cost; the metrics are listed below"
    )

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo[_Names]) -> Self:
        """A scenario either holds a gateway against numbers or compares two, one of which may be held against some."""
        relative = [
            metric
            for metric, limit in self.limits.items()
            if limit.margin is not None or limit.equivalent_within is not None
        ]
        for metric in relative:
            if metric not in info.context.comparable:
                raise _broken_rule(
                    f"{metric} cannot have a {_RELATIVE}: two arms are compared by {', '.join(info.context.comparable)}"
                )
        if self.needs.baseline and not relative:
            raise _broken_rule(f"needs: {{baseline: true}} goes with limits by {_RELATIVE}, and there is none")
        if self.needs.baseline and len(relative) < len(self.limits):
            others = ", ".join(metric for metric in self.limits if metric not in relative)
            raise _broken_rule(
                f"some limits compare with the baseline, and {others} does not: make two scenarios of it"
            )
        if bool(relative) != isinstance(self.rounds, Comparing):
            raise _broken_rule(
                f"limits by {_RELATIVE} go with rounds: {{minutes: …}}"
                if relative
                else f"rounds: {{minutes: …}} goes with limits by {_RELATIVE}"
            )
        if self.shown_load is not None and not isinstance(self.rounds, Comparing):
            raise _broken_rule("shown_load goes with rounds: {minutes: …}")
        if isinstance(self.rounds, Faulting) and self.load.offered_rps is None:
            raise _broken_rule("rounds: {cycles: …} goes with a load at a rate (offered_rps), in short windows")
        self._check_search()
        return self

    def _check_search(self) -> None:
        """A search for a capacity has an objective, begins at a rate, and is judged by what it finds."""
        is_search = isinstance(self.rounds, Searching)
        if is_search != (self.objective is not None):
            raise _broken_rule("objective and rounds: {windows_max: …} go together: a rate is held or not")
        if is_search != (CAPACITY in self.limits) or (is_search and len(self.limits) > 1):
            raise _broken_rule(
                f"rounds: {{windows_max: …}} goes with one limit, on {CAPACITY}, which goes with no other"
            )
        if not is_search:
            return
        if self.load.offered_rps is None or self.load.window_s is None:
            raise _broken_rule("rounds: {windows_max: …} goes with a load at a rate (offered_rps), the first one tried")
        if self.load.offered_rps * self.load.window_s < SEARCH_REQUESTS_MIN:
            raise _broken_rule(
                f"offered_rps × window_s must be at least {SEARCH_REQUESTS_MIN}, or a p95 says nothing of a rate"
            )


class _WaiverEntry(_Strict):
    scenario: _ScenarioName = Field(description="whose limit it is")
    metric: _MetricName = Field(description="with the scenario exactly one limit of the file; each is waived once")
    ceiling: _Ceiling = Field(
        description="how bad the figure may get, in the terms of the limit: a number above its `max` (and `max_on`) or "
        "below its `min`, a percentage above its `margin` (and `margin_in`) or `equivalent_within`. On another host it "
        "is scaled as the limit is"
    )
    expires: Annotated[
        date,
        AfterValidator(_not_expired),
        BeforeValidator(date.fromisoformat),
        Expected("a day such as 2026-12-31", _is_day),
    ] = Field(description="the last day (UTC) on which it holds")
    why: _Reason = Field(description="shown wherever the verdict is")
    link: _Link = Field(description="likewise: where it is argued")

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo[_Names]) -> Self:
        limited = info.context.limits[self.scenario]
        if self.metric not in limited:
            raise _broken_rule(
                f"there is nothing to waive: scenarios.{self.scenario} has no limit on {self.metric} but on "
                f"{', '.join(limited)}"
            )
        return self


def _each_limit_once(waivers: tuple[_WaiverEntry, ...]) -> tuple[_WaiverEntry, ...]:
    waived = [f"{waiver.scenario}.{waiver.metric}" for waiver in waivers]
    for limit in waived:
        if waived.count(limit) > 1:
            raise _broken_rule(f"{limit} is waived twice")
    return waivers


class _Drift(_Strict):
    record: _Text = Field(description="the path of the committed record, from the folder of this file")


class _File(_Strict):
    profiles: Annotated[dict[str, Profile], _NOT_EMPTY] = Field(description="what runs together")
    hosts: dict[str, HostClass] = Field(default={}, description="what the limits were measured on")
    drift: _Drift | None = Field(default=None, description="the record that figures must not drift too far from")
    scenarios: Annotated[dict[str, _ScenarioEntry], _NOT_EMPTY] = Field(description="load and limits")
    waivers: Annotated[tuple[_WaiverEntry, ...], AfterValidator(_each_limit_once)] = Field(
        default=(), description="limits that may be broken for a while"
    )
    apparatus: Apparatus = Field(description="what generator, mock and host must keep to")


#: The parts of the file, as docs/thresholds.md calls them: a table of keys each.
PARTS: Final[Mapping[str, type[BaseModel]]] = {
    "the file": _File,
    "profiles": Profile,
    "hosts": HostClass,
    "drift": _Drift,
    "scenarios": _ScenarioEntry,
    "needs": Needs,
    "load": Load,
    "objective": Objective,
    "rounds": Rounds,
    "rounds of a comparison": Comparing,
    "rounds of a fault": Faulting,
    "rounds of a search": Searching,
    "limits": _LimitEntry,
    "waivers": _WaiverEntry,
    "apparatus": Apparatus,
}
#: Keys of a part that go with some of its other keys alone, and with which.
ONLY_WITH: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {"load": _ONLY_WITH, "limits": _LIMIT_ONLY_WITH}


#: pydantic tells which of several models it has tried by a tag in the middle of a key's path.
_BY_TAG: Final[Mapping[int | str, type[BaseModel]]] = {
    "<counted>": Rounds,
    "<timed>": Comparing,
    "<faulty>": Faulting,
    "<searching>": Searching,
}


# --- what leaves this module ---


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on a metric, absolute or against a baseline.

    Args:
        metric: what is limited; its name ends in its unit.
        why: the reason in words, as written.
        path, line: where the number stands.
        maximum, minimum, margin, equivalent_within: exactly one is a number, the others are None. Maximum and minimum
            are in the metric's unit; a margin of 0.05 allows a slowdown of 5 %, equivalent_within a difference of 5 %
            either way.
        maximum_on: another maximum on hosts of these classes.
        margin_in: another margin in these profiles.
        floor: with a margin: a difference of at most this, in the metric's unit, does not matter.
        claim: with a margin: what somebody claims it is equivalent within; said beside the verdict.
        basis: where the number differs from the file's, why, in words.
        waiver: by which it may be broken for a while; None where it may not.
        drift: by how much the figure may be worse than that of the committed record: 0.15 is 15 %; None for any.
    """

    metric: str
    why: str
    path: str
    line: int
    maximum: float | None = None
    minimum: float | None = None
    maximum_on: Mapping[str, float] = field(default_factory=dict)
    margin: float | None = None
    margin_in: Mapping[str, float] = field(default_factory=dict)
    floor: float = 0.0
    equivalent_within: float | None = None
    claim: float | None = None
    basis: str = ""
    waiver: Waiver | None = None
    drift: float | None = None

    def __post_init__(self) -> None:
        """Check that it limits in one way."""
        if sum(number is not None for number in (self.maximum, self.minimum, self.margin, self.equivalent_within)) != 1:
            raise ValueError(
                f"{self.metric}: exactly one of maximum={self.maximum}, minimum={self.minimum}, margin={self.margin} "
                f"and equivalent_within={self.equivalent_within} must be set"
            )

    @property
    def is_relative(self) -> bool:
        """Whether it compares two arms."""
        return self.decided_within is not None

    @property
    def decided_within(self) -> float | None:
        """The difference that it turns on, a ratio: margin or equivalent_within; None for an absolute limit."""
        return self.margin if self.margin is not None else self.equivalent_within

    def in_profile(self, profile: str) -> Self:
        """The limit as it holds in a profile."""
        if profile not in self.margin_in:
            return self
        margin = self.margin_in[profile]
        return replace(self, margin=margin, basis=f"of the profile {profile}")

    @property
    def number(self) -> float:
        """The one of maximum, minimum, margin and equivalent_within that it has."""
        numbers = (self.maximum, self.minimum, self.margin, self.equivalent_within)
        return next(number for number in numbers if number is not None)

    def with_number(self, number: float) -> Self:
        """Another number of the same kind in the place of its own, whatever the host class or profile."""
        return replace(
            self,
            maximum=None if self.maximum is None else number,
            minimum=None if self.minimum is None else number,
            margin=None if self.margin is None else number,
            equivalent_within=None if self.equivalent_within is None else number,
            maximum_on={},
            margin_in={},
            basis="",
        )

    def at_ceiling(self) -> Self | None:
        """The limit with its waiver's ceiling in its place; None without a waiver."""
        return None if self.waiver is None else self.with_number(self.waiver.ceiling)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question, measured and judged.

    Args:
        name: its key in the file.
        needs: what the host must have.
        load: of every window.
        rounds: how much is measured.
        limits: by metric, in the file's order.
        shown_load: of a comparison: another load, whose throughput is shown and not judged; None for none.
        objective: of a search for a capacity: what a rate has to keep to; None for others.
    """

    name: str
    needs: Needs
    load: Load
    rounds: Rounds | Comparing | Faulting | Searching
    limits: Mapping[str, Limit]
    shown_load: Load | None = None
    objective: Objective | None = None

    @property
    def compares(self) -> bool:
        """Whether it compares two arms, `baseline` and `candidate`."""
        return isinstance(self.rounds, Comparing)


@dataclass(frozen=True, slots=True)
class DriftSource:
    """The committed record that drift is counted from.

    Args:
        file: where it is; the path in thresholds.yaml is relative to the folder of that file.
        path: as written there.
        place: `thresholds.yaml:3`, for messages.
    """

    file: Path
    path: str
    place: str


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The whole file.

    Args:
        path: as shown in messages: relative where it lies below the working directory.
        sha256: of its bytes, for the record.
        text: all of it, likewise.
        profiles, hosts, scenarios: by name, in the file's order.
        apparatus: limits of the measuring side.
        drift: the record that limits with a drift are held against; None where no limit has one.
    """

    path: str
    sha256: str
    text: str = field(repr=False)
    profiles: Mapping[str, Profile]
    hosts: Mapping[str, HostClass]
    scenarios: Mapping[str, Scenario]
    apparatus: Apparatus
    drift: DriftSource | None = None


def load_thresholds(
    path: Path,
    known_metrics: Collection[str],
    comparable_metrics: Collection[str] | None = None,
    *,
    today: date | None = None,
) -> Thresholds:
    """Read and check thresholds.yaml.

    Args:
        path: the file.
        known_metrics: what limits may be set on.
        comparable_metrics: what limits by margin may be set on; None for all of them.
        today: the day (UTC) on which its waivers must not have expired; None for who judges by none of them.

    Raises:
        BadInput: the file cannot be read, is not YAML or breaks the schema. All its problems are in the message.
    """
    shown = str(path.absolute().relative_to(Path.cwd())) if path.absolute().is_relative_to(Path.cwd()) else str(path)
    return parsed_thresholds(_content(path, shown), shown, known_metrics, comparable_metrics, today=today)


def parsed_thresholds(
    content: bytes,
    shown: str,
    known_metrics: Collection[str],
    comparable_metrics: Collection[str] | None = None,
    *,
    today: date | None = None,
) -> Thresholds:
    """Check what a thresholds.yaml holds.

    Args:
        content: its bytes.
        shown: its path, for messages and limits.
        known_metrics, comparable_metrics, today: see `load_thresholds`.

    Raises:
        BadInput: it is not YAML or breaks the schema. All its problems are in the message.
    """
    try:
        text = content.decode("utf-8")
        document = located_yaml.read(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise _bad_file(shown, [Problem(line, (), f"not UTF-8: byte 0x{byte:02x}; save it as UTF-8")]) from error
    except NotYaml as error:
        raise _bad_file(shown, error.problems) from error
    problems = list(document.problems)
    try:
        comparable = known_metrics if comparable_metrics is None else comparable_metrics
        file = _File.model_validate(document.data, context=_names(known_metrics, comparable, document.data, today))
        waivers, unusable = _waivers(file, shown, document)
        problems += [*unusable, *_problems_of_drift(file, document)]
    except ValidationError as error:
        problems += [_problem(details, document) for details in error.errors(include_url=False)]
    if problems:
        raise _bad_file(shown, problems)
    return Thresholds(
        path=shown,
        sha256=hashlib.sha256(content).hexdigest(),
        text=text,
        profiles=MappingProxyType(file.profiles),
        hosts=MappingProxyType(file.hosts),
        scenarios=MappingProxyType(
            {name: _scenario(name, entry, shown, document, waivers) for name, entry in file.scenarios.items()}
        ),
        apparatus=file.apparatus,
        drift=None if file.drift is None else _drift_source(file.drift, shown, document),
    )


def host_class(host: HostFingerprint, hosts: Mapping[str, HostClass], backend: str) -> str | None:
    """The first class that the host belongs to; None when absolute limits were not measured on such a host."""
    return next((name for name, kind in hosts.items() if _belongs(host, backend, kind)), None)


def _belongs(host: HostFingerprint, backend: str, kind: HostClass) -> bool:
    is_throttled = host.cgroup_limit_cores is not None and host.cgroup_limit_cores < kind.cores
    memory_off_gib = abs(host.memory_bytes / _GIB - kind.memory_gib)
    return (
        backend == kind.backend
        and host.cores_allowed == kind.cores
        and not is_throttled
        and memory_off_gib <= kind.memory_gib * MEMORY_TOLERANCE_RATIO
        and any(fnmatchcase(host.cpu_model or "", pattern) for pattern in kind.cpu_models)
    )


def _waivers(
    file: _File, path: str, document: Document
) -> tuple[Mapping[tuple[str, str], Waiver], Collection[Problem]]:
    """The waivers by scenario and metric, and those whose ceiling does not go with the limit."""
    waivers, problems = {}, []
    for index, entry in enumerate(file.waivers):
        limit = file.scenarios[entry.scenario].limits[entry.metric]
        kind = _kind_of(limit)
        complaint = _complaint_of_ceiling(entry.ceiling, kind, limit)
        if complaint is not None:
            where: KeyPath = ("waivers", index, "ceiling")
            problems.append(Problem(document.place(where).line, where, complaint))
            continue
        line = document.place(("waivers", index)).line
        waivers[entry.scenario, entry.metric] = Waiver(
            _number_of(entry.ceiling), entry.expires, entry.why, entry.link, path, line
        )
    return waivers, problems


def _complaint_of_ceiling(ceiling: float | str, kind: str, limit: _LimitEntry) -> str | None:
    """Why a ceiling says nothing of a limit of this kind, in words; None when it does."""

    def shown(number: float) -> str:
        return f"{number * 100:g}%" if kind in _PERCENTAGES else f"{number:g}"

    if isinstance(ceiling, str) != (kind in _PERCENTAGES):
        expected = "a percentage such as 12%" if kind in _PERCENTAGES else "a number in the metric's unit"
        found = ceiling if isinstance(ceiling, str) else f"{ceiling:g}"
        return f"the limit is one by {kind}, so its ceiling is {expected}, found {found}"
    numbers = [getattr(limit, kind), *limit.max_on.values(), *limit.margin_in.values()]
    bound, number = min(numbers) if kind == "min" else max(numbers), _number_of(ceiling)
    if number < bound if kind == "min" else number > bound:
        return None
    side = "below" if kind == "min" else "above"
    return f"must be {side} the limit itself, {shown(bound)}, found {shown(number)}: it is how bad the figure may get"


def _number_of(ceiling: float | str) -> float:
    """12% as 0.12, a number as it is."""
    return float(ceiling[:-1]) / 100 if isinstance(ceiling, str) else ceiling


def _problems_of_drift(file: _File, document: Document) -> Collection[Problem]:
    """Limits that may drift from nothing, or a record that nothing is held against."""
    drifting: list[KeyPath] = [
        ("scenarios", name, "limits", metric, "drift")
        for name, scenario in file.scenarios.items()
        for metric, limit in scenario.limits.items()
        if limit.drift is not None
    ]
    if file.drift is None:
        text = "there is no record to drift from: add drift: {record: FILE} at the top of the file"
        return [Problem(document.place(where).line, where, text) for where in drifting]
    if not drifting:
        text = "no limit has a drift, so nothing is held against this record: add drift: 15% to those that should be"
        return [Problem(document.place(("drift",)).line, ("drift",), text)]
    return []


def _drift_source(drift: _Drift, shown: str, document: Document) -> DriftSource:
    line = document.place(("drift", "record")).line
    return DriftSource(Path(shown).absolute().parent / drift.record, drift.record, f"{shown}:{line}")


def _kind_of(limit: _LimitEntry) -> str:
    return next(key for key in _KINDS if getattr(limit, key) is not None)


def _scenario(
    name: str, entry: _ScenarioEntry, path: str, document: Document, waivers: Mapping[tuple[str, str], Waiver]
) -> Scenario:
    limits = {}
    for metric, limit in entry.limits.items():
        key = _kind_of(limit)
        line = document.place(("scenarios", name, "limits", metric, key)).line
        limits[metric] = Limit(
            metric,
            limit.why,
            path,
            line,
            limit.max,
            limit.min,
            MappingProxyType(limit.max_on),
            limit.margin,
            MappingProxyType(limit.margin_in),
            limit.floor,
            limit.equivalent_within,
            limit.claim,
            waiver=waivers.get((name, metric)),
            drift=limit.drift,
        )
    return Scenario(
        name, entry.needs, entry.load, entry.rounds, MappingProxyType(limits), entry.shown_load, entry.objective
    )


# --- what is wrong, in words ---


def _content(path: Path, shown: str) -> bytes:
    next_step = "name another file with --thresholds"
    if not path.exists():
        raise BadInput(f"{shown}: there is no such file; {next_step}")
    if not path.is_file():
        raise BadInput(f"{shown}: not a file but {'a folder' if path.is_dir() else 'a device or pipe'}; {next_step}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{shown}: cannot be read: {error.strerror}; {next_step}") from error


def _bad_file(shown: str, problems: Collection[Problem]) -> BadInput:
    lines = [
        ": ".join(
            [
                shown if problem.line is None else f"{shown}:{problem.line}",
                *([_dotted(problem.path)] if problem.path else []),
                problem.text,
            ]
        )
        for problem in sorted(problems, key=lambda problem: problem.line or 0)
    ]
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return BadInput(
        "\n".join(
            [
                f"{shown} cannot be used: {count}; nothing was started",
                *lines,
                f"next: correct the file; {_MANUAL} explains every key",
            ]
        )
    )


def _dotted(path: KeyPath) -> str:
    """`profiles.quick.scenarios[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _names(known_metrics: Collection[str], comparable: Collection[str], data: object, today: date | None) -> _Names:
    """Known before anything is checked, so that one mistake in a scenario is not reported as its absence, too."""

    def below(*keys: str) -> tuple[str, ...]:
        part = data
        for key in keys:
            part = part.get(key) if isinstance(part, dict) else None
        return tuple(part) if isinstance(part, dict) else ()

    scenarios = below("scenarios")
    limits = {name: below("scenarios", name, "limits") for name in scenarios}
    return _Names(known_metrics, comparable, scenarios, below("hosts"), below("profiles"), limits, today)


def _problem(details: ErrorDetails, document: Document) -> Problem:
    """pydantic's error in our words; what it says of types would speak of Python."""
    path = tuple(part for part in details["loc"] if part != "[key]" and part not in _BY_TAG)
    place = document.place(path)
    match details["type"]:
        case "rule":
            text = details["msg"]
        case "expected":
            text = f"expected {details['msg']}, found {place.shown}"
        case "extra_forbidden":
            text = _unknown_key(details["loc"])
        case "missing":
            path, text = path[:-1], f"the key {path[-1]} is missing"
        case "tuple_type":
            text = f"expected a list, found {place.shown}"
        case _:  # model_type, dict_type: all others have one of our own types
            text = f"expected keys with values, found {place.shown}"
    return Problem(place.line, path, text)


def _unknown_key(location: KeyPath) -> str:
    """What is said of a key that no model has.

    Args:
        location: pydantic's: the key's path, tags included.
    """
    key = str(location[-1])
    kind: Any = _File
    for part in location[:-1]:
        if part in _BY_TAG:
            kind = _BY_TAG[str(part)]
            continue
        is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
        # Of a mapping the values are meant, of a list its entries: tuple[Entry, ...].
        kind = kind.model_fields[str(part)].annotation if is_model else get_args(kind)[0 if type(part) is int else -1]
        if NoneType in get_args(kind):  # a part that may be left out
            kind = get_args(kind)[0]
    hint = _did_you_mean(key, kind.model_fields) or f"; known are {', '.join(kind.model_fields)}"
    return f"unknown key{hint}"
