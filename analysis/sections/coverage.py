"""Mode coverage: over kimg, against hyperparameters, mode by mode, and the samples themselves."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from analysis.chart import Chart
from analysis.figures import coverage as figures
from analysis.sections.samples import samples, stem
from analysis.statistics import coverage as statistics
from analysis.statistics.coverage import COVERAGE
from analysis.tables import SpaceResults

MOST_TRIALS = 1000  # that are drawn one by one
MOST_SEEDS = 6  # of a trial, side by side
RULE = "A seed that diverged reaches no mode from then on."


def charts(results: Sequence[SpaceResults]) -> Iterator[Chart]:
    """Charts of mode coverage, of the spaces whose data have modes, and of samples."""
    known = [space for space in results if statistics.has_modes(space)]
    yield from _over_kimg(known)
    for space in known:
        yield from _by_hyperparameter(space)
        yield from _mode_counts(space)
    for space in results:
        yield from samples(space)


def _over_kimg(results: Sequence[SpaceResults]) -> Iterator[Chart]:
    tables = {space.label: statistics.over_kimg(space) for space in results}
    tables = {label: table for label, table in tables.items() if len(table)}
    if not tables:
        return
    told = "; ".join(f"{label}: {_at_the_end(table.iloc[-1])}" for label, table in tables.items())
    yield Chart(
        name="coverage_over_kimg",
        title="How many modes trials reach as they train",
        caption="Mean share of modes over the trials that were trained to their budget, or until every seed "
        f"diverged; of a trial, the mean of its seeds. {RULE} {told}. Band: Student's 95% interval of the "
        "mean, with trials as independent; none where all have the same. "
        + " ".join(_left_out(space) for space in results if space.label in tables),
        alt=f"Lines of mean mode coverage, 0 to 1, over kimg, one a space. At the end, {told}.",
        numbers=pd.concat([table.assign(space=label) for label, table in tables.items()]),
        figure=figures.over_kimg(tables),
    )


def _at_the_end(row: pd.Series) -> str:
    interval = "" if np.isnan(row["low"]) else f", 95% interval {row['low']:.0%} to {row['high']:.0%}"
    n = f"n = {int(row['trials']):,} trials"
    return f"{row[COVERAGE]:.0%} at kimg {row['kimg_planned']:.4g} ({n}{interval})"


def _left_out(results: SpaceResults) -> str:
    """Trials that are in no mean, at any kimg."""
    states = results.trials["state"]
    others = states[~states.isin(statistics.ENDED)].value_counts()
    if others.empty:
        return f"{results.label}: every trial."
    counted = ", ".join(f"{n:,} {state}" for state, n in others.items())
    chosen = "" if results.maps else "; those that remain were chosen by a search for the best"
    return f"{results.label}: left out at every kimg are {counted}{chosen}."


def _by_hyperparameter(results: SpaceResults) -> Iterator[Chart]:
    trials = statistics.by_trial(results)
    means = {name: statistics.in_bins(results, trials, name) for name in results.space.searched}
    means = {name: table for name, table in means.items() if table["trials"].any()}
    if not means:
        return
    shown, drawn = trials, f"{len(trials):,} trials"
    if len(trials) > MOST_TRIALS:
        stream = results.stream("coverage")
        shown, drawn = (
            trials.sample(MOST_TRIALS, random_state=stream),
            f"{MOST_TRIALS:,} of {drawn}, at random,",
        )
    along = max(means, key=lambda name: np.ptp(means[name][COVERAGE]))
    low, high = means[along][COVERAGE].min(), means[along][COVERAGE].max()
    yield Chart(
        name=f"coverage_by_hyperparameter_{stem(results)}",
        title=f"Which values of {results.label}'s hyperparameters reach the modes",
        caption=f"Share of modes at the end of {drawn} of {results.plan.seeds} seeds: the mean of the seeds, "
        f"and a line from the worst to the best; crosses: a seed diverged. {RULE} Black: mean of the n "
        "trials in that part of the axis, with Student's 95% interval. The other hyperparameters vary along "
        f"with each: a pattern to test, not a result. {_left_out(results)}",
        alt=f"Scatter plots of mode coverage against {', '.join(means)}, {len(trials)} trials. The means "
        f"differ most along {along}: from {low:.0%} to {high:.0%}.",
        numbers=shown,
        figure=figures.by_hyperparameter(results.space, shown, means),
    )


def _mode_counts(results: SpaceResults) -> Iterator[Chart]:
    """Of the best completed trial."""
    counts = statistics.counts_of(results, results.best or "")
    seeds = list(dict.fromkeys(counts["seed"]))
    shown = counts[counts["seed"].isin(seeds[:MOST_SEEDS])]
    if shown["samples"].isna().all():
        return
    last = shown[shown["kimg"] == shown["kimg"].max()]
    empty, modes = int((last["samples"] == 0).sum()), shown["mode"].nunique()
    of = f"{shown['seed'].nunique()} of its {len(seeds)} seeds"
    yield Chart(
        name=f"mode_counts_{stem(results)}",
        title=f"On which modes the samples of {results.best} lie",
        caption=f"{results.best}, the best completed trial of {results.label}: samples on each of {modes} "
        f"modes at {shown['kimg'].nunique()} evaluations, {of}. White: none; hatched: the seed had diverged. "
        "What lies on no mode is not counted.",
        alt=f"Heat maps of modes over kimg, one a seed. At the end {empty} of {len(last)} modes of these "
        "seeds have no sample.",
        numbers=shown,
        figure=figures.mode_counts(shown),
    )
