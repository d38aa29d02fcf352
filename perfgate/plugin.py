"""pytest's side of perfgate: options, fixtures, hooks. No arithmetic, no judgement.

A test module that measures says so with `pytestmark = pytest.mark.scenario("overhead")`. Its fixtures:

    stack   `stack.arms("direct", "gateway")`: what is compared
    rounds  `rounds.run(arms)`: measure, interleaved, until the scenario's limits are decided
    limits  `limits.check("overhead_p95_ms", measured)`: PASS, FAIL or INVALID

Under xdist (`pytest -n auto`) all perf tests go to one worker, which measures and writes the record. The process that
was started (the controller) checks options and thresholds before any test runs, begins the record and ends it, and
shows what stands in it: the same lines, the same exit code as without -n. The worker sends its progress over a channel.
"""

import os
import signal
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from perfgate.benchmarks import SingleRequests
from perfgate.errors import BadInput, PerfgateError, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.experiment import sink_ledger
from perfgate.experiment.arms import BASELINE, CANDIDATE, DIRECT_SUFFIX, Arm, GatewaySpec
from perfgate.experiment.bench import RunningGateway, StackBench
from perfgate.experiment.capacity import SearchPlan, search_capacity
from perfgate.experiment.comparison_plan import MEMORY_BYTES as GATEWAY_BYTES
from perfgate.experiment.fault_cycles import CyclesPlan, run_cycles
from perfgate.experiment.faults import Fault
from perfgate.experiment.measurement import Measurement
from perfgate.experiment.rounds import Progress, run_rounds
from perfgate.experiment.single_requests import Caller
from perfgate.experiment.sizes import processes_of, sizes_to_try
from perfgate.interrupts import interrupt_by
from perfgate.lease import Lease
from perfgate.load.api import Api
from perfgate.load.job import Target
from perfgate.load.schedule import ClosedLoop, OpenLoop
from perfgate.measure.host_speed import measured_speed
from perfgate.record import JudgementRecord
from perfgate.report import junit, terminal
from perfgate.report.curve_tables import curve_tables
from perfgate.report.sign_off import PROFILE as SIGN_OFF_PROFILE
from perfgate.report.size_tables import size_tables
from perfgate.run import Asked, Run, run_name
from perfgate.settings import OPTIONS, options_given, settings_of
from perfgate.sign_off_command import SignedOff, signed_off
from perfgate.stack.callbacks import CallbackName, packages_for
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.gateway_config import read_gateway_config
from perfgate.stack.images import images_of
from perfgate.stack.litellm import MESSAGES_MODEL, REALTIME_MODEL, RedisBy
from perfgate.stack.sources import PortkeyRelease, RunningUrl
from perfgate.thresholds import Faulting, Searching
from perfgate.thresholds import Rounds as CountedRounds
from perfgate.verdict import Judgement, Verdict, explain, shown_only
from perfgate.xdist_groups import GroupScheduling, groups_of

#: The xdist group of all tests that measure: they share a worker, and so a stack and a record.
GROUP: Final = "perfgate"

