"""May a version be signed off by these runs, and what is in the bundle that says so?

Comes in: records with their bytes, one or several that together are the whole profile `release`, and the rates of a
selftest. Goes out: what refuses them or blocks it, by name; then the files of a bundle. All files but the records and
the rates are made of these two, so that whoever has a bundle can make them again and compare. No I/O.

    KeptRecord --refusals--> sentences (they are not of one sign-off)
               --blocks----> Block (something is missing, not PASS, or not what the windows say)
               --files_of--> SignOff (sign_off_manifest.py), sign-off.md, report.html, thresholds.yaml, the records, the
                             rates
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Final

from perfgate.errors import BadInput
from perfgate.exit_codes import ExitCode
from perfgate.record import Record, content_of, record_of
from perfgate.rejudge import differences, in_words, thresholds_of
from perfgate.report.bundle import sha256_of
from perfgate.report.series import NotDrawable
from perfgate.report.sign_off_document import document
from perfgate.report.sign_off_manifest import FileFacts, SignedRun, SignedService, SignedVerdict, SignOff
from perfgate.report.terminal import MEANINGS
from perfgate.selftest.published import published
from perfgate.stack.inspection import ServiceFacts, differences_in_words
from perfgate.versions import versions_here

#: The profile whose whole set has to be kept before a version is released.
PROFILE: Final = "release"

MANIFEST: Final = "sign-off.json"
DOCUMENT: Final = "sign-off.md"
REPORT: Final = "report.html"
THRESHOLDS: Final = "thresholds.yaml"
RATES: Final = "selftest-rates.json"
#: The folder of the records.
RECORDS: Final = "records/"

#: Fields that all records of one sign-off have in common, and what they are called; those of their stack below.
_ALIKE: Final = {
    "perfgate_version": "perfgate",
    "gateway": "the gateway",
    "thresholds_sha256": "the SHA-256 of the thresholds",
}
_STACK_ALIKE: Final = {"backend": "the backend", "images": "--images", "prisma_engine": "--prisma-engine"}


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A record and the bytes of its file.

    Args:
        name: of the file, for messages.
        content: its bytes.
        record: what they hold.
    """

    name: str
    content: bytes
    record: Record

    @classmethod
    def of(cls, content: bytes, name: str) -> "KeptRecord":
        """The record that some bytes hold; raises BadInput as `record_of` does."""
        return cls(name, content, record_of(content, name))

    @classmethod
    def read(cls, path: Path) -> "KeptRecord":
        """The record of a file; raises BadInput where it cannot be read."""
        return cls.of(content_of(path), str(path))


@dataclass(frozen=True, slots=True)
class Block:
    """Why a version may not be signed off.

    Args:
        sentence: what, by name.
        record: the name of the record it is of; empty for what no record has.
        code: what a run that ends so ends with.
    """

    sentence: str
    record: str
    code: ExitCode

    def __str__(self) -> str:
        """The sentence, and where."""
        return f"{self.sentence} ({self.record})" if self.record else self.sentence


def made_with_here() -> dict[str, str]:
    """The versions of what makes bundles here: what computes verdicts, draws tables and figures, and packs records."""
    drawing = {package: version(package) for package in ("rich", "matplotlib", "jinja2", "markupsafe")}
    return {**versions_here(), **drawing, "zlib": zlib.ZLIB_RUNTIME_VERSION}


def refusals(kept: Sequence[KeptRecord]) -> list[str]:
    """Why some records cannot be of one sign-off, by name; empty when they can.

    All are of the profile `release`, of one gateway, baseline, perfgate and thresholds, on one backend, with the same
    packages in services of the same name; no scenario is in two of them. Hosts may differ: every limit is judged on its
    own.
    """
    said = [
        f"{one.name} is of the profile {one.record.profile}: a sign-off is made of runs with --profile {PROFILE}"
        for one in kept
        if one.record.profile != PROFILE
    ]
    first = kept[0]
    for other in kept[1:]:
        pairs = [(what, getattr(first.record, key), getattr(other.record, key)) for key, what in _ALIKE.items()]
        pairs += [
            (what, getattr(first.record.stack, key), getattr(other.record.stack, key))
            for key, what in _STACK_ALIKE.items()
        ]
        said += [f"{what} is {was} in {first.name}, {now} in {other.name}" for what, was, now in pairs if was != now]
    baselines: dict[str, str] = {}
    for one in kept:
        if one.record.baseline is not None:
            baselines.setdefault(one.record.baseline, one.name)
    if len(baselines) > 1:
        said.append("the baseline is " + ", ".join(f"{words} in {name}" for words, name in baselines.items()))
    return said + _other_services(kept) + _scenarios_twice(kept)


