"""What tests of trials and studies share: small plans, a clock, and a check that all books tell the same."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from study.config import TrialConfig
from study.plan import StudyPlan, TrialPlan, trial_id
from study.records import schema
from study.records.study_folder import StudyFolder
from study.records.tables import TABLES

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

STATES = {"completed": "COMPLETE", "diverged": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}  # Optuna's
TINY = ["--dataset", "ring8", "--seeds", "2", "--wandb", "disabled"]


def untimed(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what tells of the time and the place, and not of the training."""
    return [schema.untimed(row) for row in rows]


def small(low: float = 1e-4, high: float = 1e-2, **more: Any) -> dict[str, Any]:
    """A space of small networks."""
    lr = {"distribution": "log_uniform_values", "min": low, "max": high}
    fixed = {"model": "wgan_gp", "width": 8, "batch_size": 32, "n_critic": 1, **more}
    parameters = {name: {"value": value} for name, value in fixed.items()}
    return {"method": "random", "parameters": {**parameters, "lr_g": lr, "lr_d": lr}}


def trial_plan(number: int = 0, /, **changes: Any) -> TrialPlan:
    """Four evaluations after the one at kimg 0; hyperparameters go to the configuration."""
    fields = {name: changes.pop(name) for name in list(changes) if name in TrialPlan.__dataclass_fields__}
    space = fields.get("space", "space")
    given = {"model": "wgan_gp", "dataset": "ring8", "width": 8, "batch_size": 32, "n_critic": 2, **changes}
    defaults = {
        "study": "mine", "space": space, "trial_id": trial_id(space, number),
        "config": TrialConfig.from_dict(given), "seeds": (0, 1), "study_seed": 3,
        "kimg": 0.512, "eval_kimg": 0.128, "metric": "w1", "aggregate": "mean",
    }  # fmt: skip
    return TrialPlan(**defaults | fields)


def study_plan(**changes: Any) -> StudyPlan:
    """Two evaluations after the one at kimg 0; one sampler, say, is that of every space."""
    defaults = {
        "name": "mine", "spaces": {"a": small()}, "dataset": "ring8", "metric": "w1", "aggregate": "mean",
        "samplers": "random", "schedulers": "fifo", "trials": 3, "seeds": 2, "seed": 0,
        "kimg": 0.128, "eval_kimg": 0.064, "concurrency": 1, "cpus_per_trial": 1.0, "gpus_per_trial": 0.0,
        "wandb": "disabled", "wandb_project": "gan-study", "address": None, "min_updates": 1,
    }  # fmt: skip
    fields: dict[str, Any] = defaults | changes
    for name in ("samplers", "schedulers", "trials"):
        if not isinstance(fields[name], dict):
            fields[name] = dict.fromkeys(fields["spaces"], fields[name])
    return StudyPlan(**fields)


class Clock:
    """A clock that stands still but for what takes time on it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def slow(self, patch: pytest.MonkeyPatch, holder: Any, function: str, seconds: float) -> None:
        """From now on this function of `holder` takes so long."""
        original = getattr(holder, function)

        def slowly(*given: Any, **options: Any) -> Any:
            self.now += seconds
            return original(*given, **options)

        patch.setattr(holder, function, slowly)


def journal(study: StudyFolder, space: str) -> "list[FrozenTrial]":
    """A space's trials as Optuna itself reads them."""
    import optuna  # not above: tests on a GPU may have to do without
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(study.journal)))
    return optuna.load_study(study_name=space, storage=storage).trials


def table(study: StudyFolder, name: str) -> pd.DataFrame:
    return pd.read_parquet(study.path / f"{name}.parquet")


def states(study: StudyFolder) -> dict[str, str]:
    """The state of each trial, as the table has it."""
    trials = table(study, "trials")
    return dict(zip(trials["trial_id"], trials["state"], strict=True))


def check_books(study: StudyFolder, asked: dict[str, int], evaluations: int | None = None) -> None:
    """Folders, tables and journal tell of the same trials, as many as were asked for, each once."""
    trials, runs, curves = (table(study, name) for name in TABLES)
    names = [f"{space}-{number:05d}" for space in sorted(asked) for number in range(asked[space])]
    assert [name for name, _ in study.trials()] == names
    assert trials["trial_id"].tolist() == names
    assert trials["space"].value_counts().to_dict() == asked
    assert [tuple(pair) for pair in runs[["trial_id", "seed"]].to_numpy()] == [
        (name, seed) for name in names for seed in (0, 1)
    ]
    state = states(study)
    for name, seed in {*zip(curves["trial_id"], curves["seed"], strict=True)}:
        rows = curves[(curves["trial_id"] == name) & (curves["seed"] == seed)]
        assert rows["evaluation"].tolist() == list(range(len(rows)))
        assert rows["kimg"].is_monotonic_increasing
        if evaluations and state[name] == "completed":
            assert len(rows) == evaluations
    for space, count in asked.items():
        told = journal(study, space)
        assert len(told) == count
        for trial in told:
            check_trial(study, trial, trials[trials["space"] == space].iloc[trial.number])


def check_trial(study: StudyFolder, told: "FrozenTrial", row: Any) -> None:
    """One trial in the journal, in the table and in its folder."""
    folder = study.trial(row["trial_id"])
    ending = folder.ending()
    assert ending is not None
    assert (row["state"], row["ended_by"]) == (ending.state, ending.ended_by)
    assert told.state.name == STATES[row["state"]]
    for name, value in told.params.items():
        assert row[name] == value
    if row["state"] == "failed":
        assert row["error"] == ending.error
        assert told.value is None
        return
    assert row["kimg"] == ending.kimg
    assert told.value == row["objective"] == ending.objective
    rows = folder.rows()
    scores = {e: [r["score"] for r in rows if r["evaluation"] == e] for e in {r["evaluation"] for r in rows}}
    means = {evaluation: sum(both) / len(both) for evaluation, both in scores.items()}
    assert told.intermediate_values == pytest.approx(means, rel=1e-12)


def wandb_records(path: Path) -> list[dict[str, Any]]:
    """The records of a .wandb file, in order."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", str(path), "--json"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def wandb_run(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The run, as the last record of it has it."""
    found: dict[str, Any] = [line["run"] for line in lines if "run" in line][-1]
    return found


def wandb_history(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Its rows, without W&B's own keys."""
    items = [line["history"]["item"] for line in lines if "history" in line]
    return [{k: v for k, v in item.items() if not k.startswith("_")} for item in items]
