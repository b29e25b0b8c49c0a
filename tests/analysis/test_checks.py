"""Health checks: what each says of planted studies."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analysis.checks import CHECKS, DOUBTFUL, FAILED, PASSED, Check, check
from analysis.tables import SpaceResults
from tests.analysis.synthetic import made, normal

CLEAR = [[0.91, 0.9, 0.9, 0.89, 0.9], [0.3, 0.31, 0.3, 0.29, 0.3]]
CLOSE = [[0.5, 0.6, 0.4], [0.4, 0.55, 0.38]]
ASHA: Any = {"schedulers": "asha", "samplers": "tpe"}


def said(results: SpaceResults) -> dict[str, Check]:
    return {name: found for name in CHECKS if (found := check(name, results)) is not None}


def line(found: Check) -> str:
    assert found.command is not None
    return found.command.line


def test_seeds_that_show_the_difference_are_enough() -> None:
    found = said(made(CLEAR))
    assert found["enough seeds"].status == PASSED
    assert found["better than the default"].status == PASSED
    assert (
        "66.7% lower in the geometric mean of seeds (95% interval"
        in found["better than the default"].sentence
    )


def test_too_few_seeds_name_how_many_it_takes() -> None:
    found = said(made(CLOSE))["enough seeds"]
    assert found.status == DOUBTFUL
    # Logarithms gain 0.223, 0.087, 0.051: 1.33 of their spread; power 0.8 at the level of 5% from 7.
    assert "it takes 7." in found.sentence
    assert line(found) == "python -m study.tune --space a --seeds 7"


def test_one_seed_shows_nothing() -> None:
    found = said(made([[0.9], [0.3]]))["enough seeds"]
    assert (found.status, line(found)) == (
        FAILED,
        "python -m study.tune --space a --seeds 5",
    )


def test_a_default_that_nobody_beats_is_a_failed_search() -> None:
    found = said(made(CLEAR[::-1]))["better than the default"]
    assert found.status == FAILED
    assert line(found).endswith("results/mine --trials 4")


@pytest.mark.parametrize(("trials", "status"), [(31, DOUBTFUL), (32, PASSED)])
def test_a_map_of_few_trials_wants_more(trials: int, status: str) -> None:
    results = made(normal(np.random.default_rng(0), trials, 2, 0.5))
    found = said(results)["enough trials"]
    assert found.status == status
    assert f"n = {trials} of {trials} trials inform" in found.sentence
    assert status == PASSED or line(found).endswith("--resume results/mine --trials 64")
    running = replace(results, trials=results.trials.iloc[:5], runs=results.runs.iloc[:10])
    assert said(running)["enough trials"].command is None
    assert "enough trials" not in said(made(CLEAR, **ASHA))


def test_without_a_default_nothing_says_that_tuning_was_worth_it() -> None:
    assert said(made(CLEAR, origin="sampler"))["better than the default"].status == DOUBTFUL


@pytest.mark.parametrize(
    ("early", "status"),
    [
        (np.arange(20.0), PASSED),  # ranked as at the end
        (np.arange(20.0)[::-1], FAILED),
    ],
)
def test_rungs_that_rank_as_the_full_budget_does_can_be_trusted(early: np.ndarray, status: str) -> None:
    scores = np.stack([np.ones(20), 0.5 + early / 100, np.arange(20) / 100], axis=1)[:, None].repeat(2, 1)
    stopped = np.array([[[1.0, 0.9, 0.9]] * 2])
    state = ["completed"] * 20 + ["pruned"]
    found = said(made(np.concatenate([scores, stopped]), state=state, **ASHA))["early stopping"]
    assert found.status == status
    assert "n = 20 trials that had neither been stopped nor diverged" in found.sentence


def test_few_survivors_say_little_of_early_stopping() -> None:
    results = made([*CLEAR, CLEAR[0]], state=["completed", "completed", "pruned"], **ASHA)
    found = said(results)["early stopping"]
    assert (found.status, line(found)) == (
        DOUBTFUL,
        "python -m study.tune --space a --seeds 2 --scheduler fifo",
    )
    assert said(made(CLEAR))["early stopping"].status == PASSED
    assert said(made(CLEAR, **ASHA))["early stopping"].sentence == "No trial was stopped early (n = 2)."


def test_trials_that_diverged_before_a_rung_are_no_proof_of_it() -> None:
    """Twelve that went on at random, and twelve that were gone at once: the latter keep their rank."""
    random = np.random.default_rng(0)
    gone = np.full((12, 2, 4), math.nan)
    gone[:, :, 0] = 1.0
    scores = np.concatenate([random.random((13, 2, 4)), gone])
    state = ["completed"] * 12 + ["pruned"] + ["diverged"] * 12
    found = said(made(scores, state=state, **ASHA))["early stopping"]
    assert found.status == DOUBTFUL
    assert "n = 12 trials that had neither been stopped nor diverged" in found.sentence


def test_seeds_that_differ_alike_tell_no_spread() -> None:
    found = said(made([[0.5, 0.5], [0.25, 0.25]]))["enough seeds"]
    assert found.status == DOUBTFUL
    assert "differ alike in all 2 seeds" in found.sentence


def test_a_best_that_is_worse_than_the_default_had_been_passes_nothing() -> None:
    """The default was cut at the first evaluation, where it was ahead."""
    scores = [[[1.0, 0.3, 0.2], [1.0, 0.31, 0.2]], [[1.0, 0.8, 0.5], [1.0, 0.8, 0.5]]]
    found = said(made(scores, state=["pruned", "completed"], **ASHA))
    assert found["better than the default"].status == DOUBTFUL
    assert "% higher in the geometric mean" in found["better than the default"].sentence
    assert found["the metric's resolution"].status == DOUBTFUL
    assert "worse than the default" in found["the metric's resolution"].sentence


def test_a_best_at_the_floor_of_a_metric_is_not_further_from_it() -> None:
    floor: Any = {"w1": {"mean": 0.3, "std": 0.0}}
    found = said(replace(made(CLEAR), floor=floor))["the metric's resolution"]
    assert found.status == DOUBTFUL
    assert "how far it scatters is not known" in found.sentence


def test_nothing_is_mended_before_a_trial_has_ended() -> None:
    found = said(made([[0.5, 0.5]], state="interrupted", origin="sampler"))
    assert {check.command for check in found.values()} == {None}
    assert found["better than the default"].sentence == "No trial has ended yet."


@pytest.mark.parametrize(("share", "status"), [(0.0, PASSED), (0.25, DOUBTFUL), (0.75, FAILED)])
def test_divergence_is_judged_by_its_rate(share: float, status: str) -> None:
    scores = np.full((40, 2), 0.5)
    scores[: int(40 * share)] = math.nan
    found = said(made(scores))["divergence"]
    assert found.status == status
    assert f"{share:.0%} of seeds diverge within 3 kimg" in found.sentence


def test_censored_seeds_want_a_map() -> None:
    found = said(made(CLEAR, state=["completed", "pruned"], **ASHA))["censoring"]
    assert found.status == DOUBTFUL
    assert found.sentence.startswith("50% of n = 10 seeds")
    assert line(found) == "python -m study.tune --space a --seeds 2 --map"
    assert said(made(CLEAR))["censoring"].status == PASSED


def test_the_metric_must_tell_the_best_from_real_data_and_from_the_default() -> None:
    # Real data score 0 with a standard deviation of 0.01.
    assert said(made(CLEAR))["the metric's resolution"].status == PASSED
    assert said(made([[0.9, 0.9], [0.01, 0.02]]))["the metric's resolution"].status == DOUBTFUL
    assert said(made([[0.5, 0.5], [0.48, 0.49]]))["the metric's resolution"].status == DOUBTFUL


@pytest.mark.parametrize(("accuracy", "status"), [(0.99, PASSED), (0.6, DOUBTFUL)])
def test_a_judge_must_know_the_images(accuracy: float, status: str) -> None:
    results = made(CLEAR)
    judged = replace(results, record={**results.record, "classifier_accuracy": accuracy})
    assert said(judged)["the judge"].status == status
    assert "the judge" not in said(results)


def test_a_sampler_that_had_nothing_to_learn_from_wants_more_trials() -> None:
    few = made(
        normal(np.random.default_rng(0), 6, 2, 0.5),
        origin=["default"] + ["startup"] * 4 + ["sampler"],
        **ASHA,
    )
    found = said(few)["the sampler's proposals"]
    assert (found.status, line(found).endswith("--trials 12")) == (
        DOUBTFUL,
        True,
    )
    assert "1 of n = 6 trials were proposed by tpe, 4 by chance" in found.sentence


@pytest.mark.parametrize(("better", "status"), [(0.2, PASSED), (0.8, DOUBTFUL)])
def test_a_sampler_should_find_better_ones_than_chance(better: float, status: str) -> None:
    scores = [[0.5, 0.5]] * 3 + [[better, better]] * 4
    results = made(scores, origin=["default"] + ["startup"] * 2 + ["sampler"] * 4, **ASHA)
    assert said(results)["the sampler's proposals"].status == status


def test_a_study_in_which_everything_failed_is_checked_too() -> None:
    found = said(made([[0.5, 0.5]], state="failed"))
    assert found["divergence"].sentence.endswith("(95% interval 0% to 79%, Wilson, n = 1 configuration).")
    assert found["divergence"].status == DOUBTFUL
