"""Is a gateway shown and asked for again as it was asked for, and is what cannot go together refused?"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from perfgate.errors import BadInput
from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.stack.sources import GitRef, PortkeyRelease, Release, RunningUrl

PLAIN: Final = GatewaySpec(Release("1.106.2"))
RUNNING: Final = GatewaySpec(RunningUrl("http://h:4000"))
PORTKEY: Final = GatewaySpec(PortkeyRelease())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "litellm 1.106.2"),
        ({"workers": 4}, "litellm 1.106.2, 4 workers"),
        ({"instances": 2}, "litellm 1.106.2, 2 instances"),
        ({"instances": 2, "workers": 4}, "litellm 1.106.2, 2 instances, 4 workers each"),
        ({"with_packages": ("httptools",)}, "litellm 1.106.2 with httptools"),
        ({"config_path": Path("a/my.yaml")}, "litellm 1.106.2, config my.yaml"),
        ({"database": True}, "litellm 1.106.2, with a database"),
        ({"redis": "host_port"}, "litellm 1.106.2, with Redis"),
        ({"redis": "url"}, "litellm 1.106.2, with Redis by URL"),
        ({"callback": "langsmith"}, "litellm 1.106.2, with callback langsmith"),
        (
            {"callback": "gcs", "callback_fault": "posts at once"},
            "litellm 1.106.2, with callback gcs, which posts at once",
        ),
        (
            {"backend": "containers", "cpus_per_instance": 1.5, "memory_per_instance_bytes": 2**30},
            "litellm 1.106.2, in containers, 1.5 cores each, 1024 MiB each",
        ),
    ],
)
def test_it_is_shown_with_what_is_not_the_default(changes: dict[str, Any], words: str) -> None:
    assert str(replace(PLAIN, **changes)) == words


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        (PLAIN, "--litellm 1.106.2 --deps of-its-time --workers 1 --stack processes"),
        (
            replace(PLAIN, deps="today", workers=4, instances=2, config_path=Path("my config.yaml")),
            (
                "--litellm 1.106.2 --deps today --workers 4 --instances 2 --gateway-config 'my config.yaml' "
                "--stack processes"
            ),
        ),
        (
            replace(PLAIN, with_packages=("a==1", "b")),
            "--litellm 1.106.2 --deps of-its-time --workers 1 --with-packages 'a==1 b' --stack processes",
        ),
        (
            replace(PLAIN, backend="containers", cpus_per_instance=4.0, memory_per_instance_bytes=8 * 2**30),
            (
                "--litellm 1.106.2 --deps of-its-time --workers 1 --cpus-per-instance 4 --memory-per-instance 8192m "
                "--stack containers"
            ),
        ),
        (RUNNING, "--litellm url:http://h:4000"),
        (GatewaySpec(RunningUrl("http://h", "KEY")), "--litellm url:http://h --gateway-key-env KEY"),
    ],
)
def test_it_says_what_to_type_to_have_it_again(spec: GatewaySpec, options: str) -> None:
    assert spec.options == options


def test_its_processes_are_the_workers_of_all_instances() -> None:
    assert PLAIN.processes == 1
    assert replace(PLAIN, instances=2, workers=3).processes == 6


def test_its_memory_is_what_is_promised_to_all_its_instances() -> None:
    limited = replace(PLAIN, backend="containers", memory_per_instance_bytes=2**30)
    assert limited.memory_bytes == 2**30
    assert replace(limited, instances=3, workers=2).memory_bytes == 3 * 2**30
    assert replace(PLAIN, instances=3).memory_bytes is None


def test_none_of_something_is_refused() -> None:
    with pytest.raises(ValueError, match="workers=0 must be at least 1"):
        replace(PLAIN, workers=0)
    with pytest.raises(ValueError, match="instances=0 must be at least 1"):
        replace(PLAIN, instances=0)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"workers": 2}, "--workers"),
        ({"instances": 2}, "--instances"),
        ({"config_path": Path("x")}, "--gateway-config"),
        ({"with_packages": ("a",)}, "--with-packages"),
        ({"deps": "today"}, "--deps"),
        ({"faults": True}, "faults"),
        ({"backend": "containers"}, "--stack=containers"),
        ({"database": True}, "a database"),
        ({"redis": "url"}, "Redis"),
        ({"workers": 2, "faults": True}, "--workers, faults"),
    ],
)
def test_a_gateway_that_runs_already_cannot_be_given_anything(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput) as caught:
        replace(RUNNING, **changes)
    assert str(caught.value) == (
        f"gateway at http://h:4000 runs already and is not started by perfgate: {named} cannot apply to it"
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"workers": 2}, "--workers"),
        ({"config_path": Path("x")}, "--gateway-config"),
        ({"with_packages": ("a",)}, "--with-packages"),
        ({"deps": "today"}, "--deps"),
        ({"faults": True}, "faults"),
        ({"database": True}, "a database"),
        ({"redis": "url"}, "Redis"),
        ({"callback": "langsmith"}, "a callback"),
        ({"workers": 2, "database": True}, "--workers, a database"),
    ],
)
def test_portkey_cannot_be_given_what_is_litellm_s(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput) as caught:
        replace(PORTKEY, **changes)
    assert str(caught.value) == (
        f"{PORTKEY.source} is not LiteLLM: {named} cannot apply to it. It is one process that is told all by each "
        "request; --instances starts several"
    )


def test_portkey_runs_in_instances_on_both_backends() -> None:
    inside = replace(PORTKEY, instances=2, backend="containers", cpus_per_instance=1.5)
    assert str(inside) == f"{PORTKEY.source}, 2 instances, in containers, 1.5 cores each"
    assert (inside.processes, inside.not_in_containers) == (2, None)


def test_a_product_is_told_by_the_source() -> None:
    assert [spec.product for spec in (PLAIN, RUNNING, PORTKEY)] == ["litellm", "litellm", "portkey"]


def test_an_arm_without_a_gateway_is_direct() -> None:
    assert Arm("direct", None).is_direct
    assert not Arm("gateway", PLAIN).is_direct


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source": GitRef("https://h/x", "main", "0" * 40)}, "is not in an image of LiteLLM: containers run releases"),
        ({"with_packages": ("a", "b")}, "--with-packages 'a b' is not in an image of LiteLLM"),
        ({"deps": "today"}, "--deps today: the dependencies of an image of LiteLLM are those it was built with"),
    ],
)
def test_what_no_image_holds_cannot_run_in_a_container(changes: dict[str, Any], reason: str) -> None:
    assert reason in str(replace(PLAIN, **changes).not_in_containers)
    with pytest.raises(BadInput, match="with --stack=processes it can be measured"):
        replace(PLAIN, backend="containers", **changes)


@pytest.mark.parametrize("changes", [{"cpus_per_instance": 1.0}, {"memory_per_instance_bytes": 2**30}])
def test_processes_have_no_limits(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="they need --stack=containers"):
        replace(PLAIN, **changes)


def test_an_arm_is_where_its_gateway_is_or_where_it_says() -> None:
    assert Arm("gateway", replace(PLAIN, backend="containers")).backend == "containers"
    assert Arm("direct", None).backend == "processes"
    assert Arm("direct", None, direct_on="containers").backend == "containers"


def test_a_callback_that_its_release_has_behind_a_licence_is_refused() -> None:
    with pytest.raises(
        BadInput, match=r"webhook .* needs a licence in litellm 1\.79\.3, .*: leave it out with --scenarios"
    ):
        GatewaySpec(Release("1.79.3"), callback="webhook")
