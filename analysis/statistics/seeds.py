"""What seeds can show: Student's t of paired differences, its power, and how many seeds would settle it.

A claim that was picked among several is corrected for all of them (Bonferroni): of n candidates the best
looks better than it is, and no more than 5 of 100 tables without a difference lead to a claim.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.words import interval
from study.metrics.stability import student_interval

LEVEL, POWER = 0.95, 0.8
MOST_SEEDS = 1000  # beyond it, no number of seeds is worth naming


@dataclass(frozen=True)
class Difference:
    """The mean of `n` paired differences, and its interval at 95% corrected for so many comparisons.

    Attributes:
        low, high: None for a single pair, and where all pairs are alike: that is no certainty.
        sd: of the differences; None for a single pair.
    """

    mean: float
    low: float | None
    high: float | None
    sd: float | None
    n: int
    comparisons: int = 1

    @property
    def is_shown(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    @property
    def words(self) -> str:
        corrected = f", corrected for {self.comparisons} comparisons" if self.comparisons > 1 else ""
        pairs = f"n = {self.n} seeds in pairs" if self.n > 1 else "n = 1 seed"
        return f"{interval(self.low, self.high)}, {pairs}{corrected}"


def difference(gains: Sequence[float], comparisons: int = 1) -> Difference:
    """The mean of paired differences (at least one) with Student's interval, corrected."""
    sd = float(np.std(gains, ddof=1)) if len(gains) > 1 else None
    if sd is None or math.isclose(sd, 0, abs_tol=1e-9 * max(map(abs, gains))):
        low, high = None, None
    else:
        low, high = student_interval(gains, _level(comparisons)) or (None, None)
    return Difference(float(np.mean(gains)), low, high, sd, len(gains), comparisons)


def power(effect: float, sd: float, n: int, comparisons: int = 1) -> float:
    """How often the interval of n pairs shows a true difference, whose pairs' standard deviation is `sd`.

    That of the two-sided t test in the difference's own direction: T is noncentral t (Johnson and Kotz
    1970, ch. 31) with n - 1 degrees of freedom around effect sqrt(n) / sd.
    """
    from scipy.special import nctdtr, stdtrit

    if n < 2:
        return 0.0
    if not sd > 0:
        return float(effect != 0)
    critical = stdtrit(n - 1, (1 + _level(comparisons)) / 2)
    return float(1 - nctdtr(n - 1, abs(effect) * math.sqrt(n) / sd, critical))


def seeds_needed(effect: float, sd: float, comparisons: int = 1, wanted: float = POWER) -> int | None:
    """The fewest seeds at which such a difference is shown in 80% of studies; None above MOST_SEEDS."""
    low, high = 1, 2
    while power(effect, sd, high, comparisons) < wanted:
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, sd, middle, comparisons) >= wanted else (middle, high)
    return high


def detectable(sd: float, n: int, comparisons: int = 1, wanted: float = POWER) -> float:
    """The smallest true difference that n pairs (two or more) show in 80% of studies."""
    if not sd > 0:
        return 0.0
    low, high = 0.0, sd
    while power(high, sd, n, comparisons) < wanted:
        low, high = high, 2 * high
    while high - low > 1e-3 * sd:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, sd, n, comparisons) >= wanted else (middle, high)
    return high


def _level(comparisons: int) -> float:
    return 1 - (1 - LEVEL) / comparisons
