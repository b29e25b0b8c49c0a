"""Layers of M members: those next to the image in their folded form, transposes, and types."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from study.networks.layers import (
    MemberBatchNorm2d,
    MemberConv2d,
    MemberConvFromImage,
    MemberConvToImage,
    MemberConvTranspose2d,
    MemberLinear,
)

BATCH, WIDTH = 3, 4
each_pack = pytest.mark.parametrize("members", [1, 3])
each_image = pytest.mark.parametrize("channels", [1, 3])
each_side = pytest.mark.parametrize("side", [8, 16])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scrambled(layer: nn.Module) -> list[Tensor]:
    """Weights and biases in float64 and of ordinary size, so that every one of them matters."""
    layer.double()
    for i, parameter in enumerate(layer.parameters()):
        parameter.data = noise(*parameter.shape, seed=100 + i)
    return list(layer.parameters())


def assert_same_forward_and_backward(
    ours: Callable[[Tensor], Tensor],
    theirs: Callable[[Tensor], Tensor],
    x: Tensor,
    parameters: Sequence[Tensor],
) -> None:
    x.requires_grad_()
    values, expected = ours(x), theirs(x)
    torch.testing.assert_close(values, expected, rtol=1e-10, atol=1e-10)
    seen = noise(*expected.shape, seed=7)
    wanted = [x, *parameters]
    pairs = zip(
        torch.autograd.grad(values, wanted, seen),
        torch.autograd.grad(expected, wanted, seen),
        strict=True,
    )
    for own, textbook in pairs:
        torch.testing.assert_close(own, textbook, rtol=1e-10, atol=1e-10)


def by_member(
    convolution: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """One call of torch's for each member."""
    parts = x.chunk(len(weight), 1)
    biases = [None] * len(weight) if bias is None else bias
    triples = zip(parts, weight, biases, strict=True)
    return torch.cat([convolution(p, w, b, 2, 1) for p, w, b in triples], 1)


@each_pack
@each_image
@each_side
def test_from_an_image_is_conv2d(members: int, channels: int, side: int) -> None:
    layer = MemberConvFromImage(members, channels, WIDTH, init_std=0.02)
    weight, bias = scrambled(layer)
    x = noise(BATCH, members * channels, side, side)
    assert_same_forward_and_backward(layer, lambda x: by_member(F.conv2d, x, weight, bias), x, [weight, bias])


@each_pack
@each_image
@each_side
def test_to_an_image_is_conv_transpose2d(members: int, channels: int, side: int) -> None:
    layer = MemberConvToImage(members, WIDTH, channels, init_std=0.02)
    weight, bias = scrambled(layer)
    x = noise(BATCH, members * WIDTH, side // 2, side // 2)
    assert_same_forward_and_backward(
        layer, lambda x: by_member(F.conv_transpose2d, x, weight, bias), x, [weight, bias]
    )


@each_pack
@each_image
@each_side
def test_back_to_the_image_is_conv_transpose2d(members: int, channels: int, side: int) -> None:
    layer = MemberConvFromImage(members, channels, WIDTH, init_std=0.02)
    weight, _ = scrambled(layer)
    x = noise(BATCH, members * WIDTH, side // 2, side // 2)
    assert_same_forward_and_backward(
        layer.transposed, lambda x: by_member(F.conv_transpose2d, x, weight), x, [weight]
    )


@each_pack
@pytest.mark.parametrize("bias", [True, False])
def test_between_maps_is_conv2d(members: int, bias: bool) -> None:
    layer = MemberConv2d(members, WIDTH, 2 * WIDTH, bias=bias, init_std=0.02)
    parameters = scrambled(layer)
    x = noise(BATCH, members * WIDTH, 8, 8)
    assert_same_forward_and_backward(layer, lambda x: by_member(F.conv2d, x, *parameters), x, parameters)


@each_pack
def test_between_maps_and_up_is_conv_transpose2d(members: int) -> None:
    layer = MemberConvTranspose2d(members, 2 * WIDTH, WIDTH, init_std=0.02)
    (weight,) = scrambled(layer)
    x = noise(BATCH, members * 2 * WIDTH, 4, 4)
    assert_same_forward_and_backward(layer, lambda x: by_member(F.conv_transpose2d, x, weight), x, [weight])


@each_pack
@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_linear(members: int, bias: bool) -> None:
    layer = MemberLinear(members, 5, WIDTH, bias=bias)
    parameters = scrambled(layer)

    def textbook(x: Tensor) -> Tensor:
        shifts = parameters[1].squeeze(1) if bias else [None] * members
        return torch.stack([F.linear(*part) for part in zip(x, parameters[0].mT, shifts, strict=True)])

    assert_same_forward_and_backward(layer, textbook, noise(members, BATCH, 5), parameters)


TRANSPOSES: dict[str, tuple[Callable[[int], Any], tuple[int, ...]]] = {
    "linear": (lambda m: MemberLinear(m, 5, WIDTH), (3, BATCH, 5)),
    "convolution": (
        lambda m: MemberConv2d(m, 2, WIDTH, bias=True, init_std=0.02),
        (BATCH, 3 * 2, 8, 8),
    ),
    "convolution of an image": (
        lambda m: MemberConvFromImage(m, 1, WIDTH, init_std=0.02),
        (BATCH, 3 * 1, 8, 8),
    ),
}


@pytest.mark.parametrize(("build", "shape"), TRANSPOSES.values(), ids=TRANSPOSES)
def test_a_transpose_maps_gradients_at_the_output_to_gradients_at_the_input(
    build: Callable[[int], Any], shape: tuple[int, ...]
) -> None:
    layer = build(3)
    scrambled(layer)
    x = noise(*shape).requires_grad_()
    y = layer(x)
    seen = noise(*y.shape, seed=7)
    (expected,) = torch.autograd.grad(y, x, seen)
    torch.testing.assert_close(layer.transposed(seen), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize(("build", "shape"), TRANSPOSES.values(), ids=TRANSPOSES)
def test_a_layer_computes_in_the_type_of_its_weights(
    build: Callable[[int], Any], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    layer = build(3).to(dtype)
    y = layer(noise(*shape).float())
    assert y.dtype == dtype
    assert layer.transposed(y.float()).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_batch_norm_takes_either_type_and_keeps_its_own(dtype: torch.dtype) -> None:
    # Statistics and parameters in float32: the result is the exact one, rounded to the map's type.
    layer = MemberBatchNorm2d(2, 3, init_std=0.02)
    weight, bias = (noise(2, 3, seed=i).float() for i in (1, 2))
    layer.weight.data, layer.bias.data = weight, bias
    x = (noise(16, 6, 4, 4) * 3 + 5).to(dtype)
    y = layer(x)
    exact = F.batch_norm(
        x.double(), None, None, weight.double().flatten(), bias.double().flatten(), training=True
    )
    assert y.dtype == dtype
    assert layer.weight.dtype == torch.float32
    # Half an ulp of the result's type; float32 works on numbers of size 10 with some roundings.
    ulp = 2**-8 if dtype == torch.bfloat16 else 2**-19
    torch.testing.assert_close(y.double(), exact, rtol=ulp, atol=1e-5)
