"""W&B sweep files read as Optuna distributions, or refused in one clear sentence."""

import contextlib
import copy
import math
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from study.errors import UserError
from study.space import (
    INEXPRESSIBLE,
    Space,
    SpaceError,
    find_space,
    parse_space,
    read_space,
)

Spec = dict[str, Any]

# The distributions of W&B's sweep schema (sweeps/config/schema.json, version 0.2.0).
WANDB_DISTRIBUTIONS = {
    *("constant", "categorical", "categorical_w_probabilities", "int_uniform", "uniform"),
    *("log_uniform", "log_uniform_values", "inv_log_uniform", "inv_log_uniform_values"),
    *("q_uniform", "q_log_uniform", "q_log_uniform_values"),
    *("normal", "log_normal", "q_normal", "q_log_normal", "beta", "q_beta"),
}


def document(**parameters: Any) -> dict[str, Any]:
    return {"method": "random", "parameters": {"model": {"value": "wgan_gp"}, **parameters}}


def searched(name: str, spec: Spec) -> BaseDistribution:
    """The distribution that `spec` becomes, for the hyperparameter `name`."""
    return parse_space("s", document(**{name: spec})).distributions[name]


def refusal(given: Any) -> str:
    """The sentence with which a document is refused."""
    with pytest.raises(SpaceError) as caught:
        parse_space("s", given)
    message = str(caught.value)
    assert "\n" not in message
    return message


def log_float(low: float, high: float) -> FloatDistribution:
    return FloatDistribution(low, high, log=True)


# Each distribution

LOW, HIGH = math.log(1e-5), math.log(1e-2)


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("beta1", {"distribution": "uniform", "min": 0, "max": 0.9}, FloatDistribution(0, 0.9)),
        ("n_critic", {"distribution": "int_uniform", "min": 1, "max": 5}, IntDistribution(1, 5)),
        (
            "beta2",
            {"distribution": "categorical", "values": [0.9, 0.99]},
            CategoricalDistribution([0.9, 0.99]),
        ),
        ("lr_g", {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2}, log_float(1e-5, 1e-2)),
        ("lr_g", {"distribution": "inv_log_uniform_values", "min": 1e-5, "max": 1e-2}, log_float(1e-5, 1e-2)),
        (
            "batch_size",
            {"distribution": "q_uniform", "min": 30, "max": 130, "q": 32},
            IntDistribution(32, 128, step=32),
        ),
        ("n_critic", {"distribution": "q_uniform", "min": 0.5, "max": 5.5}, IntDistribution(1, 5)),
        (
            "beta1",
            {"distribution": "q_uniform", "min": 0.1, "max": 0.9, "q": 0.25},
            FloatDistribution(0.25, 0.75, step=0.25),
        ),
        (
            "width",
            {"distribution": "q_log_uniform_values", "min": 8, "max": 64},
            IntDistribution(8, 64, log=True),
        ),
        (
            "width",
            {"distribution": "q_log_uniform", "min": math.log(8), "max": math.log(64), "q": 1},
            IntDistribution(8, 64, log=True),
        ),
    ],
    ids=lambda value: value["distribution"] if isinstance(value, dict) else None,
)
def test_a_distribution_becomes_optunas(name: str, spec: Spec, expected: BaseDistribution) -> None:
    assert searched(name, spec) == expected


def test_log_uniform_takes_exponents() -> None:
    # W&B: X = exp(U) with U uniform on min..max.
    found = searched("lr_g", {"distribution": "log_uniform", "min": LOW, "max": HIGH})
    assert isinstance(found, FloatDistribution)
    assert found.log
    assert (found.low, found.high) == pytest.approx((1e-5, 1e-2), rel=1e-12)


