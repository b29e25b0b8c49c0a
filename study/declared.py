"""What a study's files keep of declarations that the package does not have, so that they read without them.

These are the datasets of a family (`folder:<path>`) and what plugins declare. Read back, each stands for
the real one in tables and checks. To train, a dataset is looked for again, and the others need their plugin.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from study.data import DATASETS, Dataset, DatasetFamily, dataset_named
from study.errors import ConfigError, UserError
from study.metrics import METRICS, Metric
from study.models import CRITIC, GENERATOR, MODELS, Hyperparameter, Model

TYPES = {kind.__name__: kind for kind in (int, float, str)}
DATASET = ("name", "meaning", "kind", "sample_shape", "modes", "labels", "kimg", "defaults", "options")
METRIC = ("name", "meaning", "samples", "higher_is_better", "when", "worst")
MODEL = ("name", "title", "source", "defaults")


def describe(dataset: str, models: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """What is not the package's own of a study on `dataset` with `models`: JSON values, by kind."""
    declared = dataset_named(dataset)
    metrics = [m for m in METRICS.values() if m.name not in METRICS.built_in and m.applies_to(declared)]
    return {
        "datasets": [_fields(declared, DATASET)] if declared.name not in DATASETS.built_in else [],
        "metrics": [{**_fields(metric, METRIC), "needs": list(metric.needs)} for metric in metrics],
        "models": [
            {
                **_fields(MODELS[name], MODEL),
                "own": [_hyperparameter(h) for h in MODELS[name].own],
                "networks": [p for p in (GENERATOR, CRITIC) if getattr(MODELS[name], p) is not None],
            }
            for name in dict.fromkeys(models)
            if name not in MODELS.built_in
        ],
    }


def remember(declared: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Let what was described be known by its name, where nothing real is.

    Raises:
        ConfigError: it is not what `describe` makes.
    """
    try:
        for values in declared.get("datasets", ()):
            given = {**_only(values, DATASET), "sample_shape": tuple(values["sample_shape"])}
            DATASETS.recall(Dataset(**given, load=_again(values)))
        for values in declared.get("metrics", ()):
            given = _only(values, METRIC)
            METRICS.recall(Metric(**given, compute=_absent("metric", values["name"], values["needs"])))
        for values in declared.get("models", ()):
            own = tuple(
                Hyperparameter(**{**h, "type": TYPES[h["type"]], "choices": tuple(h["choices"])})
                for h in values["own"]
            )
            absent = _absent("model", values["name"])
            brought = values.get("networks", ())
            networks = {player: absent for player in (GENERATOR, CRITIC) if player in brought}
            given = {**_only(values, MODEL), "own": own, **networks}
            MODELS.recall(Model(**given, critic_loss=absent, generator_loss=absent))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"what the study declares makes no sense: {error!r}") from error


def _only(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: values[name] for name in names}


def _fields(declaration: Any, names: Iterable[str]) -> dict[str, Any]:
    values = {name: getattr(declaration, name) for name in names}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}


def _hyperparameter(hyperparameter: Hyperparameter) -> dict[str, Any]:
    """Its fields; JSON has no infinity, so a bound that is none is left out."""
    values = {**vars(hyperparameter), "type": hyperparameter.type.__name__}
    return {name: v for name, v in values.items() if not (isinstance(v, float) and math.isinf(v))}


def _again(values: Mapping[str, Any]) -> Callable[..., Any]:
    """Loads a dataset as its family would."""

    def load(**options: Any) -> Any:
        stem, _, argument = values["name"].partition(":")
        family = DATASETS.get(stem)
        if not isinstance(family, DatasetFamily):
            _absent("dataset", values["name"])()
        dataset = family.of(argument, **options)
        return dataset.load(**dataset.options)

    return load


def _absent(noun: str, name: str, needs: Iterable[str] = ()) -> Callable[..., NoReturn]:
    """In place of a plugin's function; its parameters are called as that one's."""

    def absent(*_: Any, **__: Any) -> NoReturn:
        raise UserError(f"the {noun} {name} is declared in a plugin: give its file with --plugin")

    parameters = [inspect.Parameter(need, inspect.Parameter.POSITIONAL_OR_KEYWORD) for need in needs]
    absent.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return absent
