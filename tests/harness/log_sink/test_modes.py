"""Is a mode what was asked for, and does it rule as many requests as it says?"""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from log_sink.modes import (
    MAX_DELAY_MS,
    BadMode,
    Dead,
    Errors,
    Fast,
    Flaky,
    Hang,
    Mode,
    ModeInForce,
    Ruling,
    Slow,
    parsed,
)


@pytest.mark.parametrize(
    ("asked", "mode"),
    [
        ({"mode": "fast"}, Fast()),
        ({"mode": "slow", "delay_ms": 200}, Slow(delay_ms=200)),
        ({"mode": "errors", "status": 429}, Errors(status=429, rate=1)),
        ({"mode": "errors", "status": 500, "rate": 0.25}, Errors(status=500, rate=0.25)),
        ({"mode": "hang"}, Hang()),
        ({"mode": "dead"}, Dead()),
        ({"mode": "flaky", "rate": 1, "seed": 7}, Flaky(rate=1, seed=7)),
    ],
)
def test_a_mode_is_asked_for_by_its_name_and_figures(asked: dict[str, Any], mode: Mode) -> None:
    assert parsed(json.dumps(asked).encode()) == mode


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("", "Invalid JSON: EOF while parsing a value at line 1 column 0"),
        ("[]", "Input should be an object"),
        ("{}", "Unable to extract tag using discriminator 'mode'"),
        (
            '{"mode": "fats"}',
            (
                "Input tag 'fats' found using 'mode' does not match any of the expected tags: 'fast', 'slow', "
                "'errors', 'hang', 'dead', 'flaky'"
            ),
        ),
        ('{"mode": "slow"}', "slow.delay_ms: Field required"),
        ('{"mode": "slow", "delay_ms": 0}', "slow.delay_ms: Input should be greater than or equal to 1"),
        (
            json.dumps({"mode": "slow", "delay_ms": MAX_DELAY_MS + 1}),
            f"slow.delay_ms: Input should be less than or equal to {MAX_DELAY_MS}",
        ),
        ('{"mode": "slow", "delay_ms": "20"}', "slow.delay_ms: Input should be a valid integer"),
        ('{"mode": "errors", "status": 404}', "errors.status: Input should be 401, 429 or 500"),
        ('{"mode": "errors", "status": 500, "rate": 1.5}', "errors.rate: Input should be less than or equal to 1"),
        ('{"mode": "errors", "status": 500, "rate": NaN}', "errors.rate: Input should be a finite number"),
        ('{"mode": "hang", "rate": 1}', "hang.rate: Unexpected keyword argument"),
        (
            '{"mode": "flaky", "rate": -1}',
            "flaky.rate: Input should be greater than or equal to 0; flaky.seed: Field required",
        ),
    ],
)
def test_what_is_no_mode_is_refused_with_field_and_rule(asked: str, words: str) -> None:
    with pytest.raises(BadMode) as caught:
        parsed(asked.encode())
    assert str(caught.value) == words


def rulings(mode: Mode, requests: int) -> list[Ruling]:
    in_force = ModeInForce(mode)
    return [in_force.rule() for _ in range(requests)]


@pytest.mark.parametrize(
    ("mode", "ruling"),
    [
        (Fast(), Ruling()),
        (Slow(delay_ms=250), Ruling(delay_s=0.25)),
        (Hang(), Ruling(delay_s=None)),
        (Dead(), Ruling()),
        (Errors(status=401), Ruling(error_status=401)),
        (Errors(status=500, rate=0), Ruling()),
        (Flaky(rate=1, seed=0), Ruling(is_cut=True)),
        (Flaky(rate=0, seed=0), Ruling()),
    ],
)
def test_a_mode_without_a_share_rules_all_requests_alike(mode: Mode, ruling: Ruling) -> None:
    assert rulings(mode, 20) == [ruling] * 20


@given(st.floats(0, 1), st.integers(1, 200))
def test_of_the_first_requests_as_many_are_errors_as_the_rate_says_to_within_a_half(rate: float, first: int) -> None:
    failed = [ruling for ruling in rulings(Errors(status=429, rate=rate), first) if ruling.error_status]
    assert abs(len(failed) - rate * first) <= 0.5 + 1e-6 * first
    assert {ruling.error_status for ruling in failed} <= {429}


def test_flaky_cuts_its_share_and_the_same_seed_cuts_the_same_requests() -> None:
    one, again, other = (rulings(Flaky(rate=0.3, seed=seed), 1_000) for seed in (1, 1, 2))
    assert one == again != other
    # Six standard deviations of a binomial draw.
    assert 300 - 87 < Counter(one)[Ruling(is_cut=True)] < 300 + 87
