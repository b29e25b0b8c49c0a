"""One dataset's metrics, ready to judge any member's samples, and their floor."""

import math
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from study.data import Dataset, dataset_named, load, mixtures
from study.data.arrays import Arrays, as_floats
from study.metrics import METRICS, metrics_for
from study.metrics.declaration import EVERY
from study.metrics.frechet import varying
from study.metrics.judge.classifier import Classifier
from study.metrics.judge.floor import load_floor
from study.metrics.judge.judge import Judge, load_judge
from study.metrics.manifold import ball_radii, in_balls, typical
from study.metrics.modes import Modes, modes_of_images, modes_of_points
from study.seeds import derive_seed

Critic = Callable[[Tensor], Tensor]


class Evaluator:
    """Metrics of samples against a dataset's held-out part.

    Attributes:
        samples: how many samples of a member one evaluation takes.
        floor: what a perfect generator would reach, by metric: real data judged as if they were generated,
            fresh points of a mixture, else training samples, as many as there are (at most `samples`), drawn
            without replacement. A critic's metrics have none.
        judge: of the dataset's images; None for points.
    """

    def __init__(self, dataset: Dataset, arrays: Arrays, judges: Path | None = None) -> None:
        """`judges`: the study's folder of them."""
        self.dataset, self.arrays = dataset, arrays
        self.metrics = [METRICS[name] for name in metrics_for(dataset.name)]
        self.samples = max((metric.samples[dataset.kind] for metric in self.metrics), default=1)
        self.judge: Judge | None = None
        self.judge_sha256 = ""
        if dataset.kind == "images":
            self.judge, self.judge_sha256 = load_judge(dataset, arrays, judges)
        self._chosen = self._random(torch.Generator().manual_seed(derive_seed("floor", dataset.name)))
        self.floor = load_floor(
            dataset.name,
            arrays.fingerprint,
            self.judge_sha256,
            self.metrics,
            lambda number: self(self._draw(number)),
            judges,
        )

    def real(self) -> Tensor:
        """Training samples, (at most `samples`, ...), as floats, the same each time."""
        return as_floats(self.arrays.train[self._chosen])

    def _random(self, generator: torch.Generator) -> Tensor:
        """Indices of training samples."""
        chosen = torch.randperm(len(self.arrays.train), generator=generator)[: self.samples]
        return chosen.to(self.arrays.train.device)

    def _draw(self, number: int) -> Tensor:
        """One draw of real data, (at most `samples`, ...), as floats."""
        generator = torch.Generator().manual_seed(derive_seed("floor", self.dataset.name, number))
        centres, std = self.arrays.centres, self.arrays.std
        if centres is None or std is None:
            return as_floats(self.arrays.train[self._random(generator)])
        modes = torch.randint(len(centres), (self.samples,), generator=generator)
        return mixtures.draw(centres.cpu(), std, modes, generator).to(centres.device)

    @cached_property
    def held_out(self) -> Tensor:
        """(H, ...), as floats."""
        return as_floats(self.arrays.held_out)

    @cached_property
    def held_out_features(self) -> Tensor:
        """(H, D), by the judge."""
        assert self.judge is not None
        return self.judge.features(self.arrays.held_out)

    @cached_property
    def radii(self) -> Tensor:
        """(2, H) of the balls around held-out images that make the real manifold: all, and typical ones."""
        radii = ball_radii(self.held_out_features)
        return torch.stack([radii, typical(radii)])

    def facts(self) -> dict[str, Any]:
        """What study.json is to tell of the floor, and of the judge where there is one."""
        if self.judge is None:
            return {"floor": self.floor}
        # How many images fd compares with as many, in how many of how many features.
        samples = METRICS["fd" if self.dataset.is_classified else "fd_pca"].samples["images"]
        kept = varying(self.held_out_features)
        n = min(samples, len(self.held_out_features))
        fd = {"images": n, "dimension": int(kept.sum()), "features": len(kept)}
        return {"floor": self.floor, "judge_sha256": self.judge_sha256, **self.judge.facts, "fd": fd}

    def __call__(
        self, samples: Tensor, critic: Critic | None = None, *, last: bool = True
    ) -> dict[str, float | None]:
        """Finite samples (N, ...) of one member -> metrics by name.

        `critic`: the member's own. `last`: also those that are not computed at every evaluation.
        """
        return self.with_modes(samples, critic, last=last)[0]

    def with_modes(
        self, samples: Tensor, critic: Critic | None = None, *, last: bool = True
    ) -> tuple[dict[str, float | None], list[int] | None]:
        """The same, and how many of modes_covered's samples lie on each mode; None where data have none."""
        seen = cache(lambda n: _Seen(self, samples[:n], critic))
        values: dict[str, float | None] = {}
        counts: list[int] | None = None
        for metric in self.metrics:
            values[metric.name] = None
            due = last or metric.when == EVERY
            if due and not (critic is None and "critic" in metric.needs):
                found = seen(metric.samples[self.dataset.kind])
                value = _finite(metric.compute(**{need: getattr(found, need) for need in metric.needs}))
                values[metric.name] = round(value) if metric.counts and value is not None else value
                if metric.name == "modes_covered":
                    counts = found.modes.counts.tolist()
        return values, counts


class _Seen:
    """What metrics may ask for, of one set of samples: keys of `study.metrics.declaration.NEEDS`."""

    def __init__(self, evaluator: Evaluator, samples: Tensor, critic: Critic | None) -> None:
        self._evaluator, self._arrays = evaluator, evaluator.arrays
        self.samples, self.critic = samples, critic
        self.labels = self._arrays.labels

    @cached_property
    def train(self) -> Tensor:
        return as_floats(self._arrays.train)

    @property
    def held_out(self) -> Tensor:
        return self._evaluator.held_out

    @cached_property
    def components(self) -> Tensor:
        assert self._evaluator.judge is not None
        return self._evaluator.judge.features(self.samples)

    @property
    def held_out_components(self) -> Tensor:
        return self._evaluator.held_out_features

    @cached_property
    def _classified(self) -> tuple[Tensor, Tensor]:
        assert isinstance(self._evaluator.judge, Classifier)
        return self._evaluator.judge(self.samples)

    @property
    def features(self) -> Tensor:
        return self._classified[0]

    @property
    def logits(self) -> Tensor:
        return self._classified[1]

    @property
    def held_out_features(self) -> Tensor:
        return self._evaluator.held_out_features

    @cached_property
    def _on_manifold(self) -> Tensor:
        features = self.features if self._evaluator.dataset.is_classified else self.components
        return in_balls(features, self._evaluator.held_out_features, self._evaluator.radii)

    @property
    def on_manifold(self) -> Tensor:
        return self._on_manifold[0]

    @cached_property
    def modes(self) -> Modes:
        if self._arrays.centres is not None and self._arrays.std is not None:
            return modes_of_points(self.samples, self._arrays.centres, self._arrays.std)
        assert self.labels is not None
        return modes_of_images(self.logits, self._on_manifold[1], self.labels)


def _finite(value: Any) -> float | None:
    """A metric's value as it is recorded."""
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else None


@cache
def evaluator_for(dataset: str, device: torch.device, judges: Path | None = None) -> Evaluator:
    """The evaluator of a dataset on `device`, made once per process and study (`judges`: its folder)."""
    return Evaluator(dataset_named(dataset), load(dataset, device), judges)
