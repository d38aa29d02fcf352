"""What is compared: an arm, and the gateway that serves it.

Values only. Two arms with an equal `GatewaySpec` are served by the same processes, so that a fault can be switched on
and off from window to window inside one process.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perfgate.errors import BadInput
from perfgate.stack.releases import DepsMode
from perfgate.stack.sources import RunningUrl, Source

#: The model asked for by default; the mock endpoint answers any name outside its own grammar with a plain reply.
PLAIN_MODEL: Final = "perfgate-plain"


@dataclass(frozen=True, slots=True)
class GatewaySpec:
    """One LiteLLM gateway as it is to be started, or as it runs already.

    Args:
        source: which LiteLLM.
        deps: its dependencies as of its release date, or the newest of today.
        workers: worker processes of each instance.
        faults: load the callback that injects faults of known size (stack/litellm_faults.py).
        instances: LiteLLM processes side by side; the generator takes them in turn.
        config_path: the user's own configuration (stack/gateway_config.py); None passes every model on to the mock.
        with_packages: what is installed beside LiteLLM (`installing.checked_packages`).

    Raises:
        BadInput: something is asked for that a gateway which runs already cannot be given.
    """

    source: Source
    deps: DepsMode = "of-its-time"
    workers: int = 1
    faults: bool = False
    instances: int = 1
    config_path: Path | None = None
    with_packages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the numbers, and what goes together."""
        for name in ("workers", "instances"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if isinstance(self.source, RunningUrl):
            asked = {
                "--workers": self.workers > 1,
                "--instances": self.instances > 1,
                "--gateway-config": self.config_path is not None,
                "--with-packages": bool(self.with_packages),
                "--deps": self.deps != "of-its-time",
                "faults": self.faults,
            }
            given = [name for name, is_given in asked.items() if is_given]
            if given:
                raise BadInput(
                    f"{self.source} runs already and is not started by perfgate: {', '.join(given)} cannot apply to it"
                )

    def __str__(self) -> str:
        """As it stands in a table: `litellm 1.106.2`, and whatever is not the default."""
        said = [" with ".join([str(self.source), *self.with_packages])]
        if self.instances > 1:
            said.append(f"{self.instances} instances")
        if self.workers > 1:
            said.append(f"{self.workers} workers" + (" each" if self.instances > 1 else ""))
        if self.config_path is not None:
            said.append(f"config {self.config_path.name}")
        return ", ".join(said)

    @property
    def processes(self) -> int:
        """How many processes serve requests."""
        return self.instances * self.workers

    @property
    def options(self) -> str:
        """What to type to have it again, whatever the variables and defaults are then."""
        if isinstance(self.source, RunningUrl):
            words = ["--litellm", self.source.option_text]
            words += ["--gateway-key-env", self.source.key_env] if self.source.key_env else []
            return shlex.join(words)
        words = ["--litellm", self.source.option_text, "--deps", self.deps, "--workers", str(self.workers)]
        words += ["--instances", str(self.instances)] if self.instances > 1 else []
        words += ["--gateway-config", str(self.config_path)] if self.config_path else []
        words += ["--with-packages", " ".join(self.with_packages)] if self.with_packages else []
        return shlex.join(words)


@dataclass(frozen=True, slots=True)
class Arm:
    """One thing under test in a comparison.

    Args:
        name: `direct`, `gateway`, `baseline`, `candidate`, `callback_on` …; unique within a measurement.
        gateway: what stands between generator and mock; None is the direct arm.
        model: the model its requests ask for.

    >>> Arm("direct", gateway=None).is_direct
    True
    """

    name: str
    gateway: GatewaySpec | None
    model: str = PLAIN_MODEL

    @property
    def is_direct(self) -> bool:
        """Whether requests go to the mock without a gateway."""
        return self.gateway is None
