"""Which containers and networks are a run's, and which were left by one that is over?

Comes in: a client of the engine. Goes out: the labels that everything of a run bears, and, once it is over, nothing.
Whoever kills a run kills what would have tidied up after it; so the next one does.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from pathlib import Path
from secrets import token_hex
from typing import Final

import psutil
from docker.errors import APIError, NotFound
from testcontainers.core.docker_client import DockerClient

from perfgate.stack.engine import engine_errors

RUN_LABEL: Final = "perfgate.run"
#: Of the process that a run lives and dies with.
PID_LABEL: Final = "perfgate.pid"
#: When that process began, in ticks since boot; PIDs are used again.
STARTED_LABEL: Final = "perfgate.started"
#: Which boot of which host, and which namespace, that PID belongs to.
HOST_LABEL: Final = "perfgate.host"
#: For what somebody else is removing, too: a container takes a second, several at once on a busy host ten.
REMOVAL_S: Final = 60.0
#: Between two looks whether it is gone.
POLL_S: Final = 0.1
#: What an engine answers then: a container's removal is under way; a network still has one of its containers.
_BUSY: Final = (HTTPStatus.CONFLICT, HTTPStatus.FORBIDDEN)


def own_labels() -> dict[str, str]:
    """Labels for a run of this process."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    namespace = Path("/proc/self/ns/pid").readlink()
    pid = psutil.Process().pid
    return {
        RUN_LABEL: token_hex(6),
        PID_LABEL: str(pid),
        STARTED_LABEL: str(_start_ticks(pid)),
        HOST_LABEL: f"{boot}/{namespace}",
    }


def sweep(client: DockerClient) -> str:
    """Remove the containers and networks of runs whose process is gone.

    Whether a process is gone can be told of this host's alone, as this process sees them. What another boot of this
    host has left does not run any more, and nothing else is touched.

    Args:
        client: of the engine.

    Returns:
        What was removed, in words; empty for nothing.
    """
    here = own_labels()
    with engine_errors(client, "asking for what other runs have left"):
        containers = client.client.api.containers(all=True, filters={"label": RUN_LABEL})
        networks = client.client.api.networks(filters={"label": RUN_LABEL})
    left = [each for each in containers if _is_left(each["Labels"], here, is_in_use=each["State"] == "running")]
    in_use = {each["Labels"][RUN_LABEL] for each in containers if each not in left}
    empty = [each for each in networks if _is_left(each["Labels"], here, is_in_use=each["Labels"][RUN_LABEL] in in_use)]
    remove_containers(client, [each["Id"] for each in left])
    _remove_networks(client, [each["Id"] for each in empty])
    counts = ((len(left), "container"), (len(empty), "network"))
    return " and ".join(f"{count} {what}{'s' * (count > 1)}" for count, what in counts if count)


def remove_run(client: DockerClient, run: str) -> None:
    """Remove all that bears a run's label, half-made containers too."""
    filters = {"label": f"{RUN_LABEL}={run}"}
    with engine_errors(client, "asking for what this run has made"):
        containers = client.client.api.containers(all=True, filters=filters)
        networks = client.client.api.networks(filters=filters)
    remove_containers(client, [each["Id"] for each in containers])
    _remove_networks(client, [each["Id"] for each in networks])


def remove_containers(client: DockerClient, container_ids: Sequence[str]) -> None:
    """Remove containers with their anonymous volumes, side by side; all are gone afterwards, whoever removed them."""

    def remove(container_id: str) -> None:
        with engine_errors(client, f"removing the container {container_id[:12]}"):
            _until_gone(lambda: client.client.api.remove_container(container_id, v=True, force=True))

    with ThreadPoolExecutor(max_workers=max(1, len(container_ids))) as pool:
        list(pool.map(remove, container_ids))


def _is_left(labels: Mapping[str, str], here: Mapping[str, str], *, is_in_use: bool) -> bool:
    """Whether what bears these labels belongs to a run that is over."""
    if labels.get(HOST_LABEL) == here[HOST_LABEL]:
        pid = labels.get(PID_LABEL, "")
        return pid.isdigit() and labels.get(STARTED_LABEL) != _start_ticks(int(pid))
    is_same_boot = labels.get(HOST_LABEL, "").partition("/")[0] == here[HOST_LABEL].partition("/")[0]
    return not is_same_boot and not is_in_use


def _start_ticks(pid: int) -> str | None:
    """When a process began; None when there is none, or only what its parent has not waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def _remove_networks(client: DockerClient, network_ids: Sequence[str]) -> None:
    for network_id in network_ids:
        with engine_errors(client, f"removing the network {network_id[:12]}"):
            _until_gone(partial(client.client.api.remove_network, network_id))


def _until_gone(remove: Callable[[], None]) -> None:
    """Remove what another run may be sweeping at the same time."""
    deadline_s = time.monotonic() + REMOVAL_S
    while True:
        try:
            return remove()
        except NotFound:
            return None
        except APIError as error:
            if error.status_code not in _BUSY or time.monotonic() > deadline_s:
                raise
        time.sleep(POLL_S)
