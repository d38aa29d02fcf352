"""How is a LiteLLM gateway run as a service?

Comes in: an `Environment`, the mock's address, workers, callbacks, the user's own configuration, where there is one
(gateway_config.py), where its database and its Redis are, and whom it logs to (callbacks.py), where it has them. Goes
out: a `Service`. Everything else that the gateway is told stands here: configuration, environment, command line.
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote, unquote, urlsplit

import yaml

from perfgate.stack.callbacks import LogAccess
from perfgate.stack.environments import Environment
from perfgate.stack.gateway_config import MASTER_KEY, ROUTER_SETTINGS, GatewayConfig
from perfgate.stack.mock import REPLY_TEXT
from perfgate.stack.readiness import HttpCheck
from perfgate.stack.service import Address

#: How LiteLLM is told of a Redis: by host, port and password, or by one URL.
RedisBy = Literal["host_port", "url"]

CONFIG_FILE: Final = "config.yaml"
CHAT_PATH: Final = "/v1/chat/completions"
#: The file that litellm_faults.py becomes beside the configuration, and the callback in it.
FAULTS_FILE: Final = "perfgate_faults.py"
FAULTS_CALLBACK: Final = "perfgate_faults.handler"
#: 5 to 10 s on a quiet machine, 20 to 40 s on a loaded one.
START_DEADLINE_S: Final = 120.0

#: What a token costs: powers of two, so that sums of spend are exact, in whatever order they are added up. And large
#: ones, since Prisma's engine keeps 16 decimal digits of a number: these have 8 after the point.
INPUT_USD_PER_TOKEN: Final = 2.0**-8
OUTPUT_USD_PER_TOKEN: Final = 2.0**-6
#: LiteLLM adds a random time of up to so long to `proxy_batch_write_at`, once for each worker, when it starts.
FLUSH_JITTER_S: Final = 5
#: How long a reply stays in Redis. With the default of 60 s it would be a matter of luck what a window finds there.
CACHE_TTL_S: Final = 24 * 3600

_READY_MODEL: Final = "perfgate-ready"

#: Models of a gateway with `every_api`, beside those that are passed on by any name: one of Anthropic's, so that
#: messages stay messages, and one whose mode is realtime.
MESSAGES_MODEL: Final = "perfgate-messages"
REALTIME_MODEL: Final = "perfgate-realtime"


def random_key() -> str:
    """A master key that nobody knows; new LiteLLM releases refuse the ones of examples."""
    return f"sk-{secrets.token_hex(24)}"


def spend_usd(prompt_tokens: int, completion_tokens: int) -> float:
    """What a request costs where the configuration gave its model no price, exactly.

    >>> spend_usd(prompt_tokens=60, completion_tokens=1)
    0.25
    """
    return prompt_tokens * INPUT_USD_PER_TOKEN + completion_tokens * OUTPUT_USD_PER_TOKEN


@dataclass(frozen=True, slots=True)
class DatabaseAccess:
    """A PostgreSQL database for virtual keys and spend: every request becomes one row of its spend log.

    When it is written, by LiteLLM's source. A worker gathers rows and sums in memory. Every `proxy_batch_write_at`
    seconds, plus 0 to 5 whole seconds that it draws once when it starts (`FLUSH_JITTER_S`), it adds the sums to keys
    and other owners, then writes the rows. There is no minimum, and the setting has the last word over the variable
    PROXY_BATCH_WRITE_AT.

        1.79.3    at most 1,000 rows and 1,000 additions to sums each time; what is left waits for the next time
        1.106.2   at most 10,000 rows and 1,000 additions, which are added up early from 800 on, so that a key waits for
                  one or two times. Rows are also written by a second task, every 2 s while it finds 100 or more, else
                  after 3, 4.5 … 30 s (SPEND_LOG_QUEUE_POLL_INTERVAL and _SIZE_THRESHOLD, left as they are)

    An addition is one for each owner of a request (key, user, team …). Nothing is deleted by default, and nothing
    passes through Redis: that would be `use_redis_transaction_buffer`.

    Args:
        url: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, as the gateway itself reaches it.
        variables: what its Prisma client needs (`PrismaClient.variables`); a PATH in here goes before ours.
        pool_limit: the most connections of each worker.
        flush_s: `proxy_batch_write_at`; LiteLLM's default is 10, and 60 is advised for production.
    """

    url: str = field(repr=False)
    variables: Mapping[str, str]
    pool_limit: int = 10
    flush_s: int = 2

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, value in (("pool_limit", self.pool_limit), ("flush_s", self.flush_s)):
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")

    @property
    def secrets(self) -> Sequence[str]:
        """The password, if there is one, as it is written in the URL and as it is."""
        password = urlsplit(self.url).password
        return tuple(dict.fromkeys((password, unquote(password)))) if password else ()

    def environment(self) -> Mapping[str, str]:
        """Where it is, and what is needed to ask it."""
        return {**self.variables, "DATABASE_URL": self.url}

    def configure(self, data: dict[str, Any]) -> None:
        """Put it into a configuration."""
        data["general_settings"] |= {
            "database_connection_pool_limit": self.pool_limit,
            "proxy_batch_write_at": self.flush_s,
        }


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """A Redis for the cache of replies and for the router, given as LiteLLM's documentation does.

    `host_port`: `host`, `port`, `password` in `litellm_settings.cache_params`, and `redis_host`, `redis_port`,
    `redis_password` in `router_settings`. `url`: the variable REDIS_URL, to which `cache_params.url` and
    `router_settings.redis_url` refer. (A `redis_url` in `cache_params` would mean nothing to LiteLLM.) By
    URL, 1.79.3 asks it outside of its connection pool; 1.106.2 has one pool for both.

    A hit is answered with the header `x-litellm-cache-key`. Chats of more than 4 messages are not cached by 1.106.2.

    Args:
        address: as the gateway itself reaches it.
        password: the server's.
        by: how LiteLLM is told.
    """

    address: Address
    password: str = field(repr=False)
    by: RedisBy = "host_port"

    @property
    def secrets(self) -> Sequence[str]:
        """The password, as it is and as it is written in a URL."""
        return tuple(dict.fromkeys((self.password, quote(self.password, safe=""))))

    def environment(self) -> Mapping[str, str]:
        """What holds the password."""
        if self.by == "host_port":
            return {"REDIS_PASSWORD": self.password}
        at = f"{self.address.host}:{self.address.port}"
        return {"REDIS_URL": f"redis://:{quote(self.password, safe='')}@{at}/0"}

    def configure(self, data: dict[str, Any]) -> None:
        """Put it into a configuration."""
        if self.by == "host_port":
            password = "os.environ/REDIS_PASSWORD"
            where: dict[str, Any] = {"host": self.address.host, "port": self.address.port, "password": password}
        else:
            where = {"url": "os.environ/REDIS_URL"}
        data["litellm_settings"] |= {"cache": True, "cache_params": {"type": "redis", **where, "ttl": CACHE_TTL_S}}
        data["router_settings"] |= {f"redis_{name}": value for name, value in where.items()}


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
        is_priced: give every model a price (`spend_usd`) that the user's configuration gave none. With a database it is
            always so, and reckoning costs CPU: what is compared with a gateway that has a database needs it too.
        every_api: have `MESSAGES_MODEL` and `REALTIME_MODEL`, too; a user's own configuration has what it has.
        database: where it keeps virtual keys and spend; None for nowhere.
        redis: where it keeps replies and the router's state; None for its memory, without a cache of replies.
        logging: the callback that it logs every request by; None for none.
        master_key: the only key that it accepts without a database; a random one by default.
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
    is_priced: bool = False
    every_api: bool = False
    database: DatabaseAccess | None = None
    redis: RedisAccess | None = None
    logging: LogAccess | None = None
    master_key: str = field(default_factory=random_key, repr=False)
    name: str = "litellm"
    start_deadline_s: float = START_DEADLINE_S

    def __post_init__(self) -> None:
        """Check what a user can ask for."""
        if self.workers < 1:
            raise ValueError(f"workers={self.workers} must be at least 1")

    @property
    def secrets(self) -> Sequence[str]:
        """The master key, and the passwords of what it uses."""
        return (self.master_key, *(secret for service in self._services for secret in service.secrets))

    @property
    def chat_path(self) -> str:
        """See `GatewayService`."""
        return CHAT_PATH

    @property
    def client_key(self) -> str:
        """The master key; with a database, clients have a virtual key of their own."""
        return self.master_key

    @property
    def client_headers(self) -> Mapping[str, str]:
        """None: its configuration says where requests go."""
        return {}

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
            **(self.database.environment() if self.database else {}),
            **(self.redis.environment() if self.redis else {}),
            **(self.logging.environment(folder) if self.logging else {}),
            **self.extra_environment,
        }

    def files(self) -> Mapping[str, str]:
        """Its configuration, and what callbacks need."""
        of_logging = self.logging.files() if self.logging else {}
        beside = {**(self.config.files if self.config else {}), **of_logging, **self.extra_files}
        return {CONFIG_FILE: yaml.safe_dump(self.configuration(), sort_keys=False, allow_unicode=True), **beside}

    def configuration(self) -> dict[str, Any]:
        """What config.yaml says."""
        data = self.config.pointed_at(self.api_base, self.callbacks) if self.config else self._passing_on()
        for service in self._services:
            service.configure(data)
        if self.is_priced or self.database:
            _price(data["model_list"])
        return data

    @property
    def _services(self) -> tuple[DatabaseAccess | RedisAccess | LogAccess, ...]:
        return tuple(service for service in (self.database, self.redis, self.logging) if service is not None)

    def _passing_on(self) -> dict[str, Any]:
        to_mock = {"model": "openai/*", "api_base": self.api_base, "api_key": "none"}
        beside = _beside(self.api_base) if self.every_api else []
        return {
            "model_list": [{"model_name": "*", "litellm_params": to_mock}, *beside],
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


def _beside(api_base: str) -> list[dict[str, Any]]:
    """The models of endpoints that need their own."""
    # LiteLLM puts /v1/messages behind it.
    messages = {"model": f"anthropic/{MESSAGES_MODEL}", "api_base": api_base.removesuffix("/v1"), "api_key": "none"}
    realtime = {"model": f"openai/{REALTIME_MODEL}", "api_base": api_base, "api_key": "none"}
    return [
        {"model_name": MESSAGES_MODEL, "litellm_params": messages},
        {"model_name": REALTIME_MODEL, "litellm_params": realtime, "model_info": {"mode": "realtime"}},
    ]


def _price(models: Sequence[dict[str, Any]]) -> None:
    """Give a price to the models that have none."""
    for model in models:
        stated = [*model["litellm_params"], *(model.get("model_info") or {})]
        if not any("_cost_per_" in key for key in stated):
            model["litellm_params"] |= {
                "input_cost_per_token": INPUT_USD_PER_TOKEN,
                "output_cost_per_token": OUTPUT_USD_PER_TOKEN,
            }


def faults_file() -> Mapping[str, str]:
    """`extra_files` for the callback `FAULTS_CALLBACK`, which injects faults of known size (litellm_faults.py)."""
    return {FAULTS_FILE: Path(__file__).with_name("litellm_faults.py").read_text()}
