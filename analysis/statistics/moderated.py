"""Variances that inform each other (Smyth 2004, "Linear models and empirical Bayes methods").

Two seeds tell next to nothing of one gain's spread, but a table has many gains.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST = 4  # variances that have something to tell each other


@dataclass(frozen=True)
class Prior:
    """What the variances of a table's gains have in common.

    Attributes:
        df: degrees of freedom that it is worth, Smyth's d0: 0 leaves each variance alone (Student's t),
            infinity takes all for one.
        variance: Smyth's s0 squared.
        members: variances that it was fitted to.
    """

    df: float
    variance: float
    members: int

    def df_with(self, own: int) -> float:
        """Degrees of freedom of a moderated variance; no more than all members have together (limma)."""
        return min(self.df + own, self.members * own)

    def moderate(self, variance: np.ndarray, own: int) -> np.ndarray:
        """Smyth's posterior variance, or the own one where that is wider.

        The best of many is chosen for its luck, which is greatest where the spread is: others may widen its
        interval and never narrow its spread.
        """
        trust = 1.0 if math.isinf(self.df) else self.df / (self.df + own)
        return np.maximum(variance, trust * self.variance + (1 - trust) * variance)


ALONE = Prior(0.0, 0.0, 1)


def prior(variances: Sequence[float], own: int) -> Prior:
    """Fitted to the moments of log variances with `own` degrees of freedom each (Smyth 2004, section 6.2).

    Variances of zero are of pairs that are all alike, and left out; ALONE for fewer than FEWEST.
    Where the variances differ by no more than chance, all are one: their mean (limma's `fitFDist`).
    """
    from scipy.special import digamma, polygamma

    known = np.array([variance for variance in variances if variance > 0])
    if own < 1 or len(known) < FEWEST:
        return ALONE
    logs = np.log(known)
    excess = float(logs.var(ddof=1) - polygamma(1, own / 2))
    if excess <= 0:
        return Prior(math.inf, float(known.mean()), len(known))
    half = trigamma_inverse(excess)
    shift = digamma(half) - math.log(half) - digamma(own / 2) + math.log(own / 2)
    return Prior(2 * half, math.exp(logs.mean() + shift), len(known))


def trigamma_inverse(value: float) -> float:
    """Newton's method on 1 / trigamma, convex: from below, no step goes too far (Smyth, appendix)."""
    from scipy.special import polygamma

    found = 0.5 + 1 / value
    for _ in range(50):
        trigamma = polygamma(1, found)
        step = trigamma * (1 - trigamma / value) / polygamma(2, found)
        found += step
        if abs(step) < 1e-10 * found:
            break
    return float(found)
