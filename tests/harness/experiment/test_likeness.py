"""Is every difference between two arms that nobody asked for said, and nothing that was asked for?"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.likeness import package_words, release_words, unasked_differences
from perfgate.stack.inspection import SHOWN_PACKAGES, ServiceFacts
from perfgate.stack.packages import Packages
from perfgate.stack.sources import GitRef, Release

OLD: Final = GatewaySpec(Release("1.79.3"), apart="baseline")
NEW: Final = GatewaySpec(Release("1.102.4"), apart="candidate")
SAME: Final = replace(OLD, apart="candidate")


def facts(*packages: str, release: str = "1.79.3", **changes: Any) -> ServiceFacts:
    """What runs in a gateway of a release, with more packages."""
    plain = ServiceFacts(
        python_version="3.12.7",
        packages=Packages(tuple(sorted([f"litellm=={release}", *packages]))),
        event_loop="uvloop",
        http_parser="httptools",
        server="uvicorn",
        access_log=False,
        workers=1,
    )
    return replace(plain, **changes)


OF_OLD: Final = facts()
OF_NEW: Final = facts(release="1.102.4")


def test_two_releases_that_differ_in_nothing_else_are_a_comparison() -> None:
    assert unasked_differences(OLD, NEW, (OF_OLD, OF_NEW)) == []
    assert unasked_differences(OLD, SAME, (OF_OLD, OF_OLD)) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"python_version": "3.11.2"}, "Python is 3.12.7 in baseline, 3.11.2 in candidate"),
        ({"server": "granian"}, "the server is uvicorn in baseline, granian in candidate"),
        ({"workers": 4}, "the number of workers is 1 in baseline, 4 in candidate"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize(("candidate", "of_candidate"), [(NEW, OF_NEW), (SAME, OF_OLD)], ids=["other", "same"])
def test_each_difference_is_said_of_two_releases_and_of_one(
    candidate: GatewaySpec, of_candidate: ServiceFacts, changes: dict[str, Any], sentence: str
) -> None:
    assert unasked_differences(OLD, candidate, (OF_OLD, replace(of_candidate, **changes))) == [sentence]


def test_packages_may_differ_where_other_packages_were_to_be_beside_one_release() -> None:
    with_more = replace(SAME, with_packages=("prisma",))
    assert unasked_differences(OLD, with_more, (OF_OLD, facts("prisma==0.15.0", "nodeenv==1.12.0"))) == []
    said = unasked_differences(OLD, with_more, (OF_OLD, facts("prisma==0.15.0", workers=4)))
    assert said == ["the number of workers is 1 in baseline, 4 in candidate"]


def test_packages_may_differ_between_two_releases() -> None:
    assert unasked_differences(OLD, NEW, (facts("h11==0.14.0"), facts("httptools==0.7.1", release="1.102.4"))) == []


OWN: Final[dict[str, Any]] = {"event_loop": "asyncio", "http_parser": "h11", "access_log": True}


def test_two_releases_may_differ_in_what_they_bring_with_them_and_it_is_told() -> None:
    of_new = replace(OF_NEW, **OWN)
    assert unasked_differences(OLD, NEW, (OF_OLD, of_new)) == []
    assert release_words((OF_OLD, of_new)) == [
        "uvicorn parses HTTP with httptools in baseline, with h11 in candidate",
        "the event loop is uvloop in baseline, asyncio in candidate",
        "the access log is off in baseline, on in candidate",
    ]
    assert release_words((OF_OLD, OF_NEW)) == []


def test_two_releases_are_started_alike_and_one_release_brings_the_same_with_it() -> None:
    of_new = replace(OF_NEW, python_version="3.11.2", workers=2, **OWN)
    assert unasked_differences(OLD, NEW, (OF_OLD, of_new)) == [
        "Python is 3.12.7 in baseline, 3.11.2 in candidate",
        "the number of workers is 1 in baseline, 2 in candidate",
    ]
    assert len(unasked_differences(OLD, SAME, (OF_OLD, replace(OF_OLD, **OWN)))) == 3


@pytest.mark.parametrize("config", [None, Path("other.yaml")])
def test_two_arms_of_one_release_must_have_the_same_packages(config: Path | None) -> None:
    candidate = replace(SAME, config_path=config)
    said = unasked_differences(OLD, candidate, (facts("h11==0.14.0"), facts("h11==0.16.0", "redis==5.0")))
    assert said == ["h11 is 0.14.0 in baseline, 0.16.0 in candidate", "redis 5.0 is installed in candidate only"]


def test_a_configuration_may_ask_for_an_access_log_but_for_nothing_else() -> None:
    with_log = replace(OF_OLD, access_log=True, workers=2)
    another = replace(SAME, config_path=Path("other.yaml"))
    assert unasked_differences(OLD, another, (OF_OLD, with_log)) == [
        "the number of workers is 1 in baseline, 2 in candidate"
    ]
    both = replace(OLD, config_path=Path("other.yaml"))
    assert "the access log is off in baseline, on in candidate" in unasked_differences(
        both, another, (OF_OLD, with_log)
    )


def test_a_release_that_is_not_the_one_named_is_said_of_either_arm() -> None:
    assert unasked_differences(OLD, NEW, (OF_NEW, OF_OLD)) == [
        "baseline is to be litellm 1.79.3, and litellm 1.102.4 runs",
        "candidate is to be litellm 1.102.4, and litellm 1.79.3 runs",
    ]


def test_what_is_no_release_has_whatever_version_its_source_says() -> None:
    commit = GatewaySpec(GitRef("https://h/x", "main", "0" * 40))
    assert unasked_differences(OLD, commit, (OF_OLD, facts(release="1.103.0.dev1"))) == []
    assert unasked_differences(commit, NEW, (facts(release="0.0.0"), OF_NEW)) == []


def test_packages_that_differ_are_listed() -> None:
    words = package_words((facts("h11==0.14.0"), facts("h11==0.16.0", "redis==5.0", release="1.102.4")))
    assert words == (
        "packages that differ: h11 is 0.14.0 in baseline, 0.16.0 in candidate; litellm is 1.79.3 in baseline, 1.102.4 "
        "in candidate; redis 5.0 is installed in candidate only"
    )
    assert package_words((OF_OLD, OF_OLD)) == ""


@pytest.mark.parametrize(("more", "rest"), [(0, ""), (3, "; 3 more; the record lists them all")])
def test_of_many_packages_that_differ_the_first_are_listed_and_the_others_counted(more: int, rest: str) -> None:
    candidate = facts(*[f"a{number:02}==1" for number in range(SHOWN_PACKAGES + more)])
    shown = [f"a{number:02} 1 is installed in candidate only" for number in range(SHOWN_PACKAGES)]
    assert package_words((OF_OLD, candidate)) == f"packages that differ: {'; '.join(shown)}{rest}"
