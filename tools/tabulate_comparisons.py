"""What did some comparisons come to? A row of Markdown for each record.

python tools/tabulate_comparisons.py .perfgate/records/*-compare.json
"""

import argparse
import sys
from datetime import datetime
from pathlib import Path

from perfgate import record
from perfgate.record import JudgementRecord, Record

_SHOWN = {
    "cpu_per_request_ms": "CPU",
    "throughput_rps": "throughput",
    "overhead_p50_ms": "p50",
    "overhead_p95_ms": "p95",
    "overhead_p99_ms": "p99",
    "rss_mib": "memory",
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("records", nargs="+", type=Path)
    return made


def main() -> int:
    options = parser().parse_args()
    print(heading())
    for path in options.records:
        print(row(record.read(path)))
    return 0


def heading() -> str:
    names = ["baseline → candidate", "seed", "minutes", "look", *_SHOWN.values()]
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def row(run: Record) -> str:
    by_metric = {judgement.metric: judgement for judgement in run.judgements}
    looks = {judgement.comparison.look for judgement in run.judgements if judgement.comparison is not None}
    look = ", ".join(map(str, sorted(looks))) or "none"
    minutes = "?"
    if run.finished_utc is not None:
        took_s = (datetime.fromisoformat(run.finished_utc) - datetime.fromisoformat(run.started_utc)).total_seconds()
        minutes = f"{took_s / 60:.1f}"
    cells = [cell(by_metric.get(metric)) for metric in _SHOWN]
    return f"| {run.baseline} → {run.gateway} | {run.seed} | {minutes} | {look} | {' | '.join(cells)} |"


def cell(judgement: JudgementRecord | None) -> str:
    if judgement is None:
        return "no verdict"
    compared = judgement.comparison
    if compared is None:
        return f"{judgement.verdict}: {judgement.reason}"
    low, high = ("none" if end is None else f"{(end - 1) * 100:+.1f}" for end in (compared.low, compared.high))
    return f"{judgement.verdict} {(compared.ratio - 1) * 100:+.1f} % ({low} to {high})"


if __name__ == "__main__":
    sys.exit(main())
