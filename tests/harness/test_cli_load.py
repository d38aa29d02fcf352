"""Does `perfgate load` do what its options say, and end with the code and the words it should?"""

import errno
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from perfgate.cli import main
from perfgate.load.wire import result_of_json
from tests.harness.load.conftest import WATCHDOG_S, Mock, running_mock

#: Where nothing listens: port 1 is not handed out by the system.
NOBODY: Final = "http://127.0.0.1:1"
LOAD: Final = ["--rate", "100", "--duration", "0.2", "--warm-up", "0"]

USERS: Final = ["--duration", "0.2", "--warm-up", "0", "--users"]


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with running_mock() as mock:
        yield mock


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["load", *arguments])
    written = capsys.readouterr()
    assert written.out == ""
    return code, written.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["localhost:4000", *LOAD],
            "error: url='localhost:4000' must begin with http:// or https://; write http://HOST:PORT or ",
        ),
        (["http://[::1", *LOAD], "error: url='http://[::1' is not a URL: Invalid IPv6 URL; write http://HOST:PORT"),
        (["http://u:p@h/", *LOAD], "error: the URL must not hold a user or password"),
        (
            [NOBODY, "--rate", "10"],
            "error: the following arguments are required: --duration; see `perfgate load --help`\n",
        ),
        ([NOBODY, "--rate", "fast", "--duration", "1"], "error: argument --rate: invalid float value: 'fast'; see "),
        ([NOBODY, "--rate", "0", "--duration", "1"], "error: --rate 0.0 must be above 0; `perfgate load --help`"),
        ([NOBODY, "--duration", "1"], "error: one of the arguments --rate --users is required; see "),
        ([NOBODY, *LOAD, "--users", "3"], "error: argument --users: not allowed with argument --rate; see "),
        ([NOBODY, *USERS, "0"], "error: --users 0 must be from 1 to 5000000; "),
        ([NOBODY, *USERS, "9", "--in-flight-cap", "8"], "error: --users 9 must not be more than --in-flight-cap 8; "),
        ([NOBODY, *USERS, "9", "--think", "-1"], "error: --think -1.0 must not be negative; "),
        (
            [NOBODY, *USERS, "1", "--think", "9"],
            "error: --think 9 of --users 1 may leave --duration 0.2 without a request; ",
        ),
        ([NOBODY, *LOAD, "--think", "1"], "error: --think goes with --users: requests at a --rate wait for no one\n"),
        (
            [NOBODY, *USERS, "2", "--arrivals", "poisson"],
            "error: --arrivals goes with --rate: the replies decide when --users send\n",
        ),
        ([NOBODY, *LOAD, "--connections", "-1"], "error: --connections -1 must not be negative; "),
        (
            [NOBODY, NOBODY, *LOAD, "--connections", "6", "--in-flight-cap", "11"],
            "error: --connections 6 to each of 2 targets must not be more in total than --in-flight-cap 11; ",
        ),
        ([NOBODY, "ftp://h", *LOAD], "error: url='ftp://h/v1/chat/completions' must begin with http:// or https://"),
        ([NOBODY, "--rate", "1", "--duration", "-1"], "error: --duration -1.0 must be above 0; "),
        ([NOBODY, *LOAD, "--warm-up", "-1"], "error: --warm-up -1.0 must not be negative; "),
        ([NOBODY, *LOAD, "--tail", "-1"], "error: --tail -1.0 must not be negative; "),
        ([NOBODY, *LOAD, "--arrivals", "bursts"], "error: argument --arrivals: invalid choice: 'bursts'"),
        ([NOBODY, *LOAD, "--payload-bytes", "3"], "error: --payload-bytes 3 must be from 36 "),
        ([NOBODY, *LOAD, "--in-flight-cap", "0"], "error: --in-flight-cap 0 must be at least 1; "),
        ([NOBODY, *LOAD, "--seed", "-4"], "error: --seed -4 must not be negative; "),
        (
            [NOBODY, *LOAD, "--cpus", "one"],
            "error: --cpus one: 'one' is neither a core nor a range; write 1 or 0,2-3\n",
        ),
        ([NOBODY, *LOAD, "--cpus", "99999"], "error: --cpus 99999: this process may use the cores "),
        ([NOBODY, *LOAD, "--cpus", "0-99999999999"], "error: --cpus 0-99999999999: this process may use the cores "),
        ([NOBODY, *LOAD, "--cpus", "3-2"], "error: --cpus 3-2: this process may use the cores "),
        (
            [NOBODY, *LOAD, "--api-key-env", "NO_SUCH_KEY"],
            "error: --api-key-env NO_SUCH_KEY: that variable is not set; `export NO_SUCH_KEY=...` first\n",
        ),
        (
            [NOBODY, *LOAD, "--api-key-env", "BROKEN_KEY"],
            "error: --api-key-env BROKEN_KEY: api_key must be printable ASCII without spaces or line ends, ",
        ),
        (
            [NOBODY, *LOAD, "--json", "/no/such/folder/a.json"],
            "error: --json /no/such/folder/a.json: the folder /no/such/folder does not exist; create it first\n",
        ),
        ([NOBODY, *LOAD, "--json", "/"], "error: --json /: that is a folder; name a file in it\n"),
    ],
)
def test_bad_input_ends_with_4_and_one_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.setenv("BROKEN_KEY", "sk-1\n")
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    code, text = error_of(capsys, *arguments)
    assert code == 4
    assert text.startswith(message)
    assert text.count("\n") == 1


