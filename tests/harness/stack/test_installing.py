"""Is uv asked for the right thing in a clean environment, and are its errors turned into the right words?

FAKE_UV stands for uv: it notes how it was called and does or says what the test's variables tell it. Its messages are
those of uv 0.13, shortened.
"""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from perfgate.errors import BadInput, PerfgateError, StackFailed
from perfgate.stack import installing
from perfgate.stack.installing import SHOWN_REASON_CHARS, Installer, UvFailed, checked_packages, uv_environment
from perfgate.stack.releases import DEFAULT_RELEASE
from tests.harness.stack.conftest import FakeUv, eventually, pids_with_argument

UPLOADED_AT: Final = datetime(2025, 11, 9, 2, 33, 14, tzinfo=UTC)
UNKNOWN: Final = (
    "error: No solution found when resolving dependencies\n"
    "  cause: Because there is no version of litellm==9.9.9 and you require litellm==9.9.9, we can conclude that your "
    "requirements are unsatisfiable."
)
UNRESOLVED: Final = (
    "error: No solution found when resolving dependencies\n"
    "  cause: Because only certifi<=2026.10.18 is available and litellm==1.108.0 depends on certifi>=2026.10.19, we "
    "can conclude that litellm==1.108.0 cannot be used."
)
NO_NETWORK: Final = (
    "error: Request failed after 3 retries in 9.5s\n"
    "  cause: Failed to fetch: `https://user:pass@index.example/simple/litellm/`\n"
    "  cause: tcp connect error\n  cause: Connection refused (os error 111)"
)
OFFLINE: Final = (
    "error: No solution found when resolving dependencies\n"
    "  cause: Because litellm was not found in the cache and you require litellm==1.79.3, we can conclude that your "
    "requirements are unsatisfiable.\nhint: Packages were unavailable because the network was disabled."
)
NO_SPACE: Final = "error: Failed to install: x.whl\n  cause: failed to copy file: No space left on device (os error 28)"
NOT_BUILT: Final = (
    "error: Failed to build `litellm @ file:///cache/source`\n  cause: The build backend returned an error\n"
    "  cause: Call to `maturin.build_wheel` failed (exit status: 1)"
)
OTHER: Final = "error: the interpreter is broken"


def make_and_install(
    installer: Installer,
    into: Path,
    exclude_newer: datetime | None,
    litellm: str | Path = "1.79.3",
    with_packages: tuple[str, ...] = (),
) -> None:
    installer.make(into)
    installer.install(f"litellm {litellm}", litellm, into, exclude_newer, with_packages)


def test_the_upload_time_is_that_of_the_first_file(fake_uv: FakeUv) -> None:
    assert fake_uv.installer().uploaded_at("1.79.3") == UPLOADED_AT
    assert fake_uv.stdin_path.read_text() == "litellm==1.79.3\n"


def test_the_newest_release_of_a_range_is_what_uv_pins(fake_uv: FakeUv) -> None:
    fake_uv.lock_path.write_text("litellm==1.80.5\n")
    assert fake_uv.installer().newest(">=1.79,<1.81,!=1.82.7") == "1.80.5"
    assert fake_uv.stdin_path.read_text() == "litellm>=1.79,<1.81,!=1.82.7\n"
    (call,) = fake_uv.calls()
    assert call.startswith("pip compile --quiet --no-deps --no-header --no-annotate --prerelease disallow ")


def test_a_range_without_a_release_has_no_newest_and_a_missing_network_is_no_such_range(fake_uv: FakeUv) -> None:
    assert fake_uv.installer(UV_FAKE_COMPILE_SAYS=UNKNOWN).newest(">=9.9") is None
    with pytest.raises(StackFailed, match=r"^litellm>=9.9: the package index cannot .* \(asked for its releases\)"):
        fake_uv.installer(UV_FAKE_COMPILE_SAYS=NO_NETWORK).newest(">=9.9")


def test_an_answer_that_pins_nothing_is_shown(fake_uv: FakeUv) -> None:
    fake_uv.lock_path.write_text("# nothing\n")
    with pytest.raises(StackFailed, match=r"^uv named no release of litellm>=1.79, but said: # nothing$"):
        fake_uv.installer().newest(">=1.79")


def test_an_install_is_compiled_and_as_old_as_asked_for(fake_uv: FakeUv, tmp_path: Path) -> None:
    make_and_install(fake_uv.installer(), tmp_path / "env", UPLOADED_AT)
    venv, install = fake_uv.calls()
    assert venv == f"venv --quiet --no-project --python {sys.executable} {tmp_path}/env"
    assert install == (
        f"pip install --quiet --compile-bytecode --python {tmp_path}/env/bin/python "
        "--exclude-newer 2025-11-09T02:33:14+00:00 litellm[proxy]==1.79.3"
    )


