"""How many Locust workers send a load, and where do those elsewhere find their master?

Comes in: numbers and an address, as given. Goes out: a `LocustFleet`, checked. Imports nothing of Locust.
"""

from dataclasses import dataclass
from typing import Final

#: Where a master listens, unless another address is given; the port is Locust's own.
DEFAULT_BIND: Final = "127.0.0.1:5557"
MOST_WORKERS: Final = 1_000


@dataclass(frozen=True, slots=True)
class LocustFleet:
    """The workers of one Locust master.

    Args:
        workers: started by the master, on this host.
        expect_workers: that somebody else starts, elsewhere.
        bind: host and port where the master listens for these; without any of them it takes a free port of loopback.

    >>> LocustFleet(workers=2).total
    2
    """

    workers: int = 1
    expect_workers: int = 0
    bind: str = DEFAULT_BIND

    def __post_init__(self) -> None:
        """Check every field."""
        for name, count in (("workers", self.workers), ("expect_workers", self.expect_workers)):
            if not 0 <= count <= MOST_WORKERS:
                raise ValueError(f"{name}={count} must be from 0 to {MOST_WORKERS}")
        if not self.total:
            raise ValueError("workers=0 and expect_workers=0: somebody has to send")
        _ = self.address

    @property
    def total(self) -> int:
        """All of them."""
        return self.workers + self.expect_workers

    @property
    def address(self) -> tuple[str, int]:
        """Host and port where the master listens; port 0 is a free one.

        Raises:
            ValueError: `bind` is not a host and a port.
        """
        if not self.expect_workers:
            return "127.0.0.1", 0
        host, colon, port = self.bind.rpartition(":")
        if not (colon and host and port.isascii() and port.isdigit() and 1 <= int(port) <= 65_535):
            raise ValueError(f"bind={self.bind} must be HOST:PORT with a port from 1 to 65535, as in {DEFAULT_BIND}")
        return host, int(port)

    @property
    def words(self) -> str:
        """For people."""
        parts = [f"{self.workers} here"] if self.workers else []
        parts += [f"{self.expect_workers} elsewhere"] if self.expect_workers else []
        return f"{' and '.join(parts)}"
