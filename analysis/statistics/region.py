"""The part of a space where runs diverge more than elsewhere, if one can be told.

A region is a half of one hyperparameter's axis, or the corner of two. Whether it differs from chance is
judged by permuting what became of the configurations: the largest difference of all regions that are looked
at, against the largest of as many under chance, so that looking at many regions raises no false alarm
(Westfall and Young 1993). Each condition of a corner must matter within the other.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics.axes import binned, bins
from analysis.statistics.stability import failure, known
from analysis.tables import SpaceResults
from study.metrics.failure import DIVERGED, Failure

LEAST = 24  # configurations: with fewer nothing is claimed
LEAST_INSIDE = 4
PARTS = 8  # of a range, at whose ends a region may begin
LEVEL = 0.01  # of a region of one condition: a report makes more claims than this one
SECOND_LEVEL = 0.05  # of each condition within the other
PERMUTATIONS = 999


@dataclass(frozen=True)
class Condition:
    """A half of an axis: from `bound` up, or up to `bound`; or one value of those without an order."""

    name: str
    side: str  # above, below, at least, at most, or is
    bound: float | str

    def __str__(self) -> str:
        bound = self.bound if isinstance(self.bound, str) else f"{self.bound:.2g}"
        return f"{self.name} {self.side} {bound}"


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


def riskiest(results: SpaceResults, generator: np.random.Generator) -> Region | None:
    """The region that diverges more than the rest; None where chance alone might show it."""
    runs = known(results.runs)
    scores = excess(runs, results.plan.kimg)
    if len(scores) < LEAST or runs.loc[runs["end"] == DIVERGED, "trial_id"].nunique() < 2:
        return None
    trials = results.trials.set_index("trial_id").loc[scores.index]
    halves = _halves(results, trials)
    y = scores.to_numpy()
    everywhere = np.ones(len(y), dtype=bool)
    first, p = _strongest(halves, everywhere, y, generator)
    if first is None or p > LEVEL:
        return None
    chosen = _corner(halves, first, y, generator) or (first,)
    inside = np.logical_and.reduce([halves[condition] for condition in chosen])
    within = runs["trial_id"].isin(scores.index[inside])
    kimg = results.plan.kimg
    return Region(chosen, failure(runs[within], kimg, generator), failure(runs[~within], kimg, generator), p)


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


def _strongest(
    halves: dict[Condition, np.ndarray], among: np.ndarray, y: np.ndarray, generator: np.random.Generator
) -> tuple[Condition | None, float]:
    """Of the trials `among`, the condition whose part diverges most, and its p value."""
    conditions = [c for c, met in halves.items() if _is_large(met[among])]
    if not conditions:
        return None, 1.0
    met = np.array([halves[condition][among] for condition in conditions], dtype=np.float32)
    values = y[among]
    seen = _differences(met, values[None])[0]
    best = int(seen.argmax())
    chance = np.concatenate(
        [
            _differences(met, generator.permuted(np.tile(values, (111, 1)), axis=1)).max(axis=1)
            for _ in range(PERMUTATIONS // 111)
        ]
    )
    return conditions[best], float((1 + (chance >= seen[best] - 1e-6).sum()) / (1 + len(chance)))


def _is_large(met: np.ndarray) -> bool:
    return LEAST_INSIDE <= met.sum() <= len(met) - LEAST_INSIDE


def _differences(met: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(draws, parts): how far a part's sum is above its mean under chance, in standard deviations."""
    n, inside = met.shape[1], met.sum(axis=1)
    y = (y - y.mean(axis=1, keepdims=True)).astype(np.float32)
    spread = np.sqrt((y[0] ** 2).mean() * inside * (n - inside) / max(1, n - 1))
    return (y @ met.T) / np.maximum(spread, 1e-9)


def _corner(
    halves: dict[Condition, np.ndarray], first: Condition, y: np.ndarray, generator: np.random.Generator
) -> tuple[Condition, Condition] | None:
    """The corner of two axes, where each condition matters within the other."""
    others = {c: met for c, met in halves.items() if c.name != first.name}
    second, p = _strongest(others, halves[first], y, generator)
    if second is None or p > SECOND_LEVEL:
        return None
    own = {c: met for c, met in halves.items() if (c.name, c.side) == (first.name, first.side)}
    _, p = _strongest(own, halves[second], y, generator)
    if p > SECOND_LEVEL:
        return None
    pairs = [
        (a, b)
        for a in own
        for b in others
        if (b.name, b.side) == (second.name, second.side) and _is_large(halves[a] & halves[b])
    ]
    met = np.array([halves[a] & halves[b] for a, b in pairs], dtype=np.float32)
    return pairs[int(_differences(met, y[None])[0].argmax())]