NAME: Final = pytest.StashKey[str]()
GROUPS: Final = pytest.StashKey[dict[str, str]]()
ASKED: Final = pytest.StashKey[Asked]()
RUN: Final = pytest.StashKey[Run]()
SHOWN: Final = pytest.StashKey["_Shown"]()
SIGNED_OFF: Final = pytest.StashKey[SignedOff]()
ERRORS: Final = pytest.StashKey[dict[int, tuple[BaseException, str]]]()
#: Of a test: how many verdicts there were before it.
JUDGED_BEFORE: Final = pytest.StashKey[int]()


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
    """Start counting, and name the run."""
    config.stash[SHOWN] = _Shown()
    config.stash[ERRORS] = {}
    config.pluginmanager.register(config.stash[SHOWN], "perfgate-shown")
    started_by = _workerinput(config)
    if started_by is not None:
        config.stash[NAME] = str(started_by["perfgate_name"])
    else:
        config.stash[NAME] = run_name()
        config.stash[GROUPS] = {}


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """In the controller: tell a worker which run it is part of, and listen to what it has to say."""
    config, show = node.config, ProgressLine(node.config)
    node.workerinput["perfgate_name"] = config.stash[NAME]
    node.workerinput["perfgate_channel"] = channel = node.gateway.newchannel()

    def hear(message: tuple[str, Any]) -> None:
        kind, content = message
        if kind == "groups":
            config.stash[GROUPS].update(content)
        else:
            show.say(content)

    channel.setcallback(hear)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """In the controller: keep groups together, for `-n` alone too.

    Without `--dist loadgroup` in pytest.ini, which pytest-benchmark takes for xdist being active and stops measuring.
    """
    if config.getoption("dist") in ("load", "loadgroup"):
        return GroupScheduling(config, log, config.stash[GROUPS])
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any) -> None:
    """In the controller: check and begin once it is known that something will be measured, before any test runs."""
    config = node.config
    if RUN in config.stash or GROUP not in config.stash[GROUPS].values():
        return
    if config.option.dist not in ("load", "loadgroup"):
        raise pytest.UsageError(
            f"--dist={config.option.dist} spreads the perf tests over several workers, which would disturb each other: "
            "leave it out"
        )
    _begin(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """In a worker: tell which tests belong together, before xdist tells that it has collected."""
    started_by = _workerinput(session.config)
    if started_by is not None:
        started_by["perfgate_channel"].send(("groups", groups_of(session.items)))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Put whatever measures into one xdist group."""
    if _workerinput(item.config) is not None and _scenario(item) is not None:
        item.add_marker(pytest.mark.xdist_group(GROUP))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check options and thresholds once it is known that something will be measured; keep the declared scenarios."""
    scenario_of = {item: _scenario(item) for item in items}
    if not any(scenario_of.values()):
        return
    if _workerinput(config) is None:
        _begin(config)
    else:
        try:
            config.stash[ASKED] = _asked(config)
        except BadInput:
            return  # the controller finds the same, says it, and ends the run before any test
    declared = config.stash[ASKED].scenarios
    others = [item for item in items if scenario_of[item] and scenario_of[item] not in declared]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def _asked(config: pytest.Config) -> Asked:
    settings = settings_of(config.getoption, os.environ)
    return Asked.checked(settings, options_given(config.getoption, os.environ))


def _begin(config: pytest.Config) -> None:
    try:
        config.stash[ASKED] = asked = _asked(config)
        if not config.option.collectonly:
            command = ["pytest", *map(str, config.invocation_params.args)]
            config.stash[RUN] = Run.begun(asked, config.stash[NAME], command)
    except BadInput as error:
        raise pytest.UsageError(str(error)) from error
    except StackFailed as error:
        pytest.exit(str(error), returncode=int(error.exit_code))
    # Many CI systems cancel a job by it: stop everything, keep the record.
    interrupt_by(signal.SIGTERM)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show a verdict or a worded error as its own message, without a traceback of the harness."""
    report = yield
    if call.excinfo is None:
        if report.when == "call" and any(judgement.is_waived for judgement in _judgements_of(item)):
            report.perfgate_waived = True  # type: ignore[attr-defined]
        return report
    error = call.excinfo.value
    if isinstance(error, JudgedFail | JudgedInvalid | PerfgateError):
        report.longrepr = _told_once(item, error)
    if isinstance(error, JudgedInvalid):
        report.perfgate_invalid = True  # type: ignore[attr-defined]
    if isinstance(error, PerfgateError):
        report.perfgate_code = int(error.exit_code)  # type: ignore[attr-defined]
    return report


def _told_once(item: pytest.Item, error: BaseException) -> str:
    """The message; for a fixture's error, which pytest raises again in every test that needs the fixture, its head."""
    text = str(error)
    _, first = item.config.stash[ERRORS].setdefault(id(error), (error, item.nodeid))
    if first == item.nodeid:
        return text
    head = text.partition("\n")[0].partition(": ")[0]
    return f"{head}\n  as before   the whole message stands at {first}"


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport | pytest.CollectReport) -> tuple[str, str, str] | None:
    """INVALID is a category of its own: neither failed nor skipped nor passed. So is a PASS that rests on a waiver."""
    if getattr(report, "perfgate_invalid", False):
        return "invalid", "I", "INVALID"
    if getattr(report, "perfgate_waived", False):
        return "waived", "W", "PASS, waived"
    return None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End with perfgate's exit code where something was measured, and close the record.

    Last, when fixtures and workers are gone and the JUnit file is written; the summary is printed after it.
    """
    config = session.config
    run = config.stash.get(RUN, None)
    if run is None or _workerinput(config) is not None:
        return
    codes = list(config.stash[SHOWN].codes)
    if session.exitstatus in (ExitCode.INTERRUPTED, ExitCode.INTERNAL, ExitCode.BAD_INPUT):
        codes.append(ExitCode(int(session.exitstatus)))
    try:
        run.reread()  # under xdist, a worker has written it
        code = run.exit_code(codes)
        run.finish(code)
        if run.settings.profile == SIGN_OFF_PROFILE and run.is_whole_profile:
            config.stash[SIGNED_OFF] = done = _signed_off(config, run)
            code = run.exit_code([*codes, done.exit_code(may_be_invalid=run.record.on_invalid == "warn")])
            if code != run.record.exit_code:
                run.finish(code)
    except PerfgateError as error:
        run.note(str(error))
        code = run.exit_code([*codes, ExitCode.STACK_FAILED])
    session.exitstatus = int(code)
    xml = getattr(config.option, "xmlpath", None)
    if xml and Path(xml).exists():
        junit.complete(Path(xml), run.record, run.file.path)


def _signed_off(config: pytest.Config, run: Run) -> SignedOff:
    """What becomes of the run's sign-off; judging everything again keeps a core busy, so not while others measure."""
    with Lease.of_user(os.environ).shared("signing off", ProgressLine(config).say):
        return signed_off([run.file.path], run.file.path.with_name(f"{run.file.path.stem}-sign-off"))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print what could not be judged, the table, and one line that says it all."""
    run = config.stash.get(RUN, None)
    if run is None or _workerinput(config) is not None:
        return
    show, record = terminalreporter, run.record
    for text in config.stash[SHOWN].invalid:
        show.write_sep("_", "INVALID", yellow=True)
        show.write_line(text)
    show.write_sep("=", "perfgate")
    if record.judgements:
        show.write_line(terminal.table(record.judgements, show._tw.fullwidth, colour=show.hasmarkup))
    width = show._tw.fullwidth
    for text in (
        *terminal.gateway_tables(record.measurements, width),
        *size_tables(record.measurements, width),
        *curve_tables(record.measurements, width),
    ):
        show.write_line(text)
    for line in terminal.waivers(record.judgements):
        show.write_line(f"waiver       {line}", yellow=True)
    for line in terminal.drifts(record.judgements):
        show.write_line(f"drift        {line}")
    for line in terminal.claims(record.judgements):
        show.write_line(f"claim        {line}")
    for line in terminal.shown(record.measurements):
        show.write_line(f"shown        {line}")
    for line in terminal.cross_checks(record.measurements):
        show.write_line(f"cross-check  {line}")
    for note in record.notes:
        show.write_line(f"note         {note}")
    for sentence in record.without_verdict():
        show.write_line(f"INCOMPLETE   {sentence}", red=True)
    show.write_line(f"record       {run.file.path}")
    for line in _sign_off_lines(config, run):
        show.write_line(line, red=line.startswith("NO "))
    show.write_line(terminal.closing_line(record, ExitCode(int(show._session.exitstatus))), bold=True)


def _sign_off_lines(config: pytest.Config, run: Run) -> list[str]:
    """Of a run of the profile that versions are signed off by: its bundle, or what blocks it."""
    if run.settings.profile != SIGN_OFF_PROFILE:
        return []
    if not run.is_whole_profile:
        return ["sign-off     a part of it: `perfgate signoff RECORD…` makes one of the records of all scenarios"]
    done = config.stash.get(SIGNED_OFF, SignedOff(None))
    if done.bundle is not None:
        return [f"sign-off     {done.bundle}"]
    return [f"NO SIGN-OFF  {block.sentence}" for block in done.blocks]


class ProgressLine:
    """Says what takes long, although pytest captures output: one line that is rewritten on a terminal, lines elsewhere.

    Args:
        config: of the session. That of an xdist worker has no terminal; it sends its lines to the controller.
    """

    def __init__(self, config: pytest.Config) -> None:
        started_by = _workerinput(config)
        self._channel = started_by["perfgate_channel"] if started_by is not None else None
        self._reporter = config.pluginmanager.getplugin("terminalreporter")
        self._capture = config.pluginmanager.getplugin("capturemanager")
        self._is_alone = config.getoption("dist", "no") == "no"

    def progress(self, scenario: str, progress: Progress) -> None:
        """Say where a measurement stands."""
        left = f", about {progress.left_s:.0f} s left" if progress.left_s else ""
        self.say(f"{scenario}: window {progress.done + 1} of {progress.planned}: {progress.text}{left}")

    def say(self, text: str) -> None:
        """Show a line."""
        if self._channel is not None:
            self._channel.send(("line", text))
            return
        if self._reporter is None or self._capture is None:
            return
        with self._capture.global_and_fixture_disabled():
            if self._reporter.isatty and self._is_alone:
                self._reporter.rewrite(text, erase=True)
            else:
                self._reporter.write_line(text)
            self._reporter.flush()


@dataclass(frozen=True, slots=True)
class Turns:
    """The run's turns on this host, which it shares with other runs and with the harness' own tests.

    Args:
        run: whose record says when it had the lease.
        lease: of the host.
        show: where it says that it waits.
    """

    run: Run
    lease: Lease
    show: ProgressLine

    @contextmanager
    def alone(self, scenario: str) -> Iterator[None]:
        """For a scenario's whole measurement: nothing else of ours runs on the host."""
        with self.alone_for(f"measuring {scenario}", scenario):
            yield

    @contextmanager
    def alone_for(self, what: str, scenario: str | None) -> Iterator[None]:
        """For a measurement that may belong to no scenario: nothing else of ours runs on the host."""
        with self.lease.exclusive(what, self.show.say) as tenure, self.run.leased(tenure, scenario):
            yield

    @contextmanager
    def beside_others(self, what: str) -> Iterator[None]:
        """For anything else that keeps a core busy: not while somebody measures."""
        with self.lease.shared(what, self.show.say):
            yield


