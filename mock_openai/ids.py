"""How does everything that the mock names get a name that nothing else has?

Imports nothing of ours.
"""

import itertools
import secrets


class UniqueIds:
    """Ids that no other process gives either: gateways use them as keys of their database.

    >>> ids = UniqueIds()
    >>> ids.of("resp")[:5], ids.of("resp") == ids.of("resp")
    ('resp_', False)
    """

    def __init__(self) -> None:
        # Random, since a counter alone would repeat in the next process.
        self._process = secrets.token_hex(8)
        self._next = itertools.count().__next__

    def of(self, kind: str) -> str:
        """The next id of a kind, such as `resp` or `event`."""
        return f"{kind}_{self._process}{self._next():012x}"
