"""The `perfgate` command: which subcommand was asked for, and with which exit code does it end?

Comes in: the command line. Goes out: an exit code; errors worded for the user go to standard error as one message.
Each subcommand is one function that adds its parser and sets `run`; the work is done in the rooms.
"""

import argparse
import pkgutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NoReturn

from perfgate.errors import BadInput, PerfgateError
from perfgate.exit_codes import ExitCode

#: The function of each subcommand: it calls `commands.add_parser(...)` and `set_defaults(run=...)`, where run takes the
#: options and returns an ExitCode. Only that of the subcommand that is asked for is imported, with all that its work
#: needs: all of them together take a second.
COMMANDS: Final[Mapping[str, str]] = {
    "load": "perfgate.load.command:add_load",
    "doctor": "perfgate.doctor.command:add_doctor",
    "calibrate": "perfgate.calibrate:add_calibrate",
    "baseline": "perfgate.baseline_command:add_baseline",
    "images": "perfgate.images_command:add_images",
    "selftest": "perfgate.selftest.command:add_selftest",
    "reproduce": "perfgate.reproduce.command:add_reproduce",
    "report": "perfgate.report.command:add_report",
    "signoff": "perfgate.sign_off_command:add_signoff",
    "verify": "perfgate.verify_command:add_verify",
    "history": "perfgate.history.command:add_history",
    "bisect": "perfgate.history.bisect_command:add_bisect",
    "github": "perfgate.github.command:add_github",
    "why": "perfgate.why.command:add_why",
}


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line as every other bad input is reported: argparse would end with 2, an interrupt."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see `{self.prog} --help`")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; None takes those of the process.

    Returns:
        The exit code, as in perfgate/exit_codes.py.
    """
    parser = _Parser(prog="perfgate", description="Performance regression tests for the LiteLLM gateway.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    given = sys.argv[1:] if argv is None else argv
    # The help shows them all, as does the message for a word that is none of them.
    asked: Iterable[str] = given[:1] if given and given[0] in COMMANDS else COMMANDS
    for name in asked:
        pkgutil.resolve_name(COMMANDS[name])(commands)
    try:
        options = parser.parse_args(given)
        code: ExitCode = options.run(options)
    except PerfgateError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    return code
