"""`perfgate github`: what the steps of action.yml and of the workflows run.

Comes in: the command line; everything else comes from the environment, as GitHub and the workflows set it. Goes out: an
exit code. Each can be run by hand as well.
"""

import argparse
from pathlib import Path
from typing import Any, Final

from perfgate.github.comment import run_comment
from perfgate.github.gate import run_gate
from perfgate.github.image_cache import run_images
from perfgate.github.verdict_history import run_keep

DEFAULT_BRANCH: Final = "perfgate-history"


def add_github(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `github` to the commands of `perfgate`."""
    parser = commands.add_parser("github", help="steps of GitHub Actions; docs/in-another-repository.md")
    steps = parser.add_subparsers(metavar="STEP", required=True)
    gate = steps.add_parser(
        "gate",
        help="run perf tests as a step",
        description="Run the perf tests that the inputs ask for (INPUT_CANDIDATE, INPUT_BASELINE and so on, as "
        "action.yml names them), draw up the report, and set outputs, summary and annotations of the step.",
    )
    gate.set_defaults(run=run_gate)
    images = steps.add_parser("images", help="have the images that perfgate builds, kept between jobs in a folder")
    images.add_argument("folder", type=Path, metavar="DIR", help="of the cache")
    images.set_defaults(run=run_images)
    comment = steps.add_parser("comment", help="write or edit the comment of a pull request")
    comment.add_argument("artifacts", type=Path, metavar="DIR", help="of the gate's artifacts, a folder each")
    comment.set_defaults(run=run_comment)
    keep = steps.add_parser("keep", help="add verdicts to a branch, as lines of JSON")
    keep.add_argument("records", type=Path, metavar="DIR", help="with records, at any depth")
    keep.add_argument("--remote", required=True, metavar="URL", help="of the repository")
    keep.add_argument("--branch", default=DEFAULT_BRANCH, metavar="NAME", help="(%(default)s)")
    keep.set_defaults(run=run_keep)
