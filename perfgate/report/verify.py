"""Does a sign-off bundle hold what it says, and if not, which file was altered, and how?

Comes in: the files of a bundle. Goes out: `Verified`: a `Finding` for every file that is not as it was signed off. Sums
come first; but whoever alters a file may alter its sum, so that the raw windows of the records are judged again, and
whatever was made of the records is made anew and compared. What is left to believe are the windows. No I/O.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from perfgate.errors import BadInput
from perfgate.rejudge import differences, in_words
from perfgate.report.bundle import SUMS, Sums, sha256_of, sums_of
from perfgate.report.sign_off import (
    DOCUMENT,
    MANIFEST,
    RATES,
    RECORDS,
    REPORT,
    THRESHOLDS,
    KeptRecord,
    blocks,
    files_of,
    made_with_here,
    refusals,
)
from perfgate.report.sign_off_manifest import SignOff, sign_off_of
from perfgate.selftest.published import published

#: Of a line that was altered, so much is shown; of that, so much before what is other where that comes late.
SHOWN_CHARACTERS: Final = 100
SHOWN_BEFORE: Final = 20


class NotABundle(BadInput):
    """Some files that were never a sign-off bundle."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A file that is not as it was signed off, and how it differs."""

    file: str
    how: str

    def __str__(self) -> str:
        """`records/01-….json: …`."""
        return f"{self.file}: {self.how}"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found.

    Args:
        findings: empty when the bundle holds what it says.
        notes: what could not be held against all that it could have been.
        words: what is signed off, in one line; empty with findings.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    words: str


def verify(files: Mapping[str, bytes]) -> Verified:
    """Hold a bundle against its sums, its windows, and itself.

    Args:
        files: by name, as `bundle.read_bundle` gives them.

    Raises:
        NotABundle: they are none.
        BadInput: another perfgate made it, whose records this one does not read.
    """
    if SUMS not in files and MANIFEST not in files:
        raise NotABundle(f"no sign-off bundle: it has neither {SUMS} nor {MANIFEST}; `perfgate signoff` makes bundles")
    return _Verification(files).verified()


