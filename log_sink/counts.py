"""What did the sink receive, and what became of it?

Comes in: one call for each thing that happens. Goes out: `SinkCounts`, plain figures, and the ids that were seen.
All of it runs on one event loop, so nothing here locks. Imports nothing of ours.

    SinkCounts ──for each format──> FormatCounts ──received, accepted──> Tally
               ──for each path──> RequestCounts
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

Format = Literal["langsmith", "gcs", "webhook"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

#: Kept for each format: 40 minutes of 200 records/s. An id of 40 characters takes some 200 bytes.
DEFAULT_IDS_AT_MOST: Final = 500_000
MAX_IDS_AT_MOST: Final = 5_000_000
#: Paths come from the client; those the sink does not know are counted together.
UNKNOWN_PATH: Final = "(unknown path)"
#: More hosts than a gateway asks for; further ones are counted together, so that made-up ones cannot fill the memory.
MAX_HOSTS: Final = 1_000
OTHER_HOSTS: Final = "(other hosts)"


@dataclass(frozen=True, slots=True)
class Tally:
    """How many records, and how often the same. Exactly once is: records = distinct_ids = what was sent.

    Args:
        records: all of them.
        distinct_ids: different ones among the ids that are kept.
        duplicates: records whose id had been seen before.
        without_id: records that name no request.
        beyond_limit: records whose new id was not kept, since as many as are kept had been seen; nobody knows whether
            these were duplicates.
    """

    records: int
    distinct_ids: int
    duplicates: int
    without_id: int
    beyond_limit: int


@dataclass(frozen=True, slots=True)
class FormatCounts:
    """Records of one format: received = accepted + refused + unanswered + in service, always.

    Args:
        received: all that arrived whole, whatever was answered.
        accepted: of these, those whose success was handed to the client's connection.
        refused: answered with an error.
        unanswered: the connection was cut, or the client left before the answer.
        in_service: still to be answered.
    """

    received: Tally
    accepted: Tally
    refused: int
    unanswered: int
    in_service: int


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Requests to one path.

    Args:
        received: all that arrived whole.
        answered: by status.
        unanswered: the connection was cut, or the client left before the answer.
    """

    received: int
    answered: Mapping[int, int]
    unanswered: int


@dataclass(frozen=True, slots=True)
class SinkCounts:
    """Everything since the start or the last reset.

    Args:
        records: by format.
        requests: by path.
        received_bytes: of bodies.
        unreadable_requests: whose records cannot be counted: of none of the formats, or too large.
        proxied: connections that the proxy led to the sink, by the host that was asked for.
        refused_hosts: connections that it refused, likewise.
        failed_handshakes: TLS connections whose client did not take the sink's certificate, or left.
    """

    records: Mapping[Format, FormatCounts]
    requests: Mapping[str, RequestCounts]
    received_bytes: int
    unreadable_requests: int
    proxied: Mapping[str, int]
    refused_hosts: Mapping[str, int]
    failed_handshakes: int


class Records:
    """Counts the records of one format.

    Args:
        ids_at_most: different ids that are kept.
    """

    def __init__(self, ids_at_most: int) -> None:
        self._received = _Tallying(ids_at_most)
        self._accepted = _Tallying(ids_at_most)
        self._refused = 0
        self._unanswered = 0

    def received(self, ids: Sequence[str | None]) -> None:
        """Records have arrived; None for one that names no request."""
        self._received.add(ids)

    def accepted(self, ids: Sequence[str | None]) -> None:
        """Their client was told that all is well."""
        self._accepted.add(ids)

    def refused(self, records: int) -> None:
        """Their client was told of an error."""
        self._refused += records

    def unanswered(self, records: int) -> None:
        """Their client got no answer."""
        self._unanswered += records

    def value(self) -> FormatCounts:
        """The figures by now."""
        received, accepted = self._received.value(), self._accepted.value()
        in_service = received.records - accepted.records - self._refused - self._unanswered
        return FormatCounts(received, accepted, self._refused, self._unanswered, in_service)

    def ids(self) -> dict[str, Mapping[str, int]]:
        """How often each id was received and accepted, in the order of first arrival."""
        return {"received": self._received.times, "accepted": self._accepted.times}


class Counts:
    """Counts all that comes in by the ports for records.

    Args:
        ids_at_most: different ids that are kept of each format.
    """

    def __init__(self, ids_at_most: int) -> None:
        self.records: dict[Format, Records] = {format_: Records(ids_at_most) for format_ in FORMATS}
        self._requests: dict[str, _Requests] = {}
        self._received_bytes = 0
        self._unreadable_requests = 0
        self._proxied: dict[str, int] = {}
        self._refused_hosts: dict[str, int] = {}
        self._failed_handshakes = 0

    def received(self, path: str, body_bytes: int) -> None:
        """A whole request has arrived; `path` is one of a few."""
        self._requests.setdefault(path, _Requests()).received += 1
        self._received_bytes += body_bytes

    def answered(self, path: str, status: int) -> None:
        """Its answer was handed to the connection."""
        answered = self._requests[path].answered
        answered[status] = answered.get(status, 0) + 1

    def unanswered(self, path: str) -> None:
        """Its client got no answer."""
        self._requests[path].unanswered += 1

    def unreadable(self) -> None:
        """Nobody knows which records it brought."""
        self._unreadable_requests += 1

    def proxied(self, host: str) -> None:
        """The proxy leads a connection to the sink."""
        self._proxied[host] = self._proxied.get(host, 0) + 1

    def refused_host(self, host: str) -> None:
        """The proxy refuses a connection."""
        hosts = self._refused_hosts
        if host not in hosts and len(hosts) >= MAX_HOSTS:
            host = OTHER_HOSTS
        hosts[host] = hosts.get(host, 0) + 1

    def handshake_failed(self) -> None:
        """A TLS connection did not come about."""
        self._failed_handshakes += 1

    def value(self) -> SinkCounts:
        """The figures by now."""
        return SinkCounts(
            {format_: records.value() for format_, records in self.records.items()},
            {
                path: RequestCounts(requests.received, dict(requests.answered), requests.unanswered)
                for path, requests in self._requests.items()
            },
            self._received_bytes,
            self._unreadable_requests,
            dict(self._proxied),
            dict(self._refused_hosts),
            self._failed_handshakes,
        )


class _Tallying:
    def __init__(self, ids_at_most: int) -> None:
        self.times: dict[str, int] = {}
        self._ids_at_most = ids_at_most
        self._records = 0
        self._without_id = 0
        self._beyond_limit = 0

    def add(self, ids: Iterable[str | None]) -> None:
        times = self.times
        for id_ in ids:
            self._records += 1
            if id_ is None:
                self._without_id += 1
            elif id_ in times:
                times[id_] += 1
            elif len(times) < self._ids_at_most:
                times[id_] = 1
            else:
                self._beyond_limit += 1

    def value(self) -> Tally:
        distinct = len(self.times)
        seen_again = self._records - self._without_id - self._beyond_limit - distinct
        return Tally(self._records, distinct, seen_again, self._without_id, self._beyond_limit)


class _Requests:
    def __init__(self) -> None:
        self.received = 0
        self.answered: dict[int, int] = {}
        self.unanswered = 0
