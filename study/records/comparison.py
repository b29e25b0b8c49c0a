"""Two trials, seed by seed, at equal training; in one study seed k has the same weights and data in both."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

KIMG, SECONDS = "kimg_planned", "train_seconds"  # the clocks at which trials are compared


@dataclass(frozen=True)
class Pairs:
    """The seeds that two trials share, and their scores at the same moment `at` of a clock.

    Attributes:
        one, other: a score a seed.
    """

    at: float
    seeds: Sequence[int]
    one: Sequence[float]
    other: Sequence[float]

    def gains(self, higher_is_better: bool) -> list[float]:
        """How much better the one is, of each seed."""
        sign = 1 if higher_is_better else -1
        return [sign * (a - b) for a, b in zip(self.one, self.other, strict=True)]


def pair(one: pd.DataFrame, other: pd.DataFrame, clock: str = KIMG) -> Pairs | None:
    """Both trials' scores at the last moment to which both were trained; None where that is none.

    A trial that has diverged with all its seeds keeps its score for ever. Between two evaluations a score is
    taken on the line from one to the other.

    Args:
        one, other: rows of `curves` of one trial each.
        clock: KIMG, or SECONDS of training.
    """
    if one.empty or other.empty:
        return None
    reached = min(_reach(one, clock), _reach(other, clock))
    at = reached if math.isfinite(reached) else max(one[clock].max(), other[clock].max())
    seeds = sorted({*one["seed"]} & {*other["seed"]})
    if not at > 0 or not seeds:
        return None
    both = [[_score_at(rows[rows["seed"] == seed], at, clock) for seed in seeds] for rows in (one, other)]
    return Pairs(float(at), [int(seed) for seed in seeds], *both)


def _reach(rows: pd.DataFrame, clock: str) -> float:
    """Until when the scores of a trial are known."""
    last = rows[rows["evaluation"] == rows["evaluation"].max()]
    return math.inf if last["diverged"].all() else float(last[clock].max())


def _score_at(curve: pd.DataFrame, at: float, clock: str) -> float:
    """The score of one seed; np.interp goes on with the last one after the end."""
    rows = curve.sort_values("evaluation")
    return float(np.interp(at, rows[clock].to_numpy(float), rows["score"].to_numpy(float)))
