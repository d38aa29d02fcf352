"""Is a user's LiteLLM configuration redirected whole, and is what would leave the machine refused where it stands?"""

from pathlib import Path
from typing import Any, Final

import pytest

from perfgate.errors import BadInput
from perfgate.stack.gateway_config import ANY_MODEL, GatewayConfig, read_gateway_config

API_BASE: Final = "http://127.0.0.1:9/v1"
MODELS: Final = """\
model_list:
  - model_name: fast
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: https://llm.example/v1
      api_key: os.environ/OPENAI_API_KEY
      rpm: 100
  - model_name: big
    litellm_params: {model: azure/deployment, api_version: "2024-02-01", api_key: sk-real}
"""


def config_of(tmp_path: Path, text: str) -> GatewayConfig:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return read_gateway_config(path)


def pointed(tmp_path: Path, text: str) -> dict[str, Any]:
    return config_of(tmp_path, text).pointed_at(API_BASE)


def refusal(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        config_of(tmp_path, text)
    return str(caught.value).replace(str(tmp_path) + "/", "").splitlines()


class TestRedirected:
    def test_every_model_is_at_the_mock_with_a_key_that_opens_nothing(self, tmp_path: Path) -> None:
        first, second = pointed(tmp_path, MODELS)["model_list"]
        assert first == {
            "model_name": "fast",
            "litellm_params": {
                "model": "openai/gpt-4o-mini",
                "rpm": 100,
                "max_retries": 0,
                "api_base": API_BASE,
                "api_key": "none",
            },
        }
        assert second["litellm_params"] == {
            "model": "openai/deployment",
            "max_retries": 0,
            "api_base": API_BASE,
            "api_key": "none",
        }

    def test_the_address_of_the_mock_is_the_one_given(self, tmp_path: Path) -> None:
        config = config_of(tmp_path, MODELS)
        assert config.pointed_at("http://one/v1") != config.pointed_at("http://two/v1")

    def test_a_model_whose_api_the_mock_does_not_speak_is_rewritten_and_noted(self, tmp_path: Path) -> None:
        (left_out, rewritten) = config_of(tmp_path, MODELS).notes
        assert left_out == "line 9, model_list[1].litellm_params.api_version: left out: the mock has no use for it"
        assert rewritten == (
            "line 9, model_list[1].litellm_params.model: model azure/deployment is measured as openai/deployment: the "
            "mock speaks OpenAI's API, so what LiteLLM does for that provider alone is not measured"
        )

    @pytest.mark.parametrize(
        ("model", "measured_as"),
        [
            ("openai/gpt-4o", "openai/gpt-4o"),
            ("hosted_vllm/llama", "hosted_vllm/llama"),
            ("gpt-4o", "openai/gpt-4o"),
            ("bedrock/anthropic.claude-3", "openai/anthropic.claude-3"),
            ("openai/*", "openai/*"),
        ],
    )
    def test_names_of_models(self, tmp_path: Path, model: str, measured_as: str) -> None:
        config = config_of(tmp_path, f"model_list: [{{model_name: m, litellm_params: {{model: '{model}'}}}}]")
        (entry,) = config.pointed_at(API_BASE)["model_list"]
        assert entry["litellm_params"]["model"] == measured_as
        assert bool(config.notes) == (model != measured_as)

    def test_nothing_may_hide_an_error(self, tmp_path: Path) -> None:
        text = MODELS + (
            "router_settings: {num_retries: 3, cooldown_time: 30, routing_strategy: simple-shuffle, "
            "fallbacks: [{fast: [big]}]}\n"
            "litellm_settings: {num_retries: 2, request_timeout: 60, default_fallbacks: [big]}\n"
        )
        data = pointed(tmp_path, text)
        assert data["router_settings"] == {
            "routing_strategy": "simple-shuffle",
            "num_retries": 0,
            "disable_cooldowns": True,
        }
        assert data["litellm_settings"] == {"request_timeout": 60, "num_retries": 0}
        notes = config_of(tmp_path, text).notes
        assert "line 10, router_settings.fallbacks: left out: it would hide errors" in notes

    def test_nothing_may_keep_a_request_out_of_the_spend_log(self, tmp_path: Path) -> None:
        left_out = [
            "disable_spend_logs",
            "disable_spend_updates",
            "disable_error_logs",
            "maximum_spend_logs_retention_period",
            "proxy_batch_write_at",
        ]
        text = MODELS + f"general_settings: {{{', '.join(f'{key}: 1' for key in left_out)}, allow_user_auth: true}}\n"
        assert pointed(tmp_path, text)["general_settings"].keys() == {"allow_user_auth", "master_key"}
        why = "left out: with a database every request is to be in the spend log, and soon"
        notes = config_of(tmp_path, text).notes
        assert notes[2:] == tuple(f"line 10, general_settings.{key}: {why}" for key in left_out)

    def test_the_master_key_is_ours(self, tmp_path: Path) -> None:
        text = MODELS + "general_settings: {master_key: sk-theirs, max_parallel_requests: 5}\n"
        assert pointed(tmp_path, text)["general_settings"] == {
            "master_key": "os.environ/LITELLM_MASTER_KEY",
            "max_parallel_requests": 5,
        }

    def test_empty_sections_are_fine(self, tmp_path: Path) -> None:
        data = pointed(tmp_path, MODELS + "general_settings:\nlitellm_settings: {cache: false}\n")
        assert data["litellm_settings"] == {"cache": False, "num_retries": 0}


class TestModels:
    def test_the_first_one_that_answers_chats_is_asked(self, tmp_path: Path) -> None:
        embedding = (
            "model_list:\n- {model_name: e, litellm_params: {model: openai/e}, model_info: {mode: embedding}}\n"
            "- {model_name: chat, litellm_params: {model: openai/c}}\n"
        )
        assert config_of(tmp_path, MODELS).default_model == "fast"
        assert config_of(tmp_path, embedding).default_model == "chat"

    def test_a_pattern_is_filled_in(self, tmp_path: Path) -> None:
        text = "model_list: [{model_name: 'team/*', litellm_params: {model: 'openai/*'}}]"
        config = config_of(tmp_path, text)
        assert config.default_model == f"team/{ANY_MODEL}"
        assert config.upstream_of("team/mock-delay-20ms") == "mock-delay-20ms"

    def test_the_mock_is_asked_for_what_stands_behind_a_name(self, tmp_path: Path) -> None:
        config = config_of(tmp_path, MODELS)
        assert (config.upstream_of("fast"), config.upstream_of("big")) == ("gpt-4o-mini", "deployment")

    def test_a_literal_name_comes_before_a_pattern(self, tmp_path: Path) -> None:
        text = (
            "model_list:\n- {model_name: '*', litellm_params: {model: 'openai/*'}}\n"
            "- {model_name: fast, litellm_params: {model: openai/behind}}\n"
        )
        assert config_of(tmp_path, text).upstream_of("fast") == "behind"

    def test_one_that_the_file_does_not_have_is_refused_with_those_it_has(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match=r"config\.yaml has no model 'slow'; its models are fast, big$"):
            config_of(tmp_path, MODELS).upstream_of("slow")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("litellm_settings: {}", ["config.yaml:1: model_list: expected a list with at least one model"]),
            ("model_list: []", ["config.yaml:1: model_list: expected a list with at least one model"]),
            (
                "model_list:\n- model_name: x\n",
                ["config.yaml:2: model_list[0]: expected model_name, and litellm_params with a model"],
            ),
            (
                "model_list:\n- {model_name: e, litellm_params: {model: openai/e}, model_info: {mode: embedding}}\n",
                ["config.yaml:1: model_list: no model answers chat completions, and those are what is measured"],
            ),
            ("- a", ["config.yaml:1: expected the keys of a LiteLLM configuration, such as model_list"]),
            (MODELS + "router_settings: 3", ["config.yaml:10: router_settings: expected a mapping, found 3"]),
        ],
    )
    def test_a_file_without_usable_models_is_refused(self, tmp_path: Path, text: str, words: list[str]) -> None:
        assert refusal(tmp_path, text) == words


