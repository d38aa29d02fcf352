"""What does a profile of two gateways say, in words and tables?

Comes in: a `Profile`, its `Gains`, the packages of both gateways, what was noted meanwhile. Goes out: an `Answer`:
sections that the page and the Markdown both show, and warnings that come first. No I/O and no markup.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from perfgate.experiment import health
from perfgate.experiment.arms import BASELINE, CANDIDATE, GatewaySpec
from perfgate.experiment.measurement import Estimate, Measurement
from perfgate.stack.packages import PackageDifference
from perfgate.stats.decision import Decision
from perfgate.stats.resampling import Interval
from perfgate.thresholds import Apparatus
from perfgate.verdict import DEFAULT_ERROR_RATIO_MAX, digits, errors_decision, percent_words
from perfgate.why.folded import Function
from perfgate.why.gains import CONFIDENCE, FRAME_OF_ALL_RATIO, Change, Gain, Gains
from perfgate.why.profiling import PROFILED_SUFFIX, Profile

#: Of the tables by own time.
_HEAD: Final = (
    "function",
    "own: baseline",
    "candidate",
    "gain",
    "interval",
    "total: baseline",
    "candidate",
    "beyond the spread",
)
#: Of an arm's samples: with more of them unreadable, what is missing may be what gained.
UNREAD_RATIO_MAX: Final = 0.25


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with words, and a table where there is one.

    Args:
        title: its heading.
        words: a paragraph.
        head, rows: the table, texts as people read them.
        names: how many columns, from the first on, hold texts that somebody else wrote, such as names of functions.
    """

    title: str
    words: str
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    names: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """All that is said.

    Args:
        baseline, candidate: the gateways, as they stand in a table.
        command: that makes it again.
        warnings: why not to trust it, a sentence each; empty where all was fit.
        sections: in order.
    """

    baseline: str
    candidate: str
    command: str
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]


def answer_of(
    profile: Profile,
    gains: Gains,
    baseline: GatewaySpec,
    candidate: GatewaySpec,
    packages: Sequence[PackageDifference],
    apparatus: Apparatus,
    *,
    command: str,
    notes: Sequence[str] = (),
) -> Answer:
    """Word it.

    Args:
        profile: what was measured.
        gains: of it.
        baseline, candidate: the gateways as asked for.
        packages: in which they differ.
        apparatus: what generator, mock and host must keep to, in the windows without the profiler.
        command: that makes it again.
        notes: in what else the two differ.
    """
    sections = [
        _cpu(profile, gains),
        _gained(profile, gains),
        _with_callees(gains),
        *_only_in_one(gains),
        _lost(gains),
        _packages(packages),
    ]
    if notes:
        sections.append(Section("What else differs", "", ("difference",), tuple((note,) for note in notes)))
    sections.append(_profiler(profile))
    return Answer(str(baseline), str(candidate), command, tuple(_warnings(profile, apparatus)), tuple(sections))


def us_words(us: float) -> str:
    """Microseconds as people read them.

    >>> us_words(1234.4), us_words(0.04), us_words(0)
    ('1,234', '0.0', '0')
    """
    if us == 0:
        return "0"
    return f"{us:,.0f}" if abs(us) >= 10 else f"{us:.1f}"


def signed_us_words(us: float) -> str:
    """The same of a difference.

    >>> signed_us_words(12.3), signed_us_words(-0.5)
    ('+12', '-0.5')
    """
    return f"{'+' if us > 0 else ''}{us_words(us)}"


def _cpu(profile: Profile, gains: Gains) -> Section:
    plain = profile.without_profiler
    ratio = plain.cpu_ratio("cpu_ratio", CANDIDATE, BASELINE)
    before, after = (plain.cpu_ms_per_request(arm) for arm in (BASELINE, CANDIDATE))
    requests = min(profile.requests(arm) for arm in (BASELINE, CANDIDATE))
    words = (
        f"CPU per request by the kernel's clock, in windows without the profiler: {_ms(before)} -> {_ms(after)}, "
        f"{percent_words(ratio.value)} ({_percent_ends(ratio)}, {_share(ratio.confidence)} interval). "
        f"Under the profiler: {us_words(gains.all.baseline_us)} -> {us_words(gains.all.candidate_us)} us, a gain of "
        f"{signed_us_words(gains.all.gain_us)} us ({_ends(gains.all.gain)}). Both arms were asked in turn, in "
        f"{len(plain.rounds)} rounds of {plain.generations} generations; at least {requests:,} requests of each were "
        f"profiled, at {profile.rate_hz} samples a second."
    )
    return Section("CPU per request", words)