def blocks(kept: Sequence[KeptRecord]) -> list[Block]:
    """What keeps records that are of one sign-off from being it, by name; empty when nothing does.

    Every scenario that the profile names has to have a verdict on every limit that the thresholds have on it, all of
    them PASS, in runs that ended well and had the host for themselves. Whether the verdicts are those of the windows is
    what `untrue` says.

    Raises:
        BadInput: the thresholds that a record holds are not its own, or cannot be read.
    """
    found: list[Block] = []
    first = kept[0]
    try:
        thresholds = thresholds_of(first.record)
    except BadInput as error:
        raise BadInput(f"{first.name}: {error}") from error
    profile = thresholds.profiles.get(PROFILE)
    if profile is None:
        raise BadInput(f"{first.record.thresholds_path} has no profile {PROFILE}: there is nothing to sign off by")
    for scenario in profile.scenarios:
        of_it = [one for one in kept if scenario in one.record.scenarios]
        judged = {
            judgement.metric for one in of_it for judgement in one.record.judgements if judgement.scenario == scenario
        }
        missing = [metric for metric in thresholds.scenarios[scenario].limits if metric not in judged]
        if not judged:
            found.append(Block(f"{scenario} did not run", of_it[0].name if of_it else "", ExitCode.INCOMPLETE))
        elif missing:
            sentence = f"{scenario} has no verdict on {', '.join(missing)}"
            found.append(Block(sentence, of_it[0].name, ExitCode.INCOMPLETE))
    for one in kept:
        found += _not_passed(one) + _not_ended_well(one)
        disturbed = len(one.record.unleased_windows)
        if disturbed:
            sentence = f"{disturbed} windows were measured while this run did not have the host for itself"
            found.append(Block(sentence, one.name, ExitCode.INTERNAL))
    return found


def untrue(kept: Sequence[KeptRecord]) -> list[Block]:
    """Verdicts that are not what the windows of their record say, judged again.

    Raises:
        BadInput: windows that cannot be read; names the record.
    """
    found: list[Block] = []
    for one in kept:
        try:
            sentences = in_words(one.record, differences(one.record))
        except BadInput as error:
            raise BadInput(f"{one.name}: {error}") from error
        found += [Block(sentence, one.name, ExitCode.ALTERED) for sentence in sentences]
    return found


def named(kept: Sequence[KeptRecord]) -> Mapping[str, KeptRecord]:
    """The records by the names that they get in a bundle: in the order of time, numbered, since names may be alike."""
    in_order = sorted(kept, key=lambda one: (one.record.started_utc, one.name))
    return {f"{RECORDS}{number:02}-{PurePosixPath(one.name).name}": one for number, one in enumerate(in_order, 1)}


def fitting_rates(content: bytes, name: str, kept: Sequence[KeptRecord]) -> bytes | None:
    """The rates again when they are of a host that one of the runs was on, else None.

    Raises:
        BadInput: there are none in it.
    """
    rates = published(content, name)
    return content if any(rates.is_of(one.record.host) for one in kept) else None


def files_of(records: Mapping[str, KeptRecord], rates: bytes | None) -> Mapping[str, bytes]:
    """All files of a bundle but the sums.

    Args:
        records: by name, as of `named`; refused and blocked by nothing.
        rates: of a selftest, see `fitting_rates`; None for none.

    Raises:
        BadInput: a record holds a histogram that cannot be drawn.
    """
    in_order = [records[name] for name in sorted(records)]
    read = published(rates, RATES) if rates is not None else None
    files: dict[str, bytes] = {name: one.content for name, one in records.items()}
    files[THRESHOLDS] = in_order[0].record.thresholds_text.encode()
    if rates is not None:
        files[RATES] = rates
    services = _services([one.record for one in in_order])
    files[REPORT] = _report(records)
    files[DOCUMENT] = document([one.record for one in in_order], services, read).encode()
    files[MANIFEST] = (_sign_off(records, services, files).model_dump_json(indent=1) + "\n").encode()
    return files


def _report(records: Mapping[str, KeptRecord]) -> bytes:
    # Here, since matplotlib takes as long to import as all of perfgate: no run of pytest shall wait for it that signs
    # nothing off.
    from perfgate.report.html import ReportedRun, page

    in_order = [(PurePosixPath(name).name, records[name]) for name in sorted(records)]
    try:
        return page([ReportedRun(name, one.content, one.record) for name, one in in_order]).encode()
    except NotDrawable as error:
        raise BadInput(f"no report can be made of {', '.join(sorted(records))}: {error}") from error


