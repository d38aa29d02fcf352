"""Which functions did a sampling profiler find at work, and how often?

Comes in: folded stacks as text, each a line: the outermost function first, then the number of its samples.

    thread (4711): MainThread;<module> (app.py);serve (/env/lib/python3.11/site-packages/uvicorn/server.py:66) 7

Goes out: the samples of each stack of each thread, in which a function of one release is the same as that of another:
without line numbers, its file relative to where packages are installed. No I/O, and imports nothing of ours.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_FRAME: Final = re.compile(r"(?P<name>.*?) \((?P<file>.*?)(:\d+)?\)")
_THREAD: Final = re.compile(r"thread \((?P<id>\d+)\)(: .*)?")
#: Up to here a path says where an environment is and which Python it has, and not what is in it.
_PLACES: Final = (
    re.compile(r".*/(site|dist)-packages/"),
    re.compile(r".*/lib(64)?/python3\.\d+t?/"),
    # The program itself, from which all else is called.
    re.compile(r".*/(?=bin/[^/]+$)"),
)


class NotFolded(ValueError):
    """A line is no folded stack."""

    def __init__(self, number: int, line: str) -> None:
        self.number = number
        super().__init__(f"line {number} is no folded stack with its number of samples: {line[:80]!r}")


@dataclass(frozen=True, slots=True, order=True)
class Function:
    """One function, by what is the same in two releases: of two with one name in one file nobody can tell which.

    >>> str(Function("get", "httpx/_client.py")), str(Function("(no Python frame)"))
    ('get (httpx/_client.py)', '(no Python frame)')
    """

    name: str
    file: str = ""

    def __str__(self) -> str:
        """As it stands in a folded stack."""
        return f"{self.name} ({self.file})" if self.file else self.name


#: What a thread runs that has work and is in no Python function.
NO_FRAME: Final = Function("(no Python frame)")

#: The outermost function first.
Stack = tuple[Function, ...]
#: The thread of a stack that names none.
NO_THREAD: Final = 0


def own(times: Mapping[Stack, float]) -> dict[Function, float]:
    """Of each function what it took itself: what stacks took of which it is the innermost."""
    found: dict[Function, float] = {}
    for stack, time in times.items():
        found[stack[-1]] = found.get(stack[-1], 0) + time
    return found


def with_callees(times: Mapping[Stack, float]) -> dict[Function, float]:
    """Of each function what it took with all that it called; a recursive one counts once in each stack."""
    found: dict[Function, float] = {}
    for stack, time in times.items():
        for function in set(stack):
            found[function] = found.get(function, 0) + time
    return found


def merged(parts: Iterable[Mapping[Stack, float]]) -> dict[Stack, float]:
    """What stacks took in all parts together."""
    found: dict[Stack, float] = {}
    for part in parts:
        for stack, time in part.items():
            found[stack] = found.get(stack, 0) + time
    return found


def folded(times: Mapping[Stack, float]) -> str:
    """As text again, for other programs: lines in order, times as whole numbers, without what rounds to 0."""
    lines = sorted(f"{';'.join(map(str, stack))} {round(time)}\n" for stack, time in times.items() if round(time))
    return "".join(lines)


def threads_of(text: str, folders: Sequence[str] = ()) -> dict[int, dict[Stack, int]]:
    """The stacks that a text holds, of each thread, with their numbers of samples.

    Args:
        text: of folded stacks, the outermost frame of which may be a thread, `thread (4711): MainThread`; empty lines
            mean nothing, and equal stacks add up.
        folders: paths below one of these are shown relative to it: where a gateway's own files are.

    Returns:
        By thread id; `NO_THREAD` for stacks without one.

    Raises:
        NotFolded: a line is none.

    >>> folded(threads_of("f (/env/lib/python3.11/site-packages/a.py:3);g (b.py) 2")[NO_THREAD])
    'f (a.py);g (b.py) 2\\n'
    """
    found: dict[int, dict[Stack, int]] = {}
    known: dict[str, Function] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        stack, _, samples = line.rstrip("\r").rpartition(" ")
        if not (samples.isascii() and samples.isdigit() and int(samples) > 0):
            raise NotFolded(number, line)
        frames, thread = stack.split(";") if stack else [], NO_THREAD
        if frames and (match := _THREAD.fullmatch(frames[0])):
            frames, thread = frames[1:], int(match["id"])
        for frame in frames:
            if frame not in known:
                known[frame] = _function(frame, folders)
        functions = tuple(known[frame] for frame in frames) or (NO_FRAME,)
        counts = found.setdefault(thread, {})
        counts[functions] = counts.get(functions, 0) + int(samples)
    return found


def _function(frame: str, folders: Sequence[str]) -> Function:
    match = _FRAME.fullmatch(frame)
    return Function(match["name"], _comparable(match["file"], folders)) if match else Function(frame)


def _comparable(path: str, folders: Sequence[str]) -> str:
    """A path as it is in every environment."""
    for folder in folders:
        if path.startswith(f"{folder}/"):
            return path.removeprefix(f"{folder}/")
    for place in _PLACES:
        if match := place.match(path):
            return path[match.end() :]
    return path
