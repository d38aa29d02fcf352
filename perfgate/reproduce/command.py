"""`perfgate reproduce`: LiteLLM's published tables, run here and set beside the page.

Comes in: options. Goes out: a record for each table, the document made of all records there are, an exit code. Each
table stands by itself, on a bench of its own: its record is written as soon as it is done, the document always has the
last run of each, and a table that fails is no reason not to run the next one.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, get_args

from perfgate.atomic_file import write_atomically
from perfgate.backend_choice import ChosenStack, chosen_stack, lacking
from perfgate.errors import BadInput, PerfgateError, StackFailed
from perfgate.exit_codes import ExitCode, worst
from perfgate.experiment.bench import StackBench
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.metrics import METRICS
from perfgate.experiment.rounds import Progress
from perfgate.lease import Lease
from perfgate.reproduce import reproduced
from perfgate.reproduce.command_line import RUN_OPTIONS, command_line
from perfgate.reproduce.document import document, laws_found
from perfgate.reproduce.figures import published_rows
from perfgate.reproduce.plan import MINUTES, Step, plan_lines, share_s
from perfgate.reproduce.reproduced import Reproduced, Unmeasured
from perfgate.reproduce.resuming import standing
from perfgate.reproduce.scale import ScaleName, scale_of
from perfgate.reproduce.table import Reproduction, Table
from perfgate.reproduce.tables import TABLES
from perfgate.reproduce.think_time_law import law_words
from perfgate.settings import Settings, options_given, settings_of
from perfgate.stack.affinity import plan_cores
from perfgate.stack.callbacks import lacking as cannot_log
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.images import images_of
from perfgate.stack.sources import PortkeyRelease, RunningUrl
from perfgate.thresholds import Apparatus, load_thresholds

ALL: Final = "all"
RECORD_DIR: Final = Path(".perfgate/reproduction")
DOCUMENT: Final = Path("docs/reproduction.md")
THRESHOLDS: Final = Path("thresholds.yaml")


def add_reproduce(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `reproduce` to the commands of `perfgate`."""
    parser = commands.add_parser(
        "reproduce",
        help="run LiteLLM's published tables here, and set them beside the page",
        description="Run the tables of LiteLLM's benchmark page on this host (it must be idle), scaled to its cores, "
        "and write what was published beside what was measured. About 3 minutes a table on two cores. What is measured "
        "stays: end it at any time, and the same command goes on with what is missing.",
    )
    option = parser.add_argument
    option("--table", choices=(*TABLES, ALL), required=True, help="which; all of them one after the other")
    option(
        "--scale",
        choices=get_args(ScaleName),
        default="auto",
        help="full: 1,000 users and the page's instances and workers; auto: by cores of this host (%(default)s)",
    )
    option(
        "--minutes",
        type=float,
        default=MINUTES,
        metavar="M",
        help="for all tables together: where it is short each has fewer rounds, at least 2 (%(default)g)",
    )
    option("--again", action="store_true", help="run tables again that were run with the same settings")
    option("--record-dir", type=Path, default=RECORD_DIR, metavar="DIR", help="the folder of records (%(default)s)")
    option("--document", type=Path, default=DOCUMENT, metavar="FILE", help="made of all records there (%(default)s)")
    option("--thresholds", type=Path, default=THRESHOLDS, metavar="FILE", help="its apparatus (%(default)s)")
    for run_option in RUN_OPTIONS:
        option(run_option.name, dest=run_option.destination, metavar="…", help=f"{run_option.meaning}; as of pytest")
    parser.set_defaults(run=run_reproduce)


def run_reproduce(options: argparse.Namespace) -> ExitCode:
    """Run the tables that are missing, and write records and the document.

    Returns:
        What the worst table earned: STACK_FAILED or BAD_INPUT when one failed, INCOMPLETE when this host lacks what one
        needs, INVALID when generator, mock and host were not fit for one.

    Raises:
        BadInput: an option cannot be used, or this host lacks what every table needs; nothing was started.
        StackFailed: a record or the document could not be written.
        KeyboardInterrupt: it was ended; what was measured before is kept.
    """
    tables = tuple(TABLES.values()) if options.table == ALL else (TABLES[options.table],)
    asked, lacks = _checked(options, tables)
    for name, why in lacks.items():
        _say(f"{name} is left out: {why}")
    seed = asked[0][1].settings.seed if _is_seed_given(options) else None
    found: dict[str, Reproduced] = {}
    if not options.again:
        found = standing(options.record_dir, asked, seed, _say)
    steps = [
        Step(table.name, table.title, table.planned_s(reproduction), _of_run(found.get(table.name)))
        for table, reproduction in asked
    ]
    for line in plan_lines(steps, options.minutes):
        _say(line)
    failures: dict[str, PerfgateError] = {}
    missing = [(table, reproduction) for table, reproduction in asked if table.name not in found]
    if missing:
        with Lease.of_user(os.environ).exclusive(f"reproducing {options.table}", _say):
            found |= _run_all(options, missing, failures)
    reasons = lacks | {name: f"the run failed: {error}" for name, error in failures.items()}
    pages = _pages(options.record_dir, reasons)
    _write_document(options.document, options.record_dir, pages)
    # What failed now is no run of another day.
    names = [table.name for table in tables]
    print(document([_unmeasured(page.table, reasons) or page for page in pages if page.table in names]))
    codes = [error.exit_code for error in failures.values()]
    codes += [ExitCode.INCOMPLETE] * len(lacks)
    codes += [ExitCode.INVALID for one in found.values() if one.complaints]
    return worst(codes)


