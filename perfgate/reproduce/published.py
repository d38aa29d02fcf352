"""What does LiteLLM's benchmark page say? Figures as data, nothing else.

Source: https://docs.litellm.ai/docs/benchmarks; of Redis https://docs.litellm.ai/docs/proxy/prod; of the release whose
notes have the figures of realtime sessions, pull request 20074 of BerriAI/litellm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from perfgate.experiment.gateway_figures import LITELLM, LITELLM_WITH_DATABASE, PORTKEY

#: A figure of a row; the name ends in its unit. The first five are columns of the page's tables, the next two rows of
#: that with Portkey, and of the others the page says nothing.
FigureName = Literal[
    "median_ms",
    "p95_ms",
    "p99_ms",
    "mean_ms",
    "throughput_rps",
    "requests",
    "failed_requests",
    "overhead_p50_ms",
    "overhead_p95_ms",
    "first_delta_p50_ms",
    "first_delta_p95_ms",
    "opening_p50_ms",
    "opening_p95_ms",
    "opening_overhead_p50_ms",
    "opening_overhead_p95_ms",
    "held_sessions",
    "cpu_per_request_ms",
    "cores_used",
    "rss_mib",
]
#: What a row speaks of: requests as clients see them, the header x-litellm-overhead-duration-ms, or both in one heap.
Times = Literal["requests", "header overhead", "aggregated"]


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One row of a table.

    Args:
        arm: whose row it is; the arm of the run that is held against it has the same name.
        times: what it speaks of.
        figures: by column; a column that the page leaves out is not there.
    """

    arm: str
    times: Times
    figures: Mapping[FigureName, float]


@dataclass(frozen=True, slots=True)
class PublishedSettings:
    """What the page says of its runs, the same for all tables.

    Args:
        users, users_per_s: of Locust: how many, and how many more every second until then.
        think_time_s: from a reply to the same user's next request: at least, at most; evenly spread.
        workers: of each instance.
        vcpus, memory_gb: of the machine of each instance.
    """

    users: int
    users_per_s: int
    think_time_s: tuple[float, float]
    workers: int
    vcpus: int
    memory_gb: int

    @property
    def mean_think_time_s(self) -> float:
        """The mean of an even spread."""
        return sum(self.think_time_s) / 2


SETTINGS: Final = PublishedSettings(
    users=1_000, users_per_s=500, think_time_s=(0.5, 1.0), workers=4, vcpus=4, memory_gb=8
)
NOT_SAID: Final = "not said"


@dataclass(frozen=True, slots=True)
class PageRun:
    """What the page says of the run of one table, beside `SETTINGS`.

    Args:
        instances: of each gateway; None where it says nothing, or they are what its arms differ in.
        length: of the run.
        litellm: which one.
    """

    instances: int | None = None
    length: str = NOT_SAID
    litellm: str = NOT_SAID + " (v1.79.1-stable beside Portkey)"


TWO_INSTANCES: Final = "2 instances"
FOUR_INSTANCES: Final = "4 instances"
BASIC: Final = "without"
LOGGING: Final = "logging"
BY_HOST: Final = "redis_host"
BY_URL: Final = "redis_url"


def _five(median: float, p95: float, p99: float, mean: float, rps: float) -> Mapping[FigureName, float]:
    return {"median_ms": median, "p95_ms": p95, "p99_ms": p99, "mean_ms": mean, "throughput_rps": rps}


def _two(rps: float, median: float) -> Mapping[FigureName, float]:
    return {"throughput_rps": rps, "median_ms": median}


INSTANCES: Final = (
    PublishedRow(TWO_INSTANCES, "requests", _five(200, 630, 1200, 262.46, 1035.7)),
    PublishedRow(TWO_INSTANCES, "header overhead", _five(12, 29, 43, 14.74, 1035.7)),
    PublishedRow(TWO_INSTANCES, "aggregated", _five(100, 430, 930, 138.6, 2071.4)),
    PublishedRow(FOUR_INSTANCES, "requests", _five(100, 150, 240, 111.73, 1170)),
    PublishedRow(FOUR_INSTANCES, "header overhead", _five(2, 8, 13, 3.32, 1170)),
    PublishedRow(FOUR_INSTANCES, "aggregated", _five(77, 130, 180, 57.53, 2340)),
)
REALTIME: Final = (PublishedRow(LITELLM, "requests", _five(59, 67, 99, 63, 1207)),)
REALTIME_RUN: Final = PageRun(instances=4, litellm=NOT_SAID + " (v1.80.5-stable, by its release notes)")
#: Portkey has no database, and LiteLLM one; of LiteLLM without one the page says nothing.
GATEWAYS: Final = (
    PublishedRow(PORTKEY, "requests", {"requests": 293_796, "failed_requests": 0, **_five(100, 230, 500, 123, 1170.9)}),
    PublishedRow(
        LITELLM_WITH_DATABASE,
        "requests",
        {"requests": 312_405, "failed_requests": 0, **_five(100, 150, 240, 111, 1170)},
    ),
)
GATEWAYS_SECONDS: Final = 300
GATEWAYS_RUN: Final = PageRun(instances=4, length="5 minutes", litellm="v1.79.1-stable")
PORTKEY_VERSION: Final = "v1.14.0"
GCS: Final = (
    PublishedRow(BASIC, "requests", _two(1133.2, 140)),
    PublishedRow(LOGGING, "requests", _two(1137.3, 138)),
)
LANGSMITH: Final = (
    PublishedRow(BASIC, "requests", _two(1133.2, 140)),
    PublishedRow(LOGGING, "requests", _two(1135, 132)),
)
#: Of Redis the page has no table, only this: what `redis_host` and `redis_port` answer more than `redis_url`.
REDIS_URL_LOSS_RPS: Final = 80.0
