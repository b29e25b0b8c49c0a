"""Command lines to run next, as a shell takes them."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.tables import SpaceResults
from study.command import with_plugins
from study.models import hyperparameters
from study.plan import StudyPlan

OF_DATA = ("--side", "--data-dir")
ONCE = ("--name", "--resume", "--report")  # of one study and no other


def again(record: Mapping[str, Any], changes: Mapping[str, Sequence[object] | None] | None = None) -> str:
    """The command that made a study, with other options.

    Args:
        record: study.json.
        changes: the new values of options by their flag, () for one without a value; None: not given.
    """
    head, options = _read(record["command"])
    new = dict(changes or {})
    kept = [(flag, values) for flag, values in options if flag not in (*ONCE, *new)]
    words = [*head]
    for flag, values in (*kept, *new.items()):
        if values is not None:
            words += [flag, *(str(value) for value in values)]
    return shlex.join(words)


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


def to_map(record: Mapping[str, Any]) -> str:
    """The command that maps the spaces of a study, to be understood."""
    return again(record, {"--map": (), "--sampler": None, "--scheduler": None})


def extend(results: SpaceResults, trials: int) -> str:
    """The command that goes on with a study, up to so many trials of each space."""
    return resume(results.folder, results.plan, f" --trials {trials}")


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
    words = ["python", "-m", "study.train"]
    for flag, value in given.items():
        words += [flag, str(value)]
    for flag, values in _read(results.record["command"])[1]:
        if flag in OF_DATA:
            words += [flag, *values]
    for plugin in plan.plugins:
        words += ["--plugin", plugin["path"]]
    return shlex.join(words)
