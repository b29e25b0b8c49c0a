"""A sweep file that can't be searched is refused in one clear sentence, whatever it holds."""

import contextlib
import copy
import math
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from study.errors import UserError
from study.space import Space, SpaceError, parse_space, read_space

HUGE = 10**400  # more than any float


def refusal(given: Any) -> str:
    """The sentence with which a document is refused."""
    with pytest.raises(SpaceError) as caught:
        parse_space("s", given)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("beta1: {distribution: unifrom}", "beta1: unknown distribution 'unifrom'; did you mean uniform"),
        ("beta1: {min: 0, max: 0.9, mim: 0}", "beta1: unknown key 'mim'; did you mean min"),
        ("lr_gg: {value: 1}", "unknown hyperparameter 'lr_gg'; did you mean lr_g"),
        ("n_critics: {value: 1}", "unknown hyperparameter 'n_critics'; did you mean n_critic"),
        ("beta1: {min: 0.9, max: 0.9}", "beta1: min = 0.9 must be below max = 0.9"),
        ("beta1: {min: 0.95, max: 0.9}", "beta1: min = 0.95 must be below max = 0.9"),
        (
            "lr_g: {distribution: log_uniform_values, min: 0, max: 1}",
            "lr_g: min = 0: a logarithmic range must",
        ),
        ("lr_g: {distribution: log_uniform_values, min: -1, max: 1}", "lr_g: min = -1: a logarithmic range"),
        ("lr_g: {distribution: inv_log_uniform_values, min: 0.0, max: 1}", "lr_g: min = 0.0: a logarithmic"),
        (
            "lr_g: {distribution: log_uniform, min: 0, max: 1000}",
            "overflows; to give values, use log_uniform",
        ),
        (
            "lr_g: {distribution: inv_log_uniform, min: -1000, max: 0}",
            "lr_g: exp of these exponents overflows",
        ),
        (
            "width: {distribution: q_log_uniform, min: 0, max: 1000}",
            "width: exp of these exponents overflows",
        ),
        (
            "lr_g: {distribution: log_uniform, min: -1000, max: -900}",
            "lr_g: exp of the exponents leaves no range",
        ),
        ("width: {distribution: q_log_uniform_values, min: 0, max: 8}", "only with q = 1 and min >= 1"),
        ("width: {distribution: q_log_uniform_values, min: 8, max: 64, q: 2}", "only with q = 1"),
        ("width: {distribution: q_log_uniform_values, min: 8, max: 64, q: 0.5}", "only with q = 1"),
        ("beta1: {distribution: q_uniform, min: 0.0, max: 0.9, q: 0}", "beta1: q = 0 must be above 0"),
        (
            "beta1: {distribution: q_uniform, min: 0.1, max: 0.2, q: 0.5}",
            "no multiple of q = 0.5 lies between 0.1",
        ),
        ("beta1: {distribution: q_uniform, min: 0, max: 0.9, q: 1.0e-40}", "q = 1e-40 is too small a step"),
        ("beta2: {values: []}", "beta2: values must be a list of at least one value"),
        ("beta2: {values: 0.9}", "beta2: values must be a list"),
        ("beta2: {values: [0.9, [0.99]]}", "beta2: values: [0.99] is not a single value"),
        ("beta2: {values: [0.9, 0.9]}", "beta2: values has duplicates"),
        ("beta2: {values: [0.9, 0.99], probabilities: [0.5, 0.5]}", "'categorical_w_probabilities'"),
        (
            "lr_g: {min: 1e-5, max: 0.9}",
            "lr_g: min = '1e-5' is not a number; to YAML 1e-5 is text: write 1.0e-05",
        ),
        ("lr_g: {min: 0.1, max: ten, distribution: uniform}", "lr_g: max = 'ten' is not a number"),
        ("lr_g: {min: 0.1, max: true}", "lr_g: max = True is not a finite number"),
        ("lr_g: {min: 0.1, max: .inf}", "lr_g: max = inf is not a finite number"),
        ("lr_g: {min: .nan, max: 0.9}", "lr_g: min = nan is not a finite number"),
        ("lr_g: {value: 1e-5}", "lr_g = '1e-5' is not a number"),
        (f"lr_g: {{value: {HUGE}}}", "lr_g = 1000"),
        (f"n_critic: {{value: {HUGE}}}", "n_critic = 1000"),
        ("lr_g: {min: 1.0e-5}", "lr_g: give value, values, or min and max"),
        ("lr_g: {}", "lr_g: give value, values, or min and max"),
        ("lr_g: {distribution: log_uniform_values, min: 1.0e-5}", "lr_g: max = None is not a finite number"),
        ("lr_g: 0.0001", "lr_g: write a mapping, such as {value: 0.0001}"),
        ("lr_g: {parameters: {a: {value: 1}}}", "lr_g: nested parameters are not supported"),
        ("lr_g: {distribution: 3}", "lr_g: distribution = 3 must be a name"),
        ("lr_g: {distribution: constant}", "lr_g: a constant needs a value"),
        ("lr_g: {value: 1, max: 3}", "lr_g: unknown key 'max'"),
        ("beta1: {distribution: uniform, min: 0, max: 0.9, q: 0.1}", "beta1: unknown key 'q'"),
        (
            "n_critic: {distribution: uniform, min: 1, max: 5}",
            "n_critic takes whole numbers: use int_uniform",
        ),
        (
            "n_critic: {distribution: int_uniform, min: 1.5, max: 5}",
            "n_critic: int_uniform needs whole min and max",
        ),
        ("n_critic: {values: [1, 2.5]}", "n_critic = 2.5 is not a whole number"),
        ("beta1: {min: 0.0, max: 1.0}", "beta1 = 1.0 is out of range: it must be at least 0 and below 1"),
        ("beta1: {min: -0.1, max: 0.9}", "beta1 = -0.1 is out of range: it must be at least 0"),
        ("clip_value: {value: 0.01}", "wgan_gp has no use for clip_value"),
        ("clip_value: {min: 0.01, max: 0.1}", "wgan_gp has no use for clip_value"),
        ("model: {value: wgan}", "model = 'wgan' is not one of dcgan, wgan_cp, wgan_gp"),
        ("model: {values: [dcgan, vae]}", "model = 'vae'"),
        ("model: {values: [dcgan, wgan_gp]}\nlambda_gp: {value: 10}", "dcgan has no use for lambda_gp"),
        ("dataset: {values: [ring8, grid25]}", "dataset: a study has one dataset"),
        ("dataset: {value: minst}", "dataset = 'minst' is not one of"),
        ("optimizer: {values: [adam, sgd]}", "optimizer = 'sgd' is not one of adam, rmsprop"),
    ],
)
def test_a_bad_parameter_is_refused_with_its_name(lines: str, sentence: str) -> None:
    parameters = {"model": {"value": "wgan_gp"}, **yaml.safe_load(lines)}
    message = refusal({"method": "random", "parameters": parameters})
    assert message.startswith("s: ")
    assert sentence in message


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("methods: bayes", "unknown key 'methods'; did you mean method"),
        ("method: bayesian", "method = 'bayesian' is not one of bayes, random, grid"),
        ("method: null", "method = None"),
        ("method: [bayes]", "method = ['bayes']"),
        ("parameters: {}", "parameters must name at least one"),
        ("parameters: [1]", "parameters must name at least one"),
        ("parameters: null", "parameters must name at least one"),
        ("parameters: {lr_g: {value: 1}}", "parameters must say which model"),
        ("run_cap: 0", "run_cap = 0 must be a whole number of at least 1"),
        ("run_cap: 1.5", "run_cap = 1.5"),
        ("run_cap: true", "run_cap = True"),
        ("metric: fd", "metric must have a name"),
        ("metric: {goal: minimize}", "metric must have a name"),
        ("metric: {name: fd, goal: min}", "goal = 'min' is not one of minimize, maximize"),
        ("metric: {name: fd, gaol: minimize}", "metric: unknown key 'gaol'; did you mean goal"),
        ("early_terminate: hyperband", "the only type is hyperband"),
        ("early_terminate: {type: median}", "early_terminate: the only type is hyperband"),
        ("early_terminate: {type: hyperband}", "give min_iter, or max_iter and s"),
        ("early_terminate: {type: hyperband, max_iter: 27}", "give min_iter, or max_iter and s"),
        ("early_terminate: {type: hyperband, min_iter: 0}", "it must be at least 1"),
        ("early_terminate: {type: hyperband, min_iter: 1, eta: 1}", "eta = 1 must be above 1"),
        ("early_terminate: {type: hyperband, min_iter: 1, ets: 3}", "unknown key 'ets'; did you mean eta"),
        ("early_terminate: {type: hyperband, min_iter: 1, strict: true}", "strict is not supported"),
        ("early_terminate: {type: hyperband, max_iter: 27, s: 1000.5}", "max_iter / eta**s is not a number"),
        ("early_terminate: {type: hyperband, max_iter: 27, s: -1000}", "max_iter / eta**s is not a number"),
        (
            "early_terminate: {type: hyperband, max_iter: 27, s: 100000}",
            "the first evaluation to stop at is 0",
        ),
        (f"early_terminate: {{type: hyperband, min_iter: {HUGE}}}", "is not a finite number"),
        (f"early_terminate: {{type: hyperband, min_iter: 1, eta: {HUGE}}}", "is not a finite number"),
        ("scheduler: {engine: optuna}", "'scheduler' is for W&B's own schedulers and is not supported"),
        # What study.json can't hold must not surface after the study's folder is made.
        ("name: 2024-01-01", "only what JSON can hold"),
        ("description: .nan", "only what JSON can hold"),
        ("description: &a [*a]", "only what JSON can hold"),
        ("command: {1: [!!binary aGk=]}", "only what JSON can hold"),
    ],
)
def test_a_bad_sweep_is_refused(line: str, sentence: str) -> None:
    good = {"method": "random", "parameters": {"model": {"value": "wgan_gp"}, "lr_g": {"value": 1e-4}}}
    assert sentence in refusal({**good, **yaml.safe_load(line)})


