"""Could a command of the documentation be typed as it stands there?

Comes in: a page, and how pytest reads a command line. Goes out: what is wrong with its commands, a sentence each. Every
command goes through the parser that it has where it is typed, and its values through what reads them there; nothing is
measured, started or written. A program that nobody knows how to check here is wrong as well.
"""

import argparse
import contextlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from perfgate.cli import command_parser
from perfgate.errors import BadInput
from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.metrics import METRICS
from perfgate.github.gate import run_gate
from perfgate.github.inputs import NAMES, GateInputs, variable
from perfgate.history.bisect_command import checked_margin
from perfgate.history.choice import between
from perfgate.history.metrics import checked_metric
from perfgate.load.command import job_of, run_load
from perfgate.run import scenarios_asked
from perfgate.settings import OPTIONS, Settings, settings_of
from perfgate.stack.callbacks import lacking as cannot_log
from perfgate.stack.sources import source_of
from perfgate.thresholds import Thresholds, load_thresholds, parsed_thresholds
from tests.harness.conftest import ROOT
from tests.harness.documented_commands import Command, NoCommand, blocks_of, commands_of

#: Programs of others, which pages speak of in passing.
OTHERS: Final = ("ssh", "sha256sum")
#: The key that a reader has.
ENVIRON: Final[Mapping[str, str]] = {"MY_KEY": "sk-of-a-reader"}
#: Options by where their value goes: what names a gateway.
_GATEWAYS: Final = ("litellm", "baseline", "candidate", "release", "slower", "anchor", "good", "bad")
#: What is a ref of git where a checkout is named.
_REFS: Final = ("good", "bad")
_WHOLE_FILE: Final = re.compile(r"^profiles:.*^scenarios:.*^apparatus:", re.M | re.S)
#: As a neighbour of it calls it.
_THIS_PROJECT: Final = ("..", "perfgate")
#: Of a value that is left to the reader.
_OPEN: Final = "…"
_CHILD: Final = "import importlib, sys; importlib.import_module(sys.argv[1]).parser().parse_args(sys.argv[2:])"


class Wrong(Exception):
    """A command cannot be typed; the text says why."""