def _run_all(
    options: argparse.Namespace,
    missing: Sequence[tuple[Table, Reproduction]],
    failures: dict[str, PerfgateError],
) -> dict[str, Reproduced]:
    """Run tables one after the other; each is on the disk before the next one begins. What fails goes to `failures`."""
    found: dict[str, Reproduced] = {}
    planned_s = {table.name: table.planned_s(reproduction) for table, reproduction in missing}
    ends_mono_s = time.monotonic() + options.minutes * 60
    try:
        for number, (table, reproduction) in enumerate(missing, 1):
            began_mono_s = time.monotonic()
            still_s = sum(planned_s[other.name] for other, _ in missing[number - 1 :])
            share = share_s(ends_mono_s - began_mono_s, planned_s[table.name], still_s)
            _say(f"{table.name} ({number} of {len(missing)}): about {planned_s[table.name] / 60:.1f} minutes")
            timed = replace(reproduction, time_left_s=_left_until(began_mono_s + share))
            try:
                with _bench(timed) as bench:
                    one = table.run(bench, timed)
            except PerfgateError as error:
                failures[table.name] = error
                _say(f"{table.name}: not measured: {error}")
                continue
            path = reproduced.write(options.record_dir, one)
            _say(f"{table.name}: done in {(time.monotonic() - began_mono_s) / 60:.1f} minutes, {path}")
            for unanswered in one.unanswered:
                _say(f"{table.name}: {unanswered.words}")
            found[table.name] = one
    except KeyboardInterrupt:
        _say(f"what is measured is in {options.record_dir}: the same command goes on with the rest")
        raise
    return found


def _left_until(mono_s: float) -> Callable[[], float]:
    return lambda: mono_s - time.monotonic()


def _bench(reproduction: Reproduction) -> StackBench:
    """Of one table, so that nothing of one that failed is in the way of the next."""
    settings, notes = reproduction.settings, reproduction.notes
    return StackBench(
        EnvironmentCache.of_user(os.environ),
        (settings.gateway.backend,),
        on_service=lambda name, facts: reproduction.services.append((name, facts)),
        say=_say,
        postgres_url=settings.postgres_url,
        prisma_mode=settings.prisma_engine,
        images=images_of(settings.images),
        model=settings.model,
        on_note=lambda sentence: notes.append(sentence) if sentence not in notes else None,
        locust=settings.locust,
    )


def _checked(
    options: argparse.Namespace, tables: Sequence[Table]
) -> tuple[list[tuple[Table, Reproduction]], dict[str, str]]:
    """What is asked for of every table that can be run here, and by name what this host lacks for the others.

    Raises:
        BadInput: an option cannot be used, or no table can be run.
    """
    if not options.document.parent.is_dir():
        raise BadInput(f"--document {options.document}: there is no folder {options.document.parent}")
    if not options.minutes > 0:
        raise BadInput(f"--minutes {options.minutes:g} must be above 0")
    apparatus = load_thresholds(options.thresholds, METRICS, FIGURES).apparatus
    given = {option.destination: getattr(options, option.destination) for option in RUN_OPTIONS}
    settings = settings_of(given.get, os.environ)
    if settings.baseline is not None:
        raise BadInput("PERFGATE_BASELINE is set, but a table of the page has one gateway: unset it")
    source = settings.gateway.source
    if isinstance(source, RunningUrl | PortkeyRelease):
        raise BadInput(
            f"--litellm={source.option_text}: the page's tables are of LiteLLM in several sizes, which perfgate starts "
            "itself: name a release, path:FOLDER or git:URL@REF"
        )
    if settings.mock_url is not None:
        raise BadInput("PERFGATE_MOCK_URL is set, but the tables are run in front of perfgate's own mock: unset it")
    if settings.locust is not None and len(tables) == 1 and not tables[0].by_locust:
        raise BadInput(
            f"--load=locust: perfgate's Locust users ask for chat completions, and the table {tables[0].name} is of "
            "something else: leave --load out"
        )
    chosen = chosen_stack(settings, generations=1)
    lacks = {table.name: what for table in tables if (what := _lacking(table, settings, chosen)) is not None}
    if len(lacks) == len(tables):
        listed = "".join(f"\n  {name} needs {what}" for name, what in lacks.items())
        raise BadInput(
            f"this host lacks what tables need; nothing was started:{listed}\nnext: provide it, or name another table"
        )
    settings = replace(settings, gateway=replace(chosen.gateway, instances=1))
    can = [table for table in tables if table.name not in lacks]
    own, typed = _own_options(options), options_given(given.get, os.environ)
    return [(table, _reproduction(table, settings, options.scale, apparatus, own, typed)) for table in can], lacks


