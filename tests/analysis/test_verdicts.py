"""Sentences say no more than their tables."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analysis import verdicts
from analysis.tables import SpaceResults
from tests.analysis import synthetic
from tests.analysis.made import made
from tests.benchmarks.planted import claims, null, planted, verdict

GENERATOR = np.random.default_rng


def test_a_planted_truth_is_found_and_nothing_else() -> None:
    assert verdict(claims(planted(0))) == "right"


def test_of_chance_nothing_is_claimed() -> None:
    found = claims(null(0))
    assert [found[kind] for kind in ("objective", "divergence", "region")] == [[], [], {}]


def test_twelve_trials_cannot_tell() -> None:
    results = planted(0, trials=12)
    assert claims(results)["cannot_tell"]
    assert "can't be told (12 trials inform" in verdicts.hyperparameters(results)


def test_where_seeds_diverge_is_said_with_the_rates_there_and_elsewhere() -> None:
    results = made(GENERATOR(1), 64, risk=lambda u: np.where(u["batch_size"] == 0, 1.1, 0.0))
    said = verdicts.stability(results)
    small = results.trials["batch_size"] == 32
    rates = [results.trials[rows]["failure_rate"].mean() for rows in (slice(None), small)]
    assert said.startswith(f"space: {rates[0]:.0%} of seeds diverge within 20 kimg (95% ")
    assert f", mostly where batch_size at most 32 ({rates[1]:.0%} of {small.sum()} configurations; " in said
    assert f"elsewhere 0% of {64 - small.sum()} configurations; flattered, as the worst of all" in said


def test_where_nothing_diverged_no_place_is_looked_for() -> None:
    said = verdicts.stability(made(GENERATOR(0), 8))
    assert (
        said
        == "space: 0% of seeds diverge within 20 kimg (95% interval 0% to 32%, Wilson, n = 8 configurations)."
    )


def test_few_trials_say_that_they_are_few() -> None:
    said = verdicts.stability(made(GENERATOR(0), 8, risk=lambda u: np.arange(len(u)) < 2))
    assert said.endswith("and where they do more than elsewhere can't be told (it takes 24).")


def test_what_nobody_lasted_is_not_estimated() -> None:
    said = verdicts.stability(made(GENERATOR(0), 4, pruned=lambda u: np.full(len(u), 1.1)))
    assert said == "space: no seed was seen to last 20 kimg; 0 of 8 have diverged so far."


def test_a_study_without_a_run_says_so() -> None:
    results = made(GENERATOR(0))
    said = verdicts.stability(replace(results, runs=results.runs.iloc[:0]))
    assert said == "space: no seed has been trained yet."


def test_a_study_that_looks_for_the_best_gives_the_command_that_maps() -> None:
    said = verdicts.hyperparameters(made(GENERATOR(0), samplers="tpe", schedulers="asha"))
    assert said.endswith("python -m study.tune --space space --dataset ring8 --seeds 2 --map`")


CLEAR = [[0.91, 0.9, 0.9, 0.89, 0.9], [0.3, 0.31, 0.3, 0.29, 0.3]]


def against(scores: Any, **how: Any) -> str:
    return verdicts.tuned(synthetic.made(scores, **how))


def test_the_best_is_compared_with_the_default_seed_by_seed() -> None:
    """Logarithms gain 1.0986 in the mean, with a t interval of 5 pairs from 1.073 to 1.124."""
    assert against(CLEAR) == (
        "The best of 2 trials has w1 0.3000 (95% interval 0.286 to 0.314, n = 5 seeds); against the paper's "
        "default (0.9000) it is 66.7% lower in the geometric mean of seeds (95% interval 65.8% to 67.5% "
        "lower, n = 5 seeds in pairs); both are search scores, unconfirmed: the seeds and the data that "
        "chose the best flatter it."
    )


@pytest.mark.parametrize(
    ("state", "word"), [("pruned", "stopped"), ("failed", "lost to a fault"), ("interrupted", "last seen")]
)
def test_a_default_that_did_not_end_is_compared_as_far_as_it_came(state: str, word: str) -> None:
    results = synthetic.made([[0.8, 0.8], [0.4, 0.3]], state=["pruned", "completed"])
    trials = results.trials.assign(state=[state, "completed"])
    said = verdicts.tuned(replace(results, trials=trials))
    # From 1 to 0.8 and to 0.35 in three steps: after the first 0.9333 and 0.7833.
    assert f"default (0.9333 at kimg 1, where it was {word}, and the best had 0.7833) it is 16." in said


def test_a_default_that_diverged_has_its_price_for_good() -> None:
    said = against([[math.nan] * 2, [0.4, 0.3]], state=["diverged", "completed"])
    assert "against the paper's default (1.000, diverged) it is 65." in said


def test_the_seeds_are_aggregated_as_the_objective_is() -> None:
    said = against([[0.3, 0.3, 0.3], [0.1, 0.1, 0.2]], aggregate="median")
    assert "default (0.3000) it is 5" in said
    assert "lower in the geometric mean of seeds (95% interval" in said


def test_where_higher_is_better_the_gain_has_the_other_sign() -> None:
    assert "(0.5000) it is 0.250 better (" in against([[0.5, 0.5], [0.7, 0.8]], metric="hq")


def never_evaluated() -> SpaceResults:
    results = synthetic.made(CLEAR)
    default = results.curves["trial_id"] == "a-00000"
    return replace(results, curves=results.curves[~default | (results.curves["evaluation"] == 0)])


@pytest.mark.parametrize(
    ("results", "words"),
    [
        (synthetic.made(CLEAR[::-1]), "it is the paper's default itself"),
        (synthetic.made(CLEAR, origin="sampler"), "no trial has the paper's default to compare it with"),
        (
            never_evaluated(),
            "the paper's default (a-00000) was not trained to any evaluation to compare with",
        ),
    ],
)
def test_where_there_is_nothing_to_compare_with_it_is_said_why(results: SpaceResults, words: str) -> None:
    assert f"; {words}; {verdicts.SEARCH}." in verdicts.tuned(results)


def test_without_a_completed_trial_there_is_no_best() -> None:
    assert against(CLEAR, state="pruned") == "No trial of a was trained to its end: there is no best yet."
