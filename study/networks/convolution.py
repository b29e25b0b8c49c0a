"""The 4x4 convolution of stride 2 of M members, and its transpose, with gradients that are fast.

The two are each other's gradient with respect to the map. Weights are (M, small, large, 4, 4), `small` and
`large` being the channels of the two maps.

Between two maps, `halve` and `double`, the gradient with respect to the weights is one matrix product per
member on unfolded patches in bfloat16 on a CPU: oneDNN's own kernel for it takes no profit from that type
(tests/benchmarks/LOG.md). Both differentiate once, not twice.

Between an image and a map, `halve_image` and `double_to_image`, the image's one or three channels are what
libraries handle badly. A 4x4 convolution of stride 2 is a 2x2 one of stride 1 on the image with each 2x2
block of pixels folded into channels: the same sums, several times faster where gradients reach the image.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def halve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(B, M*large, H, W), weight (M, small, large, 4, 4), bias (M*small) -> (B, M*small, H/2, W/2)."""
    y: Tensor = _Halve.apply(x, weight, bias)
    return y


def double(x: Tensor, weight: Tensor) -> Tensor:
    """(B, M*small, H, W), weight (M, small, large, 4, 4) -> (B, M*large, 2H, 2W)."""
    y: Tensor = _Double.apply(x, weight)
    return y


def halve_image(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What `halve` computes, as a convolution of the folded image."""
    folded = F.pixel_unshuffle(F.pad(x, (1, 1, 1, 1)), 2)
    # Row 2s + a of the kernel meets row a of a block, s blocks on; columns likewise.
    kernel = weight.unflatten(4, (2, 2)).unflatten(3, (2, 2))  # M, small, large, s, a, t, b
    kernel = kernel.permute(0, 1, 2, 4, 6, 3, 5).flatten(2, 4).flatten(0, 1)
    return F.conv2d(channels_last(folded), channels_last(kernel), bias, groups=len(weight))


def double_to_image(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What `double` computes, plus a bias (M*large), as a convolution to the folded image."""
    kernel = weight.unflatten(4, (2, 2)).unflatten(3, (2, 2)).flip(3, 5)
    kernel = kernel.permute(0, 2, 4, 6, 1, 3, 5).flatten(1, 3).flatten(0, 1)
    bias = None if bias is None else bias.repeat_interleave(4)
    folded = F.conv2d(x, channels_last(kernel), bias, 1, 1, groups=len(weight))
    return F.pixel_shuffle(folded, 2)[..., 1:-1, 1:-1]


def channels_last(x: Tensor) -> Tensor:
    """(B, C, H, W) with the channels of a pixel side by side in memory."""
    return x.contiguous(memory_format=torch.channels_last)


def _halve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv2d(x, weight.flatten(0, 1), bias, 2, 1, groups=len(weight))


def _double(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv_transpose2d(x, weight.flatten(0, 1), None, 2, 1, groups=len(weight))


def _weight_gradient(large: Tensor, small: Tensor, weight: Tensor) -> Tensor:
    """Gradient of sum(small * halve(large, weight)) with respect to `weight`."""
    if weight.dtype != torch.bfloat16 or weight.device.type != "cpu":
        gradient = torch.ops.aten.convolution_backward(
            small,
            large,
            weight.flatten(0, 1),
            None,
            [2, 2],
            [1, 1],
            [1, 1],
            False,
            [0, 0],
            len(weight),
            [False, True, False],
        )[1]
        return gradient.unflatten(0, weight.shape[:2])
    members, n_small, n_large = weight.shape[:3]
    batch, _, height, width = small.shape
    found = torch.empty(members, n_small, 16 * n_large, dtype=weight.dtype, device=weight.device)
    for k, (maps, own) in enumerate(zip(small.chunk(members, 1), large.chunk(members, 1), strict=True)):
        padded = channels_last(F.pad(own, (1, 1, 1, 1)))
        # A row of a patch, 4 pixels of all channels, is one run in memory.
        per_image, _, down, right = padded.stride()
        patches = padded.as_strided(
            (batch, height, width, 4, 4 * n_large), (per_image, 2 * down, 2 * right, down, 1)
        ).reshape(-1, 16 * n_large)
        torch.mm(maps.permute(1, 0, 2, 3).reshape(n_small, -1), patches, out=found[k])
    return found.view(members, n_small, 4, 4, n_large).permute(0, 1, 4, 2, 3)


class _Halve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _halve(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        return (
            _double(gradient, weight) if for_x else None,
            _weight_gradient(x, gradient, weight) if for_weight else None,
            gradient.sum((0, 2, 3)) if for_bias else None,
        )


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _double(x, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        for_x, for_weight = ctx.needs_input_grad
        return (
            _halve(gradient, weight) if for_x else None,
            _weight_gradient(gradient, x, weight) if for_weight else None,
        )
