"""A small convolutional classifier of a dataset's labels: its features and classes judge samples."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from study.data import Dataset
from study.data.arrays import Arrays, as_floats
from study.seeds import derive_seed

RECIPE = 1  # counts changes of the architecture or its training: part of the cache key
EPOCHS = 40
FEWEST_STEPS, MOST_STEPS = 400, 1000  # whatever the size of the data
BATCH = 64
FEATURES = 64
PART = 128  # images
LARGEST_SIDE = 32


@dataclass(frozen=True)
class Classifier:
    """A trained classifier of one dataset's images.

    Attributes:
        accuracy: fraction right on the held-out images.
    """

    network: nn.Sequential
    accuracy: float

    @property
    def facts(self) -> dict[str, Any]:
        """For study.json."""
        return {"classifier_accuracy": self.accuracy}

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 64)."""
        return self(images)[0]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> features (N, 64), class logits (N, n_modes)."""
        # In cache-sized parts and channels last: a quarter of the time on a CPU.
        parts = images.contiguous(memory_format=torch.channels_last).split(PART)
        features = torch.cat([self.network[:-1](as_floats(part)) for part in parts])
        return features, self.network[-1](features)


def _network(channels: int, side: int, classes: int) -> nn.Sequential:
    """Larger images are averaged to 32x32 first, so that training takes a minute whatever their side."""
    shrunk = [nn.AvgPool2d(side // LARGEST_SIDE)] if side > LARGEST_SIDE else []
    side = min(side, LARGEST_SIDE)
    return nn.Sequential(
        *shrunk,
        nn.Conv2d(channels, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * (side // 4) ** 2, FEATURES),
        nn.ReLU(),
        nn.Linear(FEATURES, classes),
    )


def _empty(dataset: Dataset) -> nn.Sequential:
    """The network, its weights undefined."""
    channels, side, _ = dataset.sample_shape
    assert dataset.modes is not None
    with torch.device("meta"):  # torch's own initialisation would draw from the global generator
        network = _network(channels, side, dataset.modes)
    return network.to_empty(device="cpu")


def restore(dataset: Dataset, state: dict[str, Any], device: torch.device) -> Classifier:
    network = _empty(dataset)
    network.load_state_dict(state["network"])
    network.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    return Classifier(network, state["accuracy"])


def make(dataset: Dataset, arrays: Arrays) -> dict[str, Any]:
    """The state of a classifier, trained on the CPU, with its accuracy on the held-out images.

    Adam with a one-cycle learning rate, images shifted by up to one pixel.
    """
    assert arrays.labels is not None
    assert arrays.held_out_labels is not None
    network = _empty(dataset)
    images, labels = arrays.train.cpu(), arrays.labels.cpu()
    generator = torch.Generator().manual_seed(derive_seed("classifier", dataset.name))
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
    optimiser = torch.optim.Adam(network.parameters())
    batches = max(1, len(images) // BATCH)
    steps = min(max(EPOCHS * batches, FEWEST_STEPS), MOST_STEPS)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps)
    for step in range(steps):
        if step % batches == 0:
            order = torch.randperm(len(images), generator=generator).split(BATCH)
        batch = order[step % batches]
        down, right = torch.randint(-1, 2, (2,), generator=generator).tolist()
        shifted = as_floats(images[batch]).roll((down, right), dims=(2, 3))
        optimiser.zero_grad()
        cross_entropy(network(shifted), labels[batch]).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        parts = arrays.held_out.cpu().split(PART)
        answers = torch.cat([network(as_floats(part)).argmax(1) for part in parts])
    accuracy = float((answers == arrays.held_out_labels.cpu()).double().mean())
    return {"network": network.state_dict(), "accuracy": accuracy}
