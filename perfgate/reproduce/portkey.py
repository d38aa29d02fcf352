"""The table of Portkey's gateway beside LiteLLM with a database; and LiteLLM without one, so that like is with like."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.gateway_figures import LITELLM, LITELLM_WITH_DATABASE, PORTKEY
from perfgate.experiment.measurement import Measurement
from perfgate.reproduce.figures import USES
from perfgate.reproduce.http_table import HttpTable
from perfgate.reproduce.published import GATEWAYS, GATEWAYS_RUN, GATEWAYS_SECONDS, PORTKEY_VERSION
from perfgate.reproduce.reproduced import Difference
from perfgate.reproduce.scale import Scale
from perfgate.stack.sources import PortkeyRelease

LIKE_WITH_LIKE: Final = f"the page compares Portkey without a database with LiteLLM with one; {LITELLM} here has none"
IN_WORDS: Final = (
    "published in words: Portkey has a low memory footprint and stayed at about 40 % of its CPU, LiteLLM used all of "
    "its CPU and much memory; the rows of CPU and memory are what was measured. Portkey's gateway is one process, "
    "which can hardly use more than one core of an instance's, whatever their number"
)


def _arms(gateway: GatewaySpec, scale: Scale) -> Mapping[str, GatewaySpec]:
    litellm = replace(gateway, instances=scale.instances, workers=scale.workers)
    portkey = GatewaySpec(
        PortkeyRelease(),
        instances=scale.instances,
        backend=gateway.backend,
        cpus_per_instance=gateway.cpus_per_instance,
        memory_per_instance_bytes=gateway.memory_per_instance_bytes,
    )
    return {PORTKEY: portkey, LITELLM_WITH_DATABASE: replace(litellm, database=True), LITELLM: litellm}


def _caveats(scale: Scale, measurement: Measurement) -> Sequence[str]:
    a_second = ", ".join(f"{row.arm} {row.figures['requests'] / GATEWAYS_SECONDS:,.0f}" for row in GATEWAYS)
    of_all = (
        f"published: its requests are those of {GATEWAYS_SECONDS // 60} minutes, which makes {a_second} a second; its "
        "requests/s are Locust's of the last seconds"
    )
    return (LIKE_WITH_LIKE, IN_WORDS, of_all)


PORTKEY_TABLE: Final = HttpTable(
    name="portkey",
    title="LiteLLM and Portkey",
    published=GATEWAYS,
    arms=_arms,
    compared=((LITELLM_WITH_DATABASE, PORTKEY), (LITELLM, PORTKEY), (LITELLM_WITH_DATABASE, LITELLM)),
    page=GATEWAYS_RUN,
    more=("requests", "failed_requests", *USES),
    services=("postgres",),
    caveats=_caveats,
    differences=(Difference("Portkey", PORTKEY_VERSION, PortkeyRelease().number),),
)
