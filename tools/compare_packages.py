r"""What do packages beside LiteLLM change, such as those that it tries to import in every request?

    python tools/compare_packages.py --litellm 1.106.12 --packages 'opentelemetry-sdk prisma'

One release without them beside itself with them, measured as a release of `perfgate history` is: several starts of
each, asked in turn. Prints the figures without and with them, and the change with its 95 % interval.
"""

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from perfgate.errors import PerfgateError
from perfgate.exit_codes import ExitCode
from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.metrics import METRICS
from perfgate.history.command import Measurer, conditions_of
from perfgate.history.measuring import GENERATIONS, MINUTES, Unfit, Version, check_memory, question_of
from perfgate.history.metrics import KEPT
from perfgate.history.result import Measured
from perfgate.history.series import Standing
from perfgate.history.table import COLUMNS, change_words, table
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.installing import checked_packages
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Release
from perfgate.thresholds import load_thresholds
from perfgate.verdict import digits


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--litellm", default=DEFAULT_RELEASE, help="release (%(default)s)")
    made.add_argument("--packages", required=True, help="as of pytest's --with-packages")
    made.add_argument("--scenario", default="regression", help="of thresholds.yaml (%(default)s)")
    made.add_argument("--generations", type=int, default=GENERATIONS, help="starts of each side (%(default)s)")
    made.add_argument("--minutes", type=float, default=MINUTES, help="for all of it (%(default)g)")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--thresholds", type=Path, default=Path("thresholds.yaml"))
    return made


def main() -> int:
    options = parser().parse_args()
    try:
        print(compared(options), end="")
    except PerfgateError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Unfit as unfit:
        print(f"nothing can be said: {unfit}", file=sys.stderr)
        return ExitCode.INVALID
    return 0


def compared(options: argparse.Namespace) -> str:
    """Measure, and say what came of it.

    Raises:
        BadInput, StackFailed: an option is wrong, or something cannot be installed or started.
        Unfit: apparatus or errors speak against what was measured.
    """
    thresholds = load_thresholds(options.thresholds, METRICS, FIGURES)
    question = question_of(thresholds, options.scenario, options.generations, options.minutes)
    plain = GatewaySpec(Release(options.litellm))
    check_memory(question, plain)
    anchor = Version("without", plain)
    beside = Version("with", replace(plain, with_packages=checked_packages(options.packages)))
    cache = EnvironmentCache.of_user(os.environ)
    measurer = Measurer(question, conditions_of(question, anchor, ""), plain, options.seed, cache)
    standing = Standing(f"{plain} with {options.packages}", 1, 1, time.monotonic(), options.minutes * 60)
    return words(measurer.measured(beside, standing))


def words(measured: Measured) -> str:
    """The figures, and what was noted of the two."""
    rows = []
    for metric in filter(measured.figures.__contains__, COLUMNS):
        pairs, kept = measured.figures[metric], KEPT[metric]
        without, with_them = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
        figures = [f"{digits(figure)} {kept.unit}" for figure in (without, with_them)]
        rows.append([kept.title, *figures, change_words(measured.slowdown(metric))])
    head = ["figure", "without", "with them", "change and its 95 % interval, above 0 % is worse"]
    notes = "".join(f"\n- {note}" for note in measured.notes)
    return table(head, rows) + (f"{notes}\n" if notes else "")


if __name__ == "__main__":
    sys.exit(main())
