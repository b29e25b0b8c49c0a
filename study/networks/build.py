"""A configuration's numbers to networks of M members: architecture follows the data, never the model."""

from torch import nn

from study.networks.dcgan import DCGANCritic, DCGANGenerator
from study.networks.mlp import PointCritic, PointGenerator


def build_generator(
    sample_shape: tuple[int, ...],
    latent_dim: int,
    width: int,
    members: int,
) -> nn.Module:
    """(M, B, latent_dim) -> (M, B, *sample_shape), its weights not yet drawn."""
    network: nn.Module
    if len(sample_shape) == 1:
        network = PointGenerator(members, latent_dim, sample_shape[0], width)
    else:
        network = DCGANGenerator(members, latent_dim, width, sample_shape)
    return network


def build_critic(
    sample_shape: tuple[int, ...],
    width: int,
    members: int,
    *,
    batch_norm: bool,
) -> PointCritic | DCGANCritic:
    """(M, B, *sample_shape) -> scores (M, B), its weights not yet drawn.

    `batch_norm` concerns images only; the MLP has none.
    """
    network: PointCritic | DCGANCritic
    if len(sample_shape) == 1:
        network = PointCritic(members, sample_shape[0], width)
    else:
        network = DCGANCritic(members, width, sample_shape, batch_norm=batch_norm)
    return network
