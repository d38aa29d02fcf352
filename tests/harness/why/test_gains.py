"""Is the function that gained named, by how much for each request, and is chance told from a gain?"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from perfgate.experiment.arms import BASELINE, CANDIDATE
from perfgate.experiment.measurement import NotMeasured
from perfgate.stats.resampling import TooFewRounds
from perfgate.why.folded import Function
from perfgate.why.gains import NAMED, Gain, gains_of
from perfgate.why.profiling import Profile
from tests.harness.why.conftest import RATE_HZ, profile_of, profiled_window

MAIN, HOT, COLD = Function("main", "app.py"), Function("hot", "lib.py"), Function("cold", "lib.py")


def by_name(gains: tuple[Gain, ...]) -> Mapping[str, Gain]:
    return {gain.function.name: gain for gain in gains}


def test_samples_by_rate_and_requests_are_microseconds_of_a_request() -> None:
    gains = gains_of(
        profile_of(
            {"main (app.py);hot (lib.py)": 40, "main (app.py);cold (lib.py)": 10},
            {"main (app.py);hot (lib.py)": 60, "main (app.py);cold (lib.py)": 10},
        )
    )
    hot = gains.gained[0]
    assert hot.function == HOT
    # 40 samples at 200 Hz are 0.2 s, of 100 requests.
    assert (hot.own.baseline_us, hot.own.candidate_us) == pytest.approx((2000, 3000))
    assert hot.own.gain_us == pytest.approx(1000)
    assert (hot.own.gain.low, hot.own.gain.high) == pytest.approx((1000, 1000)), "all windows are alike"
    assert hot.own.is_beyond_spread
    assert [gain.function for gain in gains.gained] == [HOT], "what has not gained is not among them"
    assert (gains.all.baseline_us, gains.all.candidate_us) == pytest.approx((2500, 3500))
    assert gains.functions == 3


def test_an_arm_that_answers_more_requests_has_not_gained() -> None:
    gains = gains_of(profile_of({"hot (lib.py)": 40}, {"hot (lib.py)": 80}, requests=(100, 200)))
    assert gains.gained == gains.lost == ()
    assert gains.all.gain_us == pytest.approx(0)


def test_those_that_gained_most_come_first_and_ten_are_named() -> None:
    functions = range(15)
    gains = gains_of(
        profile_of(
            {f"f{number} (lib.py)": 100 for number in functions},
            {f"f{number} (lib.py)": 100 + 3 * number for number in functions},
        )
    )
    assert [gain.function.name for gain in gains.gained] == [f"f{number}" for number in range(14, 4, -1)]
    assert len(gains.gained) == NAMED


def test_those_that_lost_most_are_named_likewise() -> None:
    gains = gains_of(profile_of({"a (x.py)": 50, "b (x.py)": 50}, {"a (x.py)": 40, "b (x.py)": 20}))
    assert [gain.function.name for gain in gains.lost] == ["b", "a"]
    assert gains.lost[0].own.gain_us == pytest.approx(-1500)
    assert gains.lost[0].own.is_beyond_spread
    assert gains.gained == ()


def test_a_recursive_function_has_its_time_once_in_its_total() -> None:
    gains = gains_of(profile_of({"walk (x.py);walk (x.py);walk (x.py)": 10}, {"walk (x.py);walk (x.py)": 30}))
    (walk,) = gains.gained
    assert (walk.own.candidate_us, walk.total.candidate_us) == pytest.approx((1500, 1500))
    assert (walk.own.baseline_us, walk.total.baseline_us) == pytest.approx((500, 500))


def test_many_small_gains_below_one_function_show_up_in_its_total() -> None:
    leaves = [f"main (app.py);check (auth.py);leaf{number} (lib.py)" for number in range(12)]
    gains = gains_of(
        profile_of(
            {"main (app.py);serve (app.py)": 100, **dict.fromkeys(leaves, 5)},
            {"main (app.py);serve (app.py)": 100, **dict.fromkeys(leaves, 8)},
        )
    )
    first = gains.gained_with_callees[0]
    assert first.function == Function("check", "auth.py")
    assert first.total.gain_us == pytest.approx(12 * 3 * 1e6 / RATE_HZ / 100)
    assert first.own.gain_us == 0
    assert MAIN not in [gain.function for gain in gains.gained_with_callees], "it is in every sample"


def test_a_new_layer_around_what_was_there_before_is_no_gain_and_those_that_hand_on_are_shown_once() -> None:
    gains = gains_of(
        profile_of(
            {"idle (app.py)": 100, "outer (cli.py);run (cli.py);serve (app.py);work (lib.py)": 60},
            {"idle (app.py)": 100, "outer (cli.py);run (cli.py);layer (new.py);serve (app.py);work (lib.py)": 70},
        )
    )
    shown = [gain.function.name for gain in gains.gained_with_callees]
    assert shown == ["work"], "all five are in the same stacks, and its own time changed"
    assert [gain.function.name for gain in gains.appeared] == ["layer"]


def test_functions_with_equal_gains_in_different_stacks_are_all_shown() -> None:
    gains = gains_of(
        profile_of(
            {"idle (app.py)": 100, "main (app.py);a (x.py)": 10, "main (app.py);b (x.py)": 10},
            {"idle (app.py)": 100, "main (app.py);a (x.py)": 15, "main (app.py);b (x.py)": 15},
        )
    )
    assert [gain.function.name for gain in gains.gained_with_callees] == ["main", "a", "b"]


def test_functions_of_one_arm_alone_are_shown_as_such() -> None:
    gains = gains_of(
        profile_of(
            {"main (app.py);gone (old.py)": 20, "main (app.py);cold (lib.py)": 30},
            {"main (app.py);new (new.py);helper (new.py)": 25, "main (app.py);cold (lib.py)": 30},
        )
    )
    assert [gain.function.name for gain in gains.appeared] == ["helper", "new"], "equal totals go by name"
    assert [gain.function.name for gain in gains.disappeared] == ["gone"]
    helper, gone = gains.gained[0], gains.lost[0]
    assert helper.function.name == "helper"
    assert (helper.is_in_baseline, helper.is_in_candidate) == (False, True)
    assert helper.own.baseline_us == 0
    assert (gone.is_in_baseline, gone.is_in_candidate) == (True, False)
    assert gone.own.candidate_us == 0


def test_a_gain_within_the_spread_of_windows_is_told_from_one_beyond_it() -> None:
    steady = gains_of(profile_of({"hot (x.py)": 40}, {"hot (x.py)": 44}, rounds=6)).gained[0]
    unsteady = gains_of(profile_of({"hot (x.py)": 40}, {"hot (x.py)": 44}, rounds=6, wobble=20)).gained[0]
    assert steady.own.gain_us == pytest.approx(unsteady.own.gain_us)
    assert steady.own.is_beyond_spread
    assert not unsteady.own.is_beyond_spread
    assert unsteady.own.gain.low < 0 < unsteady.own.gain.high


def test_the_interval_is_as_wide_as_generations_differ() -> None:
    """Windows of one process are alike: what differs from process to process must be in the interval."""
    same = profile_of({"hot (x.py)": 40}, {"hot (x.py)": 50}, rounds=8)
    moved = tuple(
        profiled_window(CANDIDATE, window.generation, window.round, {"hot (x.py)": 35})
        if window.arm == CANDIDATE and window.generation
        else window
        for window in same.windows
    )
    (hot,) = gains_of(replace(same, windows=moved)).gained
    assert hot.own.gain_us == pytest.approx(2.5 * 50)
    assert not hot.own.is_beyond_spread
    # Both generations drawn alike is one resample in two.
    assert (hot.own.gain.low, hot.own.gain.high) == pytest.approx((-250, 500))


def test_what_chance_does_is_what_halves_of_the_baseline_differ_by() -> None:
    alike = profile_of({"hot (x.py)": 40}, {"hot (x.py)": 50})
    assert gains_of(alike).by_chance_us == 0
    of_candidate = [window for window in alike.windows if window.arm == CANDIDATE]
    baseline = [
        profiled_window(BASELINE, generation, number, {"hot (x.py)": 40 + 4 * generation, "cold (x.py)": 9 * number})
        for generation in range(2)
        for number in range(2)
    ]
    # 4 samples between generations; what differs between rounds alone is in both halves.
    several = replace(alike, windows=(*baseline, *of_candidate))
    assert gains_of(several).by_chance_us == pytest.approx(4 * 50)
    one = Profile(
        RATE_HZ,
        tuple(each for each in several.windows if each.generation == 0),
        alike.measurement,
    )
    assert gains_of(one).by_chance_us == pytest.approx(9 * 50), "of one generation the rounds are the halves"


@pytest.mark.slow
def test_counts_of_noise_are_rarely_taken_for_a_gain_and_a_gain_nearly_always_for_one() -> None:
    """Forty functions with Poisson counts, one of which costs three times as much; 20 profiles."""
    rng = np.random.default_rng(11)
    named_first, false_alarms = 0, 0
    measurement = profile_of({}, {}).measurement
    for _ in range(20):
        windows = []
        for generation in range(3):
            for number in range(4):
                for arm in (BASELINE, CANDIDATE):
                    means = np.full(40, 12.0)
                    means[7] *= 3 if arm == CANDIDATE else 1
                    counts = {f"f{place} (x.py)": int(count) for place, count in enumerate(rng.poisson(means))}
                    windows.append(profiled_window(arm, generation, number, counts))
        gains = gains_of(Profile(RATE_HZ, tuple(windows), measurement))
        real = [g for g in gains.gained if g.own.is_beyond_spread and g.own.gain_us > gains.by_chance_us]
        named_first += bool(real) and real[0].function.name == "f7"
        false_alarms += any(gain.function.name != "f7" for gain in real)
    assert named_first == 20
    assert false_alarms <= 2


def test_arms_of_other_rounds_and_a_single_round_are_refused() -> None:
    whole = profile_of({"hot (x.py)": 4}, {"hot (x.py)": 5})
    with pytest.raises(ValueError, match="in the same rounds"):
        gains_of(replace(whole, windows=whole.windows[:-1]))
    with pytest.raises(TooFewRounds):
        gains_of(profile_of({"hot (x.py)": 4}, {"hot (x.py)": 5}, generations=1, rounds=1))
    with pytest.raises(NotMeasured, match="no window of the arm 'candidate' was profiled"):
        gains_of(replace(whole, windows=tuple(each for each in whole.windows if each.arm == BASELINE)))


def test_arms_without_a_sample_have_no_gains() -> None:
    gains = gains_of(profile_of({}, {}))
    assert gains.gained == gains.lost == gains.appeared == gains.disappeared == gains.gained_with_callees == ()
    assert (gains.functions, gains.by_chance_us, gains.all.gain_us) == (0, 0, 0)