def _lacking(table: Table, settings: Settings, chosen: ChosenStack) -> str | None:
    """What this host lacks for a table, in words; None when it lacks nothing."""
    if table.callback is not None and (why := cannot_log(table.callback, chosen.gateway.source)) is not None:
        return f"another release: {why}"
    return lacking(table.services, chosen, settings.postgres_url)


def _reproduction(
    table: Table,
    settings: Settings,
    scale_name: ScaleName,
    apparatus: Apparatus,
    own: Mapping[str, str],
    typed: Mapping[str, str],
) -> Reproduction:
    """Of one table: what Locust cannot send, perfgate's own generator does."""
    if not table.by_locust:
        settings = replace(settings, locust=None)
    cores = plan_cores(os.sched_getaffinity(0), settings.generator_processes)
    gateway_cores = len(cores.gateway) or 1
    scale = scale_of(scale_name, gateway_cores)
    command = command_line(table.name, scale_name, own, typed, settings)
    return Reproduction(settings, scale, gateway_cores, apparatus, command, on_progress=_progress)


def _own_options(options: argparse.Namespace) -> dict[str, str]:
    """Options of this command alone that are not as by default; --again says nothing of how, and is left out."""
    texts = {
        "--minutes": (f"{options.minutes:g}", f"{MINUTES:g}"),
        "--record-dir": (str(options.record_dir), str(RECORD_DIR)),
        "--document": (str(options.document), str(DOCUMENT)),
        "--thresholds": (str(options.thresholds), str(THRESHOLDS)),
    }
    return {name: text for name, (text, default) in texts.items() if text != default}


def _is_seed_given(options: argparse.Namespace) -> bool:
    (seed,) = (option for option in RUN_OPTIONS if option.name == "--seed")
    return getattr(options, seed.destination) is not None or seed.variable in os.environ


def _of_run(one: Reproduced | None) -> str:
    return "" if one is None else f"measured {one.started_utc} with these settings (--again measures it again)"


def _pages(folder: Path, reasons: Mapping[str, str]) -> list[Reproduced | Unmeasured]:
    """The last run of every table; of those without one, why there is none: one of the reasons, where it has one."""
    pages: list[Reproduced | Unmeasured] = []
    for name in TABLES:
        path = reproduced.path_of(folder, name)
        why = f"it was not run; `perfgate reproduce --table {name}` runs it"
        if path.exists():
            try:
                pages.append(reproduced.read(path))
                continue
            except BadInput as error:
                why = str(error)
        page = _unmeasured(name, {name: why, **reasons})
        assert page is not None, "there is a reason"
        pages.append(page)
    return pages


def _unmeasured(name: str, reasons: Mapping[str, str]) -> Unmeasured | None:
    """The table as one without a run; None where there is no reason for that."""
    if name not in reasons:
        return None
    table = TABLES[name]
    return Unmeasured(name, table.title, reasons[name], published_rows(table.published))


def _write_document(path: Path, folder: Path, pages: Sequence[Reproduced | Unmeasured]) -> None:
    kept = [page for page in pages if isinstance(page, Reproduced)]
    if not kept:
        _say(f"nothing is measured, so {path} is not written")
        return
    try:
        write_atomically(path, document(pages))
    except OSError as error:
        raise StackFailed(f"{path} could not be written: {error.strerror}; the records are in {folder}") from error
    if any(table.law for table in kept):
        _say(f"the think-time law, users / (think time + latency), is {law_words(laws_found(kept))}")
    _say(f"{path} is written, from the records in {folder}")


def _progress(progress: Progress) -> None:
    _say(f"window {progress.done + 1} of {progress.planned}: {progress.text}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
