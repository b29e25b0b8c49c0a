"""Layers that hold the weights of M members and never mix them.

Every parameter has the member dimension first, (M, ...). Convolutions keep the members in the channels,
(B, M*C, H, W), and run as one grouped convolution, as HFTA does (Wang et al., MLSys 2021); with M = 1
each layer is the textbook one. Weights and biases are zero, and scales one, until they are drawn
(initial.py). A layer computes in the type of its weights, to which it brings its input; `transposed`
maps gradients at a layer's output to gradients at its input.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from study.networks.convolution import double, double_to_image, halve, halve_image


class MemberLinear(nn.Module):
    """(M, B, n_in) -> (M, B, n_out).

    An `exact` layer computes in float32 (or better) in every precision: coordinates and scores need its
    digits, and it is small.
    """

    def __init__(
        self,
        members: int,
        n_in: int,
        n_out: int,
        *,
        bias: bool = True,
        exact: bool = False,
    ) -> None:
        super().__init__()
        self.exact = exact
        self.weight = nn.Parameter(torch.zeros(members, n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(members, 1, n_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)
        if self.bias is None:
            return torch.bmm(x, self.weight)
        return torch.baddbmm(self.bias, x, self.weight)

    def transposed(self, gradient: Tensor) -> Tensor:
        """(M, B, n_out) -> (M, B, n_in)."""
        return torch.bmm(gradient.to(self.weight.dtype), self.weight.transpose(1, 2))


class MemberProjection(MemberLinear):
    """A 4x4 transposed convolution of a 1x1 map is a linear layer: (M, B, n_in) -> (M, B, 4*4*n_out)."""

    def __init__(self, members: int, n_in: int, n_out: int) -> None:
        super().__init__(members, n_in, 4 * 4 * n_out, bias=False)


class MemberConvolution(nn.Module):
    """The weights of a 4x4 convolution of stride 2 between a large map and one of half its side.

    Weights are (M, small, large, 4, 4), `small` and `large` being the channels of the two maps: the
    layout of conv2d from the large map to the small, and of conv_transpose2d back.
    """

    def __init__(self, members: int, small: int, large: int, n_bias: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(members, small, large, 4, 4))
        self.bias = nn.Parameter(torch.zeros(members, n_bias)) if n_bias else None

    def _flat_bias(self) -> Tensor | None:
        return None if self.bias is None else self.bias.flatten().to(self.weight.dtype)


class MemberConv2d(MemberConvolution):
    """4x4 convolution of stride 2 that halves the side: (B, M*n_in, H, W) -> (B, M*n_out, H/2, W/2)."""

    def __init__(self, members: int, n_in: int, n_out: int, *, bias: bool) -> None:
        super().__init__(members, n_out, n_in, n_out if bias else 0)

    def forward(self, x: Tensor) -> Tensor:
        return halve(x.to(self.weight.dtype), self.weight, self._flat_bias())

    def transposed(self, gradient: Tensor) -> Tensor:
        """(B, M*n_out, H/2, W/2) -> (B, M*n_in, H, W)."""
        return double(gradient.to(self.weight.dtype), self.weight)


class MemberConvTranspose2d(MemberConvolution):
    """4x4 transposed convolution, stride 2: (B, M*n_in, H, W) -> (B, M*n_out, 2H, 2W)."""

    def __init__(self, members: int, n_in: int, n_out: int) -> None:
        super().__init__(members, n_in, n_out, 0)

    def forward(self, x: Tensor) -> Tensor:
        return double(x.to(self.weight.dtype), self.weight)


class MemberConvFromImage(MemberConvolution):
    """MemberConv2d for an image: (B, M*n_in, H, W) -> (B, M*n_out, H/2, W/2)."""

    def __init__(self, members: int, n_in: int, n_out: int) -> None:
        super().__init__(members, n_out, n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return halve_image(x.to(self.weight.dtype), self.weight, self._flat_bias())

    def transposed(self, gradient: Tensor) -> Tensor:
        """(B, M*n_out, H/2, W/2) -> (B, M*n_in, H, W)."""
        return double_to_image(gradient.to(self.weight.dtype), self.weight)


class MemberConvToImage(MemberConvolution):
    """MemberConvTranspose2d for an image: (B, M*n_in, H, W) -> (B, M*n_out, 2H, 2W)."""

    def __init__(self, members: int, n_in: int, n_out: int) -> None:
        super().__init__(members, n_in, n_out, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return double_to_image(x.to(self.weight.dtype), self.weight, self._flat_bias())


class MemberBatchNorm2d(nn.Module):
    """Batch norm over the M*C channels of (B, M*C, H, W); its own parameters stay in float32.

    Training normalises with the batch's statistics and records nothing. `recording` stores the
    statistics of the batch that passes; evaluation mode normalises with the stored ones.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, members: int, channels: int) -> None:
        super().__init__()
        self.recording = False
        self.weight = nn.Parameter(torch.ones(members, channels))
        self.bias = nn.Parameter(torch.zeros(members, channels))
        self.register_buffer("running_mean", torch.zeros(members, channels))
        self.register_buffer("running_var", torch.ones(members, channels))

    def forward(self, x: Tensor) -> Tensor:
        batch_statistics = self.training or self.recording
        stored = self.recording or not self.training
        return F.batch_norm(
            x,
            self.running_mean.view(-1) if stored else None,
            self.running_var.view(-1) if stored else None,
            self.weight.flatten(),
            self.bias.flatten(),
            training=batch_statistics,
            momentum=1.0,
        )


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """Ours and, in a user's modules, torch's."""
    return [m for m in network.modules() if isinstance(m, MemberBatchNorm2d | _BatchNorm)]


def record_statistics(network: nn.Module, batch: Tensor) -> None:
    """Store the batch-norm statistics of `batch` (M, B, ...), fresh noise or real images, for evaluation.

    All other layers are as in evaluation meanwhile: spectral norm, say, is not to take a step.
    """
    if not batch_norms(network):
        return
    norms = [m for m in network.modules() if isinstance(m, MemberBatchNorm2d)]
    ordinary = [m for m in network.modules() if isinstance(m, _BatchNorm)]
    training, momenta = network.training, [norm.momentum for norm in ordinary]
    network.eval()
    for norm in norms:
        norm.recording = True
    for torchs in ordinary:
        torchs.reset_running_stats()
        torchs.train().momentum = 1.0
    try:
        with torch.no_grad():
            network(batch)
    finally:
        for norm in norms:
            norm.recording = False
        for torchs, momentum in zip(ordinary, momenta, strict=True):
            torchs.momentum = momentum
        network.train(training)
