"""What of a user's own LiteLLM configuration is measured, and what of it cannot be?

Comes in: the user's config.yaml. Goes out: a `GatewayConfig`: the same configuration with every model at the mock, keys
replaced, nothing that hides an error (retries, cooldowns, fallbacks), and notes on what was changed. Whatever would
call something outside of this machine, or needs a service that is not there, is refused by name, with file and line.

YAML is read as located_yaml.py does: no aliases and no tags.
"""

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from perfgate import located_yaml
from perfgate.errors import BadInput
from perfgate.located_yaml import KeyPath
from perfgate.stack.service import is_on_loopback

#: The reference to the variable that the key is handed over in, so that it stands in no file.
MASTER_KEY: Final = "os.environ/LITELLM_MASTER_KEY"
#: A retry or a cooldown would hide an error, or answer for a model that was never asked.
ROUTER_SETTINGS: Final[Mapping[str, Any]] = {"num_retries": 0, "disable_cooldowns": True}
#: Asked of a model whose name is a pattern, in the place of the asterisk.
ANY_MODEL: Final = "perfgate-plain"

#: Callbacks of LiteLLM's own that stay inside its process, and the package that each needs beside LiteLLM's.
CALLBACKS_ALLOWED: Final[Mapping[str, str]] = {"prometheus": "prometheus-client"}
_CALLBACK_KEYS: Final = frozenset(
    {"callbacks", "success_callback", "failure_callback", "service_callback", "input_callback", "audit_log_callbacks"}
    | {"post_call_rules", "pre_call_rules"}
)
_MODULE_OBJECT: Final = re.compile(r"(?P<module>[A-Za-z_]\w*)\.(?P<name>[A-Za-z_]\w*)")

#: Providers whose requests are OpenAI's, so that the mock can answer them as they are.
_SPOKEN: Final = frozenset({"openai", "custom_openai", "hosted_vllm", "litellm_proxy"})
#: Where a model is and how one gets in: replaced.
_ENDPOINT_KEYS: Final = frozenset({"api_base", "base_url", "api_key"})
#: Of other providers: they mean nothing to the mock, and some are secrets.
_PROVIDER_KEYS: Final = re.compile(
    r"(aws|vertex|azure|watsonx|gcs|s3|bedrock|sagemaker|databricks|oci)_\w+|region_name|api_version|organization"
    r"|tenant_id|client_id|client_secret|custom_llm_provider|litellm_credential_name|token|project_id|space_id"
)
#: They would answer for another model, or once more: left out.
_HIDES_ERRORS: Final = frozenset(
    {"num_retries", "max_retries", "retry_policy", "model_group_retry_policy", "fallbacks", "default_fallbacks"}
    | {"context_window_fallbacks", "content_policy_fallbacks", "allowed_fails", "allowed_fails_policy", "cooldown_time"}
    | {"disable_cooldowns"}
)
#: They would keep requests out of the spend log, or delay them: left out. Without a database they mean nothing.
_HIDES_SPEND: Final = re.compile(
    r"disable_(spend_logs|spend_updates|error_logs)|maximum_spend_logs_\w+|proxy_batch_write_at"
)

_READ: Final = ("model_list", "litellm_settings", "general_settings", "router_settings")
#: Why each is refused, after "is not supported yet: ".
_NEEDS: Final[Mapping[str, str]] = {
    "database": "it needs a database",
    "redis": "it needs a cache service",
    "secrets": "it may hold secrets and addresses; take it out",
    "outside": "it would call something outside of this machine",
    "code": "it loads code that is not measured with it",
}
_REFUSED: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        re.compile(r"database_\w+|store_model_in_db|store_prompts_in_spend_logs|use_redis_transaction_buffer"),
        "database",
    ),
    (
        re.compile(
            r"redis_\w+|coordination_redis|cache|cache_params|cache_kwargs|cache_responses|enable_caching_on_provider\w*"
        ),
        "redis",
    ),
    (re.compile(r"environment_variables|credential_list|default_team_settings|litellm_license"), "secrets"),
    (
        re.compile(
            r"pass_through_endpoints|guardrails|alerting\w*|alert_\w+|mcp_servers|vector_store_registry|search_tools|otel"
            r"|key_management_\w+|use_(azure_key_vault|google_kms|aws_secret_manager)|enable_jwt_auth|litellm_jwtauth"
            r"|secret_manager\w*|mock_response"
        ),
        "outside",
    ),
    (re.compile(r"custom_\w+|include"), "code"),
)

