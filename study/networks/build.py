"""A configuration's numbers to networks: architecture follows the data, never the model."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from study.networks.dcgan import DCGANCritic, DCGANGenerator
from study.networks.layers import initialise
from study.networks.mlp import mlp


class PointCritic(nn.Module):
    """(M, B, 2) -> scores (M, B)."""

    def __init__(self, members: int, n_in: int, width: int) -> None:
        super().__init__()
        self.layers = mlp(members, n_in, 1, width)

    def forward(self, points: Tensor) -> Tensor:
        return self.layers(points).squeeze(-1)


def build_generator(
    sample_shape: tuple[int, ...],
    latent_dim: int,
    width: int,
    generators: Sequence[torch.Generator],
) -> nn.Module:
    """One generator per random generator: (M, B, latent_dim) -> (M, B, *sample_shape)."""
    members = len(generators)
    network: nn.Module
    if len(sample_shape) == 1:
        network = mlp(members, latent_dim, sample_shape[0], width)
    else:
        network = DCGANGenerator(members, latent_dim, width, sample_shape)
    initialise(network, generators)
    return network


def build_critic(
    sample_shape: tuple[int, ...],
    width: int,
    generators: Sequence[torch.Generator],
    *,
    batch_norm: bool,
) -> nn.Module:
    """One critic per random generator: (M, B, *sample_shape) -> scores (M, B).

    `batch_norm` concerns images only; the MLP has none.
    """
    members = len(generators)
    network: nn.Module
    if len(sample_shape) == 1:
        network = PointCritic(members, sample_shape[0], width)
    else:
        network = DCGANCritic(members, width, sample_shape, batch_norm=batch_norm)
    initialise(network, generators)
    return network
