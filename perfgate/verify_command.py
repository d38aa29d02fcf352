"""`perfgate verify`: is a sign-off bundle what it was when it was made?

Comes in: a bundle. Goes out: lines on standard output that name every file that was altered, and an exit code.
"""

import argparse
from pathlib import Path
from typing import Any

from perfgate.errors import BadInput
from perfgate.exit_codes import ExitCode
from perfgate.report.bundle import TAR_SUFFIX, read_bundle
from perfgate.report.verify import NotABundle, verify


def add_verify(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `verify` to the commands of `perfgate`."""
    parser = commands.add_parser(
        "verify",
        help="check a sign-off bundle",
        description="Hold every file of a bundle against its sum, judge the raw windows of its records again, make its "
        "texts anew from them, and say which file was altered, and how.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help=f"the folder, or the {TAR_SUFFIX}")
    parser.set_defaults(run=run_verify)


def run_verify(options: argparse.Namespace) -> ExitCode:
    """Check a bundle.

    Raises:
        BadInput: it is none, cannot be read, or takes another perfgate.
    """
    try:
        found = verify(read_bundle(options.bundle))
    except NotABundle as error:
        raise BadInput(f"{options.bundle} is {error}") from error
    for note in found.notes:
        print(f"note: {note}")
    if not found.findings:
        print(f"verified: {found.words}")
        return ExitCode.OK
    print("\n".join([f"NOT VERIFIED: {options.bundle}", *(f"  {finding}" for finding in found.findings)]))
    print("next: do not release by it; take the bundle again from where it was made, or sign off by the records anew")
    return ExitCode.ALTERED
