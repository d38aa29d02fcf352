"""Does a document's command name all that was asked for, by the command line or by variables, and nothing private?"""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from perfgate.reproduce.command_line import command_line, without_folders
from perfgate.settings import Settings, options_given, settings_of
from perfgate.stack.releases import DEFAULT_RELEASE
from perfgate.stack.sources import Checkout, GitRef, Release, Source

COMMIT = "5f6a633" + "0" * 33
WITH_PASSWORD = "postgresql://me:hunter2@db.example:5432/litellm"


def command(
    own: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    source: Source | None = None,
    **options: str,
) -> str:
    texts = {f"perfgate_{name}": text for name, text in {"seed": "7", **options}.items()}
    settings: Settings = settings_of(texts.get, variables or {})
    if source is not None:
        settings = replace(settings, gateway=replace(settings.gateway, source=source))
    return command_line("instances", "auto", own or {}, options_given(texts.get, variables or {}), settings)


def test_what_is_as_by_default_is_left_out_but_scale_and_seed() -> None:
    assert command() == "perfgate reproduce --table instances --scale auto --seed 7"
    assert command(litellm=DEFAULT_RELEASE, stack="auto", load="generator", images="official") == command()


def test_every_option_that_is_another_is_named() -> None:
    own = {"--minutes": "40", "--record-dir": "records", "--document": "docs/other.md", "--thresholds": "strict.yaml"}
    asked = command(
        own,
        litellm="1.79.3",
        stack="processes",
        images="built,redis=valkey/valkey:8",
        prisma_engine="wasm",
        deps="today",
        load="locust",
        locust_workers="2",
        locust_expect_workers="3",
        locust_bind="10.0.0.5:5557",
    )
    assert asked == (
        "perfgate reproduce --table instances --scale auto --minutes 40 --record-dir records --document docs/other.md "
        "--thresholds strict.yaml --litellm 1.79.3 --stack processes --images built,redis=valkey/valkey:8 "
        "--prisma-engine wasm --deps today --load locust --locust-workers 2 --locust-expect-workers 3 "
        "--locust-bind 10.0.0.5:5557 --seed 7"
    )
    limited = command(stack="containers", cpus_per_instance="4", memory_per_instance="8g")
    assert "--stack containers --cpus-per-instance 4 --memory-per-instance 8g --seed 7" in limited


def test_an_option_that_was_given_by_its_variable_is_typed() -> None:
    variables = {"PERFGATE_PRISMA_ENGINE": "wasm", "PERFGATE_IMAGES": "built", "PERFGATE_WORKERS": "4"}
    assert command(variables=variables) == (
        "perfgate reproduce --table instances --scale auto --images built --prisma-engine wasm --seed 7"
    )
    assert "--litellm 1.79.3" in command(variables={"PERFGATE_CANDIDATE": "1.79.3"})


def test_what_the_command_has_no_option_for_stays_a_variable() -> None:
    asked = command(variables={"PERFGATE_WITH_PACKAGES": "httptools uvloop==0.21.0", "PERFGATE_MODEL": "mine"})
    assert asked == (
        "PERFGATE_WITH_PACKAGES='httptools uvloop==0.21.0' PERFGATE_MODEL=mine perfgate reproduce --table instances "
        "--scale auto --seed 7"
    )


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_password_is_never_shown(by_variable: bool) -> None:
    given = {"PERFGATE_POSTGRES_URL": WITH_PASSWORD}
    asked = command(variables=given) if by_variable else command(postgres_url=WITH_PASSWORD)
    assert "--postgres-url 'postgresql://me:***@db.example:5432/litellm'" in asked
    assert "hunter2" not in asked


@pytest.mark.parametrize("name", ["--record-dir", "--document", "--thresholds"])
@pytest.mark.parametrize(
    ("path", "shown"), [("/home/me/my limits/x.y", "…/x.y"), ("~/x.y", "…/x.y"), ("../x.y", "../x.y")]
)
def test_folders_of_this_machine_are_not_named(name: str, path: str, shown: str) -> None:
    words = shlex.split(command({name: path}))
    assert words[words.index(name) + 1] == shown


def test_a_configuration_is_named_without_its_folder(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("model_list: [{model_name: mine, litellm_params: {model: openai/gpt-4o}}]\n")
    asked = command(variables={"PERFGATE_GATEWAY_CONFIG": str(config)})
    assert asked.startswith("PERFGATE_GATEWAY_CONFIG='…/config.yaml' perfgate reproduce ")
    assert str(tmp_path) not in asked


@pytest.mark.parametrize(
    ("source", "option", "words"),
    [
        (Checkout(Path("/home/me/litellm"), "/home/me/litellm", "c0ffee1", None), "path:…/litellm", "litellm at …/"),
        (Checkout(Path("/home/me/litellm"), "../litellm", "c0ffee1", None), "path:../litellm", "litellm at ../litellm"),
        (GitRef("/home/me/litellm", "main", COMMIT), f"git:…/litellm@{COMMIT}", "litellm git main"),
        (GitRef("file:///srv/litellm", "main", COMMIT), f"git:…/litellm@{COMMIT}", "litellm git main"),
        (GitRef("https://example.org/litellm", "main", COMMIT), f"git:https://example.org/litellm@{COMMIT}", "litellm"),
    ],
    ids=["checkout", "beside", "repository", "file-url", "elsewhere"],
)
def test_what_is_judged_is_named_by_its_commit_and_without_its_folder(source: Source, option: str, words: str) -> None:
    asked = command(litellm="1.79.3", source=source)
    assert shlex.split(asked)[6:8] == ["--litellm", option]
    assert str(without_folders(source)).startswith(words)


def test_a_release_has_no_folder() -> None:
    assert without_folders(Release("1.79.3")) == Release("1.79.3")


def test_a_table_that_locust_cannot_send_is_run_again_without_it() -> None:
    texts = {"perfgate_load": "locust", "perfgate_locust_workers": "2", "perfgate_seed": "7"}
    settings = replace(settings_of(texts.get, {}), locust=None)
    asked = command_line("realtime", "auto", {}, options_given(texts.get, {}), settings)
    assert asked == "perfgate reproduce --table realtime --scale auto --seed 7"
