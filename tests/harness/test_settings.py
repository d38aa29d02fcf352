"""Do options and variables mean what they say, and is every mistake named with its option, value and rule?"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from perfgate.errors import BadInput
from perfgate.experiment.arms import PLAIN_MODEL, GatewaySpec
from perfgate.load.locust_fleet import LocustFleet
from perfgate.settings import AS_ASKED, COMPARE_PROFILE, OPTIONS, Option, Settings, settings_of
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Checkout, Release, RunningUrl

URL: Final = "url:http://localhost:4000"
MOCK: Final = "http://localhost:8090"
CONFIG: Final = """\
model_list:
  - {model_name: fast, litellm_params: {model: openai/gpt-4o-mini}}
  - {model_name: big, litellm_params: {model: openai/gpt-4o}}
"""


def settings(options: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """As if so many options and variables were given."""
    given = {Option(name, "", "").destination: text for name, text in (options or {}).items()}
    assert given.keys() <= {option.destination for option in OPTIONS}
    return settings_of(given.get, environment or {})


def refusal(options: Mapping[str, str], environment: Mapping[str, str] | None = None) -> str:
    with pytest.raises(BadInput) as caught:
        settings(options, environment)
    return str(caught.value)


class TestDefaults:
    def test_the_quick_profile_judges_the_default_release(self) -> None:
        found = settings()
        assert found.gateway == GatewaySpec(Release(DEFAULT_RELEASE))
        assert (found.profile, found.scenarios, found.on_invalid) == ("quick", (), None)
        assert (found.model, found.direct_model, found.mock_url) == (PLAIN_MODEL, PLAIN_MODEL, None)
        assert found.thresholds_path == Path("thresholds.yaml")
        assert found.record_dir == Path(".perfgate/records")

    def test_the_stack_is_chosen_by_what_the_host_has(self) -> None:
        found = settings()
        assert (found.stack, found.images, found.prisma_engine, found.postgres_url) == (
            "auto",
            "official",
            "native",
            None,
        )
        assert (found.cpus_per_instance, found.memory_per_instance) == ("", "")

    def test_a_seed_is_made_up(self) -> None:
        assert len({settings().seed for _ in range(20)}) > 1

    def test_the_command_line_wins_over_a_variable_and_that_over_the_default(self) -> None:
        variables = {"PERFGATE_WORKERS": "3", "PERFGATE_RECORD_DIR": "x"}
        assert settings({}, variables).gateway.workers == 3
        found = settings({"--workers": "2"}, variables)
        assert (found.gateway.workers, found.record_dir) == (2, Path("x"))

    def test_every_option_has_a_variable_and_a_meaning(self) -> None:
        assert Option("--gateway-key-env", "", "").variable == "PERFGATE_GATEWAY_KEY_ENV"
        assert all(option.meaning for option in OPTIONS)


class TestEachOption:
    def test_what_is_given_is_found(self) -> None:
        found = settings(
            {
                "--profile": "gate",
                "--scenarios": "overhead, latency",
                "--litellm": "1.79.3",
                "--deps": "today",
                "--with-packages": "uvloop==0.21.0 httptools",
                "--instances": "2",
                "--workers": "4",
                "--model": "mock-delay-20ms",
                "--mock-url": MOCK,
                "--on-invalid": "fail",
                "--seed": "7",
            }
        )
        assert found.gateway == GatewaySpec(
            Release("1.79.3"), "today", workers=4, instances=2, with_packages=("httptools", "uvloop==0.21.0")
        )
        assert (found.profile, found.scenarios) == ("gate", ("overhead", "latency"))
        assert (found.model, found.direct_model) == ("mock-delay-20ms", "mock-delay-20ms")
        assert (found.mock_url, found.on_invalid, found.seed) == (MOCK, "fail", 7)

    def test_the_stack_is_as_given(self) -> None:
        url = "postgresql://me:very-secret@db.example/litellm"
        found = settings(
            {
                "--stack": "containers",
                "--images": "built",
                "--prisma-engine": "wasm",
                "--cpus-per-instance": "4",
                "--memory-per-instance": "8g",
            },
            {"PERFGATE_POSTGRES_URL": url},
        )
        assert (found.stack, found.images, found.prisma_engine) == ("containers", "built", "wasm")
        assert (found.cpus_per_instance, found.memory_per_instance) == ("4", "8g")
        assert found.postgres_url == url
        assert "very-secret" not in repr(found)
        assert found.without_secrets(f"at {url}") == "at postgresql://me:***@db.example/litellm"

    def test_a_checkout_is_looked_at(self, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text('[project]\nname = "litellm"\n')
        found = settings({"--litellm": f"path:{tmp_path}"})
        assert isinstance(found.gateway.source, Checkout)

    def test_a_running_gateway_has_its_key_by_the_name_of_a_variable(self) -> None:
        options = {"--litellm": URL, "--mock-url": MOCK, "--gateway-key-env": "MY_KEY"}
        found = settings(options, {"MY_KEY": "sk-secret"})
        assert found.gateway.source == RunningUrl("http://localhost:4000", "MY_KEY")
        assert "sk-secret" not in repr(found)

    @pytest.mark.parametrize(
        ("given", "base"),
        [
            ("http://localhost:8090/", "http://localhost:8090"),
            ("http://localhost:8090/v1", "http://localhost:8090/v1"),
            ("http://localhost:8090/v1/chat/completions", "http://localhost:8090/v1"),
        ],
    )
    def test_the_mocks_address_ends_before_its_chat_completions(self, given: str, base: str) -> None:
        assert settings({"--mock-url": given}).mock_url == base


class TestGatewayConfig:
    @pytest.fixture
    def config(self, tmp_path: Path) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(CONFIG)
        return path

    def test_its_first_model_is_asked_for_and_what_stands_behind_it_of_the_mock(self, config: Path) -> None:
        found = settings({"--gateway-config": str(config)})
        assert found.gateway.config_path == config
        assert (found.model, found.direct_model) == ("fast", "gpt-4o-mini")

    def test_another_model_can_be_named(self, config: Path) -> None:
        found = settings({"--gateway-config": str(config), "--model": "big"})
        assert (found.model, found.direct_model) == ("big", "gpt-4o")

    def test_one_that_it_does_not_have_is_refused_with_those_it_has(self, config: Path) -> None:
        text = refusal({"--gateway-config": str(config), "--model": "slow"})
        assert text == f"{config} has no model 'slow'; its models are fast, big"

    def test_a_package_that_its_callbacks_need_has_to_be_asked_for(self, config: Path) -> None:
        config.write_text(CONFIG + "litellm_settings: {callbacks: [prometheus]}\n")
        options = {"--gateway-config": str(config), "--with-packages": "httptools"}
        assert refusal(options) == (
            f"{config} has callbacks that need prometheus-client, which is not installed with LiteLLM: add "
            "--with-packages 'httptools prometheus-client'"
        )
        found = settings({**options, "--with-packages": "Prometheus_Client>=0.20"})
        assert found.gateway.with_packages == ("Prometheus_Client>=0.20",)

    def test_what_is_wrong_in_it_is_said_before_anything_is_started(self, config: Path) -> None:
        config.write_text(CONFIG + "litellm_settings: {callbacks: [langfuse]}\n")
        assert refusal({"--gateway-config": str(config)}).startswith(
            f"{config}:4: litellm_settings.callbacks: the callback 'langfuse' would call something outside of this"
        )


class TestComparison:
    @pytest.fixture
    def configs(self, tmp_path: Path) -> tuple[str, str]:
        """Two configurations; the second's first model is `big`."""
        first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
        first.write_text(CONFIG)
        head, fast, big = CONFIG.splitlines(keepends=True)
        second.write_text(head + big + fast)
        return str(first), str(second)

    def test_nothing_is_compared_unless_asked_for(self) -> None:
        found = settings()
        assert (found.baseline, found.baseline_model, found.profile) == (None, PLAIN_MODEL, "quick")

    def test_a_baseline_is_as_the_candidate_but_for_its_release_and_apart_from_it(self) -> None:
        found = settings({"--baseline": "1.79.3", "--candidate": "1.102.4", "--workers": "2", "--deps": "today"})
        assert found.gateway == GatewaySpec(Release("1.102.4"), "today", workers=2)
        assert found.baseline == replace(found.gateway, source=Release("1.79.3"), apart="baseline")

    def test_why_it_is_that_one_is_as_asked_unless_somebody_says_more(self, configs: tuple[str, str]) -> None:
        assert settings().baseline_why == ""
        assert settings({"--baseline": "1.79.3"}).baseline_why == AS_ASKED
        assert settings({"--baseline-config": configs[0]}).baseline_why == AS_ASKED
        said = {"--baseline": "1.79.3", "--baseline-why": "what runs today"}
        assert settings(said).baseline_why == "what runs today"
        assert settings({"--baseline": "1.79.3"}, {"PERFGATE_BASELINE_WHY": "ours"}).baseline_why == "ours"

    def test_without_one_there_is_nothing_to_say_of_it(self) -> None:
        said = "it goes with --baseline or --baseline-config"
        assert refusal({"--baseline-why": "what runs today"}) == f"--baseline-why=what runs today: {said}"
        assert refusal({}, {"PERFGATE_BASELINE_WHY": "ours"}) == f"PERFGATE_BASELINE_WHY=ours: {said}"

    def test_a_release_may_be_compared_with_itself(self) -> None:
        found = settings({"--baseline": DEFAULT_RELEASE})
        assert found.baseline is not None
        assert found.baseline.source == found.gateway.source
        assert found.baseline != found.gateway

    @pytest.mark.parametrize("name", ["--candidate", "--litellm"])
    def test_the_candidate_is_the_litellm_to_judge(self, name: str) -> None:
        assert settings({name: "1.79.3"}).gateway == GatewaySpec(Release("1.79.3"))
        assert settings({}, {"PERFGATE_" + name[2:].upper(): "1.79.3"}).gateway == GatewaySpec(Release("1.79.3"))

    @pytest.mark.parametrize("by_variable", [False, True])
    def test_it_cannot_be_named_twice(self, by_variable: bool) -> None:
        options = {"--candidate": "1.79.3", "--litellm": "1.102.4"}
        variables = {"PERFGATE_" + name[2:].upper(): text for name, text in options.items()}
        text = refusal({}, variables) if by_variable else refusal(options)
        assert text == "--candidate=1.79.3 and --litellm=1.102.4 name the same thing: give one"

    @pytest.mark.parametrize(("name", "other"), [("--candidate", "LITELLM"), ("--litellm", "CANDIDATE")])
    def test_the_command_line_wins_over_the_variable_of_its_other_name(self, name: str, other: str) -> None:
        found = settings({name: "1.79.3"}, {f"PERFGATE_{other}": "1.102.4"})
        assert found.gateway == GatewaySpec(Release("1.79.3"))

    @pytest.mark.parametrize("option", ["--baseline", "--baseline-config"])
    def test_its_profile_is_compare_unless_one_is_named(self, configs: tuple[str, str], option: str) -> None:
        asked = {option: "1.79.3" if option == "--baseline" else configs[0]}
        assert settings(asked).profile == COMPARE_PROFILE
        assert settings({**asked, "--profile": "release"}).profile == "release"
        assert settings({**asked, "--profile": "quick"}).profile == "quick"
        assert settings(asked, {"PERFGATE_PROFILE": "gate"}).profile == "gate"

    def test_each_arm_may_have_a_configuration_of_its_own(self, configs: tuple[str, str]) -> None:
        first, second = configs
        found = settings({"--baseline-config": first, "--candidate-config": second, "--litellm": "1.79.3"})
        assert found.baseline == GatewaySpec(Release("1.79.3"), config_path=Path(first), apart="baseline")
        assert found.gateway == GatewaySpec(Release("1.79.3"), config_path=Path(second))
        assert (found.baseline_model, found.model, found.direct_model) == ("fast", "big", "gpt-4o")

    def test_else_both_have_that_of_gateway_config(self, configs: tuple[str, str]) -> None:
        first, second = configs
        both = settings({"--baseline": "1.79.3", "--gateway-config": first})
        assert both.baseline is not None
        assert (both.baseline.config_path, both.gateway.config_path) == (Path(first), Path(first))
        one = settings({"--gateway-config": first, "--baseline-config": second})
        assert one.baseline is not None
        assert (one.baseline.config_path, one.gateway.config_path) == (Path(second), Path(first))
        other = settings({"--baseline": "1.79.3", "--gateway-config": first, "--candidate-config": second})
        assert other.baseline is not None
        assert (other.baseline.config_path, other.gateway.config_path) == (Path(first), Path(second))

    def test_a_model_is_asked_of_both_and_both_must_have_it(self, configs: tuple[str, str], tmp_path: Path) -> None:
        first, second = configs
        asked = {"--baseline-config": first, "--candidate-config": second, "--model": "fast"}
        found = settings(asked)
        assert (found.baseline_model, found.model) == ("fast", "fast")
        Path(first).write_text("model_list:\n  - {model_name: slow, litellm_params: {model: openai/gpt-4o}}\n")
        assert refusal(asked) == f"{first} has no model 'fast'; its models are slow"

    def test_a_configuration_for_a_candidate_alone_is_refused(self, configs: tuple[str, str]) -> None:
        assert refusal({"--candidate-config": configs[0]}) == (
            f"--candidate-config={configs[0]} is for a comparison: add --baseline RELEASE or --baseline-config FILE, "
            "or use --gateway-config"
        )

    @pytest.mark.parametrize(
        "options",
        [
            {"--baseline": URL, "--mock-url": MOCK},
            {"--baseline": "1.79.3", "--litellm": URL, "--mock-url": MOCK},
            {"--baseline": "1.79.3", "--candidate": URL, "--mock-url": MOCK},
        ],
        ids=["baseline", "litellm", "candidate"],
    )
    def test_a_gateway_that_runs_already_cannot_be_compared(self, options: dict[str, str]) -> None:
        assert refusal(options) == (
            "--baseline: gateways that are compared are started several times, since two processes of one release "
            "differ; one that runs already (url:…) cannot be compared"
        )

    def test_a_baseline_that_is_no_litellm_is_named(self) -> None:
        assert refusal({"--baseline": "latest"}).startswith("'latest' is not a LiteLLM release")


