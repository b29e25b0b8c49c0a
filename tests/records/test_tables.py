"""The three tables: every trial, run and evaluation is a row, whatever became of it."""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from study.command import run_command
from study.config import LIMITS, TrialConfig
from study.errors import UserError
from study.metrics import METRICS, metrics_for
from study.metrics.stability import wilson_interval
from study.plan import StudyPlan, TrialPlan
from study.records.study_folder import StudyFolder
from study.records.tables import TABLES, Results
from study.records.trial_folder import Ending, Row, TrialFolder
from study.results import main

KEYS = ["study", "space", "model", "dataset", "trial_id"]
CEILING = {"w1": 1.0, "hq": 0.0, "modes_covered": 1.0, "mode_coverage": 0.125, "mode_kl": 2.0, "fd": 40.0}
FLOOR = {"w1": 0.0, "hq": 0.99, "modes_covered": 8.0, "mode_coverage": 1.0, "mode_kl": 0.0, "fd": 1.0}


def trial_plan(trial_id: str, **changes: Any) -> TrialPlan:
    plan = TrialPlan(
        study="mine",
        space=trial_id.rpartition("-")[0],
        trial_id=trial_id,
        config=TrialConfig(model="wgan_gp", dataset="ring8", lr_g=3e-4),
        seeds=(0, 1),
        study_seed=0,
        kimg=2.0,
        eval_kimg=1.0,
        metric="w1",
        aggregate="mean",
    )
    return replace(plan, **changes)


def row(seed: int, evaluation: int, w1: float | None, kind: str = "points", **changes: Any) -> Row:
    """A curve row as study.trial.run writes it; w1 None: the seed has diverged half an evaluation ago."""
    names = metrics_for(kind)
    metric = "w1" if kind == "points" else "fd"
    diverged = w1 is None
    values: dict[str, Any] = dict.fromkeys(names, None if diverged else 0.5) | {metric: w1}
    mean = None if evaluation == 0 else 1.5
    return {
        "seed": seed,
        "evaluation": evaluation,
        "kimg": float(evaluation),
        "critic_updates": 10 * evaluation,
        "generator_updates": 2 * evaluation,
        "train_seconds": 3.0 * evaluation,
        "eval_seconds": 0.25,
        **values,
        **{f"{name}_floor": FLOOR[name] for name in names},
        **{f"{name}_ceiling": CEILING[name] for name in names},
        "score": CEILING[metric] if w1 is None else min(w1, CEILING[metric]),
        **dict.fromkeys(("loss_d", "loss_g", "grad_norm_d", "grad_norm_g"), mean),
        "diverged": diverged,
        "diverged_at_kimg": evaluation - 0.5 if diverged else None,
        "reason": "non-finite critic loss" if diverged else None,
    } | changes


def rows(*curves: list[float | None], **changes: Any) -> list[Row]:
    """One list of w1 per seed."""
    return [
        row(seed, evaluation, curve[evaluation], **changes)
        for evaluation in range(len(curves[0]))
        for seed, curve in enumerate(curves)
    ]


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    folder = StudyFolder(tmp_path / "results" / "mine")
    plan = StudyPlan(
        name="mine",
        spaces={},
        dataset="ring8",
        metric="w1",
        aggregate="mean",
        samplers={},
        schedulers={},
        trials={},
        seeds=2,
        kimg=2.0,
        eval_kimg=1.0,
        seed=0,
        concurrency=1,
        cpus_per_trial=1.0,
        gpus_per_trial=0.0,
        wandb="disabled",
        wandb_project="gan-study",
        address=None,
    )
    folder.create(plan, [], {})
    return folder


Add = Callable[..., TrialFolder]


@pytest.fixture
def add(study: StudyFolder) -> Add:
    """Write a trial's folder; without an ending it is unfinished."""

    def write(trial_id: str, history: list[Row], ending: Ending | None = None, **changes: Any) -> TrialFolder:
        folder = study.trial(trial_id)
        folder.create(trial_plan(trial_id, **changes))
        folder.append(history)
        if ending:
            folder.finish(replace(ending, kimg=history[-1]["kimg"]) if history else ending)
        return folder

    return write


