"""Initial weights follow the stated laws, layer by layer."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from study.models import hyperparameters
from study.networks import build_critic, build_generator, initialise
from study.networks.initial import LAWS
from study.networks.layers import (
    MemberBatchNorm2d,
    MemberConv2d,
    MemberConvFromImage,
    MemberConvToImage,
    MemberConvTranspose2d,
    MemberLinear,
    MemberProjection,
)
from study.networks.parts import build_in_parts

MEMBERS = 2
IMAGE = (3, 16, 16)
Build = Callable[[int], nn.Module]
# Ours, of so many members; torch's; the variance that WGAN-GP's authors give the weights: of a linear layer
# Glorot's, else 4 / (fan_in + fan_out), fan_out of a convolution and fan_in of a deconvolution over 2 x 2.
LAYERS: dict[str, tuple[Build, Callable[[], nn.Module], float]] = {
    "linear": (lambda m: MemberLinear(m, 300, 200), lambda: nn.Linear(300, 200), 2 / (300 + 200)),
    "linear without bias": (
        lambda m: MemberLinear(m, 100, 1024, bias=False),
        lambda: nn.Linear(100, 1024, bias=False),
        2 / (100 + 1024),
    ),
    "projection": (
        lambda m: MemberProjection(m, 100, 64),
        lambda: nn.ConvTranspose2d(100, 64, 4, 1, 0, bias=False),
        2 / (100 + 64 * 16),
    ),
    "convolution": (
        lambda m: MemberConv2d(m, 32, 64, bias=True),
        lambda: nn.Conv2d(32, 64, 4, 2, 1),
        4 / (32 * 16 + 64 * 16 / 4),
    ),
    "convolution without bias": (
        lambda m: MemberConv2d(m, 64, 16, bias=False),
        lambda: nn.Conv2d(64, 16, 4, 2, 1, bias=False),
        4 / (64 * 16 + 16 * 16 / 4),
    ),
    "convolution of an image": (
        lambda m: MemberConvFromImage(m, 3, 400),
        lambda: nn.Conv2d(3, 400, 4, 2, 1),
        4 / (3 * 16 + 400 * 16 / 4),
    ),
    "deconvolution to fewer": (
        lambda m: MemberConvTranspose2d(m, 64, 32),
        lambda: nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False),
        4 / (64 * 16 / 4 + 32 * 16),
    ),
    "deconvolution to more": (
        lambda m: MemberConvTranspose2d(m, 16, 48),
        lambda: nn.ConvTranspose2d(16, 48, 4, 2, 1, bias=False),
        4 / (16 * 16 / 4 + 48 * 16),
    ),
    "deconvolution to an image": (
        lambda m: MemberConvToImage(m, 400, 3),
        lambda: nn.ConvTranspose2d(400, 3, 4, 2, 1),
        4 / (400 * 16 / 4 + 3 * 16),
    ),
}
NETWORKS: dict[str, Build] = {
    "image generator": lambda m: build_generator(IMAGE, 5, 4, m),
    "image critic": lambda m: build_critic(IMAGE, 4, m, batch_norm=False),
    "image critic, batch norm": lambda m: build_critic(IMAGE, 4, m, batch_norm=True),
    "point generator": lambda m: build_generator((2,), 5, 12, m),
    "point critic": lambda m: build_critic((2,), 12, m, batch_norm=False),
}
each_layer = pytest.mark.parametrize("name", LAYERS)
each_law = pytest.mark.parametrize("init", LAWS)


def streams(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def drawn(build: Build, init: str) -> Any:
    return initialise(build(MEMBERS), streams(*range(MEMBERS)), init)


def assert_uniform(values: Tensor, bound: float) -> None:
    """U(-bound, bound), by its ends and its moments."""
    values, n = values.detach().double(), values.numel()
    # That none of n numbers is within the share 15/n of an end has probability (1 - 15/n)^n, below e^-15.
    slack, rounding = 15 / n * 2 * bound, 1e-6 * bound
    assert bound - slack < float(values.max()) <= bound + rounding
    assert -bound - rounding <= float(values.min()) < -bound + slack
    # Standard errors: of the mean bound/sqrt(3n), of the mean square bound^2 sqrt((1/5 - 1/9)/n).
    assert abs(float(values.mean())) < 5 * bound / math.sqrt(3 * n)
    assert abs(float(values.square().mean()) - bound**2 / 3) < 5 * bound**2 * math.sqrt(4 / 45 / n)


def assert_normal(values: Tensor, mean: float, std: float) -> None:
    values, n = values.detach().double(), values.numel()
    # Standard errors: of the mean std/sqrt(n), of the spread std/sqrt(2n).
    assert abs(float(values.mean()) - mean) < 5 * std / math.sqrt(n)
    assert abs(float(values.std()) - std) < 5 * std / math.sqrt(2 * n)
    # 4.55% are further than two std away; of uniform numbers none is.
    beyond = float((values - mean).abs().gt(2 * std).double().mean())
    assert abs(beyond - 0.0455) < 5 * math.sqrt(0.0455 * 0.9545 / n)


def test_there_is_a_law_for_each_choice() -> None:
    assert tuple(LAWS) == hyperparameters()["init"].choices


@each_layer
def test_normal_002_has_std_002_whatever_the_layer(name: str) -> None:
    layer = drawn(LAYERS[name][0], "normal_0.02")
    assert_normal(layer.weight, 0.0, 0.02)
    assert layer.bias is None or not layer.bias.any()


@each_layer
def test_he_is_the_law_of_wgan_gps_authors(name: str) -> None:
    """Uniform within std * sqrt(3), which has the standard deviation std."""
    build, _, variance = LAYERS[name]
    layer = drawn(build, "he")
    assert_uniform(layer.weight, math.sqrt(3 * variance))
    assert layer.bias is None or not layer.bias.any()


@each_layer
def test_torch_is_the_law_of_torchs_layers(name: str) -> None:
    build, textbook, _ = LAYERS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs: Any = textbook()
    fan_in, _ = nn.init._calculate_fan_in_and_fan_out(theirs.weight)  # as reset_parameters calls it
    ours = drawn(build, "torch")
    assert (ours.bias is None) == (theirs.bias is None)
    for own, their in ((ours.weight, theirs.weight), (ours.bias, theirs.bias)):
        if own is not None:
            assert_uniform(own, 1 / math.sqrt(fan_in))
            assert_uniform(their, 1 / math.sqrt(fan_in))


@each_law
def test_batch_norms_scales_start_at_or_about_one_and_its_shifts_at_zero(init: str) -> None:
    layer = drawn(lambda m: MemberBatchNorm2d(m, 3000), init)
    if init == "normal_0.02":
        assert_normal(layer.weight, 1.0, 0.02)
    else:
        assert bool((layer.weight == 1).all())
    assert not layer.bias.any()


@pytest.mark.parametrize("name", [*NETWORKS][:3])
def test_image_networks_bits_under_normal_002(name: str) -> None:
    """Weights alone are drawn, in the order of the layers, each member's from its own generator."""
    network = drawn(NETWORKS[name], "normal_0.02")
    for k, stream in enumerate(streams(*range(MEMBERS))):
        for of, values in network.named_parameters():
            if of.endswith("bias"):
                assert not values.any()
                continue
            mean = 1 if values.dim() == 2 else 0  # batch norm's are (M, C)
            expected = torch.randn(values.shape[1:], generator=stream) * 0.02 + mean
            assert torch.equal(values[k], expected)


@pytest.mark.parametrize("name", [*NETWORKS][3:])
def test_point_networks_bits_under_torch(name: str) -> None:
    """Weights, then biases, in the order of the layers, each member's from its own generator."""
    network = drawn(NETWORKS[name], "torch")
    for k, stream in enumerate(streams(*range(MEMBERS))):
        for layer in network.modules():
            if isinstance(layer, MemberLinear):
                bound = 1 / math.sqrt(layer.weight.shape[1])
                for values in layer.parameters():
                    expected = (torch.rand(values.shape[1:], generator=stream) * 2 - 1) * bound
                    assert torch.equal(values[k], expected)


@each_law
@pytest.mark.parametrize("name", NETWORKS)
def test_in_parts_the_weights_are_those_of_the_whole(name: str, init: str) -> None:
    whole = drawn(NETWORKS[name], init)
    each: Any = build_in_parts(NETWORKS[name], MEMBERS, 1)
    initialise(each, streams(*range(MEMBERS)), init)
    for k, part in enumerate(each.parts):
        for own, values in zip(part.parameters(), whole.parameters(), strict=True):
            assert torch.equal(own[0], values[k])
