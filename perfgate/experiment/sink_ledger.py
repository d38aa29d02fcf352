"""What did a gateway's callback send to the log sink for one window?

Comes in: the sink, the format that the callback writes, how many requests were sent. Goes out: a `SinkUse`. Waits until
every record is there, but not for records that do not come any more: those are lost, and counted as such.
"""

import time
from dataclasses import dataclass
from typing import Final, Protocol

from log_sink.counts import Format, SinkCounts, Tally
from perfgate.experiment.measurement import SinkUse

#: Between two looks at what has arrived.
POLL_S: Final = 0.1
#: A callback that has sent nothing for so long beyond its own interval has nothing more to send.
QUIET_S: Final = 1.0
#: What a window waits for its records, to plan with: half the time between two writings, then the writing itself.
DRAIN_S: Final = 1.0
#: For all records of a window, however slowly they come.
DEADLINE_S: Final = 60.0


class Counting(Protocol):
    """What can be asked of a sink: stack/log_sink.py's `SinkControl`, or a fake in a test."""

    def counts(self) -> SinkCounts:
        """What it has received so far."""


@dataclass(slots=True)
class SinkLedger:
    """The records of one gateway: `ledger.open()`, then the load, then `ledger.close(requests)`.

    Several gateways may share a sink, one after the other: what comes between the two calls is taken for this one's.

    Args:
        sink: that counts.
        format: that the callback writes.
        flush_s: between two writings of the callback.
        deadline_s: how long `close` waits.
    """

    sink: Counting
    format: Format
    flush_s: float
    deadline_s: float = DEADLINE_S
    _before: Tally = Tally(0, 0, 0, 0, 0)  # noqa: RUF009 (a frozen value)

    def open(self) -> None:
        """Note what there is.

        Raises:
            StackFailed: the sink does not answer.
        """
        self._before = self._accepted()

    def close(self, requests: int, *, quiet_s: float = QUIET_S) -> SinkUse:
        """Wait until so many requests are logged, or nothing has come for longer than a callback needs, or time is up.

        Args:
            requests: sent since `open`.
            quiet_s: beyond the callback's own interval; without a record for so long, no more are waited for.

        Raises:
            StackFailed: the sink does not answer.
        """
        started_mono_s = last_mono_s = time.monotonic()
        seen = self._before.records
        while True:
            found = self._accepted()
            now_s = time.monotonic()
            if found.records > seen:
                seen, last_mono_s = found.records, now_s
            is_quiet = now_s - last_mono_s >= self.flush_s + quiet_s
            is_late = now_s - started_mono_s >= self.deadline_s
            is_complete = found.distinct_ids - self._before.distinct_ids >= requests
            if is_complete or is_quiet or is_late:
                break
            time.sleep(POLL_S)
        return SinkUse(
            requests,
            records=found.records - self._before.records,
            distinct=found.distinct_ids - self._before.distinct_ids,
            waited_s=now_s - started_mono_s,
        )

    def _accepted(self) -> Tally:
        return self.sink.counts().records[self.format].accepted
