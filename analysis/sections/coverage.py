"""Mode coverage: over kimg, against hyperparameters, mode by mode, and the samples themselves."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from analysis.chart import Chart, stem
from analysis.figures import coverage as figures
from analysis.sections.samples import samples
from analysis.statistics import coverage as statistics
from analysis.statistics.coverage import COVERAGE
from analysis.tables import SpaceResults
from analysis.words import counted, sentences

MOST_TRIALS = 1000  # that are drawn one by one
MOST_SEEDS = 6  # of a trial, side by side
RULE = "A seed that diverged reaches no mode from then on."


def _over_kimg(results: Sequence[SpaceResults]) -> Iterator[Chart]:
    tables = {space.label: statistics.over_kimg(space) for space in results if statistics.has_modes(space)}
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
    n = f"n = {counted(int(row['trials']), 'trial')}"
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
    if not statistics.has_modes(results):
        return
    trials = statistics.by_trial(results)
    means = {name: statistics.in_bins(results, trials, name) for name in results.space.searched}
    means = {name: table for name, table in means.items() if table["trials"].any()}
    if not means:
        return
    shown, drawn = trials, counted(len(trials), "trial")
    if len(trials) > MOST_TRIALS:
        stream = results.stream("coverage")
        shown, drawn = (
            trials.sample(MOST_TRIALS, random_state=stream),
            f"{MOST_TRIALS:,} of {drawn}, at random,",
        )
    along = max(means, key=lambda name: np.ptp(means[name][COVERAGE]))
    low, high = means[along][COVERAGE].min(), means[along][COVERAGE].max()
    yield Chart(
        name=stem("coverage_by_hyperparameter", results.label),
        title=f"Which values of {results.label}'s hyperparameters reach the modes",
        caption=sentences(
            f"Share of modes at the end of {drawn} of {counted(results.plan.seeds, 'seed')}: the mean of "
            "the seeds, and a line from the worst to the best.",
            f"Crosses: a seed diverged. {RULE}" * bool(trials["diverged"].any()),
            "Black: mean of the n trials in that part of the axis, with Student's 95% interval; among the "
            "marks of one value, left and right mean nothing. The other hyperparameters vary along with "
            f"each: a pattern to test, not a result. {_left_out(results)}",
        ),
        alt=f"Scatter plots of mode coverage against {', '.join(means)}, {counted(len(trials), 'trial')}. "
        f"The means differ most along {along}: from {low:.0%} to {high:.0%}.",
        numbers=shown,
        figure=figures.by_hyperparameter(results.space, shown, means),
    )


def _mode_counts(results: SpaceResults) -> Iterator[Chart]:
    """Of the best completed trial."""
    if not statistics.has_modes(results):
        return
    counts = statistics.counts_of(results, results.best or "")
    seeds = list(dict.fromkeys(counts["seed"]))
    shown = counts[counts["seed"].isin(seeds[:MOST_SEEDS])]
    if shown["samples"].isna().all():
        return
    last = shown[shown["kimg"] == shown["kimg"].max()]
    empty, modes = int((last["samples"] == 0).sum()), shown["mode"].nunique()
    of = f"{shown['seed'].nunique()} of its {len(seeds)} seeds"
    yield Chart(
        name=stem("mode_counts", results.label),
        title=f"On which modes the samples of {results.best} lie",
        caption=sentences(
            f"{results.best}, the best completed trial of {results.label}: samples on each of {modes} "
            f"modes at {shown['kimg'].nunique()} evaluations, {of}. White: none.",
            "Hatched: the seed had diverged." * bool(shown["samples"].isna().any()),
            "What lies on no mode is not counted.",
        ),
        alt=f"Heat maps of modes over kimg, one a seed. At the end {empty} of {len(last)} modes of these "
        "seeds have no sample.",
        numbers=shown,
        figure=figures.mode_counts(shown),
    )


TOGETHER = (_over_kimg,)
EACH = (_by_hyperparameter, _mode_counts, samples)
