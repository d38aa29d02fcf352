"""`perfgate doctor`: what can this machine measure, what can't it, and what is to be done about it?

Comes in: options. Goes out: a table and a line, printed; 0 when the profile can be measured here, else the code that
its run would end with. Starts no service, installs nothing; for the probe it has the machine to itself.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from perfgate.errors import BadInput
from perfgate.exit_codes import ExitCode

DEFAULT_PROFILE: Final = "quick"
PROBE_S: Final = 20.0
PROBE_MAX_S: Final = 600.0


def add_doctor(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `doctor` to the commands of `perfgate`."""
    parser = commands.add_parser(
        "doctor",
        help="what this machine can and cannot measure, and what to do about it",
        description="Look at cores, memory, disk, programs and variables, and probe for noise. Ends with 0 when the "
        "profile can be measured here, else with the code that its run would end with.",
    )
    option = parser.add_argument
    option("--thresholds", type=Path, default=Path("thresholds.yaml"), metavar="FILE", help="the file (%(default)s)")
    option("--profile", default=DEFAULT_PROFILE, metavar="NAME", help="the one to be measured (%(default)s)")
    option(
        "--probe-seconds",
        type=float,
        default=PROBE_S,
        metavar="S",
        help="how long to probe for noise (%(default)g); 0 leaves that and the host's speed out",
    )
    option("--record-dir", type=Path, default=Path(".perfgate/records"), metavar="DIR", help="of records (%(default)s)")
    parser.set_defaults(run=run_doctor)


def run_doctor(options: argparse.Namespace) -> ExitCode:
    """Look, probe, print.

    Raises:
        BadInput: the file, the profile or an option cannot be used, or this is not Linux.
        StackFailed: the speed of the host could not be measured.
    """
    if not sys.platform.startswith("linux"):
        raise BadInput(f"perfgate measures on Linux only, this is {sys.platform}: run it in a Linux container")
    if not 0 <= options.probe_seconds <= PROBE_MAX_S:
        raise BadInput(f"--probe-seconds={options.probe_seconds:g}: must be from 0 to {PROBE_MAX_S:g}")
    # Docker's libraries take 0.3 s to import, which no other command should wait for.
    from perfgate.doctor.examination import Examination
    from perfgate.doctor.finding import closing_line, exit_code, table

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    asked = Examination(options.thresholds, options.profile, options.record_dir, options.probe_seconds, os.environ)
    findings = asked.findings(say)
    print(table(findings, shutil.get_terminal_size((120, 24)).columns, colour=sys.stdout.isatty()))
    print(closing_line(options.profile, findings))
    return exit_code(findings)
