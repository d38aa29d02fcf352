"""Which arms does a perf test get when it asks another endpoint than chat completions?"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from perfgate.experiment.arms import GatewaySpec
from perfgate.load.api import Api
from perfgate.plugin import Stack
from perfgate.stack.litellm import MESSAGES_MODEL, REALTIME_MODEL
from perfgate.stack.sources import Release, RunningUrl


def stack(gateway: GatewaySpec) -> Stack:
    """What has settings, and nothing else of a session."""
    settings = SimpleNamespace(gateway=gateway, model="asked", direct_model="upstream")
    run: Any = SimpleNamespace(settings=settings)
    nothing: Any = None
    return Stack(run, nothing, nothing)


@pytest.mark.parametrize(
    ("api", "names", "models"),
    [
        (Api.EMBEDDINGS, ("embeddings_direct", "embeddings"), ("upstream", "asked")),
        (Api.MESSAGES, ("messages_direct", "messages"), (MESSAGES_MODEL, MESSAGES_MODEL)),
        (Api.MODELS, ("models_direct", "models"), ("upstream", "asked")),
        (Api.REALTIME, ("direct", "gateway"), (REALTIME_MODEL, REALTIME_MODEL)),
    ],
)
def test_an_endpoint_has_an_arm_without_a_gateway_and_one_with(
    api: Api, names: tuple[str, str], models: tuple[str, str]
) -> None:
    direct, through = stack(GatewaySpec(Release("1.106.2"))).asking(api)
    assert (direct.name, through.name) == names
    assert (direct.model, through.model) == models
    assert direct.is_direct
    assert through.gateway == GatewaySpec(Release("1.106.2"), every_api=True)
    assert direct.api is through.api is api


def test_all_endpoints_are_served_by_one_gateway() -> None:
    arms = [stack(GatewaySpec(Release("1.106.2"))).asking(api)[1] for api in Api]
    assert len({arm.gateway for arm in arms}) == 1


@pytest.mark.parametrize(
    "gateway",
    [GatewaySpec(RunningUrl("http://h:4000")), GatewaySpec(Release("1.106.2"), config_path=Path("config.yaml"))],
    ids=["runs_already", "own_configuration"],
)
def test_a_gateway_whose_models_are_the_users_is_asked_for_the_model_that_they_name(gateway: GatewaySpec) -> None:
    direct, through = stack(gateway).asking(Api.MESSAGES)
    assert through.gateway == gateway
    assert (direct.model, through.model) == ("upstream", "asked")
