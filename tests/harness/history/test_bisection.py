"""Does a search ask the right versions, measure longer where it must, and name the first bad one?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pytest

from perfgate.errors import BadInput, StackFailed
from perfgate.experiment.comparison import CPU
from perfgate.history.answer_table import SHOWN_WHYS, answer_words, judged_words
from perfgate.history.bisection import LOOKS, Answer, ask, bisect
from perfgate.history.measuring import HostFailed, Unfit, Version
from perfgate.history.result import Measured
from perfgate.stats.bisection import ALPHA
from perfgate.stats.decision import Decision
from tests.harness.history.conftest import measured, noisy, version

NAMES: Final = ("1.79.3", "1.80.0", "1.81.0", "1.82.6", "1.83.1", "1.84.0", "1.85.2", "1.86.0")
SERIES: Final = [version(name) for name in NAMES]


@dataclass
class Bench:
    """Shows each version's ratio, with a spread that is small unless it is set; raises what is set."""

    ratios: Mapping[str, float]
    spreads: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, Sequence[BaseException | None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def measure(self, version: Version, before: Measured | None) -> Measured:
        number = self.asked.count(version.name)
        self.asked.append(version.name)
        errors = self.errors.get(version.name, ())
        if number < len(errors) and (error := errors[number]) is not None:
            raise error
        more = measured(version.name, self.ratios[version.name], spread=self.spreads.get(version.name, 0.005))
        return more if before is None else before.with_more(more)


def bench(first_bad: str, ratio: float = 1.3, **others: object) -> Bench:
    ratios = {name: ratio if name >= first_bad else 1.0 for name in NAMES}
    return Bench(ratios, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize("first_bad", NAMES[1:])
def test_the_first_bad_version_is_named_wherever_it_is(first_bad: str) -> None:
    known = bench(first_bad)
    answer = bisect(SERIES, CPU, 0.10, known.measure)
    assert answer.first_bad == first_bad
    assert answer.last_good == NAMES[NAMES.index(first_bad) - 1]
    # The bad end first, then halving, each once.
    assert known.asked[0] == NAMES[-1]
    assert len(known.asked) == len(set(known.asked)) <= 4
    assert answer.confidence == pytest.approx(1 - len(known.asked) * ALPHA / 4)
    assert [asked.version for asked in answer.asked] == known.asked


def test_without_a_margin_bad_is_nearer_to_the_bad_end() -> None:
    ratios = dict(zip(NAMES, (1.0, 1.0, 1.02, 1.02, 1.15, 1.15, 1.21, 1.21), strict=True))
    answer = bisect(SERIES, CPU, None, Bench(ratios).measure)
    assert answer.allowed_ratio == pytest.approx(1.1)
    assert answer.first_bad == "1.83.1"


def test_a_limit_between_two_steps_leaves_a_version_open_and_the_answer_says_how_each_is_found() -> None:
    ratios = dict(zip(NAMES, (1.0, 1.0, 1.1, 1.1, 1.1, 1.21, 1.21, 1.21), strict=True))
    answer = bisect(SERIES, CPU, None, Bench(ratios).measure)
    assert answer.allowed_ratio == pytest.approx(1.1)
    assert answer.first_bad is None
    said = answer_words(answer).split("\n\n")[1]
    assert said == (
        "It may have got worse in several steps, one of which ends near the limit: --margin 4.9% asks for the first "
        "step, --margin 15.4% asks for the last step; what is measured counts."
    )
    assert bisect(SERIES, CPU, 0.049, Bench(ratios).measure).first_bad == "1.81.0"
    assert bisect(SERIES, CPU, 0.154, Bench(ratios).measure).first_bad == "1.84.0"


@pytest.mark.parametrize(
    ("margin", "at_limit", "spread"), [(0.04, 1.04, 0.05), (0.10, 1.09, 0.2)], ids=["too small", "not known well"]
)
def test_no_other_margin_is_named_that_would_leave_it_open_too(margin: float, at_limit: float, spread: float) -> None:
    ratios = {name: at_limit if name < "1.86.0" else 1.3 for name in NAMES}
    answer = bisect(SERIES, CPU, margin, Bench(ratios, spreads=dict.fromkeys(NAMES[:-1], spread)).measure)
    assert answer.first_bad is None
    assert "asks for the first step" not in answer_words(answer)


def test_a_limit_half_way_rests_on_ends_that_are_known_well() -> None:
    ratios = {name: 1.08 if name >= "1.82.6" else 1.0 for name in NAMES}
    # Its standard error is 1.2 % after 8 starts, 0.8 after 16 and 0.7 after 24; a tenth of the ratio is 0.77.
    known = Bench(ratios, spreads={"1.86.0": 0.05})
    answer = bisect(SERIES, CPU, None, known.measure)
    assert known.asked.count("1.86.0") == 3
    assert answer.asked[0].decision is Decision.FAIL
    assert answer.first_bad == "1.82.6"
    with_margin = Bench(ratios, spreads={"1.86.0": 0.05})
    bisect(SERIES, CPU, 0.01, with_margin.measure)
    assert with_margin.asked.count("1.86.0") < 3


def test_a_margin_decides_which_step_is_meant() -> None:
    ratios = dict(zip(NAMES, (1.0, 1.0, 1.06, 1.06, 1.06, 1.21, 1.21, 1.21), strict=True))
    assert bisect(SERIES, CPU, 0.03, Bench(ratios).measure).first_bad == "1.81.0"
    assert bisect(SERIES, CPU, 0.10, Bench(ratios).measure).first_bad == "1.84.0"


@pytest.mark.parametrize("margin", [0.10, None])
def test_a_bad_end_that_is_good_ends_the_search(margin: float | None) -> None:
    known = bench("2", ratio=1.0)
    known.ratios = dict.fromkeys(NAMES, 0.98)
    answer = bisect(SERIES, CPU, margin, known.measure)
    assert (answer.first_bad, answer.candidates) == (None, ())
    assert known.asked == ["1.86.0"]
    assert answer_words(answer).startswith("nothing to search for: CPU per request of 1.86.0 is good")


def test_a_version_that_is_not_decided_is_measured_again_and_all_starts_count() -> None:
    known = bench("1.83.1", ratio=1.14, spreads={"1.82.6": 0.1, "1.83.1": 0.1})
    answer = bisect(SERIES, CPU, 0.06, known.measure)
    (again,) = (asked for asked in answer.asked if asked.version == "1.83.1")
    assert answer.first_bad == "1.83.1"
    assert again.runs == known.asked.count("1.83.1") > 1
    assert again.slowdown is not None
    assert again.slowdown.degrees_of_freedom == 8 * again.runs - 1


def test_a_version_at_the_limit_is_named_with_its_neighbour() -> None:
    ratios = dict(zip(NAMES, (1.0, 1.0, 1.0, 1.1, 1.3, 1.3, 1.3, 1.3), strict=True))
    known = Bench(ratios)
    answer = bisect(SERIES, CPU, 0.10, known.measure)
    assert known.asked.count("1.82.6") == LOOKS
    assert (answer.first_bad, answer.candidates, answer.last_good) == (None, ("1.82.6", "1.83.1"), "1.81.0")
    text = answer_words(answer)
    assert text.startswith("the first bad one is among 1.82.6, 1.83.1; 1.81.0 is good: CPU per request, ")
    assert "undecided after the last run: 1.82.6: its interval includes the limit" in text


def test_a_version_that_cannot_be_had_is_passed_over_and_named() -> None:
    known = bench("1.84.0", errors={"1.84.0": [BadInput("litellm 1.84.0 cannot be installed\n  log")] * 3})
    answer = bisect(SERIES, CPU, 0.10, known.measure)
    assert known.asked.count("1.84.0") == 1
    assert answer.candidates == ("1.84.0", "1.85.2")
    assert "1.84.0: litellm 1.84.0 cannot be installed" in answer_words(answer)
    assert "| 1.84.0 |  |  | 0 | undecided: litellm 1.84.0 cannot be installed |" in answer_words(answer)


@pytest.mark.parametrize("first_bad", NAMES[1:])
@pytest.mark.parametrize("missing", [("1.83.1",), ("1.82.6", "1.83.1"), NAMES[1:-1]], ids=["one", "two", "all"])
def test_with_some_that_cannot_be_had_the_right_one_is_always_among_those_that_are_named(
    missing: tuple[str, ...], first_bad: str
) -> None:
    """What cannot be had hides the first bad one only where it lies beside it, and is then named with it."""
    known = bench(first_bad, errors={name: [BadInput(f"{name} does not build")] for name in missing})
    answer = bisect(SERIES, CPU, 0.10, known.measure)
    assert first_bad in answer.candidates
    assert set(answer.candidates[:-1]) <= set(missing), "nothing that was judged is among them, but the first bad one"
    assert answer.last_good not in missing
    is_hidden = first_bad in missing or NAMES[NAMES.index(first_bad) - 1] in missing
    assert (answer.first_bad is None) == is_hidden
    if is_hidden:
        assert f"{answer.candidates[0]}: {answer.candidates[0]} does not build" in answer_words(answer)
    assert all(known.asked.count(name) <= 1 for name in missing)
    judged = [one for one in answer.asked if one.version not in missing]
    assert answer.confidence == pytest.approx(1 - len(judged) * ALPHA / 4)


def test_of_many_that_cannot_be_had_some_reasons_are_told_and_the_table_has_all() -> None:
    known = bench("1.84.0", errors={name: [BadInput(f"{name} does not build")] for name in NAMES[1:-1]})
    sentence, _, table = answer_words(bisect(SERIES, CPU, 0.10, known.measure)).partition("\n\n")
    assert sentence.count(" does not build") == SHOWN_WHYS
    assert sentence.endswith("; 3 more in the table")
    assert table.count(" does not build") == 6


def test_a_long_reason_is_cut_and_breaks_no_table() -> None:
    long = BadInput("its dependencies | cannot be resolved: " + "because " * 100 + "\nand a log")
    answer = bisect(SERIES, CPU, 0.10, bench("1.84.0", errors={"1.83.1": [long], "1.84.0": [long]}).measure)
    sentence, table = answer_words(answer).split("\n\n")
    assert "1.83.1: its dependencies | cannot be resolved: because because" in sentence
    assert "| 1.83.1 |  |  | 0 | undecided: its dependencies \\| cannot be resolved: because because" in table
    assert "and a log" not in sentence + table
    assert sentence.count(" because") + table.count(" because") < 4 * 100


def test_a_host_on_which_nothing_can_be_measured_ends_a_search_and_is_no_versions_fault() -> None:
    with pytest.raises(HostFailed, match="its disk is full"):
        bisect(SERIES, CPU, 0.10, bench("1.84.0", errors={"1.82.6": [HostFailed("its disk is full")]}).measure)


def test_one_version_is_judged_for_itself_as_in_a_search() -> None:
    known = bench("1.84.0", spreads={"1.84.0": 0.5})
    good, bad, unclear = (
        ask(version(name), CPU, 1.1, known.measure, alpha=0.005) for name in ("1.83.1", "1.85.2", "1.84.0")
    )
    assert [one.decision for one in (good, bad, unclear)] == [Decision.PASS, Decision.FAIL, Decision.UNDECIDED]
    assert [one.runs for one in (good, bad, unclear)] == [1, 1, LOOKS]
    allowed = "bad is more than +10.0 % against 1.79.3"
    assert judged_words(good, CPU, "1.79.3", 1.1, 0.005).startswith("1.83.1 is good: CPU per request +0.0 % (")
    assert judged_words(bad, CPU, "1.79.3", 1.1, 0.005).endswith(
        f"after 1 of 3 runs, {allowed}; sure by at least 99.5 %"
    )
    assert judged_words(unclear, CPU, "1.79.3", 1.1, 0.005).endswith(f"{allowed}: the interval includes the limit")
    gone = ask(
        version("1.86.0"), CPU, 1.1, bench("1.84.0", errors={"1.86.0": [StackFailed("it died")]}).measure, alpha=0.005
    )
    assert judged_words(gone, CPU, "1.79.3", 1.1, 0.005).startswith("1.86.0 is undecided: CPU per request, ")


def test_versions_are_shown_by_what_people_know_them_by() -> None:
    answer = bisect(SERIES, CPU, 0.10, bench("1.84.0").measure)
    described = {name: f"2026-11-02, Change | {name}" for name in NAMES}
    text = answer_words(answer, described)
    assert text.startswith("first bad: 1.84.0 (2026-11-02, Change | 1.84.0); 1.83.1 is good: ")
    assert "| bad | 2026-11-02, Change \\| 1.84.0 |" in text


def test_an_unfit_measurement_is_made_again() -> None:
    known = bench("1.84.0", errors={"1.84.0": [Unfit("apparatus: late"), None]})
    answer = bisect(SERIES, CPU, 0.10, known.measure)
    assert answer.first_bad == "1.84.0"
    assert known.asked.count("1.84.0") == 2
    never = bench("1.84.0", errors={"1.84.0": [Unfit("apparatus: late")] * LOOKS})
    assert bisect(SERIES, CPU, 0.10, never.measure).candidates == ("1.84.0", "1.85.2")


def test_a_bad_end_that_does_not_start_is_said() -> None:
    answer = bisect(SERIES, CPU, 0.10, bench("1.84.0", errors={"1.86.0": [StackFailed("it died")]}).measure)
    assert answer_words(answer).startswith("nothing was searched for: whether CPU per request of 1.86.0 is bad")
    assert "it died" in answer_words(answer)


def test_a_metric_that_was_not_measured_decides_nothing() -> None:
    answer = bisect(SERIES, "header_overhead_p50_ms", 0.10, bench("1.84.0").measure)
    assert answer.candidates == ()
    assert "header_overhead_p50_ms was not measured" in answer_words(answer)


def test_what_is_known_is_not_measured_again_and_its_looks_are_over() -> None:
    known = bench("1.84.0")
    before = {name: measured(name, known.ratios[name]) for name in ("1.86.0", "1.82.6")}
    answer = bisect(SERIES, CPU, 0.10, known.measure, known=lambda one: before.get(one.name))
    assert answer.first_bad == "1.84.0"
    assert not set(known.asked) & set(before)
    # Two runs at the limit are known, so that one look is left.
    at_limit = measured("1.82.6", 1.1).with_more(measured("1.82.6", 1.1))
    open_bench = Bench(dict(known.ratios) | {"1.82.6": 1.1})
    bisect(SERIES, CPU, 0.10, open_bench.measure, known=lambda one: at_limit if one.name == "1.82.6" else None)
    assert open_bench.asked.count("1.82.6") == LOOKS - 2


def test_neighbours_take_one_question_and_one_version_is_refused() -> None:
    known = bench("1.86.0")
    assert bisect([SERIES[0], SERIES[-1]], CPU, 0.10, known.measure).first_bad == "1.86.0"
    assert known.asked == ["1.86.0"]
    with pytest.raises(ValueError, match="last=0 must be at least 1"):
        bisect(SERIES[:1], CPU, 0.10, known.measure)


def test_the_answer_shows_what_it_rests_on() -> None:
    said: list[str] = []
    answer = bisect(SERIES, CPU, 0.10, bench("1.84.0").measure, say=said.append)
    text = answer_words(answer)
    assert text.startswith(
        "first bad: 1.84.0; 1.83.1 is good: CPU per request, bad is more than +10.0 % against 1.79.3; sure by at "
        "least 95 %\n"
    )
    assert "| 1.84.0 | +30.0 % | " in text
    assert "| 1.83.1 | +0.0 % | " in text
    assert said[0] == "1.86.0: +30.0 % after 1 of 3 runs: bad"
    assert [asked.decision for asked in answer.asked].count(Decision.UNDECIDED) == 0


# --- series whose noise is that of a host ---


def shares(ratio: float, margin: float | None, searches: int, seed: int) -> Mapping[str, float]:
    """How searches end when one of eight versions is worse by a ratio, and starts differ by chance."""
    rng = np.random.default_rng(seed)
    count = {"right": 0, "wrong": 0, "open": 0}
    for _ in range(searches):
        turns_at = int(rng.integers(1, len(NAMES)))

        def measure(version: Version, before: Measured | None, turns_at: int = turns_at) -> Measured:
            worse = NAMES.index(version.name) >= turns_at
            more = noisy(version.name, ratio if worse else 1.0, rng)
            return more if before is None else before.with_more(more)

        count[ended(bisect(SERIES, CPU, margin, measure), NAMES[turns_at])] += 1
    return {name: number / searches for name, number in count.items()}


def ended(answer: Answer, first_bad: str) -> str:
    if answer.first_bad == first_bad:
        return "right"
    is_wrong = answer.candidates and first_bad not in answer.candidates
    return "wrong" if is_wrong or answer.asked[0].decision is Decision.PASS else "open"


@pytest.mark.slow
@pytest.mark.parametrize(("ratio", "margin"), [(1.08, 0.04), (1.08, None), (1.25, 0.10)])
def test_an_injected_regression_is_found_in_at_least_95_percent(ratio: float, margin: float | None) -> None:
    found = shares(ratio, margin, searches=300, seed=5)
    assert found["right"] >= 0.95
    assert found["wrong"] <= 0.02


@pytest.mark.slow
def test_a_regression_too_small_for_the_noise_is_left_open_and_rarely_wrong() -> None:
    found = shares(1.02, 0.01, searches=300, seed=6)
    assert found["wrong"] <= ALPHA
    assert found["open"] > 0.3