def test_inv_log_uniform_takes_negated_exponents() -> None:
    # W&B: log(1/X) uniform on min..max, so X runs from exp(-max) to exp(-min).
    found = searched("lr_g", {"distribution": "inv_log_uniform", "min": -HIGH, "max": -LOW})
    assert isinstance(found, FloatDistribution)
    assert found.log
    assert (found.low, found.high) == pytest.approx((1e-5, 1e-2), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("n_critic", {"min": 1, "max": 5}, IntDistribution(1, 5)),
        ("beta1", {"min": 0.0, "max": 0.9}, FloatDistribution(0, 0.9)),
        ("beta1", {"min": 0, "max": 0.9}, FloatDistribution(0, 0.9)),
        ("beta2", {"values": [0.9, 0.99]}, CategoricalDistribution([0.9, 0.99])),
    ],
)
def test_the_distribution_is_inferred_as_wandb_does(
    name: str, spec: Spec, expected: BaseDistribution
) -> None:
    assert searched(name, spec) == expected


@pytest.mark.parametrize("spec", [{"value": 0.5}, {"value": 0.5, "distribution": "constant"}])
def test_a_value_is_a_constant(spec: Spec) -> None:
    space = parse_space("s", document(beta1=spec))
    assert (space.constants, space.distributions) == ({"model": "wgan_gp", "beta1": 0.5}, {})


def test_every_distribution_of_wandb_is_understood_or_refused_by_name() -> None:
    refused = set()
    for name in WANDB_DISTRIBUTIONS:  # each without what it needs, so that none is accepted
        message = refusal(document(lr_g={"distribution": name}))
        assert "unknown distribution" not in message
        if f"Optuna has no counterpart of the distribution {name!r}" in message:
            refused.add(name)
    assert refused == set(INEXPRESSIBLE) < WANDB_DISTRIBUTIONS


@pytest.mark.parametrize("name", INEXPRESSIBLE)
def test_what_optuna_cannot_express_is_refused_by_name(name: str) -> None:
    assert f"no counterpart of the distribution '{name}'" in refusal(document(lr_g={"distribution": name}))


def test_probabilities_are_refused_by_their_distributions_name() -> None:
    spec = {"values": [0.9, 0.99], "probabilities": [0.5, 0.5]}
    assert "'categorical_w_probabilities'" in refusal(document(beta2=spec))


@pytest.mark.parametrize("q", [2, 0.5])
def test_a_quantised_logarithmic_range_needs_q_one(q: float) -> None:
    spec = {"distribution": "q_log_uniform_values", "min": 8, "max": 64, "q": q}
    assert "only with q = 1" in refusal(document(width=spec))