def ended(state: str, objective: float | None = 0.5, **changes: Any) -> Ending:
    by = {"completed": "budget", "pruned": "asha", "diverged": "divergence", "failed": "fault"}[state]
    return Ending(**{"state": state, "ended_by": by, "kimg": 2.0, "objective": objective, **changes})


def tables(study: StudyFolder, include_unfinished: bool = True) -> dict[str, pd.DataFrame]:
    results = Results(study)
    results.add_all(include_unfinished=include_unfinished)
    results.write()
    return {name: results.table(name) for name in TABLES}


def one_trial(study: StudyFolder) -> dict[str, Any]:
    record: Any
    (record,) = tables(study)["trials"].to_dict("records")
    return record


def every_fate(add: Add) -> None:
    """One trial of each fate."""
    add("a-00000", rows([1.0, 0.6, 0.4], [1.0, 0.7, 0.6]), ended("completed"))
    add("a-00001", rows([1.0, 0.9], [1.0, 0.9]), ended("pruned", 0.9, kimg=1.0))
    add("a-00002", rows([1.0, None], [1.0, None]), ended("diverged", 1.0, kimg=1.0))
    add("b-00000", rows([1.0], [1.0]), ended("failed", None, kimg=0.0, error="Traceback\nboom"))
    add("b-00001", rows([1.0, 0.8], [1.0, 0.7]))  # interrupted
    add("b-00002", [])  # interrupted before its first evaluation
    mangled = add("b-00003", rows([1.0, 0.8], [1.0, 0.7]), ended("completed"))
    (mangled.path / "config.json").write_text("{")


# Every trial is a row


def test_every_trial_is_a_row_with_its_state(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    trials = tables(study)["trials"].set_index("trial_id")
    assert trials[["state", "ended_by"]].apply(tuple, axis=1).to_dict() == {
        "a-00000": ("completed", "budget"),
        "a-00001": ("pruned", "asha"),
        "a-00002": ("diverged", "divergence"),
        "b-00000": ("failed", "fault"),
        "b-00001": ("interrupted", "interrupt"),
        "b-00002": ("interrupted", "interrupt"),
        "b-00003": ("failed", "unreadable"),
    }
    assert trials["kimg"].drop("b-00003").to_dict() == {
        "a-00000": 2.0, "a-00001": 1.0, "a-00002": 1.0, "b-00000": 0.0, "b-00001": 1.0, "b-00002": 0.0,
    }  # fmt: skip
    assert trials["error"].dropna().to_dict().keys() == {"b-00000", "b-00003"}
    assert trials.loc["b-00000", "error"] == "Traceback\nboom"
    assert "config.json" in str(trials.loc["b-00003", "error"])


def test_every_run_is_a_row(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    runs = tables(study)["runs"]
    readable = ["a-00000", "a-00001", "a-00002", "b-00000", "b-00001", "b-00002"]
    assert [tuple(pair) for pair in runs[["trial_id", "seed"]].to_numpy()] == [
        (trial_id, seed) for trial_id in readable for seed in (0, 1)
    ]
    never = runs[runs["trial_id"] == "b-00002"]
    assert never["kimg"].isna().all()
    assert (never["lr_g"] == 3e-4).all()


def test_every_evaluation_of_every_seed_is_a_row(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    counts = tables(study)["curves"]["trial_id"].value_counts().to_dict()
    assert counts == {"a-00000": 6, "a-00001": 4, "a-00002": 4, "b-00000": 2, "b-00001": 4}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "{"),
        ("config.json", None),
        ("config.json", "[1]"),
        ("config.json", '{"config": {"model": "vae"}, "seeds": [0]}'),
        ("curves.jsonl", "nonsense\n"),
        ("curves.jsonl", '{"seed": 0, "evaluation": 0, "kimg": 0.0}\n'),
        ("curves.jsonl", '{"seed": 0, "evaluation": [], "kimg": 0.0}\n'),
        ("curves.jsonl", b"\xff\n"),
    ],
)
def test_a_damaged_trial_is_a_failed_row_and_a_problem_told(
    file: str, content: str | bytes | None, add: Add, study: StudyFolder
) -> None:
    add("a-00000", rows([1.0, 0.6], [1.0, 0.7]), ended("completed"))
    path = add("a-00001", rows([1.0, 0.6], [1.0, 0.7]), ended("completed")).path / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    results = Results(study)
    results.add_all(include_unfinished=True)
    trials = results.table("trials")
    assert trials["state"].tolist() == ["completed", "failed"]
    assert trials["ended_by"].tolist() == ["budget", "unreadable"]
    (problem,) = results.problems
    assert problem.startswith("trial a-00001 can't be read: ")
    assert "\n" not in problem


