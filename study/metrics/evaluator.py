"""One dataset's metrics, ready to judge any member's samples, and their floor."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from study.data import load
from study.data.dataset import Dataset
from study.metrics import metrics_for
from study.metrics.classifier import load_classifier
from study.metrics.images import ImageMetrics
from study.metrics.points import PointMetrics
from study.seeds import derive_seed


class Evaluator:
    """Metrics of samples against a dataset's held-out part.

    Attributes:
        samples: how many samples of a member one evaluation takes.
        floor: the same metrics of real training samples, as many as there are (at most `samples`),
            drawn without replacement: what a perfect generator would reach.
        classifier_accuracy: held-out accuracy of the classifier; None for points.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._metrics: PointMetrics | ImageMetrics
        self.classifier_accuracy: float | None = None
        if dataset.kind == "points":
            self._metrics = PointMetrics(dataset)
        else:
            classifier = load_classifier(dataset)
            self.classifier_accuracy = classifier.accuracy
            self._metrics = ImageMetrics(dataset, classifier)
        self.samples = self._metrics.samples
        self.names = metrics_for(dataset.kind)
        generator = torch.Generator().manual_seed(derive_seed("floor", dataset.name))
        chosen = torch.randperm(len(dataset.train), generator=generator)[: self.samples]
        self.floor = self._metrics(dataset.train[chosen.to(dataset.train.device)])

    def facts(self) -> dict[str, Any]:
        """What study.json is to tell of the data."""
        return {"floor": self.floor, "classifier_accuracy": self.classifier_accuracy}

    def __call__(self, samples: Tensor) -> dict[str, float]:
        """Finite samples (N, ...) of one member -> metrics by name."""
        return self._metrics(samples)


@cache
def evaluator_for(dataset: str, device: torch.device) -> Evaluator:
    """The evaluator of a dataset on `device`, made once per process."""
    return Evaluator(load(dataset, device))