class TestLocust:
    def test_perfgates_own_generator_sends_unless_locust_is_asked_for(self) -> None:
        found = settings()
        assert (found.locust, found.generator_words, found.generator_processes) == (None, "perfgate", 1)

    def test_one_worker_here_is_what_one_gets(self) -> None:
        found = settings({"--load": "locust"})
        assert found.locust == LocustFleet(workers=1)
        assert (found.generator_words, found.generator_processes) == ("Locust, workers: 1 here", 1)

    def test_workers_here_and_elsewhere_are_counted_apart(self) -> None:
        options = {"--load": "locust", "--locust-workers": "2", "--locust-expect-workers": "3"}
        found = settings({**options, "--locust-bind": "10.0.0.5:6000"})
        assert found.locust == LocustFleet(2, 3, "10.0.0.5:6000")
        assert found.generator_processes == 2

    def test_where_others_are_expected_none_is_started_here_unless_asked_for(self) -> None:
        found = settings({"--load": "locust", "--locust-expect-workers": "3"})
        assert found.locust == LocustFleet(0, 3)

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"--load": "jmeter"}, "--load=jmeter: must be one of generator, locust"),
            ({"--locust-workers": "2"}, "--locust-workers=2: it goes with --load=locust"),
            (
                {"--load": "locust", "--locust-workers": "0"},
                "--load=locust: --locust-workers=0 and --locust-expect-workers=0 leave nobody to send",
            ),
            (
                {"--load": "locust", "--locust-workers": "two"},
                "--locust-workers=two: must be a whole number from 0 to 1000",
            ),
            (
                {"--load": "locust", "--locust-expect-workers": "1", "--locust-bind": "5557"},
                "--locust-bind: bind=5557 must be HOST:PORT with a port from 1 to 65535, as in 127.0.0.1:5557",
            ),
        ],
    )
    def test_what_cannot_be_is_named(self, options: dict[str, str], text: str) -> None:
        assert refusal(options) == text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"--workers": "none"}, "--workers=none: must be a whole number from 1 to 256"),
        ({"--workers": "0"}, "--workers=0: must be a whole number from 1 to 256"),
        ({"--instances": "65"}, "--instances=65: must be a whole number from 1 to 64"),
        ({"--seed": "-1"}, "--seed=-1: must be a whole number from 0 to 4294967295"),
        ({"--deps": "old"}, "--deps=old: must be one of of-its-time, today"),
        ({"--on-invalid": "skip"}, "--on-invalid=skip: must be one of warn, fail"),
        ({"--with-packages": "--index"}, "'--index' is no package: write names with or without versions"),
        ({"--litellm": "1.82.7"}, "litellm 1.82.7 is refused"),
        ({"--litellm": "latest"}, "'latest' is not a LiteLLM release"),
        ({"--litellm": "path:/no/such"}, "path:/no/such: there is no folder /no/such"),
        ({"--litellm": URL}, (f"--litellm={URL}: perfgate cannot know which endpoint this gateway calls, and that is "
         "what it is compared with: name it with --mock-url")),
        ({"--litellm": URL, "--mock-url": MOCK, "--workers": "2", "--deps": "today"}, ("gateway at "
         "http://localhost:4000 runs already and is not started by perfgate: --workers, --deps cannot apply to it")),
        ({"--stack": "docker"}, "--stack=docker: must be one of auto, containers, processes"),
        ({"--prisma-engine": "rust"}, "--prisma-engine=rust: must be one of native, wasm"),
        ({"--postgres-url": "db.example:5432"}, "--postgres-url must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ({"--postgres-url": "postgresql://me@h/db?password=x"}, "--postgres-url must be postgresql://USER:PASSWORD@HOST"),
        ({"--postgres-url": "postgresql://me:***@h/db"}, ("--postgres-url=postgresql://me:***@h/db: records and "
         "messages have *** in the place of the password; set PERFGATE_POSTGRES_URL to the whole URL, or type it")),
        ({"--mock-url": "localhost:8090"}, "--mock-url: url='localhost:8090' must begin with http:// or https://"),
        ({"--mock-url": "http://a:b@h"}, "--mock-url: the address must hold no user or password"),
        ({"--gateway-key-env": "KEY"}, "--gateway-key-env=KEY is for a gateway that runs already (--litellm url:…)"),
        ({"--litellm": URL, "--mock-url": MOCK, "--gateway-key-env": "KEY"},
         "--gateway-key-env=KEY: there is no such environment variable"),
        ({"--gateway-config": "/no/such.yaml"}, "--gateway-config /no/such.yaml cannot be read"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(options: dict[str, str], text: str) -> None:
    assert refusal(options).startswith(text)


def test_a_variable_is_named_when_the_mistake_is_in_it() -> None:
    assert refusal({}, {"PERFGATE_WORKERS": "many"}).startswith("PERFGATE_WORKERS=many: must be a whole number")


def test_a_key_that_cannot_be_sent_is_refused_and_not_shown() -> None:
    options = {"--litellm": URL, "--mock-url": MOCK, "--gateway-key-env": "KEY"}
    text = refusal(options, {"KEY": "sk-secret\n"})
    assert text.startswith("--gateway-key-env=KEY: api_key must be printable ASCII")
    assert "sk-secret" not in text


@pytest.mark.parametrize("other", ["postgresql://me:secret@h/other", "postgresql://me:***@h/db"])
def test_a_password_is_not_taken_from_the_variable_of_another_database(other: str) -> None:
    text = refusal({"--postgres-url": "postgresql://me:***@h/db"}, {"PERFGATE_POSTGRES_URL": other})
    assert text.startswith("--postgres-url=postgresql://me:***@h/db: ")
    assert "secret" not in text