@pytest.mark.parametrize("content", ["{", "[]", '{"state": "completed"}'])
def test_a_damaged_marker_is_a_failed_row_with_its_curves(content: str, add: Add, study: StudyFolder) -> None:
    folder = add("a-00000", rows([1.0, 0.6], [1.0, 0.7]), ended("completed"))
    (folder.path / "DONE").write_text(content)
    found = tables(study, include_unfinished=False)
    (trial,) = found["trials"].to_dict("records")
    assert (trial["state"], trial["ended_by"]) == ("failed", "unreadable")
    assert "DONE is not a trial's ending" in trial["error"]
    assert math.isnan(trial["objective"])
    assert (len(found["runs"]), len(found["curves"])) == (2, 4)


def test_unfinished_trials_of_a_running_study_are_left_out(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    trials = tables(study, include_unfinished=False)["trials"]
    assert "interrupted" not in set(trials["state"])
    assert len(trials) == 5


def test_the_objectives_of_a_trial_are_known(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    results = Results(study)
    results.add_all(include_unfinished=True)
    assert results.objectives("a-00000") == [(0, 1.0), (1, pytest.approx(0.65)), (2, 0.5)]
    assert results.objectives("a-00002") == [(0, 1.0), (1, 1.0)]
    assert results.objectives("b-00003") == []  # it can't be read


# Columns


def columns(metric_suffixes: tuple[str, ...], names: list[str]) -> set[str]:
    return {name + suffix for name in names for suffix in metric_suffixes}


@pytest.mark.parametrize("kind", ["points", "images"])
def test_the_columns_are_those_promised(kind: str, add: Add, study: StudyFolder) -> None:
    dataset, metric = ("ring8", "w1") if kind == "points" else ("digits", "fd")
    config = TrialConfig(model="wgan_cp", dataset=dataset)
    add("a-00000", rows([1.0, 0.6], [1.0, 0.7], kind=kind), ended("completed"), config=config, metric=metric)
    found = {name: set(frame.columns) for name, frame in tables(study).items()}
    names = metrics_for(kind)
    clocks = {"critic_updates", "generator_updates", "train_seconds", "eval_seconds"}
    means = {"loss_d", "loss_g", "grad_norm_d", "grad_norm_g"}
    divergence = {"diverged", "diverged_at_kimg", "reason"}
    assert found["trials"] == (
        {*KEYS, *LIMITS, "state", "ended_by", "kimg", "objective", "metric", "aggregate", "n_seeds"}
        | {"precision", "n_diverged", "failure_rate", "failure_rate_low", "failure_rate_high", "error"}
        | clocks
        | columns(("", "_iqr", "_cvar", "_floor", "_ceiling"), names)
    )
    assert found["runs"] == (
        {*KEYS, *LIMITS, "seed", "kimg", "score", "collapsed", "dispersion", "drawdown"}
        | clocks
        | means
        | divergence
        | columns(("", "_best", "_floor", "_ceiling"), names)
    )
    assert found["curves"] == (
        {*KEYS, "seed", "evaluation", "kimg", "score"}
        | clocks
        | means
        | divergence
        | columns(("", "_floor", "_ceiling"), names)
    )
    for frame in tables(study).values():
        assert list(frame.columns[:5]) == KEYS


def test_a_columns_type_does_not_depend_on_its_values(add: Add, study: StudyFolder) -> None:
    """An empty table, and a trial that knows almost nothing, have the types of a full one."""
    empty = {name: frame.dtypes.to_dict() for name, frame in tables(study).items()}
    add("a-00000", [])
    bare = {name: frame.dtypes.to_dict() for name, frame in tables(study).items()}
    add("a-00001", rows([1.0, None], [1.0, 0.7]), ended("completed"))
    full = {name: frame.dtypes.to_dict() for name, frame in tables(study).items()}
    for name in TABLES:
        assert empty[name].items() <= full[name].items()
        assert bare[name] == full[name]
        read = pd.read_parquet(study.path / f"{name}.parquet")
        assert list(read.columns) == list(full[name])
    trials = full["trials"]
    assert (trials["lr_g"], trials["n_critic"], trials["state"]) == ("float64", "Int64", "string")
    assert trials["clip_value"] == "float64"
    assert full["runs"]["diverged"] == "boolean"


def test_the_files_hold_what_was_returned(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    for name, frame in tables(study).items():
        read = pd.read_parquet(study.path / f"{name}.parquet")
        pd.testing.assert_frame_equal(read.convert_dtypes(), frame.convert_dtypes())


def test_every_number_is_finite_or_missing(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    for frame in tables(study).values():
        for column in frame.select_dtypes("number"):
            assert all(math.isfinite(value) for value in frame[column].dropna())
    assert tables(study)["trials"]["objective"].notna().tolist() == [True, True, True] + [False] * 4


def test_spaces_of_two_datasets_share_a_table(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.6], [1.0, 0.7]), ended("completed"))
    digits = TrialConfig(model="dcgan", dataset="digits")
    add("b-00000", rows([30.0], [30.0], kind="images"), ended("pruned"), config=digits, metric="fd")
    trials = tables(study)["trials"]
    assert {"w1", "fd"} <= set(trials.columns)
    assert trials["w1"].isna().tolist() == [False, True]
    assert trials["fd"].isna().tolist() == [True, False]


# Figures


@pytest.mark.parametrize(("how", "expected"), [("mean", 0.5), ("median", 0.5), ("cvar", 0.6)])
def test_a_trials_metric_is_the_aggregate_over_its_seeds(
    how: str, expected: float, add: Add, study: StudyFolder
) -> None:
    add("a-00000", rows([1.0, 0.9, 0.4], [1.0, 0.9, 0.6]), ended("completed", expected), aggregate=how)
    trial = one_trial(study)
    assert trial["objective"] == trial["w1"] == pytest.approx(expected, rel=1e-12)
    assert trial["w1_iqr"] == pytest.approx(0.1, rel=1e-9)  # quartiles 0.45 and 0.55
    assert trial["w1_cvar"] == 0.6
    assert (trial["w1_floor"], trial["w1_ceiling"]) == (0.0, 1.0)
    assert (trial["metric"], trial["aggregate"], trial["n_seeds"]) == ("w1", how, 2)


def test_a_diverged_seed_counts_in_the_objective_and_not_in_the_metrics(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.4], [1.0, None]), ended("completed", 0.7))
    trial = one_trial(study)
    assert trial["objective"] == 0.7  # 0.4 and the untrained 1
    assert (trial["w1"], trial["hq"], trial["mode_kl"]) == (0.4, 0.5, 0.5)  # of the seed that lives
    assert (trial["n_diverged"], trial["failure_rate"]) == (1, 0.5)
    assert (trial["failure_rate_low"], trial["failure_rate_high"]) == wilson_interval(1, 2)


