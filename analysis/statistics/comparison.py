"""Spaces against each other at equal training, and the trials that no other beats in every respect."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.statistics.seeds import Difference, difference
from analysis.tables import SpaceResults
from study.records.comparison import KIMG, SECONDS, pair

MACHINE = ("cpus", "cpu_name", "gpus")
COVERAGES = ("mode_coverage", "prdc_coverage", "recall", "improved_recall")


@dataclass(frozen=True)
class Against:
    """The best trials of two spaces at the same moment of a clock, and how much better the one is.

    Attributes:
        clock: KIMG, or SECONDS of training, which are one seed's.
        gain: positive where `one` is better; corrected for all pairs of spaces and both clocks and, where the
            one is the best of m times as many trials as the other, for m.
    """

    one: str
    other: str
    clock: str
    at: float
    gain: Difference


def on_one_machine(several: Sequence[SpaceResults]) -> bool:
    """Whether their seconds are of the same hardware, shared by as many trials."""

    def told(results: SpaceResults) -> str:
        hardware, plan = results.record.get("hardware") or {}, results.plan
        return repr([*(hardware.get(name) for name in MACHINE), *vars(plan.resources).values()])

    return len({told(results) for results in several}) == 1


def against_each_other(several: Sequence[SpaceResults]) -> list[Against]:
    """Each pair of spaces that have a best trial; seconds only where all are of one machine.

    Each best is chosen by the seeds that compare it. That flatters both, and evenly where both are the best
    of as many; else the larger space is m parts as large as the smaller, the best of which was chosen.
    """
    known = [(results, best) for results in several if (best := results.best) is not None]
    clocks = (KIMG, SECONDS) if on_one_machine(several) else (KIMG,)
    comparisons = len(known) * (len(known) - 1) // 2 * len(clocks)
    found = []
    for (a, best_a), (b, best_b) in combinations(known, 2):
        for clock in clocks:
            pairs = pair(seed_curves(a, best_a), seed_curves(b, best_b), clock)
            if pairs is not None:
                corrected = comparisons * parts(len(a.trials), len(b.trials))
                paired = a.plan.seed == b.plan.seed  # else seed k is another one to each
                gain = difference(pairs.gains(a.higher_is_better), corrected, paired=paired)
                found.append(Against(a.label, b.label, clock, pairs.at, gain))
    return found


def parts(one: int, other: int) -> int:
    """How many times as many the larger number is, rounded up."""
    return math.ceil(max(one, other) / min(one, other))


def seed_curves(results: SpaceResults, trial_id: str) -> pd.DataFrame:
    """A trial's curves with the seconds of one seed: those of all, shared evenly."""
    curves = results.curves_of(trial_id)
    return curves.assign(**{SECONDS: curves[SECONDS] / max(1, curves["seed"].nunique())})


def respects(results: SpaceResults) -> tuple[pd.DataFrame, str | None]:
    """What the trials trained to their end, or diverged, are judged by; and the measure of coverage, if any.

    Columns: trial_id, space, objective, coverage, failure_rate. A seed that diverged covers nothing.
    """
    rows = results.trials[results.trials["failure_rate"].notna() & results.trials["objective"].notna()]
    table = rows[["trial_id", "objective", "failure_rate"]].assign(space=results.label)
    name = next((name for name in COVERAGES if name in results.runs), None)
    if name is None:
        return table, None
    runs = results.runs[["trial_id", name, "diverged"]]
    covered = runs[name].astype(float).mask(runs["diverged"].fillna(False).astype(bool), 0.0)
    by_trial = covered.groupby(runs["trial_id"]).mean()
    return table.assign(coverage=table["trial_id"].map(by_trial)).dropna(subset=["coverage"]), name


def pareto_front(costs: np.ndarray) -> np.ndarray:
    """Which rows (n, d) no other row is at least as low as in every column and lower in one; (n,) bool."""
    order = np.lexsort(costs.T[::-1])
    front: list[int] = []
    for row in order:  # who beats it comes before it
        kept = costs[front]
        if not len(kept) or not ((kept <= costs[row]).all(1) & (kept < costs[row]).any(1)).any():
            front.append(row)
    is_front = np.zeros(len(costs), dtype=bool)
    is_front[front] = True
    return is_front
