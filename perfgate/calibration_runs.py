"""Which runs does a calibration rest on, and how are those made that it still lacks?

Comes in: what is asked for (`Asked`), a folder, how many. Goes out: the records of runs that are alike. Each run is a
pytest of its own, one after the other; it takes the lease of the host like any other.

Records that are in the folder already count, so that a calibration which broke off goes on where it was, and more runs
can be added at another hour. Limits do not matter to that, only what is measured: beside the records stands a copy of
thresholds.yaml for each version that runs were made with, and the same loads and rounds have to be in it.
"""

import secrets
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from perfgate import __version__, noise_seen, record
from perfgate.atomic_file import write_atomically
from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.metrics import METRICS
from perfgate.interrupts import CANCELLING, like_ctrl_c
from perfgate.record import Record
from perfgate.report.terminal import MEANINGS
from perfgate.run import Asked
from perfgate.thresholds import Thresholds, load_thresholds

#: Codes of runs that have judged all they were to judge, whatever the verdicts.
WHOLE: Final = (ExitCode.OK, ExitCode.FAIL, ExitCode.INVALID)
#: What of a host changes from minute to minute.
_UNSTEADY: Final = ("load_1m", "cpu_pressure_avg10_percent")
#: Each run has a seed of its own: with PERFGATE_SEED all would have the same orders and arrivals.
_SEEDS: Final = 2**32


@dataclass(frozen=True, slots=True)
class Found:
    """What is in a folder.

    Args:
        runs: the records that count, oldest first.
        others: a sentence for every other, with why it does not count.
    """

    runs: tuple[Record, ...]
    others: tuple[str, ...]


def thresholds_at(path: Path) -> Thresholds:
    """Read and check a thresholds file, as a run does.

    Raises:
        BadInput: see `load_thresholds`.
    """
    return load_thresholds(path, METRICS, FIGURES)


def found_in(folder: Path, asked: Asked) -> Found:
    """The records of a folder that are of runs like the one asked for, and were made to their end."""
    runs, others = [], []
    for path in sorted(folder.glob("*.json")):
        if path.name == noise_seen.FILE:
            continue
        try:
            kept = record.read(path)
        except BadInput as error:
            others.append(f"not counted: {error}")
            continue
        reason = _broken_off(kept) or _difference(kept, asked) or _measured_otherwise(kept, folder, asked)
        if reason is None:
            runs.append(kept)
        else:
            others.append(f"not counted: {path}: {reason}")
    return Found(tuple(sorted(runs, key=lambda run: run.started_utc)), tuple(others))


def runs_of(
    asked: Asked,
    count: int,
    arguments: Sequence[str],
    say: Callable[[str], None],
    make: Callable[[Sequence[str]], int],
) -> tuple[Record, ...]:
    """At least so many runs that are alike: those that are there, and as many more as it takes.

    Args:
        asked: of every run; its settings name the folder of the records.
        count: how many.
        arguments: of pytest, for such a run; the seed is added.
        say: told what there is and what goes on.
        make: makes one run of a command, and returns its exit code: `made`.

    Raises:
        BadInput: the folder cannot be used, or a run said so of what it was given.
        StackFailed: a run broke off. What was made before is kept.
        KeyboardInterrupt: it was ended; likewise.
    """
    folder = asked.settings.record_dir
    _keep_copy(asked, folder)
    found = found_in(folder, asked)
    for sentence in found.others:
        say(sentence)
    if found.runs:
        say(f"runs that are in {folder} already and count: {len(found.runs)}")
    while len(found.runs) < count:
        command = [sys.executable, "-m", "pytest", *arguments, "--seed", str(secrets.randbelow(_SEEDS))]
        number = f"run {len(found.runs) + 1} of {count}"
        say(f"{number}: {asked.settings.without_secrets(shlex.join(['pytest', *command[3:]]))}")
        _check_code(make(command), number, folder)
        before, found = found, found_in(folder, asked)
        if len(found.runs) <= len(before.runs):
            new = [sentence for sentence in found.others if sentence not in before.others]
            raise StackFailed(
                f"{number} left no record that counts in {folder}: " + ("; ".join(new) or "there is none")
            )
    return found.runs


