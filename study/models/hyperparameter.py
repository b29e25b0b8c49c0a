"""What a hyperparameter is, and those that every model has."""

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

from study.errors import ConfigError, not_one_of, shown

# Names with another meaning in a configuration, a plan or on the command line.
RESERVED = {
    *("model", "dataset", "kind", "per_member", "shape_key", "to_dict", "from_dict", "config", "name"),
    *(
        "study",
        "space",
        "trial_id",
        "seed",
        "seeds",
        "study_seed",
        "kimg",
        "eval_kimg",
        "metric",
        "aggregate",
    ),
    *("precision", "results", "resume", "threads", "wandb", "help", "side", "data_dir", "keep_best"),
    *("plugin", "plugins", "declared", "fingerprint", "replay", "device", "companions"),
}


@dataclass(frozen=True, kw_only=True)
class Hyperparameter:
    """A number or a choice that a user may set and a search may vary.

    `above` and `below` exclude their bound, `at_least` and `at_most` include it.

    Attributes:
        meaning: in a few words, for help texts and tables.
        default: None where the model, or the data, declares it.
        per_member: the members of a pack may differ in it; else it is part of their shape key.
    """

    name: str
    meaning: str
    unit: str = ""
    type: type = float
    default: Any = None
    at_least: float = -math.inf
    at_most: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    choices: tuple[str, ...] = ()
    per_member: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError where the declaration makes no sense."""
        if not self.name.isidentifier() or self.name in RESERVED:
            raise ValueError(f"a hyperparameter can't be called {shown(self.name)}")
        number = self.type in (int, float)
        if not number and (self.type is not str or not self.choices or self.per_member):
            raise ValueError(
                f"the hyperparameter {self.name} must be a number, or a word with choices, the same for "
                "all members"
            )

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
        return " and ".join(f"{word} {b:g}" for word, b in words.items() if math.isfinite(b)) or "any number"

    def checked(self, value: Any) -> Any:
        """The value in its own type. Raises ConfigError, which names what is allowed."""
        name = self.name
        if self.type is str:
            if value not in self.choices:
                raise ConfigError(not_one_of(name, value, self.choices))
            return value
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ConfigError(f"{name} = {shown(value)} is not a number; it must be {self.describe()}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if self.type is int and math.isfinite(number) and not number.is_integer():
            raise ConfigError(f"{name} = {shown(value)} is not a whole number; it must be {self.describe()}")
        inside = self.at_least <= number <= self.at_most and self.above < number < self.below
        if not math.isfinite(number) or not inside:
            raise ConfigError(f"{name} = {shown(value)} is out of range: it must be {self.describe()}")
        return self.type(number)

    def agrees_with(self, other: "Hyperparameter") -> bool:
        """Whether both are one hyperparameter, if with another default."""
        return all(getattr(self, name) == getattr(other, name) for name in vars(self) if name != "default")


# Of models with a network of the package's: a user's network draws its weights itself.
INIT = Hyperparameter(
    name="init",
    meaning="law of the initial weights (study/networks/initial.py)",
    type=str,
    choices=("normal_0.02", "he", "torch"),
    default="normal_0.02",
)
GIVEN_BY_MODEL = (
    Hyperparameter(name="lr_g", meaning="generator learning rate", above=0, at_most=1e6, per_member=True),
    Hyperparameter(name="lr_d", meaning="critic learning rate", above=0, at_most=1e6, per_member=True),
    Hyperparameter(
        name="beta1", meaning="Adam's beta1; RMSProp's momentum", at_least=0, below=1, per_member=True
    ),
    Hyperparameter(
        name="beta2",
        meaning="Adam's beta2; RMSProp's smoothing constant (alpha)",
        at_least=0,
        below=1,
        per_member=True,
    ),
    Hyperparameter(
        name="n_critic", meaning="critic updates per generator update", type=int, at_least=1, at_most=100
    ),
    Hyperparameter(
        name="optimizer", meaning="optimiser of both players", type=str, choices=("adam", "rmsprop")
    ),
    INIT,
)
GIVEN_BY_DATA = (
    Hyperparameter(
        name="batch_size",
        meaning="real images (or points) per critic update and member",
        type=int,
        at_least=2,
        at_most=65536,
    ),
    Hyperparameter(
        name="width",
        meaning="channels of the convolution next to the image, or units of an MLP's hidden layers",
        type=int,
        at_least=1,
        at_most=4096,
    ),
    Hyperparameter(
        name="latent_dim",
        meaning="dimensions of the generator's standard normal input",
        type=int,
        at_least=1,
        at_most=4096,
    ),
)
