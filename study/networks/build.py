"""A configuration's numbers to networks: architecture follows the data, never the model."""

from collections.abc import Sequence

import torch
from torch import nn

from study.networks.dcgan import DCGANCritic, DCGANGenerator
from study.networks.layers import initialise
from study.networks.mlp import PointCritic, PointGenerator


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
        network = PointGenerator(members, latent_dim, sample_shape[0], width)
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
) -> PointCritic | DCGANCritic:
    """One critic per random generator: (M, B, *sample_shape) -> scores (M, B).

    `batch_norm` concerns images only; the MLP has none.
    """
    members = len(generators)
    network: PointCritic | DCGANCritic
    if len(sample_shape) == 1:
        network = PointCritic(members, sample_shape[0], width)
    else:
        network = DCGANCritic(members, width, sample_shape, batch_norm=batch_norm)
    initialise(network, generators)
    return network
