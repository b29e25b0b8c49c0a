"""One training configuration: every hyperparameter once, with its unit, default and limits."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from numbers import Real
from typing import Any

from study.errors import UserError

MODELS = ("dcgan", "wgan_cp", "wgan_gp")
DATASET_KINDS = {"digits": "images", "ring8": "points", "grid25": "points"}
# Chosen so that `python -m study.tune --space wgan_gp` ends within five minutes on two cores.
KIMG = {"images": 30.0, "points": 600.0}
OPTIMIZERS = ("adam", "rmsprop")


class ConfigError(UserError):
    """A hyperparameter is unknown, has the wrong type or lies outside its limits."""


@dataclass(frozen=True)
class Limits:
    """What a hyperparameter may be; `above`, `below` exclude their bound, the other two include it.

    `default` is one value, or a dict by model or by kind of dataset. A model (or kind) that the dict
    does not name has no use for the hyperparameter: it is then None and may not be set.
    """

    help: str
    default: Any
    at_least: float = -math.inf
    at_most: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    choices: tuple[str, ...] = ()

    def describe(self) -> str:
        """The allowed range in words: 'above 0 and at most 1000000'."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words = {
            "at least": self.at_least,
            "above": self.above,
            "at most": self.at_most,
            "below": self.below,
        }
        return " and ".join(f"{word} {b:g}" for word, b in words.items() if math.isfinite(b))

    def contains(self, value: float) -> bool:
        return self.at_least <= value <= self.at_most and self.above < value < self.below


def _hyperparameter(help: str, default: Any, **limits: Any) -> Any:
    return field(default=None, metadata={"limits": Limits(help, default, **limits)})


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """A validated configuration. A field left out (or None) takes the default of its paper.

    Raises:
        ConfigError: a value has the wrong type or is out of range (the message names the field, the
            value and the range), or the model has no use for it.
    """

    model: str = _hyperparameter("GAN variant", "wgan_gp", choices=MODELS)
    dataset: str = _hyperparameter("training data", "digits", choices=tuple(DATASET_KINDS))
    lr_g: float = _hyperparameter(
        "generator learning rate",
        {"dcgan": 2e-4, "wgan_cp": 5e-5, "wgan_gp": 1e-4},
        above=0,
        at_most=1e6,
    )
    lr_d: float = _hyperparameter(
        "critic learning rate",
        {"dcgan": 2e-4, "wgan_cp": 5e-5, "wgan_gp": 1e-4},
        above=0,
        at_most=1e6,
    )
    beta1: float = _hyperparameter(
        "Adam's beta1; RMSProp's momentum",
        {"dcgan": 0.5, "wgan_cp": 0.0, "wgan_gp": 0.0},
        at_least=0,
        below=1,
    )
    beta2: float = _hyperparameter(
        "Adam's beta2; RMSProp's smoothing constant (alpha)",
        {"dcgan": 0.999, "wgan_cp": 0.99, "wgan_gp": 0.9},
        at_least=0,
        below=1,
    )
    n_critic: int = _hyperparameter(
        "critic updates per generator update",
        {"dcgan": 1, "wgan_cp": 5, "wgan_gp": 5},
        at_least=1,
        at_most=100,
    )
    clip_value: float | None = _hyperparameter(
        "critic weights are clamped to [-clip_value, clip_value]",
        {"wgan_cp": 0.01},
        above=0,
        at_most=1e3,
    )
    lambda_gp: float | None = _hyperparameter(
        "weight of the gradient penalty", {"wgan_gp": 10.0}, at_least=0, at_most=1e6
    )
    batch_size: int = _hyperparameter(
        "real images (or points) per critic update and member",
        {"images": 64, "points": 256},
        at_least=2,
        at_most=65536,
    )
    optimizer: str = _hyperparameter(
        "optimiser of both players",
        {"dcgan": "adam", "wgan_cp": "rmsprop", "wgan_gp": "adam"},
        choices=OPTIMIZERS,
    )
    width: int = _hyperparameter(
        "channels of the convolution next to the image, or units of an MLP's hidden layers",
        {"images": 32, "points": 128},
        at_least=1,
        at_most=4096,
    )
    latent_dim: int = _hyperparameter(
        "dimensions of the generator's standard normal input",
        {"images": 100, "points": 2},
        at_least=1,
        at_most=4096,
    )

    def __post_init__(self) -> None:
        # model and dataset come first: the other defaults go by them.
        for name, limits in LIMITS.items():
            value = getattr(self, name)
            default = limits.default
            if isinstance(default, dict):
                default = default.get(self.model, default.get(self.kind))
                if default is None and value is not None:
                    raise ConfigError(f"{name} = {value!r}: {self.model} has no use for {name}")
            checked = default if value is None else _check(name, value, limits)
            object.__setattr__(self, name, checked)

    @property
    def kind(self) -> str:
        """'images' or 'points': what the dataset holds, hence which architecture is built."""
        return DATASET_KINDS[self.dataset]

    @property
    def shape_key(self) -> tuple[object, ...]:
        """What the members of one pack must agree on: everything but the per-member numbers."""
        return tuple(v for k, v in asdict(self).items() if k not in PER_MEMBER)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrialConfig":
        """Build from names and values; unknown names raise ConfigError with the nearest known one."""
        for name in values:
            check_name(name)
        return cls(**values)


LIMITS: dict[str, Limits] = {f.name: f.metadata["limits"] for f in fields(TrialConfig)}
TYPES = {f.name: int if f.type is int else str if f.type is str else float for f in fields(TrialConfig)}
PER_MEMBER = ("lr_g", "lr_d", "beta1", "beta2", "clip_value", "lambda_gp")


def check_name(name: str) -> None:
    """Raise ConfigError when no hyperparameter has this name."""
    if name not in LIMITS:
        raise ConfigError(f"unknown hyperparameter {name!r}{did_you_mean(name, LIMITS)}")


def did_you_mean(word: object, known: Any) -> str:
    """'; did you mean ...?' or the list of what exists: the end of an 'unknown' message."""
    names = list(known)
    near = get_close_matches(str(word), names, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else f"; there are: {', '.join(names)}"


def _check(name: str, value: Any, limits: Limits) -> Any:
    kind = TYPES[name]
    if kind is str:
        if value not in limits.choices:
            raise ConfigError(
                f"{name} = {value!r} is not {limits.describe()}{_nearest(value, limits.choices)}"
            )
        return value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ConfigError(f"{name} = {value!r} is not a number; it must be {limits.describe()}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if kind is int and math.isfinite(number) and not number.is_integer():
        raise ConfigError(f"{name} = {value!r} is not a whole number; it must be {limits.describe()}")
    if not math.isfinite(number) or not limits.contains(number):
        raise ConfigError(f"{name} = {value!r} is out of range: it must be {limits.describe()}")
    return kind(number)


def _nearest(value: object, choices: tuple[str, ...]) -> str:
    near = get_close_matches(str(value), choices, n=1)
    return f"; did you mean {near[0]}?" if near else ""
