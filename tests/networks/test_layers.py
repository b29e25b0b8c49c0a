"""Layers of M members: those next to the image in their folded form, transposes, and types."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
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
between_maps = partial(MemberConv2d, n_in=WIDTH, n_out=2 * WIDTH)
up = partial(MemberConvTranspose2d, n_in=2 * WIDTH, n_out=WIDTH)

# What makes a layer of so many members; the features or channels of what it is given, and its side.
LAYERS: dict[str, tuple[Callable[[int], Any], int, int]] = {
    "linear": (lambda m: MemberLinear(m, 5, WIDTH), 5, 0),
    "linear without bias": (lambda m: MemberLinear(m, 5, WIDTH, bias=False), 5, 0),
    "from grey 8x8": (lambda m: MemberConvFromImage(m, 1, WIDTH), 1, 8),
    "from colour 16x16": (lambda m: MemberConvFromImage(m, 3, WIDTH), 3, 16),
    "between maps": (lambda m: between_maps(m, bias=True), WIDTH, 8),
    "between maps without bias": (lambda m: between_maps(m, bias=False), WIDTH, 8),
    "between maps and up": (up, 2 * WIDTH, 4),
    "to grey 8x8": (lambda m: MemberConvToImage(m, WIDTH, 1), WIDTH, 4),
    "to colour 16x16": (lambda m: MemberConvToImage(m, WIDTH, 3), WIDTH, 8),
}
each_pack = pytest.mark.parametrize("members", [1, 3])
each_layer = pytest.mark.parametrize("name", LAYERS)
each_transpose = pytest.mark.parametrize("name", [*LAYERS][:6])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scrambled(name: str, members: int) -> tuple[Any, Tensor]:
    """A layer in float64, its weights of ordinary size so that every one of them matters; and an input."""
    build, features, side = LAYERS[name]
    layer = build(members).double()
    for i, parameter in enumerate(layer.parameters()):
        parameter.data = noise(*parameter.shape, seed=100 + i)
    shape = (BATCH, members * features, side, side) if side else (members, BATCH, features)
    return layer, noise(*shape).requires_grad_()


def by_member(layer: Any, x: Tensor) -> Tensor:
    """One call of torch's for each member."""
    biases = [None] * len(layer.weight) if layer.bias is None else layer.bias
    if isinstance(layer, MemberLinear):
        parts = zip(x, layer.weight.mT, biases, strict=True)
        return torch.stack([F.linear(part, weight, bias) for part, weight, bias in parts])
    down = isinstance(layer, MemberConv2d | MemberConvFromImage)
    convolution = F.conv2d if down else F.conv_transpose2d
    parts = zip(x.chunk(len(layer.weight), 1), layer.weight, biases, strict=True)
    return torch.cat([convolution(part, weight, bias, 2, 1) for part, weight, bias in parts], 1)


@each_pack
@each_layer
def test_each_member_is_torchs_forward_and_backward(name: str, members: int) -> None:
    layer, x = scrambled(name, members)
    ours, theirs = layer(x), by_member(layer, x)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    wanted, seen = [x, *layer.parameters()], noise(*ours.shape, seed=7)
    gradients, expected = (torch.autograd.grad(values, wanted, seen) for values in (ours, theirs))
    torch.testing.assert_close(gradients, expected, rtol=1e-10, atol=1e-10)


@each_pack
@each_transpose
def test_a_transpose_maps_gradients_at_the_output_to_gradients_at_the_input(name: str, members: int) -> None:
    """Itself, and by its derivatives."""
    layer, x = scrambled(name, members)
    y = by_member(layer, x)
    seen = noise(*y.shape, seed=7).requires_grad_()
    (theirs,) = torch.autograd.grad(y, x, seen, create_graph=True)
    ours = layer.transposed(seen)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    again, wanted = noise(*x.shape, seed=8), [seen, layer.weight]
    gradients, expected = (torch.autograd.grad(values, wanted, again) for values in (ours, theirs))
    torch.testing.assert_close(gradients, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@each_transpose
def test_a_layer_computes_in_the_type_of_its_weights(name: str, dtype: torch.dtype) -> None:
    layer, x = scrambled(name, 3)
    y = layer.to(dtype)(x.float())
    assert y.dtype == dtype
    assert layer.transposed(y.float()).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_batch_norm_takes_either_type_and_keeps_its_own(dtype: torch.dtype) -> None:
    # Statistics and parameters in float32: the result is the exact one, rounded to the map's type.
    layer = MemberBatchNorm2d(2, 3)
    layer.weight.data, layer.bias.data = (noise(2, 3, seed=i).float() for i in (1, 2))
    x = (noise(16, 6, 4, 4) * 3 + 5).to(dtype)
    y, (weight, bias) = layer(x), (own.double().flatten() for own in (layer.weight, layer.bias))
    exact = F.batch_norm(x.double(), None, None, weight, bias, training=True)
    assert y.dtype == dtype
    assert layer.weight.dtype == torch.float32
    # Half an ulp of the result's type; float32 works on numbers of size 10 with some roundings.
    ulp = 2**-8 if dtype == torch.bfloat16 else 2**-19
    torch.testing.assert_close(y.double(), exact, rtol=ulp, atol=1e-5)
