"""What does the project's own gate (.ci) do on machines with and without a Docker engine?

With programs that only note what they are asked for.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
NOT_RUN: Final = (
    "NOT RUN: the profiles quick and ci on containers, for the reason above; container tests are skipped below, by "
    "name\n"
)
#: Notes its name and arguments, and what of the environment the gate decides.
NOTES: Final = """#!/bin/sh
echo "$(basename "$0") $* [${PERFGATE_PRISMA_ENGINE-}|${PERFGATE_IMAGES-}|${PYTHONDONTWRITEBYTECODE-}]" >>"$NOTES"
"""
PERF: Final = "make perf ARGS=--stack"


class Machine:
    """A checkout's .ci among programs that are not the real ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.notes = folder / "notes"
        shutil.copytree(ROOT / ".ci", folder / ".ci")
        for name in ("make", "redis-server", "chromium", "perfgate"):
            self.has(name, NOTES)
        (folder / ".venv/bin").mkdir(parents=True)
        (folder / ".venv/bin/perfgate").symlink_to(self.bin / "perfgate")
        for name in ("bash", "sh", "dirname", "basename", "timeout", "env", "tail", "cat", "grep", "rm"):
            found = shutil.which(name)
            assert found is not None
            (self.bin / name).symlink_to(found)
        self.has("id", "#!/bin/sh\necho 1000\n")

    def has(self, name: str, program: str) -> None:
        """A program in PATH, or one of .ci."""
        path = self.folder / name if name.startswith(".ci/") else self.bin / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(program)
        path.chmod(0o755)

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "NOTES": str(self.notes), "PYTHONDONTWRITEBYTECODE": "1", **variables}
        argv = [str(self.folder / ".ci" / script)]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)

    def asked(self) -> list[str]:
        return self.notes.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_with_an_engine_both_backends_are_measured_and_the_harness_tests_come_last(machine: Machine) -> None:
    machine.has(".ci/docker-engine", "#!/bin/sh\n")
    machine.has(".ci/docker-base", "#!/bin/sh\necho debian:x\n")
    done = machine.run("run")
    assert done.returncode == 0
    assert machine.asked() == [
        "make venv [wasm||]",
        "perfgate images build --base debian:x --prisma-engine wasm [wasm||]",
        "make lint [wasm|built|]",
        f"{PERF} processes [wasm|built|]",
        f"{PERF} processes --profile ci [wasm|built|]",
        f"{PERF} containers [wasm|built|]",
        f"{PERF} containers --profile ci [wasm|built|]",
        "make test [wasm|built|]",
    ]
    assert NOT_RUN not in done.stdout


@pytest.mark.parametrize("lacking", ["docker-engine", "docker-base"])
def test_where_no_engine_can_be_had_the_rest_runs_and_what_did_not_is_said(machine: Machine, lacking: str) -> None:
    machine.has(".ci/docker-engine", "#!/bin/sh\n")
    machine.has(f".ci/{lacking}", "#!/bin/sh\necho the reason; exit 3\n")
    done = machine.run("run")
    assert done.returncode == 0
    assert machine.asked() == [
        "make venv [wasm||]",
        "make lint [wasm||]",
        f"{PERF} processes [wasm||]",
        f"{PERF} processes --profile ci [wasm||]",
        "make test [wasm||]",
    ]
    assert done.stdout.endswith(NOT_RUN)


def test_an_image_that_cannot_be_built_ends_it(machine: Machine) -> None:
    machine.has(".ci/docker-engine", "#!/bin/sh\n")
    machine.has(".ci/docker-base", "#!/bin/sh\necho debian:x\n")
    machine.has("perfgate", NOTES + "exit 12\n")
    assert machine.run("run").returncode == 12
    assert machine.asked()[1:] == ["perfgate images build --base debian:x --prisma-engine wasm [wasm||]"]


