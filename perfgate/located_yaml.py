"""What does a YAML file say, and in which line does it say so?

Comes in: the file's text. Goes out: a `Document`: plain data, and the place of every value in it; or `NotYaml`.
Knows nothing of what the file is about; imports nothing of ours.

YAML is read more strictly than PyYAML does, since PyYAML keeps the last of two equal keys and reads 010 as 8, 1:30 as
90 and 1e3 as text. Numbers are decimal; aliases, merge keys and tags are refused, so that a value stands where it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import yaml

#: Keys and, in lists, indices from the top down to a value: `("profiles", "quick", "scenarios", 0)`.
KeyPath = tuple[str | int, ...]

_NUMBER: Final = re.compile(r"[-+]?(0|[1-9]\d*)(\.\d*)?([eE][-+]?\d+)?")
#: Far deeper than any of our files; PyYAML's own recursion ends in a crash.
_DEPTH_MAX: Final = 30
_SHOWN_CHARACTERS: Final = 40


class NotYaml(ValueError):
    """The text is not YAML, or not the part of YAML that is read here."""

    def __init__(self, problems: tuple["Problem", ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(problem.text for problem in problems))


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, where: line from 1 (None: the file as a whole), the keys that lead there, the sentence."""

    line: int | None
    path: KeyPath
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands (the line of its key, from 1), and how it is shown in a message."""

    line: int
    shown: str


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file.

    Args:
        data: dict, list, str, int, float, bool or None, nested.
        places: of every value in `data`; the whole file is `()`.
        problems: what could be read past: keys that stand twice, keys that are not text.
    """

    data: object
    places: Mapping[KeyPath, Place]
    problems: tuple[Problem, ...]

    def place(self, path: KeyPath) -> Place:
        """The place of the value, or of the nearest one around it that the file has."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]


def read(text: str) -> Document:
    """Read one YAML document.

    Raises:
        NotYaml: the syntax is broken (line and column), the file is empty, nested too deeply, or uses aliases or tags.

    >>> read("limits: {max: 5}").place(("limits", "max"))
    Place(line=1, shown='5')
    """
    try:
        _refuse_what_moves_values(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        reason = f"{error.context or ''} {error.problem or ''}".strip()
        hint = "; indent with spaces, not with tabs" if r"'\t'" in reason else ""
        raise NotYaml((Problem(line, (), f"not YAML: column {column}: {reason}{hint}"),)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise NotYaml((Problem(line, (), f"not YAML: the character U+{ord(text[error.position]):04X}"),)) from error
    if root is None:
        raise NotYaml((Problem(None, (), "the file is empty"),))
    reader = _Reader({(): Place(_line(root), _shown(root))}, [])
    return Document(reader.value(root, ()), reader.places, tuple(reader.problems))


def _refuse_what_moves_values(text: str) -> None:
    """Look at the events, before anything is built: an alias to its own parent would never end."""
    depth = 0
    problems = []
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = _line(event)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH_MAX:
            raise NotYaml((Problem(line, (), f"nested more than {_DEPTH_MAX} levels deep"),))
        tag = getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent):
            problems.append(Problem(line, (), f"the alias *{event.anchor} is not supported: write the values out"))
        elif tag is not None:
            problems.append(Problem(line, (), f"the tag {tag} is not supported: leave it out"))
    if problems:
        raise NotYaml(tuple(problems))


@dataclass(frozen=True)
class _Reader:
    """Turns nodes into data, and collects places and problems on its way."""

    places: dict[KeyPath, Place]
    problems: list[Problem]

    def value(self, node: yaml.Node, path: KeyPath) -> object:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        for index, item in enumerate(node.value):
            self.places[(*path, index)] = Place(_line(item), _shown(item))
        return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        data: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(
                    Problem(_line(key_node), path, f"expected a name as key, found {_shown(key_node)}")
                )
                continue
            key = key_node.value
            here = (*path, key)
            if key_node.tag == "tag:yaml.org,2002:merge":
                self.problems.append(Problem(_line(key_node), here, "merging is not supported: write the keys out"))
            elif key in data:
                self.problems.append(
                    Problem(_line(key_node), here, f"the key stands twice, first in line {self.places[here].line}")
                )
            else:
                self.places[here] = Place(_line(key_node), _shown(value_node))
                data[key] = self.value(value_node, here)
        return data


def _scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    text: str = node.value
    kind = _kind(node)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in ("true", "yes", "on")
    if kind == "number":
        # 1e999 is infinite, and text as long as a book is no number either: both stay text, and are refused as such.
        number = float(text)
        if number not in (float("inf"), float("-inf")):
            return int(text) if text.lstrip("+-").isdigit() else number
    return text


def _kind(node: yaml.ScalarNode) -> Literal["null", "bool", "number", "text"]:
    if node.style is not None:
        return "text"
    if node.tag == "tag:yaml.org,2002:null":
        return "null"
    if node.tag == "tag:yaml.org,2002:bool":
        return "bool"
    return "number" if _NUMBER.fullmatch(node.value) else "text"


def _shown(node: yaml.Node) -> str:
    """The value as a message shows it."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping" if node.value else "an empty mapping"
    if not isinstance(node, yaml.ScalarNode):
        return "a list" if node.value else "an empty list"
    kind = _kind(node)
    if kind == "null":
        return "nothing"
    text: str = node.value
    text = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    if kind != "text":
        return text
    in_quotes = node.style is not None and _NUMBER.fullmatch(node.value)
    return f"{text!r} (text: take the quotes away)" if in_quotes else repr(text)


def _line(at: yaml.Node | yaml.Event) -> int:
    return 1 if at.start_mark is None else int(at.start_mark.line) + 1
