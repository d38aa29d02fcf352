"""pytest's side of perfgate: options, fixtures, hooks. No arithmetic, no judgement.

A test module that measures says so with `pytestmark = pytest.mark.scenario("overhead")`. Its fixtures:

    stack   `stack.arms("direct", "gateway")`: what is compared
    rounds  `rounds.run(arms)`: measure, interleaved, until the scenario's limits are decided
    limits  `limits.check("overhead_p95_ms", measured)`: PASS, FAIL or INVALID
"""

import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from perfgate.errors import BadInput, PerfgateError, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.experiment.arms import Arm
from perfgate.experiment.bench import ProcessBench
from perfgate.experiment.measurement import Measurement
from perfgate.experiment.rounds import Progress, run_rounds
from perfgate.report import junit, terminal
from perfgate.run import Run
from perfgate.settings import OPTIONS, settings_of
from perfgate.stack.environments import EnvironmentCache
from perfgate.verdict import Judgement, Verdict, explain

RUN: Final = pytest.StashKey[Run]()
SHOWN: Final = pytest.StashKey["_Shown"]()


class JudgedFail(AssertionError):
    """A limit failed; the text is the whole message."""


class JudgedInvalid(Exception):
    """A limit could not be judged; the text is the whole message."""


class _Shown:
    """What the reports of this session said: counted where they arrive, so that it is right under xdist too."""

    def __init__(self) -> None:
        self.codes: list[ExitCode] = []
        self.invalid: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect which exit codes the reports earn."""
        if not report.failed:
            return
        if getattr(report, "perfgate_invalid", False):
            self.invalid.append(str(report.longrepr))
        else:
            self.codes.append(ExitCode(getattr(report, "perfgate_code", ExitCode.FAIL)))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register every option."""
    group = parser.getgroup("perfgate", "perfgate: performance limits of a LiteLLM gateway")
    for option in OPTIONS:
        shown = f" (default {option.default})" if option.default else ""
        group.addoption(
            option.name,
            dest=option.destination,
            default=None,
            metavar=option.name.removeprefix("--").upper().replace("-", "_"),
            help=f"{option.meaning}{shown}; also {option.variable}",
        )


def pytest_configure(config: pytest.Config) -> None:
    """Start counting."""
    config.stash[SHOWN] = _Shown()
    config.pluginmanager.register(config.stash[SHOWN], "perfgate-shown")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check options and thresholds once it is known that something will be measured; keep the declared scenarios."""
    scenario_of = {item: _scenario(item) for item in items}
    if not any(scenario_of.values()):
        return
    if hasattr(config, "workerinput"):
        raise pytest.UsageError("measurements would disturb each other: run the perf tests without -n")
    try:
        settings = settings_of(config.getoption, os.environ)
        run = Run.prepared(settings, ["pytest", *map(str, config.invocation_params.args)])
    except BadInput as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[RUN] = run
    others = [item for item in items if scenario_of[item] and scenario_of[item] not in run.scenarios]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show a verdict or a worded error as its own message, without a traceback of the harness."""
    report = yield
    if call.excinfo is None:
        return report
    error = call.excinfo.value
    if isinstance(error, JudgedFail | JudgedInvalid | PerfgateError):
        report.longrepr = str(error)
    if isinstance(error, JudgedInvalid):
        report.perfgate_invalid = True  # type: ignore[attr-defined]
    if isinstance(error, PerfgateError):
        report.perfgate_code = int(error.exit_code)  # type: ignore[attr-defined]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport | pytest.CollectReport) -> tuple[str, str, str] | None:
    """INVALID is a category of its own: neither failed nor skipped nor passed."""
    if getattr(report, "perfgate_invalid", False):
        return "invalid", "I", "INVALID"
    return None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """End with perfgate's exit code where something was measured, and close the record."""
    config = session.config
    run = config.stash.get(RUN, None)
    if run is not None and not config.option.collectonly:
        codes = list(config.stash[SHOWN].codes)
        if session.exitstatus in (ExitCode.INTERRUPTED, ExitCode.INTERNAL, ExitCode.BAD_INPUT):
            codes.append(ExitCode(int(session.exitstatus)))
        code = run.exit_code(codes)
        try:
            run.finish(code)
        except StackFailed as error:
            run.notes.append(str(error))
            code = run.exit_code([*codes, ExitCode.STACK_FAILED])
        session.exitstatus = int(code)
    yield
    xml = getattr(config.option, "xmlpath", None)
    if run is not None and xml and Path(xml).exists():
        junit.mark_invalid(Path(xml))


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """Print what could not be judged, the table, and one line that says it all."""
    run = config.stash.get(RUN, None)
    if run is None or config.option.collectonly:
        return
    show = terminalreporter
    for text in config.stash[SHOWN].invalid:
        show.write_sep("_", "INVALID", yellow=True)
        show.write_line(text)
    show.write_sep("=", "perfgate")
    if run.judgements:
        show.write_line(terminal.table(run.judgements, show._tw.fullwidth, colour=show.hasmarkup))
    for line in terminal.cross_checks(run.measurements):
        show.write_line(f"cross-check  {line}")
    for note in run.notes:
        show.write_line(f"note         {note}")
    for sentence in run.incomplete():
        show.write_line(f"INCOMPLETE   {sentence}", red=True)
    show.write_line(f"record       {run.file.path}")
    show.write_line(terminal.closing_line(run, ExitCode(int(show._session.exitstatus))), bold=True)


