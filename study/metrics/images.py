"""Metrics of images: Fréchet distance in the classifier's features, and modes as predicted classes."""

import torch
from torch import Tensor

from study.data.dataset import Dataset
from study.metrics.classifier import Classifier
from study.metrics.frechet import FrechetDistance
from study.metrics.modes import mode_statistics


class ImageMetrics:
    """fd, modes_covered, mode_coverage and mode_kl of one set of images.

    A mode is covered when at least one sample is classified as it. mode_kl compares the predicted
    classes with the class shares of the training images.
    """

    samples = 1000

    def __init__(self, dataset: Dataset, classifier: Classifier) -> None:
        assert dataset.labels is not None
        self.classifier = classifier
        self.modes = dataset.n_modes
        self.real_shares = torch.bincount(dataset.labels.cpu(), minlength=self.modes) / len(dataset.labels)
        features, _ = classifier(dataset.held_out)
        self.fd = FrechetDistance(features.cpu())

    def __call__(self, images: Tensor) -> dict[str, float]:
        """Finite (N, C, H, W) images in [-1, 1] -> metrics by name."""
        features, logits = self.classifier(images)
        counts = torch.bincount(logits.argmax(1).cpu(), minlength=self.modes)
        return {
            "fd": self.fd(features.cpu()),
            **mode_statistics(counts, counts > 0, self.real_shares),
        }
