"""Which logging callbacks can be measured, and how is LiteLLM told of each?

Comes in: a callback's name. Goes out: what LiteLLM's configuration and its environment then say. Every host that a
callback writes to is one that the log sink stands in for (log_sink.py), so that nothing leaves this machine.

    langsmith   LiteLLM's own
    gcs         LiteLLM's own `gcs_bucket` where LITELLM_LICENSE is set, else a stand-in of ours (litellm_gcs.py)
    webhook     LiteLLM's own `generic_api`, from the release on that has it without a licence

docs/add-a-callback.md says how to add one.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from packaging.version import Version

from log_sink.certificates import WEBHOOK_HOST
from log_sink.counts import Format
from perfgate.stack.sources import PortkeyRelease, Release, RunningUrl, Source

CallbackName = Literal["langsmith", "gcs", "webhook"]
#: Faults of known size in the stand-in, to prove that the check sees them.
CallbackFault = Literal["burns 1 ms", "posts at once"]
CALLBACKS: Final[tuple[CallbackName, ...]] = get_args(CallbackName)

#: Seconds between two writings of a callback: the fewest that LiteLLM's settings can say. Production: 5 and 20.
FLUSH_S: Final = 1
#: By which the licence of LiteLLM's premium features is given to it.
LICENCE_VARIABLE: Final = "LITELLM_LICENSE"
#: Where the gateway finds whom to trust: beside its configuration.
AUTHORITY_FILE: Final = "perfgate-sink-ca.pem"
STAND_IN_FILE: Final = "perfgate_gcs.py"
STAND_IN: Final = "perfgate_gcs.handler"
SERVICE_ACCOUNT_FILE: Final = "perfgate-service-account.json"
#: The first release whose `generic_api` is part of the free package; before, it is in litellm_enterprise.
WEBHOOK_FREE_SINCE: Final = Version("1.80.7")

#: What `gcs_bucket` imports to get its access token; the official images have it.
LICENSED_PACKAGES: Final = ("google-auth", "requests")
STAND_IN_NOTE: Final = (
    "gcs is a stand-in of perfgate's: the licensed callback gcs_bucket was not tested (LITELLM_LICENSE is not set)"
)

_FLUSH: Final[Mapping[str, str]] = {"DEFAULT_FLUSH_INTERVAL_SECONDS": str(FLUSH_S)}
_LANGSMITH: Final[Mapping[str, str]] = {"LANGSMITH_API_KEY": "perfgate-no-secret", "LANGSMITH_PROJECT": "perfgate"}
_GCS: Final[Mapping[str, str]] = {"GCS_BUCKET_NAME": "perfgate-bucket", "GCS_FLUSH_INTERVAL": str(FLUSH_S)}
_FAULT_VARIABLES: Final[Mapping[CallbackFault, Mapping[str, str]]] = {
    "burns 1 ms": {"PERFGATE_BURN_CPU_MS": "1"},
    "posts at once": {"PERFGATE_POST_AT_ONCE": "1"},
}


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback as a gateway is told of it.

    Args:
        name: of it.
        format: by which the sink counts its records.
        configured: for `litellm_settings.callbacks`.
        environment: variables.
        files: put beside the configuration: text by name.
        secrets: among these, which no log may show.
        note: what a report has to say of it; empty for nothing.
    """

    name: CallbackName
    format: Format
    configured: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    note: str = ""


def lacking(name: CallbackName, source: Source) -> str | None:
    """Why a gateway cannot have the callback, in words; None when it can.

    >>> lacking("webhook", Release("1.79.3"))
    'the callback webhook (generic_api) needs a licence in litellm 1.79.3, from 1.80.7 on it does not'
    """
    if isinstance(source, RunningUrl):
        return f"{source} runs already: its callbacks are not perfgate's to set"
    if isinstance(source, PortkeyRelease):
        return f"{source} has none of LiteLLM's callbacks"
    if name == "webhook" and isinstance(source, Release) and Version(source.number) < WEBHOOK_FREE_SINCE:
        return (
            f"the callback webhook (generic_api) needs a licence in {source}, from {WEBHOOK_FREE_SINCE} on it does not"
        )
    return None


