"""Learning curves of a study's trials, with the spread of their seeds.

python -m analysis.figures.curves results/<study> curves.png
"""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import BLUE, FATE, GREY, INK, KIMG, ORANGE, mark_real, panels, set_scale
from analysis.tables import SpaceResults, load
from analysis.words import counted
from study.errors import UserError

SECOND = "modes_covered"  # beside the objective's metric, where the data have modes
MOST = 200  # trials that are drawn
FEW = 20  # whose lines stay lines in an SVG


def learning_curves(*results: SpaceResults) -> Figure:
    """The metric over kimg: each trial's mean over its seeds, from its worst seed to its best, a row a space.

    The best completed trial is blue. Where a seed diverged its trial is orange, up to there, and a cross
    stands where it did, at the seed's last value; a bar ends the curve of a trial that was stopped early.
    """
    shown = [results[0].metric] + [SECOND] * (
        results[0].metric != SECOND
        and any(SECOND in r.curves and r.curves[SECOND].notna().any() for r in results)
    )
    figure, axes = panels(len(shown), len(results))
    for row, space in zip(axes, results, strict=True):
        trials = drawn(space)
        for panel, name in zip(row, shown, strict=True):
            _draw(panel, space, name, trials)
            if len(results) > 1:
                panel.set_title(space.label, fontsize="medium")
    figure.suptitle(textwrap.fill(_words(results), int(11 * figure.get_figwidth())), fontsize="medium")
    return figure


def drawn(results: SpaceResults) -> list[str]:
    """Trials whose curves are drawn, the best last: all of them, or evenly many of all objectives."""
    known = results.trials[results.trials["trial_id"].isin(results.curves["trial_id"].unique())]
    ranked = known.sort_values("objective", ascending=results.higher_is_better, na_position="first")
    names = ranked["trial_id"].tolist()
    if len(names) > MOST:
        names = [names[round(k * (len(names) - 1) / (MOST - 1))] for k in range(MOST)]
    return [name for name in names if name != results.best] + [results.best] * (results.best is not None)


def _draw(axes: Axes, results: SpaceResults, name: str, trials: Sequence[str]) -> None:
    states = results.trials.set_index("trial_id")["state"]
    curves = results.curves[results.curves["trial_id"].isin(trials)]
    fallen = set(curves.loc[curves["diverged"], "trial_id"])
    seeds = curves.groupby(["trial_id", "kimg"])[name].agg(["mean", "min", "max", "count", "size"])
    seeds = seeds[seeds["count"] == seeds["size"]].reset_index("kimg")  # where all have a value
    few = len(trials) <= FEW
    own = {str(trial): rows for trial, rows in seeds.groupby(level=0)}
    for trial in (trial for trial in trials if trial in own):
        curve, best, fell = own[trial], trial == results.best, trial in fallen
        colour = BLUE if best else ORANGE if fell else GREY
        kimg, wide = curve["kimg"], 2.0 if best else 1.0 if few else 0.6
        axes.plot(
            kimg, curve["mean"], "--" if fell else "-", color=colour, linewidth=wide,
            marker="o" if few or best else "", markersize=wide + 1, rasterized=not few,
        )  # fmt: skip
        axes.fill_between(
            kimg,
            curve["min"],
            curve["max"],
            color=colour,
            alpha=0.2 if few or best else 0.04,
            linewidth=0,
            rasterized=True,
        )
    ends = seeds[seeds.index.map(dict(states)) == "pruned"].groupby(level=0).tail(1)
    axes.plot(ends["kimg"], ends["mean"], "|", color=INK, markersize=9, linestyle="")
    runs = curves.groupby(["trial_id", "seed"])["diverged"].transform("any")
    ends = curves[runs & curves[name].notna()].groupby(["trial_id", "seed"]).tail(1)
    at = results.runs.set_index(["trial_id", "seed"])["diverged_at_kimg"]
    when = at.reindex(pd.MultiIndex.from_frame(ends[["trial_id", "seed"]])).to_numpy(float)
    axes.plot(when, ends[name], FATE["diverged"][1], color=ORANGE, markersize=6, linestyle="")
    if name == results.metric:
        set_scale(axes, "y", curves[name])
    if name in results.floor:
        mark_real(axes, results.floor[name]["mean"])
    axes.set(xlabel=KIMG, ylabel=name)


def _words(results: Sequence[SpaceResults]) -> str:
    trials = pd.concat([space.trials for space in results])
    counts = ", ".join(f"{n} {state}" for state, n in trials["state"].value_counts().items())
    drawn_ = sum(len(drawn(space)) for space in results)
    some = f", {drawn_} drawn" if drawn_ < len(trials) else ""
    plan = results[0].plan
    data = plan.dataset.rpartition("/")[2]  # of a path the last part
    return (
        f"{counted(len(trials), 'trial')} of {counted(plan.seeds, 'seed')} on {data} ({counts}{some}); "
        "band: worst to best seed; blue: best trial"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a study's learning curves into a file."""
    p = argparse.ArgumentParser(
        prog="python -m analysis.figures.curves", description=__doc__.split("\n\n")[0]
    )
    p.add_argument("study", type=Path, help="the study's folder, results/<study>")
    p.add_argument("file", type=Path, help="PNG, SVG or PDF to write")
    options = p.parse_args(arguments)
    try:
        results = [space for space in load(options.study) if len(space.curves)]
    except UserError as error:
        p.error(str(error))
    if not results:
        p.error(f"{options.study} has no evaluation yet")
    learning_curves(*results).savefig(options.file, dpi=110)
    return 0


if __name__ == "__main__":
    sys.exit(main())
