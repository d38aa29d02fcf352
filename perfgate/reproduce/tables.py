"""Which tables can be run, in the order of the page?

Another one is another module with a constant that is a `Table`, and a line here: `--table` and the document follow.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from perfgate.reproduce.instances import INSTANCES_TABLE
from perfgate.reproduce.logging_callbacks import GCS_TABLE, LANGSMITH_TABLE
from perfgate.reproduce.portkey import PORTKEY_TABLE
from perfgate.reproduce.realtime import REALTIME_TABLE
from perfgate.reproduce.redis import REDIS_TABLE
from perfgate.reproduce.table import Table

_IN_ORDER: Final[tuple[Table, ...]] = (
    INSTANCES_TABLE,
    REALTIME_TABLE,
    PORTKEY_TABLE,
    GCS_TABLE,
    LANGSMITH_TABLE,
    REDIS_TABLE,
)
TABLES: Final[Mapping[str, Table]] = MappingProxyType({table.name: table for table in _IN_ORDER})