@pytest.mark.parametrize(
    ("program", "packages"), [("redis-server", "redis-server"), ("chromium", "chromium fonts-dejavu-core")]
)
def test_a_root_without_redis_or_a_browser_installs_it_and_goes_on_when_it_cannot(
    machine: Machine, program: str, packages: str
) -> None:
    (machine.bin / program).unlink()
    machine.has("id", "#!/bin/sh\necho 0\n")
    machine.has("apt-get", NOTES)
    machine.has(".ci/docker-engine", "#!/bin/sh\nexit 3\n")
    assert machine.run("run").returncode == 0
    asked = [line for line in machine.asked() if line.startswith("apt-get")]
    assert asked == [
        "apt-get -qq update [wasm||]",
        f"apt-get -qq install -y --no-install-recommends {packages} [wasm||]",
    ]
    machine.has("apt-get", NOTES + "exit 100\n")
    done = machine.run("run")
    assert done.returncode == 0
    assert f"{program} could not be installed: tests that need it say so\n" in done.stdout


def test_a_google_chrome_is_a_browser_too(machine: Machine) -> None:
    (machine.bin / "chromium").unlink()
    machine.has("google-chrome", NOTES)
    machine.has("id", "#!/bin/sh\necho 0\n")
    machine.has("apt-get", NOTES)
    machine.has(".ci/docker-engine", "#!/bin/sh\nexit 3\n")
    assert machine.run("run").returncode == 0
    assert not [line for line in machine.asked() if line.startswith("apt-get")]


@pytest.mark.parametrize(
    ("user", "variables", "reason"),
    [
        ("1000", {}, "that takes root"),
        ("0", {"DOCKER_HOST": "tcp://away:1"}, "DOCKER_HOST=tcp://away:1 is elsewhere"),
        ("0", {}, "there is no dockerd, and no apt-get to install one"),
    ],
)
def test_an_engine_that_cannot_be_started_is_a_reason_and_status_3(
    machine: Machine, user: str, variables: dict[str, str], reason: str
) -> None:
    machine.has("id", f"#!/bin/sh\necho {user}\n")
    done = machine.run("docker-engine", **variables)
    assert (done.returncode, done.stdout) == (
        3,
        f"docker-engine: no engine answers, and none can be started: {reason}\n",
    )


def test_an_engine_that_cannot_be_installed_is_a_reason_and_status_3(machine: Machine) -> None:
    machine.has("id", "#!/bin/sh\necho 0\n")
    machine.has("apt-get", "#!/bin/sh\nexit 100\n")
    done = machine.run("docker-engine")
    assert done.returncode == 3
    assert done.stdout.endswith("none can be started: docker.io could not be installed\n")


def test_an_engine_that_answers_is_left_as_it_is(machine: Machine) -> None:
    machine.has("docker", "#!/bin/sh\n")
    assert machine.run("docker-engine").returncode == 0


#: A docker that has no image, pulls none, and imports one; containers of which do as `APT_STATUS` says.
DOCKER: Final = """#!/bin/sh
case "$1" in
image) test "$2" = rm ;;
pull) exit 1 ;;
import) cat >/dev/null ;;
run) exit "$APT_STATUS" ;;
esac
"""


@pytest.mark.parametrize(
    ("programs", "status", "words"),
    [
        ({"mmdebstrap": "exit 0"}, "0", ""),
        ({}, "0", "x-slim cannot be pulled, and to make it takes mmdebstrap, or root on Debian to install that"),
        ({"mmdebstrap": "exit 1"}, "0", "x-slim cannot be pulled, and could not be made from Debian's packages"),
        ({"mmdebstrap": "exit 0"}, "100", "containers of this engine do not reach Debian's packages, so that no image"),
    ],
    ids=["made", "no program", "no packages", "no network in containers"],
)
def test_a_base_is_made_or_it_is_said_why_not(
    machine: Machine, programs: dict[str, str], status: str, words: str
) -> None:
    machine.has("docker", DOCKER)
    for name, program in programs.items():
        machine.has(name, f"#!/bin/sh\n{program}\n")
    (machine.folder / ".ci/docker-base").write_text(
        (ROOT / ".ci/docker-base").read_text().replace("${1:-debian:bookworm-slim}", "debian:x-slim")
    )
    done = machine.run("docker-base", APT_STATUS=status)
    assert (done.returncode, done.stdout) == ((3, "") if words else (0, "debian:x-slim\n"))
    assert words in done.stderr


def test_the_scripts_can_be_run() -> None:
    assert all(os.access(path, os.X_OK) for path in (ROOT / ".ci").iterdir())
