"""Where do a run's figures come from: which versions, on which host, by which command, and in what do two runs differ?

Comes in: `Record`s. Goes out: `Version`s, facts and sentences. No I/O. What a record does not say is left out; nothing
is looked up on the host that the report is made on.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from perfgate.experiment.arms import BASELINE, CANDIDATE
from perfgate.record import GatewayRecord, Record
from perfgate.settings import OPTIONS
from perfgate.stack.packages import Packages

#: How much of a hash is shown; the record has it whole.
DIGEST_CHARS: Final = 16
#: Of the host's facts, what two runs on one host share, and how people call it. Load and pressure pass.
HOST_FACTS: Final[Mapping[str, str]] = {
    "cpu_model": "CPU",
    "cores_allowed": "cores allowed",
    "cores_online": "cores online",
    "cores_physical": "physical cores",
    "cgroup_limit_cores": "CPU quota in cores",
    "memory_bytes": "memory",
    "architecture": "architecture",
    "kernel": "kernel",
    "os_name": "system",
    "is_virtual": "virtual",
    "clock_source": "clock source",
    "frequency_governor": "frequency governor",
}
#: Of options, by name.
DEFAULTS: Final[Mapping[str, str]] = {option.name: option.default for option in OPTIONS}


@dataclass(frozen=True, slots=True)
class Version:
    """Something that ran, and by what it can be told from anything else.

    Args:
        name: as people call it: `litellm 1.106.2`.
        digests: such as `packages sha256:0123…`, `image sha256:…`, `commit …`; empty where none is known.
    """

    name: str
    digests: tuple[str, ...]

    @property
    def words(self) -> str:
        """One line."""
        return f"{self.name} ({', '.join(self.digests)})" if self.digests else self.name


def versions(record: Record) -> list[Version]:
    """What ran, each once: gateways, their services, perfgate, the limits."""
    found = [_version(service.name, service.facts) for service in record.services]
    found = [version for version in found if version.digests or version.name not in _names(record)]
    found.append(Version(f"perfgate {record.perfgate_version}", ()))
    digest = _shortened("sha256", record.thresholds_sha256)
    found.append(Version(record.thresholds_path, (digest,) if digest else ()))
    return list(dict.fromkeys(found))


def host_facts(record: Record) -> dict[str, str]:
    """What is known of the host, in words by what it is called."""
    return {
        words: _of_host(name, record.host[name])
        for name, words in HOST_FACTS.items()
        if record.host.get(name) is not None
    }


def host_words(record: Record) -> str:
    """The host in one line."""
    facts = host_facts(record)
    cores, system = facts.get("cores allowed"), [facts.get(name) for name in ("CPU", "memory", "kernel")]
    said = [f"{cores} cores" if cores else None, *system, f"backend {record.stack.backend}"]
    return ", ".join(word for word in said if word)


def differences(first: Record, second: Record) -> list[str]:
    """In what two runs differ that keeps their figures from being compared, a sentence each; of the host first."""
    here, there = host_facts(first), host_facts(second)
    said = [
        f"{name}: {here.get(name, 'not known')} and {there.get(name, 'not known')}"
        for name in HOST_FACTS.values()
        if here.get(name) != there.get(name)
    ]
    others = (
        ("backend", first.stack.backend, second.stack.backend),
        ("Prisma engine", first.stack.prisma_engine, second.stack.prisma_engine),
        ("profile", first.profile, second.profile),
        ("limits", _shortened("sha256", first.thresholds_sha256), _shortened("sha256", second.thresholds_sha256)),
        ("perfgate", first.perfgate_version, second.perfgate_version),
    )
    return said + [
        f"{name}: {of_first} and {of_second}" for name, of_first, of_second in others if of_first != of_second
    ]


def are_of_one_host(first: Record, second: Record) -> bool:
    """Whether nothing that is known of their hosts differs; two hosts of one kind can't be told apart."""
    return host_facts(first) == host_facts(second)


def reproduce(record: Record) -> str:
    """The command that asks the same again: as typed, and with it what a variable or a default may have chosen."""
    given = {word.partition("=")[0] for word in record.command}
    chosen = {"--profile": record.profile, **_of_gateways(record), "--stack": record.stack.backend}
    for name, text in (("--images", record.stack.images), ("--prisma-engine", record.stack.prisma_engine)):
        if text != DEFAULTS[name]:
            chosen[name] = text
    chosen["--seed"] = str(record.seed)
    if given & {"--litellm", "--candidate"}:
        chosen.pop("--litellm", None)
        chosen.pop("--candidate", None)
    added = [word for name, text in chosen.items() if name not in given for word in (name, text)]
    return shlex.join([*record.command, *added])


def _of_gateways(record: Record) -> dict[str, str]:
    """The gateways that were measured, as options; none where the record has no arm with one."""
    gateways: dict[str, GatewayRecord] = {}
    for measurement in record.measurements:
        for arm in measurement.arms:
            if arm.gateway is not None:
                gateways.setdefault(arm.gateway.apart, arm.gateway)
    if record.baseline is not None and BASELINE in gateways and CANDIDATE in gateways:
        return {"--baseline": gateways[BASELINE].source, "--candidate": gateways[CANDIDATE].source}
    return {"--litellm": next(iter(gateways.values())).source} if gateways else {}


def _names(record: Record) -> set[str]:
    """Of services: one of which no more is known came with perfgate itself."""
    return {service.name for service in record.services}


def _version(name: str, facts: Mapping[str, Any]) -> Version:
    """Of a service, by its facts as bench.py told them; a record of another hand may lack any of them."""
    source, image, packages = (_table(facts.get(key)) for key in ("source", "image", "packages"))
    words = str(source.get("words") or name)
    version = facts.get("version") or facts.get("python_version")
    if not source and version:
        words = f"{name} {version}"
    elif source and version:
        words += f" on Python {version}"
    digests = []
    if image:
        words += f", image {image.get('name')}"
        digests.append(_shortened("image sha256", str(image.get("digest") or image.get("image_id") or "")))
    if source.get("commit"):
        changes = " with changes" if source.get("is_dirty") else ""
        digests.append(f"commit {str(source['commit'])[:DIGEST_CHARS]}{changes}")
    if source.get("content"):
        digests.append(_shortened("content sha256", str(source["content"])))
    if isinstance(listed := packages.get("listed"), list):
        digests.append(_shortened("packages sha256", Packages(tuple(map(str, listed))).sha256))
    return Version(words, tuple(digest for digest in digests if digest))


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _shortened(kind: str, digest: str) -> str:
    return f"{kind}:{digest.removeprefix('sha256:')[:DIGEST_CHARS]}" if digest else ""


def _of_host(name: str, value: object) -> str:
    if name == "memory_bytes" and isinstance(value, int | float):
        return f"{value / 1024**3:.0f} GiB"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def said_of_apparatus(record: Record) -> dict[str, str]:
    """How generator, mock and host fared, in words by scenario; what was not fit comes first."""
    words: dict[str, str] = {}
    for judgement in record.judgements:
        words[judgement.scenario] = judgement.apparatus
    return dict(sorted(words.items(), key=lambda item: item[1].startswith("healthy")))
