"""perfgate: a verdict on the performance of a LiteLLM gateway that people can believe.

Where to look for what:

    stack/       what is started and how        load/        how requests are sent
    measure/     what is observed               experiment/  arms, windows, rounds, generations
    stats/       pure maths                     thresholds   the schema of thresholds.yaml
    verdict      figures + limits -> verdict    record       the schema of a run's record
    rules        which limits hold in a run     rejudge      record -> its verdicts again
    report/      record -> text                 plugin       pytest options, fixtures, hooks
    selftest/    how often the gate is wrong    history/     releases beside one another, and a search
    reproduce/   LiteLLM's published tables     why/         the functions that a slowdown is in
    github/      a run as a step of GitHub Actions
"""

from typing import Final

__version__: Final = "0.1.0"
