"""Sentences say no more than their tables."""

from dataclasses import replace

import numpy as np

from analysis import verdicts
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
    assert f", mostly where batch_size at most 32 ({rates[1]:.0%}, 95% " in said
    assert f"{small.sum()} configurations; elsewhere 0%, 95% interval 0% to " in said


def test_where_nothing_diverged_no_place_is_looked_for() -> None:
    said = verdicts.stability(made(GENERATOR(0), 8))
    assert (
        said == "space: 0% of seeds diverge within 20 kimg (95% interval 0% to 32%, n = 8 configurations)."
    )  # Wilson's


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
    assert said.endswith("python -m study.tune --space space --dataset ring8 --seeds 2 --map")
