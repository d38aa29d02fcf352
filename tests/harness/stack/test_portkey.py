"""Is Portkey's gateway started as it should be, on loopback alone, and known for ours?

The slow tests install the real npm package, for which they need a network, and start it in front of our mock.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import psutil
import pytest

from perfgate.errors import StackFailed
from perfgate.load.job import LoadJob, Target
from perfgate.load.runner import Generator
from perfgate.load.schedule import ClosedLoop
from perfgate.stack.container_services import in_container
from perfgate.stack.images import OFFICIAL
from perfgate.stack.mock import REPLY_TEXT, Mock, received_requests
from perfgate.stack.portkey import IN_IMAGE, PACKAGE, SCRIPT, Portkey, PortkeyProgram, installed
from perfgate.stack.processes import ProcessBackend, Running
from perfgate.stack.releases import PORTKEY_RELEASE
from perfgate.stack.supervision import Supervisor

PROGRAM: Final = PortkeyProgram("/node", "/cache/build/start-server.js", ("file:///cache/loopback.js",), "20.1.2")
API_BASE: Final = "http://127.0.0.1:8090/v1"
PORTKEY: Final = Portkey(PROGRAM, API_BASE)


class TestDescription:
    def test_its_server_is_started_on_a_port_without_its_page_and_kept_on_loopback(self) -> None:
        assert PORTKEY.argv(8123) == [
            "/node",
            "--import",
            "file:///cache/loopback.js",
            "/cache/build/start-server.js",
            "--headless",
            "--port=8123",
        ]

    def test_requests_say_whose_format_and_where_the_endpoint_is_and_need_no_key(self) -> None:
        assert PORTKEY.client_headers == {"x-portkey-provider": "openai", "x-portkey-custom-host": API_BASE}
        assert (PORTKEY.client_key, PORTKEY.chat_path) == (None, "/v1/chat/completions")
        Target("http://h/", "m", headers=tuple(PORTKEY.client_headers.items()))

    def test_it_may_pass_requests_on_to_the_endpoint_and_is_known_by_an_address_of_its_own(self) -> None:
        elsewhere = Portkey(PROGRAM, "https://mock.example:1/v1", nowhere="127.1.2.3")
        assert elsewhere.environment(Path("/run"))["TRUSTED_CUSTOM_HOSTS"] == "mock.example,127.1.2.3"
        assert Portkey(PROGRAM, API_BASE).nowhere != Portkey(PROGRAM, API_BASE).nowhere

    def test_nothing_of_the_user_s_environment_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
        monkeypatch.setenv("REDIS_CONNECTION_STRING", "redis://elsewhere")
        assert set(PORTKEY.environment(Path("/run"))) == {
            "PATH",
            "LC_ALL",
            "HOME",
            "TMPDIR",
            "NODE_ENV",
            "TRUSTED_CUSTOM_HOSTS",
        }

    def test_it_is_ready_when_it_passes_the_mock_s_reply_on_and_knows_its_own_address(self) -> None:
        passes_on, is_ours = PORTKEY.ready_checks()
        assert passes_on.headers == PORTKEY.client_headers
        assert passes_on.accepts(200, f"… {REPLY_TEXT} …")
        assert not passes_on.accepts(200, "another's")
        assert is_ours.headers["x-portkey-custom-host"] == f"http://{PORTKEY.nowhere}:9/v1"
        assert is_ours.accepts(500, "")
        assert not is_ours.accepts(400, '{"status":"failure","message":"Invalid custom host"}')

    def test_in_a_container_it_is_the_same_server_by_its_image_s_node(self) -> None:
        service = Portkey(IN_IMAGE, "http://mock-1:8090/v1", nowhere="127.1.2.3")
        spec = in_container(service, OFFICIAL)
        assert spec.image == f"portkeyai/gateway:{PORTKEY_RELEASE}"
        assert (spec.entrypoint, spec.command) == (("node",), (SCRIPT, "--headless", "--port=8787"))
        assert (spec.port, spec.name) == (8787, "portkey")
        assert spec.environment == {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "mock-1,127.1.2.3"}
        assert spec.ready_checks == tuple(service.ready_checks())


FAKE_NPM: Final = """#!/bin/sh
mkdir -p node_modules/@portkey-ai/gateway/build
echo '{"version": "%s"}' >node_modules/@portkey-ai/gateway/package.json
touch node_modules/@portkey-ai/gateway/build/start-server.js
"""


class TestInstallation:
    @pytest.fixture
    def bin_dir(self, tmp_path: Path) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        self.write_program(folder / "node", "#!/bin/sh\necho v20.1.2\n")
        self.write_program(folder / "npm", FAKE_NPM % PORTKEY_RELEASE)
        return folder

    @staticmethod
    def write_program(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    @staticmethod
    def program(bin_dir: Path) -> PortkeyProgram:
        environ = {"PATH": f"{bin_dir}{os.pathsep}{os.defpath}"}
        with installed(bin_dir.parent / "cache", environ) as program:
            return program

    def test_what_is_installed_can_be_started(self, bin_dir: Path) -> None:
        program = self.program(bin_dir)
        (folder,) = (path for path in (bin_dir.parent / "cache").iterdir() if path.is_dir())
        assert program.node == str(bin_dir / "node")
        assert Path(program.script) == folder / "node_modules/@portkey-ai/gateway" / SCRIPT
        assert program.preload == ((folder / "src/loopback.js").as_uri(),)
        assert (folder / "src/loopback.js").read_text() == (PACKAGE / "src/loopback.js").read_text()
        assert program.node_version == "20.1.2"

    @pytest.mark.parametrize("npm", [FAKE_NPM % "1.14.0", "#!/bin/sh\nmkdir node_modules\n"], ids=["other", "none"])
    def test_another_release_than_the_one_that_is_asked_for_is_refused(self, bin_dir: Path, npm: str) -> None:
        self.write_program(bin_dir / "npm", npm)
        with pytest.raises(
            StackFailed, match=f"not the one that perfgate knows: its version is .*, not {PORTKEY_RELEASE}"
        ):
            self.program(bin_dir)

    def test_the_package_pins_the_release_that_can_be_asked_for(self) -> None:
        package = json.loads((PACKAGE / "package.json").read_text())
        assert package["dependencies"] == {"@portkey-ai/gateway": PORTKEY_RELEASE}

    def test_the_lock_file_names_no_host_and_pins_each_package_by_its_content(self) -> None:
        text = (PACKAGE / "package-lock.json").read_text()
        packages = {name: package for name, package in json.loads(text)["packages"].items() if name}
        assert packages["node_modules/@portkey-ai/gateway"]["version"] == PORTKEY_RELEASE
        assert all("integrity" in package and "resolved" not in package for package in packages.values())
        assert "://" not in text


# The real thing

real = pytest.mark.xdist_group("portkey")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortkeyProgram]:
    with installed(tmp_path_factory.mktemp("cache"), os.environ) as program:
        yield program


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessBackend]:
    with Supervisor(tmp_path_factory.mktemp("run")) as supervisor:
        yield ProcessBackend(supervisor)


@pytest.fixture(scope="module")
def mock(processes: ProcessBackend) -> Iterator[Running]:
    with processes.running(Mock()) as running:
        yield running


@pytest.fixture(scope="module")
def service(program: PortkeyProgram, mock: Running) -> Portkey:
    return Portkey(program, f"{mock.address.url}/v1")


@pytest.fixture(scope="module")
def running(processes: ProcessBackend, service: Portkey) -> Iterator[Running]:
    with processes.running(service) as running:
        yield running


def chat(running: Running, headers: dict[str, str], **more: object) -> httpx.Response:
    body = {"model": "any", "messages": [{"role": "user", "content": "hello"}], **more}
    url = f"{running.address.url}/v1/chat/completions"
    return httpx.post(url, json=body, headers=headers, trust_env=False, timeout=60)


@real
@pytest.mark.slow
def test_it_listens_on_loopback_and_nowhere_else(running: Running) -> None:
    found = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
    listening = [c for process in found for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    assert [tuple(connection.laddr) for connection in listening] == [("127.0.0.1", running.address.port)]


@real
@pytest.mark.slow
def test_it_passes_requests_and_streams_on_to_the_mock(running: Running, service: Portkey, mock: Running) -> None:
    before = received_requests(mock.address.url)
    headers = dict(service.client_headers)
    assert REPLY_TEXT in chat(running, headers).raise_for_status().text
    stream = chat(running, headers, stream=True).raise_for_status()
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.text.rstrip().endswith("data: [DONE]")
    assert received_requests(mock.address.url) == before + 2


@real
@pytest.mark.slow
def test_an_error_of_the_endpoint_is_passed_on_and_not_asked_for_again(
    running: Running, service: Portkey, mock: Running
) -> None:
    before = received_requests(mock.address.url)
    assert chat(running, dict(service.client_headers), model="mock-error-429-rate-1").status_code == 429
    assert received_requests(mock.address.url) == before + 1


@real
@pytest.mark.slow
def test_another_portkey_is_not_taken_for_ours(running: Running, program: PortkeyProgram, service: Portkey) -> None:
    _, is_ours = Portkey(program, service.api_base).ready_checks()
    accepted, answer = is_ours.attempt(running.address.url, 60)
    assert (accepted, "Invalid custom host" in answer) == (False, True)
    _, is_ours = service.ready_checks()
    assert is_ours.attempt(running.address.url, 60)[0]


@real
@pytest.mark.slow
def test_the_generator_loads_it(running: Running, service: Portkey) -> None:
    target = Target(f"{running.address.url}{service.chat_path}", "any", headers=tuple(service.client_headers.items()))
    with Generator() as generator:
        result = generator.run(LoadJob((target,), ClosedLoop(users=2, warm_up_s=0, window_s=0.3)))
    assert result.succeeded == result.sent > 0
