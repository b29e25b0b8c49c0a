"""A plain network of torch's own layers is one member of a pack, in another layout."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from study.config import TrialConfig
from study.models import MODELS
from study.networks.plain import fill, plain_critic, plain_generator
from study.training.pack import Pack
from study.training.player import Player
from study.training.streams import generator_for
from tests.packs import CPU, STUDY_SEED, TINY

SHAPES: dict[str, tuple[int, ...]] = {"points": (3,), "grey": (1, 16, 16), "colour": (3, 32, 32)}
N, MEMBER = 50, 2

each_model = pytest.mark.parametrize("model", MODELS)
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def scrambled(model: str, shape: tuple[int, ...], precision: str = "fp32") -> Pack:
    """Three members whose every number matters."""
    config = TrialConfig.from_dict({"model": model, **TINY["points" if len(shape) == 1 else "images"]})
    pack = Pack([config] * 3, (0, 1, 2), STUDY_SEED, shape, CPU, precision)
    stream = torch.Generator().manual_seed(3)
    for player in (pack.generator, pack.critic):
        player.values.copy_(torch.randn(player.values.shape, generator=stream) * 0.3)
        player.refresh()
    return pack


def filled(network: nn.Sequential, player: Player[Any]) -> nn.Sequential:
    statistics = [own[MEMBER] for own in player.buffers().values()]
    return fill(network, player.values[MEMBER], statistics).eval()


def generator_of(pack: Pack) -> nn.Sequential:
    network = plain_generator(pack.sample_shape, pack.config.latent_dim, pack.config.width)
    return filled(network, pack.generator)


def critic_of(pack: Pack) -> nn.Sequential:
    network = plain_critic(pack.sample_shape, pack.config.width, batch_norm=pack.model.critic_batch_norm)
    return filled(network, pack.critic)


def latents_of(pack: Pack) -> Tensor:
    """Those that the member draws its first samples from."""
    stream = generator_for(STUDY_SEED, pack.seeds[MEMBER], "evaluation")
    return torch.randn(N, pack.config.latent_dim, generator=stream)


def agree(own: Tensor, expected: Tensor, tolerance: float) -> None:
    assert float(expected.detach().std()) > 0.05
    torch.testing.assert_close(own, expected.detach().float(), rtol=tolerance, atol=tolerance)


@each_shape
def test_a_generator_draws_the_members_samples(shape: tuple[int, ...]) -> None:
    pack = scrambled("dcgan", shape)
    samples = pack.sample(N)[MEMBER]
    agree(generator_of(pack)(latents_of(pack)), samples, 1e-5)


@each_model
@each_shape
def test_a_critic_gives_the_members_scores(shape: tuple[int, ...], model: str) -> None:
    pack = scrambled(model, shape)
    real, other = torch.randn(2, N, *shape, generator=torch.Generator().manual_seed(4))
    pack.record_critic_statistics(lambda: 2 * real + 1)
    expected = pack.critic.network.eval()(other.expand(3, -1, *shape))[MEMBER]
    agree(critic_of(pack)(other), expected, 1e-5)


@each_shape
def test_in_bfloat16_they_agree_to_its_digits(shape: tuple[int, ...]) -> None:
    pack = scrambled("dcgan", shape, "bf16")
    samples = pack.sample(N)[MEMBER]
    agree(generator_of(pack)(latents_of(pack)), samples, 0.02)


def test_a_plain_network_is_made_of_torchs_own_layers() -> None:
    pack = scrambled("dcgan", SHAPES["grey"])
    assert [type(layer) for layer in generator_of(pack)] == [
        *(nn.Linear, nn.Unflatten, nn.BatchNorm2d, nn.ReLU),
        *(nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU, nn.ConvTranspose2d, nn.Tanh),
    ]
    assert [type(layer) for layer in critic_of(pack)] == [
        *(nn.Conv2d, nn.LeakyReLU, nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU),
        *(nn.Flatten, nn.Linear, nn.Flatten),
    ]


def test_its_numbers_are_copies() -> None:
    pack = scrambled("dcgan", SHAPES["grey"])
    network, latents = generator_of(pack), latents_of(pack)
    before = network(latents)
    pack.generator.values.zero_()
    pack.sample(N)
    assert torch.equal(network(latents), before)


def test_the_numbers_of_another_network_are_refused() -> None:
    pack = scrambled("dcgan", SHAPES["points"])
    with pytest.raises(ValueError, match="another network's numbers"):
        fill(plain_generator((2,), pack.config.latent_dim, pack.config.width), pack.generator.values[0], [])
