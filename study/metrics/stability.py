"""Figures of one run's stability, and of a trial across its seeds. Plain numbers in and out.

Dispersion and risk follow Chan et al. 2020, "Measuring the Reliability of Reinforcement Learning
Algorithms", which takes higher as better; most of our metrics are lower-is-better, so each function
takes the direction.
"""

import math
from collections.abc import Sequence

import numpy as np

CVAR_SHARE = 0.25


def clamp_score(value: float | None, ceiling: float, higher_is_better: bool) -> float:
    """A member's score: its metric, but never worse than its untrained self.

    None or a non-finite value (the member diverged) scores `ceiling`, the value at kimg 0.
    """
    if value is None or not math.isfinite(value):
        return ceiling
    return max(value, ceiling) if higher_is_better else min(value, ceiling)


def cvar(scores: Sequence[float], higher_is_better: bool) -> float:
    """Conditional value at risk: the mean of the worst quarter of `scores` (at least one)."""
    worst_first = sorted(scores, reverse=not higher_is_better)
    return float(np.mean(worst_first[: max(1, math.ceil(CVAR_SHARE * len(scores)))]))


def aggregate(scores: Sequence[float], how: str, higher_is_better: bool) -> float:
    """The seeds' scores as one objective: 'mean', 'median' or 'cvar'."""
    if how == "cvar":
        return cvar(scores, higher_is_better)
    return float(np.median(scores) if how == "median" else np.mean(scores))


def iqr(values: Sequence[float]) -> float:
    """Interquartile range, with linear interpolation between order statistics."""
    low, high = np.percentile(values, [25, 75])
    return float(high - low)


def dispersion(curve: Sequence[float], scale: float) -> float | None:
    """IQR of the differenced curve, over `scale` (the range from floor to ceiling).

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


def wilson_interval(failures: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95% score interval for a rate (Wilson 1927): it stays in [0, 1] and works at 0 and n.

    Raises:
        ValueError: n is not positive or failures is not within 0..n.
    """
    if not 0 <= failures <= n or n < 1:
        raise ValueError(f"{failures} failures of {n} is not a rate")
    p = failures / n
    denominator = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / denominator
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / denominator
    return max(0.0, centre - half), min(1.0, centre + half)
