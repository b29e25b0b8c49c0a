"""How often runs diverge, over training and by hyperparameter, and how else they fail.

The seeds of a configuration share its fate: configurations are resampled and counted, and never runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics.axes import Bin, binned, bins
from analysis.tables import SpaceResults
from study.metrics.failure import (
    COVERAGE,
    DIVERGED,
    Failure,
    failure_within,
    weighted_survival,
    wilson_interval,
)

RESAMPLES = 500
MOMENTS = 200  # at which a survival curve is read, where there are more
FAILINGS: Mapping[str, str] = {
    "n_never_learned": "never learned",
    "n_never_covered": "never covered",
    "n_collapsed": "collapsed",
}


def known(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of which it is known how they ended and for how long they were at risk."""
    return runs[runs["end"].notna() & runs["kimg_at_risk"].notna()]


def failure_in(runs: pd.DataFrame, kimg: float, generator: np.random.Generator) -> Failure:
    """The share of runs that diverge within `kimg`; with fewer resamples where there are many."""
    columns = known(runs)[["trial_id", "end", "kimg_at_risk"]]
    resamples = 1000 if len(columns) < 1000 else 200
    return failure_within(kimg, columns.to_dict("records"), generator, resamples)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Survival:
    """The share of runs that have not diverged, over training (Kaplan and Meier 1958).

    Attributes:
        kimg: (T,) moments, from 0, at which runs diverged or ended.
        alive, low, high: (T,) share and 95% interval.
        at_risk: (T,) runs that had neither diverged nor ended by then.
        configurations, runs, diverged: how many there were.
    """

    kimg: np.ndarray
    alive: np.ndarray
    low: np.ndarray
    high: np.ndarray
    at_risk: np.ndarray
    configurations: int
    runs: int
    diverged: int


def survival(
    runs: pd.DataFrame, kimg: float, generator: np.random.Generator, resamples: int = RESAMPLES
) -> Survival | None:
    """The survival curve of a space's runs up to `kimg`, as far as a run was seen; None without a run.

    Its band comes from resampling configurations; where no run, or every run, has diverged, it is Wilson's
    interval of the configurations at risk, of which every resample says the same.
    """
    from scipy.stats import CensoredData, ecdf

    rows = known(runs)
    if rows.empty:
        return None
    rows = rows.assign(alive=rows["end"] != DIVERGED).sort_values(["kimg_at_risk", "alive"])
    time, diverged = rows["kimg_at_risk"].to_numpy(float), ~rows["alive"].to_numpy(bool)
    group, names = pd.factorize(rows["trial_id"])
    moments = np.unique([0.0, *time[time <= kimg], min(kimg, time[-1])])
    if len(moments) > MOMENTS:
        moments = np.linspace(0.0, moments[-1], MOMENTS)
    curve = ecdf(CensoredData(uncensored=time[diverged], right=time[~diverged])).sf
    alive = np.asarray(curve.evaluate(moments), dtype=float)
    share = np.full(len(names), 1 / len(names))
    drawn = generator.multinomial(len(names), share, size=resamples)
    places = np.searchsorted(time, moments, side="right")
    low, high = np.quantile(
        [weighted_survival(weights[group], diverged)[places] for weights in drawn],
        [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2],
        axis=0,
    )
    last = pd.Series(time).groupby(group).max().to_numpy()
    for at in np.flatnonzero((alive == 0) | (alive == 1)):
        n = int((last >= moments[at]).sum()) if alive[at] else len(names)
        low[at], high[at] = wilson_interval(n if alive[at] else 0, n)
    at_risk = len(time) - np.searchsorted(time, moments, side="left")
    low, high = np.minimum(low, alive), np.maximum(high, alive)
    return Survival(moments, alive, low, high, at_risk, len(names), len(rows), int(diverged.sum()))


def failure_by(
    results: SpaceResults, name: str, generator: np.random.Generator
) -> list[tuple[Bin, Failure | None]]:
    """How often runs diverge in each bin of a hyperparameter; None in a bin without a run."""
    runs = known(results.runs)
    place = binned(results.space, name, runs)
    return [
        (bin_, failure_in(rows, results.plan.kimg, generator) if len(rows) else None)
        for number, bin_ in enumerate(bins(results.space.searched[name]))
        for rows in [runs[place.eq(number).fillna(False).astype(bool)]]
    ]


def failure_by_pair(
    results: SpaceResults, first: str, second: str, generator: np.random.Generator
) -> dict[tuple[int, int], Failure]:
    """How often runs diverge in each cell of two hyperparameters' bins: the cells that have runs."""
    runs = known(results.runs)
    places = [binned(results.space, name, runs).rename(name) for name in (first, second)]
    cells = runs.groupby(places)
    return {
        (int(a), int(b)): failure_in(rows, results.plan.kimg, generator)  # type: ignore[call-overload]
        for (a, b), rows in cells  # pandas leaves out those without a place
    }


@dataclass(frozen=True)
class Count:
    """Configurations of which a seed failed in one way, with Wilson's 95% interval of their share."""

    failing: str
    count: int
    n: int
    low: float
    high: float


def failings(results: SpaceResults) -> list[Count]:
    """In how many configurations a seed never learned, never covered or collapsed.

    Of those that were trained to their budget or diverged: the others had less time to learn.
    """
    trials = results.trials[results.trials["state"].isin(["completed", "diverged"])]
    found = []
    for column, failing in FAILINGS.items():
        values = trials[column].dropna()
        if len(values):
            count = int((values > 0).sum())
            found.append(Count(failing, count, len(values), *wilson_interval(count, len(values))))
    return found
