"""What a space searches, in Optuna's words."""

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from study.space import Choice, Range, Space


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """By hyperparameter, in the space's order: samplers draw in this order."""
    return {name: distribution(searched) for name, searched in space.searched.items()}


def distribution(searched: Choice | Range) -> BaseDistribution:
    if isinstance(searched, Choice):
        return CategoricalDistribution(searched.values)
    if searched.whole:
        return IntDistribution(int(searched.low), int(searched.high), searched.log, int(searched.step or 1))
    return FloatDistribution(searched.low, searched.high, searched.log, searched.step)
