r"""Does `perfgate bisect` find, live, a regression that is known to be there?

    python tools/confirm_bisection.py --release 1.79.3 --runs 3

A series of eight configurations of one release, made for each run: those from a random one on have a callback that
burns 8 % more CPU (tools/burner), the others the same callback that does nothing. A run measures 3 or 4 of them, each
up to three times, and each time takes --minutes and half a minute: 14 minutes at least, about half an hour mostly, 54
at most, on a host that does nothing else. A run that is over is not done again, and one that was ended goes on: start
it with the same --results once more. Ends with 1 when a run named another version than the right one, or none, and as
`perfgate bisect` does where that could not search.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from perfgate.exit_codes import ExitCode

BURNER: Final = Path(__file__).parent / "burner"
VERSIONS: Final = 8
#: Half of what is burnt.
MARGIN: Final = "4%"
CONFIG: Final = """\
model_list:
  - model_name: any
    litellm_params: {model: openai/any, api_key: none}
litellm_settings:
  callbacks: [burner.%s]
"""
#: Of a search that came to an answer: one version, or none and several.
ANSWERED: Final = (ExitCode.OK, ExitCode.INVALID)
NONE: Final = "none"
#: Kept of a run that is over.
ANSWER: Final = "answer.json"


class NoAnswer(Exception):
    """A search ended without one: it said why itself."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"perfgate bisect ended with exit code {code}")


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one run.

    Args:
        first_bad: the file that is.
        named: the file that the search named, or NONE.
        minutes: that it took; of one that was ended in between, since it went on.
        said: by the search.
    """

    first_bad: str
    named: str
    minutes: float
    said: str

    @property
    def is_right(self) -> bool:
        """Whether the search named the right one."""
        return self.named == self.first_bad


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--release", default="1.79.3")
    made.add_argument("--runs", type=int, default=3)
    made.add_argument("--seed", type=int, default=1, help="of which version is the first bad one, and of all orders")
    made.add_argument("--generations", default="8")
    made.add_argument("--minutes", default="4", help="for one version, each time")
    made.add_argument("--results", type=Path, default=Path(".perfgate/confirmed-bisections"))
    return made


def main() -> int:
    options = parser().parse_args()
    runs = []
    try:
        for number in range(1, options.runs + 1):
            runs.append(run_of(options, number))
            run, last = f"run {number} of {options.runs}", runs[-1]
            print(
                f"{run}: first bad is {last.first_bad}, named {last.named}: {'right' if last.is_right else 'WRONG'} "
                f"({last.minutes:.0f} min)",
                flush=True,
            )
    except NoAnswer as error:
        print(f"error: {error}; what is measured stays in {options.results}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print(f"ended; what is measured stays in {options.results}: the same command goes on", file=sys.stderr)
        return ExitCode.INTERRUPTED
    right = sum(run.is_right for run in runs)
    print(f"{right} of {len(runs)} right")
    return 0 if right == len(runs) else 1


def run_of(options: argparse.Namespace, number: int) -> Run:
    """A run that is over, or one that is made.

    Raises:
        NoAnswer: the search ended without one.
        KeyboardInterrupt: it was ended.
    """
    # Of another release or seed the truth, or what was measured, is another.
    folder = options.results / f"{options.release}-seed-{options.seed}-run-{number}"
    done = folder / ANSWER
    if done.exists():
        return Run(**json.loads(done.read_text()))
    bad_from = random.Random(f"{options.seed}/{number}").randrange(1, VERSIONS)
    paths = made_configs(folder / "versions", bad_from)
    command = [sys.executable, "-m", "perfgate", "bisect", "--litellm", options.release, "--margin", MARGIN]
    command += ["--generations", options.generations, "--minutes", options.minutes]
    command += ["--seed", str(options.seed + number), "--results", str(folder / "results")]
    began_mono_s = time.monotonic()
    said = searched([*command, "--configs", *map(str, paths)])
    minutes = (time.monotonic() - began_mono_s) / 60
    print(said, flush=True)
    run = Run(paths[bad_from].name, named_by(said), round(minutes, 1), said)
    done.write_text(json.dumps(asdict(run), indent=1) + "\n")
    return run


def made_configs(folder: Path, bad_from: int) -> list[Path]:
    """The series: versions from that place on burn."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(BURNER / "burner.py", folder)
    paths = [folder / f"v{number}.yaml" for number in range(1, VERSIONS + 1)]
    for place, path in enumerate(paths):
        path.write_text(CONFIG % ("burns_8pc" if place >= bad_from else "idle"))
    return paths


def searched(command: list[str]) -> str:
    """What a search says; what it tells meanwhile goes on to standard error.

    Raises:
        NoAnswer: it ended without one.
        KeyboardInterrupt: it was ended.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as search:
        try:
            said, _ = search.communicate()
        except KeyboardInterrupt:
            search.wait()  # Ctrl-C has reached it, too: it stops its gateways
            raise
    if search.returncode not in ANSWERED:
        raise NoAnswer(search.returncode)
    return said


def named_by(said: str) -> str:
    """The file that an answer names, without its folder; NONE where it names none, or several.

    >>> named_by("first bad: a/versions/v5.yaml; a/versions/v4.yaml is good: CPU per request, …")
    'v5.yaml'
    """
    first = said.partition("\n")[0]
    if not first.startswith("first bad: "):
        return NONE
    return Path(first.removeprefix("first bad: ").partition(";")[0]).name


if __name__ == "__main__":
    sys.exit(main())
