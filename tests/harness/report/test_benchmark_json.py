"""Is a run in pytest-benchmark's form read by pytest-benchmark itself, with the right figures?"""

import json
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.stats import Stats

from perfgate.record import Record
from perfgate.record_entries import measurement_record
from perfgate.report.benchmark_json import benchmark_json
from tests.harness import synthetic
from tests.harness.report.conftest import HOST, a_judgement, a_measurement, a_record


def a_run(**truth: Any) -> Record:
    judged = [a_judgement("overhead", "overhead_p95_ms")]
    return a_record(host=HOST, measurements=[a_measurement(**truth)], judgements=judged, exit_code=0)


def by_arm(record: Record) -> dict[str, dict[str, Any]]:
    return {benchmark["params"]["arm"]: benchmark for benchmark in benchmark_json(record)["benchmarks"]}


def test_every_arm_of_every_scenario_is_a_benchmark_with_its_limits_and_what_ran() -> None:
    found = by_arm(a_run())
    assert list(found) == ["direct", "gateway"]
    gateway = found["gateway"]
    assert (gateway["group"], gateway["name"]) == ("overhead", "latency[overhead-gateway]")
    said = gateway["extra_info"]
    assert (said["gateway"], said["load"], said["sent"], said["succeeded"]) == (
        "litellm 1.106.2",
        "50 requests/s",
        1600,
        1600,
    )
    assert said["throughput_rps"] == pytest.approx(200 / 4.1)
    assert said["p95_ms"] == pytest.approx(12 * 1.0822, rel=0.01)
    (limit,) = said["limits"]
    assert (limit["metric"], limit["verdict"], limit["limit"]) == ("overhead_p95_ms", "PASS", "at most 25 ms")
    assert found["direct"]["extra_info"]["gateway"] is None


def test_statistics_are_those_of_pytest_benchmark_for_the_same_requests() -> None:
    measured = synthetic.measurement(rounds=1, requests=101)
    found = by_arm(a_record(measurements=[measurement_record(measured)]))["gateway"]["stats"]
    histogram = measured.merged("gateway", lambda load: load.latency)
    theirs: Any = Stats()  # type: ignore[no-untyped-call]
    for value_us, count in zip(histogram.values_us, histogram.counts, strict=True):
        for _ in range(count):
            theirs.update(value_us / 1e6)
    expected = theirs.as_dict()
    assert set(found) == {*expected, "iterations"}
    for name in ("min", "max", "mean", "median", "stddev", "rounds", "total", "ops", "stddev_outliers"):
        assert found[name] == pytest.approx(expected[name]), name
    # Quartiles are defined in many ways; these two lie between neighbouring requests.
    for name in ("q1", "q3", "ld15iqr", "hd15iqr"):
        assert found[name] == pytest.approx(expected[name], rel=0.01), name


def test_one_request_has_no_spread() -> None:
    stats = by_arm(a_run(rounds=1, requests=1))["gateway"]["stats"]
    assert stats["rounds"] == 2
    data = synthetic.measurement(rounds=1, requests=1).merged("gateway", lambda load: load.latency)
    values = np.repeat(data.values_us, data.counts) / 1e6
    assert stats["stddev"] == pytest.approx(statistics.stdev(values.tolist()))


def test_an_arm_in_which_nothing_succeeded_is_left_out() -> None:
    assert list(by_arm(a_run(failed=200))) == ["direct"]


def test_a_scenario_of_single_requests_says_so() -> None:
    measured = measurement_record(replace(synthetic.measurement(), schedule=None))
    assert by_arm(a_record(measurements=[measured]))["gateway"]["extra_info"]["load"] == "one request at a time"


def test_nothing_names_the_machine() -> None:
    assert benchmark_json(a_run())["machine_info"] == {
        "machine": None,
        "processor": None,
        "system": "Linux",
        "release": "6.8.0",
        "cpu": {"brand_raw": "AMD EPYC", "count": 2},
    }


@pytest.mark.slow
def test_pytest_benchmark_compares_two_runs(tmp_path: Path) -> None:
    for name, gateway_ms in (("before", 12.0), ("after", 24.0)):
        text = json.dumps(benchmark_json(a_run(gateway_ms=gateway_ms)))
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    argv = [sys.executable, "-m", "pytest_benchmark", "compare", "before.json", "after.json", "--columns=median,ops"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines() if "overhead-gateway" in line]
    assert len(rows) == 2
    fast, slow = sorted(float(row[2].replace(",", "")) for row in rows)
    assert slow / fast == pytest.approx(2, rel=0.02)
