"""What training looked like: each configuration's seeds, learning curves, losses and gradient norms."""

from collections import Counter
from collections.abc import Iterator

import pandas as pd

from analysis.chart import Chart, stem
from analysis.figures import stability as figures
from analysis.figures.curves import MOST, drawn, learning_curves
from analysis.tables import SpaceResults
from analysis.words import counted, sentences
from study.metrics.failure import DIVERGED


def _seeds(space: SpaceResults) -> Iterator[Chart]:
    ended = space.trials[space.trials["state"].isin(["completed", "diverged"])].dropna(subset=["objective"])
    ended = ended.sort_values("objective", ascending=not space.higher_is_better, kind="stable")
    every = -(-len(ended) // MOST) or 1
    shown = ended.iloc[::every]
    rank = dict(zip(shown["trial_id"], range(1, len(ended) + 1, every), strict=True))
    runs = space.runs[space.runs["trial_id"].isin(rank)].dropna(subset=["score"])
    if runs.empty:
        return
    rows = pd.DataFrame(
        {
            "trial_id": runs["trial_id"],
            "seed": runs["seed"],
            "rank": runs["trial_id"].map(rank),
            "value": runs["score"],
            "fate": runs["end"].eq(DIVERGED).fillna(False).map({True: "diverged", False: "completed"}),
        }
    )
    fallen = int(rows["fate"].eq("diverged").sum())
    spread = rows.groupby("rank")["value"].agg(lambda values: values.max() - values.min())
    some = f" ({len(shown):,} of them drawn, evenly by rank)" if every > 1 else ""
    yield Chart(
        stem("seeds", space.label),
        f"{space.label}: the seeds of each configuration side by side",
        sentences(
            f"Final {space.metric} of every seed of {counted(len(ended), 'configuration')} trained to the "
            f"budget or diverged{some}, {counted(space.plan.seeds, 'seed')} each; a line joins the seeds "
            "of one.",
            "A diverged seed stands at what it is counted as." * (fallen > 0),
            "Those that were stopped early ended at other budgets and are left out." * space.stopped,
        ),
        f"Dots by rank. Seeds of one configuration differ by {spread.median():.3g} in the median and by "
        f"{spread.max():.3g} at most; {fallen} of {len(rows)} seeds diverged.",
        rows,
        figures.seeds_side_by_side(rows, space.metric, space.real),
    )


def _learning(space: SpaceResults) -> Iterator[Chart]:
    names = drawn(space)
    if not names:
        return
    curves = space.curves[space.curves["trial_id"].isin(names)]
    states = space.trials.set_index("trial_id")["state"]
    n = ", ".join(f"{count} {state}" for state, count in Counter(states[names]).items())
    some = (
        f"; {len(names)} of {len(states):,} trials drawn, evenly by objective"
        if len(names) < len(states)
        else ""
    )
    columns = ["trial_id", "seed", "kimg", space.metric, "diverged"]
    best = "none is completed" if space.best is None else f"the best, {space.best}, is blue"
    yield Chart(
        stem("learning_curves", space.label),
        f"{space.label}: {space.metric} over training",
        sentences(
            f"Mean of each trial's {counted(space.plan.seeds, 'seed')}, band from its worst to its best "
            f"({counted(len(names), 'trial')}: {n}{some}); {best}.",
            "Crosses: a seed diverged; its trial is orange and dashed." * bool(curves["diverged"].any()),
            "A bar: stopped early." * bool(states[names].eq("pruned").any()),
        ),
        f"Learning curves of {len(names)} trials; {best}.",
        curves[columns].reset_index(drop=True),
        learning_curves(space),
    )


def _signals(space: SpaceResults) -> Iterator[Chart]:
    names = drawn(space)
    curves = space.curves[space.curves["trial_id"].isin(names)]
    states = space.trials.set_index("trial_id")["state"]
    meters = [name for name in figures.METER_NAMES if curves[name].notna().any()]
    if not meters:
        return
    few = names[:: -(-len(names) * space.plan.seeds // MOST)]
    rows = curves[curves["trial_id"].isin(few)]
    fallen = rows.groupby(["trial_id", "seed"])["diverged"].transform("any")
    rows = rows.assign(fate=rows["trial_id"].map(dict(states)).mask(fallen, "diverged"))
    some = f", of {len(states):,} trials evenly by objective" if len(few) < len(states) else ""
    yield Chart(
        stem("losses", space.label),
        f"{space.label}: losses and gradient norms over training",
        sentences(
            f"A line a seed ({counted(len(few), 'trial')}{some}), each the mean since the last evaluation. "
            "The critic loss is not a distance.",
            "Dashed, with a cross: it diverged." * bool(fallen.any()),
            "Dotted: its trial was stopped early." * bool(rows["fate"].eq("pruned").any()),
        ),
        f"Lines over kimg, a panel each for {', '.join(meters)}.",
        rows[["trial_id", "seed", "kimg", "fate", *meters]].reset_index(drop=True),
        figures.training_signals(rows),
    )


EACH = (_seeds, _learning, _signals)  # a part of the section on stability
