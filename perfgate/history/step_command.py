"""`perfgate bisect-step`: is the working tree of a checkout worse than a good commit of it?

Comes in: options, thresholds.yaml, a checkout as it is now. Goes out: one sentence, and a code that `git bisect run`
reads (git_codes.py). It is one question of a search (bisection.py), asked for itself; git does the search.
"""

import argparse
import os
from pathlib import Path
from typing import Any, Final

from perfgate.errors import BadInput
from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.comparison import CPU, FIGURES
from perfgate.experiment.metrics import METRICS
from perfgate.history import measuring
from perfgate.history.answer_table import judged_words
from perfgate.history.bisect_command import Search, checked_margin, folder_of
from perfgate.history.bisection import ask
from perfgate.history.blame import Blaming
from perfgate.history.command import (
    Measurer,
    add_measuring_options,
    conditions_of,
    content_now,
    say,
    seed_of,
)
from perfgate.history.commits import checked_checkout, commit_named, name_of, results_beside, version_of
from perfgate.history.git_codes import STEP, GitCode
from perfgate.history.measuring import Version, content_sha256, question_of
from perfgate.history.metrics import KEPT, checked_metric
from perfgate.history.results_file import read_results
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.sources import SHOWN_HASH_CHARS, Checkout, PortkeyRelease, RunningUrl, source_of
from perfgate.stats.bisection import ALPHA
from perfgate.stats.decision import Decision
from perfgate.thresholds import load_thresholds

#: In the cache of environments: the current folder is the checkout, which nothing is written to.
STEPS_FOLDER: Final = "bisect-steps"
#: How many steps share the error of a search, since git does not say how many there will be; so many find one commit
#: in 1,000.
STEPS: Final = 10
ALPHA_STEP: Final = ALPHA / STEPS

_CODES: Final = {
    Decision.PASS: GitCode.GOOD,
    Decision.FAIL: GitCode.BAD,
    Decision.UNDECIDED: GitCode.UNTESTABLE,
}


def add_bisect_step(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `bisect-step` to the commands of `perfgate`."""
    parser = commands.add_parser(
        STEP,
        help="judge a working tree for `git bisect run`",
        description="Measure the working tree of a checkout beside a good commit of it, and end as `git bisect run` "
        "wants it: 0 good, 1 bad, 125 when it cannot be told or not be built, 128 and more when git is to stop.",
    )
    option = parser.add_argument
    option("--good", required=True, metavar="REF", help="a branch, a tag or a commit that is good")
    option("--margin", required=True, metavar="PERCENT", help="how much worse than the good one is bad: 10%%")
    option("--metric", default=CPU, metavar="NAME", help=f"one of {', '.join(KEPT)} (%(default)s)")
    option("--checkout", type=Path, default=Path(), metavar="FOLDER", help="the checkout (%(default)s)")
    add_measuring_options(parser)
    option(
        "--results",
        type=Path,
        metavar="DIR",
        help=f"the folder of results (default: {STEPS_FOLDER} in the cache of environments)",
    )
    parser.set_defaults(run=run_step)


def run_step(options: argparse.Namespace) -> GitCode:
    """Judge the working tree.

    Raises:
        BadInput: an option, thresholds.yaml, the checkout or the good commit cannot be used.
        StackFailed: the package index cannot be reached, nothing can be started here, or a result could not be written.
        KeyboardInterrupt: it was ended.
    """
    metric, allowed = checked_metric(options.metric), 1 + checked_margin(options.margin)
    thresholds = load_thresholds(options.thresholds, METRICS, FIGURES)
    question = question_of(thresholds, options.scenario, options.generations, options.minutes)
    cache = EnvironmentCache.of_user(os.environ)
    checkout = checked_checkout(options.checkout)
    good = version_of(checkout, commit_named(checkout, options.good, "--good"), options.deps)
    measuring.check_memory(question, good.gateway)
    folder = folder_of(results_beside(checkout, options.results, cache.folder / STEPS_FOLDER), good)
    assert not isinstance(good.gateway.source, RunningUrl | PortkeyRelease), "it is installed"
    with cache.using(good.gateway.source, good.gateway.deps, say=say) as environment:
        conditions = conditions_of(question, good, content_sha256(good.gateway, environment.packages))
        try:
            tree = _tree(checkout)
        except BadInput as error:
            print(f"it cannot be built: {error}")
            return GitCode.UNTESTABLE
        search = Search(
            folder,
            conditions,
            lambda version: content_now(cache, version),
            Blaming(Measurer(question, conditions, good.gateway, seed_of(options), cache)).measured,
            question.minutes,
            1,
            read_results(folder),
        )
        version = Version(_name(tree), GatewaySpec(tree, options.deps))
        asked = ask(version, metric, allowed, search.measure, known=search.known, alpha=ALPHA_STEP, say=say)
    print(judged_words(asked, metric, good.name, allowed, ALPHA_STEP))
    return _CODES[asked.decision]


def _tree(checkout: Path) -> Checkout:
    source = source_of(f"path:{checkout}")
    assert isinstance(source, Checkout), "it is a path"
    if source.is_dirty:
        say(f"{source} is measured as it is, with its changes")
    return source


def _name(tree: Checkout) -> str:
    """What a working tree is called in results: its commit, and its content where that is another."""
    commit = name_of(tree.commit.sha) if tree.commit is not None else "no-commit"
    return f"{commit}-{tree.content[:SHOWN_HASH_CHARS]}" if tree.is_dirty or tree.commit is None else commit
