"""How many modes trials reach: over kimg, by hyperparameter, by seed. A seed that diverged reaches none.

Only trials that ended by themselves count, at their budget or by divergence. One that was stopped early drops
out of every kimg, also of those it was trained for: else the mean would rise as the worst are stopped.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.statistics.axes import binned, bins
from analysis.tables import SpaceResults
from study.metrics.failure import wilson_interval
from study.metrics.stability import student_interval

COVERAGE = "mode_coverage"
ENDED = ("completed", "diverged")  # by themselves


def has_modes(results: SpaceResults) -> bool:
    """Whether the data have modes, and some evaluation has counted them."""
    return COVERAGE in results.curves and bool(results.curves[COVERAGE].notna().any())


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and Student's 95% interval of fractions, one a configuration, cut to 0..1.

    No interval (NaN) of fewer than two, nor of equal ones, which say nothing of how others differ; of none,
    no mean either.
    """
    if not values:
        return np.nan, np.nan, np.nan
    found = student_interval(values) if len(set(values)) > 1 else None
    low, high = np.clip(found or (np.nan, np.nan), 0.0, 1.0).tolist()
    return float(np.mean(values)), low, high


def over_kimg(results: SpaceResults) -> pd.DataFrame:
    """Coverage at each evaluation, of trials that ended by themselves: kimg_planned, mean, low, high, trials.

    A trial's value is the mean of its seeds'; the interval takes configurations as independent.
    """
    ended = results.trials[results.trials["state"].isin(ENDED)]
    curves = results.curves[results.curves["trial_id"].isin(ended["trial_id"])]
    seeds = _reached(curves).groupby([curves["trial_id"], curves["kimg_planned"]])
    trials = seeds.mean().where(seeds.count() == seeds.size()).unstack()
    gone = trials.index.isin(ended.loc[ended["state"] == "diverged", "trial_id"])
    trials[gone] = trials[gone].fillna(0.0)  # after its end, too
    rows = []
    for kimg, column in trials.items():
        known = column.dropna().tolist()
        if known:
            mean, low, high = mean_interval(known)
            rows.append(
                {"kimg_planned": kimg, COVERAGE: mean, "low": low, "high": high, "trials": len(known)}
            )
    return pd.DataFrame(rows, columns=["kimg_planned", COVERAGE, "low", "high", "trials"])


def by_trial(results: SpaceResults) -> pd.DataFrame:
    """Coverage at the end of each trial that ended by itself, with its hyperparameters.

    Mean, worst and best of the seeds (`mode_coverage`, `low`, `high`), `seeds` and how many `diverged`.
    """
    ended = results.trials[results.trials["state"].isin(ENDED)].set_index("trial_id")
    runs = results.runs[results.runs["trial_id"].isin(ended.index)]
    table = runs.assign(reached=_reached(runs), gone=_diverged(runs)).groupby("trial_id")
    found = pd.DataFrame(
        {
            COVERAGE: table["reached"].mean(),
            "low": table["reached"].min(),
            "high": table["reached"].max(),
            "seeds": table.size(),
            "diverged": table["gone"].sum(),
        }
    )[table["reached"].count() == table.size()]
    return ended[list(results.space.searched)].join(found, how="inner").reset_index()


def in_bins(results: SpaceResults, trials: pd.DataFrame, name: str) -> pd.DataFrame:
    """Mean coverage of the trials in each bin of an axis: bin, mode_coverage, low, high, trials.

    An empty bin has no mean. `trials`: of `by_trial`.
    """
    place = binned(results.space, name, trials)
    rows = []
    for number in range(len(bins(results.space.searched[name]))):
        values = trials.loc[(place == number).fillna(False), COVERAGE].tolist()
        rows.append((number, *mean_interval(values), len(values)))
    return pd.DataFrame(rows, columns=["bin", COVERAGE, "low", "high", "trials"])


def _reached(rows: pd.DataFrame) -> pd.Series:
    return rows[COVERAGE].astype(float).mask(_diverged(rows), 0.0)


def _diverged(rows: pd.DataFrame) -> pd.Series:
    return rows["diverged"].fillna(False).astype(bool)


class Share(NamedTuple):
    """How many were found of `n`, with Wilson's 95% interval."""

    found: int
    n: int
    low: float
    high: float


def all_covered(results: SpaceResults) -> Share | None:
    """Of the trials that ended, by their budget or with all seeds diverged, those that reach all modes in all
    seeds; None where no trial is completed.
    """
    found = by_trial(results)
    if results.completed.empty:
        return None
    count = int((found["low"] == 1.0).sum())
    return Share(count, len(found), *wilson_interval(count, len(found)))


def counts_of(results: SpaceResults, trial_id: str) -> pd.DataFrame:
    """Samples on each mode at each evaluation of a trial: seed, kimg, mode, samples (null: diverged)."""
    curve = results.curves_of(trial_id).sort_values(["seed", "evaluation"])
    modes = max((len(counts) for counts in curve["mode_counts"] if counts is not None), default=0)
    rows = [
        {"seed": seed, "kimg": kimg, "mode": mode, "samples": None if counts is None else counts[mode]}
        for seed, kimg, counts in zip(curve["seed"], curve["kimg"], curve["mode_counts"], strict=True)
        for mode in range(modes)
    ]
    return pd.DataFrame(rows, columns=["seed", "kimg", "mode", "samples"]).astype({"samples": float})


def extreme_seeds(results: SpaceResults, trial_id: str) -> list[int]:
    """The seed with the best score at a trial's end, then the one with the worst, if there are several."""
    runs = results.runs[(results.runs["trial_id"] == trial_id) & results.runs["score"].notna()]
    ranked = runs.sort_values("score", ascending=not results.higher_is_better, kind="stable")["seed"]
    return [int(seed) for seed in dict.fromkeys(ranked.iloc[[0, -1]])] if len(ranked) else []
