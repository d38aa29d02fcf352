"""Does `perfgate report` write what it says, where it says, and end clearly when a record can't be read?"""

import base64
import gzip
import re
import shlex
from pathlib import Path

import pytest

from perfgate.cli import main
from perfgate.record import Record
from perfgate.report.command import DEFAULT_RECORDS, RECORD_NAME
from perfgate.report.markdown import STEP_SUMMARY_BYTES_MAX, summary
from perfgate.run import run_name
from perfgate.settings import OPTIONS
from tests.harness.report.conftest import HOST, a_judgement, a_measurement, a_record

pytestmark = [pytest.mark.usefixtures("_drawn_once"), pytest.mark.xdist_group("report_command")]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No summary of a step that this test is itself part of, and nothing written into the checkout."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.chdir(tmp_path)


def a_run(**changes: object) -> Record:
    judged = [a_judgement("overhead", "overhead_p95_ms")]
    fields = {"host": HOST, "exit_code": 0, "measurements": [a_measurement()], "judgements": judged}
    return a_record(**{**fields, **changes})


def written(path: Path, record: Record) -> Path:
    path.write_text(record.model_dump_json(), encoding="utf-8")
    return path


def test_a_run_is_summed_up_in_a_file_and_on_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "run.json", a_run())
    assert main(["report", str(path), "--out", str(tmp_path / "deep/out")]) == 0
    assert (tmp_path / "deep/out/summary.md").read_text(encoding="utf-8") == summary([a_run()])
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("wrote")] == [
        f"wrote {tmp_path}/deep/out/{name}" for name in ("summary.md", "report.html", "benchmark.json")
    ]
    assert out.endswith(f"PASS  {path}: 1 PASS, 0 FAIL, 0 INVALID; exit code 0: no limit failed\n")


def test_without_a_folder_it_goes_beside_the_records(tmp_path: Path) -> None:
    assert main(["report", str(written(tmp_path / "run.json", a_run()))]) == 0
    assert (tmp_path / ".perfgate/report/summary.md").exists()


def test_without_a_record_it_is_the_run_that_began_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = tmp_path / ".perfgate/records"
    records.mkdir(parents=True)
    (records / "noise.json").write_text("{}", encoding="utf-8")
    for began, exit_code in (("20260102T000000Z", 0), ("20260101T235959Z", 2)):
        written(records / f"{began}-7-quick.json", a_run(exit_code=exit_code))
    assert main(["report"]) == 0
    assert (
        capsys.readouterr().out.splitlines()[-1].startswith("PASS  .perfgate/records/20260102T000000Z-7-quick.json: ")
    )


def test_without_any_run_it_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report"]) == 4
    assert capsys.readouterr().err == (
        "error: .perfgate/records has no record of a run: measure first (`pytest tests/perf`), or name a RECORD\n"
    )


def test_the_default_folder_and_the_names_are_those_of_runs() -> None:
    (option,) = (option for option in OPTIONS if option.name == "--record-dir")
    assert Path(option.default) == DEFAULT_RECORDS
    assert RECORD_NAME.fullmatch(f"{run_name()}-quick.json")


def test_a_report_of_a_run_that_failed_is_a_report_that_was_made(tmp_path: Path) -> None:
    failed = a_run(judgements=[a_judgement("overhead", "overhead_p95_ms", maximum=5.0)], exit_code=1)
    assert main(["report", str(written(tmp_path / "run.json", failed))]) == 0


