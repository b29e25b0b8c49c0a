"""The convolution and its transpose are torch's, member by member, in every type and memory layout."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from study.networks.convolution import double, halve

# Members, channels of the small and the large map, batch, height and width of the small map.
SIZES = [
    (1, 3, 2, 4, (4, 4)),
    (3, 3, 2, 4, (4, 4)),
    (3, 1, 1, 1, (1, 2)),
    (2, 5, 4, 3, (2, 3)),
    (4, 2, 8, 2, (8, 8)),
]
each_size = pytest.mark.parametrize("size", SIZES, ids=str)
each_layout = pytest.mark.parametrize("layout", ["channels first", "channels last"])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def maps_of(size: Any) -> tuple[Tensor, Tensor, Tensor]:
    """A large map, a small one, and weights."""
    members, small, large, batch, (height, width) = size
    return (
        noise(batch, members * large, 2 * height, 2 * width, seed=1),
        noise(batch, members * small, height, width, seed=2),
        noise(members, small, large, 4, 4, seed=3),
    )


def laid_out(tensors: Sequence[Tensor], layout: str) -> list[Tensor]:
    """The same numbers in another order in memory; weights as a player holds them."""
    if layout == "channels first":
        return [t.contiguous() for t in tensors]
    return [
        t.contiguous(memory_format=torch.channels_last)
        if t.dim() == 4
        else t.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
        for t in tensors
    ]


def textbook_halve(x: Tensor, weight: Tensor) -> Tensor:
    parts = x.chunk(len(weight), 1)
    return torch.cat([F.conv2d(p, w, None, 2, 1) for p, w in zip(parts, weight, strict=True)], 1)


def textbook_double(x: Tensor, weight: Tensor) -> Tensor:
    parts = x.chunk(len(weight), 1)
    return torch.cat([F.conv_transpose2d(p, w, None, 2, 1) for p, w in zip(parts, weight, strict=True)], 1)


def values_and_gradients(convolution: Callable[..., Tensor], *inputs: Tensor, seen: Tensor) -> list[Tensor]:
    """The result, and the gradients with respect to the inputs of its sum weighted with `seen`."""
    leaves = [t.detach().requires_grad_() for t in inputs]
    y = convolution(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, seen)]


@each_layout
@each_size
def test_halving_is_conv2d_of_each_member_forward_and_backward(size: Any, layout: str) -> None:
    large, small, weight = maps_of(size)
    expected = values_and_gradients(textbook_halve, large, weight, seen=small)
    large, small, weight = laid_out((large, small, weight), layout)
    ours = values_and_gradients(halve, large, weight, seen=small)
    for own, textbook in zip(ours, expected, strict=True):
        torch.testing.assert_close(own, textbook, rtol=1e-10, atol=1e-10)


@each_layout
@each_size
def test_doubling_is_conv_transpose2d_of_each_member_forward_and_backward(size: Any, layout: str) -> None:
    large, small, weight = maps_of(size)
    expected = values_and_gradients(textbook_double, small, weight, seen=large)
    large, small, weight = laid_out((large, small, weight), layout)
    ours = values_and_gradients(double, small, weight, seen=large)
    for own, textbook in zip(ours, expected, strict=True):
        torch.testing.assert_close(own, textbook, rtol=1e-10, atol=1e-10)


@each_size
def test_a_bias_is_added_to_each_channel_and_collects_its_gradient(size: Any) -> None:
    large, small, weight = maps_of(size)
    bias = noise(small.shape[1], seed=4)

    def textbook(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return textbook_halve(x, weight) + bias[:, None, None]

    ours = values_and_gradients(halve, large, weight, bias, seen=small)
    expected = values_and_gradients(textbook, large, weight, bias, seen=small)
    for own, reference in zip(ours, expected, strict=True):
        torch.testing.assert_close(own, reference, rtol=1e-10, atol=1e-10)


ONEDNN_HAS_BF16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
WAYS = {"halve": (halve, textbook_halve), "double": (double, textbook_double)}


@each_layout
@each_size
@pytest.mark.parametrize("way", WAYS)
def test_bfloat16_is_the_exact_result_of_its_inputs_but_for_rounding(
    way: str, size: Any, layout: str
) -> None:
    # A rounding to 8 bits errs by at most half an ulp, 2^-8 of what is rounded, which is never more than the
    # sum of the sizes of the terms: after n of them in a row the error is at most (1 + 2^-8)^n - 1 of that
    # sum. oneDNN keeps sums in float32 and rounds once, or once more where it adds up a few parts: n = 2.
    # Where it has no bfloat16, torch doubles by a matrix product for each of the kernel's 16 entries and adds
    # the 4 that meet in a pixel; products are rounded, and so is each of 3 additions: n = 4. (Emulated, these
    # are the kernel's bits, entries being added in rising order, or in falling with channels last.)
    doubled = 0 if way == "double" else 1  # where a doubled map stands in `ours`
    large, small, weight = (t.bfloat16() for t in maps_of(size))
    x, seen = (large, small) if way == "halve" else (small, large)
    convolution, textbook = WAYS[way]
    expected = values_and_gradients(textbook, x.double(), weight.double(), seen=seen.double())
    sizes = values_and_gradients(textbook, x.double().abs(), weight.double().abs(), seen=seen.double().abs())
    x, weight, seen = laid_out((x, weight, seen), layout)
    ours = values_and_gradients(convolution, x, weight, seen=seen)
    for i, (own, exact, terms) in enumerate(zip(ours, expected, sizes, strict=True)):
        n = 4 if i == doubled and not ONEDNN_HAS_BF16 else 2
        assert own.dtype == torch.bfloat16
        error = own.double() - exact
        assert float(error.norm()) <= 1e-2 * float(exact.norm())
        assert bool((error.abs() <= ((1 + 2**-8) ** n - 1) * terms).all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("way", WAYS)
def test_a_nan_of_one_member_leaves_the_others_bits(way: str, dtype: torch.dtype) -> None:
    large, small, weight = (t.to(dtype) for t in maps_of(SIZES[1]))
    x, seen = (large, small) if way == "halve" else (small, large)
    convolution, _ = WAYS[way]
    clean = values_and_gradients(convolution, x, weight, seen=seen)
    weight = weight.clone()
    weight[1] = torch.nan
    spoiled = values_and_gradients(convolution, x, weight, seen=seen)
    for before, after in zip(clean, spoiled, strict=True):
        # Members are in the channels of maps, and come first in weights.
        dim = 1 if before.dim() == 4 else 0
        for k in (0, 2):
            assert torch.equal(after.chunk(3, dim)[k], before.chunk(3, dim)[k])
    assert bool(spoiled[0].chunk(3, 1)[1].isnan().all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("way", WAYS)
def test_a_gradient_is_computed_only_where_it_is_wanted(way: str, dtype: torch.dtype) -> None:
    large, small, weight = (t.to(dtype) for t in maps_of(SIZES[1]))
    x, seen = (large, small) if way == "halve" else (small, large)
    convolution, _ = WAYS[way]
    _, *both = values_and_gradients(convolution, x, weight, seen=seen)
    for wanted in (0, 1):
        inputs = [x.detach(), weight.detach()]
        inputs[wanted].requires_grad_()
        (gradient,) = torch.autograd.grad(convolution(*inputs), inputs[wanted], seen)
        assert torch.equal(gradient, both[wanted])


@pytest.mark.parametrize("way", WAYS)
def test_a_second_derivative_is_refused_and_not_wrong(way: str) -> None:
    large, small, weight = maps_of(SIZES[1])
    x = (large if way == "halve" else small).requires_grad_()
    weight.requires_grad_()
    y = WAYS[way][0](x, weight)
    (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        torch.autograd.grad(slope.square().sum(), weight, retain_graph=True)
    with pytest.raises(RuntimeError, match=r"differentiate twice .*once_differentiable"):
        slope.square().sum().backward()