class Page:
    """Checks the commands of one page.

    Args:
        name: of the page, for places.
        text: of the page.
        parse: reads a command line as pytest does, from the project's folder.
    """

    def __init__(self, name: str, text: str, parse: Callable[..., pytest.Config]) -> None:
        self.name = name
        self.text = text
        self._parse = parse
        self._written: set[str] = set()

    def complaints(self) -> list[str]:
        """What is wrong, a sentence each."""
        try:
            commands = commands_of(self.text, self.name, PROGRAMS, OTHERS)
        except NoCommand as error:
            return [str(error)]
        found = []
        for command in commands:
            try:
                self.check(command)
            except (Wrong, BadInput, pytest.UsageError) as error:
                found.append(f"{command}: {error}")
        return found

    def check(self, command: Command) -> None:
        """Check one command.

        Raises:
            Wrong, BadInput, UsageError: it cannot be typed.
        """
        check = _CHECKS.get(command.program)
        if check is None:
            raise Wrong(f"nobody knows how to check {command.program}; give the block its language, or teach it")
        known = {variable(name) for name in NAMES} | {option.variable for option in OPTIONS}
        if unknown := command.variables.keys() - known:
            raise Wrong(f"there is no variable {', '.join(sorted(unknown))}")
        check(self, command)
        if command.into:
            self._written.add(command.into)

    # --- one for each program ---

    def check_perfgate(self, command: Command) -> None:
        """Its own parser, and what reads the values."""
        words = command.words[1:]
        try:
            options = _parsed(command_parser(), words)
        except BadInput as error:
            is_named_alone = command.is_mentioned and not any(word.startswith("-") for word in words)
            if is_named_alone and "arguments are required" in str(error):
                return
            raise
        if options is None or _is_open(command):
            return
        if options.run is run_gate:
            inputs = GateInputs.of_environ(command.variables)
            self.check_pytest(replace(command, words=("pytest", *inputs.arguments())))
        if options.run is run_load:
            job_of(options)
        self._check_values(vars(options))

    def check_pytest(self, command: Command) -> None:
        """Every option that plugins add, what perfgate makes of its own, and files."""
        config = self._parse(*command.words[1:])
        for argument in config.args:
            path = argument.partition("::")[0]
            if not (ROOT / path).exists():
                raise Wrong(f"there is no {path}")
        if not _is_open(command):
            self._check_run(settings_of(config.getoption, ENVIRON))

    def check_make(self, command: Command) -> None:
        """What `make` would do, and the pytest that it would run."""
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for word in command.words[1:]:
            name, equals, _ = word.partition("=")
            # make itself takes a folder of that name for a target that is up to date, and any variable.
            what, form = ("variable", r" \?=") if equals else ("target", ":")
            if re.search(rf"^{re.escape(name)}{form}", makefile, re.M) is None:
                raise Wrong(f"the Makefile has no {what} {name}")
        # What an outer make, which runs the tests, has told its own children is not meant for this one.
        environ = {name: text for name, text in os.environ.items() if not name.startswith(("MAKE", "ARGS", "MFLAGS"))}
        done = _run(["make", "--dry-run", *command.words[1:]], environ)
        for line in done.splitlines():
            if line.startswith(".venv/bin/pytest"):
                self.check_pytest(replace(command, words=("pytest", *shlex.split(line)[1:])))

    def check_python(self, command: Command) -> None:
        """A tool, or a module of perfgate: its `parser()`."""
        what, *words = command.words[1:]
        if what == "-m":
            module, *words = words
            if not (ROOT / f"{module.replace('.', '/')}.py").exists():
                raise Wrong(f"there is no module {module}")
            # In a process of its own: importing some of them changes the standard library.
            _run([sys.executable, "-c", _CHILD, module, *words], os.environ)
            return
        path = ROOT / what
        if not path.exists():
            raise Wrong(f"there is no {what}")
        with _imported(path) as tool:
            options = _parsed(tool.parser(), words)
        if options is not None:
            self._check_values(vars(options))

    def check_git(self, command: Command) -> None:
        """What it is given to apply, or to run."""
        rest = command.words[1:]
        if rest[:1] == ("-C",):  # a folder of the reader's
            rest = rest[2:]
        match rest:
            case ("bisect", "start", *refs) if len(refs) == 2:
                pass  # a bad and a good one, of the reader's checkout
            case ("bisect", "run" | "skip") if command.is_mentioned:
                pass
            case ("apply", *files):
                for file in files:
                    if not (ROOT / file).exists() and file not in self._written:
                        raise Wrong(f"there is no {file}, and no command before it writes it")
            case ("bisect", "run", *words) if words:
                self.check(replace(command, words=tuple(words)))
            case others:
                raise Wrong(f"nobody knows how to check git {shlex.join(others)}")

    def check_locust(self, command: Command) -> None:
        """Locust itself, which reads the locustfile and lists its users in place of a load."""
        said = _run([sys.executable, "-m", "locust", *command.words[1:], "--list"], {**os.environ, **ENVIRON})
        if "GatewayUser" not in said:
            raise Wrong(f"no user of perfgate's is in that locustfile: {said}")

    # --- values ---

    def _check_values(self, values: Mapping[str, Any]) -> None:
        """What a parser found, by where it goes."""
        of_checkout = _REFS if values.get("checkout") is not None else ()
        for name in (name for name in _GATEWAYS if name not in of_checkout):
            given = values.get(name)
            for text in given if isinstance(given, list) else [given]:
                if text is not None:
                    source_of(text)
        if values.get("metric") is not None:
            checked_metric(values["metric"])
        if values.get("margin") is not None:
            checked_margin(values["margin"])
        if "first" in values and values["listed"] is None:
            between(_OneRelease(values["first"]), values["first"], values["last"], values["every"])
        if (pool := values.get("pool")) is not None and not list((ROOT / pool).glob("batch-*.npz")):
            raise Wrong(f"{pool} has no batches")
        if "thresholds" in values:
            of_file, *_ = self._thresholds(values["thresholds"])
            for part, key in (("scenarios", "scenario"), ("profiles", "profile")):
                if (named := values.get(key)) is not None and named not in getattr(of_file, part):
                    raise Wrong(f"{of_file.path} has no {key} {named}")
        of_run = {name: text for name, text in values.items() if name.startswith("perfgate_")}
        if of_run:
            settings = settings_of({"perfgate_stack": values.get("stack"), **of_run}.get, ENVIRON)
            if "perfgate_profile" in of_run:
                self._check_run(settings)

    def _check_run(self, settings: Settings) -> None:
        """A run, as far as that takes no look at the host."""
        problems = []
        for thresholds in self._thresholds(settings.thresholds_path):
            try:
                scenarios = scenarios_asked(settings, thresholds)
            except BadInput as error:
                problems.append(error)
                continue
            for name in scenarios:
                needs = thresholds.scenarios[name].needs
                if needs.baseline and settings.baseline is None:
                    raise Wrong(f"{name} needs a --baseline")
                if needs.callback and (why := cannot_log(needs.callback, settings.gateway.source)) is not None:
                    raise Wrong(f"{name} needs another release: {why}")
            return
        raise problems[0]

    def _thresholds(self, path: Path) -> Sequence[Thresholds]:
        """The file, where there is one, and the one that the page shows, where it names it."""
        if path.parts[: len(_THIS_PROJECT)] == _THIS_PROJECT:
            path = Path(*path.parts[len(_THIS_PROJECT) :])
        found = [_loaded(ROOT / path)] if (ROOT / path).exists() else []
        if f"`{path}`" in self.text:
            shown = [block for block in blocks_of(self.text, "yaml") if _WHOLE_FILE.search(block)]
            found += [parsed_thresholds(block.encode(), str(path), METRICS, FIGURES) for block in shown]
        if not found:
            raise Wrong(f"there is no {path}, and the page shows none")
        return found


