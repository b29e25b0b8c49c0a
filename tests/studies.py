"""What tests of whole studies share: a small space, and a check that all books tell the same."""

from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from study.records.study_folder import StudyFolder
from study.records.tables import TABLES

STATES = {
    "completed": TrialState.COMPLETE,
    "diverged": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
TINY = ["--dataset", "ring8", "--seeds", "2", "--wandb", "disabled"]


def small(low: float = 1e-4, high: float = 1e-2, **more: Any) -> dict[str, Any]:
    """A space of small networks."""
    lr = {"distribution": "log_uniform_values", "min": low, "max": high}
    fixed = {"model": "wgan_gp", "width": 8, "batch_size": 32, "n_critic": 1, **more}
    parameters = {name: {"value": value} for name, value in fixed.items()}
    return {"method": "random", "parameters": {**parameters, "lr_g": lr, "lr_d": lr}}


def journal(study: StudyFolder, space: str) -> list[FrozenTrial]:
    """A space's trials as Optuna itself reads them."""
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


def check_trial(study: StudyFolder, told: FrozenTrial, row: Any) -> None:
    """One trial in the journal, in the table and in its folder."""
    folder = study.trial(row["trial_id"])
    ending = folder.ending()
    assert ending is not None
    assert (row["state"], row["ended_by"]) == (ending.state, ending.ended_by)
    assert told.state == STATES[row["state"]]
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
