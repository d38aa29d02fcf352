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
from perfgate.history.git_codes import STEP, for_git
from perfgate.interrupts import CANCELLING, like_ctrl_c

#: The function of each subcommand: it calls `commands.add_parser(...)` and `set_defaults(run=...)`, where run takes the
#: options and returns an ExitCode; that of `bisect-step` returns what git reads. Only that of the subcommand that is
#: asked for is imported, with all that its work needs: all of them together take a second.
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
    STEP: "perfgate.history.step_command:add_bisect_step",
    "github": "perfgate.github.command:add_github",
    "why": "perfgate.why.command:add_why",
}


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line as every other bad input is reported: argparse would end with 2, an interrupt."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see `{self.prog} --help`")


def command_parser(names: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """The parser of the command line, which raises BadInput for a wrong one; what it finds has `run`.

    Args:
        names: of the subcommands that it is to know.
    """
    parser = _Parser(prog="perfgate", description="Performance regression tests for the LiteLLM gateway.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in names:
        pkgutil.resolve_name(COMMANDS[name])(commands)
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
    # The help shows them all, as does the message for a word that is none of them.
    asked = words[:1] if words and words[0] in COMMANDS else COMMANDS
    try:
        options = command_parser(asked).parse_args(words)
        with like_ctrl_c(*CANCELLING):
            code: int = options.run(options)
    except PerfgateError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    return code
