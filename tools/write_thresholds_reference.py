"""Write the tables of keys in docs/thresholds.md, as perfgate/thresholds.py has the keys.

    python tools/write_thresholds_reference.py           after a change of the schema
    python tools/write_thresholds_reference.py --check   ends with 1 where the page says something else

The page has a place for the table of each part, between two comments:

    <!-- generated: hosts -->
    <!-- generated: end -->

What stands between them is replaced: each key with what its value must be, its default, and its description.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from perfgate.thresholds import ONLY_WITH, PARTS, Expected, Named

PAGE: Final = Path(__file__).parents[1] / "docs/thresholds.md"
NEEDED: Final = "needed"
NONE: Final = "none"
_PLACE: Final = re.compile(
    r"^<!-- generated: (?!end -->)(?P<part>[a-z ]+) -->\n(?P<table>.*?)^<!-- generated: end -->$", re.M | re.S
)
_PART_OF: Final[Mapping[type[BaseModel], str]] = {model: part for part, model in PARTS.items()}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--check", action="store_true", help="write nothing; end with 1 where the page is not up to date")
    made.add_argument("--page", type=Path, default=PAGE, help="(%(default)s)")
    return made


def main() -> int:
    options = parser().parse_args()
    text = options.page.read_text(encoding="utf-8")
    written = with_tables(text)
    if options.check:
        if written != text:
            print(f"{options.page} is not what the schema says: run python tools/write_thresholds_reference.py")
        return int(written != text)
    options.page.write_text(written, encoding="utf-8")
    return 0


def with_tables(text: str) -> str:
    """The page with the table of every part in its place.

    Raises:
        ValueError: a part has no place, or several, or a place is of no part; names them.
    """
    places = Counter(match["part"] for match in _PLACE.finditer(text))
    parts = Counter(list(PARTS))
    if places != parts:
        missing, others = parts - places, places - parts
        raise ValueError(f"parts without a place: {sorted(missing)}; places of no part, or again: {sorted(others)}")
    return _PLACE.sub(
        lambda match: f"<!-- generated: {match['part']} -->\n{table(match['part'])}\n<!-- generated: end -->", text
    )


def table(part: str) -> str:
    """The keys of a part, as Markdown."""
    only_with = ONLY_WITH.get(part, MappingProxyType({}))
    head = ["key", *(["goes with"] if only_with else []), "value", "default", "meaning"]
    rows = [head, ["---"] * len(head)]
    for key, field in PARTS[part].model_fields.items():
        if field.description is None:
            raise ValueError(f"{part}: the key {key} has no description")
        beside = [" or ".join(f"`{other}`" for other in only_with.get(key, ()))] if only_with else []
        rows.append([f"`{key}`", *beside, value_of(field), default_of(field), field.description])
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in rows)


def value_of(field: FieldInfo) -> str:
    """What a value must be, in words."""
    return _words(field.annotation, field.metadata)


def default_of(field: FieldInfo) -> str:
    """What holds without the key, as YAML has it."""
    if field.is_required():
        return NEEDED
    match field.default:
        case bool() as flag:
            return f"`{str(flag).lower()}`"
        case int() | float() as number:
            return f"{number:g}"
        case str() as word:
            return f"`{word}`"
        case _:  # nothing, no entry, or a part all of whose keys have their own
            return NONE


def _words(annotation: Any, metadata: Sequence[Any]) -> str:
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(members[0], [*members[1:], *metadata])
    if NoneType in members:
        return _words(members[0], metadata)
    said = [each.words for each in metadata if isinstance(each, Expected)]
    names = [each.what for each in metadata if isinstance(each, Named)]
    if origin is tuple:
        return f"a list{f' of {said[-1]}' if said else ''}, {_each(members[0])}"
    if origin is dict:
        key = next((each.what for each in get_args(members[0])[1:] if isinstance(each, Named)), "name")
        return ", ".join([f"`{{{key.upper()}: …}}`", *said, _each(members[1])])
    if names:
        return f"the name of a {names[-1]}"
    if said:
        return said[-1]
    models = [_model(each) for each in members] or [_model(annotation)]
    return f"see {', '.join(models)}"


def _each(annotation: Any) -> str:
    words = _words(annotation, ())
    return words if words.startswith("see ") else f"each {words}"


def _model(annotation: Any) -> str:
    """The part that a model is; KeyError for anything else, which somebody has to find words for."""
    model = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return f'"{_PART_OF[model]}"'


if __name__ == "__main__":
    sys.exit(main())
