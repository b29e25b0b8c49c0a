"""Where training starts: the laws that initial weights are drawn from, by the name that `init` has for each.

Every member's weights come from its own generator, on the CPU, layer by layer. Biases are zero where a law
does not say otherwise.

The projection of an image generator's latents is a linear layer in the code of WGAN-GP's authors, and a 4x4
transposed convolution of a 1x1 map in DCGAN's public code for torch. So it is to `he` and to `torch`, and
that counts: at small learning rates WGAN-GP's fd on digits was 24 from a transposed convolution's law, and 39
where torch's layers began alike but for the projection, with a linear layer's (five seeds).
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from study.networks.layers import MemberBatchNorm2d, MemberConvolution, MemberLinear, MemberProjection
from study.networks.parts import InParts

Generators = Sequence[torch.Generator]
Layer = MemberLinear | MemberConvolution | MemberBatchNorm2d
Network = TypeVar("Network", bound=nn.Module)
STRIDE = 2  # of every convolution


def normal_002(layer: Layer, generators: Generators) -> None:
    """N(0, 0.02), batch norm's scales N(1, 0.02): Radford et al. 2016, section 4, and their code."""
    _normal(layer.weight, generators, 1.0 if isinstance(layer, MemberBatchNorm2d) else 0.0, 0.02)


def he(layer: Layer, generators: Generators) -> None:
    """The law of WGAN-GP's authors (tflib/ops/conv2d.py, deconv2d.py and linear.py), uniform.

    The variance of a convolution's weights is 4 / (fan_in + fan_out), fan_in and fan_out being its numbers
    of channels times the 16 weights of a kernel; fan_out of a convolution, and fan_in of a transposed one,
    is divided by stride^2. Either way that concerns the channels of the small map. A linear layer's is
    Glorot's, 2 / (n_in + n_out). Batch norm's scales are one.
    """
    if isinstance(layer, MemberConvolution):
        small, large, *kernel = layer.weight.shape[1:]
        taps = math.prod(kernel)
        variance = 4 / (large * taps + small * taps / STRIDE**2)
    elif isinstance(layer, MemberLinear):
        variance = 2 / sum(layer.weight.shape[1:])
    else:
        return
    _uniform(layer.weight, generators, math.sqrt(3 * variance))


def torchs(layer: Layer, generators: Generators) -> None:
    """What torch.nn's layers draw, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), biases too; batch norm's scales: one.

    kaiming_uniform_ with a = sqrt(5) has this bound. Of a convolution, torch's fan_in is the second dimension
    of its weight times those of the kernel: of a transposed one, too, although there it is the fan_out.
    """
    if isinstance(layer, MemberBatchNorm2d):
        return
    if isinstance(layer, MemberConvolution):
        fan_in = layer.weight[0, 0].numel()
    else:
        fan_in = layer.weight.shape[2 if isinstance(layer, MemberProjection) else 1]
    bound = 1 / math.sqrt(fan_in)
    _uniform(layer.weight, generators, bound)
    if layer.bias is not None:
        _uniform(layer.bias, generators, bound)


LAWS: dict[str, Callable[[Layer, Generators], None]] = {
    "normal_0.02": normal_002,
    "he": he,
    "torch": torchs,
}


def initialise(network: Network, generators: Generators, init: str) -> Network:
    """Draw the initial weights of a network as it was built, each member's from its own generator."""
    if isinstance(network, InParts):
        rest = list(generators)
        for part, size in zip(network.parts, network.sizes, strict=True):
            initialise(part, rest[:size], init)
            del rest[:size]
        return network
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, Layer):
                LAWS[init](module, generators)
    return network


def _normal(parameter: Tensor, generators: Generators, mean: float, std: float) -> None:
    for member, generator in zip(parameter, generators, strict=True):
        member.copy_(torch.randn(member.shape, generator=generator) * std + mean)


def _uniform(parameter: Tensor, generators: Generators, bound: float) -> None:
    for member, generator in zip(parameter, generators, strict=True):
        member.copy_((torch.rand(member.shape, generator=generator) * 2 - 1) * bound)
