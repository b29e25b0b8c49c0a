"""What a metric declares: one function of arrays, and what is to be known of it."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from study.data import KINDS, Dataset

EVERY, LAST = "every", "last"


# What a metric's function may ask for, by the names of its parameters, and whether a dataset has it.
NEEDS: dict[str, Callable[[Dataset], bool]] = {
    "samples": lambda _: True,  # (n, ...) of one member
    "train": lambda _: True,  # (N, ...) real
    "held_out": lambda _: True,  # (H, ...) real, never trained on
    # the member's own, (n, ...) -> scores (n,); batch norm takes these n for a batch
    "critic": lambda _: True,
    "labels": lambda dataset: dataset.labels,  # (N,) classes of `train`
    "features": lambda dataset: dataset.is_classified,  # (n, D) of the samples, by the dataset's classifier
    "held_out_features": lambda dataset: dataset.is_classified,  # (H, D)
    # (n, k) of the samples, (H, k): principal components of images without labels
    "components": lambda dataset: dataset.kind == "images" and not dataset.labels,
    "held_out_components": lambda dataset: dataset.kind == "images" and not dataset.labels,
    # (n,) bool of the samples: whether they lie in the ball of a held-out image
    "on_manifold": lambda dataset: dataset.kind == "images",
    "logits": lambda dataset: dataset.is_classified,  # (n, modes) of the samples
    # study.metrics.modes.Modes
    "modes": lambda dataset: bool(dataset.modes) and (dataset.kind == "points" or dataset.is_classified),
}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure of one member's samples.

    Attributes:
        meaning: one sentence, with the unit.
        compute: gets what it `needs` by name; None or a number that is not finite is recorded as null.
        samples: by the kinds of data that it is for, how many of a member it takes.
        when: at 'every' evaluation, or only before training and at the 'last' one, when the budget ends.
        worst: its worst value, where it is bounded: what a member that diverged scores.
        counts: its values are whole numbers.
        is_default: it is what a study optimises by default.

    Raises:
        ValueError: the declaration is incomplete.
    """

    name: str
    meaning: str
    compute: Callable[..., Any]
    samples: Mapping[str, int]
    higher_is_better: bool
    when: str = EVERY
    worst: float | None = None
    counts: bool = False
    is_default: bool = False

    def __post_init__(self) -> None:
        for kind, number in self.samples.items():
            if kind not in KINDS or number < 1:
                raise ValueError(f"the metric {self.name}: {number!r} samples of {kind!r} make no sense")
        for need in self.needs:
            if need not in NEEDS:
                raise ValueError(
                    f"the metric {self.name} asks for {need!r}, which is not one of {', '.join(NEEDS)}"
                )
        if self.worst is not None and not math.isfinite(self.worst):
            raise ValueError(
                f"the metric {self.name}: worst is {self.worst!r}, which must be a finite number"
            )
        if not self.samples:
            raise ValueError(f"the metric {self.name} declares no samples of any kind of data")
        if self.when not in (EVERY, LAST):
            raise ValueError(f"the metric {self.name}: when is {self.when!r}, not {EVERY} or {LAST}")

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """What it is computed from: keys of NEEDS."""
        return tuple(inspect.signature(self.compute).parameters)

    def applies_to(self, dataset: Dataset) -> bool:
        return dataset.kind in self.samples and all(NEEDS[need](dataset) for need in self.needs)


def metric(**declared: Any) -> Callable[[Callable[..., Any]], Metric]:
    """Declares the function below as a metric: its name is the metric's, its parameters what it needs."""
    return lambda compute: Metric(name=compute.__name__, compute=compute, **declared)