@dataclass(frozen=True, slots=True)
class Stack:
    """What can be compared in this session; gateways are started by `rounds`."""

    run: Run
    bench: StackBench
    turns: Turns

    def arms(self, *names: str, model: str | None = None) -> tuple[Arm, ...]:
        """The arms by name.

        `direct` (no gateway), `gateway` (the one that --litellm names), `baseline` and `candidate` (processes of their
        own, whatever they are).

        Args:
            names: of the arms.
            model: asked for by all of them; None is what --model and --gateway-config say.

        Raises:
            ValueError: an arm of another name.
        """
        settings = self.run.settings
        direct = Arm("direct", None, model or settings.direct_model, direct_on=settings.gateway.backend)
        known = {"direct": direct, "gateway": self.arm("gateway", model=model)}
        if settings.baseline is not None:
            candidate = replace(settings.gateway, apart=CANDIDATE)
            known[BASELINE] = Arm(BASELINE, settings.baseline, model or settings.baseline_model)
            known[CANDIDATE] = Arm(CANDIDATE, candidate, model or settings.model)
        for name in names:
            if name not in known:
                raise ValueError(f"arm {name!r}: must be one of {', '.join(known)}")
        return tuple(known[name] for name in names)

    def arm(
        self,
        name: str,
        *,
        model: str | None = None,
        database: bool = False,
        redis: RedisBy | None = None,
        redis_fails: bool = False,
        callback: CallbackName | None = None,
        same_prompt: bool = False,
        instances: int | None = None,
        workers: int | None = None,
    ) -> Arm:
        """The gateway that --litellm names, with more beside it; arms that are alike share its processes.

        Args:
            name: of the arm, such as `without`.
            model: asked for; None is what --model and --gateway-config say.
            database: give it a PostgreSQL database, and ask it with a virtual key.
            redis: give it a Redis, of which it is told in this way.
            redis_fails: have that Redis where it can be made to fail.
            callback: have it log every request by it, to a sink of ours.
            same_prompt: send one prompt again and again, which a cache may answer.
            instances: how many; None is what --instances says.
            workers: of each; None is what --workers says.
        """
        settings = self.run.settings
        gateway = replace(
            settings.gateway,
            database=database,
            redis=redis,
            redis_fails=redis_fails,
            callback=callback,
            instances=settings.gateway.instances if instances is None else instances,
            workers=settings.gateway.workers if workers is None else workers,
        )
        return Arm(name, gateway, model or settings.model, same_prompt=same_prompt)

    @property
    def gateway_cores(self) -> int:
        """How many cores gateways have, all of them together: what generator and mock leave."""
        return len(self.bench.cores.gateway) or self.run.asked.host.cores_allowed

    def by_size(self, scenario: str) -> tuple[Arm, ...]:
        """The gateway that --litellm names in every size of experiment/sizes.py, which names its arm.

        Args:
            scenario: that they are measured for, all of them at once in every generation.

        Raises:
            BadInput: there is too little memory for so many processes.
        """
        asked, rounds = self.run.asked, self.run.thresholds.scenarios[scenario].rounds
        sizes = sizes_to_try(asked.host.cores_allowed, self.run.settings.gateway.workers)
        processes = processes_of(sizes) * (rounds.generations if isinstance(rounds, CountedRounds) else 1)
        needed_bytes = processes * GATEWAY_BYTES
        if needed_bytes > (free_bytes := psutil.virtual_memory().available):
            raise BadInput(
                f"{scenario}: {processes} processes of LiteLLM at once take about {needed_bytes / 2**30:.1f} GiB, and "
                f"{free_bytes / 2**30:.1f} GiB are free: lower scenarios.{scenario}.rounds.generations, or --workers"
            )
        return tuple(self.arm(size.name, instances=size.instances, workers=size.workers) for size in sizes)

    def portkey(self, name: str) -> Arm:
        """Portkey's gateway, as many instances as LiteLLM has, where LiteLLM runs and with the same limits.

        Args:
            name: of the arm.
        """
        settings = self.run.settings
        beside = settings.gateway
        gateway = GatewaySpec(
            PortkeyRelease(),
            instances=beside.instances,
            backend=beside.backend,
            cpus_per_instance=beside.cpus_per_instance,
            memory_per_instance_bytes=beside.memory_per_instance_bytes,
        )
        return Arm(name, gateway, settings.direct_model)

    def with_callback(self, callback: CallbackName) -> tuple[Arm, ...]:
        """The arms `direct`, `baseline` and `candidate`: the gateway that --litellm names, without a callback and with.

        Args:
            callback: it logs to a sink of ours.
        """
        settings = self.run.settings
        gateway = settings.gateway
        if gateway.backend == "processes":  # an image has what it has
            extra = packages_for(callback, os.environ)
            gateway = replace(gateway, with_packages=tuple(dict.fromkeys((*gateway.with_packages, *extra))))
        without = replace(gateway, apart=BASELINE)
        logging = replace(gateway, callback=callback, apart=CANDIDATE)
        (direct,) = self.arms("direct")
        return direct, Arm(BASELINE, without, settings.model), Arm(CANDIDATE, logging, settings.model)

    def asking(self, api: Api) -> tuple[Arm, Arm]:
        """The arms of another endpoint: `embeddings_direct` and `embeddings`; realtime's are `direct` and `gateway`.

        All of them have one gateway, the one that --litellm names, with models for every endpoint. One that runs
        already, or has a configuration of the user's own, is asked for what --model says.
        """
        settings, own = self.run.settings, {Api.MESSAGES: MESSAGES_MODEL, Api.REALTIME: REALTIME_MODEL}
        gateway = settings.gateway
        model, direct_model = settings.model, settings.direct_model
        if gateway.config_path is None and not isinstance(gateway.source, RunningUrl):
            gateway = replace(gateway, every_api=True)
            model, direct_model = own.get(api, model), own.get(api, direct_model)
        direct, through = ("direct", "gateway") if api is Api.REALTIME else (f"{api}{DIRECT_SUFFIX}", str(api))
        return (
            Arm(direct, None, direct_model, api=api, direct_on=settings.gateway.backend),
            Arm(through, gateway, model, api=api),
        )

    @contextmanager
    def running(self, arm: Arm) -> Iterator[RunningGateway]:
        """Have an arm's gateway up, for a question that no load answers; not while others measure.

        Args:
            arm: one with a gateway.
        """
        assert arm.gateway is not None, "it has a gateway"
        with self.turns.beside_others(f"asking {arm.name}"), ExitStack() as until_closed:
            (gateway,) = self.bench.start_gateways([arm.gateway], until_closed)
            yield gateway


