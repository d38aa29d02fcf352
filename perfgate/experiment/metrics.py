"""Which metrics can thresholds.yaml limit, and how is each computed from a measurement?

One table; a name that is not in it is refused when the file is read.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from perfgate.experiment import capacity_figures, fault_figures, gateway_figures, sizes
from perfgate.experiment.arms import CANDIDATE, DIRECT_SUFFIX
from perfgate.experiment.gateway_figures import GATEWAYS, LITELLM, LITELLM_WITH_DATABASE, PORTKEY
from perfgate.experiment.measurement import Estimate, Measurement, NotMeasured
from perfgate.load.api import Api
from perfgate.thresholds import CAPACITY


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure that a limit can be set on.

    Args:
        name: in thresholds.yaml; ends in its unit.
        title: as people read it.
        estimate: computes it.
        arms: that it reads, but for direct ones; empty for all of them. Too many errors in any, and it is not read.
        is_counted: whether it is counted, so that it may be read although the load was late.
        counts_errors: whether it is itself about errors; all others wait for the error ratio to hold.
        expects_errors: whether errors are part of what it looks for, so that it is read all the same.
        grows_on_slow_hosts, shrinks_on_slow_hosts: whether it goes with, or against, the time that a host takes for
            the same work, so that its limits scale with the host-speed index.
    """

    name: str
    title: str
    estimate: Callable[[Measurement], Estimate]
    arms: tuple[str, ...] = ("gateway",)
    is_counted: bool = False
    counts_errors: bool = False
    expects_errors: bool = False
    grows_on_slow_hosts: bool = False
    shrinks_on_slow_hosts: bool = False

    def arms_of(self, measurement: Measurement) -> tuple[str, ...]:
        """The names of the arms that it reads of a measurement.

        Raises:
            NotMeasured: there is none.
        """
        arms = self.arms or tuple(arm.name for arm in measurement.arms if not arm.is_direct)
        if not arms:
            raise NotMeasured(f"{measurement.scenario}: no arm has a gateway")
        return arms


#: Of gateways of several sizes.
_ALL: Final = ()
#: Arms beside `gateway`: without the feature that a scenario asks about; its cache answering; told of Redis by URL.
_BOTH: Final = ("gateway", "without")
_HITS: Final = ("cache_hit",)
_BY_URL: Final = ("redis_url", "gateway")
#: While a dependency fails; and after it did.
_DURING: Final = (fault_figures.DURING,)
_AFTER: Final = (fault_figures.AFTER,)
#: That logs by a callback, beside the same gateway without.
_LOGS: Final = (CANDIDATE,)
#: Endpoints that figures are of, each as an arm of its own.
API_ARMS: Final = (Api.EMBEDDINGS, Api.RESPONSES, Api.MESSAGES, Api.MODELS)
#: Arms that the processes of another one serve: the cache's hits, and every endpoint but the first.
_SHARED_WITH: Final[Mapping[str, str]] = {"cache_hit": "gateway", **{api.value: API_ARMS[0].value for api in API_ARMS}}


def _timed(
    name: str,
    title: str,
    of: Callable[[Measurement, float], Estimate],
    percentile: float,
    arms: tuple[str, ...] = ("gateway",),
) -> Metric:
    return Metric(name, title, lambda measurement: of(measurement, percentile), arms, grows_on_slow_hosts=True)


def _counted(
    name: str, title: str, of: Callable[[Measurement], Estimate], arms: tuple[str, ...] = ("gateway",)
) -> Metric:
    return Metric(name, title, of, arms, is_counted=True)


def _of_cache_hits(measurement: Measurement, percentile: float) -> Estimate:
    return measurement.latency_ms(percentile, "cache_hit")


def _of_redis_url(measurement: Measurement, percentile: float) -> Estimate:
    return measurement.added_ms(percentile, "redis_url", "gateway")


def _of_api(api: Api) -> list[Metric]:
    """The figures of one endpoint."""
    arm, of_endpoint = api.value, f"/v1{api.path}"

    def overhead(measurement: Measurement, percentile: float) -> Estimate:
        estimate = measurement.overhead_ms(percentile, arm, arm + DIRECT_SUFFIX)
        return replace(estimate, metric=f"{arm}_overhead_p{percentile:g}_ms")

    metrics = [
        _timed(f"{arm}_overhead_p{p}_ms", f"gateway overhead of {of_endpoint}, p{p}", overhead, p, (arm,))
        for p in (50, 95, 99)
    ]
    return [
        *metrics,
        _counted(
            f"{arm}_header_missing_ratio",
            f"replies of {of_endpoint} without the overhead header",
            lambda m: replace(m.header_missing_ratio(arm), metric=f"{arm}_header_missing_ratio"),
            (arm,),
        ),
        Metric(
            f"{arm}_error_ratio",
            f"requests to {of_endpoint} that failed",
            lambda m: replace(m.error_ratio(arm), metric=f"{arm}_error_ratio"),
            (arm,),
            counts_errors=True,
        ),
    ]


