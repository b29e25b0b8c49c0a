"""What a report's page shows beside answers, checks and figures: facts, failures, limits, all trials."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.commands import resume, train
from analysis.tables import SpaceResults
from analysis.words import counted, interval, number
from study.metrics import METRICS
from study.metrics.failure import DIVERGED
from study.records.study_folder import StudyFolder
from study.reporting.first_words import purpose

COLUMNS = ("trial_id", "state", "ended_by", "kimg", "objective", "objective_low", "objective_high")
SEEDS = ("n_seeds", "n_diverged", "n_censored")
LONGEST = 300  # characters of an error that are shown


@dataclass(frozen=True)
class Best:
    """The best completed trial of a model in a space, and how to train it again."""

    label: str
    trial_id: str
    score: str
    hyperparameters: Mapping[str, str]
    command: str


def best_configurations(results: SpaceResults) -> Iterator[Best]:
    """One for each model of the space."""
    for model, rows in results.completed.groupby("model", sort=False):
        row = rows.iloc[0]
        label = results.label if model == results.space.name else f"{results.label}, {model}"
        known = {name: cell(row[name]) for name in results.space.searched if not pd.isna(row[name])}
        low, high, n = row["objective_low"], row["objective_high"], int(row["n_seeds"])
        what = f"{results.plan.aggregate} {results.metric} {number(row['objective'], 4)}"
        score = f"{what} ({interval(low, high)}, n = {counted(n, 'seed')})"
        yield Best(label, row["trial_id"], score, known, train(results, row["trial_id"]))


def heading(results: SpaceResults) -> str:
    """What the study of a space is, and how far it has come."""
    plan, folder = results.plan, StudyFolder(results.folder)
    planned, ended = plan.trials[results.space.name], results.ended
    said = (
        f"{plan.name}: {results.space.name} on {plan.dataset}, {plan.aggregate} {plan.metric}; "
        f"{counted(planned, 'trial')} of {counted(plan.seeds, 'seed')}, {plan.kimg:g} kimg; begun on "
        f"{str(results.record.get('started', 'an unknown day'))[:10]}"
    )
    if ended >= planned:
        return said
    how = f"it is not running; continue with: `{resume(results.folder, plan)}`"
    if folder.is_running():
        how = "it runs still"
    elif not folder.can_go_on():
        how = "the trials' folders are gone, without which it can't go on"
    return f"{said}. NOT FINISHED: {ended} of {planned} trials have ended; {how}"


def facts(results: SpaceResults) -> Iterator[tuple[str, str]]:
    """What was run, on what."""
    plan, record, name = results.plan, results.record, results.space.name
    yield "study", f"{plan.name}, {purpose(plan, name)}"
    stopped = results.scheduler.replace("fifo", "nothing")
    yield "search", f"proposed by {results.sampler}, stopped early by {stopped}"
    yield "command", " ".join(record["command"])
    prints = plan.fingerprint.get("number", {})
    parts = ", ".join(f"{number:,} {part.replace('_', ' ')}" for part, number in prints.items())
    yield "data", f"{plan.dataset} ({parts or 'drawn'}), SHA-256 {plan.fingerprint.get('sha256', 'unknown')}"
    yield (
        "trials",
        f"{plan.trials[name]} planned, {results.ended} ended; "
        f"{counted(plan.seeds, 'seed')} each, {plan.kimg:g} kimg, evaluated every {plan.eval_kimg:.4g} kimg; "
        f"study seed {plan.seed}",
    )
    yield "objective", f"{plan.aggregate} {plan.metric}: {METRICS[plan.metric].meaning}"
    hardware = record.get("hardware") or {}
    gpus = ", ".join(map(str, hardware.get("gpus", ()))) or "no GPU"
    yield (
        "hardware",
        f"{hardware.get('cpus', '?')} CPUs ({hardware.get('cpu_name', 'unknown')}), "
        f"{hardware.get('memory_gib', '?')} GiB, {gpus}; {plan.concurrency} at a time; "
        f"computed in {', '.join(sorted(set(results.trials['precision'].dropna()))) or 'nothing yet'}",
    )
    packages = ", ".join(f"{package} {version}" for package, version in record.get("packages", {}).items())
    yield "versions", f"Python {record.get('python', 'unknown')}, {packages or 'packages unknown'}"
    yield "commit", str(record.get("git_commit") or "unknown")
    started, resumed = str(record.get("started", "unknown"))[:19], len(record.get("resumed", ()))
    yield "started", f"{started} UTC" + (f", taken up again {resumed} times" if resumed else "")
    wall = (record.get("cost") or {}).get("wall_seconds")
    spent = results.trials[["train_seconds", "eval_seconds"]].sum()
    yield (
        "cost",
        f"{spent['train_seconds']:,.0f} s of training, {spent['eval_seconds']:,.0f} s of evaluation"
        + (f"; {wall:,.0f} s from start to end" if wall else ""),
    )


def failures(results: SpaceResults) -> Iterator[tuple[int, str]]:
    """What did not go to its end, and why: how many, and the reason in words."""
    runs = results.runs
    diverged = runs[runs["end"] == DIVERGED]
    for reason, rows in diverged.groupby("reason", sort=False, dropna=False):
        middle = rows["diverged_at_kimg"].median()
        yield len(rows), f"seeds diverged: {reason} (kimg {middle:.3g}, the median)"
    states = results.trials["state"]
    for by, rows in results.trials[states == "pruned"].groupby("ended_by", sort=False):
        yield len(rows), f"trials stopped early by {by}: neither failed nor survived"
    missing = results.plan.trials[results.space.name] - results.ended
    if missing > 0:
        yield missing, "trials not ended: the study runs still, or was interrupted"
    for error, rows in results.trials[states == "failed"].groupby("error", sort=False, dropna=False):
        last = str(error).strip().splitlines()[-1] if not pd.isna(error) and str(error).strip() else "unknown"
        yield len(rows), f"failed by a fault of software: {last[:LONGEST]}"


def limits(results: SpaceResults) -> Iterator[str]:
    """What the study can't tell."""
    plan = results.plan
    yield "Scores are those that the search chose by: fresh seeds and unseen data may say otherwise."
    if not results.maps:
        yield (
            "It looked for the best, so which hyperparameters matter, and which region is stable, is "
            "for a study with --map to say."
        )
    if results.stopped:
        yield ("Trials that were stopped early say nothing of their end: they might have diverged, or won.")
    yield (
        f"One dataset ({plan.dataset}), one budget ({plan.kimg:g} kimg), one architecture per kind of data: "
        "other ones may rank differently."
    )
    if results.record.get("classifier_accuracy") is not None:
        yield f"{results.metric} and modes are what one classifier sees: no FID of the Inception network."
    constants = [f"{name} {value}" for name, value in results.space.constants.items()]
    yield f"Not studied: {', '.join([*constants, 'and what the space leaves at its default'])}."