def test_an_install_of_today_excludes_nothing(fake_uv: FakeUv, tmp_path: Path) -> None:
    make_and_install(fake_uv.installer(), tmp_path / "env", None)
    assert "--exclude-newer" not in fake_uv.calls()[1]


def test_packages_beside_it_are_asked_for_too(fake_uv: FakeUv, tmp_path: Path) -> None:
    make_and_install(fake_uv.installer(), tmp_path / "env", None, with_packages=("httptools==0.7.1",))
    assert fake_uv.calls()[1].endswith(f"{tmp_path}/env/bin/python httptools==0.7.1 litellm[proxy]==1.79.3")


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        ("", ()),
        ("uvloop==0.21.0 httptools", ("httptools", "uvloop==0.21.0")),
        ("httptools httptools", ("httptools",)),
        ("a[b,c]>=1,<2.0 D~=1.4 e!=1.*", ("D~=1.4", "a[b,c]>=1,<2.0", "e!=1.*")),
    ],
)
def test_packages_are_read_in_one_order(text: str, packages: tuple[str, ...]) -> None:
    assert checked_packages(text) == packages


@pytest.mark.parametrize("text", ["--index-url", "a;b", "https://host/a.whl", "../a", "a=1", "a@b", "=="])
def test_what_is_no_package_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        checked_packages(f"good {text}")
    assert str(caught.value) == (
        f"{text!r} is no package: write names with or without versions, divided by blanks, such as "
        "'httptools uvloop==0.21.0'"
    )


def test_an_environment_that_cannot_be_made_says_why(fake_uv: FakeUv, tmp_path: Path) -> None:
    Path(fake_uv.program).write_text("#!/bin/sh\necho 'error: No space left on device' >&2; exit 2\n")
    with pytest.raises(StackFailed, match=rf"the environment {tmp_path}/env: the disk is full \(making it\)"):
        fake_uv.installer().make(tmp_path / "env")


def test_uv_sees_what_leads_to_the_index_and_nothing_by_accident(fake_uv: FakeUv, tmp_path: Path) -> None:
    let_in = {"UV_DEFAULT_INDEX": "a", "PIP_CERT": "b", "SSL_CERT_FILE": "c", "https_proxy": "d", "NO_PROXY": "e"}
    kept_out = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "/x", "VIRTUAL_ENV": "/y", "OPENAI_API_KEY": "sk"}
    fake_uv.installer(**let_in, **kept_out).uploaded_at("1.79.3")
    seen = fake_uv.seen_environment()
    assert let_in.items() <= seen.items()
    assert seen.keys().isdisjoint(kept_out)
    assert seen["PATH"] == os.environ["PATH"]


def test_uv_runs_outside_of_any_project(fake_uv: FakeUv) -> None:
    fake_uv.installer().uploaded_at("1.79.3")
    assert fake_uv.seen_environment()["PWD"] == "/"


@pytest.mark.parametrize("name", ["UV_INDEX_ACME_PASSWORD", "XDG_CACHE_HOME", "all_proxy", "HTTP_PROXY", "NETRC"])
def test_a_variable_that_is_let_in(name: str) -> None:
    assert uv_environment({name: "x"})[name] == "x"


