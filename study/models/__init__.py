"""What is trained, one file a model: it declares a `Model`, and nothing else knows of it."""

from study.models.declaration import CRITIC, GENERATOR, Model, Values
from study.models.hyperparameter import GIVEN_BY_DATA, Hyperparameter
from study.registry import Registry

MODELS = Registry("model", Model)
MODELS.collect_package(__name__)


def hyperparameters() -> dict[str, Hyperparameter]:
    """Every hyperparameter that some model has, by name.

    Raises ValueError where two models mean different things by one name.
    """
    found: dict[str, Hyperparameter] = {}
    for model in MODELS.values():
        for name, hyperparameter in model.hyperparameters.items():
            if not hyperparameter.agrees_with(found.setdefault(name, hyperparameter)):
                raise ValueError(f"the model {model.name} means something else by {name} than others do")
    return found


__all__ = [
    "CRITIC",
    "GENERATOR",
    "GIVEN_BY_DATA",
    "MODELS",
    "Hyperparameter",
    "Model",
    "Values",
    "hyperparameters",
]
