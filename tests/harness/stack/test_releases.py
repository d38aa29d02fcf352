"""Which texts name a release, and are the compromised ones refused in every spelling?"""

import pytest

from perfgate.errors import BadInput
from perfgate.stack.releases import DEFAULT_RELEASE, REFUSED, RefusedRelease, checked_release


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("1.106.2", "1.106.2"),
        ("v1.106.2", "1.106.2"),
        (" 1.79.3\n", "1.79.3"),
        ("1.079.3", "1.79.3"),
        ("1.100.0", "1.100.0"),
        ("1.106.0rc1", "1.106.0rc1"),
        ("1.82.6.post1", "1.82.6.post1"),
        ("1.82.6.dev1", "1.82.6.dev1"),
    ],
)
def test_a_release_has_one_spelling(text: str, release: str) -> None:
    assert checked_release(text) == release


@pytest.mark.parametrize(
    "text", ["", "latest", "1", "1.79.3-stable", "1.79.3+local", ">=1.79", "1.79.3 --index x", "१.७"]
)
def test_what_is_no_release_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        checked_release(text)
    assert str(caught.value).startswith(f"{text!r} is not a LiteLLM release: write its number")
    assert f"such as {DEFAULT_RELEASE} " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown", "reason"),
    [
        ("1.82.7", "1.82.7", "published by an attacker and steals credentials"),
        ("v1.82.8", "1.82.8", "published by an attacker and steals credentials"),
        ("1.82.7.0", "1.82.7.0", "published by an attacker"),
        ("01.82.08", "1.82.8", "published by an attacker"),
        ("1.107.0", "1.107.0", "reported it as compromised"),
        ("1.107", "1.107", "reported it as compromised"),
    ],
)
def test_a_compromised_release_is_refused_in_every_spelling(text: str, shown: str, reason: str) -> None:
    with pytest.raises(
        RefusedRelease, match=rf"^litellm {shown} is refused: .*{reason}.*change every secret"
    ) as caught:
        checked_release(text)
    assert caught.value.why in REFUSED.values()


@pytest.mark.parametrize("text", ["1.82.6", "1.82.9", "1.107.1", "1.82.70", DEFAULT_RELEASE])
def test_its_neighbours_are_not(text: str) -> None:
    assert checked_release(text) == text


def test_the_refused_are_written_as_they_are_compared() -> None:
    assert not any(release.endswith(".0") for release in REFUSED)