_ENVIRONMENT_REFERENCE: Final = "os.environ/"
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of `model_list`.

    Args:
        name: what clients ask for; may hold asterisks.
        upstream: the model that the mock is then asked for; may hold one.
        is_chat: whether it answers chat completions.
    """

    name: str
    upstream: str
    is_chat: bool


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """A user's configuration as it is measured.

    Args:
        path: of the user's file.
        deployments: every entry of `model_list`, in the file's order; at least one answers chat completions.
        notes: what was changed that could matter, one sentence each.
        files: code of the user's callbacks, by file name.
        packages: what has to be installed beside LiteLLM for them.
        data: the configuration, checked, everything but the endpoint's address in it.
    """

    path: Path
    deployments: tuple[Deployment, ...]
    notes: tuple[str, ...]
    files: Mapping[str, str]
    packages: frozenset[str]
    data: Mapping[str, Any]

    @property
    def default_model(self) -> str:
        """The first one in the file that answers chat completions."""
        name = next(deployment.name for deployment in self.deployments if deployment.is_chat)
        return name.replace("*", ANY_MODEL)

    def upstream_of(self, model: str) -> str:
        """What the mock is asked for when a client asks for a model.

        Raises:
            BadInput: the file has no such model; lists those it has.
        """
        # LiteLLM takes a literal name before a pattern.
        for deployment in sorted(self.deployments, key=lambda deployment: "*" in deployment.name):
            pattern = re.escape(deployment.name).replace(r"\*", "(.*)")
            match = re.fullmatch(pattern, model)
            if match is not None:
                return deployment.upstream.replace("*", match[1] if match.groups() else ANY_MODEL)
        known = ", ".join(dict.fromkeys(deployment.name for deployment in self.deployments))
        raise BadInput(f"{self.path} has no model {model!r}; its models are {known}")

    def pointed_at(self, api_base: str, callbacks: Sequence[str] = ()) -> dict[str, Any]:
        """What LiteLLM is told.

        Args:
            api_base: the endpoint of every model.
            callbacks: `module.object`s to load beside the user's own.
        """
        data = copy.deepcopy(dict(self.data))
        for entry in data["model_list"]:
            entry["litellm_params"] |= {"api_base": api_base, "api_key": "none"}
        if callbacks:
            settings = data["litellm_settings"]
            settings["callbacks"] = [*_listed(settings.get("callbacks")), *callbacks]
        return data


def read_gateway_config(path: Path) -> GatewayConfig:
    """Read and check a user's configuration.

    Raises:
        BadInput: it cannot be read, or not be measured; one line for every reason, with file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--gateway-config {path} cannot be read: {error}") from error
    try:
        document = located_yaml.read(text)
    except located_yaml.NotYaml as error:
        raise BadInput(_lines(path, error.problems)) from error
    reader = _Reader(path.parent, document)
    config = reader.read(path)
    if reader.problems or config is None:
        raise BadInput(_lines(path, sorted(reader.problems, key=lambda problem: problem.line or 0)))
    return config


def _lines(path: Path, problems: Sequence[located_yaml.Problem]) -> str:
    return "\n".join(
        ": ".join([f"{path}:{problem.line}" if problem.line else str(path), *_key(problem.path), problem.text])
        for problem in problems
    )


def _key(path: KeyPath) -> list[str]:
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    return [words] if words else []


