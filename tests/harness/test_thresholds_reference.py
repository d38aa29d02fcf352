"""Does docs/thresholds.md list every key as the schema has it, and is it noticed when not?"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from pydantic import BaseModel

from perfgate.stats.plan import GENERATIONS_MIN
from perfgate.thresholds import ONLY_WITH, PARTS
from tests.harness.conftest import ROOT

PAGE: Final = ROOT / "docs/thresholds.md"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module tools/write_thresholds_reference.py, which is no part of a package."""
    name = "write_thresholds_reference"
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def run(tool: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["write_thresholds_reference.py", *arguments])
    return int(tool.main())


def test_the_page_says_what_the_schema_says(tool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it does not: python tools/write_thresholds_reference.py."""
    assert tool.PAGE == PAGE
    assert run(tool, monkeypatch, "--check") == 0


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
        for field in kind.model_fields.values():
            yield from _models(field.annotation)
    for member in get_args(kind):
        yield from _models(member)


def test_every_part_of_the_file_has_a_table() -> None:
    assert set(_models(PARTS["the file"])) == set(PARTS.values())


def test_keys_that_go_with_others_are_keys_as_these_are() -> None:
    for part, keys in ONLY_WITH.items():
        known = PARTS[part].model_fields.keys()
        assert keys.keys() <= known
        assert {other for others in keys.values() for other in others} <= known


@pytest.mark.parametrize(
    ("part", "row"),
    [
        ("the file", '| `hosts` | `{NAME: …}`, see "hosts" | none | what the limits were measured on |'),
        ("the file", '| `waivers` | a list, see "waivers" | none | limits that may be broken for a while |'),
        ("profiles", "| `budget_minutes` | a number above 0 | needed | "),
        ("profiles", "| `scenarios` | a list of at least one entry, each the name of a scenario | needed | "),
        ("needs", "| `services` | a list, each 'postgres' or 'redis' | none | "),
        ("needs", "| `baseline` | true or false | `false` | "),
        ("load", "| `users` | | a whole number above 0 | none | who wait for each reply |"),
        ("load", "| `think_time_s` | `users` | a number of at least 0 | 0 | "),
        ("load", "| `window_s` | `offered_rps` or `users` | a number above 0 | none | "),
        ("load", "| `arrivals` | `offered_rps` | 'constant' or 'poisson' | `constant` | "),
        ("scenarios", '| `shown_load` | see "load" | none | '),
        ("scenarios", '"rounds", "rounds of a comparison", "rounds of a fault", "rounds of a search" | needed | '),
        ("scenarios", '| `limits` | `{METRIC: …}`, at least one entry, see "limits" | needed | '),
        ("rounds of a comparison", "| `minutes_in` | `{PROFILE: …}`, each a number above 0 | none | "),
        ("rounds of a search", f"| `generations` | a whole number of at least {GENERATIONS_MIN} | needed | "),
        ("limits", "| `floor` | `margin` | a number of at least 0 | 0 | "),
        ("limits", "| `max_on` | `max` | `{HOST: …}`, each a number above 0 | none | "),
        ("waivers", "| `expires` | a day such as 2026-12-31 | needed | the last day (UTC) on which it holds |"),
    ],
)
def test_a_key_stands_there_with_what_its_value_must_be_and_its_default(tool: Any, part: str, row: str) -> None:
    (line,) = (line for line in tool.table(part).splitlines() if row in line)
    assert line.startswith("| `")


def test_what_is_wrong_is_replaced_and_what_is_beside_it_stays(
    tool: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    page = tmp_path / "thresholds.md"
    page.write_text(text.replace("a number above 0", "any number"), encoding="utf-8")
    before = page.read_text(encoding="utf-8")
    assert before != text
    assert run(tool, monkeypatch, "--check", "--page", str(page)) == 1
    assert "is not what the schema says: run python tools/write_thresholds_reference.py" in capsys.readouterr().out
    assert page.read_text(encoding="utf-8") == before
    assert run(tool, monkeypatch, "--page", str(page)) == 0
    assert page.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<!-- generated: drift -->", "<!-- generated: drifts -->", "without a place: ['drift']; places of no part"),
        ("<!-- generated: drift -->", "<!-- generated: needs -->", "without a place: ['drift']; places of no part, or"),
        ("<!-- generated: drift -->\n", "", "without a place: ['drift']"),
    ],
    ids=["another name", "twice", "none"],
)
def test_a_part_without_a_place_of_its_own_is_named(tool: Any, old: str, new: str, said: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(old) == 1
    with pytest.raises(ValueError, match="parts without a place") as refused:
        tool.with_tables(text.replace(old, new))
    assert said in str(refused.value)
