"""How early does a ranking tell the final one? Rank correlation of a study's evaluations with its last.

python -m study.tune --space wgan_gp --sampler random --scheduler fifo --trials 64 --name map
python -m tests.benchmarks.rungs results/map

Of a study without early stopping: its configurations are ranked at each evaluation, all of them, and those
that had made so many generator updates by then.
"""

import argparse
from pathlib import Path

import pandas as pd
from scipy.stats import spearmanr

from analysis.statistics.budget import rank_interval

UPDATES = (0, 5, 10, 20, 50, 100)
FEWEST = 10  # configurations of which a correlation is told


def spearman(early: pd.Series, last: pd.Series) -> str:
    """The rank correlation with its 95% interval (Bonett and Wright 2000), and n."""
    n = len(early)
    if n < FEWEST:
        return f"({n})"
    found = float(spearmanr(early, last).statistic)
    low, high = rank_interval(found, n)
    return f"{found:.2f} [{low:.2f}, {high:.2f}] ({n})"


def main() -> None:
    p = argparse.ArgumentParser(prog="python -m tests.benchmarks.rungs")
    p.add_argument("study", type=Path, help="folder of a study without early stopping")
    options = p.parse_args()
    trials, curves = (pd.read_parquet(options.study / f"{name}.parquet") for name in ("trials", "curves"))
    whole = trials.loc[trials["state"] == "completed", "trial_id"]
    by_trial = curves[curves["trial_id"].isin(whole)].groupby(["trial_id", "evaluation"])
    score = by_trial["score"].mean().unstack()
    updates = by_trial["generator_updates"].max().unstack()
    last = score.columns[-1]
    print("| evaluation | " + " | ".join(f"{least} updates" for least in UPDATES) + " |")
    print("|---" * (len(UPDATES) + 1) + "|")
    for evaluation in score.columns[1:-1]:
        cells = []
        for least in UPDATES:
            known = updates[evaluation] >= least
            cells.append(spearman(score.loc[known, evaluation], score.loc[known, last]))
        print(f"| {evaluation} of {last} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
