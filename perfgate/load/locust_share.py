"""What does a Locust master tell each of its workers of a load, and what do they tell it of themselves?

Comes in: a `LoadJob`, and `WorkerFacts` of every worker. Goes out: a `Share` for each, or why there is none. Both
travel as Locust's own custom messages: they are made of plain values, and back. Imports nothing of Locust.

    worker --FACTS--> master      once it is connected
    master --SHARE--> worker      before its users come
    worker --TAKEN--> master      what is in the way, or nothing
    master --BEGIN--> worker      when the load begins
    worker --Locust's own report, under REPORT--> master      what came of it
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from perfgate import __version__
from perfgate.load import wire
from perfgate.load.api import Api
from perfgate.load.job import LoadJob
from perfgate.load.own_process import FILES_RESERVED
from perfgate.load.schedule import ClosedLoop

FACTS: Final = "perfgate_facts"
SHARE: Final = "perfgate_share"
TAKEN: Final = "perfgate_taken"
BEGIN: Final = "perfgate_begin"
REPORT: Final = "perfgate"

#: Of one worker. Locust's client looks with select() whether a connection is still alive, which knows no file numbers
#: from 1,024 on: a user beyond would open a new connection for every request.
CONNECTIONS_MAX: Final = 900


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What a worker says of itself.

    Args:
        name: its host and process, as `own_process.name_of`.
        version: of its perfgate.
        boot_id: of its host's kernel; processes of one boot have one CLOCK_MONOTONIC.
        open_files: how many it may have.
    """

    name: str
    version: str
    boot_id: str
    open_files: int

    def as_message(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def of_message(cls, data: Any) -> Self:
        """What `as_message` made; raises ValueError for anything else."""
        try:
            return cls(**data)
        except TypeError as error:
            raise ValueError(f"not the facts of a worker: {error}") from None


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker has to do.

    Args:
        number: of the load, by which its report is known.
        job: the whole load; the API keys are in it.
        load_id: of all prompts (load/payload.py).
        worker: which one this is, from 0.
        workers: how many there are.
    """

    number: int
    job: LoadJob
    load_id: bytes
    worker: int
    workers: int

    def as_message(self) -> dict[str, Any]:
        """As plain values; they hold the API keys."""
        return {
            "number": self.number,
            "job": wire.job_line(self.job),
            "load_id": self.load_id.decode("ascii"),
            "worker": self.worker,
            "workers": self.workers,
        }

    @classmethod
    def of_message(cls, data: Any) -> Self:
        """What `as_message` made; raises ValueError for anything else, and does not repeat it."""
        try:
            return cls(
                number=int(data["number"]),
                job=wire.job_of_line(data["job"]),
                load_id=data["load_id"].encode("ascii"),
                worker=int(data["worker"]),
                workers=int(data["workers"]),
            )
        except (KeyError, TypeError, AttributeError, UnicodeEncodeError) as error:
            raise ValueError(f"not a share of a load: {type(error).__name__}") from None


def not_for_locust(job: LoadJob) -> str | None:
    """Why Locust cannot send that load at all, in words; None when it can."""
    if not isinstance(job.schedule, ClosedLoop):
        return "Locust knows users who wait for their replies (a closed loop), and this load comes at a rate"
    if job.api is not Api.CHAT_COMPLETIONS:
        return f"perfgate's Locust users ask for chat completions, not for {job.api}"
    if job.stream:
        return "perfgate's Locust users do not read streams"
    return None


def too_much_for(facts: WorkerFacts, job: LoadJob, workers: int) -> str | None:
    """Why one of so many workers cannot take its share, in words; None when it can."""
    if facts.version != __version__:
        return f"the Locust worker {facts.name} has perfgate {facts.version}, and this is {__version__}"
    assert isinstance(job.schedule, ClosedLoop), "see not_for_locust"
    connections = math.ceil(job.schedule.users / workers) * len(job.targets)
    if connections > CONNECTIONS_MAX:
        needed = math.ceil(job.schedule.users / (CONNECTIONS_MAX // len(job.targets)))
        return (
            f"{connections:,} connections for each of {workers} Locust workers are more than the {CONNECTIONS_MAX} "
            f"that Locust's client keeps alive; take {needed} workers"
        )
    if connections > facts.open_files - FILES_RESERVED:
        return (
            f"the Locust worker {facts.name} needs {connections:,} connections and may open {facts.open_files:,} "
            f"files, of which {FILES_RESERVED} are not for connections; raise its limit (`ulimit -n`), or take more "
            "workers"
        )
    return None
