"""What do users notice when something behind the gateway fails, and what is left of it afterwards?

Guards  requests that wait for a log sink, a database or a cache which they do not need, one hanging upstream that takes
        all others with it, queues that grow while a sink hangs and are never given back, records and rows that are
        lost, a gateway that has to be restarted
Limits  thresholds.yaml: scenarios.fault_*; where LiteLLM itself falls short, "no worse than known" (docs/findings.md)
Costs   about 1.5 minutes each: two gateways, one after the other, through before, during and after
Run     pytest tests/perf --profile faults
        pytest tests/perf --profile faults --scenarios fault_sink_hangs
"""

from collections.abc import Iterable
from typing import Any

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


def cases(faults: Iterable[Fault]) -> list[Any]:
    return [pytest.param(fault, id=fault.name, marks=pytest.mark.scenario(fault.scenario)) for fault in faults]


# A metric is no parameter of the module's: pytest would group tests by it too, and measure faults again and again.
@pytest.fixture(scope="module", params=cases(FAULTS.values()))
def fault(request: pytest.FixtureRequest) -> Fault:
    found: Fault = request.param
    return found


@pytest.fixture(scope="module")
def scenario(fault: Fault) -> str:
    return fault.scenario


@pytest.fixture(scope="module")
def measured(faults: Faults, fault: Fault) -> Measurement:
    return faults.run(fault)


@pytest.mark.parametrize("metric", [*USERS, *MEMORY])
def test_a_fault_stays_where_it_is(measured: Measurement, limits: Limits, metric: str) -> None:
    limits.check(metric, measured)


@pytest.mark.parametrize("fault", cases(fault for fault in FAULTS.values() if fault.callback), indirect=True)
@pytest.mark.parametrize("metric", RECORDS)
def test_every_request_is_logged_once(measured: Measurement, limits: Limits, metric: str) -> None:
    limits.check(metric, measured)


@pytest.mark.parametrize("fault", cases(fault for fault in FAULTS.values() if fault.database), indirect=True)
@pytest.mark.parametrize("metric", ROWS)
def test_every_request_is_paid_for(measured: Measurement, limits: Limits, metric: str) -> None:
    limits.check(metric, measured)