class _Verification:
    """What is being collected; each step may only rest on files that earlier ones found to be whole."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self.sums = sums_of(files[SUMS]) if SUMS in files else Sums({}, ())
        self.manifest = self._manifest()

    def verified(self) -> Verified:
        self._check_names()
        inputs = sorted(name for name in self.sums.by_name if _is_input(name))
        inputs += [name for name in sorted(self.files) if _is_input(name) and name not in inputs]
        for name in inputs:
            self._check_sum(name)
        records = self._records(inputs)
        if RATES in self.files:
            self._check_rates()
        are_whole = records and not any(_is_input(finding.file) for finding in self.findings)
        made = self._made_again(records) if are_whole else {}
        for name in (THRESHOLDS, DOCUMENT, REPORT, MANIFEST):
            self._check_made(name, made.get(name))
        if are_whole:
            self._check_sign_off(list(records.values()))
        words = "" if self.findings else self._words(records)
        return Verified(tuple(dict.fromkeys(self.findings)), tuple(self.notes), words)

    def found(self, file: str, how: str) -> None:
        self.findings.append(Finding(file, how))

    def _manifest(self) -> SignOff | None:
        try:
            return sign_off_of(self.files.get(MANIFEST, b""), MANIFEST)
        except BadInput:
            return None  # its own sum says so, or that it was made anew

    def _check_names(self) -> None:
        """Every file has a sum, every sum a file; where not, the manifest says which of the two was altered."""
        if SUMS not in self.files:
            self.found(SUMS, "it is missing")
            return
        known: set[str] = {*self.manifest.files, MANIFEST} if self.manifest is not None else set()
        for number in self.sums.unread:
            self.found(SUMS, f"line {number} was altered: it is not the sum of a file")
        for name in sorted(self.sums.by_name.keys() - self.files.keys()):
            if known and name not in known:
                self.found(SUMS, f"its line of {name!r} was altered: {MANIFEST} knows no such file")
            else:
                self.found(name, "it is missing")
        for name in sorted(self.files.keys() - self.sums.by_name.keys() - {SUMS}):
            if name in known:
                self.found(SUMS, f"its line of {name} is missing")
            else:
                self.found(name, f"it was added: it is in no line of {SUMS}")

    def _has_its_sum(self, name: str) -> bool:
        """Whether a file is as its line says; True of what has no file or no line, which `_check_names` says."""
        if name not in self.files or name not in self.sums.by_name:
            return True
        return sha256_of(self.files[name]) == self.sums.by_name[name]

    def _check_sum(self, name: str) -> None:
        """A file of which the manifest holds another copy of the sum."""
        if self._has_its_sum(name):
            return
        known = self.manifest.files.get(name) if self.manifest is not None else None
        content = self.files[name]
        if known is not None and known.sha256 == sha256_of(content):
            self.found(SUMS, f"its line of {name} was altered: {MANIFEST} has the sum of that file")
        elif known is None:
            self.found(name, f"it was altered: its SHA-256 is not that of {SUMS}")
        elif len(content) == known.bytes:
            self.found(name, f"it was altered: it has {known.bytes:,} bytes, as when it was signed off, but other ones")
        else:
            self.found(name, f"it was altered: it has {len(content):,} bytes, {known.bytes:,} when it was signed off")

    def _records(self, inputs: Sequence[str]) -> Mapping[str, KeptRecord]:
        """The records that can be read, each judged again."""
        records = {}
        for name in inputs:
            if not name.startswith(RECORDS) or name not in self.files:
                continue
            try:
                kept = KeptRecord.of(self.files[name], name)
            except BadInput as error:
                self._check_is_of_this_perfgate(name, error)
                self.found(name, str(error).removeprefix(f"{name} "))
                continue
            records[name] = kept
            try:
                sentences = in_words(kept.record, differences(kept.record))
            except BadInput as error:
                self.found(name, str(error))
                continue
            for sentence in sentences:
                self.found(name, sentence)
            if not sentences and any(finding.file == name for finding in self.findings):
                self.found(name, "its verdicts are those of its windows all the same")
        if not any(name.startswith(RECORDS) for name in self.files):
            self.found(RECORDS, "no record is there")
        return records

    def _check_is_of_this_perfgate(self, name: str, error: BadInput) -> None:
        """A record that is as it was signed off, by another perfgate, is not altered: it takes that one."""
        here, then = made_with_here()["perfgate"], self.manifest.made_with.get("perfgate") if self.manifest else None
        if then not in (None, here) and self._has_its_sum(name):
            raise BadInput(f"this bundle was made by perfgate {then}, and this is {here}: {error}") from error

    def _check_rates(self) -> None:
        try:
            published(self.files[RATES], RATES)
        except BadInput as error:
            self.found(RATES, str(error).removeprefix(f"{RATES} "))

    def _made_again(self, records: Mapping[str, KeptRecord]) -> Mapping[str, bytes]:
        """What is made of the records, as far as the versions here make the same texts as those of the bundle."""
        here = made_with_here()
        then = self.manifest.made_with if self.manifest is not None else here
        if then != here:
            changed = [
                f"{name} {then.get(name, 'unknown')} (here {here.get(name, 'unknown')})"
                for name in dict.fromkeys([*then, *here])
                if then.get(name) != here.get(name)
            ]
            self.notes.append(
                f"{DOCUMENT}, {REPORT} and {MANIFEST} were held against their sums alone, since they were made with "
                + ", ".join(changed)
            )
            return {THRESHOLDS: next(iter(records.values())).record.thresholds_text.encode()}
        try:
            return files_of(records, self.files.get(RATES))
        except BadInput as error:
            self.found(RECORDS, str(error))
            return {}

    def _check_made(self, name: str, made: bytes | None) -> None:
        """A file that is made of the records: `made` is what it should be, None where that is not known."""
        content = self.files.get(name)
        if content is None:
            if name not in self.sums.by_name and self._is_expected(name, made):
                self.found(name, "it is missing")
            return
        if made is None:
            self._check_sum(name)
        elif made == content:
            if not self._has_its_sum(name):
                self.found(SUMS, f"its line of {name} was altered: that file is what the records make it")
        else:
            self.found(name, f"it was altered: {_first_difference(content, made)}")

    def _is_expected(self, name: str, made: bytes | None) -> bool:
        """Whether a bundle has such a file; those of an older perfgate have no report."""
        of_manifest = self.manifest.files if self.manifest is not None else {}
        return name != REPORT or made is not None or name in of_manifest

    def _check_sign_off(self, kept: Sequence[KeptRecord]) -> None:
        """Records that are whole may still be of a version that must not be signed off."""
        for sentence in refusals(kept):
            self.found(MANIFEST, f"its records are not of one sign-off: {sentence}")
        try:
            for block in blocks(kept):
                self.found(block.record or MANIFEST, f"it blocks a sign-off: {block.sentence}")
        except BadInput as error:
            self.found(MANIFEST, str(error))

    def _words(self, records: Mapping[str, KeptRecord]) -> str:
        kept = [one.record for one in records.values()]
        limits = sum(len(record.judgements) for record in kept)
        windows = sum(len(measurement.windows) for record in kept for measurement in record.measurements)
        baseline = next((f" against {record.baseline}" for record in kept if record.baseline is not None), "")
        return (
            f"{kept[0].gateway}{baseline}, profile {kept[0].profile}: {limits} limits PASS, judged again from "
            f"{windows:,} windows; {len(self.files) - 1} files have their sums"
        )


def _is_input(name: str) -> bool:
    """Whether a file is one that all others of a bundle are made of."""
    return name.startswith(RECORDS) or name == RATES


def _first_difference(content: bytes, made: bytes) -> str:
    """In which line two texts first differ, and how."""
    found, expected = (part.decode("utf-8", errors="replace").split("\n") for part in (content, made))
    for number, (line, should_be) in enumerate(zip(found, expected, strict=False), 1):
        if line != should_be:
            place = _first_other(line, should_be)
            where = f"line {number}" if place < SHOWN_CHARACTERS else f"line {number}, at character {place + 1:,},"
            return f"{where} is {_cut(line, place)}, the records make it {_cut(should_be, place)}"
    if len(found) < len(expected):
        return f"it ends after {len(found)} lines, the records make {len(expected)}"
    return f"after {len(expected)} lines more follows, which the records do not make"


def _first_other(line: str, should_be: str) -> int:
    """From which place on two lines differ, counted from 0."""
    pairs = enumerate(zip(line, should_be, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(line), len(should_be)))


def _cut(line: str, place: int) -> str:
    """A line; of a long one what is around a place, or its beginning where that has it."""
    if len(line) <= SHOWN_CHARACTERS:
        return repr(line)
    start = 0 if place < SHOWN_CHARACTERS else place - SHOWN_BEFORE
    end = start + SHOWN_CHARACTERS
    return repr(("…" if start else "") + line[start:end] + ("…" if end < len(line) else ""))