@pytest.mark.parametrize("name", ["PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "MY_UV_X", "LD_PRELOAD", "AWS_SECRET_KEY"])
def test_a_variable_that_is_kept_out(name: str) -> None:
    assert name not in uv_environment({name: "x"})


def test_a_release_that_does_not_exist_is_the_askers_mistake(fake_uv: FakeUv) -> None:
    with pytest.raises(BadInput) as caught:
        fake_uv.installer(UV_FAKE_COMPILE_SAYS=UNKNOWN).uploaded_at("9.9.9")
    assert str(caught.value) == (
        f"litellm 9.9.9 does not exist in the package index; check the number, or take {DEFAULT_RELEASE}. uv says: "
        "Because there is no version of litellm==9.9.9 and you require litellm==9.9.9, we can conclude that your "
        "requirements are unsatisfiable."
    )


def test_a_missing_network_is_named_and_no_password_is_shown(fake_uv: FakeUv) -> None:
    with pytest.raises(StackFailed) as caught:
        fake_uv.installer(UV_FAKE_COMPILE_SAYS=NO_NETWORK).uploaded_at("1.79.3")
    assert str(caught.value) == (
        "litellm 1.79.3: the package index cannot be reached over the network (asked for its upload time); check the "
        "connection and the variables HTTPS_PROXY, SSL_CERT_FILE and UV_DEFAULT_INDEX, then run again. A release that "
        "was used on this machine before needs no network. uv says: Request failed after 3 retries in 9.5s Failed to "
        "fetch: `(address)` tcp connect error Connection refused (os error 111)"
    )


def test_an_index_without_upload_times_says_what_to_do(fake_uv: FakeUv) -> None:
    fake_uv.lock_path.write_text('[[packages]]\nname = "litellm"\nwheels = [{ size = 1 }]\n')
    with pytest.raises(BadInput, match=r"does not tell when litellm 1.79.3 was uploaded, .*: use --deps today$"):
        fake_uv.installer().uploaded_at("1.79.3")


OF_ITS_TIME: Final = (
    "litellm 1.108.0 cannot be installed: its dependencies cannot be resolved among the packages of its time (until "
    f"2025-11-09); try --deps today, or take another release, such as {DEFAULT_RELEASE}. uv says: Because only certifi"
)
OF_TODAY: Final = (
    "litellm 1.108.0 cannot be installed: its dependencies cannot be resolved among the packages of today; take "
    f"another release, such as {DEFAULT_RELEASE}. uv says: Because only certifi"
)
DISK_FULL: Final = (
    "litellm 1.108.0: the disk is full (installing it); an environment takes 0.8 GB: make room, or let "
    "PERFGATE_CACHE_DIR name a folder on another disk. uv says: Failed to install: x.whl failed to copy"
)
UNREACHABLE: Final = "litellm 1.108.0: the package index cannot be reached over the network (installing it)"
UNBUILT: Final = (
    "litellm 1.108.0 cannot be installed: its source does not build. uv says: Failed to build `litellm @ (address)` "
    "The build backend returned an error Call to `maturin.build_wheel` failed"
)
BROKEN: Final = "litellm 1.108.0: uv failed (installing it). uv says: the interpreter is broken"
SILENT: Final = "litellm 1.108.0: uv failed (installing it). uv says: it ended with status 2 and no message"


@pytest.mark.parametrize(
    ("said", "kind", "exclude_newer", "words"),
    [
        (UNRESOLVED, BadInput, UPLOADED_AT, OF_ITS_TIME),
        (UNRESOLVED, BadInput, None, OF_TODAY),
        (OFFLINE, StackFailed, None, UNREACHABLE),
        (NO_NETWORK, StackFailed, None, UNREACHABLE),
        (NO_SPACE, StackFailed, None, DISK_FULL),
        (NOT_BUILT, BadInput, None, UNBUILT),
        (OTHER, StackFailed, None, BROKEN),
        ("", StackFailed, None, SILENT),
    ],
    ids=["of_its_time", "today", "offline", "no_network", "no_space", "not_built", "other", "silent"],
)
def test_an_install_that_fails_says_why(
    fake_uv: FakeUv,
    tmp_path: Path,
    said: str,
    kind: type[PerfgateError],
    exclude_newer: datetime | None,
    words: str,
) -> None:
    installer = fake_uv.installer(UV_FAKE_INSTALL_FAILS="yes", UV_FAKE_INSTALL_SAYS=said)
    with pytest.raises(kind) as caught:
        make_and_install(installer, tmp_path / "env", exclude_newer, "1.108.0")
    assert str(caught.value).startswith(words)


def test_a_long_reason_is_shortened() -> None:
    reason = UvFailed("error: " + "because " * 200).reason
    assert reason.startswith("because because")
    assert len(reason) == SHOWN_REASON_CHARS + len(" …")


def test_a_uv_that_hangs_is_an_error(fake_uv: FakeUv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing, "UV_DEADLINE_S", 0.2)
    gate = fake_uv.make_gate()
    with pytest.raises(StackFailed, match=r"uv pip install has not ended after 0.2 s: is the package index slow\?"):
        make_and_install(fake_uv.installer(UV_FAKE_GATE=str(gate)), tmp_path / "env", None)


@pytest.mark.slow
def test_uv_ends_when_we_are_killed(fake_uv: FakeUv, tmp_path: Path) -> None:
    program = (
        "import sys, os; from pathlib import Path; from perfgate.stack.installing import Installer\n"
        "installer, into = Installer(sys.argv[1], dict(os.environ)), Path(sys.argv[2])\n"
        "installer.make(into)\n"
        "installer.install('it', '1.79.3', into, None)"
    )
    environment = fake_uv.environment(UV_FAKE_GATE=str(fake_uv.make_gate()))
    caller = subprocess.Popen([sys.executable, "-c", program, fake_uv.program, str(tmp_path / "env")], env=environment)
    with caller:
        assert eventually(lambda: len(fake_uv.calls()) == 2)
        caller.send_signal(signal.SIGKILL)
    assert eventually(lambda: pids_with_argument(str(tmp_path / "env")) == set())