@pytest.mark.parametrize("given", [None, [], "text", 3, [{"method": "bayes"}]])
def test_a_file_that_is_no_mapping_is_refused(given: Any) -> None:
    assert "a search space is a mapping" in refusal(given)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        # Line and column of the token that the parser could not place, counted from 1.
        (b"method: bayes\nparameters: {model: {value: wgan_gp}\n", ", line 3, column 1: this is not YAML: "),
        (b"method: bayes\n  parameters: 3\n", ", line 2, column 13: this is not YAML: "),
        (b"method: [bayes\nrun_cap: 3\n", ", line 2, column 8: this is not YAML: "),
        (b"method: 'bayes\n", ", line 2, column 1: this is not YAML: "),
        (b"method: bayes\n\tparameters: 3\n", ", line 2, column 1: this is not YAML: "),
        (b"method: !!python/object:os.system x\n", ", line 1, column 9: this is not YAML: "),
        (b"method: *nobody\n", ", line 1, column 9: this is not YAML: "),
        (b"method: a\x00b\n", ": this is not YAML: "),
        (b"method: \xff\xfe\n", ": can't be read: "),
        (b"method: bayes\nname: 2024-13-45\n", ": YAML can't make a value of this: "),  # an impossible date
        (b"[" * 3000, ": YAML can't make a value of this: "),
        (
            b"run_cap: " + b"9" * 5000,
            ": YAML can't make a value of this: ",
        ),  # more digits than an int may have
    ],
    ids=lambda value: None if isinstance(value, str) else value[:40],
)
def test_what_is_not_yaml_is_refused_by_file_line_and_column(tmp_path: Path, text: bytes, where: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(text)
    with pytest.raises(SpaceError) as caught:
        read_space(path)
    assert str(caught.value).startswith(f"{path}{where}")
    assert "\n" not in str(caught.value)


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


def bomb(levels: int) -> str:
    """Ten values, ten times over at each level, in a few hundred bytes."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize("key", ["description", "parameters", "command"])
def test_aliases_that_multiply_beyond_measure_are_refused_at_once(key: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    inner = "\n  ".join(bomb(12).splitlines())
    path.write_text(f"method: random\n{key}:\n  {inner}\n")
    with pytest.raises(SpaceError, match="it is larger than 100,000 values"):
        read_space(path)


def test_an_alias_of_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "loop.yaml"
    path.write_text("method: random\nparameters: &p\n  lr_g: *p\n")
    with pytest.raises(SpaceError) as caught:
        read_space(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_ordinary_aliases_are_read(tmp_path: Path) -> None:
    path = tmp_path / "alias.yaml"
    lr = "{distribution: log_uniform_values, min: 0.0001, max: 0.01}"
    path.write_text(
        f"method: random\nparameters:\n  model: {{value: dcgan}}\n  lr_g: &lr {lr}\n  lr_d: *lr\n"
    )
    space = read_space(path)
    assert space.searched["lr_g"] == space.searched["lr_d"]


def test_a_key_that_is_there_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    twice = ["  lr_g: {min: 1, max: 2}", "  lr_g: {min: 3, max: 4}"]
    path.write_text("\n".join(["method: random", "parameters:", "  model: {value: dcgan}", *twice]))
    with pytest.raises(SpaceError, match=r"line 5, column 3: .*'lr_g' is there twice"):
        read_space(path)