def is_licensed(environ: Mapping[str, str]) -> bool:
    """Whether LiteLLM's premium callbacks can be measured."""
    return bool(environ.get(LICENCE_VARIABLE))


def packages_for(name: CallbackName, environ: Mapping[str, str]) -> tuple[str, ...]:
    """What LiteLLM needs beside its own dependencies to load the callback."""
    return LICENSED_PACKAGES if name == "gcs" and is_licensed(environ) else ()


def callback(
    name: CallbackName, fault: CallbackFault | None = None, environ: Mapping[str, str] = os.environ
) -> Callback:
    """A callback that logs to hosts which the log sink stands in for.

    Args:
        name: of it.
        fault: of known size; the stand-in for `gcs` alone has them.
        environ: where a licence is looked for.
    """
    if fault is not None and (name != "gcs" or is_licensed(environ)):
        raise ValueError(f"{name} with the fault {fault!r}: the stand-in for gcs alone has faults")
    match name:
        case "langsmith":
            return Callback("langsmith", "langsmith", ("langsmith",), {**_LANGSMITH, **_FLUSH})
        case "webhook":
            endpoint = {"GENERIC_LOGGER_ENDPOINT": f"https://{WEBHOOK_HOST}/webhook"}
            return Callback("webhook", "webhook", ("generic_api",), {**endpoint, **_FLUSH})
        case "gcs" if is_licensed(environ):
            return _licensed_gcs(environ[LICENCE_VARIABLE])
        case "gcs":
            source = Path(__file__).with_name("litellm_gcs.py").read_text(encoding="utf-8")
            variables = {**_GCS, **(_FAULT_VARIABLES[fault] if fault is not None else {})}
            return Callback("gcs", "gcs", (STAND_IN,), variables, {STAND_IN_FILE: source}, note=STAND_IN_NOTE)


def _licensed_gcs(licence: str) -> Callback:
    variables = {**_GCS, "GCS_PATH_SERVICE_ACCOUNT": SERVICE_ACCOUNT_FILE, LICENCE_VARIABLE: licence}
    files = {SERVICE_ACCOUNT_FILE: _service_account()}
    return Callback("gcs", "gcs", ("gcs_bucket",), variables, files, (licence,))


@dataclass(frozen=True, slots=True)
class LogAccess:
    """A callback of a gateway, and how its hosts lead to the sink.

    Args:
        callback: see there.
        authority_pem: of the authority that the sink's certificate is by.
        proxy: variables that lead the gateway's HTTPS through the sink's proxy (`SinkAddresses.through_proxy`); empty
            where the network has the hosts' names.
    """

    callback: Callback
    authority_pem: str = field(repr=False)
    proxy: Mapping[str, str] = field(default_factory=dict)

    @property
    def secrets(self) -> Sequence[str]:
        """The licence, where there is one."""
        return self.callback.secrets

    def environment(self, folder: Path) -> Mapping[str, str]:
        """Whom to trust, where to go, and the callback's own settings; `folder` is where its files are."""
        files = self.files()
        trusted = {"SSL_CERT_FILE": AUTHORITY_FILE, "REQUESTS_CA_BUNDLE": AUTHORITY_FILE}
        said = {**trusted, **self.proxy, **self.callback.environment}
        return {name: str(folder / value) if value in files else value for name, value in said.items()}

    def files(self) -> Mapping[str, str]:
        """Whom to trust, and what the callback needs."""
        return {AUTHORITY_FILE: self.authority_pem, **self.callback.files}

    def configure(self, data: dict[str, Any]) -> None:
        """Put it into a configuration."""
        settings = data["litellm_settings"]
        before = settings.get("callbacks") or []
        settings["callbacks"] = [*(before if isinstance(before, list) else [before]), *self.callback.configured]


def _service_account() -> str:
    """Of nobody: a key made for the occasion, whose signature the sink's token endpoint does not check."""
    import trustme  # only with a licence

    return json.dumps(
        {
            "type": "service_account",
            "project_id": "perfgate",
            "private_key_id": "none",
            "private_key": trustme.CA(key_type=trustme.KeyType.RSA).private_key_pem.bytes().decode(),
            "client_email": "perfgate@perfgate.iam.gserviceaccount.com",
            "client_id": "0",
            "token_uri": "https://oauth2.googleapis.com/token",
        }
    )
