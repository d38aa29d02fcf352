"""The `perfgate` command: which subcommand was asked for, and with which exit code does it end?

Comes in: the command line. Goes out: an exit code; errors worded for the user go to standard error as one message.
Each subcommand is one function that adds its parser and sets `run`; the work is done in the rooms.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from perfgate.baseline_command import add_baseline
from perfgate.calibrate import add_calibrate
from perfgate.doctor.command import add_doctor
from perfgate.errors import BadInput, PerfgateError
from perfgate.exit_codes import ExitCode
from perfgate.github.command import add_github
from perfgate.history.bisect_command import add_bisect
from perfgate.history.command import add_history
from perfgate.history.git_codes import for_git
from perfgate.history.step_command import STEP, add_bisect_step
from perfgate.images_command import add_images
from perfgate.load.command import add_load
from perfgate.report.command import add_report
from perfgate.reproduce.command import add_reproduce
from perfgate.selftest.command import add_selftest
from perfgate.sign_off_command import add_signoff
from perfgate.verify_command import add_verify
from perfgate.why.command import add_why

#: A further subcommand is a further function: it calls `commands.add_parser(...)` and `set_defaults(run=...)`, where
#: run takes the options and returns an ExitCode; that of `bisect-step` returns what git reads.
COMMANDS: Final[tuple[Callable[["argparse._SubParsersAction[Any]"], None], ...]] = (
    add_load,
    add_doctor,
    add_calibrate,
    add_baseline,
    add_images,
    add_selftest,
    add_reproduce,
    add_report,
    add_signoff,
    add_verify,
    add_history,
    add_bisect,
    add_bisect_step,
    add_github,
    add_why,
)


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line as every other bad input is reported: argparse would end with 2, an interrupt."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see `{self.prog} --help`")


def command_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, which raises BadInput for a wrong one; what it finds has `run`."""
    parser = _Parser(prog="perfgate", description="Performance regression tests for the LiteLLM gateway.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add_command in COMMANDS:
        add_command(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; None takes those of the process.

    Returns:
        The exit code, as in perfgate/exit_codes.py; of `bisect-step` as in perfgate/history/git_codes.py.
    """
    words = sys.argv[1:] if argv is None else argv
    return for_git(lambda: _ended(words)) if list(words[:1]) == [STEP] else _ended(words)


def _ended(words: Sequence[str]) -> int:
    try:
        options = command_parser().parse_args(words)
        code: int = options.run(options)
    except PerfgateError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    return code
