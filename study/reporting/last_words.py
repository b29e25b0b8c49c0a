"""What a study has come to, in sentences: its last words on the screen."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from study.metrics import METRICS
from study.metrics.failure import CENSORED, DIVERGED, SURVIVED, Failure, failure_within
from study.metrics.stability import student_interval
from study.plan import StudyPlan
from study.records.tables import Results
from study.seeds import derive_seed

ORIGINS = {"default": "the paper's default", "startup": "at random to begin with", "sampler": "by {sampler}"}
Row = Mapping[str, Any]


def against_default(plan: StudyPlan, results: Results, space: str, best: str) -> str:
    """How much better a space's best trial is than the paper's default, seed by seed, at equal kimg."""
    trials = results.table("trials")
    own = trials[(trials["space"] == space) & (trials["origin"] == "default")]
    if own.empty:
        return "no trial of the paper's default to compare with"
    default = str(own["trial_id"].iloc[0])
    if best == default:
        return "no trial is better than the paper's default"
    curves = {trial: results.of_trial("curves", trial) for trial in (best, default)}
    both = curves[best].merge(curves[default], on=["seed", "kimg_planned"], suffixes=("_best", "_default"))
    if both.empty:
        return f"the paper's default ({default}) was never evaluated"
    at = both["kimg_planned"].max()
    last = both[both["kimg_planned"] == at]
    gains = last["score_default"] - last["score_best"]
    if METRICS[plan.metric].higher_is_better:
        gains = -gains
    means = last["score_default"].mean(), last["score_best"].mean()
    interval = student_interval(gains.tolist())
    between = "no interval" if interval is None else f"95% interval {interval[0]:.3g} to {interval[1]:.3g}"
    early = "" if at == plan.kimg else f" at kimg {at:.4g}, where the default was stopped"
    return (
        f"best {means[1]:.4g}, default {means[0]:.4g}{early}: {gains.mean():.3g} better "
        f"({between}, {len(gains)} seeds in pairs)"
    )


def failures(plan: StudyPlan, runs: pd.DataFrame, space: str) -> str:
    """How many seeds diverged or were stopped before they could, and what that says of the space."""
    known = runs[(runs["space"] == space) & runs["end"].notna()]
    ends = known["end"].value_counts()
    counted = (
        f"{len(known)} seeds: {ends.get(DIVERGED, 0)} diverged, {ends.get(CENSORED, 0)} stopped early, "
        f"{ends.get(SURVIVED, 0)} survived"
    )
    stream = np.random.default_rng(derive_seed(plan.seed, "failure", space))
    rows: list[Any] = known.to_dict("records")
    found = failure_within(plan.kimg, rows, stream)
    return f"{counted}; {in_words(found)}"


def in_words(found: Failure) -> str:
    if found.rate is None or found.low is None or found.high is None:
        return f"none shows how many diverge within {found.kimg:g} kimg"
    how = "Kaplan-Meier" if found.method == "kaplan-meier" else "Wilson"
    return (
        f"{found.rate:.0%} diverge within {found.kimg:g} kimg (95% interval {found.low:.0%} to "
        f"{found.high:.0%}, {how}, {found.configurations} configurations)"
    )


def proposals(plan: StudyPlan, trials: pd.DataFrame, space: str) -> str:
    """Who proposed a space's trials."""
    origins = trials[trials["space"] == space]["origin"].value_counts()
    told = [
        f"{origins[origin]} {words.format(sampler=plan.samplers[space])}"
        for origin, words in ORIGINS.items()
        if origin in origins
    ]
    return "proposed: " + ", ".join(told)
