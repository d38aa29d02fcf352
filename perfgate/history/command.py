"""`perfgate history`: what did each release of LiteLLM cost?

Comes in: options, thresholds.yaml, a folder. Goes out: results in that folder, one by one; tables, a chart and a page
beside them; the tables on standard output; an exit code.
"""

import argparse
import json
import os
import platform
import secrets
import shlex
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, get_args

from packaging.version import Version as PackageVersion

from perfgate import __version__
from perfgate.atomic_file import write_atomically
from perfgate.errors import BadInput, PerfgateError, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.bench import StackBench
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.likeness import PACKAGES_DIFFER
from perfgate.experiment.metrics import METRICS
from perfgate.experiment.rounds import Progress
from perfgate.history import measuring
from perfgate.history.chart import chart
from perfgate.history.choice import LATEST, Choice, Every, between, listed
from perfgate.history.lines import lines
from perfgate.history.measuring import GENERATIONS, MINUTES, Question, TimedBench, Version, content_sha256, question_of
from perfgate.history.metrics import DRAWN
from perfgate.history.page import page
from perfgate.history.result import Conditions, LeftOut, Measured, Result
from perfgate.history.results_file import checked_folder, read_results
from perfgate.history.series import Standing, measure_missing, stale
from perfgate.history.steps import changes
from perfgate.history.table import Report, tables
from perfgate.lease import Lease
from perfgate.measure.host import fingerprint
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.releases import DepsMode, checked_release
from perfgate.stack.sources import PortkeyRelease, Release, RunningUrl
from perfgate.thresholds import load_thresholds

DEFAULT_FOLDER: Final = Path(".perfgate/history")
#: The oldest minor version that perfgate is tried with.
DEFAULT_FIRST: Final = "1.79"
SAY_EVERY_S: Final = 30.0


