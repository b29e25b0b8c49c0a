"""What a study has come to, in sentences: its last words on the screen."""

import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from study.metrics.failure import CENSORED, DIVERGED, SURVIVED, failure_within
from study.plan import DEFAULT, SAMPLER, STARTUP, StudyPlan
from study.records.tables import Results
from study.reporting.first_words import purpose
from study.seeds import derive_seed

ORIGINS = {DEFAULT: "default", STARTUP: "at random (start-up)", SAMPLER: "by {sampler}"}
WIDTH = 118  # letters of a line that is broken


def what_came_of(
    plan: StudyPlan, tables: tuple[pd.DataFrame, pd.DataFrame], space: str, tuned: str
) -> Iterator[str]:
    """A space's trials: how they ended, what tuning brought, failures, proposals, cost.

    Args:
        tables: the study's trials and runs.
        tuned: the best against the paper's default, in a sentence.
    """
    trials, runs = (table[table["space"] == space] for table in tables)
    states = ", ".join(f"{n} {state}" for state, n in trials["state"].value_counts().items())
    yield f"{space}: {states or 'no trial'}"
    yield textwrap.fill(tuned, WIDTH, initial_indent="  ", subsequent_indent="    ")
    if len(runs):
        yield f"  {failures(plan, runs, space)}"
        yield f"  {proposals(plan, trials, space)}"
        training, judging = (float(trials[f"{part}_seconds"].sum()) for part in ("train", "eval"))
        share = f" ({judging / training:.0%} of it)" if judging < training else ""
        yield f"  cost: {training:.0f} s of training, {judging:.0f} s of evaluation{share}"
    yield f"  {purpose(plan, space)}"


def range_of_metric(plan: StudyPlan, results: Results, trial_id: str) -> str:
    """What the objective's metric is of real data, and of a trial's untrained generators."""
    real = results.floor(plan.dataset, plan.fingerprint).get(plan.metric)
    floor = "unknown" if real is None else f"{real['mean']:.4g} (standard deviation {real['std']:.2g})"
    curves = results.of_trial("curves", trial_id)
    untrained = curves.loc[curves["evaluation"] == 0, plan.metric].mean()
    return f"{plan.metric}: real data {floor}, untrained generator {untrained:.4g}"


def failures(plan: StudyPlan, runs: pd.DataFrame, space: str) -> str:
    """How many seeds diverged or were stopped before they could, and what that says of the space."""
    known = runs[runs["end"].notna()]
    ends = known["end"].value_counts()
    counted = (
        f"{len(known)} seeds: {ends.get(DIVERGED, 0)} diverged, {ends.get(CENSORED, 0)} stopped early, "
        f"{ends.get(SURVIVED, 0)} survived"
    )
    stream = np.random.default_rng(derive_seed(plan.seed, "failure", space))
    rows: list[Any] = known.to_dict("records")
    found = failure_within(plan.kimg, rows, stream)
    return f"{counted}\n  {found.words}"


def proposals(plan: StudyPlan, trials: pd.DataFrame, space: str) -> str:
    """Who proposed a space's trials."""
    origins = trials["origin"].value_counts()
    told = [
        f"{origins[origin]} {words.format(sampler=plan.samplers[space])}"
        for origin, words in ORIGINS.items()
        if origin in origins
    ]
    return "proposed: " + ", ".join(told)
