"""`perfgate report`: what did one run, or several beside each other, find?

Comes in: records of runs. Goes out: files in a folder, the summary of a step of GitHub Actions where that is asked for,
an exit code. The code says whether a report could be made; the verdicts are in it, and in the exit code of the run.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from perfgate.atomic_file import write_atomically
from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.record import Record, content_of, record_of
from perfgate.report.benchmark_json import benchmark_json
from perfgate.report.html import ReportedRun, page
from perfgate.report.markdown import STEP_SUMMARY_BYTES_MAX, NoRoom, summary
from perfgate.report.outcome import summed_up
from perfgate.report.series import NotDrawable

DEFAULT_FOLDER: Final = Path(".perfgate/report")
#: Where runs keep their records unless they are told otherwise, and how these are called: by when they began.
DEFAULT_RECORDS: Final = Path(".perfgate/records")
RECORD_NAME: Final = re.compile(r"\d{8}T\d{6}Z-\d+-.+\.json")
#: Where GitHub Actions wants a step's summary: the path of a file.
STEP_SUMMARY_VARIABLE: Final = "GITHUB_STEP_SUMMARY"


def add_report(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `report` to the commands of `perfgate`."""
    parser = commands.add_parser(
        "report",
        help="draw up what a run found",
        description="Write what a run found: summary.md, which reads in ten seconds, and report.html, one page with "
        "curves and raw data that needs nothing else, and benchmark.json, in pytest-benchmark's form. Of several runs, "
        f"all beside each other. Where {STEP_SUMMARY_VARIABLE} is set, as GitHub Actions does, the summary is appended "
        "there too.",
    )
    option = parser.add_argument
    option(
        "records",
        metavar="RECORD",
        nargs="*",
        type=Path,
        help=f"the JSON record of a run; without any, the newest of {DEFAULT_RECORDS}",
    )
    option("--out", type=Path, default=DEFAULT_FOLDER, metavar="DIR", help="the folder to write to (%(default)s)")
    parser.set_defaults(run=run_report)


def run_report(options: argparse.Namespace) -> ExitCode:
    """Read the records and write all files.

    Raises:
        BadInput: there is no record, or one cannot be read, or is none.
        StackFailed: a file cannot be written.
    """
    paths = options.records or [_newest(DEFAULT_RECORDS)]
    runs = [_read(path) for path in paths]
    records = [run.record for run in runs]
    try:
        files = {"summary.md": summary(records), "report.html": page(runs)}
        for number, record in enumerate(records, 1):
            name = "benchmark.json" if len(records) == 1 else f"benchmark-{number}.json"
            files[name] = json.dumps(benchmark_json(record), indent=1) + "\n"
    except NotDrawable as error:
        names = ", ".join(map(str, paths))
        raise BadInput(f"{names}: the record is of the right form, but was changed or broken: {error}") from error
    _write(options.out, files)
    _append_step_summary(records, os.environ)
    for record, path in zip(records, paths, strict=True):
        summing = summed_up(record)
        print(f"{summing.outcome}  {path}: {summing.counts}; {summing.ended}")
    return ExitCode.OK


def _newest(folder: Path) -> Path:
    """The record of the last run that began."""
    found = sorted(path for path in folder.glob("*.json") if RECORD_NAME.fullmatch(path.name))
    if not found:
        raise BadInput(f"{folder} has no record of a run: measure first (`pytest tests/perf`), or name a RECORD")
    return found[-1]


def _read(path: Path) -> ReportedRun:
    content = content_of(path)
    return ReportedRun(path.name, content, record_of(content, str(path)))


def _write(folder: Path, files: Mapping[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(folder / name, content)
            print(f"wrote {folder / name}")
    except OSError as error:
        raise StackFailed(
            f"--out {folder}: the report cannot be written there ({error.strerror}); name another folder"
        ) from error


def _append_step_summary(records: Sequence[Record], environ: Mapping[str, str]) -> None:
    """Append what there is room for: where a step's summary is too large, GitHub shows none of it."""
    name = environ.get(STEP_SUMMARY_VARIABLE)
    if not name:
        return
    path = Path(name)
    try:
        taken_bytes = path.stat().st_size if path.exists() else 0
        text = summary(records, STEP_SUMMARY_BYTES_MAX - taken_bytes - 1)
        with path.open("a", encoding="utf-8") as file:
            file.write(("\n" if taken_bytes else "") + text)
    except NoRoom as error:
        print(f"{STEP_SUMMARY_VARIABLE}: nothing was appended, its file is full: {error}", file=sys.stderr)
    except OSError as error:
        raise StackFailed(f"{STEP_SUMMARY_VARIABLE}={name}: cannot be written ({error.strerror})") from error
