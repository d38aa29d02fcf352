"""What does a run look like to tools that read pytest-benchmark's JSON, its own `pytest-benchmark compare` among them?

Comes in: a `Record`. Goes out: a document of the form that `pytest --benchmark-json` writes, with one benchmark for
each arm of each scenario: its statistic is the latency of requests, from the intended start. No I/O.

The statistics are of merged histograms, so they have their resolution: three significant digits. Single requests that
pytest-benchmark has timed itself are in its own file, to the nanosecond.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from perfgate.record import JudgementRecord, MeasurementRecord, Record
from perfgate.report.rows import row_of
from perfgate.report.series import load_words, merged

#: Of pytest-benchmark, whose form this is.
FORM_OF: Final = "5.2.0"


def benchmark_json(record: Record) -> dict[str, Any]:
    """The document.

    Raises:
        NotDrawable: a histogram cannot be read.
    """
    host = record.host
    return {
        "machine_info": {
            "machine": host.get("architecture"),
            "processor": host.get("architecture"),
            "system": "Linux",
            "release": host.get("kernel"),
            "cpu": {"brand_raw": host.get("cpu_model"), "count": host.get("cores_allowed")},
        },
        "commit_info": {},
        "benchmarks": [
            benchmark
            for measurement in record.measurements
            for benchmark in _benchmarks(measurement, record.judgements, record)
        ],
        "datetime": record.started_utc,
        "version": FORM_OF,
    }


def _benchmarks(
    measurement: MeasurementRecord, judgements: Sequence[JudgementRecord], record: Record
) -> list[dict[str, Any]]:
    rows = [row_of(judged) for judged in judgements if judged.scenario == measurement.scenario]
    found = []
    for arm in measurement.arms:
        windows = [window for window in measurement.windows if window.arm == arm.name]
        histogram = merged(windows, "latency")
        if not histogram.count:
            continue
        seconds = sum(window.load.drained_mono_s - window.load.window_opened_mono_s for window in windows)
        succeeded = sum(window.load.succeeded for window in windows)
        load = load_words(measurement.schedule) if measurement.schedule is not None else "one request at a time"
        found.append(
            {
                "group": measurement.scenario,
                "name": f"latency[{measurement.scenario}-{arm.name}]",
                "fullname": f"perfgate::latency[{measurement.scenario}-{arm.name}]",
                "params": {"scenario": measurement.scenario, "arm": arm.name},
                "param": f"{measurement.scenario}-{arm.name}",
                "extra_info": {
                    "gateway": arm.gateway.words if arm.gateway is not None else None,
                    "load": load,
                    "sent": sum(window.load.sent for window in windows),
                    "succeeded": succeeded,
                    "throughput_rps": succeeded / seconds if seconds > 0 else None,
                    **{f"p{p}_ms": histogram.percentile_ms(p) for p in (50, 95, 99)},
                    "limits": [
                        {
                            "metric": row.metric,
                            "verdict": row.verdict.value,
                            "observed": row.observed,
                            "interval": row.interval,
                            "limit": row.limit,
                            "fails_from": row.fails_from,
                        }
                        for row in rows
                    ],
                    "perfgate": record.perfgate_version,
                    "profile": record.profile,
                    "seed": record.seed,
                },
                "options": {"timer": "perfgate load", "warmup": False},
                "stats": _stats(histogram.values_us, histogram.counts),
            }
        )
    return found


def _stats(values_us: Sequence[int], counts: Sequence[int]) -> dict[str, Any]:
    """What pytest-benchmark says of its data, in seconds; quartiles are those of numpy, by linear interpolation."""
    data = np.repeat(np.asarray(values_us, dtype=np.float64) / 1e6, counts)
    mean, total = float(data.mean()), float(data.sum())
    sample_sd = float(data.std(ddof=1)) if data.size > 1 else 0.0
    q1, median, q3 = (float(value) for value in np.percentile(data, (25, 50, 75)))
    iqr = q3 - q1
    fences = (q1 - 1.5 * iqr, q3 + 1.5 * iqr)
    within = data[(data >= fences[0]) & (data <= fences[1])]
    beyond_sd = int(np.count_nonzero(np.abs(data - mean) > sample_sd))
    beyond_fences = int(data.size - within.size)
    return {
        "min": float(data.min()),
        "max": float(data.max()),
        "mean": mean,
        "stddev": sample_sd,
        "rounds": int(data.size),
        "median": median,
        "iqr": iqr,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": beyond_fences,
        "stddev_outliers": beyond_sd,
        "outliers": f"{beyond_sd};{beyond_fences}",
        "ld15iqr": float(within.min()),
        "hd15iqr": float(within.max()),
        "ops": data.size / total,
        "total": total,
        "iterations": 1,
    }
