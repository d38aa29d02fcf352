"""`perfgate reproduce`: LiteLLM's published tables, run here and set beside the page.

Comes in: options. Goes out: a record for each table, the document made of all records there are, an exit code. Each
table stands by itself: its record is written as soon as it is done, and the document always has the last run of each.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, get_args

from perfgate.atomic_file import write_atomically
from perfgate.backend_choice import chosen_stack, lacking
from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.experiment.bench import StackBench
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.metrics import METRICS
from perfgate.experiment.rounds import Progress
from perfgate.lease import Lease
from perfgate.reproduce import reproduced
from perfgate.reproduce.document import document, law_words
from perfgate.reproduce.reproduced import Reproduced
from perfgate.reproduce.scale import ScaleName, scale_of
from perfgate.reproduce.table import Reproduction, Table
from perfgate.reproduce.tables import TABLES
from perfgate.settings import OPTIONS, Option, settings_of
from perfgate.stack.affinity import plan_cores
from perfgate.stack.callbacks import lacking as cannot_log
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.images import images_of
from perfgate.thresholds import load_thresholds

ALL: Final = "all"
RECORD_DIR: Final = Path(".perfgate/reproduction")
DOCUMENT: Final = Path("docs/reproduction.md")
#: Options of pytest that say which gateway is run, and in what.
_PASSED_ON: Final = (
    "--litellm",
    "--stack",
    "--images",
    "--prisma-engine",
    "--postgres-url",
    "--cpus-per-instance",
    "--memory-per-instance",
    "--deps",
    "--seed",
)
RUN_OPTIONS: Final[tuple[Option, ...]] = tuple(option for option in OPTIONS if option.name in _PASSED_ON)


def add_reproduce(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `reproduce` to the commands of `perfgate`."""
    parser = commands.add_parser(
        "reproduce",
        help="run LiteLLM's published tables here, and set them beside the page",
        description="Run the tables of LiteLLM's benchmark page on this host (it must be idle), scaled to its cores, "
        "and write what was published beside what was measured. About 3 minutes a table on two cores.",
    )
    option = parser.add_argument
    option("--table", choices=(*TABLES, ALL), required=True, help="which; all of them one after the other")
    option(
        "--scale",
        choices=get_args(ScaleName),
        default="auto",
        help="full: 1,000 users and the page's instances and workers; auto: by cores of this host (%(default)s)",
    )
    option("--record-dir", type=Path, default=RECORD_DIR, metavar="DIR", help="the folder of records (%(default)s)")
    option("--document", type=Path, default=DOCUMENT, metavar="FILE", help="made of all records there (%(default)s)")
    option(
        "--thresholds", type=Path, default=Path("thresholds.yaml"), metavar="FILE", help="its apparatus (%(default)s)"
    )
    for run_option in RUN_OPTIONS:
        option(run_option.name, dest=run_option.destination, metavar="…", help=f"{run_option.meaning}; as of pytest")
    parser.set_defaults(run=run_reproduce)


def run_reproduce(options: argparse.Namespace) -> ExitCode:
    """Run tables, and write records and the document.

    Returns:
        INVALID when generator, mock and host were not fit for one of them.

    Raises:
        BadInput: an option cannot be used, or this host lacks what a table needs; nothing was started.
        StackFailed: a service failed; tables that were done before are kept.
    """
    tables = tuple(TABLES.values()) if options.table == ALL else (TABLES[options.table],)
    reproduction = _checked(options, tables)
    settings = reproduction.settings
    done = []
    bench = StackBench(
        EnvironmentCache.of_user(os.environ),
        (settings.gateway.backend,),
        on_service=lambda name, facts: reproduction.services.append((name, facts)),
        say=_say,
        postgres_url=settings.postgres_url,
        prisma_mode=settings.prisma_engine,
        images=images_of(settings.images),
        model=settings.model,
        on_note=lambda sentence: reproduction.notes.append(sentence) if sentence not in reproduction.notes else None,
    )
    with Lease.of_user(os.environ).exclusive(f"reproducing {options.table}", _say), bench:
        for table in tables:
            began_mono_s = time.monotonic()
            reproduction.notes.clear()
            found = table.run(bench, reproduction)
            path = reproduced.write(options.record_dir, found)
            _say(f"{table.name}: done in {time.monotonic() - began_mono_s:.0f} s, {path}")
            done.append(found)
    _write_document(options.document, options.record_dir)
    print(document(done))
    if any(found.complaints for found in done):
        return ExitCode.INVALID
    return ExitCode.OK


def _checked(options: argparse.Namespace, tables: Sequence[Table]) -> Reproduction:
    """What was asked for, when it can be done.

    Raises:
        BadInput: it cannot.
    """
    if not options.document.parent.is_dir():
        raise BadInput(f"--document {options.document}: there is no folder {options.document.parent}")
    apparatus = load_thresholds(options.thresholds, METRICS, FIGURES).apparatus
    given = {option.destination: getattr(options, option.destination) for option in RUN_OPTIONS}
    settings = settings_of(given.get, os.environ)
    if settings.baseline is not None:
        raise BadInput("PERFGATE_BASELINE is set, but a table of the page has one gateway: unset it")
    cores = plan_cores(os.sched_getaffinity(0))
    gateway_cores = len(cores.gateway) or 1
    scale = scale_of(options.scale, gateway_cores)
    chosen = chosen_stack(settings, generations=1)
    missing = []
    for table in tables:
        if (what := lacking(table.services, chosen, settings.postgres_url)) is not None:
            missing.append(f"{table.name} needs {what}")
        if table.callback is not None and (why := cannot_log(table.callback, chosen.gateway.source)) is not None:
            missing.append(f"{table.name} needs another release: {why}")
    if missing:
        listed = "".join(f"\n  {sentence}" for sentence in missing)
        raise BadInput(
            f"this host lacks what tables need; nothing was started:{listed}\nnext: provide it, or name a table"
        )
    settings = replace(settings, gateway=replace(chosen.gateway, instances=1))
    return Reproduction(settings, scale, gateway_cores, apparatus, on_progress=_progress)


def _write_document(path: Path, folder: Path) -> None:
    """Make the document of the last run of every table."""
    kept: list[Reproduced] = [
        reproduced.read(reproduced.path_of(folder, name))
        for name in TABLES
        if reproduced.path_of(folder, name).exists()
    ]
    try:
        write_atomically(path, document(kept))
    except OSError as error:
        raise StackFailed(f"{path} could not be written: {error.strerror}; the records are in {folder}") from error
    if any(table.law for table in kept):
        _say(f"the think-time law, users / (think time + latency), is {law_words(kept)}")
    _say(f"{path} is written, from the records in {folder}")


def _progress(progress: Progress) -> None:
    _say(f"window {progress.done + 1} of {progress.planned}: {progress.text}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
