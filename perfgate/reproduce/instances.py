"""The tables of two and of four instances."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.measurement import Measurement
from perfgate.experiment.sizes import Size
from perfgate.reproduce.http_table import HttpTable
from perfgate.reproduce.published import FOUR_INSTANCES, INSTANCES, TWO_INSTANCES
from perfgate.reproduce.scale import Scale


def _arms(gateway: GatewaySpec, scale: Scale) -> Mapping[str, GatewaySpec]:
    sized = replace(gateway, workers=scale.workers, database=True)
    return {TWO_INSTANCES: replace(sized, instances=2), FOUR_INSTANCES: replace(sized, instances=4)}


def _caveats(scale: Scale, measurement: Measurement) -> Sequence[str]:
    lacks = Size(4, scale.workers).lacks_cores(scale.cores)
    if lacks is None:
        return ()
    return (
        f"this host cannot show what two more instances bring, so the ratio of the two says nothing of it: {lacks}",
    )


INSTANCES_TABLE: Final = HttpTable(
    name="instances",
    title="2 and 4 instances",
    published=INSTANCES,
    arms=_arms,
    compared=((FOUR_INSTANCES, TWO_INSTANCES),),
    services=("postgres",),
    caveats=_caveats,
)
