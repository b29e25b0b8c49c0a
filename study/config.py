"""One training configuration: a model, a dataset, and the hyperparameters that the two declare."""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from types import SimpleNamespace
from typing import Any

from study.data import DATASETS, dataset_named
from study.errors import ConfigError, UserError, did_you_mean, not_one_of, shown
from study.models import CRITIC, GENERATOR, MODELS, hyperparameters


class TrialConfig(SimpleNamespace):
    """A validated configuration, frozen. Its attributes are `model`, `dataset` and each hyperparameter.

    One left out (or None) takes the default of the data, or else of the model's paper.

    Raises:
        ConfigError: a value has the wrong type or is out of range (the message names it and the range), or
            the model has no use for it.
    """

    def __init__(self, **given: Any) -> None:
        given = {name: value for name, value in given.items() if value is not None}
        model = given.pop("model", MODELS.default.name)
        dataset = given.pop("dataset", DATASETS.default.name)
        if not isinstance(model, str) or model not in MODELS:
            raise ConfigError(not_one_of("model", model, MODELS))
        try:
            by_data = dataset_named(dataset).defaults
        except UserError as error:
            raise ConfigError(str(error)) from error
        vars(self).update(model=model, dataset=dataset)
        for name, hyperparameter in MODELS[model].hyperparameters.items():
            default = by_data.get(name, hyperparameter.default)
            vars(self)[name] = hyperparameter.checked(given.pop(name, default))
        for name, value in given.items():
            check_name(name)
            raise ConfigError(f"{name} = {shown(value)}: {model} has no use for {name}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise FrozenInstanceError(f"a configuration is frozen: {name} can't be set to {shown(value)}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"a configuration is frozen: {name} can't be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        return TrialConfig.from_dict, (self.to_dict(),)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(vars(self).items()))

    @property
    def kind(self) -> str:
        """'images' or 'points': what the dataset holds, hence which architecture is built."""
        return dataset_named(self.dataset).kind

    @property
    def per_member(self) -> list[str]:
        """The hyperparameters in which the members of a pack may differ."""
        return [name for name, h in MODELS[self.model].hyperparameters.items() if h.per_member]

    @property
    def shape_key(self) -> tuple[object, ...]:
        """What the members of one pack must agree on: everything else."""
        per_member = self.per_member
        return tuple(value for name, value in vars(self).items() if name not in per_member)

    def generator_updates(self, kimg: float) -> int:
        """How many a member's generator has made when its critic has seen `kimg` thousands of real images."""
        turns = MODELS[self.model].turns(self.n_critic)
        return int(1000 * kimg / (self.batch_size * turns.count(CRITIC)) * turns.count(GENERATOR))

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrialConfig":
        """Build from names and values; unknown names raise ConfigError with the nearest known one."""
        for name in values:
            check_name(name)
        return cls(**values)


def check_name(name: str) -> None:
    """Raise ConfigError when no hyperparameter has this name."""
    if name in ("model", "dataset") or any(name in model.hyperparameters for model in MODELS.values()):
        return
    known = ["model", "dataset", *hyperparameters()]
    raise ConfigError(f"unknown hyperparameter {shown(name)}{did_you_mean(name, known)}")
