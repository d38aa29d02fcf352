"""The tables of logging to Google Cloud Storage and to LangSmith, with it and without."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.measurement import Measurement
from perfgate.reproduce.http_table import HttpTable
from perfgate.reproduce.published import BASIC, GCS, LANGSMITH, LOGGING
from perfgate.reproduce.scale import Scale
from perfgate.stack.callbacks import CallbackName, packages_for

LAW: Final = (
    "users who think set the throughput, users / (think time + latency), so that logging could hardly move it; the "
    "scenarios callback_gcs and callback_langsmith ask the same near capacity"
)


def _arms_with(callback: CallbackName) -> Callable[[GatewaySpec, Scale], Mapping[str, GatewaySpec]]:
    def arms(gateway: GatewaySpec, scale: Scale) -> Mapping[str, GatewaySpec]:
        basic = replace(gateway, workers=scale.workers, database=True)
        if gateway.backend == "processes":
            extra = packages_for(callback, os.environ)
            basic = replace(basic, with_packages=tuple(dict.fromkeys((*basic.with_packages, *extra))))
        return {BASIC: basic, LOGGING: replace(basic, callback=callback)}

    return arms


def _caveats(scale: Scale, measurement: Measurement) -> Sequence[str]:
    return (LAW, "the page does not say how many instances it had: one here")


GCS_TABLE: Final = HttpTable(
    name="gcs",
    title="Logging to Google Cloud Storage",
    published=GCS,
    arms=_arms_with("gcs"),
    compared=((LOGGING, BASIC),),
    services=("postgres",),
    callback="gcs",
    caveats=_caveats,
)
LANGSMITH_TABLE: Final = HttpTable(
    name="langsmith",
    title="Logging to LangSmith",
    published=LANGSMITH,
    arms=_arms_with("langsmith"),
    compared=((LOGGING, BASIC),),
    services=("postgres",),
    callback="langsmith",
    caveats=_caveats,
)