def test_a_trial_has_the_clocks_of_its_last_evaluation(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.9, 0.4], [1.0, 0.9, 0.6]), ended("completed"))
    trial = one_trial(study)
    assert (trial["kimg"], trial["critic_updates"], trial["generator_updates"]) == (2.0, 20, 4)
    assert trial["train_seconds"] == 6.0
    assert trial["eval_seconds"] == 0.75  # three evaluations of all seeds together


def test_a_trial_has_all_its_hyperparameters(add: Add, study: StudyFolder) -> None:
    config = TrialConfig(model="wgan_cp", dataset="ring8", clip_value=0.02, batch_size=32)
    add("a-00000", rows([1.0], [1.0]), ended("pruned"), config=config)
    trial = one_trial(study)
    assert math.isnan(trial.pop("lambda_gp"))
    expected = {name: value for name, value in config.to_dict().items() if name != "lambda_gp"}
    assert {name: trial[name] for name in expected} == expected


def runs_of(study: StudyFolder) -> list[Any]:
    return tables(study)["runs"].to_dict("records")


def test_a_run_has_its_final_and_best_values(add: Add, study: StudyFolder) -> None:
    history = rows([1.0, 0.3, 0.4], [1.0, 0.7, 0.6])
    for record, hq in zip(history, (0.0, 0.0, 0.9, 0.2, 0.5, 0.3), strict=True):
        record["hq"] = hq
    add("a-00000", history, ended("completed"))
    first, second = runs_of(study)
    assert (first["w1"], first["w1_best"], first["score"]) == (0.4, 0.3, 0.4)
    assert (first["hq"], first["hq_best"]) == (0.5, 0.9)
    assert (second["w1"], second["w1_best"], second["hq_best"]) == (0.6, 0.6, 0.3)
    assert first["loss_d"] == 1.5
    assert first["train_seconds"] == 6.0
    assert first["eval_seconds"] == 0.75


