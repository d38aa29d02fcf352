"""`perfgate bisect`: are the right versions searched, what is measured kept, and is the answer an exit code too?"""

from pathlib import Path

import pytest

from perfgate.cli import main
from perfgate.exit_codes import ExitCode
from perfgate.history.results_file import read_results
from perfgate.stats.bisection import questions_planned
from tests.harness.history.conftest import Host

CONFIG = "model_list:\n  - model_name: any\n    litellm_params: {model: openai/any}\n"


def bisect(folder: Path, *more: str) -> int:
    return main(["bisect", "--results", str(folder), *more])


def test_the_first_bad_release_is_named_and_what_was_measured_is_kept(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = ("--good", "1.79.3", "--bad", "1.106.2", "--metric", "rss_bytes", "--margin", "10%")
    assert bisect(tmp_path, *ends) == ExitCode.OK
    printed = capsys.readouterr().out
    assert printed.startswith("first bad: 1.82.6; 1.80.5 is good: memory, bad is more than +10.0 % against 1.79.3; ")
    # 1.79.3, 1.80.0, 1.80.5, 1.82.6 and 1.106.2: none that is refused.
    assert host.asked == ["1.106.2", "1.80.5", "1.82.6"]
    assert len(host.asked) <= questions_planned(4)
    assert set(read_results(tmp_path / "1.79.3")) == set(host.asked)


def test_a_search_goes_on_with_what_is_measured(tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    ends = ("--good", "1.79.3", "--bad", "1.106.2", "--margin", "10%")
    host.errors = {"1.82.6": KeyboardInterrupt()}
    assert bisect(tmp_path, *ends) == ExitCode.INTERRUPTED
    assert "the same command goes on with the rest" in capsys.readouterr().err
    host.errors = {}
    assert bisect(tmp_path, *ends) == ExitCode.OK
    assert host.asked == ["1.106.2", "1.80.5", "1.82.6", "1.82.6"]


def test_what_is_not_decided_is_measured_longer_and_added_up(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.ratios = {"1.82.6": 1.2, "1.106.2": 1.4}
    ends = ("--good", "1.79.3", "--bad", "1.106.2", "--margin", "20%")
    assert bisect(tmp_path, *ends) == ExitCode.INVALID
    assert capsys.readouterr().out.startswith("the first bad one is among 1.82.6, 1.106.2; 1.80.5 is good")
    assert host.asked.count("1.82.6") == 3
    kept = read_results(tmp_path / "1.79.3")["1.82.6"]
    assert getattr(kept, "runs", 0) == 3
    # Its looks are over: another search does not measure it again.
    bisect(tmp_path, *ends)
    assert host.asked.count("1.82.6") == 3


def test_minor_versions_alone_are_searched_when_asked(tmp_path: Path, host: Host) -> None:
    wanted = ("--good", "1.79.0", "--bad", "1.106.2", "--every", "minor", "--margin", "10%")
    assert bisect(tmp_path, *wanted) == ExitCode.OK
    assert "1.80.0" not in host.asked


def test_an_end_that_is_not_bad_is_said(tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert bisect(tmp_path, "--good", "1.79.3", "--bad", "1.80.5", "--margin", "10%") == ExitCode.INVALID
    assert capsys.readouterr().out.startswith("nothing to search for: CPU per request of 1.80.5 is good")


def test_configurations_of_one_release_are_a_series_too(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / f"v{number}.yaml" for number in range(1, 9)]
    for path in paths:
        path.write_text(CONFIG)
    names = [str(path) for path in paths]
    host.ratios = dict.fromkeys(names[4:], 1.08)
    wanted = ("--litellm", "1.79.3", "--configs", *names)
    assert bisect(tmp_path / "results", *wanted, "--margin", "4%") == ExitCode.OK
    assert capsys.readouterr().out.startswith(f"first bad: {names[4]}; {names[3]} is good")
    assert host.cache.installed == ["1.79.3"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((), "--good RELEASE and --bad RELEASE are needed, or --configs FILE FILE"),
        (("--good", "1.79.3"), "--good RELEASE and --bad RELEASE are needed"),
        (("--good", "1.80.5", "--bad", "1.79.3"), "the package index has no release of litellm from 1.80.5 to 1.79.3"),
        (("--good", "1.79.3", "--bad", "1.79.3"), "--good 1.79.3 is not before --bad 1.79.3"),
        (("--good", "1.79.1", "--bad", "1.80.5"), "--good 1.79.1: the package index has no such release"),
        (("--good", "1.79.3", "--bad", "1.82.7"), "litellm 1.82.7 is refused"),
        (("--good", "1.79.3", "--bad", "1.80.5", "--metric", "speed"), "--metric speed: there are"),
        (("--good", "1.79.3", "--bad", "1.80.5", "--margin", "10"), "--margin 10: write a percentage above 0 such as"),
        (("--good", "1.79.3", "--bad", "1.80.5", "--margin", "0%"), "--margin 0%: write a percentage above 0"),
        (("--configs", "a.yaml", "--good", "1.79.3"), "--configs names both ends itself"),
        (("--configs", "a.yaml"), "--configs a.yaml: a good one and a bad one are needed at least"),
        (("--configs", "a.yaml", "a.yaml"), "--configs: each once"),
        (("--configs", "a.yaml", "b.yaml"), "a.yaml cannot be read"),
    ],
)
def test_what_cannot_be_searched_is_said_before_anything_is_started(
    tmp_path: Path, host: Host, options: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bisect(tmp_path, *options) == ExitCode.BAD_INPUT
    assert complaint in capsys.readouterr().err
    assert host.asked == host.cache.installed == []
