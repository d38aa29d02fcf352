"""Do the tables say what was measured, which steps there are, and what was left out and why?"""

from dataclasses import replace
from typing import Final

from perfgate.history.lines import lines
from perfgate.history.result import Result
from perfgate.history.table import SHOWN_REASON_CHARS, Report, tables
from tests.harness.history.conftest import CONDITIONS, left_out, measured

ORDER: Final = ("1.79.3", "1.80.0", "1.81.0", "1.82.6")
RESULTS: Final[dict[str, Result]] = {
    "1.80.0": measured("1.80.0", 1.001),
    "1.81.0": left_out("1.81.0"),
    "1.82.6": measured("1.82.6", 1.2, generations=6, metrics=("cpu_per_request_ms", "throughput_rps")),
}
REPORT: Final = Report(
    "perfgate history --from 1.79",
    CONDITIONS,
    ORDER,
    lines(ORDER, RESULTS, "1.79.3"),
    (("1.82.7", "refused: it steals"), ("1.81.0", "its dependencies | cannot be resolved\n  | a log")),
)


def row(text: str, first: str) -> list[str]:
    found = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in found.strip("|").split(" | ")]


def test_a_version_has_a_row_with_figure_ratio_and_interval() -> None:
    text = tables(REPORT)
    assert row(text, "version")[:3] == ["version", "starts", "CPU per request"]
    anchor, same, slower = (row(text, name) for name in ("1.79.3", "1.80.0", "1.82.6"))
    assert anchor[1:3] == ["", "8 ms, the anchor"]
    assert same[1:3] == ["8", "8.01 ms, +0.1 % (-0.2 to +0.4)"]
    assert slower[1:3] == ["6", "9.6 ms, +20.0 % (+19.5 to +20.5)"]
    assert slower[3] == "not measured"
    assert "125 requests/s, +20.0 %" in " ".join(slower)


def test_a_version_without_figures_is_among_those_left_out_with_the_first_line_of_why() -> None:
    text = tables(REPORT)
    assert "| 1.81.0 | its dependencies \\| cannot be resolved |" in text
    assert "| 1.82.7 | refused: it steals |" in text
    assert sum(line.startswith("| 1.81.0 |") for line in text.splitlines()) == 1
    long = replace(REPORT, left_out=(("1.81.0", "because " * 100),))
    assert row(tables(long), "1.81.0")[1].endswith(" …")
    assert len(row(tables(long), "1.81.0")[1]) <= SHOWN_REASON_CHARS + 2


def test_conditions_and_command_stand_above() -> None:
    text = tables(REPORT)
    for words in ("perfgate history --from 1.79", "beside 1.79.3", "Some CPU", "of-its-time", "Python 3.11.7"):
        assert words in text


def test_steps_are_listed_with_size_interval_and_what_the_error_is() -> None:
    text = tables(REPORT)
    (step,) = (line for line in text.splitlines() if line.startswith("| CPU per request |"))
    assert "| 1.80.0 → 1.82.6 | +19.9 % | +19.4 to +20.4 |" in step
    assert "is called a step where nothing changed is at most 5 % (Holm)" in text
    flat = replace(REPORT, lines=lines(ORDER, {"1.80.0": measured("1.80.0")}, "1.79.3"))
    assert "None was found." in tables(flat)


def test_what_a_version_brings_with_it_is_told() -> None:
    note = "the access log is on in baseline, off in candidate"
    text = tables(replace(REPORT, notes=(("1.82.6", note),)))
    assert f"| 1.82.6 | {note} |" in text
    assert "baseline is 1.79.3" in text
    assert "bring with them" not in tables(REPORT)


def test_a_series_in_which_nothing_was_left_out_does_not_say_so() -> None:
    assert "Left out" not in tables(replace(REPORT, left_out=()))
    assert "Nothing is measured." in tables(replace(REPORT, lines=()))
