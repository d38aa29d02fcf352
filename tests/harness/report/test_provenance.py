"""Do versions carry what they can be told by, does the command ask the same again, and is another host noticed?"""

import shlex
from typing import Any

import pytest

from perfgate.record import Record, ServiceRecord
from perfgate.record_entries import measurement_record
from perfgate.report.provenance import (
    Version,
    are_of_one_host,
    differences,
    host_words,
    reproduce,
    said_of_apparatus,
    versions,
)
from perfgate.stack.packages import Packages
from tests.harness import synthetic
from tests.harness.report.conftest import HOST, a_judgement, a_measurement, a_record, two_arms

PACKAGES = ("h11==0.16.0", "litellm==1.106.2")


def a_service(name: str = "litellm 1.106.2 (litellm-1)", **facts: Any) -> ServiceRecord:
    return ServiceRecord(name=name, facts=facts)


def of_services(*services: ServiceRecord) -> list[Version]:
    """Of these services, without perfgate and its limits, which come last."""
    *found, ours, limits = versions(a_record(services=list(services), thresholds_sha256="ab" * 32))
    assert (ours.words, limits.words) == ("perfgate 0", f"thresholds.yaml (sha256:{'ab' * 8})")
    return found


def test_a_gateway_is_told_by_the_hash_of_its_packages_and_stands_there_once() -> None:
    facts: dict[str, Any] = {
        "source": {"words": "litellm 1.106.2"},
        "python_version": "3.12.7",
        "packages": {"listed": list(PACKAGES)},
    }
    (version,) = of_services(a_service(**facts), a_service("litellm 1.106.2 (litellm-2)", **facts))
    assert version.name == "litellm 1.106.2 on Python 3.12.7"
    assert version.digests == (f"packages sha256:{Packages(PACKAGES).sha256[:16]}",)


def test_a_checkout_is_told_by_commit_and_content_and_says_that_it_has_changes() -> None:
    source = {"words": "litellm at ../litellm", "commit": "5f6a" * 10, "is_dirty": True, "content": "cd" * 32}
    (version,) = of_services(a_service(source=source))
    assert version.digests == ("commit 5f6a5f6a5f6a5f6a with changes", f"content sha256:{'cd' * 8}")


@pytest.mark.parametrize(("digest", "shown"), [("sha256:" + "12" * 32, "12" * 8), (None, "34" * 8)])
def test_an_image_is_told_by_its_digest_or_where_it_was_built_here_by_its_id(digest: str | None, shown: str) -> None:
    image = {"name": "ghcr.io/x/litellm:1", "image_id": "sha256:" + "34" * 32, "digest": digest}
    (version,) = of_services(a_service("litellm", image=image))
    assert version.words == f"litellm, image ghcr.io/x/litellm:1 (image sha256:{shown})"


def test_a_service_that_came_with_perfgate_is_not_listed_and_one_with_a_version_is() -> None:
    found = of_services(a_service("mock", backend="processes"), a_service("postgres", version="18.4"))
    assert [version.words for version in found] == ["postgres 18.4"]


def test_facts_of_another_hand_are_no_error() -> None:
    assert [v.words for v in of_services(a_service("x", source="?", packages=[], image=3, version=None))] == []


def test_the_host_is_one_line_of_what_is_known() -> None:
    words = host_words(a_record(host=HOST))
    assert words == "2 cores, AMD EPYC, 24 GiB, 6.8.0, backend processes"
    assert host_words(a_record()) == "backend processes"


def test_the_load_of_a_host_does_not_make_it_another_one() -> None:
    assert are_of_one_host(a_record(host=HOST), a_record(host={**HOST, "load_1m": 9.0}))
    assert differences(a_record(host=HOST), a_record(host={**HOST, "load_1m": 9.0})) == []


def test_another_cpu_is_another_host_and_named_first() -> None:
    first, second = a_record(host=HOST), a_record(host={**HOST, "cpu_model": "Xeon"}, profile="gate")
    assert not are_of_one_host(first, second)
    assert differences(first, second) == ["CPU: AMD EPYC and Xeon", "profile: quick and gate"]


def test_other_limits_and_versions_are_differences() -> None:
    first, second = a_record(thresholds_sha256="1" * 64), a_record(thresholds_sha256="2" * 64, perfgate_version="9")
    assert differences(first, second) == [f"limits: sha256:{'1' * 16} and sha256:{'2' * 16}", "perfgate: 0 and 9"]


def test_the_command_is_as_typed_with_what_a_variable_may_have_chosen() -> None:
    record = a_record(command=["pytest", "tests/perf", "-k", "a b"], seed=7, measurements=[a_measurement()])
    assert reproduce(record) == (
        "pytest tests/perf -k 'a b' --profile quick --litellm 1.106.2 --stack processes --seed 7"
    )


def test_what_was_typed_is_not_said_twice() -> None:
    typed = ["pytest", "--litellm=1.106.2", "--seed", "7", "--profile", "quick", "--stack", "processes"]
    assert reproduce(a_record(command=typed, measurements=[a_measurement()])) == shlex.join(typed)


def test_of_a_comparison_both_gateways_are_named() -> None:
    measured = measurement_record(two_arms(1.0))
    words = reproduce(a_record(baseline="litellm 1.79.3", profile="compare", measurements=[measured]))
    assert "--baseline 1.79.3 --candidate 1.102.4" in words
    assert "--litellm" not in words


def test_images_and_engine_that_are_not_the_default_are_named() -> None:
    stack = {"backend": "containers", "why": "", "engine": None, "images": "built", "prisma_engine": "wasm"}
    words = reproduce(Record(**{**a_record().model_dump(), "stack": stack}))
    assert "--stack containers --images built --prisma-engine wasm --seed 1" in words


def test_an_apparatus_that_was_not_fit_comes_first() -> None:
    fit = a_judgement("overhead", "overhead_p95_ms")
    unfit = a_judgement("latency", "latency_p95_ms", synthetic.measurement(scenario="latency", lag_ms=9))
    assert list(said_of_apparatus(a_record(judgements=[fit, unfit]))) == ["latency", "overhead"]