def reading(several: Sequence[SpaceResults]) -> str:
    """How to read the table of all trials."""
    how = ", ".join(dict.fromkeys(f"{results.plan.aggregate} {results.metric}" for results in several))
    return (
        f"The objective ({how}) is of what the seeds score, where one that diverged has its price; the "
        "other columns of metrics are of the seeds at the end, empty where one diverged; a trial that was "
        "stopped early stands where it was stopped"
    )


def trial_table(several: Sequence[SpaceResults]) -> tuple[list[str], list[list[str]]]:
    """All trials of all spaces: the head, and a row each."""
    metrics = [m for m in METRICS if any(m in results.trials for results in several)]
    searched = list(dict.fromkeys(name for results in several for name in results.space.searched))
    columns = [*COLUMNS, *SEEDS, *metrics, *searched, "train_seconds"]
    tables = [
        results.trials.reindex(columns=columns).assign(space=results.label).astype(object)
        for results in several
    ]
    whole = pd.concat(tables)[["space", *columns]]
    body = [[cell(value) for value in whole[name]] for name in whole]
    return [name.replace("_", " ") for name in ("space", *columns)], [
        list(row) for row in zip(*body, strict=True)
    ]


def cell(value: Any) -> str:
    """A value of a table, short; '' where it is unknown."""
    if pd.isna(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
