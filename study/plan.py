"""What one trial is to do: its identity, configuration, seeds, budget and objective."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from study.config import ConfigError, TrialConfig

AGGREGATES = ("mean", "median", "cvar")


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """A trial, ready to run anywhere: everything in it survives a round trip through JSON.

    Attributes:
        seeds: member seeds; a trial trains one member per seed.
        study_seed: every random stream derives from (study_seed, member seed, purpose).
        kimg: thousands of real images shown to each member's critic before the trial ends.
        eval_kimg: kimg between evaluations.
        metric: the metric that each member's score is read from.
        aggregate: how the seeds' scores become the objective: mean, median or cvar.
        patience: the share of the budget after which a trial in which no seed has ever scored
            better than its untrained generator is stopped; 1 switches the rule off.
    """

    study: str
    space: str
    trial_id: str
    config: TrialConfig
    seeds: tuple[int, ...]
    study_seed: int
    kimg: float
    eval_kimg: float
    metric: str
    aggregate: str = "mean"
    patience: float = 0.25

    def __post_init__(self) -> None:
        for name in ("kimg", "eval_kimg"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} = {value!r} is out of range: it must be above 0")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ConfigError(f"seeds = {self.seeds!r}: it must be one or more different seeds")
        if self.aggregate not in AGGREGATES:
            raise ConfigError(
                f"aggregate = {self.aggregate!r} is not one of {', '.join(AGGREGATES)}"
            )
        if not 0 < self.patience <= 1:
            raise ConfigError(
                f"patience = {self.patience!r} is out of range: it must be above 0 and at most 1"
            )

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "config": self.config.to_dict(), "seeds": list(self.seeds)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrialPlan":
        known = dict(values)
        known["config"] = TrialConfig.from_dict(known["config"])
        known["seeds"] = tuple(known["seeds"])
        return cls(**known)
