"""The convolution and its transpose are torch's, member by member, in every type and memory layout."""

from collections.abc import Callable, Sequence
from functools import partial
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


def by_member(convolution: Callable[..., Tensor], x: Tensor, weight: Tensor) -> Tensor:
    """One call of torch's for each member."""
    parts = zip(x.chunk(len(weight), 1), weight, strict=True)
    return torch.cat([convolution(part, own, None, 2, 1) for part, own in parts], 1)


def values_and_gradients(convolution: Callable[..., Tensor], *inputs: Tensor, seen: Tensor) -> list[Tensor]:
    """The result, and the gradients with respect to the inputs of its sum weighted with `seen`."""
    leaves = [t.detach().requires_grad_() for t in inputs]
    y = convolution(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, seen)]


WAYS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "halve": (halve, partial(by_member, F.conv2d)),
    "double": (double, partial(by_member, F.conv_transpose2d)),
}
each_way = pytest.mark.parametrize("way", WAYS)
ONEDNN_HAS_BF16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def inputs_of(way: str, size: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """A map, weights, and what weighs the result."""
    members, small, large, batch, (height, width) = size
    halves = noise(batch, members * small, height, width, seed=2).to(dtype)
    whole = noise(batch, members * large, 2 * height, 2 * width, seed=1).to(dtype)
    weight = noise(members, small, large, 4, 4, seed=3).to(dtype)
    return (whole, weight, halves) if way == "halve" else (halves, weight, whole)


@each_layout
@each_size
@each_way
def test_each_member_is_torchs_forward_and_backward(way: str, size: Any, layout: str) -> None:
    convolution, textbook = WAYS[way]
    x, weight, seen = inputs_of(way, size, torch.float64)
    expected = values_and_gradients(textbook, x, weight, seen=seen)
    x, weight, seen = laid_out((x, weight, seen), layout)
    for own, reference in zip(values_and_gradients(convolution, x, weight, seen=seen), expected, strict=True):
        torch.testing.assert_close(own, reference, rtol=1e-10, atol=1e-10)


@each_layout
@each_size
@each_way
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
    convolution, textbook = WAYS[way]
    x, weight, seen = inputs_of(way, size, torch.bfloat16)
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
@each_way
def test_a_gradient_is_computed_only_where_it_is_wanted(way: str, dtype: torch.dtype) -> None:
    convolution, (x, weight, seen) = WAYS[way][0], inputs_of(way, SIZES[1], dtype)
    _, *both = values_and_gradients(convolution, x, weight, seen=seen)
    for wanted in (0, 1):
        inputs = [x.detach(), weight.detach()]
        inputs[wanted].requires_grad_()
        (gradient,) = torch.autograd.grad(convolution(*inputs), inputs[wanted], seen)
        assert torch.equal(gradient, both[wanted])


@each_way
def test_a_second_derivative_is_refused_and_not_wrong(way: str) -> None:
    x, weight, _ = (t.requires_grad_() for t in inputs_of(way, SIZES[1], torch.float64))
    y = WAYS[way][0](x, weight)
    (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        torch.autograd.grad(slope.square().sum(), weight, retain_graph=True)
    with pytest.raises(RuntimeError, match=r"differentiate twice .*once_differentiable"):
        slope.square().sum().backward()
