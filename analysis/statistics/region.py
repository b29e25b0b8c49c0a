"""The part of a space where runs diverge more than elsewhere, if one can be told.

A region is a half of one hyperparameter's axis, or the corner of two. Whether it differs from chance is
judged by permuting what became of the configurations: the largest difference of all regions that are looked
at, against the largest of as many under chance, so that looking at many regions raises no false alarm
(Westfall and Young 1993). Each condition of a corner must matter within the other.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.statistics.axes import binned, bins, short
from analysis.statistics.stability import failure_in, known
from analysis.tables import SpaceResults
from study.metrics.failure import DIVERGED, Failure

LEAST = 24  # configurations: with fewer nothing is claimed
MOST = 2000  # of more, so many are looked at, drawn at random
LEAST_INSIDE = 6  # configurations, and as many outside
PARTS = 8  # of a range, at whose ends a region may begin
LEVEL = 0.01  # of a region: a report makes more claims than this one
CONDITION_LEVEL = 0.02  # of each condition of a corner within the other
PERMUTATIONS, AT_ONCE = 999, 111


@dataclass(frozen=True)
class Condition:
    """A half of an axis: from `bound` up, or up to `bound`; or one value of those without an order."""

    name: str
    side: str  # above, below, at least, at most, or is
    bound: float | str

    def __str__(self) -> str:
        one = self.side in ("above", "below") and not isinstance(self.bound, str)
        return f"{self.name} {self.side} {short(float(self.bound)) if one else self.bound}"


@dataclass(frozen=True)
class Region:
    """Where runs diverge more, and how often there and elsewhere.

    It is chosen because runs diverge there: the rate inside is flattered upwards. `p`: chance would show
    a difference as large in one of the regions looked at.
    """

    conditions: tuple[Condition, ...]
    inside: Failure
    outside: Failure
    p: float

    def __str__(self) -> str:
        return " and ".join(str(condition) for condition in self.conditions)


Regions = dict[tuple[Condition, ...], np.ndarray]  # with the trials in each


def riskiest(results: SpaceResults, generator: np.random.Generator) -> Region | None:
    """The region that diverges more than the rest; None where chance alone might show it."""
    runs = known(results.runs)
    scores = excess(runs, results.plan.kimg)
    if len(scores) > MOST:
        scores = scores.sample(MOST, random_state=generator)
        runs = runs[runs["trial_id"].isin(scores.index)]
    if len(scores) < LEAST or runs.loc[runs["end"] == DIVERGED, "trial_id"].nunique() < 2:
        return None
    trials = results.trials.set_index("trial_id").loc[scores.index]
    halves = _halves(results, trials)
    singles: Regions = {(condition,): met for condition, met in halves.items()}
    corners: Regions = {
        (a, b): halves[a] & halves[b]
        for a, b in combinations(halves, 2)
        if a.name != b.name  # and a comes before b in the space
    }
    y, everywhere = scores.to_numpy(), np.ones(len(scores), dtype=bool)
    chosen, p = _strongest({**singles, **corners}, everywhere, y, generator)
    if p <= LEVEL and len(chosen) == 2 and not _both_matter(halves, chosen, y, generator):
        chosen, p = _strongest(singles, everywhere, y, generator)
    if p > LEVEL:
        return None
    inside = np.logical_and.reduce([halves[condition] for condition in chosen])
    within = runs["trial_id"].isin(scores.index[inside])
    kimg = results.plan.kimg
    return Region(
        chosen, failure_in(runs[within], kimg, generator), failure_in(runs[~within], kimg, generator), p
    )


def excess(runs: pd.DataFrame, kimg: float) -> pd.Series:
    """Per configuration, how many of its runs diverged within `kimg`, less what chance had in store for them.

    That is the cumulated hazard of all runs up to where each ended (Nelson and Aalen), so that a run that
    was stopped early counts for as long as it was seen: the scores of the log-rank test.
    """
    time = runs["kimg_at_risk"].to_numpy(float).clip(max=kimg)
    diverged = (runs["end"] == DIVERGED).to_numpy() & (runs["kimg_at_risk"].to_numpy(float) <= kimg)
    moments, events = np.unique(time[diverged], return_counts=True)
    at_risk = len(time) - np.searchsorted(np.sort(time), moments, side="left")
    hazard = np.concatenate([[0.0], np.cumsum(events / at_risk)])
    expected = hazard[np.searchsorted(moments, time, side="right")]
    return pd.Series(diverged - expected, index=runs["trial_id"].to_numpy()).groupby(level=0).sum()


def _halves(results: SpaceResults, trials: pd.DataFrame) -> dict[Condition, np.ndarray]:
    """Every condition that is looked at, with the trials that meet it."""
    found = {}
    for name, searched in results.space.searched.items():
        parts = bins(searched, PARTS)
        place = binned(results.space, name, trials, PARTS).astype(float).to_numpy()  # NaN meets none
        if any(isinstance(part.low, str) for part in parts):
            met = {Condition(name, "is", part.low): place == k for k, part in enumerate(parts)}
        else:
            whole = parts[0].low == parts[0].high
            words = ("at least", "at most") if whole else ("above", "below")
            met = {}
            for k in range(1, len(parts)):
                met[Condition(name, words[0], parts[k].low)] = place >= k
                met[Condition(name, words[1], parts[k - 1].high)] = place < k
        found.update(met)
    return found


def _both_matter(
    halves: dict[Condition, np.ndarray],
    corner: tuple[Condition, ...],
    y: np.ndarray,
    generator: np.random.Generator,
) -> bool:
    """Whether each condition of a corner is what matters most within the other, beyond chance."""
    for one, other in (corner, corner[::-1]):
        rest: Regions = {
            (condition,): met for condition, met in halves.items() if condition.name != other.name
        }
        strongest, p = _strongest(rest, halves[other], y, generator)
        if p > CONDITION_LEVEL or (strongest[0].name, strongest[0].side) != (one.name, one.side):
            return False
    return True


def _strongest(
    regions: Regions,
    among: np.ndarray,
    y: np.ndarray,
    generator: np.random.Generator,
) -> tuple[tuple[Condition, ...], float]:
    """Of the trials `among`, the region that diverges most beyond the others, and its p value."""
    large = {region: met[among] for region, met in regions.items() if _is_large(met[among])}
    if not large:
        return (), 1.0
    met, values = np.array(list(large.values()), dtype=np.float32), y[among]
    seen = _differences(met, values[None])[0]
    best = int(seen.argmax())
    draws = [
        _differences(met, generator.permuted(np.tile(values, (AT_ONCE, 1)), axis=1)).max(axis=1)
        for _ in range(PERMUTATIONS // AT_ONCE)
    ]
    as_large = int((np.concatenate(draws) >= seen[best] - 1e-4).sum())
    return list(large)[best], (1 + as_large) / (1 + PERMUTATIONS)


def _is_large(met: np.ndarray) -> bool:
    return LEAST_INSIDE <= met.sum() <= len(met) - LEAST_INSIDE


def _differences(met: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(draws, parts): how far a part's sum is above its mean under chance, in standard deviations."""
    n, inside = met.shape[1], met.sum(axis=1)
    y = (y - y.mean(axis=1, keepdims=True)).astype(np.float32)
    spread = np.sqrt((y[0] ** 2).mean() * inside * (n - inside) / max(1, n - 1))
    return (y @ met.T) / np.maximum(spread, 1e-9)