def test_the_page_holds_the_bytes_of_every_record(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a.json", a_run()), written(tmp_path / "b.json", a_run(seed=2))
    assert main(["report", str(first), str(second)]) == 0
    assert {path.name for path in (tmp_path / ".perfgate/report").iterdir()} == {
        *("summary.md", "report.html", "benchmark-1.json", "benchmark-2.json")
    }
    page = (tmp_path / ".perfgate/report/report.html").read_text(encoding="utf-8")
    packed = re.findall(r'<script type="text/plain" id="record-\d">(.*?)</script>', page, re.DOTALL)
    assert [gzip.decompress(base64.b64decode(text)) for text in packed] == [first.read_bytes(), second.read_bytes()]


def test_the_summary_of_a_step_is_appended_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = tmp_path / "step.md"
    step.write_text("of an earlier command", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    main(["report", str(written(tmp_path / "run.json", a_run()))])
    assert step.read_text(encoding="utf-8") == f"of an earlier command\n{summary([a_run()])}"


def test_a_step_that_has_no_summary_yet_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    main(["report", str(written(tmp_path / "run.json", a_run()))])
    assert (tmp_path / "step.md").read_text(encoding="utf-8") == summary([a_run()])


@pytest.mark.parametrize("free_bytes", [2_500, 10])
def test_with_what_is_there_already_it_stays_within_githubs_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], free_bytes: int
) -> None:
    step = tmp_path / "step.md"
    step.write_bytes(b"x" * (STEP_SUMMARY_BYTES_MAX - free_bytes))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    judged = [a_judgement("overhead", f"overhead_p{p}_ms") for p in (50, 95, 99)] * 20
    assert main(["report", str(written(tmp_path / "run.json", a_run(judgements=judged)))]) == 0
    text = step.read_text(encoding="utf-8").lstrip("x")
    assert step.stat().st_size <= STEP_SUMMARY_BYTES_MAX
    said = capsys.readouterr().err
    if free_bytes > 1_000:
        assert "left out" in text
        assert said == ""
    else:
        assert text == ""
        assert said.startswith("GITHUB_STEP_SUMMARY: nothing was appended, its file is full: ")


@pytest.mark.parametrize(
    "content",
    [b"", b'{"schema_version": 4, "perf', b"\xff\xfe\x00binary", b'{"benchmarks": []}', b"[1, 2]"],
    ids=["empty", "truncated", "binary", "of another tool", "a list"],
)
def test_a_file_that_is_no_record_is_bad_input_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    assert main(["report", str(path)]) == 4
    assert re.match(rf"error: {path} is not a .*record", capsys.readouterr().err)
    assert not (tmp_path / ".perfgate").exists()


def test_a_record_with_a_histogram_that_is_none_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = a_run().model_dump_json()
    latency = a_run().measurements[0].windows[0].load.latency
    path = tmp_path / "changed.json"
    path.write_text(text.replace(latency, latency[:20]), encoding="utf-8")
    assert main(["report", str(path)]) == 4
    error = capsys.readouterr().err
    assert error.startswith(
        f"error: {path}: the record is of the right form, but was changed or broken: not an encoded"
    )
    assert not (tmp_path / ".perfgate").exists()


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "none.json")]) == 4
    assert f"error: {tmp_path}/none.json: cannot be read (No such file" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_ends_with_the_code_of_a_failed_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "run.json", a_run())
    assert main(["report", str(path), "--out", str(path / "below a file")]) == 12
    assert "the report cannot be written there (Not a directory); name another folder" in capsys.readouterr().err


def test_a_step_summary_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "no/folder.md"))
    assert main(["report", str(written(tmp_path / "run.json", a_run()))]) == 12
    assert "GITHUB_STEP_SUMMARY=" in capsys.readouterr().err


@pytest.mark.parametrize("page", ["README.md", "docs/reading-a-report.md"])
def test_the_commands_of_the_documents_run_as_they_stand_there(page: str, tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / page).read_text(encoding="utf-8")
    commands = re.findall(r"^ {4}perfgate (report.*?) *(?:#.*)?$", text, re.MULTILINE)
    assert len(commands) >= 2
    (tmp_path / ".perfgate/records").mkdir(parents=True)
    for name in (".perfgate/records/20260101T000000Z-1-quick.json", "BEFORE.json", "AFTER.json"):
        written(tmp_path / name, a_run())
    for command in commands:
        assert main(shlex.split(command)) == 0
