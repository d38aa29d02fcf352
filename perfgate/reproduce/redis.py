"""What the page says of Redis: told of it by host and port, the gateway answers some 80 requests/s more than by URL."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.measurement import Measurement, NotMeasured
from perfgate.reproduce.http_table import HttpTable
from perfgate.reproduce.published import BY_HOST, BY_URL, REDIS_URL_LOSS_RPS
from perfgate.reproduce.scale import Scale


def _arms(gateway: GatewaySpec, scale: Scale) -> Mapping[str, GatewaySpec]:
    sized = replace(gateway, workers=scale.workers)
    return {BY_URL: replace(sized, redis="url"), BY_HOST: replace(sized, redis="host_port")}


def _caveats(scale: Scale, measurement: Measurement) -> Sequence[str]:
    by_host, by_url = (measurement.window_rps(arm) for arm in (BY_HOST, BY_URL))
    try:
        loss = measurement.throughput_loss_ratio(BY_URL, BY_HOST)
        share = f", a loss of {loss.value * 100:.1f} % ({loss.low * 100:.1f} to {loss.high * 100:.1f})"
    except NotMeasured as error:
        share = f"; their share cannot be said: {error}"
    said = f"published: {BY_URL} answers about {REDIS_URL_LOSS_RPS:g} requests/s fewer, of how many is not said"
    found = f"measured: {by_host.value - by_url.value:+.1f} of {by_host.value:.1f} requests/s{share}"
    return (said, found, "published: Redis takes 60 to 80 % of the load off the database; not measured here")


REDIS_TABLE: Final = HttpTable(
    name="redis",
    title="Redis by host and port, and by URL",
    published=(),
    arms=_arms,
    compared=((BY_HOST, BY_URL),),
    services=("redis",),
    thinks=False,
    why_not="users who think would set the throughput themselves",
    caveats=_caveats,
)
