"""What does a gate come to that may have been tried twice? `python3 -m perfgate.github.conclusion`

Comes in: what both jobs say, from the environment. Goes out: an annotation, the step's summary, an exit code.

A job that is skipped, and a check that is neutral, satisfy branch protection. So whatever is no PASS ends with a
failure here, with its own reason, in a job that always runs. Imports nothing that has to be installed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from perfgate.exit_codes import ExitCode
from perfgate.github.inputs import variable
from perfgate.github.workflow_commands import Annotation, append_outputs, append_summary

#: By the words of report/outcome.py.
CODES: Final[Mapping[str, ExitCode]] = {
    "PASS": ExitCode.OK,
    "FAIL": ExitCode.FAIL,
    "INVALID": ExitCode.INVALID,
    "INCOMPLETE": ExitCode.INCOMPLETE,
    "UNFINISHED": ExitCode.STACK_FAILED,
}
#: Of a job, as GitHub says it.
SUCCESS: Final = "success"
SKIPPED: Final = "skipped"
INVALID: Final = "INVALID"
UNFINISHED: Final = "UNFINISHED"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one job says.

    Args:
        result: of the job: `success`, `failure`, `cancelled`, `skipped`; empty where there was none.
        verdict: an output of the action; empty where the job did not come so far.
        reason: another.
    """

    result: str
    verdict: str
    reason: str

    @classmethod
    def of_environ(cls, environ: Mapping[str, str], prefix: str = "") -> Self:
        """The attempt that inputs with this prefix tell of."""
        return cls(*(environ.get(variable(f"{prefix}{name}"), "").strip() for name in ("result", "verdict", "reason")))

    @property
    def took_place(self) -> bool:
        """Whether the job ran at all."""
        return self.result not in ("", SKIPPED)


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Of the whole gate.

    Args:
        verdict: one word.
        code: to end with; 0 for PASS alone.
        text: why, in a sentence.
    """

    verdict: str
    code: ExitCode
    text: str


def concluded(first: Attempt, again: Attempt) -> Conclusion:
    """The last attempt counts; what is no PASS, or is not known, is a failure.

    Args:
        first: of the first job.
        again: of the second one, which runs only after an INVALID.
    """
    last = again if again.took_place else first
    code = CODES.get(last.verdict)
    if code is None:
        said = f"says {last.verdict!r}" if last.verdict else "has no verdict"
        return Conclusion(
            UNFINISHED,
            ExitCode.STACK_FAILED,
            f"the gate {said}: its job ended with {last.result or 'nothing'}; its log says why. {last.reason}".strip(),
        )
    if code is ExitCode.OK and last.result != SUCCESS:
        text = f"every limit was kept, but the job ended with {last.result}; its log says why"
        return Conclusion(UNFINISHED, ExitCode.STACK_FAILED, text)
    if last.verdict == INVALID:
        tried = "on two runners, one after the other" if last is again else "and it was not tried again"
        text = (
            f"it could not be judged, {tried}: {last.reason}. That is no pass and no fail of the change: run the job "
            "again at another hour, or on a larger runner; docs/troubleshooting-invalid.md of perfgate has every reason"
        )
        return Conclusion(INVALID, code, text)
    before = " (the first runner could not tell: INVALID)" if last is again else ""
    return Conclusion(last.verdict, code, f"{last.reason}{before}")


def main(environ: Mapping[str, str]) -> int:
    """Say what the gate comes to; returns the exit code."""
    found = concluded(Attempt.of_environ(environ), Attempt.of_environ(environ, "again-"))
    if found.code is not ExitCode.OK:
        print(Annotation("error", f"perf-gate {found.verdict}", found.text).command)
    print(f"perf-gate: {found.verdict}: {found.text}")
    # As code: a reason tells of what was measured, and so may hold what a gateway said.
    shown = found.text.replace("`", "'").replace("\n", " ")
    append_summary(environ, f"## perf-gate: {found.verdict}\n\n`{shown}`\n")
    append_outputs(environ, {"verdict": found.verdict})
    return int(found.code)


if __name__ == "__main__":
    raise SystemExit(main(os.environ))
