"""Does thresholds.yaml with another limit differ in that limit alone?"""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from perfgate import located_yaml
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.metrics import METRICS
from perfgate.limits_proposal import has_absolute_limits
from perfgate.thresholds import load_thresholds
from perfgate.thresholds_edit import NewLimit, unified_diff, with_limits

SHIPPED = Path(__file__).parents[2] / "thresholds.yaml"


def edited(limit: str, on_class: str | None = None, number: float = 7.5) -> str:
    """A limit in the file's style, with another number and reason; what is around it must be as it was."""
    head, tail = "scenarios: # ours\n  a:\n    limits: # of a\n      b_ms:", "\n  c: {} # untouched\n"
    text = with_limits(f"{head}{limit}{tail}", [NewLimit("a", "b_ms", number, 'it "is" so', on_class)])
    assert text.startswith(head)
    assert text.endswith(tail)
    return text[len(head) : -len(tail)]


WHY = r'why: "it \"is\" so"'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (" {max: 9, why: x} # of b", f" {{max: 7.5, {WHY}}} # of b"),
        (" {min: 9.25, why: 'x, y'}", f" {{min: 7.5, {WHY}}}"),
        (' {why: "x \\" y", max: 9}', f" {{{WHY}, max: 7.5}}"),
        (" {max: 9, # nine\n        why: x}", f" {{max: 7.5, # nine\n        {WHY}}}"),
        ("\n        max: 9 # nine\n        why: x # y", f"\n        max: 7.5 # nine\n        {WHY} # y"),
        ("\n        why: >\n          x\n          y\n\n        max: 9", f"\n        {WHY}\n\n        max: 7.5"),
        ("\n        max: 9\n        why: |-\n          x", f"\n        max: 7.5\n        {WHY}"),
        ("\n        max: 9\n        why: x\n          y", f"\n        max: 7.5\n        {WHY}"),
        (" {max: 9, max_on: {h: 5}, why: x}", f" {{max: 7.5, max_on: {{h: 5}}, {WHY}}}"),
    ],
    ids=["braces", "min", "why_first", "broken_braces", "lines", "folded", "literal", "continued", "max_on"],
)
def test_number_and_reason_are_replaced_and_all_else_stays(before: str, after: str) -> None:
    assert edited(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (" {max: 9, why: x}", f" {{max: 9, max_on: {{h: 7.5}}, {WHY}}}"),
        (" {max: 9, max_on: {h: 5}, why: x}", f" {{max: 9, max_on: {{h: 7.5}}, {WHY}}}"),
        (" {max: 9, max_on: {i: 5}, why: x}", f" {{max: 9, max_on: {{h: 7.5, i: 5}}, {WHY}}}"),
        (" {max: 9, max_on: {}, why: x}", f" {{max: 9, max_on: {{h: 7.5}}, {WHY}}}"),
        ("\n        max: 9\n        why: x", f"\n        max: 9\n        max_on: {{h: 7.5}}\n        {WHY}"),
        (
            "\n        max: 9\n        max_on: # by class\n          i: 5\n        why: x",
            f"\n        max: 9\n        max_on: # by class\n          h: 7.5\n          i: 5\n        {WHY}",
        ),
    ],
    ids=["new", "known", "beside_another", "empty", "new_line", "line_beside_another"],
)
def test_a_number_for_one_class_stands_beside_the_limits_own(before: str, after: str) -> None:
    assert edited(before, "h") == after


def test_a_class_whose_name_is_no_plain_word_is_quoted() -> None:
    assert edited(" {max: 9, why: x}", "big: host") == f' {{max: 9, max_on: {{"big: host": 7.5}}, {WHY}}}'


@pytest.mark.parametrize(("number", "text"), [(110.0, "110"), (0.031, "0.031"), (24.0, "24")])
def test_numbers_stand_as_people_write_them(number: float, text: str) -> None:
    assert edited(" {max: 9, why: x}", number=number).startswith(f" {{max: {text}, ")


@pytest.mark.parametrize(
    "limit",
    [
        NewLimit("none", "b_ms", 1, "x"),
        NewLimit("a", "none", 1, "x"),
        NewLimit("a", "margin_ms", 1, "x"),
        NewLimit("a", "min_rps", 1, "x", on_class="h"),
    ],
    ids=["scenario", "metric", "margin", "min of a class"],
)
def test_what_is_not_there_is_not_edited(limit: NewLimit) -> None:
    text = (
        "scenarios: {a: {limits: {b_ms: {max: 1, why: x}, margin_ms: {margin: 5%, why: x}, min_rps: {min: 1, why: x}}}}"
    )
    with pytest.raises(ValueError, match="the file has no such limit: NewLimit"):
        with_limits(text, [limit])


def test_no_limits_change_nothing() -> None:
    assert with_limits("a: 1 # x\n", []) == "a: 1 # x\n"


def test_lines_may_end_as_on_other_systems() -> None:
    text = "scenarios:\r\n  a: {limits: {b_ms: {max: 9, why: x}}}\r\n"
    assert with_limits(text, [NewLimit("a", "b_ms", 7, "y")]) == text.replace("9, why: x", '7, why: "y"')


def test_every_limit_of_the_shipped_file_can_be_changed_and_read_again(tmp_path: Path) -> None:
    """Of each the number and the reason, or the one for a class: line by line, nothing else."""
    before = SHIPPED.read_text(encoding="utf-8")
    shipped = load_thresholds(SHIPPED, METRICS, FIGURES)
    limits = [
        NewLimit(name, metric, 3.0, f"é: {name} # {metric}", "reference" if limit.maximum else None)
        for name, scenario in shipped.scenarios.items()
        if has_absolute_limits(scenario.limits)
        for metric, limit in scenario.limits.items()
    ]
    after = with_limits(before, limits)
    changed = [
        (old, new) for old, new in zip(before.split("\n"), after.split("\n"), strict=True) if old != new
    ]  # zip is strict: no line more or less
    assert len(changed) == len(limits)
    expected: Any = located_yaml.read(before).data
    for one in limits:
        entry = expected["scenarios"][one.scenario]["limits"][one.metric]
        entry["why"] = one.why
        entry["min" if "min" in entry else "max"] = 3
        if one.on_class:
            entry["max"] = shipped.scenarios[one.scenario].limits[one.metric].maximum
            entry["max_on"] = {"reference": 3}
    assert located_yaml.read(after).data == expected
    (tmp_path / "t.yaml").write_text(after, encoding="utf-8")
    load_thresholds(tmp_path / "t.yaml", METRICS, FIGURES)


@pytest.mark.parametrize("end", ["\n", ""], ids=["newline at the end", "none"])
def test_the_difference_is_one_that_git_applies(tmp_path: Path, end: str) -> None:
    before = "x: 1\nscenarios: {a: {limits: {b_ms: {max: 9, why: x}}}}" + end
    after = with_limits(before, [NewLimit("a", "b_ms", 7.5, "measured")])
    (tmp_path / "limits").mkdir()
    (tmp_path / "limits/t.yaml").write_text(before)
    difference = unified_diff(before, after, "limits/t.yaml")
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=difference, text=True, check=True)
    assert (tmp_path / "limits/t.yaml").read_text() == after


def test_the_difference_names_the_file_and_is_empty_where_there_is_none() -> None:
    assert unified_diff("a\n", "b\n", "/etc/t.yaml") == "--- a/etc/t.yaml\n+++ b/etc/t.yaml\n@@ -1 +1 @@\n-a\n+b\n"
    assert unified_diff("a\n", "a\n", "t.yaml") == ""
