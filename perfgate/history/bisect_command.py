"""`perfgate bisect`: which release, which commit, or which configuration, is the first that is worse?

Comes in: options, thresholds.yaml, a folder. Goes out: what is measured, in that folder; the answer on standard output;
an exit code.
"""

import argparse
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from perfgate.errors import BadInput
from perfgate.exit_codes import ExitCode
from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.comparison import CPU, FIGURES
from perfgate.experiment.metrics import METRICS
from perfgate.history import measuring
from perfgate.history.answer_table import answer_words
from perfgate.history.bisection import bisect
from perfgate.history.blame import Blaming
from perfgate.history.choice import Every, between
from perfgate.history.command import (
    Measurer,
    add_measuring_options,
    conditions_of,
    content_now,
    say,
    seed_of,
)
from perfgate.history.commit_notes import commit_notes
from perfgate.history.commits import Commits, commits_between, results_beside
from perfgate.history.measuring import Version, content_sha256, question_of
from perfgate.history.metrics import KEPT, checked_metric
from perfgate.history.result import Conditions, Measured, Result
from perfgate.history.results_file import checked_folder, read_results, write_result
from perfgate.history.series import BESIDE_S, Standing, stale
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.gateway_config import read_gateway_config
from perfgate.stack.releases import DEFAULT_RELEASE, checked_release
from perfgate.stack.sources import PortkeyRelease, Release, RunningUrl
from perfgate.stats.bisection import questions_planned
from perfgate.thresholds import load_thresholds

DEFAULT_FOLDER: Final = Path(".perfgate/bisect")
#: In the cache of environments, for commits: the current folder may be the checkout, which nothing is written to.
COMMITS_FOLDER: Final = "bisect"
_PERCENTAGE: Final = re.compile(r"(?P<number>\d+(\.\d+)?)\s*%")


