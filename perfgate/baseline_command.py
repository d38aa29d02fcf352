"""`perfgate baseline`: which record of a run is committed, for drift to be counted from?

Comes in: the record of a whole run on a host of a listed class. Goes out: the same record without its windows, so that
it is small and its figures can be read and reviewed; printed, or written where `drift: {record: …}` names it.
"""

import argparse
from pathlib import Path
from typing import Any

from perfgate import record
from perfgate.atomic_file import write_atomically
from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.record import Record


def add_baseline(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `baseline` to the commands of `perfgate`."""
    parser = commands.add_parser(
        "baseline",
        help="make the record to commit, that drift is counted from, of the record of a run",
        description="Take the windows out of a run's record, so that it can be committed and reviewed; drift: {record: "
        "FILE} in thresholds.yaml then holds figures against it.",
    )
    parser.add_argument("record", type=Path, metavar="RECORD", help="of a whole run, in .perfgate/records")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write it there, and do not print it")
    parser.set_defaults(run=run_baseline)


def run_baseline(options: argparse.Namespace) -> ExitCode:
    """Print or write it.

    Raises:
        BadInput: it is not a record, or one that nothing could be held against.
        StackFailed: it cannot be written.
    """
    text = committed(record.read(options.record), options.record).model_dump_json(indent=1) + "\n"
    if options.write is None:
        print(text, end="")
        return ExitCode.OK
    try:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(options.write, text)
    except OSError as error:
        raise StackFailed(f"{options.write} could not be written: {error.strerror}; name another file") from error
    print(f"{options.write} written; commit it, and name it in thresholds.yaml under drift (docs/thresholds.md)")
    return ExitCode.OK


def committed(found: Record, path: Path) -> Record:
    """A record without what is not needed to hold figures against it.

    Args:
        found: of a run.
        path: for messages.

    Raises:
        BadInput: the run was not made to its end, its host is of no class or of unknown speed, or nothing was judged.
    """
    lacking = None
    if found.finished_utc is None or found.incomplete:
        lacking = "the run was not made to its end"
    elif found.host_class is None:
        lacking = "its host is of no class in thresholds.yaml; list it by `perfgate calibrate --write`, and run again"
    elif found.host_speed is None:
        lacking = "the host's speed was not measured"
    elif all(judgement.verdict == "INVALID" for judgement in found.judgements):
        lacking = "it has no figure that could be judged"
    if lacking is not None:
        raise BadInput(f"{path}: nothing can be held against this record: {lacking}")
    bare: dict[str, list[object]] = {"windows": [], "shown": [], "faults": []}
    measurements = [measurement.model_copy(update=bare) for measurement in found.measurements]
    return found.model_copy(update={"measurements": measurements, "leases": []})
