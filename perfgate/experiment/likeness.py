"""Do two arms differ in what was asked for, and in nothing else?

Comes in: two gateways as they were asked for, and what runs in them. Goes out: sentences; with any of them a comparison
is INVALID. What releases bring with them may differ where releases do: `package_words` and `release_words` say it to
people.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from perfgate.experiment.arms import BASELINE, CANDIDATE, GatewaySpec
from perfgate.stack.inspection import SHOWN_PACKAGES, ServiceFacts, differences_in_words
from perfgate.stack.sources import Release

#: The package that a release is.
LITELLM: Final = "litellm"
#: How `package_words` begins.
PACKAGES_DIFFER: Final = "packages that differ"


def unasked_differences(
    baseline: GatewaySpec, candidate: GatewaySpec, facts: tuple[ServiceFacts, ServiceFacts]
) -> Sequence[str]:
    """In what two arms differ though nobody asked for it.

    Args:
        baseline, candidate: as asked for.
        facts: of what runs in them, in this order.

    Returns:
        Such as `Python is 3.11.7 in baseline, 3.12.1 in candidate`. What a release brings with it (packages, whose
        hashes must be equal, and what `release_words` says) is among it for two arms of one release only, unless
        they were to have other packages beside it. A configuration may ask for an access log, so that is none where
        they have two.
    """
    first, second = facts
    said = []
    for name, spec, of_arm in ((BASELINE, baseline, first), (CANDIDATE, candidate, second)):
        installed = of_arm.packages.versions.get(LITELLM)
        if isinstance(spec.source, Release) and installed != spec.source.number:
            said.append(f"{name} is to be litellm {spec.source.number}, and litellm {installed} runs")
    if baseline.config_path != candidate.config_path:
        second = replace(second, access_log=first.access_log)
    if may_have_other_packages(baseline, candidate):
        second = _with_own_of(first, replace(second, packages=first.packages))
    return said + differences_in_words(first, second, (BASELINE, CANDIDATE))


def may_have_other_packages(baseline: GatewaySpec, candidate: GatewaySpec) -> bool:
    """Whether it was asked for that what is installed differs."""
    return baseline.source != candidate.source or baseline.with_packages != candidate.with_packages


def release_words(facts: tuple[ServiceFacts, ServiceFacts]) -> Sequence[str]:
    """In what two releases differ that were started alike, but for packages: how each sets up its server by itself.

    Event loop and HTTP parser follow from its dependencies, the access log from how it reads its settings (from 1.103.0
    on, LITELLM_LOG=ERROR silences it).
    """
    first, second = facts
    return differences_in_words(first, _with_own_of(second, first), (BASELINE, CANDIDATE))


def _with_own_of(of: ServiceFacts, facts: ServiceFacts) -> ServiceFacts:
    return replace(facts, event_loop=of.event_loop, http_parser=of.http_parser, access_log=of.access_log)


def package_words(facts: tuple[ServiceFacts, ServiceFacts]) -> str:
    """Which packages differ between two arms; empty when none does."""
    differences = facts[0].packages.differences(facts[1].packages)
    if not differences:
        return ""
    said = [difference.in_words(BASELINE, CANDIDATE) for difference in differences[:SHOWN_PACKAGES]]
    if len(differences) > SHOWN_PACKAGES:
        said.append(f"{len(differences) - SHOWN_PACKAGES} more; the record lists them all")
    return f"{PACKAGES_DIFFER}: {'; '.join(said)}"