_CHECKS: Final[Mapping[str, Callable[[Page, Command], None]]] = {
    "perfgate": Page.check_perfgate,
    "pytest": Page.check_pytest,
    "make": Page.check_make,
    "python": Page.check_python,
    "git": Page.check_git,
    "locust": Page.check_locust,
}
#: Whose commands are checked.
PROGRAMS: Final = tuple(_CHECKS)


class _OneRelease:
    """A package index that has one release of everything."""

    def __init__(self, number: str) -> None:
        self._number = number.removeprefix("v")

    def newest(self, versions: str) -> str | None:
        """That one."""
        return self._number


def _is_open(command: Command) -> bool:
    """Whether running text leaves values to the reader."""
    return command.is_mentioned and any(_OPEN in word for word in command.words)


def _parsed(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace | None:
    """What a parser finds; None where it was asked for help, which it gave."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            return parser.parse_args(words)
    except SystemExit as ended:
        if ended.code:
            raise Wrong(said.getvalue().strip().splitlines()[-1]) from ended
        return None


def _run(argv: Sequence[str], environ: Mapping[str, str]) -> str:
    """What a program says that is to end with 0, in the project's folder."""
    done = subprocess.run(argv, cwd=ROOT, env=dict(environ), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Wrong([f"it ends with {done.returncode}", *(done.stderr or done.stdout).strip().splitlines()][-1])
    return done.stdout


@contextlib.contextmanager
def _imported(path: Path) -> Iterator[ModuleType]:
    """A tool, which is no part of a package, with the tools beside it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    beside = str(path.parent)
    sys.path.insert(0, beside)
    sys.modules[path.stem] = module  # its dataclasses look themselves up there
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.modules.pop(path.stem, None)
        sys.path.remove(beside)


@lru_cache
def _loaded(path: Path) -> Thresholds:
    return load_thresholds(path, METRICS, FIGURES)
