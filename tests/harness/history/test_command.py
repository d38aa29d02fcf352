"""`perfgate history`: are the right releases measured, kept, taken up again, and shown with the reason for the rest?"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import pytest

from perfgate.cli import main
from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.history import command
from perfgate.history.measuring import Unfit
from perfgate.history.page import page
from perfgate.history.results_file import read_results
from perfgate.history.series import Standing
from perfgate.stack.environments import EnvironmentCache
from tests.harness.history.conftest import CONDITIONS, FakeCache, HistoryBench, Host, question, version
from tests.harness.synthetic import Truth


def history(folder: Path, *more: str) -> int:
    return main(["history", "--results", str(folder), *more])


def test_releases_between_two_are_measured_and_shown(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history(tmp_path, "--from", "1.79", "--to", "1.106", "--seed", "5") == ExitCode.OK
    assert host.asked == ["1.80.5", "1.82.6", "1.106.2"], "the oldest is the anchor"
    assert host.seeds == [5]
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "history.md").read_text()
    assert "perfgate history --from 1.79 --to 1.106 --every minor --scenario regression" in printed
    assert "| 1.79.3 |  | 8 ms, the anchor |" in printed
    assert "| CPU per request | 1.80.5 → 1.82.6 | +20.0 % |" in printed
    for refused in ("1.82.7", "1.82.8"):
        assert f"| {refused} | refused: it was published by an attacker and steals credentials |" in printed
    ElementTree.fromstring((tmp_path / "history.svg").read_text())
    assert (tmp_path / "history.html").read_text() == "a page of 1.79.3, 1.80.5, 1.82.6, 1.106.2"
    found = json.loads((tmp_path / "history.json").read_text())
    assert found["conditions"]["anchor"] == "1.79.3"
    assert {line["metric"] for line in found["lines"]} >= {"cpu_per_request_ms", "start_s", "rss_mib"}
    assert {step["after"] for step in found["steps"] if step["step"]["is_marked"]} == {"1.82.6", "1.106.2"}


def test_a_list_and_an_anchor_that_is_not_in_it(tmp_path: Path, host: Host) -> None:
    assert history(tmp_path, "--list", "1.82.6,1.80.5,1.82.7", "--anchor", "1.79.3") == ExitCode.OK
    assert host.asked == ["1.80.5", "1.82.6"]
    assert host.cache.installer.asked == [], "nobody has to ask the index"
    assert "--list 1.82.6,1.80.5,1.82.7 --anchor 1.79.3" in (tmp_path / "history.md").read_text()


def test_what_is_measured_is_not_measured_again_unless_its_packages_or_its_conditions_changed(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ("--list", "1.79.3,1.80.5,1.82.6")
    history(tmp_path, *wanted)
    assert history(tmp_path, *wanted) == ExitCode.OK
    assert host.asked == ["1.80.5", "1.82.6"]
    # More time for each is no other measurement; dependencies of today are.
    history(tmp_path, *wanted, "--minutes", "2", "--generations", "6")
    assert host.asked == ["1.80.5", "1.82.6"]
    history(tmp_path, *wanted, "--deps", "today")
    assert host.asked == ["1.80.5", "1.82.6"] * 2
    assert "1.80.5 is measured anew: " in capsys.readouterr().err
    host.cache.packages = ("httptools==0.8.0",)
    history(tmp_path, *wanted, "--deps", "today")
    assert host.asked == ["1.80.5", "1.82.6"] * 3


def test_a_release_whose_environment_is_gone_is_not_installed_to_see(tmp_path: Path, host: Host) -> None:
    history(tmp_path, "--list", "1.79.3,1.80.5")
    host.cache.made, host.cache.installed = set(), []
    assert history(tmp_path, "--list", "1.79.3,1.80.5") == ExitCode.OK
    assert host.cache.installed == ["1.79.3"], "the anchor alone"
    assert host.asked == ["1.80.5"]


def test_releases_that_cannot_be_measured_are_listed_with_the_reason(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.errors = {"1.80.5": BadInput("litellm 1.80.5 cannot be installed: certifi")}
    assert history(tmp_path, "--list", "1.79.3,1.80.5,1.82.6") == ExitCode.OK
    assert "| 1.80.5 | litellm 1.80.5 cannot be installed: certifi |" in capsys.readouterr().out
    host.errors = {"1.80.5": Unfit("apparatus: the generator sent late")}
    assert history(tmp_path, "--list", "1.79.3,1.80.5,1.82.6") == ExitCode.INCOMPLETE
    assert host.asked == ["1.80.5", "1.82.6", "1.80.5"]


def test_when_nothing_could_be_measured_all_reasons_are_said(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.errors = dict.fromkeys(("1.80.5", "1.82.6"), StackFailed("no network"))
    assert history(tmp_path, "--list", "1.79.3,1.80.5,1.82.6") == ExitCode.STACK_FAILED
    said = capsys.readouterr().err
    assert "error: none of 2 releases could be measured:\n  1.80.5: no network\n  1.82.6: no network" in said
    assert not (tmp_path / "history.md").exists()


def test_ended_it_says_how_to_go_on(tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.errors = {"1.82.6": KeyboardInterrupt()}
    assert history(tmp_path, "--list", "1.79.3,1.80.5,1.82.6") == ExitCode.INTERRUPTED
    assert f"what is measured is in {tmp_path}: the same command goes on with the rest" in capsys.readouterr().err
    assert set(read_results(tmp_path)) == {"1.80.5"}


def test_what_releases_bring_with_them_is_told_but_for_their_packages(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.notes = ("packages that differ: litellm is 1.79.3 in baseline", "the access log is on in baseline, off in it")
    history(tmp_path, "--list", "1.79.3,1.80.5")
    history(tmp_path, "--show")
    printed = capsys.readouterr().out
    assert printed.count("| 1.80.5 | the access log is on in baseline, off in it |") == 2
    assert "packages that differ" not in printed


def test_show_measures_nothing_and_writes_nothing(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history(tmp_path, "--show") == ExitCode.BAD_INPUT
    assert f"--results {tmp_path}: nothing is measured there; leave --show out" in capsys.readouterr().err
    host.errors = {release: BadInput("not to be had") for release in ("1.80.5", "1.106.2")}
    history(tmp_path, "--list", "1.79.3,1.80.5,1.82.6,1.106.2")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    capsys.readouterr()
    assert history(tmp_path, "--show") == ExitCode.OK
    printed = capsys.readouterr().out
    assert "+20.0 % (" in printed
    assert "| 1.80.5 | not to be had |\n| 1.106.2 | not to be had |" in printed
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    assert host.asked == ["1.80.5", "1.82.6", "1.106.2"]


def test_the_page_is_written_where_it_is_asked_for_too_also_of_what_was_measured_before(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    series, of_run, of_folder = tmp_path / "series", tmp_path / "new/run.html", tmp_path / "folder.html"
    assert history(series, "--list", "1.79.3,1.80.5,1.82.6", "--html", str(of_run)) == ExitCode.OK
    assert history(series, "--show", "--html", str(of_folder)) == ExitCode.OK
    pages = {path.read_text() for path in (series / "history.html", of_run, of_folder)}
    assert pages == {"a page of 1.79.3, 1.80.5, 1.82.6"}
    assert history(series, "--show", "--html", str(series)) == ExitCode.STACK_FAILED
    assert f"--html {series}: it could not be written: Is a directory; name another file" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_has_a_figure_for_all_that_is_drawn(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "page", page)
    history(tmp_path, "--list", "1.79.3,1.80.5,1.82.6")
    text = (tmp_path / "history.html").read_text()
    assert text.count("<figure>") == 4
    assert "1.80.5 → 1.82.6" in text


def test_show_leaves_out_what_was_measured_otherwise(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    history(tmp_path, "--list", "1.79.3,1.80.5")
    host.cache.packages = ("another==1",)
    history(tmp_path, "--list", "1.79.3,1.82.6")
    path = tmp_path / "results" / "1.82.6.json"
    path.write_text(path.read_text().replace("2026-01-01", "2026-01-02"))
    capsys.readouterr()
    assert history(tmp_path, "--show") == ExitCode.OK
    assert "| 1.80.5 | measured under other conditions: anchor_sha256 was " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--scenario", "overhead"), "--scenario overhead: it must compare two releases"),
        (("--generations", "1"), "--generations 1 must be at least 2"),
        (("--list", "main"), "'main' is not a LiteLLM release"),
        (("--list", "1.80.5"), "there is no release to measure beside litellm 1.80.5"),
        (("--list", "1.80.5", "--anchor", "1.82.7"), "litellm 1.82.7 is refused"),
        (("--from", "1.90", "--to", "1.91"), "the package index has no release of litellm from 1.90 to 1.91"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_is_started(
    tmp_path: Path, host: Host, options: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history(tmp_path, *options) == ExitCode.BAD_INPUT
    assert complaint in capsys.readouterr().err
    assert host.asked == host.cache.installed == []


def test_each_version_is_measured_alone_on_a_bench_of_its_own_with_a_seed_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    @contextmanager
    def exclusive(self: Any, what: str, say: Callable[[str], None]) -> Iterator[None]:
        order.append(f"alone: {what}")
        yield
        order.append("given back")

    class Bench(HistoryBench):
        def __exit__(self, *_: object) -> None:
            order.append("bench closed")

    def opened(say: Callable[[str], None], note: Callable[[str], None]) -> Bench:
        note("packages that differ: litellm")
        return Bench({"1.79.3": Truth(), "1.80.5": Truth().slower(1.1)})

    monkeypatch.setattr("perfgate.lease.Lease.exclusive", exclusive)
    cache = cast(EnvironmentCache, FakeCache())
    measurer = command.Measurer(question(minutes=0.01), CONDITIONS, version("1.79.3").gateway, 5, cache, opened)
    standing = Standing("1.80.5", 1, 1, 0.0, 1.0)
    first, again = (measurer.measured(version("1.80.5"), standing, run) for run in (1, 2))
    assert order == ["alone: measuring litellm 1.80.5", "bench closed", "given back"] * 2
    assert first.notes == ("packages that differ: litellm",)
    assert first.seeds != again.seeds
    assert first.seeds == measurer.measured(version("1.80.5"), standing).seeds


def test_whether_the_anchor_comes_up_is_seen_alone_on_a_bench_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    benches = [HistoryBench({"1.79.3": Truth()}), HistoryBench({"1.79.3": Truth()}, fails={"1.79.3"})]
    waiting = iter(benches)
    order: list[str] = []

    @contextmanager
    def exclusive(self: Any, what: str, say: Callable[[str], None]) -> Iterator[None]:
        order.append(what)
        yield

    monkeypatch.setattr("perfgate.lease.Lease.exclusive", exclusive)
    anchor, cache = version("1.79.3").gateway, cast(EnvironmentCache, FakeCache())
    measurer = command.Measurer(question(), CONDITIONS, anchor, 5, cache, lambda say, note: next(waiting))
    measurer.check_anchor_starts()
    with pytest.raises(StackFailed, match=r"^litellm 1.79.3 died$"):
        measurer.check_anchor_starts()
    assert order == ["starting litellm 1.79.3"] * 2
    assert [len(bench.starts_s) for bench in benches] == [1, 0]
    assert [bench.closed for bench in benches] == [1, 1]
