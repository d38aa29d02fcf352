"""What do the raw windows of a record say, judged again by the thresholds of its run?

Comes in: a `Record`. Goes out: its judgements as they should be, and every `Difference` to those that stand in it.
The code is that of live runs (rules.py), the data are the windows, the thresholds that the record holds, and what it
knows of the host. A comparison is judged at the look at which it ended: what that may err by depends on which look it
was, of how many. No I/O.

    Record --thresholds_of--> Thresholds --+
           --measurement_of--> Measurement-+--Rules--> JudgementRecord --differences--> Difference
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from perfgate import drift, verdict
from perfgate.errors import BadInput
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.metrics import METRICS
from perfgate.host_limits import standing
from perfgate.record import JudgementRecord, Record
from perfgate.record_entries import judgement_record
from perfgate.recorded_measurement import measurement_of
from perfgate.rules import DriftRules, Rules
from perfgate.thresholds import Thresholds, parsed_thresholds
from perfgate.verdict import Judgement
from perfgate.versions import versions_here

#: Sums of floats come out differently by their last digits on CPUs that add them in another order.
SAME_RATIO: Final = 1e-9
#: Of the figures in which a judgement differs, so many are named.
SHOWN_FIGURES: Final = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """A judgement that is not what the windows say.

    Args:
        scenario, metric: of the judgement.
        what: the field, dotted: `verdict`, `estimate.low`.
        recorded, again: its value in the record, and by the windows.
    """

    scenario: str
    metric: str
    what: str
    recorded: object
    again: object

    def __str__(self) -> str:
        """As a sentence."""
        return (
            f"{self.scenario}.{self.metric}: {self.what} is recorded as {_shown(self.recorded)}, by the raw windows it "
            f"is {_shown(self.again)}"
        )


def thresholds_of(record: Record) -> Thresholds:
    """The thresholds of the run.

    Raises:
        BadInput: they are not those whose hash the record holds, or cannot be used.
    """
    content = record.thresholds_text.encode()
    found = hashlib.sha256(content).hexdigest()
    if found != record.thresholds_sha256:
        raise BadInput(
            f"the record holds {record.thresholds_path} with the SHA-256 {found}, and says that it had "
            f"{record.thresholds_sha256}: one of the two was altered"
        )
    return parsed_thresholds(content, record.thresholds_path, METRICS, FIGURES)


def judged_again(record: Record) -> tuple[JudgementRecord | None, ...]:
    """The record's judgements, computed again.

    Returns:
        One for each of `record.judgements`, in their order; None where the thresholds have no such limit.

    Raises:
        BadInput: its thresholds or its windows cannot be read.
    """
    thresholds = thresholds_of(record)
    measurements = [measurement_of(kept) for kept in record.measurements if kept.scenario in thresholds.scenarios]
    speed = record.host_speed
    drifts = None
    if record.drift_base is not None and thresholds.drift is not None:
        drifts = DriftRules(drift.Base(thresholds.drift.path, record.drift_base), record.host_class, speed)
    by_scenario: dict[str, Mapping[str, Judgement]] = {}
    try:
        host = standing(record.host_class, thresholds.hosts, speed.median_ms if speed is not None else None)
        rules = Rules(thresholds, record.profile, host, drifts)
        for measurement in measurements:
            compares = thresholds.scenarios[measurement.scenario].compares
            relative = rules.compared(measurement) if compares else {}
            by_scenario[measurement.scenario] = {**rules.absolute(measurement), **relative}
    except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
        # A record that no run wrote: no look at all, an arm without windows, a window of no time.
        raise BadInput(f"what was measured cannot be judged: {type(error).__name__}: {error}") from error
    return tuple(_again(kept, by_scenario, thresholds) for kept in record.judgements)


def differences(record: Record) -> tuple[Difference, ...]:
    """Every field in which a judgement of the record is not what its windows say; empty when all are.

    Raises:
        BadInput: see `judged_again`.
    """
    found: list[Difference] = []
    for kept, again in zip(record.judgements, judged_again(record), strict=True):
        if again is None:
            found.append(
                Difference(kept.scenario, kept.metric, "limit", "a limit", "none: the thresholds have no such")
            )
            continue
        before, after = (dict(_flat(one.model_dump())) for one in (kept, again))
        for what in dict.fromkeys([*before, *after]):
            recorded, now = before.get(what), after.get(what)
            if not _is_same(recorded, now):
                found.append(Difference(kept.scenario, kept.metric, what, recorded, now))
    return tuple(found)


def in_words(record: Record, found: tuple[Difference, ...]) -> tuple[str, ...]:
    """The differences as sentences: of each judgement the first few, and what may have caused them beside a change.

    Args:
        record: that they are of.
        found: by `differences`.
    """
    by_judgement: dict[tuple[str, str], list[Difference]] = {}
    for difference in found:
        by_judgement.setdefault((difference.scenario, difference.metric), []).append(difference)
    sentences: list[str] = []
    for of_one in by_judgement.values():
        sentences += [str(difference) for difference in of_one[:SHOWN_FIGURES]]
        if len(of_one) > SHOWN_FIGURES:
            first = of_one[0]
            sentences.append(f"{first.scenario}.{first.metric}: {len(of_one) - SHOWN_FIGURES} more figures differ")
    if sentences:
        sentences += other_versions(record)
    return tuple(sentences)


def other_versions(record: Record) -> tuple[str, ...]:
    """In what the versions here differ from those that computed the record's verdicts, a sentence at most."""
    then, now = record.computed_with, versions_here()
    changed = [
        f"{name} {then.get(name, 'unknown')} (here {now.get(name, 'unknown')})"
        for name in dict.fromkeys([*then, *now])
        if then.get(name) != now.get(name)
    ]
    return (f"its verdicts were computed with {', '.join(changed)}: figures may differ by that",) if changed else ()


def _again(
    kept: JudgementRecord, by_scenario: Mapping[str, Mapping[str, Judgement]], thresholds: Thresholds
) -> JudgementRecord | None:
    scenario = thresholds.scenarios.get(kept.scenario)
    limit = scenario.limits.get(kept.metric) if scenario is not None else None
    if limit is None:
        return None
    if kept.scenario not in by_scenario:
        # Why nothing was measured only whoever did not measure knew.
        return judgement_record(verdict.not_measured(kept.scenario, limit, kept.detail))
    again = by_scenario[kept.scenario][kept.metric]
    if kept.reason == verdict.Reason.TOO_FEW_CORES.value:  # the test that asked knew what its claim takes
        again = verdict.shown_only(again, kept.detail)
    return judgement_record(again)


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, object]]:
    """The fields of a judgement by dotted names; those of what is not there are left out."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{before}{name}.")
        elif inner is not None:
            yield before + name, inner


def _is_same(one: object, other: object) -> bool:
    numbers = [value for value in (one, other) if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == 2:
        return math.isclose(*numbers, rel_tol=SAME_RATIO, abs_tol=SAME_RATIO)
    return one == other


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "nothing" if value is None else repr(value) if value == "" else str(value)