def _to_portkey(arm: str, who: str) -> list[Metric]:
    """LiteLLM divided by Portkey; no host makes it faster or slower."""

    def ratio(name: str, title: str, of: Callable[[str], Callable[[Measurement], Estimate]]) -> Metric:
        name = f"{arm}_to_portkey_{name}_ratio"
        return Metric(name, f"{title}: {who} to Portkey", of(name), (arm, PORTKEY))

    def latency(percentile: float) -> Callable[[str], Callable[[Measurement], Estimate]]:
        return lambda name: lambda measurement: measurement.latency_ratio(name, percentile, arm, PORTKEY)

    return [
        *(ratio(f"latency_p{p}", f"latency p{p}", latency(p)) for p in (50, 95, 99)),
        ratio("throughput", "requests a second", lambda name: lambda m: m.throughput_ratio(name, arm, PORTKEY)),
        ratio("cpu", "CPU per request", lambda name: lambda m: m.cpu_ratio(name, arm, PORTKEY)),
        ratio("rss", "resident memory", lambda name: lambda m: m.rss_ratio(name, arm, PORTKEY)),
    ]


def _table() -> Mapping[str, Metric]:
    metrics = [metric for api in API_ARMS for metric in _of_api(api)]
    metrics += [*_to_portkey(LITELLM, "LiteLLM"), *_to_portkey(LITELLM_WITH_DATABASE, "LiteLLM with a database")]
    for p in (50, 95, 99):
        metrics += [
            _timed(f"overhead_p{p}_ms", f"gateway overhead, p{p}", Measurement.overhead_ms, p),
            _timed(f"latency_p{p}_ms", f"latency through the gateway, p{p}", Measurement.latency_ms, p),
            _timed(f"first_token_p{p}_ms", f"time to the first token, p{p}", Measurement.first_token_ms, p),
            _timed(
                f"first_token_overhead_p{p}_ms",
                f"gateway overhead of the first token, p{p}",
                Measurement.first_token_overhead_ms,
                p,
            ),
            _timed(
                f"session_opening_p{p}_ms",
                f"time to open a realtime session, p{p}",
                Measurement.session_opening_ms,
                p,
            ),
            _timed(
                f"session_opening_overhead_p{p}_ms",
                f"gateway overhead of opening a realtime session, p{p}",
                Measurement.session_opening_overhead_ms,
                p,
            ),
            _timed(f"chunk_gap_p{p}_ms", f"gap between chunks, p{p}", Measurement.chunk_gap_ms, p),
            _timed(f"added_p{p}_ms", f"latency that it adds to the gateway, p{p}", Measurement.added_ms, p, _BOTH),
            _timed(f"cache_hit_p{p}_ms", f"latency of replies from the cache, p{p}", _of_cache_hits, p, _HITS),
            _timed(
                f"fault_latency_p{p}_ms",
                f"latency while a dependency fails, p{p}",
                fault_figures.latency_during_ms,
                p,
                _DURING,
            ),
            _timed(
                f"redis_url_added_p{p}_ms",
                f"latency that redis_url adds to redis_host, p{p}",
                _of_redis_url,
                p,
                _BY_URL,
            ),
        ]
    metrics += [
        Metric("cpu_per_request_ms", "CPU per request", lambda m: m.cpu_ms_per_request(), grows_on_slow_hosts=True),
        Metric(
            "throughput_rps", "requests answered a second", lambda m: m.throughput_rps(), shrinks_on_slow_hosts=True
        ),
        Metric(
            CAPACITY,
            "highest rate at which the objective holds",
            capacity_figures.capacity_rps,
            expects_errors=True,
            shrinks_on_slow_hosts=True,
        ),
        Metric(
            "opened_sessions_per_s",
            "realtime sessions opened a second",
            lambda m: m.opened_sessions_per_s(),
            shrinks_on_slow_hosts=True,
        ),
        _counted("held_sessions", "realtime sessions held at once", Measurement.held_sessions),
        Metric("rss_mib", "resident memory", lambda m: m.rss_mib()),
        Metric(
            "rss_growth_mib_per_1000_requests",
            "memory growth per 1,000 requests",
            lambda m: m.rss_growth_mib_per_1000_requests(),
        ),
        Metric(
            "added_cpu_per_request_ms",
            "CPU per request that it adds to the gateway",
            lambda m: m.added_cpu_ms_per_request(),
            _BOTH,
            grows_on_slow_hosts=True,
        ),
        Metric(
            "redis_url_added_cpu_per_request_ms",
            "CPU per request that redis_url adds to redis_host",
            lambda m: m.added_cpu_ms_per_request("redis_url", "gateway"),
            _BY_URL,
            grows_on_slow_hosts=True,
        ),
        _counted("spend_rows_missing_ratio", "requests not in the spend log", Measurement.spend_rows_missing_ratio),
        _counted("key_spend_error_ratio", "spend of the key that does not add up", Measurement.key_spend_error_ratio),
        _counted(
            "connections_ratio", "database connections, of what the pools may open", Measurement.connections_ratio
        ),
        _counted(
            "log_records_missing_ratio",
            "requests that the log sink has no record of",
            Measurement.log_records_missing_ratio,
            _LOGS,
        ),
        _counted(
            "log_records_repeated_ratio",
            "records that the log sink has again",
            Measurement.log_records_repeated_ratio,
            _LOGS,
        ),
        Metric(
            "cache_hit_upstream_ratio",
            "requests that reached the endpoint though a reply was cached",
            lambda m: m.upstream_ratio("cache_hit"),
            _HITS,
            is_counted=True,
        ),
        _counted(
            "upstream_ratio", "requests that reached the endpoint, for each that was sent", Measurement.upstream_ratio
        ),
        _counted("recovery_s", "time until users fare as before", fault_figures.recovery_s, _AFTER),
        _counted(
            "fault_rss_growth_mib", "memory growth while a dependency fails", fault_figures.memory_growth_mib, _AFTER
        ),
        _counted("fault_rss_kept_mib", "memory kept after the fault", fault_figures.memory_kept_mib, _AFTER),
        _counted("fault_records_missing_ratio", "requests never logged", fault_figures.records_missing_ratio, _AFTER),
        _counted("fault_records_repeated_ratio", "records logged again", fault_figures.records_repeated_ratio, _AFTER),
        _counted(
            "fault_spend_rows_missing_ratio",
            "requests never in the spend log",
            fault_figures.spend_rows_missing_ratio,
            _AFTER,
        ),
        _counted(
            "fault_key_spend_error_ratio",
            "spend of the key that never adds up",
            fault_figures.key_spend_error_ratio,
            _AFTER,
        ),
        Metric(
            "fault_error_ratio",
            "requests that failed for want of another's dependency",
            fault_figures.errors_during,
            _DURING,
            counts_errors=True,
        ),
        Metric(
            "instances_2_to_4_p50_ratio",
            "median with 4 instances, of that with 2",
            sizes.instances_2_to_4_p50_ratio,
            _ALL,
        ),
        Metric(
            "workers_beyond_cores_loss_ratio",
            "throughput lost with more workers than cores",
            sizes.workers_beyond_cores_loss_ratio,
            _ALL,
        ),
        Metric(
            "size_error_ratio", "requests that failed, worst size", sizes.size_error_ratio, _ALL, counts_errors=True
        ),
        Metric(
            "size_completed_ratio",
            "requests answered in time, worst size",
            sizes.size_completed_ratio,
            _ALL,
            counts_errors=True,
        ),
        Metric(
            "gateways_error_ratio",
            "requests that failed, of the gateway with most",
            gateway_figures.error_ratio,
            GATEWAYS,
            counts_errors=True,
        ),
        Metric(
            "gateways_completed_ratio",
            "requests answered in time, of the gateway with fewest",
            gateway_figures.completed_ratio,
            GATEWAYS,
            counts_errors=True,
        ),
        Metric("error_ratio", "requests that failed", lambda m: m.error_ratio(), counts_errors=True),
        Metric("completed_ratio", "requests answered in time", lambda m: m.completed_ratio(), counts_errors=True),
    ]
    return {metric.name: metric for metric in metrics}