def _gained(profile: Profile, gains: Gains) -> Section:
    words = (
        "CPU of a request in microseconds: of a function's own code, and in total with all that it calls. Each "
        f"interval of the gain is one of {_share(CONFIDENCE)} for itself, over rounds and generations. Of "
        f"{gains.functions:,} functions some are beyond theirs by chance, so what chance does was measured: between "
        "two halves of the baseline's own windows the function that differed most did by "
        f"{us_words(gains.by_chance_us)} us. A gain is beyond the spread when it is beyond both."
    )
    if not gains.gained:
        return Section("Functions that gained most", f"None did. {words}")
    rows = tuple(_row(gain, gain.own, gain.total, gains.by_chance_us) for gain in gains.gained)
    return Section("Functions that gained most", words, _HEAD, rows)


def _row(gain: Gain, ranked: Change, beside: Change, by_chance_us: float) -> tuple[str, ...]:
    return (
        str(gain.function),
        _arm_words(ranked.baseline_us, gain.is_in_baseline),
        _arm_words(ranked.candidate_us, gain.is_in_candidate),
        signed_us_words(ranked.gain_us),
        _ends(ranked.gain),
        _arm_words(beside.baseline_us, gain.is_in_baseline),
        _arm_words(beside.candidate_us, gain.is_in_candidate),
        _verdict(ranked, by_chance_us),
    )


def _verdict(change: Change, by_chance_us: float) -> str:
    """Whether a gain is more than chance, by both measures."""
    if not change.is_beyond_spread:
        return "no"
    return "yes" if abs(change.gain_us) > by_chance_us else "of its interval only"


def _arm_words(us: float, is_in: bool) -> str:
    return us_words(us) if is_in else "not seen"


def _with_callees(gains: Gains) -> Section:
    words = (
        "The same with all that they call: many small gains below one function show up here. Left out are functions "
        f"with more than {_share(FRAME_OF_ALL_RATIO)} of an arm's CPU below them, those that only hand on to one that "
        "is shown, and those that the baseline does not have, which stand below."
    )
    if not gains.gained_with_callees:
        return Section("Gained most with what they call", f"None did. {words}")
    rows = tuple(
        (
            str(gain.function),
            us_words(gain.total.baseline_us),
            us_words(gain.total.candidate_us),
            signed_us_words(gain.total.gain_us),
            _ends(gain.total.gain),
            signed_us_words(gain.own.gain_us),
        )
        for gain in gains.gained_with_callees
    )
    head = ("function", "total: baseline", "candidate", "gain", "interval", "own gain")
    return Section("Gained most with what they call", words, head, rows)


def _only_in_one(gains: Gains) -> Iterator[Section]:
    for title, found, arm in (
        ("Seen in the candidate alone", gains.appeared, "candidate"),
        ("Seen in the baseline alone", gains.disappeared, "baseline"),
    ):
        words = (
            "By total time, in which a layer around others has all that it wraps, new or not. A function that was "
            "hardly ever at work may have been missed in the other arm."
        )
        if not found:
            yield Section(title, "No function.")
            continue
        rows = []
        for gain in found:
            own, total = gain.own, gain.total
            figures = (
                (own.candidate_us, total.candidate_us) if arm == "candidate" else (own.baseline_us, total.baseline_us)
            )
            rows.append((str(gain.function), *map(us_words, figures)))
        yield Section(title, words, ("function", "own", "total"), tuple(rows))


def _lost(gains: Gains) -> Section:
    if not gains.lost:
        return Section("Functions that lost most", "None did.")
    rows = tuple(_row(gain, gain.own, gain.total, gains.by_chance_us) for gain in gains.lost)
    return Section("Functions that lost most", "What the candidate no longer spends; to be read as above.", _HEAD, rows)


