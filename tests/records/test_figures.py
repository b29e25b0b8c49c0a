"""What a trial and a run have of their curves."""

import math

import pandas as pd
import pytest

from study.config import TrialConfig
from study.metrics import METRICS, metrics_for
from study.metrics.stability import wilson_interval
from study.records.study_folder import StudyFolder
from study.records.tables import Results
from tests.records.written import UNTRAINED, Add, ended, one_trial, rows, runs_of, write_floor


@pytest.mark.parametrize(("how", "expected"), [("mean", 0.5), ("median", 0.5), ("cvar", 0.6)])
def test_a_trials_metric_is_the_aggregate_over_its_seeds(
    how: str, expected: float, add: Add, study: StudyFolder
) -> None:
    add("a-00000", rows([1.0, 0.9, 0.4], [1.0, 0.9, 0.6]), ended("completed", expected), aggregate=how)
    trial = one_trial(study)
    assert trial["objective"] == trial["w1"] == pytest.approx(expected, rel=1e-12)
    assert trial["w1_iqr"] == pytest.approx(0.1, rel=1e-9)  # quartiles 0.45 and 0.55
    assert trial["w1_cvar"] == 0.6
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
    # Scores 1.0 0.2 0.6 0.4: the largest loss from the best so far is 0.4, the differences are
    # -0.8 0.4 -0.2 with quartiles -0.5 and 0.1; the range from floor to untrained is doubled to 2.
    write_floor(study, w1=-1.0)
    history = rows([1.0, 0.2, 0.6, 0.4])
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
    assert (results.best("w1") or ())[:2] == (0.2, "a-00001")
    assert (results.best("hq") or ())[:2] == (0.9, "a-00002")


def test_directions_of_all_metrics_are_used(add: Add, study: StudyFolder) -> None:
    """The best value follows each metric's own direction; the final one stands as it is."""
    history = rows([1.0, 0.5, 0.7])
    for name in metrics_for("ring8"):
        for record, value in zip(history, (UNTRAINED[name], 0.5, 0.7), strict=True):
            record[name] = value
    add("a-00000", history, ended("completed"), seeds=(0,))
    (run,) = runs_of(study)
    trial = one_trial(study)
    for name in metrics_for("ring8"):
        higher = METRICS[name].higher_is_better
        assert run[f"{name}_best"] == (max if higher else min)(UNTRAINED[name], 0.5, 0.7)
        assert trial[name] == 0.7
