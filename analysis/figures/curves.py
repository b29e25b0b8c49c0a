"""Learning curves of a study's trials, with the spread of their seeds.

python -m analysis.figures.curves results/<study> curves.png
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from study.metrics.judge.floor import Spread, floors

SECOND = "modes_covered"  # beside the objective's metric, where the data have modes
GREY, BLUE, ORANGE = "#9a9a9a", "#0072b2", "#d55e00"  # told apart in grey and by the colour-blind


def learning_curves(trials: pd.DataFrame, curves: pd.DataFrame, floor: Mapping[str, Spread]) -> Figure:
    """The metric over kimg: each trial's mean over its seeds, from its worst seed to its best.

    `trials` and `curves` are a study's tables, `floor` is what real data score. The best completed trial is
    blue; a trial in which a seed diverged is orange, up to there.
    """
    metric = str(trials["metric"].iloc[0])
    shown = [metric] + [SECOND] * (SECOND in curves and metric != SECOND)
    figure = Figure(figsize=(5.2 * len(shown), 3.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        best = _best(trials, curves, metric, floor)
        for trial_id, curve in sorted(curves.groupby("trial_id"), key=lambda item: item[0] == best):
            colour = BLUE if trial_id == best else ORANGE if curve["diverged"].any() else GREY
            all_seeds = curve.groupby("kimg")[name].filter(lambda values: values.notna().all())
            seeds = curve.loc[all_seeds.index].groupby("kimg")[name]
            mean, low, high = seeds.mean(), seeds.min(), seeds.max()
            wide = 2.0 if trial_id == best else 1.0
            axes.plot(mean.index, mean, color=colour, linewidth=wide, marker="o", markersize=wide + 1)
            axes.fill_between(mean.index, low, high, color=colour, alpha=0.2, linewidth=0)
        if name in floor:
            real = floor[name]["mean"]
            axes.axhline(real, color="black", linestyle="--", linewidth=1)
            axes.annotate("real data", (1, real), xycoords=("axes fraction", "data"), ha="right", va="bottom")
        if name == metric and (curves[name].dropna() > 0).all():
            axes.set_yscale("log")
        axes.set_xlabel("kimg (thousands of real images shown to each critic)")
        axes.set_ylabel(name.replace("_", " "))
    ended = trials["state"].value_counts()
    counts = ", ".join(f"{n} {state}" for state, n in ended.items())
    figure.suptitle(
        f"{len(trials)} trials of {int(trials['n_seeds'].iloc[0])} seeds on {trials['dataset'].iloc[0]} "
        f"({counts}); "
        f"band: worst to best seed; blue: best trial",
        fontsize="medium",
    )
    return figure


def _best(trials: pd.DataFrame, curves: pd.DataFrame, metric: str, floor: Mapping[str, Spread]) -> str | None:
    """The completed trial with the best objective."""
    completed = trials[trials["state"] == "completed"].dropna(subset=["objective"])
    if completed.empty:
        return None
    ranked = completed.sort_values("objective", ascending=not _is_higher_better(curves, metric, floor))
    return str(ranked["trial_id"].iloc[0])


def _is_higher_better(curves: pd.DataFrame, metric: str, floor: Mapping[str, Spread]) -> bool:
    """Real data score better than untrained generators do; of a metric that has no floor, lower is better."""
    untrained = curves[curves["evaluation"] == 0][metric].dropna()
    return bool(metric in floor and len(untrained) and floor[metric]["mean"] > untrained.mean())


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a study's learning curves into a file."""
    p = argparse.ArgumentParser(
        prog="python -m analysis.figures.curves", description=__doc__.split("\n\n")[0]
    )
    p.add_argument("study", type=Path, help="the study's folder, results/<study>")
    p.add_argument("file", type=Path, help="PNG, SVG or PDF to write")
    options = p.parse_args(arguments)
    tables = [options.study / f"{name}.parquet" for name in ("trials", "curves")]
    for table in tables:
        if not table.is_file():
            p.error(f"{table} is missing: give a study's folder")
    trials, curves = (pd.read_parquet(table) for table in tables)
    if curves.empty:
        p.error(f"{options.study} has no evaluation yet")
    floor = floors(options.study / "judge", str(trials["dataset"].iloc[0]))
    learning_curves(trials, curves, floor).savefig(options.file, dpi=110)
    return 0


if __name__ == "__main__":
    sys.exit(main())