class TestCallbacks:
    def test_prometheus_stays(self, tmp_path: Path) -> None:
        config = config_of(tmp_path, MODELS + "litellm_settings: {callbacks: [prometheus]}")
        assert config.pointed_at(API_BASE)["litellm_settings"]["callbacks"] == ["prometheus"]
        assert config.packages == {"prometheus-client"}
        assert config_of(tmp_path, MODELS).packages == frozenset()

    def test_an_object_of_a_file_beside_it_stays_with_its_file(self, tmp_path: Path) -> None:
        (tmp_path / "my_callbacks.py").write_text("handler = 1\n")
        config = config_of(tmp_path, MODELS + "litellm_settings: {callbacks: my_callbacks.handler}")
        assert config.files == {"my_callbacks.py": "handler = 1\n"}
        assert config.pointed_at(API_BASE)["litellm_settings"]["callbacks"] == "my_callbacks.handler"

    def test_ours_are_added_to_theirs(self, tmp_path: Path) -> None:
        config = config_of(tmp_path, MODELS + "litellm_settings: {callbacks: prometheus}")
        settings = config.pointed_at(API_BASE, ["faults.handler"])["litellm_settings"]
        assert settings["callbacks"] == ["prometheus", "faults.handler"]

    @pytest.mark.parametrize("key", ["callbacks", "success_callback", "failure_callback", "service_callback"])
    def test_one_that_leaves_the_machine_is_refused_by_name_and_line(self, tmp_path: Path, key: str) -> None:
        text = MODELS + f"litellm_settings:\n  {key}: [prometheus, langfuse]\n"
        assert refusal(tmp_path, text) == [
            (
                f"config.yaml:11: litellm_settings.{key}: the callback 'langfuse' would call something outside of this "
                "machine: take it out for this measurement (what stays: prometheus, and module.object of a file beside "
                "this one)"
            )
        ]

    def test_one_of_a_single_model_is_refused_too(self, tmp_path: Path) -> None:
        text = "model_list:\n- model_name: m\n  litellm_params:\n    model: openai/m\n    success_callback: [datadog]\n"
        (line,) = refusal(tmp_path, text)
        assert line.startswith("config.yaml:5: model_list[0].litellm_params.success_callback: the callback 'datadog'")

    def test_a_file_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        text = MODELS + "litellm_settings: {callbacks: [missing.handler]}"
        assert refusal(tmp_path, text) == [
            (
                "config.yaml:10: litellm_settings.callbacks: the callback 'missing.handler' needs the file missing.py, "
                "which cannot be read"
            )
        ]


