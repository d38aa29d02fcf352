"""Is the host described as its files say, on hosts of other kinds too, and without private data?"""

import getpass
import os
import platform
import re
import socket
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from perfgate.measure.host import TELLTALE_VARIABLES, environment_warnings, fingerprint

X86_VIRTUAL = "processor\t: 0\nmodel name\t: AMD EPYC 7763 64-Core Processor\nflags\t\t: fpu vme hypervisor lahf_lm\n"
X86_METAL = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R)\nflags\t\t: fpu vme\n"
ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd49\n"


def host(root: Path, **files: str) -> Path:
    """A root folder with these files; `__` stands for a slash and `_dot_` for a dot."""
    for name, text in files.items():
        file = root / name.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_this_host_is_described_from_the_kernel() -> None:
    found = fingerprint()
    assert found.cores_allowed == len(os.sched_getaffinity(0))
    assert found.cores_online == os.cpu_count()
    assert found.memory_bytes == psutil.virtual_memory().total
    assert (found.kernel, found.architecture) == (platform.release(), platform.machine())
    assert found.load_1m >= 0


def test_cores_allowed_follow_the_affinity() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert fingerprint().cores_allowed == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_nothing_in_it_names_the_machine_or_its_user() -> None:
    words = {word for value in asdict(fingerprint()).values() for word in re.split(r"[\s/,;:]+", str(value))}
    assert getpass.getuser() not in words
    assert words.isdisjoint({socket.gethostname(), socket.getfqdn()} - {platform.release()})


def test_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    found = fingerprint(tmp_path)
    assert (found.cpu_model, found.os_name, found.is_virtual) == (None, None, None)
    assert (found.clock_source, found.frequency_governor) == (None, None)
    assert (found.cgroup_limit_cores, found.cpu_pressure_avg10_percent) == (None, None)


@pytest.mark.parametrize(
    ("cpuinfo", "model", "is_virtual"),
    [
        pytest.param(X86_VIRTUAL, "AMD EPYC 7763 64-Core Processor", True, id="x86 in a virtual machine"),
        pytest.param(X86_METAL, "Intel(R) Xeon(R)", False, id="x86 without hypervisor"),
        pytest.param(ARM, "ARM implementer 0x41 part 0xd49", None, id="ARM has no model name"),
    ],
)
def test_the_cpu_is_read_from_cpuinfo(tmp_path: Path, cpuinfo: str, model: str, is_virtual: bool | None) -> None:
    found = fingerprint(host(tmp_path, proc__cpuinfo=cpuinfo))
    assert (found.cpu_model, found.is_virtual) == (model, is_virtual)


def test_files_of_the_kernel_are_read_each_into_its_field(tmp_path: Path) -> None:
    root = host(
        tmp_path,
        sys__devices__system__clocksource__clocksource0__current_clocksource="hpet\n",
        sys__devices__system__cpu__cpu0__cpufreq__scaling_governor="powersave\n",
        proc__pressure__cpu="some avg10=3.61 avg60=0.90 avg300=0.81 total=2355\nfull avg10=0.00 avg60=0.00\n",
    )
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text('NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    found = fingerprint(root)
    assert (found.clock_source, found.frequency_governor) == ("hpet", "powersave")
    assert found.cpu_pressure_avg10_percent == 3.61
    assert found.os_name == "Debian GNU/Linux 12 (bookworm)"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        pytest.param(
            {"proc__self__cgroup": "0::/a/b\n", "sys__fs__cgroup__a__b__cpu_dot_max": "150000 100000\n"},
            1.5,
            id="v2, own cgroup",
        ),
        pytest.param(
            {
                "proc__self__cgroup": "0::/a/b\n",
                "sys__fs__cgroup__a__cpu_dot_max": "200000 100000\n",
                "sys__fs__cgroup__a__b__cpu_dot_max": "max 100000\n",
            },
            2.0,
            id="v2, the one above",
        ),
        pytest.param(
            {"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__cpu_dot_max": "50000 100000\n"},
            0.5,
            id="v2, a container sees itself as the root",
        ),
        pytest.param(
            {
                "proc__self__cgroup": "4:cpu,cpuacct:/docker/abc\n0::/\n",
                "sys__fs__cgroup__cpu,cpuacct__cpu_dot_cfs_quota_us": "300000\n",
                "sys__fs__cgroup__cpu,cpuacct__cpu_dot_cfs_period_us": "100000\n",
            },
            3.0,
            id="v1, a container is told the host's path",
        ),
        pytest.param(
            {
                "proc__self__cgroup": "4:cpu:/\n",
                "sys__fs__cgroup__cpu__cpu_dot_cfs_quota_us": "-1\n",
                "sys__fs__cgroup__cpu__cpu_dot_cfs_period_us": "100000\n",
            },
            None,
            id="v1, no limit",
        ),
    ],
)
def test_the_tightest_cpu_quota_of_the_cgroups_is_found(
    tmp_path: Path, files: dict[str, str], cores: float | None
) -> None:
    assert fingerprint(host(tmp_path, **files)).cgroup_limit_cores == cores


def test_every_telltale_variable_is_warned_about_by_name_and_never_by_value() -> None:
    warnings = environment_warnings(dict.fromkeys(TELLTALE_VARIABLES, "s3cret"))
    assert [warning.split(" ")[0] for warning in warnings] == list(TELLTALE_VARIABLES)
    assert "s3cret" not in " ".join(warnings)
    (warning,) = environment_warnings({"PYTHONDONTWRITEBYTECODE": "1"})
    assert warning == (
        "PYTHONDONTWRITEBYTECODE is set: modules are compiled again and again while serving (1.7 times the CPU). "
        "perfgate's own services do not inherit it; a gateway that you start yourself does"
    )


def test_variables_that_are_empty_or_harmless_are_not_warned_about() -> None:
    assert environment_warnings({"PYTHONDONTWRITEBYTECODE": "", "HOME": "/home/x"}) == ()


def test_a_proxy_in_lower_case_counts_too() -> None:
    assert len(environment_warnings({"https_proxy": "http://p"})) == 1