def test_a_runs_stability_is_scaled_by_floor_and_ceiling(add: Add, study: StudyFolder) -> None:
    # Scores 1.0 0.2 0.6 0.4: the largest loss from the best so far is 0.4, the differences are
    # -0.8 0.4 -0.2 with quartiles -0.5 and 0.1; the range from floor to ceiling is doubled to 2.
    history = rows([1.0, 0.2, 0.6, 0.4], w1_floor=-1.0)
    add("a-00000", history, ended("completed"), seeds=(0,))
    (run,) = runs_of(study)
    assert run["drawdown"] == pytest.approx(0.2, rel=1e-9)
    assert run["dispersion"] == pytest.approx(0.3, rel=1e-9)


def test_a_run_that_diverged_says_when_and_why(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.4, 0.3], [1.0, 0.5, None]), ended("completed"))
    first, second = runs_of(study)
    assert (first["diverged"], second["diverged"]) == (False, True)
    assert (second["diverged_at_kimg"], second["reason"]) == (1.5, "non-finite critic loss")
    assert math.isnan(first["diverged_at_kimg"])
    assert (second["score"], second["w1_best"]) == (1.0, 0.5)
    assert math.isnan(second["w1"])
    assert pd.isna(second["collapsed"])


@pytest.mark.parametrize(("coverage", "collapsed"), [(1.0, False), (0.625, False), (0.5, True), (0.0, True)])
def test_collapse_is_at_most_half_the_modes_of_real_data(
    coverage: float, collapsed: bool, add: Add, study: StudyFolder
) -> None:
    add("a-00000", rows([1.0, 0.4], mode_coverage=coverage), ended("completed"), seeds=(0,))
    (run,) = runs_of(study)
    assert run["collapsed"] is collapsed


def test_the_best_trial_goes_by_the_metrics_direction(add: Add, study: StudyFolder) -> None:
    for number, objective in enumerate([0.4, 0.2, 0.9]):
        add(f"a-{number:05d}", rows([1.0], [1.0]), ended("completed", objective))
    add("a-00003", rows([1.0], [1.0]), ended("failed", None))
    results = Results(study)
    assert results.best("w1") is None
    results.add_all(include_unfinished=True)
    assert results.best("w1") == (0.2, "a-00001")
    assert results.best("hq") == (0.9, "a-00002")


# Rebuilding


def test_tables_rebuilt_from_the_folders_are_equal(add: Add, study: StudyFolder) -> None:
    """One trial at a time, in any order, as a running study adds them; then all at once."""
    every_fate(add)
    growing = Results(study)
    for trial_id in ("b-00001", "a-00002", "b-00003", "a-00000", "b-00000", "b-00002", "a-00001"):
        growing.add(trial_id)
        growing.write()
    before = {name: (study.path / f"{name}.parquet").read_bytes() for name in TABLES}
    for name in TABLES:
        (study.path / f"{name}.parquet").unlink()
    tables(study)
    assert {name: (study.path / f"{name}.parquet").read_bytes() for name in TABLES} == before


def test_growing_tables_are_complete_at_every_writing(add: Add, study: StudyFolder) -> None:
    results = Results(study)
    for number in range(3):
        add(f"a-{number:05d}", rows([1.0, 0.6], [1.0, 0.7]), ended("completed"))
        results.add(f"a-{number:05d}")
        results.write()
        read = [len(pd.read_parquet(study.path / f"{name}.parquet")) for name in TABLES]
        assert read == [number + 1, 2 * (number + 1), 4 * (number + 1)]


