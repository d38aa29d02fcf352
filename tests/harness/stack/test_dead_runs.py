"""Is what dead runs have left swept, and nothing else? test_supervisor.py kills a run together with its supervisor."""

import os
import secrets
import signal
import sys
from pathlib import Path
from typing import Final

import pytest

from perfgate.filelocks import shared
from perfgate.stack.dead_runs import remove_run_folder, sweep_dead_runs
from perfgate.stack.supervision import Process, Supervisor
from perfgate.stack.supervisor import LOCK_FILE
from tests.harness.stack.conftest import IGNORES_SIGTERM, PATIENCE_S, SLEEP, eventually

NAME: Final = "perfgate-0123456789abcdef"


def folder_of_a_run(parent_dir: Path, name: str = NAME) -> Path:
    folder = parent_dir / name
    folder.mkdir()
    (folder / LOCK_FILE).touch()
    return folder


def test_a_folder_whose_lock_nobody_holds_is_removed(tmp_path: Path) -> None:
    folder = folder_of_a_run(tmp_path)
    (folder / "config.yaml").write_text("a key")
    assert sweep_dead_runs(tmp_path) == 1
    assert not folder.exists()
    assert sweep_dead_runs(tmp_path) == 0


def test_a_folder_whose_lock_is_held_is_left_alone(tmp_path: Path) -> None:
    folder = folder_of_a_run(tmp_path)
    with shared(folder / LOCK_FILE, "the run"):
        assert sweep_dead_runs(tmp_path) == 0
    assert folder.exists()


@pytest.mark.parametrize("name", ["perfgate-0123456789abcdef.new", "perfgate-notes", "other-0123456789abcdef"])
def test_a_folder_with_another_name_is_left_alone(tmp_path: Path, name: str) -> None:
    folder = folder_of_a_run(tmp_path, name)
    assert sweep_dead_runs(tmp_path) == 0
    assert folder.exists()


def test_a_folder_without_a_lock_is_left_alone(tmp_path: Path) -> None:
    folder = folder_of_a_run(tmp_path)
    (folder / LOCK_FILE).unlink()
    assert sweep_dead_runs(tmp_path) == 0
    (folder / LOCK_FILE).symlink_to(__file__)
    assert sweep_dead_runs(tmp_path) == 0
    assert folder.exists()


def test_a_folder_of_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of_a_run(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert sweep_dead_runs(tmp_path) == 0
    assert folder.exists()


def test_where_there_is_no_folder_there_are_no_runs(tmp_path: Path) -> None:
    assert sweep_dead_runs(tmp_path / "none") == 0


@pytest.mark.slow
def test_processes_of_a_run_are_asked_to_end_and_then_killed_and_those_of_another_live(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    def up(of: Supervisor, program: str) -> Process:
        log_path = tmp_path / secrets.token_hex(8)
        process = of.start([sys.executable, "-c", program], env={}, cwd=tmp_path, log_path=log_path)
        assert eventually(lambda: process.log_tail() == ("up",))
        return process

    with Supervisor(tmp_path) as other:
        listening, deaf, foreign = up(supervisor, SLEEP), up(supervisor, IGNORES_SIGTERM), up(other, SLEEP)
        remove_run_folder(supervisor.run_dir)
        assert (listening.wait(PATIENCE_S), deaf.wait(PATIENCE_S)) == (-signal.SIGTERM, -signal.SIGKILL)
        assert foreign.exit_status is None
        assert (supervisor.run_dir.exists(), other.run_dir.exists()) == (False, True)
