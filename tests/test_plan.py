"""A plan says all that a trial or a study needs, in JSON, or is refused."""

import json
import math
from typing import Any

import pytest

from study.config import ConfigError, TrialConfig
from study.plan import AGGREGATES, StudyPlan, TrialPlan, trial_id, trial_number
from tests.studies import study_plan, trial_plan

STUDY: dict[str, Any] = {
    "spaces": {"wgan_gp": {"method": "random"}, "dcgan": {"method": "random"}},
    "samplers": {"wgan_gp": "tpe", "dcgan": "random"},
    "schedulers": {"wgan_gp": "asha", "dcgan": "fifo"},
    "trials": {"wgan_gp": 8, "dcgan": 3},
}


def test_a_plan_survives_json() -> None:
    plan = trial_plan(seeds=(0, 1, 5))
    assert TrialPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_where_it_is_trained_survives_json_and_is_not_known_of_earlier_ones() -> None:
    plan = trial_plan(threads=4, device="cuda", companions=("space-00001", "space-00002"))
    values = json.loads(json.dumps(plan.to_dict()))
    assert TrialPlan.from_dict(values) == plan
    for name in ("threads", "device", "companions"):
        del values[name]
    assert TrialPlan.from_dict(values) == trial_plan()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("threads", 0, "threads = 0 must be a whole number from 1 to 1,000,000"),
        ("threads", 1.5, "threads = 1.5 is not a whole number"),
        ("threads", "4", "threads = '4' is not a whole number"),
        ("device", "tpu", "device = 'tpu' is not one of cpu, cuda"),
        ("companions", (3,), r"companions\[0\] = 3 is not text"),
    ],
)
def test_where_it_is_trained_is_checked(name: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        trial_plan(**{name: value})


@pytest.mark.parametrize("name", ["kimg", "eval_kimg"])
@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, 10**400, True, "2", None])
def test_a_budget_is_finite_and_positive(name: str, value: Any) -> None:
    words = "out of range: it must be above 0" if value in (0, -1.0) else "not a finite number"
    with pytest.raises(ConfigError, match=rf"^{name} = .* is {words}$"):
        trial_plan(**{name: value})


@pytest.mark.parametrize("seeds", [(), (1, 2, 1)])
def test_seeds_are_one_or_more_and_different(seeds: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"^seeds = .*one or more different seeds"):
        trial_plan(seeds=seeds)


def test_an_unknown_aggregate_names_the_known() -> None:
    with pytest.raises(ConfigError, match=r"^aggregate = 'max' is not one of mean, median, cvar$"):
        trial_plan(aggregate="max")


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_every_aggregate_is_accepted(aggregate: str) -> None:
    assert trial_plan(aggregate=aggregate).aggregate == aggregate


def test_a_wrong_hyperparameter_in_a_saved_plan_is_named() -> None:
    values = trial_plan().to_dict()
    values["config"]["lr_gg"] = 1.0
    with pytest.raises(ConfigError, match="'lr_gg'; did you mean lr_g"):
        TrialPlan.from_dict(values)


@pytest.mark.parametrize("precision", ["auto", "half"])
def test_a_plans_precision_is_one_to_compute_in(precision: str) -> None:
    with pytest.raises(ConfigError, match=rf"^precision = '{precision}' is not one of fp32, bf16$"):
        trial_plan(precision=precision)
    with pytest.raises(ConfigError, match=rf"^precision = '{precision}' is not one of fp32, bf16$"):
        study_plan(**STUDY, precision={"dcgan": precision})


def test_a_trial_computes_in_the_precision_of_its_model() -> None:
    plan = study_plan(**STUDY, precision={"dcgan": "bf16", "wgan_gp": "fp32"})
    models = {"dcgan": "bf16", "wgan_gp": "fp32", "wgan_cp": "fp32"}
    assert {model: plan.trial("dcgan", 0, {"model": model}).precision for model in models} == models


@pytest.mark.parametrize("keep", [True, False])
def test_a_trial_keeps_its_best_networks_if_its_study_does(keep: bool) -> None:
    assert study_plan(**STUDY, keep_best=keep).trial("dcgan", 0, {"model": "dcgan"}).keep_best is keep


def test_a_plan_of_an_earlier_version_keeps_the_best_networks() -> None:
    values = trial_plan().to_dict()
    del values["keep_best"]
    assert TrialPlan.from_dict(values).keep_best


def test_a_study_survives_json() -> None:
    plan = study_plan(**STUDY)
    assert StudyPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_a_studys_trials_are_those_of_its_spaces() -> None:
    assert study_plan(**STUDY).total_trials == 11


def test_a_studys_trial_takes_its_budget_and_the_seeds_from_zero() -> None:
    plan = study_plan(**STUDY, name="first", seeds=3, seed=17, aggregate="median")
    assert plan.trial("wgan_gp", 12, {"model": "dcgan", "lr_g": 1e-3}) == TrialPlan(
        study="first",
        space="wgan_gp",
        trial_id="wgan_gp-00012",
        config=TrialConfig(model="dcgan", lr_g=1e-3, dataset="ring8"),
        seeds=(0, 1, 2),
        study_seed=17,
        kimg=0.128,
        eval_kimg=0.064,
        metric="w1",
        aggregate="median",
    )


@pytest.mark.parametrize(("space", "number"), [("wgan_gp", 0), ("my-own", 7), ("a", 123456)])
def test_a_trials_name_holds_its_number(space: str, number: int) -> None:
    assert trial_number(trial_id(space, number)) == number
    assert trial_id(space, number).startswith(f"{space}-")


def test_names_sort_as_their_numbers() -> None:
    names = [trial_id("a", n) for n in (2, 10, 99, 100, 9999)]
    assert sorted(names) == names