class Limits:
    """The limits of the module's scenario."""

    def __init__(self, turns: Turns, scenario: str) -> None:
        self._turns = turns
        self._run = turns.run
        self._scenario = scenario

    def decided(self, measurement: Measurement) -> bool:
        """Whether no limit of the scenario is open any more."""
        return self._run.is_decided(measurement)

    def check(self, metric: str, measurement: Measurement, *, lacks: str | None = None) -> Judgement:
        """Judge a metric; a FAIL or INVALID ends the test with its whole message.

        Args:
            metric: one that the scenario has a limit on.
            measurement: of the scenario.
            lacks: what this host lacks to be held to the limit, in words: then the figure is shown, and INVALID. None
                where it lacks nothing.
        """
        with self._turns.beside_others(f"judging {self._scenario}"):
            judgement = self._run.judged(measurement, metric)
        return self._concluded(judgement if lacks is None else shown_only(judgement, lacks))

    def not_measured(self, metric: str, why: str) -> Judgement:
        """Say INVALID of a metric for which nothing was sent.

        Args:
            metric: one that the scenario has a limit on.
            why: and what to do, in words.
        """
        return self._concluded(self._run.not_measured(self._scenario, metric, why))

    def _concluded(self, judgement: Judgement) -> Judgement:
        self._run.keep_judgement(judgement)
        text = "\n".join(explain(judgement, self._run.surroundings(self._scenario)))
        if judgement.verdict is Verdict.FAIL:
            raise JudgedFail(text)
        if judgement.verdict is Verdict.INVALID:
            raise JudgedInvalid(text)
        return judgement