@pytest.mark.parametrize(
    ("low", "high", "q"),
    [
        (0, 0.9, 0.1),
        (0.1, 0.3, 0.1),
        (0.1, 0.9, 0.1),
        (0.3, 0.9, 0.3),
        (0.05, 0.95, 0.15),
        (0.07, 0.49, 0.07),
    ],
)
def test_q_uniform_has_every_multiple_of_q_in_its_range(low: float, high: float, q: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Optuna warns where the range is no whole number of steps
        space = parse_space(
            "s", document(beta1={"distribution": "q_uniform", "min": low, "max": high, "q": q})
        )
    expected = [i * q for i in range(1000) if low - 1e-9 <= i * q <= high + 1e-9]
    assert space.grid()["beta1"] == pytest.approx(expected, rel=1e-12, abs=1e-12)
    distribution = space.distributions["beta1"]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = {round(study.ask({"x": distribution}).params["x"], 6) for _ in range(200)}
    assert drawn == {round(value, 6) for value in expected}


def test_q_uniform_without_a_multiple_in_range_is_refused() -> None:
    spec = {"distribution": "q_uniform", "min": 0.1, "max": 0.2, "q": 0.5}
    assert "no multiple of q = 0.5 lies between 0.1 and 0.2" in refusal(document(beta1=spec))


@pytest.mark.parametrize(
    ("distribution", "low", "high"),
    [("log_uniform", 0, 1000), ("inv_log_uniform", -1000, 0), ("q_log_uniform", 0, 1000)],
)
def test_exponents_that_overflow_are_named_as_such(distribution: str, low: float, high: float) -> None:
    message = refusal(document(lr_g={"distribution": distribution, "min": low, "max": high}))
    assert "exp of these exponents overflows" in message
    assert "log_uniform_values" in message


# Bad input

UNIFORM = {"distribution": "uniform", "min": 0.0, "max": 0.9}


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (
            {"beta1": {**UNIFORM, "distribution": "unifrom"}},
            ["unknown distribution 'unifrom'", "did you mean uniform"],
        ),
        ({"beta1": {**UNIFORM, "mim": 0}}, ["beta1", "unknown key 'mim'", "did you mean min"]),
        ({"lr_gg": {"value": 1}}, ["unknown hyperparameter 'lr_gg'", "did you mean lr_g"]),
        ({"n_critics": {"value": 1}}, ["unknown hyperparameter 'n_critics'", "n_critic"]),
        ({"beta1": {**UNIFORM, "min": 0.9}}, ["beta1", "min = 0.9 must be below max = 0.9"]),
        ({"beta1": {**UNIFORM, "min": 0.95}}, ["beta1", "min = 0.95 must be below max = 0.9"]),
        (
            {"lr_g": {"distribution": "log_uniform_values", "min": 0, "max": 1}},
            ["lr_g", "min = 0", "above 0"],
        ),
        (
            {"lr_g": {"distribution": "log_uniform_values", "min": -1, "max": 1}},
            ["lr_g", "min = -1", "above 0"],
        ),
        (
            {"lr_g": {"distribution": "inv_log_uniform_values", "min": 0.0, "max": 1}},
            ["lr_g", "min = 0.0", "above 0"],
        ),
        ({"width": {"distribution": "q_log_uniform_values", "min": 0, "max": 8}}, ["width", "min >= 1"]),
        ({"beta2": {"values": []}}, ["beta2", "values must be a list of at least one value"]),
        ({"beta2": {"values": 0.9}}, ["beta2", "values must be a list"]),
        ({"beta2": {"values": [0.9, [0.99]]}}, ["beta2", "[0.99] is no single value"]),
        ({"beta2": {"values": [0.9, 0.9]}}, ["beta2", "duplicates"]),
        ({"lr_g": {**UNIFORM, "min": "1e-5"}}, ["lr_g", "min = '1e-5' is not a number", "write 1.0e-05"]),
        ({"lr_g": {**UNIFORM, "max": "ten"}}, ["lr_g", "max = 'ten' is not a number"]),
        ({"lr_g": {**UNIFORM, "max": True}}, ["lr_g", "max = True is not a finite number"]),
        ({"lr_g": {**UNIFORM, "max": math.inf}}, ["lr_g", "max = inf is not a finite number"]),
        ({"lr_g": {**UNIFORM, "min": math.nan}}, ["lr_g", "min = nan is not a finite number"]),
        ({"lr_g": {"value": "1e-5"}}, ["lr_g = '1e-5' is not a number"]),
        ({"lr_g": {"min": 1e-5}}, ["lr_g", "give value, values, or min and max"]),
        (
            {"lr_g": {"distribution": "log_uniform_values", "min": 1e-5}},
            ["lr_g", "max = None is not a finite number"],
        ),
        ({"lr_g": {}}, ["lr_g", "give value, values, or min and max"]),
        ({"lr_g": 1e-4}, ["lr_g", "write a mapping, such as {value: 0.0001}"]),
        ({"lr_g": {"parameters": {"a": {"value": 1}}}}, ["lr_g", "nested parameters are not supported"]),
        ({"lr_g": {"distribution": 3}}, ["lr_g", "distribution = 3 must be a name"]),
        ({"lr_g": {"distribution": "constant"}}, ["lr_g", "a constant needs a value"]),
        ({"lr_g": {"value": 1, "max": 3}}, ["lr_g", "unknown key 'max'"]),
        ({"beta1": {**UNIFORM, "q": 0.1}}, ["beta1", "unknown key 'q'"]),
        ({"beta1": {**UNIFORM, "distribution": "q_uniform", "q": 0}}, ["beta1", "q = 0 must be above 0"]),
        ({"n_critic": {"distribution": "uniform", "min": 1, "max": 5}}, ["n_critic", "takes whole numbers"]),
        (
            {"n_critic": {"distribution": "int_uniform", "min": 1.5, "max": 5}},
            ["n_critic", "whole min and max"],
        ),
        ({"n_critic": {"values": [1, 2.5]}}, ["n_critic = 2.5 is not a whole number"]),
        ({"beta1": {**UNIFORM, "max": 1.0}}, ["beta1 = 1.0 is out of range", "below 1"]),
        ({"beta1": {**UNIFORM, "min": -0.1}}, ["beta1 = -0.1 is out of range", "at least 0"]),
        ({"clip_value": {"value": 0.01}}, ["wgan_gp has no use for clip_value"]),
        ({"clip_value": {"min": 0.01, "max": 0.1}}, ["wgan_gp has no use for clip_value"]),
        ({"model": {"value": "wgan"}}, ["model = 'wgan'", "one of dcgan, wgan_cp, wgan_gp"]),
        ({"model": {"values": ["dcgan", "vae"]}}, ["model = 'vae'"]),
        (
            {"model": {"values": ["dcgan", "wgan_gp"]}, "lambda_gp": {"value": 10}},
            ["dcgan has no use for lambda_gp"],
        ),
        ({"dataset": {"values": ["ring8", "grid25"]}}, ["dataset", "one dataset"]),
        ({"dataset": {"value": "mnist"}}, ["dataset = 'mnist'", "digits"]),
        ({"optimizer": {"values": ["adam", "sgd"]}}, ["optimizer = 'sgd'", "adam, rmsprop"]),
    ],
)
def test_a_bad_parameter_is_refused_with_its_name(parameters: Spec, words: list[str]) -> None:
    message = refusal(document(**parameters))
    for word in ("s: ", *words):
        assert word in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": "bayes"}, ["unknown key 'methods'", "method"]),
        ({"method": "bayesian"}, ["method = 'bayesian'", "bayes, random, grid"]),
        ({"method": None}, ["method = None"]),
        ({"method": ["bayes"]}, ["method = ['bayes']"]),
        ({"parameters": {}}, ["parameters must name at least one"]),
        ({"parameters": [1]}, ["parameters must name at least one"]),
        ({"parameters": None}, ["parameters must name at least one"]),
        ({"parameters": {"lr_g": {"value": 1}}}, ["parameters must say which model"]),
        ({"run_cap": 0}, ["run_cap = 0", "at least 1"]),
        ({"run_cap": 1.5}, ["run_cap = 1.5"]),
        ({"run_cap": True}, ["run_cap = True"]),
        ({"metric": "fd"}, ["metric must have a name"]),
        ({"metric": {"goal": "minimize"}}, ["metric must have a name"]),
        ({"metric": {"name": "fd", "goal": "min"}}, ["goal = 'min'", "minimize, maximize"]),
        ({"metric": {"name": "fd", "gaol": "minimize"}}, ["unknown key 'gaol'", "goal"]),
        ({"early_terminate": {"type": "median"}}, ["early_terminate", "hyperband"]),
        ({"early_terminate": "hyperband"}, ["early_terminate", "hyperband"]),
        ({"early_terminate": {"type": "hyperband"}}, ["give min_iter, or max_iter and s"]),
        ({"early_terminate": {"type": "hyperband", "max_iter": 27}}, ["give min_iter, or max_iter and s"]),
        ({"early_terminate": {"type": "hyperband", "min_iter": 0}}, ["at least 1"]),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1}}, ["eta = 1", "above 1"]),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "ets": 3}}, ["unknown key 'ets'", "eta"]),
        (
            {"early_terminate": {"type": "hyperband", "min_iter": 1, "strict": True}},
            ["strict is not supported"],
        ),
        ({"scheduler": {"engine": "optuna"}}, ["scheduler", "not supported"]),
    ],
)
def test_a_bad_sweep_is_refused(change: Spec, words: list[str]) -> None:
    message = refusal({**document(lr_g={"value": 1e-4}), **change})
    for word in words:
        assert word in message