def add_bisect(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `bisect` to the commands of `perfgate`."""
    parser = commands.add_parser(
        "bisect",
        help="find the first release, commit, or configuration, that is worse",
        description="Halve the releases between a good and a bad one; each is measured beside the good one, and again "
        "where that leaves it open. What is measured stays: end it at any time, and the same command goes on.",
    )
    option = parser.add_argument
    option("--good", metavar="RELEASE", help="the good end; with --checkout a branch, a tag or a commit")
    option("--bad", metavar="RELEASE", help="the bad end, likewise")
    option("--every", choices=get_args(Every), default="release", help="which releases lie between (%(default)s)")
    option(
        "--checkout",
        type=Path,
        metavar="FOLDER",
        help="search the commits of this git checkout of LiteLLM, of each merge the first parent; it is only read",
    )
    option(
        "--configs",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="search these configurations of one release instead, in this order: the first is good, the last is bad",
    )
    option("--litellm", default=DEFAULT_RELEASE, metavar="RELEASE", help="the release of --configs (%(default)s)")
    option("--metric", default=CPU, metavar="NAME", help=f"one of {', '.join(KEPT)} (%(default)s)")
    option(
        "--margin",
        metavar="PERCENT",
        help="how much worse than the good end is bad: 10%%; default: half of what the two ends differ by",
    )
    add_measuring_options(parser)
    option(
        "--results",
        type=Path,
        metavar="DIR",
        help=f"the folder of results (default: {DEFAULT_FOLDER}; with --checkout {COMMITS_FOLDER} in the cache of "
        "environments)",
    )
    parser.set_defaults(run=run_bisect)


def run_bisect(options: argparse.Namespace) -> ExitCode:
    """Search, and say what was found.

    Returns:
        OK when there is one answer; INVALID when there is none, or more than one version it may be.

    Raises:
        BadInput: an option, thresholds.yaml or the folder cannot be used.
        StackFailed: the package index cannot be reached, nothing comes up here, or a result could not be written.
        KeyboardInterrupt: it was ended; what was measured before is kept.
    """
    metric = checked_metric(options.metric)
    margin = None if options.margin is None else checked_margin(options.margin)
    thresholds = load_thresholds(options.thresholds, METRICS, FIGURES)
    question = question_of(thresholds, options.scenario, options.generations, options.minutes)
    cache = EnvironmentCache.of_user(os.environ)
    commits = None if options.checkout is None else _commits(options)
    versions = _versions(options, cache) if commits is None else commits.versions(options.deps)
    good = versions[0]
    measuring.check_memory(question, good.gateway)
    if commits is None:
        results = options.results or DEFAULT_FOLDER
    else:
        results = results_beside(commits.folder, options.results, cache.folder / COMMITS_FOLDER)
    folder = folder_of(results, good)
    assert not isinstance(good.gateway.source, RunningUrl | PortkeyRelease), "it is installed"
    with cache.using(good.gateway.source, good.gateway.deps, say=say) as environment:
        conditions = conditions_of(question, good, content_sha256(good.gateway, environment.packages))
        search = Search(
            folder,
            conditions,
            lambda version: content_now(cache, version),
            Blaming(Measurer(question, conditions, good.gateway, seed_of(options), cache)).measured,
            question.minutes,
            questions_planned(len(versions) - 1),
            read_results(folder),
        )
        say(f"{len(versions)} versions from {good.name} to {versions[-1].name}")
        try:
            answer = bisect(versions, metric, margin, search.measure, known=search.known, say=say)
        except KeyboardInterrupt:
            say(f"what is measured is in {folder}: the same command goes on with the rest")
            raise
    print(answer_words(answer, {} if commits is None else commits.described), end="")
    if commits is not None and answer.first_bad is not None:
        named = {version.name: version for version in versions}
        for note in commit_notes(commits, named[answer.last_good], named[answer.first_bad], cache):
            print(f"\n{note}")
    return ExitCode.OK if answer.first_bad is not None else ExitCode.INVALID


@dataclass(slots=True)
class Search:
    """Measures versions for a search, and keeps what is measured.

    Args:
        folder: of the results.
        conditions: of the series.
        content_of: see `series.measure_missing`.
        measure_once: measures a version; the third argument is which time this is.
        minutes: that one time takes.
        planned: questions, to say how far it is.
        found: what is in the folder.
    """

    folder: Path
    conditions: Conditions
    content_of: Callable[[Version], str | None]
    measure_once: Callable[[Version, Standing, int], Measured]
    minutes: float
    planned: int
    found: Mapping[str, Result]
    number: int = 0

    def known(self, version: Version) -> Measured | None:
        """What is measured of a version, if it is of what is asked for now."""
        self.number += 1
        before = self.found.get(version.name)
        if not isinstance(before, Measured):
            return None
        why = stale(before, self.conditions, self.content_of(version))
        if why is not None:
            say(f"{version.name} is measured anew: {why}")
            return None
        return before

    def measure(self, version: Version, before: Measured | None) -> Measured:
        """Measure a version once more; it is on the disk when this returns."""
        of = max(self.planned, self.number)
        standing = Standing(version.name, self.number, of, time.monotonic(), self.minutes * 60 + BESIDE_S)
        run = before.runs + 1 if before is not None else 1
        more = self.measure_once(version, standing, run)
        result = before.with_more(more) if before is not None else more
        write_result(self.folder, result)
        return result


def checked_margin(text: str) -> float:
    """What `--margin` says: 0.1 for 10 %.

    Raises:
        BadInput: no percentage.
    """
    match = _PERCENTAGE.fullmatch(text.strip())
    if match is None or not float(match["number"]) > 0:
        raise BadInput(f"--margin {text}: write a percentage above 0 such as 10%")
    return float(match["number"]) / 100


def folder_of(results: Path, good: Version) -> Path:
    """Of each good end its own: what stood beside another says nothing here.

    Raises:
        BadInput: it cannot be written to.
    """
    return checked_folder(results / re.sub(r"[^A-Za-z0-9._-]+", "-", good.name), "--results")


def _commits(options: argparse.Namespace) -> Commits:
    """The series of `--checkout`.

    Raises:
        BadInput: options that do not go together, or no such commits.
    """
    if options.configs is not None or options.every != "release":
        other = "--configs" if options.configs is not None else "--every"
        raise BadInput(f"{other} is not for commits: leave it out, or --checkout")
    if not (options.good and options.bad):
        raise BadInput("--checkout needs --good and --bad: a branch, a tag or a commit each")
    return commits_between(options.checkout, options.good, options.bad, say)


def _versions(options: argparse.Namespace, cache: EnvironmentCache) -> Sequence[Version]:
    """The series, the good end first.

    Raises:
        BadInput: options that do not go together, or a series of one.
    """
    if options.configs is not None:
        if options.good or options.bad:
            raise BadInput("--configs names both ends itself, the first and the last: leave --good and --bad out")
        return _configurations(options)
    if not (options.good and options.bad):
        raise BadInput("--good RELEASE and --bad RELEASE are needed, or --configs FILE FILE …")
    good, bad = checked_release(options.good), checked_release(options.bad)
    releases = between(cache.installer, good, bad, "release", say).releases if options.every == "release" else ()
    if options.every == "minor":
        inner = between(cache.installer, good, bad, "minor", say).releases
        releases = tuple(dict.fromkeys((good, *(one for one in inner if one not in (good, bad)), bad)))
    for name, number in (("--good", good), ("--bad", bad)):
        if number not in releases:
            raise BadInput(f"{name} {number}: the package index has no such release")
    if releases.index(good) >= releases.index(bad):
        raise BadInput(f"--good {good} is not before --bad {bad}")
    return [Version(number, GatewaySpec(Release(number), options.deps)) for number in releases]


def _configurations(options: argparse.Namespace) -> Sequence[Version]:
    release = Release(checked_release(options.litellm))
    names = [str(path) for path in options.configs]
    if len(names) < 2:
        raise BadInput(f"--configs {names[0]}: a good one and a bad one are needed at least")
    if len(set(names)) < len(names):
        raise BadInput(f"--configs: each once, not {' '.join(names)}")
    for path in options.configs:
        read_gateway_config(path)
    return [
        Version(name, GatewaySpec(release, options.deps, config_path=path))
        for name, path in zip(names, options.configs, strict=True)
    ]