class Rounds:
    """Measures the module's scenario."""

    def __init__(self, stack: Stack, scenario: str, limits: Limits, turns: Turns) -> None:
        self._stack = stack
        self._scenario = scenario
        self._limits = limits
        self._turns = turns

    def run(self, arms: Sequence[Arm], *, direct_window_s: float | None = None, users_times: int = 1) -> Measurement:
        """Measure with the load and the rounds that thresholds.yaml gives the scenario.

        Args:
            arms: of every round.
            direct_window_s: length of the direct arm's windows where they only have to show that the apparatus is fit;
                None for the same as the others.
            users_times: so many times the users that the file has, where those are what one process can serve.
        """
        run, scenario = self._stack.run, self._scenario
        load, shown_load = run.thresholds.scenarios[scenario].load, run.thresholds.scenarios[scenario].shown_load
        schedule = load.schedule
        direct_schedule = load.direct_schedule if run.settings.locust is None else load.direct_users
        if users_times != 1:
            if not isinstance(schedule, ClosedLoop):
                raise BadInput(
                    f"{run.thresholds.path}: scenarios.{scenario}.load has no users, which a test multiplies"
                )
            schedule = replace(schedule, users=schedule.users * users_times)
        if direct_window_s is not None:
            direct_schedule = replace(schedule, window_s=direct_window_s)
        with self._turns.alone(scenario):
            logging = [arm for arm in arms if arm.gateway is not None and arm.gateway.callback is not None]
            plan = run.plan(scenario, drain_s=len(logging) * sink_ledger.DRAIN_S)
            for line in run.plan_words(scenario):
                self._turns.show.say(line)
            try:
                measurement = run_rounds(
                    self._stack.bench,
                    scenario,
                    arms,
                    schedule,
                    plan,
                    seed=run.settings.seed,
                    until=self._limits.decided,
                    time_left_s=lambda: run.time_left_s(scenario),
                    payload_bytes=load.payload_bytes,
                    direct_schedule=direct_schedule,
                    stream=load.stream,
                    turns_per_session=load.turns_per_session or 0,
                    on_progress=lambda progress: self._turns.show.progress(scenario, progress),
                    on_window=run.keep_window,
                    fitted=lambda plan: run.fitted_plan(scenario, plan),
                    shown_schedule=shown_load.schedule if shown_load is not None else None,
                )
            finally:
                run.keep_rest()  # of one that breaks off, too
            run.keep_measurement(measurement)
            run.keep_noise(measurement)
        return measurement


