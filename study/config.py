"""One training configuration: a model, a dataset, and the hyperparameters that the two declare."""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from typing import Any

from study.data import DATASETS, dataset_named, dataset_names
from study.errors import ConfigError, UserError, did_you_mean, not_one_of
from study.models import MODELS, hyperparameters


class TrialConfig:
    """A validated configuration, frozen. Its values are attributes: `model`, `dataset`, `lr_g`, ...

    One left out (or None) takes the default of the model's paper, or of the kind of data.

    Raises:
        ConfigError: a value has the wrong type or is out of range (the message names it and the range), or
            the model has no use for it.
    """

    _values: dict[str, Any]

    def __init__(self, **given: Any) -> None:
        given = {name: value for name, value in given.items() if value is not None}
        model = given.pop("model", MODELS.default.name)
        dataset = given.pop("dataset", DATASETS.default.name)
        if not isinstance(model, str) or model not in MODELS:
            raise ConfigError(not_one_of("model", model, MODELS))
        try:
            by_data = dataset_named(dataset).defaults
        except UserError as error:
            raise ConfigError(not_one_of("dataset", dataset, dataset_names())) from error
        values = {"model": model, "dataset": dataset}
        for name, hyperparameter in MODELS[model].hyperparameters.items():
            default = by_data.get(name) if hyperparameter.default is None else hyperparameter.default
            values[name] = hyperparameter.checked(given.pop(name, default))
        for name, value in given.items():
            check_name(name)
            raise ConfigError(f"{name} = {value!r}: {model} has no use for {name}")
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"this configuration has no {name}")
        return self._values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        raise FrozenInstanceError(f"a configuration is frozen: {name} can't be set to {value!r}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrialConfig) and self._values == other._values

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return f"TrialConfig({', '.join(f'{k}={v!r}' for k, v in self._values.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return TrialConfig.from_dict, (self.to_dict(),)

    @property
    def kind(self) -> str:
        """'images' or 'points': what the dataset holds, hence which architecture is built."""
        return dataset_named(self.dataset).kind

    @property
    def shape_key(self) -> tuple[object, ...]:
        """What the members of one pack must agree on: everything but the per-member numbers."""
        return tuple(value for name, value in self._values.items() if name not in self.per_member)

    @property
    def per_member(self) -> list[str]:
        """The hyperparameters in which the members of a pack may differ."""
        return [name for name, h in MODELS[self.model].hyperparameters.items() if h.per_member]

    def to_dict(self) -> dict[str, Any]:
        return dict(self._values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrialConfig":
        """Build from names and values; unknown names raise ConfigError with the nearest known one."""
        for name in values:
            check_name(name)
        return cls(**values)


def check_name(name: str) -> None:
    """Raise ConfigError when no hyperparameter has this name."""
    known = ["model", "dataset", *hyperparameters()]
    if name not in known:
        raise ConfigError(f"unknown hyperparameter {name!r}{did_you_mean(name, known)}")
