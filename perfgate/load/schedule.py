"""When is each request meant to start?

Comes in: a schedule as a value. Goes out: intended starts in nanoseconds from the start of the load: all of them for an
open loop, the first of every user for a closed one, where the replies decide on the rest.
The schedule knows nothing of HTTP, clocks or processes.
"""

import random
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Arrivals = Literal["constant", "poisson"]

#: The most requests one load may send: a bound on memory (about 80 bytes each) and on what a typo can do.
MAX_REQUESTS: Final = 5_000_000
#: The longest one load may last, in seconds, warm-up and tail included.
MAX_DURATION_S: Final = 3_600.0
DEFAULT_TAIL_S: Final = 10.0
#: Over how much of the warm-up users without think time begin.
FIRST_SENDS_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Requests at a rate of the schedule's own, whether or not earlier ones have been answered.

    Args:
        offered_rps: requests a second, in warm-up and window alike.
        warm_up_s: load before the window; answered, not reported.
        window_s: the requests whose intended start lies in here are the ones reported.
        tail_s: how long after the window its unanswered requests may still complete.
        arrivals: `constant` spacing, or `poisson` (exponential gaps: users who do not know of each other).

    >>> OpenLoop(offered_rps=50, warm_up_s=1, window_s=4).offered_in_window
    200
    """

    offered_rps: float
    warm_up_s: float
    window_s: float
    tail_s: float = DEFAULT_TAIL_S
    arrivals: Arrivals = "constant"

    def __post_init__(self) -> None:
        """Check every field; a schedule that exists can be run."""
        if not self.offered_rps > 0:
            raise ValueError(f"offered_rps={self.offered_rps} must be above 0")
        _check_durations(self.warm_up_s, self.window_s, self.tail_s)
        if self.arrivals not in ("constant", "poisson"):
            raise ValueError(f"arrivals={self.arrivals!r} must be 'constant' or 'poisson'")
        if self.offered_rps * (self.warm_up_s + self.window_s) > MAX_REQUESTS:
            raise ValueError(f"offered_rps={self.offered_rps:g} over that time is more than {MAX_REQUESTS} requests")
        if self.offered_rps * self.window_s < 1:
            raise ValueError(f"offered_rps={self.offered_rps:g} offers no request within window_s={self.window_s:g}")

    @property
    def offered_in_window(self) -> int:
        """How many requests a constant schedule offers in the window (the mean, for Poisson)."""
        return round(self.offered_rps * self.window_s)

    def intended_starts_ns(self, seed: int) -> npt.NDArray[np.int64]:
        """Intended start of every request of warm-up and window, in ns from the start of the load, ascending.

        Args:
            seed: of the Poisson gaps; the same seed gives the same schedule. Unused for constant arrivals.

        Returns:
            Shape (requests,). A request belongs to the window when its value is at least `window_opens_ns`.
        """
        end_s = self.warm_up_s + self.window_s
        if self.arrivals == "constant":
            warm_up = np.arange(round(self.offered_rps * self.warm_up_s)) / self.offered_rps
            window = self.warm_up_s + np.arange(self.offered_in_window) / self.offered_rps
            return (np.concatenate([warm_up, window]) * 1e9).astype(np.int64)
        # A Poisson process with its count fixed is that many uniform points, sorted. Fixing the count of the window
        # takes away a noise that says nothing of the gateway: every window then has the same number of requests.
        rng = np.random.default_rng(seed)
        warm_up = rng.uniform(0.0, self.warm_up_s, round(self.offered_rps * self.warm_up_s))
        window = rng.uniform(self.warm_up_s, end_s, self.offered_in_window)
        return (np.sort(np.concatenate([warm_up, window])) * 1e9).astype(np.int64)

    @property
    def window_opens_ns(self) -> int:
        """Where the window begins, in ns from the start of the load."""
        return int(self.warm_up_s * 1e9)


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """Users of whom each sends, waits for the whole reply, thinks, and sends again.

    How many requests that comes to depends on the replies. Reaching `MAX_REQUESTS` ends the load with an error.

    Args:
        users: how many; never more requests than that are in flight.
        warm_up_s: load before the window; answered, not reported.
        window_s: the requests whose intended start lies in here are the ones reported.
        tail_s: how long after the window its unanswered requests may still complete.
        think_time_s: from the end of a reply to the same user's next request.
        think_time_max_s: each think time is drawn evenly from `think_time_s` to this; None is always `think_time_s`.
        spawn_per_s: so many users come a second, each of whom sends at once, until all are there, within the warm-up;
            None has all there from the start, see `first_starts_ns`.

    >>> ClosedLoop(users=4, warm_up_s=1, window_s=4, think_time_s=2).first_starts_ns()
    [0, 500000000, 1000000000, 1500000000]
    """

    users: int
    warm_up_s: float
    window_s: float
    tail_s: float = DEFAULT_TAIL_S
    think_time_s: float = 0.0
    think_time_max_s: float | None = None
    spawn_per_s: float | None = None

    def __post_init__(self) -> None:
        """Check every field; a schedule that exists can be run."""
        if not 1 <= self.users <= MAX_REQUESTS:
            raise ValueError(f"users={self.users} must be from 1 to {MAX_REQUESTS}")
        _check_durations(self.warm_up_s, self.window_s, self.tail_s)
        if not self.think_time_s >= 0:
            raise ValueError(f"think_time_s={self.think_time_s} must not be negative")
        if self.think_time_max_s is not None and not self.think_time_max_s >= self.think_time_s:
            raise ValueError(
                f"think_time_max_s={self.think_time_max_s:g} must not be below think_time_s={self.think_time_s:g}"
            )
        if self.longest_think_time_s > self.users * self.window_s:
            name = "think_time_s" if self.think_time_max_s is None else "think_time_max_s"
            raise ValueError(
                f"{name}={self.longest_think_time_s:g} of users={self.users} may leave window_s={self.window_s:g} "
                "without a request"
            )
        if self.spawn_per_s is not None:
            if not self.spawn_per_s > 0:
                raise ValueError(f"spawn_per_s={self.spawn_per_s} must be above 0")
            if self.users / self.spawn_per_s > self.warm_up_s:
                raise ValueError(
                    f"users={self.users} at spawn_per_s={self.spawn_per_s:g} must all be there by the end of the "
                    f"warm-up, after {self.users / self.spawn_per_s:g} s; warm_up_s={self.warm_up_s:g} is shorter"
                )

    @property
    def longest_think_time_s(self) -> float:
        """No user thinks longer than this."""
        return self.think_time_s if self.think_time_max_s is None else self.think_time_max_s

    @property
    def mean_think_time_s(self) -> float:
        """How long users think on average."""
        return (self.think_time_s + self.longest_think_time_s) / 2

    def think_time_ns(self, rng: random.Random) -> int:
        """The next think time, in ns; `rng` is asked only where think times differ."""
        if self.think_time_max_s is None:
            return round(self.think_time_s * 1e9)
        return round(rng.uniform(self.think_time_s, self.think_time_max_s) * 1e9)

    def first_starts_ns(self) -> list[int]:
        """When each user first sends, in ns from the start of the load, ascending.

        As they come, by `spawn_per_s`. Else spread over one think time, or without one over the warm-up's first second,
        so that the users do not march in step: against a server that always takes equally long they would for the whole
        load.
        """
        if self.spawn_per_s is not None:
            return [round(1e9 * user / self.spawn_per_s) for user in range(self.users)]
        spread_s = self.mean_think_time_s or min(self.warm_up_s, FIRST_SENDS_S)
        return [round(spread_s * 1e9 * user / self.users) for user in range(self.users)]

    @property
    def window_opens_ns(self) -> int:
        """Where the window begins, in ns from the start of the load."""
        return int(self.warm_up_s * 1e9)


Schedule = OpenLoop | ClosedLoop


def _check_durations(warm_up_s: float, window_s: float, tail_s: float) -> None:
    if not window_s > 0:
        raise ValueError(f"window_s={window_s} must be above 0")
    if not warm_up_s >= 0:
        raise ValueError(f"warm_up_s={warm_up_s} must not be negative")
    if not tail_s >= 0:
        raise ValueError(f"tail_s={tail_s} must not be negative")
    total_s = warm_up_s + window_s + tail_s
    if total_s > MAX_DURATION_S:
        raise ValueError(f"warm-up, window and tail last {total_s:g} s, at most {MAX_DURATION_S:g} s")
