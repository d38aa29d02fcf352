"""How is a LiteLLM gateway run as a service?

Comes in: an `Environment`, the mock's address, workers, callbacks, and the user's own configuration, where there is one
(gateway_config.py). Goes out: a `Service`. Everything else that the gateway is told stands here: configuration,
environment, command line.
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from perfgate.stack.environments import Environment
from perfgate.stack.gateway_config import MASTER_KEY, ROUTER_SETTINGS, GatewayConfig
from perfgate.stack.mock import REPLY_TEXT
from perfgate.stack.readiness import HttpCheck

CONFIG_FILE: Final = "config.yaml"
CHAT_PATH: Final = "/v1/chat/completions"
#: The file that litellm_faults.py becomes beside the configuration, and the callback in it.
FAULTS_FILE: Final = "perfgate_faults.py"
FAULTS_CALLBACK: Final = "perfgate_faults.handler"
#: 5 to 10 s on a quiet machine, 20 to 40 s on a loaded one.
START_DEADLINE_S: Final = 120.0

_READY_MODEL: Final = "perfgate-ready"


def random_key() -> str:
    """A master key that nobody knows; new LiteLLM releases refuse the ones of examples."""
    return f"sk-{secrets.token_hex(24)}"


@dataclass(frozen=True, slots=True)
class LiteLLM:
    """One LiteLLM instance: `with backend.running(LiteLLM(environment, f"{mock.address.url}/v1")) as gateway: …`.

    It passes every model name on to the mock, and every error of the mock on to the client: no retries, no cooldowns.

    Args:
        installed: where it is installed; in use (`EnvironmentCache.using`) for as long as it runs.
        api_base: the endpoint behind it; its chat completions are at `api_base/chat/completions`.
        workers: its processes.
        config: the user's own; None passes every model on.
        reply_contains: what proves that an answer is the endpoint's.
        callbacks: for `litellm_settings.callbacks`: `module.object` of a file in `extra_files`, or a name it knows.
        extra_files: put beside the configuration: text by file name.
        extra_environment: added to its environment.
        master_key: the only key it accepts; a random one by default.
        name: for messages and file names.
        start_deadline_s: how long after its start it may take to answer.
    """

    installed: Environment
    api_base: str
    workers: int = 1
    config: GatewayConfig | None = None
    reply_contains: str = REPLY_TEXT
    callbacks: tuple[str, ...] = ()
    extra_files: Mapping[str, str] = field(default_factory=dict)
    extra_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    master_key: str = field(default_factory=random_key, repr=False)
    name: str = "litellm"
    start_deadline_s: float = START_DEADLINE_S

    def __post_init__(self) -> None:
        """Check what a user can ask for."""
        if self.workers < 1:
            raise ValueError(f"workers={self.workers} must be at least 1")

    @property
    def secrets(self) -> Sequence[str]:
        """The master key."""
        return (self.master_key,)

    def argv(self, port: int) -> list[str]:
        """LiteLLM's own command, which runs uvicorn, as the official image does."""
        program = str(self.installed.executable("litellm"))
        where = ["--config", CONFIG_FILE, "--host", "127.0.0.1", "--port", str(port)]
        return [program, *where, "--num_workers", str(self.workers), "--telemetry", "False"]

    def environment(self, folder: Path) -> Mapping[str, str]:
        """What production sets, and what keeps it off the network at start."""
        return {
            "PATH": f"{self.installed.executable('python').parent}{os.pathsep}{os.defpath}",
            # Both within the run's folder, so that whatever it leaves there goes away with the run.
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LC_ALL": "C.UTF-8",
            "LITELLM_MASTER_KEY": self.master_key,
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            # By default uvicorn kills a worker that is not up within 5 s, and starts another: on a busy host for ever.
            "TIMEOUT_WORKER_HEALTHCHECK": f"{START_DEADLINE_S:.0f}",
            # Lists that it would otherwise fetch at start; what an older release does not know does no harm.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
            "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
            "LITELLM_LOCAL_BLOG_POSTS": "True",
            "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
            "NO_PROXY": "*",
            **self.extra_environment,
        }

    def files(self) -> Mapping[str, str]:
        """Its configuration, and what callbacks need."""
        beside = {**(self.config.files if self.config else {}), **self.extra_files}
        return {CONFIG_FILE: yaml.safe_dump(self.configuration(), sort_keys=False, allow_unicode=True), **beside}

    def configuration(self) -> dict[str, Any]:
        """What config.yaml says."""
        if self.config is not None:
            return self.config.pointed_at(self.api_base, self.callbacks)
        to_mock = {"model": "openai/*", "api_base": self.api_base, "api_key": "none"}
        return {
            "model_list": [{"model_name": "*", "litellm_params": to_mock}],
            "general_settings": {"master_key": MASTER_KEY},
            "litellm_settings": {"callbacks": list(self.callbacks)} if self.callbacks else {},
            "router_settings": dict(ROUTER_SETTINGS),
        }

    def ready_checks(self) -> Sequence[HttpCheck]:
        """A chat completion from the mock for our key, and none for another: so it is our process."""
        model = self.config.default_model if self.config else _READY_MODEL
        chat = {"model": model, "messages": [{"role": "user", "content": "ready?"}]}
        return [
            HttpCheck(
                "the mock's reply to a chat completion",
                CHAT_PATH,
                "POST",
                headers={"Authorization": f"Bearer {self.master_key}"},
                json=chat,
                contains=(self.reply_contains,),
            ),
            HttpCheck(
                "its refusal of a wrong key",
                CHAT_PATH,
                "POST",
                headers={"Authorization": f"Bearer {random_key()}"},
                json=chat,
                statuses=frozenset({400, 401, 403}),
            ),
        ]


def faults_file() -> Mapping[str, str]:
    """`extra_files` for the callback `FAULTS_CALLBACK`, which injects faults of known size (litellm_faults.py)."""
    return {FAULTS_FILE: Path(__file__).with_name("litellm_faults.py").read_text()}