@pytest.mark.parametrize(("column", "value"), [("score", "good"), ("reason", 7), ("critic_updates", [1])])
def test_a_value_of_the_wrong_type_is_a_failed_row(
    column: str, value: object, add: Add, study: StudyFolder
) -> None:
    add("a-00000", rows([1.0, 0.6], [1.0, 0.7]), ended("completed"))
    add("a-00001", rows([1.0, 0.6], [1.0, 0.7], **{column: value}), ended("completed"))
    found = tables(study)
    assert found["trials"]["ended_by"].tolist() == ["budget", "unreadable"]
    assert len(found["curves"]) == 4


def test_the_command_rebuilds_and_counts(
    add: Add, study: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    every_fate(add)
    assert run_command(lambda: main([str(study.path)])) == 0
    out, err = capsys.readouterr()
    assert "7 trials" in out
    for words in ("2 interrupted", "2 failed", "1 completed", "1 pruned", "1 diverged"):
        assert words in out
    assert "runs.parquet: 12 rows" in out
    assert err.count("\n") == 1
    assert "b-00003" in err
    assert len(pd.read_parquet(study.path / "trials.parquet")) == 7


def test_the_command_leaves_out_what_is_running(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    with study.lock():
        assert main([str(study.path)]) == 0
    assert "interrupted" not in set(pd.read_parquet(study.path / "trials.parquet")["state"])


def test_the_command_takes_trials_of_study_train(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.6], [1.0, 0.7]), ended("completed"))
    (study.path / "study.json").unlink()
    assert main([str(study.path)]) == 0
    assert len(pd.read_parquet(study.path / "trials.parquet")) == 1


@pytest.mark.parametrize("make", [None, "empty", "file"])
def test_the_command_refuses_what_is_no_study(
    make: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nothing"
    if make == "empty":
        path.mkdir()
    elif make == "file":
        path.touch()
    before = sorted(tmp_path.rglob("*"))
    assert run_command(lambda: main([str(path)])) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "nothing" in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_study_that_was_moved_keeps_its_trials(add: Add, study: StudyFolder, tmp_path: Path) -> None:
    every_fate(add)
    shutil.move(study.path, tmp_path / "elsewhere")
    moved = tables(StudyFolder(tmp_path / "elsewhere"))
    assert len(moved["trials"]) == 7


def test_directions_of_all_metrics_are_used(add: Add, study: StudyFolder) -> None:
    """The best value follows each metric's own direction; the final one stands as it is."""
    history = rows([1.0, 0.5, 0.7])
    for name in metrics_for("points"):
        for record, value in zip(history, (CEILING[name], 0.5, 0.7), strict=True):
            record[name] = value
    add("a-00000", history, ended("completed"), seeds=(0,))
    (run,) = runs_of(study)
    trial = one_trial(study)
    for name in metrics_for("points"):
        higher = METRICS[name].higher_is_better
        assert run[f"{name}_best"] == (max if higher else min)(CEILING[name], 0.5, 0.7)
        assert trial[name] == 0.7


def test_a_curve_that_is_cut_short_is_told(add: Add, study: StudyFolder) -> None:
    folder = add("a-00000", rows([1.0, 0.5, 0.4]), ended("completed"), seeds=(0,))
    curves = folder.path / "curves.jsonl"
    curves.write_text("".join(curves.read_text().splitlines(keepends=True)[:2]))
    results = Results(study)
    results.add_all(include_unfinished=True)
    assert results.trial_row("a-00000")["ended_by"] == "unreadable"
    assert "its curve ends at kimg 1.0, its marker says 2.0" in results.problems[0]


def test_tables_are_not_replaced_by_empty_ones(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0]), ended("completed"), seeds=(0,))
    before = tables(study)["trials"]
    (study.path / "trials").rename(study.path / "elsewhere")
    with pytest.raises(UserError, match="no trial folders"):
        main([str(study.path)])
    assert len(pd.read_parquet(study.path / "trials.parquet")) == len(before) == 1
