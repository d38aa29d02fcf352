"""Which behaviour applies to a model now, and what does it say about this one request?

Comes in: behaviours (set by admin calls or stated by names) and requests in the order of their arrival.
Goes out: for each request a `Ruling`. Time is passed in, never read here.
"""

from dataclasses import dataclass
from typing import Final

from mock_openai.behaviour import NAME_PREFIX, Behaviour, behaviour_of_name

#: More names than tests use; a client that makes up names without end must not fill the memory.
MAX_NAMES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Ruling:
    """What happens to one request.

    Args:
        behaviour: the one that applied on arrival; later admin calls do not change it.
        leaves_mono_s: the reply leaves no earlier than this (CLOCK_MONOTONIC); None for a hang: never.
        is_error: the answer is the error of `behaviour.error`.
        stalls_from_mono_s: where the clock of its stalls starts.
    """

    behaviour: Behaviour
    leaves_mono_s: float | None
    is_error: bool
    stalls_from_mono_s: float = 0.0

    def chunk_leaves_mono_s(self, number: int) -> float:
        """When a stream's content chunk leaves, counted from 0; on a fixed schedule, but never during a stall.

        Raises:
            ValueError: nothing ever leaves.
        """
        if self.leaves_mono_s is None:
            raise ValueError(f"chunk {number} of a hang never leaves")
        every_s = self.behaviour.chunks.every_ms / 1000 if self.behaviour.chunks is not None else 0.0
        due_mono_s = self.leaves_mono_s + number * every_s
        if self.behaviour.stall is None:
            return due_mono_s
        return self.stalls_from_mono_s + self.behaviour.stall.leaves_s(due_mono_s - self.stalls_from_mono_s)


class Active:
    """A behaviour in use: its clock and how many requests it has ruled.

    Args:
        behaviour: the value.
        started_mono_s: where the clock of its stalls starts.
    """

    __slots__ = ("_ruled", "_started_mono_s", "behaviour")

    def __init__(self, behaviour: Behaviour, started_mono_s: float) -> None:
        self.behaviour = behaviour
        self._started_mono_s = started_mono_s
        self._ruled = 0

    def rule(self, arrived_mono_s: float) -> Ruling:
        """What happens to the next request, which arrived just now."""
        behaviour = self.behaviour
        self._ruled += 1
        if behaviour.hang:
            return Ruling(behaviour, None, is_error=False)
        shape = behaviour.delay_shape
        delay_ms = behaviour.delay_ms if shape is None else shape.of_request(self._ruled)
        leaves_mono_s = arrived_mono_s + delay_ms / 1000
        if behaviour.stall is not None:
            clock_s = leaves_mono_s - self._started_mono_s
            leaves_mono_s = self._started_mono_s + behaviour.stall.leaves_s(clock_s)
        is_error = behaviour.error is not None and behaviour.error.hits(self._ruled)
        return Ruling(behaviour, leaves_mono_s, is_error, self._started_mono_s)


class BehavioursInForce:
    """Who behaves how: an admin call for the model, else what its `mock-…` name says, else the default.

    Args:
        default: of models with neither; an admin call for all models replaces it.
        now_mono_s: where the clock of the default starts.
    """

    def __init__(self, default: Behaviour, now_mono_s: float) -> None:
        self._default_at_start = default
        self.reset(now_mono_s)

    def reset(self, now_mono_s: float) -> None:
        """Forget all admin calls, names, clocks and counters; the default is that of the start again."""
        self._default = Active(self._default_at_start, now_mono_s)
        self._by_admin: dict[str, Active] = {}
        self._by_name: dict[str, Active] = {}

    def set(self, behaviour: Behaviour, model: str | None, now_mono_s: float) -> None:
        """Let a model behave like this from its next request on; None sets the default."""
        if model is None:
            self._default = Active(behaviour, now_mono_s)
        else:
            self._by_admin[model] = Active(behaviour, now_mono_s)

    def of(self, model: str, now_mono_s: float) -> Active:
        """What applies to this model.

        Raises:
            UnknownBehaviour: a `mock-…` name that does not follow the grammar and that no admin call has set.
        """
        active = self._by_admin.get(model) or self._by_name.get(model)
        if active is not None:
            return active
        if not model.startswith(NAME_PREFIX):
            return self._default
        active = Active(behaviour_of_name(model), now_mono_s)
        if len(self._by_name) >= MAX_NAMES:  # the oldest name starts afresh should it come again
            del self._by_name[next(iter(self._by_name))]
        self._by_name[model] = active
        return active

    @property
    def default(self) -> Behaviour:
        """The behaviour of models with neither an admin call nor a `mock-…` name."""
        return self._default.behaviour

    @property
    def by_admin(self) -> dict[str, Behaviour]:
        """The behaviours set for single models."""
        return {model: active.behaviour for model, active in self._by_admin.items()}
