"""`perfgate bisect`: are the right versions searched, what is measured kept, and is the answer an exit code too?"""

from pathlib import Path

import pytest

from perfgate.cli import main
from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.history.commits import name_of
from perfgate.history.result import Measured
from perfgate.history.results_file import read_results
from perfgate.stats.bisection import questions_planned
from tests.harness.history.conftest import Host
from tests.harness.litellm_repository import LiteLLMRepository

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
    assert set(host.cache.installed) == {"1.79.3"}


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


@pytest.mark.slow
class TestCommits:
    """Those of a real repository, on a host that measures at once: seven after the good one, the fifth of them bad."""

    @pytest.fixture
    def commits(self, repository: LiteLLMRepository, host: Host, tmp_path: Path) -> list[str]:
        commits = repository.change(["1.0"] * 4 + ["1.3"] * 3)
        host.ratios = {name_of(sha): 1.3 for sha in commits[5:]}
        host.cache.folder = tmp_path / "cache"
        return commits

    def bisect(self, repository: LiteLLMRepository, commits: list[str], *more: str) -> int:
        ends = ("--good", commits[0], "--bad", "main", "--margin", "10%")
        return main(["bisect", "--checkout", str(repository.folder), *ends, *more])

    def test_the_first_bad_one_is_named_with_its_subject_its_date_and_how_sure_that_is(
        self, repository: LiteLLMRepository, commits: list[str], host: Host, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.bisect(repository, commits) == ExitCode.OK
        said = capsys.readouterr()
        good, before, first = (name_of(commits[number]) for number in (0, 4, 5))
        assert said.out.startswith(
            f"first bad: {first} (2025-11-09, Change 5: 1.3); {before} is good: CPU per request, bad is more than "
            f"+10.0 % against {good}; sure by at least 95 %\n"
        )
        assert "| bad | 2025-11-09, Change 5: 1.3 |" in said.out
        assert f"8 versions from {good} to {name_of(commits[7])}" in said.err
        assert host.asked == [name_of(commits[number]) for number in (7, 3, 5, 4)]
        assert host.cache.installed == [commits[number] for number in (0, 7, 3, 5, 4)]

    def test_the_checkout_is_not_touched_even_when_it_is_dirty_and_the_current_folder(
        self,
        repository: LiteLLMRepository,
        commits: list[str],
        host: Host,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        repository.write("litellm/cost", "edited")
        before, thresholds = repository.state(), str(Path("thresholds.yaml").resolve())
        monkeypatch.chdir(repository.folder)
        assert self.bisect(repository, commits, "--thresholds", thresholds) == ExitCode.OK
        assert "has changes that are in no commit: they are left as they are" in capsys.readouterr().err
        assert repository.state() == before
        assert set(read_results(tmp_path / "cache/bisect" / name_of(commits[0]))) == set(host.asked)
        inside = ("--thresholds", thresholds, "--results", ".perfgate")
        assert self.bisect(repository, commits, *inside) == ExitCode.BAD_INPUT
        assert "--results .perfgate is in the checkout" in capsys.readouterr().err
        assert repository.state() == before

    @pytest.mark.parametrize("why", ["it does not build", "it died"])
    def test_one_that_cannot_be_had_is_left_aside_and_the_answer_is_a_range(
        self,
        repository: LiteLLMRepository,
        commits: list[str],
        host: Host,
        why: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        if why == "it died":
            host.errors = {name_of(commits[4]): StackFailed(why)}
        else:
            host.cache.errors = {commits[4]: BadInput(why)}
        assert self.bisect(repository, commits) == ExitCode.INVALID
        printed = capsys.readouterr().out
        skipped, first = (f"{name_of(commits[number])} (2025-11-09, Change {number}: " for number in (4, 5))
        assert printed.startswith(
            f"the first bad one is among {skipped}1.0), {first}1.3); {name_of(commits[3])} is good"
        )
        assert f"{name_of(commits[4])}: {why}\n" in printed

    def test_a_host_on_which_nothing_comes_up_or_can_be_installed_blames_no_commit(
        self, repository: LiteLLMRepository, commits: list[str], host: Host, capsys: pytest.CaptureFixture[str]
    ) -> None:
        host.errors = {name_of(commits[3]): StackFailed("it died")}
        host.anchor_errors = [StackFailed("the mock endpoint died")]
        assert self.bisect(repository, commits) == ExitCode.STACK_FAILED
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.endswith("error: the mock endpoint died\n")
        host.errors, host.anchor_errors = {}, ()
        host.cache.errors = {commits[3]: StackFailed("no network")}
        assert self.bisect(repository, commits) == ExitCode.STACK_FAILED
        assert capsys.readouterr().err.endswith("error: no network\n")
        host.cache.errors = {}
        assert self.bisect(repository, commits) == ExitCode.OK

    def test_a_search_that_was_ended_goes_on_and_measures_nothing_twice(
        self, repository: LiteLLMRepository, commits: list[str], host: Host, capsys: pytest.CaptureFixture[str]
    ) -> None:
        host.errors = {name_of(commits[5]): KeyboardInterrupt()}
        assert self.bisect(repository, commits) == ExitCode.INTERRUPTED
        assert "the same command goes on with the rest" in capsys.readouterr().err
        host.errors = {}
        # The names of the ends may be others meanwhile: they are the same commits.
        repository.git("branch", "the-bad-one", commits[7])
        repository.write("more", "x")
        repository.commit("Work goes on")
        again = ("--good", commits[0][:10], "--bad", "the-bad-one", "--margin", "10%")
        assert main(["bisect", "--checkout", str(repository.folder), *again]) == ExitCode.OK
        assert host.asked == [name_of(commits[number]) for number in (7, 3, 5, 5, 4)]

    def test_commits_of_one_release_are_told_apart_by_what_they_are(
        self, repository: LiteLLMRepository, commits: list[str], tmp_path: Path
    ) -> None:
        """All call themselves 1.80.0 here and have the same packages, as commits between two releases do."""
        self.bisect(repository, commits)
        kept = read_results(tmp_path / "cache/bisect" / name_of(commits[0])).values()
        contents = {result.content_sha256 for result in kept if isinstance(result, Measured)}
        assert len(contents) == len(kept) == 4
        assert {result.conditions.anchor for result in kept if isinstance(result, Measured)} == {name_of(commits[0])}

    def test_packages_that_changed_with_the_first_bad_one_are_named(
        self, repository: LiteLLMRepository, commits: list[str], host: Host, capsys: pytest.CaptureFixture[str]
    ) -> None:
        host.cache.packages_of = {commits[4]: ("uvicorn==0.30.0",), commits[5]: ("uvicorn==0.31.0",)}
        self.bisect(repository, commits)
        before, first = name_of(commits[4]), name_of(commits[5])
        assert (
            f"\nother packages changed too: uvicorn is 0.30.0 in {before}, 0.31.0 in {first}. Those that the commit "
            "itself does not ask for are of its day: --deps today gives both the same\n"
        ) in capsys.readouterr().out
        host.cache.packages_of = {}
        self.bisect(repository, commits)
        assert "other packages" not in capsys.readouterr().out

    def test_a_merge_is_said_to_be_one_and_how_to_look_into_it(
        self, repository: LiteLLMRepository, commits: list[str], host: Host, capsys: pytest.CaptureFixture[str]
    ) -> None:
        repository.git("checkout", "--quiet", "-b", "feature", commits[2])
        repository.write("feature", "x")
        side = repository.commit("On the side")
        repository.git("checkout", "--quiet", "--detach", commits[4])
        repository.git("merge", "--quiet", "--no-ff", "--message=Merge it", "feature")
        merge = repository.git("rev-parse", "HEAD")
        host.ratios = {name_of(merge): 1.3}
        assert self.bisect(repository, commits, "--bad", merge) == ExitCode.OK
        printed = capsys.readouterr().out
        assert printed.startswith(f"first bad: {name_of(merge)} (2025-11-09, Merge it); {name_of(commits[4])} is good")
        base = f"$(git -C {repository.folder} merge-base {name_of(commits[4])} {name_of(side)})"
        assert f"\nit is a merge: --good {base} --bad {name_of(side)} searches what it merged\n" in printed
        assert name_of(side) not in host.asked

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            (("--configs", "a.yaml", "b.yaml"), "--configs is not for commits: leave it out, or --checkout"),
            (("--every", "minor"), "--every is not for commits: leave it out, or --checkout"),
            (("--bad", ""), "--checkout needs --good and --bad: a branch, a tag or a commit each"),
            (("--bad", "v9"), "has no such commit, branch or tag"),
            (("--bad", "main~7"), "are one commit"),
        ],
    )
    def test_what_cannot_be_searched_is_said_before_anything_is_started(
        self,
        repository: LiteLLMRepository,
        commits: list[str],
        host: Host,
        options: tuple[str, ...],
        complaint: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert self.bisect(repository, commits, *options) == ExitCode.BAD_INPUT
        assert complaint in capsys.readouterr().err
        assert host.asked == host.cache.installed == []