def add_history(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `history` to the commands of `perfgate`."""
    parser = commands.add_parser(
        "history",
        help="measure releases of LiteLLM, each beside the same one",
        description="Start every release several times beside a fixed one, the anchor, ask both in turn, and keep what "
        "each costs. What is measured stays: end it at any time, and the same command goes on.",
    )
    option = parser.add_argument
    option("--from", dest="first", default=DEFAULT_FIRST, metavar="RELEASE", help="the oldest (%(default)s)")
    option("--to", dest="last", default=LATEST, metavar="RELEASE", help="the newest (%(default)s)")
    option(
        "--every",
        choices=get_args(Every),
        default="minor",
        help="the newest release of each minor version, or all releases (%(default)s)",
    )
    option("--list", dest="listed", metavar="RELEASES", help="these releases, divided by commas, and no others")
    option("--anchor", metavar="RELEASE", help="what all stand beside; default: the oldest of them")
    add_measuring_options(parser)
    option("--results", type=Path, default=DEFAULT_FOLDER, metavar="DIR", help="the folder of results (%(default)s)")
    option("--show", action="store_true", help="measure nothing: the tables of what is measured")
    option("--html", type=Path, metavar="FILE", help="write the page with curves there, too; it is history.html in DIR")
    parser.set_defaults(run=run_history)


def add_measuring_options(parser: argparse.ArgumentParser) -> None:
    """What `history` and `bisect` have in common."""
    option = parser.add_argument
    option("--scenario", default="regression", metavar="NAME", help="of thresholds.yaml, its load (%(default)s)")
    option(
        "--deps",
        choices=get_args(DepsMode),
        default="of-its-time",
        help="dependencies as of each release, or of today (%(default)s)",
    )
    option(
        "--generations",
        type=int,
        default=GENERATIONS,
        metavar="N",
        help="starts of each side, all alive at once (%(default)s)",
    )
    option("--minutes", type=float, default=MINUTES, metavar="M", help="for one release (%(default)s)")
    option("--seed", type=int, metavar="N", help="of all random orders; default: a new one, kept with the results")
    option("--thresholds", type=Path, default=Path("thresholds.yaml"), metavar="FILE", help="(%(default)s)")


def run_history(options: argparse.Namespace) -> ExitCode:
    """Measure what is missing or stale, and show all.

    Raises:
        BadInput: an option, thresholds.yaml or the folder cannot be used.
        StackFailed: the package index cannot be reached, a file could not be written, or nothing could be measured.
        KeyboardInterrupt: it was ended; what was measured before is kept.
    """
    if options.show:
        shown = report_of_folder(options.results)
        if options.html is not None:
            _write_page(options.html, page(shown))
        print(tables(shown), end="")
        return ExitCode.OK
    thresholds = load_thresholds(options.thresholds, METRICS, FIGURES)
    question = question_of(thresholds, options.scenario, options.generations, options.minutes)
    cache = EnvironmentCache.of_user(os.environ)
    choice = _choice(options, cache)
    number = checked_release(options.anchor) if options.anchor else choice.releases[0]
    anchor = GatewaySpec(Release(number), options.deps)
    versions = [Version(name, GatewaySpec(Release(name), options.deps)) for name in choice.releases if name != number]
    if not versions:
        raise BadInput(f"there is no release to measure beside {anchor.source}: give more, or another --anchor")
    measuring.check_memory(question, anchor)
    folder = checked_folder(options.results, "--results")
    say(f"beside {anchor.source}: {len(versions)} releases, at most {question.minutes:g} minutes each")
    # Kept in use all the time, so that it stays what it is.
    with cache.using(Release(number), anchor.deps, say=say) as environment:
        conditions = conditions_of(question, Version(number, anchor), content_sha256(anchor, environment.packages))
        try:
            results = measure_missing(
                versions,
                folder,
                conditions=conditions,
                content_of=lambda version: content_now(cache, version),
                measure=Measurer(question, conditions, anchor, seed_of(options), cache).measured,
                minutes_each=question.minutes,
                say=say,
            )
        except KeyboardInterrupt:
            say(f"what is measured is in {folder}: the same command goes on with the rest")
            raise
    return _concluded(options, choice, conditions, results)


def report_of_folder(folder: Path) -> Report:
    """What is measured in a folder, under the conditions of the latest result.

    Raises:
        BadInput: nothing is, or a file cannot be read.
    """
    known = read_results(folder)
    measured = [result for result in known.values() if isinstance(result, Measured)]
    if not measured:
        raise BadInput(f"--results {folder}: nothing is measured there; leave --show out")
    conditions = max(measured, key=lambda result: result.measured_utc).conditions
    order = sorted({*known, conditions.anchor}, key=PackageVersion)
    left_out = [(name, result.reason) for name, result in known.items() if isinstance(result, LeftOut)]
    others = {result.version: why for result in measured if (why := stale(result, conditions, None)) is not None}
    left_out += [(name, f"measured under other conditions: {why}") for name, why in others.items()]
    left_out.sort(key=lambda each: PackageVersion(each[0]))
    shown = {name: result for name, result in known.items() if name not in others}
    command = shlex.join(["perfgate", "history", "--show", "--results", str(folder)])
    drawn = lines(order, shown, conditions.anchor)
    return Report(command, conditions, tuple(order), drawn, tuple(left_out), _notes(shown.values()))


def _concluded(
    options: argparse.Namespace, choice: Choice, conditions: Conditions, results: Mapping[str, Result]
) -> ExitCode:
    """Write and print what it came to."""
    left_out = [result for result in results.values() if isinstance(result, LeftOut)]
    if results and len(left_out) == len(results):
        reasons = "".join(f"\n  {result.version}: {result.reason}" for result in left_out)
        raise StackFailed(f"none of {len(results)} releases could be measured:{reasons}")
    report = Report(
        _command(options),
        conditions,
        choice.releases,
        lines(choice.releases, results, conditions.anchor),
        (
            *((number, f"refused: {why}") for number, why in choice.refused.items()),
            *((result.version, result.reason) for result in left_out),
        ),
        _notes(results.values()),
    )
    text, html = tables(report), page(report)
    try:
        write_atomically(options.results / "history.json", json.dumps(_as_json(report), indent=1) + "\n")
        write_atomically(options.results / "history.md", text)
        write_atomically(options.results / "history.html", html)
        if any(line.metric in DRAWN for line in report.lines):
            write_atomically(options.results / "history.svg", chart(report))
    except OSError as error:
        raise StackFailed(f"{options.results}: the tables could not be written: {error.strerror}") from error
    if options.html is not None:
        _write_page(options.html, html)
    print(text, end="")
    # What cannot be installed will not be so tomorrow either; what failed may.
    return ExitCode.INCOMPLETE if any(one.kind in ("failed", "unfit") for one in left_out) else ExitCode.OK


def _write_page(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise StackFailed(f"--html {path}: it could not be written: {error.strerror}; name another file") from error


def _notes(results: Iterable[Result]) -> tuple[tuple[str, str], ...]:
    """What was said of versions, but for their packages: releases a year apart differ in most of those."""
    return tuple(
        (result.version, note)
        for result in results
        if isinstance(result, Measured)
        for note in result.notes
        if not note.startswith(PACKAGES_DIFFER)
    )


def _as_json(report: Report) -> dict[str, Any]:
    found = [asdict(change) for line in report.lines for change in changes(line)]
    return {"perfgate_version": __version__, **asdict(report), "steps": found}


def _choice(options: argparse.Namespace, cache: EnvironmentCache) -> Choice:
    if options.listed is not None:
        return listed(options.listed)
    return between(cache.installer, options.first, options.last, options.every, say)


def _command(options: argparse.Namespace) -> str:
    """What to type to have it again."""
    chosen = {"--from": options.first, "--to": options.last, "--every": options.every}
    if options.listed is not None:
        chosen = {"--list": options.listed}
    if options.anchor is not None:
        chosen["--anchor"] = options.anchor
    chosen |= {"--scenario": options.scenario, "--deps": options.deps, "--generations": str(options.generations)}
    chosen |= {"--minutes": f"{options.minutes:g}", "--results": str(options.results)}
    return shlex.join(["perfgate", "history", *(word for pair in chosen.items() for word in pair)])


@dataclass(frozen=True, slots=True)
class Measurer:
    """Measures versions on the real stack, each on a bench of its own, alone on the host.

    Args:
        question: of every version.
        conditions: of the series.
        anchor: what all stand beside.
        seed: that each version's own is made from.
        cache: where versions are installed.
        open_bench: with who is told what takes long, and who is told notes.
    """

    question: Question
    conditions: Conditions
    anchor: GatewaySpec
    seed: int
    cache: EnvironmentCache
    open_bench: Callable[[Callable[[str], None], Callable[[str], None]], AbstractContextManager[TimedBench]] = (
        lambda say, note: StackBench(EnvironmentCache.of_user(os.environ), say=say, on_note=note)
    )

    def measured(self, version: Version, standing: Standing, run: int = 1) -> Measured:
        """Measure one; `run` tells repetitions apart, which have other orders."""
        notes: list[str] = []
        # Not hash(), which differs from process to process.
        seed = zlib.crc32(f"{self.seed}/{version.name}/{run}".encode())
        gateway = version.gateway
        assert not isinstance(gateway.source, RunningUrl | PortkeyRelease), "it is installed"
        with (
            # Before its time begins, and while others may still measure.
            self.cache.using(gateway.source, gateway.deps, gateway.with_packages, say=say),
            Lease.of_user(os.environ).exclusive(f"measuring {gateway}", say),
            self.open_bench(say, notes.append) as bench,
        ):
            return measuring.measured(
                bench,
                self.question,
                self.conditions,
                self.anchor,
                version,
                seed=seed,
                on_progress=_seldom(standing),
                notes=notes,
            )

    def check_anchor_starts(self) -> None:
        """See that the anchor comes up here and now: where it does not, no version is to blame.

        Raises:
            BadInput, StackFailed: it does not.
        """
        with (
            Lease.of_user(os.environ).exclusive(f"starting {self.anchor}", say),
            self.open_bench(say, lambda note: None) as bench,
            ExitStack() as until_it_answers,
        ):
            bench.start_gateways([replace(self.anchor, apart="tried")], until_it_answers)


def conditions_of(question: Question, anchor: Version, anchor_sha256: str) -> Conditions:
    """Of a series on this host."""
    host = fingerprint()
    return Conditions(
        question.scenario.name,
        question.load_words,
        anchor.name,
        anchor_sha256,
        anchor.gateway.deps,
        platform.python_version(),
        host.cpu_model,
        host.cores_allowed,
    )


def content_now(cache: EnvironmentCache, version: Version) -> str | None:
    """A version's content as it would be measured now; None where that cannot be known.

    Dependencies of a release's time, or of a commit's, stay what they were. Those of today may be others, so they are
    installed to see; where that fails, the version could not be measured anew either, and its result stays.
    """
    gateway = version.gateway
    assert not isinstance(gateway.source, RunningUrl | PortkeyRelease), "it is installed"
    environment = cache.known(gateway.source, gateway.deps, gateway.with_packages)
    if environment is not None:
        return content_sha256(gateway, environment.packages)
    if gateway.deps == "of-its-time":
        return None
    try:
        with cache.using(gateway.source, gateway.deps, gateway.with_packages, say=say) as made:
            return content_sha256(gateway, made.packages)
    except PerfgateError as error:
        say(f"{version.name}: whether its dependencies are others now is not known: {error}")
        return None


def seed_of(options: argparse.Namespace) -> int:
    """As asked for, or a new one."""
    return secrets.randbelow(10_000) if options.seed is None else int(options.seed)


def _seldom(standing: Standing) -> Callable[[Progress], None]:
    """Say now and then where a version stands."""
    next_mono_s = 0.0

    def show(progress: Progress) -> None:
        nonlocal next_mono_s
        now_mono_s = time.monotonic()
        if now_mono_s >= next_mono_s:
            next_mono_s = now_mono_s + SAY_EVERY_S
            say(f"{standing.words(now_mono_s)}: window {progress.done + 1} of {progress.planned}, {progress.text}")

    return show


def say(text: str) -> None:
    """Tell people what goes on, beside what is printed for programs."""
    print(text, file=sys.stderr, flush=True)