def test_a_missing_or_unknown_command_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 4
    assert capsys.readouterr().err == "error: the following arguments are required: COMMAND; see `perfgate --help`\n"
    assert main(["unload"]) == 4
    assert "invalid choice: 'unload'" in capsys.readouterr().err


@pytest.mark.slow
def test_an_unreachable_target_ends_with_12_and_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = error_of(capsys, NOBODY, *LOAD)
    assert code == 12
    assert re.fullmatch(
        r"error: http://127\.0\.0\.1:1/v1/chat/completions cannot be loaded: no connection to 127\.0\.0\.1:1: "
        r".*refused.*; is the server running\?\n",
        text,
    )


@pytest.mark.slow
@pytest.mark.parametrize("path", ["", "/", "/chat/completions"])
def test_a_load_ends_with_0_and_its_summary(capsys: pytest.CaptureFixture[str], mock: Mock, path: str) -> None:
    assert main(["load", mock.base_url + path, *LOAD]) == 0
    written = capsys.readouterr()
    assert written.err == ""
    assert written.out.startswith(f"{mock.base_url}{path if len(path) > 1 else '/v1/chat/completions'}  model fake-")
    assert "requests         offered 20, sent 20, completed 20, succeeded 20\n" in written.out
    assert "\ngenerator        " in written.out


@pytest.mark.slow
def test_every_option_reaches_the_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mock: Mock) -> None:
    monkeypatch.setenv("MY_KEY", "sk-not-to-be-seen")
    core = min(os.sched_getaffinity(0))
    file = tmp_path / "a.json"
    options = "--rate 50 --duration 0.4 --warm-up 0.1 --tail 3 --arrivals poisson --model m7 --api-key-env MY_KEY"
    more = f"--same-prompt --payload-bytes 99 --seed 5 --in-flight-cap 77 --cpus {core} --connections 3 --json {file}"
    assert main(["load", mock.url, *options.split(), *more.split()]) == 0
    assert [child.name for child in tmp_path.iterdir()] == ["a.json"]
    assert "sk-not-to-be-seen" not in file.read_text()
    document: dict[str, Any] = json.loads(file.read_text())
    assert document["job"] == {
        "targets": [{"url": mock.url, "model": "m7"}],
        "schedule": {"offered_rps": 50, "warm_up_s": 0.1, "window_s": 0.4, "tail_s": 3, "arrivals": "poisson"},
        "seed": 5,
        "payload_bytes": 99,
        "in_flight_cap": 77,
        "cpus": [core],
        "stream": False,
        "connections": 3,
        "processes": 1,
        "same_prompt": True,
        "api": "chat_completions",
        "turns_per_session": 0,
    }
    assert result_of_json(document["result"]).succeeded == 20


@pytest.mark.slow
def test_users_several_urls_and_streams_reach_the_load(tmp_path: Path, mock: Mock) -> None:
    file = tmp_path / "a.json"
    urls = [mock.base_url, f"{mock.base_url}/chat/completions"]
    options = f"--users 4 --think 0.01 --duration 0.4 --warm-up 0 --stream --json {file}"
    main(["load", *urls, *options.split()])
    job = json.loads(file.read_text())["job"]
    assert [target["url"] for target in job["targets"]] == [f"{mock.base_url}/v1/chat/completions", urls[1]]
    assert job["schedule"] == {
        "users": 4,
        "think_time_s": 0.01,
        "think_time_max_s": None,
        "spawn_per_s": None,
        "warm_up_s": 0,
        "window_s": 0.4,
        "tail_s": 10,
    }
    assert (job["stream"], job["connections"], job["same_prompt"]) == (True, 0, False)


