"""What does a release manager read before signing a version off?

Comes in: the records of a sign-off, what ran in them, the rates of a selftest. Goes out: one page of Markdown. No I/O.
Texts of records stand in blocks of code or between backticks, so that nothing in them is taken for markup.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from perfgate.record import Record
from perfgate.report.sign_off_manifest import SignedService
from perfgate.report.terminal import claims, cross_checks, shown, table
from perfgate.selftest.published import PublishedRates, PublishedShare

#: Of the table of verdicts, in characters.
WIDTH: Final = 160


def document(records: Sequence[Record], services: Sequence[SignedService], rates: PublishedRates | None) -> str:
    """The page.

    Args:
        records: all of them, in the order of time.
        services: what ran, see `SignedService`.
        rates: of one of the hosts; None where there are none.
    """
    parts = [_head(records), _verdicts(records), _hosts(records), _services(services), _rates(records, rates)]
    return "\n".join([*parts, _notes(records), _check()])


def _head(records: Sequence[Record]) -> str:
    first = records[0]
    judgements = [judgement for record in records for judgement in record.judgements]
    scenarios = list(dict.fromkeys(judgement.scenario for judgement in judgements))
    passed = sum(judgement.verdict == "PASS" for judgement in judgements)
    baseline = next((record.baseline for record in records if record.baseline is not None), None)
    ended = max(record.finished_utc or record.started_utc for record in records)
    kept = (
        f"{passed} of {len(judgements)} limits PASS, in {_counted(len(scenarios), 'scenario')} of the profile "
        f"{first.profile}: {', '.join(scenarios)}."
    )
    lines = [
        f"# Sign-off of {_code(first.gateway)}",
        "",
        kept,
        "",
        *_table(
            ["", ""],
            [
                ["version", _code(first.gateway)],
                ["compared with", _code(baseline) if baseline is not None else "nothing"],
                ["limits", f"{_code(first.thresholds_path)}, SHA-256 {_code(first.thresholds_sha256)}"],
                ["measured", f"{first.started_utc} to {ended}, in {_counted(len(records), 'run')}"],
                ["verdicts by", ", ".join(f"{name} {of}" for name, of in first.computed_with.items())],
            ],
        ),
        "",
        "Signed off by: ______________________  on: ______________",
        "",
    ]
    return "\n".join(lines)


def _verdicts(records: Sequence[Record]) -> str:
    judgements = [judgement for record in records for judgement in record.judgements]
    measurements = [measurement for record in records for measurement in record.measurements]
    lines = [table(judgements, WIDTH, colour=False)]
    lines += [f"claim        {line}" for line in claims(judgements)]
    lines += [f"shown        {line}" for line in shown(measurements)]
    lines += [f"cross-check  {line}" for line in cross_checks(measurements)]
    return "\n".join(["## Verdicts", "", *_block(lines), ""])


def _hosts(records: Sequence[Record]) -> str:
    rows = []
    for record in records:
        host, speed = record.host, record.host_speed
        memory_gib = host.get("memory_bytes", 0) / 2**30
        rows.append(
            [
                ", ".join(record.scenarios),
                _code(f"{host.get('cores_allowed', '?')} cores {host.get('cpu_model', '?')}, {memory_gib:.0f} GiB"),
                record.host_class or "none",
                f"{speed.median_ms:.3g} ms" if speed is not None else "not measured",
                record.stack.backend,
                str(record.seed),
            ]
        )
    head = ["scenarios", "host", "class in the thresholds", "a fixed piece of work takes", "backend", "seed"]
    return "\n".join(["## Where it was measured", "", *_table(head, rows), ""])


def _services(services: Sequence[SignedService]) -> str:
    rows = []
    for service in services:
        facts = service.facts
        source, image = facts.get("source") or {}, facts.get("image") or {}
        versions = [
            f"{what} {facts[key]}" for key, what in (("python_version", "Python"), ("version", "")) if facts.get(key)
        ]
        versions += [str(facts[key]) for key in ("event_loop", "http_parser", "prisma_mode") if facts.get(key)]
        digests = [f"commit {source['commit']}"] if source.get("commit") else []
        if service.packages_sha256 is not None:
            digests.append(f"{_counted(service.packages or 0, 'package')}, SHA-256 {service.packages_sha256}")
        if image:
            digests.append(f"image {image.get('name')}, {image.get('digest') or image.get('image_id')}")
        rows.append([_code(service.name), _code(", ".join(versions).strip()), _code("; ".join(digests))])
    return "\n".join(["## What ran", "", *_table(["service", "versions", "digests"], rows), ""])


def _rates(records: Sequence[Record], rates: PublishedRates | None) -> str:
    head = ["## How often such a gate is wrong", ""]
    profile = records[0].profile
    found = rates.of_profile(profile) if rates is not None else ()
    if rates is None or not found:
        return "\n".join([*head, "Nobody has published that for a host like these (`perfgate selftest`).", ""])
    rows = [
        [rate.dose, *(_share(share) for share in (rate.fail, rate.passed, rate.invalid)), f"{rate.gates:,}"]
        for rate in found
    ]
    whose = (
        f"Comparisons of the profile {profile} on a host like this one, with litellm {rates.release}; under `none` a "
        "FAIL is a false alarm."
    )
    return "\n".join([*head, whose, "", *_table(["dose", "FAIL", "PASS", "INVALID", "gates"], rows), ""])


def _notes(records: Sequence[Record]) -> str:
    notes = list(dict.fromkeys(note for record in records for note in record.notes))
    return "\n".join(["## Notes of the runs", "", *_block(notes), ""])


def _check() -> str:
    return "\n".join(
        [
            "## To check this bundle",
            "",
            "`perfgate verify BUNDLE` holds every file against `SHA256SUMS`, judges the raw windows of the records",
            "again, and makes this page anew; `sha256sum --check SHA256SUMS` does the first.",
            "",
        ]
    )


def _share(share: PublishedShare) -> str:
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body)]


def _code(text: str) -> str:
    """A text between backticks, in one line."""
    plain = " ".join(text.replace("`", "'").split())
    return f"`{plain}`" if plain else ""


def _block(lines: Sequence[str]) -> list[str]:
    """Lines as they are; a line of theirs cannot end the block."""
    return ["~~~~", *(line.replace("~~~~", "~~~ ~") for text in lines for line in text.splitlines() or [""]), "~~~~"]
