"""Command lines to run next, as a shell takes them, and what they cost."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from analysis.tables import SpaceResults
from analysis.words import duration
from study.command import with_plugins
from study.models import hyperparameters
from study.plan import TRIALS_OF_A_MAP, StudyPlan
from study.records.study_folder import StudyFolder

OF_DATA = ("--side", "--data-dir")
PATHS = ("--plugin", "--data-dir")
ONCE = ("--name", "--resume", "--report")  # of one study and no other


class Command(NamedTuple):
    """A command line, and its price in words; '' where nothing was trained yet that tells it."""

    line: str
    price: str


def again(results: SpaceResults, changes: Mapping[str, Sequence[object] | None]) -> Command:
    """The command that made a study, of this space alone, with other options.

    Args:
        changes: the new values of options by their flag, () for one without a value; None: not given.
    """
    plan, trials = results.plan, results.plan.trials[results.space.name]
    words, options = _read(results.record["command"])
    for flag, values in options:
        if flag not in (*ONCE, *changes):
            words += [flag, *_now(results, flag, values)]
    for flag, given in changes.items():
        if given is not None:
            words += [flag, *(str(value) for value in given)]
    new = {flag: given[0] for flag, given in changes.items() if given}
    is_whole = "--map" in changes or new.get("--scheduler") == "fifo"
    if "--map" in changes:
        trials = max(trials, TRIALS_OF_A_MAP)
    kimg, seeds = float(str(new.get("--kimg", plan.kimg))), float(str(new.get("--seeds", plan.seeds)))
    return Command(shlex.join(words), _price(results, trials, seeds, kimg, is_whole))


def _now(results: SpaceResults, flag: str, values: Sequence[str]) -> Sequence[str]:
    """An option's values as they are now, and from any folder: this space, as many trials, paths in full."""
    folder, name = Path(results.record.get("directory", "")), results.space.name
    if flag == "--space":
        own = [value for value in values if Path(value).stem == name]
        return [str(folder / value) if Path(value).suffix else value for value in own]
    if flag in PATHS:
        return [str(folder / value) for value in values]
    known = {"--dataset": results.plan.dataset, "--trials": str(results.plan.trials[name])}
    return [known[flag]] if flag in known else values


def _price(results: SpaceResults, trials: int, seeds: float, kimg: float, is_whole: bool) -> str:
    """Of so many trials, each whole or as far as this study's went, at this study's seconds a kimg."""
    plan, rows = results.plan, results.trials
    spent, trained = float(rows[["train_seconds", "eval_seconds"]].sum().sum()), float(rows["kimg"].sum())
    if not (spent > 0 and trained > 0):
        return ""
    share = 1.0 if is_whole else trained / (len(rows) * plan.kimg)
    seconds = spent / trained * share * kimg * trials * seeds / plan.seeds
    where = "here" if len(plan.spaces) == 1 else f"here for {results.space.name}"
    return f"about {duration(seconds / plan.concurrency)} {where}, {plan.concurrency} at a time"


def _read(command: Sequence[str]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The program, and its options, each with its values."""
    head: list[str] = []
    options: list[tuple[str, list[str]]] = []
    for word in command:
        if word.startswith("--"):
            flag, is_given, value = word.partition("=")
            options.append((flag, [value] if is_given else []))
        else:
            (options[-1][1] if options else head).append(word)
    return head, options


def to_map(results: SpaceResults) -> Command:
    """The command that maps a space, to be understood."""
    changes: dict[str, Sequence[object] | None] = {"--map": (), "--sampler": None, "--scheduler": None}
    if results.plan.trials[results.space.name] < TRIALS_OF_A_MAP:  # too few, or as many as it has by default
        changes["--trials"] = None
    return again(results, changes)


def extend(results: SpaceResults, trials: int) -> Command | None:
    """The command that goes on with a study, up to so many trials of each space; None where it can't."""
    plan = results.plan
    if not StudyFolder(results.folder).can_go_on():
        return None
    more = trials - plan.trials[results.space.name]
    line = resume(results.folder, plan, f" --trials {trials}")
    return Command(line, _price(results, more, plan.seeds, plan.kimg, is_whole=False))


def resume(folder: Path, plan: StudyPlan, more: str = "") -> str:
    """The command that goes on with a study, with `more` options."""
    return with_plugins(f"python -m study.tune --resume {shlex.quote(str(folder))}{more}", plan.plugins)


def train(results: SpaceResults, trial_id: str) -> str:
    """The command that trains a trial's configuration again, with its seeds: every hyperparameter in full."""
    (row,) = results.trials[results.trials["trial_id"] == trial_id].to_dict("records")
    plan = results.plan
    given: dict[str, object] = {"--model": row["model"], "--dataset": plan.dataset}
    for name in hyperparameters():
        if name in row and not pd.isna(row[name]):  # its model has it
            given[f"--{name.replace('_', '-')}"] = row[name]
    given |= {"--seeds": plan.seeds, "--seed": plan.seed, "--kimg": plan.kimg, "--eval-kimg": plan.eval_kimg}
    given |= {"--metric": plan.metric, "--aggregate": plan.aggregate, "--precision": row["precision"]}
    given |= {"--threads": max(1, int(plan.cpus_per_trial))}  # as many round in the same order
    words = ["python", "-m", "study.train"]
    for flag, value in given.items():
        words += [flag, str(value)]
    for flag, values in _read(results.record["command"])[1]:
        if flag in OF_DATA:
            words += [flag, *_now(results, flag, values)]
    for plugin in plan.plugins:
        words += ["--plugin", plugin["path"]]
    return shlex.join(words)
