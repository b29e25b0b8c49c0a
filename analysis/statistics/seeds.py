"""What seeds can show: the t of paired differences, its power, and how many seeds would settle it.

A claim that was picked among several is corrected for all of them (Bonferroni): of n candidates the best
looks better than it is. Where many were tried, their variances inform each other (`moderated`); a difference
alone has Student's t.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from analysis.statistics.moderated import ALONE, Prior
from analysis.words import better, interval, number

LEVEL, POWER = 0.95, 0.8
MOST_SEEDS = 1000  # beyond it, no number of seeds is worth naming
ALIKE = 1e-9  # of the largest gain: a spread that is rounding


@dataclass(frozen=True)
class Difference:
    """The mean of `n` paired differences, and its interval at 95% corrected for so many comparisons.

    Attributes:
        low, high: None for a single pair, and where all pairs are alike: that is no certainty.
        sd: of the differences, moderated by the prior; None for a single pair.
        relative: the differences are of logarithms, and told as "94.0% lower".
    """

    mean: float
    low: float | None
    high: float | None
    sd: float | None
    n: int
    comparisons: int = 1
    prior: Prior = ALONE
    relative: bool = False

    @property
    def is_shown(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    @property
    def said(self) -> str:
        """'196 better', '94.0% lower'."""
        if self.relative:
            sign, word = (1, "lower") if self.mean >= 0 else (-1, "higher")
            return f"{number(-100 * sign * math.expm1(-self.mean))}% {word}"
        return better(self.mean)

    def amount(self, gain: float) -> str:
        """A gain on the scale that is told."""
        return f"{number(-100 * math.expm1(-gain))}%" if self.relative else number(gain)

    @property
    def words(self) -> str:
        corrected = f", corrected for {self.comparisons} comparisons" if self.comparisons > 1 else ""
        pairs = f"n = {self.n} seeds in pairs" if self.n > 1 else "n = 1 seed"
        pairs = f"geometric mean of {pairs}" if self.relative and self.n > 1 else pairs
        moderated = f", spread moderated by n = {self.prior.members} trials" if self.prior.df else ""
        return f"{self._interval}, {pairs}{moderated}{corrected}"

    @property
    def _interval(self) -> str:
        if not self.relative or self.low is None or self.high is None:
            return interval(self.low, self.high)
        low, high = (replace(self, mean=end) for end in (self.low, self.high))
        if self.low < 0 < self.high:  # 157% higher to 88.1% lower
            return f"95% interval {low.said} to {high.said}"
        return f"95% interval {self.amount(self.low)} to {self.amount(self.high)}"


def difference(
    gains: Sequence[float], comparisons: int = 1, prior: Prior = ALONE, relative: bool = False
) -> Difference:
    """The mean of paired differences (at least one) with its t interval, moderated and corrected."""
    from scipy.special import stdtrit

    n, mean = len(gains), float(np.mean(gains))
    found = Difference(mean, None, None, None, n, comparisons, prior, relative)
    if n < 2:
        return found
    own = float(np.var(gains, ddof=1))
    sd = math.sqrt(prior.moderate(np.array(own), n - 1))
    if math.isclose(sd, 0, abs_tol=ALIKE * max(map(abs, gains))):
        return replace(found, sd=sd)
    half = stdtrit(prior.df_with(n - 1), (1 + _level(comparisons)) / 2) * sd / math.sqrt(n)
    return replace(found, low=mean - half, high=mean + half, sd=sd)


def power(effect: float, sd: float, n: int, comparisons: int = 1, prior: Prior = ALONE) -> float:
    """How often the interval of n pairs shows a true difference, whose pairs' standard deviation is `sd`.

    That of the two-sided t test in the difference's own direction: the mean over what the pairs' variance can
    be (chi-square) of the chance that their mean is further than the interval is wide. The prior is taken at
    its degrees of freedom, and to be right.
    """
    from scipy.special import chdtri, ndtr, stdtrit

    if n < 2:
        return 0.0
    if not sd > 0:
        return float(effect != 0)
    at, weights = _quadrature()
    seen = chdtri(n - 1, 1 - at) / (n - 1)  # in variances
    critical = stdtrit(prior.df_with(n - 1), (1 + _level(comparisons)) / 2)
    widths = critical * np.sqrt(replace(prior, variance=1.0).moderate(seen, n - 1))
    return float(weights @ ndtr(abs(effect) * math.sqrt(n) / sd - widths))


def seeds_needed(
    effect: float, sd: float, comparisons: int = 1, prior: Prior = ALONE, wanted: float = POWER
) -> int | None:
    """The fewest seeds at which such a difference is shown in 80% of studies; None above MOST_SEEDS."""
    low, high = 1, 2
    while power(effect, sd, high, comparisons, prior) < wanted:
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = power(effect, sd, middle, comparisons, prior) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high


def detectable(sd: float, n: int, comparisons: int = 1, prior: Prior = ALONE, wanted: float = POWER) -> float:
    """The smallest true difference that n pairs (two or more) show in 80% of studies."""
    if not sd > 0:
        return 0.0
    low, high = 0.0, sd
    while power(high, sd, n, comparisons, prior) < wanted:
        low, high = high, 2 * high
    while high - low > 1e-3 * sd:
        middle = (low + high) / 2
        enough = power(middle, sd, n, comparisons, prior) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high


def _level(comparisons: int) -> float:
    return 1 - (1 - LEVEL) / comparisons


@cache
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Gauss and Legendre's points and weights on 0 to 1."""
    at, weights = np.polynomial.legendre.leggauss(128)
    return (at + 1) / 2, weights / 2
