"""Does a build in a container look for packages where this host does, as far as it can?"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from perfgate.stack.build_settings import BuildSettings

pytestmark = pytest.mark.slow  # pip takes half a second to say how it is configured

NPM: Final = """#!/bin/sh
test "$*" = "config list" && cat <<END
; "user" config from /root/.npmrc

; registry = "https://overridden.example/"
registry = "https://npm.example/"
END
"""
UV_TOML: Final = """
[[index]]
url = "https://more.example/simple"
[[index]]
url = "https://first.example/simple"
default = true
[[index]]
url = "/a/folder"
"""
PIP_CONF: Final = """
[global]
index-url = https://user:secret@pip.example/simple
extra-index-url = file:///opt/folder/simple
    https://extra.example/simple
find-links = /opt/wheels
[install]
trusted-host = pip.example
"""

Environ = Callable[..., dict[str, str]]


@pytest.fixture
def environ(tmp_path: Path) -> Environ:
    """Makes the environment of a user who has configured nothing but what is given."""

    def with_variables(**variables: str) -> dict[str, str]:
        plain = {"PATH": str(tmp_path), "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
        return {**plain, "UV_CONFIG_FILE": os.devnull, **variables}

    return with_variables


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_nothing_is_told_where_nothing_is_configured(environ: Environ) -> None:
    settings = BuildSettings.of_host(environ())
    assert settings == BuildSettings({}, None)
    assert settings.shell_lines("/ca.crt") == ""


def test_variables_reach_the_build_and_nothing_else_does(environ: Environ) -> None:
    told = {
        "PIP_INDEX_URL": "https://pip.example/simple",
        "PIP_TRUSTED_HOST": "pip.example",
        "UV_INDEX_URL": "https://uv.example/simple",
        "UV_DEFAULT_INDEX": "https://uv.example/simple",
        "UV_INDEX": "mine=https://more.example/simple",
        "UV_INDEX_MINE_PASSWORD": "secret",
        "npm_config_registry": "https://npm.example/",
    }
    settings = BuildSettings.of_host(environ(**told, PIP_TIMEOUT="9", UV_OFFLINE="1", SECRET="x"))
    assert settings.variables == told
    assert "secret" not in repr(settings)


def test_what_only_this_host_can_reach_is_left_out(environ: Environ) -> None:
    places = "file:///opt/simple https://more.example/simple /opt/wheels mine=file:///opt"
    settings = BuildSettings.of_host(environ(PIP_EXTRA_INDEX_URL=places, UV_INDEX="file:///opt/simple"))
    assert settings.variables == {"PIP_EXTRA_INDEX_URL": "https://more.example/simple"}


def test_configuration_files_of_the_tools_count_too(environ: Environ, tmp_path: Path) -> None:
    written(tmp_path / "npm", NPM)
    (tmp_path / "npm").chmod(0o755)
    (tmp_path / "cat").symlink_to("/bin/cat")
    pip_conf, uv_toml = written(tmp_path / "pip.conf", PIP_CONF), written(tmp_path / "uv.toml", UV_TOML)
    settings = BuildSettings.of_host(environ(PIP_CONFIG_FILE=pip_conf, UV_CONFIG_FILE=uv_toml))
    assert settings.variables == {
        "PIP_INDEX_URL": "https://user:secret@pip.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://extra.example/simple",
        "PIP_TRUSTED_HOST": "pip.example",
        "UV_DEFAULT_INDEX": "https://first.example/simple",
        "UV_INDEX": "https://more.example/simple",
        "npm_config_registry": "https://npm.example/",
    }


def test_the_environment_goes_before_a_file(environ: Environ, tmp_path: Path) -> None:
    pip_conf = written(tmp_path / "pip.conf", "[global]\nindex-url = https://file.example\n")
    uv_toml = written(
        tmp_path / "uv.toml", 'index-url = "https://file.example"\nextra-index-url = ["https://x.example"]\n'
    )
    settings = BuildSettings.of_host(
        environ(PIP_CONFIG_FILE=pip_conf, UV_CONFIG_FILE=uv_toml, PIP_INDEX_URL="https://a.example")
    )
    assert settings.variables == {
        "PIP_INDEX_URL": "https://a.example",
        "UV_DEFAULT_INDEX": "https://file.example",
        "UV_INDEX": "https://x.example",
    }


@pytest.mark.parametrize(
    ("variables", "bundle"),
    [
        ({"PIP_CERT": "{}/pip.pem", "SSL_CERT_FILE": "{}/ssl.pem"}, "pip.pem"),
        ({"SSL_CERT_FILE": "{}/ssl.pem"}, "ssl.pem"),
        ({"PIP_CERT": "{}/none.pem", "SSL_CERT_FILE": "{}/ssl.pem"}, "ssl.pem"),
    ],
)
def test_certificates_are_those_that_pip_or_uv_trusts(
    environ: Environ, tmp_path: Path, variables: dict[str, str], bundle: str
) -> None:
    written(tmp_path / "pip.pem", "")
    written(tmp_path / "ssl.pem", "")
    stated = {name: value.format(tmp_path) for name, value in variables.items()}
    settings = BuildSettings.of_host(environ(**stated))
    assert settings == BuildSettings({}, tmp_path / bundle)
    told = ("PIP_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
    assert settings.shell_lines("/build/ca.crt") == "".join(f"{name}=/build/ca.crt\n" for name in told)


def test_a_shell_takes_values_as_they_are() -> None:
    assert (
        BuildSettings({"UV_INDEX": "https://a.example $HOME"}).shell_lines("") == "UV_INDEX='https://a.example $HOME'\n"
    )


def test_a_broken_file_is_left_to_its_own_tool(environ: Environ, tmp_path: Path) -> None:
    uv_toml = written(tmp_path / "uv.toml", "index-url =")
    assert BuildSettings.of_host(environ(UV_CONFIG_FILE=uv_toml)) == BuildSettings({}, None)
