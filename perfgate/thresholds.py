"""What does thresholds.yaml say, and is all of it right?

Comes in: the file, and the metrics that can be limited. Goes out: `Thresholds`, frozen; every limit knows its line.
 Every problem of a file is found in one go; one that has any is not used.
"""

import difflib
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from perfgate.errors import BadInput
from perfgate.load.schedule import OpenLoop
from perfgate.measure.host import HostFingerprint

#: Keys that the format has but this version does not read yet: refused, so that nobody believes in a check that isn't.
NOT_YET: Final = ("margin", "floor", "equivalent_within", "max_on", "waivers", "drift_budget")
#: A host belongs to a class when its memory differs by at most this share: firmware and hypervisors keep some.
MEMORY_TOLERANCE: Final = 0.1

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Text = Annotated[str, Field(min_length=1, strict=True)]
Finite = Annotated[float, Field(allow_inf_nan=False, strict=True)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Needs(_Part):
    """What a host must have for a scenario."""

    cores: Count = 1


class Load(_Part):
    """The load of a scenario's windows: see load/schedule.py; `payload_bytes` is the prompt's length."""

    offered_rps: Positive
    warm_up_s: NotNegative
    window_s: Positive
    tail_s: NotNegative = 10.0
    arrivals: Literal["constant", "poisson"] = "constant"
    payload_bytes: Annotated[int, Field(ge=36, le=10_000_000, strict=True)] | None = None

    @model_validator(mode="after")
    def _is_a_schedule(self) -> "Load":
        _ = self.open_loop
        return self

    @property
    def open_loop(self) -> OpenLoop:
        """As a schedule."""
        return OpenLoop(self.offered_rps, self.warm_up_s, self.window_s, self.tail_s, self.arrivals)


class RoundsOf(_Part):
    """How much is measured: see experiment/rounds.py."""

    generations: Count
    per_generation: Count
    per_generation_max: Count

    @model_validator(mode="after")
    def _max_is_not_less(self) -> "RoundsOf":
        if self.per_generation_max < self.per_generation:
            raise ValueError(f"per_generation_max={self.per_generation_max} < per_generation={self.per_generation}")
        if self.generations * self.per_generation < 2:
            raise ValueError("generations * per_generation must be at least 2: one round has no interval")
        return self


class Limit(_Part):
    """One limit, `max` or `min`, why it is what it is, and where it stands."""

    metric: str
    maximum: Finite | None = Field(default=None, alias="max")
    minimum: Finite | None = Field(default=None, alias="min")
    why: Text
    path: str
    line: int

    @model_validator(mode="after")
    def _one_direction(self) -> "Limit":
        if (self.maximum is None) == (self.minimum is None):
            raise ValueError("a limit has either max or min")
        return self


class Scenario(_Part):
    """One question that is asked of the gateway."""

    needs: Needs = Needs()
    load: Load
    rounds: RoundsOf
    limits: Annotated[dict[str, Limit], Field(min_length=1)]


class Profile(_Part):
    """A set of scenarios that are run together."""

    budget_minutes: Positive
    on_invalid: Literal["warn", "fail"]
    scenarios: Annotated[list[Text], Field(min_length=1)]


class HostClass(_Part):
    """A kind of machine on which absolute limits were measured."""

    cores: Count
    memory_gib: Positive
    cpu_models: Annotated[list[Text], Field(min_length=1)]
    backend: Literal["processes", "containers"]


class Apparatus(_Part):
    """What generator, mock and host must keep to for a verdict to be worth anything."""

    dispatch_lag_p99_ms: Positive
    sent_ratio_min: Share
    generator_cpu_ratio_max: Positive
    direct_p95_above_mock_delay_ms: Positive


class Thresholds(_Part):
    """The whole file."""

    profiles: Annotated[dict[str, Profile], Field(min_length=1)]
    hosts: dict[str, HostClass] = Field(default_factory=dict)
    scenarios: Annotated[dict[str, Scenario], Field(min_length=1)]
    apparatus: Apparatus


Path_ = tuple[str | int, ...]


def load_thresholds(path: Path, known_metrics: Collection[str]) -> Thresholds:
    """Read and check the file.

    Args:
        path: the file.
        known_metrics: what can be limited: `perfgate.experiment.metrics.METRICS`.

    Raises:
        BadInput: it cannot be read or is wrong; lists every problem with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; name it with --thresholds") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); name a file with --thresholds") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise BadInput(f"{where}: not YAML: {error.problem}; indent with spaces, quote texts with colons") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{path}: not YAML: {error}") from error
    if root is None:
        raise BadInput(f"{path}: the file is empty; docs/thresholds.md shows what belongs in it")
    if not isinstance(root, yaml.MappingNode):
        raise BadInput(f"{path}:{root.start_mark.line + 1}: expected profiles, hosts, scenarios, apparatus at the top")
    lines: dict[Path_, int] = {}
    problems: list[tuple[int, str]] = []
    data = _plain(root, (), lines, problems, yaml.SafeLoader(""))
    for metric_path, limit in _limits_in(data):
        limit.update(metric=metric_path[-1], path=str(path), line=lines[metric_path])
        if metric_path[-1] not in known_metrics:
            hint = _did_you_mean(str(metric_path[-1]), known_metrics)
            problems.append((lines[metric_path], f"{_dotted(metric_path)}: no such metric{hint}"))
    thresholds = None
    try:
        thresholds = Thresholds.model_validate(data)
    except ValidationError as error:
        problems.extend(_worded(item, lines) for item in error.errors())
    if thresholds is not None:
        for name, profile in thresholds.profiles.items():
            for index, scenario in enumerate(profile.scenarios):
                if scenario not in thresholds.scenarios:
                    at: Path_ = ("profiles", name, "scenarios", index)
                    hint = _did_you_mean(scenario, thresholds.scenarios)
                    problems.append((lines[at], f"{_dotted(at)}: there is no scenario {scenario!r}{hint}"))
    if problems or thresholds is None:
        said = "\n".join(f"  {path}:{line}: {text}" for line, text in sorted(set(problems)))
        raise BadInput(f"{path} cannot be used; nothing was started:\n{said}\n  docs/thresholds.md explains every key")
    return thresholds


def host_class(host: HostFingerprint, classes: Mapping[str, HostClass], backend: str) -> str | None:
    """The first class that a host belongs to; None when it is of no class."""
    for name, known in classes.items():
        memory_gib = host.memory_bytes / 1024**3
        if (
            known.cores == host.cores_allowed
            and known.backend == backend
            and abs(memory_gib / known.memory_gib - 1) <= MEMORY_TOLERANCE
            and any(fnmatchcase(host.cpu_model or "", pattern) for pattern in known.cpu_models)
        ):
            return name
    return None


def _plain(
    node: yaml.Node, at: Path_, lines: dict[Path_, int], problems: list[tuple[int, str]], loader: yaml.SafeLoader
) -> Any:
    """The node as plain data; notes the line of every path, and keys that stand twice (PyYAML would keep the last)."""
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            inner: Path_ = (*at, key)
            line = key_node.start_mark.line + 1
            if key == "<<":
                problems.append((line, f"{_dotted(inner)}: merge keys are not supported: write the keys out"))
                continue
            if key in mapping:
                problems.append((line, f"{_dotted(inner)}: stands twice, first at line {lines[inner]}"))
                continue
            lines[inner] = line
            mapping[key] = _plain(value_node, inner, lines, problems, loader)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*at, index), lines, problems, loader) for index, item in enumerate(node.value)]
    value = loader.construct_object(node)
    return float(value) if type(value) is int and at[-2:-1] != ("rounds",) and at[-1] not in _WHOLE else value


#: Keys that hold whole numbers; every other number may have a fraction, and `max: 25` is as good as `max: 25.0`.
_WHOLE: Final = ("cores", "payload_bytes", "generations", "per_generation", "per_generation_max")


def _limits_in(data: Any) -> Iterator[tuple[Path_, dict[str, Any]]]:
    scenarios = data.get("scenarios")
    for name, scenario in scenarios.items() if isinstance(scenarios, dict) else ():
        limits = scenario.get("limits") if isinstance(scenario, dict) else None
        for metric, limit in limits.items() if isinstance(limits, dict) else ():
            if isinstance(limit, dict):
                yield ("scenarios", name, "limits", metric), limit


def _worded(item: Any, lines: Mapping[Path_, int]) -> tuple[int, str]:
    """One of pydantic's complaints as a person would put it, with the line of the nearest thing that has one."""
    at: Path_ = tuple(item["loc"])
    line = next(lines[at[:length]] for length in range(len(at), -1, -1) if at[:length] in lines)
    key = str(at[-1]) if at else ""
    match item["type"]:
        case "extra_forbidden" if key in NOT_YET:
            text = "not supported yet by this version"
        case "extra_forbidden":
            text = "unknown key" + _did_you_mean(key, _keys_beside(at))
        case "missing":
            text = "is missing"
        case "value_error":
            text = str(item["ctx"]["error"])
        case _:
            text = f"{item['msg'].replace('Input should be', 'expected')}, found {item['input']!r}"
    return line, f"{_dotted(at)}: {text}"


def _keys_beside(at: Path_) -> Collection[str]:
    models: dict[str, type[BaseModel]] = {"needs": Needs, "load": Load, "rounds": RoundsOf, "apparatus": Apparatus}
    if len(at) == 1:
        return Thresholds.model_fields
    if at[0] == "scenarios" and at[-2] in models:
        return models[str(at[-2])].model_fields
    if at[0] == "apparatus":
        return Apparatus.model_fields
    if len(at) >= 3 and at[-3] == "limits":
        return ("max", "min", "why")
    parts: dict[str, type[BaseModel]] = {"profiles": Profile, "hosts": HostClass, "scenarios": Scenario}
    return parts[str(at[0])].model_fields


def _did_you_mean(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _dotted(at: Path_) -> str:
    return ".".join(map(str, at)) or "the file"
