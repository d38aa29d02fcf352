"""What the generator process is told to do: where to, with what, on which schedule.

Travels to the generator over its standard input, never on a command line, since it holds an API key.
"""

from dataclasses import dataclass, field

from perfgate.load.schedule import OpenLoop


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go.

    Args:
        url: the whole address that is POSTed to, `http://127.0.0.1:4000/v1/chat/completions`.
        model: the model to ask for.
        api_key: sent as a bearer token; None sends none. Never shown: not in repr, record or messages.
    """

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LoadJob:
    """One load.

    Args:
        target: where to.
        schedule: when.
        seed: of Poisson gaps.
        payload_bytes: length of the prompt; None is LiteLLM's published prompt (load/payload.py).
        in_flight_cap: the most requests in flight at once; reaching it is counted as the gateway's error.
        cpus: cores the generator pins itself to; empty means no pinning.
    """

    target: Target
    schedule: OpenLoop
    seed: int = 0
    payload_bytes: int | None = None
    in_flight_cap: int = 10_000
    cpus: tuple[int, ...] = ()
