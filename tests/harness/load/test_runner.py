"""Does the generator process end when it must, and is its end reported in words?"""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final

import psutil
import pytest

from perfgate.errors import StackFailed
from perfgate.load import runner, wire
from perfgate.load.own_process import FILES_RESERVED
from perfgate.load.runner import Generator
from tests.harness.load.conftest import WATCHDOG_S, Mock, ends, load_job

pytestmark = pytest.mark.slow

#: A program that loads an endpoint for a minute, once it has said which process its generator is.
PARENT: Final = """
    import sys
    from perfgate.load.runner import Generator
    from tests.harness.load.conftest import load_job
    with Generator() as generator:
        job = load_job(sys.argv[1], window_s=60)
        generator.run(job, on_event=lambda event: print(generator.pid, flush=True))
"""


def test_the_generator_dies_with_the_process_that_started_it(mock: Mock) -> None:
    command = [sys.executable, "-c", textwrap.dedent(PARENT), mock.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        generator_pid = int(parent.stdout.readline())
        assert psutil.Process(generator_pid).ppid() == parent.pid
        parent.kill()
        assert ends(generator_pid)


def test_a_generator_whose_parent_is_gone_at_its_start_ends() -> None:
    command = [sys.executable, "-m", "perfgate.load.generator", "1"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WATCHDOG_S)
    assert (ended.returncode, ended.stderr) == (1, "the process that started the generator is gone\n")


def test_the_generator_ends_with_its_standard_input_even_in_mid_load(mock: Mock) -> None:
    command = [sys.executable, "-m", "perfgate.load.generator", str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(wire.job_line(load_job(mock.url, window_s=60)))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["event"] == "window_opened"
        process.stdin.close()
        assert process.wait(WATCHDOG_S) == 0


def test_the_key_is_neither_in_the_generators_command_line_nor_in_its_environment(
    mock: Mock, generator: Generator
) -> None:
    job = load_job(mock.url, window_s=0.1, api_key="sk-not-to-be-seen")
    process = psutil.Process(generator.pid)
    seen: list[str] = []
    generator.run(job, on_event=lambda event: seen.append(f"{process.cmdline()} {process.environ()}"))
    assert len(seen) == 3
    assert "sk-not-to-be-seen" not in "".join(seen)


def test_the_generator_inherits_nothing_of_the_environment_but_trusted_certificates(
    mock: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("SSL_CERT_FILE", "/somewhere.pem")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    seen: list[dict[str, str]] = []
    with Generator() as generator:
        process = psutil.Process(generator.pid)
        generator.run(load_job(mock.url, window_s=0.1), on_event=lambda event: seen.append(process.environ()))
    assert seen == [{"LC_ALL": "C.UTF-8", "SSL_CERT_FILE": "/somewhere.pem"}] * 3


def test_a_generator_killed_in_mid_load_says_by_which_signal(mock: Mock, generator: Generator) -> None:
    with pytest.raises(StackFailed) as failed:
        generator.run(load_job(mock.url, window_s=60), on_event=lambda event: os.kill(generator.pid, signal.SIGKILL))
    assert str(failed.value) == (
        "the load generator was killed by signal 9 (SIGKILL) before its load was over; the kernel's log (dmesg) says "
        "whether it ran out of memory\nit left no message"
    )
    with pytest.raises(StackFailed, match="the load generator has ended already: start a new one"):
        generator.run(load_job(mock.url))


def test_a_generator_that_was_killed_between_two_loads_says_so(mock: Mock, generator: Generator) -> None:
    generator.run(load_job(mock.url, window_s=0.1))
    os.kill(generator.pid, signal.SIGTERM)
    assert ends(generator.pid)
    with pytest.raises(StackFailed, match=r"was killed by signal 15 \(SIGTERM\) before its load was over\n"):
        generator.run(load_job(mock.url))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo 'bad day' >&2; echo 'Segments: 3'; sleep 60",
            "not a report of the generator: b'Segments: 3'\nits last words:\n  bad day",
        ),
        (
            "for i in $(seq 20); do echo line $i >&2; done; exit 3",
            "the load generator ended with status 3 before its load was over\nits last words:\n"
            + "\n".join(f"  line {i}" for i in range(11, 21)),
        ),
    ],
)
def test_a_generator_gone_wrong_is_reported_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nread job\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with Generator() as generator, pytest.raises(StackFailed) as failed:
        generator.run(load_job("http://127.0.0.1:1/x"))
    assert str(failed.value) == message
    assert ends(generator.pid)