@pytest.mark.parametrize("given", [None, [], "text", 3, [{"method": "bayes"}]])
def test_a_file_that_is_no_mapping_is_refused(given: Any) -> None:
    assert "a search space is a mapping" in refusal(given)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        # Line and column of the token that the parser could not place, counted from 1.
        ("method: bayes\nparameters: {model: {value: wgan_gp}\n", 3, 1),
        ("method: bayes\n  parameters: 3\n", 2, 13),
        ("method: [bayes\nrun_cap: 3\n", 2, 8),
        ("method: 'bayes\n", 2, 1),
        ("method: bayes\n\tparameters: 3\n", 2, 1),
        ("method: !!python/object:os.system x\n", 1, 9),
        ("method: *nobody\n", 1, 9),
    ],
)
def test_yaml_that_does_not_parse_is_named_with_line_and_column(
    tmp_path: Path, text: str, line: int, column: int
) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(SpaceError) as caught:
        read_space(path)
    assert str(caught.value).startswith(f"{path}, line {line}, column {column}: this is not YAML: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"method: \xff\xfe\n",
        b"method: a\x00b\n",
        b"method: bayes\nname: 2024-13-45\n",  # looks like a date, and is none
        b"[" * 3000,
        b"run_cap: " + b"9" * 5000,  # more digits than Python turns into an int
    ],
    ids=["encoding", "control character", "impossible date", "depth", "digits"],
)
def test_a_file_that_no_yaml_reader_takes_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(SpaceError, match=r"broken\.yaml") as caught:
        read_space(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "more",
    ["name: 2024-01-01", "description: .nan", "description: &a [*a]", "command: {1: [!!binary aGk=]}"],
)
def test_what_study_json_cannot_hold_is_refused(tmp_path: Path, more: str) -> None:
    # A space's document goes into study.json: what JSON can't hold must not surface after the folder is made.
    path = tmp_path / "space.yaml"
    path.write_text(f"method: random\nparameters: {{model: {{value: wgan_gp}}}}\n{more}\n")
    with pytest.raises(SpaceError):
        read_space(path)


