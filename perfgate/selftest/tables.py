"""What do the rates come to, in tables for people?

Comes in: what `command.judged_pool` found, as JSON holds it. Goes out: Markdown. No I/O.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from perfgate.selftest.doses import CPU_5, CPU_10, DOSES, LEAK, NONE, STALL
from perfgate.selftest.rivals import ONE_PROCESS

_METRICS: Final = {
    "cpu_per_request_ms": "CPU",
    "throughput_rps": "throughput",
    "overhead_p50_ms": "p50",
    "overhead_p95_ms": "p95",
    "overhead_p99_ms": "p99",
    "rss_mib": "memory",
}


#: Doses of the headline.
HEADLINE: Final = (CPU_5, CPU_10, STALL, LEAK)


def headline(found: Mapping[str, Any]) -> str:
    """The table that the README begins with: our gates, and every other rule on what it sees where it is used."""
    head = ["gate", "false alarms", "equal: PASS", *(f"finds {dose.name}" for dose in HEADLINE), "minutes"]
    body = []
    for plan in found["plans"]:
        of_dose = {rate["dose"]: rate for rate in found["rates"] if rate["profile"] == plan["profile"]}
        none = of_dose[NONE.name]
        shares = [none["fail"], none["passed"], *(of_dose[dose.name]["fail"] for dose in HEADLINE)]
        minutes = f"{none['minutes_p50']:.1f}, at most {plan['minutes'][-1]:.1f}"
        body.append([f"perfgate, profile `{plan['profile']}`", *(_briefly(share) for share in shares), minutes])
    by_rule: dict[str, dict[str, str]] = {}
    for one in found["rivals"]:
        if one["data"] == ONE_PROCESS:
            by_rule.setdefault(one["rule"], {})[one["dose"]] = _briefly(one["fail"])
    for rule, of_dose in by_rule.items():
        body.append([rule, of_dose[NONE.name], "", *(of_dose[dose.name] for dose in HEADLINE), ""])
    return _table(head, body)


def tables(found: Mapping[str, Any]) -> str:
    """All of it."""
    parts = [_heading(found), headline(found) + "\n"]
    for plan in found["plans"]:
        parts.append(_of_profile(found, plan))
    parts += [_effects(found), _rivals(found)]
    return "\n".join(parts)


def _heading(found: Mapping[str, Any]) -> str:
    host = found["host"]
    release, noise, gib = found["release"], found["noise"], host["memory_bytes"] / 2**30
    return f"""\
# How often the gate is wrong

Made by `perfgate selftest rates` from the batches in this folder, which
`perfgate selftest collect --litellm {release}` made; edit neither by hand.

{found["pairs"]} pairs of separately started processes of litellm {release}, asked in turn, and as many that leak,
{found["rounds"]} rounds in each, {found["windows"]:,} windows,
on {host["cores_allowed"]} cores {host["cpu_model"]}, {gib:.0f} GiB.
Noise of a pair (SD): {noise["process_sd"]:.1%} between processes, {noise["round_sd"]:.1%} between rounds.
{found["gates"]:,} gates a cell; 95 % intervals from {found["replicates"]} pools whose pairs were drawn anew.
A share of 0.0 or 100.0 % is one of these gates, which share processes: it is no promise for ever.
Other rules are asked of one process of each version, as they are where they are used; below they have all of the data.
"""


def _of_profile(found: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    per_look, looks = plan["rounds_per_look"], plan["looks"]
    margins = ", ".join(f"{_METRICS[metric]} {margin:.1%}" for metric, margin in plan["margins"].items())
    rows = [rate for rate in found["rates"] if rate["profile"] == plan["profile"]]
    body = [
        [
            rate["dose"],
            *(_share(rate[verdict]) for verdict in ("fail", "passed", "invalid")),
            f"{rate['minutes_p50']:.1f} ({rate['minutes_p95']:.1f})",
            _named(rate["found_by"]),
            _named(rate["undecided"]),
        ]
        for rate in rows
    ]
    head = ["dose", "FAIL", "PASS", "INVALID", "minutes, p50 (p95)", "failed by", "undecided in"]
    return f"""\
## Profile {plan["profile"]}

Margins: {margins}.
{plan["generations"]} generations of each arm, up to {looks} looks after {per_look} rounds each, at most
{plan["minutes"][-1]:.1f} minutes by the plan.

{_table(head, body)}
"""


def _effects(found: Mapping[str, Any]) -> str:
    by_dose: dict[str, dict[str, str]] = {}
    for one in found["effects"]:
        words = f"{one['ratio'] - 1:+.1%} ({one['low'] - 1:+.1%} to {one['high'] - 1:+.1%})"
        by_dose.setdefault(one["dose"], {})[one["metric"]] = words
    body = [[dose, *(words[metric] for metric in _METRICS)] for dose, words in by_dose.items()]
    return f"""\
## What the doses really do

Each process under a dose against itself without it (a leak: against other processes), by all rounds; above 0 is worse.

{_table(["dose", *_METRICS.values()], body)}
"""


def _rivals(found: Mapping[str, Any]) -> str:
    doses = [dose.name for dose in DOSES]
    by_rule: dict[tuple[str, str], dict[str, str]] = {}
    for one in found["rivals"]:
        by_rule.setdefault((one["rule"], one["data"]), {})[one["dose"]] = _share(one["fail"])
    body = [[rule, data, *(shares[dose] for dose in doses)] for (rule, data), shares in by_rule.items()]
    profile = found["plans"][0]["profile"]
    ours = {rate["dose"]: _share(rate["fail"]) for rate in found["rates"] if rate["profile"] == profile}
    body.insert(0, [f"perfgate, profile {profile}", "all processes", *(ours[dose] for dose in doses)])
    return f"""\
## Other rules on the same data

How often each says FAIL; under "{NONE.name}" that is a false alarm.

{_table(["rule", "data", *doses], body)}
"""


def _share(share: Mapping[str, float]) -> str:
    return f"{share['value']:.1%} ({share['low']:.1%} to {share['high']:.1%})"


def _briefly(share: Mapping[str, float]) -> str:
    """Without the interval where it has no width."""
    value, low, high = (f"{100 * share[part]:.3g}" for part in ("value", "low", "high"))
    return f"{value} %" if low == high == value else f"{value} % ({low} to {high})"


def _named(shares: Mapping[str, float]) -> str:
    """Metrics with a share above 0, the largest first."""
    above = sorted(((share, metric) for metric, share in shares.items() if share > 0), reverse=True)
    return ", ".join(f"{_METRICS[metric]} {share:.1%}" for share, metric in above)


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
