"""How does thresholds.yaml read with other limits, when all the rest of it, comments too, stays as it is?

Comes in: the file's text, which `load_thresholds` has taken, and `NewLimit`s. Goes out: the new text; and the
difference of two texts as `git apply` and `patch -p1` take it. No I/O; knows where values stand, not what they mean.
"""

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import yaml

#: Text that YAML reads as itself without quotes, for a key.
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class NewLimit:
    """Another number and another reason for a limit that the file has.

    Args:
        scenario, metric: which.
        number: of `max` or `min`, whichever it has.
        why: the reason, in words.
        on_class: the number is that of `max_on` for this class of hosts instead.
    """

    scenario: str
    metric: str
    number: float
    why: str
    on_class: str | None = None


@dataclass(frozen=True, slots=True)
class _Splice:
    """Characters `start` to `end` of the text become `text`."""

    start: int
    end: int
    text: str


def with_limits(text: str, limits: Iterable[NewLimit]) -> str:
    """The text with these limits.

    Args:
        text: of the file.
        limits: each at most once.

    Raises:
        ValueError: there is no such limit, or it is a margin.

    >>> text = "scenarios: {a: {limits: {b_ms: {max: 9, why: x}}}} # ours"
    >>> with_limits(text, [NewLimit("a", "b_ms", 7.5, "measured")])
    'scenarios: {a: {limits: {b_ms: {max: 7.5, why: "measured"}}}} # ours'
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    splices = [splice for limit in limits for splice in _splices(text, root, limit)]
    for splice in sorted(splices, key=lambda one: one.start, reverse=True):
        text = text[: splice.start] + splice.text + text[splice.end :]
    return text


def unified_diff(before: str, after: str, path: str) -> str:
    """The difference between two texts of a file; empty where there is none.

    Args:
        before, after: the texts.
        path: of the file, as `git apply` is to find it.
    """
    name = path.lstrip("/")
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _splices(text: str, root: yaml.Node | None, limit: NewLimit) -> list[_Splice]:
    entry = root
    for step in ("scenarios", limit.scenario, "limits", limit.metric):
        entry = _value(entry, step)
    why = _value(entry, "why")
    key = next((name for name in ("max", "min") if _value(entry, name) is not None), None)
    if entry is None or why is None or key is None or (limit.on_class is not None and key != "max"):
        raise ValueError(f"the file has no such limit: {limit}")
    number, classes = f"{limit.number:g}", _value(entry, "max_on")
    reason = _replaced(text, why, json.dumps(limit.why, ensure_ascii=False))
    if limit.on_class is None:
        return [_replaced(text, _value(entry, key), number), reason]
    known = _value(classes, limit.on_class)
    if known is not None:
        return [_replaced(text, known, number), reason]
    name = limit.on_class if _PLAIN.fullmatch(limit.on_class) else json.dumps(limit.on_class, ensure_ascii=False)
    if classes is None:
        return [_inserted(entry, "why", f"max_on: {{{name}: {number}}}"), reason]
    return [_inserted(classes, None, f"{name}: {number}"), reason]


def _value(mapping: yaml.Node | None, key: str) -> yaml.Node | None:
    """The value of a key; None where there is no such mapping or key."""
    if not isinstance(mapping, yaml.MappingNode):
        return None
    return next((value for name, value in mapping.value if name.value == key), None)


def _replaced(text: str, value: yaml.Node | None, new: str) -> _Splice:
    assert value is not None
    start, end = value.start_mark.index, value.end_mark.index
    # Text in block style ends with the lines below it that are empty: these stay.
    return _Splice(start, start + len(text[start:end].rstrip()), new)


def _inserted(mapping: yaml.Node, before_key: str | None, entry: str) -> _Splice:
    """An entry more, before a key or at the front: on a line of its own where the others have one."""
    assert isinstance(mapping, yaml.MappingNode)
    keys = [key for key, _ in mapping.value if before_key in (None, key.value)]
    if not keys:
        inside = mapping.start_mark.index + len("{")
        return _Splice(inside, inside, entry)
    at = keys[0].start_mark
    divider = ", " if mapping.flow_style else "\n" + " " * at.column
    return _Splice(at.index, at.index, entry + divider)
