"""What was asked for: the options of a run, from the command line or PERFGATE_… variables.

Comes in: raw texts. Goes out: `Settings`, checked; what is wrong raises BadInput. Knows nothing of pytest. Looks at
what an option names (a checkout, a repository, a gateway's configuration), but starts and installs nothing.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, cast, get_args

from perfgate.errors import BadInput
from perfgate.experiment.arms import BASELINE, PLAIN_MODEL, GatewaySpec
from perfgate.load.job import check_api_key
from perfgate.load.locust_fleet import DEFAULT_BIND, MOST_WORKERS, LocustFleet
from perfgate.stack.gateway_config import read_gateway_config
from perfgate.stack.installing import checked_packages, package_name
from perfgate.stack.postgres_server import MASK, checked_url, masked
from perfgate.stack.prisma_engine import PrismaMode
from perfgate.stack.releases import DEFAULT_RELEASE, DepsMode
from perfgate.stack.sources import RunningUrl, Source, checked_base_url, source_of

StackAsked = Literal["auto", "containers", "processes"]

#: Of a run with a baseline that names no profile.
COMPARE_PROFILE: Final = "compare"
#: Of a baseline that somebody named, and of which no more was said.
AS_ASKED: Final = "as asked"
#: The option that says more.
BASELINE_WHY: Final = "--baseline-why"
#: Two names of what is judged: where the command line has one of them, it wins over the variable of the other, too.
_ALIKE: Final[Mapping[str, str]] = {"--litellm": "--candidate", "--candidate": "--litellm"}
_PASSWORD_IN_URL: Final = re.compile(r"(?P<before>\w+://[^\s/:@]*):[^\s/@]*@")


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Args:
        name: `--record-dir`; its variable is PERFGATE_RECORD_DIR.
        default: as text; empty when there is none.
        meaning: for `pytest --help`.
    """

    name: str
    default: str
    meaning: str

    @property
    def destination(self) -> str:
        """Its name in pytest's namespace."""
        return "perfgate_" + self.name.removeprefix("--").replace("-", "_")

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return self.destination.upper()


