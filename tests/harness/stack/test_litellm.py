"""What is a LiteLLM gateway told, and what may be seen of it? (test_real_gateway.py starts one.)"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import yaml

from perfgate.stack.environments import Environment
from perfgate.stack.litellm import CONFIG_FILE, FAULTS_CALLBACK, FAULTS_FILE, LiteLLM, faults_file, random_key
from perfgate.stack.packages import Packages
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
