"""How often does the gate find a slowdown, drawn over how large it is?

Comes in: what `command.judged_pool` found, as JSON holds it. Goes out: an SVG with its text as text. No I/O.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from perfgate.selftest.doses import CPU_5, CPU_10, CPU_20, NONE
from perfgate.selftest.rivals import LITELLM_RULE, ONE_PROCESS, PYTEST_BENCHMARK_RULE, U_TEST_RULE

#: From nothing to a fifth: what an x-axis can be made of.
DRAWN: Final = (NONE, CPU_5, CPU_10, CPU_20)
#: Rules of others that are drawn beside ours, on the one process each that they are used on; the tables have them all.
RIVALS_DRAWN: Final = (LITELLM_RULE, PYTEST_BENCHMARK_RULE, U_TEST_RULE)
#: Readable by those who do not tell red from green (Okabe and Ito's palette), the first two for our own.
COLOURS: Final = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#999999")
SIZE_INCHES: Final = (8.0, 4.5)
#: Of an SVG's ids, so that the same figures make the same file.
HASH_SALT: Final = "perfgate"


def power_curve(found: Mapping[str, Any]) -> str:
    """FAIL over the CPU that was added, with intervals; at 0 % that is the rate of false alarms."""
    added = {one["dose"]: one["ratio"] - 1 for one in found["effects"] if one["metric"] == "cpu_per_request_ms"}
    x = [100 * added.get(dose.name, 0.0) for dose in DRAWN]
    with rc_context({"svg.hashsalt": HASH_SALT, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        for colour, (label, shares) in zip(COLOURS, _lines(found), strict=False):
            is_ours = label.startswith("perfgate")
            axes.plot(x, shares["value"], "o-" if is_ours else "s--", color=colour, label=label)
            if is_ours:
                axes.fill_between(x, shares["low"], shares["high"], color=colour, alpha=0.15, linewidth=0)
        axes.set_title(f"How often a slowdown of litellm {found['release']} is called FAIL")
        axes.set_xlabel("CPU added to a request (measured), %")
        axes.set_ylabel("gates that say FAIL, %")
        axes.set_ylim(-2, 102)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(loc="lower right", fontsize="small")
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _lines(found: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Sequence[float]]]]:
    """Label and shares of every line, in percent."""
    lines = []
    for plan in found["plans"]:
        of_profile = {rate["dose"]: rate["fail"] for rate in found["rates"] if rate["profile"] == plan["profile"]}
        lines.append((f"perfgate, profile {plan['profile']}", _percent([of_profile[dose.name] for dose in DRAWN])))
    for rule in RIVALS_DRAWN:
        of_rule = {
            one["dose"]: one["fail"] for one in found["rivals"] if (one["rule"], one["data"]) == (rule, ONE_PROCESS)
        }
        lines.append((rule, _percent([of_rule[dose.name] for dose in DRAWN])))
    return lines


def _percent(shares: Sequence[Mapping[str, float]]) -> Mapping[str, Sequence[float]]:
    return {key: [100 * share[key] for share in shares] for key in ("value", "low", "high")}
