"""Is a YAML file read as written, with the line of every value, and refused where PyYAML would guess?"""

import pytest

from perfgate.located_yaml import NotYaml, Place, read

FILE = """\
# a comment
limits:
  p95: {max: 25, why: "a reason"}
  p99:
    max: 1.5e2
names: [a,
  b]
"""


def test_data_is_plain_and_every_value_has_the_line_of_its_key() -> None:
    document = read(FILE)
    assert document.data == {
        "limits": {"p95": {"max": 25, "why": "a reason"}, "p99": {"max": 150.0}},
        "names": ["a", "b"],
    }
    assert document.problems == ()
    assert document.places == {
        (): Place(2, "a mapping"),
        ("limits",): Place(2, "a mapping"),
        ("limits", "p95"): Place(3, "a mapping"),
        ("limits", "p95", "max"): Place(3, "25"),
        ("limits", "p95", "why"): Place(3, "'a reason'"),
        ("limits", "p99"): Place(4, "a mapping"),
        ("limits", "p99", "max"): Place(5, "1.5e2"),
        ("names",): Place(6, "a list"),
        ("names", 0): Place(6, "'a'"),
        ("names", 1): Place(7, "'b'"),
    }


def test_a_key_that_is_missing_has_the_place_of_what_it_is_missing_in() -> None:
    assert read(FILE).place(("limits", "p99", "why")) == Place(4, "a mapping")
    assert read(FILE).place(("hosts", "reference")).line == 2


@pytest.mark.parametrize(
    ("text", "value", "shown"),
    [
        ("5", 5, "5"),
        ("-5", -5, "-5"),
        ("0", 0, "0"),
        ("2.50", 2.5, "2.50"),
        ("1e3", 1000.0, "1e3"),
        ("5.", 5.0, "5."),
        # YAML 1.1 reads these as 8, 90, 1000, nan, infinity: not what their author sees
        ("010", "010", "'010'"),
        ("1:30", "1:30", "'1:30'"),
        ("1_000", "1_000", "'1_000'"),
        (".nan", ".nan", "'.nan'"),
        (".inf", ".inf", "'.inf'"),
        ("1e999", "1e999", "1e999"),
        ("5%", "5%", "'5%'"),
        ("2026-01-01", "2026-01-01", "'2026-01-01'"),
        ("'5'", "5", "'5' (text: take the quotes away)"),
        ("true", True, "true"),
        ("Off", False, "Off"),
        ("'yes'", "yes", "'yes'"),
        ("", None, "nothing"),
        ("~", None, "nothing"),
        ("x" * 50, "x" * 50, f"'{'x' * 40}…'"),
    ],
)
def test_a_scalar_is_what_it_looks_like(text: str, value: object, shown: str) -> None:
    document = read(f"key: {text}")
    assert document.data == {"key": value}
    assert type(document.data["key"]) is type(value)
    assert document.place(("key",)).shown == shown


def test_a_number_longer_than_python_converts_is_text_and_no_crash() -> None:
    assert read(f"key: 1{'0' * 5000}").data == {"key": f"1{'0' * 5000}"}


def test_a_key_that_stands_twice_is_a_problem_with_both_lines() -> None:
    document = read("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 2\n")
    assert document.data == {"a": 1, "b": {"c": 1, "d": 2}}
    assert [(problem.line, problem.path, problem.text) for problem in document.problems] == [
        (5, ("b", "c"), "the key stands twice, first in line 3"),
        (6, ("a",), "the key stands twice, first in line 1"),
    ]


def test_merge_keys_and_keys_that_are_no_names_are_problems() -> None:
    document = read("a:\n  <<: {b: 1}\n? [x]\n: 1\n")
    assert [(problem.line, problem.path, problem.text) for problem in document.problems] == [
        (2, ("a", "<<"), "merging is not supported: write the keys out"),
        (3, (), "expected a name as key, found a list"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param("", None, "the file is empty", id="empty"),
        pytest.param("# nothing yet\n", None, "the file is empty", id="only comments"),
        pytest.param(
            "a: 1\nb: {c: 1\n", 3, "not YAML: column 1: while parsing a flow mapping expected", id="open brace"
        ),
        pytest.param(
            "a:\n\tb: 1\n",
            2,
            r"not YAML: column 1: while scanning for the next token found character '\t' that cannot start any token; "
            "indent with spaces, not with tabs",
            id="tab",
        ),
        pytest.param("a: 1\nb: \x07\n", 2, "not YAML: the character U+0007", id="control character"),
        pytest.param("a: 1\n---\nb: 1\n", 2, "not YAML: column 1: expected a single document", id="two documents"),
        pytest.param("a: &x 1\nb: *x\n", 2, "the alias *x is not supported: write the values out", id="alias"),
        pytest.param("a: &x [*x]\n", 1, "the alias *x is not supported", id="alias to its own parent"),
        pytest.param("a: !!python/name:os.system x\n", 1, "the tag tag:yaml.org,2002:python/name", id="tag"),
        pytest.param("[" * 5000, 1, "nested more than 30 levels deep", id="too deep"),
    ],
)
def test_what_cannot_be_read_says_where_and_why(text: str, line: int | None, message: str) -> None:
    with pytest.raises(NotYaml) as caught:
        read(text)
    (problem,) = caught.value.problems
    assert problem.line == line
    assert problem.text.startswith(message)
    assert str(caught.value) == problem.text


def test_all_aliases_are_named_at_once() -> None:
    with pytest.raises(NotYaml) as caught:
        read("a: &x 1\nb: *x\nc: *x\n")
    assert [problem.line for problem in caught.value.problems] == [2, 3]