def _sign_off(
    records: Mapping[str, KeptRecord], services: Sequence[SignedService], files: Mapping[str, bytes]
) -> SignOff:
    in_order = {name: records[name].record for name in sorted(records)}
    first = next(iter(in_order.values()))
    return SignOff(
        profile=first.profile,
        gateway=first.gateway,
        baseline=next((one.baseline for one in in_order.values() if one.baseline is not None), None),
        made_with=made_with_here(),
        thresholds_path=first.thresholds_path,
        thresholds_sha256=first.thresholds_sha256,
        runs=[_run(name, record) for name, record in in_order.items()],
        verdicts=[
            SignedVerdict(scenario=judgement.scenario, metric=judgement.metric, verdict=judgement.verdict)
            for record in in_order.values()
            for judgement in record.judgements
        ],
        services=list(services),
        selftest=RATES if RATES in files else None,
        files={
            name: FileFacts(bytes=len(content), sha256=sha256_of(content)) for name, content in sorted(files.items())
        },
    )


def _run(name: str, record: Record) -> SignedRun:
    return SignedRun(
        record=name,
        scenarios=record.scenarios,
        started_utc=record.started_utc,
        finished_utc=record.finished_utc,
        seed=record.seed,
        command=record.command,
        host=record.host,
        host_class=record.host_class,
        host_speed_ms=record.host_speed.median_ms if record.host_speed is not None else None,
        backend=record.stack.backend,
        computed_with=record.computed_with,
    )


def _services(records: Sequence[Record]) -> list[SignedService]:
    """What ran, once for each name: processes of one name were made of the same."""
    services: dict[str, SignedService] = {}
    for service in (service for record in records for service in record.services):
        facts = dict(service.facts)
        listed = facts.pop("packages", {}).get("listed")
        services.setdefault(
            _without_process(service.name),
            SignedService(
                name=_without_process(service.name),
                facts=facts,
                packages=len(listed) if listed is not None else None,
                packages_sha256=sha256_of("\n".join(listed).encode()) if listed is not None else None,
            ),
        )
    return list(services.values())


def _without_process(name: str) -> str:
    """`litellm 1.106.2` of `litellm 1.106.2 (litellm-3)`."""
    return name.rpartition(" (")[0] or name


def _not_passed(one: KeptRecord) -> list[Block]:
    codes = {"FAIL": ExitCode.FAIL, "INVALID": ExitCode.INVALID}
    return [
        Block(
            f"{judgement.scenario}.{judgement.metric} is {judgement.verdict}: {judgement.reason}",
            one.name,
            codes[judgement.verdict],
        )
        for judgement in one.record.judgements
        if judgement.verdict != "PASS"
    ]


def _not_ended_well(one: KeptRecord) -> list[Block]:
    """What its exit code says beyond its verdicts: an ordinary test that failed, a stack that did."""
    record = one.record
    if record.exit_code is None:
        return [Block("the run was not finished: it was killed, or still goes on", one.name, ExitCode.INCOMPLETE)]
    verdicts = {judgement.verdict for judgement in record.judgements}
    explained = {
        ExitCode.OK: True,
        ExitCode.FAIL: "FAIL" in verdicts,
        ExitCode.INVALID: "INVALID" in verdicts,
        ExitCode.INCOMPLETE: bool(record.without_verdict()),
    }
    known = record.exit_code in set(ExitCode)
    code = ExitCode(record.exit_code) if known else ExitCode.INTERNAL
    if known and explained.get(code, False):
        return []
    meaning = MEANINGS[code] if known else "of no meaning"
    return [Block(f"the run ended with exit code {record.exit_code}: {meaning}", one.name, code)]


def _scenarios_twice(kept: Sequence[KeptRecord]) -> list[str]:
    names: dict[str, list[str]] = {}
    for one in kept:
        for scenario in one.record.scenarios:
            names.setdefault(scenario, []).append(one.name)
    return [
        f"{scenario} is in {' and in '.join(where)}: each scenario counts once, so leave all but one out"
        for scenario, where in names.items()
        if len(where) > 1
    ]


def _other_services(kept: Sequence[KeptRecord]) -> list[str]:
    """In what services of one name differ between records."""
    seen: dict[str, tuple[str, ServiceFacts]] = {}
    said: list[str] = []
    for one in kept:
        for service in one.record.services:
            if "packages" not in service.facts:
                continue
            name, facts = _without_process(service.name), ServiceFacts.of_record(service.facts)
            where, before = seen.setdefault(name, (one.name, facts))
            if where != one.name and before != facts:
                said += [f"{name}: {words}" for words in differences_in_words(before, facts, (where, one.name))]
    return list(dict.fromkeys(said))
