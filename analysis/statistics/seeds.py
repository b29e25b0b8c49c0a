"""What seeds can show: the t of paired differences, its power, and how many seeds would settle it.

A claim that was picked among several is corrected for all of them (Bonferroni): of n candidates the best
looks better than it is. Where many were tried, their variances inform each other (`moderated`); a difference
alone has Student's t.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from analysis.statistics.moderated import ALONE, Prior
from analysis.words import interval, number

LEVEL, POWER = 0.95, 0.8
MOST_PERCENT = 999_999  # that are told: beyond it, a number says no more
MOST_SEEDS = 1000  # beyond it, no number of seeds is worth naming
ALIKE = 1e-9  # of the largest gain: a spread that is rounding


@dataclass(frozen=True)
class Spread:
    """The variance of paired differences, in two parts of which not equally much is known.

    Attributes:
        variance: of the one's own part; `prior`: what other trials' variances told of it.
        shared: of the other's part, which all differences to it share: its own seeds alone tell of it.
    """

    variance: float
    prior: Prior = ALONE
    shared: float = 0.0

    @property
    def sd(self) -> float:
        """Of a difference."""
        return math.sqrt(self.variance + self.shared)

    def df(self, n: int) -> float:
        """Degrees of freedom with n pairs."""
        return float(self._df(np.array(self.variance), np.array(self.shared), n))

    def _df(self, variance: np.ndarray, shared: np.ndarray, n: int) -> np.ndarray:
        """Of such parts (Satterthwaite 1946; Welch 1947)."""
        spent = variance**2 / self.prior.df_with(n - 1) + shared**2 / (n - 1)
        return np.asarray((variance + shared) ** 2 / spent)

    def seen(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What n pairs may see of it: variances of a difference, degrees of freedom, and their weights.

        One part varies as chi-square does, the one that less is known of; the other is taken to be right.
        """
        from scipy.special import chdtri

        at, weights = _quadrature()
        known = n - 1 if self.shared else self.prior.df_with(n - 1)
        varied = chdtri(known, 1 - at) / known
        own = np.ones_like(varied) if self.shared else varied
        variance, shared = self.variance * own, self.shared * varied
        return variance + shared, self._df(variance, shared, n), weights


@dataclass(frozen=True)
class Difference:
    """The mean of `n` differences, and its interval at 95% corrected for so many comparisons.

    Attributes:
        low, high: None for a single pair, and where all pairs are alike: that is no certainty.
        spread: None for a single pair.
        relative: the differences are of logarithms, and told as "94.0% lower".
        paired: seed k means the same first weights and data to both.
    """

    mean: float
    low: float | None
    high: float | None
    spread: Spread | None
    n: int
    comparisons: int = 1
    relative: bool = False
    paired: bool = True

    @property
    def is_shown(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    @property
    def said(self) -> str:
        """'196 better', '94.0% lower'."""
        return self.told(self.mean)

    def told(self, gain: float) -> str:
        """A gain on the scale and in the direction that are told."""
        better, worse = ("lower", "higher") if self.relative else ("better", "worse")
        return f"{self._amount(gain)} {better if gain >= 0 else worse}"

    def _amount(self, gain: float) -> str:
        if not self.relative:
            return number(abs(gain))
        percent = abs(100 * math.expm1(-gain))
        most = 99.9 if gain > 0 else MOST_PERCENT
        return f"over {most:,}%" if percent > most else f"{number(percent)}%"

    @property
    def words(self) -> str:
        """The interval, its n, and what it is corrected for."""
        if self.n < 2:
            return "no interval, n = 1 seed"
        of = f"n = {self.n} seeds" + (" in pairs" if self.paired else "")
        parts = [self._interval, of]
        if self.spread is not None and self.spread.prior.df:
            parts.append(f"spread moderated by n = {self.spread.prior.members} trials")
        if self.comparisons > 1:
            parts.append(f"corrected for {self.comparisons} comparisons")
        return ", ".join(parts)

    @property
    def _interval(self) -> str:
        if self.low is None or self.high is None:
            return interval(None, None)
        small, large = sorted((self.low, self.high), key=abs)
        if self.low < 0 < self.high:
            return f"95% interval {self.told(self.low)} to {self.told(self.high)}"
        return f"95% interval {self._amount(small)} to {self.told(large)}"


def difference(
    gains: Sequence[float],
    comparisons: int = 1,
    spread: Spread | None = None,
    relative: bool = False,
    paired: bool = True,
) -> Difference:
    """The mean of differences (at least one) with its t interval, corrected.

    `spread`: of the differences, where more than they themselves tells of it.
    """
    from scipy.special import stdtrit

    n, mean = len(gains), float(np.mean(gains))
    if n < 2:
        return Difference(mean, None, None, None, n, comparisons, relative, paired)
    spread = spread or Spread(float(np.var(gains, ddof=1)))
    if math.isclose(spread.sd, 0, abs_tol=ALIKE * max(map(abs, gains))):
        return Difference(mean, None, None, spread, n, comparisons, relative, paired)
    half = stdtrit(spread.df(n), (1 + _level(comparisons)) / 2) * spread.sd / math.sqrt(n)
    return Difference(mean, mean - half, mean + half, spread, n, comparisons, relative, paired)


def power(effect: float, spread: Spread, n: int, comparisons: int = 1) -> float:
    """How often the interval of n pairs shows a true difference of such a spread.

    That of the two-sided t test in the difference's own direction: the mean over what the pairs may see of
    the spread of the chance that their mean is further than the interval is wide.
    """
    from scipy.special import ndtr, stdtrit

    if n < 2:
        return 0.0
    if not spread.sd > 0:
        return float(effect != 0)
    variances, df, weights = spread.seen(n)
    widths = stdtrit(df, (1 + _level(comparisons)) / 2) * np.sqrt(variances) / spread.sd
    return float(weights @ ndtr(abs(effect) * math.sqrt(n) / spread.sd - widths))


def seeds_needed(effect: float, spread: Spread, comparisons: int = 1, wanted: float = POWER) -> int | None:
    """The fewest seeds at which such a difference is shown in 80% of studies; None above MOST_SEEDS."""
    low, high = 1, 2
    while power(effect, spread, high, comparisons) < wanted:
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = power(effect, spread, middle, comparisons) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high


def detectable(spread: Spread, n: int, comparisons: int = 1, wanted: float = POWER) -> float:
    """The smallest true difference that n pairs (two or more) show in 80% of studies."""
    sd = spread.sd
    if not sd > 0:
        return 0.0
    low, high = 0.0, sd
    while power(high, spread, n, comparisons) < wanted:
        low, high = high, 2 * high
    while high - low > 1e-3 * sd:
        middle = (low + high) / 2
        enough = power(middle, spread, n, comparisons) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high


def _level(comparisons: int) -> float:
    return 1 - (1 - LEVEL) / comparisons


@cache
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Gauss and Legendre's points and weights on 0 to 1."""
    at, weights = np.polynomial.legendre.leggauss(128)
    return (at + 1) / 2, weights / 2