class Faults:
    """Lets a dependency of the gateway fail while users are served."""

    def __init__(self, stack: Stack, scenario: str, turns: Turns) -> None:
        self._stack = stack
        self._scenario = scenario
        self._turns = turns

    def run(self, fault: Fault) -> Measurement:
        """Measure with the load and the phases that thresholds.yaml gives the scenario."""
        run, scenario = self._stack.run, self._scenario
        asked = run.thresholds.scenarios[scenario]
        if not isinstance(asked.rounds, Faulting) or not isinstance(asked.load.schedule, OpenLoop):
            raise BadInput(f"{run.thresholds.path}: scenarios.{scenario}.rounds has no cycles, which a fault needs")
        phases = asked.rounds
        arm = self._stack.arm(
            "gateway",
            database=fault.database,
            redis="host_port" if fault.redis else None,
            redis_fails=fault.redis,
            callback=fault.callback,
        )
        with self._turns.alone(scenario):
            try:
                measurement = run_cycles(
                    self._stack.bench,
                    scenario,
                    fault,
                    arm,
                    asked.load.schedule,
                    CyclesPlan(phases.cycles, phases.before_s, phases.during_s, phases.after_s_max),
                    seed=run.settings.seed,
                    payload_bytes=asked.load.payload_bytes,
                    on_progress=lambda progress: self._turns.show.progress(scenario, progress),
                    on_window=run.keep_window,
                )
            finally:
                run.keep_rest()
            run.keep_measurement(measurement)
        return measurement


