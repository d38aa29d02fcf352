"""`perfgate calibrate --runs K`: which absolute limits does this host allow, and how often would each cry wolf?

Comes in: options. Goes out: a difference of thresholds.yaml on standard output, and nothing else there, so that it can
be kept or applied; what goes on and what every limit rests on is said on standard error. The runs come from
calibration_runs.py, the rule is in limits_proposal.py, the text is made by thresholds_edit.py.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from perfgate import calibration_runs
from perfgate.atomic_file import write_atomically
from perfgate.calibrate import RECORD_DIR, RUN_OPTIONS, given_run_options
from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.limits_proposal import (
    NotProposed,
    Proposal,
    has_absolute_limits,
    not_counted,
    proposals,
    summary,
    why_of,
    words,
)
from perfgate.record import Record
from perfgate.run import Asked
from perfgate.settings import settings_of
from perfgate.stats.prediction import RUNS_MIN
from perfgate.thresholds import host_class
from perfgate.thresholds_edit import NewLimit, unified_diff, with_limits

#: The suite that is run, from the current folder.
SUITE: Final = Path("tests/perf")


def propose_limits(options: argparse.Namespace) -> ExitCode:
    """Make the runs that are lacking, say what they speak for, show the difference, and write when asked to.

    Raises:
        BadInput: an option, the file or the host cannot be used; or the file was changed meanwhile.
        StackFailed: a run broke off, hardly any was fit to go by, or the file could not be written.
        KeyboardInterrupt: it was ended; the runs until then are kept.
    """
    if options.runs < RUNS_MIN:
        raise BadInput(f"--runs={options.runs}: at least {RUNS_MIN} are needed to predict the next one from them")
    if not SUITE.is_dir():
        raise BadInput(f"there is no {SUITE} in this folder, which is what is run: change into a checkout of perfgate")
    asked = _asked(options)
    class_name = _class_of_host(asked)
    try:
        runs = calibration_runs.runs_of(asked, options.runs, _arguments(asked, options), _say, calibration_runs.made)
    except KeyboardInterrupt:
        _say(f"the runs until now are in {asked.settings.record_dir}: the same command goes on with them")
        raise
    found = proposals(runs, asked.thresholds, asked.scenarios, class_name)
    for sentence in not_counted(runs, asked.scenarios):
        _say(sentence)
    if all(isinstance(one, NotProposed) for one in found):
        reasons = "".join(f"\n  {line}" for one in found for line in words(one))
        raise StackFailed(
            f"nothing can be proposed from {len(runs)} runs:{reasons}\n"
            f"next: add runs with a larger --runs, on a free machine; those in {asked.settings.record_dir} count"
        )
    for line in [*(line for one in found for line in words(one)), *summary(found, runs)]:
        _say(line)
    _show(asked, found, runs, class_name, write=options.write)
    return ExitCode.OK


def _asked(options: argparse.Namespace) -> Asked:
    """What every run is asked for: of the scenarios those that something can be proposed for."""
    given = {option.destination: getattr(options, option.destination) for option in RUN_OPTIONS}
    given |= {
        "perfgate_stack": options.stack,
        "perfgate_thresholds": str(options.thresholds),
        "perfgate_record_dir": str(options.record_dir or RECORD_DIR),
    }
    settings = settings_of(given.get, os.environ)
    if settings.baseline is not None:
        raise BadInput(
            "PERFGATE_BASELINE or PERFGATE_BASELINE_CONFIG is set, but margins need no calibration, and limits are of "
            "one gateway: unset it"
        )
    thresholds = calibration_runs.thresholds_at(options.thresholds)
    profile = thresholds.profiles.get(settings.profile)
    named = settings.scenarios or (profile.scenarios if profile is not None else ())
    # Names that the file does not have stay: there is a message for them.
    chosen = tuple(
        name
        for name in named
        if name not in thresholds.scenarios or has_absolute_limits(thresholds.scenarios[name].limits)
    )
    if named and not chosen:
        raise BadInput(
            f"all limits of {', '.join(named)} are margins, counts or shares, which hold on any host: nothing to "
            "calibrate"
        )
    return Asked.checked(replace(settings, scenarios=chosen), {})


def _class_of_host(asked: Asked) -> str | None:
    """The class whose limits are proposed; None where the file has no hosts.

    Raises:
        BadInput: it is of none of the file's: its limits are scaled, and have no place to be written to.
    """
    hosts, backend = asked.thresholds.hosts, asked.stack.choice.backend
    found = host_class(asked.host, hosts, backend)
    if found is not None or not hosts:
        return found
    other = "processes" if backend == "containers" else "containers"
    of_other = host_class(asked.host, hosts, other)
    hint = f"; with --stack {other} it is of the class {of_other}" if of_other is not None else ""
    raise BadInput(
        f"this host with {backend} is in no class of {asked.thresholds.path} (hosts), so there is no place for limits "
        f"of its own: add it with `perfgate calibrate --name NAME --stack {backend} --write`, then ask again{hint}; "
        "nothing was started"
    )


def _arguments(asked: Asked, options: argparse.Namespace) -> list[str]:
    """Of pytest, for every run."""
    given = given_run_options(options)
    given |= {"--stack": asked.stack.choice.backend, "--thresholds": str(options.thresholds)}
    given |= {"--record-dir": str(asked.settings.record_dir), "--profile": asked.settings.profile}
    if asked.scenarios != asked.profile.scenarios:
        given["--scenarios"] = ",".join(asked.scenarios)
    return [str(SUITE), *(word for option in given.items() for word in option)]


def _show(
    asked: Asked,
    found: Sequence[Proposal | NotProposed],
    runs: Sequence[Record],
    class_name: str | None,
    *,
    write: bool,
) -> None:
    path = asked.settings.thresholds_path
    before = path.read_bytes().decode("utf-8")
    if calibration_runs.thresholds_at(path).sha256 != asked.thresholds.sha256:
        raise BadInput(f"{path} was changed while runs were made: the same command proposes anew, and makes none again")
    changes = [one for one in found if isinstance(one, Proposal) and not one.is_kept]
    after = with_limits(
        before,
        [
            NewLimit(one.scenario, one.limit.metric, one.proposed.number, why_of(one, runs, class_name), one.on_class)
            for one in changes
        ],
    )
    if not changes:
        _say(f"{asked.thresholds.path} stays as it is")
        return
    print(unified_diff(before, after, asked.thresholds.path), end="", flush=True)
    if write:
        try:
            write_atomically(path, after)
        except OSError as error:
            raise StackFailed(
                f"{path} could not be written: {error.strerror}; the difference above can be applied by hand"
            ) from error
        _say(f"written to {asked.thresholds.path}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
