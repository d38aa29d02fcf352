"""What was asked for: the options of a run, from the command line or PERFGATE_… variables.

Comes in: raw texts. Goes out: `Settings`, checked; what is wrong raises BadInput. Knows nothing of pytest.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from perfgate.errors import BadInput
from perfgate.experiment.arms import GatewaySpec
from perfgate.stack.releases import DEFAULT_RELEASE, DepsMode, checked_release


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
    Option("--litellm", DEFAULT_RELEASE, "the LiteLLM release to judge, as 1.106.2"),
    Option("--deps", "of-its-time", "LiteLLM's dependencies: of-its-time (as of its release date) or today"),
    Option("--workers", "1", "worker processes of the LiteLLM instance"),
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
        gateway: what is judged.
        thresholds_path, record_dir: see `OPTIONS`.
        on_invalid: None for the profile's own.
        seed: of all randomness.
    """

    profile: str
    scenarios: tuple[str, ...]
    gateway: GatewaySpec
    thresholds_path: Path
    record_dir: Path
    on_invalid: Literal["warn", "fail"] | None
    seed: int


def settings_of(option_text: Callable[[str], str | None], environment: Mapping[str, str]) -> Settings:
    """Resolve every option: the command line wins over the variable, the variable over the default.

    Args:
        option_text: the command line's text by `Option.destination`; None where it was not given.
        environment: where the variables are looked up.

    Raises:
        BadInput: a value that cannot be used; names option or variable, value and rule.
    """
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

    gateway = GatewaySpec(
        checked_release(texts["--litellm"][0]),
        cast(DepsMode, one_of("--deps", ("of-its-time", "today"))),
        whole_number("--workers", 1, 256),
    )
    on_invalid = one_of("--on-invalid", ("", "warn", "fail"))
    return Settings(
        profile=texts["--profile"][0],
        scenarios=tuple(name.strip() for name in texts["--scenarios"][0].split(",") if name.strip()),
        gateway=gateway,
        thresholds_path=Path(texts["--thresholds"][0]),
        record_dir=Path(texts["--record-dir"][0]),
        on_invalid=cast(Literal["warn", "fail"], on_invalid) if on_invalid else None,
        seed=whole_number("--seed", 0, 2**32 - 1) if texts["--seed"][0] else secrets.randbelow(10_000),
    )
