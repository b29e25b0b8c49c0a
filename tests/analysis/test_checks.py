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
    assert "66.7% lower (95% interval" in found["better than the default"].sentence


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
    assert f"n = {trials} of {trials} trials tell" in found.sentence
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
    found = said(made(scores, **ASHA))["early stopping"]
    assert found.status == status
    assert "n = 20 trials that were not stopped" in found.sentence


def test_few_survivors_say_little_of_early_stopping() -> None:
    results = made(CLEAR, **ASHA)
    found = said(results)["early stopping"]
    assert (found.status, line(found)) == (
        DOUBTFUL,
        "python -m study.tune --space a --seeds 2 --scheduler fifo",
    )
    assert said(made(CLEAR))["early stopping"].status == PASSED


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


@pytest.mark.parametrize("state", ["failed", "interrupted"])
def test_a_study_in_which_nothing_ended_is_checked_too(state: str) -> None:
    assert {found.status for found in said(made([[0.5, 0.5]], state=state)).values()} >= {DOUBTFUL}
