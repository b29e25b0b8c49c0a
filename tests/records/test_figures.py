"""What a trial and a run have of their curves."""

import math
import random

import pandas as pd
import pytest

from study.config import TrialConfig
from study.metrics import METRICS, metrics_for
from study.metrics.failure import wilson_interval
from study.metrics.stability import student_interval
from study.records.study_folder import StudyFolder
from study.records.tables import Results
from tests.recomputed import check_tables
from tests.records.written import (
    UNTRAINED,
    Add,
    ended,
    one_trial,
    rows,
    runs_of,
    tables,
    typed,
    write_floor,
)


def test_the_figures_of_every_fate_are_those_of_a_second_implementation(add: Add, study: StudyFolder) -> None:
    """Survived, stopped, diverged, never learned, never covered, collapsed, calm and in between."""
    stream = random.Random(0)
    for number in range(40):
        kimg = 4 if number % 4 else 2
        curves: list[list[float | None]] = [
            [1.0, *(round(stream.uniform(0.1, 1.2), 3) for _ in range(kimg))] for _ in range(3)
        ]
        for curve in curves[: number % 3]:
            curve[-1] = None
        history = rows(*curves)
        for row in history:
            row["mode_coverage"] = None if row["diverged"] else stream.choice([0.0, 0.25, 0.5, 1.0])
        objective = sum(row["score"] for row in history[-3:]) / 3
        state = "completed" if kimg == 4 else "pruned"
        add(f"a-{number:05d}", history, ended(state, objective), kimg=4.0, seeds=(0, 1, 2))
    tables(study)
    check_tables(study.path)
    runs = pd.read_parquet(study.path / "runs.parquet")
    assert set(runs["end"]) == {"survived", "censored", "diverged"}
    for fate in ("never_learned", "never_covered", "collapsed"):
        assert set(runs[fate]) == {True, False}


@pytest.mark.parametrize("state", ["completed", "diverged"])
def test_a_run_is_at_risk_for_its_budget_at_most(state: str, add: Add, study: StudyFolder) -> None:
    last = None if state == "diverged" else 0.4
    history = rows([1.0, last], [1.0, last])
    for row in history[2:]:  # an iteration is never cut
        row |= {"kimg": 2.1, "diverged_at_kimg": 2.1 if row["diverged"] else None}
    add("a-00000", history, ended(state))
    assert [run["kimg_at_risk"] for run in runs_of(study)] == [2.0, 2.0]


def test_a_trial_without_an_objective_has_no_interval_of_it(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.5], [1.0, 0.6]))
    trial = one_trial(study)
    assert trial["state"] == "interrupted"
    assert pd.isna(trial["objective_low"])
    assert pd.isna(trial["objective_high"])


@pytest.mark.parametrize(("how", "expected"), [("mean", 0.5), ("median", 0.5), ("cvar", 0.6)])
def test_a_trials_metric_is_the_aggregate_over_its_seeds(
    how: str, expected: float, add: Add, study: StudyFolder
) -> None:
    add("a-00000", rows([1.0, 0.9, 0.4], [1.0, 0.9, 0.6]), ended("completed", expected), aggregate=how)
    trial = one_trial(study)
    assert trial["objective"] == trial["w1"] == pytest.approx(expected, rel=1e-12)
    assert trial["w1_iqr"] == pytest.approx(0.1, rel=1e-9)  # quartiles 0.45 and 0.55
    assert trial["w1_worst"] == 0.6
    interval = student_interval([0.4, 0.6]) if how == "mean" else None
    if interval is None:  # it is one of the mean
        assert math.isnan(trial["objective_low"])
        assert math.isnan(trial["objective_high"])
    else:
        assert (trial["objective_low"], trial["objective_high"]) == interval
    assert (trial["metric"], trial["aggregate"], trial["n_seeds"]) == ("w1", how, 2)


def test_a_diverged_seed_counts_in_the_objective_and_leaves_no_other_aggregate(
    add: Add, study: StudyFolder
) -> None:
    """The figures of the seeds that live would look the better, the more seeds die."""
    add("a-00000", rows([1.0, 0.4], [1.0, None]), ended("completed", 0.7))
    trial = one_trial(study)
    assert trial["objective"] == 0.7  # 0.4 and the untrained 1
    assert (trial["objective_low"], trial["objective_high"]) == student_interval([0.4, 1.0])
    for name in metrics_for("ring8"):
        assert all(math.isnan(trial[name + suffix]) for suffix in ("", "_iqr", "_worst"))
    assert (trial["n_diverged"], trial["n_censored"], trial["failure_rate"]) == (1, 0, 0.5)
    assert (trial["failure_rate_low"], trial["failure_rate_high"]) == wilson_interval(1, 2)
    assert runs_of(study)[0]["w1"] == 0.4


@pytest.mark.parametrize("state", ["completed", "pruned", "failed", None])
def test_a_run_that_was_stopped_early_is_censored(state: str | None, add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.4], [1.0, None]), ended(state, kimg=1.0) if state else None)
    first, second = runs_of(study)
    assert (second["end"], second["kimg_at_risk"]) == ("diverged", 0.5)
    assert (first["end"], first["kimg_at_risk"]) == ("survived" if state == "completed" else "censored", 1.0)
    trial = one_trial(study)
    assert (trial["n_diverged"], trial["n_censored"]) == (1, 0 if state == "completed" else 1)
    assert (
        math.isnan(trial["failure_rate"]) == math.isnan(trial["failure_rate_low"]) == (state != "completed")
    )


