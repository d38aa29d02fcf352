"""Is the plan the cheapest that is enough, by trying them all, and does it say what it is?"""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfgate.stats.comparison import Noise
from perfgate.stats.plan import GENERATIONS_MIN, PLANNED_POWER, ROUNDS_PER_LOOK_MAX, Plan, TimeTooShort, plan
from perfgate.stats.power import power_to_fail, power_to_pass
from perfgate.stats.sequential import alpha_at_look

MEASURED = Noise(process_sd=0.031, round_sd=0.10)
GATE: dict[str, Any] = {
    "margin": 0.05,
    "noise": MEASURED,
    "time_allowed_s": 300,
    "start_s_per_generation": 9,
    "round_s": 0.36,
    "generations_max": 12,
    "looks": 3,
    "family_size": 6,
    "alpha": 0.05,
    "power": 0.9,
}


def literal_duration_s(generations: int, rounds: int, arguments: dict[str, Any]) -> float:
    return float(generations * (arguments["start_s_per_generation"] + rounds * arguments["round_s"]))


def literal_chances(generations: int, rounds: int, arguments: dict[str, Any]) -> tuple[float, float]:
    """Of a PASS for equal arms and a FAIL at twice the margin, at the last look."""
    noise, margin, looks = arguments["noise"], arguments["margin"], arguments["looks"]
    alpha = alpha_at_look(arguments["alpha"], looks, looks)
    run: dict[str, Any] = {
        "allowed": 1 + margin,
        "standard_error": math.sqrt(noise.process_sd**2 / generations + noise.round_sd**2 / (generations * rounds)),
        "degrees_of_freedom": generations - 1,
    }
    return (
        power_to_pass(1.0, **run, alpha=alpha),
        power_to_fail(1 + 2 * margin, **run, alpha=alpha / arguments["family_size"]),
    )


def literal_plan(arguments: dict[str, Any]) -> tuple[int, int]:
    """Twin: every number of generations with every number of rounds that fits; the first of equals."""
    looks = arguments["looks"]
    fitting = [
        (generations, rounds)
        for generations in range(GENERATIONS_MIN, arguments["generations_max"] + 1, 2)
        for rounds in range(looks, 60 * looks, looks)
        if literal_duration_s(generations, rounds, arguments) <= arguments["time_allowed_s"]
    ]
    enough = [one for one in fitting if min(literal_chances(*one, arguments)) >= arguments["power"]]
    if enough:
        return min(enough, key=lambda one: literal_duration_s(one[0], one[1], arguments))
    return max(fitting, key=lambda one: min(literal_chances(one[0], one[1], arguments)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"time_allowed_s": 120},
        {"time_allowed_s": 60},
        {"margin": 0.025},
        {"margin": 0.10},
        {"noise": Noise(0.0, 0.10)},
        {"noise": Noise(0.05, 0.02)},
        {"start_s_per_generation": 1},
        {"round_s": 2},
        {"generations_max": 7},
        {"looks": 1},
        {"family_size": 1},
        {"alpha": 0.2},
        {"power": 0.5},
    ],
    ids=str,
)
def test_the_plan_is_the_best_of_all_that_fit(change: dict[str, Any]) -> None:
    arguments = GATE | change
    made = plan(**arguments)
    assert (made.generations, made.rounds_per_generation) == literal_plan(arguments)
    assert made.duration_s == pytest.approx(literal_duration_s(made.generations, made.rounds_per_generation, arguments))
    assert made.duration_s <= arguments["time_allowed_s"]
    assert (made.power_to_pass, made.power_to_fail) == pytest.approx(
        literal_chances(made.generations, made.rounds_per_generation, arguments)
    )


@given(
    st.floats(0.01, 0.2),
    st.builds(Noise, st.floats(0, 0.1), st.floats(0.01, 0.3)),
    st.floats(100, 2_000),
    st.integers(4, 20),
    st.integers(1, 5),
)
def test_a_plan_keeps_to_its_bounds(
    margin: float, noise: Noise, time_allowed_s: float, generations_max: int, looks: int
) -> None:
    arguments = GATE | {
        "margin": margin,
        "noise": noise,
        "time_allowed_s": time_allowed_s,
        "generations_max": generations_max,
        "looks": looks,
    }
    made = plan(**arguments)
    assert made.duration_s <= time_allowed_s + 1e-6
    assert GENERATIONS_MIN <= made.generations <= generations_max
    assert made.generations % 2 == 0
    assert made.rounds_per_generation == looks * made.rounds_per_look <= looks * ROUNDS_PER_LOOK_MAX
    assert made.standard_error == noise.standard_error(made.generations, made.rounds_per_generation)
    if not made.is_enough:
        assert made.enough_after_s is None or made.enough_after_s > time_allowed_s


