"""Figures of one run's stability, and of a trial across its seeds. Plain numbers in and out.

Dispersion and risk follow Chan et al. 2020, "Measuring the Reliability of Reinforcement Learning
Algorithms", which takes higher as better; most of our metrics are lower-is-better, so each function
takes the direction. How often runs diverge is in failure.py.
"""

import math
from collections.abc import Sequence
from statistics import quantiles

import numpy as np

CVAR_SHARE = 0.25
LEARNED_SHARE = 0.1  # of the way from the untrained generator to real data
KEPT_SHARE = 0.5  # of mode coverage: of what real data covers, or of a run's own best


def clamp_score(value: float | None, price: float, higher_is_better: bool) -> float:
    """A member's score: its metric, but never worse than the price of a divergence.

    None or a non-finite value (the member diverged) scores `price`.
    """
    if value is None or not math.isfinite(value):
        return price
    return max(value, price) if higher_is_better else min(value, price)


def worst(values: Sequence[float], higher_is_better: bool) -> float:
    return min(values) if higher_is_better else max(values)


def cvar(scores: Sequence[float], higher_is_better: bool) -> float:
    """Conditional value at risk: the mean of the worst quarter of `scores` (at least one)."""
    worst_first = sorted(scores, reverse=not higher_is_better)
    return float(np.mean(worst_first[: max(1, math.ceil(CVAR_SHARE * len(scores)))]))


def aggregate(scores: Sequence[float], how: str, higher_is_better: bool) -> float:
    """The seeds' scores as one objective: 'mean', 'median' or 'cvar'."""
    if how == "cvar":
        return cvar(scores, higher_is_better)
    return float(np.median(scores) if how == "median" else np.mean(scores))


def student_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Student's t interval of the mean of independent values (Student 1908); None for fewer than two.

    Of 3 seeds it covers the true mean 95 times in 100, a percentile bootstrap 73 times.
    """
    from scipy.special import stdtrit

    if len(values) < 2:
        return None
    half = stdtrit(len(values) - 1, (1 + level) / 2) * np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def iqr(values: Sequence[float]) -> float:
    """Interquartile range, with linear interpolation between order statistics; 0 of fewer than two values."""
    if len(values) < 2:
        return 0.0
    low, _, high = quantiles(values, n=4, method="inclusive")
    return high - low


def dispersion(curve: Sequence[float], scale: float) -> float | None:
    """IQR of the differenced curve, over `scale` (the range from the floor to the untrained generator).

    Chan et al. 2020, section 3, "dispersion across time". None when there are fewer than two points
    or the range is empty.
    """
    if len(curve) < 2 or not scale > 0:
        return None
    return iqr(np.diff(curve).tolist()) / scale


def drawdown(curve: Sequence[float], scale: float, higher_is_better: bool) -> float | None:
    """Largest loss from the best value so far, over `scale`; 0 for a curve that never gets worse.

    Chan et al. 2020, section 3, "risk across time" (there as CVaR of the drawdown). None as in
    `dispersion`.
    """
    if len(curve) < 2 or not scale > 0:
        return None
    gains = np.asarray(curve) * (1 if higher_is_better else -1)
    return float((np.maximum.accumulate(gains) - gains).max()) / scale


def learning_range(untrained: float | None, floor: float | None, higher_is_better: bool) -> float:
    """How far the untrained generator is from real data; 0 where it isn't worse, or where one is unknown."""
    if untrained is None or floor is None:
        return 0.0
    return max(0.0, floor - untrained if higher_is_better else untrained - floor)


def never_learned(curve: Sequence[float], scale: float, higher_is_better: bool) -> bool | None:
    """Whether a curve, the untrained generator's value first, never got a tenth of the way to the floor.

    `scale`: the `learning_range`. None where that is empty.
    """
    if not curve or not scale > 0:
        return None
    gains = np.asarray(curve) * (1 if higher_is_better else -1)
    return bool((gains - gains[0]).max() < LEARNED_SHARE * scale)


def never_covered(coverage: Sequence[float], real: float) -> bool | None:
    """Whether mode coverage never reached half of what real data covers; None for an empty curve."""
    return max(coverage) < KEPT_SHARE * real if coverage else None


def collapsed(coverage: Sequence[float], real: float) -> bool | None:
    """Whether it did reach that, and ended under half of its own best; None for an empty curve."""
    if not coverage:
        return None
    return not never_covered(coverage, real) and coverage[-1] < KEPT_SHARE * max(coverage)