class CapacitySearch:
    """Looks for the highest rate at which the objective of the scenario holds."""

    def __init__(self, stack: Stack, scenario: str, turns: Turns) -> None:
        self._stack = stack
        self._scenario = scenario
        self._turns = turns

    def run(self) -> Measurement:
        """Search the gateway that --litellm names, and generator and mock without it, as thresholds.yaml says."""
        run, scenario = self._stack.run, self._scenario
        asked = run.thresholds.scenarios[scenario]
        rounds, objective, schedule = asked.rounds, asked.objective, asked.load.schedule
        if not isinstance(rounds, Searching) or objective is None or not isinstance(schedule, OpenLoop):
            raise BadInput(f"{run.thresholds.path}: scenarios.{scenario} has no objective, which a search needs")
        direct, through = self._stack.arms("direct", "gateway")
        with self._turns.alone(scenario):
            try:
                measurement = search_capacity(
                    self._stack.bench,
                    scenario,
                    (direct, through),
                    schedule,
                    objective,
                    run.thresholds.apparatus,
                    SearchPlan(rounds.generations, rounds.windows_max, rounds.within),
                    seed=run.settings.seed,
                    time_left_s=lambda: run.time_left_s(scenario),
                    payload_bytes=asked.load.payload_bytes,
                    stream=asked.load.stream,
                    on_progress=lambda progress: self._turns.show.progress(scenario, progress),
                    on_window=run.keep_window,
                )
            finally:
                run.keep_rest()
            run.keep_measurement(measurement)
        return measurement


@pytest.fixture(scope="session")
def _perfgate_turns(request: pytest.FixtureRequest) -> Turns:
    """The session's run, gone on with when this is the worker that measures."""
    config = request.config
    if RUN not in config.stash:
        asked = config.stash.get(ASKED, None) or _asked(config)
        config.stash[RUN] = Run.joined(asked, config.stash[NAME])
    return Turns(config.stash[RUN], Lease.of_user(os.environ), ProgressLine(config))


@pytest.fixture(scope="session")
def stack(_perfgate_turns: Turns) -> Iterator[Stack]:
    """Supervisor, mock endpoint and generator; gateways on demand."""
    turns, run, settings = _perfgate_turns, _perfgate_turns.run, _perfgate_turns.run.settings
    bench = StackBench(
        EnvironmentCache.of_user(os.environ),
        (settings.gateway.backend,),
        on_service=run.keep_service,
        kept_logs_dir=run.kept_logs_dir,
        say=turns.show.say,
        mock_url=settings.mock_url,
        postgres_url=settings.postgres_url,
        prisma_mode=settings.prisma_engine,
        images=images_of(settings.images),
        model=settings.model,
        on_note=run.note,
        locust=settings.locust,
    )
    # Started while nobody measures, then idle until it is this run's turn. Stopping takes nobody's core.
    with ExitStack() as until_closed:
        with turns.beside_others("starting the mock endpoint and the generator"):
            until_closed.enter_context(bench)
        if settings.gateway.config_path is not None:
            for sentence in read_gateway_config(settings.gateway.config_path).notes:
                run.note(sentence)
        if run.thresholds.hosts:
            with turns.alone_for("measuring the host's speed", scenario=None):
                run.keep_host_speed(measured_speed(bench.cores.gateway))
        yield Stack(run, bench, turns)