def test_the_time_said_to_be_enough_is_enough_and_a_little_less_is_not() -> None:
    short = plan(**GATE | {"power": 0.95})
    assert not short.is_enough
    assert short.enough_after_s is not None
    assert plan(**GATE | {"power": 0.95, "time_allowed_s": short.enough_after_s}).is_enough
    assert not plan(**GATE | {"power": 0.95, "time_allowed_s": short.enough_after_s - 1}).is_enough


def test_more_time_than_is_needed_is_not_used() -> None:
    assert plan(**GATE | {"time_allowed_s": 3_000}) == plan(**GATE)


def test_defaults_are_three_looks_one_limit_and_five_percent() -> None:
    left_out = {"looks", "family_size", "alpha", "power"}
    short = plan(**{name: value for name, value in GATE.items() if name not in left_out})
    assert short == plan(**GATE | {"looks": 3, "family_size": 1, "alpha": 0.05, "power": PLANNED_POWER})


# --- the words ---

MADE = Plan(
    generations=12,
    rounds_per_look=14,
    looks=3,
    duration_s=289.4,
    starting_s=108.0,
    standard_error=0.01,
    power_to_pass=0.996,
    power_to_fail=0.921,
    power_wanted=0.9,
    margin=0.05,
    noise=MEASURED,
    enough_after_s=200.0,
)


def changed(**fields: Any) -> Plan:
    return Plan(**{name: getattr(MADE, name) for name in Plan.__slots__} | fields)


def test_a_plan_that_is_enough_says_what_it_does_and_what_to_expect() -> None:
    assert MADE.words == [
        (
            "plan: 12 generations of each arm, 42 rounds in each, at most 4.8 minutes (1.8 of them starting); "
            "a look after 14, 28 and 42 rounds"
        ),
        (
            "expected: a limit of +5.0% passes equal arms with a chance of 100% and fails +10.0% with 92% "
            "(SD of a pair: 3.1% between processes, 10.0% between rounds)"
        ),
    ]


@pytest.mark.parametrize(("looks", "said"), [(1, "after 14 rounds"), (2, "after 14 and 28 rounds")])
def test_looks_are_listed(looks: int, said: str) -> None:
    assert changed(looks=looks).words[0].endswith(f"; a look {said}")


def test_a_plan_that_is_not_enough_says_which_time_would_be() -> None:
    # Rounded up, so that the time that is named is enough.
    assert changed(power_wanted=0.95, enough_after_s=483.0).words[2:] == [
        "that is less than the 95% wanted: allow 8.1 minutes"
    ]


def test_a_plan_that_time_cannot_cure_says_so() -> None:
    assert changed(power_to_pass=0.6, enough_after_s=None).words[2:] == [
        (
            "that is less than the 90% wanted: no number of rounds would reach it with as many generations as there "
            "may be; allow more of them, or a margin larger than 5.0%"
        )
    ]


# --- what cannot be planned ---


def test_a_time_too_short_for_anything_is_an_error_with_a_name() -> None:
    expected = (
        "^time_allowed_s=40 is too short: 4 generations of one round for each of 3 looks, the fewest there can be, "
        "take 40 s$"
    )
    with pytest.raises(TimeTooShort, match=expected) as caught:
        plan(**GATE | {"time_allowed_s": 40})
    assert caught.value.needed_s == pytest.approx(40.32)
    assert caught.value.time_allowed_s == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin": 0}, "margin=0 must be finite and above 0"),
        ({"start_s_per_generation": -1}, "start_s_per_generation=-1 must be finite and above 0"),
        ({"round_s": math.nan}, "round_s=nan must be finite and above 0"),
        ({"family_size": 0}, "family_size=0 must be finite and above 0"),
        ({"power": 1}, "power=1 must be between 0 and 1"),
        ({"generations_max": 3}, "generations_max=3 must be at least 4"),
        ({"looks": 0}, "looks=0 must be at least 1"),
        ({"alpha": 0}, "alpha=0 must be between 0 and 1"),
        ({"noise": Noise(0.0, 0.0)}, r"Noise\(process_sd=0.0, round_sd=0.0\) must have a spread to plan for"),
    ],
)
def test_wrong_arguments_name_value_and_rule(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        plan(**GATE | change)
