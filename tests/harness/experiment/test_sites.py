"""Is more than a host has promised to nobody, whichever backend keeps the promise?"""

from pathlib import Path
from typing import Any, Final, cast

import pytest

from perfgate.errors import BadInput
from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.sites import ContainerSite, ProcessSite
from perfgate.stack.affinity import plan_cores
from perfgate.stack.engine import EngineFacts
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.images import BUILT
from perfgate.stack.installing import Installer
from perfgate.stack.sources import Release
from perfgate.stack.supervision import Supervisor

GIB: Final = 2**30
ENGINE: Final = EngineFacts("28.2.2", "unix:///x", 4, 23 * GIB, "2", "overlay2", "Ubuntu 24.04")


def promised(memory_gib: int | None = None, cpus: float | None = None, **more: Any) -> GatewaySpec:
    """A gateway with limits."""
    memory_bytes = None if memory_gib is None else memory_gib * GIB
    return GatewaySpec(
        Release("1.106.2"),
        backend="containers",
        cpus_per_instance=cpus,
        memory_per_instance_bytes=memory_bytes,
        **more,
    )


@pytest.fixture
def containers(tmp_path: Path) -> ContainerSite:
    """On a host of 23 GiB, with two of its four cores for gateways; nothing is started."""
    site = ContainerSite(
        tmp_path,
        plan_cores({0, 1, 2, 3}),
        has_mock=False,
        images=BUILT,
        prisma_mode="native",
        kept_logs_dir=None,
        say=print,
    )
    site.backend.engine = ENGINE
    return site


def test_memory_that_one_gateway_can_have_is_not_there_for_two(containers: ContainerSite) -> None:
    containers.check_room([promised(14)])
    with pytest.raises(BadInput) as caught:
        containers.check_room([promised(14, apart="baseline"), promised(14, apart="candidate")])
    assert str(caught.value) == (
        "--memory-per-instance=14g needs 28.0 GiB for the 2 instance(s) of this run, and this host has 23.0 GiB: ask "
        "for less, or take a larger host"
    )


def test_every_instance_of_every_gateway_holds_its_memory(containers: ContainerSite) -> None:
    containers.check_room([promised(7, instances=2), promised(7)])
    with pytest.raises(BadInput, match=r"needs 28\.0 GiB for the 4 instance\(s\)"):
        containers.check_room([promised(7, instances=2), promised(7, instances=2)])


def test_one_without_limits_beside_one_with_them_is_no_reason_not_to_check(containers: ContainerSite) -> None:
    with pytest.raises(BadInput, match=r"needs 28\.0 GiB for the 2 instance\(s\)"):
        containers.check_room([promised(), promised(14)])


def test_cores_are_those_of_one_gateway_since_only_one_is_loaded_at_a_time(containers: ContainerSite) -> None:
    containers.check_room([promised(cpus=2), promised(cpus=2)])
    with pytest.raises(BadInput, match=r"--cpus-per-instance=2 needs 4 cores for 2 instance\(s\)"):
        containers.check_room([promised(cpus=2, instances=2)])


def test_nothing_is_promised_without_limits(containers: ContainerSite) -> None:
    containers.check_room([promised(instances=1000)])
    containers.check_room([])


def test_nothing_is_promised_to_processes(tmp_path: Path) -> None:
    site = ProcessSite(
        cast(Supervisor, None),
        plan_cores({0, 1}),
        has_mock=False,
        cache=EnvironmentCache(tmp_path, 1, cast(Installer, None)),
        prisma_mode="native",
        environ={},
        kept_logs_dir=None,
        say=print,
    )
    site.check_room([promised(10**6, cpus=1000)] * 2)
