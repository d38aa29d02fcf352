import itertools

import pytest

from perfgate.exit_codes import PRECEDENCE, ExitCode, worst


def test_no_code_means_ok() -> None:
    assert worst([]) is ExitCode.OK


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(PRECEDENCE, 2)))
def test_the_earlier_in_the_order_wins(first: ExitCode, second: ExitCode) -> None:
    assert worst([second, first]) is first


def test_bad_input_beats_altered_beats_fail_beats_stack_beats_incomplete_beats_invalid() -> None:
    order = [code for code in PRECEDENCE if code not in (ExitCode.INTERRUPTED, ExitCode.INTERNAL)]
    assert [int(code) for code in order] == [4, 13, 1, 12, 11, 10]
