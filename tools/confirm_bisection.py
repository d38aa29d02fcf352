r"""Does `perfgate bisect` find, live, a regression that is known to be there?

    python tools/confirm_bisection.py --release 1.79.3 --runs 3

A series of eight configurations of one release, made for each run: those from a random one on have a callback that
burns 8 % more CPU (tools/burner), the others the same callback that does nothing. Takes some 20 to 40 minutes a run, on
a host that does nothing else. A run that is over is not done again, and one that was ended goes on: start it with the
same --results and --seed once more. Ends with 1 when a run named another version than the right one, or none.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

BURNER: Final = Path(__file__).parent / "burner"
VERSIONS: Final = 8
MARGIN: Final = "4%"
CONFIG: Final = """\
model_list:
  - model_name: any
    litellm_params: {model: openai/any, api_key: none}
litellm_settings:
  callbacks: [burner.%s]
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", default="1.79.3")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="of which version is the first bad one, and of all orders")
    parser.add_argument("--generations", default="8")
    parser.add_argument("--minutes", default="4", help="for one version, each time")
    parser.add_argument("--results", type=Path, default=Path(".perfgate/confirmed-bisections"))
    options = parser.parse_args()
    are_right = True
    for run in range(1, options.runs + 1):
        bad_from = random.Random(f"{options.seed}/{run}").randrange(1, VERSIONS)
        folder = options.results / f"run-{run}"
        found = answer(folder, options, bad_from, options.seed + run)
        is_right = found == f"v{bad_from + 1}.yaml"
        are_right &= is_right
        print(
            f"run {run}: first bad is v{bad_from + 1}.yaml, named {found}: {'right' if is_right else 'WRONG'}",
            flush=True,
        )
    return 0 if are_right else 1


def answer(folder: Path, options: argparse.Namespace, bad_from: int, seed: int) -> str:
    """The file that a search names; it is made if it was not before."""
    done = folder / "answer.json"
    if done.exists():
        return str(json.loads(done.read_text())["named"])
    configs = folder / "versions"
    configs.mkdir(parents=True, exist_ok=True)
    shutil.copy(BURNER / "burner.py", configs)
    paths = [configs / f"v{number}.yaml" for number in range(1, VERSIONS + 1)]
    for number, path in enumerate(paths):
        path.write_text(CONFIG % ("burns_8pc" if number >= bad_from else "idle"))
    command = [sys.executable, "-m", "perfgate", "bisect", "--litellm", options.release, "--margin", MARGIN]
    command += ["--generations", options.generations, "--minutes", options.minutes, "--seed", str(seed)]
    command += ["--results", str(folder / "results"), "--configs", *map(str, paths)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
    print(said, flush=True)
    first = said.partition("\n")[0]
    named = (
        Path(first.removeprefix("first bad: ").partition(";")[0]).name if first.startswith("first bad: ") else "none"
    )
    if said:
        done.write_text(json.dumps({"named": named, "said": said}))
    return named


if __name__ == "__main__":
    sys.exit(main())
