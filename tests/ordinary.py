"""Networks as users write them, for tests: of points with two coordinates, and of images of 16x16."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Shape = tuple[int, ...]


def mlp_generator(latent_dim: int, shape: Shape) -> nn.Module:
    return nn.Sequential(nn.Linear(latent_dim, 16), nn.ReLU(), nn.Linear(16, shape[0]))


def normed_generator(latent_dim: int, shape: Shape) -> nn.Module:
    return nn.Sequential(
        nn.Linear(latent_dim, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, shape[0]), Gain()
    )


def mlp_critic(shape: Shape) -> nn.Module:
    return nn.Sequential(nn.Linear(shape[0], 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))


def normed_critic(shape: Shape) -> nn.Module:
    return nn.Sequential(nn.Linear(shape[0], 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 1))


def spectral_critic(shape: Shape) -> nn.Module:
    return nn.Sequential(
        spectral_norm(nn.Linear(shape[0], 16)), nn.LeakyReLU(0.2), spectral_norm(nn.Linear(16, 1)), Flat()
    )


def dropout_critic(shape: Shape) -> nn.Module:
    return nn.Sequential(nn.Linear(shape[0], 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1))


def counting_critic(shape: Shape) -> nn.Module:
    return nn.Sequential(Counting(), nn.Linear(shape[0], 1))


def image_generator(latent_dim: int, shape: Shape) -> nn.Module:
    return nn.Sequential(
        nn.Linear(latent_dim, 8 * 16),
        nn.Unflatten(1, (8, 4, 4)),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 8, 4, 4),
        nn.ReLU(),
        nn.Conv2d(8, shape[0], 3, padding=1),
        nn.Tanh(),
    )


def image_critic(shape: Shape) -> nn.Module:
    """Kernels of 3x3 and 5x1, a convolution along one axis, and a scalar."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 4, 3, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4, 6, (5, 1), (4, 4)),
        nn.LeakyReLU(0.2),
        Flat(),
        nn.Unflatten(1, (6, 2)),
        nn.Conv1d(6, 5, 2),
        Flat(),
        nn.Linear(5, 1),
        Gain(),
    )


class Gain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain


class Flat(nn.Module):
    """`view`, which takes contiguous maps only."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(len(x), -1) if x.dim() > 2 else x.view(len(x))


class Counting(nn.Module):
    """Scales by a number that it takes anew at each call, not in place."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.count = self.count + 1
        return x / (1 + self.count)
