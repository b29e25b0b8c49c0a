"""A configuration is right, or refused by name with the range that would be right."""

import json
import math
import re
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from study.config import TrialConfig, check_name
from study.data import dataset_names
from study.errors import ConfigError, UserError, did_you_mean
from study.models import MODELS, hyperparameters

HYPERPARAMETERS = hyperparameters()
NAMES = ", ".join(dataset_names())
NUMBERS = [name for name, h in HYPERPARAMETERS.items() if h.type is not str]
INTEGERS = [name for name, h in HYPERPARAMETERS.items() if h.type is int]
WITH_ALL = {"clip_value": "wgan_cp", "lambda_gp": "wgan_gp"}  # a model that has the hyperparameter


def with_value(name: str, value: Any) -> TrialConfig:
    return TrialConfig(**{"model": WITH_ALL.get(name, "wgan_gp"), name: value})


# The papers' table in DESIGN.md: Radford 2016; Arjovsky 2017, algorithm 1; Gulrajani 2017, algorithm 1.
PAPERS: dict[str, dict[str, Any]] = {
    "dcgan": {
        "optimizer": "adam",
        "init": "normal_0.02",
        "lr_g": 2e-4,
        "lr_d": 2e-4,
        "beta1": 0.5,
        "beta2": 0.999,
        "n_critic": 1,
    },
    "wgan_cp": {
        "optimizer": "rmsprop",
        "init": "normal_0.02",
        "lr_g": 5e-5,
        "lr_d": 5e-5,
        "beta1": 0.0,
        "n_critic": 5,
        "clip_value": 0.01,
    },
    "wgan_gp": {
        "optimizer": "adam",
        "init": "he",
        "lr_g": 1e-4,
        "lr_d": 1e-4,
        "beta1": 0.0,
        "beta2": 0.9,
        "n_critic": 5,
        "lambda_gp": 10.0,
    },
}


@pytest.mark.parametrize("model", MODELS)
def test_defaults_are_the_papers(model: str) -> None:
    values = TrialConfig(model=model).to_dict()
    assert {name: values[name] for name in PAPERS[model]} == PAPERS[model]


def test_rmsprop_smooths_as_torch_does_by_default() -> None:
    assert TrialConfig(model="wgan_cp").beta2 == 0.99


@pytest.mark.parametrize("dataset", [name for name in dataset_names() if ":" not in name])
def test_architecture_defaults_follow_the_kind_of_data(dataset: str) -> None:
    config = TrialConfig(dataset=dataset)
    expected = {"images": (64, 32, 100), "points": (256, 128, 2)}[config.kind]
    assert (config.batch_size, config.width, config.latent_dim) == expected


@pytest.mark.parametrize("model", MODELS)
def test_networks_for_points_start_alike_whatever_the_model(model: str) -> None:
    """An image's default is the model's (above); what is chosen goes before either."""
    assert TrialConfig(model=model, dataset="ring8").init == "he"
    assert TrialConfig(model=model, dataset="ring8", init="torch").init == "torch"


def test_none_means_the_default() -> None:
    assert TrialConfig(model="dcgan", lr_g=None) == TrialConfig(model="dcgan")


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("lr_gen", "lr_g"), ("batchsize", "batch_size"), ("n_critics", "n_critic"), ("lambda", "lambda_gp")],
)
def test_an_unknown_name_names_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"unknown hyperparameter '{wrong}'; did you mean .*{near}"):
        TrialConfig.from_dict({wrong: 1})


def test_a_name_like_no_other_lists_what_exists() -> None:
    with pytest.raises(ConfigError, match="'zzz'; there are: model, dataset, lr_g") as caught:
        check_name("zzz")
    assert all(name in str(caught.value) for name in HYPERPARAMETERS)


