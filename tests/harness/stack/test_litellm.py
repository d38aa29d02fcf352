"""What is a LiteLLM gateway told, and what may be seen of it? (test_real_gateway.py starts one.)"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from perfgate.stack.callbacks import AUTHORITY_FILE, LICENCE_VARIABLE, STAND_IN_FILE, LogAccess, callback
from perfgate.stack.environments import Environment
from perfgate.stack.gateway_config import read_gateway_config
from perfgate.stack.litellm import (
    CACHE_TTL_S,
    CONFIG_FILE,
    FAULTS_CALLBACK,
    FAULTS_FILE,
    INPUT_USD_PER_TOKEN,
    MESSAGES_MODEL,
    OUTPUT_USD_PER_TOKEN,
    REALTIME_MODEL,
    DatabaseAccess,
    LiteLLM,
    RedisAccess,
    faults_file,
    random_key,
    spend_usd,
)
from perfgate.stack.packages import Packages
from perfgate.stack.service import Address
from perfgate.stack.sources import SourceFacts

INSTALLED: Final = Environment(
    folder=Path("/cache/litellm"),
    source=SourceFacts("litellm 1.79.3"),
    release="1.79.3",
    deps="today",
    exclude_newer=None,
    python_version="3.12.7",
    packages=Packages(("litellm==1.79.3",)),
    made_at="2026-01-01T00:00:00+00:00",
    size_bytes=1,
)
GATEWAY: Final = LiteLLM(INSTALLED, "http://127.0.0.1:9/v1")
DATABASE: Final = DatabaseAccess("postgresql://us:p%40ss@127.0.0.1:5/db", {"PRISMA_X": "1", "PATH": "/node:/bin"})
REDIS: Final = RedisAccess(Address("127.0.0.1", 6), "re/dis")
PRICE: Final = {"input_cost_per_token": INPUT_USD_PER_TOKEN, "output_cost_per_token": OUTPUT_USD_PER_TOKEN}


def told(gateway: LiteLLM) -> dict[str, Any]:
    """What its file says, as LiteLLM reads it."""
    data: dict[str, Any] = yaml.safe_load(gateway.files()[CONFIG_FILE])
    return data


def with_config(tmp_path: Path, text: str) -> LiteLLM:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return replace(GATEWAY, config=read_gateway_config(path))


def test_its_command_is_that_of_its_own_environment() -> None:
    assert GATEWAY.argv(4711) == [
        *("/cache/litellm/bin/litellm", "--config", CONFIG_FILE, "--host", "127.0.0.1", "--port", "4711"),
        *("--num_workers", "1", "--telemetry", "False"),
    ]


def test_workers_are_passed_on() -> None:
    assert replace(GATEWAY, workers=3).argv(1)[8] == "3"


def test_no_worker_is_refused() -> None:
    with pytest.raises(ValueError, match="workers=0 must be at least 1"):
        replace(GATEWAY, workers=0)


def test_every_model_goes_to_the_mock_without_retries_and_cooldowns() -> None:
    configuration = yaml.safe_load(GATEWAY.files()[CONFIG_FILE])
    (model,) = configuration["model_list"]
    assert model == {
        "model_name": "*",
        "litellm_params": {"model": "openai/*", "api_base": "http://127.0.0.1:9/v1", "api_key": "none"},
    }
    assert configuration["router_settings"] == {"num_retries": 0, "disable_cooldowns": True}
    assert configuration["litellm_settings"] == {}


def test_endpoints_that_need_a_model_of_their_own_have_one_where_it_is_wanted() -> None:
    first, *others = told(replace(GATEWAY, every_api=True))["model_list"]
    assert first == told(GATEWAY)["model_list"][0]
    assert others == [
        {
            "model_name": MESSAGES_MODEL,
            "litellm_params": {
                "model": f"anthropic/{MESSAGES_MODEL}",
                "api_base": "http://127.0.0.1:9",
                "api_key": "none",
            },
        },
        {
            "model_name": REALTIME_MODEL,
            "litellm_params": {
                "model": f"openai/{REALTIME_MODEL}",
                "api_base": "http://127.0.0.1:9/v1",
                "api_key": "none",
            },
            "model_info": {"mode": "realtime"},
        },
    ]


def test_callbacks_are_named_in_the_configuration_and_lie_beside_it() -> None:
    gateway = replace(GATEWAY, callbacks=(FAULTS_CALLBACK,), extra_files=faults_file())
    assert gateway.configuration()["litellm_settings"] == {"callbacks": ["perfgate_faults.handler"]}
    assert "class Faults(CustomLogger)" in gateway.files()[FAULTS_FILE]


def test_its_environment_is_declared_and_can_be_added_to() -> None:
    environment = replace(GATEWAY, extra_environment={"LITELLM_DETAILED_TIMING": "true"}).environment(Path("/run/x"))
    assert environment["LITELLM_DETAILED_TIMING"] == "true"
    assert environment["HOME"] == environment["TMPDIR"] == "/run/x"
    assert environment["PATH"].startswith("/cache/litellm/bin:")
    assert environment["LITELLM_MASTER_KEY"] == GATEWAY.master_key
    assert environment.keys() >= {"LITELLM_MODE", "LITELLM_LOG", "LITELLM_LOCAL_MODEL_COST_MAP", "NO_PROXY", "LC_ALL"}
    assert "PYTHONDONTWRITEBYTECODE" not in environment


def test_the_key_is_random_and_to_be_seen_nowhere() -> None:
    assert LiteLLM(INSTALLED, "http://127.0.0.1:9/v1").master_key != GATEWAY.master_key != random_key()
    assert GATEWAY.secrets == (GATEWAY.master_key,)
    shown = [repr(GATEWAY), repr(GATEWAY.ready_checks()), *GATEWAY.argv(1), GATEWAY.files()[CONFIG_FILE]]
    assert not any(GATEWAY.master_key in text for text in shown)


def test_it_is_ready_when_our_key_is_answered_by_the_mock_and_another_is_refused() -> None:
    chat, wrong_key = GATEWAY.ready_checks()
    assert chat.headers["Authorization"] == f"Bearer {GATEWAY.master_key}"
    assert chat.accepts(200, "The quick brown fox jumps")
    assert not chat.accepts(200, "Hello")
    assert GATEWAY.master_key not in wrong_key.headers["Authorization"]
    assert wrong_key.accepts(401, "")
    assert not wrong_key.accepts(200, "The quick brown fox jumps")


def test_its_name_and_deadline_can_be_set() -> None:
    gateway = replace(GATEWAY, name="baseline", start_deadline_s=7)
    assert (gateway.name, gateway.start_deadline_s) == ("baseline", 7)


class TestDatabase:
    def test_it_is_told_where_it_is_by_its_environment_alone(self) -> None:
        gateway = replace(GATEWAY, database=DATABASE)
        environment = gateway.environment(Path("/run/x"))
        assert environment["DATABASE_URL"] == DATABASE.url
        assert environment["PRISMA_X"] == "1"
        assert DATABASE.url not in gateway.files()[CONFIG_FILE]
        assert "DATABASE_URL" not in GATEWAY.environment(Path("/run/x"))

    def test_a_path_that_its_client_needs_goes_before_ours(self) -> None:
        environment = replace(GATEWAY, database=DATABASE).environment(Path("/run/x"))
        assert environment["PATH"] == "/node:/bin"

    @pytest.mark.parametrize(("pool_limit", "flush_s"), [(10, 2), (7, 60)])
    def test_pool_and_flush_are_general_settings(self, pool_limit: int, flush_s: int) -> None:
        database = replace(DATABASE, pool_limit=pool_limit, flush_s=flush_s)
        assert told(replace(GATEWAY, database=database))["general_settings"] == {
            "master_key": "os.environ/LITELLM_MASTER_KEY",
            "database_connection_pool_limit": pool_limit,
            "proxy_batch_write_at": flush_s,
        }

    def test_numbers_below_1_are_refused(self) -> None:
        with pytest.raises(ValueError, match="pool_limit=0 must be at least 1"):
            replace(DATABASE, pool_limit=0)
        with pytest.raises(ValueError, match="flush_s=0 must be at least 1"):
            replace(DATABASE, flush_s=0)

    def test_its_password_is_a_secret_as_it_is_and_as_it_is_written(self) -> None:
        gateway = replace(GATEWAY, database=DATABASE)
        assert gateway.secrets == (GATEWAY.master_key, "p%40ss", "p@ss")
        assert "p%40ss" not in repr(gateway)

    @pytest.mark.parametrize("user", ["us", "us:"])
    def test_no_password_is_no_secret(self, user: str) -> None:
        assert replace(DATABASE, url=f"postgresql://{user}@127.0.0.1:5/db").secrets == ()


class TestPrice:
    def test_without_a_database_there_is_one_only_when_asked_for(self) -> None:
        assert PRICE.keys().isdisjoint(told(GATEWAY)["model_list"][0]["litellm_params"])
        assert told(replace(GATEWAY, is_priced=True))["model_list"][0]["litellm_params"].items() >= PRICE.items()

    def test_with_a_database_there_always_is_one(self) -> None:
        assert told(replace(GATEWAY, database=DATABASE))["model_list"][0]["litellm_params"].items() >= PRICE.items()

    def test_sums_are_exact_in_any_order_and_in_the_16_digits_that_prisma_keeps(self) -> None:
        """Nearly two million requests, of 12 KB each and of a few bytes."""
        spends = [spend_usd(prompt_tokens, tokens) for prompt_tokens in (1, 3071, 3073) for tokens in (1, 16, 1024)]
        total = sum(spends * 200_000)
        one_by_one = 0.0
        for spend in spends * 200_000:
            one_by_one += spend
        assert one_by_one == total == 200_000 * sum(reversed(spends))
        assert float(f"{total:.15e}") == total

    def test_both_kinds_of_tokens_count(self) -> None:
        assert spend_usd(1, 0) == INPUT_USD_PER_TOKEN
        assert spend_usd(0, 1) == OUTPUT_USD_PER_TOKEN

    def test_what_the_user_asks_for_a_model_stays(self, tmp_path: Path) -> None:
        gateway = with_config(
            tmp_path,
            "model_list:\n"
            "- {model_name: a, litellm_params: {model: openai/a, input_cost_per_token: 0.5}}\n"
            "- {model_name: b, litellm_params: {model: openai/b}, model_info: {output_cost_per_second: 0.25}}\n"
            "- {model_name: c, litellm_params: {model: openai/c}, model_info: {mode: chat}}\n",
        )
        of_params, of_info, none = (
            model["litellm_params"] for model in told(replace(gateway, is_priced=True))["model_list"]
        )
        assert (of_params["input_cost_per_token"], "output_cost_per_token" in of_params) == (0.5, False)
        assert PRICE.keys().isdisjoint(of_info)
        assert none.items() >= PRICE.items()


class TestRedis:
    def test_cache_and_router_are_told_host_port_and_password(self) -> None:
        gateway = replace(GATEWAY, redis=REDIS)
        password = "os.environ/REDIS_PASSWORD"
        assert told(gateway)["litellm_settings"] == {
            "cache": True,
            "cache_params": {"type": "redis", "host": "127.0.0.1", "port": 6, "password": password, "ttl": CACHE_TTL_S},
        }
        assert told(gateway)["router_settings"] == {
            "num_retries": 0,
            "disable_cooldowns": True,
            "redis_host": "127.0.0.1",
            "redis_port": 6,
            "redis_password": password,
        }
        environment = gateway.environment(Path("/run/x"))
        assert environment["REDIS_PASSWORD"] == "re/dis"
        assert "REDIS_URL" not in environment

    def test_or_both_are_told_a_url(self) -> None:
        gateway = replace(GATEWAY, redis=replace(REDIS, by="url"))
        url = "os.environ/REDIS_URL"
        assert told(gateway)["litellm_settings"] == {
            "cache": True,
            "cache_params": {"type": "redis", "url": url, "ttl": CACHE_TTL_S},
        }
        assert told(gateway)["router_settings"] == {"num_retries": 0, "disable_cooldowns": True, "redis_url": url}
        environment = gateway.environment(Path("/run/x"))
        assert environment["REDIS_URL"] == "redis://:re%2Fdis@127.0.0.1:6/0"
        assert "REDIS_PASSWORD" not in environment

    @pytest.mark.parametrize("by", ["host_port", "url"])
    def test_its_password_is_to_be_seen_nowhere(self, by: Any) -> None:
        gateway = replace(GATEWAY, redis=replace(REDIS, by=by))
        assert gateway.secrets == (GATEWAY.master_key, "re/dis", "re%2Fdis")
        assert not any(
            secret in text
            for secret in ("re/dis", "re%2Fdis")
            for text in (repr(gateway), gateway.files()[CONFIG_FILE])
        )


class TestLogging:
    def test_its_callback_stands_beside_others_and_its_files_beside_the_configuration(self) -> None:
        access = LogAccess(callback("gcs", environ={}), "PEM", {"HTTPS_PROXY": "http://s:3", "NO_PROXY": ""})
        gateway = replace(GATEWAY, callbacks=(FAULTS_CALLBACK,), extra_files=faults_file(), logging=access)
        assert told(gateway)["litellm_settings"]["callbacks"] == [FAULTS_CALLBACK, "perfgate_gcs.handler"]
        assert gateway.files().keys() == {CONFIG_FILE, FAULTS_FILE, AUTHORITY_FILE, STAND_IN_FILE}
        environment = gateway.environment(Path("/run/x"))
        assert environment["SSL_CERT_FILE"] == f"/run/x/{AUTHORITY_FILE}"
        assert (environment["HTTPS_PROXY"], environment["NO_PROXY"]) == ("http://s:3", "")

    def test_without_one_it_asks_no_proxy_and_trusts_whom_it_always_did(self) -> None:
        environment = GATEWAY.environment(Path("/run/x"))
        assert environment["NO_PROXY"] == "*"
        assert environment.keys().isdisjoint({"HTTPS_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"})

    def test_a_licence_reaches_it_and_is_to_be_seen_nowhere(self) -> None:
        licence = "a-licence-that-nobody-has"
        gateway = replace(GATEWAY, logging=LogAccess(callback("gcs", environ={LICENCE_VARIABLE: licence}), "PEM"))
        assert gateway.environment(Path("/run/x"))[LICENCE_VARIABLE] == licence
        assert gateway.secrets == (GATEWAY.master_key, licence)
        assert not any(licence in text for text in (repr(gateway), *gateway.argv(1), *gateway.files().values()))


def test_a_users_configuration_gets_database_and_redis_beside_what_is_in_it(tmp_path: Path) -> None:
    gateway = with_config(
        tmp_path,
        "model_list: [{model_name: a, litellm_params: {model: openai/a}}]\n"
        "general_settings: {max_parallel_requests: 5}\n"
        "litellm_settings: {request_timeout: 60, cache: false}\n"
        "router_settings: {routing_strategy: simple-shuffle}\n",
    )
    data = told(replace(gateway, database=DATABASE, redis=REDIS))
    assert data["general_settings"].items() >= {"max_parallel_requests": 5, "proxy_batch_write_at": 2}.items()
    assert data["litellm_settings"].items() >= {"request_timeout": 60, "cache": True}.items()
    assert data["router_settings"].items() >= {"routing_strategy": "simple-shuffle", "redis_port": 6}.items()


def test_what_is_added_to_its_environment_has_the_last_word() -> None:
    gateway = replace(
        GATEWAY, database=DATABASE, redis=REDIS, extra_environment={"REDIS_PASSWORD": "mine", "PATH": "/p"}
    )
    environment = gateway.environment(Path("/run/x"))
    assert (environment["REDIS_PASSWORD"], environment["PATH"]) == ("mine", "/p")