class _Reader:
    """Goes through a document once, and collects what is wrong with it."""

    def __init__(self, folder: Path, document: located_yaml.Document) -> None:
        self.problems = list(document.problems)
        self._folder = folder
        self._document = document
        self._notes: list[str] = []
        self._files: dict[str, str] = {}
        self._packages: set[str] = set()

    def read(self, path: Path) -> GatewayConfig | None:
        if not isinstance(self._document.data, dict):
            self._complain((), "expected the keys of a LiteLLM configuration, such as model_list")
            return None
        data = copy.deepcopy(self._document.data)
        self._check_keys()
        deployments = self._models(data)
        for section in ("litellm_settings", "general_settings", "router_settings"):
            if not isinstance(data.setdefault(section, {}) or {}, dict):
                self._complain((section,), f"expected a mapping, found {self._shown((section,))}")
                return None
            data[section] = data[section] or {}
            self._leave_out(data[section], (section,), _HIDES_ERRORS.__contains__, "it would hide errors")
        why = "with a database every request is to be in the spend log, and soon"
        self._leave_out(data["general_settings"], ("general_settings",), _HIDES_SPEND.fullmatch, why)
        data["litellm_settings"]["num_retries"] = 0
        data["general_settings"]["master_key"] = MASTER_KEY
        data["router_settings"] |= ROUTER_SETTINGS
        for value_path, value in _leaves(data):
            if value_path != ("general_settings", "master_key"):
                self._check_value(value_path, value)
        if not self.problems and not any(deployment.is_chat for deployment in deployments):
            self._complain(("model_list",), "no model answers chat completions, and those are what is measured")
        return GatewayConfig(path, tuple(deployments), tuple(self._notes), self._files, frozenset(self._packages), data)

    def _check_keys(self) -> None:
        """Refuse what is not supported, wherever it stands; see to callbacks."""
        for key_path, value in _nodes(self._document.data):
            key = key_path[-1]
            if len(key_path) == 1 and key not in _READ:
                need = _need_of(str(key))
                self._complain(key_path, f"is not supported yet{f': {_NEEDS[need]}' if need else ''}")
            elif key in _CALLBACK_KEYS:
                self._callbacks(key_path, value)
            elif isinstance(key, str) and key_path[0] != "model_list" and value not in (None, False, [], {}):
                need = _need_of(key)
                if need:
                    self._complain(key_path, f"is not supported yet: {_NEEDS[need]}")

    def _callbacks(self, path: KeyPath, value: object) -> None:
        for name in _listed(value):
            match = _MODULE_OBJECT.fullmatch(name) if isinstance(name, str) else None
            if match is not None:
                self._copy_module(path, match["module"], str(name))
            elif name in CALLBACKS_ALLOWED:
                self._packages.add(CALLBACKS_ALLOWED[name])
            else:
                self._complain(
                    path,
                    f"the callback {name!r} would call something outside of this machine: take it out for this "
                    f"measurement (what stays: {', '.join(sorted(CALLBACKS_ALLOWED))}, and module.object of a file "
                    "beside this one)",
                )

    def _copy_module(self, path: KeyPath, module: str, name: str) -> None:
        file = self._folder / f"{module}.py"
        try:
            self._files[file.name] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            self._complain(path, f"the callback {name!r} needs the file {file}, which cannot be read")

    def _models(self, data: dict[str, Any]) -> list[Deployment]:
        entries = data.get("model_list")
        if not isinstance(entries, list) or not entries:
            self._complain(("model_list",), "expected a list with at least one model")
            return []
        return [found for index, entry in enumerate(entries) if (found := self._model(entry, ("model_list", index)))]

    def _model(self, entry: object, path: KeyPath) -> Deployment | None:
        params = entry.get("litellm_params") if isinstance(entry, dict) else None
        name = entry.get("model_name") if isinstance(entry, dict) else None
        model = params.get("model") if isinstance(params, dict) else None
        if not isinstance(entry, dict) or not isinstance(params, dict) or not (name and model):
            self._complain(path, "expected model_name, and litellm_params with a model")
            return None
        name, model = str(name), str(model)
        for key in _ENDPOINT_KEYS & params.keys():
            del params[key]
        self._leave_out(params, (*path, "litellm_params"), _PROVIDER_KEYS.fullmatch, "the mock has no use for it")
        self._leave_out(params, (*path, "litellm_params"), _HIDES_ERRORS.__contains__, "it would hide errors")
        params["max_retries"] = 0
        for key in list(params):
            need = _need_of(key)
            if need and params[key] not in (None, False):
                reason = "answers without asking the endpoint" if key == "mock_response" else _NEEDS[need]
                self._complain((*path, "litellm_params", key), f"is not supported yet: {reason}")
        provider, slash, rest = model.partition("/")
        if not slash or provider not in _SPOKEN:
            params["model"] = f"openai/{rest if slash else model}"
            self._notes.append(
                f"{self._place((*path, 'litellm_params', 'model'))}: model {model} is measured as {params['model']}: "
                "the mock speaks OpenAI's API, so what LiteLLM does for that provider alone is not measured"
            )
        mode = (
            entry.get("model_info", {}).get("mode", "chat") if isinstance(entry.get("model_info", {}), dict) else "chat"
        )
        return Deployment(name, str(params["model"]).partition("/")[2], mode in ("chat", None))

    def _leave_out(
        self, settings: dict[str, Any], path: KeyPath, is_left_out: Callable[[str], object], why: str
    ) -> None:
        for key in [key for key in settings if is_left_out(key)]:
            del settings[key]
            self._notes.append(f"{self._place((*path, key))}: left out: {why}")

    def _check_value(self, path: KeyPath, value: object) -> None:
        """Refuse what refers to the environment or to another machine, wherever it stands."""
        if not isinstance(value, str):
            return
        if value.startswith(_ENVIRONMENT_REFERENCE):
            self._complain(
                path, f"{value} is not supported yet: LiteLLM is started without your environment; write the value out"
            )
        elif _ADDRESS.match(value) and not is_on_loopback(value):
            self._complain(path, f"is not supported yet: {_NEEDS['outside']}")

    def _complain(self, path: KeyPath, text: str) -> None:
        self.problems.append(located_yaml.Problem(self._document.place(path).line, path, text))

    def _place(self, path: KeyPath) -> str:
        return f"line {self._document.place(path).line}, {_key(path)[0]}"

    def _shown(self, path: KeyPath) -> str:
        return self._document.place(path).shown


def _need_of(key: str) -> str | None:
    return next((need for pattern, need in _REFUSED if pattern.fullmatch(key)), None)


def _listed(value: object) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _nodes(data: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, object]]:
    """Every value below, with the keys that lead to it."""
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield (*path, key), value
            yield from _nodes(value, (*path, key))


def _leaves(data: object) -> Iterator[tuple[KeyPath, object]]:
    return ((path, value) for path, value in _nodes(data) if not isinstance(value, dict | list))
