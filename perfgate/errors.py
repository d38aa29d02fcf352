"""The errors that a user reads: one message each, with what, where and what to do next.

Every message is complete in itself; it is printed without a traceback and ends the run with `exit_code`.
A FAIL or an INVALID is a verdict (verdict.py), not one of these.
"""

from typing import ClassVar

from perfgate.exit_codes import ExitCode


class PerfgateError(Exception):
    """Base of all errors that are worded for the user."""

    exit_code: ClassVar[ExitCode]


class BadInput(PerfgateError):
    """An option, a file or a release that cannot be used; raised before anything is started."""

    exit_code = ExitCode.BAD_INPUT


class StackFailed(PerfgateError):
    """The apparatus or the host failed us: a service that did not start or that died, a full disk, no network."""

    exit_code = ExitCode.STACK_FAILED
