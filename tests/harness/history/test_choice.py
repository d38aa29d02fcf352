"""Which releases make up a series, and are those that nobody may install left out with the reason?"""

import pytest

from perfgate.errors import BadInput
from perfgate.history.choice import Choice, Every, between, listed
from tests.harness.history.conftest import FakeIndex


@pytest.mark.parametrize(
    ("first", "last", "every", "releases"),
    [
        ("1.79", "latest", "minor", ("1.79.3", "1.80.5", "1.82.6", "1.106.2", "2.0.1")),
        ("1.79", "1.82", "minor", ("1.79.3", "1.80.5", "1.82.6")),
        ("1.79.3", "1.80.0", "minor", ("1.79.3", "1.80.0")),
        ("1.79", "1.82", "release", ("1.79.0", "1.79.3", "1.80.0", "1.80.5", "1.82.6")),
        ("1.79.3", "1.80.5", "release", ("1.79.3", "1.80.0", "1.80.5")),
        ("v1.107.0", "latest", "release", ("2.0.1",)),
        ("1.80.5", "1.80.5", "release", ("1.80.5",)),
    ],
)
def test_the_releases_between_two(first: str, last: str, every: Every, releases: tuple[str, ...]) -> None:
    assert between(FakeIndex(), first, last, every).releases == releases


def test_no_release_is_asked_for_twice_and_the_index_no_more_often_than_needed() -> None:
    index = FakeIndex()
    between(index, "1.79", "1.82", "release")
    assert len(index.asked) == len(set(index.asked)) == 5


@pytest.mark.parametrize(
    ("first", "last", "refused"),
    [
        ("1.79", "latest", {"1.82.7", "1.82.8", "1.107.0"}),
        ("1.79", "1.82", {"1.82.7", "1.82.8"}),
        ("1.79", "1.82.7", {"1.82.7"}),
        ("1.79", "1.80", set()),
        ("1.80", "1.107", {"1.82.7", "1.82.8", "1.107.0"}),
    ],
)
def test_what_is_compromised_is_never_chosen_and_is_named_with_the_reason(
    first: str, last: str, refused: set[str]
) -> None:
    index = FakeIndex()
    choice = between(index, first, last, "release")
    assert set(choice.refused) == refused
    assert not set(choice.releases) & {"1.82.7", "1.82.8", "1.107.0"}
    assert all("steals credentials" in why or "compromised" in why for why in choice.refused.values())
    assert all("!=1.82.7" in asked and "!=1.107" in asked for asked in index.asked)


def test_what_is_found_is_told() -> None:
    said: list[str] = []
    between(FakeIndex(), "1.79", "1.80", "minor", said.append)
    assert said == ["releases of litellm: 1.80.5", "releases of litellm: 1.79.3"]


@pytest.mark.parametrize(
    ("first", "last", "complaint"),
    [
        ("1.79", "newest", "'newest' cannot be the last release: write 1.79.3, 1.79 for a minor version, or latest"),
        ("oldest", "latest", "'oldest' cannot be the first release: write 1.79.3, 1.79 for a minor version"),
        ("1.80", "1.79", "the package index has no release of litellm from 1.80 to 1.79: check the two numbers"),
        ("1.90", "1.95", "the package index has no release of litellm from 1.90 to 1.95: check the two numbers"),
    ],
)
def test_bounds_that_hold_nothing_are_said(first: str, last: str, complaint: str) -> None:
    with pytest.raises(BadInput) as caught:
        between(FakeIndex(), first, last, "minor")
    assert str(caught.value) == complaint


def test_a_list_is_put_in_order_each_once_without_what_is_refused() -> None:
    choice = listed(" v1.106.2,1.79.3, 1.9.1,1.79.3, v1.82.7 ,")
    assert choice == Choice(
        ("1.9.1", "1.79.3", "1.106.2"), {"1.82.7": "it was published by an attacker and steals credentials"}
    )


@pytest.mark.parametrize("text", ["", " , ", "1.82.7"])
def test_a_list_of_nothing_is_said(text: str) -> None:
    with pytest.raises(BadInput, match=r"names no release that may be installed: write numbers divided by commas$"):
        listed(text)


def test_a_list_with_something_else_is_said() -> None:
    with pytest.raises(BadInput, match="'main' is not a LiteLLM release"):
        listed("1.79.3,main")