DATABASE: Final = "is not supported yet: it needs a database"
CACHE: Final = "is not supported yet: it needs a cache service"
SECRETS: Final = "is not supported yet: it may hold secrets and addresses; take it out"
OUTSIDE: Final = "is not supported yet: it would call something outside of this machine"
CODE: Final = "is not supported yet: it loads code that is not measured with it"
VARIABLE: Final = "is not supported yet: LiteLLM is started without your environment; write the value out"


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "key", "why"),
        [
            ("general_settings: {database_url: x}", "general_settings.database_url", DATABASE),
            ("general_settings: {store_model_in_db: true}", "general_settings.store_model_in_db", DATABASE),
            ("router_settings: {redis_host: h}", "router_settings.redis_host", CACHE),
            ("litellm_settings: {cache: true}", "litellm_settings.cache", CACHE),
            ("litellm_settings: {coordination_redis: {host: h}}", "litellm_settings.coordination_redis", CACHE),
            ("environment_variables: {A: b}", "environment_variables", SECRETS),
            ("guardrails: [{a: b}]", "guardrails", OUTSIDE),
            ("general_settings: {pass_through_endpoints: [x]}", "general_settings.pass_through_endpoints", OUTSIDE),
            ("general_settings: {alerting: [slack]}", "general_settings.alerting", OUTSIDE),
            ("litellm_settings: {x: 'https://collector.example'}", "litellm_settings.x", OUTSIDE),
            ("general_settings: {custom_auth: a.b}", "general_settings.custom_auth", CODE),
            ("include: [other.yaml]", "include", CODE),
            ("what_is_this: 1", "what_is_this", "is not supported yet"),
            ("litellm_settings: {x: os.environ/SECRET}", "litellm_settings.x", f"os.environ/SECRET {VARIABLE}"),
        ],
    )
    def test_what_needs_something_else_is_refused_with_line_and_key(
        self, tmp_path: Path, text: str, key: str, why: str
    ) -> None:
        assert refusal(tmp_path, MODELS + text) == [f"config.yaml:10: {key}: {why}"]

    @pytest.mark.parametrize(
        ("param", "words"),
        [
            ("mock_response: hi", "mock_response: is not supported yet: answers without asking the endpoint"),
            ("custom_handler: a.b", f"custom_handler: {CODE}"),
            ("extra_headers: {x: os.environ/Y}", f"extra_headers.x: os.environ/Y {VARIABLE}"),
        ],
    )
    def test_a_model_is_looked_through_too(self, tmp_path: Path, param: str, words: str) -> None:
        text = f"model_list:\n- model_name: m\n  litellm_params:\n    model: openai/m\n    {param}\n"
        assert refusal(tmp_path, text) == [f"config.yaml:5: model_list[0].litellm_params.{words}"]

    def test_every_reason_is_given_at_once_in_the_files_order(self, tmp_path: Path) -> None:
        text = MODELS + "guardrails: [x]\nlitellm_settings: {cache: true, callbacks: [s3]}\n"
        assert [line.split(":")[1] for line in refusal(tmp_path, text)] == ["10", "11", "11"]

    def test_an_address_of_this_machine_may_stay(self, tmp_path: Path) -> None:
        text = MODELS + "litellm_settings: {a: 'http://127.0.0.1:1', b: 'http://localhost', c: 'http://[::1]:2/x'}"
        assert pointed(tmp_path, text)["litellm_settings"]["b"] == "http://localhost"

    def test_an_alias_is_refused_and_so_is_what_is_no_yaml(self, tmp_path: Path) -> None:
        assert refusal(tmp_path, "a: &x 1\nmodel_list: *x\n") == [
            "config.yaml:2: the alias *x is not supported: write the values out"
        ]
        (line,) = refusal(tmp_path, "a: [\n")
        assert line.startswith("config.yaml:2: not YAML: ")

    def test_a_key_that_stands_twice_is_refused(self, tmp_path: Path) -> None:
        text = MODELS + "router_settings: {}\nrouter_settings: {}\n"
        assert refusal(tmp_path, text) == ["config.yaml:11: router_settings: the key stands twice, first in line 10"]

    def test_a_file_that_cannot_be_read_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match=r"--gateway-config .*none\.yaml cannot be read: .*No such file"):
            read_gateway_config(tmp_path / "none.yaml")
