"""2-D Gaussian mixtures with known modes, as in PacGAN (Lin et al. 2018, section 4.1)."""

import math
from typing import TYPE_CHECKING, Any

from study.data.declaration import Dataset
from study.data.store import stored
from study.seeds import derive_seed

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

TRAIN = 50_000
HELD_OUT = 10_000
RECIPE = 2  # counts changes of what is drawn

Drawn = tuple[dict[str, "np.ndarray"], dict[str, Any]]


def _ring8() -> Drawn:
    """Angles 2*pi*i/8; a linspace that includes both ends would give seven modes."""
    import torch

    angles = torch.arange(8, dtype=torch.float32) * (2 * math.pi / 8)
    return _mixture("ring8", torch.stack([angles.cos(), angles.sin()], dim=1), std=0.01)


def _grid25() -> Drawn:
    import torch

    side = torch.arange(-4.0, 5.0, 2.0, dtype=torch.float32)
    return _mixture("grid25", torch.cartesian_prod(side, side), std=0.05)


def _mixture(name: str, centres: "Tensor", std: float) -> Drawn:
    """The held-out part holds all modes in turn, so that its first n points have equal numbers of each.

    A distance to a reference with random numbers of each would be larger, and tell of that reference.
    """
    import numpy as np
    import torch

    streams = {part: torch.Generator().manual_seed(derive_seed(name, part)) for part in ("train", "held out")}
    train, held_out = streams.values()
    drawn = {
        "train": draw(centres, std, torch.randint(len(centres), (TRAIN,), generator=train), train),
        "held_out": draw(centres, std, torch.arange(HELD_OUT) % len(centres), held_out),
        "centres": centres,
    }
    return {**{part: tensor.numpy() for part, tensor in drawn.items()}, "std": np.array(std)}, {}


def draw(centres: "Tensor", std: float, modes: "Tensor", generator: "torch.Generator") -> "Tensor":
    """A point of each of these modes: centres (K, D), modes (n,) -> (n, D) float32."""
    import torch

    noise = torch.randn(len(modes), centres.shape[1], generator=generator, dtype=torch.float32)
    return centres[modes] + std * noise


RING8 = Dataset(
    name="ring8",
    meaning="8 Gaussians of std 0.01 on the unit circle (PacGAN)",
    kind="points",
    sample_shape=(2,),
    prepare=lambda: stored("ring8", [RECIPE], _ring8),
    modes=8,
)
GRID25 = Dataset(
    name="grid25",
    meaning="25 Gaussians of std 0.05 on a grid of spacing 2 (PacGAN)",
    kind="points",
    sample_shape=(2,),
    prepare=lambda: stored("grid25", [RECIPE], _grid25),
    modes=25,
)