# Fuzz: whatever a document holds, the answer is a Space or a UserError

VALID: dict[str, Any] = {
    "method": "bayes",
    "name": "sweep",
    "metric": {"name": "objective", "goal": "minimize"},
    "early_terminate": {"type": "hyperband", "max_iter": 27, "s": 2, "eta": 3},
    "run_cap": 12,
    "parameters": {
        "model": {"values": ["wgan_gp"]},
        "dataset": {"value": "ring8"},
        "lr_g": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2},
        "lr_d": {"distribution": "inv_log_uniform", "min": 4.6, "max": 11.5},
        "beta1": {"distribution": "q_uniform", "min": 0.0, "max": 0.75, "q": 0.25},
        "beta2": {"values": [0.9, 0.99]},
        "n_critic": {"min": 1, "max": 5},
        "width": {"distribution": "q_log_uniform", "min": 2.0, "max": 4.5},
        "batch_size": {"distribution": "q_uniform", "min": 32, "max": 128, "q": 32},
    },
}
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.5, 1e-300, 1e300, -1e300, 10**30, -(10**30), 10**400),
    *(math.inf, -math.inf, math.nan, "", "x", "1e-5", "nan", "model", "min", b"\x00", 2**63),
    *([], [[]], [None], [1, 1], [1, 1.0, True], ["a", 1, None], [math.nan, math.nan], {}, {"a": 1}),
    *({"value": []}, {"value": {}}, {"values": {}}, {"min": 1, "max": 2, "value": 3}, {1: 2}, {None: None}),
    *({"values": ["wgan_gp", "dcgan", "wgan_cp"]}, {"distribution": "uniform"}, {"distribution": []}),
    *("uniform", "log_uniform", "q_uniform", "q_log_uniform_values", "int_uniform", "constant", "beta"),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into nested dicts and lists."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path] * bool(path) + [p for key, part in items for p in places(part, (*path, key))]