def test_a_trial_says_when_and_where_it_was_trained(add: Add, study: StudyFolder) -> None:
    history = rows([1.0, 0.9], [1.0, 0.9])
    history[-1]["host"] = "there"
    add("a-00000", history, ended("completed"))
    trial = one_trial(study)
    assert trial["started"] == pd.Timestamp("2026-01-01T00:00:00.500Z")
    assert abs(pd.Timestamp.now("UTC") - trial["ended"]) < pd.Timedelta(minutes=10)
    assert trial["host"] == "there"
    assert tables(study)["curves"]["evaluated"].tolist()[-1] == pd.Timestamp("2026-01-01T00:00:01.500Z")


def test_curves_of_different_batch_sizes_join_by_the_planned_kimg(add: Add, study: StudyFolder) -> None:
    history = rows([1.0, 0.9, 0.8])
    for record in history:
        record["kimg"] *= 1.04  # whole iterations
    add("a-00000", history, ended("completed", kimg=2.08), seeds=(0,))
    found = tables(study)
    assert found["curves"]["kimg_planned"].tolist() == [0.0, 1.0, 2.0]
    assert found["trials"]["kimg_planned"].tolist() == found["runs"]["kimg_planned"].tolist() == [2.0]
    assert found["curves"]["lr_g"].tolist() == [3e-4] * 3


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


def test_a_runs_stability_is_scaled_from_floor_to_untrained(add: Add, study: StudyFolder) -> None:
    # 1.0 0.2 1.4 0.4: the largest loss from the best so far is 1.2, the differences are -0.8 1.2 -1.0
    # with quartiles -0.9 and 0.2; the range from the untrained value to the floor is doubled to 2.
    # Of the scores, which are never worse than 1.0, it would be 0.8 and 0.75.
    write_floor(study, w1=-1.0)
    history = rows([1.0, 0.2, 1.4, 0.4])
    add("a-00000", history, ended("completed", kimg=3.0), seeds=(0,))
    (run,) = runs_of(study)
    assert run["drawdown"] == pytest.approx(0.6, rel=1e-9)
    assert run["dispersion"] == pytest.approx(0.55, rel=1e-9)


def test_a_run_that_diverged_says_when_and_why(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.4, 0.3], [1.0, 0.5, None]), ended("completed"))
    first, second = runs_of(study)
    assert (first["diverged"], second["diverged"]) == (False, True)
    assert (second["diverged_at_kimg"], second["reason"]) == (1.5, "non-finite critic loss")
    assert math.isnan(first["diverged_at_kimg"])
    assert (second["score"], second["w1_best"]) == (1.0, 0.5)
    assert math.isnan(second["w1"])
    assert math.isnan(second["dispersion"])
    assert math.isnan(second["drawdown"])  # the worst run is not to look calm


def test_never_learned_never_covered_and_collapsed_are_counted(add: Add, study: StudyFolder) -> None:
    curves: dict[int, list[float | None]] = {
        0: [0.1, 0.9, 0.3],
        1: [0.1, 0.4, 0.1],
        2: [0.1, 0.9, 0.9],
        3: [0.1, 0.4, None],
    }
    history = rows([1.0, 0.4, 0.4], [1.0, 0.95, 0.95], [1.0, 0.4, 0.4], [1.0, 0.99, None])
    for record in history:
        record["mode_coverage"] = curves[int(record["seed"])][int(record["evaluation"])]
    add("a-00000", history, ended("completed"), seeds=(0, 1, 2, 3))
    runs = pd.DataFrame(runs_of(study)).set_index("seed")
    assert runs["never_learned"].tolist() == [False, True, False, True]
    assert runs["never_covered"].tolist() == [False, True, False, True]
    assert runs["collapsed"].tolist() == [True, False, False, False]
    trial = one_trial(study)
    assert (trial["n_never_learned"], trial["n_never_covered"], trial["n_collapsed"]) == (2, 2, 1)


def test_where_the_untrained_generator_is_no_worse_than_real_data_nothing_is_scaled(
    add: Add, study: StudyFolder
) -> None:
    write_floor(study, w1=1.0)
    add("a-00000", rows([1.0, 0.4, 0.6]), ended("completed"), seeds=(0,))
    (run,) = runs_of(study)
    assert all(pd.isna(run[name]) for name in ("never_learned", "dispersion", "drawdown"))


def test_the_best_trial_goes_by_the_metrics_direction(add: Add, study: StudyFolder) -> None:
    for number, objective in enumerate([0.4, 0.2, 0.9]):
        add(f"a-{number:05d}", rows([1.0], [1.0]), ended("completed", objective))
    add("a-00003", rows([1.0], [1.0]), ended("failed", None))
    results = Results(study)
    assert results.best("w1") is None
    results.add_all(include_unfinished=True)
    assert (results.best("w1") or ())[:2] == (0.2, "a-00001")
    assert (results.best("hq") or ())[:2] == (0.9, "a-00002")


def test_directions_of_all_metrics_are_used(add: Add, study: StudyFolder) -> None:
    """The best value follows each metric's own direction; the final one stands as it is."""
    history = rows([1.0, 0.5, 0.7])
    for name in metrics_for("ring8"):
        for record, value in zip(history, (UNTRAINED[name], 0.5, 0.7), strict=True):
            record[name] = typed(name, value)
    add("a-00000", history, ended("completed"), seeds=(0,))
    (run,) = runs_of(study)
    trial = one_trial(study)
    for name in metrics_for("ring8"):
        higher = METRICS[name].higher_is_better
        seen = [typed(name, value) for value in (UNTRAINED[name], 0.5, 0.7)]
        assert run[f"{name}_best"] == (max if higher else min)(seen)
        assert (run[name], trial[name]) == (seen[-1], seen[-1])
