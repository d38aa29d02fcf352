"""What was the action asked for, and with which arguments does pytest do it?

Comes in: environment variables, one for each input of action.yml. Goes out: `GateInputs`, and arguments of pytest.
Reads the file that a `file:` names. Imports nothing that has to be installed.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from perfgate.errors import BadInput
from perfgate.github.release_file import PREFIX, release_in

#: Of this checkout, which action.yml lies in.
ROOT: Final = Path(__file__).parents[2]
#: Each input's variable is this and its name: INPUT_GATEWAY_CONFIG.
VARIABLE_PREFIX: Final = "INPUT_"
#: Of inputs that are left empty.
DEFAULTS: Final[Mapping[str, str]] = {
    "profile": "gate",
    "stack": "processes",
    "images": "official",
    "prisma-engine": "native",
    "fail-on-verdict": "true",
}
#: All others are empty.
NAMES: Final = (
    "candidate",
    "baseline",
    "gateway-config",
    "baseline-config",
    "thresholds",
    "tests",
    "options",
    "folder",
    *DEFAULTS,
)
#: In a folder for what passes, so that a checkout that is itself measured stays as it is.
DEFAULT_FOLDER: Final = "perfgate"


@dataclass(frozen=True, slots=True)
class GateInputs:
    """Inputs of the action, with defaults filled in.

    Args:
        candidate, baseline: as for --candidate and --baseline, a `file:` replaced by the release in it; empty for none.
        baseline_given: as it was given, a `file:` included.
        gateway_config: the candidate's, and the baseline's where that has none of its own; empty for none.
        baseline_config: the baseline's own; empty for none.
        profile, stack, images, prisma_engine: as for the options of that name.
        thresholds: the file; perfgate's own by default.
        tests: files or folders of perf tests; perfgate's own by default.
        options: further ones of pytest.
        folder: where everything is written that a run leaves.
        fails_on_verdict: whether FAIL, INVALID and INCOMPLETE end the step with their code. If not, someone else
            concludes; what is no verdict ends it all the same.
    """

    candidate: str
    baseline: str
    baseline_given: str
    gateway_config: str
    baseline_config: str
    profile: str
    stack: str
    images: str
    prisma_engine: str
    thresholds: str
    tests: tuple[str, ...]
    options: tuple[str, ...]
    folder: Path
    fails_on_verdict: bool

    @classmethod
    def of_environ(cls, environ: Mapping[str, str]) -> Self:
        """The inputs that environment variables hold.

        Raises:
            BadInput: one cannot be used.
        """
        given = {name: environ.get(variable(name), "").strip() or DEFAULTS.get(name, "") for name in NAMES}
        if given["fail-on-verdict"] not in ("true", "false"):
            raise BadInput(f"fail-on-verdict={given['fail-on-verdict']}: must be true or false")
        return cls(
            candidate=_source(given["candidate"]),
            baseline=_source(given["baseline"]),
            baseline_given=given["baseline"],
            gateway_config=given["gateway-config"],
            baseline_config=given["baseline-config"],
            profile=given["profile"],
            stack=given["stack"],
            images=given["images"],
            prisma_engine=given["prisma-engine"],
            thresholds=given["thresholds"] or str(ROOT / "thresholds.yaml"),
            tests=_words("tests", given["tests"]) or (str(ROOT / "tests/perf"),),
            options=_words("options", given["options"]),
            folder=Path(given["folder"] or _temporary(environ) / DEFAULT_FOLDER).absolute(),
            fails_on_verdict=given["fail-on-verdict"] == "true",
        )

    @property
    def record_dir(self) -> Path:
        """Where runs leave their records."""
        return self.folder / "records"

    @property
    def is_comparing(self) -> bool:
        """Whether there is a baseline."""
        return bool(self.baseline or self.baseline_config)

    def arguments(self) -> list[str]:
        """Of pytest. What cannot be judged is never a pass, whatever the profile says."""
        of_configs = (
            {"--candidate-config": self.gateway_config, "--baseline-config": self.baseline_config}
            if self.baseline_config
            else {"--gateway-config": self.gateway_config}
        )
        stated = {
            "--profile": self.profile,
            "--baseline": self.baseline,
            "--candidate" if self.is_comparing else "--litellm": self.candidate,
            **of_configs,
            "--stack": self.stack,
            "--images": "" if self.images == DEFAULTS["images"] else self.images,
            "--prisma-engine": self.prisma_engine,
            "--thresholds": self.thresholds,
            "--record-dir": str(self.record_dir),
            "--on-invalid": "fail",
        }
        return [*self.tests, *(f"{name}={text}" for name, text in stated.items() if text), *self.options]


def variable(name: str) -> str:
    """The environment variable of an input.

    >>> variable("gateway-config")
    'INPUT_GATEWAY_CONFIG'
    """
    return VARIABLE_PREFIX + name.upper().replace("-", "_")


def _source(text: str) -> str:
    return release_in(Path(text.removeprefix(PREFIX))) if text.startswith(PREFIX) else text


def _words(name: str, text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise BadInput(f"{name}={text}: these are words as a shell takes them, and here is {error}") from error


def _temporary(environ: Mapping[str, str]) -> Path:
    """A folder for what passes; here, where GitHub names none."""
    return Path(environ.get("RUNNER_TEMP") or ".perfgate")