def _packages(packages: Sequence[PackageDifference]) -> Section:
    if not packages:
        return Section("Packages", "Both have the same packages.")
    rows = tuple((each.name, each.first or "not installed", each.second or "not installed") for each in packages)
    return Section("Packages", f"{len(rows):,} packages differ.", ("package", "baseline", "candidate"), rows, names=3)


def _profiler(profile: Profile) -> Section:
    """What it cost, and how its samples agree with the kernel's clock."""
    rows = []
    for arm in (BASELINE, CANDIDATE):
        watched = arm + PROFILED_SUFFIX
        ratio = profile.measurement.cpu_ratio("profiler_cost_ratio", watched, arm)
        clock_ms = profile.measurement.cpu_ms_per_request(watched).value
        samples = profile.samples(arm)
        sampled_ms = samples / profile.rate_hz / profile.requests(arm) * 1000
        rows.append(
            (
                arm,
                _ms(profile.measurement.cpu_ms_per_request(arm)),
                f"{digits(clock_ms)} ms",
                f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})",
                f"{digits(sampled_ms)} ms",
                f"{sampled_ms / clock_ms:.0%}",
                f"{samples:,}",
                f"{_unread_ratio(profile, arm):.1%}",
            )
        )
    words = (
        "CPU per request by the kernel's clock, without the profiler and with it, in windows of the same rounds; it is "
        "never there when a limit is judged. Samples count a thread that runs or waits for a core: they say where a "
        "thread's time goes, and its clock how much of it there is."
    )
    head = ("arm", "without", "with", "with / without", "by samples", "of the clock", "samples", "unread")
    return Section("What the profiler cost", words, head, tuple(rows))


def _warnings(profile: Profile, apparatus: Apparatus) -> Iterator[str]:
    """Why the figures are not to be trusted."""
    fitness = health.check(profile.without_profiler, apparatus)
    yield from fitness.complaints
    yield from _errors(profile.measurement)
    for arm in (BASELINE, CANDIDATE):
        behind_s = max(window.behind_s for window in profile.of_arm(arm))
        if behind_s:
            yield (
                f"the profiler was {behind_s:.1f} s late in a window of the {arm}, so it took fewer samples than its "
                "rate says: give a lower --rate"
            )
        if (unread_ratio := _unread_ratio(profile, arm)) > UNREAD_RATIO_MAX:
            said = f"of {unread_ratio:.0%} of the {arm}'s samples no stack could be read"
            yield f"{said}, at most {UNREAD_RATIO_MAX:.0%} may: what is missing may be what gained"


def _errors(measurement: Measurement) -> Iterator[str]:
    for arm in measurement.arms:
        share = measurement.error_ratio(arm.name)
        if errors_decision(share, DEFAULT_ERROR_RATIO_MAX) is Decision.FAIL:
            kinds = ", ".join(f"{error.count:,} {error.kind}" for error in measurement.errors(arm.name))
            yield f"{share.value:.2%} of the requests of {arm.name} failed, so that failures were profiled too: {kinds}"


def _unread_ratio(profile: Profile, arm: str) -> float:
    errors = sum(window.errors for window in profile.of_arm(arm))
    read = profile.samples(arm)
    return errors / (errors + read) if errors + read else 0.0


def _ms(estimate: Estimate) -> str:
    return f"{digits(estimate.value)} ms"


def _share(share: float) -> str:
    return f"{share * 100:g} %"


def _ends(interval: Interval) -> str:
    return f"{signed_us_words(interval.low)} to {signed_us_words(interval.high)}"


def _percent_ends(estimate: Estimate) -> str:
    return f"{percent_words(estimate.low).removesuffix(' %')} to {percent_words(estimate.high).removesuffix(' %')}"


def first_words(gains: Gains) -> str:
    """The answer in one line.

    Returns:
        The function that gained most, or that none is beyond chance.
    """
    real = [gain for gain in gains.gained if gain.own.is_beyond_spread and gain.own.gain_us > gains.by_chance_us]
    if not real:
        return "no function gained more than chance explains"
    first: Function = real[0].function
    return f"{first} gained most: {signed_us_words(real[0].own.gain_us)} us of CPU a request of its own"