def made(command: Sequence[str]) -> int:
    """Make a run; what it prints goes to standard error, where progress is shown.

    Ctrl-C, and SIGTERM or SIGHUP, by which jobs are cancelled, end it as they end any run: services are stopped, and
    the record is kept. A second Ctrl-C does not wait for that.

    Returns:
        Its exit code; below 0 the signal that killed it.

    Raises:
        KeyboardInterrupt: it was ended so.
    """
    with (
        like_ctrl_c(*CANCELLING),
        # A group of its own: else Ctrl-C would reach it directly too, and the second one cut its clean-up short.
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, process_group=0) as run,
    ):
        try:
            return run.wait()
        except KeyboardInterrupt:
            try:
                # Not SIGINT, which a shell that starts us in the background has had ignored.
                run.terminate()
                run.wait()
            except KeyboardInterrupt:
                run.kill()  # its services have a supervisor, which ends them when it is gone
            raise


def _check_code(code: int, number: str, folder: Path) -> None:
    if code in WHOLE:
        return
    if code == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    known = code in set(ExitCode)
    why = MEANINGS[ExitCode(code)] if known else "killed by a signal" if code < 0 else "unknown"
    text = f"{number} ended with code {code} ({why}); what it said stands above. Runs before it are kept in {folder}"
    raise (BadInput if code == ExitCode.BAD_INPUT else StackFailed)(
        f"{text}: the same command goes on with them once that is mended"
    )


def _broken_off(kept: Record) -> str | None:
    if kept.finished_utc is None or kept.exit_code not in WHOLE or kept.incomplete:
        return "it broke off"
    return None


def _difference(kept: Record, asked: Asked) -> str | None:
    """In what a run differs from those asked for, in words; thresholds.yaml apart."""
    settings, choice = asked.settings, asked.stack.choice
    deps = {arm.gateway.deps for one in kept.measurements for arm in one.arms if arm.gateway is not None}
    pairs: dict[str, tuple[Any, Any]] = {
        "gateway": (kept.gateway, str(settings.gateway)),
        "dependencies": (", ".join(sorted(deps)) or settings.gateway.deps, settings.gateway.deps),
        "profile": (kept.profile, settings.profile),
        "scenarios": (", ".join(kept.scenarios), ", ".join(asked.scenarios)),
        "backend": (kept.stack.backend, choice.backend),
        "images": (kept.stack.images, settings.images),
        "generator": (kept.generator, settings.generator_words),
        "prisma_engine": (kept.stack.prisma_engine, settings.prisma_engine),
        "perfgate": (kept.perfgate_version, __version__),
    }
    host = asdict(asked.host)
    pairs |= {f"host's {key}": (kept.host.get(key), host[key]) for key in host if key not in _UNSTEADY}
    for what, (was, now) in pairs.items():
        if was != now:
            return f"{what} {was}, not {now}"
    # A checkout with changes has the same words whatever they are.
    source = asdict(settings.gateway.source.facts)
    if any(service.facts.get("source", source) != source for service in kept.services):
        return "the source of its gateway was another one"
    return None


def _measured_otherwise(kept: Record, folder: Path, asked: Asked) -> str | None:
    """Whether thresholds.yaml had other loads or rounds when a run was made, in words."""
    now = asked.thresholds
    if kept.thresholds_sha256 == now.sha256:
        return None
    then = _copy_of(kept.thresholds_sha256, folder)
    if then is None:
        return f"{now.path} has changed since, and there is no copy of it as it was"
    if then.apparatus != now.apparatus:
        return f"the apparatus' limits of {now.path} have changed since"
    for name in asked.scenarios:
        before, after = then.scenarios[name], now.scenarios[name]
        if (before.load, before.rounds) != (after.load, after.rounds):
            return f"load or rounds of {name} have changed in {now.path} since"
    return None


def _copy_path(sha256: str, folder: Path) -> Path:
    return folder / f"thresholds-{sha256[:12]}.yaml"


def _copy_of(sha256: str, folder: Path) -> Thresholds | None:
    try:
        return thresholds_at(_copy_path(sha256, folder))
    except BadInput:
        return None  # not there, or of a version whose files are no longer taken


def _keep_copy(asked: Asked, folder: Path) -> None:
    path = _copy_path(asked.thresholds.sha256, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, asked.settings.thresholds_path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise BadInput(
            f"--record-dir {folder}: no record can be written there ({error.strerror}); name another folder"
        ) from error
