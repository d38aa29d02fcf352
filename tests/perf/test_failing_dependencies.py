"""What do users notice when something behind the gateway fails, and what is left of it afterwards?

Guards  requests that wait for a log sink, a database or a cache which they do not need, one hanging upstream that takes
        all others with it, queues that grow while a sink hangs and are never given back, records and rows that are
        lost, a gateway that has to be restarted
Limits  thresholds.yaml: scenarios.fault_*; where LiteLLM itself falls short, "no worse than known" (docs/findings.md)
Costs   about 1.5 minutes each: two gateways, one after the other, through before, during and after
Run     pytest tests/perf --profile faults
        pytest tests/perf --profile faults --scenarios fault_sink_hangs
"""

import pytest

from perfgate.experiment.faults import FAULTS, Fault
from perfgate.experiment.measurement import Measurement
from perfgate.plugin import Faults, Limits

#: Of every fault.
USERS = ("fault_error_ratio", "fault_latency_p50_ms", "fault_latency_p95_ms", "recovery_s")
MEMORY = ("fault_rss_growth_mib", "fault_rss_kept_mib")
#: Of a gateway that logs, or keeps spend.
RECORDS = ("fault_records_missing_ratio", "fault_records_repeated_ratio")
ROWS = ("fault_spend_rows_missing_ratio", "fault_key_spend_error_ratio")


def metrics_of(fault: Fault) -> tuple[str, ...]:
    return (*USERS, *MEMORY, *(RECORDS if fault.callback is not None else ()), *(ROWS if fault.database else ()))


CASES = [
    pytest.param(fault, metric, id=f"{fault.name}-{metric}", marks=pytest.mark.scenario(fault.scenario))
    for fault in FAULTS.values()
    for metric in metrics_of(fault)
]


@pytest.fixture(scope="module")
def fault(request: pytest.FixtureRequest) -> Fault:
    found: Fault = request.param
    return found


@pytest.fixture(scope="module")
def scenario(fault: Fault) -> str:
    return fault.scenario


@pytest.fixture(scope="module")
def measured(faults: Faults, fault: Fault) -> Measurement:
    return faults.run(fault)


@pytest.mark.parametrize(("fault", "metric"), CASES, indirect=["fault"], scope="module")
def test_a_fault_stays_where_it_is(measured: Measurement, limits: Limits, metric: str) -> None:
    limits.check(metric, measured)
