"""What budget brings: the best of so many trials, the incumbent as it ran, how early a rung tells."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.tables import SpaceResults
from study.plan import SAMPLER, STARTUP

POINTS = 60  # of a curve
HALVES = 200
TOP_SHARE = 0.1  # Kurach et al. 2019: the best tenth
TOP_FEWEST = 5
FEWEST = 4  # trials that a rank correlation has an interval of


def expected_best(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """What the best of k of the n values is on average, for each k of `numbers`; lower is better.

    Drawn without replacement: sum_i C(n-i-1, k-1) v_(i) / C(n, k), of the sorted v from i = 0. It holds for
    trials of which none knew of another (random, quasi-random, a grid), not for a sampler that learns.

    Args:
        values: (..., n). numbers: (K,), each from 1 to n.

    Returns:
        (..., K).
    """
    from scipy.special import gammaln

    n = values.shape[-1]
    k, left = numbers[:, None], n - np.arange(n) - 1  # (K, 1), (n,): those that rank behind
    possible = left >= k - 1
    behind = np.where(possible, left, k - 1)

    def log_choose(a: np.ndarray | int, b: np.ndarray) -> np.ndarray:
        return np.asarray(gammaln(a + 1.0) - gammaln(b + 1.0) - gammaln(a - b + 1.0))

    weights = np.where(possible, np.exp(log_choose(behind, k - 1) - log_choose(n, k)), 0.0)
    return np.asarray(np.sort(values, axis=-1) @ weights.T)


def best_of(values: np.ndarray, generator: np.random.Generator) -> pd.DataFrame:
    """The expected best of k trials with its 95% interval: trials, best, low, high.

    The interval is the estimate with Student's t times its standard deviation over random halves of the
    trials (a bootstrap's duplicates hide the best). It ends at a quarter of the trials: up to there it covers
    in 89 to 96 of 100 studies of 14 to 63 trials, at half of them in 84 of 100.
    """
    from scipy.special import stdtrit

    n = len(values)
    numbers = np.unique(np.geomspace(1, n, POINTS).round().astype(int))
    best, half = expected_best(values, numbers), np.full(len(numbers), math.nan)
    known = numbers <= n / 4
    if known.any():
        halves = generator.permuted(np.tile(values, (HALVES, 1)), axis=1)[:, : n // 2]
        spread = expected_best(halves, numbers[known]).std(axis=0, ddof=1)
        half[known] = stdtrit(n - 1, 0.975) * spread
    return pd.DataFrame({"trials": numbers, "best": best, "low": best - half, "high": best + half})


def is_exchangeable(results: SpaceResults) -> bool:
    """Whether no trial's fate depends on another's: nothing learns from them, and nothing stops them."""
    return results.maps


def best_against_budget(results: SpaceResults, generator: np.random.Generator) -> pd.DataFrame:
    """The best objective that so many trials bring: trials, kimg, seconds, best, low, high.

    The expected best where trials are exchangeable (without the paper's default, which nobody drew); else the
    best completed one so far, in the order in which trials ended, which has no interval: it ran once. `kimg`
    is of one seed, summed over trials; `seconds` are of training and evaluation.
    """
    rows = results.trials[results.trials["ended"].notna()].sort_values("ended", kind="stable")
    seconds = rows["train_seconds"].fillna(0.0) + rows["eval_seconds"].fillna(0.0)
    if is_exchangeable(results):
        drawn = rows[rows["origin"].isin([STARTUP, SAMPLER])]
        values = drawn["objective"].dropna().to_numpy(float)
        if not len(values):
            return pd.DataFrame(columns=["trials", "kimg", "seconds", "best", "low", "high"])
        found = best_of(results.sign * values, generator)
        ends = found[["low", "high"]] if results.sign > 0 else -found[["high", "low"]].to_numpy()
        found[["low", "high"]] = ends
        found["best"] *= results.sign
        of_one = drawn["kimg"].mean(), seconds[drawn.index].mean()
        return found.assign(kimg=found["trials"] * of_one[0], seconds=found["trials"] * of_one[1])
    told = rows["objective"].where(rows["state"] == "completed").to_numpy(float) * results.sign
    best = np.fmin.accumulate(told) * results.sign if len(told) else told
    return pd.DataFrame(
        {
            "trials": np.arange(1, len(rows) + 1),
            "kimg": rows["kimg"].fillna(0.0).cumsum().to_numpy(),
            "seconds": seconds.cumsum().to_numpy(),
            "best": best,
            "low": math.nan,
            "high": math.nan,
        }
    ).dropna(subset=["best"])


def top_tenth(results: SpaceResults) -> pd.DataFrame:
    """The best tenth of the completed trials, but at least five: how far one may miss and be as good."""
    completed = results.completed
    return completed.head(max(TOP_FEWEST, math.ceil(TOP_SHARE * len(completed))))


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of n trials' objectives at `kimg` with those at the full budget.

    Attributes:
        low, high: Bonett and Wright's 95% interval.
        is_rung: whether early stopping judges there; of Hyperband, with its brackets, whether it stopped one.
    """

    kimg: float
    rho: float
    low: float
    high: float
    n: int
    is_rung: bool


def rank_interval(rho: float, n: int) -> tuple[float, float]:
    """Bonett and Wright 2000: Fisher's z with variance (1 + rho^2 / 2) / (n - 3); n of at least 4.

    A perfect correlation counts as half a step of Spearman's less: it has an interval too.
    """
    most = 1 - 6 / (n * (n * n - 1))
    rho = min(max(rho, -most), most)
    half = 1.959964 * math.sqrt((1 + rho * rho / 2) / (n - 3))
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


def rung_correlations(results: SpaceResults) -> list[Correlation]:
    """Of each evaluation before the last, over the trials that are known at the full budget.

    Under early stopping these are the ones that it let live. Those whose seeds had all diverged by then are
    left out: they keep their price, and nobody ranks them. Empty for fewer than four, or where all are alike.
    """
    from scipy.stats import spearmanr

    plan = results.plan
    stopped = results.trials.loc[results.trials["state"] == "pruned", "trial_id"]
    last = results.curves.groupby("trial_id")["evaluation"].max()
    rungs = {
        "asha": results.space.rungs(plan.evaluations),
        "hyperband": last[last.index.isin(stopped)].unique().tolist(),
    }
    final = results.objectives(plan.kimg)
    if final.nunique() < 2:
        return []
    gone = results.runs.groupby("trial_id")["diverged_at_kimg"].agg(lambda at: at.max(skipna=False))
    found = []
    for evaluation in range(1, plan.evaluations):
        kimg = evaluation * plan.eval_kimg
        early = results.objectives(kimg).reindex(final.index).dropna()
        early = early[~early.index.isin(gone.index[gone.le(kimg)])]
        n = len(early)
        if n >= FEWEST and early.nunique() > 1 and final[early.index].nunique() > 1:
            rho = float(spearmanr(early, final[early.index]).statistic)
            is_rung = evaluation in rungs.get(results.scheduler, ())
            found.append(Correlation(kimg, rho, *rank_interval(rho, n), n, is_rung))
    return found


def seconds_by_state(results: SpaceResults) -> pd.DataFrame:
    """How many trials ended in each state, and what they took: state, trials, train, evaluate (seconds)."""
    rows = results.trials.groupby("state", sort=False)
    return (
        rows.agg(
            trials=("trial_id", "size"), train=("train_seconds", "sum"), evaluate=("eval_seconds", "sum")
        )
        .astype(float)
        .reset_index()
    )
