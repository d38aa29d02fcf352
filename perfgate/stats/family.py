"""Which limits of a gate are broken, when several are judged at once and one false alarm spoils them all?

Comes in: the `Evidence` of every limit. Goes out: a `Decision` for each. Pure maths; needs evidence.py and decision.py.

FAIL takes p-values adjusted by Holm: the chance that any limit that is kept gets a FAIL is at most alpha, however the
metrics depend on each other. PASS takes none: a gate passes only when every limit does, so for a wrong PASS the test of
the very limit that is broken has to err, and that it does with a chance of at most alpha. More metrics only make
that less likely (intersection-union test; R. L. Berger, Technometrics 24 (1982), doi:10.1080/00401706.1982.10487790).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from perfgate.stats.decision import Decision
from perfgate.stats.evidence import Evidence, judge


def holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The p-values adjusted for being several: at most alpha where Holm's procedure rejects at alpha.

    The smallest of m is multiplied by m, the next by m - 1, and so on; none ends up below one that was smaller, or
    above 1. The first step is Bonferroni's: whether anything is rejected depends on the smallest p-value alone.

    Args:
        p_values: shape (m,), 0 to 1.

    Returns:
        Shape (m,), in the order of `p_values`.

    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979), pages 65-70, https://www.jstor.org/stable/4615733.

    >>> holm([0.02, 0.01, 0.5]).tolist()
    [0.04, 0.03, 0.5]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1:
        raise ValueError(f"p_values has shape {p.shape}, must be one a hypothesis")
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"p_values={p.tolist()} must be between 0 and 1")
    ascending = np.argsort(p, kind="stable")
    steps = p[ascending] * np.arange(p.size, 0, -1)
    adjusted = np.empty_like(p)
    adjusted[ascending] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def rejected(p_values: npt.ArrayLike, alpha: float) -> npt.NDArray[np.bool_]:
    """Which hypotheses fall, with a chance of at most alpha that any true one does; shape (m,)."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha} must be between 0 and 1")
    fallen: npt.NDArray[np.bool_] = holm(p_values) <= alpha
    return fallen


def judge_all(evidence: Sequence[Evidence], alpha_fail: float, alpha_pass: float) -> tuple[Decision, ...]:
    """A decision for every limit of one gate, in their order.

    Args:
        evidence: of all limits that one verdict rests on; kinds of limits may be mixed.
        alpha_fail: the chance of any FAIL that is allowed while all limits are kept.
        alpha_pass: the chance of a PASS that is allowed for each limit that is broken, and so for the gate. Both are
            this look's share where several are taken.

    >>> [decision.name for decision in judge_all([Evidence(0.02, 0.98), Evidence(0.9, 0.1)], 0.05, 0.05)]
    ['FAIL', 'UNDECIDED']
    """
    adjusted = holm([one.p_kept for one in evidence])
    return tuple(
        judge(Evidence(float(p_kept), one.p_broken), alpha_fail, alpha_pass)
        for p_kept, one in zip(adjusted, evidence, strict=True)
    )
