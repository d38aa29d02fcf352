"""What should be known of a first bad commit beside that it is the first?

Comes in: it and the last good one, and the cache of environments. Goes out: sentences.
"""

import shlex

from perfgate.experiment.likeness import LITELLM
from perfgate.history.commits import Commits, name_of
from perfgate.history.measuring import Version
from perfgate.stack.environments import EnvironmentCache
from perfgate.stack.inspection import SHOWN_PACKAGES
from perfgate.stack.packages import Packages
from perfgate.stack.sources import PortkeyRelease, RunningUrl


def commit_notes(commits: Commits, last_good: Version, first_bad: Version, cache: EnvironmentCache) -> list[str]:
    """That packages changed with the commit, and that it is a merge.

    Args:
        commits: the series.
        last_good, first_bad: neighbours in it.
        cache: that both are installed in; of what is there no more nothing is said.
    """
    said = []
    before, after = _packages(last_good, cache), _packages(first_bad, cache)
    if before is not None and after is not None:
        differences = [difference for difference in before.differences(after) if difference.name != LITELLM]
        shown = [difference.in_words(last_good.name, first_bad.name) for difference in differences[:SHOWN_PACKAGES]]
        if len(differences) > len(shown):
            shown.append(f"{len(differences) - len(shown)} more")
        if shown:
            said.append(
                f"other packages changed too: {'; '.join(shown)}. Those that the commit itself does not ask for are of "
                "its day: --deps today gives both the same"
            )
    parents = [name_of(sha) for sha in commits.entry(first_bad.name).parents]
    if len(parents) > 1:
        base = f"$(git -C {shlex.quote(str(commits.folder))} merge-base {parents[0]} {parents[1]})"
        said.append(f"it is a merge: --good {base} --bad {parents[1]} searches what it merged")
    return said


def _packages(version: Version, cache: EnvironmentCache) -> Packages | None:
    gateway = version.gateway
    assert not isinstance(gateway.source, RunningUrl | PortkeyRelease), "it is installed"
    environment = cache.known(gateway.source, gateway.deps, gateway.with_packages)
    return None if environment is None else environment.packages
