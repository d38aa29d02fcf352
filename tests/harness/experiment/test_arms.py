"""Is a gateway shown and asked for again as it was asked for, and is what cannot go together refused?"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from perfgate.errors import BadInput
from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.stack.sources import Release, RunningUrl

PLAIN: Final = GatewaySpec(Release("1.106.2"))
RUNNING: Final = GatewaySpec(RunningUrl("http://h:4000"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "litellm 1.106.2"),
        ({"workers": 4}, "litellm 1.106.2, 4 workers"),
        ({"instances": 2}, "litellm 1.106.2, 2 instances"),
        ({"instances": 2, "workers": 4}, "litellm 1.106.2, 2 instances, 4 workers each"),
        ({"with_packages": ("httptools",)}, "litellm 1.106.2 with httptools"),
        ({"config_path": Path("a/my.yaml")}, "litellm 1.106.2, config my.yaml"),
    ],
)
def test_it_is_shown_with_what_is_not_the_default(changes: dict[str, Any], words: str) -> None:
    assert str(replace(PLAIN, **changes)) == words


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        (PLAIN, "--litellm 1.106.2 --deps of-its-time --workers 1"),
        (
            replace(PLAIN, deps="today", workers=4, instances=2, config_path=Path("my config.yaml")),
            "--litellm 1.106.2 --deps today --workers 4 --instances 2 --gateway-config 'my config.yaml'",
        ),
        (
            replace(PLAIN, with_packages=("a==1", "b")),
            "--litellm 1.106.2 --deps of-its-time --workers 1 --with-packages 'a==1 b'",
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
        ({"workers": 2, "faults": True}, "--workers, faults"),
    ],
)
def test_a_gateway_that_runs_already_cannot_be_given_anything(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput) as caught:
        replace(RUNNING, **changes)
    assert str(caught.value) == (
        f"gateway at http://h:4000 runs already and is not started by perfgate: {named} cannot apply to it"
    )


def test_an_arm_without_a_gateway_is_direct() -> None:
    assert Arm("direct", None).is_direct
    assert not Arm("gateway", PLAIN).is_direct