METRICS: Final = _table()


def arms_of_limits(metrics: Iterable[str], sizes: Collection[str] = ()) -> tuple[str, ...]:
    """The names of the arms of a round that has all that these metrics read, direct ones first.

    Args:
        metrics: names, each of which is in METRICS.
        sizes: the names of the gateways of several sizes, which some metrics read all of.

    >>> arms_of_limits(["embeddings_error_ratio", "models_error_ratio"])
    ('embeddings_direct', 'models_direct', 'embeddings', 'models')
    """
    through = _through(metrics, sizes)
    direct = dict.fromkeys(f"{arm}{DIRECT_SUFFIX}" if arm in API_ARMS else "direct" for arm in through)
    return (*direct, *through)


def gateways_of_limits(metrics: Iterable[str], sizes: Collection[str] = ()) -> Mapping[str, int]:
    """Those arms of `arms_of_limits` that have processes of their own, the first where several share some.

    Returns:
        By the arm's name, how many endpoints its processes are asked for.

    >>> gateways_of_limits(["added_p50_ms", "cache_hit_p50_ms", "embeddings_error_ratio", "models_error_ratio"])
    {'gateway': 1, 'without': 1, 'embeddings': 2}
    """
    first: dict[str, str] = {}
    endpoints: dict[str, int] = {}
    for arm in _through(metrics, sizes):
        server = first.setdefault(_SHARED_WITH.get(arm, arm), arm)
        endpoints[server] = endpoints.get(server, 0) + 1 if arm in API_ARMS else 1
    return endpoints


def _through(metrics: Iterable[str], sizes: Collection[str]) -> tuple[str, ...]:
    """The arms that these metrics read, each once."""
    return tuple(dict.fromkeys(arm for metric in metrics for arm in METRICS[metric].arms or sizes))
