"""A small convolutional classifier, trained once per dataset: its features and classes judge samples.

It is cached under the user's cache folder (or GAN_STUDY_CACHE), keyed by the data and this recipe,
behind a file lock, so that the workers of a machine train it once.
"""

from dataclasses import dataclass
from functools import partial

import torch
from filelock import FileLock
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from study.data import Dataset, file_name
from study.data.arrays import Arrays
from study.machine.cache import cache_folder
from study.machine.files import write_whole
from study.seeds import derive_seed

RECIPE = 1  # counts changes of the architecture or its training: part of the cache key
EPOCHS = 40
BATCH = 64
FEATURES = 64
PART = 128  # images


@dataclass(frozen=True)
class Classifier:
    """A trained classifier of one dataset's images.

    Attributes:
        accuracy: fraction right on the held-out images.
        fingerprint: of the data it was trained on.
    """

    network: nn.Sequential
    accuracy: float
    fingerprint: str

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> features (N, 64), class logits (N, n_modes)."""
        # In cache-sized parts and channels last: a quarter of the time on a CPU.
        parts = images.contiguous(memory_format=torch.channels_last).split(PART)
        features = torch.cat([self.network[:-1](part) for part in parts])
        return features, self.network[-1](features)


def _network(channels: int, side: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
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


def load_classifier(dataset: Dataset, arrays: Arrays) -> Classifier:
    """The dataset's classifier on the arrays' device, from the cache or trained now (seconds)."""
    channels, side, _ = dataset.sample_shape
    fingerprint = arrays.fingerprint()
    path = cache_folder() / f"{file_name(dataset.name)}-{fingerprint}-{RECIPE}.pt"
    with torch.device("meta"):  # torch's own initialisation would draw from the global generator
        assert dataset.modes is not None
        network = _network(channels, side, dataset.modes)
    network.to_empty(device="cpu")
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            accuracy = _train(dataset.name, arrays, network)
            trained = {"network": network.state_dict(), "accuracy": accuracy}
            write_whole(path, partial(torch.save, trained))
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise RuntimeError(f"{path}: the cached classifier is damaged; delete it") from error
    network.load_state_dict(saved["network"])
    network.to(arrays.train.device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    return Classifier(network, saved["accuracy"], fingerprint)


def _train(name: str, arrays: Arrays, network: nn.Sequential) -> float:
    """Train `network` on the CPU and return its accuracy on the held-out images.

    Adam with a one-cycle learning rate, images shifted by up to one pixel.
    """
    assert arrays.labels is not None
    assert arrays.held_out_labels is not None
    images, labels = arrays.train.cpu(), arrays.labels.cpu()
    generator = torch.Generator().manual_seed(derive_seed("classifier", name))
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
    optimiser = torch.optim.Adam(network.parameters())
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(images), generator=generator)
        for batch in order.split(BATCH)[: len(images) // BATCH]:
            down, right = torch.randint(-1, 2, (2,), generator=generator).tolist()
            shifted = images[batch].roll((down, right), dims=(2, 3))
            optimiser.zero_grad()
            cross_entropy(network(shifted), labels[batch]).backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        right_answers = network(arrays.held_out.cpu()).argmax(1) == arrays.held_out_labels.cpu()
    return float(right_answers.double().mean())