@pytest.mark.slow
def test_a_closed_loop_ends_with_0_and_its_summary(capsys: pytest.CaptureFixture[str], mock: Mock) -> None:
    assert main(["load", mock.base_url, mock.base_url, *USERS, "3"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^closed loop, 3 users, 0 s of think time, window 0\.2 s after 0 s of warm-up$", out, re.M)
    assert re.search(r"^generator +(fit|late): closed loop, dispatch lag p99 ", out, re.M)
    assert re.search(r"^requests +sent ([\d,]+), completed \1, succeeded \1$", out, re.M)
    assert len(re.findall(r", sent [\d,]+$", out, re.M)) == 2


@pytest.mark.slow
def test_a_closed_loop_that_never_gets_to_send_in_its_window_ends_with_12(
    capsys: pytest.CaptureFixture[str], mock: Mock
) -> None:
    options = "--users 2 --duration 0.1 --warm-up 0.1 --tail 0.1 --model mock-hang"
    assert main(["load", mock.url, *options.split()]) == 12
    written = capsys.readouterr()
    assert "\ngenerator        nothing was sent within the window: every user still waited " in written.out
    assert written.err == "error: not one request was sent within the window\n"


@pytest.mark.slow
def test_some_errors_are_shown_and_decide_nothing(capsys: pytest.CaptureFixture[str], mock: Mock) -> None:
    assert main(["load", mock.url, *LOAD, "--model", "mock-error-500-rate-0.5"]) == 0
    assert re.search(r"\n  http_500 +10  HTTP 500: \{", capsys.readouterr().out)


@pytest.mark.slow
def test_a_load_without_any_success_ends_with_12_after_its_summary(
    capsys: pytest.CaptureFixture[str], mock: Mock
) -> None:
    assert main(["load", mock.url, *LOAD, "--model", "mock-error-500-rate-1"]) == 12
    written = capsys.readouterr()
    assert "http_500" in written.out
    assert written.err == "error: not one request succeeded; the errors above say why\n"


@pytest.mark.slow
def test_a_generator_that_cannot_keep_up_ends_with_10(capsys: pytest.CaptureFixture[str], mock: Mock) -> None:
    assert main(["load", mock.url, "--rate", "400000", "--duration", "0.25", "--warm-up", "0"]) == 10
    assert "\ngenerator        INVALID: apparatus: sent " in capsys.readouterr().out


@pytest.mark.slow
def test_a_full_disk_keeps_the_old_file_and_the_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mock: Mock
) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "a.json"
    file.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    assert main(["load", mock.url, *LOAD, "--json", str(file)]) == 12
    written = capsys.readouterr()
    assert written.err == (
        f"error: --json {file} could not be written: No space left on device; the result above is complete\n"
    )
    assert "succeeded 20" in written.out
    assert [child.read_text() for child in tmp_path.iterdir()] == ["old"]


@pytest.mark.slow
def test_ctrl_c_ends_with_2_one_word_and_no_process(mock: Mock) -> None:
    command = [sys.executable, "-m", "perfgate", "load", mock.url, "--rate", "100", "--duration", "60"]
    before = mock.received()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while mock.received() == before:
            assert process.poll() is None
            time.sleep(0.01)
        generators = psutil.Process(process.pid).children()
        assert len(generators) == 1
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WATCHDOG_S)
    assert (process.returncode, out, err) == (2, "", "interrupted\n")
    assert not psutil.wait_procs(generators, timeout=WATCHDOG_S)[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "phase"),
    [(["--rate", "100"], "at 100 requests/s"), (["--users", "4", "--think", "0.1"], "of 4 users")],
)
def test_a_terminal_is_told_the_phase(mock: Mock, load: list[str], phase: str) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "perfgate", "load", mock.url, *load, "--duration", "0.7", "--warm-up", "1"]
    environment = os.environ | {"TERM": "xterm"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # the other side of a pty ends with EIO
            pass
        assert process.wait(WATCHDOG_S) == 0
    os.close(ours)
    assert b"warm-up: 1 s" in shown
    assert f"window: 0.7 s {phase}".encode() in shown
