"""The datasets by name. Each is small enough to live on the device as one tensor."""

from collections.abc import Callable
from functools import cache

import torch

from study.data.dataset import Dataset
from study.data.digits import load_digits
from study.data.mixtures import load_grid25, load_ring8

DATASETS: dict[str, Callable[[], Dataset]] = {
    "digits": load_digits,
    "ring8": load_ring8,
    "grid25": load_grid25,
}


@cache
def load(name: str, device: torch.device) -> Dataset:
    """The dataset on `device`, loaded once per process."""
    return DATASETS[name]().to(device)