@pytest.fixture(scope="module")
def scenario(request: pytest.FixtureRequest) -> str:
    """The scenario that the module names; a module that asks the same of several overrides it."""
    return _named(request.node)


@pytest.fixture(scope="module")
def limits(scenario: str, _perfgate_turns: Turns) -> Limits:
    """The limits of the scenario."""
    return Limits(_perfgate_turns, scenario)


@pytest.fixture(scope="module")
def rounds(scenario: str, stack: Stack, limits: Limits, _perfgate_turns: Turns) -> Rounds:
    """Interleaved rounds of the scenario."""
    return Rounds(stack, scenario, limits, _perfgate_turns)


@pytest.fixture(scope="module")
def faults(scenario: str, stack: Stack, _perfgate_turns: Turns) -> Faults:
    """A dependency that fails, of the scenario."""
    return Faults(stack, scenario, _perfgate_turns)


@pytest.fixture(scope="module")
def capacity_search(scenario: str, stack: Stack, _perfgate_turns: Turns) -> CapacitySearch:
    """A search for the highest rate at which the scenario's objective holds."""
    return CapacitySearch(stack, scenario, _perfgate_turns)


@pytest.fixture(scope="module")
def single_requests(scenario: str, stack: Stack, limits: Limits, _perfgate_turns: Turns) -> Iterator[SingleRequests]:
    """One gateway, and requests sent one at a time for pytest-benchmark to time, of the scenario."""
    run = _perfgate_turns.run
    asked = run.thresholds.scenarios[scenario]
    assert isinstance(asked.rounds, CountedRounds), "one request at a time compares with nothing"
    if asked.load.requests is None:
        raise BadInput(
            f"{run.thresholds.path}: scenarios.{scenario}.load has no requests: the fixture single_requests sends them "
            "one at a time, so many a round"
        )
    with _perfgate_turns.alone(scenario), ExitStack() as until_closed:
        _perfgate_turns.show.say(f"{scenario}: starting {run.settings.gateway}")
        direct, through = stack.arms("direct", "gateway")
        (gateway,) = stack.bench.start_gateways([run.settings.gateway], until_closed)
        callers = [
            until_closed.enter_context(Caller(target, asked.load.payload_bytes))
            for target in (
                Target(stack.bench.direct_url(direct.backend), direct.model),
                gateway.targets(through.model)[0],
            )
        ]
        single = SingleRequests(
            scenario,
            (direct, through),
            callers[0],
            callers[1],
            requests_per_round=asked.load.requests,
            rounds=asked.rounds.generations * asked.rounds.per_generation,
            on_measured=run.keep_measurement,
        )
        yield single


@pytest.fixture(autouse=True)
def _perfgate_verdict_property(request: pytest.FixtureRequest) -> Iterator[None]:
    """Note the verdict and its figures among the test's properties, for JUnit."""
    if _scenario(request.node) is None:
        yield
        return
    request.node.stash[JUDGED_BEFORE] = len(_judgements(request.config))
    yield
    for judgement in _judgements_of(request.node):
        request.node.user_properties += junit.properties_of(judgement)
    for line in terminal.waivers(_judgements_of(request.node)):
        request.node.user_properties.append((junit.WAIVER_PROPERTY, line))


def _judgements_of(item: pytest.Item) -> Sequence[JudgementRecord]:
    """The verdicts that a test has reached; none of one that does not measure."""
    before = item.stash.get(JUDGED_BEFORE, None)
    return [] if before is None else _judgements(item.config)[before:]


def _judgements(config: pytest.Config) -> Sequence[JudgementRecord]:
    run = config.stash.get(RUN, None)
    return run.record.judgements if run is not None else []


def _workerinput(config: pytest.Config) -> Mapping[str, Any] | None:
    """What the controller told this process; None when it is no worker of xdist's."""
    return getattr(config, "workerinput", None)


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