def mutated(rng: random.Random) -> Any:
    """VALID after one to three changes: a value replaced, a key removed, renamed or added."""
    changed = copy.deepcopy(VALID)
    for _ in range(rng.randint(1, 3)):
        *parents, key = rng.choice(places(changed))
        holder: Any = changed
        for part in parents:
            holder = holder[part]
        change = rng.choice(["replace", "replace", "remove", "rename", "add"])
        if change == "replace" or not isinstance(holder, dict):
            holder[key] = copy.deepcopy(rng.choice(ODD))
        elif change == "add":
            holder[rng.choice(["q", "min", "max", "value", "values", "s", 3, None])] = rng.choice(ODD)
        elif len(holder) > 1:
            value = holder.pop(key)
            if change == "rename":
                holder[rng.choice([3, None, "x", "min", "q", "distribution"])] = value
    return changed


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.timeout(30)
def test_a_mutated_document_is_a_space_or_a_user_error(seed: int) -> None:
    rng = random.Random(seed)
    outcomes = {"space": 0, "refused": 0}
    for _ in range(300):
        given = mutated(rng)
        try:
            outcome: Space | str = parse_space("s", given)
        except UserError as error:
            outcome = str(error)
        except Exception as error:
            raise AssertionError(f"{given!r} raised {error!r}") from error
        if isinstance(outcome, str):
            assert outcome
            assert "\n" not in outcome
        outcomes["space" if isinstance(outcome, Space) else "refused"] += 1
    assert min(outcomes.values()) >= 5  # both were met, or the fuzz tests nothing


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "hyperband", "max_iter": 27, "s": 1000.5},
        {"type": "hyperband", "max_iter": 27, "s": -1000},
        {"type": "hyperband", "max_iter": 27, "s": 10**5},
        {"type": "hyperband", "min_iter": 10**400},
        {"type": "hyperband", "min_iter": 1, "eta": 10**400},
    ],
    ids=["overflow", "division by zero", "huge power", "huge start", "huge eta"],
)
def test_an_early_terminate_beyond_all_numbers_is_refused(spec: Spec) -> None:
    assert "early_terminate" in refusal({**document(), "early_terminate": spec})


@pytest.mark.parametrize("name", ["lr_g", "n_critic"])
def test_a_constant_beyond_all_floats_is_refused(name: str) -> None:
    assert name in refusal(document(**{name: {"value": 10**400}}))


def test_mutated_text_is_a_space_or_a_user_error(tmp_path: Path) -> None:
    rng = random.Random(0)
    text = yaml.safe_dump(VALID)
    path = tmp_path / "space.yaml"
    for _ in range(150):
        characters = list(text)
        for _ in range(rng.randint(1, 4)):
            characters[rng.randrange(len(characters))] = rng.choice("{}[]:,'\"#&*!|>%@`- \n\tx0.")
        path.write_text("".join(characters))
        with contextlib.suppress(UserError):
            read_space(path)


# The rest of a sweep


def test_the_sweeps_own_words_are_kept() -> None:
    space = parse_space("s", {**VALID, "metric": {"name": "w1", "goal": "maximize"}})
    assert (space.name, space.method, space.run_cap) == ("s", "bayes", 12)
    assert (space.metric, space.goal) == ("w1", "maximize")


def test_without_a_metric_the_objective_is_minimised() -> None:
    space = parse_space("s", document())
    assert (space.metric, space.goal) == ("objective", "minimize")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (None, (None, 3.0)),
        ({"type": "hyperband", "min_iter": 3}, (3, 3)),
        ({"type": "hyperband", "min_iter": 3, "eta": 2}, (3, 2)),
        # W&B's brackets run backwards: max_iter / eta, max_iter / eta^2, ... : the first is at 27 / 3^2.
        ({"type": "hyperband", "max_iter": 27, "s": 2}, (3, 3)),
        ({"type": "hyperband", "max_iter": 64, "s": 3, "eta": 4}, (1, 4)),
    ],
)
def test_where_halving_starts(spec: Spec | None, expected: tuple[float | None, float]) -> None:
    space = parse_space("s", {**document(), "early_terminate": spec} if spec else document())
    assert (space.min_evaluations, space.eta) == expected