@dataclass(frozen=True, slots=True)
class Stack:
    """What can be compared in this session; processes are started by `rounds`."""

    run: Run
    bench: ProcessBench

    def arms(self, *names: str) -> tuple[Arm, ...]:
        """The arms by name: `direct` (no gateway), `gateway` (the one that --litellm names).

        Raises:
            ValueError: an arm of another name.
        """
        known = {"direct": Arm("direct", None), "gateway": Arm("gateway", self.run.settings.gateway)}
        for name in names:
            if name not in known:
                raise ValueError(f"arm {name!r}: must be one of {', '.join(known)}")
        return tuple(known[name] for name in names)


class Limits:
    """The limits of the module's scenario."""

    def __init__(self, run: Run, scenario: str) -> None:
        self._run = run
        self._scenario = scenario

    def decided(self, measurement: Measurement) -> bool:
        """Whether no limit of the scenario is open any more."""
        return self._run.is_decided(measurement)

    def check(self, metric: str, measurement: Measurement) -> Judgement:
        """Judge a metric; a FAIL or INVALID ends the test with its whole message."""
        judgement = self._run.judged(measurement, metric)
        self._run.keep_judgement(judgement)
        text = "\n".join(explain(judgement, self._run.surroundings(self._scenario)))
        if judgement.verdict is Verdict.FAIL:
            raise JudgedFail(text)
        if judgement.verdict is Verdict.INVALID:
            raise JudgedInvalid(text)
        return judgement


class Rounds:
    """Measures the module's scenario."""

    def __init__(self, stack: Stack, scenario: str, limits: Limits, show: "_ProgressLine") -> None:
        self._stack = stack
        self._scenario = scenario
        self._limits = limits
        self._show = show

    def run(self, arms: Sequence[Arm], *, direct_window_s: float | None = None) -> Measurement:
        """Measure with the load and the rounds that thresholds.yaml gives the scenario.

        Args:
            arms: of every round.
            direct_window_s: length of the direct arm's windows where they only have to show that the apparatus is fit;
                None for the same as the others.
        """
        run, scenario = self._stack.run, self._scenario
        load = run.thresholds.scenarios[scenario].load
        schedule = load.open_loop
        measurement = run_rounds(
            self._stack.bench,
            scenario,
            arms,
            schedule,
            run.plan(scenario),
            seed=run.settings.seed,
            until=self._limits.decided,
            time_left_s=lambda: run.time_left_s(scenario),
            payload_bytes=load.payload_bytes,
            direct_schedule=replace(schedule, window_s=direct_window_s) if direct_window_s else None,
            on_progress=lambda progress: self._show(scenario, progress),
            on_window=run.keep_measurement,
        )
        run.keep_measurement(measurement)
        return measurement


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Supervisor, mock endpoint and generator; gateways on demand."""
    run = request.config.stash[RUN]
    cache = EnvironmentCache.of_user(os.environ)
    with ProcessBench(cache, on_service=run.keep_service) as bench:
        yield Stack(run, bench)


@pytest.fixture(scope="module")
def limits(request: pytest.FixtureRequest) -> Limits:
    """The limits of the scenario that the module names."""
    return Limits(request.config.stash[RUN], _named(request.node))


@pytest.fixture(scope="module")
def rounds(request: pytest.FixtureRequest, stack: Stack, limits: Limits) -> Rounds:
    """Interleaved rounds of the scenario that the module names."""
    return Rounds(stack, _named(request.node), limits, _ProgressLine(request.config))


@pytest.fixture(autouse=True)
def _perfgate_verdict_property(request: pytest.FixtureRequest) -> Iterator[None]:
    """Note the verdict among the test's properties, for JUnit."""
    run = request.config.stash.get(RUN, None)
    before = len(run.judgements) if run is not None else 0
    yield
    if run is not None:
        for judgement in run.judgements[before:]:
            request.node.user_properties.append((junit.VERDICT_PROPERTY, judgement.verdict.value))


class _ProgressLine:
    """One line that is rewritten on a terminal; a line a round elsewhere."""

    def __init__(self, config: pytest.Config) -> None:
        self._reporter = config.pluginmanager.getplugin("terminalreporter")
        self._capture = config.pluginmanager.getplugin("capturemanager")

    def __call__(self, scenario: str, progress: Progress) -> None:
        left = f", about {progress.left_s:.0f} s left" if progress.left_s else ""
        self.say(f"{scenario}: window {progress.done + 1} of {progress.planned}: {progress.text}{left}")

    def say(self, text: str) -> None:
        """Show a line although pytest captures output."""
        if self._reporter is None or self._capture is None:
            return
        with self._capture.global_and_fixture_disabled():
            if self._reporter.isatty:
                self._reporter.rewrite(text, erase=True)
            else:
                self._reporter.write_line(text)
            self._reporter.flush()


def _scenario(item: pytest.Item) -> str | None:
    marker = item.get_closest_marker("scenario")
    return str(marker.args[0]) if marker and marker.args else None


def _named(node: Any) -> str:
    marker = node.get_closest_marker("scenario")
    if marker is None or not marker.args:
        raise BadInput(
            f'{node.path}: a perf test file says which scenario it is: pytestmark = pytest.mark.scenario("…")'
        )
    return str(marker.args[0])
