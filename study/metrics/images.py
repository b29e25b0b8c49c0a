"""Metrics of images: Fréchet distance in the classifier's features, and modes as predicted classes."""

import torch
from torch import Tensor

from study.data.dataset import Dataset
from study.metrics.classifier import Classifier
from study.metrics.frechet import FrechetDistance
from study.metrics.modes import mode_statistics

COVERED_SHARE = 0.1


class ImageMetrics:
    """fd, modes_covered, mode_coverage and mode_kl of one set of images.

    A mode is covered when its class is predicted at least a tenth as often as it occurs in the
    training images: of 1,000 samples of noise, single ones fall into most classes. mode_kl compares
    the predicted classes with those shares.
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
        covered = counts >= COVERED_SHARE * self.real_shares * len(images)
        return {
            "fd": self.fd(features.cpu()),
            **mode_statistics(counts, covered, self.real_shares),
        }