def test_a_grid_lists_every_value() -> None:
    space = parse_space(
        "s",
        document(
            beta2={"values": [0.9, 0.99]},
            n_critic={"min": 1, "max": 3},
            batch_size={"distribution": "q_uniform", "min": 32, "max": 96, "q": 32},
            beta1={"distribution": "q_uniform", "min": 0, "max": 0.5, "q": 0.25},
        ),
    )
    assert space.grid() == {
        "beta2": [0.9, 0.99],
        "n_critic": [1, 2, 3],
        "batch_size": [32, 64, 96],
        "beta1": [0.0, 0.25, 0.5],
    }


@pytest.mark.parametrize(
    "spec",
    [{"min": 0.1, "max": 0.5}, {"distribution": "log_uniform_values", "min": 0.1, "max": 0.5}],
)
def test_a_grid_of_infinitely_many_values_is_refused(spec: Spec) -> None:
    with pytest.raises(SpaceError, match="s: beta1: a grid needs a finite list"):
        parse_space("s", document(beta1=spec)).grid()


# Finding a space


def test_a_name_is_looked_up_here_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_space("wgan_gp").is_file()  # the project's own
    (tmp_path / "search_spaces").mkdir()
    own = tmp_path / "search_spaces" / "wgan_gp.yaml"
    own.touch()
    assert find_space("wgan_gp").resolve() == own


@pytest.mark.parametrize("name", ["mine.yaml", "mine.yml", "folder/mine"])
def test_a_path_is_taken_as_it_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    Path(name).touch()
    assert find_space(name) == Path(name)


def test_an_unknown_name_comes_with_the_nearest() -> None:
    with pytest.raises(SpaceError, match=r"unknown search space 'wgan_pg'; did you mean wgan_gp"):
        find_space("wgan_pg")


def test_a_name_like_no_other_comes_with_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpaceError, match="there are: dcgan, wgan_cp, wgan_gp"):
        find_space("zzz")


@pytest.mark.parametrize("name", ["absent.yaml", "folder/absent", "/absent/space.yaml"])
def test_a_file_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(SpaceError, match=f"there is no search space file {name}"):
        find_space(name)


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.write_text("# only a comment\n")])
def test_an_empty_file_is_refused(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    path = tmp_path / "space.yaml"
    make(path)
    with pytest.raises(SpaceError, match="a search space is a mapping"):
        read_space(path)


@pytest.mark.parametrize(
    ("model", "models"),
    [({"value": "dcgan"}, ["dcgan"]), ({"values": ["wgan_cp", "dcgan"]}, ["wgan_cp", "dcgan"])],
)
def test_a_space_knows_its_models(model: Any, models: list[str]) -> None:
    parameters = {"model": model, "lr_g": {"values": [1.0e-4, 1.0e-3]}}
    assert parse_space("mine", {"method": "random", "parameters": parameters}).models() == models


def test_the_largest_shape_of_a_space() -> None:
    parameters = {
        "model": {"value": "wgan_gp"},
        "lr_g": {"min": 1.0e-4, "max": 1.0e-2},
        "lambda_gp": {"value": 3.0},
        "batch_size": {"values": [64, 16, 128, 32]},
        "width": {"distribution": "int_uniform", "min": 8, "max": 48},
        "optimizer": {"values": ["rmsprop", "adam"]},
        "latent_dim": {"value": 5},
    }
    largest = parse_space("mine", {"method": "random", "parameters": parameters}).largest()
    assert largest.pop("optimizer") in ("rmsprop", "adam")
    assert largest == {"model": "wgan_gp", "batch_size": 128, "width": 48, "latent_dim": 5}