OPTIONS: Final = (
    Option("--profile", "quick", "the profile of thresholds.yaml: which scenarios, how long, what INVALID does"),
    Option("--scenarios", "", "judge only these scenarios of the profile, separated by commas"),
    Option(
        "--litellm",
        DEFAULT_RELEASE,
        "the LiteLLM to judge: a release (1.106.2), path:FOLDER (a checkout), git:URL@REF, url:http://HOST:PORT (a "
        "gateway that runs already, whose endpoint --mock-url names), or portkey:RELEASE (of another maker)",
    ),
    Option("--candidate", "", "the same as --litellm, beside --baseline"),
    Option(
        "--baseline", "", "compare with this LiteLLM, named as for --litellm; without --profile, the profile is compare"
    ),
    Option("--baseline-config", "", "the baseline's config.yaml; default: that of --gateway-config"),
    Option("--candidate-config", "", "the candidate's config.yaml; default: that of --gateway-config"),
    Option(BASELINE_WHY, "", f"why it is this baseline, in a few words, for the reports; default: {AS_ASKED}"),
    Option(
        "--stack",
        "auto",
        "containers (a Docker engine runs everything), processes (children of this one), or auto: containers where an "
        "engine answers",
    ),
    Option("--images", "official", "of containers: official, built (perfgate images build), then ROLE=NAME by commas"),
    Option(
        "--prisma-engine", "native", "by which LiteLLM asks its database: native (downloaded) or wasm (of npm packages)"
    ),
    Option(
        "--postgres-url",
        "",
        "a PostgreSQL server that runs already, postgresql://USER:PASSWORD@HOST:PORT/DATABASE; the variable keeps the "
        f"password off the command line, where {MASK} then stands for it",
    ),
    Option("--cpus-per-instance", "", "cores that each LiteLLM instance may use: 4, 1.5; containers only"),
    Option("--memory-per-instance", "", "memory that each LiteLLM instance may use: 8g, 512m; containers only"),
    Option("--deps", "of-its-time", "LiteLLM's dependencies: of-its-time (as of its release or commit) or today"),
    Option("--with-packages", "", "installed beside LiteLLM, divided by blanks: 'httptools uvloop==0.21.0'"),
    Option("--instances", "1", "LiteLLM instances side by side, loaded in turn"),
    Option("--workers", "1", "worker processes of each LiteLLM instance"),
    Option("--gateway-config", "", "your own LiteLLM config.yaml; its models are redirected to the mock endpoint"),
    Option("--model", "", f"the model asked for; default: the first of --gateway-config, else {PLAIN_MODEL}"),
    Option(
        "--mock-url", "", "a mock endpoint that runs already; its chat completions are at MOCK_URL/chat/completions"
    ),
    Option("--gateway-key-env", "", "the environment variable that holds the API key of a url: gateway"),
    Option(
        "--load",
        "generator",
        "who sends the load: generator (perfgate's own) or locust (scenarios with users; docs/distributed.md)",
    ),
    Option("--locust-workers", "", "with --load=locust: its workers on this host; default: 1 if there are no others"),
    Option("--locust-expect-workers", "0", "with --load=locust: its workers on other hosts, which you start"),
    Option(
        "--locust-bind",
        DEFAULT_BIND,
        "where Locust's master listens for workers on other hosts; it asks for no password: private networks only",
    ),
    Option("--thresholds", "thresholds.yaml", "the file with profiles and limits"),
    Option("--record-dir", ".perfgate/records", "the folder that the run's JSON record is written to"),
    Option("--on-invalid", "", "fail (exit code 10) or warn when something cannot be judged; default: the profile's"),
    Option("--seed", "", "of all random orders and schedules; default: a new one, printed and recorded"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """A run as it was asked for.

    Args:
        profile: a name; whether it exists is for the thresholds file to say.
        scenarios: the only ones asked for; empty for all of the profile.
        gateway: what is judged; its `backend` holds once the stack is chosen.
        baseline: what it is compared with; None for nothing.
        baseline_why: why it is that one, in words; empty without one.
        stack: as asked for; perfgate/backend_choice.py says what it comes to.
        images: of containers, as text.
        prisma_engine: of gateways with a database.
        postgres_url: of a server that runs already; None for one of our own.
        cpus_per_instance, memory_per_instance: of containers, as texts; empty for no limit.
        model: what the gateway is asked for.
        baseline_model: what the baseline is asked for.
        direct_model: what the mock is asked for without a gateway: what the gateway asks it for.
        mock_url: a mock endpoint that runs already; None for our own.
        locust: the workers that send the load; None for perfgate's own generator.
        thresholds_path, record_dir: see `OPTIONS`.
        on_invalid: None for the profile's own.
        seed: of all randomness.
    """

    profile: str
    scenarios: tuple[str, ...]
    gateway: GatewaySpec
    baseline: GatewaySpec | None
    baseline_why: str
    stack: StackAsked
    images: str
    prisma_engine: PrismaMode
    postgres_url: str | None = field(repr=False)
    cpus_per_instance: str
    memory_per_instance: str
    model: str
    baseline_model: str
    direct_model: str
    mock_url: str | None
    locust: LocustFleet | None
    thresholds_path: Path
    record_dir: Path
    on_invalid: Literal["warn", "fail"] | None
    seed: int

    @property
    def generator_words(self) -> str:
        """Who sends the load, for people and for the record."""
        return "perfgate" if self.locust is None else f"Locust, workers: {self.locust.words}"

    @property
    def generator_processes(self) -> int:
        """How many processes of this host send load, for the plan of cores."""
        return 1 if self.locust is None else self.locust.workers

    def without_secrets(self, text: str) -> str:
        """A command, or a word of one, as it may be shown: without the password of --postgres-url, or of any URL."""
        if self.postgres_url is not None:
            text = text.replace(self.postgres_url, masked(self.postgres_url))
        return _PASSWORD_IN_URL.sub(rf"\g<before>:{MASK}@", text)


def options_given(option_text: Callable[[str], str | None], environment: Mapping[str, str]) -> dict[str, str]:
    """What to type for the same settings, whatever the variables are then: texts by the name of the option.

    These are the options that were given, on the command line or by a variable. One that was typed as it is by default
    is left out, unless a variable says something else. So is a variable that says why a baseline is that one: of who
    types it again it need not be true.

    Arguments are those of `settings_of`.
    """
    environment = _holding(option_text, environment)
    given = {}
    for option in OPTIONS:
        typed, variable = option_text(option.destination), environment.get(option.variable)
        if typed is None and variable and option.name != BASELINE_WHY:
            given[option.name] = variable
        elif typed is not None and (typed != option.default or variable not in (None, option.default)):
            given[option.name] = typed
    return given


def settings_of(option_text: Callable[[str], str | None], environment: Mapping[str, str]) -> Settings:
    """Resolve every option: the command line wins over the variable, the variable over the default.

    Args:
        option_text: the command line's text by `Option.destination`; None where it was not given.
        environment: where the variables are looked up.

    Raises:
        BadInput: a value that cannot be used; names option or variable, value and rule.
    """
    environment = _holding(option_text, environment)
    texts: dict[str, tuple[str, str]] = {}
    for option in OPTIONS:
        given = option_text(option.destination)
        if given is not None:
            texts[option.name] = (given, option.name)
        elif option.variable in environment:
            texts[option.name] = (environment[option.variable], option.variable)
        else:
            texts[option.name] = (option.default, option.name)

    def one_of(name: str, allowed: tuple[str, ...]) -> str:
        text, where = texts[name]
        if text not in allowed:
            raise BadInput(f"{where}={text}: must be one of {', '.join(word for word in allowed if word)}")
        return text

    def whole_number(name: str, least: int, most: int) -> int:
        text, where = texts[name]
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise BadInput(f"{where}={text}: must be a whole number from {least} to {most}")
        return int(text)

    def text_or_none(name: str) -> str | None:
        return texts[name][0] or None

    def config(of_arm: str) -> Path | None:
        text = text_or_none(of_arm) or text_or_none("--gateway-config")
        return Path(text) if text else None

    if texts["--candidate"][0] and _is_given("--litellm", option_text, environment):
        raise BadInput(
            f"--candidate={texts['--candidate'][0]} and --litellm={texts['--litellm'][0]} name the same thing: give one"
        )
    gateway = GatewaySpec(
        _with_key(
            source_of(texts["--candidate"][0] or texts["--litellm"][0]),
            text_or_none("--gateway-key-env"),
            environment,
        ),
        cast(DepsMode, one_of("--deps", ("of-its-time", "today"))),
        whole_number("--workers", 1, 256),
        instances=whole_number("--instances", 1, 64),
        config_path=config("--candidate-config"),
        with_packages=checked_packages(texts["--with-packages"][0]),
    )
    baseline_text = text_or_none("--baseline")
    is_comparing = baseline_text is not None or text_or_none("--baseline-config") is not None
    if text_or_none("--candidate-config") is not None and not is_comparing:
        raise BadInput(
            f"--candidate-config={texts['--candidate-config'][0]} is for a comparison: add --baseline RELEASE or "
            "--baseline-config FILE, or use --gateway-config"
        )
    baseline = None
    if is_comparing:
        source = source_of(baseline_text) if baseline_text is not None else gateway.source
        if isinstance(source, RunningUrl) or isinstance(gateway.source, RunningUrl):
            raise BadInput(
                "--baseline: gateways that are compared are started several times, since two processes of one release "
                "differ; one that runs already (url:…) cannot be compared"
            )
        baseline = replace(gateway, source=source, config_path=config("--baseline-config"), apart=BASELINE)
    baseline_why, where = texts[BASELINE_WHY]
    if baseline_why and not is_comparing:
        raise BadInput(f"{where}={baseline_why}: it goes with --baseline or --baseline-config")
    postgres_url = text_or_none("--postgres-url")
    if postgres_url is not None:
        postgres_url = _with_password(postgres_url, environment)
    mock_url = text_or_none("--mock-url")
    if isinstance(gateway.source, RunningUrl) and mock_url is None:
        raise BadInput(
            f"--litellm={gateway.source.option_text}: perfgate cannot know which endpoint this gateway calls, and that "
            "is what it is compared with: name it with --mock-url"
        )
    locust = None
    if one_of("--load", ("generator", "locust")) == "locust":
        expected = whole_number("--locust-expect-workers", 0, MOST_WORKERS)
        if texts["--locust-workers"][0]:
            workers = whole_number("--locust-workers", 0, MOST_WORKERS)
        else:
            workers = 0 if expected else 1
        locust = _fleet(workers, expected, *texts["--locust-bind"])
    else:
        for name in ("--locust-workers", "--locust-expect-workers", "--locust-bind"):
            if _is_given(name, option_text, environment):
                raise BadInput(f"{texts[name][1]}={texts[name][0]}: it goes with --load=locust")
    model, direct_model = _models(text_or_none("--model"), gateway)
    baseline_model, _ = _models(text_or_none("--model"), baseline or gateway)
    on_invalid = one_of("--on-invalid", ("", "warn", "fail"))
    return Settings(
        profile=COMPARE_PROFILE
        if is_comparing and not _is_given("--profile", option_text, environment)
        else texts["--profile"][0],
        scenarios=tuple(name.strip() for name in texts["--scenarios"][0].split(",") if name.strip()),
        gateway=gateway,
        baseline=baseline,
        baseline_why=(baseline_why or AS_ASKED) if is_comparing else "",
        stack=cast(StackAsked, one_of("--stack", get_args(StackAsked))),
        images=texts["--images"][0],
        prisma_engine=cast(PrismaMode, one_of("--prisma-engine", get_args(PrismaMode))),
        postgres_url=postgres_url,
        cpus_per_instance=texts["--cpus-per-instance"][0],
        memory_per_instance=texts["--memory-per-instance"][0],
        model=model,
        baseline_model=baseline_model,
        direct_model=direct_model,
        mock_url=_mock_base(mock_url) if mock_url else None,
        locust=locust,
        thresholds_path=Path(texts["--thresholds"][0]),
        record_dir=Path(texts["--record-dir"][0]),
        on_invalid=cast(Literal["warn", "fail"], on_invalid) if on_invalid else None,
        seed=whole_number("--seed", 0, 2**32 - 1) if texts["--seed"][0] else secrets.randbelow(10_000),
    )


def _fleet(workers: int, expected: int, bind: str, where: str) -> LocustFleet:
    """The workers, if anybody can be one."""
    try:
        return LocustFleet(workers, expected, bind)
    except ValueError as error:
        if not workers + expected:
            raise BadInput(
                "--load=locust: --locust-workers=0 and --locust-expect-workers=0 leave nobody to send"
            ) from None
        raise BadInput(f"{where}: {error}") from None


def _holding(option_text: Callable[[str], str | None], environment: Mapping[str, str]) -> Mapping[str, str]:
    """The environment without variables that the command line has overruled by another name of the same thing."""
    of = {option.name: option for option in OPTIONS}
    overruled = {of[other].variable for name, other in _ALIKE.items() if option_text(of[name].destination)}
    return {name: text for name, text in environment.items() if name not in overruled}


def _with_password(url: str, environment: Mapping[str, str]) -> str:
    """A URL as given; one that was masked, as in a record's command, as the variable has it.

    Raises:
        BadInput: it is none, or the variable has no password for it.
    """
    if checked_url(url).password != MASK:
        return url
    variable = "PERFGATE_POSTGRES_URL"
    known = environment.get(variable, url)
    if known == url or masked(known) != url:
        raise BadInput(
            f"--postgres-url={url}: records and messages have {MASK} in the place of the password; set {variable} to "
            "the whole URL, or type it"
        )
    return known


def _is_given(name: str, option_text: Callable[[str], str | None], environment: Mapping[str, str]) -> bool:
    """Whether an option was given at all, be it by its variable."""
    option = next(option for option in OPTIONS if option.name == name)
    return option_text(option.destination) is not None or option.variable in environment


def _with_key(source: Source, key_env: str | None, environment: Mapping[str, str]) -> Source:
    """The source, told where its key is."""
    if key_env is None:
        return source
    if not isinstance(source, RunningUrl):
        raise BadInput(
            f"--gateway-key-env={key_env} is for a gateway that runs already (--litellm url:…); one that perfgate "
            "starts has a key of its own"
        )
    if key_env not in environment:
        raise BadInput(f"--gateway-key-env={key_env}: there is no such environment variable")
    try:
        check_api_key(environment[key_env])
    except ValueError as error:
        raise BadInput(f"--gateway-key-env={key_env}: {error}") from None
    return replace(source, key_env=key_env)


def _models(asked: str | None, gateway: GatewaySpec) -> tuple[str, str]:
    """What the gateway is asked for, and what it then asks the mock for; its configuration is checked on the way."""
    if gateway.config_path is None:
        return asked or PLAIN_MODEL, asked or PLAIN_MODEL
    config = read_gateway_config(gateway.config_path)
    missing = config.packages - {package_name(package) for package in gateway.with_packages}
    if missing:
        raise BadInput(
            f"{gateway.config_path} has callbacks that need {', '.join(sorted(missing))}, which is not installed with "
            f"LiteLLM: add --with-packages '{' '.join(sorted({*gateway.with_packages, *missing}))}'"
        )
    model = asked or config.default_model
    return model, config.upstream_of(model)


def _mock_base(url: str) -> str:
    return checked_base_url(url, "--mock-url:").removesuffix("/chat/completions")