def test_a_generator_that_hangs_is_given_up_and_ended(
    mock: Mock, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "MARGIN_S", 0.1)
    os.kill(generator.pid, signal.SIGSTOP)
    with pytest.raises(StackFailed, match=rf"the load generator \(pid {generator.pid}\) hangs: no report 0\.1 s after"):
        generator.run(load_job(mock.url, window_s=0.1, tail_s=0))
    assert ends(generator.pid)


def test_an_unreachable_target_is_said_at_once_and_the_generator_is_ended(generator: Generator) -> None:
    with pytest.raises(StackFailed) as failed:
        generator.run(load_job("http://127.0.0.1:1/x", window_s=60))
    assert str(failed.value).startswith(
        "http://127.0.0.1:1/x cannot be loaded: no connection to 127.0.0.1:1: 127.0.0.1"
    )
    assert str(failed.value).endswith("; is the server running?")


def test_of_several_targets_each_is_named_once_when_one_is_unreachable(mock: Mock, generator: Generator) -> None:
    with pytest.raises(StackFailed) as failed:
        generator.run(load_job(mock.url, "http://127.0.0.1:1/x", "http://127.0.0.1:1/x"))
    assert str(failed.value).startswith(
        f"{mock.url}, http://127.0.0.1:1/x cannot be loaded: no connection to 127.0.0.1:1: "
    )


def test_a_closed_loop_that_hangs_is_given_up_as_any_other(
    mock: Mock, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "MARGIN_S", 0.1)
    os.kill(generator.pid, signal.SIGSTOP)
    with pytest.raises(StackFailed, match=rf"the load generator \(pid {generator.pid}\) hangs: no report 0\.1 s after"):
        generator.run(load_job(mock.url, users=1, window_s=0.1, tail_s=0))


def test_an_interrupt_of_the_caller_leaves_no_process(mock: Mock) -> None:
    def interrupt(event: str) -> None:
        raise KeyboardInterrupt

    generator = Generator()
    with pytest.raises(KeyboardInterrupt), generator:
        generator.run(load_job(mock.url, window_s=60), on_event=interrupt)
    assert ends(generator.pid)


@pytest.mark.parametrize("options", ["users=8", "connections=4"])
def test_where_too_few_files_may_be_open_for_users_or_connections_nothing_is_sent(mock: Mock, options: str) -> None:
    script = textwrap.dedent(f"""
        import resource, sys
        from perfgate.errors import StackFailed
        from perfgate.load.runner import Generator
        from tests.harness.load.conftest import load_job
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, int(sys.argv[2])))
        with Generator() as generator:
            try:
                print(generator.run(load_job(sys.argv[1], sys.argv[1], window_s=0.1, {options})).in_flight_cap)
            except StackFailed as error:
                print(error)
    """)

    def said(files: int) -> str:
        command = [sys.executable, "-c", script, mock.url, str(files)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=WATCHDOG_S).stdout

    assert said(FILES_RESERVED + 8) == "8\n"
    before = mock.received()
    assert said(FILES_RESERVED + 7) == (
        f"{mock.url} cannot be loaded: 8 connections are needed, and this process may open {FILES_RESERVED + 7} files, "
        f"of which {FILES_RESERVED} are not for connections; raise the limit (`ulimit -n`)\n"
    )
    assert mock.received() == before


def test_where_fewer_files_may_be_open_the_cap_is_lower_and_said(mock: Mock) -> None:
    script = textwrap.dedent("""
        import resource, sys
        from perfgate.load.runner import Generator
        from tests.harness.load.conftest import load_job
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, int(sys.argv[2])))
        with Generator() as generator:
            print(generator.run(load_job(sys.argv[1], window_s=0.1)).in_flight_cap)
    """)
    for files in (FILES_RESERVED + 7, FILES_RESERVED - 50):
        command = [sys.executable, "-c", script, mock.url, str(files)]
        cap = subprocess.run(command, capture_output=True, text=True, check=True, timeout=WATCHDOG_S).stdout
        assert int(cap) == max(1, files - FILES_RESERVED)
