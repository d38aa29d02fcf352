"""Does the table say at a glance what is amiss, and does the exit code say whether the profile can be measured?"""

import pytest

from perfgate.doctor.finding import WIDTH_MIN, Finding, State, closing_line, exit_code, table
from perfgate.exit_codes import ExitCode

FINE = Finding("cores", State.OK, "2 of 2 for us")
LACKING = Finding("Redis", State.PARTLY, "no redis-server", "install it; without it cannot run: redis")
NOISY = Finding("noise", State.BEWARE, "late by 1.5 ms", "stop what else runs")
SMALL = Finding("memory", State.NO, "0.4 GiB free", "free some", ExitCode.STACK_FAILED)
SLOW = Finding("host class", State.NO, "3.1 times as long", "calibrate", ExitCode.INVALID)


def test_a_row_has_the_mark_what_was_looked_at_what_was_found_and_what_to_do() -> None:
    head, *rows = table([FINE, LACKING], 140, colour=False).splitlines()
    assert head.split() == ["check", "found", "what", "to", "do"]
    cells = [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in rows]
    assert cells == [
        ["ok", "cores", "2 of 2 for us"],
        ["partly", "Redis", "no redis-server", "install it; without it cannot run: redis"],
    ]


def test_long_texts_are_broken_and_nothing_is_lost_on_a_narrow_terminal() -> None:
    long = Finding("noise", State.BEWARE, " ".join(f"w{n}" for n in range(40)), "a [red]bracket[/] stays as it is")
    shown = table([long], 20, colour=False)
    assert max(map(len, shown.splitlines())) <= WIDTH_MIN
    assert all(f"w{n}" in shown for n in range(40))
    assert "[red]bracket[/]" in shown


def test_colours_stand_only_where_they_are_asked_for() -> None:
    assert "\x1b[32mok" in table([FINE], 100, colour=True)
    assert "\x1b" not in table([FINE], 100, colour=False)


@pytest.mark.parametrize(
    ("findings", "code", "line"),
    [
        ([FINE], ExitCode.OK, "the profile quick can be measured here; exit code 0"),
        (
            [FINE, LACKING, NOISY],
            ExitCode.OK,
            "the profile quick can be measured here; some scenarios cannot: Redis; beware of noise; exit code 0",
        ),
        (
            [SLOW, SMALL, NOISY],
            ExitCode.STACK_FAILED,
            "the profile quick cannot be measured here: host class, memory; beware of noise; exit code 12",
        ),
        ([SLOW], ExitCode.INVALID, "the profile quick cannot be measured here: host class; exit code 10"),
    ],
)
def test_the_code_is_that_of_what_blocks_and_the_last_line_says_all(
    findings: list[Finding], code: ExitCode, line: str
) -> None:
    assert exit_code(findings) is code
    assert closing_line("quick", findings) == f"perfgate doctor: {line}"


def test_a_finding_that_is_not_fine_says_what_to_do_and_only_one_that_blocks_has_a_code() -> None:
    for state, advice, code in (
        (State.BEWARE, "", ExitCode.OK),
        (State.NO, "do this", ExitCode.OK),
        (State.PARTLY, "do this", ExitCode.INVALID),
    ):
        with pytest.raises(ValueError, match="check='x'"):
            Finding("x", state, "found", advice, code)