def test_did_you_mean_accepts_what_is_not_a_string() -> None:
    assert did_you_mean(3, {"three": 1}) == "; there are: three"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("lr_g", 0, "above 0 and at most 1e+06"),
        ("lr_d", -1e-4, "above 0 and at most 1e+06"),
        ("lr_d", 1.1e6, "above 0 and at most 1e+06"),
        ("beta1", 1.0, "at least 0 and below 1"),
        ("beta2", -0.1, "at least 0 and below 1"),
        ("n_critic", 0, "at least 1 and at most 100"),
        ("n_critic", 101, "at least 1 and at most 100"),
        ("clip_value", 0.0, "above 0 and at most 1000"),
        ("lambda_gp", -1, "at least 0 and at most 1e+06"),
        ("batch_size", 1, "at least 2 and at most 65536"),
        ("width", 0, "at least 1 and at most 4096"),
        ("latent_dim", 5000, "at least 1 and at most 4096"),
    ],
)
def test_out_of_range_names_field_value_and_range(name: str, value: float, allowed: str) -> None:
    message = f"{name} = {value!r} is out of range: it must be {allowed}"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        with_value(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr_g", 1e6),
        ("lr_g", 5e-324),
        ("beta1", 0),
        ("beta2", 1 - 2**-53),
        ("n_critic", 1),
        ("n_critic", 100),
        ("lambda_gp", 0),
        ("clip_value", 1e3),
        ("batch_size", 2),
    ],
)
def test_the_ends_of_a_range_belong_to_it(name: str, value: float) -> None:
    assert getattr(with_value(name, value), name) == value


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "model",
            "wgan-gp",
            "model = 'wgan-gp' is not one of dcgan, wgan_cp, wgan_gp; did you mean wgan_gp?",
        ),
        (
            "dataset",
            "ring9",
            f"dataset = 'ring9' is not one of {NAMES}; did you mean ring8?",
        ),
        ("optimizer", "sgd", "optimizer = 'sgd' is not one of adam, rmsprop"),
        ("model", 3, "model = 3 is not one of dcgan, wgan_cp, wgan_gp"),
    ],
)
def test_a_wrong_choice_names_the_choices(name: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        TrialConfig.from_dict({name: value})


@pytest.mark.parametrize("name", INTEGERS)
def test_whole_numbers_refuse_fractions(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} = 2\.5 is not a whole number; it must be at least"):
        with_value(name, 2.5)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [True, "3", [1], 1j])
def test_numbers_refuse_what_is_none(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{name} = {re.escape(repr(value))} is not a number"):
        with_value(name, value)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_refuse_nan_and_infinity(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"^{name} = {value!r} is"):
        with_value(name, value)


@pytest.mark.parametrize("name", ["lr_g", "n_critic"])
def test_a_number_too_large_for_a_float_is_out_of_range(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} = "):
        with_value(name, 10**400)


def test_numbers_take_the_type_of_their_field() -> None:
    config = TrialConfig(n_critic=5.0, lambda_gp=3)
    assert type(config.n_critic) is int
    assert type(config.lambda_gp) is float


@pytest.mark.parametrize(
    ("model", "name"),
    [("wgan_gp", "clip_value"), ("dcgan", "clip_value"), ("dcgan", "lambda_gp"), ("wgan_cp", "lambda_gp")],
)
def test_a_model_refuses_what_it_has_no_use_for(model: str, name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} = 0.1: {model} has no use for {name}$"):
        TrialConfig.from_dict({"model": model, name: 0.1})


def test_a_config_error_is_a_user_error() -> None:
    assert issubclass(ConfigError, UserError)


def test_a_config_is_frozen() -> None:
    config = TrialConfig()
    with pytest.raises(FrozenInstanceError):
        config.lr_g = 1.0


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dataset", [name for name in dataset_names() if ":" not in name])
def test_a_config_survives_json(model: str, dataset: str) -> None:
    config = TrialConfig(model=model, dataset=dataset, lr_g=1.2345678901234567e-5)
    assert TrialConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_equal_values_make_equal_hashes() -> None:
    assert hash(TrialConfig(lr_g=1e-4)) == hash(TrialConfig(lr_g=0.0001))


def test_members_may_differ_in_what_changes_no_shape() -> None:
    base = TrialConfig(model="wgan_gp")
    own = TrialConfig(model="wgan_gp", lr_g=1e-3, lr_d=1e-5, beta1=0.3, beta2=0.8, lambda_gp=1.0)
    assert own.shape_key == base.shape_key


def test_everything_else_is_in_the_shape_key() -> None:
    other: dict[str, Any] = {
        "model": "wgan_cp",
        "dataset": "ring8",
        "n_critic": 2,
        "batch_size": 3,
        "optimizer": "rmsprop",
        "init": "torch",
        "width": 5,
        "latent_dim": 6,
    }
    assert {*other} == {"model", "dataset"} | {
        name for name, h in HYPERPARAMETERS.items() if not h.per_member
    }
    base = TrialConfig()
    for name, value in other.items():
        assert TrialConfig(**{name: value}).shape_key != base.shape_key, name


@pytest.mark.parametrize("optimizer", HYPERPARAMETERS["optimizer"].choices)
@pytest.mark.parametrize("model", MODELS)
def test_every_model_takes_every_optimiser(model: str, optimizer: str) -> None:
    assert TrialConfig(model=model, optimizer=optimizer).optimizer == optimizer
