"""Hyperparameters: the objective against each, which of them matter, and all of them at once."""

from collections.abc import Iterator

import pandas as pd

from analysis import findings
from analysis.chart import Chart, stem
from analysis.commands import to_map
from analysis.figures import hyperparameters as figures
from analysis.figures.style import FATE
from analysis.statistics.axes import unit_scaled
from analysis.statistics.importance import (
    COPIES,
    OBJECTIVE,
    Importance,
    rungs,
)
from analysis.tables import SpaceResults
from analysis.words import counted, sentences
from study.space import Choice

POINTS, LINES = 2000, 200  # that are drawn


def warning(space: SpaceResults) -> str:
    """What a study that looks for the best doesn't allow; '' of one that maps."""
    if space.maps:
        return ""
    why = ["its sampler avoids what it doesn't like"] * (space.sampler == "tpe")
    why += ["early stopping cuts the rest short"] * space.stopped
    told = f": {' and '.join(why)}" if why else ""
    return (
        f"This study was made to find the best, not to map{told}. Importances and maps from it are mostly "
        f"noise. One that maps: `{to_map(space).line}`"
    )


def _slices(space: SpaceResults) -> Iterator[Chart]:
    trials = space.trials[space.trials["objective"].notna() & space.trials["state"].isin(list(FATE))]
    if trials.empty or not space.space.searched:
        return
    generator = space.stream("slices")
    drawn = trials.sample(POINTS, random_state=generator) if len(trials) > POINTS else trials
    drawn = drawn.assign(jitter=generator.uniform(-1, 1, size=len(drawn)))
    some = f" ({len(drawn):,} of them drawn, at random)" if len(drawn) < len(trials) else ""
    states = ", ".join(f"{n:,} {state}" for state, n in trials["state"].value_counts().items())
    names = list(space.space.searched)
    has_choices = any(isinstance(known, Choice) for known in space.space.searched.values())
    yield Chart(
        stem("slices", space.label),
        f"{space.label}: {space.metric} against each hyperparameter",
        sentences(
            f"A mark a trial, of {counted(len(trials), 'trial')} with an objective: {states}{some}; the "
            f"objective is the {space.plan.aggregate} over {counted(space.plan.seeds, 'seed')}, "
            f"{_better(space)} is better.",
            "Among the marks of one value, left and right mean nothing." * has_choices,
            "A diverged seed counts as its price." * bool(trials["n_diverged"].gt(0).any()),
            "A pruned trial stands at its last evaluation, at a smaller budget than others."
            * bool(trials["state"].eq("pruned").any()),
            warning(space),
        ),
        f"Scatter plots of {space.metric}, a panel each for {', '.join(names)}. "
        f"Objectives go from {trials['objective'].min():.3g} to {trials['objective'].max():.3g}.",
        drawn[["trial_id", *names, "objective", "state"]].reset_index(drop=True),
        figures.slices(drawn, space.space.searched, f"{space.plan.aggregate} {space.metric}"),
    )


def _importance(space: SpaceResults) -> Iterator[Chart]:
    found = [findings.divergence(space)]
    found += [findings.objective(space, kimg) for kimg in rungs(space)]
    shown = [(_title(space, i), i) for i in found if not i.cannot_tell]
    if not shown:  # the sentence says why
        return
    blank = [f"Can't tell of {_title(space, i)}: {i.cannot_tell}." for i in found if i.cannot_tell]
    n = ", ".join(f"{title} {importance.n:,} trials" for title, importance in shown)
    yield Chart(
        stem("importance", space.label),
        f"{space.label}: which hyperparameters matter",
        sentences(
            "Total effect: the share of the variance of a random forest's predictions in which a "
            f"hyperparameter takes part, over axes drawn evenly ({n}). Bars: 95% of what other tables as "
            "large would bring, from random halves; a forest exaggerates the largest effect. Filled: "
            f"above the dashed line, the largest of {COPIES} shadows per hyperparameter, which can't "
            f"matter; chance brings any above it in 1 of {COPIES + 1} tables a panel.",
            *blank,
            warning(space),
        ),
        "Points with intervals. " + " ".join(f"{title}: {i.words}." for title, i in shown),
        pd.DataFrame(
            [
                {"of": i.of, "kimg": i.kimg, "n": i.n, "threshold": i.threshold, **vars(effect)}
                for _, i in shown
                for effect in i.effects
            ]
        ),
        figures.importances(shown),
    )


def _title(space: SpaceResults, importance: Importance) -> str:
    what = space.metric if importance.of == OBJECTIVE else "divergence"
    return f"{what} at {importance.kimg:.4g} kimg"


def _parallel(space: SpaceResults) -> Iterator[Chart]:
    ended = space.trials[space.trials["state"].isin(["completed", "diverged"])]
    ended = ended[ended["objective"].notna()]
    if len(ended) < 2 or len(space.space.searched) < 2:
        return
    drawn = ended.sample(LINES, random_state=space.stream("parallel")) if len(ended) > LINES else ended
    places = unit_scaled(space.space, drawn)
    fallen = int((ended["state"] == "diverged").sum())
    lane = (
        f"The {fallen:,} of which every seed diverged go, dashed, to a lane of their own." if fallen else ""
    )
    some = f" ({LINES} of them drawn, at random)" if len(drawn) < len(ended) else ""
    objective = drawn["objective"].where(drawn["state"] == "completed")
    names = list(space.space.searched)
    yield Chart(
        stem("parallel", space.label),
        f"{space.label}: all hyperparameters of each trial",
        sentences(
            f"A line a trial; n = {len(ended):,} trials, which were trained to their budget or "
            f"diverged{some}; the darker, the better its {space.metric} ({_better(space)}).",
            lane,
            "Those that were stopped early are left out." * space.stopped,
            warning(space),
        ),
        f"Parallel coordinates of {', '.join(names)} and {space.metric}; {len(drawn)} lines.",
        drawn[["trial_id", *names, "objective", "state"]].reset_index(drop=True),
        figures.parallel_coordinates(
            places, objective, space.space.searched, space.metric, space.higher_is_better
        ),
    )


def _better(space: SpaceResults) -> str:
    return "higher" if space.higher_is_better else "lower"


TOGETHER = ()
EACH = (_slices, _importance, _parallel)
