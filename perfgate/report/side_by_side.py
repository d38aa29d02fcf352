"""What do two runs or more say of the same limits, and may their figures be compared?

Comes in: `Record`s, the first of which the others are held against. Goes out: `Pairing`s and warnings. No I/O, and no
verdict: runs that did not alternate on one host in the same minutes are looked at, not judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from perfgate.record import Record
from perfgate.report.provenance import are_of_one_host, differences
from perfgate.report.rows import Row, row_of

#: Said wherever two runs stand beside each other.
NOT_INTERLEAVED: Final = (
    "these runs were not interleaved, so that a change may be the host's; two gateways are compared by "
    "`pytest tests/perf --baseline … --candidate …`"
)


@dataclass(frozen=True, slots=True)
class Pairing:
    """One limit in every run.

    Args:
        scenario, title: of the limit.
        rows: of each run, in their order; None where it has no such verdict.
        changes: of each run, the figure against the first run's, in percent; empty where that cannot be said.
    """

    scenario: str
    title: str
    rows: tuple[Row | None, ...]
    changes: tuple[str, ...]


def pairings(records: Sequence[Record]) -> list[Pairing]:
    """Every limit that any run has a verdict on, in the order in which they come."""
    of_runs = [{(row.scenario, row.metric): row for row in map(row_of, record.judgements)} for record in records]
    keys = dict.fromkeys(key for of_run in of_runs for key in of_run)
    found = []
    for key in keys:
        rows = tuple(of_run.get(key) for of_run in of_runs)
        known = next(row for row in rows if row is not None)
        found.append(Pairing(known.scenario, known.title, rows, tuple(_change(rows[0], row) for row in rows)))
    return found


def warnings(records: Sequence[Record]) -> list[str]:
    """What speaks against comparing the runs, a sentence each; the first is about hosts."""
    first, *others = records
    said = []
    for number, other in enumerate(others, 2):
        found = differences(first, other)
        if not are_of_one_host(first, other):
            said.append(
                f"runs 1 and {number} are of different hosts, their figures can't be compared: {'; '.join(found)}"
            )
        elif found:
            said.append(f"runs 1 and {number} differ: {'; '.join(found)}")
    return [*said, NOT_INTERLEAVED] if others else said


def _change(first: Row | None, other: Row | None) -> str:
    if first is None or other is None or first is other or first.unit == "":
        return ""
    if first.value is None or other.value is None or not first.value > 0:
        return ""
    return f"{(other.value / first.value - 1) * 100:+.1f} %"
